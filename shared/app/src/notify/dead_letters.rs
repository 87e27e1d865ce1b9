//! Dead letters: notifications that were given up, kept so that a person can have them delivered again.
//!
//! Partition `v#<tenant>`; sort key `<group>#<integration>`, with the group as in its own row: the newest letter of each
//! integration of a group. Value: a format version byte and JSON. A letter holds what is to be told, never how: address
//! and secrets are those of the configuration at the time it is delivered.
//!
//! The group itself goes on trying at every group interval while it has alerts, so that most letters are told before
//! anybody looks: those are no letters any more, and are removed when somebody asks.

use std::collections::BTreeMap;
use std::time::Duration;

use alerting::notify::{GroupKey, Held, Integration, Notification, Outcome, Reason};
use model::{ErrorKind, Labels, TenantId, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::deliver::Delivered;
use super::rows::{self, StoredGroup};
use super::{Desk, history};
use crate::ports::{Expect, Message, PortResult, RowKey, RowRange, RowWrite, range_all};
use crate::{App, AppError};

const VERSION: u8 = 1;
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most bytes of the alerts of a letter, so that it fits into a row; those that do not fit are counted.
const ALERTS_BYTES_MAX: usize = 300 << 10;
/// How often what came of a delivery is written until it sticks.
const RECORD_TRIES_MAX: usize = 8;

/// A notification that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// What to call it when it is to be delivered again.
    pub id: String,
    /// When it was given up, in milliseconds since the epoch.
    pub given_up_at_ms: i64,
    /// Why, in the words of the messenger.
    pub note: String,
    /// To which receiver.
    pub receiver: String,
    /// By which of its integrations: `slack/0`.
    pub integration: String,
    /// Why it was to be sent.
    pub reason: Reason,
    /// The group, as Alertmanager prints its key.
    pub group_key: String,
    /// The labels that make the group.
    pub group_labels: BTreeMap<String, String>,
    /// When it was decided, in milliseconds since the epoch.
    pub decided_at_ms: i64,
    /// When its group was first made, in milliseconds since the epoch.
    group_born_at_ms: i64,
    /// Which notification of its group it is.
    sequence: u64,
    /// The key under which it was tried.
    idempotency_key: String,
    /// The alerts that fire.
    pub firing: Vec<Held>,
    /// The alerts that have ended.
    pub resolved: Vec<Held>,
    /// Alerts that were too many for a letter.
    pub left_out: usize,
}

/// What came of a letter that was delivered again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redriven {
    /// The letter.
    pub id: String,
    /// Whether it arrived; otherwise it is still a dead letter.
    pub delivered: bool,
    /// Whether this host does not reach people, and left it to one that does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub handed_over: bool,
    /// What the messenger said.
    pub note: String,
}

/// What the ids of messages start with that ask for letters to be delivered again.
const ID: &str = "redrive/";

/// The body of such a message, as JSON.
#[derive(Serialize, Deserialize)]
struct Handed {
    tenant: String,
    ids: Vec<String>,
}

/// Whether a message asks for letters to be delivered again.
pub(super) fn is_redrive(message: &Message) -> bool {
    message.id.starts_with(ID)
}

fn partition(tenant: &TenantId) -> String {
    format!("v#{tenant}")
}

fn id(key: &GroupKey, integration: &str) -> String {
    format!("{}#{integration}", key.id())
}

/// The row of a notification that was given up.
pub(super) fn row(
    tenant: &TenantId,
    stored: &StoredGroup,
    notification: &Notification,
    delivered: &Delivered,
    now: Timestamp,
) -> RowWrite {
    let mut room = ALERTS_BYTES_MAX;
    let mut fitting = |alerts: &[Held]| -> Vec<Held> {
        let size = |held: &Held| serde_json::to_vec(held).map_or(usize::MAX, |json| json.len());
        let mut fits = |held: &&Held| {
            let size = size(held);
            let fits = size <= room;
            room = if fits { room - size } else { 0 };
            fits
        };
        alerts.iter().take_while(|held| fits(held)).cloned().collect()
    };
    let (firing, resolved) = (fitting(&notification.firing), fitting(&notification.resolved));
    let group = &stored.group;
    let letter = DeadLetter {
        id: id(&group.key, &notification.integration.key),
        given_up_at_ms: now.as_millis(),
        note: delivered.note.clone(),
        receiver: notification.receiver.clone(),
        integration: notification.integration.key.clone(),
        reason: notification.reason,
        group_key: notification.group_key.clone(),
        group_labels: notification
            .group_labels
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        decided_at_ms: notification.decided_at.as_millis(),
        group_born_at_ms: group.born_at.as_millis(),
        sequence: notification.sequence,
        idempotency_key: notification.idempotency_key.clone(),
        left_out: notification.firing.len() + notification.resolved.len() - firing.len() - resolved.len(),
        firing,
        resolved,
    };
    letter.row(tenant, now)
}

impl DeadLetter {
    fn row(&self, tenant: &TenantId, now: Timestamp) -> RowWrite {
        let mut value = vec![VERSION];
        serde_json::to_writer(&mut value, self).expect("texts and numbers become JSON");
        RowWrite::put(self.key(tenant), Expect::Any, value).expiring(now + KEPT)
    }

    fn key(&self, tenant: &TenantId) -> RowKey {
        RowKey::new(partition(tenant), self.id.as_str())
    }

    fn group_id(&self) -> &str {
        self.id.split_once('#').map_or(self.id.as_str(), |(group, _)| group)
    }

    fn decode(value: &[u8]) -> PortResult<Self> {
        match value.split_first() {
            Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|error| rows::corrupt("dead letter", error)),
            Some(_) | None => Err(rows::corrupt("dead letter", "unknown format version")),
        }
    }

    /// Whether its integration was told the same or newer things since.
    fn is_told(&self, group: Option<&StoredGroup>) -> bool {
        let of_the_same = group.filter(|stored| stored.group.born_at.as_millis() == self.group_born_at_ms);
        let state = of_the_same.and_then(|stored| stored.group.integrations.get(&self.integration));
        state.and_then(|state| state.log.as_ref()).is_some_and(|entry| entry.sequence >= self.sequence)
    }

    fn notification(&self, integration: &Integration) -> Result<Notification, AppError> {
        let labels = self.group_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let group_labels =
            Labels::from_pairs(labels).map_err(|error| AppError::Corrupt(format!("dead letter: {error}")))?;
        Ok(Notification {
            receiver: self.receiver.clone(),
            integration: integration.clone(),
            sequence: self.sequence,
            idempotency_key: self.idempotency_key.clone(),
            reason: self.reason,
            decided_at: Timestamp::from_millis(self.decided_at_ms),
            tries: 1,
            reference: None,
            group_key: self.group_key.clone(),
            group_labels,
            firing: self.firing.clone(),
            resolved: self.resolved.clone(),
            answered_by: None,
        })
    }
}

/// The dead letters of a tenant.
///
/// # Errors
/// When they cannot be read.
pub async fn dead_letters(app: &App, tenant: &TenantId, now: Timestamp) -> Result<Vec<DeadLetter>, AppError> {
    let config = app.config();
    Ok(Desk::of(app, &config, now).dead_letters(tenant).await?)
}

/// Delivers dead letters again, those with these ids, or all. One that arrives is no letter any more, and its group
/// knows that it was told.
///
/// # Errors
/// `NotFound` when an id is none; when they cannot be read or what came of one cannot be written. A delivery that fails
/// is no error: it is said. A host that does not reach people asks one that does, and says so.
pub async fn redrive(
    app: &App,
    tenant: &TenantId,
    ids: Option<&[String]>,
    now: Timestamp,
) -> Result<Vec<Redriven>, AppError> {
    let config = app.config();
    let desk = Desk::of(app, &config, now);
    if app.ports.messenger.reaches_people() {
        return desk.redrive(tenant, ids).await;
    }
    let letters = desk.dead_letters(tenant).await?;
    let ids: Vec<String> = wanted(&letters, ids)?.into_iter().map(|letter| letter.id.clone()).collect();
    let body = serde_json::to_vec(&Handed { tenant: tenant.to_string(), ids: ids.clone() }).expect("texts become JSON");
    let id = format!("{ID}{}/{:032x}", now.as_millis(), xxh3_128(&body));
    app.ports.topic.publish(vec![Message { id, body: body.into() }]).await?;
    let note = "handed over: it leaves the list when it has arrived";
    Ok(ids.into_iter().map(|id| Redriven { id, delivered: false, handed_over: true, note: note.to_owned() }).collect())
}

/// The letters with these ids, or all.
fn wanted<'a>(letters: &'a [DeadLetter], ids: Option<&[String]>) -> Result<Vec<&'a DeadLetter>, AppError> {
    if let Some(unknown) = ids.unwrap_or_default().iter().find(|id| !letters.iter().any(|one| one.id == **id)) {
        return Err(AppError::NotFound(format!("there is no dead letter {unknown:?}")));
    }
    Ok(letters.iter().filter(|letter| ids.is_none_or(|ids| ids.contains(&letter.id))).collect())
}

impl Desk<'_> {
    pub(super) async fn dead_letters(&self, tenant: &TenantId) -> PortResult<Vec<DeadLetter>> {
        let mut letters = Vec::new();
        for row in range_all(self.state, RowRange::all(partition(tenant)), self.now).await? {
            let letter = DeadLetter::decode(&row.value)?;
            let group = self.state.get(&rows::group_key(tenant, letter.group_id()), self.now).await?;
            let group = group.as_ref().map(StoredGroup::read).transpose()?;
            if letter.is_told(group.as_ref()) {
                let done = RowWrite::delete(letter.key(tenant), Expect::Version(row.version));
                match self.state.write(vec![done], self.now).await {
                    Err(error) if error.kind() != ErrorKind::Conflict => return Err(error),
                    Ok(_) | Err(_) => {}
                }
            } else {
                letters.push(letter);
            }
        }
        Ok(letters)
    }

    pub(super) async fn redrive(&self, tenant: &TenantId, ids: Option<&[String]>) -> Result<Vec<Redriven>, AppError> {
        let letters = self.dead_letters(tenant).await?;
        let mut all = Vec::new();
        for letter in wanted(&letters, ids)? {
            all.push(self.redrive_one(tenant, letter).await?);
        }
        Ok(all)
    }

    /// Delivers letters that another host handed over; one that is none any more was delivered meanwhile.
    pub(super) async fn redrive_handed(&self, message: &Message) -> Result<(), AppError> {
        let invalid = |error: &dyn std::fmt::Display| AppError::Invalid(format!("message of dead letters: {error}"));
        let Handed { tenant, ids } = serde_json::from_slice(&message.body).map_err(|error| invalid(&error))?;
        let tenant = TenantId::new(&tenant).map_err(|error| invalid(&error))?;
        for letter in self.dead_letters(&tenant).await?.iter().filter(|letter| ids.contains(&letter.id)) {
            self.redrive_one(&tenant, letter).await?;
        }
        Ok(())
    }

    async fn redrive_one(&self, tenant: &TenantId, letter: &DeadLetter) -> Result<Redriven, AppError> {
        let said = |delivered, note: String| Redriven { id: letter.id.clone(), delivered, handed_over: false, note };
        let receiver = self.routes(tenant).receivers.get(&letter.receiver);
        let all = receiver.iter().flat_map(|receiver| &receiver.integrations);
        let Some(integration) = all.into_iter().find(|one| one.key == letter.integration) else {
            let note =
                format!("the configuration has no {} of receiver {} any more", letter.integration, letter.receiver);
            return Ok(said(false, note));
        };
        let notification = letter.notification(integration)?;
        let delivered = self.deliver(tenant.as_str(), &notification, None).await;
        let arrived = delivered.outcome.result.is_ok();
        let mut rows = vec![history::row(tenant, &notification, &delivered, self.now)];
        if arrived {
            rows.push(RowWrite::delete(letter.key(tenant), Expect::Any));
        } else {
            let note = delivered.note.clone();
            rows.push(
                DeadLetter { note, given_up_at_ms: self.now.as_millis(), ..letter.clone() }.row(tenant, self.now),
            );
        }
        self.record_redriven(tenant, letter, &delivered.outcome, rows).await?;
        Ok(said(arrived, delivered.note))
    }

    /// Writes what came of a letter, and tells its group, if that still waits for this very notification.
    async fn record_redriven(
        &self,
        tenant: &TenantId,
        letter: &DeadLetter,
        outcome: &Outcome,
        rows: Vec<RowWrite>,
    ) -> PortResult<()> {
        for try_number in 1.. {
            let found = self.state.get(&rows::group_key(tenant, letter.group_id()), self.now).await?;
            let mut all = rows.clone();
            if let Some(row) = found.filter(|_| outcome.result.is_ok()) {
                let mut stored = StoredGroup::read(&row)?;
                if stored.group.born_at.as_millis() == letter.group_born_at_ms {
                    stored.group.record(std::slice::from_ref(outcome), &BTreeMap::new(), self.now);
                    all.extend(stored.rows(tenant));
                }
            }
            match self.state.write(all, self.now).await {
                Err(error) if error.kind() == ErrorKind::Conflict && try_number < RECORD_TRIES_MAX => {}
                other => return other.map(drop),
            }
        }
        Ok(())
    }
}

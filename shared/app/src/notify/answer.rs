//! What people do about alerts: take them on, give them to somebody, call the next tier, silence them for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alerting::Fingerprint;
use alerting::notify::{Held, Silence};
use alerting::oncall::{EscalationKey, Event, OnCall, Watched};
use model::{ErrorKind, Labels, MatchOp, Matcher, TenantId, Timestamp, matches_all};

use super::escalate::{StoredEscalation, any_key_of, row_key};
use super::wake::Noting;
use super::{Act, Desk, put_silence};
use crate::ports::PortResult;
use crate::{App, AppError};

/// How long an alert is silenced where nobody says.
pub const SILENCED_FOR: Duration = Duration::from_secs(3600);
/// Longest text that a person may add.
const COMMENT_CHARS_MAX: usize = 1000;
/// How often a change that met another one is decided anew.
const TRIES_MAX: usize = 6;

/// What somebody does about alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answering {
    /// Takes them on: nobody else is called.
    Acknowledge,
    /// Gives them to a person, by short name, who is called.
    Assign(String),
    /// Calls the next tier now.
    Escalate,
    /// Mutes them for a while.
    Silence(Duration),
}

impl Answering {
    /// Reads an action by its name: `ack`, `assign`, `escalate`, `silence`; with whom to assign to, and how long to
    /// silence.
    ///
    /// # Errors
    /// `Invalid` when there is no such action, or nobody to assign to.
    pub fn read(action: &str, to: Option<&str>, duration: Option<Duration>) -> Result<Self, AppError> {
        match (action, to.filter(|to| !to.is_empty())) {
            ("ack", _) => Ok(Self::Acknowledge),
            ("escalate", _) => Ok(Self::Escalate),
            ("silence", _) => Ok(Self::Silence(duration.unwrap_or(SILENCED_FOR))),
            ("assign", Some(to)) => Ok(Self::Assign(to.to_owned())),
            ("assign", None) => Err(AppError::Invalid("name the person to assign to".to_owned())),
            _ => Err(AppError::Invalid(format!("{action:?} is none of ack, assign, escalate, silence"))),
        }
    }

    /// The action's name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Acknowledge => "ack",
            Self::Assign(_) => "assign",
            Self::Escalate => "escalate",
            Self::Silence(_) => "silence",
        }
    }
}

/// Who does something about alerts, and what they say to it.
#[derive(Clone, Copy, Debug)]
pub struct Author<'a> {
    /// A token's name, a person's short name, a user of Slack.
    pub name: &'a str,
    /// Why; may be empty.
    pub comment: &'a str,
    /// What a silence is called that it makes.
    pub new_id: &'a str,
}

/// The firing alerts that fulfil all matchers.
///
/// # Errors
/// When they cannot be read.
pub async fn firing(
    app: &App,
    tenant: &TenantId,
    matchers: &[Matcher],
    now: Timestamp,
) -> Result<BTreeSet<Fingerprint>, AppError> {
    let config = app.config();
    let (alerts, _) = Desk::of(app, &config, now).alerts(tenant).await?;
    let wanted = |held: &Held| !held.alert.is_resolved(now) && matches_all(matchers, held.alert.labels.as_ref());
    Ok(alerts.into_iter().filter(|(_, held)| wanted(held)).map(|(alert, _)| alert).collect())
}

/// Does something about those of these alerts that fire, and says what was done; nothing where it was done already.
///
/// # Errors
/// `NotFound` when none of them fires, `Invalid` when it cannot be done (nobody of that name, no further tier), otherwise
/// when it cannot be stored.
pub async fn answer(
    app: &App,
    tenant: &TenantId,
    wanted: &BTreeSet<Fingerprint>,
    answering: &Answering,
    author: Author<'_>,
    now: Timestamp,
) -> Result<Vec<Act>, AppError> {
    if author.comment.chars().count() > COMMENT_CHARS_MAX {
        return Err(AppError::Invalid(format!("a comment has at most {COMMENT_CHARS_MAX} characters")));
    }
    let config = app.config();
    let noting = Noting::over(app.ports.state.as_ref());
    let desk = Desk { state: &noting, ..Desk::of(app, &config, now) };
    let (alerts, _) = desk.alerts(tenant).await?;
    let fires = |alert: &Fingerprint| alerts.get(alert).filter(|held| !held.alert.is_resolved(now));
    let firing: Vec<&Held> = wanted.iter().filter_map(fires).collect();
    if firing.is_empty() {
        return Err(AppError::NotFound("no such alert fires now".to_owned()));
    }
    if let Answering::Silence(duration) = answering {
        let silence = silence_of(&firing, *duration, author, now)?;
        let id = put_silence(app, tenant, &silence, author.new_id, now).await?;
        let silence = Silence { id, ..silence };
        return Ok(vec![Act::of_silence(super::ActKind::Silenced, &silence, author.name, now)]);
    }
    let mut by_key: BTreeMap<EscalationKey, BTreeSet<Fingerprint>> = BTreeMap::new();
    for held in firing {
        let key = any_key_of(desk.on_call(tenant), &held.alert.labels);
        by_key.entry(key).or_default().insert(held.alert.fingerprint());
    }
    let mut acts = Vec::new();
    for (key, wanted) in by_key {
        let change = Change { key, alerts: &alerts, wanted: &wanted, answering, by: author.name };
        acts.extend(desk.change(tenant, &change).await?);
    }
    noting.wake(app.ports.topic.as_ref(), Timestamp::default(), now).await;
    Ok(acts)
}

/// Silences what the alerts have in common.
fn silence_of(firing: &[&Held], duration: Duration, author: Author<'_>, now: Timestamp) -> Result<Silence, AppError> {
    let first = &firing[0].alert.labels;
    let is_common =
        |(name, value): &(&str, &str)| firing.iter().all(|held| held.alert.labels.get(name) == Some(*value));
    let matchers = first.iter().filter(is_common).map(|(name, value)| Matcher::new(name, MatchOp::Equal, value));
    let matchers = matchers.collect::<Result<_, _>>().map_err(|error| AppError::Invalid(error.to_string()))?;
    Ok(Silence {
        id: String::new(),
        matchers,
        starts_at: now,
        ends_at: now + duration,
        updated_at: now,
        created_by: author.name.to_owned(),
        comment: author.comment.to_owned(),
        annotations: BTreeMap::new(),
    })
}

/// What is done to one escalation.
struct Change<'a> {
    key: EscalationKey,
    alerts: &'a BTreeMap<Fingerprint, Held>,
    wanted: &'a BTreeSet<Fingerprint>,
    answering: &'a Answering,
    by: &'a str,
}

impl Desk<'_> {
    async fn change(&self, tenant: &TenantId, change: &Change<'_>) -> Result<Vec<Act>, AppError> {
        for try_number in 1.. {
            match self.try_change(tenant, change).await {
                Err(error) if error.kind() == ErrorKind::Conflict && try_number < TRIES_MAX => {}
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    return Err(AppError::Invalid(error.to_string()));
                }
                other => return Ok(other?),
            }
        }
        Ok(Vec::new())
    }

    async fn try_change(&self, tenant: &TenantId, change: &Change<'_>) -> PortResult<Vec<Act>> {
        let on_call = self.on_call(tenant);
        let row = self.state.get(&row_key(tenant, &change.key.id()), self.now).await?;
        let mut stored = match row {
            Some(row) => StoredEscalation::read(&row, on_call)?,
            None => StoredEscalation::new(change.key.clone(), self.now),
        };
        for alert in change.wanted {
            // An alert that nothing is promised for, or that just arrived.
            let event = Event::Fires { alert: *alert, starts_at: change.alerts[alert].alert.starts_at };
            stored.escalation = self.step(tenant, &stored.escalation, event)?.escalation;
        }
        let alerts = change.wanted;
        let event = match change.answering {
            Answering::Acknowledge => Event::Acknowledged { alerts, by: change.by },
            Answering::Assign(to) => Event::Assigned { alerts, to, by: change.by },
            Answering::Escalate => Event::Escalated { alerts, by: change.by },
            Answering::Silence(_) => return Ok(Vec::new()),
        };
        let step = self.step(tenant, &stored.escalation, event)?;
        stored.escalation = step.escalation;
        let rows = stored.rows(tenant, on_call);
        self.write_with_acts(tenant, rows, &step.records, change.alerts).await?;
        Ok(step.records.iter().map(|record| Act::of(record, change.alerts, self.now)).collect())
    }
}

/// The labels of all alerts that are known, also of some that are over, by fingerprint.
///
/// # Errors
/// When they cannot be read.
pub async fn labels_of_alerts(
    app: &App,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<BTreeMap<String, Labels>, AppError> {
    let config = app.config();
    let (alerts, _) = Desk::of(app, &config, now).alerts(tenant).await?;
    Ok(alerts.into_iter().map(|(alert, held)| (alert.to_string(), held.alert.labels)).collect())
}

/// What is known of who answers an alert.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The alert, as the notifications know it.
    pub labels: Labels,
    /// Its clock, its answer, whose it is.
    pub watched: Watched,
    /// Within what time somebody was to answer.
    pub respond_within: Option<Duration>,
}

/// What is known of who answers the alerts that fire.
///
/// # Errors
/// When it cannot be read.
pub async fn answered(
    app: &App,
    tenant: &TenantId,
    now: Timestamp,
) -> Result<BTreeMap<Fingerprint, Answered>, AppError> {
    let config = app.config();
    let desk = Desk::of(app, &config, now);
    let (alerts, _) = desk.alerts(tenant).await?;
    let on_call: &OnCall = desk.on_call(tenant);
    let mut answered = BTreeMap::new();
    for stored in desk.all_escalations(tenant).await? {
        let policy = on_call.policies.get(&stored.escalation.key.severity);
        let respond_within = policy.and_then(|policy| policy.respond_within);
        for (alert, watched) in stored.escalation.alerts {
            let Some(held) = alerts.get(&alert).filter(|held| !held.alert.is_resolved(now)) else { continue };
            answered.insert(alert, Answered { labels: held.alert.labels.clone(), watched, respond_within });
        }
    }
    Ok(answered)
}

//! The digest: once a day, a list of the alerts that nobody answered for so long that their severity's policy asks for it.
//!
//! Its timer is set by the escalations that may be in it. Row `e#<tenant>` / `digest`: a format version byte and JSON, who
//! was told of which digest, so that a crash tells nobody twice under another key.

use std::collections::BTreeMap;
use std::time::Duration;

use alerting::Fingerprint;
use alerting::notify::{Failure, Held, Inhibitor, Notification, Reason};
use alerting::oncall::{Digest, Escalation, OnCall};
use futures::future::join_all;
use jiff::ToSpan as _;
use model::{Labels, TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::due::{Loaded, Ran};
use super::escalate::{TIMER, row_key};
use super::rows::{self, Timer};
use super::{Desk, history};
use crate::ports::{Expect, PortResult, RowWrite};

/// The sort key of the digest's row, where escalations have a hash.
pub(super) const SORT: &str = "digest";
/// How long a digest is tried to be delivered.
const TRIED: Duration = Duration::from_secs(3600);
/// How long somebody who delivers is left alone.
const CLAIM: Duration = Duration::from_secs(60);
const VERSION: u8 = 1;

/// What is known of the last digest.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    /// Which one, by when it was due, in milliseconds since the epoch.
    due_ms: i64,
    /// Until when somebody delivers it.
    claimed_until_ms: i64,
    /// Who was told, or refused it for good.
    told: Vec<String>,
}

/// The timer of the next digest, if an escalation may stand in it.
pub(super) fn timer(tenant: &TenantId, on_call: &OnCall, escalation: &Escalation, now: Timestamp) -> Option<RowWrite> {
    let digest = on_call.digest.as_ref()?;
    on_call.policies.get(&escalation.key.severity)?.digest_after?;
    if escalation.alerts.values().all(|watched| watched.answer.is_some()) {
        return None;
    }
    let due_at = next(digest, now)?;
    Some(Timer { due_at, tenant: tenant.clone(), group: format!("{TIMER}{SORT}") }.row())
}

/// When the first digest after a moment is due.
fn next(digest: &Digest, now: Timestamp) -> Option<Timestamp> {
    let now_there = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?.to_zoned(digest.time_zone.clone());
    let days =
        [now_there.date(), now_there.date().checked_add(1.day()).ok()?, now_there.date().checked_add(2.days()).ok()?];
    let moments = days.into_iter().filter_map(|day| day.to_datetime(digest.at).to_zoned(digest.time_zone.clone()).ok());
    moments.map(|time| Timestamp::from_millis(time.timestamp().as_millisecond())).find(|time| *time > now)
}

impl Desk<'_> {
    pub(super) async fn run_digest(
        &self,
        tenant: &TenantId,
        timer: &Timer,
        loaded: &Loaded,
        inhibitor: &Inhibitor<'_>,
    ) -> PortResult<Ran> {
        let Some(digest) = &self.on_call(tenant).digest else {
            return self.drop_timer(timer).await.map(|()| Ran::default());
        };
        let row = self.state.get(&row_key(tenant, SORT), self.now).await?;
        let mut told = row.as_ref().map_or_else(|| Ok(Told::default()), |row| read(&row.value))?;
        let due_ms = timer.due_at.as_millis();
        if told.due_ms > due_ms || timer.due_at + TRIED < self.now {
            return self.drop_timer(timer).await.map(|()| Ran::default());
        }
        if told.due_ms == due_ms && told.claimed_until_ms > self.now.as_millis() {
            return Ok(Ran { taken: 1, ..Ran::default() });
        }
        if told.due_ms < due_ms {
            told = Told { due_ms, ..Told::default() };
        }
        told.claimed_until_ms = (self.now + CLAIM).as_millis();
        let expect = row.map_or(Expect::Absent, |row| Expect::Version(row.version));
        let version = self.state.write(vec![put(tenant, &told, expect)], self.now).await?;
        let unanswered = self.unanswered(tenant, loaded, inhibitor).await?;
        let notifications = self.digest_of(tenant, digest, &unanswered, &told);
        let deliveries = notifications.iter().map(|one| self.deliver(tenant.as_str(), one, None));
        let delivered = join_all(deliveries).await;
        let mut ran = Ran { groups: 1, ..Ran::default() };
        let mut rows = Vec::new();
        for (notification, one) in notifications.iter().zip(&delivered) {
            match one.outcome.result {
                Ok(()) => ran.delivered += 1,
                Err(_) => ran.failed += 1,
            }
            if matches!(one.outcome.result, Ok(()) | Err(Failure::Permanent)) {
                told.told.push(notification.idempotency_key.clone());
                rows.push(history::row(tenant, notification, one, self.now));
            }
        }
        told.claimed_until_ms = 0;
        if told.told.len() >= notifications.len() && ran.failed == 0 {
            rows.push(RowWrite::delete(timer.key(), Expect::Any));
            let more = unanswered.values().next().and_then(|_| next(digest, self.now));
            rows.extend(more.map(|due_at| Timer { due_at, ..timer.clone() }.row()));
        }
        rows.push(put(tenant, &told, Expect::Version(version.first().copied().unwrap_or(0))));
        self.state.write(rows, self.now).await?;
        Ok(ran)
    }

    /// The alerts that stand in the digest: they fire, nothing mutes them, and nobody answered for so long.
    async fn unanswered(
        &self,
        tenant: &TenantId,
        loaded: &Loaded,
        inhibitor: &Inhibitor<'_>,
    ) -> PortResult<BTreeMap<Fingerprint, Held>> {
        let mut unanswered = BTreeMap::new();
        for stored in self.all_escalations(tenant).await? {
            let Some(policy) = self.on_call(tenant).policies.get(&stored.escalation.key.severity) else { continue };
            let (firing, muted) = self.firing_and_muted(&stored.escalation, loaded, inhibitor);
            let overdue = stored.escalation.overdue(policy, self.now);
            let overdue = overdue.into_iter().filter(|alert| firing.contains(alert) && !muted.contains(alert));
            unanswered.extend(overdue.filter_map(|alert| Some((alert, loaded.alerts.get(&alert)?.clone()))));
        }
        Ok(unanswered)
    }

    fn digest_of(
        &self,
        tenant: &TenantId,
        digest: &Digest,
        unanswered: &BTreeMap<Fingerprint, Held>,
        told: &Told,
    ) -> Vec<Notification> {
        if unanswered.is_empty() {
            return Vec::new();
        }
        let receivers = digest.receivers.iter().filter_map(|name| self.routes(tenant).receivers.get(name));
        let all = receivers.flat_map(|receiver| receiver.integrations.iter().map(move |one| (receiver, one)));
        let notifications = all.map(|(receiver, integration)| Notification {
            receiver: receiver.name.clone(),
            integration: integration.clone(),
            sequence: 1,
            idempotency_key: format!("digest/{tenant}/{}/{}/{}", told.due_ms, receiver.name, integration.key),
            reason: Reason::Digest,
            decided_at: Timestamp::from_millis(told.due_ms),
            tries: 1,
            reference: None,
            group_key: "on-call/digest:{}".to_owned(),
            group_labels: Labels::empty(),
            firing: unanswered.values().cloned().collect(),
            resolved: Vec::new(),
            answered_by: None,
        });
        notifications.filter(|one| !told.told.contains(&one.idempotency_key)).collect()
    }
}

fn put(tenant: &TenantId, told: &Told, expect: Expect) -> RowWrite {
    let mut value = vec![VERSION];
    serde_json::to_writer(&mut value, told).expect("texts and numbers become JSON");
    RowWrite::put(row_key(tenant, SORT), expect, value)
}

fn read(value: &[u8]) -> PortResult<Told> {
    match value.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|error| rows::corrupt("digest", error)),
        Some(_) | None => Err(rows::corrupt("digest", "unknown format version")),
    }
}

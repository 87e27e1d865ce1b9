//! What was sent, for the history of alerts: one row a notification, kept for a year.
//!
//! Partition `h#<tenant>#<yyyy-mm-dd>` (UTC), as the changes of alerts, behind which they sort: sort key
//! `n#<milliseconds, 14 digits>#<idempotency key>`; value: a format version byte and JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use alerting::notify::{Held, Notification, Reason};
use model::{TenantId, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};

use super::deliver::Delivered;
use crate::App;
use crate::AppError;
use crate::ports::{Expect, RowKey, RowRange, RowWrite, range_all};

const VERSION: u8 = 1;
pub(super) const KEPT: Duration = Duration::from_secs(366 * 24 * 3600);
/// Longest time range of one question, in days.
const DAYS_MAX: i64 = 400;

/// One notification as the history tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// To which receiver.
    pub receiver: String,
    /// By which of its integrations: `slack/0`.
    pub integration: String,
    /// Why: `first notification`.
    pub reason: String,
    /// The group, as Alertmanager prints its key.
    pub group: String,
    /// The fingerprints of the alerts that fired.
    pub firing: Vec<String>,
    /// The fingerprints of the alerts that had ended.
    pub resolved: Vec<String>,
    /// Whether it was delivered; otherwise it was given up until the group is looked at again.
    pub delivered: bool,
    /// What the messenger said.
    pub note: String,
    /// Where an alert was told for the first time: how long after the samples that made it fire.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detection: Option<Detection>,
}

/// How long it took from samples to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    /// Where the samples come from: the label `job` of the alert, `alertmanager api` for alerts of outside senders, else
    /// `rules`.
    pub source: String,
    /// From the newest sample that made the alert fire to the notification, in milliseconds; of several alerts the
    /// longest. Where that is not known, from the evaluation that saw it, or from the start that a sender says. A series
    /// that a rule records is as old as the evaluation that recorded it.
    pub latency_ms: i64,
}

impl Detection {
    /// Of a notification that is the first about its alerts.
    pub(super) fn of(notification: &Notification, now: Timestamp) -> Option<Self> {
        if notification.reason != Reason::FirstNotification {
            return None;
        }
        let began = |held: &Held| held.alert.sampled_at.unwrap_or(held.alert.starts_at);
        let first = notification.firing.iter().min_by_key(|held| began(held))?;
        let source = match (first.alert.ends_at, first.alert.labels.get("job")) {
            (Some(_), _) => "alertmanager api",
            (None, Some(job)) => job,
            (None, None) => "rules",
        };
        let latency_ms = now.as_millis().saturating_sub(began(first).as_millis()).max(0);
        Some(Self { source: source.to_owned(), latency_ms })
    }
}

/// How fast people were told of alerts within a range, by source: each time in milliseconds, in order.
///
/// # Errors
/// When the history cannot be read.
pub async fn detections(
    app: &App,
    tenant: &TenantId,
    range: TimeRange,
    now: Timestamp,
) -> Result<BTreeMap<String, Vec<i64>>, AppError> {
    let mut by_source: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for detection in sent(app, tenant, range, now).await?.into_iter().filter_map(|sent| sent.detection) {
        by_source.entry(detection.source).or_default().push(detection.latency_ms);
    }
    by_source.values_mut().for_each(|all| all.sort_unstable());
    Ok(by_source)
}

/// Most fingerprints of a list, so that a row stays small.
const LIST_MAX: usize = 1000;

/// The row of a notification that was delivered or given up.
pub(super) fn row(tenant: &TenantId, notification: &Notification, delivered: &Delivered, now: Timestamp) -> RowWrite {
    let list =
        |alerts: &[Held]| alerts.iter().take(LIST_MAX).map(|held| held.alert.fingerprint().to_string()).collect();
    let sent = Sent {
        at_ms: now.as_millis(),
        receiver: notification.receiver.clone(),
        integration: notification.integration.key.clone(),
        reason: notification.reason.as_str().to_owned(),
        group: notification.group_key.clone(),
        firing: list(&notification.firing),
        resolved: list(&notification.resolved),
        delivered: delivered.outcome.result.is_ok(),
        note: delivered.note.clone(),
        detection: delivered.outcome.result.is_ok().then(|| Detection::of(notification, now)).flatten(),
    };
    let mut value = vec![VERSION];
    serde_json::to_writer(&mut value, &sent).expect("texts and numbers become JSON");
    let sort = format!("{}#{}", place(now), notification.idempotency_key);
    RowWrite::put(RowKey::new(partition(tenant, day(now)), sort), Expect::Any, value).expiring(now + KEPT)
}

/// The notifications of a tenant that were sent or given up within a time range, oldest first; of a range longer than
/// about a year its last year.
///
/// # Errors
/// When they cannot be read.
pub async fn sent(app: &App, tenant: &TenantId, range: TimeRange, now: Timestamp) -> Result<Vec<Sent>, AppError> {
    let mut found = Vec::new();
    for day in days(range, now) {
        let rows = RowRange::between(partition(tenant, day), place(range.start), format!("{}~", place(range.end)));
        for row in range_all(app.ports.state.as_ref(), rows, now).await? {
            found.push(read(&row.value)?);
        }
    }
    Ok(found)
}

fn read(value: &[u8]) -> Result<Sent, AppError> {
    match value.split_first() {
        Some((&VERSION, json)) => serde_json::from_slice(json)
            .map_err(|error| AppError::Corrupt(format!("history of notifications: {error}"))),
        Some(_) | None => Err(AppError::Corrupt("history of notifications: unknown format version".to_owned())),
    }
}

/// The days of a range that is not longer than about a year and not in the future.
pub(super) fn days(range: TimeRange, now: Timestamp) -> std::ops::RangeInclusive<i64> {
    let last = day(range.end.min(now));
    day(range.start.max(Timestamp::from_millis(0))).max(last.saturating_sub(DAYS_MAX))..=last
}

/// Days since the epoch.
pub(super) fn day(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(24 * 3_600_000)
}

pub(super) fn partition(tenant: &TenantId, day: i64) -> String {
    let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day));
    format!("h#{tenant}#{date}")
}

fn place(time: Timestamp) -> String {
    format!("n#{:014}", time.as_millis().max(0))
}

//! The history of alerts: every change of state, in rows by tenant and day.
//!
//! Partition `h#<tenant>#<yyyy-mm-dd>` (UTC), sort key `<milliseconds, 14 digits>#<hash of the groups, 16 hex>#<part>`,
//! value: a format version byte and a JSON array of changes. The key is the same for the same evaluation of the same
//! groups, and rows are written in the tick's own commit: no change is ever there twice. Alerts that no rule made have
//! rows of the same kind, written by the notifications with the alert itself.

use std::collections::BTreeMap;

use alerting::rule::{Reason, Transition, TransitionState};
use bytes::Bytes;
use model::{Labels, TenantId, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::AppError;
use crate::ports::{Expect, RowKey, RowRange, RowWrite, StateStore, range_all};

const VERSION: u8 = 1;
/// Most bytes of one row; a row of the store may have 400 KB.
const ROW_BYTES_MAX: usize = 200 << 10;
/// Most rows and bytes that one tick writes for all tenants together, so that its commit has room for them; what is
/// over them is dropped from the history, and counted.
const ROWS_MAX: usize = 60;
const BYTES_MAX: usize = 2 << 20;
/// Longest time range of one question, in days.
const DAYS_MAX: i64 = 400;

/// A change as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    /// As text, since JSON has no NaN.
    value: String,
    at: i64,
    active_at: i64,
    from: String,
    to: String,
    reason: String,
}

/// What a tick may still write into the history.
#[derive(Debug)]
pub(super) struct Room {
    rows: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { rows: ROWS_MAX, bytes: BYTES_MAX }
    }
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.rows > 0 && bytes <= self.bytes;
        if fits {
            self.rows -= 1;
            self.bytes -= bytes;
        }
        fits
    }
}

/// The rows for the changes of one tenant, each with the key of its group, and how many changes had no room.
pub(super) fn rows(
    tenant: &TenantId,
    changes: &[(String, Transition)],
    expires: Timestamp,
    room: &mut Room,
) -> Result<(Vec<RowWrite>, usize), AppError> {
    let mut slots: BTreeMap<Timestamp, BTreeMap<&str, Vec<&Transition>>> = BTreeMap::new();
    for (group, change) in changes {
        slots.entry(change.at).or_default().entry(group).or_default().push(change);
    }
    let mut rows = Vec::new();
    let mut dropped = 0;
    for (at, groups) in slots {
        let names: Vec<&str> = groups.keys().copied().collect();
        let changes: Vec<&Transition> = groups.into_values().flatten().collect();
        for (part, (json, count)) in (0..).zip(parts(&changes)?) {
            if room.take(json.len()) {
                let value = [&[VERSION], json.as_bytes()].concat();
                let key = key(tenant, at, &names.join("\n"), part);
                rows.push(RowWrite::put(key, Expect::Any, Bytes::from(value)).expiring(expires));
            } else {
                dropped += count;
            }
        }
    }
    Ok((rows, dropped))
}

/// The rows for changes of one alert that no tick made.
pub(crate) fn rows_of_alert(
    tenant: &TenantId,
    changes: &[(String, Transition)],
    expires: Timestamp,
) -> Result<Vec<RowWrite>, AppError> {
    rows(tenant, changes, expires, &mut Room::default()).map(|(rows, _)| rows)
}

/// JSON arrays that fit into a row, each with its number of changes.
fn parts(changes: &[&Transition]) -> Result<Vec<(String, usize)>, AppError> {
    let mut parts: Vec<(String, usize)> = Vec::new();
    for change in changes {
        let text = serde_json::to_string(&Stored::of(change)).map_err(|error| AppError::Bug(error.to_string()))?;
        match parts.last_mut() {
            Some((json, count)) if json.len() + text.len() + 2 <= ROW_BYTES_MAX => {
                json.push(',');
                json.push_str(&text);
                *count += 1;
            }
            _ => parts.push((format!("[{text}"), 1)),
        }
    }
    parts.iter_mut().for_each(|(json, _)| json.push(']'));
    Ok(parts)
}

fn key(tenant: &TenantId, at: Timestamp, groups: &str, part: u32) -> RowKey {
    let sort = format!("{}#{:016x}#{part:04}", time_key(at), xxh3_64(groups.as_bytes()));
    RowKey::new(partition(tenant, day(at)), sort)
}

/// Days since the epoch.
fn day(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(86_400_000)
}

fn partition(tenant: &TenantId, day: i64) -> String {
    let date = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day));
    format!("h#{tenant}#{date}")
}

fn time_key(at: Timestamp) -> String {
    format!("{:014}", at.as_millis().max(0))
}

/// The changes within a time range, oldest first; of a range longer than about a year its last year.
pub(crate) async fn read(
    state: &dyn StateStore,
    tenant: &TenantId,
    range: TimeRange,
    now: Timestamp,
) -> Result<Vec<Transition>, AppError> {
    let last_day = day(range.end.min(now));
    let first_day = day(range.start.max(Timestamp::from_millis(0))).max(last_day.saturating_sub(DAYS_MAX));
    let mut changes = Vec::new();
    for day in first_day..=last_day {
        // A slot is never later than a day is long: the sort key ends the search on both sides.
        let end = format!("{}~", time_key(range.end.min(now)));
        let rows = RowRange::between(partition(tenant, day), time_key(range.start), end);
        for row in range_all(state, rows, now).await? {
            changes.extend(decode(&row.value)?);
        }
    }
    changes.retain(|change| range.contains(change.at));
    changes.sort_by_key(|change| change.at);
    Ok(changes)
}

fn decode(value: &[u8]) -> Result<Vec<Transition>, AppError> {
    let corrupt = |reason: String| AppError::Corrupt(format!("alert history: {reason}"));
    match value.split_first() {
        Some((&VERSION, json)) => {
            let stored: Vec<Stored> = serde_json::from_slice(json).map_err(|error| corrupt(error.to_string()))?;
            stored.into_iter().map(|change| change.read().ok_or_else(|| corrupt("malformed change".into()))).collect()
        }
        Some((version, _)) => Err(corrupt(format!("format version {version}, this program knows {VERSION}"))),
        None => Err(corrupt("empty row".to_owned())),
    }
}

impl Stored {
    fn of(change: &Transition) -> Self {
        Self {
            labels: change.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            annotations: change.annotations.clone(),
            value: change.value.to_string(),
            at: change.at.as_millis(),
            active_at: change.active_at.as_millis(),
            from: change.from.as_str().to_owned(),
            to: change.to.as_str().to_owned(),
            reason: change.reason.as_str().to_owned(),
        }
    }

    fn read(self) -> Option<Transition> {
        let labels = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Some(Transition {
            labels: Labels::from_pairs(labels).ok()?,
            annotations: self.annotations,
            value: self.value.parse().ok()?,
            at: Timestamp::from_millis(self.at),
            active_at: Timestamp::from_millis(self.active_at),
            from: TransitionState::parse(&self.from)?,
            to: TransitionState::parse(&self.to)?,
            reason: Reason::parse(&self.reason)?,
        })
    }
}

//! What people and clocks did about alerts, for their history: one row an act, kept for a year.
//!
//! Partition `h#<tenant>#<yyyy-mm-dd>` (UTC), as the changes of alerts, behind which they sort: sort key
//! `o#<milliseconds, 14 digits>#<hash>`; value: a format version byte and JSON.

use std::collections::BTreeMap;

use alerting::Fingerprint;
use alerting::notify::{Held, Silence};
use alerting::oncall::Record;
use model::{TenantId, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::history::{KEPT, days, partition};
use crate::ports::{Expect, RowKey, RowRange, RowWrite, range_all};
use crate::{App, AppError};

const VERSION: u8 = 1;

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// What.
    pub kind: ActKind,
    /// The alert's fingerprint; empty for a silence.
    pub fingerprint: String,
    /// The alert's labels; empty for a silence.
    pub labels: BTreeMap<String, String>,
    /// Who; empty where a clock did it.
    pub by: String,
    /// What else there is to say: to whom, which tier, what is silenced.
    pub note: String,
    /// How long nobody had answered, in milliseconds, where somebody answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after_ms: Option<i64>,
    /// Where a tier was called, its place in the policy, the first one being 0.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tier: Option<usize>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActKind {
    /// Somebody took an alert on.
    Acknowledged,
    /// An alert was given to somebody.
    Assigned,
    /// Somebody wanted the next tier.
    Escalated,
    /// Nobody answered in the time that is promised.
    Breached,
    /// A tier's time came.
    Called,
    /// A silence was made or changed.
    Silenced,
    /// A silence was ended.
    Unsilenced,
}

impl ActKind {
    /// The word for it in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Assigned => "assigned",
            Self::Escalated => "escalated",
            Self::Breached => "breached",
            Self::Called => "called",
            Self::Silenced => "silenced",
            Self::Unsilenced => "unsilenced",
        }
    }
}

impl Act {
    /// The acts of an escalation's step.
    pub(super) fn of(record: &Record, alerts: &BTreeMap<Fingerprint, Held>, now: Timestamp) -> Self {
        let millis = |after: std::time::Duration| i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        let (alert, kind, by, note, after_ms) = match record {
            Record::Acknowledged { alert, by, after } => {
                (alert, ActKind::Acknowledged, by.as_str(), String::new(), Some(millis(*after)))
            }
            Record::Assigned { alert, to, by } => (alert, ActKind::Assigned, by.as_str(), to.clone(), None),
            Record::Escalated { alert, by } => (alert, ActKind::Escalated, by.as_str(), String::new(), None),
            Record::Breached { alert, promised } => {
                let note = format!("promised within {}", model::duration::format(*promised));
                (alert, ActKind::Breached, "", note, Some(millis(*promised)))
            }
            Record::Called { alert, tier, targets } => {
                (alert, ActKind::Called, "", format!("tier {}: {targets} called", tier + 1), None)
            }
        };
        let tier = if let Record::Called { tier, .. } = record { Some(*tier) } else { None };
        let labels = alerts.get(alert).map(|held| &held.alert.labels);
        let labels = labels.into_iter().flat_map(model::Labels::iter);
        Self {
            at_ms: now.as_millis(),
            kind,
            fingerprint: alert.to_string(),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            by: by.to_owned(),
            note,
            after_ms,
            tier,
        }
    }

    /// The act of making or ending a silence.
    pub(super) fn of_silence(kind: ActKind, silence: &Silence, by: &str, now: Timestamp) -> Self {
        let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
        Self {
            at_ms: now.as_millis(),
            kind,
            fingerprint: String::new(),
            labels: BTreeMap::new(),
            by: by.to_owned(),
            note: format!("{} {{{}}} {}", silence.id, matchers.join(", "), silence.comment),
            after_ms: None,
            tier: None,
        }
    }

    /// Its row; the same act at the same time is the same row.
    pub(super) fn row(&self, tenant: &TenantId) -> RowWrite {
        let mut value = vec![VERSION];
        serde_json::to_writer(&mut value, self).expect("texts and numbers become JSON");
        let at = Timestamp::from_millis(self.at_ms);
        let sort = format!("{}#{:016x}", place(at), xxh3_64(&value));
        RowWrite::put(RowKey::new(partition(tenant, super::history::day(at)), sort), Expect::Any, value)
            .expiring(at + KEPT)
    }
}

/// What was done about alerts of a tenant within a time range, oldest first; of a range longer than about a year its
/// last year.
///
/// # Errors
/// When it cannot be read.
pub async fn acts(app: &App, tenant: &TenantId, range: TimeRange, now: Timestamp) -> Result<Vec<Act>, AppError> {
    let mut found = Vec::new();
    for day in days(range, now) {
        let rows = RowRange::between(partition(tenant, day), place(range.start), format!("{}~", place(range.end)));
        for row in range_all(app.ports.state.as_ref(), rows, now).await? {
            let act = match row.value.split_first() {
                Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|error| error.to_string()),
                Some(_) | None => Err("unknown format version".to_owned()),
            };
            found.push(act.map_err(|reason| AppError::Corrupt(format!("history of acts: {reason}")))?);
        }
    }
    Ok(found)
}

fn place(time: Timestamp) -> String {
    format!("o#{:014}", time.as_millis().max(0))
}

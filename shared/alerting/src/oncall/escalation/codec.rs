//! An escalation as it is stored: a format version byte and JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Answer, Cause, Clock, Escalation, EscalationError, EscalationKey, Page, PageTarget, Try, Watched};
use crate::Fingerprint;

const VERSION: u8 = 1;

/// Times are milliseconds since the epoch, alerts their fingerprints in hexadecimal.
#[derive(Serialize, Deserialize)]
struct Stored {
    key: EscalationKey,
    born_at: i64,
    alerts: BTreeMap<String, StoredAlert>,
    pages: Vec<StoredPage>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    called: BTreeSet<PageTarget>,
    sequence: u64,
    tidy_at: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredAlert {
    starts_at: i64,
    /// Where the clock runs: since when.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    since: Option<i64>,
    /// Where it stands still: what it shows, and when to look again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    paused: Option<(u64, i64)>,
    tiers_called: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    breached: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    answer: Option<(String, i64)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    assigned_to: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredPage {
    sequence: u64,
    cause: Cause,
    decided_at: i64,
    alerts: BTreeSet<String>,
    tries: Vec<Try>,
}

impl Escalation {
    /// Writes it for a row.
    pub fn encode(&self) -> Vec<u8> {
        let stored = Stored {
            key: self.key.clone(),
            born_at: self.born_at.as_millis(),
            alerts: self.alerts.iter().map(|(alert, watched)| (alert.to_string(), StoredAlert::of(watched))).collect(),
            pages: self.pages.iter().map(StoredPage::of).collect(),
            called: self.called.clone(),
            sequence: self.sequence,
            tidy_at: self.tidy_at.as_millis(),
        };
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, &stored).expect("texts and numbers become JSON");
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, EscalationError> {
        let bad = |reason: &str| EscalationError::Unreadable(reason.to_owned());
        let Some((&VERSION, json)) = bytes.split_first() else { return Err(bad("unknown format version")) };
        let stored: Stored = serde_json::from_slice(json).map_err(|error| bad(&error.to_string()))?;
        let alerts = stored.alerts.into_iter().map(|(alert, watched)| Some((fingerprint(&alert)?, watched.read()?)));
        let pages = stored.pages.into_iter().map(StoredPage::read);
        Ok(Self {
            key: stored.key,
            born_at: Timestamp::from_millis(stored.born_at),
            alerts: alerts.collect::<Option<_>>().ok_or_else(|| bad("malformed alert"))?,
            pages: pages.collect::<Option<_>>().ok_or_else(|| bad("malformed page"))?,
            called: stored.called,
            sequence: stored.sequence,
            tidy_at: Timestamp::from_millis(stored.tidy_at),
        })
    }
}

impl StoredAlert {
    fn of(watched: &Watched) -> Self {
        let (since, paused) = match watched.clock {
            Clock::Running { since } => (Some(since.as_millis()), None),
            Clock::Paused { elapsed, look_at } => {
                (None, Some((u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), look_at.as_millis())))
            }
        };
        Self {
            starts_at: watched.starts_at.as_millis(),
            since,
            paused,
            tiers_called: watched.tiers_called,
            breached: watched.is_breached,
            answer: watched.answer.as_ref().map(|answer| (answer.by.clone(), answer.at.as_millis())),
            assigned_to: watched.assigned_to.clone(),
        }
    }

    fn read(self) -> Option<Watched> {
        let clock = match (self.since, self.paused) {
            (Some(since), None) => Clock::Running { since: Timestamp::from_millis(since) },
            (None, Some((elapsed, look_at))) => {
                Clock::Paused { elapsed: Duration::from_millis(elapsed), look_at: Timestamp::from_millis(look_at) }
            }
            _ => return None,
        };
        Some(Watched {
            starts_at: Timestamp::from_millis(self.starts_at),
            clock,
            tiers_called: self.tiers_called,
            is_breached: self.breached,
            answer: self.answer.map(|(by, at)| Answer { by, at: Timestamp::from_millis(at) }),
            assigned_to: self.assigned_to,
        })
    }
}

impl StoredPage {
    fn of(page: &Page) -> Self {
        Self {
            sequence: page.sequence,
            cause: page.cause.clone(),
            decided_at: page.decided_at.as_millis(),
            alerts: page.alerts.iter().map(ToString::to_string).collect(),
            tries: page.tries.clone(),
        }
    }

    fn read(self) -> Option<Page> {
        Some(Page {
            sequence: self.sequence,
            cause: self.cause,
            decided_at: Timestamp::from_millis(self.decided_at),
            alerts: self.alerts.iter().map(|alert| fingerprint(alert)).collect::<Option<_>>()?,
            tries: self.tries,
        })
    }
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Fingerprint)).flatten()
}

//! Alerts that somebody must answer, the clocks that run until somebody does, and who is called meanwhile.
//!
//! Alerts of one team, severity and name share an [`Escalation`], so that many at once are one call. Each has a clock of
//! its own, which stands still while the alert is muted. Calls are decided in [`step()`], stand in the state before they
//! are made, and leave it when they were: a crash in between leads to the same call under the same idempotency key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::Policy;
use crate::Fingerprint;
use crate::notify::{Failure, hash};

mod codec;
mod step;

pub use step::step;

/// Most alerts of one escalation, so that its row stays under the limit of a row.
const ALERTS_MAX: usize = 2000;
/// How often a muted alert is looked at, or whether an incident is over, and how long a call may be under way before it
/// counts as crashed.
const AGAIN: Duration = Duration::from_secs(60);

/// What makes an escalation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EscalationKey {
    /// Whose alerts they are.
    pub team: String,
    /// How severe they are.
    pub severity: String,
    /// The rule's name.
    pub name: String,
}

impl EscalationKey {
    /// A short name for rows: a hash.
    pub fn id(&self) -> String {
        hash(&[&self.team, &self.severity, &self.name])
    }
}

/// Alerts of one team, severity and name, and the calls about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// What makes it.
    pub key: EscalationKey,
    /// When it was first made; with the sequence number it names a call for good.
    pub born_at: Timestamp,
    /// The alerts that fire, as far as it knows.
    pub alerts: BTreeMap<Fingerprint, Watched>,
    /// Calls that are not made yet.
    pub pages: Vec<Page>,
    /// The contacts that were reached about its alerts, and the services that may have an incident open, to be told when
    /// somebody else answers; services also when all is over.
    pub called: BTreeSet<PageTarget>,
    /// The number of the last page; never goes back.
    pub sequence: u64,
    /// When it lets go of what has ended, should nothing be due before.
    pub tidy_at: Timestamp,
}

/// An alert that somebody must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Since when it fires; a later start is another occurrence.
    pub starts_at: Timestamp,
    /// How long nobody answered.
    pub clock: Clock,
    /// How many tiers were called.
    pub tiers_called: usize,
    /// Whether the promise is broken.
    pub is_breached: bool,
    /// Who answered.
    pub answer: Option<Answer>,
    /// Whose it is, by short name.
    pub assigned_to: Option<String>,
}

/// Time without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// It runs.
    Running {
        /// When it would have started if it had never stood still.
        since: Timestamp,
    },
    /// It stands still: the alert is new, or muted.
    Paused {
        /// What it shows.
        elapsed: Duration,
        /// When to look again.
        look_at: Timestamp,
    },
}

/// Somebody took an alert on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who: a token's name, a person's short name, a user of Slack.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Why people are called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A tier's time has come; its place in the policy.
    Tier(usize),
    /// Somebody wants the next tier now; its place.
    Escalated(usize),
    /// The alerts were given to somebody.
    Assigned,
    /// Somebody answered; the others who were called need not.
    Acknowledged {
        /// Who.
        by: String,
    },
    /// All of it has ended; services that were called close their incidents.
    Ended,
}

impl Cause {
    /// Whether somebody is to do something, rather than to learn that they need not.
    const fn is_call(&self) -> bool {
        match self {
            Self::Tier(_) | Self::Escalated(_) | Self::Assigned => true,
            Self::Acknowledged { .. } | Self::Ended => false,
        }
    }
}

/// One call to some people about some alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Which page of the escalation.
    pub sequence: u64,
    /// Why.
    pub cause: Cause,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// About what.
    pub alerts: BTreeSet<Fingerprint>,
    /// Whom, and how far that is.
    pub tries: Vec<Try>,
}

/// One call of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Try {
    /// Whom.
    pub target: PageTarget,
    /// How often it was tried, the try that may be under way included.
    pub count: u32,
    /// Not before this time, in milliseconds since the epoch.
    pub next_ms: i64,
}

/// Whom a page calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageTarget {
    /// A person, by one of their contacts.
    Contact {
        /// The short name.
        person: String,
        /// The contact's place in their list.
        index: usize,
    },
    /// A receiver of the Alertmanager configuration, by one of its integrations.
    Receiver {
        /// Its name.
        name: String,
        /// [`crate::notify::Integration::key`].
        integration: String,
    },
}

/// What happens to an escalation.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// An alert fires.
    Fires {
        /// Which.
        alert: Fingerprint,
        /// Since when.
        starts_at: Timestamp,
    },
    /// Somebody takes alerts on.
    Acknowledged {
        /// Which.
        alerts: &'a BTreeSet<Fingerprint>,
        /// Who.
        by: &'a str,
    },
    /// Alerts are given to a person, who is called.
    Assigned {
        /// Which.
        alerts: &'a BTreeSet<Fingerprint>,
        /// To whom, by short name.
        to: &'a str,
        /// By whom.
        by: &'a str,
    },
    /// Somebody wants the next tier called now, and clocks to run on.
    Escalated {
        /// Which alerts.
        alerts: &'a BTreeSet<Fingerprint>,
        /// Who.
        by: &'a str,
    },
    /// Its time has come.
    Look {
        /// All alerts that fire.
        firing: &'a BTreeSet<Fingerprint>,
        /// Those of them that a person or another alert mutes.
        muted: &'a BTreeSet<Fingerprint>,
    },
    /// What came of a call.
    Called {
        /// Which page.
        sequence: u64,
        /// Whom.
        target: &'a PageTarget,
        /// How it failed, if it did.
        result: &'a Result<(), Failure>,
    },
}

/// What happened to an alert, for the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Somebody answered.
    Acknowledged {
        /// Which alert.
        alert: Fingerprint,
        /// Who.
        by: String,
        /// How long it took, without the time the alert was muted.
        after: Duration,
    },
    /// It was given to somebody.
    Assigned {
        /// Which alert.
        alert: Fingerprint,
        /// To whom.
        to: String,
        /// By whom.
        by: String,
    },
    /// Somebody asked for the next tier.
    Escalated {
        /// Which alert.
        alert: Fingerprint,
        /// Who.
        by: String,
    },
    /// Nobody answered in the time that is promised.
    Breached {
        /// Which alert.
        alert: Fingerprint,
        /// The promise.
        promised: Duration,
    },
    /// A tier's time came.
    Called {
        /// Which alert.
        alert: Fingerprint,
        /// The tier's place in the policy.
        tier: usize,
        /// How many were called; none when no one has the duty.
        targets: usize,
    },
}

/// What an event comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The escalation as it must be stored before anybody is called.
    pub escalation: Escalation,
    /// Whom to call now: pages by sequence, with those of their targets whose turn it is.
    pub calls: Vec<(u64, PageTarget)>,
    /// For the history.
    pub records: Vec<Record>,
}

/// Why an event is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EscalationError {
    /// There is nobody else to call.
    #[error("every tier was called already")]
    NoFurtherTier,
    /// The person is none of the file's.
    #[error("there is no person {0:?}")]
    NobodyOfThatName(String),
    /// There is no room for another alert.
    #[error("the escalation has {ALERTS_MAX} alerts already")]
    Full,
    /// Its row is unreadable.
    #[error("unreadable: {0}")]
    Unreadable(String),
}

impl Escalation {
    /// One without alerts.
    pub const fn new(key: EscalationKey, now: Timestamp) -> Self {
        Self {
            key,
            born_at: now,
            alerts: BTreeMap::new(),
            pages: Vec::new(),
            called: BTreeSet::new(),
            sequence: 0,
            tidy_at: now,
        }
    }

    /// Whether it knows of this occurrence of an alert.
    pub fn watches(&self, alert: Fingerprint, starts_at: Timestamp) -> bool {
        self.alerts.get(&alert).is_some_and(|watched| starts_at <= watched.starts_at)
    }

    /// When it has something to do; `None` when it can be forgotten.
    pub fn due_at(&self, policy: &Policy) -> Option<Timestamp> {
        let calls = self.pages.iter().flat_map(|page| &page.tries).map(|call| Timestamp::from_millis(call.next_ms));
        let alerts = self.alerts.values().filter_map(|watched| watched.due_at(policy));
        let tidy = (!self.alerts.is_empty() || !self.pages.is_empty()).then_some(self.tidy_at);
        calls.chain(alerts).chain(tidy).min()
    }

    /// The alerts that stand in the digest: nobody answered for so long.
    pub fn overdue(&self, policy: &Policy, now: Timestamp) -> BTreeSet<Fingerprint> {
        let Some(after) = policy.digest_after else { return BTreeSet::new() };
        let is_overdue = |watched: &Watched| watched.answer.is_none() && watched.clock.elapsed(now) >= after;
        self.alerts.iter().filter(|(_, watched)| is_overdue(watched)).map(|(alert, _)| *alert).collect()
    }

    /// The key that is the same for every try of one call, and never again for another one.
    pub fn idempotency_key(&self, tenant: &str, sequence: u64, target: &PageTarget) -> String {
        let born_at = self.born_at.as_millis().to_string();
        hash(&[tenant, &self.key.id(), &born_at, &sequence.to_string(), &target.text()])
    }

    /// The page of a number, while it is not done.
    pub fn page(&self, sequence: u64) -> Option<&Page> {
        self.pages.iter().find(|page| page.sequence == sequence)
    }
}

impl PageTarget {
    /// For logs and keys: `aiko/0`, `receiver critical/email/0`.
    pub fn text(&self) -> String {
        match self {
            Self::Contact { person, index } => format!("{person}/{index}"),
            Self::Receiver { name, integration } => format!("receiver {name}/{integration}"),
        }
    }
}

impl Clock {
    /// How long nobody answered.
    pub fn elapsed(self, now: Timestamp) -> Duration {
        match self {
            Self::Running { since } => {
                Duration::from_millis(u64::try_from(now.as_millis().saturating_sub(since.as_millis())).unwrap_or(0))
            }
            Self::Paused { elapsed, .. } => elapsed,
        }
    }

    /// After a look at the alert: it stands still while the alert is muted.
    fn looked(self, is_muted: bool, now: Timestamp) -> Self {
        match self {
            Self::Paused { look_at, .. } if look_at > now => self,
            _ if is_muted => Self::Paused { elapsed: self.elapsed(now), look_at: now + AGAIN },
            Self::Running { .. } => self,
            Self::Paused { elapsed, .. } => Self::Running { since: now - elapsed },
        }
    }
}

impl Watched {
    const fn new(starts_at: Timestamp, look_at: Timestamp) -> Self {
        let clock = Clock::Paused { elapsed: Duration::ZERO, look_at };
        Self { starts_at, clock, tiers_called: 0, is_breached: false, answer: None, assigned_to: None }
    }

    fn due_at(&self, policy: &Policy) -> Option<Timestamp> {
        if self.answer.is_some() {
            return None;
        }
        let since = match self.clock {
            Clock::Paused { look_at, .. } => return Some(look_at),
            Clock::Running { since } => since,
        };
        let tier = policy.tiers.get(self.tiers_called).map(|tier| tier.after);
        let promise = policy.respond_within.filter(|_| !self.is_breached);
        tier.into_iter().chain(promise).min().map(|after| since + after)
    }
}

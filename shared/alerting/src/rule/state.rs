//! What is remembered from one evaluation to the next.

use std::collections::{BTreeMap, BTreeSet};

use model::{ErrorKind, Labels, Timestamp};

use super::evidence::Window;

/// The state of a group: of each rule by its identity.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupState {
    /// The newest slot that was evaluated; `None` before the first one.
    pub slot: Option<Timestamp>,
    /// The rules that have run, those that have left the file since included, until all they said is taken back.
    pub rules: BTreeMap<String, RuleState>,
}

/// The state of one rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleState {
    /// The expression of the last evaluation, for the links of alerts; empty without alerts, so that a rule at rest is
    /// small.
    pub expr: String,
    /// The alerts, by their labels.
    pub active: BTreeMap<Labels, Active>,
    /// Alerts that were announced and then given up.
    pub withdrawn: BTreeMap<Labels, Withdrawn>,
    /// What the newest evaluations gave for every series with data of late, by the labels that the rule does not set;
    /// none unless the rule says what missing data mean.
    pub windows: BTreeMap<Labels, Window>,
    /// The series that the last evaluation wrote.
    pub series: BTreeSet<Labels>,
    /// How the last evaluation went; `None` before the first one.
    pub last_run: Option<LastRun>,
}

/// One alert of a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// Text for people, as of the last time the condition held.
    pub annotations: BTreeMap<String, String>,
    /// The expression's value, as of the last time the condition held.
    pub value: f64,
    /// Since when the condition holds.
    pub active_at: Timestamp,
    /// At which of the newest evaluations the condition held, the newest one in the lowest bit; 0 unless the rule counts
    /// them ([`super::Datapoints`]).
    pub history: u64,
    /// Where it stands.
    pub phase: Phase,
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// True, waiting for `for`.
    Pending,
    /// True long enough.
    Firing {
        /// Since when.
        since: Timestamp,
        /// When it was last sent.
        last_sent: Option<Timestamp>,
        /// Since when it is kept firing although the condition ended (`keep_firing_for`).
        kept_since: Option<Timestamp>,
        /// Since when there are no data to say whether it still holds (`mihari/missing: unknown`).
        unknown_since: Option<Timestamp>,
    },
    /// No longer true; kept for a while so that nobody misses it.
    Resolved {
        /// Since when it had been firing.
        since: Timestamp,
        /// Since when it is over.
        at: Timestamp,
        /// When it was last sent, firing or resolved.
        last_sent: Option<Timestamp>,
    },
}

/// An alert that was announced and then given up without having ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Withdrawn {
    /// Text for people, as it was announced.
    pub annotations: BTreeMap<String, String>,
    /// Since when it had been firing.
    pub since: Timestamp,
    /// When it was given up.
    pub at: Timestamp,
    /// When its end was last sent.
    pub last_sent: Option<Timestamp>,
}

/// How an evaluation went.
#[derive(Clone, Debug, PartialEq)]
pub struct LastRun {
    /// The slot.
    pub at: Timestamp,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// How long it took, in seconds.
    pub duration_seconds: f64,
}

/// A stored state that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Written by another version of this format.
    #[error("state of a rule group has format version {found}, this program knows {known}")]
    Version {
        /// The version found.
        found: u8,
        /// The version this program writes.
        known: u8,
    },
    /// Bytes that no program of ours wrote.
    #[error("malformed state of a rule group")]
    Malformed,
}

impl StateError {
    /// What the failure asks of the caller.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

impl GroupState {
    /// Whether nothing needs to be remembered any more once the group itself is gone.
    pub fn is_settled(&self) -> bool {
        self.rules.is_empty()
    }
}

impl RuleState {
    /// Whether all that the rule ever said has been taken back.
    pub fn is_settled(&self) -> bool {
        self.active.is_empty() && self.withdrawn.is_empty() && self.series.is_empty()
    }

    /// The state with no time after `now`: where the clock went back, what it said before counts as just now.
    #[must_use]
    pub(crate) fn until(mut self, now: Timestamp) -> Self {
        let clamp = |time: &mut Timestamp| *time = now.min(*time);
        for active in self.active.values_mut() {
            clamp(&mut active.active_at);
            match &mut active.phase {
                Phase::Pending => {}
                Phase::Firing { since, last_sent, kept_since, unknown_since } => {
                    clamp(since);
                    last_sent.iter_mut().chain(kept_since).chain(unknown_since).for_each(clamp);
                }
                Phase::Resolved { since, at, last_sent } => {
                    [since, at].into_iter().chain(last_sent).for_each(clamp);
                }
            }
        }
        for withdrawn in self.withdrawn.values_mut() {
            [&mut withdrawn.since, &mut withdrawn.at].into_iter().chain(&mut withdrawn.last_sent).for_each(clamp);
        }
        self
    }

    /// The alerts that hold: pending and firing ones.
    pub fn holding(&self) -> impl Iterator<Item = (&Labels, &Active)> {
        self.active.iter().filter(|(_, alert)| alert.phase.holds())
    }
}

impl Phase {
    /// Whether the alert is pending or firing.
    pub const fn holds(self) -> bool {
        match self {
            Self::Pending | Self::Firing { .. } => true,
            Self::Resolved { .. } => false,
        }
    }
}

//! Changes of alerts and why they come about.

use std::collections::BTreeMap;

use model::{Labels, Timestamp};

/// One change of an alert's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The alert.
    pub labels: Labels,
    /// Text for people.
    pub annotations: BTreeMap<String, String>,
    /// The expression's value, as of the last time the condition held.
    pub value: f64,
    /// When: the slot of the evaluation.
    pub at: Timestamp,
    /// Since when the condition held.
    pub active_at: Timestamp,
    /// The state before.
    pub from: TransitionState,
    /// The state from now on.
    pub to: TransitionState,
    /// Why.
    pub reason: Reason,
}

/// The states between which an alert moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransitionState {
    /// Not true.
    Inactive,
    /// True, waiting.
    Pending,
    /// True long enough.
    Firing,
    /// No longer true, after it fired.
    Resolved,
}

impl TransitionState {
    const ALL: [Self; 4] = [Self::Inactive, Self::Pending, Self::Firing, Self::Resolved];

    /// The state with that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// The state's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Resolved => "resolved",
        }
    }
}

/// Why an alert changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The condition holds.
    Holds,
    /// The condition has held as long as `for` asks.
    HeldLongEnough,
    /// The condition no longer holds; whether there are still data was not asked.
    Ended,
    /// There are data, and the condition no longer holds for them.
    Recovered,
    /// There are no data any more.
    Vanished,
    /// There are no data, and the rule takes that for a breach or cannot say.
    Missing,
    /// There are data again, and the condition holds.
    Returned,
    /// The condition ended before `for` had passed.
    EndedWhilePending,
    /// `for` became longer than the condition has held.
    ForBecameLonger,
    /// The group's limit was exceeded: all alerts of the rule are given up.
    LimitExceeded,
    /// The rule left the configuration.
    RuleRemoved,
}

impl Reason {
    const ALL: [Self; 11] = [
        Self::Holds,
        Self::HeldLongEnough,
        Self::Ended,
        Self::Recovered,
        Self::Vanished,
        Self::Missing,
        Self::Returned,
        Self::EndedWhilePending,
        Self::ForBecameLonger,
        Self::LimitExceeded,
        Self::RuleRemoved,
    ];

    /// The reason with those words.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "condition holds",
            Self::HeldLongEnough => "condition held long enough",
            Self::Ended => "condition ended",
            Self::Recovered => "recovered",
            Self::Vanished => "data vanished",
            Self::Missing => "data are missing",
            Self::Returned => "data came back",
            Self::EndedWhilePending => "condition ended while pending",
            Self::ForBecameLonger => "rule waits longer than before",
            Self::LimitExceeded => "limit of the group exceeded",
            Self::RuleRemoved => "rule removed",
        }
    }
}

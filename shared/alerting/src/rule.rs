//! Rule files, and one evaluation of a rule.
//!
//! Read [`RuleGroup`] (what [`parse`] reads from a file), then [`step()`]: it takes a rule, the [`RuleState`] of the last
//! evaluation and what the expression gave, and returns an [`Outcome`]: the next state, the samples to write, the
//! alerts to send and the transitions for the history. The states of a group lie in one [`GroupState`].
//!
//! The state machine is that of Prometheus (`rules/alerting.go`). It differs where nobody else would end an alert: a
//! receiver of ours never ends an alert by itself, so an alert that was announced and is given up (its rule is gone,
//! the group's limit was exceeded, `for` became longer) is *withdrawn*: announced as resolved, again and again.

mod codec;
mod evidence;
mod file;
mod state;
mod step;
mod tell;
mod transition;
mod vector;

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Labels, Timestamp};

use crate::template::Template;

pub use evidence::{Missing, Window};
pub use file::{CheckExpr, UnknownFields, parse, parse_with};
pub use state::{Active, GroupState, LastRun, Phase, RuleState, StateError, Withdrawn};
pub use step::{Moment, Outcome, RESOLVED_ANNOTATION, STATE_ANNOTATION, retire, step};
pub use transition::{Reason, Transition, TransitionState};
pub use vector::{RuleResult, RuleVector};

/// The interval of a group that names none.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// The annotation with an expression: an alert fires on the rule's own and resolves only when this one gives a series of
/// the same labels, those that the rule sets left aside. It does not become an annotation of the alert.
pub const RECOVER_ANNOTATION: &str = "mihari/recover_expr";

/// The label with the rule's name, on every alert.
pub const ALERT_NAME: &str = "alertname";

/// Rules that run one after the other at the same times.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleGroup {
    /// The file it stands in.
    pub file: String,
    /// Its name, unique in the file.
    pub name: String,
    /// From one evaluation to the next.
    pub interval: Duration,
    /// How far back the rules look from the time they run; the deployment's setting when there is none.
    pub query_offset: Option<Duration>,
    /// Most alerts or series that one rule may give.
    pub limit: Option<usize>,
    /// In the order they run.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The alert's name, or the metric name of the recorded series.
    pub name: String,
    /// What it asks, in the query language.
    pub expr: String,
    /// Labels it sets, the group's included; an empty one removes. Templates only in alert rules.
    pub labels: BTreeMap<String, Template>,
    /// What it does with the answer.
    pub kind: RuleKind,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq)]
pub enum RuleKind {
    /// Stores the answer as new series.
    Recording,
    /// Raises an alert for each series of the answer.
    Alerting {
        /// How long an alert is pending before it fires (`for`).
        hold: Duration,
        /// How long it goes on firing after the condition ended.
        keep_firing_for: Duration,
        /// Text for people.
        annotations: BTreeMap<String, Template>,
        /// How many of the newest evaluations must hold; the newest one alone when there is none.
        datapoints: Option<Datapoints>,
        /// What it means that there are no data; the same as that the condition does not hold when it says nothing.
        missing: Option<Missing>,
        /// An expression that must give an alert's labels before it resolves ([`RECOVER_ANNOTATION`]).
        recover_expr: Option<String>,
    },
}

/// `mihari/datapoints: "3/5"`: the alert holds while the condition held at three of the newest five evaluations.
///
/// An annotation, so that every reader of rule files accepts it; it does not become one of the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datapoints {
    /// So many evaluations must hold: at least 1.
    pub least: u32,
    /// Of so many: at most 64.
    pub of: u32,
}

impl Datapoints {
    /// The annotation that asks for it.
    pub const ANNOTATION: &str = "mihari/datapoints";

    /// Reads `M/N`.
    ///
    /// # Errors
    /// When the text is none, or not 1 <= M <= N <= 64.
    pub fn parse(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once('/')
            .and_then(|(least, of)| Some(Self { least: least.trim().parse().ok()?, of: of.trim().parse().ok()? }));
        let fits = |points: &Self| 1 <= points.least && points.least <= points.of && points.of <= u64::BITS;
        numbers
            .filter(fits)
            .ok_or_else(|| format!("{text:?} is not M/N such as 3/5, with 1 <= M <= N <= {}", u64::BITS))
    }

    /// The newest evaluations, one bit each, the newest one lowest, once one more has come.
    const fn after(self, history: u64, held: bool) -> u64 {
        ((history << 1) | held as u64) & (u64::MAX >> (u64::BITS - self.of))
    }

    const fn is_enough(self, history: u64) -> bool {
        history.count_ones() >= self.least
    }
}

/// A value as Prometheus's API prints the value of an alert: `9.5e+01`.
pub fn format_value(value: f64) -> String {
    crate::template::exponential(value, None, 'e')
}

impl RuleGroup {
    /// Names the group among all groups of a tenant.
    pub fn key(&self) -> String {
        format!("{};{}", self.file, self.name)
    }

    /// The newest time at or before `now` at which the group runs.
    ///
    /// Groups of longer intervals are spread over whole minutes by a hash of their key, so that they do not all run in
    /// the same minute; a finer spread would only delay them, since the tick comes once a minute.
    pub fn slot(&self, now: Timestamp) -> Timestamp {
        let interval = self.interval.max(Duration::from_millis(1));
        let minutes = interval.as_secs() / 60;
        let offset = Duration::from_secs(crate::alert::fnv(self.key().bytes()).checked_rem(minutes).unwrap_or(0) * 60);
        (now - offset).align_down(interval) + offset
    }

    /// The identity of each rule, in order: see [`Rule::identity`]; rules that share one are told apart by number.
    pub fn identities(&self) -> Vec<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut number = |rule: &Rule| {
            let identity = rule.identity();
            let count = seen.entry(identity.clone()).or_default();
            *count += 1;
            if *count == 1 { identity } else { format!("{identity} #{count}") }
        };
        self.rules.iter().map(&mut number).collect()
    }
}

impl Rule {
    /// The expression of recovery, if the rule has one ([`RECOVER_ANNOTATION`]).
    pub fn recover_expr(&self) -> Option<&str> {
        match &self.kind {
            RuleKind::Recording => None,
            RuleKind::Alerting { recover_expr, .. } => recover_expr.as_deref(),
        }
    }

    /// What stays the same while a rule is edited: kind, name and labels. A rule with the same identity takes over the
    /// state, whatever else has changed.
    fn identity(&self) -> String {
        let labels = self.labels.iter().map(|(name, value)| (name.as_str(), value.source()));
        let labels = Labels::from_pairs(labels).unwrap_or_default();
        let kind = match self.kind {
            RuleKind::Recording => "record",
            RuleKind::Alerting { .. } => "alert",
        };
        format!("{kind} {}{labels}", self.name)
    }
}

#[cfg(test)]
mod tests;

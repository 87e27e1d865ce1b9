//! One evaluation of a rule, as a pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use model::{Labels, METRIC_NAME, Sample, TimedHistogram, Timestamp};

use super::evidence::{Evidence, Verdict};
use super::state::{Active, LastRun, Phase, RuleState, Withdrawn};
use super::tell::{emit, is_told, mark_vanished, send};
use super::transition::{Reason, Transition, TransitionState};
use super::{ALERT_NAME, Datapoints, Missing, Rule, RuleKind, RuleResult};
use crate::Alert;
use crate::template::{Environment, QueryResult, Template};

/// So many missed evaluations, in time, make an outage: what was pending before cannot be taken to have held all along.
const OUTAGE: Duration = Duration::from_secs(5 * 60);
/// After a longer outage a pending alert starts anew.
const OUTAGE_TOLERANCE: Duration = Duration::from_secs(3600);
/// After an outage a pending alert fires no earlier than this, so that what the outage hid has time to come in.
const FOR_GRACE_PERIOD: Duration = Duration::from_secs(600);

/// What an alert says while nobody knows whether its condition holds.
pub const STATE_ANNOTATION: &str = "mihari/state";
/// Why an alert resolved, where its rule asks to be told.
pub const RESOLVED_ANNOTATION: &str = "mihari/resolved";

/// The circumstances of an evaluation.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The slot: the same for all rules of the group.
    pub slot: Timestamp,
    /// The slot of the evaluation before; `None` for the first one.
    pub last_slot: Option<Timestamp>,
    /// How far before the slot the expression was evaluated.
    pub query_offset: Duration,
    /// From one slot to the next.
    pub interval: Duration,
    /// An alert that goes on firing is sent again after more than this.
    pub resend_delay: Duration,
    /// Most alerts or series that the rule may give, as its group says.
    pub limit: Option<usize>,
    /// Most alerts or series that any rule may give (`Limits::alerts_per_rule_max`).
    pub limit_max: usize,
    /// Where people reach this server.
    pub external_url: &'a str,
    /// Labels of this server, for templates.
    pub external_labels: &'a BTreeMap<String, String>,
    /// What the `query` of a template gives.
    pub query: &'a dyn Fn(&str) -> QueryResult,
    /// What the expression would give if it left out no series for its value: those that there are data of. `None` where
    /// the expression does not let that be told.
    pub known: &'a dyn Fn() -> Option<RuleResult>,
    /// What the rule's `recover_expr` gives.
    pub recovered: &'a dyn Fn() -> RuleResult,
}

/// What an evaluation leads to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What to remember.
    pub state: RuleState,
    /// What to write: recorded series, `ALERTS`, `ALERTS_FOR_STATE`, staleness markers.
    pub samples: Vec<(Labels, Sample)>,
    /// What to write of native histograms: recorded series.
    pub histograms: Vec<(Labels, TimedHistogram)>,
    /// What to send to the notifications.
    pub alerts: Vec<Alert>,
    /// What changed, for the history.
    pub transitions: Vec<Transition>,
    /// Why the evaluation failed, if it did.
    pub error: Option<String>,
}

/// Evaluates a rule at a slot.
///
/// A failed expression changes nothing but the record of the run. An alert rule's `ALERTS` and a recording rule's
/// series that were there after the evaluation before and are no longer get a staleness marker.
pub fn step(rule: &Rule, state: RuleState, result: RuleResult, moment: &Moment<'_>) -> Outcome {
    let state = state.until(moment.slot);
    let before = state.clone();
    let stepped = match &rule.kind {
        RuleKind::Recording => record(rule, state, result, moment),
        RuleKind::Alerting { annotations, .. } => {
            let fresh = fresh_alerts(rule, annotations, result, moment);
            fresh.and_then(|fresh| advance_all(rule, state, fresh, moment))
        }
    };
    let mut outcome =
        stepped.unwrap_or_else(|error| Outcome { state: before.clone(), error: Some(error), ..Outcome::default() });
    if outcome.error.is_none() {
        mark_vanished(&before.series, &mut outcome, moment);
    }
    if outcome.state.active.is_empty() && outcome.state.withdrawn.is_empty() {
        outcome.state.expr.clear();
    } else {
        outcome.state.expr.clone_from(&rule.expr);
    }
    let error = outcome.error.clone();
    outcome.state.last_run = Some(LastRun { at: moment.slot, error, duration_seconds: 0.0 });
    outcome
}

/// Takes back what a rule said that is no longer in the configuration: its series end, its firing alerts resolve and
/// are sent as resolved until everybody must have seen it.
pub fn retire(state: RuleState, moment: &Moment<'_>) -> Outcome {
    let mut outcome = Outcome { state: state.until(moment.slot), ..Outcome::default() };
    let before = std::mem::take(&mut outcome.state.series);
    outcome.state.windows.clear();
    for (labels, alert) in std::mem::take(&mut outcome.state.active) {
        let advance = Advance { labels: &labels, policy: Policy::NONE, moment, evidence: None };
        if let Some(alert) = advance.absent(alert, &mut outcome.transitions) {
            outcome.state.active.insert(labels, alert);
        }
    }
    send(&mut outcome, moment);
    mark_vanished(&before, &mut outcome, moment);
    outcome
}

/// What an alert rule says of the course of its alerts.
#[derive(Clone, Copy)]
pub(super) struct Policy {
    pub(super) hold: Duration,
    pub(super) keep_firing_for: Duration,
    pub(super) datapoints: Option<Datapoints>,
    pub(super) missing: Option<Missing>,
    pub(super) recovers: bool,
}

impl Policy {
    /// For alerts that are given up, whatever the rule said.
    const NONE: Self = Self {
        hold: Duration::ZERO,
        keep_firing_for: Duration::ZERO,
        datapoints: None,
        missing: None,
        recovers: false,
    };

    const fn of(rule: &Rule) -> Self {
        match &rule.kind {
            RuleKind::Recording => Self::NONE,
            RuleKind::Alerting { hold, keep_firing_for, datapoints, missing, recover_expr, .. } => Self {
                hold: *hold,
                keep_firing_for: *keep_firing_for,
                datapoints: *datapoints,
                missing: *missing,
                recovers: recover_expr.is_some(),
            },
        }
    }
}

impl Moment<'_> {
    pub(super) fn sample_time(&self) -> Timestamp {
        self.slot - self.query_offset
    }

    /// The last slot before an outage that this evaluation ends.
    fn outage_since(&self) -> Option<Timestamp> {
        self.last_slot.filter(|&last| self.slot.since(last) >= self.interval + OUTAGE)
    }

    pub(super) fn check_count(&self, count: usize, what: &str) -> Result<(), String> {
        if count > self.limit_max {
            return Err(format!("{count} {what} are over alerts_per_rule_max, which is {}", self.limit_max));
        }
        Ok(())
    }
}

fn record(rule: &Rule, state: RuleState, result: RuleResult, moment: &Moment<'_>) -> Result<Outcome, String> {
    let vector = result?;
    moment.check_count(vector.len(), "series")?;
    if let Some(limit) = moment.limit.filter(|&limit| vector.len() > limit) {
        return Err(format!("exceeded limit of {limit} with {} series", vector.len()));
    }
    let mut outcome = Outcome { state, ..Outcome::default() };
    outcome.state.series = BTreeSet::new();
    let timestamp = moment.sample_time();
    for (labels, value) in vector.numbers {
        let labels = recorded_labels(rule, &labels, &mut outcome.state.series)?;
        outcome.samples.push((labels, Sample { timestamp, value }));
    }
    for (labels, histogram) in vector.histograms {
        let labels = recorded_labels(rule, &labels, &mut outcome.state.series)?;
        outcome.histograms.push((labels, TimedHistogram { timestamp, histogram }));
    }
    Ok(outcome)
}

/// The labels that a series of the result is recorded under; each may come once.
fn recorded_labels(rule: &Rule, labels: &Labels, known: &mut BTreeSet<Labels>) -> Result<Labels, String> {
    let mut builder = labels.to_builder();
    builder.set(METRIC_NAME, &rule.name);
    for (name, template) in &rule.labels {
        builder.set(name, template.source());
    }
    let labels = builder.build().map_err(|error| error.to_string())?;
    if !known.insert(labels.clone()) {
        return Err("vector contains metrics with the same labelset after applying rule labels".to_owned());
    }
    Ok(labels)
}

/// An alert of this evaluation's result.
struct Fresh {
    annotations: BTreeMap<String, String>,
    value: f64,
    reason: Reason,
}

type FreshAlerts = BTreeMap<Labels, Fresh>;

fn fresh_alerts(
    rule: &Rule,
    annotations: &BTreeMap<String, Template>,
    result: RuleResult,
    moment: &Moment<'_>,
) -> Result<FreshAlerts, String> {
    let vector = result?;
    moment.check_count(vector.len(), "alerts")?;
    let mut fresh = BTreeMap::new();
    let of_histograms = vector.histograms.into_iter().map(|(labels, _)| (labels, 0.0));
    for (sample_labels, value) in vector.numbers.into_iter().chain(of_histograms) {
        let (labels, alert) = expand(rule, annotations, (&sample_labels, value), Reason::Holds, moment)?;
        if fresh.insert(labels, alert).is_some() {
            return Err("vector contains metrics with the same labelset after applying alert labels".to_owned());
        }
    }
    Ok(fresh)
}

/// The alert that a sample makes.
fn expand(
    rule: &Rule,
    annotations: &BTreeMap<String, Template>,
    (labels, value): (&Labels, f64),
    reason: Reason,
    moment: &Moment<'_>,
) -> Result<(Labels, Fresh), String> {
    let environment = Environment {
        labels,
        value,
        external_labels: moment.external_labels,
        external_url: moment.external_url,
        now: moment.slot,
        query: moment.query,
    };
    let mut builder = labels.to_builder();
    builder.remove(METRIC_NAME);
    for (name, template) in &rule.labels {
        builder.set(name, &template.expand_or_explain(&rule.name, &environment));
    }
    builder.set(ALERT_NAME, &rule.name);
    let labels = builder.build().map_err(|error| error.to_string())?;
    let expanded =
        annotations.iter().map(|(name, text)| (name.clone(), text.expand_or_explain(&rule.name, &environment)));
    Ok((labels, Fresh { annotations: expanded.collect(), value, reason }))
}

fn advance_all(rule: &Rule, state: RuleState, mut fresh: FreshAlerts, moment: &Moment<'_>) -> Result<Outcome, String> {
    let mut outcome = Outcome { state, ..Outcome::default() };
    let policy = Policy::of(rule);
    let evidence = Evidence::gather(rule, policy, fresh.keys(), &mut outcome.state, moment)?;
    let known = std::mem::take(&mut outcome.state.active);
    let before = known.clone();
    outcome.state.expr.clone_from(&rule.expr);
    if let RuleKind::Alerting { annotations, .. } = &rule.kind {
        for labels in evidence.breaching_without_data() {
            let (labels, alert) = expand(rule, annotations, (labels, f64::NAN), Reason::Missing, moment)?;
            if !known.get(&labels).is_some_and(|alert| alert.phase.holds()) {
                fresh.entry(labels).or_insert(alert);
            }
        }
    }
    for (labels, alert) in known {
        let advance = Advance { labels: &labels, policy, moment, evidence: Some(&evidence) };
        if let Some(next) = advance.next(alert, fresh.remove(&labels), &mut outcome) {
            outcome.state.active.insert(labels, next);
        }
    }
    for (labels, result) in fresh {
        let advance = Advance { labels: &labels, policy, moment, evidence: Some(&evidence) };
        let alert = advance.begin(result, 0, &mut outcome.transitions);
        outcome.state.active.insert(labels, alert);
    }
    let holding = outcome.state.holding().count();
    if let Some(limit) = moment.limit.filter(|&limit| holding > limit) {
        let error = format!("exceeded limit of {limit} with {holding} alerts");
        return Ok(give_up(error, before, outcome.state, moment));
    }
    emit(&mut outcome, moment);
    send(&mut outcome, moment);
    Ok(outcome)
}

/// What becomes of the alerts that were known before when the limit is exceeded: none is left, and those that were
/// announced are withdrawn as soon as the rule works again.
fn give_up(error: String, before: BTreeMap<Labels, Active>, state: RuleState, moment: &Moment<'_>) -> Outcome {
    let mut outcome = Outcome { state, error: Some(error), ..Outcome::default() };
    outcome.state.active.clear();
    for (labels, alert) in before {
        let advance = Advance { labels: &labels, policy: Policy::NONE, moment, evidence: None };
        let from = match alert.phase {
            Phase::Pending => TransitionState::Pending,
            Phase::Firing { since, .. } => {
                outcome.state.withdrawn.insert(labels.clone(), advance.withdraw(&alert, since));
                TransitionState::Firing
            }
            Phase::Resolved { .. } => continue,
        };
        let reason = Reason::LimitExceeded;
        outcome.transitions.push(advance.transition(&alert, from, TransitionState::Inactive, reason));
    }
    outcome
}

/// One alert's way through an evaluation.
struct Advance<'a> {
    labels: &'a Labels,
    policy: Policy,
    moment: &'a Moment<'a>,
    /// `None` when the rule is gone or gives its alerts up.
    evidence: Option<&'a Evidence<'a>>,
}

impl Advance<'_> {
    /// What becomes of an alert that is remembered.
    fn next(&self, mut alert: Active, fresh: Option<Fresh>, outcome: &mut Outcome) -> Option<Active> {
        let verdict = self.verdict(&mut alert.history, fresh.is_some());
        if !alert.phase.holds() {
            return match fresh {
                Some(fresh) => Some(self.begin(fresh, alert.history >> 1, &mut outcome.transitions)),
                None => self.absent(alert, &mut outcome.transitions),
            };
        }
        if let Some(fresh) = fresh {
            alert.annotations = fresh.annotations;
            alert.value = fresh.value;
        }
        match verdict {
            Verdict::Holds => self.held(alert, true, outcome),
            Verdict::HeldOfLate => self.held(alert, false, outcome),
            Verdict::HoldsNot => self.absent(alert, &mut outcome.transitions),
            Verdict::Keeps => Some(alert),
            Verdict::Unknown => Some(self.unknown(alert, &mut outcome.transitions)),
        }
    }

    fn verdict(&self, history: &mut u64, held: bool) -> Verdict {
        if let Some(verdict) = self.evidence.and_then(|evidence| evidence.verdict(self.labels)) {
            return verdict;
        }
        let Some(points) = self.policy.datapoints else {
            return if held { Verdict::Holds } else { Verdict::HoldsNot };
        };
        *history = points.after(*history, held);
        match *history {
            history if points.is_enough(history) => Verdict::Holds,
            0 => Verdict::HoldsNot,
            _ => Verdict::HeldOfLate,
        }
    }

    /// The condition holds and did not before; given at which of the evaluations before it held.
    fn begin(&self, result: Fresh, mut history: u64, transitions: &mut Vec<Transition>) -> Active {
        let slot = self.moment.slot;
        let is_enough = self.verdict(&mut history, true) == Verdict::Holds;
        let fires = self.policy.hold.is_zero() && is_enough;
        let phase = if fires { self.fires() } else { Phase::Pending };
        let to = if fires { TransitionState::Firing } else { TransitionState::Pending };
        let Fresh { annotations, value, reason } = result;
        let alert = Active { annotations, value, active_at: slot, history, phase };
        transitions.push(self.transition(&alert, TransitionState::Inactive, to, reason));
        alert
    }

    fn fires(&self) -> Phase {
        Phase::Firing { since: self.moment.slot, last_sent: None, kept_since: None, unknown_since: None }
    }

    /// The condition holds, or has held often enough of late for the alert to be remembered.
    fn held(&self, mut alert: Active, is_enough: bool, outcome: &mut Outcome) -> Option<Active> {
        let slot = self.moment.slot;
        match alert.phase {
            Phase::Pending => {
                if let Some(down_at) = self.moment.outage_since() {
                    // It fires at the next evaluation at the earliest: the series had no time to come back.
                    alert.active_at = restored(alert.active_at, down_at, slot, self.policy.hold);
                } else if is_enough && slot.since(alert.active_at) >= self.policy.hold {
                    alert.phase = self.fires();
                    let states = (TransitionState::Pending, TransitionState::Firing);
                    outcome.transitions.push(self.transition(&alert, states.0, states.1, Reason::HeldLongEnough));
                }
            }
            Phase::Firing { .. } if !is_enough => return self.absent(alert, &mut outcome.transitions),
            Phase::Firing { since, last_sent, unknown_since, .. } => {
                if unknown_since.is_some() {
                    alert.annotations.remove(STATE_ANNOTATION);
                    let states = (TransitionState::Firing, TransitionState::Firing);
                    outcome.transitions.push(self.transition(&alert, states.0, states.1, Reason::Returned));
                }
                alert.phase = Phase::Firing { since, last_sent, kept_since: None, unknown_since: None };
                if slot.since(alert.active_at) < self.policy.hold {
                    outcome.state.withdrawn.insert(self.labels.clone(), self.withdraw(&alert, since));
                    alert.phase = Phase::Pending;
                    let states = (TransitionState::Firing, TransitionState::Pending);
                    outcome.transitions.push(self.transition(&alert, states.0, states.1, Reason::ForBecameLonger));
                }
            }
            Phase::Resolved { .. } => {}
        }
        Some(alert)
    }

    /// There are no data, and the rule asks that nobody takes that for an end: the alert goes on and says so.
    fn unknown(&self, mut alert: Active, transitions: &mut Vec<Transition>) -> Active {
        if let Phase::Firing { unknown_since: unknown_since @ None, .. } = &mut alert.phase {
            *unknown_since = Some(self.moment.slot);
            let states = (TransitionState::Firing, TransitionState::Firing);
            transitions.push(self.transition(&alert, states.0, states.1, Reason::Missing));
        }
        if matches!(alert.phase, Phase::Firing { .. }) {
            alert.annotations.insert(STATE_ANNOTATION.to_owned(), "unknown".to_owned());
        }
        alert
    }

    /// The condition does not hold.
    fn absent(&self, mut alert: Active, transitions: &mut Vec<Transition>) -> Option<Active> {
        let slot = self.moment.slot;
        match alert.phase {
            Phase::Pending => {
                let reason = if self.evidence.is_none() { Reason::RuleRemoved } else { Reason::EndedWhilePending };
                let states = (TransitionState::Pending, TransitionState::Inactive);
                transitions.push(self.transition(&alert, states.0, states.1, reason));
                return None;
            }
            Phase::Resolved { at, last_sent, .. } if is_told(slot, at, last_sent) => return None,
            Phase::Resolved { .. } => {}
            Phase::Firing { since, last_sent, kept_since, unknown_since } => {
                if self.evidence.is_some_and(|evidence| !evidence.is_recovered(self.labels)) {
                    alert.phase = Phase::Firing { since, last_sent, kept_since: None, unknown_since };
                    return Some(alert);
                }
                let kept = kept_since.unwrap_or(slot);
                if slot.since(kept) < self.policy.keep_firing_for {
                    alert.phase = Phase::Firing { since, last_sent, kept_since: Some(kept), unknown_since };
                    return Some(alert);
                }
                alert.phase = Phase::Resolved { since, at: slot, last_sent };
                let reason = self.evidence.map_or(Reason::RuleRemoved, |evidence| evidence.why_ended(self.labels));
                alert.annotations.remove(STATE_ANNOTATION);
                if self.evidence.is_none() || self.policy.missing.is_some() || self.policy.recovers {
                    alert.annotations.insert(RESOLVED_ANNOTATION.to_owned(), reason.as_str().to_owned());
                }
                let states = (TransitionState::Firing, TransitionState::Resolved);
                transitions.push(self.transition(&alert, states.0, states.1, reason));
            }
        }
        Some(alert)
    }

    fn withdraw(&self, alert: &Active, since: Timestamp) -> Withdrawn {
        Withdrawn { annotations: alert.annotations.clone(), since, at: self.moment.slot, last_sent: None }
    }

    fn transition(&self, alert: &Active, from: TransitionState, to: TransitionState, reason: Reason) -> Transition {
        Transition {
            labels: self.labels.clone(),
            annotations: alert.annotations.clone(),
            value: alert.value,
            at: self.moment.slot,
            active_at: alert.active_at,
            from,
            to,
            reason,
        }
    }
}

/// Since when a pending alert counts as active after an outage (Prometheus, `rules/group.go`, `RestoreForState`).
fn restored(active_at: Timestamp, down_at: Timestamp, now: Timestamp, hold: Duration) -> Timestamp {
    if hold < FOR_GRACE_PERIOD || now.since(down_at) > OUTAGE_TOLERANCE {
        return now;
    }
    let remaining = hold.saturating_sub(down_at.since(active_at));
    if remaining.is_zero() {
        active_at
    } else if remaining < FOR_GRACE_PERIOD {
        now + FOR_GRACE_PERIOD - hold
    } else {
        active_at + now.since(down_at)
    }
}

impl fmt::Debug for Moment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Moment");
        debug.field("slot", &self.slot).field("last_slot", &self.last_slot).field("limit", &self.limit);
        debug.finish_non_exhaustive()
    }
}

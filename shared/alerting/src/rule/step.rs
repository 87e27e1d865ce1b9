//! One evaluation of a rule, as a pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use model::{Labels, METRIC_NAME, Sample, TimedHistogram, Timestamp, stale_nan};

use super::state::{Active, LastRun, Phase, RuleState, Withdrawn};
use super::{ALERT_NAME, Datapoints, Rule, RuleKind, RuleResult};
use crate::Alert;
use crate::template::{Environment, GraphTab, QueryResult, graph_path};

/// How long a resolved alert is kept and sent again.
const RESOLVED_RETENTION: Duration = Duration::from_secs(15 * 60);
/// A firing alert is vouched for so many times the longer of the interval and the resend delay.
const VALID_FACTOR: u32 = 4;
/// So many missed evaluations, in time, make an outage: what was pending before cannot be taken to have held all along.
const OUTAGE: Duration = Duration::from_secs(5 * 60);
/// After a longer outage a pending alert starts anew.
const OUTAGE_TOLERANCE: Duration = Duration::from_secs(3600);
/// After an outage a pending alert fires no earlier than this, so that what the outage hid has time to come in.
const FOR_GRACE_PERIOD: Duration = Duration::from_secs(600);

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
    /// The condition no longer holds.
    Ended,
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
    const ALL: [Self; 7] = [
        Self::Holds,
        Self::HeldLongEnough,
        Self::Ended,
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
            Self::EndedWhilePending => "condition ended while pending",
            Self::ForBecameLonger => "rule waits longer than before",
            Self::LimitExceeded => "limit of the group exceeded",
            Self::RuleRemoved => "rule removed",
        }
    }
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
        RuleKind::Alerting { hold, keep_firing_for, annotations, datapoints } => {
            let timing = Timing { hold: *hold, keep_firing_for: *keep_firing_for, datapoints: *datapoints };
            let fresh = fresh_alerts(rule, annotations, result, moment);
            fresh.map(|fresh| advance_all(rule, timing, state, fresh, moment))
        }
    };
    let mut outcome =
        stepped.unwrap_or_else(|error| Outcome { state: before.clone(), error: Some(error), ..Outcome::default() });
    if outcome.error.is_none() {
        mark_vanished(&before.series, &mut outcome, moment);
    }
    outcome.state.expr.clone_from(&rule.expr);
    let error = outcome.error.clone();
    outcome.state.last_run = Some(LastRun { at: moment.slot, error, duration_seconds: 0.0 });
    outcome
}

/// Takes back what a rule said that is no longer in the configuration: its series end, its firing alerts resolve and
/// are sent as resolved until everybody must have seen it.
pub fn retire(state: RuleState, moment: &Moment<'_>) -> Outcome {
    let mut outcome = Outcome { state: state.until(moment.slot), ..Outcome::default() };
    let before = std::mem::take(&mut outcome.state.series);
    let timing = Timing::NONE;
    for (labels, alert) in std::mem::take(&mut outcome.state.active) {
        let advance = Advance { labels: &labels, timing, moment, removed: true };
        if let Some(alert) = advance.absent(alert, &mut outcome.transitions) {
            outcome.state.active.insert(labels, alert);
        }
    }
    send(&mut outcome, moment);
    mark_vanished(&before, &mut outcome, moment);
    outcome
}

#[derive(Clone, Copy)]
struct Timing {
    hold: Duration,
    keep_firing_for: Duration,
    datapoints: Option<Datapoints>,
}

impl Timing {
    /// For alerts that are given up, whatever the rule said.
    const NONE: Self = Self { hold: Duration::ZERO, keep_firing_for: Duration::ZERO, datapoints: None };

    fn history(&self, before: u64, held: bool) -> u64 {
        self.datapoints.map_or(0, |points| points.after(before, held))
    }

    fn is_enough(&self, history: u64) -> bool {
        self.datapoints.is_none_or(|points| points.is_enough(history))
    }
}

impl Moment<'_> {
    fn sample_time(&self) -> Timestamp {
        self.slot - self.query_offset
    }

    /// The last slot before an outage that this evaluation ends.
    fn outage_since(&self) -> Option<Timestamp> {
        self.last_slot.filter(|&last| self.slot.since(last) >= self.interval + OUTAGE)
    }

    fn check_count(&self, count: usize, what: &str) -> Result<(), String> {
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
        return Err(format!("{} series are over the group's limit of {limit}", vector.len()));
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
        return Err(format!("two series of the result have the same labels once the rule's are set: {labels}"));
    }
    Ok(labels)
}

/// An alert of this evaluation's result.
struct Fresh {
    annotations: BTreeMap<String, String>,
    value: f64,
}

fn fresh_alerts(
    rule: &Rule,
    annotations: &BTreeMap<String, crate::template::Template>,
    result: RuleResult,
    moment: &Moment<'_>,
) -> Result<BTreeMap<Labels, Fresh>, String> {
    let vector = result?;
    moment.check_count(vector.len(), "alerts")?;
    let mut fresh = BTreeMap::new();
    let of_histograms = vector.histograms.into_iter().map(|(labels, _)| (labels, 0.0));
    for (sample_labels, value) in vector.numbers.into_iter().chain(of_histograms) {
        let environment = Environment {
            labels: &sample_labels,
            value,
            external_labels: moment.external_labels,
            external_url: moment.external_url,
            now: moment.slot,
            query: moment.query,
        };
        let mut builder = sample_labels.to_builder();
        builder.remove(METRIC_NAME);
        for (name, template) in &rule.labels {
            builder.set(name, &template.expand_or_explain(&rule.name, &environment));
        }
        builder.set(ALERT_NAME, &rule.name);
        let labels = builder.build().map_err(|error| error.to_string())?;
        let expanded =
            annotations.iter().map(|(name, text)| (name.clone(), text.expand_or_explain(&rule.name, &environment)));
        let alert = Fresh { annotations: expanded.collect(), value };
        if fresh.insert(labels.clone(), alert).is_some() {
            return Err(format!("two series of the result have the same labels once the rule's are set: {labels}"));
        }
    }
    Ok(fresh)
}

fn advance_all(
    rule: &Rule,
    timing: Timing,
    state: RuleState,
    mut fresh: BTreeMap<Labels, Fresh>,
    moment: &Moment<'_>,
) -> Outcome {
    let mut outcome = Outcome { state, ..Outcome::default() };
    let known = std::mem::take(&mut outcome.state.active);
    let before = known.clone();
    outcome.state.expr.clone_from(&rule.expr);
    for (labels, mut alert) in known {
        let advance = Advance { labels: &labels, timing, moment, removed: false };
        let result = fresh.remove(&labels);
        alert.history = timing.history(alert.history, result.is_some());
        let next = match result {
            Some(result) if alert.phase.holds() => advance.present(alert, result, &mut outcome),
            Some(result) => Some(advance.begin(result, alert.history, &mut outcome.transitions)),
            None if alert.phase.holds() && alert.history != 0 => advance.held(alert, &mut outcome),
            None => advance.absent(alert, &mut outcome.transitions),
        };
        if let Some(next) = next {
            outcome.state.active.insert(labels, next);
        }
    }
    for (labels, result) in fresh {
        let advance = Advance { labels: &labels, timing, moment, removed: false };
        let alert = advance.begin(result, timing.history(0, true), &mut outcome.transitions);
        outcome.state.active.insert(labels, alert);
    }
    let holding = outcome.state.holding().count();
    if let Some(limit) = moment.limit.filter(|&limit| holding > limit) {
        let error = format!("{holding} alerts are over the group's limit of {limit}");
        return give_up(error, before, outcome.state, moment);
    }
    emit(&mut outcome, moment);
    send(&mut outcome, moment);
    outcome
}

/// What becomes of the alerts that were known before when the limit is exceeded: none is left, and those that were
/// announced are withdrawn as soon as the rule works again.
fn give_up(error: String, before: BTreeMap<Labels, Active>, state: RuleState, moment: &Moment<'_>) -> Outcome {
    let mut outcome = Outcome { state, error: Some(error), ..Outcome::default() };
    outcome.state.active.clear();
    let timing = Timing::NONE;
    for (labels, alert) in before {
        let advance = Advance { labels: &labels, timing, moment, removed: false };
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
    timing: Timing,
    moment: &'a Moment<'a>,
    /// Whether the rule is gone.
    removed: bool,
}

impl Advance<'_> {
    /// The condition holds and did not before.
    fn begin(&self, result: Fresh, history: u64, transitions: &mut Vec<Transition>) -> Active {
        let slot = self.moment.slot;
        let fires = self.timing.hold.is_zero() && self.timing.is_enough(history);
        let phase = if fires { self.fires() } else { Phase::Pending };
        let to = if fires { TransitionState::Firing } else { TransitionState::Pending };
        let alert = Active { annotations: result.annotations, value: result.value, active_at: slot, history, phase };
        transitions.push(self.transition(&alert, TransitionState::Inactive, to, Reason::Holds));
        alert
    }

    fn fires(&self) -> Phase {
        Phase::Firing { since: self.moment.slot, last_sent: None, kept_since: None }
    }

    /// The condition holds and did before.
    fn present(&self, mut alert: Active, result: Fresh, outcome: &mut Outcome) -> Option<Active> {
        alert.annotations = result.annotations;
        alert.value = result.value;
        self.held(alert, outcome)
    }

    /// The condition holds, or has held often enough of late for the alert to be remembered.
    fn held(&self, mut alert: Active, outcome: &mut Outcome) -> Option<Active> {
        let is_enough = self.timing.is_enough(alert.history);
        let slot = self.moment.slot;
        match alert.phase {
            Phase::Pending => {
                if let Some(down_at) = self.moment.outage_since() {
                    // It fires at the next evaluation at the earliest: the series had no time to come back.
                    alert.active_at = restored(alert.active_at, down_at, slot, self.timing.hold);
                } else if is_enough && slot.since(alert.active_at) >= self.timing.hold {
                    alert.phase = self.fires();
                    let states = (TransitionState::Pending, TransitionState::Firing);
                    outcome.transitions.push(self.transition(&alert, states.0, states.1, Reason::HeldLongEnough));
                }
            }
            Phase::Firing { .. } if !is_enough => return self.absent(alert, &mut outcome.transitions),
            Phase::Firing { since, last_sent, .. } => {
                alert.phase = Phase::Firing { since, last_sent, kept_since: None };
                if slot.since(alert.active_at) < self.timing.hold {
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

    /// The condition does not hold.
    fn absent(&self, mut alert: Active, transitions: &mut Vec<Transition>) -> Option<Active> {
        let slot = self.moment.slot;
        match alert.phase {
            Phase::Pending => {
                let reason = if self.removed { Reason::RuleRemoved } else { Reason::EndedWhilePending };
                let states = (TransitionState::Pending, TransitionState::Inactive);
                transitions.push(self.transition(&alert, states.0, states.1, reason));
                return None;
            }
            Phase::Resolved { at, last_sent, .. } if is_told(slot, at, last_sent) => return None,
            Phase::Resolved { .. } => {}
            Phase::Firing { since, last_sent, kept_since } => {
                let kept = kept_since.unwrap_or(slot);
                if slot.since(kept) < self.timing.keep_firing_for {
                    alert.phase = Phase::Firing { since, last_sent, kept_since: Some(kept) };
                    return Some(alert);
                }
                alert.phase = Phase::Resolved { since, at: slot, last_sent };
                let reason = if self.removed { Reason::RuleRemoved } else { Reason::Ended };
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

/// Writes `ALERTS` and `ALERTS_FOR_STATE` for every alert that holds.
fn emit(outcome: &mut Outcome, moment: &Moment<'_>) {
    let timestamp = moment.sample_time();
    let mut samples = Vec::new();
    for (labels, alert) in outcome.state.holding() {
        let state = if alert.phase == Phase::Pending { "pending" } else { "firing" };
        let mut builder = labels.to_builder();
        let for_state = builder.set(METRIC_NAME, "ALERTS_FOR_STATE").build();
        let alerts = builder.set(METRIC_NAME, "ALERTS").set("alertstate", state).build();
        #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are exact far beyond our time")]
        let since = alert.active_at.as_millis().div_euclid(1000) as f64;
        for (labels, value) in [(alerts, 1.0), (for_state, since)] {
            let labels = labels.expect("the labels of an alert are valid, and so are the names that are added");
            samples.push((labels, Sample { timestamp, value }));
        }
    }
    outcome.state.series = samples.iter().map(|(labels, _)| labels.clone()).collect();
    outcome.samples.extend(samples);
}

/// Ends the series that the evaluation before wrote and this one did not.
fn mark_vanished(before: &BTreeSet<Labels>, outcome: &mut Outcome, moment: &Moment<'_>) {
    let native = outcome.histograms.iter().map(|(labels, _)| labels);
    let written: BTreeSet<&Labels> = outcome.samples.iter().map(|(labels, _)| labels).chain(native).collect();
    let vanished: Vec<Labels> = before.iter().filter(|labels| !written.contains(labels)).cloned().collect();
    let end = Sample { timestamp: moment.sample_time(), value: stale_nan() };
    outcome.samples.extend(vanished.into_iter().map(|labels| (labels, end)));
}

/// Whether everybody must have heard of an end: it was sent for long enough, and not only by the evaluation that saw
/// it, after which the process may have died.
fn is_told(slot: Timestamp, ended: Timestamp, last_sent: Option<Timestamp>) -> bool {
    slot.since(ended) > RESOLVED_RETENTION && last_sent.is_some_and(|sent| sent > ended)
}

/// Sends what is due: what fires or has resolved, again and again.
fn send(outcome: &mut Outcome, moment: &Moment<'_>) {
    let slot = moment.slot;
    let valid_until = slot + moment.interval.max(moment.resend_delay) * VALID_FACTOR;
    let url =
        format!("{}{}", moment.external_url.trim_end_matches('/'), graph_path(&outcome.state.expr, GraphTab::Table));
    let due = |last_sent: Option<Timestamp>| last_sent.is_none_or(|sent| sent + moment.resend_delay < slot);
    let state = &mut outcome.state;
    for (labels, active) in &mut state.active {
        let (since, ended, last_sent) = match &mut active.phase {
            Phase::Pending => continue,
            Phase::Firing { since, last_sent, .. } => (*since, None, last_sent),
            Phase::Resolved { since, at, last_sent } => (*since, Some(*at), last_sent),
        };
        if ended.is_none() {
            state.withdrawn.remove(labels);
        }
        let just_ended = ended.is_some_and(|end| last_sent.is_none_or(|sent| end > sent));
        if just_ended || due(*last_sent) {
            *last_sent = Some(slot);
            let valid_until = if ended.is_none() { Some(valid_until) } else { None };
            outcome.alerts.push(Alert {
                labels: labels.clone(),
                annotations: active.annotations.clone(),
                starts_at: since,
                ends_at: ended,
                valid_until,
                generator_url: url.clone(),
                updated_at: slot,
            });
        }
    }
    state.withdrawn.retain(|_, alert| !is_told(slot, alert.at, alert.last_sent));
    for (labels, withdrawn) in state.withdrawn.iter_mut().filter(|(_, alert)| due(alert.last_sent)) {
        withdrawn.last_sent = Some(slot);
        outcome.alerts.push(Alert {
            labels: labels.clone(),
            annotations: withdrawn.annotations.clone(),
            starts_at: withdrawn.since,
            ends_at: Some(withdrawn.at),
            valid_until: None,
            generator_url: url.clone(),
            updated_at: slot,
        });
    }
}

impl fmt::Debug for Moment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Moment");
        debug.field("slot", &self.slot).field("last_slot", &self.last_slot).field("limit", &self.limit);
        debug.finish_non_exhaustive()
    }
}

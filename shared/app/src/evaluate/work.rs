//! What is due for one tenant, and its evaluation: a pure function of the loaded series.
//!
//! [`Work::plan`] says what is to be run, in order. Whoever drives it loads the series of the next runs
//! ([`Work::next_selections`]) and hands them over ([`Work::evaluate`]), as many at a time as memory and time allow,
//! until nothing is left or [`Work::give_up`] says that the rest has to wait. A group counts as a whole: [`Done`] has all
//! that it led to, or nothing. A rule whose templates ask for more comes again, once that is loaded.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use alerting::Alert;
use alerting::rule::{
    self, GroupState, Moment, Outcome, Rule, RuleGroup, RuleKind, RuleResult, RuleState, RuleVector, Transition,
};
use alerting::template::QueryResult;
use model::{Histogram, Labels, Limits, TenantId, Timestamp};
use promql::{Deadline, Expr, Output, Params, Profile, Selection, Source, Value};

use super::queries::{Part, Queries};
use super::recorded::{Overlay, Recorded, RecordedSample};
use super::sampled;
use crate::Stopwatch;
use crate::config::{Config, TenantConfig};

/// Most missed slots of a group that are evaluated late, for its recording rules; the newest ones, and as far as there is time for
/// it ([`Turn::late_end`]).
const LATE_SLOTS_MAX: usize = 60;
/// A clock that went back less than this is waited for; after more, the groups run as the clock says.
const CLOCK_BACK_MAX: Duration = Duration::from_secs(3600);

/// What all evaluations of a tick share.
#[derive(Clone, Debug)]
pub(super) struct Circumstances {
    pub(super) now: Timestamp,
    pub(super) query_offset: Duration,
    pub(super) resend_delay: Duration,
    pub(super) lookback: Duration,
    pub(super) promql_profile: Profile,
    pub(super) external_url: String,
    pub(super) limits: Limits,
    pub(super) stopwatch: Stopwatch,
}

/// How long some evaluations may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// When the stopwatch shows this, no further rule begins.
    pub(super) end: Duration,
    /// When it shows this, missed slots are made up for no more: alert rules, which run at the newest one, come first.
    pub(super) late_end: Duration,
    /// A rule that takes longer fails with a time-out.
    pub(super) rule_time_max: Duration,
}

/// All that is due for one tenant.
#[derive(Debug)]
pub(super) struct Work {
    config: Arc<Config>,
    tenant: TenantId,
    circumstances: Circumstances,
    /// Groups that have not begun, by their place in the order they run.
    jobs: BTreeMap<usize, Job>,
    /// The group that has begun.
    open: Option<Open>,
    /// What is left, in the order it runs.
    runs: VecDeque<Run>,
    recorded: Recorded,
    done: Done,
}

/// One group that is due.
#[derive(Debug)]
struct Job {
    key: String,
    /// Its place in the tenant's configuration; `None` when it left it.
    group: Option<usize>,
    state: GroupState,
    /// The slots to evaluate, oldest first.
    slots: Vec<Timestamp>,
    /// Slots that passed without the alert rules.
    missed: usize,
}

/// A group of which some rules have run.
#[derive(Debug)]
struct Open {
    place: usize,
    job: Job,
    identities: Vec<String>,
    last_slot: Option<Timestamp>,
    /// What it led to so far, without what it recorded.
    done: Done,
    /// How much was recorded before it.
    recorded_before: usize,
}

/// One evaluation of one rule.
#[derive(Clone, Debug)]
struct Run {
    /// The place of its group.
    job: usize,
    slot: Timestamp,
    /// Whether the slot is an old one, of which recording rules alone are evaluated.
    is_late: bool,
    rule: usize,
    /// What it needs: first what the rule's expression selects, then what the one of recovery does, then what its
    /// templates asked for.
    selections: Vec<Selection>,
    /// The place of each of the first two.
    expr_place: Range<usize>,
    recover_place: Range<usize>,
    queries: Queries,
}

/// How the evaluation of a rule ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The rule has run.
    Ran,
    /// Its templates asked for what is not loaded: it is the next one again.
    Asks,
}

/// What the evaluation of a tenant's groups leads to.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The new state of each group that ran, by its key; `None` when there is nothing left to remember.
    pub(super) states: BTreeMap<String, Option<GroupState>>,
    pub(super) samples: Vec<(Labels, RecordedSample)>,
    pub(super) alerts: Vec<Alert>,
    /// With the key of the group.
    pub(super) transitions: Vec<(String, Transition)>,
    pub(super) rules_evaluated: usize,
    pub(super) rules_failed: usize,
    pub(super) slots_missed: usize,
    /// Which rule failed and why.
    pub(super) errors: Vec<String>,
    /// The keys of groups that were due and did not run.
    pub(super) skipped: Vec<String>,
}

impl Work {
    /// What is due, given the states by key of the group. Groups run in the order of their files, but those that had to
    /// wait longest come first, and before them those that never ran.
    pub(super) fn plan(
        tenant: TenantId,
        config: Arc<Config>,
        mut states: BTreeMap<String, GroupState>,
        circumstances: Circumstances,
    ) -> Self {
        let groups = config.tenants.get(&tenant).map_or(&[][..], |tenant| &tenant.rule_groups);
        let mut jobs: Vec<Job> = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            let key = group.key();
            let state = states.remove(&key).unwrap_or_default();
            jobs.extend(Job::due(Some((index, group)), key, state, circumstances.now));
        }
        jobs.extend(states.into_iter().filter_map(|(key, state)| Job::due(None, key, state, circumstances.now)));
        jobs.sort_by_key(|job| (job.state.slot.is_some(), Reverse(job.missed)));
        let mut work = Self {
            config: Arc::clone(&config),
            tenant,
            circumstances,
            jobs: BTreeMap::new(),
            open: None,
            runs: VecDeque::new(),
            recorded: Recorded::default(),
            done: Done::default(),
        };
        for (place, job) in jobs.into_iter().enumerate() {
            work.add(place, job, groups);
        }
        work
    }

    /// Whether nothing was due.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether nothing is left to be run.
    pub(super) fn is_done(&self) -> bool {
        self.runs.is_empty()
    }

    /// The selections of all runs.
    pub(super) fn selections(&self) -> Vec<Selection> {
        self.runs.iter().flat_map(|run| &run.selections).cloned().collect()
    }

    /// The selections of one of the next runs; `None` behind the last one, and behind one that may ask for more.
    pub(super) fn next_selections(&self, index: usize) -> Option<&[Selection]> {
        let before = index.checked_sub(1).and_then(|before| self.runs.get(before));
        let run = self.runs.get(index).filter(|_| before.is_none_or(|before| !before.queries.may_come()));
        run.map(|run| run.selections.as_slice())
    }

    /// Leaves out what is late and has not run.
    fn drop_late(&mut self) {
        self.runs.retain(|run| !run.is_late);
    }

    fn add(&mut self, place: usize, job: Job, groups: &[RuleGroup]) {
        let newest = job.newest();
        if let Some(group) = job.group.map(|index| &groups[index]) {
            for &slot in &job.slots {
                for (index, rule) in group.rules.iter().enumerate() {
                    if slot == newest || rule.kind == RuleKind::Recording {
                        self.add_run((place, slot, slot != newest), index, group, rule);
                    }
                }
            }
        }
        self.jobs.insert(place, job);
    }

    fn add_run(&mut self, (job, slot, is_late): (usize, Timestamp, bool), rule: usize, group: &RuleGroup, is: &Rule) {
        let params = self.params(slot - self.query_offset(Some(group)), Deadline::never());
        let select = |text: &str| -> Vec<Selection> {
            self.expr(text).map_or_else(|_| Vec::new(), |expr| promql::selections(expr, &params))
        };
        let mut selections = select(&is.expr);
        let expr_place = 0..selections.len();
        selections.extend(is.recover_expr().into_iter().flat_map(select));
        let recover_place = expr_place.end..selections.len();
        let queries = Queries::of(is);
        self.runs.push_back(Run { job, slot, is_late, rule, selections, expr_place, recover_place, queries });
    }

    /// One of the tenant's expressions, parsed.
    fn expr(&self, text: &str) -> Result<&Expr, String> {
        let expr = self.tenant_config().and_then(|tenant| tenant.expr(text));
        expr.ok_or_else(|| format!("{text:?} is not among the parsed expressions"))
    }

    fn tenant_config(&self) -> Option<&TenantConfig> {
        self.config.tenants.get(&self.tenant)
    }

    fn query_offset(&self, group: Option<&RuleGroup>) -> Duration {
        group.and_then(|group| group.query_offset).unwrap_or(self.circumstances.query_offset)
    }

    fn params(&self, at: Timestamp, deadline: Deadline) -> Params {
        Params {
            lookback: self.circumstances.lookback,
            profile: self.circumstances.promql_profile,
            limits: self.circumstances.limits.clone(),
            deadline,
            ..Params::instant(at)
        }
    }

    /// Evaluates the next runs, in order, each with its series or why there are none: what a rule records, the rules
    /// behind it see. One runs in any case; what the turn has no time for is left.
    pub(super) fn evaluate<S: Source>(&mut self, loaded: Vec<Result<S, String>>, turn: Turn) {
        for (index, source) in loaded.into_iter().enumerate() {
            let time = self.circumstances.stopwatch.read();
            if index > 0 && time >= turn.end {
                break;
            }
            let Some(run) = self.runs.pop_front() else { break };
            let is_over = run.is_late && time >= turn.late_end;
            let time_max = if run.is_late { turn.rule_time_max / 2 } else { turn.rule_time_max };
            if !is_over && self.run(run, source, time_max) == Progress::Asks {
                break;
            }
        }
        if self.circumstances.stopwatch.read() >= turn.late_end {
            self.drop_late();
        }
    }

    /// Ends the work. Rules of a group that has begun and that have not run fail for the reason that is given, and groups
    /// that have not begun are skipped: their missed slots are made up for.
    pub(super) fn give_up(mut self, reason: &str) -> Done {
        self.drop_late();
        let begun = |work: &Self, run: &Run| work.open.as_ref().is_some_and(|open| open.place == run.job);
        while self.runs.front().is_some_and(|run| begun(&self, run)) {
            let Some(run) = self.runs.pop_front() else { break };
            self.run::<crate::load::Loaded>(
                Run { queries: Queries::default(), ..run },
                Err(reason.to_owned()),
                Duration::ZERO,
            );
        }
        self.finish()
    }

    /// Ends the work as if the group that has begun had not.
    pub(super) fn abandon(mut self) -> Done {
        if let Some(open) = self.open.take() {
            self.recorded.truncate(open.recorded_before);
            self.done.skipped.push(open.job.key);
            self.runs.retain(|run| run.job != open.place);
        }
        self.finish()
    }

    /// What came of all groups that ran to their end, and of those that have nothing to run.
    pub(super) fn finish(mut self) -> Done {
        self.close();
        for (place, job) in std::mem::take(&mut self.jobs) {
            if self.runs.iter().any(|run| run.job == place) {
                self.done.skipped.push(job.key);
            } else {
                self.begin(place, job);
                self.close();
            }
        }
        self.done.samples = self.recorded.into_samples();
        self.done
    }

    fn begin(&mut self, place: usize, job: Job) {
        let group = job.group.zip(self.tenant_config()).map(|(index, tenant)| &tenant.rule_groups[index]);
        let identities = group.map(RuleGroup::identities).unwrap_or_default();
        let (last_slot, recorded_before) = (job.state.slot, self.recorded.len());
        self.open = Some(Open { place, job, identities, last_slot, done: Done::default(), recorded_before });
    }

    fn run<S: Source>(&mut self, mut run: Run, source: Result<S, String>, time_max: Duration) -> Progress {
        if let Err(error) = &source
            && run.queries.refuse(error)
        {
            return self.again(run);
        }
        if self.open.as_ref().is_none_or(|open| open.place != run.job) {
            self.close();
            let job = self.jobs.remove(&run.job).expect("a group runs once");
            self.begin(run.job, job);
        }
        let Some(mut open) = self.open.take() else { return Progress::Ran };
        let config = Arc::clone(&self.config);
        let index = open.job.group.expect("a group that left the configuration has no runs");
        let group = &config.tenants[&self.tenant].rule_groups[index];
        let rule = &group.rules[run.rule];
        let started = self.circumstances.stopwatch.read();
        let identity = &open.identities[run.rule];
        let state = open.job.state.rules.remove(identity).unwrap_or_default();
        let before = run.queries.may_come().then(|| state.clone());
        let asked = RefCell::default();
        let step = Step { run: &run, group, rule, last_slot: open.last_slot, end: started + time_max, asked: &asked };
        let mut outcome = self.step(&step, state, source);
        let asked = asked.into_inner();
        if let Some(before) = before.filter(|_| !asked.is_empty()) {
            open.job.state.rules.insert(identity.clone(), before);
            self.open = Some(open);
            let Circumstances { promql_profile, limits, .. } = &self.circumstances;
            run.queries.ask(asked, *promql_profile, limits);
            return self.again(run);
        }
        if let Some(last_run) = &mut outcome.state.last_run {
            last_run.duration_seconds = (self.circumstances.stopwatch.read() - started).as_secs_f64();
        }
        open.job.state.rules.insert(identity.clone(), std::mem::take(&mut outcome.state));
        open.done.rules_evaluated += 1;
        self.recorded.take(&mut outcome);
        open.done.take(&open.job.key, &rule.name, outcome);
        self.open = Some(open);
        Progress::Ran
    }

    /// The evaluation of a rule as a function of what is loaded; what its templates ask besides is noted.
    fn step<S: Source>(&self, step: &Step<'_>, state: RuleState, source: Result<S, String>) -> Outcome {
        let external_labels = BTreeMap::new();
        let moment = self.moment(step.run.slot, step.last_slot, Some(step.group), &external_labels);
        let source = match source {
            Ok(source) => source,
            Err(error) => return rule::step(step.rule, state, Err(error), &moment),
        };
        let run = step.run;
        let at = run.slot - moment.query_offset;
        let part = |place: &Range<usize>| Part::new(&source, place.clone(), &run.selections);
        let own = self.expr(&step.rule.expr);
        let result = own.clone().and_then(|expr| self.answer(step, expr, at, &part(&run.expr_place)));
        let known = || {
            let expr = own.as_ref().ok().and_then(|expr| promql::unfiltered(expr))?;
            Some(self.answer(step, &expr, at, &part(&run.expr_place)))
        };
        let recovered = || {
            let expr = self.expr(step.rule.recover_expr().unwrap_or_default())?;
            self.answer(step, expr, at, &part(&run.recover_place))
        };
        let query = |text: &str| -> QueryResult {
            let Some(asked) = run.queries.find(text) else {
                run.queries.note(text, &mut step.asked.borrow_mut())?;
                // Of a template that goes on in spite of it nothing will be seen.
                return Ok(Vec::new());
            };
            let (expr, place) = asked?;
            let vector = self.answer(step, expr, run.slot, &part(&place))?;
            let of_histograms = vector.histograms.into_iter().map(|(labels, _)| (labels, 0.0));
            Ok(vector.numbers.into_iter().chain(of_histograms).collect())
        };
        let moment = Moment { query: &query, known: &known, recovered: &recovered, ..moment };
        let mut outcome = rule::step(step.rule, state, result, &moment);
        let part = part(&run.expr_place);
        let overlay = Overlay::new(&part, part.selections(), &self.recorded);
        sampled::date(&mut outcome, step.rule, &overlay, part.selections().len());
        outcome
    }

    /// Lets a run come once more, with what its templates asked for.
    fn again(&mut self, mut run: Run) -> Progress {
        let params = self.params(run.slot, Deadline::never());
        run.queries.select(&params, &mut run.selections);
        self.runs.push_front(run);
        Progress::Asks
    }

    /// Takes back what rules said that are gone, and counts the group that has begun as done.
    fn close(&mut self) {
        let Some(Open { mut job, identities, last_slot, mut done, .. }) = self.open.take() else { return };
        let config = Arc::clone(&self.config);
        let tenant = config.tenants.get(&self.tenant);
        let group = job.group.zip(tenant).map(|(index, tenant)| &tenant.rule_groups[index]);
        let newest = job.newest();
        let gone: Vec<String> = job.state.rules.keys().filter(|known| !identities.contains(known)).cloned().collect();
        let external_labels = BTreeMap::new();
        for identity in gone {
            let state = job.state.rules.remove(&identity).unwrap_or_default();
            let mut outcome = rule::retire(state, &self.moment(newest, last_slot, group, &external_labels));
            let state = std::mem::take(&mut outcome.state);
            if !state.is_settled() {
                job.state.rules.insert(identity.clone(), state);
            }
            self.recorded.take(&mut outcome);
            done.take(&job.key, &identity, outcome);
        }
        job.state.slot = Some(newest);
        done.slots_missed += job.missed;
        let keep = job.group.is_some() || !job.state.is_settled();
        done.states.insert(job.key, keep.then_some(job.state));
        self.done.join(done);
    }

    fn moment<'a>(
        &'a self,
        slot: Timestamp,
        last_slot: Option<Timestamp>,
        group: Option<&RuleGroup>,
        external_labels: &'a BTreeMap<String, String>,
    ) -> Moment<'a> {
        let circumstances = &self.circumstances;
        Moment {
            slot,
            last_slot,
            query_offset: self.query_offset(group),
            interval: group.map_or(rule::DEFAULT_INTERVAL, |group| group.interval),
            resend_delay: circumstances.resend_delay,
            limit: group.and_then(|group| group.limit),
            limit_max: circumstances.limits.alerts_per_rule_max,
            external_url: &circumstances.external_url,
            external_labels,
            query: &|_| Ok(Vec::new()),
            known: &|| None,
            recovered: &|| Ok(RuleVector::default()),
        }
    }

    fn answer<S: Source>(&self, step: &Step<'_>, expr: &Expr, at: Timestamp, part: &Part<'_, S>) -> RuleResult {
        let overlay = Overlay::new(part, part.selections(), &self.recorded);
        let (stopwatch, end) = (self.circumstances.stopwatch.clone(), step.end);
        let params = self.params(at, Deadline::when(move || stopwatch.read() > end));
        rule_result(promql::evaluate(expr, &overlay, &params).map_err(|error| error.to_string())?)
    }
}

/// The evaluation of a rule that is going on.
struct Step<'a> {
    run: &'a Run,
    group: &'a RuleGroup,
    rule: &'a Rule,
    last_slot: Option<Timestamp>,
    /// When the stopwatch shows this, it fails with a time-out.
    end: Duration,
    /// What its templates asked for that is not loaded.
    asked: &'a RefCell<Vec<String>>,
}

/// What an expression of a rule gave, as rules take it: each series with its number or its histogram.
///
/// # Errors
/// When it gave neither a vector nor a scalar, or a histogram that cannot be stored.
pub fn rule_result(output: Output) -> RuleResult {
    let numbers: RuleVector = match output.value {
        Value::Vector(vector) => vector.into_iter().map(|(labels, sample)| (labels, sample.value)).collect(),
        Value::Scalar(sample) => [(Labels::empty(), sample.value)].into_iter().collect(),
        Value::String(_) | Value::Matrix(_) => return Err("rule result is not a vector or scalar".to_owned()),
    };
    let histograms = output.histograms.into_iter().map(|sample| (sample.labels, sample.histogram)).collect();
    storable(RuleVector { histograms, ..numbers })
}

/// What was calculated must fulfil what is checked of histograms when they are read.
fn storable(vector: RuleVector) -> RuleResult {
    for (labels, histogram) in &vector.histograms {
        let checked = Histogram::new(histogram.parts().clone());
        checked.map_err(|error| format!("the result of {labels} cannot be stored: {error}"))?;
    }
    Ok(vector)
}

impl Job {
    /// The group, if it is due.
    fn due(group: Option<(usize, &RuleGroup)>, key: String, state: GroupState, now: Timestamp) -> Option<Self> {
        let interval = group.map_or(rule::DEFAULT_INTERVAL, |(_, group)| group.interval);
        let newest = group.map_or_else(|| now.align_down(interval), |(_, group)| group.slot(now));
        let (slots, missed) = due(state.slot, newest, interval);
        let group = group.map(|(index, _)| index);
        (!slots.is_empty()).then_some(Self { key, group, state, slots, missed })
    }

    fn newest(&self) -> Timestamp {
        *self.slots.last().expect("a group that is due has a slot")
    }
}

impl Done {
    fn take(&mut self, group: &str, rule: &str, outcome: Outcome) {
        self.alerts.extend(outcome.alerts);
        self.transitions.extend(outcome.transitions.into_iter().map(|change| (group.to_owned(), change)));
        if let Some(error) = outcome.error {
            self.rules_failed += 1;
            self.errors.push(format!("{group}: {rule}: {error}"));
        }
    }

    /// Counts a group in.
    fn join(&mut self, group: Self) {
        self.states.extend(group.states);
        self.alerts.extend(group.alerts);
        self.transitions.extend(group.transitions);
        self.rules_evaluated += group.rules_evaluated;
        self.rules_failed += group.rules_failed;
        self.slots_missed += group.slots_missed;
        self.errors.extend(group.errors);
    }
}

/// The slots to evaluate, oldest first, and how many passed without alert rules.
fn due(last: Option<Timestamp>, newest: Timestamp, interval: Duration) -> (Vec<Timestamp>, usize) {
    let Some(last) = last.filter(|last| last.since(newest) <= CLOCK_BACK_MAX) else { return (vec![newest], 0) };
    let mut slots = Vec::new();
    let mut slot = newest;
    while slot > last && slots.len() <= LATE_SLOTS_MAX {
        slots.push(slot);
        slot = slot - interval;
    }
    slots.reverse();
    let passed = newest.since(last).as_millis() / interval.as_millis().max(1);
    (slots, usize::try_from(passed).unwrap_or(usize::MAX).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_due_once_and_missed_ones_late() {
        let minute = Duration::from_secs(60);
        let at = |minutes: i64| Timestamp::from_secs(minutes * 60);
        assert_eq!(due(None, at(10), minute), (vec![at(10)], 0));
        assert_eq!(due(Some(at(9)), at(10), minute), (vec![at(10)], 0));
        assert_eq!(due(Some(at(10)), at(10), minute), (vec![], 0));
        assert_eq!(due(Some(at(11)), at(10), minute), (vec![], 0));
        assert_eq!(due(Some(at(70)), at(10), minute), (vec![], 0));
        assert_eq!(due(Some(at(71)), at(10), minute), (vec![at(10)], 0), "the clock was wrong before");
        assert_eq!(due(Some(at(7)), at(10), minute), (vec![at(8), at(9), at(10)], 2));
        let (slots, missed) = due(Some(at(0)), at(1000), minute);
        assert_eq!((slots.len(), slots[0], missed), (LATE_SLOTS_MAX + 1, at(1000 - 60), 999));
    }

    #[test]
    fn after_a_change_of_the_interval_slots_follow_the_new_one() {
        let at = Timestamp::from_secs;
        let (slots, missed) = due(Some(at(70)), at(300), Duration::from_secs(100));
        assert_eq!((slots, missed), (vec![at(100), at(200), at(300)], 1));
    }
}

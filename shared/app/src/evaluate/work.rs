//! What is due for one tenant, and its evaluation: a pure function of the loaded series.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alerting::Alert;
use alerting::rule::{self, GroupState, Moment, Outcome, Rule, RuleGroup, RuleKind, RuleResult, Transition};
use model::{Labels, Limits, Sample, Series, TenantId, TimeRange, Timestamp, matches_all};
use promql::{Deadline, Params, Profile, Selection, Source, SourceError, Value};

use crate::Stopwatch;
use crate::config::{Config, TenantConfig};

/// Most missed slots of a group that are evaluated late, for its recording rules; the newest ones.
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
    pub(super) deadline: Deadline,
    pub(super) stopwatch: Stopwatch,
}

/// All that is due for one tenant.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) tenant: TenantId,
    config: Arc<Config>,
    circumstances: Circumstances,
    jobs: Vec<Job>,
    /// In the order they run.
    runs: Vec<Run>,
    /// Of all runs, one after the other.
    pub(super) selections: Vec<Selection>,
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

/// One evaluation of one rule.
#[derive(Clone, Copy, Debug)]
struct Run {
    job: usize,
    slot: Timestamp,
    rule: usize,
    /// Where its selections start.
    first_selection: usize,
}

/// What the evaluation of a tenant's groups leads to.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The new state of each group, by its key; `None` when there is nothing left to remember.
    pub(super) states: BTreeMap<String, Option<GroupState>>,
    pub(super) samples: Vec<(Labels, Sample)>,
    pub(super) alerts: Vec<Alert>,
    /// With the key of the group.
    pub(super) transitions: Vec<(String, Transition)>,
    pub(super) rules_evaluated: usize,
    pub(super) rules_failed: usize,
    pub(super) slots_missed: usize,
    /// Which rule failed and why.
    pub(super) errors: Vec<String>,
}

/// The series of the runs' selections.
pub(super) enum Loaded<S> {
    /// All in one.
    Together(S),
    /// One source a run, or why there is none.
    Apart(Vec<Result<S, String>>),
}

impl Work {
    /// What is due, given the states by key of the group; nothing due gives no jobs.
    pub(super) fn plan(
        tenant: TenantId,
        config: Arc<Config>,
        mut states: BTreeMap<String, GroupState>,
        circumstances: Circumstances,
    ) -> Self {
        let mut work =
            Self { tenant, config, circumstances, jobs: Vec::new(), runs: Vec::new(), selections: Vec::new() };
        let config = Arc::clone(&work.config);
        let groups = config.tenants.get(&work.tenant).map_or(&[][..], |tenant| &tenant.rule_groups);
        for (index, group) in groups.iter().enumerate() {
            let key = group.key();
            let state = states.remove(&key).unwrap_or_default();
            work.add(Some((index, group)), key, state);
        }
        for (key, state) in states {
            work.add(None, key, state);
        }
        work
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The selections of each run.
    pub(super) fn selections_apart(&self) -> Vec<&[Selection]> {
        let ends = self.runs.iter().skip(1).map(|run| run.first_selection).chain([self.selections.len()]);
        self.runs.iter().zip(ends).map(|(run, end)| &self.selections[run.first_selection..end]).collect()
    }

    fn add(&mut self, group: Option<(usize, &RuleGroup)>, key: String, state: GroupState) {
        let interval = group.map_or(rule::DEFAULT_INTERVAL, |(_, group)| group.interval);
        let newest = match group {
            Some((_, group)) => group.slot(self.circumstances.now),
            None => self.circumstances.now.align_down(interval),
        };
        let (slots, missed) = due(state.slot, newest, interval);
        if slots.is_empty() {
            return;
        }
        let job = self.jobs.len();
        if let Some((_, group)) = group {
            for &slot in &slots {
                for (index, rule) in group.rules.iter().enumerate() {
                    if slot == newest || rule.kind == RuleKind::Recording {
                        self.add_run(job, slot, index, group, rule);
                    }
                }
            }
        }
        self.jobs.push(Job { key, group: group.map(|(index, _)| index), state, slots, missed });
    }

    fn add_run(&mut self, job: usize, slot: Timestamp, index: usize, group: &RuleGroup, rule: &Rule) {
        self.runs.push(Run { job, slot, rule: index, first_selection: self.selections.len() });
        if let Some(expr) = self.tenant_config().and_then(|tenant| tenant.expr(&rule.expr)) {
            let found = promql::selections(expr, &self.params(slot, group));
            self.selections.extend(found);
        }
    }

    fn tenant_config(&self) -> Option<&TenantConfig> {
        self.config.tenants.get(&self.tenant)
    }

    fn params(&self, slot: Timestamp, group: &RuleGroup) -> Params {
        let offset = group.query_offset.unwrap_or(self.circumstances.query_offset);
        Params {
            lookback: self.circumstances.lookback,
            profile: self.circumstances.promql_profile,
            limits: self.circumstances.limits.clone(),
            deadline: self.circumstances.deadline.clone(),
            ..Params::instant(slot - offset)
        }
    }

    /// Evaluates all that is due, in order: what a rule records, the rules behind it see.
    pub(super) fn evaluate<S: Source>(mut self, loaded: &Loaded<S>) -> Done {
        let mut done = Done::default();
        let mut jobs = std::mem::take(&mut self.jobs);
        let runs = std::mem::take(&mut self.runs);
        for (index, job) in jobs.iter_mut().enumerate() {
            let runs = runs.iter().enumerate().filter(|(_, run)| run.job == index);
            self.evaluate_job(job, runs, loaded, &mut done);
        }
        for job in jobs {
            done.slots_missed += job.missed;
            let keep = job.group.is_some() || !job.state.is_settled();
            done.states.insert(job.key, keep.then_some(job.state));
        }
        done
    }

    fn evaluate_job<'a, S: Source>(
        &self,
        job: &mut Job,
        runs: impl Iterator<Item = (usize, &'a Run)>,
        loaded: &Loaded<S>,
        done: &mut Done,
    ) {
        let group = job.group.zip(self.tenant_config()).map(|(index, tenant)| &tenant.rule_groups[index]);
        let identities = group.map(RuleGroup::identities).unwrap_or_default();
        let external_labels = BTreeMap::new();
        let last_slot = job.state.slot;
        let moment = |slot: Timestamp| self.moment(slot, last_slot, group, &external_labels);
        if let Some(group) = group {
            for (index, run) in runs {
                let rule = &group.rules[run.rule];
                let started = self.circumstances.stopwatch.read();
                let result = self.result(index, *run, group, loaded, &done.samples);
                let identity = &identities[run.rule];
                let state = job.state.rules.remove(identity).unwrap_or_default();
                let mut outcome = rule::step(rule, state, result, &moment(run.slot));
                if let Some(last_run) = &mut outcome.state.last_run {
                    last_run.duration_seconds = (self.circumstances.stopwatch.read() - started).as_secs_f64();
                }
                job.state.rules.insert(identity.clone(), std::mem::take(&mut outcome.state));
                done.rules_evaluated += 1;
                done.take(&job.key, &rule.name, outcome);
            }
        }
        let newest = *job.slots.last().expect("a job has at least one slot");
        let gone: Vec<String> = job.state.rules.keys().filter(|known| !identities.contains(known)).cloned().collect();
        for identity in gone {
            let state = job.state.rules.remove(&identity).unwrap_or_default();
            let mut outcome = rule::retire(state, &moment(newest));
            let state = std::mem::take(&mut outcome.state);
            if !state.is_settled() {
                job.state.rules.insert(identity.clone(), state);
            }
            done.take(&job.key, &identity, outcome);
        }
        job.state.slot = Some(newest);
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
            query_offset: group.and_then(|group| group.query_offset).unwrap_or(circumstances.query_offset),
            interval: group.map_or(rule::DEFAULT_INTERVAL, |group| group.interval),
            resend_delay: circumstances.resend_delay,
            limit: group.and_then(|group| group.limit),
            limit_max: circumstances.limits.alerts_per_rule_max,
            external_url: &circumstances.external_url,
            external_labels,
            query: &|expr| Err(format!("templates cannot query yet ({expr})")),
        }
    }

    fn result<S: Source>(
        &self,
        index: usize,
        run: Run,
        group: &RuleGroup,
        loaded: &Loaded<S>,
        recorded: &[(Labels, Sample)],
    ) -> RuleResult {
        let text = &group.rules[run.rule].expr;
        let expr = self.tenant_config().and_then(|tenant| tenant.expr(text));
        let expr = expr.ok_or_else(|| format!("{text:?} is not among the parsed expressions"))?;
        let (source, first) = match loaded {
            Loaded::Together(source) => (source, run.first_selection),
            Loaded::Apart(sources) => (sources[index].as_ref().map_err(Clone::clone)?, 0),
        };
        let selections = &self.selections[run.first_selection..];
        let overlay = Overlay { source, first, selections, recorded };
        let output = promql::evaluate(expr, &overlay, &self.params(run.slot, group)).map_err(|e| e.to_string())?;
        match output.value {
            Value::Vector(vector) => Ok(vector.into_iter().map(|(labels, sample)| (labels, sample.value)).collect()),
            Value::Scalar(sample) => Ok(vec![(Labels::empty(), sample.value)]),
            Value::String(_) | Value::Matrix(_) => Err("the result is neither a vector nor a scalar".to_owned()),
        }
    }
}

impl Done {
    fn take(&mut self, group: &str, rule: &str, outcome: Outcome) {
        self.samples.extend(outcome.samples);
        self.alerts.extend(outcome.alerts);
        self.transitions.extend(outcome.transitions.into_iter().map(|change| (group.to_owned(), change)));
        if let Some(error) = outcome.error {
            self.rules_failed += 1;
            self.errors.push(format!("{group}: {rule}: {error}"));
        }
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

/// What is stored, and what this tick has recorded so far on top of it.
struct Overlay<'a, S> {
    source: &'a S,
    /// Where the selections of the expression start in the source.
    first: usize,
    selections: &'a [Selection],
    recorded: &'a [(Labels, Sample)],
}

impl<S: Source> Source for Overlay<'_, S> {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        let stored = self.source.series(self.first + selection)?;
        let wanted = &self.selections[selection];
        let recorded = matching(self.recorded, wanted, wanted.range);
        if recorded.is_empty() { Ok(stored) } else { Ok(tsdb::merge(vec![stored, recorded])) }
    }
}

/// The recorded samples that a selection asks for, as series.
fn matching(recorded: &[(Labels, Sample)], wanted: &Selection, range: TimeRange) -> Vec<Series> {
    let mut found: BTreeMap<&Labels, BTreeMap<Timestamp, f64>> = BTreeMap::new();
    for (labels, sample) in recorded {
        if range.contains(sample.timestamp) && matches_all(&wanted.matchers, labels.as_ref()) {
            found.entry(labels).or_default().insert(sample.timestamp, sample.value);
        }
    }
    let series = |(labels, samples): (&Labels, BTreeMap<Timestamp, f64>)| {
        let samples: Vec<Sample> = samples.into_iter().map(|(timestamp, value)| Sample { timestamp, value }).collect();
        Series::from_samples(labels.clone(), &samples)
    };
    found.into_iter().map(series).collect()
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

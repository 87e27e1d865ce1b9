//! One round of questions to CloudWatch, and what becomes of the answers.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use model::{Batch, BatchBuilder, ErrorKind, Sample, Timestamp};
use wire::cloudwatch::{SeriesOf, Window};

use super::Flow;
use super::plan::Due;
use super::port::{Answered, Listing, Metric, POINTS_MAX, QUERIES_MAX, Query};
use super::unit_row::{Progress, UnitRow};
use crate::ports::{PortError, PortResult};

/// What is complete may still change for so long, or two periods.
const CHANGES_FOR: Duration = Duration::from_secs(15 * 60);
/// A question that CloudWatch fails on is asked about the same periods for so long.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3600);
/// How many calls run at once.
const CALLS_AT_ONCE: usize = 4;
/// Most pages of one listing or answer: more can only be a fault.
const PAGES_MAX: u64 = 1000;

/// What a round brought.
#[derive(Debug)]
pub(super) struct Round {
    /// The samples that are new or have changed.
    pub(super) batch: Batch,
    /// The end of the last period that everything was asked about.
    pub(super) until: Timestamp,
    /// How many questions were asked.
    pub(super) questions: u64,
    /// What went wrong with some of the calls; their questions are asked again.
    pub(super) error: Option<PortError>,
}

/// A question that is due: its metric, the place of its statistic, and how far it was answered.
#[derive(Debug)]
struct Open<'a> {
    metric: &'a Metric,
    statistic: &'a str,
    progress: &'a mut Progress,
}

/// Questions that go into one call.
#[derive(Debug)]
struct Call<'a> {
    open: Vec<Open<'a>>,
    from: Timestamp,
    until: Timestamp,
}

/// The values by the start of their period, or why CloudWatch could not tell.
type Values = Result<BTreeMap<Timestamp, f64>, String>;

/// Lists all metrics that a unit wants, and says how many pages that took.
pub(super) async fn list(flow: &Flow<'_>, due: &Due<'_>) -> PortResult<(Vec<Metric>, u64)> {
    let entry = due.unit.entry;
    let dimensions: Vec<&str> = entry.dimensions.iter().flatten().map(model::Matcher::name).collect();
    let names: Vec<Option<&str>> = match entry.metrics.as_slice() {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let (mut metrics, mut pages) = (Vec::new(), 0);
    for name in names {
        let listing = Listing {
            namespace: &entry.namespace,
            name,
            dimensions: &dimensions,
            recently_active: entry.recently_active,
            linked_accounts: flow.linked_accounts,
        };
        let mut cursor: Option<String> = None;
        loop {
            let page = flow.cloudwatch.list(due.unit.region, &listing, cursor.as_deref()).await?;
            pages += 1;
            metrics.extend(page.metrics.into_iter().filter(|metric| entry.wants(metric)));
            match page.cursor {
                None => break,
                next if next == cursor || pages > PAGES_MAX => return Err(endless("list metrics")),
                next => cursor = next,
            }
        }
    }
    Ok((metrics, pages))
}

/// Asks all questions of a unit that are due.
pub(super) async fn round(flow: &Flow<'_>, due: &Due<'_>, row: &mut UnitRow) -> PortResult<Round> {
    let mut round = Round { batch: Batch::new(), until: due.complete, questions: 0, error: None };
    let window = Window::new(&flow.app.limits, flow.now);
    let mut builder = BatchBuilder::default();
    let mut calls = calls(flow, due, row).into_iter();
    while round.error.is_none() {
        let mut some: Vec<Call<'_>> = calls.by_ref().take(CALLS_AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        let answers = join_all(some.iter().map(|call| answers(flow, due, call))).await;
        for (call, answer) in some.iter_mut().zip(answers) {
            match answer {
                Ok((values, pages)) => {
                    round.questions += pages * call.open.len() as u64;
                    round.until = round.until.min(call.until);
                    take(flow, due, call, values, &window, &mut builder);
                }
                Err(error) => {
                    round.questions += call.open.len() as u64;
                    round.error = round.error.or(Some(error));
                }
            }
        }
    }
    let finished = builder.finish();
    round.batch = finished.map_err(|error| PortError::new(ErrorKind::Bug, "metric data", error))?;
    Ok(round)
}

/// The questions that are due, in calls: all statistics of a metric in the same one, which AWS may bill as one.
fn calls<'a>(flow: &Flow<'_>, due: &Due<'a>, row: &'a mut UnitRow) -> Vec<Call<'a>> {
    let mut groups: Vec<Vec<Open<'a>>> = Vec::new();
    for (metric, progress) in &mut row.metrics {
        let is_due = |progress: &Progress| progress.until.is_none_or(|until| due.complete.since(until) >= due.every);
        let open = due.unit.entry.statistics.iter().zip(progress).filter(|(_, progress)| is_due(progress));
        let open: Vec<Open<'_>> = open.map(|(statistic, progress)| Open { metric, statistic, progress }).collect();
        match groups.last_mut() {
            Some(group) if group.len() + open.len() <= QUERIES_MAX => group.extend(open),
            _ => groups.push(open),
        }
    }
    groups.retain(|group| !group.is_empty());
    groups.into_iter().map(|open| call(flow, due, open)).collect()
}

/// From the first period that is missing, or may have changed, to the last complete one, as far as one page goes.
fn call<'a>(flow: &Flow<'_>, due: &Due<'_>, open: Vec<Open<'a>>) -> Call<'a> {
    let period = due.unit.entry.period;
    let first = due.complete - due.every.max(changes_for(period));
    let since = |open: &Open<'_>| open.progress.until.map_or(first, |until| until - changes_for(period));
    let from = open.iter().map(since).min().unwrap_or(first);
    // A sample stands at the end of its period, and older ones than this are refused.
    let oldest = flow.now - flow.app.limits.sample_age_max;
    let from = if from < oldest { oldest.align_down(period) + period } else { from };
    let periods_max = u32::try_from(POINTS_MAX / open.len().max(1)).unwrap_or(u32::MAX);
    // What is complete only when it is too old is never asked about.
    Call { open, from, until: due.complete.min(from + period * periods_max).max(from) }
}

/// For how long a complete period may still change: whole periods.
fn changes_for(period: Duration) -> Duration {
    let periods = CHANGES_FOR.as_secs().div_ceil(period.as_secs().max(1)).max(2);
    period * u32::try_from(periods).unwrap_or(u32::MAX)
}

/// The answers to the questions of a call, and how many pages they took.
async fn answers(flow: &Flow<'_>, due: &Due<'_>, call: &Call<'_>) -> PortResult<(Vec<Values>, u64)> {
    let period = due.unit.entry.period;
    let queries = call.open.iter().map(|open| Query { metric: open.metric, statistic: open.statistic, period });
    let queries: Vec<Query<'_>> = queries.collect();
    let mut values: Vec<Values> = vec![Ok(BTreeMap::new()); queries.len()];
    let mut partial = vec![false; queries.len()];
    let (mut cursor, mut pages): (Option<String>, u64) = (None, 0);
    if call.from >= call.until {
        return Ok((values, pages));
    }
    loop {
        let range = (call.from, call.until);
        let page = flow.cloudwatch.metric_data(due.unit.region, &queries, range, cursor.as_deref()).await?;
        pages += 1;
        for answer in page.answers {
            let Some(known) = values.get_mut(answer.query) else { continue };
            partial[answer.query] = answer.answered == Answered::Partly;
            match (answer.answered, &mut *known) {
                (Answered::Failed(reason), known) => *known = Err(reason),
                (Answered::Complete | Answered::Partly, Ok(values)) => values.extend(answer.points),
                (Answered::Complete | Answered::Partly, Err(_)) => {}
            }
        }
        match page.cursor {
            None => break,
            next if next == cursor || pages > PAGES_MAX => return Err(endless("metric data")),
            next => cursor = next,
        }
    }
    for (values, _) in values.iter_mut().zip(partial).filter(|(_, partial)| *partial) {
        *values = Err("the answer breaks off".to_owned());
    }
    Ok((values, pages))
}

fn endless(operation: &'static str) -> PortError {
    PortError::new(ErrorKind::Unavailable, operation, "the pages do not end")
}

/// Turns answers into samples, and notes how far each question was answered.
fn take(
    flow: &Flow<'_>,
    due: &Due<'_>,
    call: &mut Call<'_>,
    values: Vec<Values>,
    window: &Window<'_>,
    batch: &mut BatchBuilder,
) {
    let (mut failed, mut refused) = (Vec::new(), Vec::new());
    let (from, until) = (call.from, call.until);
    for (open, values) in call.open.iter_mut().zip(values) {
        let values = match values {
            Ok(values) => values,
            Err(reason) => {
                failed.push(reason);
                let since = open.progress.until.unwrap_or(from);
                open.progress.until = Some(if until.since(since) > GIVEN_UP_AFTER { until } else { since });
                continue;
            }
        };
        if let Err(error) = take_values(flow, due, open, &values, (from, until), window, batch) {
            refused.push(error.to_string());
        }
        open.progress.until = Some(until.max(open.progress.until.unwrap_or(until)));
        open.progress.forget(until - changes_for(due.unit.entry.period));
    }
    let (namespace, region) = (due.unit.entry.namespace.as_str(), due.unit.region);
    if let Some(reason) = failed.first() {
        tracing::warn!(namespace, region, questions = failed.len(), reason, "CloudWatch did not answer; asked again");
    }
    if let Some(reason) = refused.first() {
        tracing::warn!(namespace, region, questions = refused.len(), reason, "metrics cannot be taken");
    }
}

/// Appends the samples of one question that are new or have changed.
fn take_values(
    flow: &Flow<'_>,
    due: &Due<'_>,
    open: &mut Open<'_>,
    values: &BTreeMap<Timestamp, f64>,
    (from, until): (Timestamp, Timestamp),
    window: &Window<'_>,
    batch: &mut BatchBuilder,
) -> Result<(), wire::SeriesError> {
    let period = due.unit.entry.period;
    let mut samples = Vec::new();
    for (&start, &value) in values.range(from..until) {
        let timestamp = start + period;
        // A period that does not end before `until` was not complete when it was asked for.
        if timestamp <= until && open.progress.take(timestamp, value) {
            samples.push(Sample { timestamp, value });
        }
    }
    if samples.is_empty() {
        return Ok(());
    }
    let metric = wire::cloudwatch::Metric {
        namespace: &open.metric.namespace,
        name: &open.metric.name,
        account: open.metric.account.as_deref().or(flow.cloudwatch.account()),
        region: due.unit.region,
    };
    let dimensions = open.metric.dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    SeriesOf::new(metric, dimensions, window)?.push(open.statistic, &samples, batch)?;
    Ok(())
}

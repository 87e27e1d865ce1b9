//! What a query is to be answered for, and what must be loaded for it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use model::{Aggregate, Limits, METRIC_NAME, Matcher, TimeRange, Timestamp};

use crate::ast::{At, DurationExpr, Expr, ExprKind, Extent, Selector, Shift};
use crate::duration;
use crate::error::{EvalError, ProfileError};
use crate::functions::FunctionId;

/// When, how finely and within which limits a query is answered.
#[derive(Clone, Debug)]
pub struct Params {
    /// The time of the first step.
    pub start: Timestamp,
    /// No step is later.
    pub end: Timestamp,
    /// From one step to the next; zero for an instant query, whose start is its end.
    pub step: Duration,
    /// How far back an instant selector searches.
    pub lookback: Duration,
    /// The step of subqueries that name none.
    pub subquery_step: Duration,
    /// The limits that hold.
    pub limits: Limits,
    /// Whose rules hold where there is a choice.
    pub profile: Profile,
    /// When to give up.
    pub deadline: Deadline,
}

impl Params {
    /// An instant query with Prometheus's defaults.
    pub fn instant(time: Timestamp) -> Self {
        Self::range(time, time, Duration::ZERO)
    }

    /// A range query with Prometheus's defaults.
    pub fn range(start: Timestamp, end: Timestamp, step: Duration) -> Self {
        Self {
            start,
            end,
            step,
            lookback: Duration::from_secs(300),
            subquery_step: Duration::from_secs(60),
            limits: Limits::default(),
            profile: Profile::default(),
            deadline: Deadline::never(),
        }
    }

    /// Whether it asks for one time only.
    pub const fn is_instant(&self) -> bool {
        self.step.is_zero()
    }
}

/// Whose rules hold where there is a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Everything the language has, experiments included. Metric names are dropped when the query ends, so that functions
    /// can still see them.
    #[default]
    Extended,
    /// A stock Prometheus: what it has behind feature flags is refused, and metric names are dropped by each function.
    Prometheus,
}

impl Profile {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Extended => "extended",
            Self::Prometheus => "prometheus",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(name: &str) -> Result<Self, ProfileError> {
        let found = [Self::Extended, Self::Prometheus].into_iter().find(|profile| profile.as_str() == name);
        found.ok_or_else(|| ProfileError(name.to_owned()))
    }
}

/// Why an evaluation is to end before it has an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has taken as long as it may.
    TimedOut,
    /// Nobody waits for the answer any more.
    Canceled,
}

/// Tells an evaluation when to give up. The clock, and who waits for the answer, are the caller's business.
#[derive(Clone)]
pub struct Deadline(Option<Arc<dyn Fn() -> Option<Stop> + Send + Sync>>);

impl Deadline {
    /// There is none.
    pub const fn never() -> Self {
        Self(None)
    }

    /// Time is up as soon as `passed` says true; it is asked a few thousand times a second.
    pub fn when(passed: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self::stopping(move || passed().then_some(Stop::TimedOut))
    }

    /// Give up as soon as `stop` gives a reason; it is asked a few thousand times a second.
    pub fn stopping(stop: impl Fn() -> Option<Stop> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(stop)))
    }

    /// An error once there is a reason to give up.
    pub(crate) fn check(&self) -> Result<(), EvalError> {
        match self.0.as_ref().and_then(|stop| stop()) {
            None => Ok(()),
            Some(Stop::TimedOut) => Err(EvalError::TimedOut),
            Some(Stop::Canceled) => Err(EvalError::Canceled),
        }
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Deadline" } else { "Deadline::never" })
    }
}

/// What one selector of an expression must see.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// All conditions on the labels.
    pub matchers: Vec<Matcher>,
    /// From the oldest to the newest sample that may matter. For rollups whose span is longer than [`Self::window`],
    /// load two spans more at its start.
    pub range: TimeRange,
    /// Which aggregate of a span a rollup shall hold: decided by the function around the selector.
    pub aggregate: Aggregate,
    /// How far back each step looks: the window of a range selector, the lookback of an instant one.
    pub window: Duration,
    /// From one step to the next; zero when there is one only.
    pub step: Duration,
    /// Whether a step sees only the newest sample of its window: that of an instant selector.
    pub newest_only: bool,
}

/// What must be loaded to answer an expression: one entry a selector, in the order of [`Selector::index`].
pub fn selections(expr: &Expr, params: &Params) -> Vec<Selection> {
    let mut found = Vec::new();
    let grid = Span { start: params.start.as_millis(), end: params.end.as_millis(), step: millis(params.step) };
    walk(expr, &Walk { params, grid, aggregate: Aggregate::Last }, &mut found);
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, selection)| selection).collect()
}

/// Times in milliseconds from the first to the last step.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: i64,
    end: i64,
    step: i64,
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    params: &'a Params,
    grid: Span,
    aggregate: Aggregate,
}

fn walk(expr: &Expr, context: &Walk<'_>, found: &mut Vec<(usize, Selection)>) {
    let plain = Walk { aggregate: Aggregate::Last, ..*context };
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Text(_) => {}
        ExprKind::Selector(selector) => {
            let lookback = millis(context.params.lookback);
            let selection = select(selector, lookback, &plain);
            found.push((selector.index, Selection { newest_only: true, ..selection }));
        }
        ExprKind::Range(range) => {
            let window = resolve_or_zero(&range.range, context.params);
            found.push((range.selector.index, select(&range.selector, window, context)));
        }
        ExprKind::Subquery(subquery) => {
            let range = resolve_or_zero(&subquery.range, context.params);
            let step = subquery.step.as_ref().map(|step| resolve_or_zero(step, context.params));
            let step = step.filter(|step| *step > 0).unwrap_or(millis(context.params.subquery_step));
            let outer = shifted(context.grid, &subquery.shift, context.params);
            let grid = Span { start: outer.start.saturating_sub(range), end: outer.end, step };
            walk(&subquery.expr, &Walk { grid, ..plain }, found);
        }
        ExprKind::Unary { operand, .. } => walk(operand, &plain, found),
        ExprKind::Paren(inner) => walk(inner, context, found),
        ExprKind::Binary(binary) => {
            walk(&binary.left, &plain, found);
            walk(&binary.right, &plain, found);
        }
        ExprKind::Aggregate(aggregation) => {
            if let Some(parameter) = &aggregation.parameter {
                walk(parameter, &plain, found);
            }
            walk(&aggregation.expr, &plain, found);
        }
        ExprKind::Call(call) => {
            let inside = Walk { aggregate: aggregate_of(call.function.id), ..*context };
            for argument in &call.arguments {
                walk(argument, &inside, found);
            }
            if let (FunctionId::Info, Some(second)) = (call.function.id, call.arguments.get(1)) {
                name_info_metric(second, found);
            }
        }
    }
}

/// The second argument of `info` may leave the name of the metric to us.
fn name_info_metric(expr: &Expr, found: &mut [(usize, Selection)]) {
    if let ExprKind::Selector(selector) = &expr.without_parens().kind {
        let own = found.iter_mut().find(|(index, _)| *index == selector.index);
        if let Some((_, selection)) = own {
            selection.matchers = info_matchers(selector);
        }
    }
}

/// The conditions on info metrics: `target_info`, unless the selector says something about the name.
pub(crate) fn info_matchers(selector: &Selector) -> Vec<Matcher> {
    let mut matchers = selector.matchers.clone();
    if !matchers.iter().any(|matcher| matcher.name() == METRIC_NAME) {
        matchers.push(Matcher::equal(METRIC_NAME, "target_info"));
    }
    matchers
}

fn select(selector: &Selector, window: i64, context: &Walk<'_>) -> Selection {
    let span = shifted(context.grid, &selector.shift, context.params);
    let lookback = millis(context.params.lookback);
    let (before, after) = match selector.extent {
        None => (0, 0),
        Some(Extent::Anchored) => (lookback, 0),
        Some(Extent::Smoothed) => (lookback, lookback),
    };
    let start = span.start.saturating_sub(window).saturating_sub(before).saturating_add(1);
    let end = span.end.saturating_add(after);
    Selection {
        matchers: selector.matchers.clone(),
        range: TimeRange::new(Timestamp::from_millis(start.min(end)), Timestamp::from_millis(end)),
        aggregate: context.aggregate,
        window: Duration::from_millis(u64::try_from(window).unwrap_or(0)),
        step: Duration::from_millis(u64::try_from(context.grid.step).unwrap_or(0)),
        newest_only: false,
    }
}

/// The rollup that answers a function best.
#[expect(clippy::wildcard_enum_match_arm, reason = "most functions are about the last value")]
const fn aggregate_of(function: FunctionId) -> Aggregate {
    match function {
        FunctionId::MinOverTime => Aggregate::Min,
        FunctionId::MaxOverTime => Aggregate::Max,
        FunctionId::AvgOverTime | FunctionId::SumOverTime | FunctionId::CountOverTime => Aggregate::Average,
        FunctionId::Rate | FunctionId::Increase | FunctionId::Irate => Aggregate::Increase,
        _ => Aggregate::Last,
    }
}

fn shifted(grid: Span, shift: &Shift, params: &Params) -> Span {
    let (start, end) = match shift.at {
        None => (grid.start, grid.end),
        Some(at) => {
            let time = at_millis(at, params);
            (time, time)
        }
    };
    let offset = shift.offset.as_ref().map_or(0, |offset| duration::resolve(offset, params).unwrap_or(0));
    Span { start: start.saturating_sub(offset), end: end.saturating_sub(offset), step: grid.step }
}

/// The time behind `@`, in milliseconds.
pub(crate) fn at_millis(at: At, params: &Params) -> i64 {
    match at {
        At::Millis(millis) => millis,
        At::Start => params.start.as_millis(),
        At::End => params.end.as_millis(),
    }
}

/// A window's length; one that makes no sense is refused by the evaluation.
fn resolve_or_zero(expr: &DurationExpr, params: &Params) -> i64 {
    duration::resolve(expr, params).unwrap_or(0).max(0)
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line a selection: aggregate, first and last millisecond, window and step in seconds.
    fn check(query: &str, expected: &[(Aggregate, i64, i64, u64, u64)]) {
        let expr = crate::parse(query).unwrap();
        let secs = Timestamp::from_secs;
        let params = Params::range(secs(10_000), secs(20_000), Duration::from_secs(100));
        let found: Vec<_> = selections(&expr, &params)
            .into_iter()
            .map(|Selection { range, aggregate, window, step, .. }| {
                (aggregate, range.start.as_millis(), range.end.as_millis(), window.as_secs(), step.as_secs())
            })
            .collect();
        assert_eq!(found, expected, "{query}");
    }

    #[test]
    fn each_selector_says_when_it_looks_and_what_for() {
        use Aggregate::{Average, Increase, Last, Max, Min};
        check("a", &[(Last, 9_700_001, 20_000_000, 300, 100)]);
        check("a offset 1h", &[(Last, 6_100_001, 16_400_000, 300, 100)]);
        check("a offset -1h", &[(Last, 13_300_001, 23_600_000, 300, 100)]);
        check("a @ 5", &[(Last, -294_999, 5_000, 300, 100)]);
        check("a[5m] @ end()", &[(Last, 19_700_001, 20_000_000, 300, 100)]);
        check("rate(a[10m])", &[(Increase, 9_400_001, 20_000_000, 600, 100)]);
        check("min_over_time((a[10m]))", &[(Min, 9_400_001, 20_000_000, 600, 100)]);
        check("deriv(a[step() * 6])", &[(Last, 9_400_001, 20_000_000, 600, 100)]);
        check(
            "count_over_time(a[10m]) / avg_over_time(b[10m])",
            &[(Average, 9_400_001, 20_000_000, 600, 100), (Average, 9_400_001, 20_000_000, 600, 100)],
        );
        check("max_over_time(a[1h:1m])", &[(Last, 6_100_001, 20_000_000, 300, 60)]);
        check("sum(max_over_time(rate(a[1m])[1h:10s] offset 1h))", &[(Increase, 2_740_001, 16_400_000, 60, 10)]);
        check(
            "max_over_time(a[1h]) > on (x) scalar(b) * c",
            &[
                (Max, 6_400_001, 20_000_000, 3600, 100),
                (Last, 9_700_001, 20_000_000, 300, 100),
                (Last, 9_700_001, 20_000_000, 300, 100),
            ],
        );
    }
}

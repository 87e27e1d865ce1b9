//! Which samples answer a selection: raw ones, or rollups of some resolution.

use std::time::Duration;

use model::Timestamp;
use promql::Selection;
use tsdb::retention::Retention;
use tsdb::rollup::Resolution;

/// Raw samples answer any range up to this one, as long as they are kept.
const RAW_RANGE_MAX: Duration = Duration::from_secs(2 * 24 * 3600);

/// Of a single step the span that its end lies in is rolled up from raw samples, unless it is longer than this.
pub(super) const NEWEST_MAX: Resolution = Resolution::Hour;

/// Where the samples of a selection come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Samples as they came.
    Raw,
    /// Rollups.
    Rollup(Resolution),
}

/// The tiers that can answer a selection, the best first; a later one is for when an earlier one is too large.
///
/// A resolution is exact enough when no step is shorter than its spans and every window holds two of them; of one step
/// alone only hours are, since the last span is read anew. Where raw samples are no longer kept, coarser ones stand in:
/// the evaluator widens its windows to two spans. Where raw samples are kept as long as rollups, they answer all that is
/// not too large.
pub(super) fn choose(selection: &Selection, retention: Retention, now: Timestamp) -> Vec<Tier> {
    let one_step = selection.step.is_zero();
    let in_steps = |resolution: Resolution| one_step || resolution.duration() <= selection.step;
    let is_fine = |resolution: Resolution| !one_step || resolution <= NEWEST_MAX;
    let in_window = |resolution: Resolution| resolution.duration() * 2 <= selection.window;
    let exact = Resolution::ALL.into_iter().rev().find(|&one| in_steps(one) && in_window(one) && is_fine(one));
    let is_long = selection.range.end.since(selection.range.start) > RAW_RANGE_MAX;
    if retention.raw >= retention.rollups && selection.range.start >= retention.raw_start(now) {
        // Whoever keeps all raw samples wants them; rollups of them are for what is too large.
        let exact = exact.filter(|_| !one_step).map(Tier::Rollup);
        return std::iter::once(Tier::Raw).chain(exact).collect();
    }
    if selection.range.start >= retention.raw_start(now) {
        return match exact {
            Some(resolution) if is_long && !one_step => vec![Tier::Rollup(resolution), Tier::Raw],
            _ => vec![Tier::Raw],
        };
    }
    let finest = exact.unwrap_or(Resolution::Minute);
    let coarser = Resolution::ALL.into_iter().filter(|&resolution| resolution > finest && in_steps(resolution));
    std::iter::once(finest).chain(coarser).map(Tier::Rollup).collect()
}

#[cfg(test)]
mod tests {
    use model::{Aggregate, TimeRange};

    use super::*;

    const DAY: u64 = 86_400;

    fn check(age_days: u64, range_secs: u64, window_secs: u64, step_secs: u64, expected: &[Tier]) {
        check_kept(7, (age_days, range_secs, window_secs, step_secs), expected);
    }

    fn check_kept(
        raw_days: u64,
        (age_days, range_secs, window_secs, step_secs): (u64, u64, u64, u64),
        expected: &[Tier],
    ) {
        let now = Timestamp::from_secs(1_795_000_000);
        let start = now - Duration::from_secs(age_days * DAY);
        let selection = Selection {
            matchers: Vec::new(),
            range: TimeRange::new(start, start + Duration::from_secs(range_secs)),
            aggregate: Aggregate::Last,
            window: Duration::from_secs(window_secs),
            step: Duration::from_secs(step_secs),
            newest_only: false,
        };
        let retention = Retention { raw: Duration::from_secs(raw_days * DAY), rollups: Duration::from_secs(366 * DAY) };
        let case = format!("{age_days} days ago, {range_secs} s, window {window_secs} s, step {step_secs} s");
        assert_eq!(choose(&selection, retention, now), expected, "{case}");
    }

    #[test]
    fn raw_as_long_as_it_is_kept_and_not_too_long() {
        use Resolution::{Day, FiveMinutes, Hour, Minute};
        let rollup = Tier::Rollup;
        check(1, 3600, 300, 15, &[Tier::Raw]);
        check(6, 6 * DAY, 300, 0, &[Tier::Raw]);
        check(6, 6 * DAY, 300, 30, &[Tier::Raw]);
        check(6, 6 * DAY, 300, 600, &[rollup(Minute), Tier::Raw]);
        check(6, 6 * DAY, 3600, 3600, &[rollup(FiveMinutes), Tier::Raw]);
        check(30, 30 * DAY, 300, 15, &[rollup(Minute)]);
        check(30, 30 * DAY, 300, 3600, &[rollup(Minute), rollup(FiveMinutes), rollup(Hour)]);
        check(30, 30 * DAY, 7200, 7200, &[rollup(Hour)]);
        check(300, 300 * DAY, 30 * DAY, 0, &[rollup(Hour), rollup(Day)]);
    }

    #[test]
    fn raw_answers_all_where_it_is_kept_as_long_as_rollups() {
        use Resolution::{Hour, Minute};
        let rollup = Tier::Rollup;
        check_kept(366, (30, 30 * DAY, 300, 60), &[Tier::Raw, rollup(Minute)]);
        check_kept(36_500, (20_400, 300 * DAY, 7200, 7200), &[Tier::Raw, rollup(Hour)]);
        check_kept(36_500, (20_400, 300 * DAY, 300, 15), &[Tier::Raw]);
        check_kept(36_500, (300, 300 * DAY, 30 * DAY, 0), &[Tier::Raw]);
        check_kept(366, (367, 3600, 300, 60), &[rollup(Minute)]);
    }
}

//! How many samples a query looks at, for those who ask for its statistics.

use std::collections::BTreeMap;

use model::{Series, Timestamp};
use promql::{Params, Selection, Source};

use crate::AppError;

/// The samples that a query looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SamplesSeen {
    /// By step, one that lies in several windows counted in each of them. What a subquery or a selector with `@` looks
    /// at counts for the step that it ends before.
    pub by_step: BTreeMap<Timestamp, u64>,
    /// Different samples that were loaded.
    pub loaded: u64,
    /// The most series times steps that one selector held at once.
    pub peak: u64,
}

impl SamplesSeen {
    /// All of them together.
    pub fn total(&self) -> u64 {
        self.by_step.values().sum()
    }

    /// Counts what the selections of an expression looked at.
    ///
    /// # Errors
    /// When the source cannot deliver.
    pub(super) fn count(selections: &[Selection], source: &dyn Source, params: &Params) -> Result<Self, AppError> {
        let mut seen = Self::default();
        for step in steps(params.start.as_millis(), params.end.as_millis(), params.step.as_millis()) {
            seen.by_step.insert(Timestamp::from_millis(step), 0);
        }
        for (index, selection) in selections.iter().enumerate() {
            let series = source.series(index)?;
            let samples: usize = series.iter().map(Series::len).sum();
            seen.loaded += samples as u64;
            seen.peak = seen.peak.max(samples as u64);
            for series in &series {
                seen.add(series, selection, params);
            }
        }
        Ok(seen)
    }

    fn add(&mut self, series: &Series, selection: &Selection, params: &Params) {
        let times: Vec<i64> = series.timestamps.iter().map(|time| time.as_millis()).collect();
        let window = i64::try_from(selection.window.as_millis()).unwrap_or(i64::MAX);
        let first = selection.range.start.as_millis().saturating_sub(1).saturating_add(window);
        let last = selection.range.end.as_millis();
        // How far the selector's own steps lie behind those of the query.
        let shift = params.end.as_millis().saturating_sub(last);
        for step in steps(first, last, selection.step.as_millis()) {
            let inside = times.partition_point(|time| *time <= step)
                - times.partition_point(|time| *time <= step.saturating_sub(window));
            let looked_at = if selection.newest_only { inside.min(1) } else { inside };
            let owner = Timestamp::from_millis(step.saturating_add(shift));
            let owner = self.by_step.range(owner..).next().or(self.by_step.iter().next_back()).map(|(time, _)| *time);
            if let Some(count) = owner.and_then(|time| self.by_step.get_mut(&time)) {
                *count += looked_at as u64;
            }
        }
    }
}

/// The times of a grid, in milliseconds; the first alone when there is no step.
fn steps(first: i64, last: i64, step: u128) -> impl Iterator<Item = i64> {
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    std::iter::successors(Some(first), move |time| (step > 0).then(|| time.checked_add(step)).flatten())
        .take_while(move |time| *time <= last)
}

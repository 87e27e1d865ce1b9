//! What a query loaded: encoded until it is asked for.

use std::ops::ControlFlow;
use std::sync::Arc;

use hashbrown::HashSet;
use model::{Aggregate, ErrorKind, Matcher, Series, TimeRange, Timestamp};
use promql::{Source, SourceError};
use tsdb::hour::{hour_of, hour_range};
use tsdb::rollup::{Column, Resolution, aggregate, cut, join, roll_up, roll_up_newest};
use tsdb::{Head, merge};

use super::pieces::Fetched;
use super::whole::Picked;

/// The series of all selections of an expression; decodes and merges one selection when the evaluator asks for it.
#[derive(Debug, Default)]
pub struct Loaded {
    selections: Vec<Parts>,
    pub(super) samples_max: usize,
}

/// Where the series of a selection are.
#[derive(Debug)]
pub(super) enum Parts {
    /// In what was fetched for it.
    Own(SelectionParts),
    /// Among those of a metric that others pick from, too.
    Picked(Picked),
}

impl Loaded {
    pub(super) fn push(&mut self, parts: Parts) {
        self.selections.push(parts);
    }

    fn parts(&self, selection: usize) -> Result<&Parts, SourceError> {
        let missing = || SourceError::new(ErrorKind::Bug, format!("selection {selection} was not loaded"));
        self.selections.get(selection).ok_or_else(missing)
    }

    /// How many samples it has at most.
    pub const fn samples_max(&self) -> usize {
        self.samples_max
    }
}

impl Source for Loaded {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        let series = match self.parts(selection)? {
            Parts::Own(parts) => parts.series(),
            Parts::Picked(picked) => picked.series(),
        };
        series.map_err(|error| SourceError::new(error.kind(), error.to_string()))
    }

    fn series_count(&self, selection: usize) -> usize {
        match self.selections.get(selection) {
            Some(Parts::Own(parts)) => parts.series_count(),
            Some(Parts::Picked(_)) | None => 0,
        }
    }

    fn each(&self, selection: usize, visit: &mut dyn FnMut(&Series) -> ControlFlow<()>) -> Result<(), SourceError> {
        let shown = match self.parts(selection)? {
            Parts::Own(parts) => parts.series().map(|series| {
                let _seen_enough = series.iter().try_for_each(visit);
            }),
            Parts::Picked(picked) => picked.each(visit),
        };
        shown.map_err(|error| SourceError::new(error.kind(), error.to_string()))
    }
}

/// All that a selection is made of.
#[derive(Debug)]
pub(super) struct SelectionParts {
    raw: Vec<Fetched>,
    heads: Vec<Arc<Head>>,
    matchers: Vec<Matcher>,
    raw_range: TimeRange,
    rollups: Option<RollupParts>,
}

/// The rollups of a selection.
#[derive(Debug)]
pub(super) struct RollupParts {
    pub(super) resolution: Resolution,
    pub(super) aggregate: Aggregate,
    pub(super) range: TimeRange,
    pub(super) pieces: Vec<Fetched>,
    /// The hours that the pieces were made from.
    pub(super) covered: HashSet<i64>,
    /// Up to when the span that this lies in is rolled up from raw samples, if it is.
    pub(super) newest: Option<Timestamp>,
}

impl SelectionParts {
    pub(super) const fn raw(
        raw: Vec<Fetched>,
        heads: Vec<Arc<Head>>,
        matchers: Vec<Matcher>,
        raw_range: TimeRange,
    ) -> Self {
        Self { raw, heads, matchers, raw_range, rollups: None }
    }

    pub(super) fn with_rollups(self, rollups: RollupParts) -> Self {
        Self { rollups: Some(rollups), ..self }
    }

    /// About how many there are: those of the largest piece.
    fn series_count(&self) -> usize {
        let rollups = self.rollups.iter().flat_map(|rollups| &rollups.pieces);
        self.raw.iter().chain(rollups).map(Fetched::series_count).max().unwrap_or(0)
    }

    pub(super) fn series(&self) -> tsdb::Result<Vec<Series>> {
        match &self.rollups {
            None => self.raw_series(),
            Some(rollups) => self.rollup_series(rollups),
        }
    }

    fn raw_series(&self) -> tsdb::Result<Vec<Series>> {
        let mut sources = Vec::with_capacity(self.raw.len() + self.heads.len());
        for fetched in &self.raw {
            sources.push(fetched.raw(self.raw_range)?);
        }
        sources.extend(self.heads.iter().map(|head| head.select(&self.matchers, self.raw_range)));
        Ok(merge(sources))
    }

    /// Stored rollups, and those of the hours that have none yet, made now.
    fn rollup_series(&self, rollups: &RollupParts) -> tsdb::Result<Vec<Series>> {
        let columns = Column::of(rollups.aggregate);
        let mut pieces = Vec::with_capacity(rollups.pieces.len() + 1);
        for fetched in &rollups.pieces {
            pieces.push(fetched.rollups(rollups.range, columns)?);
        }
        let raw = self.raw_series()?;
        for hour in open_hours(&raw, &rollups.covered) {
            pieces.push(roll_up(&raw, rollups.resolution, hour_range(hour)));
        }
        pieces.extend(rollups.newest.map(|end| roll_up_newest(&raw, rollups.resolution, end)));
        let joined = cut(join(pieces), rollups.range);
        Ok(aggregate(joined, rollups.aggregate, rollups.resolution))
    }
}

/// The hours with samples that no rollup was made from yet, in order.
fn open_hours(series: &[Series], covered: &HashSet<i64>) -> Vec<i64> {
    let mut hours = std::collections::BTreeSet::new();
    for series in series {
        let native = series.histograms.as_ref().map(|histograms| &histograms.timestamps);
        for times in [Some(&series.timestamps), native].into_iter().flatten() {
            let mut start = 0;
            while let Some(time) = times.get(start) {
                let hour = hour_of(*time);
                hours.insert(hour);
                start += times[start..].partition_point(|time| hour_of(*time) == hour);
            }
        }
    }
    hours.into_iter().filter(|hour| !covered.contains(hour)).collect()
}

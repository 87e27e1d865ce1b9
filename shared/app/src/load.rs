//! Loading series for queries, rules and pages; and draining the log for the tick.
//!
//! Read [`Loader::load`] first. What a query sees is the catalogue's blocks, the chunks that no block holds yet, and the
//! log since the watermark, merged: a sample counts from the moment its sender got a 2xx. The tick row is read before
//! the catalogue, so that samples on their way from log to chunk are seen twice rather than not at all.

mod backlog;
mod cache;
mod drain;
mod loaded;
mod pieces;
mod pin;
mod rows;
mod stats;
mod tail;
mod tier;
mod whole;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hashbrown::{Equivalent, HashSet};
use model::{ErrorKind, Labels, LabelsRef, Limits, Matcher, TenantId, TimeRange, Timestamp};
use promql::{Selection, SourceError};
use tsdb::Head;
use tsdb::retention::Retention;
use tsdb::rollup::{Column, Resolution};

pub(crate) use cache::Cache;
pub use drain::{Chunk, Drained, drain};
pub(crate) use drain::{arrival_minute, last_closed, next_watermark};
pub use loaded::Loaded;
use loaded::{Parts, RollupParts, SelectionParts};
use pieces::Pieces;
pub use pin::Pin;
use pin::Pins;
use rows::RawRows;
use stats::StatsCache;
pub(crate) use stats::Stored;
pub use stats::{PieceStats, StorageStats};
pub use tail::Log;
use tail::TailState;
pub use tier::Tier;
use whole::{Picked, Share, Wholes};

use crate::catalogue::{CatalogueRow, raw_rows, rollup_rows, without_replaced};
use crate::layouts::LayoutReader;
use crate::ports::{Minute, Shard};
use crate::{AppError, Ports, tick_row};

/// Loads series; keeps what it decoded, since blocks and log entries never change.
#[derive(Debug)]
pub struct Loader {
    ports: Ports,
    limits: Limits,
    pieces: Pieces,
    tail: Mutex<Option<TailState>>,
    layouts: LayoutReader,
    stats: Mutex<StatsCache>,
    pins: Pins,
}

impl Loader {
    /// A loader with empty caches, which take at most so many bytes together.
    pub fn new(ports: Ports, limits: Limits, cache_bytes: usize) -> Self {
        Self {
            pieces: Pieces::new(Arc::clone(&ports.objects), cache_bytes / 7 * 2),
            layouts: LayoutReader::new(Arc::clone(&ports.state), cache_bytes / 7),
            tail: Mutex::default(),
            stats: Mutex::default(),
            pins: Pins::default(),
            ports,
            limits,
        }
    }

    /// Fetches all that the selections need; series are decoded when the evaluator asks for them.
    ///
    /// # Errors
    /// `Invalid` when a selection has more series or samples than a query may load, told before any value is fetched.
    /// `Unavailable` or `Corrupt` when a store does not answer or holds bytes that cannot be read.
    pub async fn load(&self, tenant: &TenantId, selections: &[Selection], now: Timestamp) -> Result<Loaded, AppError> {
        let head = self.head(tenant, now).await?;
        self.loads_over(head, tenant, selections, now).load(selections).await
    }

    /// Loads over what a tick found in the log, where nothing that arrived later is seen: the catalogue is read once for
    /// all of the selections, whose series are loaded some at a time.
    pub fn loads<'a>(&'a self, log: &Log, tenant: &'a TenantId, selections: &[Selection], now: Timestamp) -> Loads<'a> {
        let raw = |selection| (selection, self.raw_range(selection, now));
        let wholes = Wholes::plan(selections.iter().map(raw));
        Loads { wholes, ..self.loads_over(log.head(tenant), tenant, selections, now) }
    }

    /// The range of raw samples that answers a selection, if they do.
    fn raw_range(&self, selection: &Selection, now: Timestamp) -> Option<TimeRange> {
        let tiers = tier::choose(selection, self.retention(), now);
        (tiers.first() == Some(&Tier::Raw)).then(|| cut_start(selection.range, self.retention().raw_start(now)))
    }

    fn loads_over<'a>(
        &'a self,
        head: Arc<Head>,
        tenant: &'a TenantId,
        selections: &[Selection],
        now: Timestamp,
    ) -> Loads<'a> {
        let ranges = selections.iter().map(|selection| cut_start(selection.range, self.retention().raw_start(now)));
        Loads { rows: RawRows::new(self, tenant, ranges.collect(), now), heads: [head], wholes: Wholes::default() }
    }

    /// The label sets of all series that match one of the selectors (any, when there is none) and may have a sample in
    /// the range, sorted.
    ///
    /// # Errors
    /// As [`Loader::load`].
    pub async fn series(
        &self,
        tenant: &TenantId,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
        now: Timestamp,
    ) -> Result<Vec<Labels>, AppError> {
        let any = [Vec::new()];
        let selectors = if selectors.is_empty() { &any } else { selectors };
        let head = self.head(tenant, now).await?;
        let raw = cut_start(range, self.retention().raw_start(now));
        let mut rows = without_replaced(self.raw_rows(tenant, raw, now).await?);
        let mut found = LabelSets::new(self.limits.query_series_max);
        if range.start < raw.start {
            let rollups = cut_start(range, self.retention().rollup_start(now));
            rows.extend(self.rollup_rows(tenant, Resolution::Hour, rollups, now).await?);
        }
        for matchers in selectors {
            for labels in head.label_sets(matchers, raw) {
                found.insert(labels.as_ref())?;
            }
        }
        for row in rows.iter().filter(|row| row.entry.range.overlaps(&range)) {
            let piece = self.pieces.open(&row.entry).await?;
            for matchers in selectors {
                let selected = piece.index().select(matchers, range);
                for labels in piece.index().selected_labels(&selected) {
                    found.insert(labels)?;
                }
            }
        }
        Ok(found.sorted())
    }

    /// What is kept and answered for how long.
    fn retention(&self) -> Retention {
        Retention { raw: self.limits.raw_retention, rollups: self.limits.rollup_retention }
    }

    async fn raw_rows(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        now: Timestamp,
    ) -> Result<Vec<CatalogueRow>, AppError> {
        if range.start > range.end {
            return Ok(Vec::new());
        }
        if let Some(rows) = self.pins.rows(tenant, range, now) {
            return Ok(rows);
        }
        Ok(raw_rows(self.ports.state.as_ref(), tenant, Shard::default(), range, now).await?)
    }

    async fn rollup_rows(
        &self,
        tenant: &TenantId,
        resolution: Resolution,
        range: TimeRange,
        now: Timestamp,
    ) -> Result<Vec<CatalogueRow>, AppError> {
        if range.start > range.end {
            return Ok(Vec::new());
        }
        Ok(rollup_rows(self.ports.state.as_ref(), tenant, resolution, range, now).await?)
    }

    /// The tenant's samples in the log since the watermark.
    async fn head(&self, tenant: &TenantId, now: Timestamp) -> Result<Arc<Head>, AppError> {
        if let Some(head) = self.pins.head(tenant, now) {
            return Ok(head);
        }
        let shard = Shard::default();
        let watermark = self.watermark(shard, now).await?;
        self.tail(shard, tenant, watermark, now).await
    }

    async fn watermark(&self, shard: Shard, now: Timestamp) -> Result<Minute, AppError> {
        let known = tick_row::watermark(self.ports.state.as_ref(), shard, now).await?;
        Ok(known.unwrap_or_else(|| tick_row::first_watermark(now)))
    }

    /// Tries one tier after the other until the selection fits into the budget.
    async fn load_selection(
        &self,
        rows: &mut RawRows<'_>,
        selection: &Selection,
        heads: &[Arc<Head>],
        budget: &mut Budget,
    ) -> Result<SelectionParts, AppError> {
        let mut tiers = tier::choose(selection, self.retention(), rows.now);
        if self.is_all_raw(rows, selection).await? {
            tiers.insert(0, Tier::Raw);
        }
        let (last, finer) = tiers.split_last().expect("there is always a tier");
        for tier in finer {
            let mut left = budget.clone();
            let parts = self.load_tier(rows, selection, *tier, heads, &mut left).await;
            match parts {
                Err(error) if error.kind() == ErrorKind::Invalid => {}
                Err(error) => return Err(error),
                Ok(parts) => {
                    *budget = left;
                    return Ok(parts);
                }
            }
        }
        self.load_tier(rows, selection, *last, heads, budget).await
    }

    /// Whether a selection of one step reaches back farther than raw samples are kept, and nothing is known of that part:
    /// then they answer exactly.
    async fn is_all_raw(&self, rows: &RawRows<'_>, selection: &Selection) -> Result<bool, AppError> {
        let (range, raw_start) = (selection.range, self.retention().raw_start(rows.now));
        if !selection.step.is_zero() || range.start >= raw_start || range.end < raw_start {
            return Ok(false);
        }
        let before = TimeRange::new(range.start.max(self.retention().rollup_start(rows.now)), raw_start);
        let known = self.rollup_rows(rows.tenant, Resolution::Day, before, rows.now).await?;
        Ok(known.iter().all(|row| row.entry.range.start >= raw_start))
    }

    async fn load_tier(
        &self,
        rows: &mut RawRows<'_>,
        selection: &Selection,
        tier: Tier,
        heads: &[Arc<Head>],
        budget: &mut Budget,
    ) -> Result<SelectionParts, AppError> {
        match tier {
            Tier::Raw => {
                let range = cut_start(selection.range, self.retention().raw_start(rows.now));
                self.load_raw(rows, &selection.matchers, range, heads, budget).await
            }
            Tier::Rollup(resolution) => self.load_rollups(rows, selection, resolution, heads, budget).await,
        }
    }

    async fn load_raw(
        &self,
        rows: &mut RawRows<'_>,
        matchers: &[Matcher],
        range: TimeRange,
        heads: &[Arc<Head>],
        budget: &mut Budget,
    ) -> Result<SelectionParts, AppError> {
        let rows = rows.of(range).await?;
        let pieces = self.fetch(rows.iter(), matchers, range, &[0], budget).await?;
        budget.take_heads(heads, matchers, range)?;
        Ok(SelectionParts::raw(pieces, heads.to_vec(), matchers.to_vec(), range))
    }

    /// Rollups, and raw samples of the hours that have none yet.
    async fn load_rollups(
        &self,
        raw_rows: &mut RawRows<'_>,
        selection: &Selection,
        resolution: Resolution,
        heads: &[Arc<Head>],
        budget: &mut Budget,
    ) -> Result<SelectionParts, AppError> {
        let (tenant, now) = (raw_rows.tenant, raw_rows.now);
        // Two spans more, since a step may look back that far.
        let start = (selection.range.start - resolution.duration() * 2).max(self.retention().rollup_start(now));
        let range = TimeRange::new(start, selection.range.end);
        let rows = self.rollup_rows(tenant, resolution, range, now).await?;
        let covered: HashSet<i64> = rows.iter().flat_map(|row| &row.entry.sources).map(|source| source.hour).collect();
        let columns = Column::of(selection.aggregate);
        let wanted: Vec<usize> = columns.iter().map(|&column| column as usize).collect();
        let rollups = self.fetch(rows.iter(), &selection.matchers, range, &wanted, budget).await?;
        // An hour more, for the sample before the first increase.
        let raw_start = (range.start - Duration::from_secs(3600)).max(self.retention().raw_start(now));
        let raw_range = TimeRange::new(raw_start, range.end);
        let raw_rows = raw_rows.of(raw_range).await?;
        let newest = newest_span(selection, resolution).filter(|span| span.start >= self.retention().raw_start(now));
        let needed = |row: &&CatalogueRow| {
            let is_open = !covered.contains(&row.hour()) || !covered.contains(&(row.hour() + 1));
            is_open || newest.is_some_and(|span| row.entry.range.overlaps(&span))
        };
        let raw = self.fetch(raw_rows.iter().filter(needed), &selection.matchers, raw_range, &[0], budget).await?;
        budget.take_heads(heads, &selection.matchers, raw_range)?;
        let raw = SelectionParts::raw(raw, heads.to_vec(), selection.matchers.clone(), raw_range);
        let (aggregate, newest) = (selection.aggregate, newest.map(|span| span.end));
        let parts = RollupParts { resolution, aggregate, range, pieces: rollups, covered, newest };
        Ok(raw.with_rollups(parts))
    }

    /// Opens the blocks of the rows, checks what they would give against the budget, then fetches the frames.
    async fn fetch(
        &self,
        rows: impl Iterator<Item = &CatalogueRow>,
        matchers: &[Matcher],
        range: TimeRange,
        columns: &[usize],
        budget: &mut Budget,
    ) -> Result<Vec<pieces::Fetched>, AppError> {
        let mut chosen = Vec::new();
        for row in rows.filter(|row| row.entry.range.overlaps(&range)) {
            let piece = self.pieces.open(&row.entry).await?;
            let selected = piece.index().select(matchers, range);
            if selected.series_count() > 0 {
                budget.take(selected.series_count(), selected.samples_max * columns.len())?;
                chosen.push((piece, selected));
            }
        }
        let mut fetched = Vec::with_capacity(chosen.len());
        for (piece, selected) in chosen {
            fetched.push(self.pieces.fetch(piece, selected, columns).await?);
        }
        Ok(fetched)
    }
}

/// Loads of one tenant that share what is read of the catalogue, and metrics that several of them ask for.
#[derive(Debug)]
pub struct Loads<'a> {
    rows: RawRows<'a>,
    heads: [Arc<Head>; 1],
    wholes: Wholes,
}

impl Loads<'_> {
    /// Fetches all that some of the selections need.
    ///
    /// # Errors
    /// As [`Loader::load`]; the limits are those of a query each time.
    pub async fn load(&mut self, selections: &[Selection]) -> Result<Loaded, AppError> {
        let loader = self.rows.loader;
        let mut budget = Budget::new(&loader.limits);
        let mut loaded = Loaded::default();
        for selection in selections {
            if let Some(picked) = self.pick(selection).await? {
                loaded.push(Parts::Picked(picked));
                continue;
            }
            let parts = loader.load_selection(&mut self.rows, selection, &self.heads, &mut budget).await?;
            loaded.push(Parts::Own(parts));
        }
        loaded.samples_max = budget.samples_max - budget.samples_left;
        Ok(loaded)
    }

    /// What a selection asks of a metric that others ask for, too; `None` where it is to be loaded by itself.
    async fn pick(&mut self, selection: &Selection) -> Result<Option<Picked>, AppError> {
        let loader = self.rows.loader;
        let Some(range) = loader.raw_range(selection, self.rows.now) else { return Ok(None) };
        if let Share::Load(metric, whole) = self.wholes.of(selection, range) {
            let mut budget = Budget::new(&loader.limits);
            budget.samples_left = budget.samples_left.min(whole::SAMPLES_MAX - self.wholes.samples);
            let (before, matchers) = (budget.samples_left, std::slice::from_ref(&metric));
            let found = match loader.load_raw(&mut self.rows, matchers, whole, &self.heads, &mut budget).await {
                Ok(parts) => Some((parts, before - budget.samples_left)),
                Err(error) if error.kind() == ErrorKind::Invalid => None,
                Err(error) => return Err(error),
            };
            self.wholes.put(&metric, whole, found);
        }
        let Share::From(whole) = self.wholes.of(selection, range) else { return Ok(None) };
        Ok(Some(Picked::new(whole, selection.matchers.clone(), range)))
    }
}

/// Of a selection of one step, the span that is not over at its end, and an hour before it, for the sample before the
/// first increase.
fn newest_span(selection: &Selection, resolution: Resolution) -> Option<TimeRange> {
    let end = selection.range.end;
    let is_cut = resolution.span_end(end) > end;
    let start = resolution.span_end(end) - resolution.duration() - Duration::from_secs(3600);
    let is_wanted = selection.step.is_zero() && is_cut && resolution <= tier::NEWEST_MAX;
    is_wanted.then(|| TimeRange::new(start, end))
}

/// A range that starts no earlier than a time.
fn cut_start(range: TimeRange, start: Timestamp) -> TimeRange {
    TimeRange::new(range.start.max(start), range.end)
}

/// What a query may still load.
#[derive(Clone, Debug)]
struct Budget {
    samples_left: usize,
    samples_max: usize,
    series_max: usize,
}

impl Budget {
    const fn new(limits: &Limits) -> Self {
        Self {
            samples_left: limits.query_samples_max,
            samples_max: limits.query_samples_max,
            series_max: limits.query_series_max,
        }
    }

    fn take(&mut self, series: usize, samples: usize) -> Result<(), AppError> {
        if series > self.series_max {
            let limit = self.series_max;
            return Err(too_much(format!(
                "query selects more than {limit} series (query_series_max, --query-series-max)"
            )));
        }
        let limit = self.samples_max;
        self.samples_left = self.samples_left.checked_sub(samples).ok_or_else(|| {
            too_much(format!(
                "query processing would load too many samples into memory in query execution: the limit is {limit} \
                 (query_samples_max, --query-samples-max)"
            ))
        })?;
        Ok(())
    }

    fn take_heads(&mut self, heads: &[Arc<Head>], matchers: &[Matcher], range: TimeRange) -> Result<(), AppError> {
        heads.iter().try_for_each(|head| self.take(0, head.count(matchers, range)))
    }
}

fn too_much(message: String) -> AppError {
    SourceError::new(ErrorKind::Invalid, message).into()
}

/// Finds a label set without owning it.
#[derive(PartialEq, Eq, Hash)]
struct Text<'a>(LabelsRef<'a>);

impl Equivalent<Labels> for Text<'_> {
    fn equivalent(&self, key: &Labels) -> bool {
        self.0 == key.as_ref()
    }
}

/// Distinct label sets, up to a limit.
struct LabelSets {
    known: HashSet<Labels>,
    found: Vec<Labels>,
    limit: usize,
}

impl LabelSets {
    fn new(limit: usize) -> Self {
        Self { known: HashSet::new(), found: Vec::new(), limit }
    }

    fn insert(&mut self, labels: LabelsRef<'_>) -> Result<(), AppError> {
        if !self.known.contains(&Text(labels)) {
            let labels = labels.to_labels();
            self.known.insert(labels.clone());
            self.found.push(labels);
        }
        if self.found.len() <= self.limit {
            return Ok(());
        }
        Err(too_much(format!("more than {} series match (query_series_max, --query-series-max)", self.limit)))
    }

    fn sorted(mut self) -> Vec<Labels> {
        self.found.sort();
        self.found
    }
}

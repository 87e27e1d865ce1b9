//! Selectors, windows and subqueries: from loaded series to columns.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{CounterReset, HistogramSamples, Series, Timestamp, is_stale};

use super::stream::Sink;
use super::vector::{ABSENT, Grid, Vector, all_present, is_present};
use super::window::Reach;
use super::{Evaluator, Result_, misplaced, present_samples, query_grid};
use crate::ast::{DurationExpr, Expr, ExprKind, Extent, RangeSelector, Selector, Shift, Span, Subquery};
use crate::duration::resolve;
use crate::error::EvalError;
use crate::selection::{at_millis, millis};
use crate::value::Value;

/// What of a sample an instant selector gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// Its value.
    Value,
    /// Its time in seconds.
    Time,
}

/// A window of samples for each series and step.
pub(super) struct Windows<'e> {
    /// Where the samples come from.
    pub(super) samples: WindowSamples<'e>,
    /// The last moment of each window.
    pub(super) ends: Grid,
    /// How far each window reaches back; its first moment is excluded.
    pub(super) range: i64,
    /// Where the expression stands.
    pub(super) span: Span,
    /// How samples around the windows matter.
    pub(super) extent: Option<Extent>,
}

/// The samples in windows.
pub(super) enum WindowSamples<'e> {
    /// Those of a selector, to be loaded.
    Selected(&'e Selector),
    /// The points of a subquery: each series, and whether its metric name is to be dropped.
    Points(Vec<(Series, bool)>),
}

/// Where the samples of each window lie. Series of one scrape share their timestamps, so they share this too.
pub(super) struct Layout {
    times: Arc<[Timestamp]>,
    range: i64,
    /// For each step the samples of its window, as an index range.
    pub(super) bounds: Vec<(u32, u32)>,
    /// How windows are extrapolated, once that was asked for.
    pub(super) reaches: OnceCell<Vec<Reach>>,
}

/// The layouts of the series seen last.
#[derive(Default)]
pub(super) struct Layouts {
    entries: Vec<Rc<Layout>>,
    /// The entry used last.
    last: usize,
    /// The entry to be replaced next.
    oldest: usize,
}

/// How many windows are remembered, over all layouts.
const WINDOWS_MAX: usize = 1 << 16;

impl Layouts {
    /// Index ranges of the samples in `(end - range, end]` for each end.
    pub(super) fn of(&mut self, times: &Arc<[Timestamp]>, ends: Grid, range: i64) -> Rc<Layout> {
        let fits = |layout: &Rc<Layout>| Arc::ptr_eq(&layout.times, times) && layout.range == range;
        if let Some(layout) = self.entries.get(self.last).filter(|layout| fits(layout)) {
            return Rc::clone(layout);
        }
        if let Some(index) = self.entries.iter().position(fits) {
            self.last = index;
            return Rc::clone(&self.entries[index]);
        }
        let bounds = advance(times, ends, range);
        let layout = Rc::new(Layout { times: Arc::clone(times), range, bounds, reaches: OnceCell::new() });
        if self.entries.len() < (WINDOWS_MAX / ends.count.max(1)).clamp(8, 256) {
            self.last = self.entries.len();
            self.entries.push(Rc::clone(&layout));
        } else {
            self.last = self.oldest;
            self.entries[self.oldest] = Rc::clone(&layout);
            self.oldest = (self.oldest + 1) % self.entries.len();
        }
        layout
    }
}

/// Moves both ends of the window along the samples once.
fn advance(times: &[Timestamp], ends: Grid, range: i64) -> Vec<(u32, u32)> {
    let index = |at: usize| u32::try_from(at).expect("a series has fewer than 2^32 samples: the query limit is below");
    let (mut first, mut end) = (0, 0);
    if let Some(start) = ends.times().next() {
        // Far behind the first sample, searching beats walking.
        first = times.partition_point(|time| time.as_millis() <= start.saturating_sub(range));
        end = first;
    }
    ends.times()
        .map(|time| {
            let after = time.saturating_sub(range);
            while first < times.len() && times[first].as_millis() <= after {
                first += 1;
            }
            end = end.max(first);
            while end < times.len() && times[end].as_millis() <= time {
                end += 1;
            }
            (index(first), index(end))
        })
        .collect()
}

impl<'a> Evaluator<'a> {
    /// The newest sample of each series within the lookback, at each step.
    pub(super) fn selector(&mut self, selector: &Selector, grid: Grid) -> Result_<Vector> {
        self.pick(selector, grid, Pick::Value)
    }

    /// As [`Self::selector`], but gives the sample's time when that is picked.
    pub(super) fn pick(&mut self, selector: &Selector, grid: Grid, pick: Pick) -> Result_<Vector> {
        let times = self.shifted(grid, &selector.shift)?;
        match selector.extent {
            None => {}
            Some(Extent::Smoothed) if pick == Pick::Value => return self.smoothed_selector(selector, times),
            Some(extent) => return Err(EvalError::execution(instant_extent(extent))),
        }
        let count = self.source.series_count(selector.index);
        self.collect(grid, count, |evaluator, sink| evaluator.picked_rows(selector, times, pick, sink))
    }

    /// As [`Self::pick`], row by row.
    pub(super) fn selector_rows(
        &mut self,
        selector: &Selector,
        grid: Grid,
        pick: Pick,
        sink: &mut Sink<'_, 'a>,
    ) -> Result_<()> {
        let times = self.shifted(grid, &selector.shift)?;
        self.picked_rows(selector, times, pick, sink)
    }

    fn picked_rows(&mut self, selector: &Selector, times: Grid, pick: Pick, sink: &mut Sink<'_, 'a>) -> Result_<()> {
        let mut layouts = Layouts::default();
        let mut scratch = Vector::of_one_row(times.count);
        self.each_series(selector, &mut |evaluator, series| {
            let lookback = millis(evaluator.params.lookback).max(twice(series.resolution));
            let layout = layouts.of(&series.timestamps, times, lookback);
            pick_numbers(&mut scratch.values, series, &layout.bounds, pick);
            if let Some(histograms) = &series.histograms {
                let bounds = &layouts.of(&histograms.timestamps, times, lookback).bounds;
                pick_histograms(&mut scratch, series, histograms, [&layout.bounds, bounds], pick);
            }
            let row = scratch.full_row(0);
            if row.has_samples() {
                sink(evaluator, &series.labels, false, row)?;
            }
            scratch.histograms[0] = None;
            Ok(())
        })
    }

    /// The windows of a range selector or a subquery.
    pub(super) fn windows<'e>(&mut self, expr: &'e Expr, grid: Grid) -> Result_<Windows<'e>> {
        self.params.deadline.check()?;
        match &expr.kind {
            ExprKind::Range(range) => self.range_windows(range, expr.span, grid),
            ExprKind::Subquery(subquery) => self.subquery_windows(subquery, expr.span, grid),
            ExprKind::Paren(inner) => self.windows(inner, grid),
            ExprKind::Number(_)
            | ExprKind::Text(_)
            | ExprKind::Selector(_)
            | ExprKind::Unary { .. }
            | ExprKind::Binary(_)
            | ExprKind::Aggregate(_)
            | ExprKind::Call(_) => Err(misplaced(expr, "a range vector")),
        }
    }

    fn range_windows<'e>(&mut self, range: &'e RangeSelector, span: Span, grid: Grid) -> Result_<Windows<'e>> {
        let ends = self.shifted(grid, &range.selector.shift)?;
        let length = self.positive(&range.range)?;
        let samples = WindowSamples::Selected(&range.selector);
        Ok(Windows { samples, ends, range: length, span, extent: range.selector.extent })
    }

    /// Shows each series of windows, without staleness markers, and whether its metric name is to be dropped.
    pub(super) fn each_windowed(
        &mut self,
        windows: &Windows<'_>,
        visit: &mut dyn FnMut(&mut Self, &Series, bool) -> Result_<()>,
    ) -> Result_<()> {
        match &windows.samples {
            WindowSamples::Selected(selector) => {
                self.each_series(selector, &mut |evaluator, series| match without_markers(series) {
                    None => visit(evaluator, series, false),
                    Some(series) => visit(evaluator, &series, false),
                })
            }
            WindowSamples::Points(points) => {
                for (number, (series, drop_name)) in points.iter().enumerate() {
                    self.check_deadline(number)?;
                    visit(self, series, *drop_name)?;
                }
                Ok(())
            }
        }
    }

    fn subquery_windows(&mut self, subquery: &Subquery, span: Span, grid: Grid) -> Result_<Windows<'static>> {
        let range = self.positive(&subquery.range)?;
        let step = match &subquery.step {
            Some(step) => self.positive(step)?,
            None => millis(self.params.subquery_step).max(1),
        };
        let ends = self.shifted(grid, &subquery.shift)?;
        let inner = self.subquery_grid(ends, range, step)?;
        // Buckets are needed there to find counter resets anyway.
        let detects_resets = std::mem::take(&mut self.detects_resets);
        let vector = self.vector(&subquery.expr, inner);
        self.detects_resets = detects_resets;
        let vector = vector?;
        let times: Arc<[Timestamp]> = inner.times().map(Timestamp::from_millis).collect();
        let rows = (0..vector.rows()).filter_map(|row| {
            let series = present_samples(vector.labels[row].clone(), vector.full_row(row), &times)?;
            Some((without_hints(series), vector.drop_names[row]))
        });
        let samples = WindowSamples::Points(rows.collect());
        Ok(Windows { samples, ends, range, span, extent: None })
    }

    /// The multiples of the step in all windows.
    fn subquery_grid(&self, ends: Grid, range: i64, step: i64) -> Result_<Grid> {
        let last_end = ends.time(ends.count.saturating_sub(1));
        let after = ends.start.saturating_sub(range);
        let start = after.div_euclid(step).saturating_add(1).saturating_mul(step);
        let count = if last_end < start { 0 } else { last_end.saturating_sub(start) / step + 1 };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.check_live(count)?;
        Ok(Grid { start, step, count })
    }

    /// The times a selector looks at when it is evaluated at the times of a grid.
    pub(super) fn shifted(&self, grid: Grid, shift: &Shift) -> Result_<Grid> {
        let offset = match &shift.offset {
            None => 0,
            Some(offset) => resolve(offset, self.params)?,
        };
        let unshifted = match shift.at {
            None => grid,
            Some(at) => Grid { start: at_millis(at, self.params), step: 0, ..grid },
        };
        Ok(Grid { start: unshifted.start.saturating_sub(offset), ..unshifted })
    }

    fn positive(&self, duration: &DurationExpr) -> Result_<i64> {
        let millis = resolve(duration, self.params)?;
        if millis > 0 { Ok(millis) } else { Err(EvalError::execution("duration must be greater than 0")) }
    }

    /// Asks now and then whether the deadline has passed.
    pub(super) fn check_deadline(&self, number: usize) -> Result_<()> {
        if number.is_multiple_of(256) { self.params.deadline.check() } else { Ok(()) }
    }

    /// The samples of a range selector as they are, or the points of a subquery.
    pub(super) fn range_answer(&mut self, expr: &Expr, grid: Grid) -> Result_<Value> {
        debug_assert!(query_grid(self.params).is_ok_and(|grid| grid.count == 1), "only instant queries end in windows");
        let windows = self.windows(expr, grid)?;
        if let Some(extent) = windows.extent {
            return self.extended_answer(&windows, extent);
        }
        let mut answer = Vec::new();
        let bounds = |times: &[Timestamp]| {
            let (first, end) = advance(times, windows.ends, windows.range)[0];
            first as usize..end as usize
        };
        self.each_windowed(&windows, &mut |evaluator, series, drop_name| {
            let within = bounds(&series.timestamps);
            let histograms = series.histograms.as_ref().and_then(|histograms| {
                let within = bounds(&histograms.timestamps);
                let values = histograms.values[within.clone()].to_vec();
                let samples = HistogramSamples::new(histograms.timestamps[within].into(), values);
                (!samples.values.is_empty()).then(|| Box::new(samples))
            });
            if within.is_empty() && histograms.is_none() {
                return Ok(());
            }
            let labels = if drop_name { series.labels.without(&[model::METRIC_NAME]) } else { series.labels.clone() };
            let values = series.values[within.clone()].to_vec();
            let timestamps = series.timestamps[within].into();
            let found = Series { labels, timestamps, values, weights: None, resolution: None, histograms };
            evaluator.count_samples(found.len())?;
            answer.push(found);
            Ok(())
        })?;
        Ok(Value::Matrix(answer))
    }
}

/// The newest sample of each window, or nothing.
fn pick_numbers(row: &mut [f64], series: &Series, bounds: &[(u32, u32)], pick: Pick) {
    for (value, &(first, end)) in row.iter_mut().zip(bounds) {
        *value = if first == end { ABSENT } else { picked(series, end as usize - 1, pick) };
    }
}

/// A sample, or its time in seconds.
#[inline]
fn picked(series: &Series, index: usize, pick: Pick) -> f64 {
    let found = series.values[index];
    match pick {
        Pick::Time if !is_stale(found) => series.timestamps[index].as_secs_f64(),
        Pick::Time | Pick::Value => found,
    }
}

/// Puts histograms into the last row where they are newer than the numbers, a staleness marker among them.
fn pick_histograms(
    vector: &mut Vector,
    series: &Series,
    histograms: &HistogramSamples,
    bounds: [&[(u32, u32)]; 2],
    pick: Pick,
) {
    let row = vector.rows() - 1;
    let [of_numbers, of_histograms] = bounds;
    for (step, (&(first_number, end_number), &(first, end))) in of_numbers.iter().zip(of_histograms).enumerate() {
        if first == end {
            continue;
        }
        let newest = end as usize - 1;
        let time = histograms.timestamps[newest];
        if first_number < end_number && series.timestamps[end_number as usize - 1] > time {
            continue;
        }
        match pick {
            Pick::Value => vector.put_histogram(row, step, Arc::clone(&histograms.values[newest])),
            Pick::Time => vector.values[row * vector.steps + step] = time.as_secs_f64(),
        }
    }
}

/// Finds out about resets where senders said nothing: each histogram is compared to the one before.
pub(super) fn with_detected_resets(mut series: Series) -> Series {
    if let Some(samples) = &mut series.histograms {
        for index in (1..samples.values.len()).rev() {
            let (now, before) = (&samples.values[index], &samples.values[index - 1]);
            if now.counter_reset() == CounterReset::Unknown {
                let reset = if now.is_reset_since(before) { CounterReset::Reset } else { CounterReset::NotReset };
                samples.values[index] = Arc::new(now.as_ref().clone().with_counter_reset(reset));
            }
        }
    }
    series
}

/// Two spans of a rollup: shorter lookbacks would see holes between them.
pub(super) fn twice(resolution: Option<Duration>) -> i64 {
    resolution.map_or(0, |resolution| millis(resolution).saturating_mul(2))
}

/// A series without its staleness markers; `None` when it has none.
fn without_markers(series: &Series) -> Option<Series> {
    if all_present(&series.values) {
        return None;
    }
    let keep = |index: &usize| is_present(series.values[*index]);
    let kept: Vec<usize> = (0..series.values.len()).filter(keep).collect();
    Some(Series {
        labels: series.labels.clone(),
        timestamps: kept.iter().map(|&index| series.timestamps[index]).collect(),
        values: kept.iter().map(|&index| series.values[index]).collect(),
        weights: series.weights.as_ref().map(|weights| kept.iter().map(|&index| weights[index]).collect()),
        resolution: series.resolution,
        histograms: series.histograms.clone(),
    })
}

/// What senders said about resets was about other neighbours than the steps of a subquery have.
fn without_hints(mut series: Series) -> Series {
    for histogram in series.histograms.iter_mut().flat_map(|samples| &mut samples.values) {
        if matches!(histogram.counter_reset(), CounterReset::Reset | CounterReset::NotReset) {
            *histogram = Arc::new(histogram.as_ref().clone().with_counter_reset(CounterReset::Unknown));
        }
    }
    series
}

/// Why an instant selector cannot be extended.
const fn instant_extent(extent: Extent) -> &'static str {
    match extent {
        Extent::Anchored => "anchored modifier can only be used with range selectors",
        Extent::Smoothed => "timestamp() cannot be used with the smoothed modifier",
    }
}

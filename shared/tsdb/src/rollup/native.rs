//! Rollups of native histograms.
//!
//! Of each span the histograms are counted and added up; the last one is kept, and how much a counter grew. Buckets come
//! together as everywhere: in the coarsest schema of the span. Where the histograms of a span have exponential and
//! custom buckets, what has the older kind is left out of sum and increase, as there is no histogram of both.

use std::ops::Range;
use std::sync::Arc;

use model::{
    Aggregate, CounterReset, Histogram, HistogramSamples, MixedSchemas, TimeRange, Timestamp, fold_histograms,
};

use super::Resolution;
use crate::block::within;

/// What is kept of the native histograms of one series: for each span that had any its end, and a value in each column.
/// A column that was not loaded is empty.
#[derive(Clone, Debug)]
pub struct RollupHistograms {
    /// The ends of the spans, ascending.
    pub timestamps: Arc<[Timestamp]>,
    /// How many histograms.
    pub counts: Vec<f64>,
    /// Their sum.
    pub sums: Vec<Arc<Histogram>>,
    /// The last one.
    pub lasts: Vec<Arc<Histogram>>,
    /// How much a counter grew since the last histogram before the span, resets taken out.
    pub increases: Vec<Arc<Histogram>>,
}

/// Rolls up the samples that lie within `range`; those before it serve as predecessor.
pub(super) fn roll_up(
    samples: &HistogramSamples,
    stamp: impl Fn(Timestamp) -> Timestamp,
    range: TimeRange,
) -> Option<Box<RollupHistograms>> {
    let mut out = Spans::default();
    let mut previous: Option<&Arc<Histogram>> = None;
    let mut span_end = Timestamp::MIN;
    for (&time, histogram) in samples.timestamps.iter().zip(&samples.values).filter(|(time, _)| **time <= range.end) {
        if time >= range.start {
            if time > span_end {
                span_end = stamp(time);
            }
            let value = without_hint(histogram);
            out.add(span_end, 1.0, &value, &value, &increase(histogram, previous));
        }
        previous = Some(histogram);
    }
    out.finish()
}

/// What was known about resets was about the samples between, which are gone.
fn without_hint(histogram: &Arc<Histogram>) -> Arc<Histogram> {
    match histogram.counter_reset() {
        CounterReset::Unknown | CounterReset::Gauge => Arc::clone(histogram),
        CounterReset::Reset | CounterReset::NotReset => with_hint(histogram, CounterReset::Unknown),
    }
}

fn with_hint(histogram: &Histogram, hint: CounterReset) -> Arc<Histogram> {
    Arc::new(histogram.clone().with_counter_reset(hint))
}

/// How much a counter grew. The first histogram of all counts for nothing, as with numbers.
fn increase(now: &Arc<Histogram>, previous: Option<&Arc<Histogram>>) -> Arc<Histogram> {
    let hint = match now.counter_reset() {
        CounterReset::Gauge => CounterReset::Gauge,
        CounterReset::Unknown | CounterReset::Reset | CounterReset::NotReset => CounterReset::NotReset,
    };
    let grown = match previous {
        None => now.map(|_| 0.0),
        Some(previous) if now.is_reset_since(previous) => now.as_ref().clone(),
        Some(previous) => match fold_histograms(&[now, previous], |counts| counts[0] - counts[1]) {
            Ok(folded) => folded.histogram,
            Err(MixedSchemas) => now.as_ref().clone(),
        },
    };
    with_hint(&grown, hint)
}

/// Two histograms added up; the later one alone where they have no buckets in common.
fn added(earlier: &Arc<Histogram>, later: &Arc<Histogram>) -> Arc<Histogram> {
    match fold_histograms(&[later, earlier], |counts| counts[0] + counts[1]) {
        Ok(folded) => Arc::new(folded.histogram),
        Err(MixedSchemas) => Arc::clone(later),
    }
}

impl RollupHistograms {
    /// Spans that end at these times, with no column loaded yet.
    pub(crate) const fn empty(timestamps: Arc<[Timestamp]>) -> Self {
        Self { timestamps, counts: Vec::new(), sums: Vec::new(), lasts: Vec::new(), increases: Vec::new() }
    }

    /// Makes coarser rollups, of spans that end within `range`.
    pub(super) fn fold(&self, resolution: Resolution, range: TimeRange) -> Option<Box<Self>> {
        let mut out = Spans::default();
        for (index, &time) in self.timestamps.iter().enumerate() {
            let span_end = resolution.span_end(time);
            if range.contains(span_end) {
                out.add_from(span_end, self, index);
            }
        }
        out.finish()
    }

    /// Joins pieces that were made from different samples, the older before the newer ones. Columns that were not loaded
    /// of one piece are missing in all.
    pub(super) fn join(mut parts: Vec<Self>) -> Option<Box<Self>> {
        if parts.len() < 2 {
            return parts.pop().map(Box::new);
        }
        let mut spans: Vec<(Timestamp, usize, usize)> = Vec::new();
        for (part, rollups) in parts.iter().enumerate() {
            spans.extend(rollups.timestamps.iter().enumerate().map(|(index, &time)| (time, part, index)));
        }
        spans.sort_unstable();
        let mut out = Spans::default();
        for (time, part, index) in spans {
            out.add_from(time, &parts[part], index);
        }
        let mut joined = out.finish()?;
        let count = joined.timestamps.len();
        if joined.counts.len() < count {
            joined.counts.clear();
        }
        for column in [&mut joined.sums, &mut joined.lasts, &mut joined.increases] {
            if column.len() < count {
                column.clear();
            }
        }
        Some(joined)
    }

    /// Keeps only spans that end within `range`.
    pub(super) fn cut(mut self: Box<Self>, range: TimeRange) -> Option<Box<Self>> {
        let place = within(&self.timestamps, range);
        if place.len() < self.timestamps.len() {
            self.timestamps = Arc::from(&self.timestamps[place.clone()]);
            keep(&mut self.counts, &place);
            keep(&mut self.sums, &place);
            keep(&mut self.lasts, &place);
            keep(&mut self.increases, &place);
        }
        (!self.timestamps.is_empty()).then_some(self)
    }

    /// The samples that a query of one aggregate reads. Histograms have no least and no greatest: there, the functions
    /// that ask for those pass over them.
    pub(super) fn aggregate(self, aggregate: Aggregate) -> HistogramSamples {
        let (values, weights) = match aggregate {
            Aggregate::Last => (self.lasts, None),
            Aggregate::Min | Aggregate::Max => {
                let nothing = Arc::new(Histogram::default());
                (vec![nothing; self.timestamps.len()], None)
            }
            Aggregate::Average => {
                let mean = |(sum, count): (&Arc<Histogram>, &f64)| Arc::new(sum.map(|number| number / count));
                (self.sums.iter().zip(&self.counts).map(mean).collect(), Some(self.counts))
            }
            Aggregate::Increase => (running_increase(&self.lasts, &self.increases), None),
        };
        HistogramSamples { timestamps: self.timestamps, values, weights }
    }
}

fn keep<T: Clone>(column: &mut Vec<T>, place: &Range<usize>) {
    if !column.is_empty() {
        *column = column[place.clone()].to_vec();
    }
}

/// A counter that grew as the real one did, from its first value on. Where the buckets change it starts again, and says
/// so: what was counted before keeps its resolution, and so does what comes after.
fn running_increase(lasts: &[Arc<Histogram>], increases: &[Arc<Histogram>]) -> Vec<Arc<Histogram>> {
    let mut totals: Vec<Arc<Histogram>> = Vec::with_capacity(increases.len());
    for (index, increase) in increases.iter().enumerate() {
        let total = match totals.last() {
            None => Arc::clone(&lasts[index]),
            Some(total) if has_same_bounds(total, increase) => {
                let hint = increase.counter_reset();
                with_hint(&added(total, increase), hint)
            }
            Some(_) => with_hint(increase, CounterReset::Reset),
        };
        totals.push(total);
    }
    totals
}

fn has_same_bounds(one: &Histogram, two: &Histogram) -> bool {
    let (one, two) = (one.parts(), two.parts());
    one.schema == two.schema && one.zero_threshold.total_cmp(&two.zero_threshold).is_eq()
}

/// Collects the spans of one series.
#[derive(Default)]
struct Spans {
    timestamps: Vec<Timestamp>,
    counts: Vec<f64>,
    sums: Vec<Arc<Histogram>>,
    lasts: Vec<Arc<Histogram>>,
    increases: Vec<Arc<Histogram>>,
}

impl Spans {
    fn add(
        &mut self,
        span_end: Timestamp,
        count: f64,
        sum: &Arc<Histogram>,
        last: &Arc<Histogram>,
        increase: &Arc<Histogram>,
    ) {
        let is_new = self.begin(span_end);
        put(&mut self.counts, is_new, count, |before, count| before + count);
        put(&mut self.sums, is_new, Arc::clone(sum), |before, sum| added(before, &sum));
        put(&mut self.lasts, is_new, Arc::clone(last), |_, last| last);
        put(&mut self.increases, is_new, Arc::clone(increase), |before, increase| added(before, &increase));
    }

    /// Adds a span of other rollups, in the columns that are loaded there.
    fn add_from(&mut self, span_end: Timestamp, from: &RollupHistograms, index: usize) {
        let is_new = self.begin(span_end);
        if let Some(count) = from.counts.get(index) {
            put(&mut self.counts, is_new, *count, |before, count| before + count);
        }
        if let Some(sum) = from.sums.get(index) {
            put(&mut self.sums, is_new, Arc::clone(sum), |before, sum| added(before, &sum));
        }
        if let Some(last) = from.lasts.get(index) {
            put(&mut self.lasts, is_new, Arc::clone(last), |_, last| last);
        }
        if let Some(increase) = from.increases.get(index) {
            put(&mut self.increases, is_new, Arc::clone(increase), |before, increase| added(before, &increase));
        }
    }

    /// Whether this is another span than the last one.
    fn begin(&mut self, span_end: Timestamp) -> bool {
        let is_new = self.timestamps.last() != Some(&span_end);
        if is_new {
            self.timestamps.push(span_end);
        }
        is_new
    }

    fn finish(self) -> Option<Box<RollupHistograms>> {
        let Self { timestamps, counts, sums, lasts, increases } = self;
        let timestamps: Arc<[Timestamp]> = timestamps.into();
        (!timestamps.is_empty()).then(|| Box::new(RollupHistograms { timestamps, counts, sums, lasts, increases }))
    }
}

/// Puts a value into the last span of a column, or begins a span with it.
fn put<T>(column: &mut Vec<T>, is_new: bool, value: T, join: impl FnOnce(&T, T) -> T) {
    match column.last_mut().filter(|_| !is_new) {
        Some(last) => *last = join(last, value),
        None => column.push(value),
    }
}

#[cfg(test)]
mod tests;

//! Rollups: what is left of raw samples after their retention, and what makes long ranges quick.
//!
//! A span is left-open, as PromQL's ranges are: the span that ends at `t` holds the samples of `(t - resolution, t]`,
//! and is stamped `t`. Rollups are computed from all raw samples of their spans, never incremented.
//!
//! Native histograms are rolled up beside the numbers of their series: see [`RollupHistograms`].

mod native;

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use model::{Aggregate, Labels, Series, TimeRange, Timestamp, is_stale};

use crate::block::within;
use crate::merge::{by_labels, separate};
pub use native::RollupHistograms;

/// The length of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// 1 minute.
    Minute,
    /// 5 minutes.
    FiveMinutes,
    /// 1 hour.
    Hour,
    /// 1 day, in UTC.
    Day,
}

impl Resolution {
    /// All, the finest first.
    pub const ALL: [Self; 4] = [Self::Minute, Self::FiveMinutes, Self::Hour, Self::Day];

    /// The length of a span.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => 3600,
            Self::Day => 86_400,
        })
    }

    /// The name, as keys hold it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::Day => "1d",
        }
    }

    /// The end of the span that a time lies in.
    pub fn span_end(self, time: Timestamp) -> Timestamp {
        let last_millisecond = Duration::from_millis(1);
        (time - last_millisecond).align_down(self.duration()) + self.duration()
    }
}

/// What is kept of each span; the order is that of the columns in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// How many samples, staleness markers left out.
    Count,
    /// Their sum.
    Sum,
    /// The smallest.
    Min,
    /// The greatest.
    Max,
    /// The last.
    Last,
    /// How much a counter grew since the last sample before the span, resets taken out.
    Increase,
}

impl Column {
    /// All, in order.
    pub const ALL: [Self; COLUMN_COUNT] = [Self::Count, Self::Sum, Self::Min, Self::Max, Self::Last, Self::Increase];

    /// The columns that an aggregate is made of.
    pub const fn of(aggregate: Aggregate) -> &'static [Self] {
        match aggregate {
            Aggregate::Last => &[Self::Last],
            Aggregate::Average => &[Self::Count, Self::Sum],
            Aggregate::Min => &[Self::Min],
            Aggregate::Max => &[Self::Max],
            Aggregate::Increase => &[Self::Last, Self::Increase],
        }
    }
}

/// How many columns a rollup has.
pub const COLUMN_COUNT: usize = 6;

/// The rollups of one series: for each span that had a sample its end, and a value in each column.
#[derive(Clone, Debug)]
pub struct RollupSeries {
    /// Which series.
    pub labels: Labels,
    /// The ends of the spans, ascending.
    pub timestamps: Arc<[Timestamp]>,
    /// By [`Column`]; a column that was not loaded is empty.
    pub columns: [Vec<f64>; COLUMN_COUNT],
    /// Those of native histograms; most series have none.
    pub histograms: Option<Box<RollupHistograms>>,
}

impl RollupSeries {
    pub(crate) fn empty(labels: Labels) -> Self {
        Self { labels, timestamps: Arc::from([]), columns: Default::default(), histograms: None }
    }

    /// Whether there is no span, neither of numbers nor of histograms.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty() && self.histograms.is_none()
    }
}

/// Rolls up the samples of raw series that lie within `range`.
///
/// Samples before it serve as the predecessor that the first increase is counted from.
pub fn roll_up(series: &[Series], resolution: Resolution, range: TimeRange) -> Vec<RollupSeries> {
    roll_up_to(series, resolution, range, Timestamp::MAX)
}

/// Rolls up what raw series have of the span that `end` lies in, and stamps it `end`: what is later is left out.
///
/// Samples before the span serve as in [`roll_up`].
pub fn roll_up_newest(series: &[Series], resolution: Resolution, end: Timestamp) -> Vec<RollupSeries> {
    let start = resolution.span_end(end) - resolution.duration() + Duration::from_millis(1);
    roll_up_to(series, resolution, TimeRange::new(start, end), end)
}

/// Spans that would be stamped later than `latest` are stamped so.
fn roll_up_to(series: &[Series], resolution: Resolution, range: TimeRange, latest: Timestamp) -> Vec<RollupSeries> {
    let mut shared = SharedTimes::default();
    let stamp = |time| resolution.span_end(time).min(latest);
    series.iter().filter_map(|series| roll_up_one(series, stamp, range, &mut shared)).collect()
}

fn roll_up_one(
    series: &Series,
    stamp: impl Fn(Timestamp) -> Timestamp,
    range: TimeRange,
    shared: &mut SharedTimes,
) -> Option<RollupSeries> {
    let mut out = Spans::default();
    let mut previous: Option<f64> = None;
    let mut span_end = Timestamp::MIN;
    for sample in series.samples().filter(|sample| !is_stale(sample.value) && sample.timestamp <= range.end) {
        if sample.timestamp >= range.start {
            // Times ascend: the end is computed once a span, not once a sample.
            if sample.timestamp > span_end {
                span_end = stamp(sample.timestamp);
            }
            out.add(span_end, sample.value, previous);
        }
        if !sample.value.is_nan() {
            previous = Some(sample.value);
        }
    }
    let histograms = series.histograms.as_ref().and_then(|samples| native::roll_up(samples, stamp, range));
    out.finish(series.labels.clone(), histograms, shared)
}

/// Makes coarser rollups of finer ones, which must hold all columns; only spans that end within `range` are made.
///
/// Counts and increases add up, so that the result is the same as one from raw samples, save for the rounding of sums.
pub fn fold(series: &[RollupSeries], resolution: Resolution, range: TimeRange) -> Vec<RollupSeries> {
    let mut shared = SharedTimes::default();
    let fold_one = |series: &RollupSeries| {
        let mut out = Spans::default();
        for (index, &timestamp) in series.timestamps.iter().enumerate() {
            let span_end = resolution.span_end(timestamp);
            if range.contains(span_end) {
                out.add_span(span_end, Column::ALL.map(|column| series.columns[column as usize][index]));
            }
        }
        let native = series.histograms.as_ref().and_then(|native| native.fold(resolution, range));
        out.finish(series.labels.clone(), native, &mut shared)
    };
    series.iter().filter_map(fold_one).collect()
}

/// Joins pieces of the same resolution that were made from different samples, the older before the newer ones: a span
/// that several pieces hold a part of (a day that is not over) becomes one.
pub fn join(pieces: Vec<Vec<RollupSeries>>) -> Vec<RollupSeries> {
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut joined: Vec<Vec<RollupSeries>> = Vec::new();
    for series in pieces.into_iter().flatten() {
        match places.get(&series.labels) {
            Some(&place) => joined[place].push(series),
            None => {
                places.insert(series.labels.clone(), joined.len());
                joined.push(vec![series]);
            }
        }
    }
    let mut shared = SharedTimes::default();
    let mut out: Vec<RollupSeries> = joined.into_iter().map(|parts| join_one(parts, &mut shared)).collect();
    out.sort_by(|one, two| by_labels(&one.labels, &two.labels));
    out
}

fn join_one(mut parts: Vec<RollupSeries>, shared: &mut SharedTimes) -> RollupSeries {
    let labels = parts[0].labels.clone();
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let native = parts.iter_mut().filter_map(|part| part.histograms.take()).map(|native| *native);
    let histograms = RollupHistograms::join(native.collect());
    parts.retain(|part| histograms.is_none() || !part.timestamps.is_empty());
    if parts.is_empty() {
        return RollupSeries { histograms, ..RollupSeries::empty(labels) };
    }
    let mut spans: Vec<(Timestamp, usize, usize)> = Vec::new();
    for (part, series) in parts.iter().enumerate() {
        spans.extend(series.timestamps.iter().enumerate().map(|(index, &time)| (time, part, index)));
    }
    spans.sort_unstable();
    let mut out = Spans::default();
    for (time, part, index) in spans {
        // A column that was not loaded stays empty below.
        let value = |column: Column| parts[part].columns[column as usize].get(index).copied().unwrap_or(0.0);
        out.add_span(time, Column::ALL.map(value));
    }
    out.settle_sum();
    let loaded = |column: usize| parts.iter().all(|part| part.columns[column].len() == part.timestamps.len());
    let columns =
        std::array::from_fn(
            |column| {
                if loaded(column) { std::mem::take(&mut out.columns[column]) } else { Vec::new() }
            },
        );
    RollupSeries { columns, timestamps: shared.share(out.timestamps), labels, histograms }
}

/// Keeps only spans that end within `range`.
pub fn cut(series: Vec<RollupSeries>, range: TimeRange) -> Vec<RollupSeries> {
    let cut_one = |mut series: RollupSeries| {
        let place = within(&series.timestamps, range);
        if place.len() < series.timestamps.len() {
            series.timestamps = Arc::from(&series.timestamps[place.clone()]);
            for column in series.columns.iter_mut().filter(|column| !column.is_empty()) {
                *column = column[place.clone()].to_vec();
            }
        }
        series.histograms = series.histograms.and_then(|native| native.cut(range));
        (!series.is_empty()).then_some(series)
    };
    series.into_iter().filter_map(cut_one).collect()
}

/// Makes of rollups the series that a query of one aggregate reads. Their columns must be loaded: see [`Column::of`].
///
/// Of a span in which a series changed between numbers and native histograms, only the histograms are left.
pub fn aggregate(series: Vec<RollupSeries>, aggregate: Aggregate, resolution: Resolution) -> Vec<Series> {
    let make = |mut series: RollupSeries| {
        let mut take = |column: Column| std::mem::take(&mut series.columns[column as usize]);
        let (values, weights) = match aggregate {
            Aggregate::Last => (take(Column::Last), None),
            Aggregate::Min => (take(Column::Min), None),
            Aggregate::Max => (take(Column::Max), None),
            Aggregate::Average => {
                let (counts, sums) = (take(Column::Count), take(Column::Sum));
                (sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect(), Some(counts))
            }
            Aggregate::Increase => (running_increase(&take(Column::Last), &take(Column::Increase)), None),
        };
        let mut made = Series {
            labels: series.labels,
            timestamps: series.timestamps,
            values,
            weights,
            resolution: Some(resolution.duration()),
            histograms: series.histograms.map(|native| Box::new(native.aggregate(aggregate))),
        };
        separate(&mut made);
        made
    };
    series.into_iter().map(make).collect()
}

/// A counter without resets that grows as the real one did, from its first value on.
fn running_increase(last: &[f64], increases: &[f64]) -> Vec<f64> {
    let mut total = last.first().copied().unwrap_or(0.0);
    let later = increases.iter().skip(1).map(|increase| {
        total += increase;
        total
    });
    last.first().copied().into_iter().chain(later.collect::<Vec<_>>()).collect()
}

/// Collects the spans of one series.
#[derive(Debug, Default)]
struct Spans {
    timestamps: Vec<Timestamp>,
    columns: [Vec<f64>; COLUMN_COUNT],
    /// What the sum lost to rounding so far (Neumaier).
    lost: f64,
}

impl Spans {
    fn add(&mut self, span_end: Timestamp, value: f64, previous: Option<f64>) {
        let increase = previous.map_or(0.0, |previous| if value < previous { value } else { value - previous });
        let increase = if increase.is_nan() { 0.0 } else { increase };
        self.add_span(span_end, [1.0, value, value, value, value, increase]);
    }

    fn add_span(&mut self, span_end: Timestamp, values: [f64; COLUMN_COUNT]) {
        if self.timestamps.last() != Some(&span_end) {
            self.settle_sum();
            self.timestamps.push(span_end);
            for (column, value) in self.columns.iter_mut().zip(values) {
                column.push(value);
            }
            return;
        }
        let [count, sum, min, max, last, increase] = values;
        let [counts, sums, mins, maxs, lasts, increases] =
            self.columns.each_mut().map(|column| column.last_mut().expect("a span has a value in each column"));
        *counts += count;
        let total = *sums + sum;
        let lost = if sums.abs() >= sum.abs() { (*sums - total) + sum } else { (sum - total) + *sums };
        *sums = total;
        self.lost += lost;
        // NaN only stays when there is nothing else.
        if min < *mins || mins.is_nan() {
            *mins = min;
        }
        if max > *maxs || maxs.is_nan() {
            *maxs = max;
        }
        *lasts = last;
        *increases += increase;
    }

    fn settle_sum(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if let Some(sum) = self.columns[Column::Sum as usize].last_mut().filter(|_| lost.is_finite()) {
            *sum += lost;
        }
    }

    fn finish(
        mut self,
        labels: Labels,
        histograms: Option<Box<RollupHistograms>>,
        shared: &mut SharedTimes,
    ) -> Option<RollupSeries> {
        self.settle_sum();
        if self.timestamps.is_empty() {
            return histograms.map(|native| RollupSeries { histograms: Some(native), ..RollupSeries::empty(labels) });
        }
        Some(RollupSeries { labels, timestamps: shared.share(self.timestamps), columns: self.columns, histograms })
    }
}

/// Lets neighbouring series share equal times.
#[derive(Debug, Default)]
pub(crate) struct SharedTimes {
    last: Option<Arc<[Timestamp]>>,
}

impl SharedTimes {
    pub(crate) fn share(&mut self, timestamps: Vec<Timestamp>) -> Arc<[Timestamp]> {
        match &self.last {
            Some(last) if **last == timestamps[..] => Arc::clone(last),
            _ => {
                let new: Arc<[Timestamp]> = Arc::from(timestamps);
                self.last = Some(Arc::clone(&new));
                new
            }
        }
    }
}

#[cfg(test)]
mod tests;

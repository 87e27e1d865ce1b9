//! Recent samples, not yet in a block.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;
use model::{
    Batch, BatchSeries, Histogram, HistogramSamples, Labels, LabelsRef, METRIC_NAME, MatchOp, Matcher, Series,
    TimeRange, Timestamp, matches_all,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::block;
use crate::histogram::weight;
use crate::hour::hour_of;
use crate::merge::{SampleValue, by_labels, separate, settle};
use crate::rollup::SharedTimes;

/// The samples of any number of batches, by series.
///
/// Batches may be appended in any order and more than once: what is read out is the same. Each sample remembers the
/// minute in which its batch arrived, so that those of a minute can be cut into chunks and forgotten, and the rest stays.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Places in `series`, found by the hash of the labels.
    places: HashTable<u32>,
    series: Vec<HeadSeries>,
    /// Places in `series` by metric name.
    metrics: BTreeMap<String, Vec<u32>>,
    /// Whether those of a metric are in the order of their labels, and the samples of each series in that of time.
    is_sorted: bool,
    samples: usize,
    /// The minutes of arrival that samples have, in order of their first batch.
    minutes: Vec<i64>,
}

#[derive(Clone, Debug)]
struct HeadSeries {
    labels: Labels,
    numbers: HeadColumn<f64>,
    /// Most series have none.
    histograms: Option<Box<HeadColumn<Arc<Histogram>>>>,
}

/// Samples of one kind of a series.
#[derive(Clone, Debug)]
struct HeadColumn<T> {
    timestamps: Vec<Timestamp>,
    values: Vec<T>,
    /// Places in the head's `minutes`, a sample each.
    arrivals: Vec<u32>,
    order: Order,
}

/// How times follow on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// Strictly ascending.
    Strict,
    /// Ascending, some more than once.
    Ascending,
    /// In any order.
    Any,
}

impl Order {
    fn of(timestamps: &[Timestamp]) -> Self {
        if timestamps.is_sorted_by(|one, two| one < two) {
            Self::Strict
        } else if timestamps.is_sorted() {
            Self::Ascending
        } else {
            Self::Any
        }
    }
}

impl Head {
    /// A head without samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes all samples of a batch whose time of arrival does not matter.
    pub fn append(&mut self, batch: &Batch) {
        self.append_arrived(batch, 0);
    }

    /// Sorts what was appended, so that reads need not: requests of one minute come in any order.
    pub fn sort(&mut self) {
        if std::mem::replace(&mut self.is_sorted, true) {
            return;
        }
        for series in &mut self.series {
            series.numbers.sort();
            series.histograms.iter_mut().for_each(|column| column.sort());
        }
        let labels = |place: &u32| &self.series[*place as usize].labels;
        for places in self.metrics.values_mut() {
            places.sort_by(|one, two| by_labels(labels(one), labels(two)));
        }
    }

    /// Takes all samples of a batch that arrived in a minute.
    pub fn append_arrived(&mut self, batch: &Batch, minute: i64) {
        self.is_sorted = false;
        let arrival = self.arrival(minute);
        // Senders repeat their series in the same order: the next one is guessed before it is looked up.
        let mut guess = 0;
        for incoming in batch.iter() {
            let known = self.series.get(guess).is_some_and(|series| series.labels.as_ref() == incoming.labels);
            let place = if known { guess } else { self.place(incoming.labels) };
            self.series[place].append(&incoming, arrival);
            guess = place + 1;
        }
        self.samples += batch.sample_count();
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// How many samples were appended, repeats included.
    pub const fn sample_count(&self) -> usize {
        self.samples
    }

    /// How many samples arrived in a minute or before it, repeats included.
    pub fn count_through(&self, minute: i64) -> usize {
        let closed = self.arrived_through(minute);
        self.series.iter().map(|series| series.count_arrived(&closed)).sum()
    }

    /// Forgets the samples that arrived in a minute or before it, and series that have none left.
    pub fn forget_through(&mut self, minute: i64) {
        let mut kept = Vec::with_capacity(self.minutes.len());
        let mut moves = Vec::with_capacity(self.minutes.len());
        for arrived in self.minutes.drain(..) {
            moves.push((arrived > minute).then_some(u32::try_from(kept.len()).unwrap_or(u32::MAX)));
            kept.extend((arrived > minute).then_some(arrived));
        }
        self.minutes = kept;
        if moves.iter().all(Option::is_some) {
            return;
        }
        let series_before = self.series.len();
        self.series.retain_mut(|series| series.forget(&moves));
        self.samples = self.series.iter().map(HeadSeries::len).sum();
        if self.series.len() != series_before {
            self.index();
        }
    }

    /// From the oldest to the newest sample; `None` without samples.
    pub fn time_range(&self) -> Option<TimeRange> {
        let times = |times: &[Timestamp]| Some(TimeRange::new(*times.iter().min()?, *times.iter().max()?));
        let ranges = self.series.iter().flat_map(HeadSeries::times).filter_map(times);
        ranges.reduce(|one, two| one.union(&two))
    }

    /// The samples within `range` of the series that fulfil all matchers, sorted by labels.
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Vec<Series> {
        let mut shared = SharedTimes::default();
        let chosen = self.candidates(matchers).filter(|series| matches_all(matchers, series.labels.as_ref()));
        let mut out: Vec<Series> = chosen.filter_map(|series| series.within(range, &mut shared)).collect();
        out.sort_by(|one, two| by_labels(&one.labels, &two.labels));
        out
    }

    /// The label sets of the series that fulfil all matchers and have a sample within `range`, in no special order.
    pub fn label_sets(&self, matchers: &[Matcher], range: TimeRange) -> impl Iterator<Item = &Labels> {
        self.candidates(matchers)
            .filter(move |series| matches_all(matchers, series.labels.as_ref()) && series.has_any(range))
            .map(|series| &series.labels)
    }

    /// How many samples a [`Head::select`] of the same would give at most.
    pub fn count(&self, matchers: &[Matcher], range: TimeRange) -> usize {
        let inside = |series: &HeadSeries| series.count(range);
        self.candidates(matchers).filter(|series| matches_all(matchers, series.labels.as_ref())).map(inside).sum()
    }

    /// The chunks to store: for each hour with samples a block.
    pub fn cut(&self) -> Vec<(i64, Vec<u8>)> {
        self.cut_through(i64::MAX)
    }

    /// The chunks to store of what arrived in a minute or before it: for each hour with samples a block.
    pub fn cut_through(&self, minute: i64) -> Vec<(i64, Vec<u8>)> {
        let closed = self.arrived_through(minute);
        let mut hours: BTreeMap<i64, Vec<Series>> = BTreeMap::new();
        let mut shared = SharedTimes::default();
        // Metric by metric, which is most of the order of a block.
        for series in self.metrics.values().flatten().map(|&place| &self.series[place as usize]) {
            let Some(whole) = series.arrived(&closed, &mut shared) else { continue };
            for (hour, part) in by_hour(whole) {
                hours.entry(hour).or_default().push(part);
            }
        }
        hours.into_iter().map(|(hour, series)| (hour, block::encode(&series))).collect()
    }

    /// The series that may match: those of one metric, when a matcher names it.
    fn candidates(&self, matchers: &[Matcher]) -> Box<dyn Iterator<Item = &HeadSeries> + '_> {
        let named = |matcher: &&Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
        match matchers.iter().find(named) {
            Some(matcher) => {
                let places = self.metrics.get(matcher.value()).map_or(&[][..], Vec::as_slice);
                Box::new(places.iter().map(|&place| &self.series[place as usize]))
            }
            None => Box::new(self.series.iter()),
        }
    }

    /// The place of a minute in `minutes`.
    fn arrival(&mut self, minute: i64) -> u32 {
        let known = self.minutes.iter().rposition(|known| *known == minute);
        let place = known.unwrap_or_else(|| {
            self.minutes.push(minute);
            self.minutes.len() - 1
        });
        u32::try_from(place).expect("a head has samples of fewer than 2^32 minutes")
    }

    /// For each place in `minutes`, whether it is a minute or one before it.
    fn arrived_through(&self, minute: i64) -> Vec<bool> {
        self.minutes.iter().map(|arrived| *arrived <= minute).collect()
    }

    fn place(&mut self, labels: LabelsRef<'_>) -> usize {
        let series = &self.series;
        let same = |place: &u32| series[*place as usize].labels.as_ref() == labels;
        if let Some(place) = self.places.find(hash(labels), same) {
            return *place as usize;
        }
        let series = HeadSeries { labels: labels.to_labels(), numbers: HeadColumn::default(), histograms: None };
        self.series.push(series);
        self.index_one(self.series.len() - 1);
        self.series.len() - 1
    }

    /// Finds out again where each series is.
    fn index(&mut self) {
        self.is_sorted = false;
        self.places.clear();
        self.metrics.clear();
        (0..self.series.len()).for_each(|index| self.index_one(index));
    }

    /// Notes where a new series is.
    fn index_one(&mut self, index: usize) {
        let place = u32::try_from(index).expect("a head has fewer than 2^32 series");
        let series = &self.series;
        let labels = series[index].labels.as_ref();
        self.places.insert_unique(hash(labels), place, |place| hash(series[*place as usize].labels.as_ref()));
        let metric = labels.get(METRIC_NAME).unwrap_or("");
        match self.metrics.get_mut(metric) {
            Some(places) => places.push(place),
            None => drop(self.metrics.insert(metric.to_owned(), vec![place])),
        }
    }
}

fn hash(labels: LabelsRef<'_>) -> u64 {
    xxh3_64(labels.as_text().as_bytes())
}

impl HeadSeries {
    fn append(&mut self, incoming: &BatchSeries<'_>, arrival: u32) {
        self.numbers.append(incoming.timestamps, incoming.values, arrival);
        if !incoming.histograms.is_empty() {
            let (timestamps, values): (Vec<Timestamp>, Vec<Arc<Histogram>>) =
                incoming.histograms.iter().map(|sample| (sample.timestamp, Arc::clone(&sample.histogram))).unzip();
            self.histograms.get_or_insert_default().append(&timestamps, &values, arrival);
        }
    }

    /// How many samples there are, repeats included.
    fn len(&self) -> usize {
        self.numbers.values.len() + self.histograms.as_ref().map_or(0, |column| column.values.len())
    }

    /// The times of numbers, then of histograms.
    fn times(&self) -> impl Iterator<Item = &[Timestamp]> {
        let histograms = self.histograms.as_ref().map(|column| column.timestamps.as_slice());
        std::iter::once(self.numbers.timestamps.as_slice()).chain(histograms)
    }

    /// What samples within a range count towards limits: a number one, a histogram as much as its buckets take.
    fn count(&self, range: TimeRange) -> usize {
        let histograms = self.histograms.iter().flat_map(|column| column.inside(range));
        self.numbers.count(range) + histograms.map(|(_, histogram)| weight(histogram)).sum::<usize>()
    }

    fn count_arrived(&self, marked: &[bool]) -> usize {
        let inside = |arrivals: &[u32]| arrivals.iter().filter(|arrival| marked[**arrival as usize]).count();
        inside(&self.numbers.arrivals) + self.histograms.as_ref().map_or(0, |column| inside(&column.arrivals))
    }

    /// Keeps the samples of the arrivals that go on, under their new places. False when none is left.
    fn forget(&mut self, moves: &[Option<u32>]) -> bool {
        let has_numbers = self.numbers.forget(moves);
        if self.histograms.as_mut().is_some_and(|column| !column.forget(moves)) {
            self.histograms = None;
        }
        has_numbers || self.histograms.is_some()
    }

    /// All samples of the arrivals that are marked.
    fn arrived(&self, marked: &[bool], shared: &mut SharedTimes) -> Option<Series> {
        if marked.iter().all(|marked| *marked) {
            return self.within(TimeRange::ALL, shared);
        }
        let histograms = self.histograms.as_ref().map(|column| column.arrived(marked));
        self.series(self.numbers.arrived(marked), histograms, shared)
    }

    fn has_any(&self, range: TimeRange) -> bool {
        self.numbers.count(range) > 0 || self.histograms.as_ref().is_some_and(|column| column.count(range) > 0)
    }

    fn within(&self, range: TimeRange, shared: &mut SharedTimes) -> Option<Series> {
        let histograms = self.histograms.as_ref().map(|column| column.within(range));
        self.series(self.numbers.within(range), histograms, shared)
    }

    fn series(
        &self,
        (timestamps, values): (Vec<Timestamp>, Vec<f64>),
        histograms: Option<(Vec<Timestamp>, Vec<Arc<Histogram>>)>,
        shared: &mut SharedTimes,
    ) -> Option<Series> {
        let histograms = histograms.filter(|(times, _)| !times.is_empty());
        if values.is_empty() && histograms.is_none() {
            return None;
        }
        let histograms = histograms.map(|(times, values)| Box::new(HistogramSamples::new(shared.share(times), values)));
        let timestamps = if values.is_empty() { Arc::default() } else { shared.share(timestamps) };
        let labels = self.labels.clone();
        let mut series = Series { labels, timestamps, values, weights: None, resolution: None, histograms };
        separate(&mut series);
        Some(series)
    }
}

impl<T> Default for HeadColumn<T> {
    fn default() -> Self {
        Self { timestamps: Vec::new(), values: Vec::new(), arrivals: Vec::new(), order: Order::Strict }
    }
}

impl<T: SampleValue> HeadColumn<T> {
    fn append(&mut self, timestamps: &[Timestamp], values: &[T], arrival: u32) {
        let last = self.timestamps.len().saturating_sub(1);
        self.timestamps.extend_from_slice(timestamps);
        self.values.extend_from_slice(values);
        self.arrivals.resize(self.values.len(), arrival);
        self.order = self.order.max(Order::of(&self.timestamps[last..]));
    }

    /// Sorts by time; of one time the one that was appended first comes first.
    fn sort(&mut self) {
        if self.order != Order::Any {
            return;
        }
        let mut places: Vec<usize> = (0..self.values.len()).collect();
        places.sort_by_key(|place| self.timestamps[*place]);
        self.timestamps = places.iter().map(|&place| self.timestamps[place]).collect();
        self.values = places.iter().map(|&place| self.values[place].clone()).collect();
        self.arrivals = places.iter().map(|&place| self.arrivals[place]).collect();
        self.order = Order::of(&self.timestamps);
    }

    fn forget(&mut self, moves: &[Option<u32>]) -> bool {
        let mut kept = 0;
        for index in 0..self.values.len() {
            let Some(arrival) = moves[self.arrivals[index] as usize] else { continue };
            self.timestamps[kept] = self.timestamps[index];
            self.values.swap(kept, index);
            self.arrivals[kept] = arrival;
            kept += 1;
        }
        self.timestamps.truncate(kept);
        self.values.truncate(kept);
        self.arrivals.truncate(kept);
        if self.order != Order::Strict {
            self.order = Order::of(&self.timestamps);
        }
        kept > 0
    }

    fn arrived(&self, marked: &[bool]) -> (Vec<Timestamp>, Vec<T>) {
        let samples = self.timestamps.iter().zip(&self.values).zip(&self.arrivals);
        let chosen = samples.filter(|(_, arrival)| marked[**arrival as usize]);
        let mut chosen: Vec<(Timestamp, T)> = chosen.map(|((time, value), _)| (*time, value.clone())).collect();
        if self.order != Order::Strict {
            settle(&mut chosen);
        }
        chosen.into_iter().unzip()
    }

    fn within(&self, range: TimeRange) -> (Vec<Timestamp>, Vec<T>) {
        if self.order == Order::Strict {
            let place = block::within(&self.timestamps, range);
            return (self.timestamps[place.clone()].to_vec(), self.values[place].to_vec());
        }
        let mut samples: Vec<(Timestamp, T)> = self.inside(range).map(|(time, value)| (time, value.clone())).collect();
        settle(&mut samples);
        samples.into_iter().unzip()
    }

    /// How many samples a range has.
    fn count(&self, range: TimeRange) -> usize {
        match self.order {
            Order::Any => self.timestamps.iter().filter(|time| range.contains(**time)).count(),
            Order::Strict | Order::Ascending => block::within(&self.timestamps, range).len(),
        }
    }

    /// The samples of a range as they were appended.
    fn inside(&self, range: TimeRange) -> impl Iterator<Item = (Timestamp, &T)> {
        let place =
            if self.order == Order::Any { 0..self.values.len() } else { block::within(&self.timestamps, range) };
        let samples = self.timestamps[place.clone()].iter().copied().zip(&self.values[place]);
        samples.filter(move |(time, _)| range.contains(*time))
    }
}

/// A series cut where the hour changes.
fn by_hour(whole: Series) -> Vec<(i64, Series)> {
    let mut parts = Vec::new();
    each_hour(&whole.timestamps, |hour, place| {
        let all = place.len() == whole.len();
        parts.push((hour, if all { whole.clone() } else { slice(&whole, place) }));
    });
    let Some(histograms) = whole.histograms else { return parts };
    each_hour(&histograms.timestamps, |hour, place| {
        let values = histograms.values[place.clone()].to_vec();
        let samples = Box::new(HistogramSamples::new(Arc::from(&histograms.timestamps[place]), values));
        match parts.iter_mut().find(|(other, _)| *other == hour) {
            Some((_, part)) => part.histograms = Some(samples),
            None => {
                let part = Series { histograms: Some(samples), ..Series::from_samples(whole.labels.clone(), &[]) };
                parts.push((hour, part));
            }
        }
    });
    parts
}

fn each_hour(timestamps: &[Timestamp], mut show: impl FnMut(i64, std::ops::Range<usize>)) {
    let mut start = 0;
    while start < timestamps.len() {
        let hour = hour_of(timestamps[start]);
        let end = start + timestamps[start..].partition_point(|time| hour_of(*time) == hour);
        show(hour, start..end);
        start = end;
    }
}

/// The numbers at some places.
fn slice(series: &Series, place: std::ops::Range<usize>) -> Series {
    Series {
        labels: series.labels.clone(),
        timestamps: Arc::from(&series.timestamps[place.clone()]),
        values: series.values[place].to_vec(),
        weights: None,
        resolution: None,
        histograms: None,
    }
}

#[cfg(test)]
mod tests;

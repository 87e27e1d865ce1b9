//! Recent samples, not yet in a block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashTable;
use model::{
    Batch, BatchSeries, Histogram, HistogramSamples, Labels, LabelsRef, METRIC_NAME, MatchOp, Matcher, Series,
    TimeRange, Timestamp, matches_all,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::histogram::weight;
use crate::merge::{by_labels, separate};
use crate::rollup::SharedTimes;

mod column;
mod cut;

use column::{HeadColumn, Order};

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
    metrics: BTreeMap<String, MetricPlaces>,
    /// The series whose samples were not appended in order of time.
    disordered: BTreeSet<u32>,
    /// The minutes of arrival that samples have, in order of their first batch, and how many samples each.
    minutes: Vec<(i64, usize)>,
}

/// The series of one metric.
#[derive(Clone, Debug, Default)]
struct MetricPlaces {
    places: Vec<u32>,
    /// Whether they are in the order of their labels.
    is_sorted: bool,
}

#[derive(Clone, Debug)]
struct HeadSeries {
    labels: Labels,
    numbers: HeadColumn<f64>,
    /// Most series have none.
    histograms: Option<Box<HeadColumn<Arc<Histogram>>>>,
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
        for place in std::mem::take(&mut self.disordered) {
            let series = &mut self.series[place as usize];
            series.numbers.sort();
            series.histograms.iter_mut().for_each(|column| column.sort());
        }
        let labels = |place: &u32| &self.series[*place as usize].labels;
        for metric in self.metrics.values_mut().filter(|metric| !metric.is_sorted) {
            metric.places.sort_by(|one, two| by_labels(labels(one), labels(two)));
            metric.is_sorted = true;
        }
    }

    /// Takes all samples of a batch that arrived in a minute.
    pub fn append_arrived(&mut self, batch: &Batch, minute: i64) {
        let arrival = self.arrival(minute);
        // Senders repeat their series in the same order: the next one is guessed before it is looked up.
        let mut guess = 0;
        for incoming in batch.iter() {
            let known = self.series.get(guess).is_some_and(|series| series.labels.as_ref() == incoming.labels);
            let place = if known { guess } else { self.place(incoming.labels) };
            if self.series[place].append(&incoming, arrival) == Order::Any {
                self.disordered.insert(u32::try_from(place).expect("a place is a number of 32 bits"));
            }
            guess = place + 1;
        }
        self.minutes[arrival as usize].1 += batch.sample_count();
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// How many samples were appended, repeats included.
    pub fn sample_count(&self) -> usize {
        self.count_through(i64::MAX)
    }

    /// How many samples arrived in a minute or before it, repeats included.
    pub fn count_through(&self, minute: i64) -> usize {
        self.minutes.iter().filter(|(arrived, _)| *arrived <= minute).map(|(_, samples)| samples).sum()
    }

    /// Forgets the samples that arrived in a minute or before it, and series that have none left.
    pub fn forget_through(&mut self, minute: i64) {
        let mut kept = Vec::with_capacity(self.minutes.len());
        let mut moves = Vec::with_capacity(self.minutes.len());
        for (arrived, samples) in self.minutes.drain(..) {
            moves.push((arrived > minute).then_some(u32::try_from(kept.len()).unwrap_or(u32::MAX)));
            kept.extend((arrived > minute).then_some((arrived, samples)));
        }
        self.minutes = kept;
        if moves.iter().all(Option::is_some) {
            return;
        }
        let series_before = self.series.len();
        self.series.retain_mut(|series| series.forget(&moves));
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

    /// The series that may match: those of one metric, when a matcher names it.
    fn candidates(&self, matchers: &[Matcher]) -> Box<dyn Iterator<Item = &HeadSeries> + '_> {
        let named = |matcher: &&Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
        match matchers.iter().find(named) {
            Some(matcher) => {
                let places = self.metrics.get(matcher.value()).map_or(&[][..], |metric| &metric.places);
                Box::new(places.iter().map(|&place| &self.series[place as usize]))
            }
            None => Box::new(self.series.iter()),
        }
    }

    /// The place of a minute in `minutes`.
    fn arrival(&mut self, minute: i64) -> u32 {
        let known = self.minutes.iter().rposition(|(known, _)| *known == minute);
        let place = known.unwrap_or_else(|| {
            self.minutes.push((minute, 0));
            self.minutes.len() - 1
        });
        u32::try_from(place).expect("a head has samples of fewer than 2^32 minutes")
    }

    /// For each place in `minutes`, whether it is a minute or one before it.
    fn arrived_through(&self, minute: i64) -> Vec<bool> {
        self.minutes.iter().map(|(arrived, _)| *arrived <= minute).collect()
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
        self.places.clear();
        self.metrics.clear();
        self.disordered.clear();
        for index in 0..self.series.len() {
            let place = self.index_one(index);
            self.disordered.extend((self.series[index].order() == Order::Any).then_some(place));
        }
    }

    /// Notes where a new series is.
    fn index_one(&mut self, index: usize) -> u32 {
        let place = u32::try_from(index).expect("a head has fewer than 2^32 series");
        let series = &self.series;
        let labels = series[index].labels.as_ref();
        self.places.insert_unique(hash(labels), place, |place| hash(series[*place as usize].labels.as_ref()));
        let metric = labels.get(METRIC_NAME).unwrap_or("");
        if !self.metrics.contains_key(metric) {
            self.metrics.insert(metric.to_owned(), MetricPlaces::default());
        }
        let of_metric = self.metrics.get_mut(metric).expect("it was put there");
        of_metric.places.push(place);
        of_metric.is_sorted = false;
        place
    }
}

fn hash(labels: LabelsRef<'_>) -> u64 {
    xxh3_64(labels.as_text().as_bytes())
}

impl HeadSeries {
    /// Appends, and says how times follow on each other now.
    fn append(&mut self, incoming: &BatchSeries<'_>, arrival: u32) -> Order {
        self.numbers.append(incoming.timestamps, incoming.values, arrival);
        if !incoming.histograms.is_empty() {
            let (timestamps, values): (Vec<Timestamp>, Vec<Arc<Histogram>>) =
                incoming.histograms.iter().map(|sample| (sample.timestamp, Arc::clone(&sample.histogram))).unzip();
            self.histograms.get_or_insert_default().append(&timestamps, &values, arrival);
        }
        self.order()
    }

    /// How times follow on each other, of numbers and of histograms.
    fn order(&self) -> Order {
        self.histograms.as_ref().map_or(self.numbers.order, |column| column.order.max(self.numbers.order))
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

#[cfg(test)]
mod tests;

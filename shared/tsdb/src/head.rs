//! Recent samples, not yet in a block.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashTable;
use model::{Batch, Labels, LabelsRef, METRIC_NAME, MatchOp, Matcher, Series, TimeRange, Timestamp, matches_all};
use xxhash_rust::xxh3::xxh3_64;

use crate::block;
use crate::hour::hour_of;
use crate::merge::{by_labels, settle};
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
    samples: usize,
    /// The minutes of arrival that samples have, in order of their first batch.
    minutes: Vec<i64>,
}

#[derive(Clone, Debug)]
struct HeadSeries {
    labels: Labels,
    timestamps: Vec<Timestamp>,
    values: Vec<f64>,
    /// Places in the head's `minutes`, a sample each.
    arrivals: Vec<u32>,
    /// Whether times are strictly ascending.
    in_order: bool,
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

    /// Takes all samples of a batch that arrived in a minute.
    pub fn append_arrived(&mut self, batch: &Batch, minute: i64) {
        let arrival = self.arrival(minute);
        // Senders repeat their series in the same order: the next one is guessed before it is looked up.
        let mut guess = 0;
        for incoming in batch.iter() {
            let known = self.series.get(guess).is_some_and(|series| series.labels.as_ref() == incoming.labels);
            let place = if known { guess } else { self.place(incoming.labels) };
            self.series[place].append(incoming.timestamps, incoming.values, arrival);
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
        let inside = |series: &HeadSeries| series.arrivals.iter().filter(|arrival| closed[**arrival as usize]).count();
        self.series.iter().map(inside).sum()
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
        self.samples = self.series.iter().map(|series| series.values.len()).sum();
        if self.series.len() != series_before {
            self.index();
        }
    }

    /// From the oldest to the newest sample; `None` without samples.
    pub fn time_range(&self) -> Option<TimeRange> {
        let times = |series: &HeadSeries| {
            let (min, max) = (series.timestamps.iter().min()?, series.timestamps.iter().max()?);
            Some(TimeRange::new(*min, *max))
        };
        self.series.iter().filter_map(times).reduce(|one, two| one.union(&two))
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
        let inside = |series: &HeadSeries| series.timestamps.iter().filter(|time| range.contains(**time)).count();
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
        for series in &self.series {
            let Some(whole) = series.arrived(&closed, &mut shared) else { continue };
            let mut start = 0;
            while start < whole.len() {
                let hour = hour_of(whole.timestamps[start]);
                let end = start + whole.timestamps[start..].partition_point(|time| hour_of(*time) == hour);
                let part = if start == 0 && end == whole.len() { whole.clone() } else { slice(&whole, start, end) };
                hours.entry(hour).or_default().push(part);
                start = end;
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
        self.series.push(HeadSeries {
            labels: labels.to_labels(),
            timestamps: Vec::new(),
            values: Vec::new(),
            arrivals: Vec::new(),
            in_order: true,
        });
        self.index_one(self.series.len() - 1);
        self.series.len() - 1
    }

    /// Finds out again where each series is.
    fn index(&mut self) {
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
    fn append(&mut self, timestamps: &[Timestamp], values: &[f64], arrival: u32) {
        let last = self.timestamps.last().copied();
        let follows = last.zip(timestamps.first()).is_none_or(|(last, first)| last < *first);
        self.in_order &= follows && timestamps.is_sorted_by(|one, two| one < two);
        self.timestamps.extend_from_slice(timestamps);
        self.values.extend_from_slice(values);
        self.arrivals.resize(self.values.len(), arrival);
    }

    /// Keeps the samples of the arrivals that go on, under their new places. False when none is left.
    fn forget(&mut self, moves: &[Option<u32>]) -> bool {
        let mut kept = 0;
        for index in 0..self.values.len() {
            let Some(arrival) = moves[self.arrivals[index] as usize] else { continue };
            self.timestamps[kept] = self.timestamps[index];
            self.values[kept] = self.values[index];
            self.arrivals[kept] = arrival;
            kept += 1;
        }
        self.timestamps.truncate(kept);
        self.values.truncate(kept);
        self.arrivals.truncate(kept);
        self.in_order = self.in_order || self.timestamps.is_sorted_by(|one, two| one < two);
        kept > 0
    }

    /// All samples of the arrivals that are marked.
    fn arrived(&self, marked: &[bool], shared: &mut SharedTimes) -> Option<Series> {
        if marked.iter().all(|marked| *marked) {
            return self.within(TimeRange::ALL, shared);
        }
        let samples = self.timestamps.iter().zip(&self.values).zip(&self.arrivals);
        let chosen = samples.filter(|(_, arrival)| marked[**arrival as usize]);
        let mut chosen: Vec<(Timestamp, f64)> = chosen.map(|((time, value), _)| (*time, *value)).collect();
        if !self.in_order {
            settle(&mut chosen);
        }
        self.series(chosen.into_iter().unzip(), shared)
    }

    fn has_any(&self, range: TimeRange) -> bool {
        self.timestamps.iter().any(|time| range.contains(*time))
    }

    fn within(&self, range: TimeRange, shared: &mut SharedTimes) -> Option<Series> {
        let (timestamps, values) = if self.in_order {
            let place = block::within(&self.timestamps, range);
            (self.timestamps[place.clone()].to_vec(), self.values[place].to_vec())
        } else {
            self.settled(range)
        };
        self.series((timestamps, values), shared)
    }

    fn series(&self, (timestamps, values): (Vec<Timestamp>, Vec<f64>), shared: &mut SharedTimes) -> Option<Series> {
        (!values.is_empty()).then(|| Series {
            labels: self.labels.clone(),
            timestamps: shared.share(timestamps),
            values,
            weights: None,
            resolution: None,
            histograms: None,
        })
    }

    fn settled(&self, range: TimeRange) -> (Vec<Timestamp>, Vec<f64>) {
        let all = self.timestamps.iter().copied().zip(self.values.iter().copied());
        let mut samples: Vec<(Timestamp, f64)> = all.filter(|(time, _)| range.contains(*time)).collect();
        settle(&mut samples);
        samples.into_iter().unzip()
    }
}

fn slice(series: &Series, start: usize, end: usize) -> Series {
    Series {
        labels: series.labels.clone(),
        timestamps: Arc::from(&series.timestamps[start..end]),
        values: series.values[start..end].to_vec(),
        weights: None,
        resolution: None,
        histograms: None,
    }
}

#[cfg(test)]
mod tests;

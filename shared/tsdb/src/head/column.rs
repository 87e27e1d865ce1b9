//! Samples of one kind of a series, and when they arrived.

use std::iter::repeat_n;
use std::ops::Range;

use model::{TimeRange, Timestamp};
use smallvec::SmallVec;

use crate::block;
use crate::merge::{SampleValue, settle};

/// Samples of one kind of a series.
#[derive(Clone, Debug)]
pub(super) struct HeadColumn<T> {
    pub(super) timestamps: Vec<Timestamp>,
    pub(super) values: Vec<T>,
    /// When they arrived, in their order: a place in the head's `minutes`, and how many samples in a row. A head seldom
    /// holds more than four minutes.
    arrivals: SmallVec<[(u32, u32); 4]>,
    pub(super) order: Order,
}

/// How times follow on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
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

impl<T> Default for HeadColumn<T> {
    fn default() -> Self {
        Self { timestamps: Vec::new(), values: Vec::new(), arrivals: SmallVec::new(), order: Order::Strict }
    }
}

impl<T: SampleValue> HeadColumn<T> {
    pub(super) fn append(&mut self, timestamps: &[Timestamp], values: &[T], arrival: u32) {
        let last = self.timestamps.len().saturating_sub(1);
        self.timestamps.extend_from_slice(timestamps);
        self.values.extend_from_slice(values);
        self.arrived_in(arrival, values.len());
        self.order = self.order.max(Order::of(&self.timestamps[last..]));
    }

    /// Notes that the next samples arrived in a minute.
    fn arrived_in(&mut self, arrival: u32, count: usize) {
        let count = u32::try_from(count).expect("a column has fewer than 2^32 samples");
        match self.arrivals.last_mut() {
            Some((last, samples)) if *last == arrival => *samples += count,
            _ if count == 0 => {}
            _ => self.arrivals.push((arrival, count)),
        }
    }

    /// Where the samples are that arrived in one minute in a row, with the minute's place.
    fn runs(&self) -> impl Iterator<Item = (u32, Range<usize>)> {
        let mut end = 0;
        self.arrivals.iter().map(move |(arrival, count)| {
            let start = end;
            end += *count as usize;
            (*arrival, start..end)
        })
    }

    /// Sorts by time; of one time the one that was appended first comes first.
    pub(super) fn sort(&mut self) {
        if self.order != Order::Any {
            return;
        }
        let mut places: Vec<usize> = (0..self.values.len()).collect();
        places.sort_by_key(|place| self.timestamps[*place]);
        self.timestamps = places.iter().map(|&place| self.timestamps[place]).collect();
        self.values = places.iter().map(|&place| self.values[place].clone()).collect();
        let arrivals: Vec<u32> = self.runs().flat_map(|(arrival, place)| repeat_n(arrival, place.len())).collect();
        self.arrivals.clear();
        places.iter().for_each(|&place| self.arrived_in(arrivals[place], 1));
        self.order = Order::of(&self.timestamps);
    }

    /// Keeps the samples of the arrivals that go on, under their new places. False when none is left.
    pub(super) fn forget(&mut self, moves: &[Option<u32>]) -> bool {
        let goes_on = |arrival: u32| moves[arrival as usize].is_some();
        let first =
            self.runs().find(|(arrival, _)| goes_on(*arrival)).map_or(self.values.len(), |(_, place)| place.start);
        // Mostly the oldest ones go.
        self.timestamps.drain(..first);
        self.values.drain(..first);
        if self.runs().any(|(arrival, place)| place.start >= first && !goes_on(arrival)) {
            let runs = self.runs().filter(|(_, place)| place.start >= first);
            let kept: Vec<bool> = runs.flat_map(|(arrival, place)| repeat_n(goes_on(arrival), place.len())).collect();
            let (mut times, mut values) = (kept.iter(), kept.iter());
            self.timestamps.retain(|_| times.next().is_some_and(|kept| *kept));
            self.values.retain(|_| values.next().is_some_and(|kept| *kept));
        }
        self.arrivals.retain(|(arrival, _)| goes_on(*arrival));
        for (arrival, _) in &mut self.arrivals {
            *arrival = moves[*arrival as usize].unwrap_or(*arrival);
        }
        if self.order != Order::Strict {
            self.order = Order::of(&self.timestamps);
        }
        !self.values.is_empty()
    }

    /// Where the samples of the arrivals that are marked are, when they lie together.
    pub(super) fn together(&self, marked: &[bool]) -> Option<Range<usize>> {
        let mut together: Option<Range<usize>> = None;
        for (_, place) in self.runs().filter(|(arrival, _)| marked[*arrival as usize]) {
            match &mut together {
                None => together = Some(place),
                Some(known) if known.end == place.start => known.end = place.end,
                Some(_) => return None,
            }
        }
        together
    }

    pub(super) fn arrived(&self, marked: &[bool]) -> (Vec<Timestamp>, Vec<T>) {
        let mut chosen: Vec<(Timestamp, T)> = Vec::new();
        for (_, place) in self.runs().filter(|(arrival, _)| marked[*arrival as usize]) {
            let values = self.values[place.clone()].iter().cloned();
            chosen.extend(self.timestamps[place].iter().copied().zip(values));
        }
        if self.order != Order::Strict {
            settle(&mut chosen);
        }
        chosen.into_iter().unzip()
    }

    pub(super) fn within(&self, range: TimeRange) -> (Vec<Timestamp>, Vec<T>) {
        if self.order == Order::Strict {
            let place = block::within(&self.timestamps, range);
            return (self.timestamps[place.clone()].to_vec(), self.values[place].to_vec());
        }
        let mut samples: Vec<(Timestamp, T)> = self.inside(range).map(|(time, value)| (time, value.clone())).collect();
        settle(&mut samples);
        samples.into_iter().unzip()
    }

    /// How many samples a range has.
    pub(super) fn count(&self, range: TimeRange) -> usize {
        match self.order {
            Order::Any => self.timestamps.iter().filter(|time| range.contains(**time)).count(),
            Order::Strict | Order::Ascending => block::within(&self.timestamps, range).len(),
        }
    }

    /// The samples of a range as they were appended.
    pub(super) fn inside(&self, range: TimeRange) -> impl Iterator<Item = (Timestamp, &T)> {
        let place =
            if self.order == Order::Any { 0..self.values.len() } else { block::within(&self.timestamps, range) };
        let samples = self.timestamps[place.clone()].iter().copied().zip(&self.values[place]);
        samples.filter(move |(time, _)| range.contains(*time))
    }
}

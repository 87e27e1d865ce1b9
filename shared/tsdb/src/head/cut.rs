//! Cutting what arrived into chunks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use model::{HistogramSamples, Labels, Series, Timestamp};

use super::{Head, HeadSeries, Order};
use crate::block::{BlockKind, View, encode_ascending, encode_views};
use crate::hour::hour_of;
use crate::rollup::SharedTimes;

/// What a chunk has of one series.
enum Part<'a> {
    /// As the head holds it, which nearly all do.
    Held { metric: &'a str, labels: &'a Labels, timestamps: &'a [Timestamp], values: &'a [f64] },
    /// What had to be put together.
    Made(Series),
}

impl Part<'_> {
    fn view(&self) -> View<'_> {
        match self {
            Self::Held { metric, labels, timestamps, values } => View::of_numbers(metric, labels, timestamps, values),
            Self::Made(series) => View::of_raw(series),
        }
    }
}

impl Head {
    /// The chunks to store: for each hour with samples a block.
    pub fn cut(&self) -> Vec<(i64, Vec<u8>)> {
        self.cut_through(i64::MAX)
    }

    /// The chunks to store of what arrived in a minute or before it: for each hour with samples a block.
    pub fn cut_through(&self, minute: i64) -> Vec<(i64, Vec<u8>)> {
        let closed = self.arrived_through(minute);
        let mut hours: BTreeMap<i64, Vec<Part<'_>>> = BTreeMap::new();
        let mut shared = SharedTimes::default();
        // Metric by metric, which is most of the order of a block, and all of it once the head is sorted.
        let is_sorted = self.metrics.values().all(|metric| metric.is_sorted);
        for (metric, of_metric) in &self.metrics {
            for series in of_metric.places.iter().map(|&place| &self.series[place as usize]) {
                if let Some((hour, place)) = series.held(&closed) {
                    let (timestamps, values) =
                        (&series.numbers.timestamps[place.clone()], &series.numbers.values[place]);
                    let part = Part::Held { metric, labels: &series.labels, timestamps, values };
                    hours.entry(hour).or_default().push(part);
                } else if let Some(whole) = series.arrived(&closed, &mut shared) {
                    for (hour, part) in by_hour(whole) {
                        hours.entry(hour).or_default().push(Part::Made(part));
                    }
                }
            }
        }
        let encode = |parts: &[Part<'_>]| {
            let views: Vec<View<'_>> = parts.iter().map(Part::view).collect();
            if is_sorted { encode_ascending(&views, BlockKind::Raw) } else { encode_views(views, BlockKind::Raw) }
        };
        hours.into_iter().map(|(hour, parts)| (hour, encode(&parts))).collect()
    }
}

impl HeadSeries {
    /// Where the samples of the arrivals that are marked are, and in which hour, where they are numbers that lie together
    /// and need no more than to be written.
    fn held(&self, marked: &[bool]) -> Option<(i64, Range<usize>)> {
        let numbers = &self.numbers;
        if self.histograms.is_some() || numbers.order != Order::Strict {
            return None;
        }
        let place = numbers.together(marked)?;
        let (first, last) = (numbers.timestamps[place.start], numbers.timestamps[place.end - 1]);
        let hour = hour_of(first);
        (hour_of(last) == hour).then_some((hour, place))
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

fn each_hour(timestamps: &[Timestamp], mut show: impl FnMut(i64, Range<usize>)) {
    let mut start = 0;
    while start < timestamps.len() {
        let hour = hour_of(timestamps[start]);
        let end = start + timestamps[start..].partition_point(|time| hour_of(*time) == hour);
        show(hour, start..end);
        start = end;
    }
}

/// The numbers at some places.
fn slice(series: &Series, place: Range<usize>) -> Series {
    Series {
        labels: series.labels.clone(),
        timestamps: Arc::from(&series.timestamps[place.clone()]),
        values: series.values[place].to_vec(),
        weights: None,
        resolution: None,
        histograms: None,
    }
}

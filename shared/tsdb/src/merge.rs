//! Joining what several sources hold of the same series.

use std::cmp::Ordering;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{Histogram, HistogramSamples, Labels, Series, Timestamp, is_stale};

use crate::histogram;

/// Merges the raw series of several sources into one sorted list: each label set once, each timestamp once.
///
/// For one series and timestamp, a value beats a staleness marker, a native histogram beats a number, and otherwise the
/// greater by total order wins: the same, whatever comes from where and how often.
pub fn merge(sources: Vec<Vec<Series>>) -> Vec<Series> {
    let mut sources: Vec<Vec<Series>> = sources.into_iter().filter(|source| !source.is_empty()).collect();
    let tidy = |source: &Vec<Series>| {
        source.is_sorted_by(|one, two| by_labels(&one.labels, &two.labels).is_lt())
            && !source.iter().any(Series::is_empty)
    };
    if sources.len() == 1 && tidy(&sources[0]) { sources.remove(0) } else { merge_many(sources) }
}

/// Orders label sets as Prometheus does.
pub(crate) fn by_labels(one: &Labels, two: &Labels) -> Ordering {
    one.cmp(two)
}

/// What a sample holds: of two of one series and timestamp, one stays.
pub(crate) trait SampleValue: Clone {
    /// Whether the other one stays.
    fn is_weaker(&self, other: &Self) -> bool;
}

impl SampleValue for f64 {
    fn is_weaker(&self, other: &Self) -> bool {
        match (is_stale(*self), is_stale(*other)) {
            (true, false) => true,
            (false, true) => false,
            _ => self.total_cmp(other).is_lt(),
        }
    }
}

impl SampleValue for Arc<Histogram> {
    fn is_weaker(&self, other: &Self) -> bool {
        !Arc::ptr_eq(self, other) && histogram::order(self, other).is_lt()
    }
}

fn merge_many(sources: Vec<Vec<Series>>) -> Vec<Series> {
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut grouped: Vec<Vec<Series>> = Vec::new();
    // Sources mostly hold the same series in the same order: the next one is guessed before it is looked up.
    for source in sources {
        let mut guess = 0;
        for series in source.into_iter().filter(|series| !series.is_empty()) {
            let known = grouped.get(guess).is_some_and(|parts| parts[0].labels == series.labels);
            let place = if known { Some(guess) } else { places.get(&series.labels).copied() };
            let place = place.unwrap_or_else(|| {
                places.insert(series.labels.clone(), grouped.len());
                grouped.push(Vec::new());
                grouped.len() - 1
            });
            grouped[place].push(series);
            guess = place + 1;
        }
    }
    let mut times = JoinedTimes::default();
    let mut merged: Vec<Series> = grouped.into_iter().map(|parts| join(parts, &mut times)).collect();
    if !merged.is_sorted_by(|one, two| by_labels(&one.labels, &two.labels).is_lt()) {
        merged.sort_by(|one, two| by_labels(&one.labels, &two.labels));
    }
    merged
}

/// Joins the parts of one series.
fn join(mut parts: Vec<Series>, times: &mut JoinedTimes) -> Series {
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    if parts.iter().any(|part| part.histograms.is_some()) {
        return join_native(parts, times);
    }
    parts.sort_by_key(|part| part.timestamps[0]);
    if parts.windows(2).all(|pair| pair[0].timestamps[pair[0].len() - 1] < pair[1].timestamps[0]) {
        let timestamps = times.of(&parts);
        let values = parts.iter().flat_map(|part| part.values.iter().copied()).collect();
        let labels = parts.swap_remove(0).labels;
        return Series { labels, timestamps, values, weights: None, resolution: None, histograms: None };
    }
    interleave(parts)
}

/// Joins parts of which some have histograms.
fn join_native(mut parts: Vec<Series>, times: &mut JoinedTimes) -> Series {
    let labels = parts[0].labels.clone();
    let mut histograms: Vec<HistogramSamples> =
        parts.iter_mut().filter_map(|part| part.histograms.take()).map(|samples| *samples).collect();
    parts.retain(|part| !part.values.is_empty());
    let mut series = if parts.is_empty() { Series::from_samples(labels, &[]) } else { join(parts, times) };
    let joined = if histograms.len() == 1 { histograms.swap_remove(0) } else { interleave_histograms(&histograms) };
    series.histograms = Some(Box::new(joined));
    separate(&mut series);
    series
}

fn interleave_histograms(parts: &[HistogramSamples]) -> HistogramSamples {
    let samples = parts.iter().flat_map(|part| part.timestamps.iter().copied().zip(part.values.iter().cloned()));
    let mut samples: Vec<(Timestamp, Arc<Histogram>)> = samples.collect();
    settle(&mut samples);
    let (timestamps, values): (Vec<Timestamp>, Vec<Arc<Histogram>>) = samples.into_iter().unzip();
    HistogramSamples::new(timestamps.into(), values)
}

/// Drops the numbers of times that have a histogram.
pub(crate) fn separate(series: &mut Series) {
    let Some(histograms) = &series.histograms else { return };
    let mut times = histograms.timestamps.iter().peekable();
    let mut collides = |time: &Timestamp| {
        while times.next_if(|other| *other < time).is_some() {}
        times.peek() == Some(&time)
    };
    let kept: Vec<usize> = (0..series.values.len()).filter(|index| !collides(&series.timestamps[*index])).collect();
    if kept.len() < series.values.len() {
        series.timestamps = kept.iter().map(|index| series.timestamps[*index]).collect();
        series.weights = series.weights.take().map(|weights| kept.iter().map(|index| weights[*index]).collect());
        series.values = kept.into_iter().map(|index| series.values[index]).collect();
    }
}

/// Joins parts whose times overlap.
fn interleave(mut parts: Vec<Series>) -> Series {
    let mut samples: Vec<(Timestamp, f64)> = Vec::with_capacity(parts.iter().map(Series::len).sum());
    for part in &parts {
        samples.extend(part.timestamps.iter().copied().zip(part.values.iter().copied()));
    }
    settle(&mut samples);
    Series {
        labels: parts.swap_remove(0).labels,
        timestamps: samples.iter().map(|(time, _)| *time).collect(),
        values: samples.iter().map(|(_, value)| *value).collect(),
        weights: None,
        resolution: None,
        histograms: None,
    }
}

/// Sorts samples by time and leaves one for each.
pub(crate) fn settle<T: SampleValue>(samples: &mut Vec<(Timestamp, T)>) {
    samples.sort_by_key(|(time, _)| *time);
    samples.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same && kept.1.is_weaker(&later.1) {
            kept.1 = later.1.clone();
        }
        same
    });
}

/// The joined times of parts that follow on each other, shared between series whose parts share theirs.
#[derive(Debug, Default)]
struct JoinedTimes {
    parts: Vec<Arc<[Timestamp]>>,
    joined: Arc<[Timestamp]>,
}

impl JoinedTimes {
    fn of(&mut self, parts: &[Series]) -> Arc<[Timestamp]> {
        let same = self.parts.len() == parts.len()
            && self.parts.iter().zip(parts).all(|(known, part)| Arc::ptr_eq(known, &part.timestamps));
        if !same {
            self.joined = parts.iter().flat_map(|part| part.timestamps.iter().copied()).collect();
            self.parts = parts.iter().map(|part| Arc::clone(&part.timestamps)).collect();
        }
        Arc::clone(&self.joined)
    }
}

#[cfg(test)]
mod tests;

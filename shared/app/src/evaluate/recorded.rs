//! What the rules of a tick have recorded so far, on top of what is stored: the rules behind them see it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use alerting::rule::Outcome;
use model::{
    Histogram, HistogramSamples, Labels, METRIC_NAME, MatchOp, Matcher, Sample, Series, TimeRange, TimedHistogram,
    Timestamp, matches_all,
};
use promql::{Selection, Source, SourceError};

/// A sample that a rule recorded.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RecordedSample {
    Number(Sample),
    Histogram(TimedHistogram),
}

/// Samples in the order in which they were recorded.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    samples: Vec<(Labels, RecordedSample)>,
    /// Places in `samples` by metric name.
    metrics: BTreeMap<String, Vec<usize>>,
}

impl Recorded {
    pub(super) const fn len(&self) -> usize {
        self.samples.len()
    }

    /// Takes the samples of an outcome.
    pub(super) fn take(&mut self, outcome: &mut Outcome) {
        let numbers = std::mem::take(&mut outcome.samples).into_iter();
        let histograms = std::mem::take(&mut outcome.histograms).into_iter();
        let numbers = numbers.map(|(labels, sample)| (labels, RecordedSample::Number(sample)));
        let histograms = histograms.map(|(labels, sample)| (labels, RecordedSample::Histogram(sample)));
        for (labels, sample) in numbers.chain(histograms) {
            let metric = labels.get(METRIC_NAME).unwrap_or("");
            match self.metrics.get_mut(metric) {
                Some(places) => places.push(self.samples.len()),
                None => drop(self.metrics.insert(metric.to_owned(), vec![self.samples.len()])),
            }
            self.samples.push((labels, sample));
        }
    }

    /// Forgets what came after the first so many samples.
    pub(super) fn truncate(&mut self, len: usize) {
        self.samples.truncate(len);
        self.metrics.values_mut().for_each(|places| places.retain(|place| *place < len));
    }

    pub(super) fn into_samples(self) -> Vec<(Labels, RecordedSample)> {
        self.samples
    }

    /// The samples within a range that a selection asks for, as series; one may come once as numbers and once as
    /// histograms.
    fn matching(&self, matchers: &[Matcher], range: TimeRange) -> Vec<Series> {
        let named = |matcher: &&Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
        let places: Box<dyn Iterator<Item = usize>> = match matchers.iter().find(named) {
            Some(matcher) => Box::new(self.metrics.get(matcher.value()).into_iter().flatten().copied()),
            None => Box::new(0..self.samples.len()),
        };
        let mut numbers: BTreeMap<&Labels, BTreeMap<Timestamp, f64>> = BTreeMap::new();
        let mut native: BTreeMap<&Labels, BTreeMap<Timestamp, Arc<Histogram>>> = BTreeMap::new();
        let wanted = |labels: &Labels, time| range.contains(time) && matches_all(matchers, labels.as_ref());
        for (labels, sample) in places.map(|place| &self.samples[place]) {
            match sample {
                RecordedSample::Number(sample) if wanted(labels, sample.timestamp) => {
                    numbers.entry(labels).or_default().insert(sample.timestamp, sample.value);
                }
                RecordedSample::Histogram(sample) if wanted(labels, sample.timestamp) => {
                    native.entry(labels).or_default().insert(sample.timestamp, Arc::clone(&sample.histogram));
                }
                RecordedSample::Number(_) | RecordedSample::Histogram(_) => {}
            }
        }
        let of_numbers = numbers.into_iter().map(|(labels, samples)| {
            let samples = samples.into_iter().map(|(timestamp, value)| Sample { timestamp, value });
            Series::from_samples(labels.clone(), &samples.collect::<Vec<_>>())
        });
        let of_histograms = native.into_iter().map(|(labels, samples)| {
            let (times, values): (Vec<Timestamp>, Vec<Arc<Histogram>>) = samples.into_iter().unzip();
            let histograms = Some(Box::new(HistogramSamples::new(times.into(), values)));
            Series { histograms, ..Series::from_samples(labels.clone(), &[]) }
        });
        of_numbers.chain(of_histograms).collect()
    }
}

/// What is stored of some selections, and what was recorded on top of it.
pub(super) struct Overlay<'a, S> {
    stored: &'a S,
    selections: &'a [Selection],
    recorded: &'a Recorded,
}

impl<'a, S> Overlay<'a, S> {
    pub(super) const fn new(stored: &'a S, selections: &'a [Selection], recorded: &'a Recorded) -> Self {
        Self { stored, selections, recorded }
    }
}

impl<S: Source> Source for Overlay<'_, S> {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        let stored = self.stored.series(selection)?;
        let wanted = &self.selections[selection];
        let recorded = self.recorded.matching(&wanted.matchers, wanted.range);
        if recorded.is_empty() { Ok(stored) } else { Ok(tsdb::merge(vec![stored, recorded])) }
    }

    fn series_count(&self, selection: usize) -> usize {
        self.stored.series_count(selection)
    }

    fn each(&self, selection: usize, visit: &mut dyn FnMut(&Series) -> ControlFlow<()>) -> Result<(), SourceError> {
        let wanted = &self.selections[selection];
        let recorded = self.recorded.matching(&wanted.matchers, wanted.range);
        if recorded.is_empty() {
            return self.stored.each(selection, visit);
        }
        let merged = tsdb::merge(vec![self.stored.series(selection)?, recorded]);
        let _seen_enough = merged.iter().try_for_each(visit);
        Ok(())
    }
}

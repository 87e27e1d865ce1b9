//! What the rules of a tick have recorded so far, on top of what is stored: the rules behind them see it.

use std::collections::BTreeMap;

use model::{Labels, METRIC_NAME, MatchOp, Matcher, Sample, Series, TimeRange, Timestamp, matches_all};
use promql::{Selection, Source, SourceError};

/// Samples in the order in which they were recorded.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    samples: Vec<(Labels, Sample)>,
    /// Places in `samples` by metric name.
    metrics: BTreeMap<String, Vec<usize>>,
}

impl Recorded {
    pub(super) const fn len(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn extend(&mut self, samples: Vec<(Labels, Sample)>) {
        for (labels, sample) in samples {
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

    pub(super) fn into_samples(self) -> Vec<(Labels, Sample)> {
        self.samples
    }

    /// The samples within a range that a selection asks for, as series.
    fn matching(&self, matchers: &[Matcher], range: TimeRange) -> Vec<Series> {
        let named = |matcher: &&Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
        let places: Box<dyn Iterator<Item = usize>> = match matchers.iter().find(named) {
            Some(matcher) => Box::new(self.metrics.get(matcher.value()).into_iter().flatten().copied()),
            None => Box::new(0..self.samples.len()),
        };
        let mut found: BTreeMap<&Labels, BTreeMap<Timestamp, f64>> = BTreeMap::new();
        for (labels, sample) in places.map(|place| &self.samples[place]) {
            if range.contains(sample.timestamp) && matches_all(matchers, labels.as_ref()) {
                found.entry(labels).or_default().insert(sample.timestamp, sample.value);
            }
        }
        let series = |(labels, samples): (&Labels, BTreeMap<Timestamp, f64>)| {
            let samples = samples.into_iter().map(|(timestamp, value)| Sample { timestamp, value });
            Series::from_samples(labels.clone(), &samples.collect::<Vec<_>>())
        };
        found.into_iter().map(series).collect()
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
}

//! Observations in buckets, as a program counts them.

use crate::host::Points;

/// How steep the distribution of durations is: the 95th percentile is about twice the median.
const STEEPNESS: f64 = 4.0;

/// A cumulative histogram of durations.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    /// Upper bounds, ascending, without the infinite one.
    bounds: &'static [f64],
    /// Observations up to each bound so far; fractions are carried on.
    counts: Vec<f64>,
    count: f64,
    sum: f64,
}

impl Histogram {
    /// A histogram without observations.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0.0; bounds.len()], count: 0.0, sum: 0.0 }
    }

    /// Adds so many observations whose median is `median`, spread as durations are: a log-logistic distribution.
    pub(super) fn observe(&mut self, observations: f64, median: f64) {
        self.count += observations;
        let angle = std::f64::consts::PI / STEEPNESS;
        self.sum += observations * median * angle / angle.sin();
        for (count, bound) in self.counts.iter_mut().zip(self.bounds) {
            *count += observations / (1.0 + (bound / median).powf(-STEEPNESS));
        }
    }

    /// Adds the series of the histogram.
    pub(super) fn push(&self, name: &str, labels: &[(&str, &str)], points: &mut Points) {
        let bucket = format!("{name}_bucket");
        let all = std::iter::once(("+Inf".to_owned(), self.count));
        let bounded = self.bounds.iter().map(f64::to_string).zip(self.counts.iter().copied());
        for (bound, count) in bounded.chain(all) {
            let with_bound: Vec<(&str, &str)> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            points.push(&bucket, &with_bound, count.floor());
        }
        points.push(&format!("{name}_sum"), labels, (self.sum * 1000.0).round() / 1000.0);
        points.push(&format!("{name}_count"), labels, self.count.floor());
    }
}

//! What a query loads.

use std::sync::Arc;
use std::time::Duration;

use crate::histogram::HistogramSamples;
use crate::labels::Labels;
use crate::sample::{Sample, Timestamp};

/// Which aggregate of each span a series of rollups holds; raw series answer every aggregate with their samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aggregate {
    /// The last value of the span.
    Last,
    /// The mean of the span, with the number of raw samples as its weight.
    Average,
    /// The smallest value.
    Min,
    /// The greatest value.
    Max,
    /// The running sum of reset-aware increases: a counter without resets, so that `rate` needs no special case.
    Increase,
}

/// The samples of one series in columns, oldest first, one sample a timestamp.
///
/// Timestamps are shared between the series of a scrape. Staleness markers are values like any other; one ends native
/// histograms too.
#[derive(Clone, Debug)]
pub struct Series {
    /// Which series.
    pub labels: Labels,
    /// When each sample was measured, strictly ascending.
    pub timestamps: Arc<[Timestamp]>,
    /// The values, one a timestamp.
    pub values: Vec<f64>,
    /// For rollups: how many raw samples each value stands for. `None` means one each.
    pub weights: Option<Vec<f64>>,
    /// For rollups: the span each value stands for; a value is stamped with the end of its span.
    pub resolution: Option<Duration>,
    /// Native histograms beside the numbers; most series have none.
    pub histograms: Option<Box<HistogramSamples>>,
}

impl Series {
    /// A series of raw samples.
    ///
    /// # Panics
    /// If the samples are not in strictly ascending order of time.
    pub fn from_samples(labels: Labels, samples: &[Sample]) -> Self {
        assert!(samples.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp), "samples ascend in time");
        Self {
            labels,
            timestamps: samples.iter().map(|sample| sample.timestamp).collect(),
            values: samples.iter().map(|sample| sample.value).collect(),
            weights: None,
            resolution: None,
            histograms: None,
        }
    }

    /// The samples that are numbers, oldest first.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        self.timestamps.iter().zip(&self.values).map(|(&timestamp, &value)| Sample { timestamp, value })
    }

    /// How many samples there are, numbers and histograms.
    pub fn len(&self) -> usize {
        self.values.len() + self.histograms.as_ref().map_or(0, |histograms| histograms.values.len())
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

//! Native histograms: all observations of a metric in one sample.

mod bounds;
mod buckets;
mod fold;
mod reset;
mod text;

use std::sync::Arc;

pub use self::bounds::Schema;
pub use self::buckets::{BucketSpan, Buckets};
pub use self::fold::{Folded, MixedSchemas, fold};
pub use self::text::General;

/// A native histogram: how many observations fell into each bucket, their number and their sum.
///
/// Counts are numbers with a fraction, as rates and averages need them; counts of integers are exact up to 2^53. Buckets
/// either grow exponentially on both sides of zero, or have bounds of their own. A value never changes once it is
/// built: samples share it behind an [`Arc`]. The default one has no observation.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    parts: HistogramParts,
}

/// What a [`Histogram`] is made of, not checked yet.
#[derive(Clone, Debug, Default)]
pub struct HistogramParts {
    /// Where the bounds of the buckets are.
    pub schema: Schema,
    /// What the sender knows about counter resets.
    pub counter_reset: CounterReset,
    /// How many observations there were; those that are not a number are in no bucket.
    pub count: f64,
    /// The sum of all observations.
    pub sum: f64,
    /// The zero bucket reaches so far on both sides of zero.
    pub zero_threshold: f64,
    /// How many observations are in the zero bucket.
    pub zero_count: f64,
    /// Buckets above zero, or all of them when the bounds are custom.
    pub positive: Buckets,
    /// Buckets below zero, counted away from it.
    pub negative: Buckets,
}

/// What is known about resets between a histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CounterReset {
    /// Nothing: compare the two.
    #[default]
    Unknown,
    /// The counter was reset in between.
    Reset,
    /// It was not.
    NotReset,
    /// The histogram may go up and down.
    Gauge,
}

/// Why parts make no histogram.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// No such schema.
    #[error("histogram has unknown schema {schema}, must be between -4 and 8, or -53 for custom buckets")]
    UnknownSchema {
        /// The number given.
        schema: i32,
    },
    /// Spans say how many buckets there are.
    #[error("histogram has {counts} bucket counts for spans of {spans} buckets")]
    CountMismatch {
        /// Buckets in all spans.
        spans: u64,
        /// Counts given.
        counts: usize,
    },
    /// Spans must not overlap.
    #[error("histogram has span {index} with the negative offset {offset}")]
    NegativeOffset {
        /// Which span.
        index: usize,
        /// Its offset.
        offset: i32,
    },
    /// Bucket indexes beyond what can be counted.
    #[error("histogram has buckets out of range")]
    OutOfRange,
    /// Custom bounds must ascend and be finite.
    #[error("histogram has custom bounds that do not ascend or are not finite")]
    UnsortedBounds,
    /// Custom bounds go with positive buckets alone, one more than there are bounds.
    #[error("histogram with custom bounds has zero or negative buckets, or buckets beyond its bounds")]
    NotCustom,
    /// Only custom buckets have bounds of their own.
    #[error("histogram has custom bounds and an exponential schema")]
    UnexpectedBounds,
    /// Observations are counted upwards from zero.
    #[error("histogram has the negative count {count}{}", in_bucket(*bucket))]
    NegativeCount {
        /// The number given.
        count: f64,
        /// The bucket it belongs to, counted from the lowest one; `None` for the count of all.
        bucket: Option<usize>,
    },
    /// Whole counts must add up; with observations that are not a number, the buckets may hold less.
    #[error("histogram counts {count} observations, its buckets {observed}")]
    CountsDiffer {
        /// The count given.
        count: f64,
        /// What all buckets hold.
        observed: f64,
    },
    /// The zero bucket has no negative width.
    #[error("histogram has the zero threshold {threshold}")]
    BadThreshold {
        /// The number given.
        threshold: f64,
    },
}

fn in_bucket(bucket: Option<usize>) -> String {
    bucket.map(|bucket| format!(" in bucket {bucket}")).unwrap_or_default()
}

/// One bucket with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The lower bound.
    pub lower: f64,
    /// The upper bound.
    pub upper: f64,
    /// Whether the lower bound belongs to it.
    pub lower_inclusive: bool,
    /// Whether the upper bound belongs to it.
    pub upper_inclusive: bool,
    /// How many observations are in it.
    pub count: f64,
}

/// The samples of one series that are histograms, oldest first.
#[derive(Clone, Debug)]
pub struct HistogramSamples {
    /// When each was measured, strictly ascending; none of them is a time of the series' numbers.
    pub timestamps: Arc<[crate::Timestamp]>,
    /// The histograms, one a timestamp.
    pub values: Vec<Arc<Histogram>>,
    /// For rollups: how many raw histograms each value stands for. `None` means one each.
    pub weights: Option<Vec<f64>>,
}

impl HistogramSamples {
    /// Raw samples, one histogram a timestamp.
    pub const fn new(timestamps: Arc<[crate::Timestamp]>, values: Vec<Arc<Histogram>>) -> Self {
        Self { timestamps, values, weights: None }
    }
}

impl Histogram {
    /// Checks parts and makes them a histogram.
    ///
    /// # Errors
    /// When they do not fit together.
    pub fn new(parts: HistogramParts) -> Result<Self, HistogramError> {
        if parts.zero_threshold.is_nan() || parts.zero_threshold < 0.0 {
            return Err(HistogramError::BadThreshold { threshold: parts.zero_threshold });
        }
        if let Schema::Custom(bounds) = &parts.schema {
            let plain = parts.zero_count == 0.0 && parts.zero_threshold == 0.0 && parts.negative.is_empty();
            let last = i64::try_from(bounds.len()).unwrap_or(i64::MAX);
            let fits = |(index, _): (i32, f64)| (0..=last).contains(&i64::from(index));
            if !plain || !parts.positive.iter().all(fits) {
                return Err(HistogramError::NotCustom);
            }
        }
        Ok(Self { parts })
    }

    /// Checks the counts of a histogram that was measured: none is negative, and whole ones add up. Those that were
    /// calculated need not fulfil this.
    ///
    /// # Errors
    /// When they do not.
    #[expect(clippy::float_cmp, reason = "whole counts are exact")]
    pub fn check_counts(&self, are_whole: bool) -> Result<(), HistogramError> {
        let parts = &self.parts;
        if parts.count < 0.0 {
            return Err(HistogramError::NegativeCount { count: parts.count, bucket: None });
        }
        let zero = std::iter::once(&parts.zero_count);
        let all = || parts.negative.counts().iter().rev().chain(zero.clone()).chain(parts.positive.counts());
        if let Some((bucket, count)) = all().enumerate().find(|(_, count)| **count < 0.0) {
            return Err(HistogramError::NegativeCount { count: *count, bucket: Some(bucket) });
        }
        let observed: f64 = all().sum();
        let adds_up = if parts.sum.is_nan() { observed <= parts.count } else { observed == parts.count };
        if are_whole && !adds_up {
            return Err(HistogramError::CountsDiffer { count: parts.count, observed });
        }
        Ok(())
    }

    /// What it is made of.
    pub const fn parts(&self) -> &HistogramParts {
        &self.parts
    }

    /// Where the bounds of its buckets are.
    pub const fn schema(&self) -> &Schema {
        &self.parts.schema
    }

    /// How many observations there were.
    pub const fn count(&self) -> f64 {
        self.parts.count
    }

    /// The sum of all observations.
    pub const fn sum(&self) -> f64 {
        self.parts.sum
    }

    /// What is known about counter resets.
    pub const fn counter_reset(&self) -> CounterReset {
        self.parts.counter_reset
    }

    /// The same with other knowledge about counter resets.
    #[must_use]
    pub fn with_counter_reset(mut self, counter_reset: CounterReset) -> Self {
        self.parts.counter_reset = counter_reset;
        self
    }

    /// Changes every count and the sum.
    #[must_use]
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        let parts = &self.parts;
        let buckets = |buckets: &Buckets| buckets.map(&change);
        Self {
            parts: HistogramParts {
                schema: parts.schema.clone(),
                counter_reset: parts.counter_reset,
                count: change(parts.count),
                sum: change(parts.sum),
                zero_threshold: parts.zero_threshold,
                // Histograms with custom buckets have no zero bucket that could change.
                zero_count: if parts.schema.is_custom() { 0.0 } else { change(parts.zero_count) },
                positive: buckets(&parts.positive),
                negative: buckets(&parts.negative),
            },
        }
    }

    /// The same without empty buckets.
    #[must_use]
    pub fn compact(mut self) -> Self {
        self.parts.positive.compact();
        self.parts.negative.compact();
        self
    }

    /// All buckets by their bounds, the lowest first; the zero bucket only if there is something in it.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> {
        let parts = &self.parts;
        let negative: Vec<(i32, f64)> = parts.negative.iter().collect();
        let positive: Vec<(i32, f64)> = parts.positive.iter().collect();
        let zero = (parts.zero_count > 0.0).then_some(Bucket {
            lower: -parts.zero_threshold,
            upper: parts.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: parts.zero_count,
        });
        let below = negative.into_iter().rev().map(|(index, count)| self.below_zero(index, count));
        let above = positive.into_iter().map(|(index, count)| self.above_zero(index, count));
        below.chain(zero).chain(above)
    }

    /// The bucket at an index of the positive ones.
    pub fn above_zero(&self, index: i32, count: f64) -> Bucket {
        let (lower, upper) = self.parts.schema.bounds(index);
        let lower_inclusive = matches!(self.parts.schema, Schema::Custom(_)) && index == 0;
        Bucket { lower, upper, lower_inclusive, upper_inclusive: true, count }
    }

    /// The bucket at an index of the negative ones.
    pub fn below_zero(&self, index: i32, count: f64) -> Bucket {
        let (lower, upper) = self.parts.schema.bounds(index);
        Bucket { lower: -upper, upper: -lower, lower_inclusive: true, upper_inclusive: false, count }
    }
}

/// Two are equal when they count the same, whatever is known about counter resets; empty buckets mean nothing.
impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        let (left, right) = (&self.parts, &other.parts);
        let numbers = |parts: &HistogramParts| {
            [parts.count, parts.sum, parts.zero_threshold, parts.zero_count].map(|number| (number + 0.0).to_bits())
        };
        left.schema == right.schema
            && numbers(left) == numbers(right)
            && left.positive == right.positive
            && left.negative == right.negative
    }
}

#[cfg(test)]
mod tests;

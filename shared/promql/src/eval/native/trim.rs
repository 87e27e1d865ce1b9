//! `</` and `>/`: histograms without what lies above or below a value.

use std::sync::Arc;

use model::{Bucket, Buckets, Histogram, HistogramParts, Schema};

/// The histogram without observations above the limit, or below it. Within the bucket that holds the limit
/// observations are taken to be spread as quantiles take them to be; the sum is estimated from the middles of what is
/// left, unless nothing was cut off.
pub(super) fn trimmed(histogram: &Arc<Histogram>, limit: f64, keeps_lower: bool) -> Arc<Histogram> {
    let parts = histogram.parts();
    let cut = Cut { parts, limit, keeps_lower };
    let mut left = Left::default();
    let positive = cut.side(&parts.positive, |index, count| histogram.above_zero(index, count), &mut left);
    let negative = cut.side(&parts.negative, |index, count| histogram.below_zero(index, count), &mut left);
    let zero = cut.zero_bucket();
    let zero_count = if parts.zero_count == 0.0 { 0.0 } else { left.take(zero, cut.part(&zero, true)) };
    if !left.is_cut {
        return Arc::clone(histogram);
    }
    let counter_reset = parts.counter_reset;
    let parts = HistogramParts {
        schema: parts.schema.clone(),
        counter_reset,
        count: left.count,
        sum: left.sum,
        zero_threshold: parts.zero_threshold,
        zero_count,
        positive,
        negative,
    };
    Histogram::new(parts).map_or_else(|_| Arc::clone(histogram), Arc::new)
}

/// What is left so far.
#[derive(Default)]
struct Left {
    count: f64,
    sum: f64,
    is_cut: bool,
}

/// The part of a bucket that stays: how much of its count, and the value in the middle of it.
#[derive(Clone, Copy)]
struct Part {
    share: f64,
    middle: f64,
}

impl Left {
    fn take(&mut self, bucket: Bucket, part: Part) -> f64 {
        let count = bucket.count * part.share;
        self.is_cut |= part.share < 1.0;
        if count != 0.0 {
            self.count += count;
            self.sum += count * part.middle;
        }
        count
    }
}

struct Cut<'a> {
    parts: &'a HistogramParts,
    limit: f64,
    keeps_lower: bool,
}

const NOTHING: Part = Part { share: 0.0, middle: 0.0 };

impl Cut<'_> {
    fn side(&self, buckets: &Buckets, bounds: impl Fn(i32, f64) -> Bucket, left: &mut Left) -> Buckets {
        let full = buckets.iter().filter(|(_, count)| *count != 0.0);
        let kept: Vec<(i32, f64)> = full
            .map(|(index, count)| {
                let bucket = bounds(index, count);
                (index, left.take(bucket, self.part(&bucket, false)))
            })
            .collect();
        Buckets::from_pairs(kept)
    }

    /// The zero bucket lies on the side of zero where there are other buckets.
    fn zero_bucket(&self) -> Bucket {
        let parts = self.parts;
        let (has_negative, has_positive) = (!parts.negative.is_empty(), !parts.positive.is_empty());
        Bucket {
            lower: if has_positive && !has_negative { 0.0 } else { -parts.zero_threshold },
            upper: if has_negative && !has_positive { 0.0 } else { parts.zero_threshold },
            lower_inclusive: true,
            upper_inclusive: true,
            count: parts.zero_count,
        }
    }

    fn part(&self, bucket: &Bucket, is_zero: bool) -> Part {
        let (lower, upper, limit) = (bucket.lower, bucket.upper, self.limit);
        if matches!(self.parts.schema, Schema::Custom(_)) && (lower.is_infinite() || upper.is_infinite()) {
            return self.open_part(lower, upper);
        }
        let is_linear = is_zero || self.parts.schema.is_custom();
        let whole = if self.keeps_lower { upper <= limit } else { lower >= limit };
        if whole {
            return Part { share: 1.0, middle: middle(lower, upper, is_linear) };
        }
        let within = lower < limit && limit < upper;
        if !within {
            return NOTHING;
        }
        let below = share_below(lower, upper, limit, is_linear);
        if self.keeps_lower {
            Part { share: below, middle: middle(lower, limit, is_linear) }
        } else {
            Part { share: 1.0 - below, middle: middle(limit, upper, is_linear) }
        }
    }

    /// Of a custom bucket without a lower or without an upper bound: nobody knows how observations are spread there, so
    /// it stays as a whole or goes. One that begins below zero and ends above it is taken to begin at zero.
    fn open_part(&self, lower: f64, upper: f64) -> Part {
        let limit = self.limit;
        let keeps_all = if self.keeps_lower { limit == f64::INFINITY } else { limit == f64::NEG_INFINITY };
        if upper == f64::INFINITY {
            let known = if lower.is_finite() { lower } else { 0.0 };
            if keeps_all || (!self.keeps_lower && lower.is_finite() && limit < f64::INFINITY) {
                return Part { share: 1.0, middle: known.max(if limit.is_finite() { limit } else { known }) };
            }
            return NOTHING;
        }
        if upper <= 0.0 {
            if keeps_all || (self.keeps_lower && limit > f64::NEG_INFINITY) {
                return Part { share: 1.0, middle: upper.min(if limit.is_finite() { limit } else { upper }) };
            }
            return NOTHING;
        }
        let from_zero = Bucket { lower: 0.0, upper, lower_inclusive: true, upper_inclusive: true, count: 0.0 };
        if keeps_all {
            return Part { share: 1.0, middle: upper / 2.0 };
        }
        if !self.keeps_lower && limit < 0.0 { NOTHING } else { self.part(&from_zero, false) }
    }
}

/// The part of a bucket that lies below a value within it.
fn share_below(lower: f64, upper: f64, value: f64, is_linear: bool) -> f64 {
    if is_linear {
        return (value - lower) / (upper - lower);
    }
    let [lower, upper, value] = [lower, upper, value].map(|bound| bound.abs().log2());
    (value - lower) / (upper - lower)
}

/// The middle of a bucket: on a logarithmic scale, unless it is linear.
fn middle(lower: f64, upper: f64, is_linear: bool) -> f64 {
    if is_linear {
        return f64::midpoint(lower, upper);
    }
    let middle = (lower.abs() * upper.abs()).sqrt();
    if upper <= 0.0 { -middle } else { middle }
}

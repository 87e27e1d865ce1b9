//! Quantiles, fractions and moments of one native histogram.

use model::{Bucket, Histogram};

use super::super::float::Sum;

/// A quantile and what observations that are no number did to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::eval) struct Quantile {
    pub(in crate::eval) value: f64,
    pub(in crate::eval) skew: Skew,
}

/// What observations that are no number did to a quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::eval) enum Skew {
    None,
    /// It lies among them.
    IsNan,
    /// It is too high, as they count as if they were above all others.
    Higher,
}

/// The quantile, interpolated within its bucket: on a logarithmic scale between exponential bounds, linearly otherwise.
pub(in crate::eval) fn quantile(quantile: f64, histogram: &Histogram) -> Quantile {
    let plain = |value| Quantile { value, skew: Skew::None };
    if quantile < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if quantile > 1.0 {
        return plain(f64::INFINITY);
    }
    if histogram.count() == 0.0 || quantile.is_nan() {
        return plain(f64::NAN);
    }
    let has_nan = histogram.sum().is_nan();
    // From the nearer end, since less is rounded on a shorter way; observations that are no number are at no end.
    let forward = has_nan || quantile < 0.5;
    let wanted = if forward { quantile } else { 1.0 - quantile } * histogram.count();
    let (mut count, mut found) = (0.0, None);
    let mut buckets = histogram.buckets().filter(|bucket| bucket.count != 0.0);
    while let Some(bucket) = if forward { buckets.next() } else { buckets.next_back() } {
        count += bucket.count;
        found = Some(bucket);
        if count >= wanted {
            break;
        }
    }
    let skew = match has_nan {
        true if found.is_none() || count < wanted => return Quantile { value: f64::NAN, skew: Skew::IsNan },
        true => Skew::Higher,
        false => Skew::None,
    };
    let value = found.map_or(f64::NAN, |bucket| {
        let count = count.min(histogram.count());
        let rank = if forward { wanted - (count - bucket.count) } else { count - wanted };
        within(histogram, bucket, rank / bucket.count)
    });
    Quantile { value, skew }
}

/// The value at a share of a bucket.
fn within(histogram: &Histogram, bucket: Bucket, share: f64) -> f64 {
    let share = share.clamp(0.0, 1.0);
    if histogram.schema().is_custom() {
        if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
        if bucket.lower == f64::NEG_INFINITY && bucket.upper <= 0.0 {
            return bucket.upper;
        }
    }
    let Bucket { lower, upper, .. } = known_side(histogram, bucket);
    if histogram.schema().is_custom() || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * share;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        return (log_lower + (log_upper - log_lower) * share).exp2();
    }
    -(log_upper + (log_lower - log_upper) * (1.0 - share)).exp2()
}

/// A bucket around zero, cut at zero where the histogram has no others on one side; a custom one without a lower bound
/// begins at zero if it reaches above.
fn known_side(histogram: &Histogram, mut bucket: Bucket) -> Bucket {
    let parts = histogram.parts();
    if histogram.schema().is_custom() {
        if bucket.lower == f64::NEG_INFINITY && bucket.upper > 0.0 {
            bucket.lower = 0.0;
        }
    } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
        match (parts.negative.is_empty(), parts.positive.is_empty()) {
            (true, false) => bucket.lower = 0.0,
            (false, true) => bucket.upper = 0.0,
            (true, true) | (false, false) => {}
        }
    }
    bucket
}

/// The share of observations between two values; those that are no number are in no share.
pub(in crate::eval) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> f64 {
    if histogram.count() == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, histogram) - rank_of(lower, histogram)) / histogram.count()
}

/// How many observations are below a value.
fn rank_of(value: f64, histogram: &Histogram) -> f64 {
    let mut rank = 0.0;
    for bucket in histogram.buckets() {
        let bucket = known_side(histogram, bucket);
        if bucket.lower >= value {
            return f64::min(rank, histogram.count());
        }
        if bucket.upper > value {
            return f64::min(rank + bucket.count * share_below(histogram, &bucket, value), histogram.count());
        }
        rank += bucket.count;
    }
    // Counts and buckets may differ by rounding, unless some observations are in no bucket.
    if histogram.sum().is_nan() { rank } else { histogram.count() }
}

/// The part of a bucket below a value within it. Of one without a lower bound all of it: nobody knows where in there.
fn share_below(histogram: &Histogram, bucket: &Bucket, value: f64) -> f64 {
    let Bucket { lower, upper, .. } = *bucket;
    if lower == f64::NEG_INFINITY {
        return 1.0;
    }
    if histogram.schema().is_custom() || (lower <= 0.0 && upper >= 0.0) {
        return (value - lower) / (upper - lower);
    }
    let [log_lower, log_upper, log_value] = [lower, upper, value].map(|bound| bound.abs().log2());
    (log_value - log_lower) / (log_upper - log_lower)
}

/// The variance, as if all observations of a bucket were in its middle.
pub(in crate::eval) fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum() / histogram.count();
    let mut sum = Sum::default();
    for Bucket { lower, upper, count, .. } in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
        let middle = if histogram.schema().is_custom() {
            (upper + lower) / 2.0
        } else if lower <= 0.0 && upper >= 0.0 {
            0.0
        } else if upper < 0.0 {
            -(upper * lower).sqrt()
        } else {
            (upper * lower).sqrt()
        };
        sum.add(count * (middle - mean) * (middle - mean));
    }
    sum.total() / histogram.count()
}

//! Arithmetic over several histograms: their buckets are made the same first, then each count is calculated.

use std::borrow::Cow;
use std::sync::Arc;

use super::bounds::coarser;
use super::{Buckets, CounterReset, Histogram, HistogramParts, Schema};

/// Histograms with exponential and with custom buckets have no buckets in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("histograms have exponential and custom buckets")]
pub struct MixedSchemas;

/// What several histograms come to.
#[derive(Clone, Debug)]
pub struct Folded {
    /// The result, without empty buckets.
    pub histogram: Histogram,
    /// One of them says that the counter was reset, another that it was not.
    pub resets_conflict: bool,
    /// Custom bounds differed: only those that all have in common are left.
    pub bounds_reconciled: bool,
}

/// Calculates every count, and the sum, of one histogram from those of several: `amount` gets one number of each, in
/// their order. Buckets are first made those of the coarsest, and the zero bucket that of the widest.
///
/// # Errors
/// When some have exponential and some custom buckets.
///
/// # Panics
/// If there is no histogram.
pub fn fold(histograms: &[&Histogram], mut amount: impl FnMut(&[f64]) -> f64) -> Result<Folded, MixedSchemas> {
    let (schema, bounds_reconciled) = common_schema(histograms)?;
    let threshold = common_threshold(histograms);
    let mut numbers = Vec::with_capacity(histograms.len());
    let mut each = |number: &dyn Fn(&HistogramParts) -> f64| {
        numbers.clear();
        numbers.extend(histograms.iter().map(|histogram| number(&histogram.parts)));
        amount(&numbers)
    };
    let (counter_reset, resets_conflict) = common_reset(histograms);
    let count = each(&|parts| parts.count);
    let sum = each(&|parts| parts.sum);
    // Histograms with custom buckets have no zero bucket that could get something.
    let zero_count = if schema.is_custom() { 0.0 } else { each(&|parts| raised_zero(parts, threshold).0) };
    let mut side = |is_positive: bool| {
        let aligned: Vec<Cow<'_, [(i32, f64)]>> =
            histograms.iter().map(|histogram| aligned(&histogram.parts, is_positive, &schema, threshold)).collect();
        fold_buckets(&aligned, &mut amount)
    };
    let (positive, negative) = (side(true), side(false));
    let parts =
        HistogramParts { schema, counter_reset, count, sum, zero_threshold: threshold, zero_count, positive, negative };
    Ok(Folded { histogram: Histogram { parts }, resets_conflict, bounds_reconciled })
}

/// Walks along all lists of buckets at once.
fn fold_buckets(lists: &[Cow<'_, [(i32, f64)]>], amount: &mut impl FnMut(&[f64]) -> f64) -> Buckets {
    let mut places = vec![0; lists.len()];
    let mut numbers = vec![0.0; lists.len()];
    let mut pairs = Vec::with_capacity(lists.iter().map(|list| list.len()).max().unwrap_or(0));
    while let Some(index) =
        lists.iter().zip(&places).filter_map(|(list, place)| list.get(*place)).map(|(index, _)| *index).min()
    {
        for ((list, place), number) in lists.iter().zip(&mut places).zip(&mut numbers) {
            *number = match list.get(*place) {
                Some((found, count)) if *found == index => {
                    *place += 1;
                    *count
                }
                Some(_) | None => 0.0,
            };
        }
        pairs.push((index, amount(&numbers)));
    }
    Buckets::from_pairs(pairs)
}

/// The buckets of one side in another schema, without those that the zero bucket takes in.
fn aligned<'a>(parts: &'a HistogramParts, is_positive: bool, schema: &Schema, threshold: f64) -> Cow<'a, [(i32, f64)]> {
    let buckets = if is_positive { &parts.positive } else { &parts.negative };
    match (&parts.schema, schema) {
        (Schema::Custom(from), Schema::Custom(to)) => Cow::Owned(in_bounds(buckets, from, to)),
        (Schema::Exponential(from), Schema::Exponential(to)) => {
            let beyond_zero = |(index, _): &(i32, f64)| {
                threshold <= parts.zero_threshold || parts.schema.bounds(*index).0 >= threshold
            };
            let mut pairs: Vec<(i32, f64)> = Vec::with_capacity(buckets.counts().len());
            for (index, count) in buckets.iter().filter(beyond_zero) {
                let index = coarser(index, *from, *to);
                match pairs.last_mut() {
                    Some(last) if last.0 == index => last.1 += count,
                    Some(_) | None => pairs.push((index, count)),
                }
            }
            Cow::Owned(pairs)
        }
        // All schemas are of one kind, that was checked before.
        (Schema::Custom(_), Schema::Exponential(_)) | (Schema::Exponential(_), Schema::Custom(_)) => Cow::Borrowed(&[]),
    }
}

/// The finest schema that all can be brought to, and whether custom bounds had to go.
fn common_schema(histograms: &[&Histogram]) -> Result<(Schema, bool), MixedSchemas> {
    let mut common = histograms[0].parts.schema.clone();
    let mut reconciled = false;
    for histogram in &histograms[1..] {
        match (&mut common, &histogram.parts.schema) {
            (Schema::Exponential(common), Schema::Exponential(other)) => *common = (*common).min(*other),
            (Schema::Custom(common), Schema::Custom(other)) => {
                if !Arc::ptr_eq(common, other) && common != other {
                    *common = common_bounds(common, other).into();
                    reconciled = true;
                }
            }
            (Schema::Exponential(_), Schema::Custom(_)) | (Schema::Custom(_), Schema::Exponential(_)) => {
                return Err(MixedSchemas);
            }
        }
    }
    Ok((common, reconciled))
}

/// Bounds that are in both lists.
pub(super) fn common_bounds(left: &[f64], right: &[f64]) -> Vec<f64> {
    if left == right {
        return left.to_vec();
    }
    left.iter().copied().filter(|bound| right.contains(bound)).collect()
}

/// Custom buckets under some of their bounds.
pub(super) fn in_bounds(buckets: &Buckets, from: &[f64], to: &[f64]) -> Vec<(i32, f64)> {
    let mut pairs: Vec<(i32, f64)> = Vec::with_capacity(buckets.counts().len());
    for (index, count) in buckets.iter() {
        let upper = usize::try_from(index).ok().and_then(|index| from.get(index)).copied().unwrap_or(f64::INFINITY);
        let index = i32::try_from(to.partition_point(|bound| *bound < upper)).unwrap_or(i32::MAX);
        match pairs.last_mut() {
            Some(last) if last.0 == index => last.1 += count,
            Some(_) | None => pairs.push((index, count)),
        }
    }
    pairs
}

/// The smallest zero bucket that holds whole buckets of all of them.
fn common_threshold(histograms: &[&Histogram]) -> f64 {
    let mut threshold = histograms.iter().map(|histogram| histogram.parts.zero_threshold).fold(0.0, f64::max);
    loop {
        let raised =
            histograms.iter().map(|histogram| raised_zero(&histogram.parts, threshold).1).fold(threshold, f64::max);
        if raised <= threshold {
            return threshold;
        }
        threshold = raised;
    }
}

/// What the zero bucket holds when it reaches as far as `threshold` or, where that is within a bucket that is not
/// empty, to the end of that; and how far it reaches then.
pub(super) fn raised_zero(parts: &HistogramParts, mut threshold: f64) -> (f64, f64) {
    if parts.schema.is_custom() || threshold <= parts.zero_threshold {
        return (parts.zero_count, threshold.max(parts.zero_threshold));
    }
    loop {
        let mut count = parts.zero_count;
        let mut reach = threshold;
        for (index, in_bucket) in parts.positive.iter().chain(parts.negative.iter()) {
            let (lower, upper) = parts.schema.bounds(index);
            if lower < threshold {
                count += in_bucket;
                if in_bucket != 0.0 {
                    reach = reach.max(upper);
                }
            }
        }
        if reach <= threshold {
            return (count, threshold);
        }
        threshold = reach;
    }
}

/// What is known about the resets of all together, and whether they contradict each other.
fn common_reset(histograms: &[&Histogram]) -> (CounterReset, bool) {
    let hints = || histograms.iter().map(|histogram| histogram.parts.counter_reset);
    let any = |wanted| hints().any(|hint| hint == wanted);
    let first = histograms[0].parts.counter_reset;
    let hint = if hints().all(|hint| hint == first) {
        first
    } else if any(CounterReset::Gauge) {
        CounterReset::Gauge
    } else {
        CounterReset::Unknown
    };
    (hint, any(CounterReset::Reset) && any(CounterReset::NotReset))
}

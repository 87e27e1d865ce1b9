//! Whether a counter started again.

use super::bounds::coarser;
use super::fold::{common_bounds, in_bounds, raised_zero};
use super::{CounterReset, Histogram, HistogramParts, Schema};

impl Histogram {
    /// Whether a counter was reset between `previous` and this histogram: the hint says so, or some count went down.
    pub fn is_reset_since(&self, previous: &Self) -> bool {
        match self.parts.counter_reset {
            CounterReset::Reset => return true,
            CounterReset::NotReset => return false,
            CounterReset::Unknown | CounterReset::Gauge => {}
        }
        let (now, before) = (&self.parts, &previous.parts);
        if now.count < before.count {
            return true;
        }
        match (&now.schema, &before.schema) {
            (Schema::Custom(bounds), Schema::Custom(bounds_before)) => {
                let common = common_bounds(bounds, bounds_before);
                let counts = |parts: &HistogramParts, bounds| in_bounds(&parts.positive, bounds, &common);
                went_down(&counts(now, bounds), &counts(before, bounds_before))
            }
            (Schema::Exponential(schema), Schema::Exponential(schema_before)) => {
                schema > schema_before || exponential_went_down(now, *schema, before, *schema_before)
            }
            (Schema::Exponential(_), Schema::Custom(_)) | (Schema::Custom(_), Schema::Exponential(_)) => true,
        }
    }
}

fn exponential_went_down(now: &HistogramParts, schema: i8, before: &HistogramParts, schema_before: i8) -> bool {
    if now.zero_threshold < before.zero_threshold {
        return true;
    }
    let (zero_before, threshold) = raised_zero(before, now.zero_threshold);
    // A threshold within a bucket that is not empty: the two cannot be of one counter.
    if threshold > now.zero_threshold || now.zero_count < zero_before {
        return true;
    }
    let beyond_zero = |index: i32| Schema::Exponential(schema).bounds(index).1 > threshold;
    let reduced = |parts: &HistogramParts, is_positive: bool, from: i8| {
        let buckets = if is_positive { &parts.positive } else { &parts.negative };
        let mut pairs: Vec<(i32, f64)> = Vec::new();
        for (index, count) in buckets.iter().map(|(index, count)| (coarser(index, from, schema), count)) {
            match pairs.last_mut() {
                Some(last) if last.0 == index => last.1 += count,
                Some(_) | None => pairs.push((index, count)),
            }
        }
        pairs.retain(|(index, _)| beyond_zero(*index));
        pairs
    };
    [true, false].into_iter().any(|side| went_down(&reduced(now, side, schema), &reduced(before, side, schema_before)))
}

/// Whether some bucket holds less than before.
fn went_down(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|(index, count_before)| {
        while now.next_if(|(other, _)| other < index).is_some() {}
        match now.peek() {
            Some((other, count)) if other == index => count < count_before,
            Some(_) | None => *count_before != 0.0,
        }
    })
}

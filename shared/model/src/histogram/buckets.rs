//! The counts of buckets, stored without the long runs of empty ones.

use super::HistogramError;

/// A run of neighbouring buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketSpan {
    /// Of the first run the index of its first bucket, of others the number of buckets skipped since the run before.
    pub offset: i32,
    /// How many buckets it has.
    pub length: u32,
}

/// The counts of buckets by their index, as runs of neighbours.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    spans: Vec<BucketSpan>,
    counts: Vec<f64>,
}

/// Runs that are closer are one: a span takes as much room as a count.
const GAP_MAX: i32 = 1;

/// Numbers count exactly up to here.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

impl Buckets {
    /// Buckets with one count for each place in the spans.
    ///
    /// # Errors
    /// When the numbers of counts and places differ, or spans overlap.
    pub fn new(spans: Vec<BucketSpan>, counts: Vec<f64>) -> Result<Self, HistogramError> {
        let places: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
        if u64::try_from(counts.len()) != Ok(places) {
            return Err(HistogramError::CountMismatch { spans: places, counts: counts.len() });
        }
        let mut end = 0_i64;
        for (index, span) in spans.iter().enumerate() {
            if index > 0 && span.offset < 0 {
                return Err(HistogramError::NegativeOffset { index, offset: span.offset });
            }
            end += i64::from(span.offset) + i64::from(span.length);
        }
        if i32::try_from(end).is_err() {
            return Err(HistogramError::OutOfRange);
        }
        Ok(Self { spans, counts })
    }

    /// Buckets of whole counts, written as the difference of each to the one before: the integer form of Prometheus.
    ///
    /// # Errors
    /// As [`Buckets::new`].
    #[expect(clippy::cast_precision_loss, reason = "counts are exact up to 2^53, which no counter reaches")]
    pub fn from_deltas(spans: Vec<BucketSpan>, deltas: &[i64]) -> Result<Self, HistogramError> {
        let mut count = 0_i64;
        let add = |delta: &i64| {
            count = count.wrapping_add(*delta);
            count as f64
        };
        Self::new(spans, deltas.iter().map(add).collect())
    }

    /// The counts as [`Buckets::from_deltas`] takes them, if all are whole and exact.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
    pub fn deltas(&self) -> Option<Vec<i64>> {
        let mut before = 0;
        let delta = |count: &f64| {
            let whole = (count.fract() == 0.0 && count.abs() <= EXACT_MAX).then_some(*count as i64)?;
            Some(whole - std::mem::replace(&mut before, whole))
        };
        self.counts.iter().map(delta).collect()
    }

    /// Neighbouring buckets from an index on.
    ///
    /// # Errors
    /// When there are more of them than can be counted.
    pub fn from_run(offset: i32, counts: Vec<f64>) -> Result<Self, HistogramError> {
        if counts.is_empty() {
            return Ok(Self::default());
        }
        let length = u32::try_from(counts.len()).map_err(|_| HistogramError::OutOfRange)?;
        Self::new(vec![BucketSpan { offset, length }], counts)
    }

    /// Buckets by ascending index; empty ones are left out unless they fill a small gap.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (i32, f64)>) -> Self {
        Self::in_runs(pairs, GAP_MAX)
    }

    /// Buckets by ascending index, empty ones only in gaps up to a length.
    fn in_runs(pairs: impl IntoIterator<Item = (i32, f64)>, gap_max: i32) -> Self {
        let mut buckets = Self::default();
        // One past the last bucket.
        let mut end = 0_i32;
        for (index, count) in pairs {
            if count == 0.0 {
                continue;
            }
            let gap = index.saturating_sub(end);
            match buckets.spans.last_mut() {
                Some(span) if gap <= gap_max => {
                    for _ in 0..gap {
                        buckets.counts.push(0.0);
                    }
                    span.length += gap.unsigned_abs() + 1;
                }
                Some(_) | None => buckets.spans.push(BucketSpan { offset: gap, length: 1 }),
            }
            buckets.counts.push(count);
            end = index.saturating_add(1);
        }
        buckets
    }

    /// Index and count of each bucket, by ascending index.
    pub fn iter(&self) -> impl Iterator<Item = (i32, f64)> {
        let mut next = 0_i32;
        let indexes = self.spans.iter().flat_map(move |span| {
            let start = next.saturating_add(span.offset);
            next = start.saturating_add_unsigned(span.length);
            start..next
        });
        indexes.zip(self.counts.iter().copied())
    }

    /// Runs of neighbours.
    pub fn spans(&self) -> &[BucketSpan] {
        &self.spans
    }

    /// The counts of all runs.
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// Whether there is no bucket, not even an empty one.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Changes every count.
    pub(super) fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self { spans: self.spans.clone(), counts: self.counts.iter().map(|count| change(*count)).collect() }
    }

    /// Leaves out empty buckets, all of them: what is multiplied by what is no number would show them.
    pub(super) fn compact(&mut self) {
        if self.counts.contains(&0.0) {
            *self = Self::in_runs(self.iter(), 0);
        }
    }
}

/// Two are equal when the same buckets hold the same counts; empty ones mean nothing.
impl PartialEq for Buckets {
    fn eq(&self, other: &Self) -> bool {
        fn full(buckets: &Buckets) -> impl Iterator<Item = (i32, u64)> {
            buckets.iter().filter(|(_, count)| *count != 0.0).map(|(index, count)| (index, count.to_bits()))
        }
        full(self).eq(full(other))
    }
}

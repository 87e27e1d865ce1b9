//! The native histograms of a series as bytes.
//!
//! Neighbours in time mostly have the same buckets, and counters grow little from one to the next: each count is told by
//! its difference to the one before it, in whole numbers where all counts are whole. See `FORMAT.md`, "Histograms". Bytes
//! of one kind do not lie together here; the compression around it finds what repeats.

use std::cmp::Ordering;
use std::sync::Arc;

use model::{BucketSpan, Buckets, CounterReset, Histogram, HistogramParts, Schema};

use crate::coding::{Reader, put_signed, put_varint};
use crate::error::{Result, TsdbError};

const WHAT: &str = "histogram";

/// The bits of the head that hold what is known about counter resets.
const HINT_MASK: u8 = 3;
/// Set when buckets and bounds are those of the one before.
const FLAG_SAME_SHAPE: u8 = 4;
/// Set when all counts are whole numbers, told by differences.
const FLAG_WHOLE: u8 = 8;
/// Integers up to here are exact as floats.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends the histograms of a series, one after the other.
pub(crate) fn put_all<'a>(out: &mut Vec<u8>, histograms: impl IntoIterator<Item = &'a Histogram>) {
    let mut before: Option<(&HistogramParts, Option<Vec<i64>>)> = None;
    for histogram in histograms {
        let parts = histogram.parts();
        let whole = whole_counts(parts);
        put_one(out, parts, whole.as_deref(), before.as_ref());
        before = Some((parts, whole));
    }
}

fn put_one(
    out: &mut Vec<u8>,
    parts: &HistogramParts,
    whole: Option<&[i64]>,
    before: Option<&(&HistogramParts, Option<Vec<i64>>)>,
) {
    let before = before.filter(|(before, _)| is_same_shape(parts, before));
    let hint = match parts.counter_reset {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    };
    let same = if before.is_some() { FLAG_SAME_SHAPE } else { 0 };
    out.push(hint | same | if whole.is_some() { FLAG_WHOLE } else { 0 });
    if before.is_none() {
        put_shape(out, parts);
    }
    put_bits(out, parts.sum, before.map_or(0.0, |(before, _)| before.sum));
    match whole {
        Some(counts) => {
            let base = before.and_then(|(_, counts)| counts.as_deref());
            put_whole(out, counts, base);
        }
        None => {
            let mut base = before.map(|(before, _)| counts(before));
            for count in counts(parts) {
                put_bits(out, count, base.as_mut().and_then(Iterator::next).unwrap_or(0.0));
            }
        }
    }
}

/// Differences to the counts before; of the first ones each to its neighbour.
fn put_whole(out: &mut Vec<u8>, counts: &[i64], base: Option<&[i64]>) {
    let mut neighbour = 0;
    for (index, count) in counts.iter().enumerate() {
        let expected = base.map_or(neighbour, |base| base[index]);
        put_signed(out, count - expected);
        neighbour = *count;
    }
}

/// All counts: of everything, of the zero bucket, of positive and of negative buckets.
fn counts(parts: &HistogramParts) -> impl Iterator<Item = f64> {
    let buckets = parts.positive.counts().iter().chain(parts.negative.counts());
    [parts.count, parts.zero_count].into_iter().chain(buckets.copied())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "what is not exact is left out")]
fn whole_counts(parts: &HistogramParts) -> Option<Vec<i64>> {
    let whole = |count: f64| {
        let integer = count as i64;
        (count.abs() <= EXACT_MAX && (integer as f64).to_bits() == count.to_bits()).then_some(integer)
    };
    counts(parts).map(whole).collect()
}

fn is_same_shape(one: &HistogramParts, two: &HistogramParts) -> bool {
    one.zero_threshold.to_bits() == two.zero_threshold.to_bits()
        && one.positive.spans() == two.positive.spans()
        && one.negative.spans() == two.negative.spans()
        && match (&one.schema, &two.schema) {
            (Schema::Exponential(one), Schema::Exponential(two)) => one == two,
            (Schema::Custom(one), Schema::Custom(two)) => {
                Arc::ptr_eq(one, two) || one.iter().map(|bound| bound.to_bits()).eq(two.iter().map(|b| b.to_bits()))
            }
            (Schema::Exponential(_), Schema::Custom(_)) | (Schema::Custom(_), Schema::Exponential(_)) => false,
        }
}

fn put_shape(out: &mut Vec<u8>, parts: &HistogramParts) {
    put_signed(out, i64::from(parts.schema.number()));
    put_bits(out, parts.zero_threshold, 0.0);
    for buckets in [&parts.positive, &parts.negative] {
        put_varint(out, buckets.spans().len() as u64);
        for span in buckets.spans() {
            put_signed(out, i64::from(span.offset));
            put_varint(out, u64::from(span.length));
        }
    }
    if let Schema::Custom(bounds) = &parts.schema {
        put_varint(out, bounds.len() as u64);
        bounds.iter().for_each(|bound| put_bits(out, *bound, 0.0));
    }
}

/// The bits of a number that differ from those of another one. The highest byte comes first in the varint, so that
/// numbers with few digits are short.
fn put_bits(out: &mut Vec<u8>, number: f64, base: f64) {
    put_varint(out, (number.to_bits() ^ base.to_bits()).swap_bytes());
}

fn read_bits(reader: &mut Reader<'_>, base: f64) -> Result<f64> {
    Ok(f64::from_bits(reader.varint()?.swap_bytes() ^ base.to_bits()))
}

/// Reads as many histograms of a series as [`put_all`] wrote. Each bucket takes a byte at least.
pub(crate) fn read_all(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Arc<Histogram>>> {
    if count > reader.rest().len() {
        return Err(TsdbError::malformed(WHAT, "there are more than follow"));
    }
    let mut all: Vec<Arc<Histogram>> = Vec::with_capacity(count);
    let mut whole = Vec::new();
    for _ in 0..count {
        let one = read_one(reader, all.last().map(|before| before.parts()), &mut whole)?;
        all.push(Arc::new(one));
    }
    Ok(all)
}

/// Reads one; `whole` holds the counts of the one before it as integers, or nothing when they were not whole.
fn read_one(reader: &mut Reader<'_>, before: Option<&HistogramParts>, whole: &mut Vec<i64>) -> Result<Histogram> {
    let head = reader.byte()?;
    let before = if head & FLAG_SAME_SHAPE == 0 {
        None
    } else {
        Some(before.ok_or(TsdbError::malformed(WHAT, "the first one has no one before it"))?)
    };
    let shape = match before {
        Some(before) => Shape {
            schema: before.schema.clone(),
            zero_threshold: before.zero_threshold,
            spans: [before.positive.spans().to_vec(), before.negative.spans().to_vec()],
        },
        None => Shape::read(reader)?,
    };
    let lengths = shape.lengths().filter(|[positive, negative]| {
        positive.checked_add(*negative).is_some_and(|buckets| buckets <= reader.rest().len())
    });
    let [positive, negative] = lengths.ok_or(TsdbError::malformed(WHAT, "there are more buckets than follow"))?;
    let sum = read_bits(reader, before.map_or(0.0, |before| before.sum))?;
    let len = positive + negative + 2;
    let mut counts = if head & FLAG_WHOLE == 0 {
        whole.clear();
        read_floats(reader, len, before)?
    } else {
        if before.is_none() {
            whole.clear();
        }
        read_whole(reader, len, whole)?
    };
    let of_negative = counts.split_off(positive + 2);
    let of_positive = counts.split_off(2);
    let [positive_spans, negative_spans] = shape.spans;
    let parts = HistogramParts {
        schema: shape.schema,
        counter_reset: match head & HINT_MASK {
            0 => CounterReset::Unknown,
            1 => CounterReset::Reset,
            2 => CounterReset::NotReset,
            _ => CounterReset::Gauge,
        },
        count: counts[0],
        sum,
        zero_threshold: shape.zero_threshold,
        zero_count: counts[1],
        positive: buckets(positive_spans, of_positive)?,
        negative: buckets(negative_spans, of_negative)?,
    };
    Histogram::new(parts).map_err(|_| TsdbError::malformed(WHAT, "its parts do not fit together"))
}

fn buckets(spans: Vec<BucketSpan>, counts: Vec<f64>) -> Result<Buckets> {
    Buckets::new(spans, counts).map_err(|_| TsdbError::malformed(WHAT, "its buckets make no sense"))
}

/// The counts in the order of [`counts`], told by the bits that differ.
fn read_floats(reader: &mut Reader<'_>, len: usize, before: Option<&HistogramParts>) -> Result<Vec<f64>> {
    let mut base = before.map(counts);
    (0..len).map(|_| read_bits(reader, base.as_mut().and_then(Iterator::next).unwrap_or(0.0))).collect()
}

/// The counts in the order of [`counts`], told by differences to those in `whole`, which they replace.
#[expect(clippy::cast_precision_loss, reason = "what was written is exact")]
fn read_whole(reader: &mut Reader<'_>, len: usize, whole: &mut Vec<i64>) -> Result<Vec<f64>> {
    let has_base = !whole.is_empty();
    whole.resize(len, 0);
    let mut neighbour = 0i64;
    for count in whole.iter_mut() {
        let expected = if has_base { *count } else { neighbour };
        neighbour = expected.wrapping_add(reader.signed()?);
        *count = neighbour;
    }
    Ok(whole.iter().map(|count| *count as f64).collect())
}

/// All but the counts and the sum.
struct Shape {
    schema: Schema,
    zero_threshold: f64,
    /// Of positive and of negative buckets.
    spans: [Vec<BucketSpan>; 2],
}

impl Shape {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let number = reader.signed()?;
        let zero_threshold = read_bits(reader, 0.0)?;
        let mut spans = [Vec::new(), Vec::new()];
        for side in &mut spans {
            for _ in 0..reader.count(2)? {
                let (offset, length) = (i32::try_from(reader.signed()?), u32::try_from(reader.varint()?));
                let span = offset.ok().zip(length.ok()).map(|(offset, length)| BucketSpan { offset, length });
                side.push(span.ok_or(TsdbError::malformed(WHAT, "a span is too long"))?);
            }
        }
        let unknown = TsdbError::malformed(WHAT, "it has an unknown schema");
        let number = i32::try_from(number).map_err(|_| unknown.clone())?;
        let mut bounds = Vec::new();
        if number == Schema::CUSTOM {
            for _ in 0..reader.count(1)? {
                bounds.push(read_bits(reader, 0.0)?);
            }
        }
        let schema = Schema::new(number, &bounds).map_err(|_| unknown)?;
        Ok(Self { schema, zero_threshold, spans })
    }

    /// How many buckets there are on each side.
    fn lengths(&self) -> Option<[usize; 2]> {
        let length = |spans: &[BucketSpan]| {
            let sum = |all: u64, span: &BucketSpan| all + u64::from(span.length);
            usize::try_from(spans.iter().fold(0, sum)).ok()
        };
        length(&self.spans[0]).zip(length(&self.spans[1])).map(|(positive, negative)| [positive, negative])
    }
}

/// As how many samples a histogram counts towards limits: about what it takes in memory.
pub(crate) fn weight(histogram: &Histogram) -> usize {
    weight_of(buckets_of(histogram))
}

/// As [`weight`], of a histogram with so many buckets.
pub(crate) const fn weight_of(buckets: usize) -> usize {
    10 + buckets / 2
}

/// How many buckets it has on both sides of zero.
pub(crate) fn buckets_of(histogram: &Histogram) -> usize {
    histogram.parts().positive.counts().len() + histogram.parts().negative.counts().len()
}

/// Which of two histograms of one series and timestamp stays: the greater in an order that only depends on the two.
pub(crate) fn order(one: &Histogram, two: &Histogram) -> Ordering {
    let bytes = |histogram: &Histogram| {
        let mut out = Vec::new();
        put_all(&mut out, [histogram]);
        out
    };
    let numbers = one.count().total_cmp(&two.count()).then_with(|| one.sum().total_cmp(&two.sum()));
    numbers.then_with(|| bytes(one).cmp(&bytes(two)))
}

#[cfg(test)]
mod tests;

//! The message `Histogram`, which both versions of remote write share.
//!
//! Integer histograms hold each bucket as difference to the one before it, float histograms hold the counts themselves;
//! both become a [`Histogram`] whose counts are floats.

use std::sync::Arc;

use model::{
    BucketSpan, Buckets, CounterReset, Histogram, HistogramError, HistogramParts, Schema, TimedHistogram, Timestamp,
    is_stale,
};

use crate::error::ProtobufError;
use crate::protobuf::{BYTES, FIXED64, Reader, VARINT, put_bytes, put_varint, tag};

/// `Histogram`.
mod field {
    pub(super) const COUNT_INT: u64 = 1;
    pub(super) const COUNT_FLOAT: u64 = 2;
    pub(super) const SUM: u64 = 3;
    pub(super) const SCHEMA: u64 = 4;
    pub(super) const ZERO_THRESHOLD: u64 = 5;
    pub(super) const ZERO_COUNT_INT: u64 = 6;
    pub(super) const ZERO_COUNT_FLOAT: u64 = 7;
    pub(super) const NEGATIVE_SPANS: u64 = 8;
    pub(super) const NEGATIVE_DELTAS: u64 = 9;
    pub(super) const NEGATIVE_COUNTS: u64 = 10;
    pub(super) const POSITIVE_SPANS: u64 = 11;
    pub(super) const POSITIVE_DELTAS: u64 = 12;
    pub(super) const POSITIVE_COUNTS: u64 = 13;
    pub(super) const RESET_HINT: u64 = 14;
    pub(super) const TIMESTAMP: u64 = 15;
    pub(super) const CUSTOM_VALUES: u64 = 16;
}

/// `BucketSpan`.
mod span {
    pub(super) const OFFSET: u64 = 1;
    pub(super) const LENGTH: u64 = 2;
}

const FIELDS: &[(u64, &str, u8)] = &[
    (field::COUNT_INT, "count_int", VARINT),
    (field::COUNT_FLOAT, "count_float", FIXED64),
    (field::SUM, "sum", FIXED64),
    (field::SCHEMA, "schema", VARINT),
    (field::ZERO_THRESHOLD, "zero_threshold", FIXED64),
    (field::ZERO_COUNT_INT, "zero_count_int", VARINT),
    (field::ZERO_COUNT_FLOAT, "zero_count_float", FIXED64),
    (field::NEGATIVE_SPANS, "negative_spans", BYTES),
    (field::NEGATIVE_DELTAS, "negative_deltas", BYTES),
    (field::NEGATIVE_COUNTS, "negative_counts", BYTES),
    (field::POSITIVE_SPANS, "positive_spans", BYTES),
    (field::POSITIVE_DELTAS, "positive_deltas", BYTES),
    (field::POSITIVE_COUNTS, "positive_counts", BYTES),
    (field::RESET_HINT, "reset_hint", VARINT),
    (field::TIMESTAMP, "timestamp", VARINT),
    (field::CUSTOM_VALUES, "custom_values", BYTES),
];
const SPAN_FIELDS: &[(u64, &str, u8)] = &[(span::OFFSET, "offset", VARINT), (span::LENGTH, "length", VARINT)];

/// The message as it stands there, nothing checked.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) timestamp: Timestamp,
    sum: f64,
    count: Count,
    zero_count: Count,
    zero_threshold: f64,
    schema: i32,
    reset_hint: u64,
    custom_values: Vec<f64>,
    positive: Side,
    negative: Side,
}

/// One of `count` and `zero_count`: the last form that comes holds.
#[derive(Clone, Copy, Debug)]
enum Count {
    Integer(u64),
    Float(f64),
}

impl Default for Count {
    fn default() -> Self {
        Self::Integer(0)
    }
}

impl Count {
    #[expect(clippy::cast_precision_loss, reason = "counts are exact up to 2^53, which no counter reaches")]
    const fn value(self) -> f64 {
        match self {
            Self::Integer(count) => count as f64,
            Self::Float(count) => count,
        }
    }
}

/// The buckets on one side of zero.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<BucketSpan>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

impl Side {
    fn buckets(self, is_integer: bool) -> Result<Buckets, HistogramError> {
        if is_integer { Buckets::from_deltas(self.spans, &self.deltas) } else { Buckets::new(self.spans, self.counts) }
    }
}

/// What a message says.
#[derive(Debug)]
pub(super) enum Read {
    /// A histogram.
    Sample(TimedHistogram),
    /// The series ended here.
    Stale(Timestamp),
}

impl Message {
    pub(super) fn read(mut reader: Reader<'_>) -> Result<Self, ProtobufError> {
        let mut message = Self::default();
        while let Some(found) = reader.tag()? {
            message.field(found, &mut reader)?;
        }
        Ok(message)
    }

    fn field(&mut self, found: u64, reader: &mut Reader<'_>) -> Result<(), ProtobufError> {
        const fn varint(field: u64) -> u64 {
            tag(field, VARINT)
        }
        const fn double(field: u64) -> u64 {
            tag(field, FIXED64)
        }
        const fn bytes(field: u64) -> u64 {
            tag(field, BYTES)
        }
        const COUNT_INT: u64 = varint(field::COUNT_INT);
        const COUNT_FLOAT: u64 = double(field::COUNT_FLOAT);
        const SUM: u64 = double(field::SUM);
        const SCHEMA: u64 = varint(field::SCHEMA);
        const ZERO_THRESHOLD: u64 = double(field::ZERO_THRESHOLD);
        const ZERO_COUNT_INT: u64 = varint(field::ZERO_COUNT_INT);
        const ZERO_COUNT_FLOAT: u64 = double(field::ZERO_COUNT_FLOAT);
        const NEGATIVE_SPANS: u64 = bytes(field::NEGATIVE_SPANS);
        const POSITIVE_SPANS: u64 = bytes(field::POSITIVE_SPANS);
        const RESET_HINT: u64 = varint(field::RESET_HINT);
        const TIMESTAMP: u64 = varint(field::TIMESTAMP);
        match found {
            COUNT_INT => self.count = Count::Integer(reader.varint()?),
            COUNT_FLOAT => self.count = Count::Float(reader.double()?),
            SUM => self.sum = reader.double()?,
            SCHEMA => self.schema = signed32(reader.varint()?),
            ZERO_THRESHOLD => self.zero_threshold = reader.double()?,
            ZERO_COUNT_INT => self.zero_count = Count::Integer(reader.varint()?),
            ZERO_COUNT_FLOAT => self.zero_count = Count::Float(reader.double()?),
            NEGATIVE_SPANS => self.negative.spans.push(read_span(reader.message()?)?),
            POSITIVE_SPANS => self.positive.spans.push(read_span(reader.message()?)?),
            RESET_HINT => self.reset_hint = reader.varint()?,
            TIMESTAMP => self.timestamp = Timestamp::from_millis(reader.varint()?.cast_signed()),
            _ => return self.repeated(found, reader),
        }
        Ok(())
    }

    /// Fields of many numbers: packed, or one at a time.
    fn repeated(&mut self, found: u64, reader: &mut Reader<'_>) -> Result<(), ProtobufError> {
        let (number, wire_type) = (found >> 3, found & 7);
        match number {
            field::NEGATIVE_DELTAS => signed_numbers(reader, wire_type, found, &mut self.negative.deltas),
            field::POSITIVE_DELTAS => signed_numbers(reader, wire_type, found, &mut self.positive.deltas),
            field::NEGATIVE_COUNTS => doubles(reader, wire_type, found, &mut self.negative.counts),
            field::POSITIVE_COUNTS => doubles(reader, wire_type, found, &mut self.positive.counts),
            field::CUSTOM_VALUES => doubles(reader, wire_type, found, &mut self.custom_values),
            _ => reader.skip(found, FIELDS),
        }
    }

    /// Checks what was read, as Prometheus does.
    pub(super) fn check(self) -> Result<Read, HistogramError> {
        if is_stale(self.sum) {
            return Ok(Read::Stale(self.timestamp));
        }
        let is_integer = matches!(self.count, Count::Integer(_));
        let schema = Schema::new(self.schema, &self.custom_values)?;
        if !schema.is_custom() && !self.custom_values.is_empty() {
            return Err(HistogramError::UnexpectedBounds);
        }
        let parts = HistogramParts {
            schema,
            counter_reset: match self.reset_hint {
                1 => CounterReset::Reset,
                2 => CounterReset::NotReset,
                3 => CounterReset::Gauge,
                _ => CounterReset::Unknown,
            },
            count: self.count.value(),
            sum: self.sum,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count.value(),
            positive: self.positive.buckets(is_integer)?,
            negative: self.negative.buckets(is_integer)?,
        };
        let histogram = Histogram::new(parts)?;
        histogram.check_counts(is_integer)?;
        Ok(Read::Sample(TimedHistogram { timestamp: self.timestamp, histogram: Arc::new(histogram) }))
    }
}

fn read_span(mut reader: Reader<'_>) -> Result<BucketSpan, ProtobufError> {
    let mut read = BucketSpan::default();
    while let Some(found) = reader.tag()? {
        if found == tag(span::OFFSET, VARINT) {
            read.offset = signed32(reader.varint()?);
        } else if found == tag(span::LENGTH, VARINT) {
            read.length = low32(reader.varint()?);
        } else {
            reader.skip(found, SPAN_FIELDS)?;
        }
    }
    Ok(read)
}

fn signed_numbers(
    reader: &mut Reader<'_>,
    wire_type: u64,
    found: u64,
    out: &mut Vec<i64>,
) -> Result<(), ProtobufError> {
    if wire_type == u64::from(VARINT) {
        out.push(unfolded(reader.varint()?));
        return Ok(());
    }
    if wire_type != u64::from(BYTES) {
        return reader.skip(found, FIELDS);
    }
    let mut packed = reader.message()?;
    while !packed.rest().is_empty() {
        out.push(unfolded(packed.varint()?));
    }
    Ok(())
}

fn doubles(reader: &mut Reader<'_>, wire_type: u64, found: u64, out: &mut Vec<f64>) -> Result<(), ProtobufError> {
    if wire_type == u64::from(FIXED64) {
        out.push(reader.double()?);
        return Ok(());
    }
    if wire_type != u64::from(BYTES) {
        return reader.skip(found, FIELDS);
    }
    let mut packed = reader.message()?;
    while !packed.rest().is_empty() {
        out.push(packed.double()?);
    }
    Ok(())
}

/// A `sint64`.
const fn unfolded(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// A `uint32`: protobuf drops what is above.
fn low32(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).expect("32 bits fit")
}

/// A `sint32`.
fn signed32(number: u64) -> i32 {
    let low = low32(number);
    (low >> 1).cast_signed() ^ -((low & 1).cast_signed())
}

/// Appends the fields of a message: in the integer form when all counts are whole.
pub(super) fn put(out: &mut Vec<u8>, sample: &TimedHistogram) {
    let parts = sample.histogram.parts();
    match whole(parts) {
        Some((positive, negative)) => {
            put_number(out, field::COUNT_INT, whole_count(parts.count));
            put_number(out, field::ZERO_COUNT_INT, whole_count(parts.zero_count));
            put_signed(out, field::POSITIVE_DELTAS, &positive);
            put_signed(out, field::NEGATIVE_DELTAS, &negative);
        }
        None => {
            put_double(out, field::COUNT_FLOAT, parts.count);
            put_double(out, field::ZERO_COUNT_FLOAT, parts.zero_count);
            put_doubles(out, field::POSITIVE_COUNTS, parts.positive.counts());
            put_doubles(out, field::NEGATIVE_COUNTS, parts.negative.counts());
        }
    }
    put_double(out, field::SUM, parts.sum);
    put_number(out, field::SCHEMA, folded(i64::from(parts.schema.number())));
    put_double(out, field::ZERO_THRESHOLD, parts.zero_threshold);
    put_spans(out, field::POSITIVE_SPANS, &parts.positive);
    put_spans(out, field::NEGATIVE_SPANS, &parts.negative);
    let hint = match parts.counter_reset {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    };
    put_number(out, field::RESET_HINT, hint);
    put_number(out, field::TIMESTAMP, sample.timestamp.as_millis().cast_unsigned());
    if let Schema::Custom(bounds) = &parts.schema {
        put_doubles(out, field::CUSTOM_VALUES, bounds);
    }
}

/// The deltas of both sides, when a histogram may be written in the integer form.
fn whole(parts: &HistogramParts) -> Option<(Vec<i64>, Vec<i64>)> {
    let fits = |count: f64| count.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&count);
    (fits(parts.count) && fits(parts.zero_count)).then_some(())?;
    let observed = parts.zero_count + parts.positive.counts().iter().chain(parts.negative.counts()).sum::<f64>();
    let agrees = if parts.sum.is_nan() { observed <= parts.count } else { observed.total_cmp(&parts.count).is_eq() };
    let positive = |buckets: &Buckets| buckets.counts().iter().all(|count| *count >= 0.0);
    (agrees && positive(&parts.positive) && positive(&parts.negative)).then_some(())?;
    parts.positive.deltas().zip(parts.negative.deltas())
}

/// Integers up to here are exact as floats.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the caller checked that it is whole")]
const fn whole_count(count: f64) -> u64 {
    count as u64
}

const fn folded(number: i64) -> u64 {
    number.cast_unsigned() << 1 ^ (number >> 63).cast_unsigned()
}

fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, tag(field, VARINT));
    put_varint(out, number);
}

fn put_double(out: &mut Vec<u8>, field: u64, number: f64) {
    put_varint(out, tag(field, FIXED64));
    out.extend_from_slice(&number.to_bits().to_le_bytes());
}

fn put_signed(out: &mut Vec<u8>, field: u64, numbers: &[i64]) {
    let mut packed = Vec::new();
    numbers.iter().for_each(|number| put_varint(&mut packed, folded(*number)));
    put_bytes(out, field, &packed);
}

fn put_doubles(out: &mut Vec<u8>, field: u64, numbers: &[f64]) {
    let packed: Vec<u8> = numbers.iter().flat_map(|number| number.to_bits().to_le_bytes()).collect();
    put_bytes(out, field, &packed);
}

fn put_spans(out: &mut Vec<u8>, field: u64, buckets: &Buckets) {
    for one in buckets.spans() {
        let mut packed = Vec::new();
        put_number(&mut packed, span::OFFSET, folded(i64::from(one.offset)));
        put_number(&mut packed, span::LENGTH, u64::from(one.length));
        put_bytes(out, field, &packed);
    }
}

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

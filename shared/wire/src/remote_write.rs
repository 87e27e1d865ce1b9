//! Prometheus remote write: a snappy block of the protobuf message `WriteRequest` (1.0, here) or `Request` (2.0, in
//! [`v2`]).
//!
//! Decoded by hand, straight from the slice into the columns of a [`Batch`]: no message structs, no allocation per
//! label or float sample. What stands beside samples, exemplars and metadata, is kept apart ([`beside`]). Unknown fields
//! are passed over, as protobuf demands.

mod beside;
mod histogram;
pub mod v2;

use std::fmt;
use std::ops::Range;

use model::{
    Batch, BatchBuilder, Exemplar, LabelsBuilder, Limits, METRIC_NAME, Metadata, Sample, SeriesExemplar, Timestamp,
    stale_nan,
};

use crate::error::{BodyError, ProtobufError, SeriesError, WireError, excerpt};
use crate::protobuf::{BYTES, FIXED64, Reader, VARINT, put_bytes, put_varint, tag};
use crate::series::{Checks, Refused, SeriesSoFar};
use crate::snappy;

/// The content type of remote write 1.0.
pub const CONTENT_TYPE: &str = "application/x-protobuf";
/// The content encoding of remote write 1.0.
pub const CONTENT_ENCODING: &str = "snappy";
/// The value of the header `X-Prometheus-Remote-Write-Version`.
pub const VERSION: &str = "0.1.0";

/// `WriteRequest`.
mod request {
    pub(super) const SERIES: u64 = 1;
    pub(super) const METADATA: u64 = 3;
}

/// `TimeSeries`.
mod series {
    pub(super) const LABEL: u64 = 1;
    pub(super) const SAMPLE: u64 = 2;
    pub(super) const EXEMPLAR: u64 = 3;
    pub(super) const HISTOGRAM: u64 = 4;
}

/// `Label`.
mod label {
    pub(super) const NAME: u64 = 1;
    pub(super) const VALUE: u64 = 2;
}

const LABEL_TAG: u8 = 0x0a;
const NAME_TAG: u8 = 0x0a;
const VALUE_TAG: u8 = 0x12;
const SAMPLE_TAG: u8 = 0x12;
const SAMPLE_VALUE_TAG: u8 = 0x09;
const TIMESTAMP_TAG: u8 = 0x10;

/// `Sample`.
mod sample {
    pub(super) const VALUE: u64 = 1;
    pub(super) const TIMESTAMP: u64 = 2;
}

const REQUEST_FIELDS: &[(u64, &str, u8)] =
    &[(request::SERIES, "timeseries", BYTES), (request::METADATA, "metadata", BYTES)];
const SERIES_FIELDS: &[(u64, &str, u8)] = &[
    (series::LABEL, "labels", BYTES),
    (series::SAMPLE, "samples", BYTES),
    (series::EXEMPLAR, "exemplars", BYTES),
    (series::HISTOGRAM, "histograms", BYTES),
];
const LABEL_FIELDS: &[(u64, &str, u8)] = &[(label::NAME, "name", BYTES), (label::VALUE, "value", BYTES)];
const SAMPLE_FIELDS: &[(u64, &str, u8)] =
    &[(sample::VALUE, "value", FIXED64), (sample::TIMESTAMP, "timestamp", VARINT)];

/// What a request held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// All series with samples, in the order they came.
    pub batch: Batch,
    /// Staleness markers in the batch that came as histograms.
    pub stale_histograms: usize,
    /// Series of a request of remote write 2.0 that were left out, and what is wrong with the first of them.
    pub refused: Option<(usize, WireError)>,
    /// The exemplars of all series that were taken, in the order they came.
    pub exemplars: Vec<SeriesExemplar>,
    /// Exemplars that were passed over: too old, too far ahead, or with labels that cannot be.
    pub exemplars_skipped: usize,
    /// What was said about metrics, sorted, each once.
    pub metadata: Vec<Metadata>,
    /// What was said about metrics and passed over: without a name, too long, or no text.
    pub metadata_skipped: usize,
    /// Labels with an empty value, which means absent: they were left out of their series.
    pub empty_labels_dropped: usize,
}

impl Decoded {
    /// How many samples of the batch came as numbers.
    pub fn numbers(&self) -> usize {
        self.batch.sample_count() - self.histograms()
    }

    /// How many samples of the batch came as native histograms.
    pub fn histograms(&self) -> usize {
        self.batch.histogram_count() + self.stale_histograms
    }
}

/// Which message a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `prometheus.WriteRequest`: see [`decode`].
    V1,
    /// `io.prometheus.write.v2.Request`: see [`v2::decode`].
    V2,
}

/// Why a request cannot be read at all, whatever its body: answer 415 with this text, upon which senders fall back to
/// what they list as the older form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsupportedMedia {
    /// Another content type.
    ContentType(String),
    /// Another compression.
    ContentEncoding(String),
}

impl std::error::Error for UnsupportedMedia {}

impl fmt::Display for UnsupportedMedia {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType(found) => {
                let v2 = v2::MESSAGE;
                write!(f, "content type {found:?} is not supported, send {CONTENT_TYPE}, or {CONTENT_TYPE};proto={v2}")
            }
            Self::ContentEncoding(found) => {
                write!(f, "content encoding {found:?} is not supported, send {CONTENT_ENCODING}")
            }
        }
    }
}

/// Decides by its headers which message a request holds.
///
/// Missing headers are fine: several clients declare neither encoding nor version and send snappy all the same. The
/// version header decides nothing: the content type says which message it is.
///
/// # Errors
/// When the content type or the encoding is another one.
pub fn check_headers(content_type: Option<&str>, content_encoding: Option<&str>) -> Result<Protocol, UnsupportedMedia> {
    let mut protocol = Protocol::V1;
    if let Some(content_type) = content_type.filter(|text| !text.trim().is_empty()) {
        let other = || UnsupportedMedia::ContentType(excerpt(content_type.as_bytes()));
        let mut parts = content_type.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !media.eq_ignore_ascii_case(CONTENT_TYPE) {
            return Err(other());
        }
        for (name, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
            if name.trim().eq_ignore_ascii_case("proto") {
                protocol = match value.trim() {
                    "prometheus.WriteRequest" => Protocol::V1,
                    v2::MESSAGE => Protocol::V2,
                    _ => return Err(other()),
                };
            }
        }
    }
    match content_encoding.map(str::trim) {
        None | Some("") => Ok(protocol),
        Some(encoding) if encoding.eq_ignore_ascii_case(CONTENT_ENCODING) => Ok(protocol),
        Some(encoding) => Err(UnsupportedMedia::ContentEncoding(excerpt(encoding.as_bytes()))),
    }
}

/// Decodes a request that arrives now.
///
/// # Errors
/// When the body is too large, is no snappy block or no `WriteRequest`, or when any of its series breaks a rule or a
/// limit; then nothing of it is taken.
pub fn decode(body: &[u8], limits: &Limits, now: Timestamp) -> Result<Decoded, WireError> {
    decode_message(&decompressed(body, limits)?, limits, now)
}

fn decompressed(body: &[u8], limits: &Limits) -> Result<Vec<u8>, WireError> {
    if body.len() > limits.body_bytes_max {
        let (size_bytes, limit_bytes) = (body.len(), limits.body_bytes_max);
        return Err(BodyError::TooLarge { size_bytes, limit_bytes }.into());
    }
    Ok(snappy::decompress(body, limits.decoded_bytes_max)?)
}

/// Decodes a `WriteRequest` that is not compressed.
///
/// # Errors
/// As [`decode`], save for what only a compressed body can have.
pub fn decode_message(message: &[u8], limits: &Limits, now: Timestamp) -> Result<Decoded, WireError> {
    let mut decoder = Decoder {
        checks: Checks::new(limits, now),
        builder: BatchBuilder::with_room(message.len()),
        decoded: Decoded::default(),
        exemplars: Vec::new(),
    };
    let mut series_index = 0;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.tag()? {
        if field == tag(request::SERIES, BYTES) {
            let series = reader.message()?;
            decoder.series(message, series).map_err(|refused| refused_at(refused, series_index, series))?;
            series_index += 1;
        } else if field == tag(request::METADATA, BYTES) {
            match beside::metadata(reader.message()?, limits)? {
                Some(metadata) => decoder.decoded.metadata.push(metadata),
                None => decoder.decoded.metadata_skipped += 1,
            }
        } else {
            reader.skip(field, REQUEST_FIELDS)?;
        }
    }
    let batch = decoder.builder.finish().map_err(|_| first_invalid_utf8(message))?;
    decoder.decoded.metadata.sort_unstable();
    decoder.decoded.metadata.dedup();
    Ok(Decoded { batch, ..decoder.decoded })
}

/// Encodes a batch as the body of a request, compressed.
pub fn encode(batch: &Batch) -> Vec<u8> {
    snappy::compress(&encode_message(batch))
}

/// Encodes a batch as a `WriteRequest`, not compressed.
pub fn encode_message(batch: &Batch) -> Vec<u8> {
    let mut message = Vec::new();
    let (mut series_bytes, mut piece) = (Vec::new(), Vec::new());
    for one in batch.iter() {
        series_bytes.clear();
        for (name, value) in one.labels.iter() {
            piece.clear();
            put_bytes(&mut piece, label::NAME, name.as_bytes());
            put_bytes(&mut piece, label::VALUE, value.as_bytes());
            put_bytes(&mut series_bytes, series::LABEL, &piece);
        }
        for sample in one.samples() {
            piece.clear();
            put_sample(&mut piece, sample);
            put_bytes(&mut series_bytes, series::SAMPLE, &piece);
        }
        for sample in one.histograms {
            piece.clear();
            histogram::put(&mut piece, sample);
            put_bytes(&mut series_bytes, series::HISTOGRAM, &piece);
        }
        put_bytes(&mut message, request::SERIES, &series_bytes);
    }
    message
}

fn put_sample(out: &mut Vec<u8>, one: Sample) {
    put_varint(out, tag(sample::VALUE, FIXED64));
    out.extend_from_slice(&one.value.to_bits().to_le_bytes());
    put_varint(out, tag(sample::TIMESTAMP, VARINT));
    put_varint(out, one.timestamp.as_millis().cast_unsigned());
}

struct Decoder<'a> {
    checks: Checks<'a>,
    builder: BatchBuilder,
    decoded: Decoded,
    /// Those of the series that is being read.
    exemplars: Vec<Exemplar>,
}

#[cold]
fn refused_at(refused: Refused, series_index: usize, series: Reader<'_>) -> WireError {
    match refused {
        Refused::Protobuf(error) => error.into(),
        Refused::Series(cause) => WireError::Series { series_index, metric: metric_name(series), cause },
    }
}

impl Decoder<'_> {
    /// Reads one series of `message`.
    fn series(&mut self, message: &[u8], mut reader: Reader<'_>) -> Result<(), Refused> {
        let whole = reader;
        let mut so_far = SeriesSoFar::default();
        loop {
            if let Some(label) = ShortLabel::read(message, &mut reader) {
                self.checks.label(&mut so_far, &message[label.name.clone()], &message[label.value.clone()])?;
                self.builder.push_label_within(message, label.name, label.value)?;
            } else if let Some(sample) = read_usual_sample(message, &mut reader) {
                self.checks.sample(&mut so_far, sample.timestamp)?;
                self.builder.push_sample(sample);
            } else if let Some(field) = reader.tag()? {
                self.field(field, &mut reader, &mut so_far)?;
            } else {
                break;
            }
        }
        so_far.finish()?;
        if !self.exemplars.is_empty() {
            self.keep_exemplars(whole)?;
        }
        if so_far.samples() > 0 {
            self.builder.end_series();
            return Ok(());
        }
        self.builder.discard_series();
        invalid_utf8(whole).map_or(Ok(()), |cause| Err(cause.into()))
    }

    /// Takes over the exemplars of a series that is fine, which most series have none of.
    #[cold]
    fn keep_exemplars(&mut self, series: Reader<'_>) -> Result<(), Refused> {
        let mut labels = LabelsBuilder::new();
        for (name, value) in labels_of(series) {
            // A series that is not UTF-8 refuses the whole request, when all of it was read.
            let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value)) else { return Ok(()) };
            labels.set(name, value);
        }
        let labels = labels.build()?;
        let of_series = |exemplar| SeriesExemplar { series: labels.clone(), exemplar };
        self.decoded.exemplars.extend(self.exemplars.drain(..).map(of_series));
        Ok(())
    }

    /// Reads a field of a series in whatever form it has.
    fn field(&mut self, field: u64, reader: &mut Reader<'_>, so_far: &mut SeriesSoFar) -> Result<(), Refused> {
        if field == tag(series::LABEL, BYTES) {
            let (name, value) = read_label(reader.message()?)?;
            self.checks.label(so_far, name, value)?;
            if value.is_empty() {
                self.decoded.empty_labels_dropped += 1;
            } else {
                self.builder.push_label(name, value)?;
            }
        } else if field == tag(series::SAMPLE, BYTES) {
            let sample = read_sample(reader.message()?)?;
            self.checks.sample(so_far, sample.timestamp)?;
            self.builder.push_sample(sample);
        } else if field == tag(series::EXEMPLAR, BYTES) {
            match beside::exemplar(reader.message()?, &self.checks)? {
                Some(exemplar) => self.exemplars.push(exemplar),
                None => self.decoded.exemplars_skipped += 1,
            }
        } else if field == tag(series::HISTOGRAM, BYTES) {
            let read = read_histogram(&self.checks, so_far, reader.message()?)?;
            self.decoded.stale_histograms += usize::from(take_histogram(&mut self.builder, read));
        } else {
            reader.skip(field, SERIES_FIELDS)?;
        }
        Ok(())
    }
}

/// A label in the form that nearly all of them have: name, then a value that is not empty, all lengths in one byte.
struct ShortLabel {
    name: Range<usize>,
    value: Range<usize>,
}

impl ShortLabel {
    /// Takes the next field if it is such a label, and nothing otherwise.
    #[inline]
    fn read(message: &[u8], reader: &mut Reader<'_>) -> Option<Self> {
        let &[LABEL_TAG, label_length, NAME_TAG, name_length, ..] = reader.rest() else { return None };
        let (label_length, name_length) = (usize::from(label_length), usize::from(name_length));
        let name = reader.offset() + 4;
        let value = name + name_length + 2;
        let &[VALUE_TAG, value_length] = message.get(value - 2..value)? else { return None };
        let value_length = usize::from(value_length);
        let short = label_length < 0x80 && value_length > 0 && name_length + value_length + 4 == label_length;
        if !short || !reader.advance(2 + label_length) {
            return None;
        }
        Some(Self { name: name..name + name_length, value: value..value + value_length })
    }
}

/// Takes the next field if it is a sample in the form that nearly all of them have, and nothing otherwise: a value,
/// which is left out when it is zero, then a timestamp of six bytes, which are the years 2004 to 2109.
#[inline]
fn read_usual_sample(message: &[u8], reader: &mut Reader<'_>) -> Option<Sample> {
    let bytes = message.get(reader.offset()..)?.first_chunk::<20>()?;
    let length = bytes[1];
    let has_value = length == 16;
    // Both forms are told apart without a branch: which one comes next cannot be predicted.
    let (start, mask) = if has_value { (11, u64::MAX) } else { (2, 0) };
    let [_, _, first_tag, v0, v1, v2, v3, v4, v5, v6, v7, ..] = *bytes;
    let value_tag_fits = !has_value || first_tag == SAMPLE_VALUE_TAG;
    let packed = u64::from_le_bytes(*bytes[start + 1..].first_chunk::<8>()?) & 0xffff_ffff_ffff;
    let usual = (bytes[0] == SAMPLE_TAG)
        & (has_value | (length == 7))
        & value_tag_fits
        & (bytes[start] == TIMESTAMP_TAG)
        & (packed & 0x8080_8080_8080 == 0x0080_8080_8080);
    if !usual || !reader.advance(usize::from(length) + 2) {
        return None;
    }
    let pairs = (packed & 0x007f_007f_007f) | (packed & 0x7f00_7f00_7f00) >> 1;
    let millis = (pairs & 0x3fff) | (pairs & 0x3fff_0000) >> 2 | (pairs & 0x3fff_0000_0000) >> 4;
    let value = f64::from_bits(u64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7]) & mask);
    Some(Sample { timestamp: Timestamp::from_millis(millis.cast_signed()), value })
}

#[inline]
fn read_label(mut reader: Reader<'_>) -> Result<(&[u8], &[u8]), ProtobufError> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    while let Some(field) = reader.tag()? {
        if field == tag(label::NAME, BYTES) {
            name = reader.bytes()?;
        } else if field == tag(label::VALUE, BYTES) {
            value = reader.bytes()?;
        } else {
            reader.skip(field, LABEL_FIELDS)?;
        }
    }
    Ok((name, value))
}

#[inline]
fn read_sample(mut reader: Reader<'_>) -> Result<Sample, ProtobufError> {
    let mut read = Sample { timestamp: Timestamp::default(), value: 0.0 };
    while let Some(field) = reader.tag()? {
        if field == tag(sample::VALUE, FIXED64) {
            read.value = reader.double()?;
        } else if field == tag(sample::TIMESTAMP, VARINT) {
            read.timestamp = Timestamp::from_millis(reader.varint()?.cast_signed());
        } else {
            reader.skip(field, SAMPLE_FIELDS)?;
        }
    }
    Ok(read)
}

/// Reads and checks a native histogram of a series.
fn read_histogram(
    checks: &Checks<'_>,
    so_far: &mut SeriesSoFar,
    reader: Reader<'_>,
) -> Result<histogram::Read, Refused> {
    let message = histogram::Message::read(reader)?;
    let (sample_index, timestamp) = (so_far.samples(), message.timestamp);
    checks.sample(so_far, timestamp)?;
    let refuse = |cause| SeriesError::Histogram { sample_index, timestamp, cause };
    Ok(message.check().map_err(refuse)?)
}

/// Puts a histogram into the series that is being built; whether it is a staleness marker.
fn take_histogram(builder: &mut BatchBuilder, read: histogram::Read) -> bool {
    match read {
        histogram::Read::Sample(sample) => {
            builder.push_histogram(sample);
            false
        }
        histogram::Read::Stale(timestamp) => {
            builder.push_sample(Sample { timestamp, value: stale_nan() });
            true
        }
    }
}

/// The labels of a series as far as they can be read.
fn labels_of(mut reader: Reader<'_>) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        while let Ok(Some(field)) = reader.tag() {
            if field == tag(series::LABEL, BYTES) {
                return reader.message().and_then(read_label).ok();
            }
            reader.skip(field, &[]).ok()?;
        }
        None
    })
}

/// The metric name of a series that was refused, for the message.
fn metric_name(series: Reader<'_>) -> Option<String> {
    let (_, value) = labels_of(series).find(|(name, _)| *name == METRIC_NAME.as_bytes())?;
    (!value.is_empty()).then(|| excerpt(value))
}

/// What is not UTF-8 in a series.
fn invalid_utf8(series: Reader<'_>) -> Option<SeriesError> {
    labels_of(series).find_map(|(name, value)| {
        if str::from_utf8(name).is_err() {
            return Some(SeriesError::NameNotUtf8 { label: excerpt(name) });
        }
        str::from_utf8(value).is_err().then(|| SeriesError::ValueNotUtf8 { label: excerpt(name) })
    })
}

/// Names the first label of a message that is not UTF-8, after it was found that there is one.
#[cold]
fn first_invalid_utf8(message: &[u8]) -> WireError {
    let mut reader = Reader::new(message);
    let mut series_index = 0;
    while let Ok(Some(field)) = reader.tag() {
        if field != tag(request::SERIES, BYTES) {
            reader.skip(field, &[]).expect("the whole message was read before");
            continue;
        }
        let series = reader.message().expect("the whole message was read before");
        if let Some(cause) = invalid_utf8(series) {
            return WireError::Series { series_index, metric: metric_name(series), cause };
        }
        series_index += 1;
    }
    unreachable!("a label text that is not UTF-8 was found when the batch was finished")
}

#[cfg(test)]
mod tests;

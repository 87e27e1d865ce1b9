//! Prometheus remote write 2.0: a snappy block of the protobuf message `io.prometheus.write.v2.Request`.
//!
//! Texts stand once in a table of symbols, series refer to them. Unlike a request of 1.0, one with a bad series is taken
//! without that series: senders never send it again, and the answer tells how much was written.

use model::{BatchBuilder, Limits, METRIC_NAME, Timestamp};

use super::{Decoded, decompressed, read_histogram, read_sample, read_usual_sample, take_histogram};
use crate::error::{SeriesError, WireError, excerpt};
use crate::protobuf::{BYTES, Reader, VARINT, tag};
use crate::series::{Checks, Refused, SeriesSoFar};

/// The name of the message, as content types hold it.
pub const MESSAGE: &str = "io.prometheus.write.v2.Request";
/// The value of the header `X-Prometheus-Remote-Write-Version`.
pub const VERSION: &str = "2.0.0";

/// `Request`.
mod request {
    pub(super) const SYMBOLS: u64 = 4;
    pub(super) const SERIES: u64 = 5;
}

/// `TimeSeries`.
mod series {
    pub(super) const LABELS_REFS: u64 = 1;
    pub(super) const SAMPLE: u64 = 2;
    pub(super) const HISTOGRAM: u64 = 3;
    pub(super) const EXEMPLAR: u64 = 4;
    pub(super) const METADATA: u64 = 5;
}

const REQUEST_FIELDS: &[(u64, &str, u8)] =
    &[(request::SYMBOLS, "symbols", BYTES), (request::SERIES, "timeseries", BYTES)];
const SERIES_FIELDS: &[(u64, &str, u8)] = &[
    (series::LABELS_REFS, "labels_refs", BYTES),
    (series::SAMPLE, "samples", BYTES),
    (series::HISTOGRAM, "histograms", BYTES),
    (series::EXEMPLAR, "exemplars", BYTES),
    (series::METADATA, "metadata", BYTES),
];

/// Decodes a request that arrives now. Series that break a rule or a limit are left out and told.
///
/// # Errors
/// When the body is too large, or is no snappy block or no `Request`; then nothing of it is taken.
pub fn decode(body: &[u8], limits: &Limits, now: Timestamp) -> Result<Decoded, WireError> {
    decode_message(&decompressed(body, limits)?, limits, now)
}

/// Decodes a `Request` that is not compressed.
///
/// # Errors
/// As [`decode`], save for what only a compressed body can have.
pub fn decode_message(message: &[u8], limits: &Limits, now: Timestamp) -> Result<Decoded, WireError> {
    let mut decoder = Decoder {
        message,
        checks: Checks::new(limits, now),
        symbols: symbols(message)?,
        builder: BatchBuilder::with_capacity(message.len() / 96),
        decoded: Decoded::default(),
        references: Vec::new(),
        text_bytes_left: limits.decoded_bytes_max,
        limit_bytes: limits.decoded_bytes_max,
    };
    let mut series_index = 0;
    let mut reader = Reader::new(message);
    while let Some(field) = reader.tag()? {
        if field == tag(request::SERIES, BYTES) {
            decoder.series(series_index, reader.message()?)?;
            series_index += 1;
        } else if field == tag(request::SYMBOLS, BYTES) {
            reader.bytes()?;
        } else {
            reader.skip(field, REQUEST_FIELDS)?;
        }
    }
    let batch = decoder.builder.finish().expect("symbols that are not UTF-8 are refused where they are used");
    Ok(Decoded { batch, ..decoder.decoded })
}

/// The table of texts, which may stand anywhere in the message.
fn symbols(message: &[u8]) -> Result<Vec<&[u8]>, WireError> {
    let mut found = Vec::new();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.tag()? {
        if field == tag(request::SYMBOLS, BYTES) {
            found.push(reader.bytes()?);
        } else if field == tag(request::SERIES, BYTES) {
            reader.bytes()?;
        } else {
            reader.skip(field, REQUEST_FIELDS)?;
        }
    }
    match found.first() {
        Some([]) | None => Ok(found),
        Some(_) => Err(WireError::Symbols { reason: "the first one is not empty" }),
    }
}

struct Decoder<'a> {
    message: &'a [u8],
    checks: Checks<'a>,
    symbols: Vec<&'a [u8]>,
    builder: BatchBuilder,
    decoded: Decoded,
    /// Those of the series that is being read.
    references: Vec<u64>,
    /// A few bytes of references can stand for a lot of text.
    text_bytes_left: usize,
    limit_bytes: usize,
}

impl<'a> Decoder<'a> {
    /// Reads one series, or leaves it out.
    fn series(&mut self, series_index: usize, series: Reader<'a>) -> Result<(), WireError> {
        let before = (self.decoded.stale_histograms, self.decoded.exemplars_skipped, self.decoded.metadata_skipped);
        match self.read(series) {
            Ok(samples) => {
                if samples > 0 {
                    self.builder.end_series();
                } else {
                    self.builder.discard_series();
                }
            }
            Err(Refused::Protobuf(error)) => return Err(error.into()),
            Err(Refused::Series(cause)) => {
                self.builder.discard_series();
                let decoded = &mut self.decoded;
                (decoded.stale_histograms, decoded.exemplars_skipped, decoded.metadata_skipped) = before;
                let metric = self.metric_name();
                let refused = self.decoded.refused.take();
                let first = || (0, WireError::Series { series_index, metric, cause });
                let (count, error) = refused.unwrap_or_else(first);
                self.decoded.refused = Some((count + 1, error));
            }
        }
        Ok(())
    }

    /// Reads a series into the builder; gives back how many samples it has. All of it is read before it is refused,
    /// so that a message which is none is found out.
    fn read(&mut self, series: Reader<'a>) -> Result<usize, Refused> {
        self.references.clear();
        self.labels(series)?;
        let mut so_far = SeriesSoFar::default();
        let labels = self.push_labels(&mut so_far);
        match (labels, self.samples(series, &mut so_far)) {
            (_, Err(Refused::Protobuf(error))) => return Err(error.into()),
            (labels, samples) => labels.and(samples)?,
        }
        so_far.finish()?;
        Ok(so_far.samples())
    }

    /// Collects the references of a series: packed, or one at a time.
    fn labels(&mut self, mut reader: Reader<'_>) -> Result<(), Refused> {
        while let Some(field) = reader.tag()? {
            if field == tag(series::LABELS_REFS, BYTES) {
                let mut packed = reader.message()?;
                while !packed.rest().is_empty() {
                    self.references.push(packed.varint()?);
                }
            } else if field == tag(series::LABELS_REFS, VARINT) {
                self.references.push(reader.varint()?);
            } else if field & 7 == u64::from(BYTES) {
                reader.bytes()?;
            } else {
                reader.skip(field, SERIES_FIELDS)?;
            }
        }
        Ok(())
    }

    fn push_labels(&mut self, so_far: &mut SeriesSoFar) -> Result<(), Refused> {
        let (pairs, rest) = self.references.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(SeriesError::UnpairedReferences { references: self.references.len() }.into());
        }
        for [name, value] in pairs {
            let (name, value) = (self.symbol(*name)?, self.symbol(*value)?);
            self.checks.label(so_far, name, value)?;
            if str::from_utf8(name).is_err() {
                return Err(SeriesError::NameNotUtf8 { label: excerpt(name) }.into());
            }
            if str::from_utf8(value).is_err() {
                return Err(SeriesError::ValueNotUtf8 { label: excerpt(name) }.into());
            }
            if value.is_empty() {
                self.decoded.empty_labels_dropped += 1;
                continue;
            }
            let left = self.text_bytes_left.checked_sub(name.len() + value.len());
            self.text_bytes_left = left.ok_or(SeriesError::TooMuchText { limit_bytes: self.limit_bytes })?;
            self.builder.push_label(name, value)?;
        }
        Ok(())
    }

    fn symbol(&self, reference: u64) -> Result<&'a [u8], SeriesError> {
        let found = usize::try_from(reference).ok().and_then(|index| self.symbols.get(index)).copied();
        found.ok_or(SeriesError::UnknownSymbol { reference, symbols: self.symbols.len() })
    }

    /// Reads all but the labels.
    fn samples(&mut self, mut reader: Reader<'a>, so_far: &mut SeriesSoFar) -> Result<(), Refused> {
        loop {
            if let Some(sample) = read_usual_sample(self.message, &mut reader) {
                self.checks.sample(so_far, sample.timestamp)?;
                self.builder.push_sample(sample);
                continue;
            }
            let Some(field) = reader.tag()? else { return Ok(()) };
            if field == tag(series::SAMPLE, BYTES) {
                let sample = read_sample(reader.message()?)?;
                self.checks.sample(so_far, sample.timestamp)?;
                self.builder.push_sample(sample);
            } else if field == tag(series::HISTOGRAM, BYTES) {
                let read = read_histogram(&self.checks, so_far, reader.message()?)?;
                self.decoded.stale_histograms += usize::from(take_histogram(&mut self.builder, read));
            } else if field == tag(series::EXEMPLAR, BYTES) {
                reader.bytes()?;
                self.decoded.exemplars_skipped += 1;
            } else if field == tag(series::METADATA, BYTES) {
                reader.bytes()?;
                self.decoded.metadata_skipped += 1;
            } else if field == tag(series::LABELS_REFS, BYTES) {
                reader.bytes()?;
            } else if field == tag(series::LABELS_REFS, VARINT) {
                reader.varint()?;
            } else {
                reader.skip(field, SERIES_FIELDS)?;
            }
        }
    }

    /// The metric name of a series that was refused, for the message.
    fn metric_name(&self) -> Option<String> {
        let (pairs, _) = self.references.as_chunks::<2>();
        let named = |[name, value]: &[u64; 2]| {
            let is_name = self.symbol(*name).ok()? == METRIC_NAME.as_bytes();
            self.symbol(*value).ok().filter(|value| is_name && !value.is_empty())
        };
        pairs.iter().find_map(named).map(excerpt)
    }
}

#[cfg(test)]
mod tests;

//! Prometheus remote write 2.0: a snappy block of the protobuf message `io.prometheus.write.v2.Request`.
//!
//! Texts stand once in a table of symbols, series refer to them. Unlike a request of 1.0, one with a bad series is taken
//! without that series: senders never send it again, and the answer tells how much was written.

use std::collections::BTreeSet;

use model::{BatchBuilder, Exemplar, LabelsBuilder, Limits, METRIC_NAME, MetricType, SeriesExemplar, Timestamp};

use super::beside::{self, MetadataRefs};
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
        exemplars: Vec::new(),
        metadata: None,
        told: BTreeSet::new(),
        told_last: None,
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
    decoder.decoded.metadata.sort_unstable();
    decoder.decoded.metadata.dedup();
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
    /// Those of the series that is being read.
    exemplars: Vec<Exemplar>,
    /// What the series that is being read says about its metric.
    metadata: Option<MetadataRefs>,
    /// What was said about metrics so far, by the reference of the name: nearly all series repeat it.
    told: BTreeSet<(u64, MetadataRefs)>,
    told_last: Option<(u64, MetadataRefs)>,
    /// A few bytes of references can stand for a lot of text.
    text_bytes_left: usize,
    limit_bytes: usize,
}

impl<'a> Decoder<'a> {
    /// Reads one series, or leaves it out.
    fn series(&mut self, series_index: usize, series: Reader<'a>) -> Result<(), WireError> {
        let before = (self.decoded.stale_histograms, self.decoded.exemplars_skipped);
        self.exemplars.clear();
        self.metadata = None;
        match self.read(series) {
            Ok(samples) => {
                self.keep_beside();
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
                (decoded.stale_histograms, decoded.exemplars_skipped) = before;
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
                match beside::exemplar_v2(reader.message()?, &self.symbols, &self.checks)? {
                    Some(exemplar) => self.exemplars.push(exemplar),
                    None => self.decoded.exemplars_skipped += 1,
                }
            } else if field == tag(series::METADATA, BYTES) {
                self.metadata = Some(MetadataRefs::read(reader.message()?)?);
            } else if field == tag(series::LABELS_REFS, BYTES) {
                reader.bytes()?;
            } else if field == tag(series::LABELS_REFS, VARINT) {
                reader.varint()?;
            } else {
                reader.skip(field, SERIES_FIELDS)?;
            }
        }
    }

    /// Takes over what stands beside the samples of a series that is fine.
    fn keep_beside(&mut self) {
        let said = self.metadata.take().filter(|said| *said != MetadataRefs::default());
        if let Some(new) = self.name_reference().zip(said).filter(|new| self.told_last != Some(*new)) {
            self.told_last = Some(new);
            if self.told.insert(new) {
                self.keep_metadata(new);
            }
        }
        if !self.exemplars.is_empty() {
            self.keep_exemplars();
        }
    }

    fn keep_metadata(&mut self, (name, said): (u64, MetadataRefs)) {
        let text = |reference| self.symbol(reference).ok();
        let metric_type = MetricType::from_number(said.metric_type);
        let texts = text(name).zip(text(said.help)).zip(text(said.unit));
        let limits = self.checks.limits();
        match texts.and_then(|((name, help), unit)| beside::checked(metric_type, name, [help, unit], limits)) {
            Some(metadata) => self.decoded.metadata.push(metadata),
            None => self.decoded.metadata_skipped += 1,
        }
    }

    fn keep_exemplars(&mut self) {
        let mut labels = LabelsBuilder::new();
        let text = |reference| self.symbol(reference).ok().and_then(|bytes| str::from_utf8(bytes).ok());
        for [name, value] in self.references.as_chunks::<2>().0 {
            labels.set(text(*name).unwrap_or_default(), text(*value).unwrap_or_default());
        }
        let labels = labels.build().expect("the labels of the series were checked");
        let of_series = |exemplar| SeriesExemplar { series: labels.clone(), exemplar };
        self.decoded.exemplars.extend(self.exemplars.drain(..).map(of_series));
    }

    /// The metric name of a series that was refused, for the message.
    fn metric_name(&self) -> Option<String> {
        self.name_reference().and_then(|name| self.symbol(name).ok()).map(excerpt)
    }

    /// The reference of the metric name, when there is one.
    fn name_reference(&self) -> Option<u64> {
        let (pairs, _) = self.references.as_chunks::<2>();
        let is_name = |[name, value]: &&[u64; 2]| {
            self.symbol(*name).is_ok_and(|name| name == METRIC_NAME.as_bytes())
                && self.symbol(*value).is_ok_and(|value| !value.is_empty())
        };
        pairs.iter().find(is_name).map(|[_, value]| *value)
    }
}

#[cfg(test)]
mod tests;

//! Prometheus remote read: a snappy block of the protobuf message `ReadRequest` comes, samples go back.
//!
//! Read [`decode`] first: queries are selectors with a time range. An answer is one [`samples`] message, or a stream of
//! [`frame`]s, each with chunks of one series in Prometheus's XOR encoding (the module `xor`). Clients list which of the
//! two they take; the first one that is known counts.
//!
//! Source: `prompb/remote.proto`, `prompb/types.proto` and `storage/remote/chunked.go` of Prometheus.

mod xor;

use model::{Labels, Limits, MatchOp, Matcher, Sample, Series, TimeRange, Timestamp};

use crate::error::{BodyError, ProtobufError};
use crate::protobuf::{BYTES, Reader, VARINT, put_bytes, put_varint, tag};
use crate::snappy;

/// The content type of a whole answer.
pub const SAMPLES_TYPE: &str = "application/x-protobuf";
/// The content type of a stream of frames.
pub const CHUNKS_TYPE: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// Samples in a chunk: as many as Prometheus cuts its own after.
const CHUNK_SAMPLES: usize = 120;
/// A frame ends soon after so many bytes; readers take a hundred times as much.
const FRAME_BYTES: usize = 1 << 20;
/// Most queries of a request.
const QUERIES_MAX: usize = 100;
/// Most matchers of a query.
const MATCHERS_MAX: usize = 1000;

/// Why a request cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The body itself: its size or its compression.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The decompressed bytes are no `ReadRequest`.
    #[error("bad protobuf {0}")]
    Protobuf(#[from] ProtobufError),
    /// More of something than a request may have.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// As many are taken.
        limit: usize,
    },
    /// A range that is none.
    #[error("a query ends at {end} ms, before it starts at {start} ms")]
    Range {
        /// Its start, in milliseconds.
        start: i64,
        /// Its end, in milliseconds.
        end: i64,
    },
    /// A matcher of a kind that does not exist.
    #[error("matcher type {number} is none of 0 (=), 1 (!=), 2 (=~) and 3 (!~)")]
    Operator {
        /// What came in its place.
        number: u64,
    },
    /// A matcher that cannot be read.
    #[error("a matcher: {reason}")]
    Matcher {
        /// Why.
        reason: String,
    },
    /// The client takes none of the answers that are known.
    #[error("none of the accepted response types {accepted:?} is known: 0 (SAMPLES) and 1 (STREAMED_XOR_CHUNKS) are")]
    Form {
        /// What it takes.
        accepted: Vec<u64>,
    },
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadRequest {
    /// One answer each, in this order.
    pub queries: Vec<ReadQuery>,
    /// How they are answered.
    pub form: Form,
}

/// A selector with a time range. Hints what it is for are passed over: they allow to send less, and nothing is wrong
/// with all.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadQuery {
    /// From the oldest to the newest sample.
    pub range: TimeRange,
    /// All conditions on the labels.
    pub matchers: Vec<Matcher>,
}

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One message of all samples.
    Samples,
    /// Frames of encoded chunks.
    Chunks,
}

/// Reads a request.
///
/// # Errors
/// When it is no snappy block or no `ReadRequest`, has a regular expression that cannot be read or a range that ends
/// before it starts, asks for more than [`Limits`] allow, or takes no form of answer that is known.
pub fn decode(body: &[u8], limits: &Limits) -> Result<ReadRequest, ReadError> {
    let message = snappy::decompress(body, limits.decoded_bytes_max)?;
    let mut reader = Reader::new(&message);
    let (mut queries, mut accepted) = (Vec::new(), Vec::new());
    while let Some(next) = reader.tag()? {
        if next == tag(1, BYTES) {
            if queries.len() == QUERIES_MAX {
                return Err(ReadError::TooMany { what: "queries", limit: QUERIES_MAX });
            }
            queries.push(query(reader.message()?)?);
        } else if next == tag(2, VARINT) {
            accepted.push(reader.varint()?);
        } else if next == tag(2, BYTES) {
            // Numbers that repeat come packed.
            let mut packed = reader.message()?;
            while !packed.rest().is_empty() {
                accepted.push(packed.varint()?);
            }
        } else {
            reader.skip(next, &[(1, "queries", BYTES)])?;
        }
    }
    let known = accepted.iter().find_map(|form| match form {
        0 => Some(Form::Samples),
        1 => Some(Form::Chunks),
        _ => None,
    });
    let form = match known {
        Some(form) => form,
        None if accepted.is_empty() => Form::Samples,
        None => return Err(ReadError::Form { accepted }),
    };
    Ok(ReadRequest { queries, form })
}

fn query(mut message: Reader<'_>) -> Result<ReadQuery, ReadError> {
    let (mut start, mut end, mut matchers) = (0, 0, Vec::new());
    while let Some(next) = message.tag()? {
        if next == tag(1, VARINT) {
            start = message.varint()?.cast_signed();
        } else if next == tag(2, VARINT) {
            end = message.varint()?.cast_signed();
        } else if next == tag(3, BYTES) {
            if matchers.len() == MATCHERS_MAX {
                return Err(ReadError::TooMany { what: "matchers of a query", limit: MATCHERS_MAX });
            }
            matchers.push(matcher(message.message()?)?);
        } else {
            message.skip(next, &[(3, "matchers", BYTES)])?;
        }
    }
    if end < start {
        return Err(ReadError::Range { start, end });
    }
    let range = TimeRange::new(Timestamp::from_millis(start), Timestamp::from_millis(end));
    Ok(ReadQuery { range, matchers })
}

fn matcher(mut message: Reader<'_>) -> Result<Matcher, ReadError> {
    let (mut op, mut name, mut value) = (0, "", "");
    while let Some(next) = message.tag()? {
        if next == tag(1, VARINT) {
            op = message.varint()?;
        } else if next == tag(2, BYTES) {
            name = text(&mut message)?;
        } else if next == tag(3, BYTES) {
            value = text(&mut message)?;
        } else {
            message.skip(next, &[(2, "name", BYTES), (3, "value", BYTES)])?;
        }
    }
    let op = match op {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        number => return Err(ReadError::Operator { number }),
    };
    Matcher::new(name, op, value).map_err(|error| ReadError::Matcher { reason: error.to_string() })
}

fn text<'a>(message: &mut Reader<'a>) -> Result<&'a str, ReadError> {
    let bytes = message.bytes()?;
    std::str::from_utf8(bytes).map_err(|_| ReadError::Matcher { reason: "a label is not UTF-8".to_owned() })
}

/// The answer of all samples: one list of series a query, as a snappy block. Numbers only; histograms are left out.
pub fn samples(results: &[Vec<Series>]) -> Vec<u8> {
    let mut response = Vec::new();
    for series in results {
        let mut result = Vec::new();
        for one in series {
            let mut message = Vec::new();
            put_labels(&mut message, &one.labels);
            for sample in one.samples() {
                put_sample(&mut message, sample);
            }
            put_bytes(&mut result, 1, &message);
        }
        put_bytes(&mut response, 1, &result);
    }
    snappy::compress(&response)
}

/// The frames of one series of the query at that index, appended to `out`. Numbers only; a series without any has no
/// frame.
pub fn frame(out: &mut Vec<u8>, query: usize, series: &Series) {
    let samples: Vec<Sample> = series.samples().collect();
    let mut chunks = samples.chunks(CHUNK_SAMPLES).peekable();
    while chunks.peek().is_some() {
        let mut message = Vec::new();
        put_labels(&mut message, &series.labels);
        while let Some(samples) = chunks.next_if(|_| message.len() < FRAME_BYTES) {
            put_chunk(&mut message, samples);
        }
        let mut response = Vec::new();
        put_bytes(&mut response, 1, &message);
        put_number(&mut response, 2, query as u64);
        put_varint(out, response.len() as u64);
        out.extend_from_slice(&castagnoli(&response).to_be_bytes());
        out.extend_from_slice(&response);
    }
}

fn put_labels(message: &mut Vec<u8>, labels: &Labels) {
    for (name, value) in labels.iter() {
        let mut label = Vec::with_capacity(name.len() + value.len() + 4);
        put_bytes(&mut label, 1, name.as_bytes());
        put_bytes(&mut label, 2, value.as_bytes());
        put_bytes(message, 1, &label);
    }
}

fn put_sample(message: &mut Vec<u8>, sample: Sample) {
    let mut bytes = Vec::with_capacity(20);
    // Field 1 of eight bytes.
    bytes.push(0x09);
    bytes.extend_from_slice(&sample.value.to_bits().to_le_bytes());
    put_number(&mut bytes, 2, sample.timestamp.as_millis().cast_unsigned());
    put_bytes(message, 2, &bytes);
}

fn put_chunk(message: &mut Vec<u8>, samples: &[Sample]) {
    /// XOR.
    const ENCODING: u64 = 1;
    let time = |sample: Option<&Sample>| sample.map_or(Timestamp::MIN, |sample| sample.timestamp);
    let (first, last) = (time(samples.first()), time(samples.last()));
    let mut chunk = Vec::new();
    put_number(&mut chunk, 1, first.as_millis().cast_unsigned());
    put_number(&mut chunk, 2, last.as_millis().cast_unsigned());
    put_number(&mut chunk, 3, ENCODING);
    put_bytes(&mut chunk, 4, &xor::encode(samples));
    put_bytes(message, 2, &chunk);
}

/// A field of a number; 0 is what an absent one means.
fn put_number(message: &mut Vec<u8>, field: u64, number: u64) {
    if number != 0 {
        put_varint(message, tag(field, VARINT));
        put_varint(message, number);
    }
}

/// CRC-32C: the polynomial of Castagnoli, reflected, as iSCSI has it (RFC 3720, appendix B.4).
fn castagnoli(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        let index = usize::from(crc.to_le_bytes()[0] ^ byte);
        TABLE[index] ^ (crc >> 8)
    })
}

const fn table() -> [u32; 256] {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0; 256];
    let mut index = 0_u32;
    while index < 256 {
        let mut crc = index;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        table[index as usize] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests;

//! Requests of Amazon Data Firehose to an HTTP endpoint, protocol version 1.0, and their answers.
//!
//! A record that cannot be read does not keep the others from being taken: Firehose knows only whole requests, sends a
//! refused one again for a while, and then puts all of it into its backup bucket.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Batch, BatchBuilder, Limits, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Window, metric_stream};
use crate::encoding::unpack;
use crate::error::{DatumError, WireError};

/// How many bad lines a request's answer names.
const PROBLEMS_NAMED_MAX: usize = 5;
/// Most characters of an answer's message: Firehose takes 8,192.
const MESSAGE_CHARS_MAX: usize = 4000;

/// What a request brought.
#[derive(Debug)]
pub struct Delivery {
    /// The same over all tries of a request.
    pub request_id: String,
    /// All samples that can be taken.
    pub batch: Batch,
    /// Lines that hold a datum which can be taken.
    pub data: usize,
    /// What cannot be taken.
    pub problems: Problems,
}

/// The lines of a request that cannot be taken.
#[derive(Debug, Default)]
pub struct Problems {
    /// How many there are.
    pub count: usize,
    /// The first of them, with their places.
    pub first: Vec<Problem>,
}

/// One line that cannot be taken.
#[derive(Debug)]
pub struct Problem {
    /// Which record of the request, counted from 0.
    pub record: usize,
    /// Which line of the record, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: DatumError,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, rename = "requestId")]
    request_id: Cow<'a, str>,
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

/// Reads a request that brings records of a metric stream.
///
/// # Errors
/// When the body cannot be unpacked or is no request of Firehose: nothing of it can be taken.
pub fn decode(
    body: &[u8],
    content_encoding: Option<&str>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Delivery, WireError> {
    let body = unpack(body, content_encoding, limits)?;
    let request: Request<'_> =
        serde_json::from_slice(&body).map_err(|error| WireError::Firehose { reason: error.to_string() })?;
    let window = Window::new(limits, now);
    let mut batch = BatchBuilder::with_room(body.len());
    let (mut data, mut problems) = (0, Problems::default());
    let (mut text_bytes, limit_bytes) = (0, 2 * limits.decoded_bytes_max);
    for (record_index, record) in request.records.iter().enumerate() {
        let Ok(bytes) = STANDARD.decode(record.data.as_bytes()) else {
            problems.add(record_index, 1, DatumError::NotBase64);
            continue;
        };
        for (line, text) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            if text_bytes > limit_bytes {
                problems.add(record_index, line, DatumError::TooMuchText { limit_bytes });
                continue;
            }
            match metric_stream::push(text, &window, &mut batch) {
                Ok(more_bytes) => (data, text_bytes) = (data + 1, text_bytes + more_bytes),
                Err(cause) => problems.add(record_index, line, cause),
            }
        }
    }
    let batch = batch.finish().expect("JSON text is UTF-8");
    Ok(Delivery { request_id: request.request_id.into_owned(), batch, data, problems })
}

impl Problems {
    fn add(&mut self, record: usize, line: usize, cause: DatumError) {
        self.count += 1;
        if self.first.len() < PROBLEMS_NAMED_MAX {
            self.first.push(Problem { record, line, cause });
        }
    }

    /// All of it in one sentence; `None` when there is none.
    pub fn message(&self) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let places: Vec<String> = self
            .first
            .iter()
            .map(|problem| format!("record {}, line {}: {}", problem.record, problem.line, problem.cause))
            .collect();
        let more = self.count - self.first.len();
        let more = if more == 0 { String::new() } else { format!("; and {more} more") };
        Some(format!("{} of the lines cannot be taken: {}{more}", self.count, places.join("; ")))
    }
}

/// The body of an answer, as Firehose wants it.
pub fn answer(request_id: &str, now: Timestamp, error_message: Option<&str>) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer<'a> {
        request_id: &'a str,
        timestamp: i64,
        #[serde(skip_serializing_if = "Option::is_none")]
        error_message: Option<String>,
    }
    let error_message = error_message.map(|message| message.chars().take(MESSAGE_CHARS_MAX).collect());
    let answer = Answer { request_id, timestamp: now.as_millis(), error_message };
    serde_json::to_vec(&answer).expect("texts and a number are JSON")
}

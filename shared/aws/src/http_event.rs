//! HTTP as it comes to a function: API Gateway HTTP API (payload format 2.0) and function URLs, which share one form.
//!
//! Read [`decode`] first, then [`encode`]. The router never learns where a request came from: bodies are decoded from
//! base64, the stage is taken off the path, cookies are a header again.
//!
//! Sources: "Create AWS Lambda proxy integrations for HTTP APIs" and "Invoking Lambda function URLs" of the AWS
//! documentation; "Lambda quotas" for the size of an answer.

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use app::http::accepts_gzip;
use app::http::{Reply, compressed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Most bytes of an answer as Lambda takes it, JSON and base64 included.
pub const ANSWER_BYTES_MAX: usize = 6 << 20;
/// Why an event is no request.
#[derive(Debug, thiserror::Error)]
pub enum HttpEventError {
    /// It is something else: the function is wired to the wrong source.
    #[error("the event is no HTTP request of payload format 2.0: {0}")]
    Event(serde_json::Error),
    /// It is a request that nobody can answer: the client's mistake.
    #[error("{0}")]
    Request(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    #[serde(default)]
    cookies: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    request_context: Context,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    #[serde(default)]
    stage: String,
    #[serde(default)]
    domain_name: String,
    http: ContextHttp,
}

#[derive(Deserialize)]
struct ContextHttp {
    method: String,
}

/// A request, and which front door it came through.
#[derive(Debug)]
pub struct Call {
    /// The request.
    pub request: Request<Bytes>,
    /// Whether it came through the function's own URL, which costs nothing by itself, and not through API Gateway.
    pub is_function_url: bool,
}

/// Reads the request that an event stands for.
///
/// # Errors
/// [`HttpEventError::Event`] when the event is something else, [`HttpEventError::Request`] when what the client sent is
/// no request.
pub fn decode(event: &RawValue) -> Result<Call, HttpEventError> {
    let event: Event = serde_json::from_str(event.get()).map_err(HttpEventError::Event)?;
    let method = Method::from_bytes(event.request_context.http.method.as_bytes());
    let path = without_stage(&event.raw_path, &event.request_context.stage);
    let mut request = Request::new(body(&event)?);
    *request.method_mut() = method.map_err(|_| bad("the method is none of HTTP"))?;
    *request.uri_mut() = uri(path, &event.raw_query_string)?;
    *request.headers_mut() = headers(&event)?;
    let is_function_url = event.request_context.domain_name.contains(".lambda-url.");
    Ok(Call { request, is_function_url })
}

fn body(event: &Event) -> Result<Bytes, HttpEventError> {
    let Some(text) = event.body.as_deref() else { return Ok(Bytes::new()) };
    if !event.is_base64_encoded {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let decoded = STANDARD.decode(text).map_err(|error| bad(format!("the body is no base64: {error}")))?;
    Ok(decoded.into())
}

/// The path without the stage, which stands in front of it unless the stage is the default one.
fn without_stage<'a>(path: &'a str, stage: &str) -> &'a str {
    if stage.is_empty() || stage == "$default" {
        return path;
    }
    match path.strip_prefix('/').and_then(|path| path.strip_prefix(stage)) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) | None => path,
    }
}

/// The path may have been decoded on its way, so what cannot stand in a URL is encoded again.
fn uri(path: &str, query: &str) -> Result<Uri, HttpEventError> {
    let mut text = String::with_capacity(path.len() + query.len() + 1);
    if !path.starts_with('/') {
        text.push('/');
    }
    push_encoded(&mut text, path, b"?#");
    if !query.is_empty() {
        text.push('?');
        push_encoded(&mut text, query, b"#");
    }
    text.parse().map_err(|error| bad(format!("the path is none of HTTP: {error}")))
}

fn push_encoded(text: &mut String, part: &str, also: &[u8]) {
    for byte in part.bytes() {
        let fits = byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) && !also.contains(&byte);
        if fits {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn headers(event: &Event) -> Result<HeaderMap, HttpEventError> {
    let mut headers = HeaderMap::with_capacity(event.headers.len() + 1);
    for (name, value) in &event.headers {
        let bad_header = || bad(format!("the header {name:?} is none of HTTP"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad_header())?;
        headers.append(key, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad_header())?);
    }
    if !event.cookies.is_empty() {
        let cookies = HeaderValue::from_bytes(event.cookies.join("; ").as_bytes());
        headers.insert("cookie", cookies.map_err(|_| bad("a cookie is none of HTTP"))?);
    }
    Ok(headers)
}

fn bad(message: impl Into<String>) -> HttpEventError {
    HttpEventError::Request(message.into())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    status_code: u16,
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<String>,
    body: Cow<'a, str>,
    is_base64_encoded: bool,
}

/// Writes an answer as the front door takes it: compressed where the client takes that and it pays, base64 where it is
/// no text. One that is over what Lambda returns becomes an error that says so.
pub fn encode(reply: Reply, accepts_gzip: bool) -> Box<RawValue> {
    let answer = write(&compressed(reply, accepts_gzip));
    let answer_bytes = answer.get().len();
    if answer_bytes <= ANSWER_BYTES_MAX {
        return answer;
    }
    let message = format!(
        "the answer takes {answer_bytes} bytes, over the {ANSWER_BYTES_MAX} bytes that a function can return: ask for \
         fewer series, a shorter time or a larger step"
    );
    write(&app::http::refuse(StatusCode::UNPROCESSABLE_ENTITY, &message))
}

fn write(reply: &Reply) -> Box<RawValue> {
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    let mut cookies = Vec::new();
    for (name, value) in reply.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        if name == SET_COOKIE {
            cookies.push(value.into_owned());
        } else {
            headers
                .entry(name.as_str())
                .and_modify(|line| {
                    line.push_str(", ");
                    line.push_str(&value);
                })
                .or_insert_with(|| value.into_owned());
        }
    }
    let text = std::str::from_utf8(reply.body()).ok();
    let body = text.map_or_else(|| Cow::Owned(STANDARD.encode(reply.body())), Cow::Borrowed);
    let status_code = reply.status().as_u16();
    let answer = Answer { status_code, headers, cookies, body, is_base64_encoded: text.is_none() };
    serde_json::value::to_raw_value(&answer).expect("an answer has no keys but texts")
}

#[cfg(test)]
mod tests;

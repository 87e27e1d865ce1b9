//! Documents by HTTP POST.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use app::ports::{Connection, PortError, PortResult, Receipt, Secret, Tls};
use bytes::Bytes;
use model::ErrorKind;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Proxy, Response, StatusCode, Url};

use serde_json::Value;

use crate::{DELIVER, Guard, tls};

/// Most redirects that are followed.
const REDIRECTS_MAX: usize = 3;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes that are read of an answer that refuses.
const ANSWER_BYTES_MAX: usize = 64;
/// Most bytes that are read of an answer in JSON.
const JSON_BYTES_MAX: usize = 64 << 10;

/// What is posted.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) media_type: &'static str,
    pub(crate) bytes: Bytes,
}

/// What an answer says that took it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status: `HTTP 200`.
    pub(crate) note: String,
    /// Its document; null where it has none.
    pub(crate) json: Value,
}

/// Sends documents to webhooks. Each delivery has its own connection, made to the addresses that were checked.
#[derive(Clone, Debug)]
pub(crate) struct Webhooks {
    guard: Guard,
    tls: Arc<rustls::ClientConfig>,
    /// The proxy that everything goes through.
    proxy: Option<Url>,
    refuses_redirects: bool,
}

impl Webhooks {
    pub(crate) fn new(guard: Guard) -> Self {
        let tls = tls::client_config(&Tls::default()).expect("the roots of Mozilla need no reading");
        Self { guard, tls: Arc::new(tls), proxy: None, refuses_redirects: false }
    }

    /// The same for a server that is reached in its own way.
    ///
    /// # Errors
    /// `Invalid` when a certificate or the URL of the proxy cannot be read.
    pub(crate) fn over(&self, connection: &Connection) -> PortResult<Self> {
        let proxy = connection.proxy.as_ref().map(|proxy| match proxy {
            Secret::Inline(url) => parse(url).map_err(|_| invalid("`proxy_url` is not a URL of http or https")),
            Secret::File(_) => Err(PortError::new(ErrorKind::Bug, DELIVER, "the proxy was not revealed")),
        });
        Ok(Self {
            guard: self.guard,
            tls: Arc::new(tls::client_config(&connection.tls)?),
            proxy: proxy.transpose()?,
            refuses_redirects: connection.refuses_redirects,
        })
    }

    /// Posts a JSON document, following redirects that ask for the same POST elsewhere.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(String, String)],
        body: &str,
        idempotency_key: &str,
    ) -> PortResult<Receipt> {
        let body = Body { media_type: "application/json", bytes: Bytes::copy_from_slice(body.as_bytes()) };
        let answer = self.ask(url, headers, body, idempotency_key).await?;
        Ok(Receipt { reference: reference(&answer.json), note: answer.note })
    }

    /// Posts a body of any kind, and hears what is answered.
    pub(crate) async fn ask(
        &self,
        url: &str,
        headers: &[(String, String)],
        body: Body,
        idempotency_key: &str,
    ) -> PortResult<Answer> {
        let mut url = parse(url)?;
        let mut headers = header_map(headers)?;
        for _ in 0..=REDIRECTS_MAX {
            let mut all = headers.clone();
            all.insert(CONTENT_TYPE, HeaderValue::from_static(body.media_type));
            all.insert("idempotency-key", header_value("Idempotency-Key", idempotency_key)?);
            let response = self.send(&url, all, body.bytes.clone()).await?;
            let status = response.status();
            let next = if self.refuses_redirects { None } else { redirect(&url, &response)? };
            let Some(next) = next else {
                return outcome(status, response).await;
            };
            if next.origin() != url.origin() {
                // Whoever answers there is not who the headers were meant for.
                headers.clear();
            }
            url = next;
        }
        Err(invalid(format!("the webhook redirects more than {REDIRECTS_MAX} times")))
    }

    async fn send(&self, url: &Url, headers: HeaderMap, body: Bytes) -> PortResult<Response> {
        // A proxy is the one that is connected with.
        let peer = self.proxy.as_ref().unwrap_or(url);
        let host = peer.host().ok_or_else(|| invalid("the webhook's URL names no host"))?;
        let port = peer.port_or_known_default().ok_or_else(|| invalid("the webhook's URL names no port"))?;
        let addresses = self.guard.resolve(&host, port).await;
        let addresses = addresses.map_err(|error| PortError::new(error.kind(), DELIVER, error))?;
        let builder = Client::builder().no_proxy();
        let builder = match &self.proxy {
            Some(proxy) => builder.proxy(through(proxy)?),
            None => builder,
        };
        let client = builder
            .tls_backend_preconfigured(rustls::ClientConfig::clone(&self.tls))
            .resolve_to_addrs(peer.host_str().unwrap_or(""), &addresses)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("mihari/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| PortError::new(ErrorKind::Bug, DELIVER, root_cause(&error)))?;
        let request = client.post(url.clone()).headers(headers).body(body);
        request.send().await.map_err(|error| {
            let what = if error.is_timeout() { "the webhook does not answer" } else { "the webhook cannot be reached" };
            PortError::new(ErrorKind::Unavailable, DELIVER, format!("{what}: {}", root_cause(&error)))
        })
    }
}

/// A proxy for all requests, with the name and the password that its URL holds.
fn through(proxy: &Url) -> PortResult<Proxy> {
    Proxy::all(proxy.clone()).map_err(|_| invalid("`proxy_url` cannot be used"))
}

fn parse(url: &str) -> PortResult<Url> {
    let url = Url::parse(url).map_err(|error| invalid(format!("the webhook's URL cannot be read: {error}")))?;
    if matches!(url.scheme(), "http" | "https") {
        return Ok(url);
    }
    Err(invalid("the webhook's URL is neither http nor https"))
}

fn header_map(headers: &[(String, String)]) -> PortResult<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let key = HeaderName::try_from(name).map_err(|_| invalid(format!("{name:?} is no name of a header")))?;
        map.append(key, header_value(name, value)?);
    }
    Ok(map)
}

fn header_value(name: &str, value: &str) -> PortResult<HeaderValue> {
    let mut value =
        HeaderValue::try_from(value).map_err(|_| invalid(format!("the value of the header {name} cannot be sent")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Where an answer asks to repeat the same POST; `None` when it does not ask for one.
fn redirect(from: &Url, response: &Response) -> PortResult<Option<Url>> {
    if !matches!(response.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
        return Ok(None);
    }
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let next = location.and_then(|location| from.join(location).ok());
    let next = next.ok_or_else(|| invalid("the webhook redirects to nowhere"))?;
    if next.scheme() == from.scheme() || next.scheme() == "https" {
        return Ok(Some(next));
    }
    Err(invalid("the webhook redirects from https to another scheme"))
}

/// What an answer means for the delivery.
async fn outcome(status: StatusCode, response: Response) -> PortResult<Answer> {
    let kind = match status.as_u16() {
        200..=299 => return taken(status, response).await,
        408 | 429 => ErrorKind::Throttled,
        500..=599 => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    };
    let retry_after = retry_after(response.headers());
    let reason = reason(response).await.map_or_else(String::new, |reason| format!(" ({reason})"));
    let message = format!("the webhook answers HTTP {}{reason}", status.as_u16());
    Err(PortError::new(kind, DELIVER, message).after(retry_after))
}

/// How long an answer asks to be left alone (RFC 9110, 10.2.3): seconds, or a date, which counts from the date of the
/// answer itself, so that clocks need not agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    let asked = text(RETRY_AFTER)?;
    // Some services send a fraction of a second.
    if let Ok(seconds) = asked.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.ceil()).ok();
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let pause = date(asked)?.duration_since(date(text(DATE)?)?);
    Some(Duration::try_from(pause).unwrap_or_default())
}

/// An answer that says it was taken; one in JSON may still say `"ok": false` and why, as the web API of Slack does.
async fn taken(status: StatusCode, response: Response) -> PortResult<Answer> {
    let note = format!("HTTP {}", status.as_u16());
    let retry_after = retry_after(response.headers());
    let is_json =
        response.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return Ok(Answer { note, json: Value::Null });
    }
    let body = start_of(response, JSON_BYTES_MAX).await.unwrap_or_default();
    let json: Value = serde_json::from_slice(&body).unwrap_or_default();
    if json["ok"] != Value::Bool(false) {
        return Ok(Answer { note, json });
    }
    let code = json["error"].as_str().filter(|code| is_plain(code.as_bytes())).unwrap_or("no reason");
    let kind = match code {
        "ratelimited" | "rate_limited" => ErrorKind::Throttled,
        // The message that was to be changed or answered is gone, or too old for it.
        "message_not_found" | "thread_not_found" | "cant_update_message" | "edit_window_closed" => ErrorKind::NotFound,
        "fatal_error" | "internal_error" | "request_timeout" | "service_unavailable" => ErrorKind::Unavailable,
        _ => ErrorKind::Invalid,
    };
    Err(PortError::new(kind, DELIVER, format!("the webhook answers {note} and refuses ({code})")).after(retry_after))
}

/// What the web API of Slack calls the message that it took: channel and time stamp.
fn reference(answer: &Value) -> Option<String> {
    let plain = |name: &str| {
        let text = answer[name].as_str()?;
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        is_plain.then_some(text)
    };
    Some(format!("{}/{}", plain("channel")?, plain("ts")?))
}

/// The answer's body when it is a plain code such as Slack's `channel_not_found`; other text may repeat a secret.
async fn reason(response: Response) -> Option<String> {
    let body = start_of(response, ANSWER_BYTES_MAX).await?;
    is_plain(&body).then(|| String::from_utf8_lossy(&body).into_owned())
}

fn is_plain(text: &[u8]) -> bool {
    !text.is_empty()
        && text.len() <= ANSWER_BYTES_MAX
        && text.iter().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b' '))
}

/// A body of at most so many bytes.
async fn start_of(mut response: Response, bytes_max: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend(chunk);
        if body.len() > bytes_max {
            return None;
        }
    }
    Some(body)
}

/// The innermost cause of a failure, which names neither URL nor host.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause.and_then(std::error::Error::source) {
        cause = Some(inner);
    }
    cause.map_or_else(|| "no further cause".to_owned(), ToString::to_string)
}

fn invalid(message: impl std::fmt::Display) -> PortError {
    PortError::new(ErrorKind::Invalid, DELIVER, message)
}

#[cfg(test)]
mod tests;

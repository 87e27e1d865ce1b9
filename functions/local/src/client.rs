//! A small client for the commands that talk to a running server, by HTTP, or to a stack on AWS, by its operator's
//! door.

mod stack;

use std::sync::Arc;
use std::time::Duration;

use model::Batch;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::Value;

use stack::Stack;
pub(crate) use stack::StackError;

/// How long one request may take; a query may take two minutes on the server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(150);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer that is no JSON a message quotes.
const EXCERPT_CHARS: usize = 200;
/// How much of what the server says in words a message quotes: a line for each mistake in a pushed configuration.
const MESSAGE_CHARS: usize = 20_000;
const FORM: &str = "application/x-www-form-urlencoded";

/// Why a request failed, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The address is none.
    #[error("{url:?} is no address of a server ({reason}); it looks like http://127.0.0.1:9099")]
    BadUrl {
        /// What was given.
        url: String,
        /// Why it is none.
        reason: String,
    },
    /// Nobody answers there.
    #[error("no answer from {url}: {reason}; is a server running there? `mihari` starts one, --url names another")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server wants to know who asks.
    #[error("the server wants a token: give one with --token or MIHARI_TOKEN; `mihari token create` makes one")]
    TokenNeeded,
    /// The token is not enough.
    #[error("the token does not allow this: {message}")]
    Forbidden {
        /// What the server says.
        message: String,
    },
    /// The server cannot do it now.
    #[error("the server cannot do it now ({status}): {message}")]
    Busy {
        /// Its answer.
        status: StatusCode,
        /// What it says.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The server will never do it.
    #[error("refused ({status}): {message}")]
    Refused {
        /// Its answer.
        status: StatusCode,
        /// What it says.
        message: String,
    },
    /// The stack cannot be asked.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// Something else is listening there.
    #[error("the answer from {url} is not that of a Mihari server: {excerpt:?}; is --url right?")]
    NotMihari {
        /// Who was asked.
        url: String,
        /// How the answer starts.
        excerpt: String,
    },
}

impl ClientError {
    /// When to try the same again: `None` when that is no use, else after how long at least.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { .. } => Some(Duration::ZERO),
            Self::Busy { retry_after, .. } => Some(retry_after.unwrap_or_default()),
            Self::BadUrl { .. }
            | Self::TokenNeeded
            | Self::Forbidden { .. }
            | Self::Refused { .. }
            | Self::Stack(_)
            | Self::NotMihari { .. } => None,
        }
    }
}

/// Talks to one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    door: Door,
    base: Url,
    tenant: Option<String>,
}

/// How the server is reached.
#[derive(Clone, Debug)]
enum Door {
    Http { http: reqwest::Client, token: Option<String> },
    Stack(Stack),
}

/// One request: method, path below the client's address, parameters, and what it carries.
struct Ask<'a> {
    method: Method,
    path: &'a str,
    query: &'a [(&'a str, &'a str)],
    body: Option<(&'static str, String)>,
}

impl Client {
    /// A client of the server at `url`. A token decides the tenant; without one, `tenant` may.
    ///
    /// # Errors
    /// When `url` is no HTTP address.
    pub(crate) fn new(url: &str, token: Option<&str>, tenant: Option<&str>) -> Result<Self, ClientError> {
        let bad_url = |reason: String| ClientError::BadUrl { url: url.to_owned(), reason };
        let base = Url::parse(url).map_err(|error| bad_url(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(bad_url("it does not start with http:// or https://".to_owned()));
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls())
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| bad_url(reason(&error)))?;
        Ok(Self { door: Door::Http { http, token: token.map(str::to_owned) }, base, tenant: tenant.map(str::to_owned) })
    }

    /// A client of a stack on AWS, whose rights and region are those of the command line `aws`.
    pub(crate) fn of_stack(name: &str, tenant: Option<&str>, author: Option<&str>) -> Self {
        let base = Url::parse("https://stack.invalid").expect("it is an address");
        let stack = Stack::new("aws", name, author);
        Self { door: Door::Stack(stack), base, tenant: tenant.map(str::to_owned) }
    }

    /// Asks for the value of an expression at one time, now when none is given; the answer is the API's `data`.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub(crate) async fn instant_query(&self, expr: &str, time: Option<&str>) -> Result<Value, ClientError> {
        let mut form = vec![("query", expr)];
        form.extend(time.map(|time| ("time", time)));
        self.post("/api/v1/query", &form).await.map(data)
    }

    /// Asks for the values of an expression at every step from `start` to `end`; the answer is the API's `data`.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub(crate) async fn range_query(
        &self,
        expr: &str,
        start: &str,
        end: &str,
        step: &str,
    ) -> Result<Value, ClientError> {
        let form = [("query", expr), ("start", start), ("end", end), ("step", step)];
        self.post("/api/v1/query_range", &form).await.map(data)
    }

    /// Sends samples by remote write over HTTP, to a path below the client's address or, with an empty one, to the
    /// address.
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal; then nothing was taken.
    pub(crate) async fn write(&self, path: &str, batch: &Batch) -> Result<(), ClientError> {
        let Door::Http { http, token } = &self.door else { return Err(StackError::NoSamples.into()) };
        let url = self.endpoint(path, &[]);
        let request = http
            .post(url.clone())
            .header(CONTENT_TYPE, wire::remote_write::CONTENT_TYPE)
            .header(CONTENT_ENCODING, wire::remote_write::CONTENT_ENCODING)
            .header("X-Prometheus-Remote-Write-Version", wire::remote_write::VERSION)
            .body(wire::remote_write::encode(batch));
        self.send_http(token.as_deref(), &url, request).await.map(drop)
    }

    /// Asks for something that is JSON.
    ///
    /// # Errors
    /// When there is no answer, it is a refusal or no JSON.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ClientError> {
        self.json(Ask { method: Method::GET, path, query, body: None }).await
    }

    /// Sends a form; the answer is JSON, or nothing.
    ///
    /// # Errors
    /// When there is no answer, it is a refusal or no JSON.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<Value, ClientError> {
        let form = self.endpoint(path, form).query().unwrap_or_default().to_owned();
        self.json(Ask { method: Method::POST, path, query: &[], body: Some((FORM, form)) }).await
    }

    /// Sends a JSON document; the answer is JSON, or nothing.
    ///
    /// # Errors
    /// When there is no answer, it is a refusal or no JSON.
    pub(crate) async fn post_json(&self, path: &str, document: &Value) -> Result<Value, ClientError> {
        let body = Some(("application/json", document.to_string()));
        self.json(Ask { method: Method::POST, path, query: &[], body }).await
    }

    /// Asks for the removal of something; the answer is JSON, or nothing.
    ///
    /// # Errors
    /// When there is no answer, it is a refusal or no JSON.
    pub(crate) async fn delete(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ClientError> {
        self.json(Ask { method: Method::DELETE, path, query, body: None }).await
    }

    fn endpoint(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if !path.is_empty() {
            url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    async fn json(&self, ask: Ask<'_>) -> Result<Value, ClientError> {
        let url = self.endpoint(ask.path, ask.query);
        let text = match &self.door {
            Door::Http { http, token } => {
                let mut request = http.request(ask.method, url.clone());
                if let Some((content_type, body)) = ask.body {
                    request = request.header(CONTENT_TYPE, content_type).body(body);
                }
                self.send_http(token.as_deref(), &url, request).await?
            }
            Door::Stack(stack) => {
                let answer = stack.ask(ask.method.as_str(), &url, ask.body, self.tenant.as_deref()).await?;
                accepted(answer.status, answer.retry_after, answer.text)?
            }
        };
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|_| ClientError::NotMihari { url: shown(&url), excerpt: excerpt(&text) })
    }

    /// The text of a good answer.
    async fn send_http(
        &self,
        token: Option<&str>,
        url: &Url,
        mut request: RequestBuilder,
    ) -> Result<String, ClientError> {
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        } else if let Some(tenant) = &self.tenant {
            request = request.header("X-Scope-OrgID", tenant);
        }
        let unreachable = |error: reqwest::Error| ClientError::Unreachable { url: shown(url), reason: reason(&error) };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let text = response.text().await.map_err(unreachable)?;
        accepted(status, retry_after, text)
    }
}

/// The text of a good answer; `retry_after` is in seconds.
fn accepted(status: StatusCode, retry_after: Option<u64>, text: String) -> Result<String, ClientError> {
    if status.is_success() {
        return Ok(text);
    }
    Err(refusal(status, retry_after.map(Duration::from_secs), message(&text)))
}

fn refusal(status: StatusCode, retry_after: Option<Duration>, message: String) -> ClientError {
    if status == StatusCode::UNAUTHORIZED {
        return ClientError::TokenNeeded;
    }
    if status == StatusCode::FORBIDDEN {
        return ClientError::Forbidden { message };
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return ClientError::Busy { status, message, retry_after };
    }
    ClientError::Refused { status, message }
}

/// The `data` of the API's envelope.
fn data(mut envelope: Value) -> Value {
    envelope.get_mut("data").map(Value::take).unwrap_or(envelope)
}

/// What a refusal says: the `error` of the API's envelope, or the text as it is.
fn message(text: &str) -> String {
    let envelope: Option<Value> = serde_json::from_str(text).ok();
    match envelope.as_ref().and_then(|envelope| envelope.get("error")?.as_str()) {
        Some(error) => error.trim().chars().take(MESSAGE_CHARS).collect(),
        None => excerpt(text.trim()),
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT_CHARS).collect()
}

/// An address without what a message must not show.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    let hidden = url.set_password(None).and_then(|()| url.set_username(""));
    if hidden.is_ok() { url.to_string() } else { url.origin().ascii_serialization() }
}

/// What happened, from the cause up: the outer messages repeat the address.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// TLS with the public root certificates, which are part of the program.
fn tls() -> rustls::ClientConfig {
    let roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring offers the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests;

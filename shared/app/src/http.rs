//! The HTTP router: one function from request to response, the same behind a local server and behind a Lambda
//! front door.
//!
//! Every path that is served stands in [`Route::of`]; what a route needs of its caller in [`Route::scope`].

mod alertmanager;
mod answer_link;
pub(crate) mod answers;
mod config;
mod gzip;
mod json;
mod link;
mod login;
pub mod operator;
mod params;
mod prometheus;
mod push;
pub(crate) mod reply;
mod slack;
mod tokens;
mod told;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_LENGTH, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, StatusCode};
use model::Timestamp;

use crate::access::{Access, Caller, Proof, Refusal, Role, Scope, check_origin, identify};
use crate::error::consequence;
use crate::{App, AppError, cost, pages};

pub(crate) use alertmanager::uuid;
pub use gzip::{accepts_gzip, compressed};
pub use operator::handle_operator;
pub use params::{Params, parse_duration, parse_time};
pub use reply::Reply;

/// What a path leads to. The name is the label of the request's metrics, so there are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/-/healthy` and `/-/ready`, also below `/am`.
    Health,
    /// `/metrics`, also below `/am`.
    Metrics,
    /// `/api/v1/write`.
    RemoteWrite,
    /// `/api/v1/import/prometheus`: pages in the text exposition format.
    Import,
    /// `/firehose`: metric streams of CloudWatch.
    Firehose,
    /// `/api/v1/read`.
    RemoteRead,
    /// `/api/v1/query`.
    Query,
    /// `/api/v1/query_range`.
    QueryRange,
    /// `/api/v1/labels`, `/api/v1/label/<name>/values` and `/api/v1/series`.
    Series,
    /// `/api/v1/rules` and `/api/v1/alerts`.
    Rules,
    /// `/api/v1/metadata`, `/api/v1/query_exemplars`, `/api/v1/format_query`, `/api/v1/targets`, `/api/v1/status/...` and
    /// their like.
    Status,
    /// `/federate`.
    Federate,
    /// `/-/reload`, `/-/quit` and `/api/v1/admin/tsdb/...`, which are not done here.
    Disabled,
    /// `/am/...`: Alertmanager's API.
    Alertmanager,
    /// `/eventbridge`: changes of CloudWatch's alarms.
    EventBridge,
    /// `/api/mihari/v1/explain`: why an alert was told, or was not.
    Explain,
    /// `/api/mihari/v1/dead-letters`: notifications that could not be delivered.
    DeadLetters,
    /// `/api/mihari/v1/alerts/...`: who answers an alert.
    Answers,
    /// `/api/mihari/v1/oncall...`: who is on call.
    OnCall,
    /// `/api/mihari/v1/history...`: what happened to alerts.
    History,
    /// `/a/...`: links at which one person answers, without a token.
    AnswerLink,
    /// `/slack/...`: buttons that people press in Slack.
    Slack,
    /// `/api/mihari/v1/tokens`.
    Tokens,
    /// `/api/mihari/v1/config`.
    Config,
    /// `/api/mihari/v1/reports/daily`.
    Reports,
    /// `/api/mihari/v1/cost`.
    Cost,
    /// `/r/...`: links to reports that need no token.
    Link,
    /// `/login` and `/logout`.
    Login,
    /// Styles, scripts and pictures of the pages; the same for everybody.
    Asset,
    /// Everything for people.
    Page,
    /// A path under `/api/` that is none of ours.
    Unknown,
}

/// Whether a path is another one, or below it.
fn is_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Route {
    /// The route of a path.
    pub fn of(path: &str) -> Self {
        match path {
            "/-/healthy" | "/-/ready" | "/am/-/healthy" | "/am/-/ready" => Self::Health,
            "/metrics" | "/am/metrics" => Self::Metrics,
            "/api/v1/write" => Self::RemoteWrite,
            "/api/v1/import/prometheus" => Self::Import,
            "/firehose" => Self::Firehose,
            "/eventbridge" => Self::EventBridge,
            "/api/v1/query" => Self::Query,
            "/api/v1/query_range" => Self::QueryRange,
            "/api/v1/labels" | "/api/v1/series" => Self::Series,
            "/api/v1/rules" | "/api/v1/alerts" => Self::Rules,
            "/api/v1/read" => Self::RemoteRead,
            "/federate" => Self::Federate,
            _ if prometheus::is_disabled(path) => Self::Disabled,
            _ if prometheus::is_status(path) => Self::Status,
            "/api/mihari/v1/explain" => Self::Explain,
            "/api/mihari/v1/dead-letters" => Self::DeadLetters,
            _ if is_below(path, answers::ALERTS) => Self::Answers,
            _ if is_below(path, answers::ON_CALL) => Self::OnCall,
            _ if is_below(path, answers::HISTORY) => Self::History,
            _ if path.starts_with(crate::notify::links::PREFIX) => Self::AnswerLink,
            _ if path.starts_with(slack::PREFIX) => Self::Slack,
            "/api/mihari/v1/tokens" => Self::Tokens,
            "/api/mihari/v1/config" => Self::Config,
            "/api/mihari/v1/reports/daily" => Self::Reports,
            "/api/mihari/v1/cost" => Self::Cost,
            "/login" | "/logout" => Self::Login,
            _ if path.starts_with(crate::report::link::PREFIX) => Self::Link,
            _ if prometheus::label_of(path).is_some() => Self::Series,
            _ if path.starts_with("/assets/") => Self::Asset,
            _ if path.starts_with(alertmanager::PREFIX) => Self::Alertmanager,
            _ if path.starts_with("/api/") => Self::Unknown,
            _ => Self::Page,
        }
    }

    /// The route's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::RemoteWrite => "write",
            Self::RemoteRead => "read",
            Self::Import => "import",
            Self::Firehose => "firehose",
            Self::EventBridge => "eventbridge",
            Self::Query => "query",
            Self::QueryRange => "query_range",
            Self::Series => "series",
            Self::Rules => "rules",
            Self::Status => "status",
            Self::Federate => "federate",
            Self::Disabled => "disabled",
            Self::Alertmanager => "alertmanager",
            Self::Explain => "explain",
            Self::DeadLetters => "dead_letters",
            Self::Answers => "answers",
            Self::OnCall => "oncall",
            Self::History => "history",
            Self::AnswerLink => "answer_link",
            Self::Slack => "slack",
            Self::Tokens => "tokens",
            Self::Config => "config",
            Self::Reports => "reports",
            Self::Cost => "cost",
            Self::Link => "link",
            Self::Login => "login",
            Self::Asset => "asset",
            Self::Page => "page",
            Self::Unknown => "unknown",
        }
    }

    /// What a caller must be allowed to do; `None` where nobody is asked.
    const fn scope(self) -> Option<Scope> {
        match self {
            Self::Health | Self::Link | Self::AnswerLink | Self::Slack | Self::Login | Self::Asset => None,
            Self::RemoteWrite | Self::Import | Self::Firehose | Self::EventBridge => Some(Scope::Write),
            Self::Tokens | Self::Config | Self::Reports => Some(Scope::Admin),
            Self::Metrics
            | Self::Cost
            | Self::Query
            | Self::QueryRange
            | Self::RemoteRead
            | Self::Series
            | Self::Rules
            | Self::Status
            | Self::Federate
            | Self::Disabled
            | Self::Alertmanager
            | Self::Explain
            | Self::DeadLetters
            | Self::Answers
            | Self::OnCall
            | Self::History
            | Self::Page
            | Self::Unknown => Some(Scope::Read),
        }
    }

    /// Whether samples are pushed there: a host with doors of their own for samples and questions asks for it.
    pub const fn is_push(self) -> bool {
        matches!(self, Self::RemoteWrite | Self::Import | Self::Firehose)
    }

    /// Whether a role sees what the route answers. Management sees pages and reports, whose code says which of them;
    /// access is a matter of operations. Samples may come from anybody who may write.
    const fn is_for(self, role: Role) -> bool {
        match self {
            Self::Tokens | Self::Config => matches!(role, Role::Ops),
            Self::Metrics
            | Self::Query
            | Self::QueryRange
            | Self::RemoteRead
            | Self::Series
            | Self::Rules
            | Self::Status
            | Self::Federate
            | Self::Disabled
            | Self::Explain
            | Self::DeadLetters
            | Self::Answers
            | Self::OnCall
            | Self::History
            | Self::Alertmanager => !matches!(role, Role::Exec),
            Self::Health
            | Self::RemoteWrite
            | Self::Import
            | Self::Firehose
            | Self::EventBridge
            | Self::Reports
            | Self::Cost
            | Self::Link
            | Self::AnswerLink
            | Self::Slack
            | Self::Login
            | Self::Asset
            | Self::Page
            | Self::Unknown => true,
        }
    }

    /// Whether a request changes something: then a browser's session alone is not enough, since another page may
    /// have sent it. Queries are sent by POST, too, and change nothing.
    fn changes(self, method: &Method) -> bool {
        let is_change = matches!(
            self,
            Self::RemoteWrite
                | Self::Import
                | Self::Firehose
                | Self::EventBridge
                | Self::Alertmanager
                | Self::DeadLetters
                | Self::Answers
                | Self::Tokens
                | Self::Config
                | Self::Reports
                | Self::Page
        );
        is_change && !matches!(*method, Method::GET | Method::HEAD)
    }

    /// The methods that the path takes.
    fn methods(self, path: &str) -> &'static [Method] {
        const GET: &[Method] = &[Method::GET, Method::HEAD];
        const POST: &[Method] = &[Method::POST];
        const POST_PUT: &[Method] = &[Method::POST, Method::PUT];
        const BOTH: &[Method] = &[Method::GET, Method::HEAD, Method::POST];
        const ALL: &[Method] = &[Method::GET, Method::HEAD, Method::POST, Method::DELETE];
        match self {
            Self::Health | Self::Metrics | Self::Rules | Self::Explain | Self::Cost | Self::Link | Self::Asset => GET,
            Self::OnCall | Self::History | Self::Federate => GET,
            Self::Disabled => POST_PUT,
            Self::Slack | Self::EventBridge => POST,
            Self::RemoteWrite | Self::Import | Self::RemoteRead | Self::Firehose | Self::Reports => POST,
            Self::Query | Self::QueryRange => BOTH,
            Self::Series if prometheus::label_of(path).is_some() => GET,
            Self::Series => BOTH,
            Self::Status if prometheus::takes_forms(path) => BOTH,
            Self::Status => GET,
            Self::Alertmanager => alertmanager::methods(path),
            Self::Login if path == "/logout" => POST,
            Self::Login => BOTH,
            Self::Tokens => ALL,
            Self::Answers | Self::AnswerLink => BOTH,
            Self::DeadLetters | Self::Config | Self::Page | Self::Unknown => BOTH,
        }
    }
}

/// What went wrong with a request before or in its handler.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// Turned away.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Failed.
    #[error(transparent)]
    App(#[from] AppError),
}

/// Answers one request. `random` is 32 fresh random bytes, used where a token is made.
pub async fn handle(app: &App, request: Request<Bytes>, random: [u8; 32], now: Timestamp) -> Reply {
    respond(app, None, &request, random, now).await
}

/// Answers one request of a caller who is known already, or shows a token or a session.
async fn respond(
    app: &App,
    known: Option<Caller>,
    request: &Request<Bytes>,
    random: [u8; 32],
    now: Timestamp,
) -> Reply {
    let route = Route::of(request.uri().path());
    let started = app.stopwatch.read();
    let mut reply = match answer(app, route, known, request, random, now).await {
        Ok(reply) => reply,
        Err(error) => refusal(app, route, request, &error, now),
    };
    secure(reply.headers_mut());
    if request.method() == Method::HEAD {
        // The length is that of the body which a GET would bring.
        let length = HeaderValue::from(reply.body().len());
        reply.headers_mut().insert(CONTENT_LENGTH, length);
        *reply.body_mut() = Bytes::new();
    }
    let elapsed = app.stopwatch.read().saturating_sub(started);
    app.metrics.request(route.as_str(), reply.status(), elapsed);
    reply
}

/// The answer to a request whose body could not be read, or whose handling broke off: no handler has seen it.
pub fn refuse(status: StatusCode, message: &str) -> Reply {
    let mut reply = reply::json(status, json::error(prometheus::error_type(status), message));
    secure(reply.headers_mut());
    reply
}

async fn answer(
    app: &App,
    route: Route,
    known: Option<Caller>,
    request: &Request<Bytes>,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let path = request.uri().path();
    let methods = route.methods(path);
    if !methods.contains(request.method()) {
        return Ok(method_not_allowed(methods));
    }
    if request.body().len() > app.limits.body_bytes_max {
        return Ok(too_large(app));
    }
    let Some(scope) = route.scope() else { return open_routes(app, route, request, random, now).await };
    let (default_tenant, state) = (&app.settings.default_tenant, app.ports.state.as_ref());
    let headers = request.headers();
    let sender = || if route.is_push() { app.senders.known(headers, now) } else { None };
    let caller = match known.or_else(sender) {
        Some(caller) => caller,
        None => {
            let caller = identify(app.access(), headers, state, app.session_key(), default_tenant, now).await??;
            if route.is_push() {
                app.senders.remember(headers, &caller, now);
            }
            caller
        }
    };
    let scope = if route == Route::Alertmanager { alertmanager::scope(path, request.method()) } else { scope };
    caller.require(scope)?;
    if !route.is_for(caller.role) {
        return Err(Refusal::Role(caller.role).into());
    }
    let params = Params::of(request);
    if route.changes(request.method()) {
        caller.check_csrf(params.get("csrf").unwrap_or(""))?;
        if caller.proof == Proof::Token {
            check_origin(headers, &app.settings.external_url)?;
        }
    }
    match route {
        Route::RemoteWrite => Ok(push::remote_write(app, &caller.tenant, request, now).await),
        Route::Import => Ok(push::exposition(app, &caller.tenant, request, now).await),
        Route::Firehose => Ok(push::firehose(app, &caller.tenant, request, now).await),
        Route::Metrics | Route::Cost if caller.tenant != *default_tenant => {
            Err(Refusal::Deployment(default_tenant.clone()).into())
        }
        Route::Metrics => Ok(prometheus::metrics(app)),
        Route::Query => Ok(prometheus::query(app, &caller.tenant, &params, now).await),
        Route::QueryRange => Ok(prometheus::query_range(app, &caller.tenant, &params, now).await),
        Route::Series => Ok(prometheus::series(app, &caller.tenant, path, &params, now).await),
        Route::Rules => Ok(prometheus::rules(app, &caller.tenant, path, &params, now).await),
        Route::Status => Ok(prometheus::status(app, &caller.tenant, path, &params, now).await),
        Route::Federate => Ok(prometheus::federate(app, &caller.tenant, (request, &params), now).await),
        Route::Disabled => Ok(prometheus::disabled(path)),
        Route::RemoteRead => Ok(prometheus::read(app, &caller.tenant, request, now).await),
        Route::Alertmanager => alertmanager::handle(app, &caller, request, random, now).await,
        Route::EventBridge => {
            crate::notify::take_alarm(app, &caller.tenant, request.body(), now).await?;
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        Route::Explain => told::explain(app, &caller, &params, now).await,
        Route::DeadLetters => told::dead_letters(app, &caller, request, &params, now).await,
        Route::Answers => answers::alerts(app, &caller, request, &params, random, now).await,
        Route::OnCall => answers::on_call(app, &caller, path, &params, now),
        Route::History => answers::history(app, &caller, path, &params, now).await,
        Route::Tokens => tokens::handle(app, &caller, request, &params, random, now).await,
        Route::Config => config::handle(app, &caller, request, now).await,
        Route::Reports => tokens::daily_report(app, &caller, &params, now).await,
        Route::Cost => Ok(reply::json(StatusCode::OK, cost_json(app, now).await?)),
        Route::Unknown => Ok(not_found(path)),
        Route::Page | Route::Health | Route::Link | Route::AnswerLink | Route::Slack | Route::Login | Route::Asset => {
            page(app, &caller, request, random, now).await
        }
    }
}

/// What anybody may see.
async fn open_routes(
    app: &App,
    route: Route,
    request: &Request<Bytes>,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let path = request.uri().path();
    if route == Route::Login {
        return login::handle(app, request, now).await;
    }
    if route == Route::AnswerLink {
        return answer_link::handle(app, request, random, now).await;
    }
    if route == Route::Slack {
        return slack::handle(app, request, random, now).await;
    }
    if route == Route::Link {
        return link::handle(app, request, now).await;
    }
    if route == Route::Asset {
        return Ok(pages::asset(path).unwrap_or_else(|| not_found(path)));
    }
    let state = match path {
        "/-/ready" => "Mihari is Ready.\n",
        "/-/healthy" => "Mihari is Healthy.\n",
        // In the word of Alertmanager.
        _ => "OK",
    };
    Ok(reply::text(StatusCode::OK, state))
}

/// The report on costs as JSON.
async fn cost_json(app: &App, now: Timestamp) -> Result<String, AppError> {
    let report = cost::current(app, now).await?;
    Ok(serde_json::to_string(report.as_ref()).expect("names and numbers are JSON"))
}

async fn page(
    app: &App,
    caller: &Caller,
    request: &Request<Bytes>,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, HttpError> {
    if request.uri().path() == pages::ANSWER_PATH && *request.method() == Method::POST {
        caller.require(Scope::Write)?;
        if caller.role == Role::Exec {
            return Err(Refusal::Role(caller.role).into());
        }
        return Ok(pages::take_answer(app, caller, request, random, now).await?);
    }
    let viewer = caller.viewer(request.headers(), &app.settings);
    Ok(pages::handle(app, &viewer, request, now).await)
}

/// The answer to a failure: a page or a redirect to `/login` for people, JSON for programs.
fn refusal(app: &App, route: Route, request: &Request<Bytes>, error: &HttpError, now: Timestamp) -> Reply {
    let status = match error {
        HttpError::App(error) => {
            log(route, error);
            consequence(error.kind()).status
        }
        HttpError::Refused(refusal) => refusal_status(refusal),
    };
    let message = match error {
        HttpError::App(error) => error.public_message(),
        HttpError::Refused(refusal) => refusal.to_string(),
    };
    if route == Route::Firehose {
        return push::firehose_refusal(request, status, &message, now);
    }
    if matches!(route, Route::Page | Route::Link | Route::AnswerLink | Route::Login) {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        if status == StatusCode::UNAUTHORIZED {
            return reply::see_other(&login::path_with_next(path), None);
        }
        return pages::error(app, request.headers(), status, &message);
    }
    let mut reply = reply::json(status, json::error(prometheus::error_type(status), &message));
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"mihari\", charset=\"UTF-8\"");
        reply.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert("retry-after", HeaderValue::from_static("5"));
    }
    reply
}

const fn refusal_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Missing | Refusal::Unknown => StatusCode::UNAUTHORIZED,
        Refusal::Scope(_) | Refusal::Role(_) | Refusal::Deployment(_) | Refusal::NotLoopback { .. } | Refusal::Csrf => {
            StatusCode::FORBIDDEN
        }
        Refusal::Tenant(_) => StatusCode::BAD_REQUEST,
    }
}

/// Logs a failure once, as loudly as its kind asks for.
pub(crate) fn log(route: Route, error: &AppError) {
    let route = route.as_str();
    match consequence(error.kind()).level {
        tracing::Level::ERROR => tracing::error!(route, %error, "request failed"),
        tracing::Level::WARN => tracing::warn!(route, %error, "request failed"),
        _ => tracing::debug!(route, %error, "request refused"),
    }
}

fn method_not_allowed(methods: &[Method]) -> Reply {
    let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let message = format!("this path takes {allowed} only");
    let mut reply = reply::json(StatusCode::METHOD_NOT_ALLOWED, json::error("bad_data", &message));
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        reply.headers_mut().insert(ALLOW, value);
    }
    reply
}

fn too_large(app: &App) -> Reply {
    let message = format!("body is over the limit of {} bytes (body_bytes_max)", app.limits.body_bytes_max);
    reply::json(StatusCode::PAYLOAD_TOO_LARGE, json::error("bad_data", &message))
}

fn not_found(path: &str) -> Reply {
    let message = format!("no such path: {}", path.chars().take(200).collect::<String>());
    reply::json(StatusCode::NOT_FOUND, json::error("not_found", &message))
}

/// Headers that every answer carries, unless its handler set its own.
fn secure(headers: &mut http::HeaderMap) {
    const HEADERS: [(&str, &str); 4] = [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ];
    for (name, value) in HEADERS {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
}

/// Whether nobody needs a token at the moment.
pub fn is_open(app: &App) -> bool {
    app.access() == Access::Open
}

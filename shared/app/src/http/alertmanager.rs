//! Alertmanager's HTTP API, version 2, under `/am`: what Prometheus, vmalert, amtool, Grafana and karma speak.
//!
//! Paths, parameters, bodies and statuses are those of `api/v2/openapi.yaml` of Alertmanager 0.34. Failures are a JSON
//! text, as there.

mod body;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use model::{MatchOp, Matcher, Timestamp};
use serde::Serialize;

use super::{HttpError, Params, Reply, reply};
use crate::access::{Caller, Scope};
use crate::notify::{self, ViewFilter};
use crate::{App, AppError};
use body::{AlertBody, GroupBody, PostedAlert, PostedSilence, ReceiverBody, SilenceBody, StatusBody};

/// What all paths of the API start with.
pub(super) const PREFIX: &str = "/am/";

/// What of a path is the API's own; a slash at its end says nothing, as upstream.
fn room(path: &str) -> &str {
    let room = path.strip_prefix(PREFIX).unwrap_or("");
    room.strip_suffix('/').unwrap_or(room)
}

/// The methods that a path takes.
pub(super) fn methods(path: &str) -> &'static [Method] {
    const GET: &[Method] = &[Method::GET, Method::HEAD];
    const GET_POST: &[Method] = &[Method::GET, Method::HEAD, Method::POST];
    const GET_DELETE: &[Method] = &[Method::GET, Method::HEAD, Method::DELETE];
    match room(path) {
        "api/v2/alerts" | "api/v2/silences" => GET_POST,
        rest if rest.starts_with("api/v2/silence/") => GET_DELETE,
        _ => GET,
    }
}

/// What a caller must be allowed to do: to send alerts, write; all else, read.
pub(super) fn scope(path: &str, method: &Method) -> Scope {
    if *method == Method::POST && room(path) == "api/v2/alerts" { Scope::Write } else { Scope::Read }
}

/// Answers a request to the API.
pub(super) async fn handle(
    app: &App,
    caller: &Caller,
    request: &Request<Bytes>,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let path = room(request.uri().path());
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && path != "api/v2/alerts" {
        // Whoever silences must be somebody who reads the alerts and may write, not an agent that only delivers.
        caller.require(Scope::Write)?;
    }
    let params = Params::of(request);
    let answered = match (path, changes) {
        ("api/v2/status", _) => Ok(json(&StatusBody::of(app, &caller.tenant, now))),
        ("api/v2/receivers", _) => receivers(app, caller, &params),
        ("api/v2/alerts", false) => alerts(app, caller, &params, now).await,
        ("api/v2/alerts", true) => post_alerts(app, caller, request.body(), now).await,
        ("api/v2/alerts/groups", _) => groups(app, caller, &params, now).await,
        ("api/v2/silences", false) => silences(app, caller, &params, now).await,
        ("api/v2/silences", true) => post_silence(app, caller, request.body(), random, now).await,
        _ => match path.strip_prefix("api/v2/silence/") {
            Some(id) => silence(app, caller, id, changes, now).await,
            None => Ok(super::not_found(request.uri().path())),
        },
    };
    answered.or_else(|error| {
        if let AppError::Invalid(reason) = &error {
            return Ok(refused(StatusCode::BAD_REQUEST, reason));
        }
        if let AppError::NotFound(reason) = &error {
            return Ok(refused(StatusCode::NOT_FOUND, reason));
        }
        Err(error.into())
    })
}

/// A new identity in the form of a random UUID (RFC 9562, version 4).
pub(crate) fn uuid(random: &[u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&random[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn is_uuid(text: &str) -> bool {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

fn json<T: Serialize>(value: &T) -> Reply {
    reply::json(StatusCode::OK, serde_json::to_string(value).expect("texts and numbers become JSON"))
}

/// A failure as a JSON text.
fn refused(status: StatusCode, reason: &str) -> Reply {
    reply::json(status, serde_json::to_string(reason).expect("a text becomes JSON"))
}

fn receivers(app: &App, caller: &Caller, params: &Params) -> Result<Reply, AppError> {
    let wanted = matchers(params, "receiver_matchers")?;
    let config = app.config();
    let routes = notify::routes(&config, &caller.tenant);
    let all = routes.receivers.values().filter(|receiver| notify::receiver_fulfils(receiver, &wanted));
    Ok(json(&all.map(ReceiverBody::of).collect::<Vec<_>>()))
}

async fn alerts(app: &App, caller: &Caller, params: &Params, now: Timestamp) -> Result<Reply, AppError> {
    let alerts = notify::sent_alerts(app, &caller.tenant, &view_filter(params)?, now).await?;
    Ok(json(&alerts.iter().map(AlertBody::of).collect::<Vec<_>>()))
}

async fn groups(app: &App, caller: &Caller, params: &Params, now: Timestamp) -> Result<Reply, AppError> {
    let groups = notify::alert_groups(app, &caller.tenant, &view_filter(params)?, now).await?;
    Ok(json(&groups.iter().map(GroupBody::of).collect::<Vec<_>>()))
}

async fn post_alerts(app: &App, caller: &Caller, body: &Bytes, now: Timestamp) -> Result<Reply, AppError> {
    let posted: Vec<PostedAlert> = read(body)?;
    let mut alerts = Vec::with_capacity(posted.len());
    for alert in posted {
        alerts.push(alert.sent().map_err(AppError::Invalid)?);
    }
    notify::take_in(app, &caller.tenant, alerts, now).await?;
    Ok(reply::empty(StatusCode::OK))
}

async fn silences(app: &App, caller: &Caller, params: &Params, now: Timestamp) -> Result<Reply, AppError> {
    let wanted = matchers(params, "filter")?;
    let (active, pending) = (flag(params, "active")?, flag(params, "pending")?);
    let expired = flag(params, "expired")?;
    let all = notify::silences(app, &caller.tenant, now).await?;
    let is_shown = |silence: &&alerting::notify::Silence| {
        use alerting::notify::SilenceState;
        let state = match silence.state(now) {
            SilenceState::Active => active,
            SilenceState::Pending => pending,
            SilenceState::Expired => expired,
        };
        let same = |one: &Matcher, other: &Matcher| {
            (one.name(), one.op(), one.value()) == (other.name(), other.op(), other.value())
        };
        state && wanted.iter().all(|one| silence.matchers.iter().any(|other| same(one, other)))
    };
    Ok(json(&all.iter().filter(is_shown).map(|silence| SilenceBody::of(silence, now)).collect::<Vec<_>>()))
}

async fn silence(app: &App, caller: &Caller, id: &str, is_delete: bool, now: Timestamp) -> Result<Reply, AppError> {
    if !is_uuid(id) {
        return Ok(refused(StatusCode::UNPROCESSABLE_ENTITY, "silenceID in path must be of type uuid"));
    }
    if is_delete {
        notify::expire_silence(app, &caller.tenant, id, &caller.name, now).await?;
        return Ok(reply::empty(StatusCode::OK));
    }
    let silence = notify::silence(app, &caller.tenant, id, now).await?;
    Ok(json(&SilenceBody::of(&silence, now)))
}

async fn post_silence(
    app: &App,
    caller: &Caller,
    body: &Bytes,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, AppError> {
    let silence = read::<PostedSilence>(body)?.silence(now).map_err(AppError::Invalid)?;
    let id = notify::put_silence(app, &caller.tenant, &silence, &uuid(&random), now).await?;
    Ok(json(&serde_json::json!({ "silenceID": id })))
}

fn read<T: for<'de> serde::Deserialize<'de>>(body: &Bytes) -> Result<T, AppError> {
    serde_json::from_slice(body)
        .map_err(|error| AppError::Invalid(format!("the body is not what it should be: {error}")))
}

fn view_filter(params: &Params) -> Result<ViewFilter, AppError> {
    let receiver = params.get("receiver").map(|pattern| Matcher::new("receiver", MatchOp::Regex, pattern)).transpose();
    // Nothing is unprocessed here: what is stored has its state. The parameter is read and changes nothing.
    flag(params, "unprocessed")?;
    Ok(ViewFilter {
        matchers: matchers(params, "filter")?,
        active: flag(params, "active")?,
        silenced: flag(params, "silenced")?,
        inhibited: flag(params, "inhibited")?,
        muted: flag(params, "muted")?,
        receiver: receiver.map_err(|error| AppError::Invalid(format!("failed to parse receiver param: {error}")))?,
        receiver_matchers: matchers(params, "receiver_matchers")?,
    })
}

/// A switch that is on unless it is turned off.
fn flag(params: &Params, name: &str) -> Result<bool, AppError> {
    match params.get(name) {
        None | Some("true" | "1" | "t" | "T" | "TRUE" | "True" | "yes" | "Yes" | "YES" | "on" | "ok" | "y" | "Y") => {
            Ok(true)
        }
        Some("false" | "0" | "f" | "F" | "FALSE" | "False" | "no" | "No" | "NO" | "off" | "n" | "N") => Ok(false),
        Some(other) => {
            let other: String = other.chars().take(100).collect();
            Err(AppError::Invalid(format!("parameter {name} is neither true nor false: {other:?}")))
        }
    }
}

/// One matcher each of the parameters of a name.
fn matchers(params: &Params, name: &str) -> Result<Vec<Matcher>, AppError> {
    let one = |text: &str| {
        if text.starts_with('{') || text.ends_with('}') {
            return Err(AppError::Invalid(format!("unexpected open or close brace: {text}")));
        }
        let mut read = alerting::notify::parse_matchers(text).map_err(|error| AppError::Invalid(error.to_string()))?;
        match (read.pop(), read.is_empty()) {
            (Some(matcher), true) => Ok(matcher),
            (Some(_) | None, _) => Err(AppError::Invalid(format!("expected 1 matcher in {text:?}"))),
        }
    };
    params.all(name).map(one).collect()
}

#[cfg(test)]
mod tests;

//! What people do about alerts, who is on call, and the history of both: `/api/mihari/v1/{alerts,oncall,history}`.

use std::collections::BTreeSet;
use std::time::Duration;

use alerting::Fingerprint;
use alerting::notify::parse_matchers;
use alerting::oncall::{Clock, calendar};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use model::{Matcher, TimeRange, Timestamp};
use serde_json::{Value, json};

use super::alertmanager::uuid;
use super::reply::with_body;
use super::{HttpError, Params, Reply, reply};
use crate::access::{Caller, Proof, Scope};
use crate::history::{self, Filter};
use crate::notify::{self, Answering, Author};
use crate::{App, AppError};

/// What the paths of answers start with.
pub(super) const ALERTS: &str = "/api/mihari/v1/alerts";
/// Who is on call.
pub(super) const ON_CALL: &str = "/api/mihari/v1/oncall";
/// What happened.
pub(super) const HISTORY: &str = "/api/mihari/v1/history";
/// What the history tells where nobody asks for another time.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How far a calendar file goes back and ahead.
const CALENDAR: (Duration, Duration) = (Duration::from_secs(31 * 86_400), Duration::from_secs(180 * 86_400));
/// The longest silence that an answer makes.
const SILENCE_MAX: Duration = Duration::from_secs(31 * 86_400);

/// `GET` lists the alerts that somebody must answer; `POST .../ack|assign|escalate|silence` answers those that the
/// parameters `fingerprint` name, or that fulfil every `matcher`.
pub(super) async fn alerts(
    app: &App,
    caller: &Caller,
    request: &Request<Bytes>,
    params: &Params,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let action = request.uri().path().strip_prefix(ALERTS).unwrap_or("").trim_start_matches('/');
    if *request.method() != Method::POST {
        if !action.is_empty() {
            return Ok(super::not_found(request.uri().path()));
        }
        return Ok(reply::json(StatusCode::OK, json!({ "alerts": list(app, caller, now).await? }).to_string()));
    }
    caller.require(Scope::Write)?;
    let wanted = wanted(app, caller, params, now).await?;
    let answering = read(action, params)?;
    let name = author_of(caller, params);
    let new_id = uuid(&random);
    let author = Author { name: &name, comment: params.get("comment").unwrap_or(""), new_id: &new_id };
    let acts = notify::answer(app, &caller.tenant, &wanted, &answering, author, now).await?;
    Ok(reply::json(StatusCode::OK, json!({ "done": acts }).to_string()))
}

/// The action of a form: its name, with whom to assign to and how long to silence.
pub(crate) fn read(action: &str, params: &Params) -> Result<Answering, AppError> {
    let duration = params.get("duration").map(model::duration::parse).transpose();
    let duration = duration.map_err(|error| AppError::Invalid(format!("duration: {error}")))?;
    if duration.is_some_and(|duration| duration.is_zero() || duration > SILENCE_MAX) {
        return Err(AppError::Invalid("duration: a silence lasts up to 31d".to_owned()));
    }
    Answering::read(action, params.get("to"), duration)
}

/// The alerts that parameters name.
pub(crate) fn fingerprints<'a>(texts: impl Iterator<Item = &'a str>) -> Result<BTreeSet<Fingerprint>, AppError> {
    let read = |text: &str| {
        let number = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Fingerprint).ok_or_else(|| AppError::Invalid(format!("{text:?} is no fingerprint")))
    };
    texts.map(read).collect()
}

async fn wanted(
    app: &App,
    caller: &Caller,
    params: &Params,
    now: Timestamp,
) -> Result<BTreeSet<Fingerprint>, AppError> {
    let named = fingerprints(params.all("fingerprint"))?;
    let matchers = matchers(params)?;
    if named.is_empty() == matchers.is_empty() {
        return Err(AppError::Invalid("name alerts either by `fingerprint` or by `matcher`".to_owned()));
    }
    if matchers.is_empty() { Ok(named) } else { notify::firing(app, &caller.tenant, &matchers, now).await }
}

fn matchers(params: &Params) -> Result<Vec<Matcher>, AppError> {
    let mut all = Vec::new();
    for text in params.all("matcher").filter(|text| !text.is_empty()) {
        all.extend(parse_matchers(text).map_err(|error| AppError::Invalid(format!("matcher: {error}")))?);
    }
    Ok(all)
}

/// Whose name stands in the history: the token's; where there is none, who the caller says to be.
pub(crate) fn author_of(caller: &Caller, params: &Params) -> String {
    let said = params.get("author").filter(|_| matches!(caller.proof, Proof::Open | Proof::Operator));
    let name = said.unwrap_or(&caller.name);
    let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    if name.is_empty() { "local".to_owned() } else { name }
}

async fn list(app: &App, caller: &Caller, now: Timestamp) -> Result<Vec<Value>, AppError> {
    let answered = notify::answered(app, &caller.tenant, now).await?;
    let one = |(alert, answered): (&Fingerprint, &notify::Answered)| {
        let watched = &answered.watched;
        let answered_at = watched.answer.as_ref().map_or(now, |answer| answer.at);
        let labels: serde_json::Map<String, Value> =
            answered.labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        json!({
            "fingerprint": alert.to_string(),
            "labels": labels,
            "starts_at_ms": watched.starts_at.as_millis(),
            "acknowledged_by": watched.answer.as_ref().map(|answer| answer.by.as_str()),
            "acknowledged_at_ms": watched.answer.as_ref().map(|answer| answer.at.as_millis()),
            "assigned_to": watched.assigned_to,
            "tiers_called": watched.tiers_called,
            "is_breached": watched.is_breached,
            "is_paused": matches!(watched.clock, Clock::Paused { .. }),
            "unanswered_seconds": watched.clock.elapsed(answered_at).as_secs(),
            "respond_within_seconds": answered.respond_within.map(|within| within.as_secs()),
        })
    };
    Ok(answered.iter().map(one).collect())
}

/// Who is on call now or at the parameter `at`; below `/<rota>.ics` the shifts of a rota as a calendar file.
pub(super) fn on_call(
    app: &App,
    caller: &Caller,
    path: &str,
    params: &Params,
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let config = app.config();
    let on_call = notify::on_call(&config, &caller.tenant);
    let rest = path.strip_prefix(ON_CALL).unwrap_or("").trim_start_matches('/');
    if !rest.is_empty() {
        let rota = rest.strip_suffix(".ics").and_then(|name| on_call.rotas.get_key_value(name));
        let Some((name, rota)) = rota else { return Ok(super::not_found(path)) };
        let shifts = rota.shifts(TimeRange::new(now - CALENDAR.0, now + CALENDAR.1));
        let text = calendar(on_call, name, &shifts, now);
        return Ok(with_body(StatusCode::OK, "text/calendar; charset=utf-8", text));
    }
    let at = params.time("at")?.unwrap_or(now);
    let named = |short: &str| {
        let name = on_call.people.get(short).map_or(short, |person| &person.name);
        json!({ "person": short, "name": name })
    };
    let rotas: serde_json::Map<String, Value> =
        on_call.rotas.iter().map(|(name, rota)| (name.clone(), rota.on_duty(at).map_or(Value::Null, named))).collect();
    let mut teams = serde_json::Map::new();
    for (team, known) in &on_call.teams {
        let duties = known.duties.keys().map(|duty| {
            let people = on_call.people_of(team, std::slice::from_ref(duty), at);
            (duty.clone(), people.into_iter().map(named).collect::<Value>())
        });
        teams.insert(team.clone(), Value::Object(duties.collect()));
    }
    let body = json!({ "at_ms": at.as_millis(), "rotas": rotas, "teams": teams });
    Ok(reply::json(StatusCode::OK, body.to_string()))
}

/// What happened from `start` to `end`, the last day unless they say otherwise: events that fulfil every `matcher`, of a
/// `rule` and a `kind`; below `/rules` what each rule was worth, and how fast people answered by severity.
pub(super) async fn history(
    app: &App,
    caller: &Caller,
    path: &str,
    params: &Params,
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let end = params.time("end")?.unwrap_or(now);
    let start = params.time("start")?.unwrap_or(end - DAY);
    if end < start {
        return Err(AppError::Invalid("end is before start".to_owned()).into());
    }
    let range = TimeRange::new(start, end);
    match path.strip_prefix(HISTORY).unwrap_or("").trim_start_matches('/') {
        "" => {}
        "rules" => {
            let worth = history::worth(app, &caller.tenant, range, now).await?;
            return Ok(reply::json(StatusCode::OK, json!(worth).to_string()));
        }
        _ => return Ok(super::not_found(path)),
    }
    let texts = |name: &str| params.all(name).filter(|text| !text.is_empty()).map(str::to_owned).collect();
    let filter = Filter { matchers: matchers(params)?, rules: texts("rule"), kinds: texts("kind") };
    let limit = match params.get("limit").map(str::parse) {
        None => 1000,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => return Err(AppError::Invalid("limit is no number".to_owned()).into()),
    };
    let (events, count) = history::events(app, &caller.tenant, range, &filter, limit, now).await?;
    Ok(reply::json(StatusCode::OK, json!({ "events": events, "count": count }).to_string()))
}

#[cfg(test)]
mod tests;

//! What the command line asks of a running server: tokens and reports.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use model::{TenantId, Timestamp};
use serde_json::json;

use super::{HttpError, Params, Reply, reply};
use crate::access::{self, Caller, NewToken, Role, Scope};
use crate::{App, AppError, report};

/// Lists, makes or revokes tokens of the caller's tenant.
///
/// Whoever administers the default tenant administers the deployment: only they may name another tenant.
pub(super) async fn handle(
    app: &App,
    caller: &Caller,
    request: &Request<Bytes>,
    params: &Params,
    random: [u8; 32],
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let tenant = tenant(app, caller, params)?;
    let state = app.ports.state.as_ref();
    if *request.method() == Method::POST {
        let token = NewToken {
            name: params.required("name")?.to_owned(),
            scopes: scopes(params)?,
            role: role(params)?,
            tenant,
        };
        let text = access::create(state, token, random, now).await?;
        app.require_tokens();
        return Ok(reply::json(StatusCode::CREATED, json!({ "token": text }).to_string()));
    }
    if *request.method() == Method::DELETE {
        access::revoke(state, &tenant, params.required("name")?, now).await?;
        return Ok(reply::empty(StatusCode::NO_CONTENT));
    }
    let all = access::list(state, now).await?;
    let tokens: Vec<_> = all.into_iter().filter(|row| row.tenant == tenant).collect();
    Ok(reply::json(StatusCode::OK, json!({ "tokens": tokens }).to_string()))
}

/// Writes the daily report of a day (`day=2026-11-22`; also `today`; yesterday when there is none) and says where its
/// page lies.
pub(super) async fn daily_report(
    app: &App,
    caller: &Caller,
    params: &Params,
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let day = match params.get("day") {
        Some("today") => report::today(app, now),
        Some(text) => text.parse().map_err(|_| AppError::Invalid(format!("day {text:?} is not like 2026-11-22")))?,
        None => report::yesterday(app, now)?,
    };
    let report = report::daily(app, &caller.tenant, day, now).await?;
    let page = report::page_path(&report.id, app.settings.language);
    let url = format!("{}{page}", app.settings.external_url);
    let answer = json!({ "day": day.to_string(), "id": report.id, "page": page, "url": url });
    Ok(reply::json(StatusCode::CREATED, answer.to_string()))
}

fn tenant(app: &App, caller: &Caller, params: &Params) -> Result<TenantId, AppError> {
    let Some(name) = params.get("tenant") else { return Ok(caller.tenant.clone()) };
    let tenant = TenantId::new(name).map_err(|error| AppError::Invalid(error.to_string()))?;
    if tenant == caller.tenant || caller.tenant == app.settings.default_tenant {
        return Ok(tenant);
    }
    Err(AppError::Invalid(format!("a token of tenant {} cannot change tenant {tenant}", caller.tenant)))
}

fn scopes(params: &Params) -> Result<Vec<Scope>, AppError> {
    let names = params.all("scope").flat_map(|value| value.split(','));
    let parse = |name: &str| {
        let message = || AppError::Invalid(format!("scope {name:?} is none of write, read, admin"));
        Scope::from_name(name).ok_or_else(message)
    };
    names.filter(|name| !name.is_empty()).map(parse).collect()
}

fn role(params: &Params) -> Result<Role, AppError> {
    let name = params.get("role").unwrap_or("ops");
    Role::from_name(name).ok_or_else(|| AppError::Invalid(format!("role {name:?} is none of ops, tech, exec")))
}

//! Prometheus's HTTP API: what Grafana, promtool and vmalert ask.

use std::collections::BTreeSet;

use http::StatusCode;
use model::{ErrorKind, Labels, Matcher, TenantId, TimeRange, Timestamp};
use promql::{EvalError, ExprKind, Output, Value};
use serde_json::json;

use super::{Params, Reply, Route, json, log, reply};
use crate::error::consequence;
use crate::query::{self, Options};
use crate::{App, AppError, alerts};

/// The warning of an answer that had more than was asked for.
const TRUNCATED: &str = "results truncated due to limit";

/// `/api/v1/query`.
pub(super) async fn query(app: &App, tenant: &TenantId, params: &Params, now: Timestamp) -> Reply {
    let result = async {
        let time = params.time("time")?.unwrap_or(now);
        let (limit, options) = (params.limit()?, options(params)?);
        let output = query::instant(app, tenant, params.required("query")?, time, options, now).await?;
        Ok(query_reply(output, time, limit))
    };
    result.await.unwrap_or_else(|error| failure(Route::Query, &error))
}

/// `/api/v1/query_range`.
pub(super) async fn query_range(app: &App, tenant: &TenantId, params: &Params, now: Timestamp) -> Reply {
    let result = async {
        let range = TimeRange::new(required_time(params, "start")?, required_time(params, "end")?);
        let step = params.duration("step")?.ok_or_else(|| missing("step"))?;
        let (limit, options) = (params.limit()?, options(params)?);
        let output = query::range(app, tenant, params.required("query")?, (range, step), options, now).await?;
        Ok(query_reply(output, range.end, limit))
    };
    result.await.unwrap_or_else(|error| failure(Route::QueryRange, &error))
}

/// `/api/v1/labels`, `/api/v1/label/<name>/values` and `/api/v1/series`.
pub(super) async fn series(app: &App, tenant: &TenantId, path: &str, params: &Params, now: Timestamp) -> Reply {
    let result = async {
        let selectors = selectors(params)?;
        if path == "/api/v1/series" && selectors.is_empty() {
            return Err(AppError::Invalid("no match[] parameter provided".to_owned()));
        }
        let start = params.time("start")?.unwrap_or(Timestamp::MIN);
        let end = params.time("end")?.unwrap_or(Timestamp::MAX);
        if end < start {
            return Err(AppError::Invalid("end timestamp must not be before start time".to_owned()));
        }
        let range = TimeRange::new(start, end);
        let limit = params.limit()?.unwrap_or(usize::MAX);
        let found = query::series(app, tenant, &selectors, range, now).await?;
        let (data, all) = match label_of(path) {
            Some(name) => texts(&found, limit, |labels, add| labels.get(&name).into_iter().for_each(add)),
            None if path == "/api/v1/labels" => {
                texts(&found, limit, |labels, add| labels.iter().map(|(name, _)| name).for_each(add))
            }
            None => (json::label_sets(&found[..found.len().min(limit)]), found.len()),
        };
        let cut = (all > limit).then(|| TRUNCATED.to_owned());
        Ok(reply::json(StatusCode::OK, json::success(&data, cut.as_slice(), &[])))
    };
    result.await.unwrap_or_else(|error| failure(Route::Series, &error))
}

/// `/api/v1/rules` and `/api/v1/alerts`.
pub(super) async fn rules(app: &App, tenant: &TenantId, path: &str, params: &Params, now: Timestamp) -> Reply {
    let result = async {
        let data = if path == "/api/v1/alerts" {
            json!({ "alerts": alerts::active(app, tenant, now).await? })
        } else {
            let filter = alerts::RuleFilter::from_params(params)?;
            json!({ "groups": alerts::rule_groups(app, tenant, &filter, now).await? })
        };
        Ok(reply::json(StatusCode::OK, json::success(&data.to_string(), &[], &[])))
    };
    result.await.unwrap_or_else(|error| failure(Route::Rules, &error))
}

/// What clients ask before they start, and what has no data here yet.
pub(super) fn status(path: &str, params: &Params) -> Reply {
    let data = match path {
        "/api/v1/status/buildinfo" => Ok(build_info()),
        "/api/v1/metadata" => Ok("{}".to_owned()),
        "/api/v1/query_exemplars" => Ok("[]".to_owned()),
        _ => params
            .required("query")
            .and_then(|text| Ok(promql::parse(text)?))
            .map(|expr| json!(expr.to_string()).to_string()),
    };
    match data {
        Ok(data) => reply::json(StatusCode::OK, json::success(&data, &[], &[])),
        Err(error) => failure(Route::Status, &error),
    }
}

/// `/metrics`: this process in the text exposition format.
pub(super) fn metrics(app: &App) -> Reply {
    let text = wire::exposition::encode(&app.metrics.families());
    reply::with_body(StatusCode::OK, wire::exposition::CONTENT_TYPE, text)
}

/// The label of `/api/v1/label/<name>/values`; names with other than classic characters come escaped as `U__...`.
pub(super) fn label_of(path: &str) -> Option<String> {
    let name = path.strip_prefix("/api/v1/label/")?.strip_suffix("/values")?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8().ok()?;
    if name.is_empty() || name.contains('/') {
        return None;
    }
    Some(unescape(&name).unwrap_or_else(|| name.into_owned()))
}

/// Undoes Prometheus's escaping of names: `U__`, then `__` for `_` and `_<hex>_` for any other character.
fn unescape(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut text = String::new();
    while let Some(position) = rest.find('_') {
        text.push_str(&rest[..position]);
        let (code, after) = rest[position + 1..].split_once('_')?;
        match code {
            "" => text.push('_'),
            _ => text.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?),
        }
        rest = after;
    }
    text.push_str(rest);
    Some(text)
}

/// The `errorType` of a status.
pub(super) fn error_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::UNPROCESSABLE_ENTITY => "execution",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        StatusCode::INTERNAL_SERVER_ERROR => "internal",
        _ => "bad_data",
    }
}

fn query_reply(mut output: Output, time: Timestamp, limit: Option<usize>) -> Reply {
    let found = match &output.value {
        Value::Vector(samples) => samples.len() + output.histograms.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar(_) | Value::String(_) => 1,
    };
    if limit.is_some_and(|limit| found > limit) {
        output.warnings.push(TRUNCATED.to_owned());
    }
    let data = json::query_data(&output, time, limit);
    reply::json(StatusCode::OK, json::success(&data, &output.warnings, &output.infos))
}

/// The error answer, in Prometheus's terms: a query that cannot be evaluated is 422, one that took too long 503.
fn failure(route: Route, error: &AppError) -> Reply {
    log(route, error);
    let is_bad_query = matches!(error, AppError::Parse(_) | AppError::Eval(EvalError::NotForRanges { .. }));
    let is_bad_data =
        is_bad_query || matches!(error, AppError::Eval(EvalError::Points { .. } | EvalError::Parameters { .. }));
    let (status, error_type) = if is_bad_data {
        (StatusCode::BAD_REQUEST, "bad_data")
    } else if matches!(error, AppError::Eval(EvalError::TimedOut)) {
        (StatusCode::SERVICE_UNAVAILABLE, "timeout")
    } else if error.is_query() && error.kind() == ErrorKind::Invalid {
        (StatusCode::UNPROCESSABLE_ENTITY, "execution")
    } else {
        let status = consequence(error.kind()).status;
        (status, error_type(status))
    };
    let message = if is_bad_query {
        format!("invalid parameter \"query\": {}", error.public_message())
    } else {
        error.public_message()
    };
    reply::json(status, json::error(error_type, &message))
}

fn options(params: &Params) -> Result<Options, AppError> {
    Ok(Options { lookback: params.duration("lookback_delta")?, timeout: params.duration("timeout")? })
}

fn required_time(params: &Params, name: &str) -> Result<Timestamp, AppError> {
    params.time(name)?.ok_or_else(|| missing(name))
}

fn missing(name: &str) -> AppError {
    AppError::Invalid(format!("invalid parameter {name:?}: it is missing or empty"))
}

/// The selectors of all `match[]` parameters.
fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, AppError> {
    params.all("match[]").map(matchers).collect()
}

/// The matchers of one selector such as `up{job="api"}`.
fn matchers(text: &str) -> Result<Vec<Matcher>, AppError> {
    let refuse = |reason: String| AppError::Invalid(format!("invalid parameter \"match[]\": {reason}"));
    let expr = promql::parse(text).map_err(|error| refuse(error.to_string()))?;
    let ExprKind::Selector(selector) = expr.kind else {
        return Err(refuse(format!("{text:?} is not a series selector")));
    };
    Ok(selector.matchers)
}

/// A sorted list of distinct texts of the label sets, at most `limit`, and how many there are in all.
fn texts<'a>(
    found: &'a [Labels],
    limit: usize,
    visit: impl Fn(&'a Labels, &mut dyn FnMut(&'a str)),
) -> (String, usize) {
    let mut distinct = BTreeSet::new();
    for labels in found {
        visit(labels, &mut |text| {
            distinct.insert(text);
        });
    }
    (json::texts(distinct.iter().copied().take(limit)), distinct.len())
}

fn build_info() -> String {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_names_are_read_from_the_path() {
        let cases = [
            ("/api/v1/label/job/values", Some("job")),
            ("/api/v1/label/__name__/values", Some("__name__")),
            ("/api/v1/label/U__http_2e_status/values", Some("http.status")),
            ("/api/v1/label/U__a__b/values", Some("a_b")),
            ("/api/v1/label/U__bad_zz_/values", Some("U__bad_zz_")),
            ("/api/v1/label//values", None),
            ("/api/v1/label/a%2Fb/values", None),
            ("/api/v1/labels", None),
        ];
        for (path, expected) in cases {
            assert_eq!(label_of(path).as_deref(), expected, "{path}");
        }
    }
}

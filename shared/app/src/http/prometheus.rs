//! Prometheus's HTTP API: what Grafana, promtool and vmalert ask.

mod disabled;
mod features;
mod federate;
mod metadata;
mod read;
mod series;
mod status;
mod tree;

#[cfg(test)]
mod tests;

use http::StatusCode;
use model::{ErrorKind, Matcher, TenantId, TimeRange, Timestamp};
use promql::{EvalError, Output, Value};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::params::invalid;
use super::{Params, Reply, Route, json, log, reply};
use crate::alerts::GroupView;
use crate::error::consequence;
use crate::query::{self, Answer, Options, When};
use crate::{App, AppError, alerts};

pub(super) use disabled::{disabled, is_disabled};
pub(super) use federate::federate;
pub(super) use read::read;
pub(super) use series::{label_of, series};
pub(super) use status::{is_status, status, takes_forms};

/// The warning of an answer that had more than was asked for.
const TRUNCATED: &str = "results truncated due to limit";

/// `/api/v1/query`.
pub(super) async fn query(app: &App, tenant: &TenantId, params: &Params, now: Timestamp) -> Reply {
    let result = async {
        let limit = params.limit()?;
        let time = params.time("time")?.unwrap_or(now);
        answer(app, tenant, params, (When::At(time), limit), now).await
    };
    result.await.unwrap_or_else(|error| failure(Route::Query, &error))
}

/// `/api/v1/query_range`.
pub(super) async fn query_range(app: &App, tenant: &TenantId, params: &Params, now: Timestamp) -> Reply {
    let result = async {
        let limit = params.limit()?;
        let (start, end) = (params.required_time("start")?, params.required_time("end")?);
        if end < start {
            return Err(invalid("end", "end timestamp must not be before start time"));
        }
        let when = When::Over(TimeRange::new(start, end), params.step()?);
        answer(app, tenant, params, (when, limit), now).await
    };
    result.await.unwrap_or_else(|error| failure(Route::QueryRange, &error))
}

async fn answer(
    app: &App,
    tenant: &TenantId,
    params: &Params,
    (when, limit): (When, Option<usize>),
    now: Timestamp,
) -> Result<Reply, AppError> {
    let options = options(params)?;
    let mut answer = query::answer(app, tenant, params.get("query").unwrap_or(""), when, options, now).await?;
    let asked = params.get("stats");
    if let Some(other) = asked.filter(|text| !matches!(*text, "true" | "all")) {
        answer.output.warnings.push(format!(
            "value {other:?} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \
             \"true\" or \"all\""
        ));
    }
    let stats = asked.map(|text| stats(&answer, text == "all"));
    let time = match when {
        When::At(time) => time,
        When::Over(range, _) => range.end,
    };
    Ok(query_reply(answer.output, time, limit, stats.as_ref()))
}

/// What a query took, in seconds and samples. Nothing waits in a queue here, and series are sorted while they are
/// evaluated.
fn stats(answer: &Answer, per_step: bool) -> serde_json::Value {
    let (preparation, evaluation) = (answer.preparation.as_secs_f64(), answer.evaluation.as_secs_f64());
    let mut stats = json!({
        "timings": {
            "evalTotalTime": preparation + evaluation,
            "resultSortTime": 0.0,
            "queryPreparationTime": preparation,
            "innerEvalTime": evaluation,
            "execQueueTime": 0.0,
            "execTotalTime": preparation + evaluation,
        },
    });
    if let Some(samples) = &answer.samples {
        stats["samples"] = json!({
            "totalQueryableSamples": samples.total(),
            "samplesRead": samples.loaded,
            "peakSamples": samples.peak,
        });
        if per_step {
            let steps = samples.by_step.iter().map(|(time, count)| json!([time.as_secs_f64(), count]));
            stats["samples"]["totalQueryableSamplesPerStep"] = steps.collect();
        }
    }
    stats
}

/// `/api/v1/rules` and `/api/v1/alerts`.
pub(super) async fn rules(app: &App, tenant: &TenantId, path: &str, params: &Params, now: Timestamp) -> Reply {
    let result = async {
        let data = if path == "/api/v1/alerts" {
            json!({ "alerts": alerts::active(app, tenant, now).await? })
        } else {
            let filter = alerts::RuleFilter::from_params(params)?;
            let (groups, next) = page(alerts::rule_groups(app, tenant, &filter, now).await?, params)?;
            match next {
                None => json!({ "groups": groups }),
                Some(next) => json!({ "groups": groups, "groupNextToken": next }),
            }
        };
        Ok(reply::json(StatusCode::OK, json::success(&data.to_string(), &[], &[])))
    };
    result.await.unwrap_or_else(|error| failure(Route::Rules, &error))
}

/// The groups from `group_next_token` on, at most `group_limit`, and the token of the group behind them.
fn page(mut groups: Vec<GroupView>, params: &Params) -> Result<(Vec<GroupView>, Option<String>), AppError> {
    let token = params.get("group_next_token");
    let limit = match params.get("group_limit") {
        None if token.is_some() => {
            let reason = "group_limit needs to be present in order to paginate over the groups";
            return Err(invalid("group_next_token", reason));
        }
        None => return Ok((groups, None)),
        Some(text) => text.parse().ok().filter(|limit: &usize| *limit > 0),
    };
    let limit = limit.ok_or_else(|| invalid("group_limit", "group_limit needs to be a number greater than 0"))?;
    if let Some(token) = token {
        let Some(first) = groups.iter().position(|group| group_token(group) == token) else {
            let reason = format!("invalid group_next_token '{token}'. were rule groups changed?");
            return Err(invalid("group_next_token", &reason));
        };
        groups.drain(..first);
    }
    let next = groups.get(limit).map(group_token);
    groups.truncate(limit);
    Ok((groups, next))
}

/// Names a group in a list that goes on.
fn group_token(group: &GroupView) -> String {
    let digest = Sha256::digest(format!("{};{}", group.file, group.name));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `/metrics`: this process in the text exposition format.
pub(super) fn metrics(app: &App) -> Reply {
    let text = wire::exposition::encode(&app.metrics.families());
    reply::with_body(StatusCode::OK, wire::exposition::CONTENT_TYPE, text)
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

fn query_reply(mut output: Output, time: Timestamp, limit: Option<usize>, stats: Option<&serde_json::Value>) -> Reply {
    let found = match &output.value {
        Value::Vector(samples) => samples.len() + output.histograms.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar(_) | Value::String(_) => 1,
    };
    if limit.is_some_and(|limit| found > limit) {
        output.warnings.push(TRUNCATED.to_owned());
    }
    let mut data = json::query_data(&output, time, limit);
    if let Some(stats) = stats {
        let end = data.len() - 1;
        data.insert_str(end, &format!(",\"stats\":{stats}"));
    }
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
    } else if matches!(error, AppError::Eval(EvalError::Canceled)) {
        (canceled(), "canceled")
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

/// Nobody reads it: whoever asked is gone.
fn canceled() -> StatusCode {
    StatusCode::from_u16(499).expect("it has three digits")
}

fn options(params: &Params) -> Result<Options, AppError> {
    let said = |error: AppError| {
        let reason =
            error.to_string().replace("invalid parameter \"lookback_delta\"", "error parsing lookback delta duration");
        AppError::Invalid(reason)
    };
    let lookback = params.duration("lookback_delta").map_err(said)?.filter(|lookback| !lookback.is_zero());
    let counts_samples = params.get("stats").is_some();
    Ok(Options { lookback, timeout: params.duration("timeout")?, counts_samples })
}

/// The selectors of all `match[]` parameters.
pub(super) fn selectors(params: &Params) -> Result<Vec<Vec<Matcher>>, AppError> {
    let matchers = |text| {
        promql::parse_selector(text)
            .map_err(|error| AppError::Invalid(format!("invalid parameter \"match[]\": {error}")))
    };
    params.all("match[]").map(matchers).collect()
}

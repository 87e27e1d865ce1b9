//! What metrics mean, and the exemplars of an expression's series.

use std::collections::{BTreeMap, BTreeSet};

use model::{Labels, METRIC_NAME, MatchOp, Matcher, Metadata, Series, TenantId, TimeRange, Timestamp, matches_all};
use serde_json::{Value as Json, json};

use super::status::{expr, senders};
use crate::http::Params;
use crate::http::json::number;
use crate::http::params::invalid;
use crate::readable::Readable;
use crate::{App, AppError, exemplars, metadata, query};

/// How far back a sender's series count for what it says: as far as the sender itself does.
const SENDER_WINDOW_SECONDS: i64 = 600;

/// `/api/v1/metadata`: all that was said about each metric.
pub(super) async fn of_metrics(
    app: &App,
    tenant: &TenantId,
    params: &Params,
    now: Timestamp,
) -> Result<Readable<Json>, AppError> {
    let limit = whole_number(params, "limit")?.and_then(|limit| usize::try_from(limit).ok());
    let limit_per_metric = whole_number(params, "limit_per_metric")?.filter(|limit| *limit > 0);
    let limit_per_metric = limit_per_metric.and_then(|limit| usize::try_from(limit).ok());
    let metric = params.get("metric").filter(|metric| !metric.is_empty());
    let mut by_metric: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    let said = metadata::of(app, tenant, metric, now).await?;
    for one in said.found {
        if limit.is_some_and(|limit| by_metric.len() >= limit) && !by_metric.contains_key(&one.metric) {
            break;
        }
        let said = json!({ "type": one.metric_type.as_str(), "unit": one.unit, "help": one.help });
        let of_metric = by_metric.entry(one.metric).or_default();
        if limit_per_metric.is_none_or(|limit| of_metric.len() < limit) {
            of_metric.push(said);
        }
    }
    Ok(Readable { found: json!(by_metric), warnings: said.warnings })
}

/// `/api/v1/targets/metadata`: what was said about the metrics that each sender has series of.
pub(super) async fn of_targets(
    app: &App,
    tenant: &TenantId,
    params: &Params,
    now: Timestamp,
) -> Result<Readable<Json>, AppError> {
    let limit = whole_number(params, "limit")?.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let matchers = match params.get("match_target").filter(|text| !text.is_empty()) {
        None => Vec::new(),
        Some(text) => promql::parse_selector(text).map_err(|error| invalid("match_target", &error.to_string()))?,
    };
    let metric = params.get("metric").filter(|metric| !metric.is_empty());
    let mut by_metric: BTreeMap<String, Vec<Metadata>> = BTreeMap::new();
    let all = metadata::of(app, tenant, metric, now).await?;
    for one in all.found {
        by_metric.entry(one.metric.clone()).or_default().push(one);
    }
    let mut found = Vec::new();
    for sender in senders(app, tenant, now).await? {
        let target = sender.labels.without(&[METRIC_NAME]);
        if found.len() >= limit || !matches_all(&matchers, target.as_ref()) {
            continue;
        }
        for name in names_of(app, tenant, &sender, now).await? {
            for one in families(&by_metric, &name) {
                let mut said = json!({
                    "target": object(&target),
                    "type": one.metric_type.as_str(), "help": one.help, "unit": one.unit,
                });
                if metric.is_none() {
                    said["metric"] = json!(one.metric);
                }
                if !found.contains(&said) && found.len() < limit {
                    found.push(said);
                }
            }
        }
    }
    Ok(Readable { found: json!(found), warnings: all.warnings })
}

/// The names of the series that a sender has.
async fn names_of(app: &App, tenant: &TenantId, sender: &Series, now: Timestamp) -> Result<BTreeSet<String>, AppError> {
    let label = |name: &str| Matcher::new(name, MatchOp::Equal, sender.labels.get(name).unwrap_or(""));
    let matchers = ["instance", "job"].map(label).into_iter().collect::<Result<Vec<_>, _>>();
    let matchers = matchers.map_err(|error| AppError::Bug(error.to_string()))?;
    let range = TimeRange::new(Timestamp::from_millis(now.as_millis() - SENDER_WINDOW_SECONDS * 1000), now);
    let series = query::series(app, tenant, &[matchers], range, now).await?;
    Ok(series.iter().map(|labels| labels.metric_name().to_owned()).collect())
}

/// What was said about the metric that a series of this name belongs to.
fn families<'a>(by_metric: &'a BTreeMap<String, Vec<Metadata>>, name: &str) -> impl Iterator<Item = &'a Metadata> {
    let whole = by_metric.get(name).into_iter().flatten();
    let part = name.rsplit_once('_').and_then(|(family, _)| by_metric.get(family)).into_iter().flatten();
    whole.chain(part.filter(move |one| one.metric_type.family(name) == one.metric)).collect::<Vec<_>>().into_iter()
}

/// `/api/v1/query_exemplars`: the exemplars of all series that the expression selects.
pub(super) async fn exemplars(
    app: &App,
    tenant: &TenantId,
    params: &Params,
    now: Timestamp,
) -> Result<Readable<Json>, AppError> {
    let start = params.time("start")?.unwrap_or(Timestamp::MIN);
    let end = params.time("end")?.unwrap_or(Timestamp::MAX);
    if end < start {
        return Err(AppError::Invalid("end timestamp must not be before start timestamp".to_owned()));
    }
    let expr = expr(app, params)?;
    let selections = promql::selections(&expr, &promql::Params::instant(now));
    let selectors: Vec<_> = selections.into_iter().map(|selection| selection.matchers).collect();
    let found = exemplars::find(app, tenant, &selectors, TimeRange::new(start, end), now).await?;
    let of_series = found.found.iter().map(|(series, exemplars)| {
        let exemplars = exemplars.iter().map(|one| {
            json!({
                "labels": object(&one.labels),
                "value": number(one.value),
                "timestamp": one.timestamp.as_secs_f64(),
            })
        });
        json!({ "seriesLabels": object(series), "exemplars": exemplars.collect::<Vec<_>>() })
    });
    Ok(Readable { found: of_series.collect(), warnings: found.warnings })
}

fn object(labels: &Labels) -> Json {
    labels.iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

/// A whole number, of which a negative one stands for no limit.
fn whole_number(params: &Params, name: &str) -> Result<Option<i64>, AppError> {
    let refuse = || AppError::Invalid(format!("{name} must be a number"));
    params.get(name).filter(|text| !text.is_empty()).map(|text| text.parse().map_err(|_| refuse())).transpose()
}

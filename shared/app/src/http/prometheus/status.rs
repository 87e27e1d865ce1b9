//! What clients ask before and beside their queries: what this server is, who sends to it, what its metrics mean.

use std::collections::BTreeMap;

use http::StatusCode;
use model::{Labels, METRIC_NAME, Series, TenantId, TimeRange, Timestamp};
use promql::Value;
use serde_json::{Value as Json, json};

use super::features::features;
use super::tree::tree;
use super::{failure, metadata, selectors};
use crate::http::{Params, Reply, Route, json, reply};
use crate::query::{self, Options};
use crate::readable::Readable;
use crate::{App, AppError};

/// How far back a sender counts as one: longer than the pauses of any that is usual.
const SENDER_WINDOW: &str = "10m";
/// How far back the series reach whose number `/api/v1/status/tsdb` tells.
const CARDINALITY_SECONDS: i64 = 3600;
/// Most entries of each list of `/api/v1/status/tsdb`.
const CARDINALITY_LIMIT_MAX: usize = 10_000;

/// The paths, and whether each takes a form by POST.
const PATHS: [(&str, bool); 20] = [
    ("/api/v1/alertmanagers", false),
    ("/api/v1/features", false),
    ("/api/v1/format_query", true),
    ("/api/v1/metadata", false),
    ("/api/v1/notifications", false),
    ("/api/v1/notifications/live", false),
    ("/api/v1/parse_query", true),
    ("/api/v1/query_exemplars", true),
    ("/api/v1/scrape_pools", false),
    ("/api/v1/status/buildinfo", false),
    ("/api/v1/status/config", false),
    ("/api/v1/status/flags", false),
    ("/api/v1/status/runtimeinfo", false),
    ("/api/v1/status/tsdb", false),
    ("/api/v1/status/tsdb/blocks", false),
    ("/api/v1/status/walreplay", false),
    ("/api/v1/targets", false),
    ("/api/v1/targets/metadata", false),
    ("/api/v1/targets/relabel_steps", false),
    ("/version", false),
];

/// Whether a path is one of these.
pub(in crate::http) fn is_status(path: &str) -> bool {
    PATHS.iter().any(|(known, _)| *known == path)
}

/// Whether a path takes a form by POST.
pub(in crate::http) fn takes_forms(path: &str) -> bool {
    PATHS.contains(&(path, true))
}

/// All that stands in [`PATHS`].
pub(in crate::http) async fn status(
    app: &App,
    tenant: &TenantId,
    path: &str,
    params: &Params,
    now: Timestamp,
) -> Reply {
    match path {
        "/version" => return reply::json(StatusCode::OK, build_info().to_string()),
        // Who cannot be told of news as they happen asks from time to time.
        "/api/v1/notifications/live" => return reply::empty(StatusCode::NO_CONTENT),
        _ => {}
    }
    match data(app, tenant, path, params, now).await {
        Ok(data) => reply::json(StatusCode::OK, json::success(&data.found.to_string(), &data.warnings, &[])),
        Err(error) => failure(Route::Status, &error),
    }
}

async fn data(
    app: &App,
    tenant: &TenantId,
    path: &str,
    params: &Params,
    now: Timestamp,
) -> Result<Readable<Json>, AppError> {
    let found = match path {
        "/api/v1/query_exemplars" => return metadata::exemplars(app, tenant, params, now).await,
        "/api/v1/metadata" => return metadata::of_metrics(app, tenant, params, now).await,
        "/api/v1/targets/metadata" => return metadata::of_targets(app, tenant, params, now).await,
        "/api/v1/features" => features(app),
        "/api/v1/notifications" => notifications(app, tenant, now),
        "/api/v1/format_query" => json!(expr(app, params)?.pretty()),
        "/api/v1/parse_query" => tree(&expr(app, params)?),
        "/api/v1/targets" => targets(senders(app, tenant, now).await?, params),
        "/api/v1/scrape_pools" => json!({ "scrapePools": pools(&senders(app, tenant, now).await?) }),
        "/api/v1/alertmanagers" => alertmanagers(app, tenant),
        "/api/v1/status/buildinfo" => build_info(),
        "/api/v1/status/runtimeinfo" => runtime_info(app, tenant, now),
        "/api/v1/status/config" => config(app, tenant),
        "/api/v1/status/flags" => flags(app),
        "/api/v1/status/tsdb" => cardinality(app, tenant, params, now).await?,
        // Blocks of the form that Prometheus writes there are none.
        "/api/v1/status/tsdb/blocks" => json!({ "blocks": [] }),
        // Nothing is read back before the first answer.
        "/api/v1/status/walreplay" => json!({ "min": 0, "max": 0, "current": 0 }),
        _ => return Err(AppError::Invalid("senders relabel before they push: there are no steps here".to_owned())),
    };
    Ok(Readable { found, warnings: Vec::new() })
}

/// Those that alerts are handed on to.
fn alertmanagers(app: &App, tenant: &TenantId) -> Json {
    let config = app.config();
    let all = config.tenants.get(tenant).map_or(&[][..], |config| &config.forwarding.alertmanagers);
    let active: Vec<Json> = all.iter().map(|one| json!({ "url": one.url })).collect();
    json!({ "activeAlertmanagers": active, "droppedAlertmanagers": [] })
}

pub(super) fn expr(app: &App, params: &Params) -> Result<promql::Expr, AppError> {
    let text = params.get("query").unwrap_or("");
    Ok(promql::parse_as(text, app.settings.promql_profile, &app.limits)?)
}

/// The newest samples of `up` that each sender has pushed lately.
pub(super) async fn senders(app: &App, tenant: &TenantId, now: Timestamp) -> Result<Vec<Series>, AppError> {
    let expression = format!("up[{SENDER_WINDOW}]");
    let output = query::instant(app, tenant, &expression, now, Options::default(), now).await?;
    Ok(match output.value {
        Value::Matrix(series) => series,
        Value::Vector(_) | Value::Scalar(_) | Value::String(_) => Vec::new(),
    })
}

fn pools(senders: &[Series]) -> Vec<&str> {
    let mut pools: Vec<&str> = senders.iter().filter_map(|series| series.labels.get("job")).collect();
    pools.sort_unstable();
    pools.dedup();
    pools
}

/// Whom others have scraped and pushed to us, in the form of targets. Where they were scraped, and what was dropped, only
/// who scraped them knows.
fn targets(senders: Vec<Series>, params: &Params) -> Json {
    let state = params.get("state").unwrap_or("any").to_ascii_lowercase();
    let pool = params.get("scrapePool");
    let active: Vec<Json> = senders
        .iter()
        .filter(|series| state != "dropped" && pool.is_none_or(|pool| series.labels.get("job") == Some(pool)))
        .filter_map(target)
        .collect();
    json!({ "activeTargets": active, "droppedTargets": [], "droppedTargetCounts": {} })
}

fn target(series: &Series) -> Option<Json> {
    let newest = series.samples().last()?;
    let labels: BTreeMap<&str, &str> = series.labels.iter().filter(|(name, _)| *name != METRIC_NAME).collect();
    let pool = labels.get("job").copied().unwrap_or("");
    let is_up = newest.value > 0.0;
    Some(json!({
        "discoveredLabels": {},
        "labels": labels,
        "scrapePool": pool,
        "scrapeUrl": "",
        "globalUrl": "",
        "lastError": if is_up { "" } else { "the sender could not reach it: up is 0" },
        "lastScrape": rfc_3339(newest.timestamp),
        "lastScrapeDuration": 0.0,
        "health": if is_up { "up" } else { "down" },
        "scrapeInterval": "",
        "scrapeTimeout": "",
    }))
}

fn rfc_3339(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis()).map(|time| time.to_string()).unwrap_or_default()
}

/// Without `features`: who sees that key takes this for a server whose rules are changed over HTTP.
fn build_info() -> Json {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    })
}

fn runtime_info(app: &App, tenant: &TenantId, now: Timestamp) -> Json {
    let started = Timestamp::from_millis(now.as_millis() - millis(app.stopwatch.read()));
    json!({
        "startTime": rfc_3339(started),
        "serverTime": rfc_3339(now),
        "reloadConfigSuccess": app.config_errors(tenant).is_empty(),
        "storageRetention": model::duration::format(app.limits.raw_retention),
    })
}

/// What whoever looks after the server should know, as of now.
fn notifications(app: &App, tenant: &TenantId, now: Timestamp) -> Json {
    if app.config_errors(tenant).is_empty() {
        return json!([]);
    }
    json!([{ "text": "Configuration reload has failed.", "date": rfc_3339(now), "active": true }])
}

/// What of the configuration has a place in a `prometheus.yml`. JSON is YAML.
fn config(app: &App, tenant: &TenantId) -> Json {
    let config = app.config();
    let groups = config.tenants.get(tenant).map_or(&[][..], |tenant| &tenant.rule_groups);
    let mut files: Vec<&str> = groups.iter().map(|group| group.file.as_str()).collect();
    files.dedup();
    let list: String = files.iter().map(|file| format!("- {}\n", json!(file))).collect();
    let rule_files = if list.is_empty() { "rule_files: []\n".to_owned() } else { format!("rule_files:\n{list}") };
    json!({ "yaml": rule_files })
}

/// The settings that Prometheus has a flag for, under its name.
fn flags(app: &App) -> Json {
    let duration = model::duration::format;
    json!({
        "query.lookback-delta": duration(app.settings.lookback),
        "query.max-samples": app.limits.query_samples_max.to_string(),
        "query.timeout": duration(app.limits.query_timeout),
        "promql-profile": app.settings.promql_profile.as_str(),
        "rules.alert.resend-delay": duration(app.settings.resend_delay),
        "storage.tsdb.retention.time": duration(app.limits.raw_retention),
        "web.external-url": app.settings.external_url,
    })
}

/// How many series there were in the last hour, by what tells them apart.
async fn cardinality(app: &App, tenant: &TenantId, params: &Params, now: Timestamp) -> Result<Json, AppError> {
    let refuse = || AppError::Invalid("limit must be a positive number".to_owned());
    let limit = match params.get("limit") {
        None => 10,
        Some(text) => text.parse().ok().filter(|limit| *limit > 0).ok_or_else(refuse)?,
    };
    if limit > CARDINALITY_LIMIT_MAX {
        return Err(AppError::Invalid(format!("limit must not exceed {CARDINALITY_LIMIT_MAX}")));
    }
    let range = TimeRange::new(Timestamp::from_millis(now.as_millis() - CARDINALITY_SECONDS * 1000), now);
    let found = query::series(app, tenant, &selectors(params)?, range, now).await?;
    let counts = Counts::of(&found);
    Ok(json!({
        "headStats": {
            "numSeries": found.len(),
            "numLabelPairs": counts.pairs.len(),
            "minTime": range.start.as_millis(),
            "maxTime": range.end.as_millis(),
        },
        "seriesCountByMetricName": largest(counts.names, limit),
        "labelValueCountByLabelName": largest(counts.values, limit),
        "memoryInBytesByLabelName": largest(counts.bytes, limit),
        "seriesCountByLabelValuePair":
            largest(counts.pairs.into_iter().map(|((name, value), count)| (format!("{name}={value}"), count)), limit),
    }))
}

/// Numbers by metric name, label name, and label.
#[derive(Default)]
struct Counts<'a> {
    names: BTreeMap<&'a str, usize>,
    values: BTreeMap<&'a str, usize>,
    bytes: BTreeMap<&'a str, usize>,
    pairs: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> Counts<'a> {
    fn of(series: &'a [Labels]) -> Self {
        let mut counts = Self::default();
        for labels in series {
            *counts.names.entry(labels.metric_name()).or_default() += 1;
            for label in labels.iter() {
                *counts.pairs.entry(label).or_default() += 1;
            }
        }
        for (name, value) in counts.pairs.keys() {
            *counts.values.entry(name).or_default() += 1;
            *counts.bytes.entry(name).or_default() += value.len();
        }
        counts
    }
}

/// The entries with the largest numbers, largest first.
fn largest(counts: impl IntoIterator<Item = (impl Into<String>, usize)>, limit: usize) -> Vec<Json> {
    let mut counts: Vec<(String, usize)> = counts.into_iter().map(|(name, count)| (name.into(), count)).collect();
    counts.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
    counts.into_iter().take(limit).map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(0)
}

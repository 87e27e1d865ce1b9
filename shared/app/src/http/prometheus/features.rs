//! `/api/v1/features`: what this server can do, in the words in which Prometheus says it of itself.

use promql::Profile;
use serde_json::{Map, Value as Json, json};

use crate::App;

/// Operators, and the aggregations that every Prometheus has.
const OPERATORS: [&str; 31] = [
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "<=",
    "==",
    "=~",
    ">",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];
/// What only a Prometheus with feature flags has of them.
const EXPERIMENTAL_OPERATORS: [&str; 2] = ["limit_ratio", "limitk"];
/// What every PromQL has.
const LANGUAGE: [&str; 12] = [
    "at_modifier",
    "bool",
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "subqueries",
    "without",
];
/// What only a Prometheus with feature flags has of it.
const EXPERIMENTAL_LANGUAGE: [&str; 5] = ["anchored", "delayed_name_removal", "duration_expr", "fill", "smoothed"];

/// By kind and name, whether it is there.
pub(super) fn features(app: &App) -> Json {
    let is_extended = app.settings.promql_profile == Profile::Extended;
    let functions = promql::FUNCTIONS.iter();
    let functions = functions.map(|function| (function.name, is_extended || !function.is_experimental()));
    json!({
        "api": {
            "admin": false,
            "exclude_alerts": true,
            "label_values_match": true,
            "lifecycle": false,
            "otlp_write_receiver": false,
            "query_stats": true,
            "query_warnings": true,
            "remote_write_receiver": true,
            "time_range_labels": true,
            "time_range_series": true,
        },
        "prometheus": { "agent_mode": false, "exemplar_storage": true },
        "promql": split(&LANGUAGE, &EXPERIMENTAL_LANGUAGE, is_extended),
        "promql_functions": functions.map(|(name, is_there)| (name.to_owned(), json!(is_there))).collect::<Map<_, _>>(),
        "promql_operators": split(&OPERATORS, &EXPERIMENTAL_OPERATORS, is_extended),
        "rules": { "keep_firing_for": true },
        "tsdb": { "exemplar_storage": true, "native_histograms": true, "out_of_order_ingestion": true },
    })
}

/// Everything of one kind, of which some is there only in the profile `extended`.
fn split(always: &[&str], experimental: &[&str], is_extended: bool) -> Map<String, Json> {
    let always = always.iter().map(|name| ((*name).to_owned(), json!(true)));
    always.chain(experimental.iter().map(|name| ((*name).to_owned(), json!(is_extended)))).collect()
}

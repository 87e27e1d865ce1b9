//! The format of unit tests of rules, as promtool reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alerting::ConfigError;
use model::Timestamp;
use serde::{Deserialize, Deserializer, de};

/// A file with tests.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UnitFile {
    /// Rule files, perhaps with wildcards, relative to this one.
    pub(super) rule_files: Option<Vec<String>>,
    /// From one evaluation of the rules to the next; a minute when there is none.
    pub(super) evaluation_interval: Span,
    /// The groups in the order they run.
    pub(super) group_eval_order: Option<Vec<String>>,
    pub(super) tests: Option<Vec<UnitTest>>,
    /// Whether neighbouring floats count as equal.
    pub(super) fuzzy_compare: bool,
}

/// One test: series, and what is expected of the rules on them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UnitTest {
    pub(super) name: Option<String>,
    /// From one sample of the series to the next; that of the evaluations when there is none.
    pub(super) interval: Span,
    pub(super) input_series: Option<Vec<InputSeries>>,
    pub(super) alert_rule_test: Option<Vec<AlertTest>>,
    pub(super) promql_expr_test: Option<Vec<ExprTest>>,
    pub(super) external_labels: Option<Texts>,
    pub(super) external_url: Option<String>,
    /// When the series begin and the first evaluation runs.
    pub(super) start_timestamp: Start,
}

/// Labels or annotations; a value may be missing.
pub(super) type Texts = BTreeMap<String, Option<String>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InputSeries {
    pub(super) series: String,
    pub(super) values: String,
}

/// The alerts of one name that fire at a time.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AlertTest {
    pub(super) eval_time: Span,
    pub(super) alertname: Option<String>,
    pub(super) exp_alerts: Option<Vec<ExpectedAlert>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExpectedAlert {
    pub(super) exp_labels: Option<Texts>,
    pub(super) exp_annotations: Option<Texts>,
}

/// What an expression gives at a time.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExprTest {
    pub(super) expr: String,
    pub(super) eval_time: Span,
    pub(super) exp_samples: Option<Vec<ExpectedSample>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExpectedSample {
    pub(super) labels: Option<String>,
    pub(super) value: f64,
    pub(super) histogram: Option<String>,
}

/// A length of time such as `1m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        model::duration::parse(&text).map(Self).map_err(de::Error::custom)
    }
}

/// A time: RFC 3339, or seconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start(pub(super) Timestamp);

impl Default for Start {
    fn default() -> Self {
        Self(Timestamp::from_millis(0))
    }
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Ok(seconds) = text.parse::<f64>()
            && seconds.abs() < 1e12
        {
            #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
            return Ok(Self(Timestamp::from_millis((seconds * 1000.0).round() as i64)));
        }
        let time: jiff::Timestamp =
            text.parse().map_err(|_| de::Error::custom(format!("{text:?} is neither RFC 3339 nor seconds")))?;
        Ok(Self(Timestamp::from_millis(time.as_millisecond())))
    }
}

impl UnitFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not the YAML it should be, or names a group twice.
    pub(super) fn parse(file: &str, yaml: &str) -> Result<Self, String> {
        let read: Result<Option<Self>, _> = serde_saphyr::from_str(yaml);
        let unit = read.map_err(|error| ConfigError::from_yaml(file, &error).to_string())?.unwrap_or_default();
        let mut seen = BTreeSet::new();
        for group in unit.group_eval_order.iter().flatten() {
            if !seen.insert(group) {
                return Err(format!("group name repeated in evaluation order: {group}"));
            }
        }
        Ok(unit)
    }
}

impl UnitTest {
    /// The last time that something is expected at, from the start.
    pub(super) fn eval_time_max(&self) -> Duration {
        let alerts = self.alert_rule_test.iter().flatten().map(|test| test.eval_time);
        let exprs = self.promql_expr_test.iter().flatten().map(|test| test.eval_time);
        alerts.chain(exprs).max().unwrap_or_default().0
    }
}

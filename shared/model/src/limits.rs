//! Every limit there is, with its unit.

use std::time::Duration;

/// The limits of one deployment; an error that enforces one names its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a request body as it was received.
    pub body_bytes_max: usize,
    /// Most bytes of a request body after decompression.
    pub decoded_bytes_max: usize,
    /// Most labels a series may have, the metric name included.
    pub labels_per_series_max: usize,
    /// Most bytes of one label's name.
    pub label_name_bytes_max: usize,
    /// Most bytes of one label's value.
    pub label_value_bytes_max: usize,
    /// Most bytes of all names and values of one series together.
    pub label_set_bytes_max: usize,
    /// The oldest sample that is taken, counted back from its arrival. Never over [`Limits::raw_retention`].
    pub sample_age_max: Duration,
    /// How far ahead of our clock a sample may be.
    pub sample_ahead_max: Duration,
    /// How long raw samples are kept and answered.
    pub raw_retention: Duration,
    /// How long rollups are kept and answered.
    pub rollup_retention: Duration,
    /// Most steps of a range query.
    pub query_points_max: usize,
    /// Most samples a query may load.
    pub query_samples_max: usize,
    /// Most series a query may load.
    pub query_series_max: usize,
    /// Most bytes of a query's text.
    pub query_text_bytes_max: usize,
    /// How long one query may take.
    pub query_timeout: Duration,
    /// Most exemplars an answer may hold.
    pub query_exemplars_max: usize,
    /// Most bytes of what is said about one metric: name, help and unit. More is passed over.
    pub metadata_bytes_max: usize,
    /// Most texts about metrics that a tenant may have. More are passed over.
    pub metadata_max: usize,
    /// Most exemplars of a tenant that a process keeps in a minute. More are passed over.
    pub exemplars_minute_max: usize,
    /// Most characters of an exemplar's labels, names and values together. One with more is passed over.
    pub exemplar_labels_chars_max: usize,
    /// How long exemplars are kept and answered.
    pub exemplar_retention: Duration,
    /// Most active alerts of one rule.
    pub alerts_per_rule_max: usize,
    /// Most questions (metrics times statistics) that one entry of `cloudwatch.yml` asks CloudWatch in one region.
    pub cloudwatch_questions_max: usize,
    /// How far behind the tick may fall before ingest answers 503.
    pub tick_lag_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        Self {
            body_bytes_max: 4 << 20,
            decoded_bytes_max: 32 << 20,
            labels_per_series_max: 40,
            label_name_bytes_max: 1024,
            label_value_bytes_max: 1024,
            label_set_bytes_max: 16 << 10,
            sample_age_max: days(7),
            sample_ahead_max: Duration::from_secs(600),
            raw_retention: days(7),
            rollup_retention: days(366),
            query_points_max: 11_000,
            query_samples_max: 50_000_000,
            query_series_max: 1_000_000,
            query_text_bytes_max: 64 << 10,
            query_timeout: Duration::from_secs(120),
            query_exemplars_max: 100_000,
            metadata_bytes_max: 4 << 10,
            metadata_max: 20_000,
            exemplars_minute_max: 2_000,
            exemplar_labels_chars_max: 128,
            exemplar_retention: days(1),
            alerts_per_rule_max: 10_000,
            cloudwatch_questions_max: 10_000,
            tick_lag_max: days(1),
        }
    }
}

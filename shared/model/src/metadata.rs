//! What senders say beside samples: what metrics mean, and which observation stands for many.

use crate::labels::Labels;
use crate::sample::Timestamp;

/// What the series of a metric are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricType {
    /// Nobody said what.
    #[default]
    Unknown,
    /// Only grows, until it starts again at zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations in buckets, their sum and count.
    Histogram,
    /// Buckets of what is there now.
    GaugeHistogram,
    /// Quantiles of observations, their sum and count.
    Summary,
    /// Facts in labels.
    Info,
    /// States, each on or off.
    StateSet,
}

impl MetricType {
    /// All of them, each at the place of its number in remote write, both versions.
    const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::GaugeHistogram,
        Self::Summary,
        Self::Info,
        Self::StateSet,
    ];

    /// The type of a number of remote write; a number that nobody knows is [`MetricType::Unknown`].
    pub fn from_number(number: u64) -> Self {
        usize::try_from(number).ok().and_then(|number| Self::ALL.get(number)).copied().unwrap_or_default()
    }

    /// The number in remote write: 0 to 7.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// As Prometheus's API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    /// The metric that a series of this name belongs to: without what the series of one histogram or summary end in.
    pub fn family(self, name: &str) -> &str {
        let suffixes: &[&str] = match self {
            Self::Histogram => &["_bucket", "_sum", "_count"],
            Self::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
            Self::Summary => &["_sum", "_count"],
            Self::Unknown | Self::Counter | Self::Gauge | Self::Info | Self::StateSet => &[],
        };
        let stripped = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix));
        stripped.filter(|family| !family.is_empty()).unwrap_or(name)
    }
}

/// What a metric means.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Metadata {
    /// The metric name, without what the series of one histogram or summary end in.
    pub metric: String,
    /// What its series are.
    pub metric_type: MetricType,
    /// What it measures, in a sentence.
    pub help: String,
    /// In which unit, if anybody said.
    pub unit: String,
}

/// One observation that stands for many, such as the trace of a request in a bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// What it is found by elsewhere, such as `trace_id`.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When.
    pub timestamp: Timestamp,
}

/// An exemplar of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplar {
    /// Which series.
    pub series: Labels,
    /// The exemplar.
    pub exemplar: Exemplar,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_keep_their_number_and_find_their_family() {
        let cases = [
            (MetricType::Histogram, "h_bucket", "h"),
            (MetricType::Histogram, "h_total", "h_total"),
            (MetricType::Histogram, "_bucket", "_bucket"),
            (MetricType::GaugeHistogram, "g_gcount", "g"),
            (MetricType::Summary, "s_sum", "s"),
            (MetricType::Summary, "s_bucket", "s_bucket"),
            (MetricType::Counter, "c_count", "c_count"),
        ];
        for (metric_type, name, family) in cases {
            assert_eq!(metric_type.family(name), family);
        }
        for metric_type in MetricType::ALL {
            assert_eq!(MetricType::from_number(u64::from(metric_type.number())), metric_type);
        }
        assert_eq!(MetricType::from_number(8), MetricType::Unknown);
    }
}

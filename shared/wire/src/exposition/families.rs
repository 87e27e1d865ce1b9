//! What a page says about each metric, and what it promises of its samples by that.

use std::collections::BTreeMap;

use model::{METRIC_NAME, Metadata, MetricType};

use super::read::Point;
use crate::error::{TextError, excerpt};

/// The NaN that the text `NaN` stands for.
const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// What was said about each metric of the page so far.
#[derive(Default)]
pub(super) struct Families {
    by_name: BTreeMap<String, Family>,
}

#[derive(Default)]
struct Family {
    help: Option<String>,
    unit: Option<String>,
    metric_type: Option<MetricType>,
    has_samples: bool,
}

impl Families {
    pub(super) fn set_help(&mut self, metric: &str, help: String) -> Result<(), TextError> {
        let known = &mut self.entry(metric).help;
        if known.is_some() {
            return Err(TextError::RepeatedComment { keyword: "HELP", metric: excerpt(metric.as_bytes()) });
        }
        *known = Some(help);
        Ok(())
    }

    pub(super) fn set_type(&mut self, metric: &str, text: &str) -> Result<(), TextError> {
        let metric_type = type_named(text)?;
        let family = self.entry(metric);
        if family.metric_type.is_some() || family.has_samples {
            return Err(TextError::RepeatedComment { keyword: "TYPE", metric: excerpt(metric.as_bytes()) });
        }
        family.metric_type = Some(metric_type);
        Ok(())
    }

    pub(super) fn set_unit(&mut self, metric: &str, unit: &str) -> Result<(), TextError> {
        let known = &mut self.entry(metric).unit;
        if known.is_some() {
            return Err(TextError::RepeatedComment { keyword: "UNIT", metric: excerpt(metric.as_bytes()) });
        }
        *known = Some(unit.to_owned());
        Ok(())
    }

    /// Remembers that the metric has samples, and checks what histograms and summaries promise.
    pub(super) fn check(&mut self, point: &Point) -> Result<(), TextError> {
        let name = point.label(METRIC_NAME).unwrap_or_default();
        let (metric, suffix) = self.family_of(name);
        let family = self.entry(metric);
        family.has_samples = true;
        let is_histogram = matches!(family.metric_type, Some(MetricType::Histogram | MetricType::GaugeHistogram));
        let bound = match family.metric_type {
            _ if is_histogram && suffix == "_bucket" => "le",
            Some(MetricType::Summary) if suffix.is_empty() => "quantile",
            _ => "",
        };
        if let Some(found) = point.label(bound).filter(|text| number(text).is_none()) {
            let label = if bound == "le" { "le" } else { "quantile" };
            return Err(TextError::Bound { label, found: excerpt(found.as_bytes()) });
        }
        if is_histogram && matches!(suffix, "_bucket" | "_count") && point.value < 0.0 {
            return Err(TextError::NegativeCount { metric: excerpt(metric.as_bytes()) });
        }
        Ok(())
    }

    /// All that was said, sorted by metric, and about how many metrics more bytes than these were said.
    pub(super) fn metadata(self, bytes_max: usize) -> (Vec<Metadata>, usize) {
        let mut skipped = 0;
        let mut said = Vec::new();
        for (metric, family) in self.by_name {
            if family.help.is_none() && family.unit.is_none() && family.metric_type.is_none() {
                continue;
            }
            let (help, unit) = (family.help.unwrap_or_default(), family.unit.unwrap_or_default());
            if metric.len() + help.len() + unit.len() > bytes_max {
                skipped += 1;
            } else {
                said.push(Metadata { metric, metric_type: family.metric_type.unwrap_or_default(), help, unit });
            }
        }
        (said, skipped)
    }

    fn entry(&mut self, metric: &str) -> &mut Family {
        if !self.by_name.contains_key(metric) {
            self.by_name.insert(metric.to_owned(), Family::default());
        }
        self.by_name.get_mut(metric).expect("it is there, or was put there")
    }

    /// The family that a series belongs to, and the rest of its name.
    fn family_of<'a>(&self, name: &'a str) -> (&'a str, &'a str) {
        for suffix in ["_bucket", "_sum", "_count"] {
            let Some(stem) = name.strip_suffix(suffix) else { continue };
            let metric_type = self.by_name.get(stem).and_then(|family| family.metric_type);
            let belongs = match metric_type {
                Some(MetricType::Histogram | MetricType::GaugeHistogram) => true,
                Some(MetricType::Summary) => suffix != "_bucket",
                _ => false,
            };
            if belongs {
                return (stem, suffix);
            }
        }
        (name, "")
    }
}

fn type_named(text: &str) -> Result<MetricType, TextError> {
    match text.to_ascii_lowercase().as_str() {
        "counter" => Ok(MetricType::Counter),
        "gauge" => Ok(MetricType::Gauge),
        "histogram" => Ok(MetricType::Histogram),
        "gaugehistogram" | "gauge_histogram" => Ok(MetricType::GaugeHistogram),
        "summary" => Ok(MetricType::Summary),
        "untyped" | "unknown" => Ok(MetricType::Unknown),
        "info" => Ok(MetricType::Info),
        "stateset" => Ok(MetricType::StateSet),
        _ => Err(TextError::UnknownType { found: excerpt(text.as_bytes()) }),
    }
}

/// A decimal number, `NaN` or an infinity, in any case; digits in groups or another base are none.
pub(super) fn number(word: &str) -> Option<f64> {
    let value: f64 = word.parse().ok()?;
    if value.is_nan() {
        return word.eq_ignore_ascii_case("nan").then_some(NAN);
    }
    let says_infinite = word.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'i'));
    (value.is_finite() || says_infinite).then_some(value)
}

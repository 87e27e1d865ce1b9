//! The page for a query of one's own.

use std::time::Duration;

use model::{Series, TimeRange, Timestamp};
use promql::Value;
use render::chart::{Chart, LINES_MAX, Line};
use render::page::Frame;
use render::page::explore::{Explore, Outcome, content as render};
use render::{Markup, Unit};

use super::panels;
use crate::access::Viewer;
use crate::http::Params;
use crate::query::{self, Options};
use crate::{App, AppError};

/// Most series that the table lists.
const ROWS_MAX: usize = 100;

pub(super) async fn content(app: &App, viewer: &Viewer, frame: &Frame, params: &Params) -> Result<Markup, AppError> {
    let text = params.get("query").unwrap_or("").trim().to_owned();
    let outcome = if text.is_empty() { None } else { Some(run(app, viewer, frame, &text).await?) };
    Ok(render(&Explore { query: text, outcome }, frame))
}

async fn run(app: &App, viewer: &Viewer, frame: &Frame, text: &str) -> Result<Outcome, AppError> {
    let range =
        frame.span.map_or(TimeRange::new(frame.reader.now, frame.reader.now), |span| span.range(frame.reader.now));
    let step = panels::step(range);
    let grid = TimeRange::new(range.start.align_down(step), range.end.align_down(step));
    let options = Options::default();
    match query::range(app, &viewer.tenant, text, (grid, step), options, frame.reader.now).await {
        Ok(output) => {
            let warnings = output.warnings.into_iter().chain(output.infos).collect();
            Ok(found(text, series(output.value), (range, step), warnings))
        }
        Err(error) if matches!(crate::error::consequence(error.kind()).status.as_u16(), 400..500) => {
            Ok(Outcome::Refused(error.public_message()))
        }
        Err(error) => Err(error),
    }
}

fn series(value: Value) -> Vec<Series> {
    match value {
        Value::Matrix(series) => series,
        Value::Scalar(_) | Value::String(_) | Value::Vector(_) => Vec::new(),
    }
}

/// The series with the highest newest values first: as curves as far as there are colours, the rest in the table.
fn found(text: &str, mut series: Vec<Series>, (range, step): (TimeRange, Duration), warnings: Vec<String>) -> Outcome {
    let last = |series: &Series| points(series).last().map_or(f64::NAN, |(_, value)| *value);
    series.sort_by(|a, b| last(b).total_cmp(&last(a)).then_with(|| a.labels.cmp(&b.labels)));
    let line = |series: &Series| Line { name: series.labels.to_string(), points: points(series), is_ghost: false };
    let has_histograms = series.iter().any(|series| series.histograms.is_some());
    let chart = Chart {
        id: "result".to_owned(),
        title: text.to_owned(),
        unit: unit_of(text),
        range,
        gap: step + step / 2,
        lines: series.iter().take(LINES_MAX).map(line).collect(),
        thresholds: Vec::new(),
        reach: None,
        note: None,
    };
    let rows = series.iter().take(ROWS_MAX).map(|series| (series.labels.to_string(), last(series))).collect();
    let quantile = has_histograms.then(|| format!("histogram_quantile(0.9, {text})"));
    Outcome::Found { chart: Box::new(chart), rows, series_count: series.len(), quantile, warnings }
}

/// Its numbers, and of its native histograms the means, oldest first.
fn points(series: &Series) -> Vec<(Timestamp, f64)> {
    let mut points: Vec<_> = series.samples().map(|sample| (sample.timestamp, sample.value)).collect();
    if let Some(native) = &series.histograms {
        let means = native.values.iter().map(|histogram| histogram.sum() / histogram.count());
        points.extend(native.timestamps.iter().copied().zip(means));
        points.sort_by_key(|(time, _)| *time);
    }
    points
}

/// The unit that the names in a query suggest, by the naming conventions of Prometheus; a plain number when in doubt.
fn unit_of(text: &str) -> Unit {
    let is_rate = text.contains("rate(");
    let is_plain = !text.contains(['/', '*', '>', '<', '=']) || text.contains('{');
    match (is_plain && !text.contains('/') && !text.contains('*'), text.contains("_bytes"), text.contains("_seconds")) {
        (true, true, _) if is_rate => Unit::BytesPerSecond,
        (true, true, _) if !text.contains("count") => Unit::Bytes,
        (true, _, true) if !is_rate && !text.contains("_total") && !text.contains("count") => Unit::Seconds,
        _ => Unit::Count,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::{Histogram, HistogramParts, HistogramSamples, Labels, Sample};

    use super::*;

    #[test]
    fn histograms_are_shown_as_their_means_beside_numbers() {
        let labels = Labels::from_pairs([("__name__", "latency")]).unwrap();
        let number = Sample { timestamp: Timestamp::from_secs(2), value: 7.0 };
        let parts = HistogramParts { count: 4.0, sum: 10.0, ..HistogramParts::default() };
        let histogram = Arc::new(Histogram::new(parts).unwrap());
        let native = HistogramSamples::new([Timestamp::from_secs(1)].into(), vec![histogram]);
        let mixed = Series { histograms: Some(Box::new(native)), ..Series::from_samples(labels.clone(), &[number]) };
        assert_eq!(points(&mixed), [(Timestamp::from_secs(1), 2.5), (Timestamp::from_secs(2), 7.0)]);
        let range = (TimeRange::ALL, Duration::from_secs(60));
        let plain = Series::from_samples(labels, &[number]);
        for (series, expected) in [(mixed, Some("histogram_quantile(0.9, latency)")), (plain, None)] {
            let Outcome::Found { quantile, .. } = found("latency", vec![series], range, Vec::new()) else {
                panic!("refused")
            };
            assert_eq!(quantile.as_deref(), expected);
        }
    }

    #[test]
    fn units_are_guessed_from_conventional_names_only() {
        let cases = [
            ("node_memory_MemAvailable_bytes", Unit::Bytes),
            ("rate(node_network_receive_bytes_total{device=\"eth0\"}[2m])", Unit::BytesPerSecond),
            ("response_time_seconds{stat=\"p95\"}", Unit::Seconds),
            ("rate(node_cpu_seconds_total[2m])", Unit::Count),
            ("100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)", Unit::Count),
            ("count(node_filesystem_size_bytes)", Unit::Count),
            ("up", Unit::Count),
        ];
        for (text, expected) in cases {
            assert_eq!(unit_of(text), expected, "{text}");
        }
    }
}

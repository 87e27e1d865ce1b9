//! `/federate`: the newest sample of each series that is asked for, as a page that another Prometheus scrapes.
//!
//! As Prometheus does it: samples keep their times; what ended, and native histograms, which text cannot hold, are left
//! out; a series without `instance` gets an empty one, so that the scraper puts none of its own there.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use model::{Aggregate, METRIC_NAME, Sample, Series, TenantId, TimeRange, Timestamp, is_stale};
use promql::Selection;
use wire::exposition::{CONTENT_TYPE as TEXT, Escaping, Family, FamilyType, Point};

use super::read::samples;
use super::selectors;
use crate::error::consequence;
use crate::http::{Params, Reply, Route, log, reply};
use crate::{App, AppError};

/// `/federate`. Errors are plain text, as those of Prometheus are here.
pub(in crate::http) async fn federate(
    app: &App,
    tenant: &TenantId,
    (request, params): (&Request<Bytes>, &Params),
    now: Timestamp,
) -> Reply {
    let escaping = escaping(request.headers());
    match page(app, tenant, params, escaping, now).await {
        Ok(page) => {
            let mut reply = reply::with_body(StatusCode::OK, TEXT, page);
            let content_type = format!("{TEXT}; escaping={}", escaping.as_str());
            let content_type = HeaderValue::try_from(content_type).expect("these are letters of headers");
            reply.headers_mut().insert(CONTENT_TYPE, content_type);
            reply
        }
        Err(error) => {
            log(Route::Federate, &error);
            reply::text(consequence(error.kind()).status, format!("{}\n", error.public_message()))
        }
    }
}

async fn page(
    app: &App,
    tenant: &TenantId,
    params: &Params,
    escaping: Escaping,
    now: Timestamp,
) -> Result<String, AppError> {
    let lookback = app.settings.lookback;
    let back = i64::try_from(lookback.as_millis()).unwrap_or(i64::MAX);
    let start = Timestamp::from_millis(now.as_millis().saturating_sub(back));
    let selections = selectors(params)?.into_iter().map(|matchers| Selection {
        matchers,
        range: TimeRange::new(start, now),
        aggregate: Aggregate::Last,
        window: lookback,
        step: Duration::ZERO,
        newest_only: true,
    });
    let found = samples(app, tenant, selections.collect(), now).await?;
    let newest = found.iter().flatten().filter_map(|series| Some((&series.labels, newest(series)?)));
    // By metric, each series once, however many selectors match it.
    let mut by_metric: BTreeMap<&str, BTreeMap<_, Sample>> = BTreeMap::new();
    for (labels, sample) in newest.filter(|(labels, _)| !labels.metric_name().is_empty()) {
        by_metric.entry(labels.metric_name()).or_default().insert(labels, sample);
    }
    let families = by_metric.into_iter().map(|(metric, of_metric)| {
        let mut family = Family::new(&escaping.escape(metric), FamilyType::Untyped, "");
        for (labels, sample) in of_metric {
            let own = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
            let mut labels: Vec<_> = own.map(|(name, value)| (escaping.escape(name), value.to_owned())).collect();
            if labels.iter().all(|(name, _)| name != "instance") {
                labels.push(("instance".to_owned(), String::new()));
            }
            family.points.push(Point { suffix: "", labels, value: sample.value, timestamp: Some(sample.timestamp) });
        }
        family
    });
    Ok(wire::exposition::encode(&families.collect::<Vec<_>>()))
}

/// The newest sample of a series, unless it says that the series ended or is a histogram.
fn newest(series: &Series) -> Option<Sample> {
    let number = series.samples().last()?;
    let histogram = series.histograms.as_ref().and_then(|histograms| histograms.timestamps.last());
    let is_newest = histogram.is_none_or(|time| *time < number.timestamp);
    (is_newest && !is_stale(number.value)).then_some(number)
}

/// How names are to be escaped: as the most wanted form in which text is taken says, or any form that is wanted more.
fn escaping(headers: &HeaderMap) -> Escaping {
    let lines = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut forms: Vec<Form> = lines.flat_map(|line| line.split(',')).map(Form::of).collect();
    forms.sort_by(|one, two| two.quality.total_cmp(&one.quality));
    let mut chosen = Escaping::default();
    for form in forms {
        chosen = form.escaping.unwrap_or(chosen);
        if form.is_text {
            break;
        }
    }
    chosen
}

/// One entry of an `Accept` header.
struct Form {
    quality: f64,
    escaping: Option<Escaping>,
    /// Whether it is the text format of the version that is written here.
    is_text: bool,
}

impl Form {
    fn of(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let mut form = Self { quality: 1.0, escaping: None, is_text: name.eq_ignore_ascii_case("text/plain") };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                "q" => form.quality = value.parse().unwrap_or(1.0),
                "escaping" => form.escaping = Escaping::named(value),
                "version" => form.is_text &= value == "0.0.4",
                _ => {}
            }
        }
        form
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_that_is_wanted_most_says_how_names_are_escaped() {
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let cases = [
            ("", "underscores"),
            ("*/*", "underscores"),
            ("text/plain;escaping=allow-utf-8", "allow-utf-8"),
            ("text/plain; version=0.0.4; escaping=dots", "dots"),
            ("text/plain;escaping=nonsense", "underscores"),
            ("text/plain;q=0.2;escaping=dots, text/plain;q=0.9;escaping=values", "values"),
            ("application/openmetrics-text;version=1.0.0;escaping=values;q=0.8,text/plain;q=0.3", "values"),
            ("text/plain;version=1.0.0;escaping=values,text/plain;version=0.0.4;q=0.5;escaping=dots", "dots"),
            (&format!("{protobuf};escaping=allow-utf-8;q=0.7,text/plain;q=0.1"), "allow-utf-8"),
        ];
        for (accept, expected) in cases {
            let headers = [(ACCEPT, HeaderValue::from_str(accept).unwrap())].into_iter().collect();
            assert_eq!(escaping(&headers).as_str(), expected, "{accept}");
        }
    }
}

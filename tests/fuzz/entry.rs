//! What fuzzing calls: with bytes from libFuzzer, or from a bounded test on a stable toolchain.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use model::{
    Buckets, CounterReset, Histogram, HistogramParts, HistogramSamples, Labels, Limits, Sample, Schema, Series,
    Timestamp, matches_all, stale_nan,
};
use promql::{Params, Profile, Selection, Source, SourceError, evaluate, parse, parse_as, selections};

/// Parses, prints, parses again and evaluates a text on small data of all kinds.
///
/// The first byte chooses the profile and the step, all others are the text.
///
/// # Panics
/// When that is what evaluation does, or what is printed does not read back.
pub(crate) fn promql(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let profile = if choice & 1 == 0 { Profile::Extended } else { Profile::Prometheus };
    let expr = match parse_as(text, profile, &Limits::default()) {
        Ok(expr) => expr,
        Err(error) => {
            assert!(error.line > 0 && error.column > 0 && !error.message.is_empty(), "{text}: {error}");
            return;
        }
    };
    let printed = expr.to_string();
    assert_eq!(parse(&printed).as_ref(), Ok(&expr), "{text} printed as {printed}");
    let time = Timestamp::from_secs;
    let mut params = match choice >> 1 & 3 {
        0 => Params::instant(time(900)),
        1 => Params::range(time(0), time(1_200), Duration::from_secs(60)),
        2 => Params::range(time(600), time(600), Duration::from_millis(1)),
        _ => Params::range(time(-100), time(2_000), Duration::from_secs(700)),
    };
    params.profile = profile;
    params.limits.query_samples_max = 100_000;
    let source = Data { selections: selections(&expr, &params) };
    if let Ok(output) = evaluate(&expr, &source, &params) {
        let is_placed = |note: &String| note.ends_with(')') || note.ends_with("omitted");
        assert!(output.warnings.iter().chain(&output.infos).all(is_placed), "{text}: {:?}", output.warnings);
    }
}

struct Data {
    selections: Vec<Selection>,
}

impl Source for Data {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        let matchers = &self.selections[selection].matchers;
        Ok(SERIES.iter().filter(|series| matches_all(matchers, series.labels.as_ref())).cloned().collect())
    }
}

/// Numbers, some of them none; buckets; histograms beside numbers.
static SERIES: LazyLock<Vec<Series>> = LazyLock::new(|| {
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied()).expect("the labels are fine");
    let odd = [1.0, 2.0, f64::NAN, f64::INFINITY, 5.0, stale_nan(), -3.0, 1e308, 0.0, -0.0];
    let numbers = |shift: usize| -> Vec<Sample> {
        let value = |step: usize| odd[(step * 7 + shift) % odd.len()] + f64::from(u32::try_from(step).unwrap_or(0));
        (0..80_usize)
            .map(|step| Sample { timestamp: Timestamp::from_secs(step as i64 * 15), value: value(step) })
            .collect()
    };
    let mut all = vec![
        Series::from_samples(labels(&[("__name__", "a"), ("l", "x")]), &numbers(0)),
        Series::from_samples(labels(&[("__name__", "a"), ("l", "y"), ("m", "1")]), &numbers(3)),
        Series::from_samples(labels(&[("__name__", "b"), ("l", "x"), ("le", "1")]), &numbers(5)),
        Series::from_samples(labels(&[("__name__", "b"), ("l", "x"), ("le", "+Inf")]), &numbers(6)),
        Series::from_samples(labels(&[("__name__", "target_info"), ("instance", "i"), ("job", "j")]), &numbers(1)),
    ];
    for (name, schema) in [("h", 0), ("hc", -53)] {
        let histograms = native(schema);
        let numbers = numbers(2).into_iter().filter(|sample| sample.timestamp.as_millis() % 60_000 == 0);
        let numbers: Vec<Sample> = numbers.collect();
        let series = Series::from_samples(labels(&[("__name__", name), ("l", "x")]), &numbers);
        all.push(Series { histograms: Some(Box::new(histograms)), ..series });
    }
    all.sort_by(|left, right| left.labels.cmp(&right.labels));
    all
});

fn native(schema: i32) -> HistogramSamples {
    let steps: Vec<i64> = (0..80).filter(|step| step % 4 != 0).collect();
    let one = |step: &i64| {
        let count = |at: i64| ((step * (at + 3)) % 23) as f64;
        let counts = [count(0), count(1), count(2)];
        let is_custom = schema == -53;
        Arc::new(
            Histogram::new(HistogramParts {
                schema: Schema::new(schema, &[1.0, 2.0]).expect("there is such a schema"),
                counter_reset: if step % 5 == 0 { CounterReset::Gauge } else { CounterReset::Unknown },
                count: counts.iter().sum(),
                sum: if step % 11 == 0 { f64::NAN } else { count(4) - 9.0 },
                zero_threshold: if is_custom { 0.0 } else { 0.01 },
                zero_count: 0.0,
                positive: Buckets::from_run(0, counts.to_vec()).expect("few buckets"),
                negative: Buckets::default(),
            })
            .expect("the parts fit together"),
        )
    };
    HistogramSamples::new(
        steps.iter().map(|step| Timestamp::from_secs(step * 15)).collect(),
        steps.iter().map(one).collect(),
    )
}

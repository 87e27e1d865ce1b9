//! What holds for every expression, on generated ones.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Buckets, CounterReset, Histogram, HistogramParts, HistogramSamples, Labels, Sample, Schema, Series, Timestamp,
    is_stale, matches_all, stale_nan,
};
use promql::{
    Deadline, EvalError, Output, Params, Profile, Selection, Source, SourceError, Stop, Value, evaluate, parse,
    selections,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Series that select themselves.
struct Data {
    series: Vec<Series>,
    selections: Vec<Selection>,
}

impl Source for Data {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        let Selection { matchers, range, .. } = &self.selections[selection];
        let matching = self.series.iter().filter(|series| matches_all(matchers, series.labels.as_ref()));
        let cut = matching.map(|series| {
            let samples: Vec<Sample> = series.samples().filter(|sample| range.contains(sample.timestamp)).collect();
            Series {
                weights: series.weights.clone(),
                resolution: series.resolution,
                histograms: series.histograms.as_ref().map(|samples| Box::new(cut_histograms(samples, *range))),
                ..Series::from_samples(series.labels.clone(), &samples)
            }
        });
        Ok(cut.collect())
    }
}

/// Series that select themselves, each with all its samples.
struct Whole {
    series: Vec<Series>,
    selections: Vec<Selection>,
}

impl Source for Whole {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        let matchers = &self.selections[selection].matchers;
        Ok(self.series.iter().filter(|series| matches_all(matchers, series.labels.as_ref())).cloned().collect())
    }
}

fn cut_histograms(samples: &HistogramSamples, range: model::TimeRange) -> HistogramSamples {
    let within = || samples.timestamps.iter().zip(&samples.values).filter(|(time, _)| range.contains(**time));
    HistogramSamples::new(
        within().map(|(time, _)| *time).collect(),
        within().map(|(_, histogram)| Arc::clone(histogram)).collect(),
    )
}

fn answer(query: &str, series: &[Series], params: &Params) -> Result<Value, EvalError> {
    let expr = parse(query).expect("the query is an expression");
    let source = Data { series: series.to_vec(), selections: selections(&expr, params) };
    evaluate(&expr, &source, params).map(|output| output.value)
}

/// As [`answer`], normalised.
fn normal_answer(query: &str, series: &[Series], params: &Params) -> Result<Vec<Line>, EvalError> {
    let expr = parse(query).expect("the query is an expression");
    let source = Data { series: series.to_vec(), selections: selections(&expr, params) };
    evaluate(&expr, &source, params).map(normal)
}

/// Labels, time, and the bits of the value or the text of the histogram.
type Line = (String, i64, u64, String);

/// Answers by labels, each sample as its time and the bits of its value (all that are no numbers are the same).
fn normal(output: Output) -> Vec<Line> {
    let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
    let line = |labels: &Labels, sample: Sample| {
        (labels.to_string(), sample.timestamp.as_millis(), bits(sample.value), String::new())
    };
    let native = |labels: &Labels, time: Timestamp, histogram: &Histogram| {
        (labels.to_string(), time.as_millis(), 0, format!("{histogram} {:?}", histogram.counter_reset()))
    };
    let mut lines: Vec<Line> = match output.value {
        Value::Scalar(sample) => vec![line(&Labels::empty(), sample)],
        Value::String(text) => vec![(text, 0, 0, String::new())],
        Value::Vector(vector) => vector.iter().map(|(labels, sample)| line(labels, *sample)).collect(),
        Value::Matrix(matrix) => matrix
            .iter()
            .flat_map(|series| {
                let numbers = series.samples().map(|sample| line(&series.labels, sample));
                let samples = series.histograms.iter();
                let histograms = samples.flat_map(|samples| samples.timestamps.iter().zip(&samples.values));
                let histograms = histograms.map(|(time, histogram)| native(&series.labels, *time, histogram));
                numbers.chain(histograms).collect::<Vec<_>>()
            })
            .collect(),
    };
    lines.extend(output.histograms.iter().map(|sample| native(&sample.labels, sample.timestamp, &sample.histogram)));
    lines.sort();
    lines
}

fn secs(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).expect("the labels are valid")
}

// Generated expressions, as text.

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = &'static str> + Clone {
    proptest::sample::select(texts)
}

fn selector() -> impl Strategy<Value = String> {
    let name = one_of(&["a", "a", "a", "b", "b", "c_total", "h_bucket", "h_bucket", "n", "n", "n_gauge", "missing"]);
    let matcher = prop_oneof![
        4 => Just(String::new()),
        1 => Just("{l=\"x\"}".to_owned()),
        1 => Just("{l!=\"x\"}".to_owned()),
        1 => Just("{m=~\"1|2\"}".to_owned()),
        1 => Just("{m!~\"1.*\", l=~\".+\"}".to_owned()),
    ];
    (name, matcher).prop_map(|(name, matcher)| format!("{name}{matcher}"))
}

fn shift() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => Just(""),
        1 => Just(" offset 1m"),
        1 => Just(" offset -30s"),
        1 => Just(" @ 200"),
        1 => Just(" @ 100 offset 20s"),
    ]
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        (-5..50i32).prop_map(|number| number.to_string()),
        Just("0.5".to_owned()),
        Just("1e3".to_owned()),
        Just("NaN".to_owned()),
        Just("-Inf".to_owned()),
        Just("time()".to_owned()),
        Just("scalar(a{l=\"x\"})".to_owned()),
        Just("2m".to_owned()),
    ]
}

fn window() -> impl Strategy<Value = String> {
    let range = one_of(&["30s", "1m", "2m10s", "5m"]);
    (selector(), range, shift()).prop_map(|(selector, range, shift)| format!("{selector}[{range}]{shift}"))
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        (selector(), shift()).prop_map(|(selector, shift)| format!("{selector}{shift}")),
        (over_time(), window()).prop_map(|(function, window)| format!("{function}({window})")),
        (extended(), selector()).prop_map(|(call, selector)| call.replace('#', &selector)),
        window().prop_map(|window| format!("quantile_over_time(0.7, {window})")),
        window().prop_map(|window| format!("predict_linear({window}, 600)")),
        window().prop_map(|window| format!("double_exponential_smoothing({window}, 0.3, 0.6)")),
    ]
}

fn vector() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 16, 3, |inner| {
        let function = one_of(&[
            "abs",
            "ceil",
            "exp",
            "ln",
            "sgn",
            "absent",
            "sort",
            "sort_desc",
            "timestamp",
            "hour",
            "day_of_week",
            "histogram_count",
            "histogram_sum",
            "histogram_avg",
            "histogram_stdvar",
            "info",
        ]);
        let aggregation = one_of(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
        let ranked = one_of(&["topk", "bottomk", "limitk", "quantile", "limit_ratio"]);
        let grouping = one_of(&["", " by (l)", " by (l, m)", " without (l)", " by (__name__)"]);
        let operator =
            one_of(&["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "> bool", "<=", ">", "< bool", "</", ">/"]);
        let set = one_of(&["and", "or", "unless"]);
        let matching = prop_oneof![
            4 => Just(""),
            1 => Just(" on (l)"),
            1 => Just(" ignoring (m)"),
            1 => Just(" on (l) group_left ()"),
            1 => Just(" ignoring (m) group_right (m)"),
        ];
        let set_matching = one_of(&["", " on (l)", " ignoring (m)", " on ()"]);
        prop_oneof![
            (function, inner.clone()).prop_map(|(function, inner)| format!("{function}({inner})")),
            (aggregation, grouping.clone(), inner.clone())
                .prop_map(|(name, by, inner)| format!("{name}{by} ({inner})")),
            (ranked, grouping, scalar(), inner.clone())
                .prop_map(|(name, by, number, inner)| format!("{name}{by} ({number}, {inner})")),
            (inner.clone(), operator.clone(), scalar()).prop_map(|(left, op, right)| format!("({left}) {op} {right}")),
            (scalar(), operator.clone(), inner.clone()).prop_map(|(left, op, right)| format!("{left} {op} ({right})")),
            (inner.clone(), operator, matching, inner.clone())
                .prop_map(|(left, op, matching, right)| format!("{left} {op}{matching} {right}")),
            (inner.clone(), set, set_matching, inner.clone())
                .prop_map(|(left, op, matching, right)| format!("({left}) {op}{matching} ({right})")),
            inner.clone().prop_map(|inner| format!("-({inner})")),
            inner.clone().prop_map(|inner| format!("histogram_quantile(0.9, {inner})")),
            inner.clone().prop_map(|inner| format!("histogram_fraction(1, 7, {inner})")),
            inner.clone().prop_map(|inner| format!("info({inner}, {{__name__=~\"a|b\"}})")),
            inner.clone().prop_map(|inner| format!("count_values(\"v\", {inner})")),
            inner.clone().prop_map(|inner| format!("label_replace({inner}, \"m\", \"$1x\", \"l\", \"(.*)\")")),
            inner.clone().prop_map(|inner| format!("label_join({inner}, \"j\", \"-\", \"l\", \"m\")")),
            inner.clone().prop_map(|inner| format!("clamp({inner}, 1, 30)")),
            inner.clone().prop_map(|inner| format!("round({inner}, 5)")),
            (over_time(), inner).prop_map(|(function, inner)| format!("{function}(({inner})[2m:20s])")),
        ]
    })
}

fn extended() -> impl Strategy<Value = &'static str> {
    one_of(&[
        "rate(#[1m] anchored)",
        "increase(#[1m] smoothed)",
        "delta(#[45s] smoothed offset 10s)",
        "changes(#[1m] anchored)",
        "resets(#[2m] anchored)",
        "(# smoothed)",
    ])
}

fn over_time() -> impl Strategy<Value = &'static str> {
    one_of(&[
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "deriv",
        "changes",
        "resets",
        "sum_over_time",
        "avg_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "last_over_time",
        "first_over_time",
        "present_over_time",
        "absent_over_time",
        "stddev_over_time",
        "stdvar_over_time",
        "mad_over_time",
        "ts_of_max_over_time",
        "ts_of_min_over_time",
        "ts_of_first_over_time",
        "ts_of_last_over_time",
    ])
}

/// A sample every ten seconds or so, with holes, resets, what is no number and staleness markers.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let value = prop_oneof![
        20 => (0..40i32).prop_map(f64::from),
        2 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        2 => Just(stale_nan()),
    ];
    proptest::collection::vec((0..3_000i64, value), 20..60).prop_map(|steps| {
        let sample = |(index, (late, value)): (usize, (i64, f64))| {
            let index = i64::try_from(index).expect("few samples");
            // Some samples are left out, so that there are holes.
            (late % 7 != 0).then_some(Sample { timestamp: Timestamp::from_millis(index * 10_000 + late), value })
        };
        steps.into_iter().enumerate().filter_map(sample).collect()
    })
}

fn data() -> impl Strategy<Value = Vec<Series>> {
    let sets = [
        labels(&[("__name__", "a"), ("l", "x"), ("m", "1")]),
        labels(&[("__name__", "a"), ("l", "x"), ("m", "2")]),
        labels(&[("__name__", "a"), ("l", "y")]),
        labels(&[("__name__", "b"), ("l", "x"), ("m", "1")]),
        labels(&[("__name__", "b"), ("l", "y"), ("m", "2")]),
        labels(&[("__name__", "c_total"), ("l", "y"), ("m", "1")]),
        labels(&[("__name__", "h_bucket"), ("l", "x"), ("le", "1")]),
        labels(&[("__name__", "h_bucket"), ("l", "x"), ("le", "5")]),
        labels(&[("__name__", "h_bucket"), ("l", "x"), ("le", "+Inf")]),
    ];
    let native_sets = [
        labels(&[("__name__", "n"), ("l", "x"), ("m", "1")]),
        labels(&[("__name__", "n"), ("l", "x"), ("m", "2")]),
        labels(&[("__name__", "n"), ("l", "y"), ("m", "3")]),
        labels(&[("__name__", "n_gauge"), ("l", "y")]),
    ];
    proptest::collection::vec(samples(), sets.len() + native_sets.len()).prop_map(move |columns| {
        let (numbers, native) = columns.split_at(sets.len());
        let numbers = sets.iter().zip(numbers).map(|(labels, samples)| Series::from_samples(labels.clone(), samples));
        let native = native_sets.iter().zip(native).enumerate();
        numbers.chain(native.map(|(kind, (labels, samples))| with_histograms(kind, labels.clone(), samples))).collect()
    })
}

/// Makes histograms of samples: of all, of every other ten, or with custom buckets.
fn with_histograms(kind: usize, labels: Labels, samples: &[Sample]) -> Series {
    let (mut numbers, mut times, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for sample in samples {
        let is_number = kind == 1 && (sample.timestamp.as_millis() / 100_000) % 2 == 0;
        if is_number || is_stale(sample.value) {
            numbers.push(*sample);
            continue;
        }
        times.push(sample.timestamp);
        values.push(Arc::new(histogram(kind, sample.value)));
    }
    let samples = HistogramSamples::new(times.into(), values);
    Series { histograms: Some(Box::new(samples)), ..Series::from_samples(labels, &numbers) }
}

fn histogram(kind: usize, value: f64) -> Histogram {
    let counts = if value.is_finite() { [value, 2.0, (value / 2.0).floor()] } else { [1.0, 0.0, 3.0] };
    let is_custom = kind == 2;
    let bounds: &[f64] = if value > 20.0 { &[1.0, 3.0, 8.0] } else { &[1.0, 5.0, 8.0] };
    let fine = if value > 10.0 { 1 } else { 0 };
    let zero = if is_custom { [0.0; 2] } else { [f64::from(fine) / 4.0, 2.0] };
    Histogram::new(HistogramParts {
        schema: Schema::new(if is_custom { -53 } else { fine }, bounds).expect("there is such a schema"),
        counter_reset: if kind == 3 { CounterReset::Gauge } else { CounterReset::Unknown },
        count: counts.iter().sum::<f64>() + zero[1],
        sum: value,
        zero_threshold: zero[0],
        zero_count: zero[1],
        positive: Buckets::from_run(0, counts.to_vec()).expect("few buckets"),
        negative: Buckets::default(),
    })
    .expect("the parts fit together")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(4),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_printed_reads_back(query in vector()) {
        if let Ok(expr) = parse(&query) {
            let printed = expr.to_string();
            let again = parse(&printed);
            prop_assert_eq!(again.as_ref(), Ok(&expr), "{} printed as {}", query, printed);
            prop_assert_eq!(again.unwrap().to_string(), printed);
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        if let Err(error) = parse(&text) {
            prop_assert!(error.line == 1 && error.column <= text.len() + 1);
        }
    }

    #[test]
    fn any_tokens_are_parsed_or_refused(tokens in proptest::collection::vec(prop_oneof![
        "[a-z_:]{1,4}", "[0-9]{1,3}[smhdwy]?", "sum|by|without|on|offset|bool|inf|group_left|rate|step|fill|or|and|atan2",
        "[-+*/%^=!<>~@(){}\\[\\],:\"'`# ]", "\"[a-z\\\\]{0,3}\"", "=~|!~|==|!=|<=|>=|</|>/",
    ], 0..24)) {
        let text = tokens.join(" ");
        if let Ok(expr) = parse(&text) {
            let printed = expr.to_string();
            prop_assert_eq!(parse(&printed), Ok(expr), "{} printed as {}", text, printed);
        }
    }

    #[test]
    fn a_range_query_answers_what_instant_queries_answer(query in vector(), series in data(), profile in any::<bool>()) {
        prop_assume!(parse(&query).is_ok());
        let profile = if profile { Profile::Extended } else { Profile::Prometheus };
        let mut params = Params::range(secs(60), secs(600), Duration::from_secs(45));
        params.profile = profile;
        params.lookback = Duration::from_secs(40);
        let whole = normal_answer(&query, &series, &params);
        let mut parts = Vec::new();
        let mut failure = None;
        for second in (60..=600).step_by(45) {
            let at = Params { start: secs(second), end: secs(second), step: Duration::ZERO, ..params.clone() };
            match normal_answer(&query, &series, &at) {
                Ok(lines) => parts.extend(lines),
                Err(error) => failure = Some(error),
            }
        }
        parts.sort();
        match (whole, failure) {
            (Ok(whole), None) => prop_assert_eq!(whole, parts, "{}", query),
            (Err(_), Some(_)) => {}
            (whole, failure) => prop_assert!(false, "{}: as a range {:?}, at once {:?}", query, whole, failure),
        }
    }

    /// A source may give whole blocks: where they begin and end, outside of what was selected, means nothing.
    #[test]
    fn samples_beyond_the_selection_change_no_answer(query in vector(), series in data(), is_range in any::<bool>()) {
        prop_assume!(parse(&query).is_ok());
        let mut params = if is_range {
            Params::range(secs(200), secs(400), Duration::from_secs(45))
        } else {
            Params::instant(secs(300))
        };
        params.lookback = Duration::from_secs(40);
        let cut = normal_answer(&query, &series, &params);
        let expr = parse(&query).expect("the query is an expression");
        let whole = Whole { series, selections: selections(&expr, &params) };
        prop_assert_eq!(cut, evaluate(&expr, &whole, &params).map(normal), "{}", query);
    }
}

#[test]
fn deep_nesting_is_refused_or_answered_on_a_small_stack() {
    let nested = |open: &str, close: &str, depth| format!("{}a{}", open.repeat(depth), close.repeat(depth));
    let chain = |depth| format!("a{}", " or a".repeat(depth));
    let durations = |depth| format!("rate(a[{}5m{}])", "(".repeat(depth), ")".repeat(depth));
    let check = move || {
        let texts = |depth: usize| {
            [
                nested("(", ")", depth),
                nested("-", "", depth),
                nested("-(", ")", depth / 2),
                nested("abs(", ")", depth),
                nested("sum by (x) (", ")", depth),
                nested("max_over_time(", "[5m:1m])", depth / 2),
                nested("1 ^ (", ")", depth / 2),
                chain(depth),
                durations(depth - 2),
            ]
        };
        let params = Params::range(secs(0), secs(600), Duration::from_secs(60));
        for text in texts(98).into_iter().chain([chain(399)]) {
            let expr = parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(parse(&expr.to_string()).as_ref(), Ok(&expr));
            answer(&text, &[], &params).unwrap_or_else(|error| panic!("{error}: {text}"));
        }
        for text in texts(4_000) {
            let error = parse(&text).unwrap_err();
            assert!(error.message.contains("levels deep"), "{error}");
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(check).unwrap().join().unwrap();
}

#[test]
fn each_limit_is_named_by_its_error() {
    let series: Vec<Series> = (0..20)
        .map(|number: i64| {
            let samples: Vec<Sample> = (0..50).map(|step| Sample { timestamp: secs(step * 10), value: 1.0 }).collect();
            Series::from_samples(labels(&[("__name__", "a"), ("n", &number.to_string())]), &samples)
        })
        .collect();
    let minute = Duration::from_secs(60);
    let native: Vec<Sample> = (0..100).map(|step| Sample { timestamp: secs(step * 6), value: 1.0 }).collect();
    let series = [series, vec![with_histograms(0, labels(&[("__name__", "n")]), &native)]].concat();
    let few = |change: fn(&mut model::Limits)| {
        let mut params = Params::range(secs(0), secs(600), minute);
        change(&mut params.limits);
        params
    };
    let cases = [
        ("a", few(|limits| limits.query_points_max = 9), "query_points_max"),
        ("a", few(|limits| limits.query_series_max = 19), "query_series_max"),
        // 20 series of 11 points, and the 50 samples of the last one that is looked at.
        ("a", few(|limits| limits.query_samples_max = 269), "query_samples_max"),
        ("vector(time())", few(|limits| limits.query_points_max = 9), "query_points_max"),
        ("sum_over_time(vector(1)[100y:1ms])", few(|_| {}), "query_samples_max"),
        ("n", few(|limits| limits.query_samples_max = 900), "query_samples_max"),
        ("rate(n[5m])", few(|limits| limits.query_samples_max = 1_050), "query_samples_max"),
        ("a", Params { deadline: Deadline::when(|| true), ..few(|_| {}) }, "query_timeout"),
    ];
    for (query, params, limit_name) in cases {
        let error = answer(query, &series, &params).unwrap_err().to_string();
        assert!(error.contains(limit_name), "{query}: {error}");
    }
    answer("a", &series, &few(|limits| limits.query_points_max = 10)).unwrap();
    answer("a", &series, &few(|limits| limits.query_series_max = 20)).unwrap();
    answer("a", &series, &few(|limits| limits.query_samples_max = 270)).unwrap();
    // Rows that are added up are not held.
    answer("sum(a)", &series, &few(|limits| limits.query_samples_max = 100)).unwrap();
    let error = parse(&" ".repeat((64 << 10) + 1)).unwrap_err();
    assert!(error.message.contains("query_text_bytes_max"), "{error}");
}

#[test]
fn an_evaluation_that_has_begun_ends_when_it_is_told_to() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    for (stop, expected) in [(Stop::TimedOut, EvalError::TimedOut), (Stop::Canceled, EvalError::Canceled)] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let deadline = Deadline::stopping(move || (counter.fetch_add(1, Ordering::Relaxed) >= 5).then_some(stop));
        let params = Params { deadline, ..Params::instant(secs(0)) };
        let query = format!("a{}", " + a".repeat(50));
        assert_eq!(answer(&query, &[], &params).unwrap_err(), expected);
        assert_eq!(asked.load(Ordering::Relaxed), 6);
    }
}

#[test]
fn rollups_answer_by_what_they_stand_for() {
    let minutes: Vec<Sample> = (1..=20)
        .map(|minute| Sample { timestamp: secs(minute * 60), value: f64::from(i32::try_from(minute).unwrap()) })
        .collect();
    let series = vec![Series {
        weights: Some((1..=20).map(|minute| if minute % 2 == 0 { 4.0 } else { 2.0 }).collect()),
        resolution: Some(Duration::from_secs(60)),
        ..Series::from_samples(labels(&[("__name__", "r_total")]), &minutes)
    }];
    let cases = [
        // Minutes 17 to 20: two of weight 2, two of weight 4.
        ("count_over_time(r_total[4m])", 1200, "12"),
        ("sum_over_time(r_total[4m])", 1200, &(17 * 2 + 18 * 4 + 19 * 2 + 20 * 4).to_string()),
        ("avg_over_time(r_total[4m])", 1200, &(224.0_f64 / 12.0).to_string()),
        ("max_over_time(r_total[4m])", 1200, "20"),
        // A running increase of one a minute.
        ("rate(r_total[10m]) * 60", 1200, "1"),
        ("increase(r_total[10m])", 1200, "10"),
        // Windows shorter than two spans are widened, and sums taken back to what was asked for.
        ("rate(r_total[30s]) * 60", 1200, "1"),
        ("increase(r_total[30s])", 1200, "0.5"),
        ("count_over_time(r_total[1m])", 1200, "3"),
        // A value stands for its span until the next one may be expected.
        ("r_total", 1319, "20"),
    ];
    for (query, second, expected) in cases {
        let params = Params { lookback: Duration::from_secs(30), ..Params::instant(secs(second)) };
        let Value::Vector(vector) = answer_all(query, &series, &params) else { panic!("{query} gives a vector") };
        let mut shown = String::new();
        vector.iter().for_each(|(_, sample)| write!(shown, "{:.9} ", sample.value).unwrap());
        let expected: f64 = expected.parse().unwrap();
        assert_eq!(shown, format!("{expected:.9} "), "{query}");
    }
}

/// As [`answer`], from series that are not cut to the selected range.
fn answer_all(query: &str, series: &[Series], params: &Params) -> Value {
    struct All<'a>(&'a [Series]);
    impl Source for All<'_> {
        fn series(&self, _: usize) -> Result<Vec<Series>, SourceError> {
            Ok(self.0.to_vec())
        }
    }
    let expr = parse(query).expect("the query is an expression");
    evaluate(&expr, &All(series), params).expect("the query has an answer").value
}

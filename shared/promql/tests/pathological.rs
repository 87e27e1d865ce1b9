//! Queries made to take a server down: each ends with an error or an answer, soon and in little memory.

#![expect(clippy::disallowed_methods, reason = "this is about how long queries take")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Labels, Limits, Sample, Series, Timestamp, matches_all};
use promql::{Deadline, Params, Selection, Source, SourceError, evaluate, parse, selections};

/// What a query may take in this test.
const TIME_MAX: Duration = Duration::from_millis(500);
/// A query that is told to stop may need this long until it asks again, in a debug build on a busy machine.
const GRACE: Duration = Duration::from_secs(20);
const SAMPLES_MAX: usize = 2_000_000;
/// What the process may grow by: a few copies of the samples that are allowed, and compiled patterns.
const GROWTH_MAX_KB: u64 = 400 << 10;

struct Data {
    series: Vec<Series>,
    selections: Vec<Selection>,
}

impl Source for Data {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        let matchers = &self.selections[selection].matchers;
        Ok(self.series.iter().filter(|series| matches_all(matchers, series.labels.as_ref())).cloned().collect())
    }
}

/// 200 series `x`, a sample a second for a quarter of an hour.
fn data() -> Vec<Series> {
    let samples: Vec<Sample> =
        (0..900).map(|second| Sample { timestamp: Timestamp::from_secs(second), value: 1.0 }).collect();
    let one = |number: usize| {
        let pairs = [("__name__", "x"), ("a", "a"), ("number", &number.to_string())];
        Series::from_samples(Labels::from_pairs(pairs).expect("the labels are valid"), &samples)
    };
    (0..200).map(one).collect()
}

/// The most memory this process ever had, where the system tells.
fn peak_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn nested(before: &str, inner: &str, after: &str, depth: usize) -> String {
    format!("{}{inner}{}", before.repeat(depth), after.repeat(depth))
}

/// The text, and a part of its error; none when it has an answer.
fn cases() -> Vec<(String, &'static str)> {
    let text = |text: &str| text.to_owned();
    let doubling = "label_replace(";
    vec![
        (nested("(", "x", ")", 30_000), "levels deep"),
        (nested("-", "x", "", 60_000), "levels deep"),
        (nested("abs(", "x", ")", 10_000), "levels deep"),
        (nested("sum(", "x", ")", 90), ""),
        (format!("x{}", " + x".repeat(12_000)), "levels deep"),
        (format!("{}x", " ".repeat(70_000)), "query_text_bytes_max"),
        (text("max_over_time(x[1y:1ms])"), "query_samples_max"),
        (text("vector(1)[292y:1ms]"), "query_samples_max"),
        (nested("max_over_time(", "x", "[1h:1ms])", 20), "query_samples_max"),
        (nested("max_over_time(", "x", "[1d:10m])", 40), "query_samples_max"),
        (nested("quantile_over_time(0.5, ", "x", "[900s:1s])", 2), "query_t"),
        (text("sum_over_time(x[292y])"), ""),
        (text("x offset 292y"), ""),
        (text("x @ 1e300"), "@"),
        (format!("x{}", " or x".repeat(390)), ""),
        (format!("x{}", " * on () group_left () x".repeat(50)), "duplicate series"),
        (text("topk(1e18, x)"), ""),
        (text("topk(1e19, x)"), "overflows"),
        (text("count_values(\"v\", time() + x)"), ""),
        (format!("histogram_quantiles(x, \"q\"{})", ", 0.5".repeat(10_000)), ""),
        // Each doubles the length of a label's value: 2^60 bytes.
        (nested(doubling, "x", ", \"a\", \"$1$1\", \"a\", \"(.*)\")", 60), "limit"),
        (format!("label_replace(x, \"a\", \"{}\", \"a\", \"(.*)\")", "$0".repeat(30_000)), "limit"),
        (nested(doubling, "x", &format!(", \"a\", \"{}\", \"a\", \"(.*)\")", "$0".repeat(9_000)), 3), "limit"),
        (format!("label_join(x, \"a\", \"\", {}\"a\")", "\"number\", ".repeat(5_000)), ""),
        (text("x{a=~\"(a{1000}){1000}\"}"), "reg"),
        (text("x{a=~\"((((a{100}){100}){100}){100}){100}\"}"), "reg"),
        (text("x{a=~\"(x+x+)+y|(a*)*b\"}"), ""),
        (format!("x{{{}a=\"a\"}}", "a=~\"a{9999}\",".repeat(4_500)), "reg"),
        (format!("x{{a=~\"{}\"}}", "a|".repeat(30_000)), ""),
        (text("label_replace(x, \"a\", \"$1\", \"a\", \"((a{999}){999}){99}\")"), "reg"),
        (format!("x{{a=~\"{}\"}}", nested("(", "a", ")", 20_000)), "reg"),
        (text("predict_linear(x[1y:1ms], 1)"), "query_samples_max"),
        (text("absent_over_time(x[100y:1ms])"), "query_samples_max"),
        (text("double_exponential_smoothing(x[100y:10m], 0.5, 0.5)"), "query_samples_max"),
    ]
}

#[test]
fn no_query_takes_long_or_much() {
    let series = data();
    let limits = Limits { query_samples_max: SAMPLES_MAX, ..Limits::default() };
    let times = [
        Params::instant(Timestamp::from_secs(900)),
        Params::range(Timestamp::from_secs(0), Timestamp::from_secs(900), Duration::from_millis(500)),
    ];
    for (query, expected) in cases() {
        for params in &times {
            let shown = query.get(..100).unwrap_or(&query);
            let started = Instant::now();
            let before = peak_kb();
            let deadline = Deadline::when(move || started.elapsed() > TIME_MAX);
            let params = Params { limits: limits.clone(), deadline, ..params.clone() };
            let result = answer(&query, &series, &params);
            let took = started.elapsed();
            assert!(took < TIME_MAX + GRACE, "{shown} took {took:?}");
            if let (Some(before), Some(after)) = (before, peak_kb()) {
                assert!(after - before < GROWTH_MAX_KB, "{shown} took {} MB", (after - before) >> 10);
            }
            let error = result.err().unwrap_or_default();
            // Where time or room run out first depends on the machine.
            let ran_out = error.contains("query_timeout") || error.contains("query_samples_max");
            let fits = if expected.is_empty() { error.is_empty() } else { error.contains(expected) };
            let only_instant = error.contains("for range query");
            assert!(fits || ran_out || only_instant, "{shown}: {error:?}, expected {expected:?}");
        }
    }
}

fn answer(query: &str, series: &[Series], params: &Params) -> Result<(), String> {
    let expr = parse(query).map_err(|error| error.to_string())?;
    let source = Data { series: series.to_vec(), selections: selections(&expr, params) };
    evaluate(&expr, &source, params).map(drop).map_err(|error| error.to_string())
}

#[test]
fn more_points_than_allowed_are_refused_before_anything_is_loaded() {
    struct Unasked;
    impl Source for Unasked {
        fn series(&self, _: usize) -> Result<Vec<Series>, SourceError> {
            panic!("nothing is to be loaded")
        }
    }
    let year = Timestamp::from_secs(365 * 86_400);
    let expr = parse("x").unwrap();
    for step in [Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(60)] {
        let params = Params::range(Timestamp::from_secs(0), year, step);
        let error = evaluate(&expr, &Unasked, &params).unwrap_err().to_string();
        assert!(error.contains("query_points_max"), "{error}");
    }
    let params = Params::range(Timestamp::MIN, Timestamp::MAX, Duration::from_millis(1));
    evaluate(&expr, &Unasked, &params).unwrap_err();
}

#[test]
fn a_query_that_nobody_waits_for_ends_soon() {
    let series = data();
    let started = Instant::now();
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = Arc::clone(&over);
    let deadline =
        Deadline::stopping(move || asked.load(std::sync::atomic::Ordering::Relaxed).then_some(promql::Stop::Canceled));
    let end = Params::range(Timestamp::from_secs(0), Timestamp::from_secs(900), Duration::from_millis(100));
    let params = Params { deadline, ..end };
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let error = answer("quantile_over_time(0.5, x[900s:1s])", &series, &params).unwrap_err();
    assert_eq!(error, "query was canceled in expression evaluation");
    assert!(started.elapsed() < GRACE, "{:?}", started.elapsed());
    canceller.join().unwrap();
}

//! How fast queries over decoded series are: a sum of rates over 1,600 series, as a range of 81 steps and at once,
//! the other shapes that dashboards are made of, and 200 native histograms of 40 buckets.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use model::{
    Buckets, CounterReset, Histogram, HistogramParts, HistogramSamples, Labels, METRIC_NAME, Schema, Series, Timestamp,
    matches_all,
};
use promql::{Params, Selection, Source, SourceError, evaluate, parse, selections};
use rustix::time::{ClockId, clock_gettime};

/// Processor time of this thread: what an evaluation costs, whatever else the machine does.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("processor time is not negative")
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, left: &Duration, right: &Duration) -> Duration {
        *left + *right
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Series by metric, those of a scrape with shared timestamps.
type Loaded = BTreeMap<&'static str, Vec<Series>>;

/// The series that each selection finds, found before the clock starts.
struct Found(Vec<Vec<Series>>);

impl Source for Found {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        Ok(self.0[selection].clone())
    }

    fn each(&self, selection: usize, visit: &mut dyn FnMut(&Series) -> ControlFlow<()>) -> Result<(), SourceError> {
        let _seen_enough = self.0[selection].iter().try_for_each(visit);
        Ok(())
    }
}

/// 100 instances of 16 series each, a sample every 15 s for 25 minutes.
fn load() -> Vec<Series> {
    let mut series = Vec::new();
    for instance in 0..100_i64 {
        let times: Arc<[Timestamp]> =
            (0..100).map(|step| Timestamp::from_millis(step * 15_000 + instance * 37)).collect();
        for number in 0..16_i64 {
            let texts =
                [format!("10.0.0.{instance}:9100"), format!("cpu{}", number / 8), format!("mode{}", number % 8)];
            let labels = Labels::from_pairs([
                ("__name__", "x"),
                ("job", "node"),
                ("instance", &texts[0]),
                ("cpu", &texts[1]),
                ("mode", &texts[2]),
            ]);
            let slope = f64::from(i32::try_from(number + 1).expect("few series")) * 0.37;
            let values = (0..100).map(|step| f64::from(step % 60) * slope + 1000.0).collect();
            let labels = labels.expect("the labels are valid");
            series.push(Series {
                labels,
                timestamps: Arc::clone(&times),
                values,
                weights: None,
                resolution: None,
                histograms: None,
            });
        }
    }
    series
}

/// 200 native histograms, a sample every 15 s for 25 minutes.
fn load_histograms() -> Vec<Series> {
    let times: Arc<[Timestamp]> = (0..100).map(|step| Timestamp::from_millis(step * 15_000)).collect();
    let one = |instance: usize| {
        let text = format!("10.0.0.{instance}:9100");
        let labels = Labels::from_pairs([("__name__", "h"), ("job", "node"), ("instance", &text)]);
        let values = (0..100_u32).map(|step| Arc::new(histogram(step))).collect();
        let samples = HistogramSamples::new(Arc::clone(&times), values);
        let labels = labels.expect("the labels are valid");
        Series { histograms: Some(Box::new(samples)), ..Series::from_samples(labels, &[]) }
    };
    (0..200).map(one).collect()
}

fn histogram(step: u32) -> Histogram {
    let counts: Vec<f64> = (0..40_u32).map(|bucket| f64::from(step * (bucket % 7 + 1))).collect();
    Histogram::new(HistogramParts {
        schema: Schema::new(3, &[]).expect("there is such a schema"),
        counter_reset: if step == 0 { CounterReset::Unknown } else { CounterReset::NotReset },
        count: counts.iter().sum(),
        sum: f64::from(step) * 3.7,
        positive: Buckets::from_run(-20, counts).expect("the buckets are in range"),
        ..HistogramParts::default()
    })
    .expect("the parts fit together")
}

fn find(loaded: &Loaded, selections: &[Selection]) -> Found {
    let matching = |selection: &Selection| {
        let mut cut = Cut::default();
        let fits = |series: &&Series| matches_all(&selection.matchers, series.labels.as_ref());
        let named = selection.matchers.iter().find(|matcher| matcher.name() == METRIC_NAME);
        let of_metric =
            loaded.get(named.expect("each selector here has a name").value()).expect("there is this metric");
        let mut found: Vec<Series> = of_metric.iter().filter(fits).map(|series| cut.cut(series, selection)).collect();
        found.sort_by(|left, right| left.labels.cmp(&right.labels));
        found
    };
    Found(selections.iter().map(matching).collect())
}

/// Cuts series to what a selection asks for; timestamps stay shared.
#[derive(Default)]
struct Cut {
    /// The timestamps seen last.
    whole: Arc<[Timestamp]>,
    /// What is left of them.
    part: Arc<[Timestamp]>,
}

impl Cut {
    fn cut(&mut self, series: &Series, selection: &Selection) -> Series {
        let first = series.timestamps.partition_point(|time| *time < selection.range.start);
        let end = series.timestamps.partition_point(|time| *time <= selection.range.end);
        if !Arc::ptr_eq(&self.whole, &series.timestamps) {
            self.whole = Arc::clone(&series.timestamps);
            self.part = series.timestamps[first..end].into();
        }
        let timestamps = Arc::clone(&self.part);
        if series.histograms.is_some() {
            return series.clone();
        }
        Series { timestamps, values: series.values[first..end].to_vec(), ..series.clone() }
    }
}

/// CPU times of 8 machines with 4 processors over a day, a sample every 15 s.
fn load_day() -> Vec<Series> {
    let times: Arc<[Timestamp]> = (0..=5760).map(|step| Timestamp::from_millis(step * 15_000)).collect();
    let modes = ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"];
    let one = |number: usize| {
        let texts = [format!("10.0.0.{}:9100", number / 32), (number / 8 % 4).to_string()];
        let (slope, mode) = (f64::from(u32::try_from(number % 8 + 1).expect("few modes")) * 0.37, modes[number % 8]);
        let pairs =
            [("__name__", "node_cpu_seconds_total"), ("instance", &texts[0]), ("cpu", &texts[1]), ("mode", mode)];
        let values = (0..=5760_u32).map(|step| f64::from(step % 4000) * slope);
        series(&pairs, &times, values.collect())
    };
    (0..256).map(one).collect()
}

/// 5,000 classic histograms of ten buckets each, a sample every 15 s for 25 minutes.
fn load_buckets() -> Vec<Series> {
    let times: Arc<[Timestamp]> = (0..100).map(|step| Timestamp::from_millis(step * 15_000)).collect();
    let bounds = ["0.005", "0.01", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "10", "+Inf"];
    let one = |number: u32| {
        let (instance, bucket) = (number / 500, number % 10);
        let texts = [format!("10.0.0.{instance}:8080"), format!("/v1/path/{}", number / 10 % 50)];
        let bound = bounds[bucket as usize];
        let pairs =
            [("__name__", "request_seconds_bucket"), ("instance", &texts[0]), ("handler", &texts[1]), ("le", bound)];
        let values = (0..100_u32).map(|step| f64::from(step * (bucket + 1)));
        series(&pairs, &times, values.collect())
    };
    (0..50_000).map(one).collect()
}

fn series(pairs: &[(&str, &str)], times: &Arc<[Timestamp]>, values: Vec<f64>) -> Series {
    let labels = Labels::from_pairs(pairs.iter().copied()).expect("the labels are valid");
    let timestamps = Arc::clone(times);
    Series { labels, timestamps, values, weights: None, resolution: None, histograms: None }
}

/// What rules of machines ask, each of them with many thresholds: 1,010 in all.
fn rules() -> Vec<String> {
    let shapes = [
        "x{cpu=\"cpu0\",mode=\"mode0\"} > ",
        "rate(x{cpu=\"cpu0\",mode=\"mode1\"}[5m]) > ",
        "x{cpu=\"cpu0\",mode=\"mode2\"} / x{cpu=\"cpu1\",mode=\"mode2\"} * 100 < ",
        "max_over_time(x{cpu=\"cpu1\",mode=\"mode3\"}[5m]) > ",
        "avg by (instance) (rate(x{cpu=\"cpu1\",mode=\"mode4\"}[5m])) > ",
        "sum by (job) (x{cpu=\"cpu0\",mode=\"mode5\"}) > ",
        "absent(x{cpu=\"cpu0\",mode=\"mode6\"}) * ",
        "predict_linear(x{cpu=\"cpu0\",mode=\"mode7\"}[15m], 3600) < ",
        "(x{cpu=\"cpu0\",mode=\"mode1\"} > 1e9 and x{cpu=\"cpu1\",mode=\"mode1\"} > 1e9) * ",
        "changes(x{cpu=\"cpu1\",mode=\"mode7\"}[10m]) > ",
    ];
    (0..1010).map(|number| format!("{}{}", shapes[number % 10], 1000 + number)).collect()
}

/// Name, expression, what it is about.
const CASES: [(&str, &str, Times); 21] = [
    ("sum of rates, 81 steps", "sum(rate(x[5m]))", Times::Steps),
    ("sum of rates, instant", "sum(rate(x[5m]))", Times::Instant),
    ("sum by instance, 81 steps", "sum by (instance) (rate(x[5m]))", Times::Steps),
    ("selector, 81 steps", "x", Times::Steps),
    ("one series, 81 steps", "x{instance=\"10.0.0.7:9100\",cpu=\"cpu0\",mode=\"mode0\"}", Times::Steps),
    ("top five of averages, 81 steps", "topk(5, avg_over_time(x[5m]))", Times::Steps),
    ("top five, instant", "topk(5, x)", Times::Instant),
    ("share of instance, 81 steps", "x / on (instance) group_left () sum by (instance) (x)", Times::Steps),
    ("subquery, instant", "max_over_time(sum(rate(x[5m]))[10m:15s])", Times::Instant),
    ("subquery of each series, 81 steps", "max_over_time(rate(x[1m])[5m:15s])", Times::Steps),
    (
        "CPU by instance over a day at 1 m",
        "100 - 100 * avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m]))",
        Times::Day,
    ),
    ("all CPUs over a day at 1 m", "sum by (instance, mode) (rate(node_cpu_seconds_total[5m]))", Times::Day),
    ("hourly averages over a day at 1 m", "avg_over_time(node_cpu_seconds_total{cpu=\"1\"}[1h])", Times::Day),
    (
        "quantile of 50,000 buckets, instant",
        "histogram_quantile(0.9, rate(request_seconds_bucket[5m]))",
        Times::Instant,
    ),
    (
        "quantile of summed buckets, instant",
        "histogram_quantile(0.9, sum by (le) (rate(request_seconds_bucket[5m])))",
        Times::Instant,
    ),
    ("sum by of 50,000 series, instant", "sum by (instance, handler) (request_seconds_bucket)", Times::Instant),
    ("sum without of 50,000 series, instant", "sum without (le) (request_seconds_bucket)", Times::Instant),
    ("join of 50,000 series, instant", "request_seconds_bucket - request_seconds_bucket offset 5m", Times::Instant),
    ("quantile of native histograms, 81 steps", "histogram_quantile(0.9, sum(rate(h[5m])))", Times::Steps),
    ("quantile of native histograms, instant", "histogram_quantile(0.9, sum(rate(h[5m])))", Times::Instant),
    ("native histograms, 81 steps", "histogram_count(h)", Times::Steps),
];

/// When a query is evaluated.
#[derive(Clone, Copy)]
enum Times {
    Instant,
    Steps,
    Day,
}

impl Times {
    fn params(self) -> Params {
        let range = |start: i64, end: i64, step: u64| {
            Params::range(Timestamp::from_secs(start), Timestamp::from_secs(end), Duration::from_secs(step))
        };
        match self {
            Self::Instant => Params::instant(Timestamp::from_secs(1200)),
            Self::Steps => range(300, 1500, 15),
            Self::Day => range(0, 86_400, 60),
        }
    }
}

fn queries(criterion: &mut Criterion<CpuTime>) {
    let loaded = Loaded::from([
        ("x", load()),
        ("h", load_histograms()),
        ("node_cpu_seconds_total", load_day()),
        ("request_seconds_bucket", load_buckets()),
    ]);
    for (name, query, times) in CASES {
        let (expr, params) = (parse(query).expect("the query is an expression"), times.params());
        criterion.bench_function(name, |bencher| {
            let found = find(&loaded, &selections(&expr, &params));
            bencher.iter(|| evaluate(black_box(&expr), &found, &params).expect("the query has an answer"));
        });
    }
    let params = Times::Instant.params();
    let rules: Vec<_> = rules().iter().map(|rule| parse(rule).expect("the rule is an expression")).collect();
    criterion.bench_function("1,010 rules", |bencher| {
        let found: Vec<_> = rules.iter().map(|rule| find(&loaded, &selections(rule, &params))).collect();
        bencher.iter(|| {
            for (rule, found) in rules.iter().zip(&found) {
                black_box(evaluate(rule, found, &params).expect("the rule has an answer"));
            }
        });
    });
    criterion.bench_function("parse", |bencher| {
        let query = "sum by (job, le) (rate(http_request_duration_seconds_bucket{code!~\"5..\"}[5m])) / 2 > 0.5";
        bencher.iter(|| parse(black_box(query)).expect("the query is an expression"));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime).sample_size(50).measurement_time(Duration::from_secs(3));
    targets = queries
}
criterion_main!(benches);

//! How fast queries over decoded series are: a sum of rates over 1,600 series, as a range of 81 steps and at once,
//! the other shapes that dashboards are made of, and 200 native histograms of 40 buckets.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use model::{
    Buckets, CounterReset, Histogram, HistogramParts, HistogramSamples, Labels, Schema, Series, Timestamp, matches_all,
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

/// Series in memory, each scrape's with shared timestamps.
struct Loaded {
    series: Vec<Series>,
}

/// The series that each selection finds, found before the clock starts.
struct Found(Vec<Vec<Series>>);

impl Source for Found {
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
        Ok(self.0[selection].clone())
    }
}

/// 100 instances of 16 series each, a sample every 15 s for 25 minutes.
fn load() -> Loaded {
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
    Loaded { series }
}

/// 200 native histograms, a sample every 15 s for 25 minutes.
fn load_histograms() -> Vec<Series> {
    let times: Arc<[Timestamp]> = (0..100).map(|step| Timestamp::from_millis(step * 15_000)).collect();
    let one = |instance: usize| {
        let text = format!("10.0.0.{instance}:9100");
        let labels = Labels::from_pairs([("__name__", "h"), ("job", "node"), ("instance", &text)]);
        let values = (0..100_u32).map(|step| Arc::new(histogram(step))).collect();
        let samples = HistogramSamples { timestamps: Arc::clone(&times), values };
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
        let mut found: Vec<Series> =
            loaded.series.iter().filter(fits).map(|series| cut.cut(series, selection)).collect();
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

fn queries(criterion: &mut Criterion<CpuTime>) {
    let mut loaded = load();
    loaded.series.extend(load_histograms());
    let range = Params::range(Timestamp::from_secs(300), Timestamp::from_secs(1500), Duration::from_secs(15));
    let instant = Params::instant(Timestamp::from_secs(1200));
    let cases = [
        ("sum of rates, 81 steps", "sum(rate(x[5m]))", &range),
        ("sum of rates, instant", "sum(rate(x[5m]))", &instant),
        ("sum by instance, 81 steps", "sum by (instance) (rate(x[5m]))", &range),
        ("selector, 81 steps", "x", &range),
        ("one series, 81 steps", "x{instance=\"10.0.0.7:9100\",cpu=\"cpu0\",mode=\"mode0\"}", &range),
        ("top five of averages, 81 steps", "topk(5, avg_over_time(x[5m]))", &range),
        ("share of instance, 81 steps", "x / on (instance) group_left () sum by (instance) (x)", &range),
        ("subquery, instant", "max_over_time(sum(rate(x[5m]))[10m:15s])", &instant),
        ("quantile of native histograms, 81 steps", "histogram_quantile(0.9, sum(rate(h[5m])))", &range),
        ("quantile of native histograms, instant", "histogram_quantile(0.9, sum(rate(h[5m])))", &instant),
        ("native histograms, 81 steps", "histogram_count(h)", &range),
    ];
    for (name, query, params) in cases {
        let expr = parse(query).expect("the query is an expression");
        let found = find(&loaded, &selections(&expr, params));
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| evaluate(black_box(&expr), &found, params).expect("the query has an answer"));
        });
    }
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

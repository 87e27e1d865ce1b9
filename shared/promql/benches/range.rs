//! How fast queries over decoded series are: a sum of rates over 1,600 series, as a range of 81 steps and at once,
//! and the other shapes that dashboards are made of.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, criterion_group, criterion_main};
use model::{Labels, Series, Timestamp, matches_all};
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
        Series { timestamps, values: series.values[first..end].to_vec(), ..series.clone() }
    }
}

fn queries(criterion: &mut Criterion<CpuTime>) {
    let loaded = load();
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

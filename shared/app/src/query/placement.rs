//! An answer does not depend on where the samples lie: in the log, in the chunk of which minute, in the block of which
//! hour, and in whose request they came.

use std::sync::Arc;
use std::time::Duration;

use model::{
    Batch, Buckets, Histogram, HistogramParts, Labels, Limits, Sample, TenantId, TimeRange, TimedHistogram, Timestamp,
    stale_nan,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Options, When, answer};
use crate::access::{Access, SessionKey};
use crate::config::Config;
use crate::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use crate::ports::{RowRange, Shard, range_all};
use crate::{App, Ports, Settings, Stopwatch, evaluate, ingest, rollup};

/// Eight minutes before an hour.
const START: Timestamp = Timestamp::from_secs(1_795_046_400 - 480);
/// So long do samples come, one of each series every 15 s.
const MINUTES: u64 = 140;
/// So late may a sample be, in minutes.
const LATE_MAX: u64 = 25;

const QUERIES: [&str; 30] = [
    "c_total",
    "g",
    "n",
    "{__name__=~\".+\"}",
    "g offset 7m",
    "c_total @ end() - c_total @ start()",
    "rate(c_total[2m])",
    "increase(c_total[7m])",
    "irate(c_total[1m])",
    "resets(c_total[30m])",
    "sum by (i) (rate(c_total[5m]))",
    "changes(g[20m])",
    "avg_over_time(g[11m])",
    "stddev_over_time(g[9m])",
    "quantile_over_time(0.7, g[10m])",
    "deriv(g[15m])",
    "mad_over_time(g[8m])",
    "last_over_time(g[1h])",
    "ts_of_max_over_time(g[30m])",
    "timestamp(g)",
    "absent_over_time(g{i=\"a\"}[2m])",
    "count_over_time({__name__=~\".+\"}[13m])",
    "max_over_time(rate(c_total[2m])[20m:1m])",
    "sum_over_time((g > 10)[6m:40s] offset 3m)",
    "topk(1, g)",
    "g - on (i) group_left () c_total",
    "histogram_quantile(0.9, rate(n[5m]))",
    "histogram_sum(sum(n)) / histogram_count(sum(n))",
    "g[10m]",
    "n[4m]",
];

/// What happened in a deployment is drawn from a seed, number by number.
#[derive(Debug)]
struct Dice {
    seed: u64,
    thrown: u64,
}

impl Dice {
    /// A number below a bound, which is not zero.
    fn below(&mut self, bound: u64) -> u64 {
        self.thrown += 1;
        xxh3_64_with_seed(&self.thrown.to_le_bytes(), self.seed) % bound
    }
}

/// One sample, which is a number or a histogram.
#[derive(Clone, Debug)]
struct Measured {
    labels: Labels,
    sample: Result<Sample, TimedHistogram>,
}

impl Measured {
    fn timestamp(&self) -> Timestamp {
        self.sample.as_ref().map_or_else(|histogram| histogram.timestamp, |sample| sample.timestamp)
    }
}

/// Counters that start again, gauges with holes, ends and what is no number, and histograms.
fn samples(dice: &mut Dice) -> Vec<Measured> {
    let set = |name: &str, instance: &str| Labels::from_pairs([("__name__", name), ("i", instance)]).unwrap();
    let mut samples = Vec::new();
    let mut totals = [0.0; 3];
    for step in 0..MINUTES * 4 {
        for (number, instance) in ["a", "b"].iter().enumerate() {
            let timestamp = START + Duration::from_millis(step * 15_000 + dice.below(9) * 100);
            let added = f64::from(u16::try_from(dice.below(50)).unwrap());
            totals[number] = if dice.below(70) == 0 { 0.0 } else { totals[number] + added };
            let gauge = match dice.below(30) {
                0 => stale_nan(),
                1 => f64::NAN,
                _ => added,
            };
            for (name, value) in [("c_total", totals[number]), ("g", gauge)] {
                if dice.below(12) > 0 {
                    samples.push(Measured { labels: set(name, instance), sample: Ok(Sample { timestamp, value }) });
                }
            }
            totals[2] += added;
            let counts = vec![totals[2], 2.0 * totals[2]];
            let histogram = Histogram::new(HistogramParts {
                count: 3.0 * totals[2],
                sum: added,
                positive: Buckets::from_run(1, counts).unwrap(),
                ..HistogramParts::default()
            });
            let native = TimedHistogram { timestamp, histogram: Arc::new(histogram.unwrap()) };
            samples.push(Measured { labels: set("n", instance), sample: Err(native) });
        }
    }
    samples
}

fn batch(samples: &[Measured]) -> Batch {
    let mut batch = Batch::new();
    for Measured { labels, sample } in samples {
        let number = sample.as_ref().ok().copied();
        batch.push_native(labels.as_ref(), number, sample.as_ref().err().cloned());
    }
    batch
}

fn ports() -> Ports {
    Ports {
        wal: Arc::new(MemoryWal::default()),
        objects: Arc::new(MemoryObjectStore::default()),
        state: Arc::new(MemoryStateStore::default()),
        topic: Arc::new(MemoryTopic::default()),
        messenger: Arc::new(MemoryMessenger::default()),
    }
}

/// A process that has just started.
fn process(ports: &Ports) -> App {
    let config = Config::parse::<&str, &str>(&[]).expect("no file is wrong");
    let session = (Access::Open, SessionKey::new([7; 32]));
    App::new(ports.clone(), Settings::default(), Limits::default(), Stopwatch::stopped(), config, session)
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn end() -> Timestamp {
    START + Duration::from_secs((MINUTES + LATE_MAX + 5) * 60)
}

/// All samples in one request, still in the log.
async fn at_once(samples: &[Measured]) -> App {
    let app = process(&ports());
    ingest::append(&app, &tenant(), &batch(samples), end()).await.unwrap();
    app
}

/// The samples as they come in life: by several senders, late, out of order and twice, while ticks cut chunks, rollups
/// make blocks of them, and processes end.
async fn as_they_came(samples: &[Measured], dice: &mut Dice) -> App {
    let senders = 1 + dice.below(4);
    let mut arrivals: Vec<Vec<Measured>> = vec![Vec::new(); usize::try_from(MINUTES + LATE_MAX + 5).unwrap()];
    for one in samples {
        let minute = one.timestamp().since(START).as_secs() / 60;
        for _ in 0..=u64::from(dice.below(20) == 0) {
            let late = if dice.below(10) == 0 { dice.below(LATE_MAX) } else { dice.below(2) };
            let arrived = &mut arrivals[usize::try_from(minute + late).unwrap()];
            let place = usize::try_from(dice.below(arrived.len() as u64 + 1)).unwrap();
            arrived.insert(place, one.clone());
        }
    }
    let ports = ports();
    let mut app = process(&ports);
    for (minute, arrived) in (0..).zip(arrivals) {
        let now = START + Duration::from_secs(minute * 60 + dice.below(60));
        let mut requests = vec![Vec::new(); usize::try_from(senders).unwrap()];
        arrived.into_iter().for_each(|one| requests[usize::try_from(dice.below(senders)).unwrap()].push(one));
        for request in requests {
            ingest::append(&app, &tenant(), &batch(&request), now).await.unwrap();
        }
        if dice.below(5) > 0 {
            evaluate::tick(&app, Shard::default(), now).await.unwrap();
        }
        if dice.below(25) == 0 {
            rollup::run(&app, now).await.unwrap();
        }
        if dice.below(15) == 0 {
            app = process(&ports);
        }
    }
    app
}

/// How many chunks and blocks of hours there are.
async fn stored(app: &App) -> [usize; 2] {
    let rows = RowRange::all(format!("c#{}#0", tenant()));
    let rows = range_all(app.ports.state.as_ref(), rows, end()).await.unwrap();
    ["#0#", "#1"].map(|kind| rows.iter().filter(|row| row.key.sort.contains(kind)).count())
}

/// Everything that an answer shows.
async fn shown(app: &App, query: &str, when: When) -> String {
    match answer(app, &tenant(), query, when, Options::default(), end()).await {
        Ok(answer) => format!("{:?}", answer.output),
        Err(error) => format!("error: {error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4,
        max_shrink_iters: 0,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(5),
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_answer_does_not_depend_on_where_samples_lie_or_how_they_came(seed in any::<u64>()) {
        let mut dice = Dice { seed, thrown: 0 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let samples = samples(&mut dice);
            let (whole, cut) = (at_once(&samples).await, as_they_came(&samples, &mut dice).await);
            let stored = stored(&cut).await;
            prop_assert!(stored[0] > 0 && stored[1] > 0, "{:?} chunks and blocks", stored);
            let mut found = 0;
            for query in QUERIES {
                let from = START + Duration::from_secs(dice.below(MINUTES * 60));
                let until = from + Duration::from_secs(dice.below(2 * 3600));
                let over = When::Over(TimeRange::new(from, until), Duration::from_secs(7 + dice.below(400)));
                for when in [When::At(from), over] {
                    let expected = shown(&whole, query, when).await;
                    prop_assert_eq!(&shown(&cut, query, when).await, &expected, "{} {:?}", query, when);
                    found += usize::from(expected.contains("timestamp"));
                }
            }
            prop_assert!(found > QUERIES.len(), "only {} answers had series", found);
            Ok(())
        })?;
    }
}

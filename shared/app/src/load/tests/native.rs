//! Native histograms on their way from the log to rollups.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{
    Aggregate, Batch, Buckets, Histogram, HistogramParts, HistogramSamples, Sample, Series, TimeRange, TimedHistogram,
    Timestamp,
};
use tsdb::rollup::{Resolution, aggregate, cut, roll_up};

use super::super::testing::{START, World, labels, selection, tenant};
use super::{secs, world};
use crate::ports::Shard;

/// A counter of requests, which starts again every 50 minutes, beside a number that another job sends.
fn histogram(minute: u32) -> Arc<Histogram> {
    let step = f64::from(minute % 50);
    let positive = Buckets::from_run(-3, vec![step, step * 2.0, (step / 7.0).floor()]).unwrap();
    let count = positive.counts().iter().sum();
    Arc::new(Histogram::new(HistogramParts { count, sum: step * 0.25, positive, ..HistogramParts::default() }).unwrap())
}

fn time(minute: u32) -> Timestamp {
    START + secs(u64::from(minute) * 60)
}

/// A series that has numbers for its first ten minutes, histograms for the rest.
fn expected(minutes: u32) -> Vec<Series> {
    let numbers: Vec<Sample> =
        (1..=minutes.min(10)).map(|minute| Sample { timestamp: time(minute), value: f64::from(minute) }).collect();
    let times: Vec<Timestamp> = (11..=minutes).map(time).collect();
    let histograms = HistogramSamples::new(times.into(), (11..=minutes).map(histogram).collect());
    let native = Some(Box::new(histograms)).filter(|native| !native.values.is_empty());
    vec![Series { histograms: native, ..Series::from_samples(labels("latency"), &numbers) }]
}

async fn push(world: &World, minute: u32) {
    let mut batch = Batch::new();
    if minute <= 10 {
        batch.push(labels("latency").as_ref(), [Sample { timestamp: time(minute), value: f64::from(minute) }]);
    } else {
        let sample = TimedHistogram { timestamp: time(minute), histogram: histogram(minute) };
        batch.push_native(labels("latency").as_ref(), [], [sample]);
    }
    let blob = Bytes::from(tsdb::wal::encode(&batch));
    world.ports.wal.append(Shard(0), world.now.minute(), &tenant(), blob).await.unwrap();
}

/// A line a sample.
fn text(series: &[Series]) -> String {
    let mut lines = Vec::new();
    for one in series {
        lines.push(format!("{} {:?} {:?}", one.labels, one.resolution, one.weights));
        lines.extend(one.samples().map(|sample| format!("{} {}", sample.timestamp, sample.value)));
        let Some(native) = &one.histograms else { continue };
        lines.push(format!("{:?}", native.weights));
        for (time, histogram) in native.timestamps.iter().zip(&native.values) {
            lines.push(format!("{time} {histogram} {:?}", histogram.counter_reset()));
        }
    }
    lines.join("\n")
}

async fn check_raw(world: &World, minutes: u32) {
    let found = world.raw(world.recent()).await.unwrap();
    assert_eq!(text(&found), text(&expected(minutes)), "after {minutes} minutes");
}

#[tokio::test]
async fn histograms_are_seen_at_once_and_at_each_step_of_their_way() {
    let mut world = world();
    for minute in 1..=130 {
        world.now = time(minute);
        push(&world, minute).await;
        if minute % 13 == 0 {
            check_raw(&world, minute).await;
        }
        world.tick().await.unwrap();
        if minute % 17 == 0 {
            world.restart();
            check_raw(&world, minute).await;
        }
    }
    world.now = world.now + secs(7200);
    assert_eq!(world.roll_up().await.unwrap().hours_built, 3);
    check_raw(&world, 130).await;
    world.restart();
    check_raw(&world, 130).await;
}

#[tokio::test]
async fn rollups_of_histograms_are_those_of_all_their_samples() {
    let mut world = world();
    for minute in 1..=300 {
        world.now = time(minute);
        push(&world, minute).await;
        world.tick().await.unwrap();
        if minute == 200 {
            world.roll_up().await.unwrap();
        }
    }
    world.now = world.now + secs(3600);
    world.tick().await.unwrap();
    world.roll_up().await.unwrap();
    let range = TimeRange::new(START - Duration::from_secs(30 * 86_400), world.now);
    for (wanted, window, resolution) in [
        (Aggregate::Last, 600, Resolution::FiveMinutes),
        (Aggregate::Increase, 600, Resolution::FiveMinutes),
        (Aggregate::Average, 600, Resolution::FiveMinutes),
        (Aggregate::Increase, 7200, Resolution::Hour),
    ] {
        let found = world.query(&selection(range, window, window, wanted)).await.unwrap();
        let rollups = roll_up(&expected(300), resolution, TimeRange::ALL);
        let expected = aggregate(cut(rollups, range), wanted, resolution);
        let (found_text, expected) = (text(&found), text(&expected));
        let differs = found_text.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
        assert_eq!(differs, None, "{wanted:?} of {resolution:?}");
        assert_eq!(found_text.len(), expected.len(), "{wanted:?} of {resolution:?}");
        assert!(found[0].histograms.as_ref().unwrap().values.len() > 3);
    }
}

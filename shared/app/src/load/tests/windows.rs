//! Windows of a single step that reach back farther than raw samples are kept.

use model::{Aggregate, TimeRange};
use tsdb::rollup::Resolution;

use super::super::testing::{START, World, bits, selection};
use super::{minutes, secs, world};

const DAY: u64 = 86_400;

/// The series `gauge` of a selection of one step, over days that end so long ago.
async fn weigh(world: &World, days: u64, ago: u64) -> (f64, Option<std::time::Duration>) {
    let end = world.now - secs(ago);
    let range = TimeRange::new(end - secs(days * DAY), end);
    let found = world.query(&selection(range, 0, days * DAY, Aggregate::Average)).await.unwrap();
    let gauge = found.iter().find(|series| series.labels.metric_name() == "gauge").unwrap();
    assert!(gauge.timestamps.iter().all(|time| range.contains(*time)), "{:?}", gauge.timestamps);
    let count: f64 = gauge.weights.as_ref().map_or(gauge.len() as f64, |weights| weights.iter().sum());
    (count, gauge.resolution)
}

#[tokio::test]
async fn what_is_young_is_answered_as_it_came_however_far_a_window_reaches() {
    let mut world = world();
    minutes(&mut world, 200).await;
    for rolled_up in [false, true] {
        if rolled_up {
            world.roll_up().await.unwrap();
        }
        for days in [8, 30, 400, 7000] {
            let range = TimeRange::new(world.now - secs(days * DAY), world.now);
            for aggregate in [Aggregate::Average, Aggregate::Increase, Aggregate::Last] {
                let found = world.query(&selection(range, 0, days * DAY, aggregate)).await.unwrap();
                assert_eq!(bits(&found), bits(&world.expected(range)), "{days} days, {aggregate:?}, {rolled_up}");
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_missing_of_the_newest_span() {
    let mut world = world();
    minutes(&mut world, 130).await;
    world.now = world.now + secs(7200);
    world.tick().await.unwrap();
    world.roll_up().await.unwrap();
    world.now = START + secs(8 * DAY);
    minutes(&mut world, 100).await;
    for rolled_up in [false, true] {
        if rolled_up {
            let quiet = world.now;
            world.now = world.now + secs(7200);
            world.tick().await.unwrap();
            world.roll_up().await.unwrap();
            world.now = quiet;
        }
        let hour = Some(Resolution::Hour.duration());
        assert_eq!(weigh(&world, 9, 0).await, (230.0, hour), "to the last sample");
        assert_eq!(weigh(&world, 9, 25 * 60).await, (205.0, hour), "to an end that lies back, rolled up: {rolled_up}");
        assert_eq!(weigh(&world, 9, 40 * 60).await, (190.0, hour), "to an end between two hours");
        let range = TimeRange::new(world.now - secs(9 * DAY), world.now);
        let found = world.query(&selection(range, 0, 9 * DAY, Aggregate::Increase)).await.unwrap();
        let counter = found.iter().find(|series| series.labels.metric_name() == "counter").unwrap();
        let [.., (hour, before), (end, last)] = counter.timestamps.iter().zip(&counter.values).collect::<Vec<_>>()[..]
        else {
            panic!()
        };
        assert_eq!((*hour, *end), (world.now - secs(40 * 60), world.now));
        assert_eq!((last - before).to_string(), "2400", "it grows by one a second");
    }
}

use std::time::Duration;

use model::{Aggregate, TimeRange, Timestamp};
use tsdb::rollup::Resolution;

use super::RollupSummary;
use crate::catalogue::{raw_rows, rollup_rows};
use crate::faults::{Fault, FaultPlan, FaultRates};
use crate::load::Stored;
use crate::load::testing::{START, World, bits, selection, tenant};
use crate::ports::Shard;
use crate::tick_row::StateCache;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A sample of two series every minute, with a tick after each.
async fn minutes(world: &mut World, count: u64) {
    for _ in 0..count {
        world.now = world.now + secs(60);
        let now = world.now;
        world.push(&[("counter", now, now.as_secs_f64()), ("gauge", now, now.as_secs_f64() % 7.0)]).await;
        world.tick().await.unwrap();
    }
}

async fn check_raw(world: &World) {
    let found = world.raw(world.recent()).await.unwrap();
    assert_eq!(bits(&found), bits(&world.expected(world.recent())));
}

/// What rollups answer, against those of all samples.
async fn check_rollups(world: &World, resolution: Resolution, aggregate: Aggregate) {
    let step = resolution.duration().as_secs();
    let range = TimeRange::new(world.now - secs(30 * 86_400), world.now);
    let found = world.query(&selection(range, step, step * 2, aggregate)).await.unwrap();
    let expected = world.expected_rollups(range, resolution, aggregate);
    assert_eq!(bits(&found), bits(&expected), "{resolution:?} {aggregate:?} at {}", world.now);
}

/// Enough names, of which nothing can be saved, to make objects of chunks.
fn many_names() -> Vec<String> {
    (0..900u32).map(|index| format!("s{:016x}", xxhash_rust::xxh3::xxh3_64(&index.to_le_bytes()))).collect()
}

async fn counts(world: &World) -> (usize, usize) {
    let rows = raw_rows(world.ports.state.as_ref(), &tenant(), Shard(0), TimeRange::ALL, world.now).await.unwrap();
    (rows.iter().filter(|row| !row.is_hour()).count(), rows.iter().filter(|row| row.is_hour()).count())
}

#[tokio::test]
async fn chunks_become_a_block_once_their_hour_is_over() {
    let mut world = World::new(FaultPlan::none());
    minutes(&mut world, 66).await;
    assert_eq!(world.roll_up().await.unwrap().hours_built, 0, "the hour ended less than ten minutes ago");
    minutes(&mut world, 10).await;
    let summary = world.roll_up().await.unwrap();
    assert_eq!((summary.hours_built, summary.hours_rolled_up, summary.hours_left), (1, 1, 0));
    let (chunks, blocks) = counts(&world).await;
    assert_eq!(blocks, 1);
    assert!(chunks < 16, "{chunks}");
    check_raw(&world).await;
    assert_eq!(world.roll_up().await.unwrap(), RollupSummary::default(), "a second run finds nothing to do");
    for resolution in Resolution::ALL {
        let rows = rollup_rows(world.ports.state.as_ref(), &tenant(), resolution, TimeRange::ALL, world.now).await;
        assert_eq!(rows.unwrap().len(), 1, "{resolution:?}");
    }
}

#[tokio::test]
async fn late_data_rebuilds_its_hour_and_the_increase_of_the_next_one_at_most_once_an_hour() {
    let mut world = World::new(FaultPlan::none());
    minutes(&mut world, 200).await;
    world.roll_up().await.unwrap();
    // The last sample of hour 0 comes late: hour 1 counts its first increase from it.
    let late = START + secs(3599);
    world.push(&[("counter", late, late.as_secs_f64() + 0.5)]).await;
    world.now = world.now + secs(300);
    world.tick().await.unwrap();
    check_raw(&world).await;
    assert_eq!(world.roll_up().await.unwrap().hours_built, 0, "the block is younger than an hour");
    world.now = world.now + secs(3600);
    world.tick().await.unwrap();
    let summary = world.roll_up().await.unwrap();
    // Hour 0 again and hour 3 for the first time; rollups of hour 0, of hour 1 after it, and of hour 3.
    assert_eq!((summary.hours_built, summary.hours_rolled_up), (2, 3));
    check_raw(&world).await;
    for resolution in [Resolution::Minute, Resolution::FiveMinutes, Resolution::Hour, Resolution::Day] {
        for aggregate in [Aggregate::Increase, Aggregate::Average, Aggregate::Max] {
            check_rollups(&world, resolution, aggregate).await;
        }
    }
}

#[tokio::test]
async fn replaced_objects_go_an_hour_later_and_not_before() {
    let mut world = World::new(FaultPlan::none());
    // Enough series that chunks and blocks are objects.
    let names = many_names();
    for minute in 1..=75u64 {
        world.now = START + secs(minute * 60);
        let now = world.now;
        let value = |index: usize| (now.minute() as f64 * 31.7 + index as f64 * 17.3).sin();
        let samples: Vec<_> = names.iter().enumerate().map(|(i, name)| (name.as_str(), now, value(i))).collect();
        world.push(&samples).await;
        world.tick().await.unwrap();
    }
    let objects = async |world: &World| world.ports.objects.list("raw/", None).await.unwrap().entries.len();
    let before = objects(&world).await;
    assert!(before > 60, "{before} objects");
    assert_eq!(world.roll_up().await.unwrap().objects_deleted, 0);
    check_raw(&world).await;
    assert_eq!(objects(&world).await, before + 1);
    world.now = world.now + secs(3660);
    assert_eq!(world.roll_up().await.unwrap().objects_deleted, 60);
    world.restart();
    check_raw(&world).await;
}

#[tokio::test]
async fn a_chunk_that_a_repeated_tick_names_again_keeps_its_object() {
    let mut world = World::new(FaultPlan::none());
    let names = many_names();
    let samples: Vec<_> = names.iter().enumerate().map(|(i, name)| (name.as_str(), START, (i as f64).sqrt())).collect();
    world.push(&samples).await;
    world.now = START + secs(4500);
    let (row, _) = crate::tick_row::read(&world.ports, &StateCache::default(), Shard(0), world.now).await.unwrap();
    let log = world.loader.log(Shard(0), row.watermark, world.now).await.unwrap();
    let drained = crate::load::drain(&log, world.now).await.unwrap();
    drained.store(&world.ports, Shard(0), world.now).await.unwrap();
    // The tick dies before its commit; meanwhile the chunk becomes a block.
    assert_eq!(world.roll_up().await.unwrap().hours_built, 1);
    drained.store(&world.ports, Shard(0), world.now).await.unwrap();
    check_raw(&world).await;
    world.now = world.now + secs(3700);
    let summary = world.roll_up().await.unwrap();
    assert_eq!(summary.hours_built, 0, "the block holds the chunk already");
    assert_eq!(counts(&world).await, (0, 1));
    world.now = world.now + secs(3700);
    world.roll_up().await.unwrap();
    assert_eq!(world.ports.objects.list("raw/", None).await.unwrap().entries.len(), 1);
    world.restart();
    check_raw(&world).await;
}

#[tokio::test]
async fn an_hour_that_cannot_be_read_holds_up_no_other() {
    let mut world = World::new(FaultPlan::none());
    let names = many_names();
    for hour in 0..3u64 {
        world.now = START + secs(hour * 3600 + 60);
        let now = world.now;
        let value = |index: usize| (hour as f64 * 31.7 + index as f64 * 17.3).sin();
        let samples: Vec<_> = names.iter().enumerate().map(|(i, name)| (name.as_str(), now, value(i))).collect();
        world.push(&samples).await;
        world.now = world.now + secs(600);
        world.tick().await.unwrap();
    }
    let objects = world.ports.objects.list("raw/", None).await.unwrap().entries;
    assert_eq!(objects.len(), 3);
    world.ports.objects.delete(&objects[0].key).await.unwrap();
    world.now = START + secs(4 * 3600);
    let error = world.roll_up().await.unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::NotFound);
    assert_eq!(counts(&world).await, (1, 2), "the other hours are built");
    let found = world.raw(TimeRange::new(START + secs(3601), world.now)).await.unwrap();
    assert_eq!(found.len(), names.len());
    world.now = START + world.limits.raw_retention + secs(4 * 86_400);
    drop(world.roll_up().await);
    assert_eq!(counts(&world).await, (0, 0), "retention goes on, and takes the broken hour with it");
    world.roll_up().await.unwrap();
}

#[tokio::test]
async fn retention_removes_raw_samples_and_later_rollups() {
    let mut world = World::new(FaultPlan::none());
    minutes(&mut world, 200).await;
    world.now = world.now + secs(3600);
    world.tick().await.unwrap();
    world.roll_up().await.unwrap();
    let expected = counts(&world).await;
    assert_eq!(expected, (0, 4));
    world.now = START + world.limits.raw_retention + secs(86_400);
    assert_eq!(world.roll_up().await.unwrap().rows_expired, 0, "raw outlives its answers by two days");
    world.now = world.now + secs(2 * 86_400);
    assert_eq!(world.roll_up().await.unwrap().rows_expired, 4);
    assert_eq!(counts(&world).await, (0, 0));
    for resolution in [Resolution::Minute, Resolution::FiveMinutes, Resolution::Hour, Resolution::Day] {
        check_rollups(&world, resolution, Aggregate::Increase).await;
        check_rollups(&world, resolution, Aggregate::Average).await;
    }
    assert_eq!(world.roll_up().await.unwrap().hours_rolled_up, 0, "what is gone is not rolled up again");
    world.now = START + world.limits.rollup_retention + secs(2 * 86_400);
    let expired = world.roll_up().await.unwrap().rows_expired;
    assert_eq!(expired, 4 + 4 + 1 + 1, "four hours at 1m and at 5m, one day at 1h and at 1d");
}

/// What the row of the tenant says, and what the catalogue has: pieces, bytes and samples of hours and rollups.
async fn counted(world: &World) -> [Vec<(u64, u64, u64)>; 2] {
    let state = world.ports.state.as_ref();
    let row = Stored::read(state, &tenant(), world.now).await.unwrap().unwrap_or_default();
    let all = Stored::count(state, &tenant(), world.now).await.unwrap();
    [row, all].map(|stored| {
        let stats = std::iter::once(stored.hours).chain(stored.rollups);
        stats.map(|stats| (stats.pieces, stats.bytes, stats.samples)).collect()
    })
}

#[tokio::test]
async fn late_data_of_days_ago_is_taken_by_the_next_run_and_what_is_stored_stays_counted() {
    let mut world = World::new(FaultPlan::none());
    minutes(&mut world, 130).await;
    // Ten in the morning, two days later; the first run of a day looks at everything.
    world.now = START + secs(58 * 3600);
    world.tick().await.unwrap();
    let built = |summary: RollupSummary| (summary.hours_built, summary.hours_rolled_up);
    assert_eq!(built(world.roll_up().await.unwrap()), (3, 3));
    let [row, all] = counted(&world).await;
    assert_eq!(row, all);
    for run in 0..3 {
        world.now = world.now + secs(3600);
        assert_eq!(built(world.roll_up().await.unwrap()), (0, 0));
        world.push(&[("late", START + secs(1800 + run), 1.0)]).await;
        world.now = world.now + secs(300);
        world.tick().await.unwrap();
        world.now = world.now + secs(3600);
        // The next hour's increase counts from this one.
        assert_eq!(built(world.roll_up().await.unwrap()), (1, 2), "run {run}");
        let [row, all] = counted(&world).await;
        assert_eq!(row, all, "run {run}");
        check_raw(&world).await;
    }
    for days in [10, 400] {
        world.now = START + secs(days * 86_400);
        world.roll_up().await.unwrap();
        let [row, all] = counted(&world).await;
        assert_eq!(row, all, "{days} days later");
    }
}

#[tokio::test]
async fn a_run_that_looks_at_recent_hours_alone_rolls_them_up_as_one_that_looks_at_all() {
    let mut world = World::new(FaultPlan::none());
    // So that the window of recent hours begins within the samples.
    for hour in 0..40u64 {
        world.now = START + secs(hour * 3600 + 700);
        let now = world.now;
        world.push(&[("counter", now, now.as_secs_f64()), ("gauge", now, (hour % 7) as f64)]).await;
        world.now = now + secs(600);
        world.tick().await.unwrap();
        world.roll_up().await.unwrap();
        let [row, all] = counted(&world).await;
        assert_eq!(row, all, "hour {hour}");
    }
    check_raw(&world).await;
    check_rollups(&world, Resolution::Hour, Aggregate::Increase).await;
    check_rollups(&world, Resolution::Minute, Aggregate::Increase).await;
}

/// Every call of a run fails once, before or after it took effect, or comes twice: the next runs heal all.
#[tokio::test]
async fn a_run_may_die_at_any_call() {
    let faults = [
        Fault::ErrorBefore(model::ErrorKind::Unavailable),
        Fault::ErrorAfter(model::ErrorKind::Unavailable),
        Fault::Duplicate,
        Fault::Retried,
    ];
    let quiet = run_with_fault(None).await;
    for operation in ["state write", "state range", "state get", "state put", "object put", "object get"] {
        let first = quiet.0.iter().find(|(name, _)| *name == operation).map_or(0, |(_, calls)| *calls);
        for call in first..first + 6 {
            for fault in faults {
                let (_, healed) = run_with_fault(Some((operation, call, fault))).await;
                assert_eq!(healed, quiet.1, "{operation} {call} {fault:?}");
            }
        }
    }
}

type Calls = Vec<(&'static str, u64)>;

/// Calls before the first run, and what is stored in the end.
async fn run_with_fault(fault: Option<(&'static str, u64, Fault)>) -> (Calls, (usize, usize)) {
    let mut world = World::new(FaultPlan::script(fault));
    world.now = START;
    for minute in [1, 5, 9] {
        let time = START + secs(minute * 60);
        world.push(&[("counter", time, minute as f64), ("gauge", time, 1.0)]).await;
    }
    world.now = START + secs(4500);
    while world.tick().await.is_err() {}
    let names = ["state write", "state range", "state get", "state put", "object put", "object get"];
    let calls = names.map(|name| (name, world.plan.calls(name))).to_vec();
    for _ in 0..3 {
        // A failed run is what this is about.
        drop(world.roll_up().await);
    }
    world.plan.stop();
    world.roll_up().await.unwrap();
    check_raw(&world).await;
    world.restart();
    check_raw(&world).await;
    check_rollups(&world, Resolution::Minute, Aggregate::Increase).await;
    check_rollups(&world, Resolution::Day, Aggregate::Average).await;
    (calls, counts(&world).await)
}

/// Hours of pushes, ticks and runs under faults of all kinds: nothing acknowledged is ever missing, nothing is counted
/// twice.
#[tokio::test]
async fn random_faults_lose_and_repeat_nothing() {
    for seed in 0..6 {
        let plan = FaultPlan::seeded(seed, FaultRates::each(40));
        let mut world = World::new(plan);
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for _ in 0..70 {
            world.now = world.now + secs(60 * (1 + next(8)));
            let now = world.now;
            for _ in 0..next(3) {
                let age = if next(5) == 0 { next(5 * 3600) } else { next(60) };
                let time = Timestamp::from_millis((now - secs(age)).as_millis().max(START.as_millis()));
                let value = next(1000) as f64;
                world.push(&[("counter", time, value), ("gauge", time, 1.0)]).await;
            }
            drop(world.tick().await);
            if next(4) == 0 {
                drop(world.roll_up().await);
            }
            if next(10) == 0 {
                world.restart();
            }
            // Reads fail under faults, too; what they answer must be right.
            if let Ok(found) = world.raw(world.recent()).await {
                assert_eq!(bits(&found), bits(&world.expected(world.recent())), "seed {seed} at {now}");
            }
        }
        world.plan.stop();
        for _ in 0..3 {
            world.now = world.now + secs(4000);
            world.tick().await.unwrap();
            world.roll_up().await.unwrap();
        }
        check_raw(&world).await;
        assert_eq!(counts(&world).await.0, 0, "seed {seed}: all chunks are in blocks");
        for resolution in Resolution::ALL {
            check_rollups(&world, resolution, Aggregate::Increase).await;
            check_rollups(&world, resolution, Aggregate::Min).await;
        }
    }
}

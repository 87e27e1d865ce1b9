mod native;
mod windows;

use std::time::Duration;

use model::{Aggregate, ErrorKind, Matcher, Series, TimeRange, stale_nan};
use promql::Source;
use tsdb::rollup::Resolution;

use super::testing::{START, World, bits, selection, tenant};
use crate::faults::FaultPlan;
use crate::ports::{DamagedEntry, Shard};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn world() -> World {
    World::new(FaultPlan::none())
}

/// One sample of two series every minute, from the world's now on, with a tick after each.
async fn minutes(world: &mut World, count: u64) {
    for _ in 0..count {
        world.now = world.now + secs(60);
        let value = world.now.as_secs_f64() % 977.0;
        let now = world.now;
        world.push(&[("counter", now, now.as_secs_f64()), ("gauge", now, value), ("constant", now, 1.0)]).await;
        world.tick().await.unwrap();
    }
}

async fn check_raw(world: &World, range: TimeRange) {
    assert_eq!(bits(&world.raw(range).await.unwrap()), bits(&world.expected(range)), "{range:?}");
}

#[tokio::test]
async fn a_sample_is_seen_at_once_and_at_each_step_of_its_way() {
    let mut world = world();
    world.push(&[("counter", START, 1.0)]).await;
    check_raw(&world, world.recent()).await;
    for _ in 0..6 {
        world.now = world.now + secs(60);
        world.tick().await.unwrap();
        check_raw(&world, world.recent()).await;
        world.restart();
        check_raw(&world, world.recent()).await;
    }
    world.now = world.now + secs(7200);
    assert_eq!(world.roll_up().await.unwrap().hours_built, 1);
    check_raw(&world, world.recent()).await;
}

#[tokio::test]
async fn ranges_are_cut_wherever_the_samples_lie() {
    let mut world = world();
    minutes(&mut world, 130).await;
    world.roll_up().await.unwrap();
    for (from, to) in [(0, 200), (0, 0), (5, 7), (58, 62), (119, 131), (128, 130), (131, 140)] {
        let range = TimeRange::new(START + secs(from * 60), START + secs(to * 60));
        check_raw(&world, range).await;
    }
}

#[tokio::test]
async fn the_greater_of_two_values_stays_and_a_value_beats_a_staleness_marker() {
    let mut world = world();
    world.push(&[("gauge", START, 2.0), ("other", START, stale_nan())]).await;
    world.now = world.now + secs(600);
    world.tick().await.unwrap();
    world.push(&[("gauge", START, 1.0), ("other", START, 5.0)]).await;
    let found = world.raw(world.recent()).await.unwrap();
    assert_eq!(found.iter().map(|series| series.values[0]).collect::<Vec<_>>(), [2.0, 5.0]);
}

#[tokio::test]
async fn what_the_rules_of_a_tick_share_is_what_each_would_load() {
    let mut world = world();
    minutes(&mut world, 70).await;
    world.roll_up().await.unwrap();
    world.now = world.now + secs(60);
    world.push(&[("gauge", world.now, 7.0)]).await;
    let now = world.now;
    let asked = |metric: &str, from: u64, to: u64| {
        let range = TimeRange::new(now - secs(from * 60), now - secs(to * 60));
        let matchers = [Matcher::equal("__name__", metric), Matcher::equal("job", "test")];
        promql::Selection {
            matchers: matchers[..1 + usize::from(from.is_multiple_of(2))].to_vec(),
            ..selection(range, 0, 300, Aggregate::Last)
        }
    };
    let gauges = [(5, 0), (4, 0), (15, 10), (59, 55), (400, 0)].map(|(from, to)| asked("gauge", from, to));
    let selections = [&gauges[..], &[asked("counter", 5, 0), asked("unknown", 5, 0), asked("unknown", 7, 1)]].concat();
    for samples_max in [50_000_000, 40, 4] {
        world.limits.query_samples_max = samples_max;
        world.restart();
        let log = world.loader.log(Shard(0), now.minute() - 1, now).await.unwrap();
        let tenant = tenant();
        let mut loads = world.loader.loads(&log, &tenant, &selections, now);
        for wanted in &selections {
            let shared = loads.load(std::slice::from_ref(wanted)).await;
            let shared = shared.and_then(|loaded| Ok(bits(&loaded.series(0)?)));
            let alone = world.query(wanted).await.map(|series| bits(&series));
            match alone {
                Ok(alone) => assert_eq!(shared.unwrap(), alone, "{wanted:?}"),
                Err(alone) => assert_eq!(shared.unwrap_err().to_string(), alone.to_string(), "{wanted:?}"),
            }
        }
    }
}

#[tokio::test]
async fn retention_holds_on_read() {
    let mut world = world();
    minutes(&mut world, 10).await;
    world.now = START + world.limits.raw_retention + secs(300);
    let range = TimeRange::new(START + secs(300), world.now);
    let found = world.raw(range).await.unwrap();
    assert_eq!(bits(&found), bits(&world.expected(range)), "the first five minutes are too old");
    assert!(!found.is_empty());
    let names = world.loader.series(&tenant(), &[], TimeRange::new(START, START + secs(299)), world.now).await.unwrap();
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn too_much_is_refused_before_any_value_is_fetched() {
    let mut world = world();
    minutes(&mut world, 70).await;
    world.now = world.now + secs(3600);
    world.tick().await.unwrap();
    world.roll_up().await.unwrap();
    world.limits.query_samples_max = 100;
    world.restart();
    let error = world.raw(world.recent()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().ends_with("the limit is 100 (query_samples_max, --query-samples-max)"), "{error}");
    world.limits.query_samples_max = 1_000_000;
    world.limits.query_series_max = 2;
    world.restart();
    let error = world.raw(world.recent()).await.unwrap_err();
    assert_eq!(error.to_string(), "query selects more than 2 series (query_series_max, --query-series-max)");
}

#[tokio::test]
async fn label_sets_come_from_all_places_once_and_sorted() {
    let mut world = world();
    minutes(&mut world, 70).await;
    world.now = world.now + secs(3600);
    world.tick().await.unwrap();
    world.roll_up().await.unwrap();
    let now = world.now;
    world.push(&[("gauge", now, 1.0), ("newcomer", now, 1.0)]).await;
    let names = |found: Vec<model::Labels>| found.iter().map(|set| set.metric_name().to_owned()).collect::<Vec<_>>();
    let all = TimeRange::new(START, now);
    let found = world.loader.series(&tenant(), &[], all, now).await.unwrap();
    assert_eq!(names(found), ["constant", "counter", "gauge", "newcomer"]);
    let selectors = [vec![Matcher::equal("__name__", "gauge")], vec![Matcher::equal("__name__", "newcomer")]];
    let found = world.loader.series(&tenant(), &selectors, all, now).await.unwrap();
    assert_eq!(names(found), ["gauge", "newcomer"]);
    // Longer ago than raw samples are kept, rollups know the names.
    world.now = START + world.limits.raw_retention + secs(3 * 86_400);
    let found = world.loader.series(&tenant(), &[], all, world.now).await.unwrap();
    assert_eq!(names(found), ["constant", "counter", "gauge"]);
}

#[tokio::test]
async fn rollups_answer_with_the_newest_hours_rolled_up_on_the_way() {
    let mut world = world();
    minutes(&mut world, 200).await;
    for rolled_up in [false, true] {
        if rolled_up {
            let summary = world.roll_up().await.unwrap();
            assert_eq!((summary.hours_built, summary.hours_rolled_up), (3, 3));
        }
        // A range that is long enough for rollups, though there are samples of three hours only.
        let range = TimeRange::new(world.now - secs(3 * 86_400), world.now);
        let tiers = [(120, Resolution::Minute), (600, Resolution::FiveMinutes), (7200, Resolution::Hour)];
        for (window, resolution) in tiers {
            for aggregate in [Aggregate::Last, Aggregate::Average, Aggregate::Min, Aggregate::Max, Aggregate::Increase]
            {
                let selection = selection(range, resolution.duration().as_secs(), window, aggregate);
                let found = world.query(&selection).await.unwrap();
                let expected = world.expected_rollups(range, resolution, aggregate);
                assert_eq!(bits(&found), bits(&expected), "{resolution:?} {aggregate:?} {rolled_up}");
                assert!(found.iter().all(|series| series.resolution == Some(resolution.duration())));
                let weights = |series: &[Series]| series.iter().map(|one| one.weights.clone()).collect::<Vec<_>>();
                assert_eq!(weights(&found), weights(&expected));
            }
        }
    }
}

#[tokio::test]
async fn stats_count_what_is_stored() {
    let mut world = world();
    minutes(&mut world, 129).await;
    world.roll_up().await.unwrap();
    let stats = world.loader.storage_stats(&tenant(), world.now).await.unwrap();
    // Hour 0 is built; hour 1 ended less than ten minutes ago.
    assert_eq!((stats.hours.pieces, stats.hours.samples, stats.hours.series_max), (1, 180, 3));
    assert_eq!(stats.samples() + stats.log_samples, 387);
    assert_eq!(stats.active_series, 3);
    assert_eq!(stats.rollups[0].1.samples, 180);
    assert!(stats.bytes_per_sample().unwrap() > 0.0);
    assert!(stats.log_bytes > 0);
    assert!(stats.bytes() > stats.hours.bytes + stats.log_bytes);
    let other = crate::catalogue::tenant_key(&model::TenantId::new("other").unwrap());
    world.ports.state.put_many(vec![(other, vec![1].into(), None)], world.now).await.unwrap();
    world.restart();
    let shared = world.loader.storage_stats(&tenant(), world.now).await.unwrap();
    assert_eq!(shared, super::StorageStats { log_bytes: 0, ..stats }, "what others send is not told");
}

#[tokio::test]
async fn an_entry_of_the_log_that_cannot_be_read_does_not_stop_the_rest() {
    let mut world = world();
    world.push(&[("gauge", START, 1.0)]).await;
    let junk = bytes::Bytes::from_static(b"junk");
    world.ports.wal.append(Shard(0), START.minute(), &tenant(), junk).await.unwrap();
    check_raw(&world, world.recent()).await;
    world.now = world.now + secs(600);
    world.tick().await.unwrap();
    check_raw(&world, world.recent()).await;
}

#[tokio::test]
async fn many_selections_read_the_catalogue_and_the_log_once() {
    let mut world = world();
    minutes(&mut world, 200).await;
    world.roll_up().await.unwrap();
    let now = world.now;
    let back =
        |from: u64, to: u64| selection(TimeRange::new(now - secs(from), now - secs(to)), 15, 300, Aggregate::Last);
    let mut wanted: Vec<_> = [300, 60, 3600, 7200, 900].map(|from| back(from, 0)).to_vec();
    wanted.extend([back(4000, 3900), back(11_000, 10_000), back(10_500, 10_400)]);
    let calls = |name| world.plan.calls(name);
    let before = (calls("state range"), calls("wal read"));
    let loaded = world.loader.load(&tenant(), &wanted, now).await.unwrap();
    assert_eq!((calls("state range") - before.0, calls("wal read") - before.1), (2, 1));
    for (index, selection) in wanted.iter().enumerate() {
        let found = bits(&loaded.series(index).unwrap());
        assert_eq!(found, bits(&world.expected(selection.range)), "{index}");
        assert_eq!(found, bits(&world.query(selection).await.unwrap()), "{index}");
    }
}

#[tokio::test]
async fn stats_are_counted_again_when_something_changed_and_not_before() {
    let mut world = world();
    minutes(&mut world, 127).await;
    let ask = async |world: &World| {
        let before = world.plan.calls("state range");
        let stats = world.loader.storage_stats(&tenant(), world.now).await.unwrap();
        (stats.chunks.samples + stats.log_samples, world.plan.calls("state range") - before)
    };
    assert_eq!(ask(&world).await, (381, 2));
    world.now = world.now + secs(1);
    assert_eq!(ask(&world).await, (381, 0), "nothing happened since");
    let now = world.now;
    world.push(&[("gauge", now, 1.0)]).await;
    assert_eq!(ask(&world).await, (382, 0), "the log is asked each time");
    minutes(&mut world, 1).await;
    assert_eq!(ask(&world).await, (385, 2));
}

/// A log that remembers which minutes were read, and has lost something.
#[derive(Debug, Default)]
struct WatchedWal {
    inner: crate::memory::MemoryWal,
    reads: std::sync::Mutex<Vec<std::ops::Range<i64>>>,
    damaged: Vec<DamagedEntry>,
}

#[async_trait::async_trait]
impl crate::ports::Wal for WatchedWal {
    async fn append(
        &self,
        shard: Shard,
        minute: i64,
        tenant: &model::TenantId,
        blob: bytes::Bytes,
    ) -> crate::ports::PortResult<()> {
        self.inner.append(shard, minute, tenant, blob).await
    }

    async fn read(
        &self,
        shard: Shard,
        minutes: std::ops::Range<i64>,
    ) -> crate::ports::PortResult<crate::ports::WalRead> {
        self.reads.lock().unwrap().push(minutes.clone());
        let mut read = self.inner.read(shard, minutes.clone()).await?;
        read.damaged.extend(self.damaged.iter().filter(|damaged| minutes.contains(&damaged.minute)).cloned());
        Ok(read)
    }

    async fn minutes(&self, shard: Shard, range: std::ops::Range<i64>) -> crate::ports::PortResult<Vec<i64>> {
        self.inner.minutes(shard, range).await
    }

    async fn forget_before(&self, shard: Shard, minute: i64) -> crate::ports::PortResult<()> {
        self.inner.forget_before(shard, minute).await
    }

    fn size_bytes(&self) -> Option<u64> {
        self.inner.size_bytes()
    }
}

#[tokio::test]
async fn a_warm_process_reads_only_minutes_in_which_something_may_still_arrive() {
    let mut world = world();
    let wal = std::sync::Arc::new(WatchedWal::default());
    world.ports.wal = std::sync::Arc::clone(&wal) as _;
    world.restart();
    world.tick().await.unwrap();
    let first = START.minute();
    // Seconds since the start, and the minutes that a query reads then, counted from the first one.
    let cases = [
        // The tick has read all, and closed what ended two minutes ago. Two minutes ahead may be stamped already.
        (0, -2..2),
        (59, -2..2),
        (60, -1..3),
        (179, -1..4),
        (180, 1..5),
        // A clock that goes back a little changes nothing; one that goes back more makes it read all again.
        (160, 1..4),
        (100, -2..3),
        (101, 0..3),
    ];
    for (secs_later, minutes) in cases {
        world.now = START + secs(secs_later);
        let now = world.now;
        world.push(&[("counter", now, now.as_secs_f64())]).await;
        wal.reads.lock().unwrap().clear();
        check_raw(&world, world.recent()).await;
        let expected = first + minutes.start..first + minutes.end;
        assert_eq!(*wal.reads.lock().unwrap(), std::slice::from_ref(&expected), "after {secs_later} s");
    }
}

#[tokio::test]
async fn what_is_lost_of_the_log_stops_neither_queries_nor_ticks_and_is_counted_once() {
    let mut world = world();
    let lost = |minute: i64| DamagedEntry {
        minute: START.minute() + minute,
        place: format!("object {minute}"),
        reason: "gone".to_owned(),
    };
    let wal = WatchedWal { damaged: vec![lost(0), lost(1), lost(4)], ..WatchedWal::default() };
    world.ports.wal = std::sync::Arc::new(wal);
    world.restart();
    let mut counted = Vec::new();
    for minute in 0..10 {
        world.now = START + secs(minute * 60);
        let now = world.now;
        world.push(&[("counter", now, 1.0)]).await;
        check_raw(&world, world.recent()).await;
        let known = super::tick_row::watermark(world.ports.state.as_ref(), Shard(0), now).await.unwrap();
        let watermark = known.unwrap_or_else(|| super::tick_row::first_watermark(now));
        let log = world.loader.log(Shard(0), watermark, now).await.unwrap();
        counted.extend(super::drain(&log, now).await.unwrap().damaged);
        world.tick().await.unwrap();
        check_raw(&world, world.recent()).await;
    }
    assert_eq!(counted, [lost(0), lost(1), lost(4)]);
}

#[tokio::test]
async fn damage_in_a_backlog_is_counted_once_and_keeps_nothing_else_back() {
    let mut world = world();
    let first = START.minute();
    let hole = |minute: i64| DamagedEntry { minute, place: "a hole".to_owned(), reason: "lost".to_owned() };
    let wal = WatchedWal { damaged: vec![hole(first), hole(first + 2)], ..WatchedWal::default() };
    world.ports.wal = std::sync::Arc::new(wal);
    world.restart();
    for minute in 0..5 {
        world.now = START + secs(minute * 60);
        let now = world.now;
        world.push(&[("counter", now, 1.0)]).await;
    }
    let mut backlog = world.loader.backlog(Shard(0), first - 9, first + 4).await.unwrap();
    let piece = world.loader.take_piece(&mut backlog, world.now).await.unwrap();
    assert_eq!((piece.samples, piece.watermark, piece.damaged), (5, first + 4, vec![hole(first)]));
    assert!(backlog.is_empty());
}

#[tokio::test]
async fn a_tick_forgets_what_it_cut_and_reads_all_that_it_closes() {
    let mut world = world();
    for minute in 0..30 {
        world.now = START + secs(minute * 60);
        let now = world.now;
        world.push(&[("counter", now, 1.0), ("gauge", now, 2.0)]).await;
        // Queries come in between, so that most minutes are settled before they are closed.
        check_raw(&world, world.recent()).await;
        // Late: stamped by a machine whose clock is behind, and settled for whoever has read it meanwhile.
        let late = now - secs(90);
        world.now = late;
        world.push(&[("late", late, minute as f64)]).await;
        world.now = now;
        world.tick().await.unwrap();
        let stats = world.loader.storage_stats(&tenant(), now).await.unwrap();
        assert!(stats.log_samples <= 3 * 4, "{stats:?}");
    }
    world.now = world.now + secs(240);
    world.tick().await.unwrap();
    assert_eq!(world.loader.storage_stats(&tenant(), world.now).await.unwrap().log_samples, 0);
    check_raw(&world, world.recent()).await;
    world.restart();
    check_raw(&world, world.recent()).await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_set_aside_before_the_log_forgets_it() {
    let mut world = world();
    let junk = bytes::Bytes::from_static(b"junk");
    world.ports.wal.append(Shard(0), START.minute(), &tenant(), junk.clone()).await.unwrap();
    world.now = world.now + secs(600);
    world.tick().await.unwrap();
    let listed = world.ports.objects.list("unreadable/tenant=default/", None).await.unwrap();
    assert_eq!(listed.entries.len(), 1, "{listed:?}");
    let kept = world.ports.objects.get(&listed.entries[0].key, crate::ports::ByteRange::All).await.unwrap();
    assert_eq!(kept, junk);
}

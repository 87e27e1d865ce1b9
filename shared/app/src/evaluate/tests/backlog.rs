//! What a tick does after an outage.

use super::*;

/// A deployment whose ticks stopped after the first of so many minutes with a sample each.
async fn after_an_outage(minutes: i64) -> World {
    let world = World::new();
    world.push(minute(0), 9.0).await;
    ticked(&world.app(RULES, &FaultPlan::none()), minute(0)).await;
    for at in 1..minutes {
        world.push(minute(at), 9.0).await;
    }
    world
}

async fn watermark(world: &World) -> Minute {
    tick_row::watermark(world.state.as_ref(), Shard::default(), minute(0)).await.unwrap().unwrap() - minute(0).minute()
}

async fn loads(world: &World, now: Timestamp) -> usize {
    let app = world.app(RULES, &FaultPlan::none());
    let expr = promql::parse("load[1d]").unwrap();
    let loaded = app.loader.load(&tenant(), &promql::selections(&expr, &Params::instant(now)), now).await.unwrap();
    Source::series(&loaded, 0).unwrap().iter().map(model::Series::len).sum()
}

#[tokio::test]
async fn a_backlog_is_taken_piece_by_piece_over_as_many_ticks_as_it_takes() {
    const MINUTES: i64 = 120;
    let world = after_an_outage(MINUTES).await;
    let now = minute(MINUTES - 1);
    // Three looks at the clock are within its 30 s: as many pieces of ten minutes.
    for (tick, reached) in [29, 59, 89].into_iter().enumerate() {
        let plan = FaultPlan::none();
        let mut app = world.app(RULES, &plan);
        app.stopwatch = hurried(10_000);
        let summary = ticked(&app, now).await;
        assert_eq!(watermark(&world).await, reached, "tick {tick}");
        assert_eq!(summary.watermark - minute(0).minute(), reached, "{summary:?}");
        assert_eq!(summary.minutes_left, MINUTES - 4 - reached, "{summary:?}");
        assert_eq!((summary.rules_evaluated, summary.committed), (0, true), "{summary:?}");
        assert_eq!((plan.calls("wal minutes"), plan.calls("wal read")), (1, 30), "a minute at a time");
        assert_eq!(loads(&world, now).await, 120, "a query sees all at any time");
    }
    let summary = ticked(&world.app(RULES, &FaultPlan::none()), now).await;
    assert_eq!((summary.minutes_left, summary.rules_failed), (0, 0), "{summary:?}");
    assert_eq!(watermark(&world).await, MINUTES - 4);
    let app = world.app(RULES, &FaultPlan::none());
    assert_eq!(samples_at(&app, "double", now).await.len(), 60, "the late slots of the last hour are recorded");
}

#[tokio::test]
async fn a_tick_that_dies_while_it_catches_up_loses_one_piece_at_most() {
    let kind = ErrorKind::Unavailable;
    let mut deaths = 0;
    for operation in ["wal minutes", "wal read", "object put", "state put", "state write", "state get"] {
        for fault in [Fault::ErrorBefore(kind), Fault::ErrorAfter(kind), Fault::Retried] {
            for call in 0.. {
                let world = after_an_outage(25).await;
                let plan = FaultPlan::script([(operation, call, fault)]);
                let app = world.app(RULES, &plan);
                let died = tick(&app, Shard::default(), minute(24)).await.is_err();
                if plan.injected().is_empty() {
                    break;
                }
                let what = format!("{operation} {call} {fault:?}");
                let reached = watermark(&world).await;
                assert!([-3, 9, 19, 21].contains(&reached), "{what}: {reached} is no end of a piece");
                assert_eq!(loads(&world, minute(24)).await, 25, "{what}");
                if died {
                    deaths += 1;
                    let again = ticked(&world.app(RULES, &FaultPlan::none()), minute(24)).await;
                    assert_eq!(again.minutes_left, 0, "{what}");
                }
                assert_eq!(watermark(&world).await, 21, "{what}");
                assert_eq!(loads(&world, minute(24)).await, 25, "{what}");
            }
        }
    }
    assert!(deaths > 30, "{deaths} ticks died");
}

#[tokio::test]
async fn minutes_without_entries_cost_nothing() {
    let long_ago = TickRow { watermark: minute(0).minute() - 100 * 1440, groups: BTreeMap::new() };
    for (row, pushed) in [(None, 0), (None, 5), (Some(long_ago), 0)] {
        let world = World::new();
        let plan = FaultPlan::none();
        let app = world.app(RULES, &plan);
        if let Some(row) = row {
            let write = row.store(world.objects.as_ref(), &app.tick_states, Shard::default(), None).await.unwrap();
            world.state.write(vec![write], minute(0)).await.unwrap();
        }
        // A first tick finds no watermark, and starts where the log does.
        for at in 0..pushed {
            world.push(minute(-60 * at), 9.0).await;
        }
        world.push(minute(0), 9.0).await;
        let summary = ticked(&app, minute(0)).await;
        assert_eq!((summary.minutes_left, summary.rules_evaluated), (0, 3), "{summary:?}");
        assert_eq!(watermark(&world).await, -3);
        let closed = u64::try_from(pushed.max(1) - 1).unwrap();
        assert_eq!((plan.calls("wal minutes"), plan.calls("wal read")), (1, closed + 1), "{pushed}");
    }
}

#[tokio::test]
async fn a_piece_ends_with_the_minute_that_fills_it() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    // What cannot be decoded takes as much room.
    for at in 0..5 {
        let blob = Bytes::from(vec![u8::try_from(at).unwrap(); 5 << 20]);
        world.wal.append(Shard::default(), minute(at).minute(), &tenant(), blob).await.unwrap();
    }
    let first = minute(0).minute();
    let mut backlog = app.loader.backlog(Shard::default(), first - 50, first + 9).await.unwrap();
    assert_eq!(backlog.empty_through(), first - 1);
    let mut pieces = Vec::new();
    while !backlog.is_empty() {
        let piece = app.loader.take_piece(&mut backlog, minute(20)).await.unwrap();
        pieces.push((piece.watermark - first, piece.unreadable.len()));
    }
    assert_eq!(pieces, [(1, 2), (3, 2), (9, 1)]);
}

#[tokio::test]
async fn so_many_samples_are_cut_before_more_are_decoded() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    for (instance, samples) in [("a", 530_000), ("b", 530_000), ("c", 530_000)] {
        let mut batch = Batch::new();
        let labels = labels(&[("__name__", "load"), ("instance", instance)]);
        let at = |index| Sample { timestamp: minute(1) + Duration::from_millis(index), value: 1.0 };
        batch.push(labels.as_ref(), (0..samples).map(at));
        let blob = Bytes::from(tsdb::wal::encode(&batch));
        world.wal.append(Shard::default(), minute(0).minute(), &tenant(), blob).await.unwrap();
    }
    let first = minute(0).minute();
    let mut backlog = app.loader.backlog(Shard::default(), first - 50, first).await.unwrap();
    let piece = app.loader.take_piece(&mut backlog, minute(20)).await.unwrap();
    assert_eq!((piece.samples, piece.chunks.len(), piece.watermark), (1_590_000, 2, first));
    assert!(backlog.is_empty());
}

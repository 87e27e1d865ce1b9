//! One failure at any call: nothing is lost, nothing comes twice.

use super::*;

/// A history of six minutes with one injected fault: what failed is tried again a second later by a new process.
async fn run_with(operation: &'static str, call: u64, fault: Fault) -> (World, u64) {
    let world = World::new();
    let plan = FaultPlan::script([(operation, call, fault)]);
    let mut app = world.app(RULES, &plan);
    for (at, value) in (0..).zip([1.0, 9.0, 9.0, 9.0, 9.0, 1.0]) {
        world.push(minute(at), value).await;
        let mut now = minute(at);
        while tick(&app, Shard::default(), now).await.is_err() {
            app = world.app(RULES, &plan);
            now = now + Duration::from_secs(1);
        }
    }
    let calls = plan.calls(operation);
    (world, calls)
}

#[tokio::test]
async fn no_fault_at_any_write_or_read_loses_or_doubles_anything() {
    let kind = ErrorKind::Unavailable;
    let all = [Fault::ErrorBefore(kind), Fault::ErrorAfter(kind), Fault::Retried];
    let operations: [(&str, &[Fault]); 5] = [
        ("wal append", &all),
        ("wal read", &all[..1]),
        ("state write", &all),
        ("state put", &all[..2]),
        ("topic publish", &all),
    ];
    for (operation, faults) in operations {
        for &fault in faults {
            let mut call = 0;
            loop {
                let (world, calls) = run_with(operation, call, fault).await;
                if call >= calls {
                    break;
                }
                check_nothing_lost(&world, &format!("{operation} {call} {fault:?}")).await;
                call += 1;
            }
            assert!(call > 0, "{operation} is never called");
        }
    }
}

async fn check_nothing_lost(world: &World, what: &str) {
    let app = world.app(RULES, &FaultPlan::none());
    let expected = ["1: inactive>pending", "3: pending>firing", "5: firing>resolved"];
    assert_eq!(changes(&app).await, expected, "{what}");
    let expected = ["2@0", "18@1", "18@2", "18@3", "18@4", "2@5"];
    assert_eq!(samples(&app, "double").await, expected, "{what}");
    assert_eq!(samples(&app, "load").await.len(), 6, "{what}");
    assert_eq!(samples(&app, "ALERTS{alertstate=\"firing\"}").await, ["1@3", "1@4", "stale@5"], "{what}");
    let published = world.published();
    assert_eq!(published, ["high firing", "high resolved"], "{what}");
}

#[tokio::test]
async fn a_crash_between_commit_and_publish_heals_with_the_next_send() {
    let world = World::new();
    let kind = ErrorKind::Unavailable;
    // The process dies while it publishes: no try goes through.
    let plan = FaultPlan::script((0..3).map(|call| ("topic publish", call, Fault::ErrorBefore(kind))));
    let app = world.app(RULES, &plan);
    let mut failed = Vec::new();
    for at in 0..=5 {
        world.push(minute(at), 9.0).await;
        if tick(&app, Shard::default(), minute(at)).await.is_err() {
            failed.push(at);
            assert!(!ticked(&app, minute(at)).await.committed);
        }
    }
    assert_eq!(failed, [2]);
    assert_eq!(world.published(), ["high firing"]);
    assert_eq!(changes(&app).await, ["0: inactive>pending", "2: pending>firing"]);
}

#[tokio::test]
async fn an_end_that_was_committed_but_not_published_is_told_after_a_long_outage() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    for at in 0..3 {
        world.push(minute(at), 9.0).await;
        ticked(&app, minute(at)).await;
    }
    assert_eq!(world.published(), ["high firing"]);
    world.push(minute(3), 1.0).await;
    let kind = ErrorKind::Unavailable;
    let dying =
        world.app(RULES, &FaultPlan::script((0..3).map(|call| ("topic publish", call, Fault::ErrorBefore(kind)))));
    tick(&dying, Shard::default(), minute(3)).await.unwrap_err();
    let mut published = Vec::new();
    for at in 50..53 {
        world.push(minute(at), 1.0).await;
        ticked(&app, minute(at)).await;
        published.extend(world.published());
    }
    assert_eq!(published, ["high resolved"]);
}

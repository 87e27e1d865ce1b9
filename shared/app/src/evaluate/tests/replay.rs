//! What is left of a tick that died before its commit.

use super::*;

/// A tick at each of the first minutes, of which one dies when it commits; it is tried again after a while, or not.
async fn history_with_a_death(values: &[f64], death: Option<i64>, again_after: Option<Duration>) -> World {
    let world = World::new();
    for (at, value) in (0..).zip(values) {
        world.push(minute(at), *value).await;
        if death == Some(at) {
            let plan = FaultPlan::script([("state write", 0, Fault::ErrorBefore(ErrorKind::Unavailable))]);
            tick(&world.app(RULES, &plan), Shard::default(), minute(at)).await.unwrap_err();
            let Some(after) = again_after else { continue };
            ticked(&world.app(RULES, &FaultPlan::none()), minute(at) + after).await;
        } else {
            ticked(&world.app(RULES, &FaultPlan::none()), minute(at)).await;
        }
    }
    world
}

#[tokio::test]
async fn the_same_slot_again_leaves_the_same_bytes_in_the_log() {
    let values = [1.0, 9.0, 9.0, 9.0, 9.0, 1.0, 1.0];
    let whole = async |world: &World| world.wal.read(Shard::default(), 0..Minute::MAX).await.unwrap();
    let expected = whole(&history_with_a_death(&values, None, None).await).await;
    for death in 0..7 {
        let world = history_with_a_death(&values, Some(death), Some(Duration::from_secs(20))).await;
        assert_eq!(whole(&world).await, expected, "dead at {death}");
    }
}

#[tokio::test]
async fn what_a_dead_tick_recorded_stays_and_its_alerts_are_decided_a_minute_later() {
    let values = [1.0, 9.0, 9.0, 9.0, 9.0, 1.0, 1.0];
    for death in 0..6 {
        let world = history_with_a_death(&values, Some(death), None).await;
        let app = world.app(RULES, &FaultPlan::none());
        let double = ["2@0", "18@1", "18@2", "18@3", "18@4", "2@5", "2@6"];
        assert_eq!(samples(&app, "double").await, double, "dead at {death}: the slot is made up for");
        let (pending, fired, changed) = match death {
            // The alert rule does not run at the slot that was missed, but what it said there is in the log.
            1 => (&["1@1", "1@2", "1@3", "stale@4"][..], "4", "2"),
            3 => (&["1@1", "1@2", "stale@3", "stale@4"][..], "4", "1"),
            _ => (&["1@1", "1@2", "stale@3"][..], "3", "1"),
        };
        assert_eq!(samples(&app, "ALERTS{alertstate=\"pending\"}").await, pending, "dead at {death}");
        let resolved = if death == 5 { "6" } else { "5" };
        let expected = [
            format!("{changed}: inactive>pending"),
            format!("{fired}: pending>firing"),
            format!("{resolved}: firing>resolved"),
        ];
        assert_eq!(changes(&app).await, expected, "dead at {death}");
    }
    // What nobody remembers, nobody ends: it is out of sight after five minutes, as any series that stops.
    let app = history_with_a_death(&[1.0, 9.0, 1.0], Some(1), None).await.app(RULES, &FaultPlan::none());
    assert_eq!(samples(&app, "ALERTS").await, ["1@1"]);
    assert!(changes(&app).await.is_empty());
}

use std::sync::Arc;

use super::*;
use crate::faults::{Fault, FaultPlan, Faulty};
use crate::pages::testing::{NOW, World, tenant};
use crate::ports::StateStore;

fn said(metric: &str, help: &str) -> Metadata {
    Metadata { metric: metric.to_owned(), metric_type: MetricType::Gauge, help: help.to_owned(), unit: String::new() }
}

fn app(world: &World) -> App {
    world.app(&[], &FaultPlan::none())
}

fn after_days(days: u64) -> Timestamp {
    NOW + Duration::from_secs(days * 24 * 3600)
}

/// Names and texts, in order.
async fn found(app: &App, metric: Option<&str>, now: Timestamp) -> Vec<(String, String)> {
    of(app, &tenant(), metric, now).await.unwrap().found.into_iter().map(|one| (one.metric, one.help)).collect()
}

async fn versions(world: &World, now: Timestamp) -> Vec<u64> {
    let rows = range_all(world.state.as_ref(), RowRange::all(partition(&tenant())), now).await.unwrap();
    rows.iter().map(|row| row.version).collect()
}

fn skipped(app: &App) -> Vec<f64> {
    let families = app.metrics.families();
    let family = families.into_iter().find(|family| family.name == "mihari_ingest_skipped_total");
    family.map(|family| family.points.iter().map(|point| point.value).collect()).unwrap_or_default()
}

#[tokio::test]
async fn a_text_is_written_once_renewed_while_it_is_said_and_gone_when_it_is_not() {
    let world = World::default();
    let first = app(&world);
    let both = [said("up", "Whether it answers."), said("load", "How busy it is.")];
    keep(&first, &tenant(), &both, NOW).await;
    let written = versions(&world, NOW).await;
    keep(&first, &tenant(), &both, after_days(7)).await;
    // A new process reads before it writes.
    let second = app(&world);
    keep(&second, &tenant(), &both, after_days(7)).await;
    assert_eq!(versions(&world, after_days(7)).await, written);
    let expected = |metric: &str, help: &str| (metric.to_owned(), help.to_owned());
    let all = [expected("load", "How busy it is."), expected("up", "Whether it answers.")];
    assert_eq!(found(&second, None, after_days(7)).await, all);
    assert_eq!(found(&second, Some("up"), after_days(7)).await, all[1..]);
    assert_eq!(found(&second, Some("other"), after_days(7)).await, []);

    keep(&second, &tenant(), &both[..1], after_days(9)).await;
    keep(&second, &tenant(), &[said("up", "1 when it answers.")], after_days(9)).await;
    let latest = [expected("up", "1 when it answers."), expected("up", "Whether it answers.")];
    assert_eq!(found(&second, None, after_days(17)).await, latest);
    assert_eq!(found(&second, None, after_days(26)).await, []);
    keep(&first, &tenant(), &both, after_days(26)).await;
    assert_eq!(found(&second, None, after_days(26)).await, all);
}

#[tokio::test]
async fn a_damaged_row_costs_itself_alone() {
    let world = World::default();
    let app = app(&world);
    keep(&app, &tenant(), &[said("up", "Whether it answers."), said("load", "How busy it is.")], NOW).await;
    let mut value = encode(&said("up", "Whether it answers."));
    value[0] = 9;
    let row = (key(&tenant(), &said("up", "Whether it answers.")), Bytes::from(value), Some(after_days(1)));
    app.ports.state.put_many(vec![row], NOW).await.unwrap();
    let all = of(&app, &tenant(), None, NOW).await.unwrap();
    assert_eq!(all.found, [said("load", "How busy it is.")]);
    assert_eq!(all.warnings, ["one metadata row cannot be read and is left out"]);
    let text = wire::exposition::encode(&app.metrics.families());
    assert!(text.contains("mihari_rows_unreadable_total{kind=\"metadata\"} 1"), "{text}");
    // A new process does not take what it cannot read for stored.
    keep(&self::app(&world), &tenant(), &[said("up", "Whether it answers.")], NOW).await;
    assert_eq!(of(&app, &tenant(), None, NOW).await.unwrap().found.len(), 2);
}

#[tokio::test]
async fn what_there_is_no_room_for_and_what_cannot_be_stored_is_counted() {
    let world = World::default();
    let mut small = app(&world);
    small.limits.metadata_max = 2;
    keep(&small, &tenant(), &[said("a", ""), said("b", ""), said("c", "")], NOW).await;
    assert_eq!((found(&small, None, NOW).await.len(), skipped(&small)), (2, vec![1.0]));
    keep(&small, &tenant(), &[said("a", ""), said("b", "")], NOW).await;
    assert_eq!(skipped(&small), [1.0]);

    let plan = FaultPlan::script([("state put", 0, Fault::ErrorBefore(ErrorKind::Unavailable))]);
    let mut failing = app(&world);
    failing.ports.state = Arc::new(Faulty::new(Arc::clone(&world.state) as Arc<dyn StateStore>, plan));
    keep(&failing, &tenant(), &[said("d", "")], NOW).await;
    assert_eq!((found(&failing, Some("d"), NOW).await.len(), skipped(&failing)), (0, vec![1.0]));
    keep(&failing, &tenant(), &[said("d", "")], NOW).await;
    assert_eq!(found(&failing, Some("d"), NOW).await.len(), 1, "said again, stored this time");
}

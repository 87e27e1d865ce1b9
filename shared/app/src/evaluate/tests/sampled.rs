//! An alert that begins to fire says when it was measured.

use super::*;

const RULES: &str = "
groups:
- name: load
  rules:
  - { record: double, expr: load * 2 }
  - { alert: direct, expr: 'load > 10', labels: { severity: critical } }
  - { alert: total, expr: 'sum(rate(load[5m])) > 0' }
  - { alert: derived, expr: 'double > 20' }
  - { alert: gone, expr: absent(nothing) }
";

/// The alerts that fire, published since the last time: name, instance, seconds from the measurement to the evaluation.
fn published(world: &World, slot: Timestamp) -> BTreeSet<(String, String, Option<u64>)> {
    let messages = world.topic.drain();
    let alerts = messages.iter().flat_map(|message| {
        let message: AlertMessage = serde_json::from_slice(&message.body).unwrap();
        message.alerts
    });
    alerts
        .map(|alert| {
            let age = alert.sampled_at.map(|at| slot.since(at).as_secs());
            (alert.name().to_owned(), alert.labels.get("instance").unwrap_or("").to_owned(), age)
        })
        .collect()
}

#[tokio::test]
async fn the_newest_sample_of_the_series_behind_an_alert_counts_when_it_begins() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    for number in 0..4_u32 {
        let base = minute(i64::from(number));
        world.push_to("a", base + Duration::from_secs(20), 11.0 + f64::from(number)).await;
        world.push_to("b", base + Duration::from_secs(5), 12.0 + f64::from(number)).await;
        world.push_to("idle", base + Duration::from_secs(50), 1.0).await;
    }
    ticked(&app, minute(4)).await;
    let alert = |name: &str, instance: &str, age| (name.to_owned(), instance.to_owned(), age);
    let expected = BTreeSet::from([
        alert("direct", "a", Some(40)),
        alert("direct", "b", Some(55)),
        alert("total", "", Some(10)),
        alert("derived", "a", Some(0)),
        alert("derived", "b", Some(0)),
        alert("gone", "", None),
    ]);
    assert_eq!(published(&world, minute(4)), expected);
    ticked(&app, minute(6)).await;
    let again = published(&world, minute(6));
    assert!(!again.is_empty() && again.iter().all(|(_, _, age)| age.is_none()), "said once: {again:?}");
}

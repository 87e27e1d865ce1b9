//! How long it takes from samples to people.

use model::TimeRange;

use super::*;
use crate::access::Role;
use crate::notify::detections;
use crate::pages::testing::{NOW, World, tenant, viewer};

const ROUTES: &str = "route: {receiver: r, group_by: [alertname], group_wait: 10s}
receivers: [{name: r, webhook_configs: [{url: 'http://127.0.0.1:1/hook'}]}]";

/// A message of an alert that fires since `since` seconds, and was measured so many seconds before now.
fn message(name: &str, job: Option<&str>, since: u64, sampled: Option<u64>) -> Message {
    let mut pairs = vec![("alertname", name)];
    pairs.extend(job.map(|job| ("job", job)));
    let alert = Alert {
        labels: Labels::from_pairs(pairs).unwrap(),
        annotations: BTreeMap::new(),
        starts_at: NOW - Duration::from_secs(since),
        ends_at: None,
        valid_until: None,
        sampled_at: sampled.map(|ago| NOW - Duration::from_secs(ago)),
        generator_url: String::new(),
        updated_at: NOW,
    };
    let body = AlertMessage { tenant: "default".to_owned(), alerts: vec![alert], origin: Origin::Rules };
    Message { id: format!("{name} {since}"), body: serde_json::to_vec(&body).unwrap().into() }
}

#[tokio::test]
async fn the_clock_starts_with_the_sample_where_that_is_known() {
    let app = World::default().app(&[("alertmanager.yml", ROUTES)], &FaultPlan::none());
    let messages = [
        message("sampled", Some("node"), 3, Some(48)),
        message("unknown", Some("blackbox"), 7, None),
        message("derived", None, 2, Some(32)),
    ];
    receive(&app, &messages, NOW).await;
    // The next message says it no more, and what was said before holds.
    let later = NOW + Duration::from_secs(5);
    receive(&app, &[message("sampled", Some("node"), 3, None)], later).await;
    run_due(&app, NOW + Duration::from_secs(12)).await.unwrap();
    let day = TimeRange::new(NOW - Duration::from_secs(86_400), NOW + Duration::from_secs(60));
    let found = detections(&app, &tenant(), day, NOW + Duration::from_secs(60)).await.unwrap();
    let expected: BTreeMap<String, Vec<i64>> = [("blackbox", 19_000), ("node", 60_000), ("rules", 44_000)]
        .map(|(name, ms)| (name.to_owned(), vec![ms]))
        .into();
    assert_eq!(found, expected);
    let metrics = wire::exposition::encode(&app.metrics.families());
    assert!(metrics.contains("mihari_detection_latency_seconds_sum{source=\"node\"} 60"), "{metrics}");
    let request = http::Request::get("/status").body(bytes::Bytes::new()).unwrap();
    let page = crate::pages::handle(&app, &viewer(Role::Ops), &request, NOW + Duration::from_secs(60)).await;
    let page = String::from_utf8_lossy(page.body()).into_owned();
    let section = page.split_once("From sample to notification").expect("the section").1;
    for expected in ["node", "1 min", "blackbox", "19 s", "rules", "44 s"] {
        assert!(section.contains(expected), "{expected} is missing");
    }
}

//! How people answered, from a rule that fires to the page of the report.

use std::sync::Arc;

use super::*;
use crate::memory::{MemoryMessenger, MemoryTopic};
use crate::notify::{self, Answering, Author};
use crate::ports::Shard;
use crate::{Ports, evaluate};

const MINUTE: Duration = Duration::from_secs(60);
const FILES: [(&str, &str); 3] = [
    (
        "rules/load.yml",
        "groups: [{name: load, interval: 1m, rules: [\
         {alert: load, expr: node_load1 > 1, labels: {severity: critical, team: operations}}]}]",
    ),
    (
        "alertmanager.yml",
        "route: {receiver: hook, group_by: [alertname], group_wait: 0s}\n\
         receivers: [{name: hook, webhook_configs: [{url: 'http://127.0.0.1:1/hook'}]}]",
    ),
    (
        "oncall.yml",
        "people: { aiko: { contacts: [{ email: aiko@example.com }] } }\n\
         teams: { operations: { on-call: [{ person: aiko }], manager: [{ person: aiko }] } }\n\
         default_team: operations\n\
         escalation:\n  critical: { respond_within: 15m, \
         tiers: [{ after: 0s, duties: [on-call] }, { after: 15m, duties: [manager] }] }",
    ),
];

/// A machine that is overloaded for some minutes; somebody answers after a while.
async fn overload(app: &App, world: &World, topic: &MemoryTopic, start: Timestamp, minutes: u32, answer: u32) {
    for minute in 0..minutes + 10 {
        let now = start + MINUTE * minute;
        if minute < minutes {
            world.collect("web-1", now).await;
        }
        evaluate::tick(app, Shard::default(), now + Duration::from_secs(30)).await.unwrap();
        notify::receive(app, &topic.drain(), now + Duration::from_secs(31)).await;
        notify::run_due(app, now + Duration::from_secs(32)).await.unwrap();
        if minute == answer {
            let now = now + Duration::from_secs(40);
            let firing = notify::firing(app, &tenant(), &[], now).await.unwrap();
            let author = Author { name: "aiko", comment: "", new_id: "1" };
            notify::answer(app, &tenant(), &firing, &Answering::Acknowledge, author, now).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_report_holds_answers_against_promises() {
    let world = World::default();
    let topic = Arc::new(MemoryTopic::default());
    let app = world.app(&FILES, &FaultPlan::none());
    let ports =
        Ports { topic: Arc::clone(&topic) as _, messenger: Arc::<MemoryMessenger>::default(), ..app.ports.clone() };
    let app = App { ports, ..app };
    overload(&app, &world, &topic, DAY_START + HOUR * 3, 20, 5).await;
    overload(&app, &world, &topic, DAY_START + HOUR * 6, 40, 30).await;
    let entry = daily(&app, &tenant(), yesterday_is(), NOW).await.unwrap();
    let report = json(&app, &entry.id).await;
    let critical = report["on_call"]["responses"][0].clone();
    let count = |name: &str| critical[name].as_u64();
    assert_eq!((critical["severity"].as_str(), count("promised_seconds")), (Some("critical"), Some(900)), "{critical}");
    assert_eq!((count("fired"), count("answered")), (Some(2), Some(2)), "{critical}");
    assert_eq!((count("in_time"), count("breaches"), count("escalated")), (Some(1), Some(1), Some(1)), "{critical}");
    let [mean, longest] = ["acknowledge_seconds_mean", "acknowledge_seconds_max"].map(|name| count(name).unwrap());
    assert!((1620..1800).contains(&longest) && (900..1020).contains(&mean), "{critical}");
    let resolved = count("resolve_seconds_max").unwrap();
    assert!((2340..2760).contains(&resolved), "{critical}");
    let rule = &report["on_call"]["rules"][0];
    assert_eq!(
        (rule["name"].as_str(), rule["fired"].as_u64(), rule["breaches"].as_u64()),
        (Some("load"), Some(2), Some(1))
    );
    assert_eq!(rule["actionable_share"].as_f64(), Some(1.0));
    for (language, expected) in [
        (Language::Japanese, ["オンコールの応答", "応答期限超過 1 件（対象 2 件）", "15分以内に応答"]),
        (Language::English, ["On-call response", "Promises broken: 1 of 2", "answer within 15 min"]),
    ] {
        let page = get(&app, &tenant(), &entry.id, Format::Html(language)).await.unwrap().unwrap();
        let page = String::from_utf8(page.to_vec()).unwrap();
        for text in expected {
            assert!(page.contains(text), "{text} is missing");
        }
    }
}

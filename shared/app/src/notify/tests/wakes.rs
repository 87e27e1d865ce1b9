//! Looks that are asked for: at the timers of the next minute, and only at those that were written.

use super::*;
use crate::memory::MemoryTopic;
use crate::notify::{Answering, Author, answer, firing};
use crate::pages::testing::{NOW, World, tenant};
use crate::ports::{PortResult, Topic};

const FILES: [(&str, &str); 2] = [
    (
        "alertmanager.yml",
        "route: {receiver: r, group_by: [alertname], group_wait: 10s, group_interval: 2m}\n\
         receivers: [{name: r, webhook_configs: [{url: 'http://127.0.0.1:1/hook'}]}]",
    ),
    (
        "oncall.yml",
        "people: { aiko: { contacts: [{ email: aiko@example.com }] } }\n\
         teams: { operations: { on-call: [{ person: aiko }] } }\n\
         default_team: operations\n\
         escalation: { page: { respond_within: 15m, tiers: [{ after: 15m, duties: [on-call] }] } }",
    ),
];

fn at(seconds: f64) -> Timestamp {
    NOW + Duration::from_secs_f64(seconds)
}

fn app(topic: Arc<dyn Topic>) -> (App, Arc<MemoryMessenger>) {
    let mut app = World::default().app(&FILES, &FaultPlan::none());
    let messenger = Arc::new(MemoryMessenger::default());
    (app.ports.topic, app.ports.messenger) = (topic, Arc::clone(&messenger) as _);
    (app, messenger)
}

async fn send(app: &App, name: &str, severity: &str, now: Timestamp) {
    let labels = [("alertname", name), ("severity", severity)];
    let alert = SentAlert {
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        annotations: BTreeMap::new(),
        starts_at: Some(now),
        ends_at: Some(NOW + Duration::from_secs(86_400)),
        generator_url: String::new(),
    };
    take_in(app, &tenant(), vec![alert], now).await.unwrap();
}

#[tokio::test]
async fn a_short_wait_of_a_group_asks_for_a_look_when_it_is_over() {
    let topic = Arc::new(MemoryTopic::default());
    let (app, messenger) = app(Arc::clone(&topic) as _);
    send(&app, "cpu", "info", at(0.25)).await;
    assert_eq!(topic.drain_wakes(), [at(11.0)], "not before it is due");
    send(&app, "cpu", "info", at(1.0)).await;
    assert_eq!(topic.drain_wakes(), [], "no timer was written");
    run_due(&app, at(5.0)).await.unwrap();
    assert_eq!((messenger.drain().len(), topic.drain_wakes()), (0, Vec::new()), "a look too many finds nothing");
    run_due(&app, at(11.0)).await.unwrap();
    assert_eq!(messenger.drain().len(), 1);
    assert_eq!(topic.drain_wakes(), [], "two minutes are for the minute's look");
    for (name, wait) in [("a", 20.0), ("b", 20.25), ("c", 20.5), ("d", 21.5)] {
        send(&app, name, "info", at(wait)).await;
    }
    assert_eq!(topic.drain_wakes(), [at(30.0), at(31.0), at(31.0), at(32.0)]);
}

#[tokio::test]
async fn messages_of_a_batch_ask_together() {
    let topic = Arc::new(MemoryTopic::default());
    let (app, _) = app(Arc::clone(&topic) as _);
    let now = NOW.as_millis() / 1000;
    let alerts: Vec<Message> = (0..30)
        .map(|number| {
            let labels = Labels::from_pairs([("alertname", format!("a{number}").as_str())]).unwrap();
            let alert = Alert {
                labels,
                annotations: BTreeMap::new(),
                starts_at: Timestamp::from_secs(now),
                ends_at: None,
                valid_until: None,
                sampled_at: None,
                generator_url: String::new(),
                updated_at: Timestamp::from_secs(now),
            };
            let body = AlertMessage { tenant: "default".to_owned(), alerts: vec![alert], origin: Origin::Rules };
            Message { id: number.to_string(), body: serde_json::to_vec(&body).unwrap().into() }
        })
        .collect();
    assert_eq!(receive(&app, &alerts, at(0.0)).await.alerts, 30);
    assert_eq!(topic.drain_wakes(), [at(10.0)]);
}

#[tokio::test]
async fn who_wants_the_next_tier_called_does_not_wait_for_the_minute() {
    let topic = Arc::new(MemoryTopic::default());
    let (app, messenger) = app(Arc::clone(&topic) as _);
    send(&app, "cpu", "page", at(0.0)).await;
    run_due(&app, at(11.0)).await.unwrap();
    messenger.drain();
    topic.drain_wakes();
    let alerts = firing(&app, &tenant(), &[], at(20.0)).await.unwrap();
    let author = Author { name: "aiko", comment: "", new_id: "1" };
    answer(&app, &tenant(), &alerts, &Answering::Escalate, author, at(20.0)).await.unwrap();
    assert_eq!(topic.drain_wakes(), [at(20.0)], "at once");
    run_due(&app, at(20.0)).await.unwrap();
    assert_eq!(messenger.drain().len(), 1);
}

/// A topic that takes no wishes.
#[derive(Debug)]
struct Deaf;

#[async_trait::async_trait]
impl Topic for Deaf {
    async fn publish(&self, _: Vec<Message>) -> PortResult<()> {
        Ok(())
    }

    async fn wake(&self, _: Timestamp, _: Timestamp) -> PortResult<()> {
        Err(PortError::new(ErrorKind::Unavailable, "topic wake", "the queue does not answer"))
    }
}

#[tokio::test]
async fn a_look_that_is_lost_is_made_up_for_by_the_minute() {
    let (app, messenger) = app(Arc::new(Deaf));
    send(&app, "cpu", "info", at(0.0)).await;
    assert_eq!(next_due(&app, at(1.0)).await.unwrap(), Some(at(10.0)));
    run_due(&app, at(60.0)).await.unwrap();
    assert_eq!(messenger.drain().len(), 1);
}

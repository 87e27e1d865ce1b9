//! The flow with ports that fail: nothing is lost, nothing is said twice.

use std::sync::Arc;

use alerting::notify::parse_matchers;
use futures::FutureExt as _;
use model::{ErrorKind, Labels};

use super::*;
use crate::faults::{Fault, FaultPlan, FaultRates, Faulty};
use crate::memory::{MemoryMessenger, MemoryStateStore};
use crate::metrics::Metrics;
use crate::ports::{Address, Content, Delivery, Expect, PortError, RowWrite, Secret};

mod alarms;
mod dead_letters;
mod detection;
mod escalations;
mod forward;
mod handed;
mod own_texts;
mod pictures;
mod reached;
mod threads;
mod wakes;

const ROUTES: &str = "
global: {smtp_from: mihari@example.com}
route:
  receiver: everyone
  group_by: [alertname]
  group_wait: 10s
  group_interval: 2m
  repeat_interval: 1h
receivers:
  - name: everyone
    email_configs: [{to: ops@example.com, send_resolved: true}]
    slack_configs: [{api_url: 'http://127.0.0.1:1/slack', send_resolved: true}]
    webhook_configs: [{url: 'http://127.0.0.1:1/hook'}]
";

/// A desk over memory, with faults.
struct Bench {
    state: Arc<MemoryStateStore>,
    messenger: Arc<MemoryMessenger>,
    faulty_state: Faulty<MemoryStateStore>,
    faulty_messenger: Faulty<MemoryMessenger>,
    config: Config,
    settings: Settings,
    metrics: Metrics,
    key: SessionKey,
}

impl Bench {
    fn new(plan: &Arc<FaultPlan>) -> Self {
        Self::with(ROUTES, plan)
    }

    fn with(routes: &str, plan: &Arc<FaultPlan>) -> Self {
        let state = Arc::new(MemoryStateStore::default());
        let messenger = Arc::new(MemoryMessenger::default());
        Self {
            faulty_state: Faulty::new(Arc::clone(&state), Arc::clone(plan)),
            faulty_messenger: Faulty::new(Arc::clone(&messenger), Arc::clone(plan)),
            state,
            messenger,
            config: Config::parse(&[("alertmanager.yml", routes)]).unwrap(),
            settings: Settings::default(),
            metrics: Metrics::default(),
            key: SessionKey::new([7; 32]),
        }
    }

    fn desk(&self, now: i64) -> Desk<'_> {
        Desk {
            state: &self.faulty_state,
            messenger: &self.faulty_messenger,
            config: &self.config,
            settings: &self.settings,
            metrics: &self.metrics,
            key: &self.key,
            app: None,
            now: Timestamp::from_secs(now),
        }
    }

    async fn receive(&self, messages: &[Message], now: i64) -> Received {
        self.desk(now).receive(messages).await
    }

    async fn run(&self, now: i64) -> Ran {
        self.desk(now).run_due().await.unwrap_or_default()
    }

    /// What was delivered since the last call, in a line each, in order of text.
    fn said(&self) -> Vec<String> {
        let mut said: Vec<String> = self.messenger.drain().iter().map(said).collect();
        said.sort();
        said
    }

    async fn row_count(&self, partition: &str) -> usize {
        let now = Timestamp::from_secs(1_000_000);
        range_all(self.state.as_ref(), RowRange::all(partition), now).await.unwrap().len()
    }
}

fn ends_with(url: &Secret, end: &str) -> bool {
    matches!(url, Secret::Inline(url) if url.ends_with(end))
}

fn said(delivery: &Delivery) -> String {
    match (&delivery.address, &delivery.content) {
        (Address::Email { .. }, Content::Email { subject, .. }) => format!("mail {subject}"),
        (Address::Webhook { url, .. }, Content::Json(json)) => {
            let body: serde_json::Value = serde_json::from_str(json).unwrap();
            match ends_with(url, "slack") {
                true => format!("slack {}", body["text"].as_str().unwrap()),
                false => {
                    let alerts = body["alerts"].as_array().unwrap();
                    let one = |alert: &serde_json::Value| {
                        format!("{} {}", alert["labels"]["host"].as_str().unwrap(), alert["status"].as_str().unwrap())
                    };
                    let alerts: Vec<String> = alerts.iter().map(one).collect();
                    format!("hook {}: {}", body["notification_reason"].as_str().unwrap(), alerts.join(", "))
                }
            }
        }
        (address, _) => format!("{address:?}"),
    }
}

/// A message as the rules publish it: hosts that fire since a time, or ended at one.
fn message(sent: i64, alerts: &[(&str, i64, Option<i64>)]) -> Message {
    let alert = |&(host, start, end): &(&str, i64, Option<i64>)| Alert {
        labels: Labels::from_pairs([("alertname", "cpu"), ("host", host), ("severity", "critical")]).unwrap(),
        annotations: BTreeMap::from([("description".to_owned(), "high".to_owned())]),
        starts_at: Timestamp::from_secs(start),
        ends_at: end.map(Timestamp::from_secs),
        valid_until: None,
        sampled_at: None,
        generator_url: String::new(),
        updated_at: Timestamp::from_secs(sent),
    };
    let body = AlertMessage {
        tenant: "default".to_owned(),
        alerts: alerts.iter().map(alert).collect(),
        origin: Origin::Rules,
    };
    Message { id: sent.to_string(), body: serde_json::to_vec(&body).unwrap().into() }
}

const FIRST: [&str; 3] = ["hook first notification: a firing", "mail [CRITICAL] cpu", "slack [CRITICAL] cpu: high"];
const ENDED: [&str; 3] = ["hook all alerts resolved: a resolved", "mail [RESOLVED] cpu", "slack [RESOLVED] cpu: high"];

#[tokio::test]
async fn an_alert_is_announced_to_every_integration_once_and_its_end_too() {
    let bench = Bench::new(&FaultPlan::none());
    let firing = message(1000, &[("a", 1000, None)]);
    for now in [1001, 1002, 1003] {
        assert_eq!(bench.receive(std::slice::from_ref(&firing), now).await.alerts, 1);
    }
    assert_eq!(bench.row_count("d#0").await, 1, "one timer a group");
    assert_eq!(bench.run(1010).await, Ran::default(), "the group waits");
    assert_eq!(bench.run(1011).await, Ran { groups: 1, delivered: 3, ..Ran::default() });
    assert_eq!(bench.said(), FIRST);
    bench.receive(&[message(1060, &[("a", 1000, None)])], 1061).await;
    bench.run(1131).await;
    assert!(bench.said().is_empty(), "nothing new");
    bench.receive(&[message(1180, &[("a", 1000, Some(1180))]), firing], 1181).await;
    bench.run(1251).await;
    assert_eq!(bench.said(), ENDED);
    assert_eq!((bench.row_count("d#0").await, bench.row_count("h#default#1970-01-01").await), (0, 6));
    assert_eq!(bench.run(9999).await, Ran::default());
}

#[tokio::test]
async fn mails_without_a_server_go_to_the_outbox_in_the_language_of_the_settings() {
    let mut bench = Bench::new(&FaultPlan::none());
    bench.settings.language = model::Language::English;
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    bench.run(1010).await;
    let deliveries = bench.messenger.drain();
    let mail = deliveries.iter().find_map(|one| match (&one.address, &one.content) {
        (Address::Email { server, .. }, Content::Email { text, .. }) => Some((server.clone(), text.clone())),
        _ => None,
    });
    let (server, text) = mail.unwrap();
    assert_eq!(server, None);
    assert!(text.contains("Since: 1970-01-01 09:16:40 UTC+09:00"), "{text}");
}

#[tokio::test]
async fn telephones_and_topics_are_told_in_plain_text() {
    let routes = "
route: {receiver: on-call.en, group_wait: 10s}
receivers:
  - name: on-call.en
    sns_configs:
      - phone_number: '+819012345678'
      - topic_arn: 'arn:aws:sns:us-east-1:123456789012:pager'
    slack_configs: [{api_url_file: 'ssm:/mihari/slack'}]
";
    let bench = Bench::with(routes, &FaultPlan::none());
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    assert_eq!(bench.run(1010).await.delivered, 3);
    let mut deliveries = bench.messenger.drain();
    deliveries.sort_by_key(|delivery| format!("{:?}", delivery.address));
    let [phone, topic, slack] = deliveries.try_into().unwrap();
    let numbers = vec!["+819012345678".to_owned()];
    assert_eq!(phone.address, Address::Sms { numbers });
    let text = "[CRITICAL] cpu\na\nhigh\nhttp://127.0.0.1:9099/alerts".to_owned();
    assert_eq!(phone.content, Content::Text { subject: None, text });
    assert_eq!(
        topic.address,
        Address::Topic { arn: "arn:aws:sns:us-east-1:123456789012:pager".to_owned(), attributes: BTreeMap::new() }
    );
    let Content::Text { subject, text } = topic.content else { panic!("{:?}", topic.content) };
    assert_eq!(subject.as_deref(), Some("[CRITICAL] cpu"));
    assert!(text.contains("Since: 1970-01-01 09:16:40 UTC+09:00"), "{text}");
    let url = Secret::File("ssm:/mihari/slack".to_owned());
    assert_eq!(slack.address, Address::Webhook { url, headers: Vec::new(), connection: None });
}

#[tokio::test]
async fn a_failing_receiver_is_tried_again_under_its_key_and_blocks_nobody() {
    // Deliveries are called in the order mail, slack, webhook.
    let plan = FaultPlan::script([("messenger deliver", 1, Fault::ErrorBefore(ErrorKind::Unavailable))]);
    let bench = Bench::new(&plan);
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    assert_eq!(bench.run(1010).await, Ran { groups: 1, delivered: 2, failed: 1, ..Ran::default() });
    assert_eq!(bench.said(), ["hook first notification: a firing", "mail [CRITICAL] cpu"]);
    assert_eq!(bench.run(1014).await, Ran::default(), "it waits five seconds");
    assert_eq!(bench.run(1015).await, Ran { groups: 1, delivered: 1, ..Ran::default() });
    assert_eq!(bench.said(), ["slack [CRITICAL] cpu: high"]);
}

#[tokio::test]
async fn what_a_receiver_refuses_is_not_sent_again_before_the_next_look() {
    let plan = FaultPlan::script([("messenger deliver", 0, Fault::ErrorBefore(ErrorKind::Invalid))]);
    let bench = Bench::new(&plan);
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    bench.run(1010).await;
    bench.said();
    assert_eq!(bench.run(1100).await, Ran::default());
    assert_eq!(bench.run(1130).await, Ran { groups: 1, delivered: 1, ..Ran::default() });
    assert_eq!(bench.said(), ["mail [CRITICAL] cpu"]);
}

/// The key of each delivery that was made, also of those that were made again.
#[derive(Debug, Default)]
struct Counting(std::sync::Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Messenger for Counting {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<crate::ports::Receipt> {
        self.0.lock().unwrap().push(delivery.idempotency_key.clone());
        Ok(crate::ports::Receipt::noted(String::new()))
    }
}

#[tokio::test]
async fn a_crash_between_delivery_and_record_repeats_the_same_key() {
    // Writes: 0 the alert, 1 the claim, 2 to 9 all tries to record.
    let broken = (2..10).map(|call| ("state write", call, Fault::ErrorBefore(ErrorKind::Unavailable)));
    let bench = Bench::new(&FaultPlan::script(broken));
    let counting = Counting::default();
    let desk = |now| Desk { messenger: &counting, ..bench.desk(now) };
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    assert_eq!(desk(1010).run_due().await.unwrap(), Ran { groups: 1, broken: 1, ..Ran::default() });
    assert_eq!(desk(1069).run_due().await.unwrap(), Ran::default(), "somebody may still be at it");
    assert_eq!(desk(1070).run_due().await.unwrap(), Ran { groups: 1, delivered: 3, ..Ran::default() });
    assert_eq!(desk(1130).run_due().await.unwrap(), Ran { groups: 1, ..Ran::default() });
    let keys = counting.0.lock().unwrap().clone();
    assert_eq!(keys.len(), 6);
    assert_eq!(keys[..3], keys[3..]);
}

#[tokio::test]
async fn two_runs_at_once_deliver_once() {
    let bench =
        Bench::new(&FaultPlan::script([("state write", 1, Fault::Delay(3)), ("state write", 2, Fault::Delay(1))]));
    let counting = Counting::default();
    let desk = |now| Desk { messenger: &counting, ..bench.desk(now) };
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    let (one, two) = futures::future::join(desk(1010).run_due(), desk(1010).run_due()).await;
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.taken + two.taken, one.delivered + two.delivered), (1, 3), "{one:?} {two:?}");
    assert_eq!(counting.0.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn an_alert_that_joins_during_a_delivery_is_announced_at_the_next_look() {
    let bench = Bench::new(&FaultPlan::script([("messenger deliver", 0, Fault::Delay(50))]));
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    let desk = bench.desk(1010);
    let joins = async {
        tokio::task::yield_now().await;
        let more = [message(1010, &[("b", 1010, None)])];
        bench.receive(&more, 1010).await
    };
    let (ran, received) = futures::future::join(desk.run_due(), joins).await;
    assert_eq!((ran.unwrap().delivered, received.failed.len()), (3, 0));
    bench.said();
    bench.run(1130).await;
    assert_eq!(bench.said()[0], "hook new alerts added: a firing, b firing");
    bench.run(1250).await;
    assert!(bench.said().is_empty());
}

#[tokio::test]
async fn a_message_that_is_none_costs_no_other() {
    let bench = Bench::new(&FaultPlan::none());
    let bad = Message { id: "bad".to_owned(), body: b"{".to_vec().into() };
    let received = bench.receive(&[bad, message(1000, &[("a", 1000, None)])], 1000).await;
    assert_eq!((received.alerts, received.failed.len()), (1, 1));
    assert_eq!((received.failed[0].0.as_str(), received.failed[0].1.kind()), ("bad", ErrorKind::Invalid));
}

#[tokio::test]
async fn silences_mute_and_the_silenced_is_announced_when_they_end() {
    let bench = Bench::new(&FaultPlan::none());
    let silence = Silence {
        id: "s1".to_owned(),
        matchers: parse_matchers("host=a").unwrap(),
        starts_at: Timestamp::from_secs(900),
        ends_at: Timestamp::from_secs(1100),
        updated_at: Timestamp::from_secs(900),
        created_by: "ops".to_owned(),
        comment: String::new(),
        annotations: BTreeMap::new(),
    };
    let tenant = TenantId::default_tenant();
    let row = RowWrite::put(rows::silence_key(&tenant, "s1"), Expect::Any, silence.encode());
    bench.state.write(vec![row], Timestamp::from_secs(900)).await.unwrap();
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    bench.run(1010).await;
    assert!(bench.said().is_empty());
    bench.run(1130).await;
    assert_eq!(bench.said(), FIRST);
}

#[tokio::test]
async fn hundreds_of_alerts_are_taken_in_within_the_limits_of_a_write() {
    let bench = Bench::with(
        "route: {receiver: r, group_by: ['...'], group_wait: 0s}\nreceivers: [{name: r, webhook_configs: [{url: 'http://a/hook'}]}]",
        &FaultPlan::none(),
    );
    let hosts: Vec<String> = (0..400).map(|index| format!("h{index}")).collect();
    let alerts: Vec<(&str, i64, Option<i64>)> = hosts.iter().map(|host| (host.as_str(), 1000, None)).collect();
    assert!(bench.receive(&[message(1000, &alerts)], 1000).await.failed.is_empty());
    assert_eq!((bench.row_count("a#default").await, bench.row_count("d#0").await), (400, 400));
    assert_eq!(bench.run(1000).await.delivered, 400);
}

/// Every write and every delivery of a whole life of an alert fails once, before and after it took effect: all is said,
/// and nothing twice under two keys.
#[tokio::test]
async fn any_single_failure_heals() {
    let unavailable = ErrorKind::Unavailable;
    let all = [
        Fault::ErrorBefore(unavailable),
        Fault::ErrorAfter(unavailable),
        Fault::ErrorBefore(ErrorKind::Conflict),
        Fault::Duplicate,
        Fault::Retried,
    ];
    // A life takes eight writes and six deliveries; reads only fail.
    let cases = [
        ("state write", 8, &all[..]),
        ("messenger deliver", 6, &all),
        ("state get", 4, &all[..1]),
        ("state range", 4, &all[..1]),
    ];
    let mut expected: Vec<String> = FIRST.iter().chain(&ENDED).map(|one| (*one).to_owned()).collect();
    expected.sort();
    for (operation, calls, faults) in cases {
        for (call, fault) in (0..calls).flat_map(|call| faults.iter().map(move |fault| (call, *fault))) {
            let plan = FaultPlan::script([(operation, call, fault)]);
            assert_eq!(life(&plan).await, expected, "{operation} {call} {fault:?}");
            assert_eq!(plan.injected().len(), 1, "{operation} {call} {fault:?} came");
        }
    }
}

/// An alert that fires and ends, published every 30 seconds and run every 10; what was said, sorted.
async fn life(plan: &Arc<FaultPlan>) -> Vec<String> {
    let bench = Bench::new(plan);
    for now in (1000..1800).step_by(10) {
        if now % 30 == 0 {
            let end = (now >= 1300).then_some(1300);
            bench.receive(&[message(now, &[("a", 1000, end)])], now).await;
        }
        bench.run(now).await;
    }
    bench.said()
}

#[tokio::test]
async fn many_failures_at_random_heal() {
    for seed in 0..10 {
        let plan = FaultPlan::seeded(seed, FaultRates::each(60));
        let bench = Bench::new(&plan);
        for now in (1000..4000).step_by(10) {
            if now == 3000 {
                plan.stop();
            }
            if now % 30 == 0 {
                let sent_at = |sent: i64| message(sent, &[("a", 1000, (sent >= 2000).then_some(2000))]);
                let messages = [sent_at(now), sent_at(now - 60)];
                bench.receive(&messages, now).await;
            }
            bench.run(now).await;
        }
        let said = bench.said();
        for wanted in FIRST.iter().chain(&ENDED) {
            assert_eq!(said.iter().filter(|one| one == wanted).count(), 1, "seed {seed}: {wanted}\n{said:#?}");
        }
        assert_eq!(bench.row_count("d#0").await, 0, "seed {seed}");
    }
}

/// A host runs the flow in tasks of its own.
#[test]
fn the_flow_can_run_in_a_task() {
    const fn is_send<T: Send>(_: &T) {}
    let check = |app: &'static App, messages: &'static [Message]| {
        is_send(&run_due(app, Timestamp::default()));
        is_send(&receive(app, messages, Timestamp::default()));
    };
    let _checked_by_the_compiler: fn(&'static App, &'static [Message]) = check;
}

/// Never answers the webhook.
#[derive(Debug)]
struct Hanging<'a>(&'a MemoryMessenger);

#[async_trait::async_trait]
impl Messenger for Hanging<'_> {
    async fn deliver(&self, delivery: &Delivery) -> PortResult<crate::ports::Receipt> {
        match &delivery.address {
            Address::Webhook { url, .. } if ends_with(url, "hook") => std::future::pending().await,
            Address::Webhook { .. }
            | Address::Email { .. }
            | Address::Sms { .. }
            | Address::Topic { .. }
            | Address::SlackThread { .. } => self.0.deliver(delivery).await,
        }
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_other() {
    let bench = Bench::new(&FaultPlan::none());
    let hanging = Hanging(&bench.messenger);
    let desk = Desk { messenger: &hanging, ..bench.desk(1010) };
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    assert!(desk.run_due().now_or_never().is_none(), "it waits for the webhook");
    assert_eq!(bench.said(), ["mail [CRITICAL] cpu", "slack [CRITICAL] cpu: high"]);
    // The run was dropped, as in a crash: all three go out again under their keys.
    assert_eq!(bench.run(1070).await, Ran { groups: 1, delivered: 3, ..Ran::default() });
}

#[tokio::test]
async fn why_an_alert_was_told_or_was_not_is_explained() {
    let routes = format!(
        "{ROUTES}inhibit_rules: [{{source_matchers: [host=source], target_matchers: [host=target]}}]\n{}",
        "time_intervals: [{name: always, time_intervals: [{}]}]\n"
    );
    let bench = Bench::with(&routes, &FaultPlan::none());
    let tenant = TenantId::default_tenant();
    let explained = |now: i64, host: &'static str| {
        let bench = &bench;
        let tenant = &tenant;
        async move {
            let desk = bench.desk(now);
            let labels = Labels::from_pairs([("host", host)]).unwrap();
            let loaded = view::Loaded {
                alerts: desk.alerts(tenant).await.unwrap().0,
                silences: load_silences(desk.state, tenant, desk.now).await.unwrap(),
            };
            let all = desk.explain(tenant, &labels, &loaded).await.unwrap();
            all.iter().flat_map(Explanation::lines).collect::<Vec<_>>().join("\n")
        }
    };
    let check = |text: &str, wanted: &[&str]| {
        for part in wanted {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
    };
    check(&explained(1000, "a").await, &["is not known to the notifications", "route {} -> receiver everyone"]);
    bench.receive(&[message(1000, &[("a", 1000, None), ("target", 1000, None)])], 1000).await;
    let waits = explained(1005, "a").await;
    check(&waits, &["fires since 1970-01-01T00:16:40Z", "waits for group_wait until 1970-01-01T00:16:50Z"]);
    check(&waits, &["webhook/0 is told at the next look: first notification"]);
    bench.run(1010).await;
    let told = explained(1020, "a").await;
    check(&told, &["webhook/0 is not told: nothing new since the last notification"]);
    check(&told, &["told that it fires at 1970-01-01T00:16:50Z: first notification", "2 alerts, looked at next at"]);
    check(&told, &["reminded at the first look after 1970-01-01T01:16:50Z"]);
    bench.receive(&[message(1030, &[("source", 1030, None)])], 1030).await;
    check(&explained(1031, "target").await, &["inhibited by", "host=\"source\""]);
    let silence = Silence {
        id: "s1".to_owned(),
        matchers: parse_matchers("host=a").unwrap(),
        starts_at: Timestamp::from_secs(900),
        ends_at: Timestamp::from_secs(1100),
        updated_at: Timestamp::from_secs(900),
        created_by: "ops".to_owned(),
        comment: "deploy".to_owned(),
        annotations: BTreeMap::new(),
    };
    let row = RowWrite::put(rows::silence_key(&tenant, "s1"), Expect::Any, silence.encode());
    bench.state.write(vec![row], Timestamp::from_secs(1031)).await.unwrap();
    check(&explained(1032, "a").await, &["silenced by s1 of ops until 1970-01-01T00:18:20Z: deploy"]);

    let muted = ROUTES.replace(
        "group_by: [alertname]",
        "group_by: [alertname]\n  routes: [{matchers: [host=a], mute_time_intervals: [early]}]",
    );
    let early =
        "time_intervals: [{name: early, time_intervals: [{times: [{start_time: '00:00', end_time: '00:30'}]}]}]\n";
    let bench = Bench::with(&format!("{muted}{early}"), &FaultPlan::none());
    bench.receive(&[message(1000, &[("a", 1000, None)])], 1000).await;
    let desk = bench.desk(1015);
    let loaded = view::Loaded { alerts: desk.alerts(&tenant).await.unwrap().0, silences: Vec::new() };
    let labels = Labels::from_pairs([("host", "a")]).unwrap();
    let text = desk.explain(&tenant, &labels, &loaded).await.unwrap()[0].lines().join("\n");
    check(
        &text,
        &[
            "muted by time interval early until 1970-01-01T00:30:00Z",
            "webhook/0 is not told: muted by time interval early",
        ],
    );
}

//! The specification of alert generators, sentence by sentence: what is sent when and with which times, what is written,
//! what the API says. Minutes count from the start; a sample comes each minute, and stays away where there is none.
//!
//! Where the specification and Prometheus disagree, Prometheus counts: a message is repeated once more than the resend
//! delay has passed, and vouches for its alert from the evaluation on rather than from its start.

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use super::*;

/// What a minute sends: `name state start..end`, in minutes, and what tells the alerts apart.
async fn minute_by_minute(rules: &str, values: &[Option<f64>]) -> (World, Vec<Vec<String>>) {
    let world = World::new();
    let app = world.app(rules, &FaultPlan::none());
    let mut sent = Vec::new();
    for (at, value) in (0..).zip(values) {
        if let Some(value) = value {
            world.push(minute(at), *value).await;
        }
        ticked(&app, minute(at)).await;
        sent.push(world.sent().iter().map(shown).collect());
    }
    (world, sent)
}

impl World {
    fn sent(&self) -> Vec<alerting::Alert> {
        let messages = self.topic.drain();
        let read = |message: &Message| serde_json::from_slice::<AlertMessage>(&message.body).unwrap();
        messages.iter().flat_map(|message| read(message).alerts).collect()
    }
}

fn in_minutes(time: Timestamp) -> i64 {
    (time.as_millis() - minute(0).as_millis()) / 60_000
}

fn shown(alert: &alerting::Alert) -> String {
    let end = match (alert.ends_at, alert.valid_until) {
        (Some(end), None) => format!("resolved {}", in_minutes(end)),
        (None, Some(until)) => format!("firing until {}", in_minutes(until)),
        other => panic!("an alert has one of the two: {other:?}"),
    };
    format!("{} since {} {end}", alert.name(), in_minutes(alert.starts_at))
}

/// The minutes in which something was sent, with what.
fn told(sent: &[Vec<String>]) -> Vec<(usize, String)> {
    sent.iter().enumerate().flat_map(|(at, all)| all.iter().map(move |text| (at, text.clone()))).collect()
}

async fn check(rules: &str, values: &[Option<f64>], expected: &[(usize, &str)]) -> World {
    let (world, sent) = minute_by_minute(rules, values).await;
    let expected: Vec<(usize, String)> = expected.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
    assert_eq!(told(&sent), expected);
    world
}

fn one(alert: &str) -> String {
    format!("groups: [{{ name: g, rules: [{{ alert: high, expr: 'last_over_time(load[1m]) > 5', {alert} }}] }}]")
}

fn course(breaching: &[(bool, usize)]) -> Vec<Option<f64>> {
    let minutes = breaching.iter().flat_map(|&(is_breach, minutes)| std::iter::repeat_n(is_breach, minutes));
    minutes.map(|is_breach| Some(if is_breach { 9.0 } else { 1.0 })).collect()
}

#[tokio::test]
async fn an_alert_waits_fires_again_and_again_and_is_resolved_for_a_quarter_of_an_hour() {
    let values = course(&[(false, 1), (true, 6), (false, 20)]);
    let mut expected = vec![
        // Active at 1, fired at 3, as the hold is 2 minutes; sent again once more than a minute has passed.
        (3, "high since 3 firing until 7".to_owned()),
        (5, "high since 3 firing until 9".to_owned()),
    ];
    // Ended at 7: told at once, and until 15 minutes have passed.
    expected.extend([7, 9, 11, 13, 15, 17, 19, 21].map(|at| (at, "high since 3 resolved 7".to_owned())));
    let (world, sent) = minute_by_minute(&one("for: 2m"), &values).await;
    assert_eq!(told(&sent), expected);
    let app = world.app(&one("for: 2m"), &FaultPlan::none());
    assert_eq!(samples(&app, "ALERTS{alertstate=\"pending\"}").await, ["1@1", "1@2", "stale@3"]);
    assert_eq!(samples(&app, "ALERTS{alertstate=\"firing\"}").await, ["1@3", "1@4", "1@5", "1@6", "stale@7"]);
}

#[tokio::test]
async fn an_alert_that_never_fired_is_never_sent() {
    let world = check(&one("for: 5m"), &course(&[(true, 4), (false, 3), (true, 4), (false, 2)]), &[]).await;
    let app = world.app(&one("for: 5m"), &FaultPlan::none());
    assert!(samples(&app, "ALERTS{alertstate=\"firing\"}").await.is_empty());
    assert_eq!(changes(&app).await.len(), 4);
}

#[tokio::test]
async fn without_a_hold_it_fires_at_once_and_with_a_short_one_at_the_next_evaluation() {
    let values = course(&[(true, 2), (false, 1)]);
    let zero = [(0, "high since 0 firing until 4"), (2, "high since 0 resolved 2")];
    check(&one("for: 0s"), &values, &zero).await;
    let short = [(1, "high since 1 firing until 5"), (2, "high since 1 resolved 2")];
    check(&one("for: 30s"), &values, &short).await;
    let longer = "groups: [{ name: g, interval: 2m, rules: [{ alert: high, expr: 'load > 5' }] }]";
    let values = course(&[(true, 5)]);
    let (_, sent) = minute_by_minute(longer, &values).await;
    let told = told(&sent);
    assert!(told.len() >= 2 && told.windows(2).all(|two| two[1].0 - two[0].0 == 2), "every evaluation: {told:?}");
    let vouched = |(at, text): &(usize, String)| text.ends_with(&format!("until {}", at + 8));
    assert!(told.iter().all(vouched), "for four intervals, where they are longer than the resend delay: {told:?}");
}

#[tokio::test]
async fn a_new_alert_with_the_labels_of_one_that_ended_is_a_new_one() {
    let values = course(&[(true, 3), (false, 2), (true, 4)]);
    let expected = [
        (1, "high since 1 firing until 5"),
        (3, "high since 1 resolved 3"),
        // Active again at 5: nothing is sent of the one that ended any more, and the new one fires in its own time.
        (6, "high since 6 firing until 10"),
        (8, "high since 6 firing until 12"),
    ];
    check(&one("for: 1m"), &values, &expected).await;
}

#[tokio::test]
async fn texts_follow_the_newest_value_and_labels_take_precedence() {
    let rules = "
groups:
- name: g
  rules:
  - alert: high
    expr: 'last_over_time(load[1m]) > 5'
    for: 1m
    labels: { alertname: other, alertstate: strange, instance: '{{ $labels.instance }}-{{ $labels.__name__ }}', gone: '' }
    annotations: { text: 'at {{ $value }}', optional: 'x{{ $externalURL }}{{ $externalLabels.nothing }}' }
  - record: seen
    expr: 'count by (alertname, instance) (ALERTS{alertstate=\"pending\"})'
";
    let world = World::new();
    let app = world.app(rules, &FaultPlan::none());
    for at in 0..4 {
        world.push(minute(at), 6.0 + f64::from(i32::try_from(at).unwrap())).await;
        ticked(&app, minute(at)).await;
    }
    let sent = world.sent();
    let texts: Vec<&str> = sent.iter().map(|alert| alert.annotations["text"].as_str()).collect();
    assert_eq!(texts, ["at 7", "at 9"]);
    let expected = [("alertname", "high"), ("alertstate", "strange"), ("instance", "a-load")];
    assert_eq!(sent[0].labels, labels(&expected));
    assert!(sent[0].generator_url.contains("/graph?g0.expr=last_over_time%28load%5B1m%5D%29+%3E+5&g0.tab=1"));
    // The rule behind it saw the alert in the same evaluation; in `ALERTS` the state takes the place of the label.
    assert_eq!(samples(&app, "seen").await, ["1@0", "stale@1"]);
    assert_eq!(samples(&app, "ALERTS{alertstate=\"firing\"}").await, ["1@1", "1@2", "1@3"]);
    assert!(samples(&app, "ALERTS{alertstate=\"strange\"}").await.is_empty());
}

#[tokio::test]
async fn two_alerts_with_the_same_labels_fail_the_rule_and_nothing_is_sent_or_written() {
    let rules = "groups: [{ name: g, rules: [{ alert: high, expr: load, labels: { instance: same } }] }]";
    let world = World::new();
    let app = world.app(rules, &FaultPlan::none());
    world.push(minute(0), 1.0).await;
    world.push_to("b", minute(0), 2.0).await;
    ticked(&app, minute(0)).await;
    assert!(world.sent().is_empty() && samples(&app, "ALERTS").await.is_empty());
    let rule = &api(&app, "/api/v1/rules").await["groups"][0]["rules"][0];
    assert_eq!(rule["health"], "err");
    assert!(rule["lastError"].as_str().unwrap().contains("same labelset"), "{rule}");
    assert_eq!(rule["alerts"], serde_json::json!([]));
}

async fn api(app: &App, path: &str) -> Value {
    let request = Request::get(path).header("host", "127.0.0.1:9099").body(Bytes::new()).unwrap();
    let reply = crate::http::handle(app, request, [0; 32], minute(4)).await;
    let body: Value = serde_json::from_slice(reply.body()).unwrap();
    assert_eq!(body["status"], "success", "{body}");
    body["data"].clone()
}

#[tokio::test]
async fn the_api_tells_of_rules_and_of_the_alerts_that_hold() {
    let rules = "
groups:
- name: g
  interval: 1m
  rules:
  - { alert: fires, expr: 'load > 5', for: 1m, labels: { severity: page }, annotations: { text: 'at {{ $value }}' } }
  - { alert: waits, expr: 'load > 7', for: 10m }
  - { alert: rests, expr: 'load > 99' }
";
    let world = World::new();
    let app = world.app(rules, &FaultPlan::none());
    for at in 0..3 {
        world.push(minute(at), 9.0).await;
        ticked(&app, minute(at)).await;
    }
    let data = api(&app, "/api/v1/rules").await;
    let group = &data["groups"][0];
    assert_eq!((&group["name"], &group["interval"]), (&"g".into(), &60.into()));
    let is_time = |value: &Value| value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok());
    assert!(is_time(&group["lastEvaluation"]), "{group}");
    let rules = group["rules"].as_array().unwrap();
    let states: Vec<&str> = rules.iter().map(|rule| rule["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["firing", "pending", "inactive"]);
    for rule in rules {
        assert_eq!((&rule["type"], &rule["health"]), (&"alerting".into(), &"ok".into()));
        assert!(is_time(&rule["lastEvaluation"]) && rule["evaluationTime"].is_number(), "{rule}");
        assert!(rule["lastError"].as_str().unwrap_or("").is_empty());
    }
    let fires = &rules[0];
    assert_eq!((&fires["name"], &fires["duration"]), (&"fires".into(), &60.into()));
    assert_eq!(fires["query"], "load > 5");
    assert_eq!(
        (&fires["labels"]["severity"], &fires["annotations"]["text"]),
        (&"page".into(), &"at {{ $value }}".into())
    );
    let alert = &fires["alerts"][0];
    assert_eq!((&alert["state"], &alert["value"]), (&"firing".into(), &"9e+00".into()));
    assert_eq!((&alert["labels"]["alertname"], &alert["annotations"]["text"]), (&"fires".into(), &"at 9".into()));
    let active_at: jiff::Timestamp = alert["activeAt"].as_str().unwrap().parse().unwrap();
    assert_eq!(active_at.as_millisecond(), minute(0).as_millis());
    let all = api(&app, "/api/v1/alerts").await["alerts"].as_array().unwrap().clone();
    let union: Vec<Value> = rules.iter().flat_map(|rule| rule["alerts"].as_array().unwrap().clone()).collect();
    assert_eq!(all, union);
}

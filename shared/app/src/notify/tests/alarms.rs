//! Alarms of CloudWatch, from the event of EventBridge to the message.

use std::collections::BTreeMap;

use http::{Method, Request, StatusCode};
use model::TimeRange;
use serde_json::Value;

use super::*;
use crate::access::{self, NewToken, Role, Scope};
use crate::history::Filter;
use crate::pages::testing::World;

const EVENT: &str = include_str!("../../../../../events/notify/alarm.json");
/// When the event says that the alarm fires, in seconds.
const FIRED: i64 = 1_795_347_180;

/// The event with another state after another one.
fn event(state: &str, since: &str, before: &str) -> Vec<u8> {
    let mut event: Value = serde_json::from_str(EVENT).unwrap();
    let detail = &mut event["detail"];
    detail["previousState"] = detail["state"].clone();
    detail["previousState"]["value"] = before.into();
    detail["state"] = serde_json::json!({"value": state, "timestamp": since, "reason": "because"});
    event["id"] = since.into();
    event.to_string().into_bytes()
}

fn read(event: &[u8]) -> (Message, Vec<Alert>) {
    let message = alarm_message(event, &TenantId::default_tenant()).unwrap().unwrap();
    let body: AlertMessage = serde_json::from_slice(&message.body).unwrap();
    assert_eq!(body.tenant, "default");
    (message, body.alerts)
}

#[test]
fn an_alarm_is_an_alert_with_what_it_watches_and_what_its_description_says() {
    let (message, alerts) = read(EVENT.as_bytes());
    assert_eq!(message.id, "2b4c3f1e-7d0a-4a55-9a2e-6f0b2c1d3e4f");
    let alert = &alerts[0];
    let expected = Labels::from_pairs([
        ("account_id", "123456789012"),
        ("alarm_arn", "arn:aws:cloudwatch:ap-northeast-1:123456789012:alarm:orders-db-cpu"),
        ("alertname", "orders-db-cpu"),
        ("dimension_DBInstanceIdentifier", "orders"),
        ("job", "cloudwatch"),
        ("metric_name", "CPUUtilization"),
        ("namespace", "AWS/RDS"),
        ("region", "ap-northeast-1"),
        ("scope", "infra"),
        ("severity", "critical"),
        ("team", "dev"),
    ]);
    assert_eq!(alert.labels, expected.unwrap());
    assert_eq!(alert.annotations["description"], "注文DBのCPU使用率");
    assert!(alert.annotations["reason"].starts_with("Threshold Crossed"));
    assert_eq!((alert.starts_at, alert.ends_at), (Timestamp::from_millis(FIRED * 1000 + 989), None));
    assert!(alert.generator_url.ends_with("?region=ap-northeast-1#alarmsV2:alarm/orders-db-cpu"));
    let shop = TenantId::new("shop").unwrap();
    assert_eq!(alarm_message(b"{\"tenant\": \"default\", \"alerts\": []}", &shop), None);
    assert!(alarm_message(b"{\"detail-type\": \"CloudWatch Alarm State Change\"}", &shop).unwrap().is_err());
}

#[test]
fn only_ok_ends_an_alarm_and_missing_data_say_that_nobody_knows() {
    let later = "2026-11-22T12:33:00.000+0000";
    let end = Some(Timestamp::from_secs(FIRED + 3600));
    let cases = [
        ("OK", "ALARM", Some((end, false))),
        ("OK", "INSUFFICIENT_DATA", Some((end, false))),
        ("INSUFFICIENT_DATA", "ALARM", Some((None, true))),
        ("INSUFFICIENT_DATA", "OK", None),
        ("ALARM", "INSUFFICIENT_DATA", Some((None, false))),
    ];
    for (state, before, expected) in cases {
        let (_, alerts) = read(&event(state, later, before));
        let found = alerts.first().map(|alert| (alert.ends_at, alert.annotations.contains_key("mihari/state")));
        assert_eq!(found, expected, "{before} to {state}");
    }
}

const HOOK: &str = "
route: {receiver: everyone, group_by: [alertname], group_wait: 10s, group_interval: 2m}
receivers: [{name: everyone, email_configs: [{to: ops@example.com, send_resolved: true}]}]
global: {smtp_from: mihari@example.com}
";

#[tokio::test]
async fn it_is_told_once_and_again_when_it_is_over_and_goes_on_as_long_as_cloudwatch_is_silent() {
    let bench = Bench::with(HOOK, &FaultPlan::none());
    let (fired, _) = read(EVENT.as_bytes());
    for now in [FIRED + 5, FIRED + 6] {
        let received = bench.receive(std::slice::from_ref(&fired), now).await;
        assert_eq!((received.alerts, received.failed.len()), (1, 0));
    }
    bench.run(FIRED + 30).await;
    assert_eq!(bench.said().len(), 1);
    bench.run(FIRED + 3000).await;
    assert!(bench.said().is_empty(), "nothing new");
    let (over, _) = read(&event("OK", "2026-11-22T12:33:00.000+0000", "ALARM"));
    bench.receive(&[over, fired], FIRED + 3605).await;
    bench.run(FIRED + 4000).await;
    let said = bench.said();
    assert!(said.len() == 1 && said[0].contains("RESOLVED"), "the older event changes nothing: {said:?}");
}

/// A deployment that asks for tokens, with one for a sender of the tenant `shop` and one for its people.
async fn deployment(files: &[(&str, &str)]) -> (App, World, [String; 2]) {
    let world = World::default();
    let app = world.app(files, &FaultPlan::none());
    app.require_tokens();
    let token = |name: &str, scope: Scope, seed: u8| {
        let tenant = TenantId::new("shop").unwrap();
        let token = NewToken { name: name.to_owned(), scopes: vec![scope], role: Role::Ops, tenant };
        let state = Arc::clone(&app.ports.state);
        async move { access::create(state.as_ref(), token, [seed; 32], Timestamp::from_secs(FIRED)).await.unwrap() }
    };
    let tokens = [token("eventbridge", Scope::Write, 1).await, token("you", Scope::Read, 2).await];
    (app, world, tokens)
}

async fn ask(app: &App, method: Method, path: &str, token: &str, body: Vec<u8>) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).header("x-api-key", token).body(body.into()).unwrap();
    let reply = crate::http::handle(app, request, [3; 32], Timestamp::from_secs(FIRED + 60)).await;
    (reply.status(), serde_json::from_slice(reply.body()).unwrap_or(Value::Null))
}

#[tokio::test]
async fn an_alarm_comes_over_http_into_the_tenant_of_its_sender() {
    let (app, _world, [sender, reader]) = deployment(&[]).await;
    let post = |token: &str, body: &[u8]| {
        let (app, token, body) = (&app, token.to_owned(), body.to_vec());
        async move { ask(app, Method::POST, "/eventbridge", &token, body).await }
    };
    let alerts = || async { ask(&app, Method::GET, "/am/api/v2/alerts", &reader, Vec::new()).await.1 };
    for _ in 0..2 {
        assert_eq!(post(&sender, EVENT.as_bytes()).await, (StatusCode::NO_CONTENT, Value::Null));
    }
    let shown = alerts().await;
    assert_eq!(shown.as_array().unwrap().len(), 1, "the same event twice is one alert: {shown}");
    assert_eq!(
        (&shown[0]["labels"]["alertname"], &shown[0]["labels"]["team"]),
        (&"orders-db-cpu".into(), &"dev".into())
    );
    let (default, now) = (TenantId::default_tenant(), Timestamp::from_secs(FIRED + 60));
    assert!(sent_alerts(&app, &default, &ViewFilter::default(), now).await.unwrap().is_empty());
    let end = event("OK", "2026-11-22T11:33:30.000+0000", "ALARM");
    assert_eq!(post(&sender, &end).await.0, StatusCode::NO_CONTENT);
    assert_eq!(alerts().await, serde_json::json!([]));

    let cases: [(&str, &[u8], StatusCode, &str); 4] = [
        (&sender, b"{}", StatusCode::BAD_REQUEST, "is no event"),
        (&sender, b"{\"detail-type\": \"CloudWatch Alarm State Change\"}", StatusCode::BAD_REQUEST, "id"),
        (&reader, EVENT.as_bytes(), StatusCode::FORBIDDEN, "write"),
        ("mihari_nobody", EVENT.as_bytes(), StatusCode::UNAUTHORIZED, ""),
    ];
    for (token, body, status, reason) in cases {
        let (found, said) = post(token, body).await;
        assert!(found == status && said.to_string().contains(reason), "{found} {said}: {status} {reason}");
    }
    let (status, _) = ask(&app, Method::GET, "/eventbridge", &sender, Vec::new()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn an_alarm_that_came_over_http_is_handed_on_by_way_of_the_topic() {
    let forward = "alerting: { alertmanagers: [{ static_configs: [{ targets: ['am:9093'] }] }] }";
    for (files, expected) in [(vec![], 0), (vec![("tenants/shop/forward.yml", forward)], 1)] {
        let (app, world, [sender, _]) = deployment(&files).await;
        let posted = ask(&app, Method::POST, "/eventbridge", &sender, EVENT.as_bytes().to_vec()).await;
        assert_eq!(posted.0, StatusCode::NO_CONTENT);
        assert_eq!(world.topic.drain().len(), expected);
    }
}

#[tokio::test]
async fn alarms_and_alerts_of_outside_senders_are_in_the_history_and_count_for_their_rules() {
    let world = World::default();
    let app = world.app(&[], &FaultPlan::none());
    let tenant = TenantId::default_tenant();
    let at = |secs: i64| Timestamp::from_secs(FIRED + secs);
    let sent = |end: Option<i64>| {
        let labels = BTreeMap::from([("alertname".to_owned(), "Busy".to_owned())]);
        let ends_at = end.map(at);
        vec![SentAlert {
            labels,
            annotations: BTreeMap::new(),
            starts_at: Some(at(10)),
            ends_at,
            generator_url: String::new(),
        }]
    };
    for _ in 0..2 {
        take_alarm(&app, &tenant, EVENT.as_bytes(), at(5)).await.unwrap();
    }
    take_in(&app, &tenant, sent(Some(300)), at(20)).await.unwrap();
    take_in(&app, &tenant, sent(Some(400)), at(80)).await.unwrap();
    take_alarm(&app, &tenant, &event("OK", "2026-11-22T11:34:00.000+0000", "ALARM"), at(100)).await.unwrap();
    take_in(&app, &tenant, sent(Some(90)), at(100)).await.unwrap();
    // One that fires until its time has passed, and nobody says so; then it fires again.
    take_in(&app, &tenant, sent(Some(300)), at(200)).await.unwrap();
    let again = vec![SentAlert { starts_at: Some(at(500)), ..sent(Some(900)).remove(0) }];
    take_in(&app, &tenant, again, at(510)).await.unwrap();

    let changes = crate::alerts::history(&app, &tenant, TimeRange::ALL, at(1000)).await.unwrap();
    let shown = changes.iter().map(|change| {
        let at = change.at.as_millis() / 1000 - FIRED;
        format!("{at} {} {}>{}", change.labels.get("alertname").unwrap(), change.from.as_str(), change.to.as_str())
    });
    let expected = [
        "5 orders-db-cpu inactive>firing",
        "20 Busy inactive>firing",
        "100 Busy firing>resolved",
        "100 orders-db-cpu firing>resolved",
        "200 Busy inactive>firing",
        "300 Busy firing>resolved",
        "510 Busy inactive>firing",
    ];
    let mut shown: Vec<String> = shown.collect();
    shown[2..4].sort();
    assert_eq!(shown, expected);
    let (_, rules) = crate::history::events_and_rules(&app, &tenant, TimeRange::ALL, &Filter::default(), 100, at(1000))
        .await
        .unwrap();
    assert_eq!((rules["Busy"].fired, rules["Busy"].flaps, rules["orders-db-cpu"].fired), (3, 2, 1));
    assert_eq!(rules["orders-db-cpu"].resolve_seconds_mean, Some(95.0));
}

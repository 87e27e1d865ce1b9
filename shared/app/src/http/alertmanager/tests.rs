//! Every path of the API, asked as its clients ask.

use serde_json::{Value, json};

use super::*;
use crate::access::{NewToken, create};
use crate::faults::FaultPlan;
use crate::http::handle as respond;
use crate::pages::testing::{World, tenant};

const ROUTES: &str = "
global: {slack_api_url: 'https://hooks.example.com/geheim', resolve_timeout: 10m}
route:
  receiver: everyone
  group_by: [alertname]
  routes:
    - matchers: [severity=critical]
      receiver: desk
      continue: true
    - matchers: [team=night]
      receiver: night
      labels: {reason: out of hours}
      mute_time_intervals: [always]
receivers:
  - name: everyone
    labels: {owner: all}
  - name: desk
    slack_configs: [{channel: '#x'}]
  - name: night
inhibit_rules:
  - source_matchers: [severity=critical]
    target_matchers: [severity=warning]
    equal: [host]
time_intervals:
  - {name: always, time_intervals: [{}]}
";
/// 2026-11-22T12:00:00Z
const NOON: i64 = 1_795_348_800;

struct Server {
    app: App,
    _world: World,
}

impl Server {
    fn new() -> Self {
        let world = World::default();
        Self { app: world.app(&[("alertmanager.yml", ROUTES)], &FaultPlan::none()), _world: world }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>, now: i64) -> (StatusCode, Value) {
        self.ask_as(None, method, path, body, now).await
    }

    async fn ask_as(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Option<&Value>,
        now: i64,
    ) -> (StatusCode, Value) {
        let mut request = Request::builder().method(method).uri(format!("/am/{path}"));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = request.body(body).unwrap();
        let mut random = [0; 32];
        random[..8].copy_from_slice(&now.to_le_bytes());
        let reply = respond(&self.app, request, random, Timestamp::from_secs(now)).await;
        (reply.status(), serde_json::from_slice(reply.body()).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str, now: i64) -> Value {
        let (status, body) = self.ask(Method::GET, path, None, now).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    async fn post(&self, path: &str, body: &Value, now: i64) -> (StatusCode, Value) {
        self.ask(Method::POST, path, Some(body), now).await
    }

    /// Sends alerts that fire.
    async fn fire(&self, alerts: &[&[(&str, &str)]]) {
        let labels = |pairs: &&[(&str, &str)]| json!({"labels": pairs.iter().copied().collect::<BTreeMap<_, _>>()});
        let body: Vec<Value> = alerts.iter().map(labels).collect();
        assert_eq!(self.post("api/v2/alerts", &body.into(), NOON).await, (StatusCode::OK, Value::Null));
    }
}

use std::collections::BTreeMap;

/// The values of a label, with the state.
fn shown(alerts: &Value) -> Vec<String> {
    let one = |alert: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        format!("{} {}", text(&alert["labels"]["n"]), text(&alert["status"]["state"]))
    };
    let mut shown: Vec<String> = alerts.as_array().unwrap().iter().map(one).collect();
    shown.sort();
    shown
}

fn silence(matcher: &Value, start: &str, end: &str) -> Value {
    json!({"matchers": [matcher], "startsAt": start, "endsAt": end, "createdBy": "愛子", "comment": "deploy"})
}

#[tokio::test]
async fn the_status_shows_the_configuration_without_its_secrets() {
    let server = Server::new();
    let status = server.get("api/v2/status", NOON).await;
    assert_eq!(status["cluster"], json!({"status": "disabled", "peers": []}));
    assert_eq!(status["uptime"], "2026-11-22T12:00:00.000Z");
    let version = &status["versionInfo"];
    assert_eq!((&version["version"], &version["branch"]), (&json!("0.34.0"), &json!("mihari")), "amtool compares it");
    assert_eq!(version["revision"], env!("CARGO_PKG_VERSION"));
    let original = status["config"]["original"].as_str().unwrap();
    assert!(original.contains("slack_api_url: \"<secret>\"") && !original.contains("geheim"), "{original}");
    alerting::notify::parse("again.yml", &original.replace("<secret>", "http://x")).unwrap();
    for path in ["-/healthy", "-/ready", "metrics", "api/v2/status/", "api/v2/alerts/", "api/v2/silences/"] {
        assert_eq!(server.ask(Method::GET, path, None, NOON).await.0, StatusCode::OK);
    }
    let ready = Request::builder().uri("/am/-/ready").body(Bytes::new()).unwrap();
    let ready = respond(&server.app, ready, [0; 32], Timestamp::from_secs(NOON)).await;
    assert_eq!(ready.body(), "OK");
    // Grafana takes a server that answers there for another product.
    for path in ["alertmanager/api/v2/status", "api/v1/status/buildinfo", "api/v2", "api/v2/silence/"] {
        assert_ne!(server.ask(Method::GET, path, None, NOON).await.0, StatusCode::OK, "{path}");
    }
    assert_eq!(server.ask(Method::DELETE, "api/v2/alerts", None, NOON).await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn receivers_are_found_by_their_labels() {
    let server = Server::new();
    let names = |body: &Value| body.as_array().unwrap().iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
    let all = server.get("api/v2/receivers", NOON).await;
    assert_eq!(names(&all), ["desk", "everyone", "night"]);
    assert_eq!(all[1]["labels"], json!({"name": "everyone", "owner": "all"}));
    assert_eq!(names(&server.get("api/v2/receivers?receiver_matchers=owner%3Dall", NOON).await), ["everyone"]);
}

#[tokio::test]
async fn alerts_are_taken_with_their_gaps_filled() {
    let server = Server::new();
    let body = json!([
        {"labels": {"alertname": "cpu", "n": "1", "empty": ""}, "annotations": {"summary": "高い"},
         "generatorURL": "http://prometheus/graph"},
        {"labels": {"alertname": "cpu", "n": "2"}, "startsAt": "2026-11-22T11:00:00+09:00",
         "endsAt": "0001-01-01T00:00:00Z"},
        {"labels": {"alertname": "cpu", "n": "3"}, "startsAt": "2026-11-22T11:00:00Z", "endsAt": "2026-11-22T11:30:00Z"},
    ]);
    assert_eq!(server.post("api/v2/alerts", &body, NOON).await, (StatusCode::OK, Value::Null));
    let alerts = server.get("api/v2/alerts?filter=n%3D1", NOON).await;
    assert_eq!(
        alerts,
        json!([{
            "annotations": {"summary": "高い"},
            "endsAt": "2026-11-22T12:10:00.000Z",
            "fingerprint": alerts[0]["fingerprint"],
            "receivers": [{"name": "everyone"}],
            "startsAt": "2026-11-22T12:00:00.000Z",
            "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": [], "state": "active"},
            "updatedAt": "2026-11-22T12:00:00.000Z",
            "generatorURL": "http://prometheus/graph",
            "labels": {"alertname": "cpu", "n": "1"},
        }])
    );
    assert_eq!(server.get("api/v2/alerts?filter=n%3D2", NOON).await[0]["startsAt"], "2026-11-22T02:00:00.000Z");
    assert_eq!(
        shown(&server.get("api/v2/alerts", NOON).await),
        ["1 active", "2 active"],
        "what has ended is not shown"
    );
    // Nobody sends them any more: they end when their time is over.
    assert_eq!(shown(&server.get("api/v2/alerts", NOON + 601).await), Vec::<String>::new());
}

#[tokio::test]
async fn what_go_reads_is_read() {
    let server = Server::new();
    let at = |n: &str, start: &str| json!({"labels": {"alertname": "cpu", "n": n}, "startsAt": start});
    let nulls = json!({"labels": {"alertname": "cpu", "n": "5", "x": null}, "annotations": {"a": null}});
    let times = ["2026-11-22", "2026-11-22 10:00:00", "2026-11-22T10:00:00", "2026-11-22T10:00:00.5+0900"];
    let mut body: Vec<Value> = times.iter().zip(1..).map(|(time, n)| at(&format!("{n}"), time)).collect();
    body.push(nulls);
    assert_eq!(server.post("api/v2/alerts/", &body.into(), NOON).await, (StatusCode::OK, Value::Null));
    let alerts = server.get("api/v2/alerts", NOON).await;
    let found = |n: &str| alerts.as_array().unwrap().iter().find(|one| one["labels"]["n"] == n).unwrap().clone();
    let starts = ["1", "2", "3", "4"].map(|n| found(n)["startsAt"].as_str().unwrap().to_owned());
    let expected = [
        "2026-11-22T00:00:00.000Z",
        "2026-11-22T10:00:00.000Z",
        "2026-11-22T10:00:00.000Z",
        "2026-11-22T01:00:00.500Z",
    ];
    assert_eq!(starts, expected);
    assert_eq!(found("5")["labels"], json!({"alertname": "cpu", "n": "5"}));
    assert_eq!(found("5")["annotations"], json!({"a": ""}));
    let matcher = json!({"name": "a", "value": "b", "isRegex": false, "isEqual": null});
    let quiet = silence(&matcher, "", "2026-11-22 13:00:00");
    let (status, made) = server.post("api/v2/silences", &quiet, NOON).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    assert_eq!(server.get("api/v2/silences", NOON).await[0]["matchers"][0]["isEqual"], true);
}

#[tokio::test]
async fn groups_and_their_alerts_stand_in_the_order_of_alertmanager() {
    let server = Server::new();
    server
        .fire(&[
            &[("alertname", "b"), ("n", "3"), ("a", "z")],
            &[("alertname", "b"), ("n", "2"), ("x", "a")],
            &[("alertname", "b"), ("n", "1"), ("x", "a"), ("y", "a"), ("job", "a")],
            &[("n", "0"), ("x", "a"), ("y", "a")],
            &[("alertname", "a"), ("n", "4")],
        ])
        .await;
    let groups = server.get("api/v2/alerts/groups", NOON).await;
    let names = |group: &Value| -> String {
        group["alerts"].as_array().unwrap().iter().map(|one| one["labels"]["n"].as_str().unwrap()).collect()
    };
    let groups: Vec<String> = groups.as_array().unwrap().iter().map(names).collect();
    assert_eq!(groups, ["0", "4", "123"]);
}

#[tokio::test]
async fn of_several_alerts_the_good_ones_are_taken() {
    let server = Server::new();
    let body = json!([
        {"labels": {"alertname": "cpu", "n": "1"}},
        {"labels": {}},
        {"labels": {"alertname": "x"}, "startsAt": "2026-11-22T12:00:00Z", "endsAt": "2026-11-22T11:00:00Z"},
    ]);
    let (status, reason) = server.post("api/v2/alerts", &body, NOON).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(reason, "at least one label pair required\nstart time must be before end time");
    assert_eq!(shown(&server.get("api/v2/alerts", NOON).await), ["1 active"]);
    for body in
        [json!({}), json!([{}]), json!([{"labels": {"a": 1}}]), json!([{"labels": {"a": "b"}, "startsAt": "x"}])]
    {
        assert_eq!(server.post("api/v2/alerts", &body, NOON).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn alerts_are_filtered_by_labels_receivers_and_what_mutes_them() {
    let server = Server::new();
    server
        .fire(&[
            &[("alertname", "a"), ("n", "critical"), ("severity", "critical"), ("host", "h")],
            &[("alertname", "a"), ("n", "inhibited"), ("severity", "warning"), ("host", "h")],
            &[("alertname", "a"), ("n", "silenced"), ("severity", "info")],
            &[("alertname", "b"), ("n", "muted"), ("team", "night")],
        ])
        .await;
    let by_name = json!({"name": "n", "value": "sil.*", "isRegex": true});
    let quiet = silence(&by_name, "2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z");
    let (_, made) = server.post("api/v2/silences", &quiet, NOON).await;
    let cases: [(&str, &[&str]); 12] = [
        ("", &["critical active", "inhibited suppressed", "muted active", "silenced suppressed"]),
        ("?active=false", &["inhibited suppressed", "silenced suppressed"]),
        ("?silenced=false", &["critical active", "inhibited suppressed", "muted active"]),
        ("?inhibited=false&silenced=false&unprocessed=false", &["critical active", "muted active"]),
        ("?filter=severity%3D~%22crit.*%7Cinfo%22", &["critical active", "silenced suppressed"]),
        ("?filter=severity%21%3Dinfo&filter=host%3Dh", &["critical active", "inhibited suppressed"]),
        ("?filter=team%21%3D%22%22", &["muted active"]),
        ("?filter=team%3D%22%22&inhibited=false&silenced=false", &["critical active"]),
        ("?receiver=de.*", &["critical active"]),
        ("?receiver=de", &[]),
        ("?receiver_matchers=owner%3Dall&silenced=false", &["inhibited suppressed"]),
        ("?receiver=night", &["muted active"]),
    ];
    for (query, expected) in cases {
        assert_eq!(shown(&server.get(&format!("api/v2/alerts{query}"), NOON).await), expected, "{query}");
    }
    let alerts = server.get("api/v2/alerts?filter=n%3Dsilenced", NOON).await;
    assert_eq!(alerts[0]["status"]["silencedBy"], json!([made["silenceID"]]));
    let critical = server.get("api/v2/alerts?filter=n%3Dcritical", NOON).await;
    let inhibited = server.get("api/v2/alerts?filter=n%3Dinhibited", NOON).await;
    assert_eq!(inhibited[0]["status"]["inhibitedBy"], json!([critical[0]["fingerprint"]]));
    for query in ["?filter=%7Ba%3Db%7D", "?filter=a", "?receiver=(", "?active=maybe", "?receiver_matchers=x"] {
        let (status, _) = server.ask(Method::GET, &format!("api/v2/alerts{query}"), None, NOON).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn groups_are_those_of_the_routes_and_say_which_calendar_mutes_them() {
    let server = Server::new();
    server
        .fire(&[
            &[("alertname", "a"), ("n", "1"), ("severity", "critical"), ("team", "night")],
            &[("alertname", "a"), ("n", "2"), ("severity", "critical")],
            &[("alertname", "b"), ("n", "3")],
        ])
        .await;
    let lines = |groups: &Value| -> Vec<String> {
        let line = |group: &Value| {
            let (receiver, labels) = (group["receiver"]["name"].as_str().unwrap(), &group["labels"]);
            let reason = group["routeLabels"]["reason"].as_str().unwrap_or("");
            format!(
                "{receiver} {labels} {:?} {reason} {}",
                shown(&group["alerts"]),
                group["alerts"][0]["status"]["mutedBy"]
            )
        };
        groups.as_array().unwrap().iter().map(line).collect()
    };
    let muted = r#"night {"alertname":"a"} ["1 suppressed"] out of hours ["always"]"#;
    let desk = r#"desk {"alertname":"a"} ["1 active", "2 active"]  []"#;
    let everyone = r#"everyone {"alertname":"b"} ["3 active"]  []"#;
    assert_eq!(lines(&server.get("api/v2/alerts/groups", NOON).await), [desk, muted, everyone]);
    assert_eq!(lines(&server.get("api/v2/alerts/groups?muted=false", NOON).await), [desk, everyone]);
    assert_eq!(lines(&server.get("api/v2/alerts/groups?receiver=night", NOON).await), [muted]);
    assert_eq!(lines(&server.get("api/v2/alerts/groups?filter=n%3D3", NOON).await), [everyone]);
    let group = &server.get("api/v2/alerts/groups?receiver=night", NOON).await[0];
    assert_eq!(group["alerts"][0]["receivers"], json!([{"name": "desk"}, {"name": "night"}]));
}

#[tokio::test]
async fn a_silence_is_made_changed_and_ended() {
    let server = Server::new();
    let matcher = json!({"name": "host", "value": "a", "isRegex": false, "isEqual": true});
    let first = silence(&matcher, "2026-11-22T11:00:00Z", "2026-11-22T13:00:00Z");
    let (status, made) = server.post("api/v2/silences", &first, NOON).await;
    assert_eq!(status, StatusCode::OK);
    let id = made["silenceID"].as_str().unwrap().to_owned();
    assert!(is_uuid(&id) && id.as_bytes()[14] == b'4', "{id}");
    let path = format!("api/v2/silence/{id}");
    assert_eq!(
        server.get(&path, NOON).await,
        json!({
            "id": id, "status": {"state": "active"}, "updatedAt": "2026-11-22T12:00:00.000Z",
            "comment": "deploy", "createdBy": "愛子", "startsAt": "2026-11-22T12:00:00.000Z",
            "endsAt": "2026-11-22T13:00:00.000Z", "matchers": [matcher],
        })
    );
    // Its end moves, and it keeps its name.
    let mut longer = silence(&matcher, "2026-11-22T12:00:00Z", "2026-11-22T15:00:00Z");
    longer["id"] = id.clone().into();
    assert_eq!(server.post("api/v2/silences", &longer, NOON + 60).await, (StatusCode::OK, json!({"silenceID": id})));
    assert_eq!(server.get(&path, NOON).await["endsAt"], "2026-11-22T15:00:00.000Z");
    // Other matchers: the old one ends, a new one begins.
    let mut other = silence(&json!({"name": "host", "value": "b", "isRegex": false}), "", "2026-11-22T15:00:00Z");
    other["id"] = id.clone().into();
    let (_, replaced) = server.post("api/v2/silences", &other, NOON + 120).await;
    assert_ne!(replaced["silenceID"], id.as_str());
    assert_eq!(server.get(&path, NOON + 120).await["status"]["state"], "expired");
    let states =
        |list: &Value| list.as_array().unwrap().iter().map(|one| one["status"]["state"].clone()).collect::<Vec<_>>();
    let later = silence(&matcher, "2026-11-22T14:00:00Z", "2026-11-22T15:00:00Z");
    server.post("api/v2/silences", &later, NOON + 180).await;
    assert_eq!(states(&server.get("api/v2/silences", NOON + 180).await), ["active", "pending", "expired"]);
    assert_eq!(states(&server.get("api/v2/silences?expired=false&pending=false", NOON + 180).await), ["active"]);
    assert_eq!(states(&server.get("api/v2/silences?filter=host%3Da", NOON + 180).await), ["pending", "expired"]);
    let new = format!("api/v2/silence/{}", replaced["silenceID"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(server.ask(Method::DELETE, &new, None, NOON + 200).await, (StatusCode::OK, Value::Null));
    }
    assert_eq!(server.get(&new, NOON + 201).await["endsAt"], "2026-11-22T12:03:20.000Z");
}

#[tokio::test]
async fn what_is_wrong_with_a_silence_is_said() {
    let server = Server::new();
    let matcher = json!({"name": "a", "value": "b", "isRegex": false});
    let good = silence(&matcher, "2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let bad = StatusCode::BAD_REQUEST;
    let cases = [
        (with("matchers", json!([])), bad, "at least 1 items"),
        (
            with("matchers", json!([{"name": "a", "value": "", "isRegex": false}])),
            bad,
            "does not match the empty value",
        ),
        (with("matchers", json!([{"name": "a", "value": "(", "isRegex": true}])), bad, "invalid regular expression"),
        (with("matchers", json!([{"name": "", "value": "b", "isRegex": false}])), bad, "no label name"),
        (with("endsAt", "2026-11-22T12:00:00Z".into()), bad, "must end after it starts"),
        (with("endsAt", "2026-11-22T11:00:00Z".into()), bad, "must end after it starts"),
        (with("startsAt", "tomorrow".into()), bad, "is not a time"),
        (with("comment", Value::Null), bad, "the body is not what it should be"),
        (with("id", "00000000-0000-4000-8000-000000000000".into()), StatusCode::NOT_FOUND, "there is no silence"),
    ];
    for (body, status, expected) in cases {
        let (found, reason) = server.post("api/v2/silences", &body, NOON).await;
        assert_eq!(found, status, "{body}");
        assert!(reason.as_str().unwrap().contains(expected), "{reason}");
    }
    let past = silence(&matcher, "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z");
    let (status, reason) = server.post("api/v2/silences", &past, NOON).await;
    assert_eq!((status, reason.as_str().unwrap()), (bad, "a silence cannot end in the past"));
    for method in [Method::GET, Method::DELETE] {
        let unknown = "api/v2/silence/00000000-0000-4000-8000-000000000000";
        assert_eq!(server.ask(method.clone(), unknown, None, NOON).await.0, StatusCode::NOT_FOUND);
        let (status, _) = server.ask(method, "api/v2/silence/x", None, NOON).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    }
}

#[tokio::test]
async fn an_agent_may_send_alerts_and_nothing_else() {
    let server = Server::new();
    server.app.require_tokens();
    let token = |name: &'static str, scopes: Vec<Scope>| {
        let token = NewToken { name: name.to_owned(), scopes, role: crate::access::Role::Ops, tenant: tenant() };
        let mut random = [0; 32];
        random[..name.len()].copy_from_slice(name.as_bytes());
        let state = std::sync::Arc::clone(&server.app.ports.state);
        async move { create(state.as_ref(), token, random, Timestamp::from_secs(NOON)).await.unwrap() }
    };
    let agent = token("agent", vec![Scope::Write]).await;
    let person = token("person", vec![Scope::Read, Scope::Write]).await;
    let reader = token("reader", vec![Scope::Read]).await;
    let alerts = json!([{"labels": {"alertname": "a"}}]);
    let quiet =
        silence(&json!({"name": "a", "value": "b", "isRegex": false}), "2026-11-22T12:00:00Z", "2026-11-22T13:00:00Z");
    let cases = [
        (None, Method::POST, "api/v2/alerts", Some(&alerts), StatusCode::UNAUTHORIZED),
        (Some(&agent), Method::POST, "api/v2/alerts", Some(&alerts), StatusCode::OK),
        (Some(&reader), Method::POST, "api/v2/alerts", Some(&alerts), StatusCode::FORBIDDEN),
        (Some(&agent), Method::GET, "api/v2/alerts", None, StatusCode::FORBIDDEN),
        (Some(&reader), Method::GET, "api/v2/alerts", None, StatusCode::OK),
        (Some(&agent), Method::POST, "api/v2/silences", Some(&quiet), StatusCode::FORBIDDEN),
        (Some(&reader), Method::POST, "api/v2/silences", Some(&quiet), StatusCode::FORBIDDEN),
        (Some(&person), Method::POST, "api/v2/silences", Some(&quiet), StatusCode::OK),
    ];
    for (token, method, path, body, expected) in cases {
        let (status, _) = server.ask_as(token.map(String::as_str), method.clone(), path, body, NOON).await;
        assert_eq!(status, expected, "{token:?} {method} {path}");
    }
}

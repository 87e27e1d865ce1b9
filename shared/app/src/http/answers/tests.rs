//! Answers by every door: the API, links, buttons in Slack, the page.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit as _, Mac as _};
use model::TenantId;
use sha2::Sha256;

use super::*;
use crate::faults::FaultPlan;
use crate::memory::{MemoryMessenger, MemoryTopic};
use crate::notify::SentAlert;
use crate::pages::testing::{NOW, World, tenant};
use crate::ports::{Address, Content};

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const ROUTES: &str = "route: {receiver: chat}
receivers: [{name: chat, slack_configs: [{api_url: 'http://127.0.0.1:1/slack'}]}]";
const ON_CALL: &str = "
people:
  aiko: { name: 佐藤 愛子, slack_user: U1, contacts: [{ email: aiko@example.com }] }
  ben: { contacts: [{ email: ben@example.com }] }
rotas: { primary: { layers: [{ people: [aiko], turn: weekly, start: '2026-01-05T09:00' }] } }
teams: { operations: { on-call: [{ rota: primary }], manager: [{ person: ben }] } }
default_team: operations
escalation:
  critical: { respond_within: 15m, tiers: [{ after: 0s, duties: [on-call] }, { after: 15m, duties: [manager] }] }
slack_signing_secret: 8f742231b10e8888abcd99yyyzzz85a5
";

struct Scene {
    app: App,
    messenger: std::sync::Arc<MemoryMessenger>,
    topic: std::sync::Arc<MemoryTopic>,
}

impl Scene {
    /// A deployment in which an alert fires that somebody was just called about.
    async fn new() -> Self {
        let files = [("alertmanager.yml", ROUTES), ("oncall.yml", ON_CALL)];
        let mut app = World::default().app(&files, &FaultPlan::none());
        let messenger = std::sync::Arc::new(MemoryMessenger::default());
        app.ports.messenger = std::sync::Arc::clone(&messenger) as _;
        let topic = std::sync::Arc::new(MemoryTopic::default());
        app.ports.topic = std::sync::Arc::clone(&topic) as _;
        let labels = [("alertname", "cpu"), ("host", "a"), ("severity", "critical")];
        let alert = SentAlert {
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            annotations: BTreeMap::new(),
            starts_at: Some(NOW),
            ends_at: Some(NOW + DAY),
            generator_url: String::new(),
        };
        notify::take_in(&app, &tenant(), vec![alert], NOW).await.unwrap();
        let scene = Self { app, messenger, topic };
        scene.run(11).await;
        scene
    }

    async fn run(&self, seconds: u64) {
        notify::run_due(&self.app, NOW + Duration::from_secs(seconds)).await.unwrap();
    }

    /// Who was mailed since the last call.
    fn mailed(&self) -> Vec<String> {
        let mails = self.messenger.drain().into_iter().filter_map(|delivery| match delivery.address {
            Address::Email { to, .. } => Some(to.join(",")),
            Address::Webhook { .. } | Address::Sms { .. } | Address::Topic { .. } | Address::SlackThread { .. } => None,
        });
        mails.collect()
    }

    /// The path of the link in the mail to a person.
    fn link(&self) -> String {
        let mut texts = self.messenger.deliveries().into_iter().filter_map(|delivery| match delivery.content {
            Content::Email { text, .. } => Some(text),
            Content::Json(_) | Content::Text { .. } | Content::Picture { .. } => None,
        });
        let text = texts.next_back().expect("a mail");
        let rest = text.split_once("http://127.0.0.1:9099/a/").expect("a link").1;
        format!("/a/{}", &rest[..22])
    }

    async fn ask(&self, request: Request<Bytes>, seconds: u64) -> (StatusCode, String) {
        let reply = crate::http::handle(&self.app, request, [7; 32], NOW + Duration::from_secs(seconds)).await;
        (reply.status(), String::from_utf8_lossy(reply.body()).into_owned())
    }

    async fn get(&self, path: &str, seconds: u64) -> (StatusCode, String) {
        self.ask(Request::get(path).header("accept-language", "en").body(Bytes::new()).unwrap(), seconds).await
    }

    async fn post(&self, path: &str, form: &str, seconds: u64) -> (StatusCode, String) {
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept-language", "en");
        self.ask(request.body(Bytes::from(form.to_owned())).unwrap(), seconds).await
    }

    async fn listed(&self, seconds: u64) -> Value {
        let (_, body) = self.get(ALERTS, seconds).await;
        serde_json::from_str::<Value>(&body).unwrap()["alerts"][0].clone()
    }

    async fn history(&self, query: &str, seconds: u64) -> Vec<String> {
        let (status, body) = self.get(&format!("{HISTORY}?{query}"), seconds).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let text = |event: &Value| {
            let line = format!(
                "{} {} {}",
                event["kind"].as_str().unwrap(),
                event["author"].as_str().unwrap(),
                event["text"].as_str().unwrap()
            );
            line.replace("  ", " ").trim().to_owned()
        };
        body["events"].as_array().unwrap().iter().rev().map(text).collect()
    }
}

#[tokio::test]
async fn alerts_are_acknowledged_by_their_labels_and_the_author_is_kept() {
    let scene = Scene::new().await;
    assert_eq!(scene.mailed(), ["aiko@example.com"]);
    let (status, body) = scene.post(&format!("{ALERTS}/ack"), "matcher=host%3Da&author=chie", 70).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let listed = scene.listed(80).await;
    assert_eq!((&listed["acknowledged_by"], &listed["unanswered_seconds"]), (&json!("chie"), &json!(59)));
    scene.run(81).await;
    assert_eq!(scene.mailed(), ["aiko@example.com"], "who was called learns that somebody answered");
    for seconds in [900, 1000, 2000] {
        scene.run(seconds).await;
    }
    assert_eq!(scene.mailed(), Vec::<String>::new(), "nobody else is called");
    let history =
        scene.history("matcher=host%3Da&kind=called&kind=acknowledged&start=2026-11-20T00:00:00Z", 2000).await;
    assert_eq!(history, ["called tier 1: 1 called", "acknowledged chie"]);
    assert_eq!(scene.history("rule=cpu&kind=acknowledged", 2000).await.len(), 1);
    assert_eq!(scene.history("rule=memory", 2000).await, Vec::<String>::new());
    let (_, body) = scene.get(&format!("{HISTORY}/rules"), 2000).await;
    let rules: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(rules["rules"]["cpu"]["acknowledge_seconds_mean"], 59.0);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let scene = Scene::new().await;
    let cases = [
        ("ack", "matcher=host%3Db", StatusCode::NOT_FOUND),
        ("ack", "fingerprint=0000000000000001", StatusCode::NOT_FOUND),
        ("ack", "fingerprint=1", StatusCode::BAD_REQUEST),
        ("ack", "", StatusCode::BAD_REQUEST),
        ("assign", "matcher=host%3Da", StatusCode::BAD_REQUEST),
        ("assign", "matcher=host%3Da&to=zoe", StatusCode::BAD_REQUEST),
        ("silence", "matcher=host%3Da&duration=99d", StatusCode::BAD_REQUEST),
        ("forget", "matcher=host%3Da", StatusCode::BAD_REQUEST),
    ];
    for (action, form, expected) in cases {
        let (status, body) = scene.post(&format!("{ALERTS}/{action}"), form, 70).await;
        assert_eq!(status, expected, "{action} {form}: {body}");
    }
    assert_eq!(scene.listed(80).await["acknowledged_by"], Value::Null);
}

#[tokio::test]
async fn alerts_are_assigned_escalated_and_silenced() {
    let scene = Scene::new().await;
    scene.mailed();
    scene.post(&format!("{ALERTS}/assign"), "matcher=host%3Da&to=ben&author=aiko", 20).await;
    scene.run(21).await;
    assert_eq!(scene.mailed(), ["ben@example.com"]);
    scene.post(&format!("{ALERTS}/escalate"), "matcher=host%3Da&author=aiko", 30).await;
    scene.run(31).await;
    assert_eq!(scene.mailed(), ["ben@example.com"]);
    let (status, _) = scene.post(&format!("{ALERTS}/escalate"), "matcher=host%3Da", 40).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "there is no further tier");
    scene.post(&format!("{ALERTS}/silence"), "matcher=host%3Da&author=aiko", 50).await;
    let now = NOW + Duration::from_secs(60);
    let silences = notify::silences(&scene.app, &tenant(), now).await.unwrap();
    assert_eq!(silences.len(), 1);
    assert_eq!(
        (silences[0].created_by.as_str(), silences[0].ends_at.since(silences[0].starts_at)),
        ("aiko", Duration::from_secs(3600))
    );
    let history = scene.history("", 100).await;
    for expected in ["assigned aiko ben", "escalated aiko", "called tier 2: 1 called"] {
        assert!(history.iter().any(|line| line == expected), "{expected} is not in {history:?}");
    }
    assert!(history.iter().any(|line| line.starts_with("silenced aiko ")), "{history:?}");
}

#[tokio::test]
async fn a_link_shows_first_and_acts_once() {
    let scene = Scene::new().await;
    let link = scene.link();
    scene.app.require_tokens();
    for _ in 0..3 {
        let (status, body) = scene.get(&link, 20).await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("Acknowledge") && body.contains("cpu") && !body.contains("acknowledged by"), "{body}");
    }
    let (status, _) = scene.post(&link, "action=nothing", 30).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let mut altered = link.clone().into_bytes();
    altered[10] = if altered[10] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    for path in [altered.as_str(), &link[..20], "/a/", "/a/../../etc"] {
        let (status, body) = scene.post(path, "action=ack", 30).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
        assert!(body.contains("was changed on its way"), "{path}");
    }
    let (status, body) = scene.post(&link, "action=ack", 30).await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("Done, and recorded"), "{body}");
    let (status, body) = scene.post(&link, "action=escalate", 31).await;
    assert_eq!((status, body.contains("was used already")), (StatusCode::FORBIDDEN, true));
    let answered = notify::answered(&scene.app, &tenant(), NOW + Duration::from_secs(40)).await.unwrap();
    let by = answered.values().next().unwrap().watched.answer.clone().unwrap().by;
    assert_eq!(by, "aiko", "whom the mail was for");
}

#[tokio::test]
async fn a_link_ends_after_a_day() {
    let scene = Scene::new().await;
    let link = scene.link();
    let (status, body) = scene.post(&link, "action=ack", 86_400 + 60).await;
    assert_eq!((status, body.contains("has expired")), (StatusCode::FORBIDDEN, true));
}

/// A press of a button as Slack sends it.
fn press(path: &str, action: &str, alert: &str, sent: i64, secret: &str) -> Request<Bytes> {
    let payload = json!({
        "type": "block_actions",
        "user": { "id": "U1", "username": "aiko.s" },
        "actions": [{ "action_id": action, "value": alert }],
        "response_url": "http://127.0.0.1:1/response",
    });
    let body = form_urlencoded::Serializer::new(String::new()).append_pair("payload", &payload.to_string()).finish();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("v0:{sent}:{body}").as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Request::post(path)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-slack-request-timestamp", sent.to_string())
        .header("x-slack-signature", format!("v0={signature}"))
        .body(Bytes::from(body))
        .unwrap()
}

#[tokio::test]
async fn a_button_in_slack_counts_when_slack_signed_it_just_now() {
    let scene = Scene::new().await;
    scene.app.require_tokens();
    let now = NOW.as_millis() / 1000;
    let alert = notify::firing(&scene.app, &tenant(), &[], NOW).await.unwrap().first().unwrap().to_string();
    let path = "/slack/actions";
    for (request, why) in [
        (press(path, "ack", &alert, now + 20, "another secret"), "another secret"),
        (press(path, "ack", &alert, now - 400, SECRET), "too old"),
        (press(path, "ack", &alert, now + 400, SECRET), "from the future"),
    ] {
        assert_eq!(scene.ask(request, 20).await.0, StatusCode::FORBIDDEN, "{why}");
    }
    let (parts, body) = press(path, "ack", &alert, now + 20, SECRET).into_parts();
    let altered = String::from_utf8(body.to_vec()).unwrap().replace("aiko.s", "ben.s");
    let altered = Request::from_parts(parts, Bytes::from(altered));
    assert_eq!(scene.ask(altered, 20).await.0, StatusCode::FORBIDDEN);
    assert_eq!(
        scene.ask(press("/slack/other/actions", "ack", &alert, now + 20, SECRET), 20).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(scene.ask(press(path, "ack", &alert, now + 20, SECRET), 20).await.0, StatusCode::OK);
    assert_eq!(
        scene.ask(press(path, "ack", &alert, now + 20, SECRET), 21).await.0,
        StatusCode::FORBIDDEN,
        "a repetition"
    );
    let answered = notify::answered(&scene.app, &tenant(), NOW + Duration::from_secs(40)).await.unwrap();
    let by = answered.values().next().unwrap().watched.answer.clone().unwrap().by;
    assert_eq!(by, "aiko", "the person of that user");
    let received = notify::receive(&scene.app, &scene.topic.drain(), NOW + Duration::from_secs(21)).await;
    assert!(received.failed.is_empty(), "{received:?}");
    let told: Vec<_> =
        scene.messenger.drain().into_iter().filter(|one| one.idempotency_key.starts_with("reply/")).collect();
    let [told] = told.try_into().expect("the channel hears of it once");
    assert!(format!("{:?}", told.content).contains("aiko: ack"), "{told:?}");
}

#[tokio::test]
async fn the_message_in_slack_has_buttons_about_its_alerts() {
    let scene = Scene::new().await;
    scene.run(60).await;
    let alert = notify::firing(&scene.app, &tenant(), &[], NOW).await.unwrap().first().unwrap().to_string();
    let bodies: Vec<String> = scene
        .messenger
        .drain()
        .into_iter()
        .filter_map(|delivery| match delivery.content {
            Content::Json(json) => Some(json),
            Content::Email { .. } | Content::Text { .. } | Content::Picture { .. } => None,
        })
        .collect();
    let has = |text: &str| bodies.iter().any(|body| body.contains(text));
    assert!(has(&format!("\"value\":\"{alert}\"")) && has("\"action_id\":\"escalate\""), "{bodies:?}");
}

#[tokio::test]
async fn the_page_shows_who_answers_and_takes_answers() {
    let scene = Scene::new().await;
    let (_, page) = scene.get("/alerts", 60).await;
    let alert = notify::firing(&scene.app, &tenant(), &[], NOW).await.unwrap().first().unwrap().to_string();
    assert!(page.contains("nobody has answered") && page.contains(&alert) && page.contains("佐藤 愛子"), "{page}");
    let (status, _) = scene.post("/alerts/answer", &format!("fingerprint={alert}&action=ack"), 70).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (_, page) = scene.get("/alerts?kind=acknowledged", 80).await;
    assert!(page.contains("acknowledged by local") && page.contains("<td>acknowledged</td>"), "{page}");
    assert!(!page.contains("<td>called</td>"), "only what was searched for");
}

#[tokio::test]
async fn who_is_on_call_is_told_and_a_rota_is_a_calendar() {
    let scene = Scene::new().await;
    let (_, body) = scene.get(ON_CALL_PATH, 0).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["rotas"]["primary"]["name"], "佐藤 愛子");
    assert_eq!(body["teams"]["operations"]["manager"][0]["person"], "ben");
    let (_, body) = scene.get(&format!("{ON_CALL_PATH}?at=2026-01-01T00:00:00Z"), 0).await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["rotas"]["primary"], Value::Null);
    let (status, text) = scene.get(&format!("{ON_CALL_PATH}/primary.ics"), 0).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.starts_with("BEGIN:VCALENDAR\r\n") && text.contains("BEGIN:VEVENT"), "{text}");
    assert_eq!(scene.get(&format!("{ON_CALL_PATH}/other.ics"), 0).await.0, StatusCode::NOT_FOUND);
}

const ON_CALL_PATH: &str = super::ON_CALL;

#[tokio::test]
async fn another_tenant_has_nothing_to_do_with_it() {
    let scene = Scene::new().await;
    let request = Request::post(format!("{ALERTS}/ack"))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-scope-orgid", TenantId::new("shop").unwrap().as_str())
        .body(Bytes::from_static(b"matcher=host%3Da"))
        .unwrap();
    assert_eq!(scene.ask(request, 20).await.0, StatusCode::NOT_FOUND);
}

//! Each body, whole.

use alerting::notify::{self as pure, Target};
use alerting::template::Data;
use model::{Labels, Language, Timestamp};
use render::Zone;
use render::notification::{Item, Templates};

use super::*;

fn item(host: &str, severity: &str, has_ended: bool) -> Item {
    Item {
        labels: Labels::from_pairs([("alertname", "cpu"), ("host", host), ("severity", severity)]).unwrap(),
        annotations: BTreeMap::from([("description".to_owned(), "CPU使用率 91 %".to_owned())]),
        starts_at: Timestamp::from_secs(1_795_348_800),
        ended_at: has_ended.then(|| Timestamp::from_secs(1_795_349_100)),
        generator_url: "http://mihari/graph".to_owned(),
        fingerprint: "00000000000000aa".to_owned(),
        stage: None,
    }
}

fn message(alerts: Vec<Item>) -> Message {
    Message {
        receiver: "desk".to_owned(),
        group_key: r#"{}:{alertname="cpu"}"#.to_owned(),
        group_labels: Labels::from_pairs([("alertname", "cpu")]).unwrap(),
        reason: "first notification".to_owned(),
        external_url: "http://mihari".to_owned(),
        answer_url: None,
        picture: None,
        buttons: None,
        alerts,
    }
}

fn acknowledged() -> Message {
    let stage = Some(Stage::Acknowledged { by: "aiko".to_owned() });
    message(vec![Item { stage, ..item("a", "critical", false) }])
}

fn with<T>(message: &Message, check: impl Fn(&Said<'_>) -> T) -> T {
    let templates = Templates::embedded();
    let zone = Zone::of(&jiff::tz::TimeZone::UTC);
    let writer = Writer { templates: &templates, language: Language::English, zone };
    check(&Said::of(message, &writer))
}

fn target(yaml: &str) -> Target {
    let file = format!("route: {{receiver: r}}\nreceivers: [{{name: r, {yaml}}}]");
    let config = pure::parse("am.yml", &file).unwrap();
    let data = Data { receiver: "desk".to_owned(), ..Data::default() };
    config.receivers["r"].integrations[0].expanded(&config.library, &data).unwrap().target
}

/// `printf '%s' '{}:{alertname="cpu"}' | sha256sum`
const GROUP: &str = "be817a61404a850363d05edda7761f54d79031e6ae3c25942bfa169c31c7779f";

#[test]
fn pagerduty_is_triggered_and_resolved_under_one_key() {
    let Target::PagerDuty(service) = target(
        "pagerduty_configs: [{routing_key: k, severity: error, class: deploy, source: '{{ .Receiver }}', \
         details: {team: ops}, links: [{href: 'http://x', text: x}]}]",
    ) else {
        panic!("it is PagerDuty")
    };
    let firing = message(vec![item("a", "critical", false), item("b", "critical", true)]);
    let call = with(&firing, |said| pagerduty(&service, "k", said));
    assert_eq!(call.url, "https://events.pagerduty.com/v2/enqueue");
    let alerts: Value = serde_json::from_str::<Value>(&webhook(&firing, 0)).unwrap()["alerts"].clone();
    assert_eq!(
        call.body,
        json!({
            "routing_key": "k",
            "event_action": "trigger",
            "dedup_key": GROUP,
            "client": "Mihari",
            "client_url": "http://mihari",
            "payload": {
                "summary": "[CRITICAL] cpu",
                "source": "desk",
                "severity": "error",
                "class": "deploy",
                "custom_details": {
                    "firing": [alerts[0]], "resolved": [alerts[1]], "num_firing": "1", "num_resolved": "1",
                    "team": "ops",
                },
            },
            "images": [],
            "links": [{"href": "http://x", "text": "x"}],
        })
    );
    let taken = with(&acknowledged(), |said| pagerduty(&service, "k", said).body);
    assert_eq!((&taken["event_action"], &taken["dedup_key"]), (&json!("acknowledge"), &json!(GROUP)));
    let over = with(&message(vec![item("a", "critical", true)]), |said| pagerduty(&service, "k", said).body);
    assert_eq!((&over["event_action"], &over["dedup_key"]), (&json!("resolve"), &json!(GROUP)));
    let many = message((0..5000).map(|index| item(&index.to_string(), "critical", false)).collect());
    let large = with(&many, |said| pagerduty(&service, "k", said).body);
    assert!(large.to_string().len() < PAGERDUTY_BYTES_MAX, "{}", large.to_string().len());
    assert!(large["payload"]["custom_details"]["error"].is_string());
}

#[test]
fn pagerduty_version_1_has_the_key_of_a_service() {
    let Target::PagerDuty(service) = target("pagerduty_configs: [{service_key: s, description: down}]") else {
        panic!("it is PagerDuty")
    };
    let body = with(&message(vec![item("a", "critical", false)]), |said| pagerduty(&service, "s", said).body);
    assert_eq!((&body["service_key"], &body["event_type"]), (&json!("s"), &json!("trigger")));
    assert_eq!((&body["incident_key"], &body["description"]), (&json!(GROUP), &json!("down")));
    assert_eq!(body["details"]["num_firing"], "1");
}

#[test]
fn opsgenie_is_told_of_an_alert_and_of_its_end() {
    let Target::Opsgenie(service) = target(
        "opsgenie_configs: [{api_key: k, api_url: 'http://og', priority: P1, tags: 'a, b,', description: d, \
         details: {extra: e}, responders: [{name: ops, type: team}]}]",
    ) else {
        panic!("it is Opsgenie")
    };
    let call = with(&message(vec![item("a", "critical", false)]), |said| opsgenie(&service, "k", said));
    let authorization = vec![("Authorization".to_owned(), "GenieKey k".to_owned())];
    assert_eq!((call.url.as_str(), &call.headers), ("http://og/v2/alerts", &authorization));
    assert_eq!(
        call.body,
        json!({
            "alias": GROUP,
            "message": "[CRITICAL] cpu",
            "description": "d",
            "details": {"alertname": "cpu", "host": "a", "severity": "critical", "extra": "e"},
            "source": "http://mihari",
            "tags": ["a", "b"],
            "priority": "P1",
            "responders": [{"name": "ops", "type": "team"}],
        })
    );
    let over = with(&message(vec![item("a", "critical", true)]), |said| opsgenie(&service, "k", said));
    assert_eq!(over.url, format!("http://og/v2/alerts/{GROUP}/close?identifierType=alias"));
    assert_eq!((&over.headers, over.body), (&authorization, json!({"source": "http://mihari"})));
    let taken = with(&acknowledged(), |said| opsgenie(&service, "k", said));
    assert_eq!(taken.url, format!("http://og/v2/alerts/{GROUP}/acknowledge?identifierType=alias"));
    assert_eq!((taken.headers, taken.body), (authorization, json!({"source": "http://mihari", "user": "aiko"})));
}

#[test]
fn chats_get_a_title_a_text_and_a_colour() {
    let firing = message(vec![item("a", "critical", false)]);
    let ended = message(vec![item("a", "critical", true)]);
    let text = with(&firing, |said| said.text.clone());
    let Target::Teams(workflow) = target("msteamsv2_configs: [{webhook_url: 'http://t'}]") else { panic!("Teams") };
    let card = with(&firing, |said| teams(&workflow, "http://t", said));
    assert_eq!(card.url, "http://t");
    let content = &card.body["attachments"][0]["content"];
    assert_eq!(
        content["body"],
        json!([
            {"type": "TextBlock", "text": "[CRITICAL] cpu", "weight": "Bolder", "size": "Medium", "wrap": true,
             "style": "heading", "color": "Attention"},
            {"type": "TextBlock", "text": text, "wrap": true},
        ])
    );
    let Target::Teams(old) = target("msteams_configs: [{webhook_url: 'http://t', title: t, text: x}]") else {
        panic!("Teams")
    };
    assert_eq!(
        with(&ended, |said| teams(&old, "http://t", said).body),
        json!({"@context": "http://schema.org/extensions", "type": "MessageCard", "title": "t", "summary": "t",
               "text": "x", "themeColor": "1d7044"})
    );
    let Target::Discord(service) = target("discord_configs: [{webhook_url: 'http://d', username: bot}]") else {
        panic!("Discord")
    };
    assert_eq!(
        with(&firing, |said| discord(&service, "http://d", said).body),
        json!({"content": "", "username": "bot",
               "embeds": [{"title": "[CRITICAL] cpu", "description": text, "color": 0xb3_26_1e}]})
    );
    let long = message((0..200).map(|index| item(&index.to_string(), "critical", false)).collect());
    let body = with(&long, |said| discord(&service, "http://d", said).body);
    let length = body["embeds"][0]["description"].as_str().unwrap().chars().count();
    assert!(length <= DISCORD_TEXT_CHARS_MAX, "{length}");
}

#[test]
fn telegram_gets_plain_text_unless_the_file_says_otherwise() {
    let firing = message(vec![item("a", "critical", false)]);
    let text = with(&firing, |said| format!("{}\n\n{}", said.subject, said.text));
    let Target::Telegram(house) = target("telegram_configs: [{bot_token: t, chat_id: -5, message_thread_id: 7}]")
    else {
        panic!("Telegram")
    };
    let call = with(&firing, |said| telegram(&house, "t", "-5", said));
    assert_eq!(call.url, "https://api.telegram.org/bott/sendMessage");
    assert_eq!(
        call.body,
        json!({"chat_id": -5, "text": text, "disable_notification": false, "disable_web_page_preview": true,
               "message_thread_id": 7})
    );
    let yaml = "telegram_configs: [{bot_token: t, chat_id: 1, message: '<b>down</b>', disable_notifications: true}]";
    let Target::Telegram(own) = target(yaml) else { panic!("Telegram") };
    let body = with(&firing, |said| telegram(&own, "t", "1", said).body);
    assert_eq!((&body["text"], &body["parse_mode"]), (&json!("<b>down</b>"), &json!("HTML")));
    assert_eq!(body["disable_notification"], true);
}

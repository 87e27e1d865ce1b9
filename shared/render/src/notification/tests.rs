//! Every kind of notification in both languages, as reviewed snapshots.

use serde_json::Value;

use super::*;

/// 2026-11-22 13:05:30 in Tokyo.
const START: Timestamp = Timestamp::from_secs(1_795_320_330);

fn item(severity: &str, instance: &str, ended: bool) -> Item {
    let annotations = [
        ("summary", "web: CPU使用率 93.1%"),
        ("summary_en", "web: CPU usage 93.1%"),
        ("description", "CPU使用率が90%を超えています"),
        ("description_en", "CPU usage is over 90%"),
        ("impact", "応答が遅くなります"),
        ("impact_en", "Responses get slow"),
        ("action", "負荷の高いプロセスを確認してください"),
        ("action_en", "Look for the process that takes the CPU"),
        ("runbook_url", "https://example.com/runbooks/cpu"),
    ];
    let labels = [("alertname", "cpu_usage"), ("severity", severity), ("instance", instance), ("job", "node")];
    Item {
        labels: Labels::from_pairs(labels).unwrap(),
        annotations: annotations.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
        starts_at: START,
        ended_at: ended.then(|| Timestamp::from_millis(START.as_millis() + 600_500)),
        generator_url: "http://127.0.0.1:9099/graph?g0.expr=cpu%3E90&g0.tab=1".to_owned(),
        fingerprint: "9a084adc9b8eecd7".to_owned(),
        stage: None,
    }
}

fn message(alerts: Vec<Item>, reason: &str) -> Message {
    Message {
        receiver: "ops".to_owned(),
        group_key: "{}/{severity=\"critical\"}:{alertname=\"cpu_usage\"}".to_owned(),
        group_labels: Labels::from_pairs([("alertname", "cpu_usage")]).unwrap(),
        reason: reason.to_owned(),
        external_url: "http://127.0.0.1:9099".to_owned(),
        answer_url: None,
        picture: None,
        buttons: None,
        alerts,
    }
}

fn staged(stage: Stage, reason: &str) -> Message {
    message(vec![Item { stage: Some(stage), ..item("critical", "web-1", false) }], reason)
}

fn messages() -> Vec<(&'static str, Message)> {
    vec![
        ("critical", message(vec![item("critical", "web-1", false)], "first notification")),
        ("warning", message(vec![item("warning", "web-1", false)], "repeat interval elapsed")),
        ("info", message(vec![item("info", "web-1", false)], "first notification")),
        ("escalated", staged(Stage::Escalated, "escalated")),
        ("acknowledged", staged(Stage::Acknowledged { by: "aiko".to_owned() }, "acknowledged")),
        ("resolved", message(vec![item("critical", "web-1", true)], "all alerts resolved")),
        (
            "mixed",
            message(
                vec![
                    item("critical", "web-1", false),
                    item("warning", "web-2", false),
                    item("critical", "web-3", true),
                ],
                "some alerts resolved",
            ),
        ),
    ]
}

/// Most of what people get on a telephone fits into two parts: about 134 Japanese characters.
#[test]
fn text_messages() {
    let mut shown = String::new();
    each_reader(|writer| {
        for (name, message) in messages() {
            shown.push_str(&format!("--- {name}.{}\n{}\n", writer.language.tag(), writer.sms(&message)));
        }
    });
    insta::assert_snapshot!(shown);
}

#[test]
fn a_long_text_message_loses_its_end_and_never_its_beginning() {
    each_reader(|writer| {
        let mut long = item("critical", "web-1", false);
        for name in ["description", "description_en"] {
            long.annotations.insert(name.to_owned(), "応答時間が 500 ms を超えています。\n".repeat(30));
        }
        let text = writer.sms(&message(vec![long], "first notification"));
        assert!(text.starts_with("[CRITICAL] cpu_usage\nweb-1\n応答時間が 500 ms を超えています。 応答"), "{text}");
        assert!(text.ends_with("...") && !text.contains("http"), "{text}");
        let units = text.encode_utf16().count();
        assert!((130..=134).contains(&units), "{units}");
    });
}

#[test]
fn a_topic_gets_what_a_mail_says() {
    each_reader(|writer| {
        for (name, message) in messages() {
            let mail = writer.mail(&message);
            assert_eq!(writer.topic(&message), (mail.subject, mail.text), "{name}");
        }
        let mut long = item("critical", "web-1", false);
        long.annotations.insert("impact".to_owned(), "あ".repeat(2000));
        long.annotations.insert("impact_en".to_owned(), "あ".repeat(2000));
        let many = message(vec![long; 40], "first notification");
        let (_, text) = writer.topic(&many);
        assert!(text.len() <= 200 << 10, "{}", text.len());
    });
}

fn each_reader(mut check: impl FnMut(&Writer<'_>)) {
    let templates = Templates::embedded();
    for language in [Language::Japanese, Language::English] {
        check(&Writer { templates: &templates, language, zone: Zone::named("Asia/Tokyo").unwrap() });
    }
}

fn pretty(json: &str) -> String {
    serde_json::to_string_pretty(&serde_json::from_str::<Value>(json).unwrap()).unwrap()
}

#[test]
fn mails() {
    each_reader(|writer| {
        for (name, message) in messages() {
            let mail = writer.mail(&message);
            let tag = writer.language.tag();
            insta::assert_snapshot!(
                format!("mail-{name}-{tag}"),
                format!("Subject: {}\n\n{}", mail.subject, mail.text)
            );
            let html = mail.html.replace("><", ">\n<");
            insta::assert_snapshot!(format!("mail-{name}-{tag}-html"), html);
        }
    });
}

#[test]
fn slack_messages() {
    each_reader(|writer| {
        for (name, message) in messages() {
            let body = writer.slack(&message, "#alerts-critical");
            insta::assert_snapshot!(format!("slack-{name}-{}", writer.language.tag()), pretty(&body));
        }
    });
}

#[test]
fn webhook_bodies() {
    for (name, message) in messages() {
        insta::assert_snapshot!(format!("webhook-{name}"), pretty(&webhook(&message, 0)));
    }
}

/// The fields and their order are those that an Alertmanager sent.
#[test]
fn a_webhook_body_is_that_of_alertmanager() {
    let mut one = item("page", "a", false);
    one.labels = Labels::from_pairs([("alertname", "T25"), ("instance", "a"), ("severity", "page")]).unwrap();
    one.annotations = BTreeMap::from([("summary".to_owned(), "hello".to_owned())]);
    one.starts_at = Timestamp::from_millis(1_795_347_380_862);
    one.generator_url = String::new();
    let mut message = message(vec![one], "first notification");
    message.receiver = "hook".to_owned();
    message.group_key = "{}:{alertname=\"T25\"}".to_owned();
    message.group_labels = Labels::from_pairs([("alertname", "T25")]).unwrap();
    let expected = concat!(
        r#"{"receiver":"hook","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"T25","instance":"a","#,
        r#""severity":"page"},"annotations":{"summary":"hello"},"startsAt":"2026-11-22T11:36:20.862Z","#,
        r#""endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"9a084adc9b8eecd7"}],"#,
        r#""notification_reason":"first notification","groupLabels":{"alertname":"T25"},"#,
        r#""commonLabels":{"alertname":"T25","instance":"a","severity":"page"},"commonAnnotations":{"summary":"hello"},"#,
        r#""externalURL":"http://127.0.0.1:9099","version":"4","groupKey":"{}:{alertname=\"T25\"}","truncatedAlerts":0}"#,
    );
    assert_eq!(webhook(&message, 0), expected);
}

#[test]
fn long_groups_are_lists_with_a_count() {
    let alerts: Vec<Item> = (0..45).map(|index| item("critical", &format!("web-{index}"), false)).collect();
    let message = message(alerts, "new alerts added");
    each_reader(|writer| {
        let (ten, thirty) = match writer.language {
            Language::Japanese => ("ほか35件", "ほか15件"),
            Language::English => ("and 35 more", "and 15 more"),
        };
        let slack = writer.slack(&message, "");
        assert!(slack.contains(ten) && slack.contains("web-9") && !slack.contains("web-10"), "{slack}");
        assert!(!slack.contains("\"channel\""), "the webhook chooses");
        let mail = writer.mail(&message);
        for part in [&mail.text, &mail.html] {
            assert!(part.contains(thirty) && part.contains("web-29") && !part.contains("web-30"), "{part}");
        }
    });
    let body: Value = serde_json::from_str(&webhook(&message, 40)).unwrap();
    assert_eq!((body["alerts"].as_array().unwrap().len(), &body["truncatedAlerts"]), (40, &Value::from(5)));
}

#[test]
fn no_value_can_break_out_of_its_place() {
    let mut bad = item("critical", "<script>alert(1)</script>", false);
    bad.labels = bad.labels.to_builder().set("alertname", "a\r\nBcc: x@example.com").build().unwrap();
    bad.annotations.insert("description".to_owned(), "<!channel> & <b>".to_owned());
    bad.annotations.insert("description_en".to_owned(), "<!channel> & <b>".to_owned());
    bad.generator_url = "javascript:alert(1)".to_owned();
    let message = message(vec![bad], "first notification");
    each_reader(|writer| {
        let mail = writer.mail(&message);
        assert!(!mail.subject.contains(['\r', '\n']), "{:?}", mail.subject);
        assert!(!mail.html.contains("<script>") && !mail.html.contains("javascript:") && !mail.html.contains("<b>"));
        let slack = writer.slack(&message, "");
        assert!(!slack.contains("<!channel>") && !slack.contains("javascript:"), "{slack}");
    });
}

#[test]
fn what_a_rule_does_not_give_is_said_to_be_missing() {
    let mut bare = item("critical", "web-1", false);
    bare.annotations = BTreeMap::from([("summary".to_owned(), "short".to_owned())]);
    let message = message(vec![bare], "first notification");
    each_reader(|writer| {
        let text = writer.mail(&message).text;
        assert_eq!(text.matches(words::not_given(writer.language)).count(), 2, "impact and action: {text}");
        assert!(text.contains("short"), "a summary stands in for the description");
    });
}

#[test]
fn times_follow_the_clocks_of_the_zone() {
    let templates = Templates::embedded();
    let zone = Zone::named("Europe/Berlin").unwrap();
    let writer = Writer { templates: &templates, language: Language::English, zone };
    // One second before and after the end of daylight-saving time in 2026.
    let end = 1_792_890_000;
    assert_eq!(writer.time(Timestamp::from_secs(end - 1)), "2026-10-25 02:59:59 UTC+02:00");
    assert_eq!(writer.time(Timestamp::from_secs(end)), "2026-10-25 02:00:00 UTC+01:00");
}

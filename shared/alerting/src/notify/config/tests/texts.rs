//! The texts of receivers: what is refused at load, and what they become in a notification.

use std::collections::BTreeMap;

use crate::notify::{Secret, Target, Webhook, parse_with};
use crate::template::{Data, DataAlert};

/// A receiver with one integration; `of` is what stands in its list.
fn file(global: &str, kind: &str, of: &str) -> String {
    format!(
        "global: {{smtp_from: m@example.com, {global}}}\ntemplates: ['templates/*.tmpl']\nroute: {{receiver: r}}\n\
         receivers:\n- name: r\n  {kind}_configs:\n  - {of}\n"
    )
}

fn data() -> Data {
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    Data {
        receiver: "r".to_owned(),
        alerts: vec![DataAlert { labels: labels(&[("alertname", "cpu"), ("team", "ops")]), ..DataAlert::default() }],
        group_labels: labels(&[("alertname", "cpu")]),
        external_url: "http://mihari".to_owned(),
        ..Data::default()
    }
}

const FILES: [(&str, &str); 2] = [
    ("templates/ops.tmpl", "{{ define \"ops.title\" }}{{ .Status }} at {{ .CommonLabels.team }}{{ end }}"),
    ("other.tmpl", "{{ define"),
];

/// What an integration becomes, and why it is the house's message where it is.
fn expanded(kind: &str, of: &str) -> (Target, Option<String>) {
    let config = parse_with("am.yml", &file("", kind, of), &FILES).unwrap_or_else(|error| panic!("{of}: {error}"));
    assert!(config.unheeded.is_empty(), "{of}: {:?}", config.unheeded);
    let expanded = config.receivers["r"].integrations[0].expanded(&config.library, &data()).unwrap();
    (expanded.target, expanded.problem.map(|problem| problem.to_string()))
}

#[test]
fn every_field_that_is_a_template_in_alertmanager_is_one_here() {
    let team = "'{{ .CommonLabels.team }}'";
    let cases = [
        (
            "slack",
            "{api_url: 'http://s', channel: T, title: T, text: T, pretext: T, fallback: T, title_link: T, color: T, \
             footer: T, username: T, icon_emoji: T, icon_url: T, image_url: T, thumb_url: T, callback_id: T, \
             message_text: T, fields: [{title: T, value: T}], actions: [{type: T, text: T, url: T, style: T}]}",
        ),
        ("email", "{to: T, from: T, headers: {Subject: T, X-Team: T}, html: T, text: T}"),
        ("webhook", "{url: 'http://x/{{ .CommonLabels.team }}', payload: {a: T, b: [T], c: {d: T}}}"),
        ("sns", "{topic_arn: T, subject: T, message: T, attributes: {team: T}}"),
        ("sns", "{phone_number: T, message: T}"),
        (
            "pagerduty",
            "{routing_key: T, description: T, client: T, client_url: T, severity: T, class: T, component: T, group: T, \
             source: T, details: {a: T, b: [T]}, images: [{src: T, alt: T, href: T}], links: [{href: T, text: T}]}",
        ),
        (
            "opsgenie",
            "{api_key: T, message: T, description: T, source: T, tags: T, note: T, priority: T, entity: T, actions: T, \
             details: {a: T}, responders: [{name: T, type: T}]}",
        ),
        ("msteams", "{webhook_url: 'http://x', title: T, summary: T, text: T}"),
        ("msteamsv2", "{webhook_url: 'http://x', title: T, text: T}"),
        ("discord", "{webhook_url: 'http://x', title: T, message: T, content: T, username: T, avatar_url: T}"),
        ("telegram", "{bot_token: x, chat_id: 1, message: T}"),
    ];
    for (kind, of) in cases {
        let of = of.replace(": T", &format!(": {team}")).replace("[T]", &format!("[{team}]"));
        let (target, problem) = expanded(kind, &of);
        assert_eq!(problem, None, "{kind}");
        // A Debug print shows no secrets: those are looked at one by one.
        let printed = format!("{target:?}");
        assert!(!printed.contains("{{") && printed.contains("ops"), "{printed}");
        if let Target::Webhook(Webhook { url: secret, .. }) = &target {
            assert_eq!(*secret, Secret::new("http://x/ops"));
        }
        if let Target::Opsgenie(service) = &target {
            assert_eq!(service.key, Secret::new("ops"));
        }
    }
}

#[test]
fn texts_become_what_they_say() {
    let (target, _) = expanded(
        "email",
        "{to: '{{ .CommonLabels.team }}@a.jp, b@a.jp', html: '<b>{{ \"<\" }}</b>', text: '{{ \"<\" }}'}",
    );
    let Target::Email(mail) = target else { panic!() };
    assert_eq!(mail.to, ["ops@a.jp", "b@a.jp"]);
    assert_eq!((mail.html.as_deref(), mail.text.as_deref()), (Some("<b>&lt;</b>"), Some("<")));
    let (target, _) = expanded("slack", "{api_url: 'http://s', title: '{{ template \"ops.title\" . }}'}");
    let Target::Slack(slack) = target else { panic!() };
    let text = |name: &str| slack.look.texts[name].as_str();
    assert_eq!((text("title"), text("color"), text("text")), ("firing at ops", "danger", ""));
    assert_eq!(
        (text("title_link"), text("fallback")),
        ("http://mihari/alerts", "[FIRING:1] cpu (ops) | http://mihari/alerts")
    );
    let (target, _) = expanded("slack", "{api_url: 'http://s', username: '{{ .Receiver }}'}");
    let Target::Slack(slack) = target else { panic!() };
    assert_eq!(slack.look.texts.len(), 1, "what says nothing leaves the house's message");
    let of = "{routing_key: k, details: {n: '{{ len .Alerts }}', all: '{{ .Alerts | toJson }}', plain: 'a b'}}";
    let Target::PagerDuty(service) = expanded("pagerduty", of).0 else { panic!() };
    assert_eq!(service.details["n"], serde_json::json!(1));
    assert_eq!(service.details["all"][0]["labels"]["team"], "ops");
    assert_eq!(service.details["plain"], "a b");
    for (mode, message) in [("HTML", "&lt;"), ("MarkdownV2", "<")] {
        let of = format!("{{bot_token: x, chat_id: 1, parse_mode: {mode}, message: '{{{{ \"<\" }}}}'}}");
        let Target::Telegram(service) = expanded("telegram", &of).0 else { panic!() };
        assert_eq!(service.message.as_deref(), Some(message));
    }
}

#[test]
fn what_fails_when_it_is_expanded_gives_way_to_the_house() {
    let (target, problem) = expanded("msteams", "{webhook_url: 'http://x', title: ok, text: '{{ .Nothing }}'}");
    let Target::Teams(teams) = target else { panic!() };
    assert_eq!((teams.title, teams.text), (None, None));
    assert_eq!(problem.unwrap(), "`text`: 1: can't evaluate field Nothing in type template.Data");
    let config = parse_with("am.yml", &file("", "email", "{to: '{{ .Nothing }}'}"), &FILES).unwrap();
    let error = config.receivers["r"].integrations[0].expanded(&config.library, &data()).unwrap_err();
    assert_eq!(error.to_string(), "`to`: 1: can't evaluate field Nothing in type template.Data");
    let config = parse_with("am.yml", &file("", "webhook", "{url: 'http://x/{{ tz \"s3cret\" 1 }}'}"), &FILES).unwrap();
    let error = config.receivers["r"].integrations[0].expanded(&config.library, &data()).unwrap_err();
    assert_eq!(error.to_string(), "`url`: the template in it is wrong");
}

#[test]
fn a_broken_template_is_refused_with_its_place() {
    let refused = |kind: &str, of: &str, files: &[(&str, &str)]| {
        parse_with("am.yml", &file("", kind, of), files).map(|config| config.unheeded).unwrap_err().to_string()
    };
    let slack = "{api_url: 'http://s', title: '{{ nothing }}'}";
    assert_eq!(
        refused("slack", slack, &FILES),
        "am.yml:7:5: receiver \"r\", slack/0: `title`: 1: function \"nothing\" not defined"
    );
    assert_eq!(
        refused("webhook", "{url: 'http://x/{{ geheim }}'}", &FILES),
        "am.yml:7:5: receiver \"r\", webhook/0: `url`: the template in it is wrong"
    );
    let calls = "{api_url: 'http://s', text: '{{ template \"ops.text\" . }}'}";
    assert_eq!(
        refused("slack", calls, &FILES),
        "am.yml:7:5: receiver \"r\", slack/0: `text` calls the template \"ops.text\", which nobody defines"
    );
    let broken = [("templates/a.tmpl", "\n{{ define \"a\" }}")];
    assert_eq!(refused("slack", calls, &broken), "templates/a.tmpl:2:0: template \"a\" without {{end}}");
    // As upstream does, a pattern may lead nowhere; what is missing for it is said and does not stop the file.
    let config = parse_with("am.yml", &file("", "slack", calls), &[]).unwrap();
    assert_eq!(
        config.unheeded,
        [
            "am.yml:2:13: templates \"templates/*.tmpl\" lead to no file: they lie beside this one, and end in .tmpl",
            "am.yml:7:5: receiver \"r\", slack/0: `text` calls the template \"ops.text\", which no file that was found \
             defines: the message of the house goes out",
        ]
    );
}

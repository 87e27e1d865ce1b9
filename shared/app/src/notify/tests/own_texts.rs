//! Receivers that say what their messages say.

use alerting::notify::Target;

use super::*;

/// The deliveries of one receiver about one firing alert; `of` stands in the list of its kind.
async fn told(kind: &str, of: &str) -> (Bench, Vec<Delivery>) {
    let routes = format!(
        "global: {{smtp_from: m@example.com, smtp_smarthost: 'mail.example.com:587', smtp_auth_username: u, \
         smtp_auth_password: geheim, smtp_require_tls: false}}\n\
         templates: [/etc/alertmanager/*.tmpl]\n\
         route: {{receiver: desk, group_by: [alertname], group_wait: 10s, labels: {{desk: 'the {{{{ .Receiver }}}}'}}}}\n\
         receivers: [{{name: desk, {kind}_configs: [{of}]}}]\n"
    );
    let template = "{{ define \"ops.line\" }}{{ .Status | toUpper }} {{ .CommonLabels.host }}{{ end }}";
    let files = [("alertmanager.yml", routes.as_str()), ("ops.tmpl", template)];
    let mut bench = Bench::new(&FaultPlan::none());
    bench.config = Config::parse(&files).unwrap_or_else(|errors| panic!("{of}: {errors:?}"));
    bench.receive(&[message(1000, &[("w1", 1000, None)])], 1000).await;
    bench.run(1010).await;
    let deliveries = bench.messenger.drain();
    (bench, deliveries)
}

fn json_of(delivery: &Delivery) -> serde_json::Value {
    let Content::Json(json) = &delivery.content else { panic!("{delivery:?}") };
    serde_json::from_str(json).unwrap()
}

/// Each receiver says `FIRING w1` in its own place.
#[tokio::test]
async fn every_receiver_says_its_own_words() {
    const LINE: &str = "'{{ template \"ops.line\" . }}'";
    let cases = [
        ("slack", "{api_url: 'http://127.0.0.1:1/s', title: L, text: x}", "/attachments/0/title"),
        ("slack", "{api_url: 'http://127.0.0.1:1/s', message_text: L}", "/text"),
        ("slack", "{api_url: 'http://127.0.0.1:1/s', fields: [{title: a, value: L}]}", "/attachments/0/fields/0/value"),
        (
            "slack",
            "{api_url: 'http://127.0.0.1:1/s', actions: [{type: button, text: L, url: 'http://x'}]}",
            "/attachments/0/actions/0/text",
        ),
        ("slack", "{api_url: 'http://127.0.0.1:1/s', channel: L}", "/channel"),
        ("slack", "{api_url: 'http://127.0.0.1:1/s', username: L}", "/username"),
        ("webhook", "{url: 'http://127.0.0.1:1/h', payload: {a: [{b: L}]}}", "/a/0/b"),
        ("pagerduty", "{routing_key: k, description: L}", "/payload/summary"),
        ("pagerduty", "{routing_key: L}", "/routing_key"),
        ("pagerduty", "{routing_key: k, details: {a: L}}", "/payload/custom_details/a"),
        ("pagerduty", "{routing_key: k, severity: L}", "/payload/severity"),
        ("pagerduty", "{routing_key: k, links: [{href: 'http://x', text: L}]}", "/links/0/text"),
        ("opsgenie", "{api_key: k, message: L}", "/message"),
        ("opsgenie", "{api_key: k, description: L}", "/description"),
        ("opsgenie", "{api_key: k, tags: 'a, {{ template \"ops.line\" . }}'}", "/tags/1"),
        ("opsgenie", "{api_key: k, details: {a: L}}", "/details/a"),
        ("opsgenie", "{api_key: k, responders: [{name: L, type: team}]}", "/responders/0/name"),
        ("msteams", "{webhook_url: 'http://127.0.0.1:1/t', title: L}", "/title"),
        ("msteams", "{webhook_url: 'http://127.0.0.1:1/t', summary: L}", "/summary"),
        ("msteamsv2", "{webhook_url: 'http://127.0.0.1:1/t', title: L}", "/attachments/0/content/body/0/text"),
        ("msteamsv2", "{webhook_url: 'http://127.0.0.1:1/t', text: L}", "/attachments/0/content/body/1/text"),
        ("discord", "{webhook_url: 'http://127.0.0.1:1/d', title: L}", "/embeds/0/title"),
        ("discord", "{webhook_url: 'http://127.0.0.1:1/d', message: L}", "/embeds/0/description"),
        ("discord", "{webhook_url: 'http://127.0.0.1:1/d', content: L}", "/content"),
        ("telegram", "{bot_token: t, chat_id: 1, message: L}", "/text"),
    ];
    for (kind, of, place) in cases {
        let (_, deliveries) = told(kind, &of.replace(": L", &format!(": {LINE}"))).await;
        let [delivery] = &deliveries[..] else { panic!("{of}: {deliveries:?}") };
        let body = json_of(delivery);
        assert_eq!(body.pointer(place).and_then(|text| text.as_str()), Some("FIRING w1"), "{of}: {body:#}");
    }
}

#[tokio::test]
async fn mails_and_topics_say_their_own_words() {
    let of = "{to: '{{ .CommonLabels.host }}@example.com, b@example.com', hello: h, \
              headers: {subject: '{{ .Status }} of {{ routeLabels \"desk\" }}', X-Team: '{{ .Receiver }}'}, \
              html: '<b>{{ \"<\" }}{{ .NotificationReason }}</b>', text: '{{ len .Alerts }}'}";
    let (_, deliveries) = told("email", of).await;
    let Address::Email { to, server: Some(server), .. } = &deliveries[0].address else { panic!("{deliveries:?}") };
    assert_eq!(*to, ["w1@example.com", "b@example.com"]);
    assert_eq!((server.smarthost.as_str(), server.smtp.hello.as_deref()), ("mail.example.com:587", Some("h")));
    let smtp = &server.smtp;
    assert_eq!((smtp.username.as_deref(), smtp.require_tls), (Some("u"), Some(false)));
    assert_eq!(smtp.password, Some(Secret::new("geheim")));
    assert!(!format!("{deliveries:?}").contains("geheim"));
    let Content::Email { subject, text, html, headers, .. } = &deliveries[0].content else { panic!("{deliveries:?}") };
    assert_eq!((subject.as_str(), text.as_str()), ("firing of the desk", "1"));
    assert_eq!(html, "<b>&lt;first notification</b>");
    assert_eq!(headers.iter().collect::<Vec<_>>(), [(&"X-Team".to_owned(), &"desk".to_owned())]);
    let (_, house) = told("email", "{to: a@example.com, html: ''}").await;
    let Content::Email { subject, text, html, .. } = &house[0].content else { panic!("{house:?}") };
    assert!(subject.starts_with("[CRITICAL]") && text.contains("high") && html.is_empty());
    let topic = "{topic_arn: 'arn:aws:sns:us-east-1:123456789012:pager', subject: '{{ .Status }}', \
                 message: '{{ .CommonLabels.host }}', attributes: {host: '{{ .CommonLabels.host }}'}}";
    let (_, deliveries) = told("sns", topic).await;
    let Address::Topic { attributes, .. } = &deliveries[0].address else { panic!("{deliveries:?}") };
    assert_eq!(attributes["host"], "w1");
    assert_eq!(deliveries[0].content, Content::Text { subject: Some("firing".to_owned()), text: "w1".to_owned() });
    let (_, deliveries) = told("sns", "{phone_number: '+819012345678', message: '{{ .Status }}'}").await;
    assert_eq!(deliveries[0].content, Content::Text { subject: None, text: "firing".to_owned() });
}

#[tokio::test]
async fn a_slack_message_of_its_own_is_whole_and_keeps_the_buttons() {
    let of = "{api_url: 'http://127.0.0.1:1/s', channel: '#a', title: 'T', link_names: true, image_url: 'http://i'}";
    let (_, deliveries) = told("slack", of).await;
    let expected = serde_json::json!({
        "channel": "#a",
        "link_names": true,
        "attachments": [{
            "title": "T",
            "title_link": "http://127.0.0.1:9099/alerts",
            "fallback": "[FIRING:1] cpu (w1 critical) | http://127.0.0.1:9099/alerts",
            "color": "danger",
            "image_url": "http://i",
            "mrkdwn_in": ["fallback", "pretext", "text"],
        }],
    });
    assert_eq!(json_of(&deliveries[0]), expected);
    let slack = pure::parse(
        "am.yml",
        "route: {receiver: r}\nreceivers: [{name: r, slack_configs: [{api_url: 'http://x', title: T}]}]",
    );
    let Target::Slack(slack) = &slack.unwrap().receivers["r"].integrations[0].target else { panic!() };
    let house = serde_json::json!({"text": "t", "attachments": [{"color": "#1", "blocks": [
        {"type": "section"}, {"type": "actions", "elements": []},
    ]}]});
    let body = services::slack(slack, &house.to_string());
    assert_eq!(
        body["attachments"][1],
        serde_json::json!({"color": "#1", "blocks": [{"type": "actions", "elements": []}]})
    );
}

#[tokio::test]
async fn what_fails_is_told_in_the_words_of_the_house_and_recorded() {
    let of = "{webhook_url: 'http://127.0.0.1:1/d', title: '{{ .Status }}', message: '{{ .Geheim.x }}'}";
    let (bench, deliveries) = told("discord", of).await;
    let body = json_of(&deliveries[0]);
    assert_eq!(body["embeds"][0]["title"], "[CRITICAL] cpu");
    let now = Timestamp::from_secs(1_000_000);
    let rows = range_all(bench.state.as_ref(), RowRange::all("h#default#1970-01-01"), now).await.unwrap();
    let note = String::from_utf8_lossy(&rows[0].value).into_owned();
    assert!(
        note.contains("in the words of the house, since a template of the receiver failed: `message`: 1:"),
        "{note}"
    );
    // Where it goes must be known: without that nothing goes out, and the history says why.
    let (bench, deliveries) = told("webhook", "{url: 'http://127.0.0.1:1/geheim/{{ .Nothing }}'}").await;
    assert!(deliveries.is_empty());
    let rows = range_all(bench.state.as_ref(), RowRange::all("h#default#1970-01-01"), now).await.unwrap();
    let note = String::from_utf8_lossy(&rows[0].value).into_owned();
    assert!(note.contains("`url`: the template in it is wrong") && !note.contains("geheim"), "{note}");
}

#[test]
fn the_files_of_templates_belong_to_tenants_and_are_checked() {
    let routes = "templates: ['t/*.tmpl']\nroute: {receiver: r}\nreceivers: [{name: r, slack_configs: [{api_url: 'http://x', \
                  title: '{{ template \"own\" . }}'}]}]";
    let own = ("tenants/shop/t/a.tmpl", "{{ define \"own\" }}x{{ end }}");
    assert!(Config::parse(&[("tenants/shop/alertmanager.yml", routes), own]).is_ok());
    let errors =
        Config::parse(&[("alertmanager.yml", routes), ("t/b.tmpl", "{{ define \"b\" }}{{ end }}"), own]).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "alertmanager.yml:3:39: receiver \"r\", slack/0: `title` calls the template \"own\", which nobody defines"
    );
    let errors =
        Config::parse(&[("alertmanager.yml", routes), ("t/b.tmpl", "\n{{ define \"b\" }}{{ what }}{{ end }}")])
            .unwrap_err();
    assert_eq!(errors[0].to_string(), "t/b.tmpl:2:0: function \"what\" not defined");
    assert!(Config::reads("t/b.tmpl") && Config::reads("tenants/shop/t/a.tmpl") && !Config::reads("notes.txt"));
}

/// What ended stands among what fires, in the order of the labels, in webhooks as in templates: as Alertmanager has it.
#[tokio::test]
async fn alerts_stand_in_the_order_of_their_labels_in_webhooks_and_templates() {
    let routes = "
route: {receiver: desk, group_by: [room.no], group_wait: 10s, group_interval: 2m}
receivers:
  - name: desk
    webhook_configs:
      - {url: 'http://127.0.0.1:1/all'}
      - {url: 'http://127.0.0.1:1/own', payload: {hosts: '{{ range .Alerts }}{{ .Labels.host }} {{ .Status }};{{ end }}'}}
";
    let bench = Bench::with(routes, &FaultPlan::none());
    let hosts = [("w3", 1000, None), ("w1", 1000, None), ("w2", 1000, None)];
    bench.receive(&[message(1000, &hosts)], 1000).await;
    bench.run(1010).await;
    bench.messenger.drain();
    bench.receive(&[message(1020, &[("w1", 1000, Some(1020)), ("w2", 1000, None), ("w3", 1000, None)])], 1020).await;
    bench.run(1130).await;
    let deliveries = bench.messenger.drain();
    let of = |end: &str| {
        let is_there = |one: &&Delivery| matches!(&one.address, Address::Webhook { url, .. } if ends_with(url, end));
        json_of(deliveries.iter().find(is_there).unwrap_or_else(|| panic!("{end}: {deliveries:?}")))
    };
    let alerts = of("all")["alerts"].as_array().unwrap().clone();
    let states: Vec<_> = alerts.iter().map(|one| (one["labels"]["host"].clone(), one["status"].clone())).collect();
    assert_eq!(states, [("w1", "resolved"), ("w2", "firing"), ("w3", "firing")].map(|(a, b)| (a.into(), b.into())));
    assert_eq!(of("own")["hosts"], "w1 resolved;w2 firing;w3 firing;");
}

/// The labels of the route are found although a name in the key of the group is no plain one.
#[tokio::test]
async fn a_group_of_a_quoted_name_knows_the_labels_of_its_route() {
    let routes = "
route: {receiver: desk, group_by: [alertname, 'room.no'], group_wait: 10s, labels: {desk: front}}
receivers: [{name: desk, webhook_configs: [{url: 'http://127.0.0.1:1/own', payload: {desk: '{{ routeLabels \"desk\" }}'}}]}]
";
    let bench = Bench::with(routes, &FaultPlan::none());
    let mut told = message(1000, &[("w1", 1000, None)]);
    let mut body: AlertMessage = serde_json::from_slice(&told.body).unwrap();
    body.alerts[0].labels = Labels::from_pairs([("alertname", "cpu"), ("room.no", "東")]).unwrap();
    told.body = serde_json::to_vec(&body).unwrap().into();
    bench.receive(&[told], 1000).await;
    bench.run(1010).await;
    assert_eq!(json_of(&bench.messenger.drain()[0])["desk"], "front");
}

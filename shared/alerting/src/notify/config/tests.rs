use std::fs;
use std::process::Command;

use super::*;

mod texts;

const FULL: &str = r#"
global:
  smtp_smarthost: mail.example.com:587
  smtp_from: mihari@example.com
  slack_api_url: https://hooks.slack.com/services/T0/B0/xyz
  resolve_timeout: 10m
route:
  receiver: everyone
  group_by: [alertname]
  routes:
    - matchers: ['severity="critical"', 'team=~"a|b"']
      receiver: on-call.en
      group_wait: 10s
      repeat_interval: 1h
      continue: true
      routes:
        - match: {zone: 2}
          group_by: ['...']
    - match_re:
        severity: warning|info
      receiver: mail
receivers:
  - name: everyone
  - name: on-call.en
    slack_configs:
      - channel: '#alerts-critical'
        send_resolved: true
    webhook_configs:
      - url: http://127.0.0.1:8080/hook
        max_alerts: 5
  - name: mail
    email_configs:
      - to: 'a@example.com, Ops <ops@example.com>'
        headers: {Content-Language: ja}
      - to: c@example.com
        smarthost: outbox.invalid:25
inhibit_rules:
  - source_matchers: [severity=critical]
    target_match: {severity: warning}
    equal: [instance]
"#;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn keys_of(config: &Config, pairs: &[(&str, &str)]) -> Vec<String> {
    config.routes_of(&labels(pairs)).iter().map(|route| format!("{} -> {}", route.key, route.receiver)).collect()
}

#[test]
fn a_file_is_read_with_what_its_parts_inherit() {
    let config = parse("am.yml", FULL).unwrap();
    assert_eq!(config.resolve_timeout, Duration::from_secs(600));
    let critical = &config.route.routes[0];
    assert_eq!(critical.key, r#"{}/{severity="critical",team=~"a|b"}"#);
    assert_eq!((critical.group_wait, critical.group_interval), (Duration::from_secs(10), Duration::from_secs(300)));
    let zone = &critical.routes[0];
    assert_eq!((zone.receiver.as_str(), &zone.group_by), ("on-call.en", &GroupBy::All));
    assert_eq!(zone.repeat_interval, Duration::from_secs(3600));
    assert!(!zone.goes_on, "continue is not inherited");
    assert_eq!(config.inhibit_rules.len(), 1);
}

#[test]
fn integrations_know_their_place_their_language_and_whether_they_hear_of_the_end() {
    let config = parse("am.yml", FULL).unwrap();
    let list = |name: &str| {
        let of = |one: &Integration| (one.key.clone(), one.send_resolved, one.language);
        config.receivers[name].integrations.iter().map(of).collect::<Vec<_>>()
    };
    let english = Some(Language::English);
    assert_eq!(list("on-call.en"), [("slack/0".to_owned(), true, english), ("webhook/0".to_owned(), true, english)]);
    assert_eq!(
        list("mail"),
        [("email/0".to_owned(), false, Some(Language::Japanese)), ("email/1".to_owned(), false, None)]
    );
    let Target::Email(first) = &config.receivers["mail"].integrations[0].target else { panic!("it is a mail") };
    assert_eq!(first.to, ["a@example.com", "Ops <ops@example.com>"]);
    assert_eq!(first.smarthost.as_deref(), Some("mail.example.com:587"));
    let Target::Email(second) = &config.receivers["mail"].integrations[1].target else { panic!("it is a mail") };
    assert_eq!(second.smarthost, None, "the outbox");
}

#[test]
fn alerts_are_led_depth_first_until_a_node_does_not_continue() {
    let config = parse("am.yml", FULL).unwrap();
    let critical = r#"{}/{severity="critical",team=~"a|b"} -> on-call.en"#;
    assert_eq!(keys_of(&config, &[("severity", "critical"), ("team", "a")]), [critical]);
    assert_eq!(
        keys_of(&config, &[("severity", "critical"), ("team", "b"), ("zone", "2")]),
        [r#"{}/{severity="critical",team=~"a|b"}/{zone="2"} -> on-call.en"#]
    );
    assert_eq!(keys_of(&config, &[("severity", "critical")]), ["{} -> everyone"]);
    assert_eq!(keys_of(&config, &[("severity", "info")]), [r#"{}/{severity=~"warning|info"} -> mail"#]);
}

#[test]
fn with_continue_the_nodes_after_it_see_the_alert_too() {
    let yaml = "
route:
  receiver: r
  routes:
    - {match_re: {test: '^[12]$'}, receiver: one, continue: true}
    - {match: {test: 2}, receiver: two}
    - {match: {test: 2}, receiver: three}
receivers: [{name: r}, {name: one}, {name: two}, {name: three}]
";
    let config = parse("am.yml", yaml).unwrap();
    assert_eq!(keys_of(&config, &[("test", "1")]), [r#"{}/{test=~"^[12]$"} -> one"#]);
    assert_eq!(keys_of(&config, &[("test", "2")]), [r#"{}/{test=~"^[12]$"} -> one"#, r#"{}/{test="2"} -> two"#]);
}

fn refused(yaml: &str) -> String {
    parse("am.yml", yaml).unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let with_receiver = |body: &str| format!("route: {{receiver: r}}\nreceivers:\n  - name: r\n{body}");
    let cases = [
        ("BAD".to_owned(), "am.yml:1:1: "),
        (String::new(), "am.yml:0:0: there is no route"),
        ("route: {receiver: x}\n".to_owned(), "am.yml:1:19: there is no receiver \"x\""),
        ("route: {group_by: [a]}\n".to_owned(), "am.yml:0:0: the root route has no receiver"),
        (
            "route: {receiver: r, matchers: [a=b]}\nreceivers: [{name: r}]".to_owned(),
            "am.yml:1:19: the root route must match all alerts: it cannot have matchers",
        ),
        (
            "route:\n  receiver: r\n  continue: true\nreceivers: [{name: r}]".to_owned(),
            "am.yml:3:13: the root route cannot have `continue`",
        ),
        (
            "route:\n  receiver: r\n  group_wait: soon\nreceivers: [{name: r}]".to_owned(),
            "am.yml:3:15: \"soon\" is not a duration such as 30s, 5m or 1h30m",
        ),
        (
            "route:\n  receiver: r\n  repeat_interval: 0s\nreceivers: [{name: r}]".to_owned(),
            "am.yml:3:20: an interval of zero would never rest",
        ),
        (
            "route:\n  receiver: r\n  group_by: [a, '...']\nreceivers: [{name: r}]".to_owned(),
            "am.yml:3:13: `group_by` has `...`, which is all labels, and others beside it",
        ),
        (
            "route:\n  receiver: r\n  group_by: [a, a]\nreceivers: [{name: r}]".to_owned(),
            "am.yml:3:13: label \"a\" stands in `group_by` twice",
        ),
        (
            "route:\n  receiver: r\n  routes:\n    - matchers: [severity]\nreceivers: [{name: r}]".to_owned(),
            "am.yml:4:18: invalid matchers \"severity\": it ends where one of = != =~ !~ should be",
        ),
        (
            "route: {receiver: r}\nreceivers: [{name: r}, {name: r}]".to_owned(),
            "am.yml:2:31: there are two receivers \"r\"",
        ),
        (
            with_receiver("    slack_configs: [{channel: '#x'}]"),
            "am.yml:4:21: there is no `api_url` here and no `slack_api_url` in `global`",
        ),
        (
            with_receiver("    webhook_configs: [{url: 'ftp://x'}]"),
            "am.yml:4:29: this is not a URL with http:// or https:// and a host",
        ),
        (
            with_receiver("    email_configs: [{to: a@b}]"),
            "am.yml:4:21: there is no `from` here and no `smtp_from` in `global`",
        ),
        (
            with_receiver("    email_configs: [{to: nobody, from: a@b}]"),
            "am.yml:4:26: \"nobody\" is not a mail address",
        ),
        (
            with_receiver("    email_configs: [{to: a@b, from: a@b, smarthost: x}]"),
            "am.yml:4:53: \"x\" is not host:port",
        ),
    ];
    for (yaml, expected) in cases {
        let reason = refused(&yaml);
        assert!(reason.starts_with(expected), "{yaml}\ngave     {reason}\nexpected {expected}");
    }
}

#[test]
fn what_is_asked_for_and_not_done_is_said_by_name_and_place() {
    let yaml = "
global: {smtp_auth_identity: x, http_config: {proxy_url: 'socks5://proxy:1080'}}
route: {receiver: r}
receivers:
  - name: r
    wechat_configs: [{api_secret: x, corp_id: y}]
    sns_configs: [{phone_number: '+819012345678', sigv4: {access_key: x, secret_key: y}, attributes: {a: b}}]
    webhook_configs: [{url: 'http://x', http_config: {tls_config: {insecure_skip_verify: true, server_name: x, ca_ref: ''}}}]
tracing: {endpoint: x}
";
    let config = parse("am.yml", yaml).unwrap();
    let expected = [
        "am.yml:2:45: `proxy_url` is not heeded: only proxies of http and https are spoken to",
        "am.yml:2:9: `smtp_auth_identity` of `global` is not heeded",
        "am.yml:9:10: `tracing` is not heeded",
        "am.yml:8:55: `server_name` of `tls_config` is not heeded",
        "am.yml:7:58: `access_key` of `sigv4` is not heeded",
        "am.yml:7:58: `secret_key` of `sigv4` is not heeded",
        "am.yml:6:22: nothing is delivered to this service",
    ];
    let places =
        |notes: &[String]| notes.iter().map(|note| note.splitn(4, ':').nth(3).unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(places(&config.unheeded), places(&expected.map(str::to_owned)));
    assert!(config.unheeded.iter().all(|note| !note.contains(":0:")), "{:?}", config.unheeded);
    assert!(refused("routes: {}\n").contains("unknown field `routes`"), "{}", refused("routes: {}\n"));
}

#[test]
fn calendars_are_named_by_routes_and_not_inherited() {
    let yaml = "
route:
  receiver: r
  labels: {reason: a, text: '{{ routeLabels \"reason\" }}'}
  routes:
    - matchers: [a=b]
      mute_time_intervals: [nights]
      active_time_intervals: [days]
      labels: {reason: b}
      routes: [{matchers: [c=d]}]
receivers: [{name: r}]
mute_time_intervals: [{name: nights, time_intervals: [{times: [{start_time: '22:00', end_time: '24:00'}]}]}]
time_intervals: [{name: days, time_intervals: [{weekdays: ['monday:friday'], location: Asia/Tokyo}]}, {name: never}]
";
    let config = parse("am.yml", yaml).unwrap();
    let child = &config.route.routes[0];
    assert_eq!(
        (child.mute_time_intervals.as_slice(), child.active_time_intervals.as_slice()),
        (&["nights".to_owned()][..], &["days".to_owned()][..])
    );
    assert_eq!((child.labels["reason"].as_str(), child.labels["text"].as_str()), ("b", "{{ routeLabels \"reason\" }}"));
    let grandchild = &child.routes[0];
    assert!(grandchild.mute_time_intervals.is_empty() && grandchild.active_time_intervals.is_empty());
    assert_eq!(grandchild.labels["reason"], "b");
    assert_eq!(config.time_intervals.keys().collect::<Vec<_>>(), ["days", "never", "nights"]);
    let cases = [
        ("route: {receiver: r, mute_time_intervals: [x]}", "the root route cannot have time intervals"),
        ("route: {receiver: r, routes: [{active_time_intervals: [x]}]}", "there is no time interval \"x\""),
        ("route: {receiver: r}\ntime_intervals: [{name: x}, {name: x}]", "there are two time intervals \"x\""),
        ("route: {receiver: r}\ntime_intervals: [{name: x, time_intervals: [{years: [x]}]}]", "\"x\" is not a year"),
    ];
    for (yaml, expected) in cases {
        let reason = refused(&format!("{yaml}\nreceivers: [{{name: r}}]"));
        assert!(reason.ends_with(expected), "{yaml}\ngave {reason}");
    }
}

#[test]
fn every_service_is_read_strictly() {
    let body = |line: &str| format!("route: {{receiver: r}}\nreceivers:\n  - name: r\n    {line}\n");
    let taken = [
        "pagerduty_configs: [{routing_key: x, details: {a: {b: [c]}}, links: [{href: x}], images: [{src: y}]}]",
        "pagerduty_configs: [{service_key_file: /x, timeout: 1m30s}]",
        "opsgenie_configs: [{api_key: x, responders: [{name: a, type: Team}], update_alerts: true}]",
        "discord_configs: [{webhook_url: 'http://x', content: c}]",
        "msteams_configs: [{webhook_url_file: /x, summary: s}]",
        "msteamsv2_configs: [{webhook_url: 'http://x'}]",
        "telegram_configs: [{bot_token: x, chat_id: -5, parse_mode: ''}]",
        "webhook_configs: [{url: 'http://x/{{ .Receiver }}', payload: {a: ['{{ .Status }}', 1, true]}}]",
        "slack_configs: [{app_token: x, channel: c, update_message: true, fields: [{title: a, value: b}]}]",
        "incidentio_configs: [{url: 'http://x', alert_source_token: y}]",
        "jira_configs: [{api_url: 'http://x', project: p, issue_type: t, summary: {template: x}}]",
        "mattermost_configs: [{webhook_url: 'http://x'}]",
        "pushover_configs: [{user_key: x, token_file: /y, retry: 1.5h}]",
        "rocketchat_configs: [{token_id: x, token: y}]",
        "victorops_configs: [{api_key: x, routing_key: y}]",
        "webex_configs: [{room_id: x, http_config: {authorization: {credentials: y}}}]",
        "wechat_configs: [{api_secret: x, corp_id: y}]",
    ];
    for line in taken {
        parse("am.yml", &body(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let refusals = [
        ("pagerduty_configs: [{}]", "there is neither `routing_key` nor `service_key`"),
        ("pagerduty_configs: [{routing_key: x, nonsense: 1}]", "this receiver has no field `nonsense`"),
        ("pagerduty_configs: [{routing_key: x, links: [{url: y}]}]", "a link has no field `url`"),
        ("pagerduty_configs: [{routing_key: x, timeout: 1d}]", "\"1d\" is not a duration such as 10s or 1m30s"),
        ("pagerduty_configs: [null]", "an item of `pagerduty_configs` is empty"),
        ("opsgenie_configs: [{}]", "there is no `api_key` here and no `opsgenie_api_key` in `global`"),
        (
            "opsgenie_configs: [{api_key: x, responders: [{type: team}]}]",
            "a responder needs `id`, `name` or `username`",
        ),
        ("discord_configs: [{}]", "there is no `webhook_url`"),
        ("msteamsv2_configs: [{webhook_url: 'http://x', summary: s}]", "this receiver has no field `summary`"),
        ("telegram_configs: [{bot_token: x}]", "there is no `chat_id`"),
        ("telegram_configs: [{bot_token: x, chat_id: 1, parse_mode: md}]", "nor empty"),
        ("slack_configs: [{api_url: 'http://x', update_message: true}]", "an `app_token`, or its URL as `api_url`"),
        (
            "slack_configs: [{api_url: 'http://x', actions: [{type: button, text: t}]}]",
            "an action needs `url` or `name`",
        ),
        ("webhook_configs: [{url: 'http://x', http_config: {bearer_token: x, basic_auth: {}}}]", "may be there"),
        ("webhook_configs: [{url: 'http://x', http_config: {authorization: {type: Basic}}}]", "use `basic_auth`"),
        ("webex_configs: [{room_id: x}]", "there is no `http_config.authorization`"),
        (
            "victorops_configs: [{api_key: x, routing_key: y, custom_fields: {entity_id: z}}]",
            "cannot be a custom field",
        ),
        ("email_configs: [{to: a@b, from: a@b, headers: {subject: x, Subject: y}}]", "header `Subject` is there twice"),
        (
            "email_configs: [{to: a@b, from: a@b, headers: {references: x}, threading: {enabled: true}}]",
            "`threading` writes the header `References`, which is given as well",
        ),
    ];
    for (line, expected) in refusals {
        let reason = refused(&body(line));
        assert!(reason.ends_with(expected), "{line}\ngave {reason}");
    }
}

/// What amtool takes, too: see `amtool_takes_what_we_take`.
const AWS: &str = r#"
global:
  slack_api_url_file: /run/secrets/slack
  smtp_from: mihari@example.com
  smtp_smarthost: outbox.invalid:25
route: {receiver: on-call.ja}
receivers:
  - name: on-call.ja
    slack_configs:
      - channel: '#alerts'
      - channel: '#critical'
        api_url_file: ssm:/mihari/slack
      - api_url: https://hooks.slack.com/services/T0/B0/xyz
    sns_configs:
      - phone_number: '+819012345678'
        sigv4: {region: ap-northeast-1}
      - topic_arn: arn:aws:sns:ap-northeast-1:123456789012:pager
        send_resolved: false
"#;

#[test]
fn secrets_may_lie_elsewhere_and_sns_reaches_telephones_and_topics() {
    let config = parse("am.yml", AWS).unwrap();
    let receiver = &config.receivers["on-call.ja"];
    let slack = |at: usize| {
        let Target::Slack(slack) = &receiver.integrations[at].target else { panic!("it is Slack") };
        let SlackDoor::Webhook(url) = &slack.door else { panic!("it is a webhook") };
        url.clone()
    };
    assert_eq!(slack(0), Secret::File("/run/secrets/slack".to_owned()));
    assert_eq!(slack(1), Secret::File("ssm:/mihari/slack".to_owned()));
    assert_eq!(slack(2), Secret::new("https://hooks.slack.com/services/T0/B0/xyz"));
    let of = |one: &Integration| (one.key.clone(), one.send_resolved, one.target.clone());
    let sns: Vec<_> = receiver.integrations[3..].iter().map(of).collect();
    let topic = "arn:aws:sns:ap-northeast-1:123456789012:pager".to_owned();
    let sns_to = |to| Target::Sns(Sns { to, subject: None, message: None, attributes: BTreeMap::new() });
    let expected = [
        ("sns/0".to_owned(), true, sns_to(SnsTarget::Phone("+819012345678".to_owned()))),
        ("sns/1".to_owned(), false, sns_to(SnsTarget::Topic(topic))),
    ];
    assert_eq!(sns, expected);
    assert!(receiver.integrations.iter().all(|one| one.language == Some(Language::Japanese)));
    let sender = MailSender { from: "mihari@example.com".to_owned(), smarthost: None, smtp: Smtp::default() };
    assert_eq!(config.mail_sender, Some(sender));
    let hook = "route: {receiver: r}\nreceivers: [{name: r, webhook_configs: [{url_file: 'ssm:/mihari/pager'}]}]";
    let config = parse("am.yml", hook).unwrap();
    let Target::Webhook(hook) = &config.receivers["r"].integrations[0].target else { panic!("it is a webhook") };
    assert_eq!(hook.url, Secret::File("ssm:/mihari/pager".to_owned()));
    assert_eq!(config.mail_sender, None);
}

#[test]
fn what_is_wrong_with_secrets_and_sns_is_named_with_its_place() {
    let body = |line: &str| format!("route: {{receiver: r}}\nreceivers:\n  - name: r\n    {line}");
    let cases = [
        ("sns_configs: [{sigv4: {}}]", "am.yml:4:19: there is neither `phone_number`, `topic_arn` nor `target_arn`"),
        ("sns_configs: [{phone_number: '+1234567', topic_arn: 'a'}]", "am.yml:4:57: there is another destination"),
        ("sns_configs: [{phone_number: '09012345678'}]", "am.yml:4:34: this is not a telephone number"),
        ("sns_configs: [{phone_number: '+0901234567'}]", "am.yml:4:34: this is not a telephone number"),
        ("sns_configs: [{phone_number: '+81 90 1234'}]", "am.yml:4:34: this is not a telephone number"),
        ("sns_configs: [{topic_arn: 'arn:aws:sqs:r:1:q'}]", "am.yml:4:31: \"arn:aws:sqs:r:1:q\" is not a topic"),
        ("sns_configs: [{topic_arn: 'arn:aws:sns:r:1:'}]", "am.yml:4:31: \"arn:aws:sns:r:1:\" is not a topic"),
        (
            "slack_configs: [{api_url: 'http://x', api_url_file: /x}]",
            "am.yml:4:57: `api_url` itself stands beside it: leave one out",
        ),
        (
            "webhook_configs: [{url_file: secret}]",
            "am.yml:4:34: \"secret\" is neither a path from the root nor ssm:/name",
        ),
        ("webhook_configs: [{url_file: 'ssm:name'}]", "am.yml:4:34: \"ssm:name\" is neither a path"),
        ("webhook_configs: [{url_file: /}]", "am.yml:4:34: \"/\" is neither a path"),
    ];
    for (line, expected) in cases {
        let reason = refused(&body(line));
        assert!(reason.starts_with(expected), "{line}\ngave     {reason}\nexpected {expected}");
        assert!(!reason.contains("0901234"), "a number is somebody's");
    }
    let both =
        format!("global: {{slack_api_url: 'http://x', slack_api_url_file: /x}}\n{}", body("slack_configs: [{}]"));
    assert!(refused(&both).starts_with("am.yml:1:57: `slack_api_url` itself stands beside it"), "{}", refused(&both));
    let keys = "sns_configs: [{phone_number: '+819012345678', sigv4: {access_key: x}}]";
    assert!(
        refused(&body(keys)).ends_with("`access_key` and `secret_key` belong together"),
        "{}",
        refused(&body(keys))
    );
}

/// Where Debian's `amtool` is installed it takes these files, too.
#[test]
fn amtool_takes_what_we_take() {
    if Command::new("amtool").arg("--version").output().is_err() {
        return;
    }
    let default = include_str!("../../../../../infra/config/alertmanager.yml");
    for (name, yaml) in [("aws", AWS), ("full", FULL), ("default", default)] {
        let path = std::env::temp_dir().join(format!("mihari-{}-{name}.yml", std::process::id()));
        fs::write(&path, yaml).unwrap();
        let output = Command::new("amtool").arg("check-config").arg(&path).output().unwrap();
        fs::remove_file(&path).unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn secrets_are_not_printed() {
    let config = parse("am.yml", FULL).unwrap();
    let printed = format!("{config:?}");
    assert!(!printed.contains("xyz") && !printed.contains("8080"), "{printed}");
    assert!(printed.contains("<secret>"));
}

#[test]
fn the_default_file_tells_everybody_of_both_ends_and_needs_no_server() {
    let yaml = include_str!("../../../../../infra/config/alertmanager.yml");
    let config = parse("alertmanager.yml", yaml).unwrap();
    for receiver in config.receivers.values() {
        let waits_for_an_address = receiver.name == "heartbeat";
        assert_eq!(receiver.integrations.is_empty(), waits_for_an_address, "{}", receiver.name);
        for integration in &receiver.integrations {
            assert!(integration.send_resolved, "{} {}", receiver.name, integration.key);
            let Target::Email(email) = &integration.target else { panic!("only mails need no account") };
            assert_eq!(email.smarthost, None, "the outbox");
        }
    }
    let receiver = |severity: &str| keys_of(&config, &[("alertname", "x"), ("severity", severity)]);
    assert_eq!(receiver("critical"), [r#"{}/{severity="critical"} -> critical"#]);
    assert_eq!(receiver("warning"), [r#"{}/{severity="warning"} -> warning"#]);
    assert_eq!(receiver("other"), ["{} -> info"]);
    let critical = config.routes_of(&labels(&[("severity", "critical")]))[0];
    assert_eq!(critical.group_wait, Duration::from_secs(10));
}

/// The commented examples work once their comment signs are gone.
#[test]
fn the_examples_in_the_default_file_work() {
    let yaml = include_str!("../../../../../infra/config/alertmanager.yml");
    let examples = [
        "slack_api_url:",
        "slack_configs:",
        "  - channel:",
        "    send_resolved:",
        "webhook_configs:",
        "  - url:",
        "sns_configs:",
        "  - phone_number:",
    ];
    let uncomment = |line: &str| match line.trim_start().strip_prefix("# ") {
        Some(rest) if examples.iter().any(|example| rest.starts_with(example)) => line.replacen("# ", "", 1),
        Some(_) | None => line.to_owned(),
    };
    let yaml: Vec<String> = yaml.lines().map(uncomment).collect();
    let config = parse("alertmanager.yml", &yaml.join("\n")).unwrap();
    let keys: Vec<&str> = config.receivers["critical"].integrations.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, ["email/0", "slack/0", "webhook/0", "sns/0"]);
}

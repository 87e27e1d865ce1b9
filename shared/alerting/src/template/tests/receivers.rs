//! The templates of receivers: what they see, what the house brings along, and how files change that.

use model::Timestamp;

use super::super::{Data, DataAlert, Library, Markup, Text};

fn map(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn data() -> Data {
    let alert = |host: &str, ended: Option<i64>| DataAlert {
        labels: map(&[("alertname", "cpu"), ("host", host), ("severity", "critical"), ("zone", "a&b")]),
        annotations: map(&[("summary", &format!("{host} is <busy>")), ("runbook", "https://r")]),
        starts_at: Timestamp::from_secs(1_435_065_584),
        ended_at: ended.map(Timestamp::from_secs),
        generator_url: format!("http://g/?h={host}&x=1"),
        fingerprint: format!("f-{host}"),
    };
    Data {
        receiver: "team a".to_owned(),
        alerts: vec![alert("w1", None), alert("w2", None), alert("w3", Some(1_435_066_584))],
        group_labels: map(&[("alertname", "cpu")]),
        external_url: "http://mihari".to_owned(),
        reason: "first notification".to_owned(),
        route_labels: map(&[("desk", "the desk of {{ .Receiver }}"), ("loop", "{{ routeLabels \"loop\" }}")]),
        now: Timestamp::from_secs(1_435_069_184),
    }
}

fn expand(source: &str, markup: Markup) -> Result<String, String> {
    let text = Text::parse(source).map_err(|error| error.to_string())?;
    text.expand(&Library::standard(), &data(), markup).map_err(|error| error.to_string())
}

fn check(source: &str, expected: &str) {
    assert_eq!(expand(source, Markup::Text).as_deref(), Ok(expected), "{source}");
}

#[test]
fn the_data_is_that_of_alertmanager() {
    let cases = [
        ("{{ .Receiver }} {{ .Status }} {{ .ExternalURL }}", "team a firing http://mihari"),
        ("{{ .NotificationReason }}", "first notification"),
        ("{{ len .Alerts }} {{ .Alerts.Firing | len }} {{ len .Alerts.Resolved }}", "3 2 1"),
        ("{{ range .Alerts }}{{ .Labels.host }}:{{ .Status }} {{ end }}", "w1:firing w2:firing w3:resolved "),
        ("{{ (index .Alerts 0).Annotations.summary }} {{ (index .Alerts 0).Fingerprint }}", "w1 is <busy> f-w1"),
        ("{{ .GroupLabels }} | {{ .CommonLabels }}", "alertname=cpu | alertname=cpu, severity=critical, zone=a&b"),
        ("{{ .CommonLabels.Names }} {{ .CommonLabels.Values }}", "[alertname severity zone] [cpu critical a&b]"),
        ("{{ .CommonAnnotations.runbook }}|{{ .CommonAnnotations.summary }}|{{ .CommonLabels.none }}", "https://r||"),
        ("{{ range $k, $v := .CommonLabels }}{{ $k }}={{ $v }};{{ end }}", "alertname=cpu;severity=critical;zone=a&b;"),
        (
            "{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }};{{ end }}",
            "alertname=cpu;severity=critical;zone=a&b;",
        ),
        ("{{ (.CommonLabels.Remove (stringSlice \"zone\" \"alertname\")).Names | join \"+\" }}", "severity"),
        ("{{ (.CommonLabels.Remove .GroupLabels.Names).Values | join \" \" }}", "critical a&b"),
        ("{{ index .CommonLabels \"severity\" }}", "critical"),
        ("{{ with index .Alerts 0 }}{{ .StartsAt.Format \"2006-01-02 15:04\" }}{{ end }}", "2015-06-23 13:19"),
        ("{{ (index .Alerts 0).StartsAt }}", "2015-06-23 13:19:44 +0000 UTC"),
        ("{{ (index .Alerts 0).EndsAt }}", "0001-01-01 00:00:00 +0000 UTC"),
        ("{{ ((index .Alerts 0).StartsAt.Add 32400000000000).Format \"15:04:05\" }}", "22:19:44"),
        (
            "{{ (index .Alerts 0).StartsAt | tz \"Asia/Tokyo\" | date \"2006/01/02 15:04 MST\" }}",
            "2015/06/23 22:19 JST",
        ),
        (
            "{{ since (index .Alerts 0).StartsAt }} {{ since (index .Alerts 0).StartsAt | humanizeDuration }}",
            "1h0m0s 1h 0m 0s",
        ),
        ("{{ with index .Alerts 2 }}{{ (.EndsAt.Sub .StartsAt).Minutes | printf \"%.1f\" }}{{ end }}", "16.7"),
        ("{{ routeLabels \"desk\" }}|{{ routeLabels \"none\" }}", "the desk of team a|"),
        ("{{ .Alerts.Firing | toJson | len | lt 100 }}", "true"),
        ("{{ dict \"a\" 1 \"b\" (list 1 \"x\" 2.5) | toJson }}", "{\"a\":1,\"b\":[1,\"x\",2.5]}"),
        ("{{ .CommonLabels | toJson }}", "{\"alertname\":\"cpu\",\"severity\":\"critical\",\"zone\":\"a\\u0026b\"}"),
        ("{{ define \"__subject\" }}mine{{ end }}{{ template \"slack.default.title\" . }}", "mine"),
        (
            "{{ \"a b\" | title }} {{ \"x\" | toUpper | toLower }} {{ match \"^c\" .CommonLabels.alertname }}",
            "A B x true",
        ),
    ];
    for (source, expected) in cases {
        check(source, expected);
    }
}

#[test]
fn what_fails_says_where() {
    let cases = [
        ("{{ .Nothing }}", "1: can't evaluate field Nothing in type template.Data"),
        ("a\n{{ query \"x\" }}", "2: function \"query\" not defined"),
        ("{{ template \"none\" . }}", "1: template \"none\" not defined"),
        (
            "{{ template \"__subject\" 5 }}",
            "in template \"__subject\", line 10: can't evaluate field Status in type int",
        ),
        (
            "{{ routeLabels \"loop\" }}",
            "1: label \"loop\" of the route: 1: the label \"loop\" of the route leads back to itself",
        ),
        (
            "{{ \"x\" | tz \"Europe/Atlantis\" }}",
            "1: error calling tz: wrong number or type of arguments for tz: (string, string)",
        ),
        ("{{ define \"a\" }}1{{ end }}{{ define \"a\" }}2{{ end }}", "1: multiple definition of template \"a\""),
        (
            "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}",
            "in template \"a\", line 1: templates call each other deeper than 100",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(expand(source, Markup::Text).unwrap_err(), expected, "{source}");
    }
}

#[test]
fn html_is_escaped_and_text_is_not() {
    let link = "<a href=\"{{ (index .Alerts 0).GeneratorURL }}\">{{ (index .Alerts 0).Annotations.summary }}</a>";
    assert_eq!(expand(link, Markup::Html).unwrap(), "<a href=\"http://g/?h=w1&amp;x=1\">w1 is &lt;busy&gt;</a>");
    assert_eq!(expand(link, Markup::Text).unwrap(), "<a href=\"http://g/?h=w1&x=1\">w1 is <busy></a>");
    let named =
        "{{ define \"cell\" }}<td title=\"{{ .zone }}\">{{ .zone }}</td>{{ end }}{{ template \"cell\" .CommonLabels }}";
    assert_eq!(expand(named, Markup::Html).unwrap(), "<td title=\"a&amp;b\">a&amp;b</td>");
}

#[test]
fn the_templates_of_the_house_say_this() {
    let mut all = String::new();
    for name in [
        "__subject",
        "__alertmanagerURL",
        "__text_alert_list",
        "slack.default.fallback",
        "slack.default.color",
        "pagerduty.default.description",
        "pagerduty.default.instances",
        "opsgenie.default.description",
        "telegram.default.message",
        "msteamsv2.default.text",
        "jira.default.priority",
        "wechat.default.message",
    ] {
        let dot = if name.contains("list") || name.contains("instances") { ".Alerts.Resolved" } else { "." };
        let text = expand(&format!("{{{{ template \"{name}\" {dot} }}}}"), Markup::Text).unwrap();
        all += &format!("--- {name}\n{text}\n");
    }
    insta::assert_snapshot!(all);
    let html = expand("{{ template \"email.default.html\" . }}", Markup::Html).unwrap();
    insta::assert_snapshot!("the mail of the house in Alertmanager's name", html);
}

#[test]
fn every_template_of_the_house_expands() {
    let library = Library::standard();
    let names: Vec<&String> = library.named.keys().collect();
    assert!(names.len() > 60, "{}", names.len());
    for name in names.into_iter().filter(|name| !name.starts_with("__") && !name.contains("instances")) {
        for markup in [Markup::Text, Markup::Html] {
            expand(&format!("{{{{ template \"{name}\" . }}}}"), markup).unwrap();
        }
    }
}

#[test]
fn a_file_takes_the_place_of_what_had_the_name() {
    let mut library = Library::standard();
    library.add("{{ define \"__subject\" }}{{ .Receiver }}!{{ end }}\nignored {{ 1 }}").unwrap();
    library
        .add("{{ define \"__subject\" }}  {{ end }}{{ define \"ops.text\" }}{{ template \"ops.more\" . }}{{ end }}")
        .unwrap();
    let text = |source: &str| Text::parse(source).unwrap();
    let expanded = text("{{ template \"email.default.subject\" . }}").expand(&library, &data(), Markup::Text);
    assert_eq!(expanded.unwrap(), "team a!", "what is empty takes no place");
    let calls = text("{{ if .Alerts }}{{ template \"ops.text\" . }}{{ end }}");
    assert_eq!(library.missing_for(&calls).as_deref(), Some("ops.more"));
    let error = calls.expand(&library, &data(), Markup::Text).unwrap_err();
    assert_eq!(error.to_string(), "in template \"ops.text\", line 1: template \"ops.more\" not defined");
    library.add("{{ define \"ops.more\" }}more{{ end }}").unwrap();
    assert_eq!(library.missing_for(&calls), None);
    let error = library.add("{{ define \"a\" }}\n{{ nothing }}{{ end }}").unwrap_err();
    assert_eq!(error.to_string(), "2: function \"nothing\" not defined");
}

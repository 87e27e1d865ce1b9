//! What templates ask while alerts are raised.

use super::*;

/// The annotation of the alert for one instance, whose template is given, and how the tick went.
async fn annotated(template: &str) -> (String, TickSummary) {
    let world = World::new();
    let rules = format!(
        "groups: [{{ name: g, rules: [{{ record: double, expr: load * 2 }}, {{ alert: high, expr: 'load{{instance=\"a\"}} > 5', \
         annotations: {{ text: {} }} }}] }}]",
        serde_json::to_string(template).unwrap()
    );
    let app = world.app(&rules, &FaultPlan::none());
    world.push_to("a", minute(0), 9.0).await;
    world.push_to("b", minute(0), 2.0).await;
    world.push_to("c", minute(0), 3.0).await;
    let summary = ticked(&app, minute(0)).await;
    let history = alerts::history(&app, &tenant(), TimeRange::ALL, minute(1)).await.unwrap();
    (history[0].annotations["text"].clone(), summary)
}

#[tokio::test]
async fn a_template_sees_what_is_stored_and_what_was_just_recorded() {
    let cases = [
        ("{{ query \"sum(load)\" | first | value }}", "14"),
        ("{{ with query \"load{instance='b'}\" }}{{ . | first | label \"instance\" }}{{ end }}", "b"),
        (
            "{{ range query \"load < 5\" | sortByLabel \"instance\" }}{{ .Labels.instance }}={{ .Value }} {{ end }}",
            "b=2 c=3 ",
        ),
        ("{{ query \"double{instance='b'}\" | first | value }}", "4"),
        ("{{ query \"scalar(load{instance='b'})\" | first | value }}", "2"),
        ("{{ range query \"none\" }}x{{ else }}nothing{{ end }}", "nothing"),
        // Each query is asked with what the one before it gave.
        (
            "{{ $i := query \"load == 2\" | first | label \"instance\" }}{{ $v := query (printf \"load{instance=%q} + 1\" $i) | first | value }}{{ query (printf \"vector(%v) * 2\" $v) | first | value }}",
            "6",
        ),
        (
            "{{ range query \"load < 5\" | sortByLabel \"instance\" }}{{ query (printf \"load{instance=%q} * 10\" .Labels.instance) | first | value }} {{ end }}",
            "20 30 ",
        ),
    ];
    for (template, expected) in cases {
        let (text, summary) = annotated(template).await;
        assert_eq!(text, expected, "{template}");
        assert_eq!((summary.rules_evaluated, summary.rules_failed, summary.alerts_published), (2, 0, 1), "{template}");
    }
}

#[tokio::test]
async fn a_query_that_fails_is_said_in_the_text_and_the_alert_goes_out() {
    let cases = [
        ("{{ query \"sum(\" | first | value }}", "error calling query: 1:5: parse error: unclosed left parenthesis>"),
        ("{{ query \"load[5m]\" }}", "error calling query: rule result is not a vector or scalar>"),
        ("{{ query \"none\" | first | value }}", "error calling first: first() called on vector with no elements>"),
        (
            "{{ range query \"label_replace(vector(1), 'a', 'b', '', '')\" }}{{ query \"load * on() load\" }}{{ end }}",
            "error calling query: found duplicate series for the match group",
        ),
    ];
    for (template, expected) in cases {
        let (text, summary) = annotated(template).await;
        assert!(text.starts_with("<error expanding template: error executing template __alert_high: "), "{text}");
        assert!(text.contains(expected), "{template}: {text}");
        assert_eq!((summary.rules_failed, summary.alerts_published), (0, 1), "{template}");
    }
}

#[tokio::test]
async fn templates_ask_so_many_queries_and_no_more() {
    let many = |count: usize| -> String {
        (0..count)
            .map(|index| format!("{{{{ range query \"vector({index})\" }}}}{{{{ .Value }}}},{{{{ end }}}}"))
            .collect()
    };
    let (text, _) = annotated(&many(100)).await;
    assert!(text.starts_with("0,1,2,") && text.ends_with(",99,"), "{text}");
    let (text, summary) = annotated(&many(101)).await;
    assert!(text.contains("the templates of the rule ask more than 100 queries"), "{text}");
    assert_eq!((summary.rules_failed, summary.alerts_published), (0, 1));
    let deep = |depth: usize| -> String {
        let next = "{{ $v = query (printf \"vector(%v) + 1\" $v) | first | value }}".repeat(depth);
        format!("{{{{ $v := 0.0 }}}}{next}{{{{ $v }}}}")
    };
    assert_eq!(annotated(&deep(8)).await.0, "8");
    let (text, _) = annotated(&deep(9)).await;
    assert!(text.contains("depend on each other more than 8 deep"), "{text}");
}

#[tokio::test]
async fn what_a_template_asks_and_is_too_much_costs_the_rule_nothing() {
    let world = World::new();
    let rules = "groups: [{ name: g, rules: [{ alert: high, expr: 'load{instance=\"a\"} > 5', \
                 annotations: { text: '{{ query \"sum(sum_over_time(load[1h]))\" | first | value }}' } }] }]";
    let mut app = world.app(rules, &FaultPlan::none());
    for at in 0..20 {
        world.push_to("a", minute(at), 9.0).await;
        world.push_to("b", minute(at), 9.0).await;
    }
    app.limits = Limits { query_samples_max: 20, ..Limits::default() };
    app.loader = load::Loader::new(app.ports.clone(), app.limits.clone(), 0);
    let summary = ticked(&app, minute(19)).await;
    assert_eq!((summary.rules_failed, summary.alerts_published), (0, 1), "{summary:?}");
    let history = alerts::history(&app, &tenant(), TimeRange::ALL, minute(20)).await.unwrap();
    let text = &history[0].annotations["text"];
    assert!(text.contains("error calling query: ") && text.contains("query_samples_max"), "{text}");
}

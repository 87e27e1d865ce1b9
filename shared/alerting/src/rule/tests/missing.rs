//! Missing data and recovery: what rules ask for in annotations.

use super::machine::{Machine, line};
use super::*;
use crate::rule::evidence::Verdict;

/// The newest points, oldest first: `X` breaching, `0` not, `-` missing.
fn window(points: &str) -> Window {
    points.chars().fold(Window::default(), |window, point| Window {
        held: window.held << 1 | u64::from(point == 'X'),
        known: window.known << 1 | u64::from(point != '-'),
    })
}

#[test]
fn points_that_are_missing_count_as_for_alarms_of_cloudwatch() {
    let words = |verdict| match verdict {
        Verdict::Holds => "ALARM",
        Verdict::HeldOfLate | Verdict::HoldsNot => "OK",
        Verdict::Keeps => "retain",
        Verdict::Unknown => "INSUFFICIENT",
    };
    // M out of N, points, and what follows for missing, ignore, breaching, notBreaching.
    let table = [
        ("3/3", "0-X-X", ["OK", "OK", "OK", "OK"]),
        ("3/3", "0----", ["OK", "OK", "OK", "OK"]),
        ("3/3", "-----", ["INSUFFICIENT", "retain", "ALARM", "OK"]),
        ("3/3", "0XX-X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("3/3", "--X--", ["ALARM", "retain", "ALARM", "OK"]),
        ("2/3", "0-X-X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("2/3", "00X0X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
        ("2/3", "0-X--", ["OK", "OK", "ALARM", "OK"]),
        ("2/3", "----0", ["OK", "OK", "ALARM", "OK"]),
        ("2/3", "---X-", ["ALARM", "retain", "ALARM", "OK"]),
    ];
    for (datapoints, points, expected) in table {
        let datapoints = Some(Datapoints::parse(datapoints).unwrap());
        let treatments = [Missing::Unknown, Missing::Keep, Missing::Alert, Missing::Ok];
        let found = treatments.map(|missing| words(window(points).verdict(datapoints, missing)));
        assert_eq!(found, expected, "{datapoints:?} {points}");
    }
}

/// The state of the alert after each point, minute by minute: `.` none, `p` pending, `F` firing, `?` firing and unknown.
fn course(annotations: &str, points: &str) -> String {
    let mut machine = Machine::new(&format!("alert: x, expr: e, annotations: {{ {annotations} }}"));
    let state = |(at, point): (i64, char)| {
        machine.known = Some(if point == '-' { "" } else { "a" });
        let outcome = machine.run(at, if point == 'X' { "a" } else { "" });
        match outcome.state.holding().next().map(|(_, alert)| alert.phase) {
            None => '.',
            Some(Phase::Pending) => 'p',
            Some(Phase::Firing { unknown_since: Some(_), .. }) => '?',
            Some(_) => 'F',
        }
    };
    (0..).zip(points.chars()).map(state).collect()
}

#[test]
fn an_alert_whose_data_are_missing_does_what_its_rule_says() {
    for (annotations, points, expected) in [
        ("a: b", "0X--0X0", ".F...F."),
        ("mihari/missing: ok", "0X--0X0", ".F...F."),
        ("mihari/missing: keep", "0X--0X-0", ".FFF.FF."),
        ("mihari/missing: unknown", "0X--X-0", ".F??F?."),
        ("mihari/missing: unknown", "0--X", "...F"),
        ("mihari/missing: alert", "0X--0--0", ".FFF.FF."),
        // What was never there is not missed.
        ("mihari/missing: alert", "---0-", "....F"),
        // Points that are there come before points that are made up.
        ("mihari/missing: alert, mihari/datapoints: 2/3", "000--00-00-", "..........."),
        ("mihari/missing: alert, mihari/datapoints: 2/3", "000----", "......F"),
        ("mihari/missing: keep, mihari/datapoints: 2/2", "0XX--0-0", ".pFFF..."),
        ("mihari/missing: ok, mihari/datapoints: 2/2", "0XX---0", ".pFFF.."),
        ("mihari/missing: unknown, mihari/datapoints: 3/3", "XXX-----X", "ppFFFFF??"),
    ] {
        assert_eq!(course(annotations, points), expected, "{annotations}: {points}");
    }
}

/// Each case: minute, instances with data, those whose condition holds, those that recovered, and what follows.
fn check(fields: &str, cases: &[(i64, &'static str, &str, &'static str, &str)]) {
    let mut machine = Machine::new(fields);
    for (at, known, result, recovered, expected) in cases {
        (machine.known, machine.recovered) = (Some(*known), recovered);
        assert_eq!(line(&machine.run(*at, result)), *expected, "{fields}: minute {at}");
    }
}

#[test]
fn it_fires_on_one_expression_and_resolves_on_another() {
    check(
        "alert: x, expr: e, labels: { at: '{{ $value }}' }, annotations: { mihari/recover_expr: r }",
        &[
            (
                0,
                "a",
                "a=95",
                "",
                "a firing; a since 0; send a from 0 firing until 4; a inactive>firing: condition holds",
            ),
            (1, "a", "", "", "a firing; a since 0"),
            (2, "", "", "b", "a firing; a since 0; send a from 0 firing until 6"),
            (3, "a", "", "a=60", "a firing stale; send a from 0 resolved 3; a firing>resolved: recovered"),
        ],
    );
    let mut machine = Machine::new("alert: x, expr: e, keep_firing_for: 1m, annotations: { mihari/recover_expr: r }");
    machine.run(0, "a");
    let mut is_firing = |at, recovered| {
        machine.recovered = recovered;
        machine.run(at, "").state.holding().count() == 1
    };
    assert!(is_firing(1, "a"), "kept for a minute");
    assert!(is_firing(2, ""), "recovered no longer");
    assert!(is_firing(3, "a"), "kept for a minute again");
    assert!(!is_firing(4, "a"));
}

#[test]
fn a_resolved_alert_says_why() {
    let why = |fields: &str, known: Option<&'static str>, result: &str| {
        let mut machine = Machine::new(fields);
        machine.known = Some("a");
        machine.run(0, "a");
        machine.known = known;
        let outcome = machine.run(1, result);
        let told = outcome.alerts[0].annotations.get(RESOLVED_ANNOTATION).cloned();
        assert!(outcome.alerts[0].ends_at.is_some());
        (outcome.transitions[0].reason, told)
    };
    let asks = "alert: x, expr: e, annotations: { mihari/missing: ok }";
    assert_eq!(why(asks, Some("a"), ""), (Reason::Recovered, Some("recovered".to_owned())));
    assert_eq!(why(asks, Some("b"), ""), (Reason::Vanished, Some("data vanished".to_owned())));
    assert_eq!(why(asks, Some("a"), "-"), (Reason::RuleRemoved, Some("rule removed".to_owned())));
    // Whoever does not ask gets the annotations of Prometheus; the history knows.
    let plain = "alert: x, expr: e";
    assert_eq!(why(plain, Some("a"), ""), (Reason::Recovered, None));
    assert_eq!(why(plain, Some(""), ""), (Reason::Vanished, None));
    assert_eq!(why(plain, None, ""), (Reason::Ended, None));
}

#[test]
fn an_alert_that_nobody_knows_of_says_so_and_the_history_too() {
    let mut machine = Machine::new("alert: x, expr: e, annotations: { mihari/missing: unknown, a: b }");
    machine.known = Some("a");
    machine.run(0, "a");
    machine.known = Some("");
    let outcome = machine.run(2, "");
    assert_eq!(outcome.alerts[0].annotations[STATE_ANNOTATION], "unknown");
    assert_eq!(line(&outcome), "a firing; a since 0; send a from 0 firing until 6; a firing>firing: data are missing");
    assert_eq!(machine.run(3, "").transitions, []);
    machine.known = Some("a");
    let outcome = machine.run(4, "a");
    assert_eq!(outcome.alerts[0].annotations.get(STATE_ANNOTATION), None);
    assert_eq!(outcome.transitions[0].reason, Reason::Returned);
}

#[test]
fn an_alert_of_missing_data_has_the_labels_and_the_text_of_the_rule() {
    let fields = "alert: x, expr: e, labels: { team: ops }, annotations: { mihari/missing: alert, a: '{{ $labels.instance }} {{ $value }}' }";
    let mut machine = Machine::new(fields);
    machine.known = Some("a b");
    assert!(machine.run(0, "").state.active.is_empty());
    machine.known = Some("b");
    let outcome = machine.run(1, "");
    let alert = &outcome.alerts[0];
    assert_eq!(alert.labels, labels(&[("alertname", "x"), ("instance", "a"), ("team", "ops")]));
    assert_eq!((alert.annotations["a"].as_str(), outcome.alerts.len()), ("a NaN", 1));
    assert_eq!(outcome.transitions[0].reason, Reason::Missing);
}

#[test]
fn words_and_expressions_are_checked_with_the_file() {
    let errors = |annotation: &str| {
        let yaml =
            format!("groups: [{{ name: g, rules: [{{ alert: x, expr: e, annotations: {{ {annotation} }} }}] }}]");
        let check = |text: &str| if text == "bad" { Err("1:1: no".to_owned()) } else { Ok(()) };
        parse("f", &yaml, &check).err().map(|errors| errors[0].reason.clone())
    };
    assert_eq!(errors("mihari/missing: keep, mihari/recover_expr: e < 3"), None);
    let at = "group \"g\", rule 1, \"x\": ";
    let expected = format!("{at}mihari/missing: \"gone\" is none of keep, alert, ok and unknown");
    assert_eq!(errors("mihari/missing: gone"), Some(expected));
    let expected = format!("{at}mihari/recover_expr: could not parse expression: 1:1: no");
    assert_eq!(errors("mihari/recover_expr: bad"), Some(expected));
}

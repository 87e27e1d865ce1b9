//! The state machine, sentence by sentence.

use std::sync::Arc;

use model::{Histogram, HistogramParts};

use super::*;

/// Runs one rule minute by minute and prints what each evaluation leads to.
pub(super) struct Machine {
    rule: Rule,
    state: RuleState,
    last_slot: Option<Timestamp>,
    limit: Option<usize>,
    /// The instances that there are data of; `None` where that cannot be told.
    pub(super) known: Option<&'static str>,
    /// Those for which the expression of recovery holds.
    pub(super) recovered: &'static str,
}

/// Series of `m` by their instances, such as `a=5 b`.
fn vector(names: &str) -> RuleVector {
    let series = names.split_whitespace().map(|name| {
        let (name, value) = name.split_once('=').unwrap_or((name, "1"));
        (labels(&[("__name__", "m"), ("instance", name)]), value.parse().unwrap())
    });
    series.collect()
}

impl Machine {
    pub(super) fn new(fields: &str) -> Self {
        Self {
            rule: rule(fields),
            state: RuleState::default(),
            last_slot: None,
            limit: None,
            known: None,
            recovered: "",
        }
    }

    fn moment<'a>(&self, slot: Timestamp, external_labels: &'a BTreeMap<String, String>) -> Moment<'a> {
        Moment {
            slot,
            last_slot: self.last_slot,
            query_offset: Duration::from_secs(30),
            interval: Duration::from_secs(60),
            resend_delay: Duration::from_secs(60),
            limit: self.limit,
            limit_max: 5,
            external_url: "http://m",
            external_labels,
            query: &|_| Ok(Vec::new()),
            known: &|| None,
            recovered: &|| Ok(RuleVector::default()),
        }
    }

    /// `result`: the instances for which the condition holds, `!` for a failed expression, `-` for a rule that is gone.
    pub(super) fn run(&mut self, at: i64, result: &str) -> Outcome {
        let external_labels = BTreeMap::new();
        let known = || self.known.map(|names| Ok(vector(names)));
        let recovered = || Ok(vector(self.recovered));
        let moment = Moment { known: &known, recovered: &recovered, ..self.moment(minute(at), &external_labels) };
        let outcome = match result {
            "-" => retire(self.state.clone(), &moment),
            "!" => step(&self.rule, self.state.clone(), Err("no answer".to_owned()), &moment),
            names => step(&self.rule, self.state.clone(), Ok(vector(names)), &moment),
        };
        self.state = outcome.state.clone();
        self.last_slot = Some(minute(at));
        outcome
    }
}

/// What an outcome says, in one line: samples, messages, transitions, error.
pub(super) fn line(outcome: &Outcome) -> String {
    let mut parts = Vec::new();
    for (labels, sample) in &outcome.samples {
        let instance = labels.get("instance").unwrap_or("");
        let name = match labels.get("alertstate") {
            Some(state) => format!("{instance} {state}"),
            None => format!("{instance} {}", labels.metric_name()),
        };
        let value = if is_stale(sample.value) { "stale".to_owned() } else { (sample.value / 60.0).to_string() };
        match labels.metric_name() {
            "ALERTS" if is_stale(sample.value) => parts.push(format!("{name} stale")),
            "ALERTS" => parts.push(name),
            "ALERTS_FOR_STATE" if is_stale(sample.value) => {}
            "ALERTS_FOR_STATE" => parts.push(format!("{instance} since {value}")),
            _ => parts.push(format!(
                "{labels} {}",
                if is_stale(sample.value) { "stale".to_owned() } else { sample.value.to_string() }
            )),
        }
    }
    let minutes = |time: Timestamp| time.as_millis() / 60_000;
    for alert in &outcome.alerts {
        let instance = alert.labels.get("instance").unwrap_or("");
        let end = match (alert.ends_at, alert.valid_until) {
            (Some(end), None) => format!("resolved {}", minutes(end)),
            (None, Some(end)) => format!("firing until {}", minutes(end)),
            other => format!("{other:?}"),
        };
        parts.push(format!("send {instance} from {} {end}", minutes(alert.starts_at)));
    }
    for change in &outcome.transitions {
        let instance = change.labels.get("instance").unwrap_or("");
        parts.push(format!("{instance} {}>{}: {}", change.from.as_str(), change.to.as_str(), change.reason.as_str()));
    }
    parts.extend(outcome.error.iter().map(|error| format!("error: {error}")));
    parts.join("; ")
}

/// Each case: minute, result, and what the evaluation leads to.
fn check(fields: &str, cases: &[(i64, &str, &str)]) {
    let mut machine = Machine::new(fields);
    for (at, result, expected) in cases {
        assert_eq!(line(&machine.run(*at, result)), *expected, "{fields}: minute {at}");
    }
}

#[test]
fn without_for_an_alert_fires_in_the_evaluation_that_finds_it() {
    check(
        "alert: x, expr: e",
        &[
            (0, "a", "a firing; a since 0; send a from 0 firing until 4; a inactive>firing: condition holds"),
            (1, "a", "a firing; a since 0"),
            (2, "a", "a firing; a since 0; send a from 0 firing until 6"),
            (3, "", "a firing stale; send a from 0 resolved 3; a firing>resolved: condition ended"),
            (4, "", ""),
            (5, "", "send a from 0 resolved 3"),
        ],
    );
}

#[test]
fn with_for_it_fires_once_it_held_that_long() {
    let mut cases = vec![(0, "a", "a pending; a since 0; a inactive>pending: condition holds")];
    cases.extend((1..5).map(|at| (at, "a", "a pending; a since 0")));
    cases.push((
        5,
        "a",
        "a firing; a since 0; a pending stale; send a from 5 firing until 9; a pending>firing: condition held long enough",
    ));
    check("alert: x, expr: e, for: 5m", &cases);
}

#[test]
fn a_pending_alert_that_ends_is_forgotten_and_never_sent() {
    check(
        "alert: x, expr: e, for: 5m",
        &[
            (0, "a", "a pending; a since 0; a inactive>pending: condition holds"),
            (1, "", "a pending stale; a pending>inactive: condition ended while pending"),
            (2, "a", "a pending; a since 2; a inactive>pending: condition holds"),
        ],
    );
}

#[test]
fn a_failed_expression_changes_nothing_and_sends_nothing() {
    let mut machine = Machine::new("alert: x, expr: e");
    machine.run(0, "a");
    let before = machine.state.clone();
    let outcome = machine.run(2, "!");
    assert_eq!(line(&outcome), "error: no answer");
    let last_run = Some(LastRun { at: minute(2), error: Some("no answer".to_owned()), duration_seconds: 0.0 });
    assert_eq!(outcome.state, RuleState { last_run, ..before });
    assert_eq!(line(&machine.run(3, "a")), "a firing; a since 0; send a from 0 firing until 7");
}

#[test]
fn a_resolved_alert_is_sent_again_for_a_quarter_of_an_hour_and_then_forgotten() {
    let mut machine = Machine::new("alert: x, expr: e");
    machine.run(0, "a");
    let sent: Vec<i64> = (1..30).filter(|&at| !machine.run(at, "").alerts.is_empty()).collect();
    assert_eq!(sent, [1, 3, 5, 7, 9, 11, 13, 15]);
    assert!(machine.state.is_settled());
}

#[test]
fn what_comes_back_after_it_resolved_is_a_new_alert() {
    check(
        "alert: x, expr: e, for: 1m",
        &[
            (0, "a", "a pending; a since 0; a inactive>pending: condition holds"),
            (
                1,
                "a",
                "a firing; a since 0; a pending stale; send a from 1 firing until 5; a pending>firing: condition held long enough",
            ),
            (2, "", "a firing stale; send a from 1 resolved 2; a firing>resolved: condition ended"),
            (3, "a", "a pending; a since 3; a inactive>pending: condition holds"),
            (4, "", "a pending stale; a pending>inactive: condition ended while pending"),
            (5, "", ""),
        ],
    );
}

#[test]
fn it_keeps_firing_for_as_long_as_the_rule_says() {
    check(
        "alert: x, expr: e, keep_firing_for: 2m",
        &[
            (0, "a=5", "a firing; a since 0; send a from 0 firing until 4; a inactive>firing: condition holds"),
            (1, "", "a firing; a since 0"),
            (2, "", "a firing; a since 0; send a from 0 firing until 6"),
            (3, "", "a firing stale; send a from 0 resolved 3; a firing>resolved: condition ended"),
        ],
    );
    // What is true again in between starts the wait anew.
    check(
        "alert: x, expr: e, keep_firing_for: 2m",
        &[
            (0, "a", "a firing; a since 0; send a from 0 firing until 4; a inactive>firing: condition holds"),
            (1, "", "a firing; a since 0"),
            (2, "a", "a firing; a since 0; send a from 0 firing until 6"),
            (3, "", "a firing; a since 0"),
            (4, "", "a firing; a since 0; send a from 0 firing until 8"),
            (5, "", "a firing stale; send a from 0 resolved 5; a firing>resolved: condition ended"),
        ],
    );
}

#[test]
fn value_and_annotations_stay_as_they_were_when_the_condition_ended() {
    let mut machine = Machine::new("alert: x, expr: e, keep_firing_for: 2m, annotations: { text: '{{ $value }}' }");
    let text = |outcome: &Outcome| outcome.state.active.values().next().unwrap().annotations["text"].clone();
    assert_eq!(text(&machine.run(0, "a=5")), "5");
    assert_eq!(text(&machine.run(1, "a=6")), "6");
    assert_eq!(text(&machine.run(2, "")), "6");
    assert_eq!(text(&machine.run(4, "")), "6");
}

#[test]
fn labels_come_from_the_sample_the_rule_and_its_name() {
    let mut machine = Machine::new(
        "alert: x, expr: e, labels: { instance: '', team: ops, of: '{{ $labels.__name__ }} {{ $labels.instance }}', alertname: y }",
    );
    let outcome = machine.run(0, "a");
    assert_eq!(outcome.alerts[0].labels, labels(&[("alertname", "x"), ("team", "ops"), ("of", "m a")]));
    assert_eq!(outcome.alerts[0].generator_url, "http://m/graph?g0.expr=e&g0.tab=1");
    let names: Vec<String> = outcome.samples.iter().map(|(labels, _)| labels.to_string()).collect();
    assert_eq!(
        names,
        [
            r#"ALERTS{alertname="x", alertstate="firing", of="m a", team="ops"}"#,
            r#"ALERTS_FOR_STATE{alertname="x", of="m a", team="ops"}"#
        ]
    );
    assert_eq!(outcome.samples[0].1.timestamp, minute(0) - Duration::from_secs(30));
}

#[test]
fn a_template_that_fails_never_drops_the_alert() {
    let mut machine = Machine::new("alert: x, expr: e, annotations: { text: '{{ gt $value 90 }}' }");
    let outcome = machine.run(0, "a");
    assert_eq!(
        outcome.alerts[0].annotations["text"],
        concat!(
            "<error expanding template: error executing template __alert_x: template: __alert_x:1:115: ",
            "executing \"__alert_x\" at <gt $value 90>: error calling gt: incompatible types for comparison>"
        )
    );
}

#[test]
fn two_alerts_with_the_same_labels_are_an_error_that_changes_nothing() {
    let mut machine = Machine::new("alert: x, expr: e, labels: { instance: '' }");
    machine.run(0, "a");
    let before = machine.state.clone();
    let outcome = machine.run(2, "a b");
    assert_eq!(line(&outcome), "error: vector contains metrics with the same labelset after applying alert labels");
    assert_eq!(outcome.state.active, before.active);
}

#[test]
fn over_the_limit_all_alerts_are_given_up_and_withdrawn_once_the_rule_works_again() {
    let mut machine = Machine::new("alert: x, expr: e");
    machine.limit = Some(1);
    machine.run(0, "a");
    let over = machine.run(1, "a b");
    assert_eq!(line(&over), "a firing>inactive: limit of the group exceeded; error: exceeded limit of 1 with 2 alerts");
    assert!(over.state.active.is_empty());
    assert_eq!(line(&machine.run(2, "a b")), "error: exceeded limit of 1 with 2 alerts");
    assert_eq!(
        line(&machine.run(3, "b")),
        "b firing; b since 3; a firing stale; send b from 3 firing until 7; send a from 0 resolved 1; b inactive>firing: condition holds"
    );
    let mut back = Machine::new("alert: x, expr: e");
    back.limit = Some(1);
    back.run(0, "a");
    back.run(1, "a b");
    assert_eq!(
        line(&back.run(2, "a")),
        "a firing; a since 2; send a from 2 firing until 6; a inactive>firing: condition holds"
    );
}

#[test]
fn no_rule_gives_more_alerts_than_the_deployment_allows() {
    let mut machine = Machine::new("alert: x, expr: e");
    assert_eq!(line(&machine.run(0, "a b c d e f")), "error: 6 alerts are over alerts_per_rule_max, which is 5");
    let mut machine = Machine::new("record: x, expr: e");
    assert_eq!(line(&machine.run(0, "a b c d e f")), "error: 6 series are over alerts_per_rule_max, which is 5");
}

#[test]
fn a_longer_for_sends_a_firing_alert_back_to_pending() {
    let mut machine = Machine::new("alert: x, expr: e");
    machine.run(0, "a");
    machine.rule = rule("alert: x, expr: e, for: 3m");
    assert_eq!(
        line(&machine.run(1, "a")),
        "a pending; a since 0; a firing stale; send a from 0 resolved 1; a firing>pending: rule waits longer than before"
    );
    assert_eq!(line(&machine.run(2, "a")), "a pending; a since 0");
    assert_eq!(
        line(&machine.run(3, "a")),
        "a firing; a since 0; a pending stale; send a from 3 firing until 7; a pending>firing: condition held long enough"
    );
}

#[test]
fn a_rule_that_is_gone_takes_back_all_it_said() {
    let mut machine = Machine::new("alert: x, expr: e, keep_firing_for: 10m");
    machine.run(0, "a");
    assert_eq!(line(&machine.run(1, "-")), "a firing stale; send a from 0 resolved 1; a firing>resolved: rule removed");
    assert_eq!(line(&machine.run(2, "-")), "");
    assert_eq!(line(&machine.run(3, "-")), "send a from 0 resolved 1");
    for at in 4..20 {
        machine.run(at, "-");
    }
    assert!(machine.state.is_settled());
}

#[test]
fn after_an_outage_pending_alerts_get_the_time_they_missed() {
    // For, minute of the first evaluation, last one before the outage, first one after it, and when it counts as active.
    let cases = [
        ("5m", 3, 20, 20),   // a short `for` starts anew
        ("30m", 5, 95, 95),  // so does everything after more than an hour
        ("30m", 5, 25, 20),  // 25 minutes were left: the outage is not counted
        ("30m", 25, 40, 20), // 5 minutes were left: 10 minutes of grace
        ("30m", 4, 8, 0),    // so short a gap is a missed evaluation, nothing more
    ];
    for (hold, down_at, back_at, active_at) in cases {
        let mut machine = Machine::new(&format!("alert: x, expr: e, for: {hold}"));
        for at in 0..=down_at {
            machine.run(at, "a");
        }
        let outcome = machine.run(back_at, "a");
        let alert = outcome.state.active.values().next().unwrap();
        assert_eq!((alert.phase, alert.active_at), (Phase::Pending, minute(active_at)), "{hold} {down_at} {back_at}");
    }
}

#[test]
fn after_an_outage_firing_alerts_go_on_firing() {
    check(
        "alert: x, expr: e, for: 1m",
        &[
            (0, "a", "a pending; a since 0; a inactive>pending: condition holds"),
            (
                1,
                "a",
                "a firing; a since 0; a pending stale; send a from 1 firing until 5; a pending>firing: condition held long enough",
            ),
            (50, "a", "a firing; a since 0; send a from 1 firing until 54"),
            (99, "", "a firing stale; send a from 1 resolved 99; a firing>resolved: condition ended"),
        ],
    );
}

#[test]
fn recording_rules_name_label_and_end_their_series() {
    check(
        "record: r, expr: e, labels: { team: ops }",
        &[
            (0, "a=1 b=2", r#"r{instance="a", team="ops"} 1; r{instance="b", team="ops"} 2"#),
            (1, "b=NaN", r#"r{instance="b", team="ops"} NaN; r{instance="a", team="ops"} stale"#),
            (2, "!", "error: no answer"),
            (3, "", r#"r{instance="b", team="ops"} stale"#),
            (4, "", ""),
        ],
    );
    check(
        "record: r, expr: e, labels: { instance: '' }",
        &[(0, "a b", "error: vector contains metrics with the same labelset after applying rule labels")],
    );
    let mut machine = Machine::new("record: r, expr: e");
    machine.limit = Some(1);
    assert_eq!(line(&machine.run(0, "a b")), "error: exceeded limit of 1 with 2 series");
}

#[test]
fn every_transition_is_reported_once() {
    let mut machine = Machine::new("alert: x, expr: e, for: 1m");
    let results = ["a", "a", "a", "", "", "a", "", "a", "a"];
    let changes: Vec<(TransitionState, TransitionState)> = (0..)
        .zip(results)
        .flat_map(|(at, result)| machine.run(at, result).transitions)
        .map(|change| (change.from, change.to))
        .collect();
    use TransitionState::{Firing, Inactive, Pending, Resolved};
    let expected = [
        (Inactive, Pending),
        (Pending, Firing),
        (Firing, Resolved),
        (Inactive, Pending),
        (Pending, Inactive),
        (Inactive, Pending),
        (Pending, Firing),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn states_and_reasons_have_names_of_their_own() {
    let states = ["inactive", "pending", "firing", "resolved"];
    assert!(states.iter().all(|name| TransitionState::parse(name).is_some_and(|state| state.as_str() == *name)));
    assert_eq!(Reason::parse("rule removed"), Some(Reason::RuleRemoved));
    assert_eq!(Reason::parse("condition held long enough"), Some(Reason::HeldLongEnough));
    assert_eq!(Reason::parse(""), None);
}

/// Evaluates a rule whose expression gives one native histogram, or none.
fn with_histogram(machine: &mut Machine, at: i64, count: Option<f64>) -> Outcome {
    let external_labels = BTreeMap::new();
    let parts = |count| HistogramParts { count, ..HistogramParts::default() };
    let native = |count| (labels(&[("__name__", "m"), ("instance", "a")]), Histogram::new(parts(count)).unwrap());
    let histograms = count.map(native).into_iter().map(|(labels, histogram)| (labels, Arc::new(histogram))).collect();
    let result = Ok(RuleVector { histograms, ..RuleVector::default() });
    let outcome = step(&machine.rule, machine.state.clone(), result, &machine.moment(minute(at), &external_labels));
    machine.state = outcome.state.clone();
    outcome
}

#[test]
fn histograms_are_recorded_and_their_series_end_as_others_do() {
    let mut machine = Machine::new("record: r, expr: e");
    let outcome = with_histogram(&mut machine, 1, Some(3.0));
    let [(labels, sample)] = &outcome.histograms[..] else { panic!("one histogram") };
    assert_eq!((labels.to_string().as_str(), sample.timestamp), ("r{instance=\"a\"}", Timestamp::from_secs(30)));
    assert_eq!((sample.histogram.count(), outcome.samples.len()), (3.0, 0));
    let outcome = with_histogram(&mut machine, 2, None);
    assert!(is_stale(outcome.samples[0].1.value) && outcome.histograms.is_empty(), "the series ended");
    let outcome = machine.run(3, "a");
    assert_eq!((outcome.samples.len(), outcome.histograms.len()), (1, 0), "a series may change to numbers");
}

#[test]
fn a_histogram_makes_an_alert_with_the_value_zero() {
    let mut machine = Machine::new("alert: x, expr: e, annotations: { a: '{{ $value }}' }");
    let outcome = with_histogram(&mut machine, 1, Some(3.0));
    assert_eq!(outcome.alerts[0].annotations["a"], "0");
}

#[test]
fn datapoints_count_the_newest_evaluations() {
    check(
        "alert: x, expr: e, annotations: { mihari/datapoints: 2/3 }",
        &[
            (0, "a", "a pending; a since 0; a inactive>pending: condition holds"),
            (1, "", "a pending; a since 0"),
            (
                2,
                "a",
                "a firing; a since 0; a pending stale; send a from 2 firing until 6; \
                 a pending>firing: condition held long enough",
            ),
            (3, "", "a firing stale; send a from 2 resolved 3; a firing>resolved: condition ended"),
        ],
    );
    check(
        "alert: x, expr: e, annotations: { mihari/datapoints: 2/3 }",
        &[
            (0, "a", "a pending; a since 0; a inactive>pending: condition holds"),
            (1, "", "a pending; a since 0"),
            (2, "", "a pending; a since 0"),
            (3, "", "a pending stale; a pending>inactive: condition ended while pending"),
        ],
    );
    check(
        "alert: x, expr: e, annotations: { mihari/datapoints: 1/1 }",
        &[
            (0, "a", "a firing; a since 0; send a from 0 firing until 4; a inactive>firing: condition holds"),
            (1, "", "a firing stale; send a from 0 resolved 1; a firing>resolved: condition ended"),
        ],
    );
}

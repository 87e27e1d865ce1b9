//! Rule files: what is read and what is refused, and where.

use super::*;

fn check_expr(expr: &str) -> Result<(), String> {
    if expr.contains("rate(hi)") { Err("1:6: a range is wanted".to_owned()) } else { Ok(()) }
}

fn check_refused(yaml: &str, expected: &[&str]) {
    let errors = parse("r.yml", yaml, &check_expr).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, expected, "{yaml}");
}

fn in_group(rule: &str) -> String {
    format!("groups:\n- name: g\n  rules:\n  - {rule}\n")
}

#[test]
fn reads_everything_a_file_can_say() {
    let yaml = r#"
groups:
  - name: hosts
    interval: 30s
    query_offset: 1m
    limit: 10
    labels: { team: ops, severity: info }
    rules:
      - record: cpu_usage
        expr: 1
        labels: { source: "{{ as it is }}" }
      - alert: cpu
        expr: |
          cpu_usage > 90
        for: 5m
        keep_firing_for: 1h30m
        labels:
          severity: critical
          tier: 1
        annotations:
          description: "{{ $value }}"
  - name: empty
---
groups: [{ name: other }]
"#;
    let groups = parse("r.yml", yaml, &check_expr).unwrap();
    insta::assert_debug_snapshot!(groups);
}

#[test]
fn an_empty_file_has_no_groups() {
    for yaml in ["", "groups:\n", "groups: []\n", "# nothing\n"] {
        assert_eq!(parse("r.yml", yaml, &accept), Ok(Vec::new()), "{yaml:?}");
    }
}

#[test]
fn refuses_with_file_line_column_and_reason() {
    let cases: [(String, &[&str]); 19] = [
        ("groups:\n- rules: []\n".into(), &["r.yml:2:3: Groupname must not be empty"]),
        ("groups:\n- name: a\n- name: a\n".into(), &["r.yml:3:9: groupname: \"a\" is repeated in the same file"]),
        (
            "groups:\n- name: a\n  intervall: 5m\n".into(),
            &[
                "r.yml:3:3: unknown field `intervall`, expected one of name, interval, query_offset, limit, labels, rules",
            ],
        ),
        (
            "groups:\n- name: a\n  interval: fast\n".into(),
            &["r.yml:3:13: \"fast\" is not a duration such as 30s, 5m or 1h30m"],
        ),
        ("groups:\n- name: a\n  labels: { __name__: x }\n".into(), &["r.yml:3:23: invalid label name: __name__"]),
        ("groups: {".into(), &["r.yml:1:9: expected sequence start"]),
        ("groups:\n- name: a\n  name: b\n".into(), &["r.yml:3:3: duplicate mapping key: name"]),
        (in_group("{ expr: 1 }"), &["r.yml:4:5: group \"g\", rule 1, \"\": one of 'record' or 'alert' must be set"]),
        (
            in_group("{ record: a, alert: b, expr: 1 }"),
            &["r.yml:4:5: group \"g\", rule 1, \"b\": only one of 'record' and 'alert' must be set"],
        ),
        (in_group("{ record: a }"), &["r.yml:4:5: group \"g\", rule 1, \"a\": field 'expr' must be set in rule"]),
        (
            in_group("{ record: a, expr: rate(hi) }"),
            &["r.yml:4:24: group \"g\", rule 1, \"a\": could not parse expression: 1:6: a range is wanted"],
        ),
        (
            in_group("{ record: a, expr: 1, for: 1m }"),
            &["r.yml:4:32: group \"g\", rule 1, \"a\": invalid field 'for' in recording rule"],
        ),
        (
            in_group("{ record: a, expr: 1, keep_firing_for: 1m }"),
            &["r.yml:4:44: group \"g\", rule 1, \"a\": invalid field 'keep_firing_for' in recording rule"],
        ),
        (
            in_group("{ record: a, expr: 1, annotations: { b: c } }"),
            &["r.yml:4:45: group \"g\", rule 1, \"a\": invalid field 'annotations' in recording rule"],
        ),
        (
            in_group("{ record: \"a{b='c'}\", expr: 1 }"),
            &[
                "r.yml:4:15: group \"g\", rule 1, \"a{b='c'}\": braces present in the recording rule name; should it be in expr?: a{b='c'}",
            ],
        ),
        (
            in_group("{ alert: a, expr: 1, annotation: {} }"),
            &[
                "r.yml:4:26: unknown field `annotation`, expected one of record, alert, expr, for, keep_firing_for, labels, annotations",
            ],
        ),
        (
            in_group("{ alert: a, expr: 1, labels: { b: '{{ $x }}' } }"),
            &["r.yml:4:39: group \"g\", rule 1, \"a\": label \"b\": template: __alert_a:1: undefined variable \"$x\""],
        ),
        (
            in_group("{ alert: a, expr: 1, annotations: { mihari/datapoints: 5/3 } }"),
            &[
                "r.yml:4:5: group \"g\", rule 1, \"a\": mihari/datapoints: \"5/3\" is not M/N such as 3/5, with 1 <= M <= N <= 64",
            ],
        ),
        (
            in_group("{ alert: a, for: never }\n  - { expr: 1 }"),
            &[
                "r.yml:4:5: group \"g\", rule 1, \"a\": field 'expr' must be set in rule",
                "r.yml:4:22: group \"g\", rule 1, \"a\": \"never\" is not a duration such as 30s, 5m or 1h30m",
                "r.yml:5:5: group \"g\", rule 2, \"\": one of 'record' or 'alert' must be set",
            ],
        ),
    ];
    for (yaml, expected) in cases {
        check_refused(&yaml, expected);
    }
}

#[test]
fn slots_stand_on_whole_minutes_of_the_interval() {
    let group = |interval: u64, name: &str| RuleGroup {
        file: "r.yml".into(),
        name: name.into(),
        interval: Duration::from_secs(interval),
        query_offset: None,
        limit: None,
        rules: Vec::new(),
    };
    let now = Timestamp::from_secs(1_800_000_037);
    assert_eq!(group(60, "a").slot(now), Timestamp::from_secs(1_800_000_000));
    assert_eq!(group(15, "a").slot(now), Timestamp::from_secs(1_800_000_030));
    let mut offsets = std::collections::BTreeSet::new();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let slot = group(300, name).slot(now);
        assert!(slot <= now && now.since(slot) < Duration::from_secs(300));
        assert_eq!(group(300, name).slot(slot), slot);
        assert_eq!(group(300, name).slot(slot + Duration::from_secs(300)), slot + Duration::from_secs(300));
        offsets.insert(slot.as_millis() % 300_000);
    }
    assert!(offsets.len() > 1 && offsets.iter().all(|offset| offset % 60_000 == 0), "{offsets:?}");
}

#[test]
fn rules_that_look_alike_are_told_apart() {
    let yaml = "groups:\n- name: g\n  rules:\n  - { alert: a, expr: 1 }\n  - { alert: a, expr: 2 }\n  - { alert: a, expr: 3, labels: { b: c } }\n  - { record: a, expr: 4 }\n";
    let group = parse("r.yml", yaml, &accept).unwrap().remove(0);
    assert_eq!(group.identities(), ["alert a{}", "alert a{} #2", "alert a{b=\"c\"}", "record a{}"]);
}

use super::*;

fn run(script: &str) -> Vec<Result<(), String>> {
    Script::parse(script).unwrap().cases().iter().map(Case::run).collect()
}

/// All cases of a script pass.
fn check(script: &str) {
    for (case, result) in Script::parse(script).unwrap().cases().iter().zip(run(script)) {
        assert_eq!(result, Ok(()), "line {}: {}", case.line, case.query);
    }
}

#[test]
fn a_wrong_answer_is_told() {
    let cases = [
        ("m{a=\"1\"} 2", "is 1, expected [Float(2.0)]"),
        ("m{a=\"2\"} 1", "unexpected m{a=\"1\"} 1"),
        ("m{a=\"1\"} 1\n  m{a=\"2\"} 1", "is missing"),
        ("", "unexpected m"),
        ("expect fail", "succeeds"),
        ("expect warn\n  m{a=\"1\"} 1", "no warning is Any"),
        ("5", "unexpected m"),
    ];
    for (expected, message) in cases {
        let script = format!("load 1m\n  m{{a=\"1\"}} 1\n\neval instant at 0 m\n  {expected}\n");
        let [Err(error)] = &run(&script)[..] else { panic!("{expected:?} should fail") };
        assert!(error.contains(message), "{expected:?}: {error}");
    }
    let range = "load 1m\n  m 1 2 3\n\neval range from 0 to 2m step 1m m\n  m 1 _ 3\n";
    assert!(run(range)[0].as_ref().unwrap_err().contains("expected"));
    let order = "load 1m\n  m{a=\"1\"} 1\n  m{a=\"2\"} 2\n\neval_ordered instant at 0 sort_desc(m)\n";
    assert_eq!(run(&format!("{order}  m{{a=\"2\"}} 2\n  m{{a=\"1\"}} 1\n")), [Ok(())]);
    assert!(run(&format!("{order}  m{{a=\"1\"}} 1\n  m{{a=\"2\"}} 2\n"))[0].is_err());
}

#[test]
fn a_text_that_is_no_script_is_refused_with_its_line() {
    let cases = [
        ("nonsense", 1),
        ("load x", 1),
        ("load 1m\n  m 1 2\n  m 1y", 3),
        ("\n\neval instant of 5 m", 3),
        ("eval range from 0 until 5m step 1m m", 1),
        ("eval instant at 0 m\n  expect nonsense", 1),
    ];
    for (script, line) in cases {
        assert_eq!(Script::parse(script).unwrap_err().line, line, "{script:?}");
    }
}

#[test]
fn annotations_point_at_what_they_are_about() {
    check(
        r#"
load 1m
  requests 0+1x10
  latency_bucket{le="x"} 1
  latency_bucket{le="1"} 1

eval instant at 5m sum(rate(requests[3m]))
  expect no_warn
  expect info msg: PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "requests" (1:10)
  {} 0.016666666666666666

eval instant at 1m histogram_quantile(2, latency_bucket)
  expect warn msg: PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)
  expect warn msg: PromQL warning: bucket label "le" is missing or has a malformed value of "x" for metric name "latency_bucket" (1:23)
  {} Inf
"#,
    );
}

#[test]
fn names_are_dropped_at_the_end() {
    check(
        r#"
load 1m
  a_total{x="1"} 0+60x10
  b_total{x="1"} 0+120x10
  b_total{x="2"} 0+180x10

eval instant at 5m sum by (__name__) (a_total)
  a_total 300

eval instant at 5m sum by (__name__) (rate({x="1"}[3m]))
  expect fail msg: vector cannot contain metrics with the same labelset

eval instant at 5m sum by (__name__) (rate(a_total[3m]))
  {} 1

eval instant at 5m count(sum by (__name__) (rate({x="1"}[3m])))
  {} 2

eval instant at 5m rate(a_total[3m]) * on (__name__) a_total
  {} 300

eval instant at 5m label_replace(rate({x="1"}[3m]), "name", "$1", "__name__", "(.*)_total")
  {x="1", name="a"} 1
  {x="1", name="b"} 2

eval instant at 5m rate({x="1"}[3m])
  expect fail msg: vector cannot contain metrics with the same labelset

eval instant at 5m last_over_time({x="1"}[3m])
  a_total{x="1"} 300
  b_total{x="1"} 600

eval instant at 5m a_total == bool a_total
  {x="1"} 1

eval instant at 5m a_total * on (x) group_right () b_total
  {x="1"} 180000
"#,
    );
}

#[test]
fn series_match_or_the_error_says_why_not() {
    check(
        r#"
load 1m
  many{x="1", y="1"} 1
  many{x="1", y="2"} 2
  one{x="1", z="9"} 10
  other{x="2"} 7

eval instant at 0 many * on (x) one
  expect fail msg: multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)

eval instant at 0 one * on (x) many
  expect fail msg: found duplicate series for the match group {x="1"} on the right hand-side of the operation: [{__name__="many", x="1", y="1"}, {__name__="many", x="1", y="2"}];many-to-many matching not allowed: matching labels must be unique on one side

eval instant at 0 many * on (x) group_left (z) one
  {x="1", y="1", z="9"} 10
  {x="1", y="2", z="9"} 20

eval instant at 0 one * on (x) group_right (z) many
  {x="1", y="1", z="9"} 10
  {x="1", y="2", z="9"} 20

eval instant at 0 many * on (x) group_left (y) one
  expect fail msg: multiple matches for labels: grouping labels must ensure unique matches

eval instant at 0 one + on (x) other

eval instant at 0 one + on (x) fill (0) other
  {x="1"} 10
  {x="2"} 7

eval instant at 0 one + on (x) fill_right (5) other
  {x="1"} 15

eval instant at 0 one + on (x) fill_left (5) other
  {x="2"} 12
"#,
    );
}

#[test]
fn what_changes_between_steps_is_joined_step_by_step() {
    check(
        r#"
load 1m
  up{pod="a"} 1 1 stale _ _
  up{pod="b"} _ _ 1 1 1
  limit 5 5 5 5 5

eval range from 0 to 4m step 1m up * on () limit
  {} 5 5 5 5 5

eval range from 0 to 4m step 1m limit * on () up
  {} 5 5 5 5 5

eval range from 0 to 4m step 1m up and on () limit
  up{pod="a"} 1 1 _ _ _
  up{pod="b"} _ _ 1 1 1

eval range from 0 to 4m step 1m absent(up{pod="a"})
  {pod="a"} _ _ 1 1 1

eval range from 0 to 4m step 1m scalar(up{pod="b"})
  {} NaN NaN 1 1 1
"#,
    );
}

#[test]
fn windows_without_any_step_are_empty() {
    check(
        r#"
load 10s
  m{x="1"} 0+1x10

eval instant at 30s sum_over_time((m + on () group_left () vector(1))[1s:1h])

eval instant at 30s max_over_time(quantile(scalar(m), topk(2, histogram_quantile(0.5, count_values("le", -m))))[1s:1h])

eval range from 30s to 40s step 5s avg_over_time(absent(label_replace(m, "y", "$1", "x", "(.*)"))[1s:1h])

eval instant at 30s sum_over_time(sum_over_time(m[1s:1h])[1s:1h])

eval instant at 30s absent_over_time((time() * vector(1))[1s:1h])
  {} 1
"#,
    );
}

#[test]
fn a_stock_server_drops_names_at_once() {
    let script = "load 1m\n  a 1\n  b 2\n\neval instant at 0 m\n";
    let script = Script::parse(script).unwrap();
    let query = r#"label_replace(abs({__name__=~"a|b"}), "name", "$1", "__name__", "(.*)")"#;
    let case = Case { query: query.to_owned(), ..script.cases()[0].clone() };
    let answer = |profile| case.answer(&Params { profile, ..Params::instant(Timestamp::from_secs(0)) });
    assert!(answer(crate::Profile::Extended).is_ok());
    assert_eq!(answer(crate::Profile::Prometheus).unwrap_err(), "vector cannot contain metrics with the same labelset");
}

use std::sync::Arc;

use model::MatchOp;

use super::*;
use crate::faults::{Fault, FaultPlan, Faulty};
use crate::pages::testing::{NOW, World, tenant};
use crate::ports::StateStore;

fn app(world: &World) -> App {
    world.app(&[], &FaultPlan::none())
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

/// An exemplar of an instance, so many seconds ago.
fn exemplar(instance: &str, seconds_ago: i64, value: f64, trace: &str) -> SeriesExemplar {
    SeriesExemplar {
        series: labels(&[("__name__", "took_bucket"), ("instance", instance)]),
        exemplar: Exemplar {
            labels: labels(&[("trace_id", trace)]),
            value,
            timestamp: Timestamp::from_millis(NOW.as_millis() - seconds_ago * 1000),
        },
    }
}

fn selector(instance: &str) -> Vec<Matcher> {
    vec![
        Matcher::new("__name__", MatchOp::Equal, "took_bucket").unwrap(),
        Matcher::new("instance", MatchOp::Regex, instance).unwrap(),
    ]
}

fn last(seconds: i64) -> TimeRange {
    TimeRange::new(Timestamp::from_millis(NOW.as_millis() - seconds * 1000), NOW)
}

/// Instance, and seconds ago and trace of each of its exemplars.
async fn found(app: &App, instance: &str, range: TimeRange, now: Timestamp) -> Vec<(String, Vec<(i64, String)>)> {
    let found = find(app, &tenant(), &[selector(instance)], range, now).await.unwrap();
    let of_series = |(series, exemplars): (Labels, Vec<Exemplar>)| {
        let shown = exemplars.iter().map(|one| {
            let ago = (NOW.as_millis() - one.timestamp.as_millis()) / 1000;
            (ago, one.labels.get("trace_id").unwrap().to_owned())
        });
        (series.get("instance").unwrap().to_owned(), shown.collect())
    };
    found.found.into_iter().map(of_series).collect()
}

#[tokio::test]
async fn exemplars_are_found_by_series_and_time_after_a_restart_each_once() {
    let world = World::default();
    let sent = [exemplar("b", 10, 1.0, "t1"), exemplar("a", 7200, 2.0, "t2"), exemplar("a", 5, f64::NAN, "t3")];
    assert_eq!(keep(&app(&world), &tenant(), &sent, NOW).await, 3);
    assert_eq!(keep(&app(&world), &tenant(), &sent[..1], NOW).await, 1, "a repeat is fine");
    let app = app(&world);
    let shown = |instance: &str, exemplars: &[(i64, &str)]| {
        (instance.to_owned(), exemplars.iter().map(|(ago, trace)| (*ago, (*trace).to_owned())).collect::<Vec<_>>())
    };
    let all = [shown("a", &[(7200, "t2"), (5, "t3")]), shown("b", &[(10, "t1")])];
    assert_eq!(found(&app, ".*", last(100_000), NOW).await, all);
    assert_eq!(found(&app, "a", last(60), NOW).await, [shown("a", &[(5, "t3")])]);
    assert_eq!(found(&app, "c", last(60), NOW).await, []);
    assert_eq!(find(&app, &TenantId::new("other").unwrap(), &[selector(".*")], last(60), NOW).await.unwrap().found, []);
    let tomorrow = NOW + app.limits.exemplar_retention - Duration::from_secs(60);
    assert_eq!(found(&app, ".*", last(100_000), tomorrow).await, [shown("a", &[(5, "t3")]), all[1].clone()]);
    assert_eq!(found(&app, ".*", last(100_000), tomorrow + Duration::from_secs(60)).await, []);
}

#[tokio::test]
async fn a_minute_has_a_budget_and_an_answer_a_limit() {
    let world = World::default();
    let mut app = app(&world);
    app.limits.exemplars_minute_max = 3;
    let two = [exemplar("a", 1, 1.0, "t1"), exemplar("a", 1, 2.0, "t2")];
    assert_eq!(keep(&app, &tenant(), &two, NOW).await, 2);
    assert_eq!(keep(&app, &tenant(), &[exemplar("a", 1, 3.0, "t3"), exemplar("a", 1, 4.0, "t4")], NOW).await, 1);
    assert_eq!(keep(&app, &TenantId::new("other").unwrap(), &two, NOW).await, 2);
    assert_eq!(keep(&app, &tenant(), &two, NOW + Duration::from_secs(60)).await, 2);
    app.limits.query_exemplars_max = 2;
    let error = find(&app, &tenant(), &[selector("a")], last(60), NOW).await.unwrap_err().to_string();
    assert!(error.contains("limit of 2 (query_exemplars_max)"), "{error}");
    let text = wire::exposition::encode(&app.metrics.families());
    assert!(text.contains("mihari_ingest_skipped_total{kind=\"exemplar\"} 1"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_counted_as_written() {
    let world = World::default();
    let mut app = app(&world);
    let plan = FaultPlan::script([("state put", 0, Fault::ErrorBefore(ErrorKind::Unavailable))]);
    app.ports.state = Arc::new(Faulty::new(Arc::clone(&world.state) as Arc<dyn StateStore>, plan));
    assert_eq!(keep(&app, &tenant(), &[exemplar("a", 1, 1.0, "t1")], NOW).await, 0);
    assert_eq!(keep(&app, &tenant(), &[exemplar("a", 1, 1.0, "t1")], NOW).await, 1);
}

#[tokio::test]
async fn a_damaged_row_costs_itself_alone() {
    let world = World::default();
    let app = app(&world);
    assert_eq!(keep(&app, &tenant(), &[exemplar("a", 5, 1.0, "t1")], NOW).await, 1);
    let mut damaged = encode(&[&exemplar("a", 6, 2.0, "t2")]).remove(0);
    damaged[20] ^= 1;
    let hour = hour_of(NOW);
    let rows =
        ["0", "f"].map(|sort| (RowKey::new(partition(&tenant(), hour), sort), Bytes::from(damaged.clone()), None));
    app.ports.state.put_many(rows.to_vec(), NOW).await.unwrap();
    let read = find(&app, &tenant(), &[selector("a")], last(60), NOW).await.unwrap();
    assert_eq!((read.found.len(), read.found[0].1.len()), (1, 1));
    assert_eq!(read.warnings, ["2 exemplar rows cannot be read and are left out"]);
    let text = wire::exposition::encode(&app.metrics.families());
    assert!(text.contains("mihari_rows_unreadable_total{kind=\"exemplar\"} 2"), "{text}");
}

#[test]
fn an_exemplar_takes_little_more_than_what_is_random_in_it() {
    let trace = |number: i64| format!("{:032x}", xxh3_128(&number.to_le_bytes()));
    let observed = |number: u16| (f64::from(number) * 0.37).sin().abs();
    let many: Vec<SeriesExemplar> = (0..1000_u16)
        .map(|number| exemplar(&format!("10.0.0.{}", number % 50), 0, observed(number), &trace(number.into())))
        .collect();
    let size_bytes: usize = encode(&many.iter().collect::<Vec<_>>()).iter().map(Vec::len).sum();
    // 16 bytes of the trace, 8 of the value.
    assert!(size_bytes < 40 * many.len(), "{size_bytes}");
}

#[test]
fn rows_are_cut_where_they_grow_too_large_and_damage_is_found() {
    let long = "x".repeat(1000);
    let many: Vec<SeriesExemplar> =
        (0..700_u16).map(|number| exemplar(&format!("{number}{long}"), number.into(), number.into(), "t")).collect();
    let rows = encode(&many.iter().collect::<Vec<_>>());
    assert_eq!(rows.len(), 3);
    let mut values = Vec::new();
    for row in &rows {
        read(row, |series, labels, value, time| {
            assert_eq!(
                (labels.to_string(), series.get("__name__")),
                (r#"{trace_id="t"}"#.to_owned(), Some("took_bucket"))
            );
            let seconds_ago = (NOW.as_millis() - time.as_millis()) / 1000;
            assert_eq!(value.to_string(), seconds_ago.to_string());
            values.push(seconds_ago);
        })
        .unwrap();
    }
    assert_eq!(values, (0..700).collect::<Vec<_>>());
    let mut damaged = rows[0].clone();
    damaged[20] ^= 1;
    assert_eq!(read(&damaged, |_, _, _, _| {}), Err(TsdbError::Checksum { what: WHAT }));
}

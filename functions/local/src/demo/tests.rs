use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use clap::Parser;
use model::{Batch, Labels, Limits};
use tokio::net::TcpListener;

use super::*;

/// 2026-11-25T11:00:00+09:00, a busy Wednesday morning.
const MORNING: Timestamp = Timestamp::from_secs(1_795_572_000);
const STEP: Duration = Duration::from_secs(15);

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: DemoArgs,
}

/// Value of each series, by its text.
type Values = BTreeMap<String, f64>;

fn values(batch: &Batch) -> Values {
    batch.iter().map(|series| (series.labels.to_string(), series.values[0])).collect()
}

/// What is collected at the start and after `length`.
fn from_to(start: Timestamp, length: Duration, breach: Option<Breach>) -> (Values, Values) {
    let mut system = System::new(1, start, STEP, breach);
    let first = values(&system.next_batch());
    while system.time() < start + length {
        system.next_batch();
    }
    (first, values(&system.next_batch()))
}

/// The sum of the increases of all series whose text holds all `parts`.
fn increase(between: &(Values, Values), parts: &[&str]) -> f64 {
    let matching = between.1.iter().filter(|(series, _)| parts.iter().all(|part| series.contains(part)));
    matching.map(|(series, last)| last - between.0[series]).sum()
}

/// The share of requests that took longer than 0.5 s.
fn slow_share(between: &(Values, Values)) -> f64 {
    let name = "http_request_duration_seconds_bucket";
    1.0 - increase(between, &[name, "le=\"0.5\""]) / increase(between, &[name, "le=\"+Inf\""])
}

fn error_share(between: &(Values, Values)) -> f64 {
    increase(between, &["http_requests_total", "code=\"500\""]) / increase(between, &["http_requests_total"])
}

fn idle_share(between: &(Values, Values)) -> f64 {
    increase(between, &["node_cpu_seconds_total", "mode=\"idle\""]) / increase(between, &["node_cpu_seconds_total"])
}

fn available_share(between: &(Values, Values)) -> f64 {
    let last = |name: &str| between.1.iter().find(|(series, _)| series.starts_with(name)).unwrap().1;
    last("node_memory_MemAvailable_bytes") / last("node_memory_MemTotal_bytes")
}

#[test]
fn the_same_seed_and_start_give_the_same_samples() {
    let samples = |seed: u64| {
        let mut system = System::new(seed, MORNING, STEP, None);
        (0..20).map(|_| system.next_batch()).collect::<Vec<_>>()
    };
    assert_eq!(samples(7), samples(7));
    assert_ne!(samples(7), samples(8));
}

#[test]
fn counters_only_grow_and_buckets_are_cumulative() {
    let mut system = System::new(3, MORNING, STEP, None);
    let mut before = values(&system.next_batch());
    for _ in 0..40 {
        let batch = system.next_batch();
        let now = values(&batch);
        for (series, value) in now.iter().filter(|(series, _)| !series.starts_with("node_memory")) {
            let is_counter = ["_total{", "_bucket{", "_count{", "_sum{"].iter().any(|kind| series.contains(kind));
            assert!(!is_counter || *value >= before[series], "{series}");
        }
        let mut previous: Option<(Labels, f64)> = None;
        for series in batch.iter().filter(|series| series.labels.get("le").is_some()) {
            let rest = series.labels.to_labels().without(&["le"]);
            let (last, value) = (previous.replace((rest.clone(), series.values[0])), series.values[0]);
            assert!(last.is_none_or(|(labels, count)| labels != rest || count <= value), "{}", series.labels);
        }
        before = now;
    }
}

#[test]
fn good_times_stay_below_every_limit_and_each_breach_goes_over_its_own() {
    let length = Duration::from_secs(600);
    let measure = |kind: Option<BreachKind>| {
        let breach = kind.map(|kind| Breach { kind, from: MORNING, until: MORNING + length * 2 });
        let between = from_to(MORNING, length, breach);
        (slow_share(&between), error_share(&between), 1.0 - idle_share(&between), 1.0 - available_share(&between))
    };
    let (slow, errors, cpu, memory) = measure(None);
    assert!(slow < 0.01 && errors < 0.005 && cpu < 0.6 && memory < 0.75, "{slow} {errors} {cpu} {memory}");
    assert!(measure(Some(BreachKind::ResponseTime)).0 > 0.2);
    assert!(measure(Some(BreachKind::ErrorRate)).1 > 0.1);
    assert!(measure(Some(BreachKind::Cpu)).2 > 0.93);
    assert!(measure(Some(BreachKind::Memory)).3 > 0.96);
}

#[test]
fn a_breach_ends() {
    let length = Duration::from_secs(600);
    let breach = Breach { kind: BreachKind::ErrorRate, from: MORNING - length, until: MORNING };
    assert!(error_share(&from_to(MORNING, length, Some(breach))) < 0.005);
}

#[test]
fn nights_and_weekends_are_quiet() {
    let requests = |start: Timestamp| increase(&from_to(start, STEP * 40, None), &["dataset_rows_ingested_total"]);
    let (morning, night) = (requests(MORNING), requests(MORNING - Duration::from_secs(8 * 3600)));
    let sunday = requests(MORNING - Duration::from_secs(3 * 86_400));
    assert!(night < morning / 4.0, "{night} {morning}");
    assert!((0.4..0.75).contains(&(sunday / morning)), "{sunday} {morning}");
}

/// A server that is away for the first `failures` requests, and the times of the samples it took after that.
async fn server(failures: usize, answer: StatusCode) -> (String, Arc<Mutex<Vec<Timestamp>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
    let times = Arc::new(Mutex::new(Vec::new()));
    let (taken, seen) = (times.clone(), Arc::new(AtomicUsize::new(0)));
    let router = Router::new().fallback(move |body: Bytes| {
        let (taken, seen) = (taken.clone(), seen.clone());
        async move {
            if seen.fetch_add(1, Ordering::Relaxed) < failures {
                return (answer, "not now");
            }
            let decoded = wire::remote_write::decode(&body, &Limits::default(), MORNING).unwrap();
            taken.lock().unwrap().push(decoded.batch.time_range().unwrap().start);
            (StatusCode::NO_CONTENT, "")
        }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, times)
}

fn args(url: &str) -> DemoArgs {
    Line::parse_from(["demo", "--url", url, "--backfill", "2m", "--for", "3s", "--json"]).args
}

#[tokio::test]
async fn everything_since_the_backfill_is_sent_in_order_although_the_server_is_away_at_first() {
    let (url, times) = server(1, StatusCode::SERVICE_UNAVAILABLE).await;
    run(args(&url), MORNING).await.unwrap();
    let expected: Vec<Timestamp> = (0..=8).map(|step| MORNING - STEP * (8 - step)).collect();
    assert_eq!(*times.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_refusal_ends_it() {
    let (url, _) = server(1, StatusCode::BAD_REQUEST).await;
    let error = run(args(&url), MORNING).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "sending the demo's metrics: refused (400 Bad Request): not now");
}

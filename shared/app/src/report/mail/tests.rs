use std::sync::Arc;

use jiff::civil::Date;

use super::*;
use crate::faults::{Fault, FaultPlan, Faulty};
use crate::memory::MemoryMessenger;
use crate::pages::testing::{NOW, World, tenant};
use crate::report::{daily, run_due, yesterday};

/// 2026-11-21 00:00 in Tokyo.
const DAY_START: Timestamp = Timestamp::from_secs(1_795_186_800);
const HOUR: Duration = Duration::from_secs(3600);
const MAILED: &str = "daily: {mail_to: [team@example.com, Boss <boss@example.com>], mail_language: en}";

/// A deployment with figures for the day before [`NOW`].
struct Bench {
    world: World,
    messenger: Arc<MemoryMessenger>,
}

impl Bench {
    async fn new() -> Self {
        let world = World::default();
        world.collect_all("web-1", DAY_START + HOUR * 10, DAY_START + HOUR * 12, Duration::from_secs(300)).await;
        Self { world, messenger: Arc::new(MemoryMessenger::default()) }
    }

    /// A process that has just started.
    fn app(&self, reports: &str, plan: &Arc<FaultPlan>) -> App {
        let mut app = self.world.app(&[("reports.yml", reports)], plan);
        app.ports.messenger = Arc::new(Faulty::new(Arc::clone(&self.messenger), Arc::clone(plan)));
        app.ports.state = Arc::new(Faulty::new(Arc::clone(&app.ports.state), Arc::clone(plan)));
        app
    }

    fn said(&self) -> Vec<Delivery> {
        self.messenger.drain()
    }
}

#[tokio::test]
async fn a_finished_report_is_mailed_once_however_often_the_schedule_fires() {
    let bench = Bench::new().await;
    for minutes in [0, 0, 1, 60] {
        let app = bench.app(MAILED, &FaultPlan::none());
        run_due(&app, NOW + Duration::from_secs(60 * minutes)).await.unwrap();
    }
    let [delivery] = bench.said().try_into().unwrap();
    assert_eq!(delivery.idempotency_key, "report-default-daily-2026-11-21-Asia.Tokyo-final");
    let to = vec!["team@example.com".to_owned(), "Boss <boss@example.com>".to_owned()];
    let from = "Mihari <mihari@mihari.invalid>".to_owned();
    assert_eq!(delivery.address, Address::Email { from, to, server: None });
    let Content::Email { subject, text, html, .. } = &delivery.content else { panic!("{delivery:?}") };
    assert_eq!(subject, "Daily performance report 2026-11-21 · Mihari");
    let link = text.lines().find_map(|line| line.strip_prefix("Open the report: ")).unwrap();
    assert!(html.contains(&link.replace('&', "&amp;")), "{html}");
    assert!(text.contains("Memory usage web-1: Mean 50.0%"), "{text}");
}

#[tokio::test]
async fn the_link_in_the_mail_opens_the_report() {
    let bench = Bench::new().await;
    let app = bench.app(MAILED, &FaultPlan::none());
    run_due(&app, NOW).await.unwrap();
    app.require_tokens();
    let [delivery] = bench.said().try_into().unwrap();
    let Content::Email { text, .. } = &delivery.content else { panic!("{delivery:?}") };
    let link = text.lines().find_map(|line| line.strip_prefix("Open the report: ")).unwrap();
    let path = link.strip_prefix("http://127.0.0.1:9099").unwrap();
    let request = http::Request::get(path).body(bytes::Bytes::new()).unwrap();
    let reply = crate::http::handle(&app, request, [0; 32], NOW + link::MAIL_LIFETIME).await;
    assert_eq!(reply.status(), http::StatusCode::OK, "{path}");
    assert!(String::from_utf8_lossy(reply.body()).contains("2026-11-21"));
}

#[tokio::test]
async fn nobody_is_mailed_unless_somebody_is_named() {
    let bench = Bench::new().await;
    run_due(&bench.app("", &FaultPlan::none()), NOW).await.unwrap();
    // Whoever is named later gets no reports of before.
    run_due(&bench.app(MAILED, &FaultPlan::none()), NOW + HOUR).await.unwrap();
    assert_eq!(bench.said(), []);
}

#[tokio::test]
async fn a_report_that_was_asked_for_before_its_time_is_mailed_too_and_older_ones_are_not() {
    let bench = Bench::new().await;
    let app = bench.app(MAILED, &FaultPlan::none());
    let older = Date::constant(2026, 11, 20);
    daily(&app, &tenant(), older, NOW).await.unwrap();
    daily(&app, &tenant(), "2026-11-22".parse().unwrap(), NOW).await.unwrap();
    daily(&app, &tenant(), yesterday(&app, NOW).unwrap(), NOW).await.unwrap();
    assert_eq!(bench.said(), [], "whoever asks need not be able to mail");
    run_due(&app, NOW).await.unwrap();
    let keys: Vec<String> = bench.said().into_iter().map(|delivery| delivery.idempotency_key).collect();
    assert_eq!(keys, ["report-default-daily-2026-11-21-Asia.Tokyo-final"]);
}

#[tokio::test]
async fn a_mail_that_fails_is_tried_again_under_its_key_until_it_is_given_up() {
    let bench = Bench::new().await;
    let fault = |call| ("messenger deliver", call, Fault::ErrorBefore(ErrorKind::Unavailable));
    let plan = FaultPlan::script([fault(0), fault(1)]);
    let app = bench.app(MAILED, &plan);
    for minutes in [0, 1, 4, 5, 6, 14, 15, 16] {
        run_due(&app, NOW + Duration::from_secs(60 * minutes)).await.unwrap();
    }
    assert_eq!((plan.calls("messenger deliver"), bench.said().len()), (3, 1));
    let bench = Bench::new().await;
    let plan = FaultPlan::script((0..100).map(fault));
    let app = bench.app(MAILED, &plan);
    for hours in 0..48 {
        run_due(&app, NOW + HOUR * hours).await.unwrap();
    }
    assert!((10..=26).contains(&plan.calls("messenger deliver")), "{}", plan.calls("messenger deliver"));
    let bench = Bench::new().await;
    let plan = FaultPlan::script([("messenger deliver", 0, Fault::ErrorBefore(ErrorKind::Invalid))]);
    let app = bench.app(MAILED, &plan);
    for hours in 0..3 {
        run_due(&app, NOW + HOUR * hours).await.unwrap();
    }
    assert_eq!(plan.calls("messenger deliver"), 1, "what can never succeed is not tried again");
}

/// The process dies at any one of its calls and starts again: one mail, or the same under the same key.
#[tokio::test]
async fn any_single_failure_heals() {
    for operation in ["state write", "state range", "object put", "object get", "messenger deliver"] {
        for call in 0..3 {
            for fault in [Fault::ErrorBefore(ErrorKind::Unavailable), Fault::ErrorAfter(ErrorKind::Unavailable)] {
                let bench = Bench::new().await;
                let plan = FaultPlan::script([(operation, call, fault)]);
                for minutes in [0, 6, 20] {
                    let app = bench.app(MAILED, &plan);
                    drop(run_due(&app, NOW + Duration::from_secs(60 * minutes)).await);
                }
                let mut keys: Vec<String> = bench.said().into_iter().map(|one| one.idempotency_key).collect();
                keys.dedup();
                assert_eq!(keys, ["report-default-daily-2026-11-21-Asia.Tokyo-final"], "{operation} {call} {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn two_processes_at_once_mail_once() {
    let bench = Bench::new().await;
    let apps = [0, 1, 2].map(|_| bench.app(MAILED, &FaultPlan::none()));
    for done in futures::future::join_all(apps.iter().map(|app| run_due(app, NOW))).await {
        done.unwrap();
    }
    assert_eq!(bench.said().len(), 1);
}

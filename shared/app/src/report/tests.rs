use model::ErrorKind;

use super::*;
use crate::faults::{Fault, FaultPlan};
use crate::pages::testing::{NOW, World, tenant};
use crate::ports::ObjectStore;

mod on_call;

/// 2026-11-21 00:00 in Tokyo: the day before [`NOW`].
const DAY_START: Timestamp = Timestamp::from_secs(1_795_186_800);
const HOUR: Duration = Duration::from_secs(3600);

fn yesterday_is() -> Date {
    Date::constant(2026, 11, 21)
}

/// A world with two hours of a machine's figures on the day before, and one hour on the day before that.
async fn world() -> World {
    let world = World::default();
    world.collect_all("web-1", DAY_START + HOUR * 10, DAY_START + HOUR * 12, Duration::from_secs(60)).await;
    world.collect_all("web-1", DAY_START - HOUR * 14, DAY_START - HOUR * 13, Duration::from_secs(60)).await;
    world
}

async fn json(app: &App, id: &str) -> serde_json::Value {
    let bytes = get(app, &tenant(), id, Format::Json).await.unwrap().unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

async fn keys(world: &World) -> Vec<String> {
    let page = world.objects.list("reports/", None).await.unwrap();
    page.entries.into_iter().map(|entry| entry.key).collect()
}

#[tokio::test]
async fn a_day_that_is_over_has_one_report_however_often_it_is_asked_for() {
    let world = world().await;
    let app = world.app(&[], &FaultPlan::none());
    let first = daily(&app, &tenant(), yesterday_is(), NOW).await.unwrap();
    let bytes = get(&app, &tenant(), &first.id, Format::Json).await.unwrap();
    world.collect("late", DAY_START + HOUR * 20).await;
    let second = daily(&app, &tenant(), yesterday_is(), NOW + HOUR).await.unwrap();
    assert_eq!((first.id.as_str(), &second.id), ("2026-11-21/Asia.Tokyo/final", &first.id));
    assert_eq!(get(&app, &tenant(), &first.id, Format::Json).await.unwrap(), bytes);
    let folder = "reports/tenant=default/daily/2026-11-21/Asia.Tokyo/final/report";
    assert_eq!(keys(&world).await, [".en.html", ".ja.html", ".json"].map(|form| format!("{folder}{form}")));
}

#[tokio::test]
async fn the_figures_are_those_of_the_day() {
    let world = world().await;
    let app = world.app(&[], &FaultPlan::none());
    let entry = daily(&app, &tenant(), yesterday_is(), NOW).await.unwrap();
    let report = json(&app, &entry.id).await;
    assert_eq!((report["date"].as_str(), report["is_final"].as_bool()), (Some("2026-11-21"), Some(true)));
    let panel = |key: &str| report["resources"].as_array().unwrap().iter().find(|panel| panel["key"] == key).cloned();
    let cpu = panel("cpu").expect("the machine told its CPU time");
    let mean = cpu["series"][0]["stats"]["mean"].as_f64().unwrap();
    assert!((mean - 25.0).abs() < 0.1, "{mean}");
    let memory = panel("memory").expect("the machine told its memory");
    assert_eq!(memory["series"][0]["stats"]["max"].as_f64(), Some(50.0));
    assert_eq!(memory["series"][0]["mean_day_before"].as_f64(), Some(50.0));
    assert_eq!(memory["series"][0]["over_warning_seconds"].as_u64(), Some(0));
    let points = memory["series"][0]["points"].as_array().unwrap();
    let times: Vec<i64> = points.iter().map(|point| point[0].as_i64().unwrap()).collect();
    assert_eq!(times.first(), Some(&(DAY_START + HOUR * 10).as_millis()));
    let before = memory["series"][0]["points_day_before"][0][0].as_i64();
    assert_eq!(before, Some((DAY_START + HOUR * 10).as_millis()), "moved by a day, to lie below the day's own");
    assert!(panel("swap").is_none(), "what was not measured is not in the report");
    assert_eq!(report["alerts"]["fired"].as_u64(), Some(0));
}

#[tokio::test]
async fn before_the_day_is_over_each_report_stands_beside_the_others() {
    let world = world().await;
    let app = world.app(&[], &FaultPlan::none());
    let noon = DAY_START + HOUR * 12;
    let tenant = tenant();
    let first = daily(&app, &tenant, yesterday_is(), noon).await.unwrap();
    let second = daily(&app, &tenant, yesterday_is(), noon + HOUR).await.unwrap();
    let last = daily(&app, &tenant, yesterday_is(), NOW).await.unwrap();
    assert_eq!(first.id, "2026-11-21/Asia.Tokyo/at-20261121T0300Z");
    let listed: Vec<(String, bool)> =
        list(&app, &tenant).await.unwrap().into_iter().map(|entry| (entry.id, entry.is_final)).collect();
    assert_eq!(listed, [(last.id, true), (second.id, false), (first.id.clone(), false)]);
    assert_eq!(json(&app, &first.id).await["is_final"], false);
    let error = daily(&app, &tenant, Date::constant(2026, 11, 23), NOW).await.unwrap_err();
    assert_eq!(error.to_string(), "day 2026-11-23 has not begun in Asia/Tokyo");
}

#[tokio::test]
async fn a_run_that_failed_half_way_is_made_whole_by_the_next() {
    let world = world().await;
    for fault in [Fault::ErrorBefore(ErrorKind::Unavailable), Fault::ErrorAfter(ErrorKind::Unavailable), Fault::Retried]
    {
        for call in 0..3 {
            let world = World { wal: world.wal.clone(), state: world.state.clone(), ..World::default() };
            let app = world.app(&[], &FaultPlan::script([("object put", call, fault)]));
            let first = daily(&app, &tenant(), yesterday_is(), NOW).await;
            assert_eq!(first.is_ok(), fault == Fault::Retried, "{fault:?} at call {call}");
            let entry = daily(&app, &tenant(), yesterday_is(), NOW + HOUR).await.unwrap();
            assert_eq!(keys(&world).await.len(), 3, "{fault:?} at call {call}");
            for language in [Language::Japanese, Language::English] {
                let page = get(&app, &tenant(), &entry.id, Format::Html(language)).await.unwrap().unwrap();
                let made_at = json(&app, &entry.id).await["made_at_ms"].as_i64().unwrap();
                let zone = Zone::named("Asia/Tokyo").unwrap();
                let shown = zone.date_time(Timestamp::from_millis(made_at));
                assert!(std::str::from_utf8(&page).unwrap().contains(&shown), "the page tells what the JSON tells");
            }
        }
    }
}

#[tokio::test]
async fn the_schedule_writes_each_day_once() {
    let world = world().await;
    let app = world.app(&[], &FaultPlan::none());
    let ids = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    let due_at = DAY_START + HOUR * 24 + Duration::from_secs(15 * 60);
    assert_eq!(ids(run_due(&app, due_at).await.unwrap()), ["2026-11-21/Asia.Tokyo/final"]);
    assert_eq!(ids(run_due(&app, due_at + Duration::from_secs(60)).await.unwrap()), [""; 0]);
    let restarted = world.app(&[], &FaultPlan::none());
    assert_eq!(ids(run_due(&restarted, due_at + HOUR).await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn a_day_without_samples_is_passed_over_once_and_for_all() {
    let world = World::default();
    let plan = FaultPlan::none();
    let app = world.app(&[], &plan);
    assert_eq!(run_due(&app, NOW).await.unwrap(), []);
    assert_eq!(list(&app, &tenant()).await.unwrap(), []);
    let puts = plan.calls("object put");
    assert_eq!(run_due(&app, NOW + HOUR).await.unwrap(), []);
    assert_eq!(plan.calls("object put"), puts, "the day is done with");
}

#[tokio::test]
async fn a_schedule_that_is_off_writes_nothing() {
    let world = world().await;
    let app = world.app(&[("reports.yml", "daily: {enabled: false}")], &FaultPlan::none());
    assert_eq!(run_due(&app, NOW).await.unwrap(), []);
    assert_eq!(keys(&world).await, [""; 0]);
}

#[tokio::test]
async fn days_are_counted_in_the_zone_of_the_configuration() {
    let world = world().await;
    let app = world.app(&[("reports.yml", "time_zone: America/New_York")], &FaultPlan::none());
    // In New York it is still the evening of the 21st.
    assert_eq!(yesterday(&app, NOW).unwrap(), Date::constant(2026, 11, 20));
    let entry = daily(&app, &tenant(), Date::constant(2026, 11, 20), NOW).await.unwrap();
    assert_eq!(entry.id, "2026-11-20/America.New_York/final");
}

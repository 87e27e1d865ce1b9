use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Aggregate, Limits, Matcher, Series, TimeRange};
use promql::{Selection, Source as _};

use super::*;
use crate::access::{Access, SessionKey};
use crate::config::Config;
use crate::faults::{Fault, FaultPlan, FaultRates, Faulty};
use crate::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use crate::ports::{StateStore, Wal};
use crate::{Ports, Settings, Stopwatch};

/// 2026-11-22 00:00 UTC.
const START: Timestamp = Timestamp::from_secs(1_795_305_600);
const MINUTE: Duration = Duration::from_secs(60);
const CPU: &str = "- { namespace: AWS/EC2, metrics: [CPUUtilization], delay: 5m }\n";

/// A deployment and the CloudWatch it reads.
struct World {
    wal: Arc<MemoryWal>,
    state: Arc<MemoryStateStore>,
    plan: Arc<FaultPlan>,
    cloudwatch: MemoryCloudWatch,
    app: App,
}

impl World {
    fn new(entries: &str, plan: Arc<FaultPlan>) -> Self {
        Self::with_yaml(&format!("namespaces:\n{entries}"), plan)
    }

    fn with_yaml(yaml: &str, plan: Arc<FaultPlan>) -> Self {
        let (wal, state) = (Arc::new(MemoryWal::default()), Arc::new(MemoryStateStore::default()));
        let ports = Ports {
            wal: Arc::new(Faulty::new(Arc::clone(&wal) as Arc<dyn Wal>, Arc::clone(&plan))),
            objects: Arc::new(MemoryObjectStore::default()),
            state: Arc::new(Faulty::new(Arc::clone(&state) as Arc<dyn StateStore>, Arc::clone(&plan))),
            topic: Arc::new(MemoryTopic::default()),
            messenger: Arc::new(MemoryMessenger::default()),
        };
        let config = Config::parse(&[("cloudwatch.yml", yaml)]).unwrap();
        let session = (Access::Open, SessionKey::new([7; 32]));
        let app = App::new(ports, Settings::default(), Limits::default(), Stopwatch::stopped(), config, session);
        Self { wal, state, plan, cloudwatch: MemoryCloudWatch::new("home-region-1", Some("123456789012")), app }
    }

    /// Runs at so many minutes after the start.
    async fn run(&self, minute: u32) -> Result<Collected, AppError> {
        self.cloudwatch.set_now(at(minute));
        run(&self.app, &self.cloudwatch, at(minute)).await
    }

    /// All samples of CloudWatch that a query finds at so many minutes after the start.
    async fn stored(&self, minute: u32) -> Vec<Series> {
        let matchers = vec![Matcher::equal("job", "cloudwatch"), Matcher::equal("region", "home-region-1")];
        let range = TimeRange::new(at(minute) - self.app.limits.raw_retention, at(minute));
        let (window, step) = (MINUTE, MINUTE);
        let selection = Selection { matchers, range, aggregate: Aggregate::Last, window, step, newest_only: false };
        let tenant = TenantId::default_tenant();
        let loaded = self.app.loader.load(&tenant, std::slice::from_ref(&selection), at(minute)).await.unwrap();
        let mut series = loaded.series(0).unwrap();
        series.retain(|series| series.labels.metric_name().starts_with("aws_"));
        series
    }

    /// The samples of one instance: minutes after the start, and values.
    async fn samples(&self, instance: &str, minute: u32) -> Vec<(i64, f64)> {
        let stored = self.stored(minute).await;
        let found = stored.iter().filter(|series| series.labels.get("dimension_InstanceId") == Some(instance));
        found
            .flat_map(Series::samples)
            .map(|sample| (sample.timestamp.minute() - START.minute(), sample.value))
            .collect()
    }

    /// A value at the middle of a minute that can be seen two minutes later.
    fn observe(&self, instance: &str, minute: u32, value: f64) {
        self.observe_late(instance, minute, value, minute + 2);
    }

    fn observe_late(&self, instance: &str, minute: u32, value: f64, seen_from: u32) {
        self.cloudwatch.observe(&metric(instance), at(minute) + MINUTE / 2, value, at(seen_from));
    }

    fn questions(&self) -> usize {
        self.cloudwatch.asked().iter().map(|asked| asked.questions).sum()
    }
}

fn at(minute: u32) -> Timestamp {
    START + minute * MINUTE
}

fn metric(instance: &str) -> Metric {
    let dimensions = vec![("InstanceId".to_owned(), instance.to_owned())];
    Metric { namespace: "AWS/EC2".to_owned(), name: "CPUUtilization".to_owned(), dimensions, account: None }
}

#[tokio::test]
async fn nothing_is_read_and_nothing_costs_until_something_is_configured() {
    let world = World::with_yaml("namespaces: []", FaultPlan::none());
    assert_eq!(world.run(10).await.unwrap(), Collected::default());
    assert_eq!((world.plan.calls("state get"), world.cloudwatch.billed()), (0, 0));
}

#[test]
fn a_host_without_cloudwatch_says_what_it_does_not_read() {
    let text = |yaml: &str| not_read_here(&CloudWatchConfig::parse("cloudwatch.yml", yaml).unwrap());
    assert_eq!(text("namespaces: []"), None);
    let entries = "- { namespace: CWAgent }\n- { namespace: AWS/EC2 }\n- { namespace: CWAgent, every: 1h }\n";
    let told = text(&format!("namespaces:\n{entries}")).unwrap();
    assert!(told.starts_with("cloudwatch.yml asks for AWS/EC2, CWAgent; only the function collect on AWS"), "{told}");
}

#[tokio::test]
async fn complete_periods_become_samples_at_their_end() {
    let entry = "- { namespace: AWS/EC2, metrics: [CPUUtilization], statistics: [Average, Maximum], delay: 5m }\n";
    let world = World::new(entry, FaultPlan::none());
    for minute in 0..20 {
        world.observe("i-1", minute, f64::from(minute));
    }
    let collected = world.run(20).await.unwrap();
    // Two series of three periods, and three that the flow says of itself.
    assert_eq!(collected, Collected { units: 1, questions: 2, pages: 1, samples: 2 * 3 + 3, failed: 0 });
    let texts: Vec<String> = world
        .stored(20)
        .await
        .iter()
        .map(|series| {
            let samples: Vec<String> = series
                .samples()
                .map(|sample| format!("{}@{}", sample.value, sample.timestamp.since(START).as_secs() / 60))
                .collect();
            format!("{} {}", series.labels, samples.join(" "))
        })
        .collect();
    let labels =
        "account_id=\"123456789012\", dimension_InstanceId=\"i-1\", job=\"cloudwatch\", region=\"home-region-1\"";
    assert_eq!(
        texts,
        [
            format!("aws_ec2_cpuutilization_average{{{labels}}} 2@5 7@10 12@15"),
            format!("aws_ec2_cpuutilization_maximum{{{labels}}} 4@5 9@10 14@15"),
        ]
    );
}

#[tokio::test]
async fn a_minute_without_work_costs_one_read_and_a_second_trigger_asks_nothing() {
    let world = World::new(CPU, FaultPlan::none());
    world.observe("i-1", 1, 1.0);
    for (minute, questions) in [(20, 1), (20, 1), (21, 1), (24, 1), (25, 2), (25, 2), (30, 3)] {
        let (reads, writes) = (world.plan.calls("state get"), world.plan.calls("state write"));
        world.run(minute).await.unwrap();
        if world.questions() == questions && questions == 1 && minute > 20 {
            assert_eq!((world.plan.calls("state get"), world.plan.calls("state write")), (reads + 1, writes));
        }
        assert_eq!(world.questions(), questions, "minute {minute}");
    }
}

#[tokio::test]
async fn two_runs_at_once_ask_once() {
    let world = World::new(CPU, FaultPlan::none());
    world.observe("i-1", 1, 1.0);
    world.cloudwatch.set_now(at(20));
    let (app, cloudwatch) = (&world.app, &world.cloudwatch);
    let (one, two) = futures::join!(run(app, cloudwatch, at(20)), run(app, cloudwatch, at(20)));
    let units = [one.unwrap().units, two.unwrap().units];
    assert_eq!((units.iter().sum::<usize>(), world.questions()), (1, 1));
}

#[tokio::test]
async fn what_comes_late_or_changes_is_taken_and_what_stays_is_not_written_again() {
    let world = World::new(CPU, FaultPlan::none());
    world.observe("i-1", 2, 10.0);
    world.observe("i-1", 12, 30.0);
    // Seen after its period was read: one in a period that was empty, one that changes a value.
    world.observe_late("i-1", 7, 20.0, 22);
    world.observe_late("i-1", 13, 50.0, 22);
    assert_eq!(world.run(20).await.unwrap().samples, 2 + 3);
    assert_eq!(world.samples("i-1", 20).await, [(5, 10.0), (15, 30.0)]);
    assert_eq!(world.run(25).await.unwrap().samples, 2 + 3);
    assert_eq!(world.samples("i-1", 25).await, [(5, 10.0), (10, 20.0), (15, 40.0)]);
    assert_eq!(world.run(30).await.unwrap().samples, 3);
}

#[tokio::test]
async fn an_outage_is_made_up_for_page_by_page() {
    let world = World::new("- { namespace: AWS/EC2, period: 1m, delay: 2m }\n", FaultPlan::none());
    // 500 questions fill a page with 201 periods.
    let instances: Vec<String> = (0..500).map(|number| format!("i-{number:03}")).collect();
    for minute in 0..720 {
        world.observe("i-000", minute, f64::from(minute));
    }
    for instance in &instances[1..] {
        world.observe(instance, 1, 1.0);
    }
    world.run(20).await.unwrap();
    let mut minute = 720;
    while world.run(minute).await.unwrap().questions > 0 && minute < 730 {
        minute += 1;
    }
    assert_eq!(minute, 724, "four pages and what became due meanwhile");
    let samples = world.samples("i-000", minute).await;
    assert_eq!(samples.len(), 717, "{samples:?}");
    assert_eq!((samples[0], samples[716]), ((4, 3.0), (720, 719.0)));
    let lengths = world.cloudwatch.asked();
    assert!(lengths.iter().all(|asked| asked.until.since(asked.from) <= 201 * MINUTE), "{lengths:?}");
}

#[tokio::test]
async fn an_outage_of_weeks_is_made_up_for_as_far_as_samples_may_be_old() {
    let world = World::new(CPU, FaultPlan::none());
    world.observe("i-1", 1, 1.0);
    world.run(20).await.unwrap();
    let days = 30 * 24 * 60;
    world.observe("i-1", days - 6 * 24 * 60, 6.0);
    world.run(days).await.unwrap();
    let oldest = world.cloudwatch.asked()[1].from;
    assert!(at(days).since(oldest) <= world.app.limits.sample_age_max);
    assert_eq!(world.samples("i-1", days).await.len(), 1);
}

#[tokio::test]
async fn what_is_complete_only_when_it_is_too_old_is_not_asked_about() {
    let mut world = World::new("- { namespace: AWS/EC2, delay: 3h }\n", FaultPlan::none());
    world.app.limits.sample_age_max = 60 * MINUTE;
    world.observe("i-1", 1, 1.0);
    for minute in [200, 300, 301] {
        assert_eq!(world.run(minute).await.unwrap().questions, 0);
    }
}

#[tokio::test]
async fn answers_come_in_pages() {
    let world = World::new(CPU, FaultPlan::none());
    world.cloudwatch.set_page_items_max(2);
    for minute in 0..15 {
        for instance in ["i-1", "i-2", "i-3"] {
            world.observe(instance, minute, 1.0);
        }
    }
    let collected = world.run(20).await.unwrap();
    // Nine points in five pages, each counted as if it were billed.
    assert_eq!((collected.pages, collected.samples, collected.questions), (2, 9 + 3, 15));
}

#[tokio::test]
async fn a_throttled_call_is_made_again_without_those_that_were_answered() {
    let world = World::new("- { namespace: AWS/EC2, delay: 5m }\n", FaultPlan::none());
    for number in 0..600 {
        world.observe(&format!("i-{number:03}"), 12, 1.0);
    }
    // Two pages of the listing, then two calls at once.
    world.cloudwatch.fail(3, ErrorKind::Throttled);
    assert_eq!(world.run(20).await.unwrap().failed, 1);
    assert_eq!(world.stored(20).await.len(), 500);
    assert_eq!(world.run(20).await.unwrap(), Collected::default(), "it waits a minute");
    let collected = world.run(21).await.unwrap();
    assert_eq!((collected.questions, collected.pages), (100, 0));
    assert_eq!(world.stored(21).await.len(), 600);
    assert_eq!(world.run(22).await.unwrap(), Collected::default());
}

#[tokio::test]
async fn one_unit_that_fails_does_not_keep_the_others() {
    let entries = "- { namespace: AWS/EC2, delay: 5m }\n- { namespace: AWS/EC2, delay: 5m, statistics: [Sum] }\n";
    let world = World::new(entries, FaultPlan::none());
    world.observe("i-1", 12, 1.0);
    world.cloudwatch.fail(0, ErrorKind::Invalid);
    assert_eq!(world.run(20).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(world.stored(20).await.len(), 1);
    world.run(21).await.unwrap();
    assert_eq!(world.stored(21).await.len(), 2);
}

#[tokio::test]
async fn units_that_there_was_no_time_for_are_the_first_of_the_next_run() {
    let entries = "- { namespace: AWS/EC2, delay: 5m }\n- { namespace: AWS/EC2, delay: 5m, statistics: [Sum] }\n";
    let mut world = World::new(entries, FaultPlan::none());
    let clock = std::sync::atomic::AtomicU64::new(0);
    world.app.stopwatch = Stopwatch::new(move || Duration::from_secs(clock.fetch_add(31, Ordering::Relaxed)));
    world.observe("i-1", 12, 1.0);
    let units = async |minute| (world.run(minute).await.unwrap().units, world.stored(minute).await.len());
    assert_eq!([units(20).await, units(21).await, units(22).await], [(1, 1), (1, 2), (0, 2)]);
    let (board, _) = read_board(&world.app, at(22)).await.unwrap();
    assert_eq!(board.asked, world.cloudwatch.billed(), "what was not asked is not counted");
}

#[tokio::test]
async fn failures_that_pass_are_counted_and_told_when_they_last() {
    let world = World::new(CPU, FaultPlan::none());
    world.observe("i-1", 12, 1.0);
    (0..10).for_each(|call| world.cloudwatch.fail(call, ErrorKind::Unavailable));
    let mut told = Vec::new();
    for minute in 20..60 {
        match world.run(minute).await {
            Ok(collected) if collected.failed == 0 => {}
            outcome => told.push((minute, outcome.is_err())),
        }
    }
    assert_eq!(told, [(20, false), (21, false), (23, false), (27, true), (35, true), (51, true)]);
}

#[tokio::test]
async fn a_question_that_cloudwatch_fails_on_is_asked_again_with_the_others() {
    let world = World::new("- { namespace: AWS/EC2, delay: 5m }\n", FaultPlan::none());
    let other = Metric { name: "NetworkIn".to_owned(), ..metric("i-1") };
    for minute in 0..200 {
        world.observe("i-1", minute, 1.0);
        world.cloudwatch.observe(&other, at(minute), 2.0, at(minute + 2));
    }
    let lengths = async |minute| {
        world.run(minute).await.unwrap();
        world.stored(minute).await.iter().map(Series::len).collect::<Vec<_>>()
    };
    assert_eq!(lengths(20).await, [3, 3]);
    world.cloudwatch.set_broken(&["NetworkIn"]);
    assert_eq!(lengths(25).await, [4, 3]);
    assert_eq!(lengths(45).await, [8, 3]);
    world.cloudwatch.set_broken(&[]);
    assert_eq!(lengths(50).await, [9, 9]);
}

#[tokio::test]
async fn metrics_are_listed_again_and_known_ones_survive_a_failure_to_list() {
    let world = World::new(CPU, FaultPlan::none());
    world.observe("i-1", 1, 1.0);
    world.run(20).await.unwrap();
    for minute in 30..60 {
        world.observe("i-2", minute, 2.0);
    }
    world.run(45).await.unwrap();
    assert_eq!(world.cloudwatch.asked().last().unwrap().questions, 1);
    world.cloudwatch.fail(3, ErrorKind::Throttled);
    assert_eq!(world.run(50).await.unwrap().questions, 1, "the listing failed");
    let collected = world.run(55).await.unwrap();
    assert_eq!((collected.questions, collected.pages), (2, 1));
    assert_eq!(world.samples("i-2", 55).await, [(35, 2.0), (40, 2.0), (45, 2.0), (50, 2.0)]);
}

#[tokio::test]
async fn too_many_metrics_leave_the_known_ones() {
    let mut world = World::new(CPU, FaultPlan::none());
    world.app.limits.cloudwatch_questions_max = 2;
    world.observe("i-5", 1, 1.0);
    world.run(20).await.unwrap();
    for instance in ["i-1", "i-2", "i-3"] {
        world.observe(instance, 30, 1.0);
    }
    assert_eq!(world.run(50).await.unwrap().questions, 2);
    world.observe("i-5", 52, 5.0);
    world.run(60).await.unwrap();
    assert_eq!(world.samples("i-5", 60).await, [(5, 1.0), (55, 5.0)]);
}

#[tokio::test]
async fn the_budget_is_never_exceeded() {
    // 0.02 cents are 20 questions.
    let world = World::with_yaml(&format!("max_dollars_per_month: 0.0002\nnamespaces:\n{CPU}"), FaultPlan::none());
    for number in 0..6 {
        world.observe(&format!("i-{number}"), 1, 1.0);
    }
    for minute in (10..7 * 24 * 60).step_by(5) {
        world.run(minute).await.unwrap();
    }
    let billed = world.cloudwatch.billed();
    assert!((14..=20).contains(&billed), "{billed}: {:?}", world.cloudwatch.asked());
    // The tenth day after the start is in December.
    world.run(10 * 24 * 60).await.unwrap();
    assert!(world.cloudwatch.billed() > billed);
}

#[tokio::test]
async fn more_metrics_than_the_budget_has_questions_are_not_asked_about() {
    let world = World::with_yaml(&format!("max_dollars_per_month: 0.00005\nnamespaces:\n{CPU}"), FaultPlan::none());
    for number in 0..6 {
        world.observe(&format!("i-{number}"), 1, 1.0);
    }
    for minute in 10..100 {
        world.run(minute).await.unwrap();
    }
    assert_eq!((world.questions(), world.cloudwatch.billed()), (0, 1));
}

#[tokio::test]
async fn what_cannot_be_read_of_a_unit_is_given_up_and_of_the_board_is_told() {
    let world = World::new(CPU, FaultPlan::none());
    world.observe("i-1", 12, 1.0);
    world.run(20).await.unwrap();
    let state = world.state.as_ref();
    let rows = crate::ports::range_all(state, crate::ports::RowRange::all(PARTITION), at(20)).await.unwrap();
    assert_eq!(rows.len(), 2);
    let unit = rows.iter().find(|row| row.key.sort.starts_with("unit#home-region-1#AWS/EC2#")).unwrap();
    state.write(vec![RowWrite::put(unit.key.clone(), Expect::Any, vec![9])], at(20)).await.unwrap();
    assert_eq!(world.run(25).await.unwrap().questions, 1);
    assert_eq!(world.samples("i-1", 25).await, [(15, 1.0)]);
    state.write(vec![RowWrite::put(board_key(), Expect::Any, vec![9])], at(25)).await.unwrap();
    let error = world.run(30).await.unwrap_err();
    assert_eq!(error.to_string(), "stored data cannot be read: CloudWatch board: unknown format version 9");
}

#[tokio::test]
async fn samples_that_are_not_durable_are_asked_for_again() {
    let unavailable = Fault::ErrorBefore(ErrorKind::Unavailable);
    let world = World::new(CPU, FaultPlan::script([("wal append", 0, unavailable)]));
    world.observe("i-1", 12, 1.0);
    assert_eq!(world.run(20).await.unwrap().failed, 1);
    assert_eq!(world.wal.read(Default::default(), 0..at(100).minute()).await.unwrap().entries.len(), 0);
    world.run(21).await.unwrap();
    assert_eq!(world.samples("i-1", 21).await, [(15, 1.0)]);
}

/// A day of minutes in which everything fails at times: in the end every sample is there, at its last value, and not
/// much more was paid than on a day when all is well.
#[tokio::test]
async fn a_day_of_faults_loses_nothing() {
    let sums = "- { namespace: AWS/EC2, statistics: [Sum], delay: 5m }\n";
    for seed in 0..8 {
        let world = World::new(sums, FaultPlan::seeded(seed, FaultRates::each(20)));
        let mut expected = BTreeMap::new();
        for minute in 0..1400_u32 {
            let value = f64::from(minute % 97);
            world.observe_late("i-1", minute, value, minute + 1 + (minute * 7 + 3) % 9);
            *expected.entry(i64::from(minute / 5 * 5 + 5)).or_insert(0.0) += value;
        }
        for call in (seed..2000).step_by(13) {
            world.cloudwatch.fail(call, if call % 2 == 0 { ErrorKind::Throttled } else { ErrorKind::Unavailable });
        }
        let mut failed = 0;
        for minute in 20..1440 {
            failed += world.run(minute).await.map_or(1, |collected| collected.failed);
        }
        assert!(failed > 30, "only {failed} runs failed");
        world.plan.stop();
        for minute in 1440..1520 {
            world.run(minute).await.unwrap_or_default();
        }
        let found = world.samples("i-1", 1520).await;
        assert_eq!(found, Vec::from_iter(expected), "seed {seed}");
        let (billed, ideal) = (world.cloudwatch.billed(), 1500 / 5 + 1500 / 30);
        assert!(billed < ideal * 3 / 2, "seed {seed}: {billed} of {ideal}");
    }
}

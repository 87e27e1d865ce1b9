use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alerting::rule::{Transition, TransitionState};
use model::{Batch, Labels, Limits, Sample, TenantId, TimeRange, Timestamp, is_stale};
use promql::{Params, Source};

use super::*;
use crate::access::{Access, SessionKey};
use crate::alerts;
use crate::config::Config;
use crate::faults::{Fault, FaultPlan, Faulty};
use crate::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use crate::notify::AlertMessage;
use crate::ports::{StateStore, Wal};
use crate::settings::Settings;
use crate::{Ports, Stopwatch};

mod backlog;
mod failures;
mod generator;
mod missing;
mod queries;
mod replay;
mod sampled;
mod turns;

const RULES: &str = "
groups:
- name: load
  rules:
  - { record: double, expr: load * 2 }
  - { alert: high, expr: double > 10, for: 2m, labels: { severity: critical }, annotations: { description: 'at {{ $value }}' } }
  - { record: firing, expr: 'count(ALERTS{alertstate=\"firing\"})' }
";

/// A stopwatch that goes on by so many milliseconds each time it is read.
fn hurried(millis: u64) -> Stopwatch {
    let reads = AtomicU64::new(0);
    Stopwatch::new(move || Duration::from_millis(millis * reads.fetch_add(1, Ordering::Relaxed)))
}

/// The ports of one deployment, which outlive the process that uses them.
struct World {
    wal: Arc<MemoryWal>,
    objects: Arc<MemoryObjectStore>,
    state: Arc<MemoryStateStore>,
    topic: Arc<MemoryTopic>,
}

impl World {
    fn new() -> Self {
        Self { wal: Arc::default(), objects: Arc::default(), state: Arc::default(), topic: Arc::default() }
    }

    /// A process that has just started.
    fn app(&self, rules: &str, plan: &Arc<FaultPlan>) -> App {
        let ports = Ports {
            wal: Arc::new(Faulty::new(Arc::clone(&self.wal) as Arc<dyn Wal>, Arc::clone(plan))),
            objects: Arc::new(Faulty::new(Arc::clone(&self.objects), Arc::clone(plan))),
            state: Arc::new(Faulty::new(Arc::clone(&self.state) as Arc<dyn StateStore>, Arc::clone(plan))),
            topic: Arc::new(Faulty::new(Arc::clone(&self.topic), Arc::clone(plan))),
            messenger: Arc::new(MemoryMessenger::default()),
        };
        let config = Config::parse(&[("rules/load.yml", rules)]).unwrap();
        let settings = Settings { query_offset: Duration::ZERO, ..Settings::default() };
        let session = (Access::Open, SessionKey::new([7; 32]));
        App::new(ports, settings, Limits::default(), Stopwatch::stopped(), config, session)
    }

    async fn push(&self, at: Timestamp, value: f64) {
        self.push_to("a", at, value).await;
    }

    async fn push_to(&self, instance: &str, at: Timestamp, value: f64) {
        let mut batch = Batch::new();
        let labels = labels(&[("__name__", "load"), ("instance", instance)]);
        batch.push(labels.as_ref(), [Sample { timestamp: at, value }]);
        let blob = Bytes::from(tsdb::wal::encode(&batch));
        self.wal.append(Shard::default(), at.minute(), &tenant(), blob).await.unwrap();
    }

    /// The alerts published since the last time, as `name state`; the same message twice counts once.
    fn published(&self) -> Vec<String> {
        let mut messages = self.topic.drain();
        messages.dedup_by(|one, two| one.id == two.id);
        let alerts = messages.iter().flat_map(|message| {
            let message: AlertMessage = serde_json::from_slice(&message.body).unwrap();
            assert_eq!(message.tenant, "default");
            message.alerts
        });
        alerts
            .map(|alert| format!("{} {}", alert.name(), if alert.ends_at.is_some() { "resolved" } else { "firing" }))
            .collect()
    }
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

/// A minute of a day in November 2026, in minutes since its noon.
fn minute(minute: i64) -> Timestamp {
    Timestamp::from_secs(1_795_348_800 + minute * 60)
}

async fn ticked(app: &App, now: Timestamp) -> TickSummary {
    tick(app, Shard::default(), now).await.unwrap()
}

/// The samples of the series of an expression in the first minutes, as `value@minute`.
async fn samples(app: &App, selector: &str) -> Vec<String> {
    samples_at(app, selector, minute(40)).await
}

async fn samples_at(app: &App, selector: &str, now: Timestamp) -> Vec<String> {
    let expr = promql::parse(&format!("{selector}[1h]")).unwrap();
    let params = Params::instant(now);
    let loaded = app.loader.load(&tenant(), &promql::selections(&expr, &params), now).await.unwrap();
    let series = Source::series(&loaded, 0).unwrap();
    let shown = |sample: Sample| {
        let at = (sample.timestamp.as_millis() - minute(0).as_millis()) / 60_000;
        if is_stale(sample.value) { format!("stale@{at}") } else { format!("{}@{at}", sample.value) }
    };
    series.iter().flat_map(|series| series.samples().map(shown).collect::<Vec<_>>()).collect()
}

async fn changes(app: &App) -> Vec<String> {
    let range = TimeRange::new(minute(0), minute(60));
    let shown = |change: &Transition| {
        let at = (change.at.as_millis() - minute(0).as_millis()) / 60_000;
        format!("{at}: {}>{}", change.from.as_str(), change.to.as_str())
    };
    alerts::history(app, &tenant(), range, minute(60)).await.unwrap().iter().map(shown).collect()
}

#[tokio::test]
async fn a_breach_becomes_samples_history_and_messages() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    let mut published = Vec::new();
    for (at, value) in [1.0, 9.0, 9.0, 9.0, 9.0, 1.0, 1.0].into_iter().enumerate() {
        let now = minute(i64::try_from(at).unwrap());
        world.push(now, value).await;
        let summary = ticked(&app, now).await;
        assert_eq!((summary.rules_evaluated, summary.rules_failed, summary.committed), (3, 0, true), "{summary:?}");
        published.push(world.published());
    }
    // The alert sees what the rule before it recorded in the same tick, and the rule behind it sees the alert.
    assert_eq!(samples(&app, "double").await, ["2@0", "18@1", "18@2", "18@3", "18@4", "2@5", "2@6"]);
    assert_eq!(samples(&app, "ALERTS{alertstate=\"pending\"}").await, ["1@1", "1@2", "stale@3"]);
    assert_eq!(samples(&app, "ALERTS{alertstate=\"firing\"}").await, ["1@3", "1@4", "stale@5"]);
    assert_eq!(samples(&app, "firing").await, ["1@3", "1@4", "stale@5"]);
    let none: &[&str] = &[];
    let expected = [none, none, none, &["high firing"], none, &["high resolved"], none];
    assert_eq!(published, expected);
    assert_eq!(changes(&app).await, ["1: inactive>pending", "3: pending>firing", "5: firing>resolved"]);
    let history = alerts::history(&app, &tenant(), TimeRange::ALL, minute(60)).await.unwrap();
    assert_eq!(history[1].labels, labels(&[("alertname", "high"), ("instance", "a"), ("severity", "critical")]));
    assert_eq!((history[1].to, history[1].value, history[1].active_at), (TransitionState::Firing, 18.0, minute(1)));
    assert_eq!(history[1].annotations["description"], "at 18");
}

#[tokio::test]
async fn a_tick_reads_the_log_once() {
    let world = World::new();
    let plan = FaultPlan::none();
    let app = world.app(RULES, &plan);
    for at in 0..5 {
        world.push(minute(at), 9.0).await;
        let before = plan.calls("wal read");
        ticked(&app, minute(at)).await;
        assert_eq!(plan.calls("wal read") - before, 1);
    }
}

#[tokio::test]
async fn the_same_tick_again_does_nothing() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    world.push(minute(0), 9.0).await;
    assert!(ticked(&app, minute(0)).await.committed);
    let again = ticked(&app, minute(0) + Duration::from_secs(20)).await;
    assert_eq!((again.rules_evaluated, again.committed, again.alerts_published), (0, false, 0));
}

#[tokio::test]
async fn what_was_missed_is_recorded_late_and_alerts_run_once() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    world.push(minute(0), 9.0).await;
    ticked(&app, minute(0)).await;
    for at in 1..=4 {
        world.push(minute(at), 9.0).await;
    }
    let summary = ticked(&app, minute(4)).await;
    assert_eq!((summary.slots_missed, summary.rules_evaluated), (3, 3 * 2 + 3));
    assert_eq!(samples(&app, "double").await, ["18@0", "18@1", "18@2", "18@3", "18@4"]);
    assert_eq!(samples(&app, "ALERTS").await, ["1@4", "1@0", "stale@4"]);
    assert_eq!(changes(&app).await, ["0: inactive>pending", "4: pending>firing"]);
}

#[tokio::test]
async fn of_two_ticks_at_once_one_commits_and_the_other_is_dropped() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    for at in 0..3 {
        world.push(minute(at), 9.0).await;
        let other = world.app(RULES, &FaultPlan::none());
        let (one, two) = tokio::join!(ticked(&app, minute(at)), ticked(&other, minute(at)));
        assert!(one.committed || two.committed, "{one:?} {two:?}");
    }
    assert_eq!(world.published(), ["high firing"]);
    assert_eq!(changes(&app).await, ["0: inactive>pending", "2: pending>firing"]);
    assert_eq!(samples(&app, "double").await, ["18@0", "18@1", "18@2"]);
}

#[tokio::test]
async fn a_rule_that_leaves_takes_back_its_alert_and_its_state_goes() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    for at in 0..=2 {
        world.push(minute(at), 9.0).await;
        ticked(&app, minute(at)).await;
    }
    assert_eq!(world.published(), ["high firing"]);
    app.set_config(Config::parse(&[("rules/load.yml", "groups: []")]).unwrap());
    ticked(&app, minute(3)).await;
    assert_eq!(world.published(), ["high resolved"]);
    assert_eq!(changes(&app).await.last().unwrap(), "3: firing>resolved");
    for at in 4..=30 {
        ticked(&app, minute(at)).await;
    }
    let (row, _) = tick_row::read(&app.ports, &app.tick_states, Shard::default(), minute(31)).await.unwrap();
    assert!(row.groups.is_empty(), "{:?}", row.groups.keys());
    assert_eq!(samples(&app, "double").await.last().unwrap(), "stale@3");
}

#[tokio::test]
async fn a_rule_that_fails_holds_up_no_other() {
    let rules = "
groups:
- name: g
  rules:
  - { record: ambiguous, expr: 'load * on () load' }
  - { record: fine, expr: 'sum(load)' }
";
    let world = World::new();
    let app = world.app(rules, &FaultPlan::none());
    world.push(minute(0), 1.0).await;
    world.push_to("b", minute(0), 2.0).await;
    let summary = ticked(&app, minute(0)).await;
    assert_eq!((summary.rules_evaluated, summary.rules_failed, summary.errors.len()), (2, 1, 1), "{summary:?}");
    assert!(summary.errors[0].starts_with("default: rules/load.yml;g: ambiguous: "), "{}", summary.errors[0]);
    assert_eq!(samples(&app, "fine").await, ["3@0"]);
    let groups = alerts::rule_groups(&app, &tenant(), &alerts::RuleFilter::default(), minute(1)).await.unwrap();
    assert_eq!(groups[0].rules[0].health, alerts::Health::Err);
    assert!(groups[0].rules[0].last_error.is_some());
    assert_eq!(groups[0].rules[1].health, alerts::Health::Ok);
}

#[tokio::test]
async fn over_the_limits_of_a_query_only_the_rule_that_asks_too_much_fails() {
    let world = World::new();
    let mut app = world.app(
        "groups: [{ name: g, rules: [{ record: all, expr: 'count({__name__=~\".+\"})' }, { record: one, expr: load }] }]",
        &FaultPlan::none(),
    );
    app.limits.query_samples_max = 3;
    app.loader = load::Loader::new(app.ports.clone(), app.limits.clone(), app.settings.cache_bytes);
    world.push(minute(0), 1.0).await;
    for name in ["b", "c", "d"] {
        world.push_to(name, minute(0), 1.0).await;
    }
    let summary = ticked(&app, minute(0)).await;
    assert_eq!((summary.rules_evaluated, summary.rules_failed), (2, 2), "{summary:?}");
    assert!(summary.errors.iter().all(|error| error.contains("query_samples_max")), "{summary:?}");
    app.set_config(Config::parse(&[("rules/g.yml", "groups: [{ name: g, rules: [{ record: all, expr: 'count({__name__=~\".+\"})' }, { record: one, expr: 'load{instance=\"a\"}' }] }]")]).unwrap());
    let summary = ticked(&app, minute(1)).await;
    assert_eq!((summary.rules_evaluated, summary.rules_failed), (2, 1), "{summary:?}");
    assert_eq!(samples(&app, "one").await, ["1@1"]);
}

#[tokio::test]
async fn the_api_shows_rules_and_alerts_as_prometheus_does() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    let view = async |filter: &alerts::RuleFilter| {
        let groups = alerts::rule_groups(&app, &tenant(), filter, minute(3)).await.unwrap();
        serde_json::to_value(groups).unwrap()
    };
    let before = view(&alerts::RuleFilter::default()).await;
    assert_eq!(before[0]["lastEvaluation"], "0001-01-01T00:00:00Z");
    assert_eq!(before[0]["rules"][1]["state"], "unknown");
    assert_eq!(before[0]["rules"][1]["alerts"], serde_json::json!([]));
    for at in 0..=2 {
        world.push(minute(at), 9.0).await;
        ticked(&app, minute(at)).await;
    }
    let rules = view(&alerts::RuleFilter::default()).await;
    insta::assert_snapshot!("rules", serde_json::to_string_pretty(&rules).unwrap());
    let active = alerts::active(&app, &tenant(), minute(3)).await.unwrap();
    insta::assert_snapshot!("alerts", serde_json::to_string_pretty(&active).unwrap());
    assert_eq!(alerts::active(&app, &TenantId::new("other").unwrap(), minute(3)).await.unwrap(), []);
}

#[tokio::test]
async fn rules_are_filtered_as_the_api_asks() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    let cases = [
        ("type=alert", "high"),
        ("type=record", "double firing"),
        ("rule_name[]=high&rule_name[]=double", "double high"),
        ("rule_group[]=load", "double high firing"),
        ("rule_group[]=other", ""),
        ("file[]=rules/load.yml&type=alert", "high"),
        ("match[]={severity=\"critical\"}", "high"),
        ("match[]={severity=\"info\"}", ""),
    ];
    for (query, expected) in cases {
        let filter = alerts::RuleFilter::from_params(&params(query)).unwrap();
        let groups = alerts::rule_groups(&app, &tenant(), &filter, minute(0)).await.unwrap();
        let names: Vec<&str> = groups.iter().flat_map(|group| &group.rules).map(|rule| rule.name.as_str()).collect();
        assert_eq!(names.join(" "), expected, "{query}");
    }
    for refused in ["type=other", "exclude_alerts=maybe", "match[]=1"] {
        assert!(alerts::RuleFilter::from_params(&params(refused)).is_err(), "{refused}");
    }
}

fn params(query: &str) -> crate::http::Params {
    let uri = format!("/api/v1/rules?{}", query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22"));
    crate::http::Params::of(&http::Request::get(uri).body(Bytes::new()).unwrap())
}

/// A machine whose processor is busy for 57 of 60 seconds, and a service of which one request in ten fails, slowly.
fn machine_and_service(at: i64) -> Batch {
    let mut batch = Batch::new();
    #[expect(clippy::cast_precision_loss, reason = "a few minutes")]
    let minutes = at as f64;
    let mut push = |name: &str, pairs: &[(&str, &str)], value: f64| {
        let mut builder = labels(pairs).to_builder();
        builder.set("__name__", name);
        batch.push(builder.build().unwrap().as_ref(), [Sample { timestamp: minute(at), value }]);
    };
    let node = [("instance", "web-1"), ("job", "node")];
    push("node_cpu_seconds_total", &[node[0], node[1], ("cpu", "0"), ("mode", "idle")], 3.0 * minutes);
    push("node_cpu_seconds_total", &[node[0], node[1], ("cpu", "0"), ("mode", "user")], 57.0 * minutes);
    push("node_memory_MemTotal_bytes", &node, 1000.0);
    push("node_memory_MemAvailable_bytes", &node, 180.0);
    push("node_memory_SwapTotal_bytes", &node, 0.0);
    push("node_memory_SwapFree_bytes", &node, 0.0);
    let disk = [node[0], node[1], ("device", "sda1"), ("fstype", "ext4"), ("mountpoint", "/")];
    push("node_filesystem_size_bytes", &disk, 1000.0);
    push("node_filesystem_avail_bytes", &disk, 200.0);
    push("node_filesystem_readonly", &disk, 0.0);
    let link = [node[0], node[1], ("device", "eth0")];
    push("node_network_receive_bytes_total", &link, 60.0 * 99.0 * minutes);
    push("node_network_transmit_bytes_total", &link, 60.0 * 10.0 * minutes);
    push("node_network_speed_bytes", &link, 100.0);
    push("node_netstat_Tcp_CurrEstab", &node, 1500.0);
    let service = [("instance", "web-1"), ("job", "mihari")];
    push("mihari_http_requests_total", &[service[0], service[1], ("code", "200")], 540.0 * minutes);
    push("mihari_http_requests_total", &[service[0], service[1], ("code", "503")], 60.0 * minutes);
    for (bound, share) in [("0.25", 0.0), ("0.5", 0.5), ("1", 1.0), ("+Inf", 1.0)] {
        let bucket = [service[0], service[1], ("le", bound)];
        push("mihari_http_request_duration_seconds_bucket", &bucket, share * 600.0 * minutes);
    }
    push("mihari_http_request_duration_seconds_sum", &service, 0.1 * 600.0 * minutes);
    push("mihari_http_request_duration_seconds_count", &service, 600.0 * minutes);
    batch
}

#[tokio::test]
async fn the_default_rules_raise_the_alerts_of_the_plan() {
    let world = World::new();
    let app = world.app("groups: []", &FaultPlan::none());
    app.set_config(Config::defaults());
    let mut evaluated = Vec::new();
    for at in 0..=12 {
        let blob = Bytes::from(tsdb::wal::encode(&machine_and_service(at)));
        world.wal.append(Shard::default(), minute(at).minute(), &tenant(), blob).await.unwrap();
        let summary = ticked(&app, minute(at)).await;
        assert_eq!(summary.rules_failed, 0, "{summary:?}");
        evaluated.push(summary.rules_evaluated);
    }
    assert_eq!(evaluated, [93, 92, 87, 88, 87, 87, 92, 87, 88, 87, 87, 92, 87], "two groups run every five minutes");
    let active = alerts::active(&app, &tenant(), minute(12)).await.unwrap();
    let mut shown: Vec<String> = active
        .iter()
        .filter(|alert| alert.state == alerts::AlertState::Firing)
        .map(|alert| {
            let label = |name: &str| alert.labels.get(name).unwrap_or("").to_owned();
            format!("{} {}: {}", label("alertname"), label("severity"), alert.annotations["summary"])
        })
        .collect();
    shown.sort();
    insta::assert_snapshot!("default_alerts", shown.join("\n"));
}

#[tokio::test]
async fn alerts_go_on_after_a_clock_that_was_far_ahead() {
    let world = World::new();
    let app = world.app(RULES, &FaultPlan::none());
    for at in 0..3 {
        world.push(minute(100_000 + at), 9.0).await;
        ticked(&app, minute(100_000 + at)).await;
    }
    assert_eq!(world.published(), ["high firing"]);
    for at in 0..5 {
        let value = if at < 3 { 9.0 } else { 1.0 };
        crate::ingest::append(&app, &tenant(), &one_sample(minute(at), value), minute(at)).await.unwrap();
        ticked(&app, minute(at)).await;
    }
    assert_eq!(world.published(), ["high resolved", "high firing", "high resolved", "high resolved"]);
}

#[tokio::test]
async fn when_all_groups_of_all_tenants_change_at_once_the_tick_commits_every_change() {
    let tenants: Vec<TenantId> = (0..15).map(|index| TenantId::new(&format!("t{index}")).unwrap()).collect();
    let alert = "rules: [{ alert: always, expr: vector(1) }]";
    let groups: String = (0..20).map(|index| format!("- {{ name: g{index}, {alert} }}\n")).collect();
    let rules = format!("groups:\n{groups}");
    let paths: Vec<String> = tenants.iter().map(|tenant| format!("tenants/{tenant}/rules/all.yml")).collect();
    let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), rules.as_str())).collect();
    let app = World::new().app("groups: []", &FaultPlan::none());
    app.set_config(Config::parse(&files).unwrap());
    let summary = ticked(&app, minute(0)).await;
    assert_eq!((summary.committed, summary.transitions, summary.errors.len()), (true, 300, 0), "{summary:?}");
    for tenant in &tenants {
        let changes = alerts::history(&app, tenant, TimeRange::new(minute(0), minute(1)), minute(1)).await.unwrap();
        assert_eq!(changes.len(), 20, "{tenant}");
    }
}

/// Appends that wait until they are let through.
#[derive(Debug)]
struct SlowWal {
    inner: Arc<MemoryWal>,
    gate: tokio::sync::Semaphore,
}

#[async_trait::async_trait]
impl Wal for SlowWal {
    async fn append(
        &self,
        shard: Shard,
        minute: Minute,
        tenant: &TenantId,
        blob: Bytes,
    ) -> crate::ports::PortResult<()> {
        self.gate.acquire().await.unwrap().forget();
        self.inner.append(shard, minute, tenant, blob).await
    }

    async fn read(
        &self,
        shard: Shard,
        minutes: std::ops::Range<Minute>,
    ) -> crate::ports::PortResult<crate::ports::WalRead> {
        self.inner.read(shard, minutes).await
    }

    async fn minutes(&self, shard: Shard, range: std::ops::Range<Minute>) -> crate::ports::PortResult<Vec<Minute>> {
        self.inner.minutes(shard, range).await
    }

    async fn forget_before(&self, shard: Shard, minute: Minute) -> crate::ports::PortResult<()> {
        self.inner.forget_before(shard, minute).await
    }

    fn size_bytes(&self) -> Option<u64> {
        self.inner.size_bytes()
    }
}

fn one_sample(at: Timestamp, value: f64) -> Batch {
    let mut batch = Batch::new();
    batch.push(labels(&[("__name__", "load")]).as_ref(), [Sample { timestamp: at, value }]);
    batch
}

#[tokio::test]
async fn an_append_that_ends_after_its_minute_was_closed_is_not_acknowledged() {
    let world = World::new();
    let mut app = world.app("groups: []", &FaultPlan::none());
    let slow = Arc::new(SlowWal { inner: Arc::clone(&world.wal), gate: tokio::sync::Semaphore::new(0) });
    app.ports.wal = Arc::clone(&slow) as Arc<dyn Wal>;
    let batch = one_sample(minute(0), 1.0);
    let tenant = tenant();
    let append = crate::ingest::append(&app, &tenant, &batch, minute(0));
    let tick = async {
        tokio::task::yield_now().await;
        ticked(&app, minute(3)).await;
        slow.gate.add_permits(1);
    };
    let (appended, ()) = tokio::join!(append, tick);
    assert_eq!(appended.unwrap_err().kind(), ErrorKind::Unavailable);
    // Sent again, it counts.
    slow.gate.add_permits(1);
    crate::ingest::append(&app, &tenant, &batch, minute(3)).await.unwrap();
    assert_eq!(samples(&app, "load").await, ["1@0"]);
}

#[tokio::test]
async fn what_arrives_after_the_clock_went_back_is_seen_and_kept() {
    // Minutes that the clock goes back, and on.
    for back in [1, 5, 59, 62, 500, 1_000_000] {
        let world = World::new();
        let app = world.app("groups: []", &FaultPlan::none());
        world.push_to("before", minute(30 + back), 1.0).await;
        ticked(&app, minute(30 + back)).await;
        for at in 20..30 {
            crate::ingest::append(&app, &tenant(), &one_sample(minute(at), 1.0), minute(at)).await.unwrap();
            ticked(&app, minute(at)).await;
            let expected: Vec<String> = (20..=at).map(|at| format!("1@{at}")).collect();
            let found = samples_at(&app, "load{instance=\"\"}", minute(at)).await;
            assert_eq!(found, expected, "{back} back, at minute {at}");
        }
        let (row, _) = tick_row::read(&app.ports, &app.tick_states, Shard::default(), minute(30)).await.unwrap();
        let waiting = app.ports.wal.read(Shard::default(), row.watermark + 1..Minute::MAX).await.unwrap().entries;
        assert!(back < 60 || waiting.len() <= 4, "{} entries wait {back} back", waiting.len());
        for later in [30, 60, 200] {
            ticked(&app, minute(later)).await;
            let expected: Vec<String> = (20..30).map(|at| format!("1@{at}")).collect();
            assert_eq!(samples_at(&app, "load{instance=\"\"}", minute(40)).await, expected, "{back} back");
        }
    }
}

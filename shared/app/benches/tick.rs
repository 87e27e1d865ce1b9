//! What a tick costs: 100 hosts with 586 series each, one sample in 15 s, and 1,010 rules. Printed are processor seconds of
//! the ticks, and rules a processor second from the difference to the same ticks without rules.
//!
//! `tests/bench/rules.py` runs the same rules over the same series in Prometheus and vmalert.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use app::access::{Access, SessionKey};
use app::config::Config;
use app::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use app::ports::{Shard, Wal};
use app::{App, Ports, Settings, Stopwatch, evaluate};
use bytes::Bytes;
use model::{Batch, Labels, Limits, Sample, TenantId, Timestamp};
use rustix::time::{ClockId, clock_gettime};

const RULES: &str = include_str!("rules.yml");
const HOSTS: usize = 100;
/// Series of a host that no rule asks for.
const OTHER_SERIES: usize = 501;
/// Ticks before those that are measured: a full window of five minutes, and some more.
const WARM_TICKS: i64 = 8;
const TICKS: i64 = 5;
/// A minute of November 2026.
const START: i64 = 1_795_348_800;

fn clock(id: ClockId) -> Duration {
    Duration::try_from(clock_gettime(id)).expect("clocks are not negative")
}

/// The rule file, with the rules of every host.
fn rules() -> String {
    let (head, all) = RULES.split_once("  - name: all\n").expect("two groups");
    let (_, hosts) = head.split_once("    rules:\n").expect("rules of a host");
    let mut text = format!("groups:\n  - name: all\n{all}");
    for host in 0..HOSTS {
        let rules = hosts.replace("HOST", &format!("host{host:03}"));
        write!(text, "  - name: host{host:03}\n    rules:\n{rules}").expect("a text takes everything");
    }
    text
}

/// The series of a host: labels, and by how much a counter grows in a scrape; zero for a gauge.
fn series(host: usize) -> Vec<(Labels, f64)> {
    let instance = format!("host{host:03}");
    let mut series = Vec::new();
    let mut push = |name: &str, extra: &[(&str, &str)], growth: f64| {
        let fixed = [("__name__", name), ("instance", instance.as_str()), ("job", "node")];
        let pairs = fixed.into_iter().chain(extra.iter().copied());
        series.push((Labels::from_pairs(pairs).expect("these are labels"), growth));
    };
    for cpu in ["0", "1", "2", "3", "4", "5", "6", "7"] {
        for mode in ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"] {
            push("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], if mode == "idle" { 12.0 } else { 0.4 });
        }
    }
    for name in ["up", "node_load1", "node_memory_MemAvailable_bytes", "node_memory_MemTotal_bytes"] {
        push(name, &[], 0.0);
    }
    for device in ["eth0", "eth1", "lo"] {
        push("node_network_receive_bytes_total", &[("device", device)], 123_456.0);
        push("node_network_errors_total", &[("device", device)], 0.0);
    }
    for device in ["sda", "sdb", "sdc"] {
        push("node_disk_reads_completed_total", &[("device", device)], 37.0);
    }
    for mountpoint in ["/", "/boot", "/data", "/home"] {
        push("node_filesystem_avail_bytes", &[("mountpoint", mountpoint)], 0.0);
        push("node_filesystem_size_bytes", &[("mountpoint", mountpoint)], 0.0);
    }
    for index in 0..OTHER_SERIES {
        push("node_other_total", &[("index", &format!("{index:03}"))], 3.7 + index_growth(index));
    }
    series
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred")]
fn index_growth(index: usize) -> f64 {
    index as f64 / 8.0
}

/// A deployment in memory.
struct World {
    app: App,
    log: Arc<MemoryWal>,
    tenant: TenantId,
}

impl World {
    fn new(rules: &str) -> Self {
        let log = Arc::new(MemoryWal::default());
        let ports = Ports {
            wal: Arc::clone(&log) as Arc<dyn Wal>,
            objects: Arc::new(MemoryObjectStore::default()),
            state: Arc::new(MemoryStateStore::default()),
            topic: Arc::new(MemoryTopic::default()),
            messenger: Arc::new(MemoryMessenger::default()),
        };
        let config = Config::parse(&[("rules/bench.yml", rules)]).expect("the rules of the bench");
        let stopwatch = Stopwatch::new(|| clock(ClockId::Monotonic));
        let session = (Access::Open, SessionKey::new([7; 32]));
        let app = App::new(ports, Settings::default(), Limits::default(), stopwatch, config, session);
        Self { app, log, tenant: TenantId::default_tenant() }
    }

    /// One request a host: what it measured in a minute.
    async fn push(&self, minute: i64, fleet: &[Vec<(Labels, f64)>]) {
        for host in fleet {
            let mut batch = Batch::new();
            for (labels, growth) in host {
                let sample = |scrape: i64| {
                    let seconds = minute * 60 + scrape * 15;
                    #[expect(clippy::cast_precision_loss, reason = "some minutes")]
                    let value = 40.0 + growth * (seconds / 15) as f64;
                    Sample { timestamp: Timestamp::from_secs(START + seconds), value }
                };
                batch.push(labels.as_ref(), (0..4).map(sample));
            }
            let at = Timestamp::from_secs(START + minute * 60).minute();
            let blob = Bytes::from(tsdb::wal::encode(&batch));
            self.log.append(Shard::default(), at, &self.tenant, blob).await.expect("memory takes everything");
        }
    }

    /// Processor seconds of the ticks that are measured, and how many rules ran in them.
    async fn measure(&self, fleet: &[Vec<(Labels, f64)>]) -> (Duration, usize) {
        let (mut taken, mut rules) = (Duration::ZERO, 0);
        for minute in 0..WARM_TICKS + TICKS {
            self.push(minute, fleet).await;
            let now = Timestamp::from_secs(START + minute * 60 + 59);
            let before = clock(ClockId::ProcessCPUTime);
            let summary = evaluate::tick(&self.app, Shard::default(), now).await.expect("the tick works");
            let cost = clock(ClockId::ProcessCPUTime) - before;
            assert!(summary.committed && summary.rules_failed == 0 && summary.groups_skipped.is_empty(), "{summary:?}");
            if minute >= WARM_TICKS {
                taken += cost;
                rules += summary.rules_evaluated;
            }
        }
        (taken, rules)
    }
}

fn main() {
    let fleet: Vec<_> = (0..HOSTS).map(series).collect();
    let count: usize = fleet.iter().map(Vec::len).sum();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    let (with, ran) = runtime.block_on(async { World::new(&rules()).measure(&fleet).await });
    let (without, _) = runtime.block_on(async { World::new("groups: []").measure(&fleet).await });
    let ticks = u32::try_from(TICKS).expect("a few");
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let rate = ran as f64 / with.saturating_sub(without).as_secs_f64();
    println!("{count} series, {} rules a tick", ran / ticks as usize);
    println!(
        "processor seconds of a tick: {:.3} with the rules, {:.3} without",
        (with / ticks).as_secs_f64(),
        (without / ticks).as_secs_f64()
    );
    println!("rules a processor second: {rate:.0}");
}

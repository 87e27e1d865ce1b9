//! A deployment in memory with a machine that reports to it, for tests of pages and reports.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::tz::TimeZone;
use model::{Batch, Labels, Language, Limits, Sample, TenantId, Timestamp};

use crate::access::{Access, Role, SessionKey, Viewer};
use crate::config::Config;
use crate::faults::{FaultPlan, Faulty};
use crate::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use crate::ports::{ObjectStore, Shard, StateStore, Topic, Wal};
use crate::{App, Ports, Settings, Stopwatch};

/// 2026-11-22 13:30:00 in Tokyo.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_795_321_800);

/// The ports of a deployment, which outlive the process that uses them.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) wal: Arc<MemoryWal>,
    pub(crate) objects: Arc<MemoryObjectStore>,
    pub(crate) state: Arc<MemoryStateStore>,
    pub(crate) topic: Arc<MemoryTopic>,
}

impl World {
    /// A process that has just started.
    pub(crate) fn app(&self, files: &[(&str, &str)], plan: &Arc<FaultPlan>) -> App {
        let ports = Ports {
            wal: Arc::clone(&self.wal) as Arc<dyn Wal>,
            objects: Arc::new(Faulty::new(Arc::clone(&self.objects) as Arc<dyn ObjectStore>, Arc::clone(plan))),
            state: Arc::clone(&self.state) as Arc<dyn StateStore>,
            topic: Arc::clone(&self.topic) as Arc<dyn Topic>,
            messenger: Arc::new(MemoryMessenger::default()),
        };
        let config = Config::parse(files).expect("the test's files are fine");
        let session = (Access::Open, SessionKey::new([7; 32]));
        App::new(ports, Settings::default(), Limits::default(), Stopwatch::stopped(), config, session)
    }

    /// One collection of a machine: a core that is busy for a quarter of the time, memory used to a half.
    pub(crate) async fn collect(&self, instance: &str, at: Timestamp) {
        const NONE: (&str, &str) = ("none", "");
        let seconds = at.as_secs_f64();
        let mut batch = Batch::new();
        let mut push = |name: &str, label: (&str, &str), value: f64| {
            let pairs = [("__name__", name), ("job", "node"), ("instance", instance), label];
            let labels = Labels::from_pairs(pairs).expect("the test's labels are fine");
            batch.push(labels.as_ref(), [Sample { timestamp: at, value }]);
        };
        push("node_cpu_seconds_total", ("mode", "idle"), 0.75 * seconds);
        push("node_cpu_seconds_total", ("mode", "user"), 0.25 * seconds);
        push("node_memory_MemTotal_bytes", NONE, 16e9);
        push("node_memory_MemAvailable_bytes", NONE, 8e9);
        push("node_load1", NONE, 1.5);
        let blob = Bytes::from(tsdb::wal::encode(&batch));
        self.wal.append(Shard::default(), at.minute(), &tenant(), blob).await.expect("memory takes it");
    }

    /// Collections of one machine at an interval, both ends included.
    pub(crate) async fn collect_all(&self, instance: &str, start: Timestamp, end: Timestamp, interval: Duration) {
        let mut at = start;
        while at <= end {
            self.collect(instance, at).await;
            at = at + interval;
        }
    }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::default_tenant()
}

/// A reader of English in Tokyo.
pub(crate) fn viewer(role: Role) -> Viewer {
    Viewer {
        tenant: tenant(),
        name: String::new(),
        role,
        logged_in: false,
        language: Language::English,
        time_zone: TimeZone::get("Asia/Tokyo").expect("the tz database has Tokyo"),
        csrf: String::new(),
        may_answer: true,
    }
}

//! A small deployment in memory for tests of storage: what goes in, the flows that move it, and what must come out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{Aggregate, Batch, Labels, Limits, Matcher, Sample, Series, TenantId, TimeRange, Timestamp};
use promql::{Selection, Source};
use tsdb::rollup::{Resolution, aggregate, cut, roll_up};

use super::{Loader, drain};
use crate::faults::{FaultPlan, Faulty};
use crate::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use crate::ports::Shard;
use crate::rollup::{RollupSummary, run_on};
use crate::tick_row::StateCache;
use crate::{AppError, Ports, tick_row};

/// Where the clock starts: the start of a day.
pub(crate) const START: Timestamp = Timestamp::from_secs(1_795_046_400);

/// Room for all that these tests read.
const CACHE_BYTES: usize = 64 << 20;

/// A deployment, and all samples that were acknowledged.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) ports: Ports,
    pub(crate) limits: Limits,
    pub(crate) loader: Loader,
    pub(crate) plan: Arc<FaultPlan>,
    pub(crate) now: Timestamp,
    accepted: BTreeMap<(String, Timestamp), f64>,
}

pub(crate) fn tenant() -> TenantId {
    TenantId::default_tenant()
}

pub(crate) fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "test")]).expect("these labels are fine")
}

/// Series as they can be compared: text of the labels, times, bits of the values.
pub(crate) fn bits(series: &[Series]) -> Vec<(String, Vec<(i64, u64)>)> {
    let samples = |series: &Series| {
        series.samples().map(|sample| (sample.timestamp.as_millis(), sample.value.to_bits())).collect()
    };
    series.iter().map(|series| (series.labels.to_string(), samples(series))).collect()
}

/// A selection of everything in a range.
pub(crate) fn selection(range: TimeRange, step_secs: u64, window_secs: u64, aggregate: Aggregate) -> Selection {
    let (window, step) = (Duration::from_secs(window_secs), Duration::from_secs(step_secs));
    Selection { matchers: vec![Matcher::equal("job", "test")], range, aggregate, window, step, newest_only: false }
}

impl World {
    pub(crate) fn new(plan: Arc<FaultPlan>) -> Self {
        let ports = Ports {
            wal: Arc::new(Faulty::new(Arc::new(MemoryWal::default()), Arc::clone(&plan))),
            objects: Arc::new(Faulty::new(Arc::new(MemoryObjectStore::default()), Arc::clone(&plan))),
            state: Arc::new(Faulty::new(Arc::new(MemoryStateStore::default()), Arc::clone(&plan))),
            topic: Arc::new(MemoryTopic::default()),
            messenger: Arc::new(MemoryMessenger::default()),
        };
        let limits = Limits::default();
        let loader = Loader::new(ports.clone(), limits.clone(), CACHE_BYTES);
        Self { ports, limits, loader, plan, now: START, accepted: BTreeMap::new() }
    }

    /// Forgets all that a process keeps in memory.
    pub(crate) fn restart(&mut self) {
        self.loader = Loader::new(self.ports.clone(), self.limits.clone(), CACHE_BYTES);
    }

    /// Appends samples to the log, as often as it takes until that is acknowledged.
    pub(crate) async fn push(&mut self, samples: &[(&str, Timestamp, f64)]) {
        let mut batch = Batch::new();
        for (name, timestamp, value) in samples {
            batch.push(labels(name).as_ref(), [Sample { timestamp: *timestamp, value: *value }]);
            let kept = self.accepted.entry((labels(name).to_string(), *timestamp)).or_insert(*value);
            if kept.total_cmp(value).is_lt() {
                *kept = *value;
            }
        }
        let blob = Bytes::from(tsdb::wal::encode(&batch));
        while self.ports.wal.append(Shard(0), self.now.minute(), &tenant(), blob.clone()).await.is_err() {}
    }

    /// What the evaluate flow does with storage.
    pub(crate) async fn tick(&self) -> Result<(), AppError> {
        let cache = StateCache::default();
        let (mut row, version) = tick_row::read(&self.ports, &cache, Shard(0), self.now).await?;
        let log = self.loader.log(Shard(0), row.watermark, self.now).await?;
        let drained = drain(&log, self.now).await?;
        drained.store(&self.ports, Shard(0), self.now).await?;
        row.watermark = drained.watermark;
        let write = row.store(self.ports.objects.as_ref(), &cache, Shard(0), version).await?;
        self.ports.state.write(vec![write], self.now).await?;
        self.ports.wal.forget_before(Shard(0), row.watermark - 30).await?;
        Ok(())
    }

    pub(crate) async fn roll_up(&self) -> Result<RollupSummary, AppError> {
        run_on(&self.ports, &self.limits, self.now).await
    }

    pub(crate) async fn query(&self, selection: &Selection) -> Result<Vec<Series>, AppError> {
        let loaded = self.loader.load(&tenant(), std::slice::from_ref(selection), self.now).await?;
        Ok(loaded.series(0)?)
    }

    /// All times that raw samples are answered for.
    pub(crate) fn recent(&self) -> TimeRange {
        TimeRange::new(self.now - self.limits.raw_retention, self.now + Duration::from_secs(600))
    }

    /// Raw samples.
    pub(crate) async fn raw(&self, range: TimeRange) -> Result<Vec<Series>, AppError> {
        self.query(&selection(range, 15, 300, Aggregate::Last)).await
    }

    /// All acknowledged samples of a range.
    pub(crate) fn expected(&self, range: TimeRange) -> Vec<Series> {
        let mut series: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
        for ((name, timestamp), value) in &self.accepted {
            if range.contains(*timestamp) {
                series.entry(name).or_default().push(Sample { timestamp: *timestamp, value: *value });
            }
        }
        let name = |text: &str| text.split('{').next().unwrap_or_default().to_owned();
        series.into_iter().map(|(text, samples)| Series::from_samples(labels(&name(text)), &samples)).collect()
    }

    /// What rollups of all acknowledged samples give.
    pub(crate) fn expected_rollups(&self, range: TimeRange, resolution: Resolution, wanted: Aggregate) -> Vec<Series> {
        let rollups = roll_up(&self.expected(TimeRange::ALL), resolution, TimeRange::ALL);
        aggregate(cut(rollups, range), wanted, resolution)
    }
}

//! The make-believe system: three machines that take in, keep and query datasets.

use std::time::Duration;

use model::{Batch, Timestamp};

use super::BreachKind;
use super::histogram::Histogram;
use crate::host::Points;

/// The job of the programs.
const JOB: &str = "dataset-system";
/// The job of what watches the machines below them.
const MACHINE_JOB: &str = "node";
/// Address of each program, machine, and its share of the load.
const INSTANCES: [(&str, &str, f64); 3] =
    [("dataset-1:8080", "dataset-1", 1.0), ("dataset-2:8080", "dataset-2", 0.8), ("dataset-3:8080", "dataset-3", 0.6)];
/// Datasets with the rows that come in each second at full load, and the bytes of a row.
const DATASETS: [(&str, f64, f64); 4] =
    [("clickstream", 900.0, 180.0), ("customers", 8.0, 620.0), ("orders", 60.0, 340.0), ("sensors", 2_500.0, 48.0)];
/// Path, method, requests a second at full load, median duration in seconds.
const HANDLERS: [(&str, &str, f64, f64); 4] = [
    ("/api/datasets", "GET", 12.0, 0.018),
    ("/api/ingest", "POST", 20.0, 0.025),
    ("/api/query", "POST", 8.0, 0.040),
    ("/health", "GET", 0.2, 0.002),
];
/// Status codes with their share of the requests in good times; the rest is 200.
const ERROR_SHARES: [(&str, f64); 2] = [("400", 0.004), ("500", 0.001)];
/// The share of requests that fail while the error rate is over its limit.
const BREACH_ERROR_SHARE: f64 = 0.12;
/// How much longer requests take while the response time is over its limit.
const BREACH_SLOWNESS: f64 = 25.0;

const SECONDS_BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const MILLISECONDS_BOUNDS: [f64; 10] = [1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0];

const CPUS: usize = 2;
const MEMORY_BYTES: f64 = 8_589_934_592.0;
const DISK_BYTES: f64 = 214_748_364_800.0;
/// The hour of the day goes by this offset from UTC: nine hours, as in Japan.
const DAY_OFFSET_MS: i64 = 9 * 3_600_000;

/// A limit that is broken for a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breach {
    pub(super) kind: BreachKind,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// The whole system at one time; all its counters began at zero when it started.
#[derive(Debug)]
pub(super) struct System {
    time: Timestamp,
    step: Duration,
    breach: Option<Breach>,
    random: Random,
    instances: Vec<Instance>,
    catalogue_size: f64,
    dataset_bytes: [f64; DATASETS.len()],
}

#[derive(Debug)]
struct Instance {
    address: &'static str,
    machine: &'static str,
    share: f64,
    /// Requests by handler and status code; 200 comes last.
    requests: Vec<[f64; ERROR_SHARES.len() + 1]>,
    durations: Vec<Histogram>,
    rows: [f64; DATASETS.len()],
    query_durations: Vec<Histogram>,
    /// Seconds by processor: idle, user, system, waiting.
    cpu: [[f64; CPU_MODES.len()]; CPUS],
}

const CPU_MODES: [&str; 4] = ["idle", "user", "system", "iowait"];

/// What the time asks of the system: how busy it is, and what is broken.
#[derive(Clone, Copy, Debug)]
struct Conditions {
    /// From about 0.1 at night to 1 at noon.
    load: f64,
    slowness: f64,
    error_share: f64,
    cpu_busy: f64,
    memory_used: f64,
}

impl System {
    /// A system that started at `start` and is looked at every `step`.
    pub(super) fn new(seed: u64, start: Timestamp, step: Duration, breach: Option<Breach>) -> Self {
        let instance = |&(address, machine, share): &(&'static str, &'static str, f64)| Instance {
            address,
            machine,
            share,
            requests: vec![[0.0; ERROR_SHARES.len() + 1]; HANDLERS.len()],
            durations: vec![Histogram::new(&SECONDS_BOUNDS); HANDLERS.len()],
            rows: [0.0; DATASETS.len()],
            query_durations: vec![Histogram::new(&MILLISECONDS_BOUNDS); DATASETS.len()],
            cpu: [[0.0; CPU_MODES.len()]; CPUS],
        };
        Self {
            time: start,
            step,
            breach,
            random: Random(seed),
            instances: INSTANCES.iter().map(instance).collect(),
            catalogue_size: 1_284.0,
            dataset_bytes: [60e9, 4e9, 22e9, 35e9],
        }
    }

    /// When the next samples are due.
    pub(super) fn time(&self) -> Timestamp {
        self.time
    }

    /// The next samples; the system lives on until the ones after them.
    pub(super) fn next_batch(&mut self) -> Batch {
        let conditions = self.conditions();
        let mut batch = Batch::new();
        for instance in &self.instances {
            instance.push(conditions, self.time, &mut batch);
        }
        self.push_catalogue(&mut batch);
        self.live(conditions);
        self.time = self.time + self.step;
        batch
    }

    fn conditions(&self) -> Conditions {
        let load = daily_load(self.time);
        let broken = self.breach.filter(|breach| breach.from <= self.time && self.time < breach.until);
        let normal = Conditions {
            load,
            slowness: 1.0 + 0.4 * load,
            error_share: ERROR_SHARES[1].1,
            cpu_busy: 0.08 + 0.35 * load,
            memory_used: 0.48 + 0.12 * load,
        };
        match broken.map(|breach| breach.kind) {
            None => normal,
            Some(BreachKind::ResponseTime) => Conditions { slowness: BREACH_SLOWNESS, ..normal },
            Some(BreachKind::ErrorRate) => Conditions { error_share: BREACH_ERROR_SHARE, ..normal },
            Some(BreachKind::Cpu) => Conditions { cpu_busy: 0.975, ..normal },
            Some(BreachKind::Memory) => Conditions { memory_used: 0.97, ..normal },
        }
    }

    fn live(&mut self, conditions: Conditions) {
        let seconds = self.step.as_secs_f64();
        for instance in &mut self.instances {
            instance.live(conditions, seconds, &mut self.random);
        }
        if self.random.next() < 0.02 * seconds / 15.0 {
            self.catalogue_size += 1.0;
        }
        for (bytes, (_, rows, row_bytes)) in self.dataset_bytes.iter_mut().zip(DATASETS) {
            *bytes = (*bytes + rows * row_bytes * conditions.load * seconds * 0.2).round();
        }
    }

    /// What the whole system holds, as its first program says it.
    fn push_catalogue(&self, batch: &mut Batch) {
        let mut points = Points::new(JOB, INSTANCES[0].0, self.time);
        points.push("dataset_catalogue_size", &[], self.catalogue_size);
        for (bytes, (dataset, ..)) in self.dataset_bytes.iter().zip(DATASETS) {
            points.push("dataset_size_bytes", &[("dataset", dataset)], *bytes);
        }
        append(points, batch);
    }
}

impl Instance {
    fn live(&mut self, conditions: Conditions, seconds: f64, random: &mut Random) {
        let busy = conditions.load * self.share * seconds;
        for (index, (_, _, rate, median)) in HANDLERS.into_iter().enumerate() {
            let requests = rate * busy.max(0.3 * seconds) * random.around_one();
            let shares = [ERROR_SHARES[0].1, conditions.error_share];
            for (count, share) in self.requests[index].iter_mut().zip(shares) {
                *count += requests * share;
            }
            self.requests[index][ERROR_SHARES.len()] += requests * (1.0 - shares.iter().sum::<f64>());
            self.durations[index].observe(requests, median * conditions.slowness * random.around_one());
        }
        for (index, (_, rows, _)) in DATASETS.into_iter().enumerate() {
            self.rows[index] += rows * busy * random.around_one();
            let queries = 2.0 * busy * random.around_one();
            let median_ms = 12.0 * conditions.slowness * random.around_one();
            self.query_durations[index].observe(queries, median_ms);
        }
        for cpu in &mut self.cpu {
            let busy = (conditions.cpu_busy * (0.9 + 0.1 * random.around_one())).min(0.99);
            let shares = [1.0 - busy, busy * 0.75, busy * 0.22, busy * 0.03];
            for (mode, share) in cpu.iter_mut().zip(shares) {
                *mode += seconds * share;
            }
        }
    }

    fn push(&self, conditions: Conditions, time: Timestamp, batch: &mut Batch) {
        let mut points = Points::new(JOB, self.address, time);
        points.push("up", &[], 1.0);
        for ((path, method, ..), (requests, durations)) in
            HANDLERS.into_iter().zip(self.requests.iter().zip(&self.durations))
        {
            let labels = [("handler", path), ("method", method)];
            let codes = ERROR_SHARES.map(|(code, _)| code).into_iter().chain(["200"]);
            for (code, count) in codes.zip(requests) {
                points.push("http_requests_total", &[labels[0], labels[1], ("code", code)], count.floor());
            }
            durations.push("http_request_duration_seconds", &labels, &mut points);
        }
        for (index, (dataset, _, row_bytes)) in DATASETS.into_iter().enumerate() {
            let labels = [("dataset", dataset)];
            let rows = self.rows[index].floor();
            points.push("dataset_rows_ingested_total", &labels, rows);
            points.push("dataset_bytes_ingested_total", &labels, rows * row_bytes);
            self.query_durations[index].push("dataset_query_duration_milliseconds", &labels, &mut points);
        }
        append(points, batch);
        self.push_machine(conditions, time, batch);
    }

    /// What a node exporter says on the machine.
    fn push_machine(&self, conditions: Conditions, time: Timestamp, batch: &mut Batch) {
        let mut points = Points::new(MACHINE_JOB, self.machine, time);
        points.push("up", &[], 1.0);
        for (cpu, modes) in self.cpu.iter().enumerate() {
            let cpu = cpu.to_string();
            for (mode, seconds) in CPU_MODES.into_iter().zip(modes) {
                let centis = (seconds * 100.0).floor() / 100.0;
                points.push("node_cpu_seconds_total", &[("cpu", &cpu), ("mode", mode)], centis);
            }
        }
        let load = conditions.cpu_busy * 2.0;
        points.push("node_load1", &[], (load * 100.0).round() / 100.0);
        let available = (MEMORY_BYTES * (1.0 - conditions.memory_used) / 4096.0).round() * 4096.0;
        points.push("node_memory_MemTotal_bytes", &[], MEMORY_BYTES);
        points.push("node_memory_MemAvailable_bytes", &[], available);
        points.push("node_memory_MemFree_bytes", &[], available / 2.0);
        let disk = [("device", "/dev/nvme1n1"), ("fstype", "ext4"), ("mountpoint", "/data")];
        let room = DISK_BYTES * 0.55 - self.rows.iter().sum::<f64>().floor() * 4.0;
        points.push("node_filesystem_size_bytes", &disk, DISK_BYTES);
        points.push("node_filesystem_avail_bytes", &disk, room);
        points.push("node_filesystem_readonly", &disk, 0.0);
        append(points, batch);
    }
}

fn append(points: Points, batch: &mut Batch) {
    for series in points.finish().iter() {
        batch.push(series.labels, series.samples());
    }
}

/// How busy people keep the system: quiet at night, one peak before noon, one in the afternoon, half on weekends.
fn daily_load(time: Timestamp) -> f64 {
    const DAY_MS: i64 = 86_400_000;
    let local = time.as_millis() + DAY_OFFSET_MS;
    let hour = Timestamp::from_millis(local.rem_euclid(DAY_MS)).as_secs_f64() / 3600.0;
    // 1970-01-01 was a Thursday.
    let is_weekend = matches!(local.div_euclid(DAY_MS).rem_euclid(7), 2 | 3);
    let peak = |at: f64, width: f64| (-((hour - at) / width).powi(2)).exp();
    let busy = (peak(10.5, 2.2) + 0.9 * peak(15.0, 2.8)).min(1.0);
    let full = if is_weekend { 0.5 } else { 1.0 };
    0.12 + 0.88 * busy * full
}

/// Numbers that look random and are the same every time (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// A number from 0 up to, not including, 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit a float exactly")]
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from 0.85 to 1.15.
    fn around_one(&mut self) -> f64 {
        0.85 + 0.3 * self.next()
    }
}

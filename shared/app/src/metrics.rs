//! Mihari's own metrics: every one is declared here.
//!
//! They are shown at `/metrics` and collected into the default tenant like those of any other process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use http::StatusCode;
use model::{Batch, ErrorKind, LabelError, LabelsBuilder, METRIC_NAME, Sample, TenantId, Timestamp};
use wire::exposition::{Family, FamilyType};

/// A metric that only grows.
#[derive(Debug)]
struct Counter {
    name: &'static str,
    help: &'static str,
}

const HTTP_REQUESTS: Counter =
    Counter { name: "mihari_http_requests_total", help: "Requests answered, by handler and status code." };
const SAMPLES: Counter = Counter { name: "mihari_ingest_samples_total", help: "Samples accepted." };
const WAL_BYTES: Counter =
    Counter { name: "mihari_ingest_wal_bytes_total", help: "Bytes appended to the write-ahead log." };
const REFUSED: Counter =
    Counter { name: "mihari_ingest_refused_requests_total", help: "Push requests refused, by reason." };
const SKIPPED: Counter = Counter {
    name: "mihari_ingest_skipped_total",
    help: "Exemplars, and texts about metrics, that accepted requests held and that were not stored, by kind.",
};
const UNREADABLE: Counter = Counter {
    name: "mihari_wal_unreadable_entries_total",
    help: "Parts of the write-ahead log that a tick left out, since they are damaged, lost or cannot be decoded.",
};
const ROWS_UNREADABLE: Counter = Counter {
    name: "mihari_rows_unreadable_total",
    help: "Rows that an answer left out, since they are damaged or cannot be decoded, by kind.",
};
const FLOW_RUNS: Counter = Counter { name: "mihari_flow_runs_total", help: "Runs of a flow, by flow and outcome." };
const RULES: Counter = Counter { name: "mihari_rule_evaluations_total", help: "Rules evaluated." };
const RULE_FAILURES: Counter =
    Counter { name: "mihari_rule_evaluation_failures_total", help: "Rule evaluations that failed." };
const MISSED: Counter = Counter {
    name: "mihari_rule_group_iterations_missed_total",
    help: "Slots of rule groups that passed without an evaluation.",
};
const GROUPS_SKIPPED: Counter = Counter {
    name: "mihari_rule_groups_skipped_total",
    help: "Rule groups that were due and did not run, since time was over or their series could not be loaded, by group.",
};
const STATES_UNREADABLE: Counter = Counter {
    name: "mihari_rule_group_states_unreadable_total",
    help: "States of rule groups that could not be read: the group started anew.",
};
const NOTIFICATIONS: Counter =
    Counter { name: "mihari_notifications_total", help: "Deliveries tried, by integration and outcome." };
const PICTURES: Counter =
    Counter { name: "mihari_notification_pictures_total", help: "Pictures sent after a message, by outcome." };

const COUNTERS: [&Counter; 15] = [
    &HTTP_REQUESTS,
    &SAMPLES,
    &WAL_BYTES,
    &REFUSED,
    &SKIPPED,
    &UNREADABLE,
    &ROWS_UNREADABLE,
    &FLOW_RUNS,
    &RULES,
    &RULE_FAILURES,
    &MISSED,
    &GROUPS_SKIPPED,
    &STATES_UNREADABLE,
    &NOTIFICATIONS,
    &PICTURES,
];

/// A metric that counts durations.
#[derive(Debug)]
struct Histogram {
    name: &'static str,
    help: &'static str,
    /// Upper bounds of the buckets, in seconds.
    bounds: [f64; BUCKETS],
}

const HTTP_DURATION: Histogram = Histogram {
    name: "mihari_http_request_duration_seconds",
    help: "How long requests took from the whole body to the whole answer, by handler.",
    bounds: WORK,
};
const FLOW_DURATION: Histogram =
    Histogram { name: "mihari_flow_duration_seconds", help: "How long runs of a flow took, by flow.", bounds: WORK };
const DETECTION: Histogram = Histogram {
    name: "mihari_detection_latency_seconds",
    help: "Time from the samples that made an alert fire to its first notification, by source of the samples.",
    bounds: [1.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0],
};

const HISTOGRAMS: [&Histogram; 3] = [&HTTP_DURATION, &FLOW_DURATION, &DETECTION];

const BUCKETS: usize = 12;
/// Bounds for the work of a process.
const WORK: [f64; BUCKETS] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Most sources of samples that are told apart; the others are one.
const SOURCES_MAX: usize = 50;

/// Labels of one series: at most a few, from small closed sets or the configuration.
type Key = Vec<(&'static str, String)>;

/// The metrics of this process.
#[derive(Debug, Default)]
pub struct Metrics {
    counters: Mutex<BTreeMap<(&'static str, Key), f64>>,
    histograms: Mutex<BTreeMap<(&'static str, Key), Observations>>,
}

#[derive(Clone, Debug, Default)]
struct Observations {
    /// Not cumulative; the last one counts what is over every bound.
    buckets: [u64; BUCKETS + 1],
    sum: f64,
}

impl Metrics {
    /// A request was answered.
    pub fn request(&self, handler: &'static str, status: StatusCode, elapsed: Duration) {
        let code = status.as_u16().to_string();
        self.add(&HTTP_REQUESTS, vec![("code", code), ("handler", handler.to_owned())], 1);
        self.observe(&HTTP_DURATION, vec![("handler", handler.to_owned())], elapsed);
    }

    /// A batch was encoded for the log.
    pub fn accepted(&self, samples: usize, wal_bytes: usize) {
        self.add(&SAMPLES, Vec::new(), samples);
        self.add(&WAL_BYTES, Vec::new(), wal_bytes);
    }

    /// How many samples were accepted since the process started.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, exact up to 2^53")]
    pub fn samples_accepted(&self) -> u64 {
        lock(&self.counters).get(&(SAMPLES.name, Key::new())).copied().unwrap_or(0.0) as u64
    }

    /// A push request was refused.
    pub fn refused(&self, kind: ErrorKind) {
        let reason = match kind {
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict => "invalid",
            ErrorKind::Throttled | ErrorKind::Unavailable => "unavailable",
            ErrorKind::Corrupt | ErrorKind::Bug => "internal",
        };
        self.add(&REFUSED, vec![("reason", reason.to_owned())], 1);
    }

    /// Texts about metrics were not stored.
    pub fn metadata_skipped(&self, texts: usize) {
        if texts > 0 {
            self.add(&SKIPPED, vec![("kind", "metadata".to_owned())], texts);
        }
    }

    /// Exemplars of an accepted request were not stored.
    pub fn exemplars_skipped(&self, exemplars: usize) {
        if exemplars > 0 {
            self.add(&SKIPPED, vec![("kind", "exemplar".to_owned())], exemplars);
        }
    }

    /// A tick left out parts of the log.
    pub fn unreadable(&self, entries: usize) {
        self.add(&UNREADABLE, Vec::new(), entries);
    }

    /// An answer left out rows.
    pub fn rows_unreadable(&self, kind: &'static str, rows: usize) {
        self.add(&ROWS_UNREADABLE, vec![("kind", kind.to_owned())], rows);
    }

    /// A flow ran.
    pub fn flow(&self, flow: &'static str, succeeded: bool, elapsed: Duration) {
        let outcome = if succeeded { "success" } else { "failure" };
        self.add(&FLOW_RUNS, vec![("flow", flow.to_owned()), ("outcome", outcome.to_owned())], 1);
        self.observe(&FLOW_DURATION, vec![("flow", flow.to_owned())], elapsed);
    }

    /// Rules were evaluated.
    pub fn rules(&self, evaluated: usize, failed: usize, missed_slots: usize) {
        self.add(&RULES, Vec::new(), evaluated);
        self.add(&RULE_FAILURES, Vec::new(), failed);
        self.add(&MISSED, Vec::new(), missed_slots);
    }

    /// Rule groups were due and did not run.
    pub fn groups_skipped(&self, groups: &[(TenantId, String)]) {
        for (tenant, group) in groups {
            let labels = vec![("rule_group", group.clone()), ("tenant", tenant.to_string())];
            self.add(&GROUPS_SKIPPED, labels, 1);
        }
    }

    /// States of rule groups could not be read.
    pub fn states_unreadable(&self, groups: usize) {
        self.add(&STATES_UNREADABLE, Vec::new(), groups);
    }

    /// A delivery was tried.
    pub fn notification(&self, integration: &str, delivered: bool) {
        let outcome = if delivered { "delivered" } else { "failed" };
        let labels = vec![("integration", integration.to_owned()), ("outcome", outcome.to_owned())];
        self.add(&NOTIFICATIONS, labels, 1);
    }

    /// A picture was to follow a message.
    pub fn picture(&self, sent: bool) {
        let outcome = if sent { "sent" } else { "failed" };
        self.add(&PICTURES, vec![("outcome", outcome.to_owned())], 1);
    }

    /// An alert was told for the first time, so long after the samples that made it fire.
    pub fn detection(&self, source: &str, latency: Duration) {
        let known = |all: &BTreeMap<(&'static str, Key), Observations>| {
            let sources: Vec<String> = all
                .keys()
                .filter(|(name, _)| *name == DETECTION.name)
                .filter_map(|(_, key)| key.first().map(|(_, source)| source.clone()))
                .collect();
            sources.len() < SOURCES_MAX || sources.iter().any(|other| other == source)
        };
        let source = if known(&lock(&self.histograms)) { source } else { "other" };
        self.observe(&DETECTION, vec![("source", source.to_owned())], latency);
    }

    /// Everything, in the form of a `/metrics` page.
    pub fn families(&self) -> Vec<Family> {
        let counters = lock(&self.counters);
        let histograms = lock(&self.histograms);
        let mut families = Vec::new();
        for counter in COUNTERS {
            let mut family = Family::new(counter.name, FamilyType::Counter, counter.help);
            for ((_, key), value) in
                counters.range((counter.name, Key::new())..).take_while(|(at, _)| at.0 == counter.name)
            {
                family.push("", &borrowed(key), *value);
            }
            families.push(family);
        }
        for histogram in HISTOGRAMS {
            let mut family = Family::new(histogram.name, FamilyType::Histogram, histogram.help);
            let all = histograms.range((histogram.name, Key::new())..);
            for ((_, key), observations) in all.take_while(|(at, _)| at.0 == histogram.name) {
                let (buckets, count) = observations.cumulative(&histogram.bounds);
                family.push_histogram(&borrowed(key), &buckets, observations.sum, count);
            }
            families.push(family);
        }
        families.retain(|family| !family.points.is_empty());
        families
    }

    /// Everything as samples of one process.
    ///
    /// # Errors
    /// When the instance is no valid label value.
    pub fn batch(&self, instance: &str, now: Timestamp) -> Result<Batch, LabelError> {
        let mut batch = Batch::new();
        for family in self.families() {
            for point in family.points {
                let mut labels = LabelsBuilder::new();
                for (name, value) in &point.labels {
                    labels.set(name, value);
                }
                let name = format!("{}{}", family.name, point.suffix);
                labels.set(METRIC_NAME, &name).set("job", "mihari").set("instance", instance);
                batch.push(labels.build()?.as_ref(), [Sample { timestamp: now, value: point.value }]);
            }
        }
        Ok(batch)
    }

    fn add(&self, counter: &Counter, key: Key, amount: impl TryInto<u32>) {
        let amount = f64::from(amount.try_into().unwrap_or(u32::MAX));
        *lock(&self.counters).entry((counter.name, key)).or_default() += amount;
    }

    fn observe(&self, histogram: &Histogram, key: Key, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let bucket = histogram.bounds.partition_point(|bound| *bound < seconds);
        let mut all = lock(&self.histograms);
        let observations = all.entry((histogram.name, key)).or_default();
        observations.buckets[bucket] += 1;
        observations.sum += seconds;
    }
}

impl Observations {
    /// How many observations there were up to each bound, and in all.
    fn cumulative(&self, bounds: &[f64; BUCKETS]) -> (Vec<(f64, u64)>, u64) {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BUCKETS);
        for (bound, in_bucket) in bounds.iter().zip(&self.buckets) {
            count += in_bucket;
            buckets.push((*bound, count));
        }
        (buckets, count + self.buckets[BUCKETS])
    }
}

fn borrowed(key: &Key) -> Vec<(&str, &str)> {
    key.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds the lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_stands_on_the_page_and_in_the_batch() {
        let metrics = Metrics::default();
        metrics.request("write", StatusCode::NO_CONTENT, Duration::from_millis(3));
        metrics.request("write", StatusCode::NO_CONTENT, Duration::from_secs(60));
        metrics.accepted(590, 1400);
        let page = wire::exposition::encode(&metrics.families());
        for line in [
            "# TYPE mihari_http_requests_total counter",
            "mihari_http_requests_total{code=\"204\",handler=\"write\"} 2",
            "mihari_http_request_duration_seconds_bucket{handler=\"write\",le=\"0.0025\"} 0",
            "mihari_http_request_duration_seconds_bucket{handler=\"write\",le=\"0.005\"} 1",
            "mihari_http_request_duration_seconds_bucket{handler=\"write\",le=\"+Inf\"} 2",
            "mihari_http_request_duration_seconds_count{handler=\"write\"} 2",
            "mihari_ingest_samples_total 590",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not on the page:\n{page}");
        }
        let batch = metrics.batch("here", Timestamp::from_secs(1)).unwrap();
        let samples = batch.iter().find(|series| series.labels.get("__name__") == Some("mihari_ingest_samples_total"));
        let samples = samples.unwrap();
        assert_eq!((samples.labels.get("instance"), samples.values), (Some("here"), &[590.0][..]));
    }
}

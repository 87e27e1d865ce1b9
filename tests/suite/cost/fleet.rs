//! Many machines with node exporters, made from two real scrapes of one.
//!
//! Copies of one machine would compress to almost nothing, so each machine gets values of its own: what stands still on
//! the real one stands still at another height, what grows grows at another pace with noise, small numbers that count
//! parts (cores, states, flags) stay as they are.

use std::time::Duration;

use bytes::Bytes;
use model::{Batch, Labels, Limits, Sample, Timestamp};
use wire::remote_write::{decode, encode};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const FIRST: &[u8] = include_bytes!("../../fixtures/fleet/node-exporter-0s.body");
const LAST: &[u8] = include_bytes!("../../fixtures/fleet/node-exporter-3585s.body");
/// Between the two scrapes.
const APART_SECONDS: f64 = 3585.0;
/// Prometheus sends at most so many samples with one request.
const SAMPLES_A_REQUEST: usize = 2000;
/// Whole numbers up to here are not values of their own on each machine.
const SAME_EVERYWHERE: f64 = 16.0;

/// One series of the real machine.
#[derive(Debug)]
struct Template {
    labels: Labels,
    /// Series of one group move together on a machine, so that shares of a whole stay shares.
    group: u64,
    first: f64,
    change_a_second: f64,
    /// Values are multiples of this.
    grain: f64,
}

/// Machines that are scraped every 15 s, and the sender that collects what they say.
#[derive(Debug)]
pub(crate) struct Fleet {
    templates: Vec<Template>,
    machines: u64,
    start: Timestamp,
    /// What waits for a full request.
    waiting: Batch,
}

impl Fleet {
    /// So many machines.
    pub(crate) fn new(machines: u64, start: Timestamp) -> Self {
        let (first, last) = (series(FIRST), series(LAST));
        let templates = first.into_iter().map(|(labels, first)| {
            let last = last.iter().find(|(other, _)| *other == labels).map_or(first, |(_, last)| *last);
            let group = labels.metric_name().split('_').take(2).collect::<String>();
            Template {
                group: xxh3_64_with_seed(group.as_bytes(), 0),
                first,
                change_a_second: calm(&labels, (last - first) / APART_SECONDS),
                grain: grain(first, last),
                labels,
            }
        });
        Self { templates: templates.collect(), machines, start, waiting: Batch::new() }
    }

    /// How many series there are.
    pub(crate) fn series(&self) -> u64 {
        self.machines * self.templates.len() as u64
    }

    /// Scrapes all machines, spread over the 15 s that begin then, and gives the full requests, as a sender has them
    /// that is busy with more machines; the rest waits.
    pub(crate) fn scrape(&mut self, at: Timestamp) -> Vec<Bytes> {
        let mut bodies = Vec::new();
        for machine in 0..self.machines {
            let scraped = at + Duration::from_millis(15_000 * machine / self.machines);
            for (index, template) in self.templates.iter().enumerate() {
                let labels = on_machine(&template.labels, machine);
                let value = template.value(machine, index as u64, scraped.since(self.start).as_secs_f64());
                self.waiting.push(labels.as_ref(), [Sample { timestamp: scraped, value }]);
                if self.waiting.sample_count() == SAMPLES_A_REQUEST {
                    bodies.push(Bytes::from(encode(&self.waiting)));
                    self.waiting = Batch::new();
                }
            }
        }
        bodies
    }
}

impl Template {
    fn value(&self, machine: u64, index: u64, seconds: f64) -> f64 {
        let stands = self.change_a_second == 0.0;
        let is_same = stands && self.first.fract() == 0.0 && self.first.abs() <= SAME_EVERYWHERE;
        if is_same || !self.first.is_finite() {
            return self.first;
        }
        let height = 0.5 + unit(machine, self.group);
        // What moves is never quite regular.
        let step = (seconds / 15.0).floor();
        let noise = (unit(machine ^ step.to_bits(), index) - 0.5) * 10.0;
        let value = height * (self.first + self.change_a_second * (seconds + noise));
        (value / self.grain).round() * self.grain
    }
}

/// The real machine was busy when it was recorded; a fleet in which every machine raises an alert would be another story.
fn calm(labels: &Labels, change_a_second: f64) -> f64 {
    match (labels.metric_name(), labels.get("mode")) {
        ("node_cpu_seconds_total", Some("idle")) => 0.85,
        ("node_cpu_seconds_total", _) => change_a_second / 8.0,
        _ => change_a_second,
    }
}

/// The series of a body with the value of each.
fn series(body: &[u8]) -> Vec<(Labels, f64)> {
    let limits = Limits { sample_age_max: Duration::from_secs(1 << 33), ..Limits::default() };
    let now = Timestamp::from_secs(1_900_000_000);
    let decoded = decode(body, &limits, now).expect("the fixture was sent by Prometheus");
    let series = decoded.batch.iter().map(|series| (series.labels.to_labels(), series.values[0]));
    series.filter(|(_, value)| !model::is_stale(*value)).collect()
}

fn on_machine(labels: &Labels, machine: u64) -> Labels {
    let instance = format!("10.0.{}.{}:9100", machine / 250, machine % 250);
    let renamed = labels.iter().map(|(name, value)| (name, if name == "instance" { instance.as_str() } else { value }));
    Labels::from_pairs(renamed).expect("an address is a label's value")
}

/// What two values of a series are multiples of: pages of memory, whole numbers, decimals.
fn grain(first: f64, last: f64) -> f64 {
    let is_multiple = |value: f64, grain: f64| (value / grain - (value / grain).round()).abs() < 1e-6;
    let grains = [4096.0, 1024.0, 1.0, 0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8];
    let of_both = grains.into_iter().find(|grain| is_multiple(first, *grain) && is_multiple(last, *grain));
    of_both.filter(|grain| *grain < 1024.0 || first != 0.0).unwrap_or(1e-9)
}

/// A number from 0 to 1 that a machine and a series have for ever.
fn unit(machine: u64, index: u64) -> f64 {
    (xxh3_64_with_seed(&index.to_le_bytes(), machine) >> 11) as f64 / (1_u64 << 53) as f64
}

//! `/proc/stat` and `/proc/loadavg`.

use std::collections::BTreeMap;

use super::points::{Points, SAME, number};

/// In what unit the kernel counts CPU time for user space, on every platform we run on.
const TICKS_PER_SECOND: f64 = 100.0;
/// A counter that falls by less is a correction of the kernel's and no restart.
const CORRECTION_SECONDS: f64 = 3.0;

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const GUEST_MODES: [&str; 2] = ["user", "nice"];

/// CPU time that never falls a little: the kernel now and then takes back some idle or waiting time, which would look
/// like a counter that started again.
#[derive(Debug, Default)]
pub(super) struct SteadyCpu {
    greatest: BTreeMap<(String, &'static str), f64>,
}

impl SteadyCpu {
    /// Seconds of each CPU in each mode.
    pub(super) fn push(&mut self, stat: &str, points: &mut Points) {
        for line in stat.lines() {
            let mut words = line.split_whitespace();
            let Some(cpu) = words.next().and_then(|word| word.strip_prefix("cpu")) else { continue };
            if cpu.is_empty() {
                continue;
            }
            let seconds: Vec<f64> = words.map_while(number).map(|ticks| ticks / TICKS_PER_SECOND).collect();
            for (mode, &value) in MODES.into_iter().zip(&seconds) {
                let value = self.steady(cpu, mode, value);
                points.push("node_cpu_seconds_total", &[("cpu", cpu), ("mode", mode)], value);
            }
            for (mode, &value) in GUEST_MODES.into_iter().zip(seconds.iter().skip(MODES.len())) {
                points.push("node_cpu_guest_seconds_total", &[("cpu", cpu), ("mode", mode)], value);
            }
        }
    }

    fn steady(&mut self, cpu: &str, mode: &'static str, value: f64) -> f64 {
        let greatest = self.greatest.entry((cpu.to_owned(), mode)).or_insert(value);
        if value > *greatest || *greatest - value > CORRECTION_SECONDS {
            *greatest = value;
        }
        *greatest
    }
}

/// What else the kernel counts since it started.
pub(super) fn push_kernel(stat: &str, points: &mut Points) {
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        let metric = match words.next() {
            Some("intr") => "node_intr_total",
            Some("ctxt") => "node_context_switches_total",
            Some("processes") => "node_forks_total",
            Some("btime") => "node_boot_time_seconds",
            Some("procs_running") => "node_procs_running",
            Some("procs_blocked") => "node_procs_blocked",
            _ => continue,
        };
        points.push_text(metric, &[], words.next(), SAME);
    }
}

/// How many tasks ran or wanted to, on average.
pub(super) fn push_load(loadavg: &str, points: &mut Points) {
    for (metric, word) in ["node_load1", "node_load5", "node_load15"].into_iter().zip(loadavg.split_whitespace()) {
        points.push_text(metric, &[], Some(word), SAME);
    }
}

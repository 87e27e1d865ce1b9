//! What this process itself uses, under the names that Prometheus's client libraries give.

use std::fs;
use std::path::Path;

use model::{Batch, LabelError, Labels, METRIC_NAME, Sample, Timestamp};

/// What `/proc/self/stat` says of interest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    threads: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

/// The process's CPU time, memory, threads and open files; nothing where there is no procfs.
///
/// # Errors
/// When the instance is no valid label value.
pub(crate) fn collect(instance: &str, now: Timestamp) -> Result<Batch, LabelError> {
    let mut batch = Batch::new();
    for (name, value) in values(Path::new("/proc/self")) {
        let labels = Labels::from_pairs([(METRIC_NAME, name), ("job", "mihari"), ("instance", instance)])?;
        batch.push(labels.as_ref(), [Sample { timestamp: now, value }]);
    }
    Ok(batch)
}

fn values(process: &Path) -> Vec<(&'static str, f64)> {
    let mut values = Vec::new();
    if let Some(stat) = fs::read_to_string(process.join("stat")).ok().as_deref().and_then(parse) {
        values.push(("process_cpu_seconds_total", stat.cpu_ticks / ticks_per_second()));
        values.push(("process_threads", stat.threads));
        values.push(("process_virtual_memory_bytes", stat.virtual_bytes));
        values.push(("process_resident_memory_bytes", stat.resident_pages * page_bytes()));
    }
    if let Ok(open) = fs::read_dir(process.join("fd")) {
        values.push(("process_open_fds", open.fold(0.0, |count, _| count + 1.0)));
    }
    values
}

/// The fields after the program's name, which stands in brackets and may hold anything (man 5 proc).
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<f64> = rest.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // The first of these fields is the fourth of the file.
    let field = |number: usize| fields.get(number - 4).copied();
    Some(Stat {
        cpu_ticks: field(14)? + field(15)?,
        threads: field(20)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn page_bytes() -> f64 {
    rustix::param::page_size() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_may_hold_brackets_and_spaces() {
        let stat = "1 (a) b (c) S 1 1 1 0 -1 4194560 20 0 0 0 15 5 0 0 20 0 7 0 100 4096000 250 1844 1 1 0 0 0";
        let expected = Stat { cpu_ticks: 20.0, threads: 7.0, virtual_bytes: 4_096_000.0, resident_pages: 250.0 };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(parse("nonsense"), None);
    }
}

//! This machine's own metrics, read from procfs and sysfs, under the names, units and labels that the Prometheus node
//! exporter (1.5, with its default filters) gives them, so that rules and charts work the same with either.
//!
//! Each subsystem is a module of pure functions from a file's text to points; the readers of files are here and in
//! [`filesystem`] and [`network`]. What cannot be read is left out, and never stops the rest. Another operating system
//! would be another set of such modules behind the same [`Host`].

mod cpu;
mod disk;
mod filesystem;
mod memory;
mod network;
mod points;
mod sockets;
mod system;

use std::fs;
use std::path::{Path, PathBuf};

use model::{Batch, Timestamp};

use cpu::SteadyCpu;
pub(crate) use points::Points;

/// The job that this machine's series carry.
const JOB: &str = "node";

/// Collects this machine's metrics.
#[derive(Debug)]
pub(crate) struct Host {
    procfs: PathBuf,
    sysfs: PathBuf,
    instance: String,
    cpu: SteadyCpu,
}

impl Host {
    /// A collector that reads the procfs mounted at `procfs` and the sysfs beside it.
    pub(crate) fn new(procfs: &Path) -> Self {
        Self {
            procfs: procfs.to_owned(),
            sysfs: procfs.with_file_name("sys"),
            instance: hostname(),
            cpu: SteadyCpu::default(),
        }
    }

    /// All metrics as they are `now`, labelled `job="node"` and `instance="<hostname>"`.
    pub(crate) fn collect(&mut self, now: Timestamp) -> Batch {
        let mut points = Points::new(JOB, &self.instance, now);
        points.push("up", &[], 1.0);
        points.push("node_time_seconds", &[], now.as_secs_f64());
        system::push_uname(&mut points);
        let stat = self.read("stat");
        self.cpu.push(&stat, &mut points);
        cpu::push_kernel(&stat, &mut points);
        cpu::push_load(&self.read("loadavg"), &mut points);
        memory::push_meminfo(&self.read("meminfo"), &mut points);
        memory::push_vmstat(&self.read("vmstat"), &mut points);
        disk::push(&self.read("diskstats"), &mut points);
        filesystem::push(&self.read_first(&["1/mounts", "self/mounts"]), &mut points);
        self.push_network(&mut points);
        self.push_system(&mut points);
        points.finish()
    }

    fn push_network(&self, points: &mut Points) {
        network::push_counters(&self.read("net/dev"), points);
        network::push_classes(&self.sysfs.join("class/net"), points);
        network::push_arp(&self.read("net/arp"), points);
        network::push_softnet(&self.read("net/softnet_stat"), points);
        sockets::push_netstat(&self.read("net/netstat"), points);
        sockets::push_netstat(&self.read("net/snmp"), points);
        sockets::push_snmp6(&self.read("net/snmp6"), points);
        sockets::push_sockstat(&self.read("net/sockstat"), system::page_bytes(), points);
        sockets::push_sockstat(&self.read("net/sockstat6"), system::page_bytes(), points);
    }

    fn push_system(&self, points: &mut Points) {
        for resource in ["cpu", "io", "memory"] {
            system::push_pressure(resource, &self.read(&format!("pressure/{resource}")), points);
        }
        system::push_file_handles(&self.read("sys/fs/file-nr"), points);
        for (file, metric) in system::SINGLE_NUMBERS {
            system::push_number(metric, &self.read(file), points);
        }
    }

    /// A file of procfs; empty when it cannot be read.
    fn read(&self, file: &str) -> String {
        read(&self.procfs.join(file)).unwrap_or_default()
    }

    fn read_first(&self, files: &[&str]) -> String {
        files.iter().find_map(|file| read(&self.procfs.join(file))).unwrap_or_default()
    }
}

/// The name of this machine; `localhost` when it has none.
pub(crate) fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// A file's text; `None` when it cannot be read, as some files of an interface that is down.
fn read(path: &Path) -> Option<String> {
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;

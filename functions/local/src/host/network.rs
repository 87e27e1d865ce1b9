//! Network interfaces: `/proc/net/dev`, `/sys/class/net`, `/proc/net/arp`, `/proc/net/softnet_stat`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::points::{MEGABITS, Points, SAME};
use super::read;

/// The columns of `/proc/net/dev` behind the interface's name.
const COUNTERS: [&str; 16] = [
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
];

/// The files of an interface that hold one number each.
const ATTRIBUTES: [(&str, &str); 16] = [
    ("addr_assign_type", "node_network_address_assign_type"),
    ("carrier", "node_network_carrier"),
    ("carrier_changes", "node_network_carrier_changes_total"),
    ("carrier_up_count", "node_network_carrier_up_changes_total"),
    ("carrier_down_count", "node_network_carrier_down_changes_total"),
    ("dev_id", "node_network_device_id"),
    ("dormant", "node_network_dormant"),
    ("flags", "node_network_flags"),
    ("ifindex", "node_network_iface_id"),
    ("iflink", "node_network_iface_link"),
    ("link_mode", "node_network_iface_link_mode"),
    ("mtu", "node_network_mtu_bytes"),
    ("name_assign_type", "node_network_name_assign_type"),
    ("netdev_group", "node_network_net_dev_group"),
    ("tx_queue_len", "node_network_transmit_queue_length"),
    ("type", "node_network_protocol_type"),
];

/// What each interface save the loopback moved since the machine started.
pub(super) fn push_counters(dev: &str, points: &mut Points) {
    for line in dev.lines() {
        let Some((device, counters)) = line.rsplit_once(':') else { continue };
        let device = device.trim();
        if device == "lo" {
            continue;
        }
        for (counter, word) in COUNTERS.into_iter().zip(counters.split_whitespace()) {
            points.push_text(&format!("node_network_{counter}_total"), &[("device", device)], Some(word), SAME);
        }
    }
}

/// State and attributes of each interface. A speed that is not known is -1 Mbit/s, as the kernel says it.
pub(super) fn push_classes(class: &Path, points: &mut Points) {
    let mut devices: Vec<String> = fs::read_dir(class)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|device| class.join(device).is_dir())
        .collect();
    devices.sort();
    for device in devices {
        push_class(&class.join(&device), &device, points);
    }
}

fn push_class(dir: &Path, device: &str, points: &mut Points) {
    let attribute = |file: &str| read(&dir.join(file)).map(|text| text.trim().to_owned());
    let labels = [("device", device)];
    let text = |file: &str| attribute(file).unwrap_or_default();
    let state = text("operstate");
    points.push("node_network_up", &labels, f64::from(u8::from(state == "up")));
    let (address, broadcast) = (text("address"), text("broadcast"));
    let (duplex, alias) = (text("duplex"), text("ifalias"));
    let info: [(&str, &str); 6] = [
        ("device", device),
        ("address", &address),
        ("broadcast", &broadcast),
        ("duplex", &duplex),
        ("ifalias", &alias),
        ("operstate", &state),
    ];
    points.push("node_network_info", &info, 1.0);
    for (file, metric) in ATTRIBUTES {
        if let Some(value) = attribute(file).as_deref().and_then(decimal_or_hex) {
            points.push(metric, &labels, value);
        }
    }
    points.push_text("node_network_speed_bytes", &labels, attribute("speed").as_deref(), MEGABITS);
    if device != "lo" {
        let nohandler = attribute("statistics/rx_nohandler");
        points.push_text("node_network_receive_nohandler_total", &labels, nohandler.as_deref(), SAME);
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
fn decimal_or_hex(text: &str) -> Option<f64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|value| value as f64),
        None => text.parse().ok(),
    }
}

/// How many neighbours each interface knows.
pub(super) fn push_arp(arp: &str, points: &mut Points) {
    let mut entries: BTreeMap<&str, f64> = BTreeMap::new();
    for device in arp.lines().skip(1).filter_map(|line| line.split_whitespace().nth(5)) {
        *entries.entry(device).or_default() += 1.0;
    }
    for (device, count) in entries {
        points.push("node_arp_entries", &[("device", device)], count);
    }
}

/// How each CPU kept up with packets; hexadecimal columns, one line a CPU.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
pub(super) fn push_softnet(softnet: &str, points: &mut Points) {
    for (cpu, line) in softnet.lines().enumerate() {
        let cpu = cpu.to_string();
        for (metric, word) in ["processed", "dropped", "times_squeezed"].into_iter().zip(line.split_whitespace()) {
            if let Ok(value) = u64::from_str_radix(word, 16) {
                points.push(&format!("node_softnet_{metric}_total"), &[("cpu", &cpu)], value as f64);
            }
        }
    }
}

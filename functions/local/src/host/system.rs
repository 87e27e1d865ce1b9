//! The machine as a whole: its name, pressure, file handles, entropy, tracked connections.

use super::points::{MICROSECONDS, Points, SAME};

/// Files of procfs that hold one number.
pub(super) const SINGLE_NUMBERS: [(&str, &str); 4] = [
    ("sys/kernel/random/entropy_avail", "node_entropy_available_bits"),
    ("sys/kernel/random/poolsize", "node_entropy_pool_size_bits"),
    ("sys/net/netfilter/nf_conntrack_count", "node_nf_conntrack_entries"),
    ("sys/net/netfilter/nf_conntrack_max", "node_nf_conntrack_entries_limit"),
];

/// The value of a file that holds one number.
pub(super) fn push_number(metric: &str, text: &str, points: &mut Points) {
    points.push_text(metric, &[], text.split_whitespace().next(), SAME);
}

/// What the kernel says it is.
pub(super) fn push_uname(points: &mut Points) {
    let uname = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    #[cfg(target_os = "linux")]
    let domain = text(uname.domainname());
    #[cfg(not(target_os = "linux"))]
    let domain = "(none)".to_owned();
    let (machine, node, release) = (text(uname.machine()), text(uname.nodename()), text(uname.release()));
    let (system, version) = (text(uname.sysname()), text(uname.version()));
    let labels: [(&str, &str); 6] = [
        ("domainname", &domain),
        ("machine", &machine),
        ("nodename", &node),
        ("release", &release),
        ("sysname", &system),
        ("version", &version),
    ];
    points.push("node_uname_info", &labels, 1.0);
}

/// How long some (waiting) or all (stalled) tasks stood still for want of a resource. For CPU time there is no such
/// thing as all.
pub(super) fn push_pressure(resource: &str, pressure: &str, points: &mut Points) {
    for line in pressure.lines() {
        let metric = match line.split_whitespace().next() {
            Some("some") => format!("node_pressure_{resource}_waiting_seconds_total"),
            Some("full") if resource != "cpu" => format!("node_pressure_{resource}_stalled_seconds_total"),
            _ => continue,
        };
        let total = line.split_whitespace().find_map(|word| word.strip_prefix("total="));
        points.push_text(&metric, &[], total, MICROSECONDS);
    }
}

/// File handles in use and the most there may be.
pub(super) fn push_file_handles(file_nr: &str, points: &mut Points) {
    let mut words = file_nr.split_whitespace();
    points.push_text("node_filefd_allocated", &[], words.next(), SAME);
    points.push_text("node_filefd_maximum", &[], words.nth(1), SAME);
}

/// Bytes of a page of memory.
#[expect(clippy::cast_precision_loss, reason = "a small number")]
pub(super) fn page_bytes() -> f64 {
    rustix::param::page_size() as f64
}

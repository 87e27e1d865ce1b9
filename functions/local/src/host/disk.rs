//! `/proc/diskstats`.

use super::points::{MILLISECONDS, Points, SAME, SECTORS, Unit};

/// The columns behind the device's name, each with what one unit of it is.
const COLUMNS: [(&str, Unit); 17] = [
    ("node_disk_reads_completed_total", SAME),
    ("node_disk_reads_merged_total", SAME),
    ("node_disk_read_bytes_total", SECTORS),
    ("node_disk_read_time_seconds_total", MILLISECONDS),
    ("node_disk_writes_completed_total", SAME),
    ("node_disk_writes_merged_total", SAME),
    ("node_disk_written_bytes_total", SECTORS),
    ("node_disk_write_time_seconds_total", MILLISECONDS),
    ("node_disk_io_now", SAME),
    ("node_disk_io_time_seconds_total", MILLISECONDS),
    ("node_disk_io_time_weighted_seconds_total", MILLISECONDS),
    ("node_disk_discards_completed_total", SAME),
    ("node_disk_discards_merged_total", SAME),
    ("node_disk_discarded_sectors_total", SAME),
    ("node_disk_discard_time_seconds_total", MILLISECONDS),
    ("node_disk_flush_requests_total", SAME),
    ("node_disk_flush_requests_time_seconds_total", MILLISECONDS),
];

/// What each whole disk did since the machine started.
pub(super) fn push(diskstats: &str, points: &mut Points) {
    for line in diskstats.lines() {
        let mut words = line.split_whitespace();
        let (Some(major), Some(minor), Some(device)) = (words.next(), words.next(), words.next()) else { continue };
        if is_part_or_memory(device) {
            continue;
        }
        points.push("node_disk_info", &[("device", device), ("major", major), ("minor", minor)], 1.0);
        for ((metric, unit), word) in COLUMNS.into_iter().zip(words) {
            points.push_text(metric, &[("device", device)], Some(word), unit);
        }
    }
}

/// Whether a device is a partition, a loop, RAM or floppy disk.
fn is_part_or_memory(device: &str) -> bool {
    let stem = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    matches!(stem, "ram" | "loop" | "fd") || is_disk_letter(stem) || is_nvme_part(stem)
}

/// `hda`, `sdb`, `vdc`, `xvdd`.
fn is_disk_letter(stem: &str) -> bool {
    let letter = ["hd", "sd", "vd", "xvd"].iter().find_map(|kind| stem.strip_prefix(kind));
    letter.is_some_and(|letter| letter.len() == 1 && letter.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// `nvme0n1p`.
fn is_nvme_part(stem: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbers =
        stem.strip_prefix("nvme").and_then(|rest| rest.strip_suffix('p')).and_then(|rest| rest.split_once('n'));
    numbers.is_some_and(|(controller, namespace)| is_number(controller) && is_number(namespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_memory_are_told_from_disks() {
        for part in ["sda1", "vdb12", "xvda1", "hdc3", "nvme0n1p2", "nvme10n2p15", "loop0", "ram15", "fd0"] {
            assert!(is_part_or_memory(part), "{part}");
        }
        for disk in ["sda", "vda", "nvme0n1", "dm-0", "md127", "zram0", "sr0", "mmcblk0", "sdaa1"] {
            assert!(!is_part_or_memory(disk), "{disk}");
        }
    }
}

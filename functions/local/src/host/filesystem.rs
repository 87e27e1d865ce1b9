//! `/proc/1/mounts`, and how full each filesystem is.

use std::collections::BTreeSet;

use rustix::fs::StatVfs;

use super::points::Points;

/// Filesystems that hold no data of anybody.
const EXCLUDED_TYPES: [&str; 24] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];
/// Places below which nothing is looked at, each itself included.
const EXCLUDED_TREES: [&str; 6] = ["/dev", "/proc", "/run", "/sys", "/mnt", "/media"];
/// Places below which nothing is looked at, themselves not included.
const EXCLUDED_BELOW: [&str; 2] = ["/var/lib/docker/", "/var/lib/containers/storage/"];

/// One line of the list of mounts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Mount {
    device: String,
    mount_point: String,
    fs_type: String,
    read_only: bool,
}

/// Size and free room of each mounted filesystem.
pub(super) fn push(mounts: &str, points: &mut Points) {
    for mount in parse(mounts) {
        let stat = rustix::fs::statvfs(mount.mount_point.as_str());
        push_mount(&mount, stat.ok().as_ref(), points);
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats; exact up to 8 PiB")]
fn push_mount(mount: &Mount, stat: Option<&StatVfs>, points: &mut Points) {
    let labels: [(&str, &str); 3] =
        [("device", &mount.device), ("fstype", &mount.fs_type), ("mountpoint", &mount.mount_point)];
    points.push("node_filesystem_device_error", &labels, f64::from(u8::from(stat.is_none())));
    points.push("node_filesystem_readonly", &labels, f64::from(u8::from(mount.read_only)));
    let Some(stat) = stat else { return };
    let block_bytes = stat.f_frsize as f64;
    points.push("node_filesystem_size_bytes", &labels, stat.f_blocks as f64 * block_bytes);
    points.push("node_filesystem_free_bytes", &labels, stat.f_bfree as f64 * block_bytes);
    points.push("node_filesystem_avail_bytes", &labels, stat.f_bavail as f64 * block_bytes);
    points.push("node_filesystem_files", &labels, stat.f_files as f64);
    points.push("node_filesystem_files_free", &labels, stat.f_ffree as f64);
}

/// The mounts that are looked at, each once.
fn parse(mounts: &str) -> BTreeSet<Mount> {
    mounts.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Mount> {
    let mut words = line.split_whitespace();
    let (device, mount_point, fs_type) = (words.next()?, unescape(words.next()?), words.next()?);
    let read_only = words.next()?.split(',').any(|option| option == "ro");
    if EXCLUDED_TYPES.contains(&fs_type) || is_excluded(&mount_point) {
        return None;
    }
    Some(Mount { device: device.to_owned(), mount_point, fs_type: fs_type.to_owned(), read_only })
}

fn is_excluded(mount_point: &str) -> bool {
    let below =
        |tree: &&str| mount_point.strip_prefix(*tree).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    EXCLUDED_TREES.iter().any(below)
        || EXCLUDED_BELOW.iter().any(|tree| mount_point.strip_prefix(tree).is_some_and(|rest| !rest.is_empty()))
}

/// Blanks in a path stand there as octal numbers.
fn unescape(path: &str) -> String {
    path.replace("\\040", " ").replace("\\011", "\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_filesystems_with_data_of_somebody_are_looked_at() {
        let mounts = "\
/dev/vda / ext4 rw,relatime 0 0
/dev/vdb /srv/my\\040data xfs ro,noatime 0 0
/dev/vdb /srv/my\\040data xfs ro,noatime 0 0
tmpfs /tmp tmpfs rw 0 0
tmpfs /run/user/0 tmpfs rw 0 0
tmpfs /running tmpfs rw 0 0
overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0
tmpfs /var/lib/docker/containers/x/shm tmpfs rw 0 0
cgroup2 /somewhere cgroup2 rw 0 0
broken line
";
        let found: Vec<(String, bool)> =
            parse(mounts).into_iter().map(|mount| (mount.mount_point, mount.read_only)).collect();
        let expected = [("/", false), ("/srv/my data", true), ("/running", false), ("/tmp", false)];
        assert_eq!(found, expected.map(|(place, read_only)| (place.to_owned(), read_only)));
    }

    #[test]
    fn a_place_that_cannot_be_read_is_an_error_and_no_size() {
        let mut points = Points::new("node", "here", model::Timestamp::from_secs(1));
        push("/dev/vdz /no/such/place ext4 ro 0 0\n", &mut points);
        let batch = points.finish();
        let names: Vec<(String, f64)> =
            batch.iter().map(|series| (series.labels.get("__name__").unwrap().to_owned(), series.values[0])).collect();
        let expected = [("node_filesystem_device_error", 1.0), ("node_filesystem_readonly", 1.0)];
        assert_eq!(names, expected.map(|(name, value)| (name.to_owned(), value)));
    }
}

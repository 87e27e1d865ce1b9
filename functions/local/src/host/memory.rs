//! `/proc/meminfo` and `/proc/vmstat`.

use super::points::{KILOBYTES, Points, SAME};

/// Memory by use; `Active(anon)` becomes `Active_anon`, and what is counted in kB becomes bytes.
pub(super) fn push_meminfo(meminfo: &str, points: &mut Points) {
    for line in meminfo.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        let name = name.replace('(', "_").replace(')', "");
        let mut words = rest.split_whitespace();
        let value = words.next();
        if words.next() == Some("kB") {
            points.push_text(&format!("node_memory_{name}_bytes"), &[], value, KILOBYTES);
        } else {
            points.push_text(&format!("node_memory_{name}"), &[], value, SAME);
        }
    }
}

/// Paging, swapping, page faults and processes that were killed for want of memory.
pub(super) fn push_vmstat(vmstat: &str, points: &mut Points) {
    for line in vmstat.lines() {
        let Some((name, value)) = line.split_once(' ') else { continue };
        let starts = ["oom_kill", "pgpg", "pswp"].iter().any(|start| name.starts_with(start));
        if starts || (name.starts_with("pg") && name.contains("fault")) {
            points.push_text(&format!("node_vmstat_{name}"), &[], Some(value), SAME);
        }
    }
}

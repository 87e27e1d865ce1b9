//! Protocols and sockets: `/proc/net/netstat`, `snmp`, `snmp6`, `sockstat`, `sockstat6`.

use super::points::{Points, SAME, number};

/// The counters that are kept, of the hundreds there are.
fn is_kept(protocol: &str, name: &str) -> bool {
    match protocol {
        _ if matches!(name, "InErrors" | "InErrs") => true,
        "Ip" => name == "Forwarding",
        "Ip6" | "IpExt" => matches!(name, "InOctets" | "OutOctets"),
        "Icmp" | "Icmp6" => matches!(name, "InMsgs" | "OutMsgs"),
        "TcpExt" => {
            name.starts_with("Listen")
                || name.starts_with("Syncookies")
                || matches!(name, "TCPSynRetrans" | "TCPTimeouts")
        }
        "Tcp" => matches!(
            name,
            "ActiveOpens" | "InSegs" | "OutSegs" | "OutRsts" | "PassiveOpens" | "RetransSegs" | "CurrEstab"
        ),
        "Udp" | "Udp6" => {
            matches!(name, "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors")
        }
        _ => false,
    }
}

/// Pairs of lines, the first with names, the second with values, each behind its protocol.
pub(super) fn push_netstat(text: &str, points: &mut Points) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (Some((protocol, names)), Some((_, values))) = (names.split_once(':'), values.split_once(':')) else {
            continue;
        };
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            push_counter(protocol, name, value, points);
        }
    }
}

/// A name and a value a line; the protocol ends at its `6`.
pub(super) fn push_snmp6(text: &str, points: &mut Points) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
        if let Some(six) = name.find('6') {
            push_counter(&name[..=six], &name[six + 1..], value, points);
        }
    }
}

fn push_counter(protocol: &str, name: &str, value: &str, points: &mut Points) {
    if is_kept(protocol, name) {
        points.push_text(&format!("node_netstat_{protocol}_{name}"), &[], Some(value), SAME);
    }
}

/// A protocol a line with names and values in turn; memory comes in pages.
pub(super) fn push_sockstat(text: &str, page_bytes: f64, points: &mut Points) {
    for line in text.lines() {
        let Some((protocol, rest)) = line.split_once(':') else { continue };
        let mut words = rest.split_whitespace();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            let metric = format!("node_sockstat_{protocol}_{name}");
            let Some(value) = number(value) else { continue };
            points.push(&metric, &[], value);
            if name == "mem" {
                points.push(&format!("{metric}_bytes"), &[], value * page_bytes);
            }
        }
    }
}

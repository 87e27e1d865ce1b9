use std::fs;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_250);

/// A folder with the given files of procfs and sysfs.
fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn collect(dir: &tempfile::TempDir) -> Batch {
    Host::new(&dir.path().join("proc")).collect(NOW)
}

/// Series and values without the labels that all have, sorted; `wanted` chooses by the start of the name.
fn lines(batch: &Batch, wanted: &str) -> Vec<String> {
    let mut lines: Vec<String> = batch
        .iter()
        .filter(|series| series.labels.get("__name__").unwrap().starts_with(wanted))
        .map(|series| {
            assert_eq!(series.timestamps, [NOW]);
            assert_eq!((series.labels.get("job"), series.labels.get("instance")), (Some("node"), Some(&*hostname())));
            format!("{} {}", series.labels.to_labels().without(&["job", "instance"]), series.values[0])
        })
        .collect();
    lines.sort();
    lines
}

fn check(file: &str, text: &str, wanted: &str, expected: &[&str]) {
    assert_eq!(lines(&collect(&machine(&[(file, text)])), wanted), expected, "{file}");
}

#[test]
fn a_machine_that_shows_nothing_still_has_a_name_and_a_time() {
    let batch = collect(&machine(&[]));
    assert_eq!(lines(&batch, "node_time"), ["node_time_seconds 1800000000.25"]);
    assert_eq!(lines(&batch, "up"), ["up 1"]);
    assert_eq!(lines(&batch, "node_uname_info").len(), 1);
    assert_eq!(batch.series_count(), 3);
}

#[test]
fn cpu_time_is_in_seconds_by_cpu_and_mode() {
    let stat = "cpu  1 2 3\ncpu0 100 200 300 400 5 6 7 8 9 10\nintr 500 1 2\nctxt 600\nbtime 1700000000\n\
                processes 700\nprocs_running 3\nprocs_blocked 1\nsoftirq 1 2\n";
    check(
        "proc/stat",
        stat,
        "node_cpu",
        &[
            r#"node_cpu_guest_seconds_total{cpu="0", mode="nice"} 0.1"#,
            r#"node_cpu_guest_seconds_total{cpu="0", mode="user"} 0.09"#,
            r#"node_cpu_seconds_total{cpu="0", mode="idle"} 4"#,
            r#"node_cpu_seconds_total{cpu="0", mode="iowait"} 0.05"#,
            r#"node_cpu_seconds_total{cpu="0", mode="irq"} 0.06"#,
            r#"node_cpu_seconds_total{cpu="0", mode="nice"} 2"#,
            r#"node_cpu_seconds_total{cpu="0", mode="softirq"} 0.07"#,
            r#"node_cpu_seconds_total{cpu="0", mode="steal"} 0.08"#,
            r#"node_cpu_seconds_total{cpu="0", mode="system"} 3"#,
            r#"node_cpu_seconds_total{cpu="0", mode="user"} 1"#,
        ],
    );
    check("proc/stat", stat, "node_procs", &["node_procs_blocked 1", "node_procs_running 3"]);
    check("proc/stat", stat, "node_boot", &["node_boot_time_seconds 1700000000"]);
    check("proc/stat", stat, "node_forks", &["node_forks_total 700"]);
    check("proc/stat", stat, "node_context", &["node_context_switches_total 600"]);
    check("proc/stat", stat, "node_intr", &["node_intr_total 500"]);
}

#[test]
fn a_small_correction_of_cpu_time_is_no_restart() {
    let dir = machine(&[]);
    let mut host = Host::new(&dir.path().join("proc"));
    let mut idle = |ticks: &str| {
        fs::create_dir_all(dir.path().join("proc")).unwrap();
        fs::write(dir.path().join("proc/stat"), format!("cpu0 0 0 0 {ticks}\n")).unwrap();
        lines(&host.collect(NOW), r#"node_cpu_seconds_total"#).remove(0)
    };
    let value = |text: &str| format!(r#"node_cpu_seconds_total{{cpu="0", mode="idle"}} {text}"#);
    assert_eq!(idle("1000"), value("10"));
    assert_eq!(idle("900"), value("10"));
    assert_eq!(idle("1100"), value("11"));
    assert_eq!(idle("100"), value("1"));
}

#[test]
fn memory_is_in_bytes() {
    let meminfo = "MemTotal:       16000 kB\nActive(anon):    10 kB\nHugePages_Total:       2\n\nodd line\n";
    let expected =
        ["node_memory_Active_anon_bytes 10240", "node_memory_HugePages_Total 2", "node_memory_MemTotal_bytes 16384000"];
    check("proc/meminfo", meminfo, "node_memory", &expected);
    let vmstat = "nr_free_pages 5\npgpgin 1\npswpout 2\npgfault 3\npgmajfault 4\noom_kill 5\npgsteal_kswapd 6\n";
    let expected = [
        "node_vmstat_oom_kill 5",
        "node_vmstat_pgfault 3",
        "node_vmstat_pgmajfault 4",
        "node_vmstat_pgpgin 1",
        "node_vmstat_pswpout 2",
    ];
    check("proc/vmstat", vmstat, "node_vmstat", &expected);
}

#[test]
fn disks_are_counted_in_bytes_and_seconds_and_partitions_not_at_all() {
    let diskstats = "   8  0 sda 1 2 4 1000 5 6 8 3000 9 4000 5000 12 13 14 1500 16 1700\n   8  1 sda1 1 1 1 1\n";
    let expected = [
        r#"node_disk_discard_time_seconds_total{device="sda"} 1.5"#,
        r#"node_disk_discarded_sectors_total{device="sda"} 14"#,
        r#"node_disk_discards_completed_total{device="sda"} 12"#,
        r#"node_disk_discards_merged_total{device="sda"} 13"#,
        r#"node_disk_flush_requests_time_seconds_total{device="sda"} 1.7"#,
        r#"node_disk_flush_requests_total{device="sda"} 16"#,
        r#"node_disk_info{device="sda", major="8", minor="0"} 1"#,
        r#"node_disk_io_now{device="sda"} 9"#,
        r#"node_disk_io_time_seconds_total{device="sda"} 4"#,
        r#"node_disk_io_time_weighted_seconds_total{device="sda"} 5"#,
        r#"node_disk_read_bytes_total{device="sda"} 2048"#,
        r#"node_disk_read_time_seconds_total{device="sda"} 1"#,
        r#"node_disk_reads_completed_total{device="sda"} 1"#,
        r#"node_disk_reads_merged_total{device="sda"} 2"#,
        r#"node_disk_write_time_seconds_total{device="sda"} 3"#,
        r#"node_disk_writes_completed_total{device="sda"} 5"#,
        r#"node_disk_writes_merged_total{device="sda"} 6"#,
        r#"node_disk_written_bytes_total{device="sda"} 4096"#,
    ];
    check("proc/diskstats", diskstats, "node_disk", &expected);
}

#[test]
fn a_filesystem_has_size_and_room() {
    let batch = collect(&machine(&[("proc/1/mounts", "/dev/x / ext4 rw 0 0\n")]));
    let names: Vec<String> =
        lines(&batch, "node_filesystem").iter().map(|line| line.split('{').next().unwrap().to_owned()).collect();
    let expected = ["avail_bytes", "device_error", "files_free", "files", "free_bytes", "readonly", "size_bytes"];
    assert_eq!(names, expected.map(|name| format!("node_filesystem_{name}")));
}

#[test]
fn interfaces_have_counters_and_a_state() {
    let dev = "Inter-| Receive | Transmit\n face |bytes|bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
               eth0:10 2 3 4 5 6 7 8 90 10 11 12 13 14 15 16\n";
    let dir = machine(&[
        ("proc/net/dev", dev),
        (
            "proc/net/arp",
            "IP address HW Flags MAC Mask Device\n1.1.1.1 0x1 0x2 02:fc * eth0\n1.1.1.2 0x1 0x2 02:fd * eth0\n",
        ),
        ("proc/net/softnet_stat", "000000b5 00000001 00000002 0\n000000ff 0 0 0\n"),
        ("sys/class/net/bonding_masters", "\n"),
        ("sys/class/net/eth0/operstate", "up\n"),
        ("sys/class/net/eth0/address", "02:fc:00:00:00:01\n"),
        ("sys/class/net/eth0/speed", "1000\n"),
        ("sys/class/net/eth0/flags", "0x1003\n"),
        ("sys/class/net/eth0/mtu", "1500\n"),
        ("sys/class/net/eth0/statistics/rx_nohandler", "7\n"),
    ]);
    let batch = collect(&dir);
    assert_eq!(lines(&batch, "node_network_receive_bytes"), [r#"node_network_receive_bytes_total{device="eth0"} 10"#]);
    assert_eq!(
        lines(&batch, "node_network_transmit_bytes"),
        [r#"node_network_transmit_bytes_total{device="eth0"} 90"#]
    );
    assert_eq!(lines(&batch, "node_network_transmit").len(), 8);
    assert_eq!(lines(&batch, "node_network_speed"), [r#"node_network_speed_bytes{device="eth0"} 125000000"#]);
    assert_eq!(lines(&batch, "node_network_up"), [r#"node_network_up{device="eth0"} 1"#]);
    assert_eq!(lines(&batch, "node_network_flags"), [r#"node_network_flags{device="eth0"} 4099"#]);
    assert_eq!(
        lines(&batch, "node_network_info"),
        [r#"node_network_info{address="02:fc:00:00:00:01", device="eth0", operstate="up"} 1"#]
    );
    assert_eq!(lines(&batch, "node_arp"), [r#"node_arp_entries{device="eth0"} 2"#]);
    assert_eq!(
        lines(&batch, "node_softnet_processed"),
        [r#"node_softnet_processed_total{cpu="0"} 181"#, r#"node_softnet_processed_total{cpu="1"} 255"#]
    );
}

#[test]
fn protocols_show_the_counters_that_matter() {
    let netstat = "TcpExt: SyncookiesSent TW ListenDrops\nTcpExt: 1 2 3\nIpExt: InNoRoutes InOctets\nIpExt: 4 5\n";
    let expected =
        ["node_netstat_IpExt_InOctets 5", "node_netstat_TcpExt_ListenDrops 3", "node_netstat_TcpExt_SyncookiesSent 1"];
    check("proc/net/netstat", netstat, "node_netstat", &expected);
    let snmp = "Tcp: RtoMin CurrEstab InErrs\nTcp: 200 7 1\nUdpLite: InErrors NoPorts\nUdpLite: 8 9\n";
    let expected = ["node_netstat_Tcp_CurrEstab 7", "node_netstat_Tcp_InErrs 1", "node_netstat_UdpLite_InErrors 8"];
    check("proc/net/snmp", snmp, "node_netstat", &expected);
    let snmp6 = "Ip6InOctets 1\nIp6InReceives 2\nUdp6InErrors 3\nUdpLite6InErrors 4\n";
    let expected = ["node_netstat_Ip6_InOctets 1", "node_netstat_Udp6_InErrors 3", "node_netstat_UdpLite6_InErrors 4"];
    check("proc/net/snmp6", snmp6, "node_netstat", &expected);
    let mem_bytes = format!("node_sockstat_TCP_mem_bytes {}", 2.0 * system::page_bytes());
    let expected =
        ["node_sockstat_TCP_inuse 3", "node_sockstat_TCP_mem 2", &mem_bytes, "node_sockstat_sockets_used 22"];
    check("proc/net/sockstat", "sockets: used 22\nTCP: inuse 3 mem 2\n", "node_sockstat", &expected);
}

#[test]
fn pressure_load_and_handles_are_read() {
    let pressure = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 total=1000000\n";
    check("proc/pressure/cpu", pressure, "node_pressure", &["node_pressure_cpu_waiting_seconds_total 2.5"]);
    let expected = ["node_pressure_io_stalled_seconds_total 1", "node_pressure_io_waiting_seconds_total 2.5"];
    check("proc/pressure/io", pressure, "node_pressure", &expected);
    let expected = ["node_load1 0.5", "node_load15 2", "node_load5 1.25"];
    check("proc/loadavg", "0.50 1.25 2.00 1/100 4242\n", "node_load", &expected);
    let expected = ["node_filefd_allocated 960", "node_filefd_maximum 9223372036854775807"];
    let batch = collect(&machine(&[("proc/sys/fs/file-nr", "960\t0\t9223372036854775807\n")]));
    assert_eq!(lines(&batch, "node_filefd").len(), expected.len());
    check("proc/sys/net/netfilter/nf_conntrack_count", "12\n", "node_nf", &["node_nf_conntrack_entries 12"]);
}

#[test]
fn bytes_that_are_no_text_stop_nothing() {
    let dir = machine(&[("proc/loadavg", "1 1 1"), ("proc/meminfo", "")]);
    fs::write(dir.path().join("proc/meminfo"), b"MemTotal: 1 kB\n\xff\xfe: 2 kB\n").unwrap();
    let batch = collect(&dir);
    assert!(lines(&batch, "node_memory").contains(&"node_memory_MemTotal_bytes 1024".to_owned()));
    assert_eq!(lines(&batch, "node_load").len(), 3);
}

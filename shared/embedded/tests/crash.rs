//! A process that is killed, and a disk that is full: each played by this test binary itself, started once more.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use app::ports::{ByteRange, Expect, ObjectStore as _, RowKey, RowRange, RowWrite, Shard, StateStore as _, Wal as _};
use app::ports::{PortResult, range_all};
use bytes::Bytes;
use model::{ErrorKind, TenantId, Timestamp};

const SHARD: Shard = Shard(0);
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn kind<T>(result: &PortResult<T>) -> Option<ErrorKind> {
    result.as_ref().err().map(app::ports::PortError::kind)
}

/// Starts this binary again to run one ignored test, with a data folder on its standard input.
fn start(mut command: Command, test: &str, dir: &Path) -> Child {
    command.args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("its input is a pipe");
    writeln!(input, "{}", dir.display()).expect("it reads its input");
    child
}

/// The data folder that [`start`] named.
fn dir_from_stdin() -> std::path::PathBuf {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("a line of input");
    assert!(!line.is_empty(), "this test is started by another one, which names a folder");
    line.trim_end().into()
}

fn this_binary() -> std::path::PathBuf {
    std::env::current_exe().expect("a running binary has a path")
}

/// Writes through all ports for ever and says what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test that kills it"]
async fn writes_until_it_is_killed() {
    let store = embedded::open(&dir_from_stdin()).unwrap();
    let started = std::process::id();
    for number in 0.. {
        let name = format!("{started}-{number}");
        let blob = || Bytes::from(name.clone());
        let tenant = TenantId::default_tenant();
        let row = RowWrite::put(RowKey::new("p", name.as_str()), Expect::Absent, blob());
        let (appended, put, written) = tokio::join!(
            store.wal.append(SHARD, 1, &tenant, blob()),
            store.objects.put_new(&name, blob()),
            store.state.write(vec![row], NOW),
        );
        appended.and(put).and(written).unwrap();
        writeln!(std::io::stdout(), "acknowledged {name}").unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 1..=3 {
        let mut child = start(Command::new(this_binary()), "writes_until_it_is_killed", dir.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let names = lines.filter_map(|line| Some(line.unwrap().split_once("acknowledged ")?.1.to_owned()));
        acknowledged.extend(names.take(25 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = embedded::open(dir.path()).unwrap();
        let entries = store.wal.read(SHARD, 0..2).await.unwrap().entries;
        for name in &acknowledged {
            assert!(entries.iter().any(|entry| entry.blob == name), "{name} is not in the log");
            let row = store.state.get(&RowKey::new("p", name.as_str()), NOW).await.unwrap();
            assert_eq!(row.unwrap().value, name);
            assert_eq!(store.objects.get(name, ByteRange::All).await.unwrap(), name);
        }
    }
    assert_eq!(acknowledged.len(), 25 + 50 + 75);
}

/// Fills a disk on which no file may grow over some megabytes, and goes on when there is room.
#[tokio::test]
#[ignore = "started by the test that limits its files"]
async fn meets_a_full_disk() {
    let dir = dir_from_stdin();
    let store = embedded::open(&dir).unwrap();
    let unavailable = Some(ErrorKind::Unavailable);
    let tenant = TenantId::default_tenant();
    let large = Bytes::from(vec![1; 12 << 20]);

    store.wal.append(SHARD, 1, &tenant, Bytes::from_static(b"before")).await.unwrap();
    for _ in 0..2 {
        assert_eq!(kind(&store.wal.append(SHARD, 2, &tenant, large.clone()).await), unavailable);
        store.wal.append(SHARD, 3, &tenant, Bytes::from_static(b"after")).await.unwrap();
    }

    store.objects.put_new("before", Bytes::from_static(b"before")).await.unwrap();
    assert_eq!(kind(&store.objects.put_new("large", large).await), unavailable);
    assert_eq!(kind(&store.objects.get("large", ByteRange::All).await), Some(ErrorKind::NotFound));
    store.objects.put_new("after", Bytes::from_static(b"after")).await.unwrap();
    assert_eq!(std::fs::read_dir(dir.join("tmp")).unwrap().count(), 0, "nothing half-written");

    let mut stored = 0;
    let failed = loop {
        assert!(stored < 100, "the limit on files has no effect");
        let rows = (0..2).map(|half| {
            let key = RowKey::new("p", format!("{stored:03}-{half}"));
            RowWrite::put(key, Expect::Absent, vec![half; 100 << 10])
        });
        match store.state.write(rows.collect(), NOW).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed}");
    for _ in 0..2 {
        let rows = range_all(&*store.state, RowRange::all("p"), NOW).await.unwrap();
        assert_eq!(rows.len(), stored * 2, "no half of a write");
        let delete = |row: &app::ports::Row| RowWrite::delete(row.key.clone(), Expect::Version(row.version));
        store.state.write(rows[..4].iter().map(delete).collect(), NOW).await.unwrap();
        stored -= 2;
    }
    let small = RowWrite::put(RowKey::new("p", "small"), Expect::Absent, "value");
    store.state.write(vec![small], NOW).await.unwrap();
    writeln!(std::io::stdout(), "all as expected").unwrap();
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_leaves_nothing_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    // Blocks of 512 or 1,024 bytes, by shell. Without the trap the signal of a file too large would end the process.
    let script = "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\"";
    shell.args(["-c", script]).arg(this_binary());
    let output = start(shell, "meets_a_full_disk", dir.path()).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("all as expected"), "{text}");

    let store = embedded::open(dir.path()).unwrap();
    let entries = store.wal.read(SHARD, 0..9).await.unwrap().entries;
    let found: Vec<(i64, &[u8])> = entries.iter().map(|entry| (entry.minute, &entry.blob[..])).collect();
    assert_eq!(found, [(1, &b"before"[..]), (3, b"after")]);
    let objects = store.objects.list("", None).await.unwrap().entries;
    assert_eq!(objects.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["after", "before"]);
    let small = store.state.get(&RowKey::new("p", "small"), NOW).await.unwrap();
    assert_eq!(small.unwrap().value, "value");
}

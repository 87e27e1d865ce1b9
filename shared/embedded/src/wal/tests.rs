//! Crashes, damage and forgetting, on real files.

use std::fs;
use std::os::unix::fs::FileExt as _;

use super::*;

const SHARD: Shard = Shard(0);
const ALL: Range<Minute> = Minute::MIN..Minute::MAX;

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn lock(dir: &Path) -> Arc<FolderLock> {
    Arc::new(crate::folder::claim(dir).unwrap())
}

fn open(dir: &Path) -> SegmentWal {
    SegmentWal::open(&dir.join("wal"), lock(dir)).unwrap()
}

async fn append(wal: &SegmentWal, minute: Minute, blob: &str) {
    wal.append(SHARD, minute, &tenant(), Bytes::from(blob.to_owned())).await.unwrap();
}

async fn minutes(wal: &SegmentWal) -> Vec<Minute> {
    wal.read(SHARD, ALL).await.unwrap().entries.iter().map(|entry| entry.minute).collect()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir.join("wal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// A segment of some groups as a crash leaves it (without a seal), and where each group ends.
fn crashed_segment(groups: i64) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = segment::HEADER.to_vec();
    let mut ends = Vec::new();
    for minute in 0..groups {
        let entry = |blob: &'static [u8]| segment::Entry {
            shard: SHARD,
            minute,
            tenant: tenant(),
            blob: Bytes::from_static(blob),
        };
        let group = [entry(b"some bytes"), entry(b"more of them")];
        bytes.extend(segment::encode_group(&group, 1, bytes.len() as u64));
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn folder_with(segment: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    drop(lock(dir.path()));
    fs::create_dir(dir.path().join("wal")).unwrap();
    fs::write(dir.path().join("wal/0000000001.wal"), segment).unwrap();
    dir
}

/// Wherever a crash cuts the log, and whatever the file system left behind the cut.
#[test]
fn a_torn_tail_is_cut_off_and_all_before_it_stays() {
    let (bytes, ends) = crashed_segment(2);
    for cut in 0..bytes.len() {
        let tail: &[u8] = match cut % 3 {
            _ if cut < segment::HEADER.len() => b"",
            0 => b"",
            1 => &[0; 40],
            _ => &[0xf5; 40],
        };
        let dir = tempfile::tempdir().unwrap();
        let path = segment_path(dir.path(), 1);
        fs::write(&path, [&bytes[..cut], tail].concat()).unwrap();
        let found = scan::open_segments(dir.path()).unwrap();
        let whole: Vec<usize> = ends.iter().copied().filter(|end| *end <= cut).collect();
        let mut minutes = Vec::new();
        if let Some(index) = found.segments.get(&1) {
            let file = File::open(&path).unwrap();
            let mut offset = segment::HEADER_BYTES;
            while let Ok(group) = read_group(&file, 1, offset, file.metadata().unwrap().len()) {
                minutes.push(group.entries[0].minute);
                assert_eq!(
                    index.part(SHARD, &(minutes.len() as i64 - 1..minutes.len() as i64)),
                    Some(offset..group.end)
                );
                offset = group.end;
            }
        }
        assert_eq!(minutes, (0..whole.len() as i64).collect::<Vec<_>>(), "cut at {cut}");
        assert_eq!(path.exists(), !whole.is_empty(), "cut at {cut}: a segment without entries goes");
    }
}

/// After a crash the log goes on behind what was left.
#[tokio::test]
async fn after_a_torn_tail_appends_go_on() {
    let (bytes, ends) = crashed_segment(3);
    let dir = folder_with(&bytes[..ends[2] - 1]);
    for minute in [500, 501] {
        append(&open(dir.path()), minute, "after the crash").await;
    }
    assert_eq!(minutes(&open(dir.path())).await, [0, 0, 1, 1, 500, 501]);
}

/// Opening refuses a segment with a bad group before a good one, and leaves it as it is.
#[tokio::test]
async fn damage_before_a_good_group_is_an_error() {
    let (bytes, ends) = crashed_segment(3);
    for place in (segment::HEADER.len()..ends[1]).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x40;
        let dir = folder_with(&damaged);
        let error = SegmentWal::open(&dir.path().join("wal"), lock(dir.path())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {place}: {error}");
        let expected = if place < ends[0] { segment::HEADER.len() } else { ends[0] };
        assert!(error.to_string().contains(&format!("0000000001.wal is damaged at byte {expected}")), "{error}");
        assert_eq!(fs::read(&segments(dir.path())[0]).unwrap(), damaged, "it is left as it is");
    }
}

/// A segment of three minutes, an entry in each, that was closed properly.
async fn sealed_segment() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path());
    for minute in 0..3 {
        append(&wal, minute, "some bytes").await;
    }
    drop(wal);
    let path = segments(dir.path()).remove(0);
    (dir, path)
}

/// The minutes that have good entries and those that are damaged.
async fn found(wal: &SegmentWal, range: Range<Minute>) -> (Vec<Minute>, Vec<Minute>) {
    let read = wal.read(SHARD, range).await.unwrap();
    let good = read.entries.iter().map(|entry| entry.minute).collect();
    (good, read.damaged.iter().map(|damaged| damaged.minute).collect())
}

/// Damage is told by the reads that meet it, only by these, and hides nothing before or behind it.
#[tokio::test]
async fn damage_in_a_sealed_segment_is_told_and_read_past() {
    let frame = segment::FRAME_BYTES + 15 + "default".len() + "some bytes".len();
    // The magic, the length, the checksum, the body.
    for place in [0, 4, 7, 9, segment::FRAME_BYTES + 30] {
        let (dir, path) = sealed_segment().await;
        let mut bytes = fs::read(&path).unwrap();
        bytes[segment::HEADER.len() + frame + place] ^= 1;
        fs::write(&path, bytes).unwrap();
        let wal = open(dir.path());
        for (range, good, damaged) in
            [(0..1, vec![0], vec![]), (1..2, vec![], vec![1]), (2..3, vec![2], vec![]), (0..3, vec![0, 2], vec![1])]
        {
            assert_eq!(found(&wal, range.clone()).await, (good, damaged), "byte {place}, {range:?}");
        }
        let start = segment::HEADER.len() + frame;
        let expected = format!("0000000001.wal from byte {start} to {}", start + frame);
        let told = &wal.read(SHARD, ALL).await.unwrap().damaged[0];
        assert!(told.place.ends_with(&expected) && !told.reason.is_empty(), "{told:?}");
    }
}

#[tokio::test]
async fn a_segment_that_is_cut_or_gone_is_told() {
    let (dir, path) = sealed_segment().await;
    let wal = open(dir.path());
    let frame = segment::FRAME_BYTES + 15 + "default".len() + "some bytes".len();
    File::options().write(true).open(&path).unwrap().set_len((segment::HEADER.len() + frame + 5) as u64).unwrap();
    assert_eq!(found(&wal, 0..9).await, (vec![0], vec![2]));
    append(&wal, 7, "new").await;
    assert_eq!(found(&wal, 0..9).await, (vec![0, 7], vec![2]));
    drop(wal);
    let (dir, path) = sealed_segment().await;
    let wal = open(dir.path());
    fs::remove_file(path).unwrap();
    assert_eq!(found(&wal, 0..2).await, (vec![], vec![1]));
}

/// A seal that is damaged or lost costs a reading through, no more.
#[tokio::test]
async fn a_damaged_seal_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path());
    append(&wal, 1, "some bytes").await;
    append(&wal, 2, "some bytes").await;
    drop(wal);
    let path = &segments(dir.path())[0];
    let whole = fs::read(path).unwrap();
    for place in (whole.len() - 50..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        for bytes in [damaged, whole[..place].to_vec()] {
            fs::write(path, bytes).unwrap();
            assert_eq!(minutes(&open(dir.path())).await, [1, 2], "{place}");
            assert_eq!(fs::read(path).unwrap(), whole, "{place}");
        }
    }
}

#[tokio::test]
async fn a_segment_of_another_version_is_refused() {
    let (mut bytes, _) = crashed_segment(1);
    bytes[8] = 2;
    let dir = folder_with(&bytes);
    let error = SegmentWal::open(&dir.path().join("wal"), lock(dir.path())).unwrap_err();
    assert!(error.to_string().contains("not a segment of this version"), "{error}");
}

/// A frame that was copied to another place does not pass for one of that place.
#[tokio::test]
async fn a_copied_group_is_no_group() {
    let (bytes, ends) = crashed_segment(2);
    let copied = [&bytes[..], &bytes[segment::HEADER.len()..ends[0]]].concat();
    let dir = folder_with(&copied);
    assert_eq!(minutes(&open(dir.path())).await, [0, 0, 1, 1]);
}

/// Hours of traffic make several segments, which go one by one when they are forgotten.
#[tokio::test]
async fn forgotten_segments_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path());
    let blob = "x".repeat(10 << 10);
    for minute in 0..300 {
        append(&wal, minute, &blob).await;
    }
    assert_eq!(segments(dir.path()).len(), 5);
    wal.forget_before(SHARD, 150).await.unwrap();
    assert_eq!(segments(dir.path()).len(), 3);
    assert_eq!(minutes(&wal).await, (120..300).collect::<Vec<_>>());
    drop(wal);
    let wal = open(dir.path());
    assert_eq!(minutes(&wal).await, (120..300).collect::<Vec<_>>());
    wal.forget_before(SHARD, 300).await.unwrap();
    assert_eq!(segments(dir.path()).len(), 0);
    assert_eq!(minutes(&wal).await, [0; 0]);
    append(&wal, 7, "new").await;
    assert_eq!(minutes(&wal).await, [7]);
}

/// A segment stays while one shard needs it.
#[tokio::test]
async fn a_segment_of_two_shards_is_deleted_when_both_forget() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path());
    append(&wal, 1, "blob").await;
    wal.append(Shard(1), 1, &tenant(), Bytes::from_static(b"blob")).await.unwrap();
    drop(wal);
    let wal = open(dir.path());
    wal.forget_before(SHARD, 2).await.unwrap();
    assert_eq!(wal.read(Shard(1), ALL).await.unwrap().entries.len(), 1);
    wal.forget_before(Shard(1), 2).await.unwrap();
    assert_eq!(segments(dir.path()).len(), 0);
}

/// Concurrent appends share syncs: far fewer groups than appends.
#[tokio::test]
async fn concurrent_appends_become_few_groups() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Arc::new(open(dir.path()));
    let appends = (0..2000).map(|number| {
        let wal = Arc::clone(&wal);
        tokio::spawn(async move { append(&wal, 1, &format!("blob {number}")).await })
    });
    for task in appends.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(minutes(&wal).await.len(), 2000);
    let file = File::open(&segments(dir.path())[0]).unwrap();
    let size = file.metadata().unwrap().len();
    let (mut offset, mut groups) = (segment::HEADER_BYTES, 0);
    while offset < size {
        offset = read_group(&file, 1, offset, size).unwrap().end;
        groups += 1;
    }
    assert!(groups < 400, "{groups} groups for 2000 appends");
    let mut header = [0; 16];
    file.read_exact_at(&mut header, 0).unwrap();
    assert_eq!(header, segment::HEADER);
}

#[tokio::test]
async fn minutes_with_entries_are_known_of_all_segments() {
    let dir = folder_with(&crashed_segment(3).0);
    let wal = open(dir.path());
    for minute in [29_000_000, 2, -7] {
        append(&wal, minute, "blob").await;
    }
    let listed = async |range| wal.minutes(SHARD, range).await.unwrap();
    assert_eq!(listed(ALL).await, [-7, 0, 1, 2, 29_000_000]);
    assert_eq!(listed(1..29_000_000).await, [1, 2]);
    assert_eq!((listed(3..9).await, listed(Range { start: 9, end: -9 }).await), (Vec::new(), Vec::new()));
    assert_eq!(wal.minutes(Shard(1), ALL).await.unwrap(), Vec::<Minute>::new());
}

//! The contract of `Wal`.

use std::fmt;

use app::ports::{DamagedEntry, Minute, Shard, Wal, WalEntry, WalRead};
use app::refusals::BLOB_BYTES_MAX;
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use model::{ErrorKind, TenantId};
use xxhash_rust::xxh3::xxh3_128;

use crate::Subject;
use crate::random::Random;

/// Makes a test of each check of this module, for the adapter that the expression gives.
#[macro_export]
macro_rules! wal_contract {
    ($subject:expr) => {
        $crate::checks!(
            $subject,
            wal,
            [
                what_was_appended_is_read_back,
                blobs_of_all_sizes_come_back_whole,
                a_blob_over_the_limit_is_refused,
                the_same_append_again_changes_nothing,
                minute_tenant_and_shard_tell_equal_bytes_apart,
                entries_come_by_minute_tenant_and_hash,
                a_range_holds_its_start_and_not_its_end,
                minutes_with_entries_are_listed,
                appended_entries_survive_a_restart,
                entries_of_before_and_after_a_restart_stand_together,
                its_size_grows_with_what_is_appended,
                concurrent_appends_are_all_there,
                forgetting_keeps_all_from_the_minute_on,
                a_forgotten_minute_takes_new_entries,
            ]
        );
    };
}

/// Makes a test of each check of what a log does about damage, for the [`Damageable`] that the expression gives.
#[macro_export]
macro_rules! wal_damage_contract {
    ($damageable:expr) => {
        $crate::checks!($damageable, wal, [damage_hides_nothing_else, a_damaged_log_takes_new_entries]);
    };
}

/// A log, and a way to harm what it has stored.
pub struct Damageable {
    /// The log.
    pub subject: Subject<dyn Wal>,
    /// Harms one entry of shard 0 where it lies; the log is closed meanwhile.
    pub damage: Box<dyn Fn(WalEntry) -> BoxFuture<'static, ()> + Send + Sync>,
    /// The size of blobs that this can be done to.
    pub blob_bytes: usize,
}

impl fmt::Debug for Damageable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Damageable")
    }
}

const SHARD: Shard = Shard(0);
const ALL: std::ops::Range<Minute> = Minute::MIN..Minute::MAX;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a valid name")
}

fn entry(minute: Minute, name: &str, blob: &'static str) -> WalEntry {
    let blob = Bytes::from_static(blob.as_bytes());
    WalEntry { minute, tenant: tenant(name), hash: xxh3_128(&blob), blob }
}

async fn append(wal: &dyn Wal, entry: &WalEntry) {
    wal.append(SHARD, entry.minute, &entry.tenant, entry.blob.clone()).await.expect("an append");
}

async fn append_all(wal: &dyn Wal, entries: &[WalEntry]) {
    for entry in entries {
        append(wal, entry).await;
    }
}

async fn read(wal: &dyn Wal, minutes: std::ops::Range<Minute>) -> Vec<WalEntry> {
    let WalRead { entries, damaged } = wal.read(SHARD, minutes).await.expect("a read");
    assert_eq!(damaged, [], "nothing is damaged");
    entries
}

/// Minute, tenant, hash (XXH3-128 of the bytes) and bytes come back as they were given.
pub async fn what_was_appended_is_read_back(subject: Subject<dyn Wal>) {
    assert_eq!(read(subject.port(), ALL).await, [], "nothing at first");
    let expected = entry(29_000_000, "team-a.prod_1", "blob");
    append(subject.port(), &expected).await;
    assert_eq!(read(subject.port(), ALL).await, [expected]);
}

/// An empty blob is a blob, and one of some megabytes too.
pub async fn blobs_of_all_sizes_come_back_whole(subject: Subject<dyn Wal>) {
    let mut random = Random::new(1);
    let sizes = [0, 1, 7, 4096, 65_537, 5 << 20];
    for (minute, size) in (0..).zip(sizes) {
        let blob: Vec<u8> = (0..size).map(|_| random.next().to_le_bytes()[0]).collect();
        subject.port().append(SHARD, minute, &tenant("t"), blob.clone().into()).await.expect("an append");
        let found = read(subject.port(), minute..minute + 1).await;
        assert_eq!(found.len(), 1, "{size} bytes");
        assert!(found[0].blob == blob, "{size} bytes come back changed");
    }
}

/// 64 MB; it leaves nothing.
pub async fn a_blob_over_the_limit_is_refused(subject: Subject<dyn Wal>) {
    let blob = Bytes::from(vec![0; BLOB_BYTES_MAX + 1]);
    let error = subject.port().append(SHARD, 1, &tenant("t"), blob).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(read(subject.port(), ALL).await, []);
}

/// The same tenant, minute and bytes again succeed and are one entry, also across a restart.
pub async fn the_same_append_again_changes_nothing(mut subject: Subject<dyn Wal>) {
    let once = entry(5, "t", "blob");
    append_all(subject.port(), &[once.clone(), once.clone()]).await;
    assert_eq!(read(subject.port(), ALL).await, std::slice::from_ref(&once));
    subject.reopen();
    append(subject.port(), &once).await;
    assert_eq!(read(subject.port(), ALL).await, [once]);
}

/// Equal bytes in another minute, of another tenant or in another shard are another entry.
pub async fn minute_tenant_and_shard_tell_equal_bytes_apart(subject: Subject<dyn Wal>) {
    let entries = [entry(5, "a", "blob"), entry(5, "b", "blob"), entry(6, "a", "blob")];
    append_all(subject.port(), &entries).await;
    subject.port().append(Shard(7), 5, &tenant("a"), Bytes::from_static(b"blob")).await.expect("an append");
    assert_eq!(read(subject.port(), ALL).await, entries);
    assert_eq!(subject.port().read(Shard(7), ALL).await.expect("a read").entries, entries[..1]);
    assert_eq!(subject.port().read(Shard(8), ALL).await.expect("a read"), WalRead::default());
}

/// Whatever the order of the appends.
pub async fn entries_come_by_minute_tenant_and_hash(subject: Subject<dyn Wal>) {
    let blobs = ["one", "two", "three", "four"];
    let places = [(-1, "b"), (3, "a"), (3, "b"), (3, "B"), (2, "b"), (3, "a-")];
    let mut entries: Vec<WalEntry> =
        places.iter().flat_map(|&(minute, name)| blobs.map(|blob| entry(minute, name, blob))).collect();
    append_all(subject.port(), &entries).await;
    entries.sort_by_key(|entry| (entry.minute, entry.tenant.clone(), entry.hash));
    assert_eq!(read(subject.port(), ALL).await, entries);
}

/// In order and once each, of the shard that was asked for; also those of before a restart.
pub async fn minutes_with_entries_are_listed(mut subject: Subject<dyn Wal>) {
    let listed = async |wal: &dyn Wal, range| wal.minutes(SHARD, range).await.expect("minutes");
    assert!(listed(subject.port(), ALL).await.is_empty(), "nothing at first");
    let places = [(29_000_007, "a"), (-3, "a"), (29_000_000, "b"), (29_000_000, "a"), (5, "t")];
    append_all(subject.port(), &places.map(|(minute, name)| entry(minute, name, "blob"))).await;
    subject.port().append(Shard(7), 6, &tenant("a"), Bytes::from_static(b"blob")).await.expect("an append");
    subject.reopen();
    append(subject.port(), &entry(29_000_007, "a", "another")).await;
    assert_eq!(listed(subject.port(), ALL).await, [-3, 5, 29_000_000, 29_000_007]);
    assert_eq!(subject.port().minutes(Shard(7), ALL).await.expect("minutes"), [6]);
    for (start, end, expected) in [(-3, 6, &[-3, 5][..]), (-2, 5, &[]), (5, 29_000_007, &[5, 29_000_000]), (9, 5, &[])]
    {
        assert_eq!(listed(subject.port(), start..end).await, expected, "{start}..{end}");
    }
}

/// Ranges without minutes are empty, also backward ones.
pub async fn a_range_holds_its_start_and_not_its_end(subject: Subject<dyn Wal>) {
    let entries: Vec<WalEntry> = (-3..7).map(|minute| entry(minute, "t", "blob")).collect();
    append_all(subject.port(), &entries).await;
    for (start, end, expected) in [(-3, 7, 10), (0, 1, 1), (0, 4, 4), (-9, -2, 1), (6, 99, 1), (7, 99, 0), (2, 2, 0)] {
        let found: Vec<Minute> = read(subject.port(), start..end).await.iter().map(|entry| entry.minute).collect();
        assert_eq!(found, (start.max(-3)..end.min(7)).collect::<Vec<_>>(), "{start}..{end}");
        assert_eq!(found.len(), expected, "{start}..{end}");
    }
    let backward = std::ops::Range { start: 4, end: 1 };
    assert_eq!(read(subject.port(), backward).await, []);
}

/// What was acknowledged is there after any number of restarts.
pub async fn appended_entries_survive_a_restart(mut subject: Subject<dyn Wal>) {
    let entries: Vec<WalEntry> = (0..200).map(|minute| entry(minute, "t", "some bytes")).collect();
    append_all(subject.port(), &entries).await;
    for _ in 0..3 {
        subject.reopen();
        assert_eq!(read(subject.port(), ALL).await, entries);
    }
}

/// A minute may hold entries of several lives of the process.
pub async fn entries_of_before_and_after_a_restart_stand_together(mut subject: Subject<dyn Wal>) {
    let mut entries = Vec::new();
    for blob in ["first", "second", "third"] {
        let now = [entry(10, "t", blob), entry(11, "t", blob)];
        append_all(subject.port(), &now).await;
        entries.extend(now);
        subject.reopen();
    }
    entries.sort_by_key(|entry| (entry.minute, entry.hash));
    assert_eq!(read(subject.port(), ALL).await, entries);
    assert_eq!(read(subject.port(), 11..12).await, entries[3..]);
}

/// A log that tells its size tells all that was appended, and after it was opened again.
pub async fn its_size_grows_with_what_is_appended(mut subject: Subject<dyn Wal>) {
    let before = subject.port().size_bytes();
    subject.port().append(SHARD, 10, &tenant("t"), Bytes::from(vec![7; 1000])).await.expect("an append");
    let after = subject.port().size_bytes();
    assert_eq!(before.is_some(), after.is_some());
    assert!(after.zip(before).is_none_or(|(after, before)| after >= before + 1000), "{before:?} {after:?}");
    subject.reopen();
    let reopened = subject.port().size_bytes();
    assert!(reopened >= after, "{after:?} {reopened:?}");
}

/// Many at once lose nothing.
pub async fn concurrent_appends_are_all_there(subject: Subject<dyn Wal>) {
    let blobs: Vec<Bytes> = (0..500).map(|number| Bytes::from(format!("blob {number}"))).collect();
    let owner = tenant("t");
    let appends = blobs.iter().map(|blob| subject.port().append(SHARD, 1, &owner, blob.clone()));
    for result in join_all(appends).await {
        result.expect("an append");
    }
    let found: std::collections::BTreeSet<Bytes> =
        read(subject.port(), ALL).await.into_iter().map(|entry| entry.blob).collect();
    assert_eq!(found, blobs.into_iter().collect());
}

/// Forgetting may be lazy, but never takes what lies at or after the minute, nor another shard's entries.
pub async fn forgetting_keeps_all_from_the_minute_on(mut subject: Subject<dyn Wal>) {
    let minutes = 0..300;
    let entries: Vec<WalEntry> = minutes.clone().map(|minute| entry(minute, "t", "blob")).collect();
    append_all(subject.port(), &entries).await;
    subject.port().append(Shard(1), 0, &tenant("t"), Bytes::from_static(b"other shard")).await.expect("an append");
    for forgotten in [-5, 0, 60, 61, 250, 299] {
        subject.port().forget_before(SHARD, forgotten).await.expect("forgetting");
        let kept = entry(forgotten.max(0), "t", "blob");
        let found = read(subject.port(), forgotten..300).await;
        assert_eq!((found.len(), &found[0]), (entries.iter().filter(|entry| entry.minute >= forgotten).count(), &kept));
    }
    assert_eq!(subject.port().read(Shard(1), ALL).await.expect("a read").entries.len(), 1, "the other shard's entry");
    subject.reopen();
    assert_eq!(read(subject.port(), 299..300).await, entries[299..]);
    subject.port().forget_before(SHARD, 1000).await.expect("forgetting more than there is");
    assert_eq!(read(subject.port(), 1000..2000).await, []);
}

/// What arrives late in a forgotten minute is an entry like any other.
pub async fn a_forgotten_minute_takes_new_entries(subject: Subject<dyn Wal>) {
    append(subject.port(), &entry(5, "t", "old")).await;
    subject.port().forget_before(SHARD, 100).await.expect("forgetting");
    let late = entry(5, "t", "late");
    append(subject.port(), &late).await;
    assert!(read(subject.port(), ALL).await.contains(&late));
}

/// Entries in five minutes, of which the one in minute 2 is harmed: those that are left.
async fn harmed(damageable: &mut Damageable) -> Vec<WalEntry> {
    let blob = |minute: Minute| {
        let mut random = Random::new(minute.unsigned_abs() + 1);
        Bytes::from_iter((0..damageable.blob_bytes).map(|_| random.next().to_le_bytes()[0]))
    };
    let entry = |minute| {
        let blob = blob(minute);
        WalEntry { minute, tenant: tenant("t"), hash: xxh3_128(&blob), blob }
    };
    let entries: Vec<WalEntry> = (0..5).map(entry).collect();
    append_all(damageable.subject.port(), &entries).await;
    damageable.subject.reopen_after((damageable.damage)(entries[2].clone())).await;
    entries.into_iter().filter(|entry| entry.minute != 2).collect()
}

/// The other entries come as they were, also those of a read that goes around it; what is damaged has its minute, a
/// place that stays the same, and a reason.
pub async fn damage_hides_nothing_else(mut damageable: Damageable) {
    let whole = harmed(&mut damageable).await;
    let port = damageable.subject.port();
    let WalRead { entries, damaged } = port.read(SHARD, ALL).await.expect("a read");
    assert!(entries == whole, "{} entries, {damaged:?}", entries.len());
    let [DamagedEntry { minute: 2, place, reason }] = &damaged[..] else { panic!("{damaged:?}") };
    assert!(!place.is_empty() && !reason.is_empty(), "{damaged:?}");
    for (minutes, expected) in [(0..2, &[][..]), (3..5, &[]), (2..3, &damaged), (1..3, &damaged), (0..5, &damaged)] {
        let read = port.read(SHARD, minutes.clone()).await.expect("a read");
        assert_eq!(read.damaged, expected, "{minutes:?}");
        let entries = usize::try_from(minutes.end - minutes.start).expect("a few") - expected.len();
        assert_eq!(read.entries.len(), entries, "{minutes:?}");
    }
    assert_eq!(port.read(Shard(1), ALL).await.expect("a read"), WalRead::default());
}

/// Also in the minute that is damaged.
pub async fn a_damaged_log_takes_new_entries(mut damageable: Damageable) {
    let whole = harmed(&mut damageable).await;
    let new = [entry(2, "t", "new"), entry(7, "t", "new")];
    append_all(damageable.subject.port(), &new).await;
    for _ in 0..2 {
        let read = damageable.subject.port().read(SHARD, ALL).await.expect("a read");
        assert_eq!((read.entries.len(), read.damaged.len()), (whole.len() + new.len(), 1));
        assert!(new.iter().chain(&whole).all(|entry| read.entries.contains(entry)));
        damageable.subject.reopen();
    }
}

//! The order of writes, and what can go wrong between them. That entries are kept as the port says is proved by the
//! contract.

use app::ports::{PortError, Wal as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use serde_json::json;

use super::*;
use crate::testing::{Answer, Script};

const SHARD: Shard = Shard(0);
const MINUTE: Minute = 29_000_000;

fn tenant() -> TenantId {
    TenantId::new("team-a").expect("a valid name")
}

/// A log whose table and bucket answer by scripts of their own.
fn wal(dynamo: &Script, s3: &Script) -> DynamoWal {
    DynamoWal::with_objects(&dynamo.clients(), S3Objects::new(&s3.clients()))
}

fn blob(size: usize) -> Bytes {
    Bytes::from(vec![7; size])
}

fn kind<T>(result: &Result<T, PortError>) -> Option<ErrorKind> {
    result.as_ref().err().map(PortError::kind)
}

/// An item of the log, as a query gives it.
fn item(sort: &str, value: &[u8]) -> Answer {
    let item = json!({"p": {"S": "w#0#29000000"}, "s": {"S": sort}, "v": {"B": STANDARD.encode(value)}});
    Answer::of(200, json!({ "Items": [item] }).to_string())
}

#[tokio::test]
async fn small_blobs_are_items_and_large_ones_objects() {
    for (size, objects) in [(0, 0), (INLINE_BYTES_MAX, 0), (INLINE_BYTES_MAX + 1, 1)] {
        let (dynamo, s3) = (Script::new([Answer::done()]), Script::new([Answer::of(200, "")]));
        wal(&dynamo, &s3).append(SHARD, MINUTE, &tenant(), blob(size)).await.expect("an append");
        assert_eq!(s3.asked().len(), objects, "{size} bytes");
        let rows: Vec<_> = dynamo.asked().iter().map(|asked| asked.json()["Item"].clone()).collect();
        let row = rows.iter().find(|row| row["p"]["S"] == "w#0#29000000").expect("the entry");
        assert_eq!(row["s"]["S"], format!("team-a#{:032x}", xxh3_128(&blob(size))));
        assert_eq!(row["e"]["N"], "1740259260", "72 hours after the minute");
        assert!(rows.iter().any(|row| row["p"]["S"] == "w#0" && row["s"]["S"] == index_sort(MINUTE)), "{rows:?}");
    }
}

#[tokio::test]
async fn an_object_that_is_not_stored_gets_no_row() {
    let (dynamo, s3) = (Script::new([Answer::done()]), Script::new([Answer::xml(503, "SlowDown")]));
    let result = wal(&dynamo, &s3).append(SHARD, MINUTE, &tenant(), blob(9000)).await;
    assert_eq!(kind(&result), Some(ErrorKind::Throttled));
    let rows: Vec<_> = dynamo.asked().iter().map(|asked| asked.json()["Item"]["p"]["S"].clone()).collect();
    assert_eq!(rows, ["w#0"], "the index may know a minute without entries");
}

#[tokio::test]
async fn the_index_is_written_once_a_minute_and_again_when_it_failed() {
    let (dynamo, s3) = (Script::new([Answer::done()]), Script::new([Answer::of(200, "")]));
    let log = wal(&dynamo, &s3);
    let index_rows = || dynamo.asked().iter().filter(|asked| asked.json()["Item"]["p"]["S"] == "w#0").count();
    let owner = tenant();
    let appends = (0..20).map(|size| log.append(SHARD, MINUTE, &owner, blob(size)));
    assert!(join_all(appends).await.into_iter().all(|result| result.is_ok()));
    assert_eq!((index_rows(), dynamo.asked().len()), (1, 21));
    log.append(SHARD, MINUTE + 1, &owner, blob(1)).await.expect("an append");
    assert_eq!(index_rows(), 2);

    let (dynamo, s3) = (Script::new([Answer::json("AccessDeniedException"), Answer::done()]), s3);
    let log = wal(&dynamo, &s3);
    assert!(log.append(SHARD, MINUTE, &owner, blob(1)).await.is_err(), "one of its two rows is missing");
    log.append(SHARD, MINUTE, &owner, blob(1)).await.expect("both rows");
    let rows: Vec<_> = dynamo.asked().iter().map(|asked| asked.json()["Item"]["p"]["S"].to_string()).collect();
    assert!(rows.len() >= 3 && rows[1..].contains(&"\"w#0#29000000\"".to_owned()), "{rows:?}");
}

#[tokio::test]
async fn only_wide_reads_look_into_the_index() {
    for (minutes, partitions) in [(1, 1), (10, 10), (11, 1), (100_000, 1)] {
        let (dynamo, s3) = (Script::new([Answer::done()]), Script::new([Answer::of(200, "")]));
        let found = wal(&dynamo, &s3).read(SHARD, MINUTE..MINUTE + minutes).await.expect("a read");
        assert_eq!((found, dynamo.asked().len()), (WalRead::default(), partitions), "{minutes} minutes");
        assert!(dynamo.asked().iter().all(|asked| asked.json()["ConsistentRead"] == true));
    }
}

/// What becomes of an entry.
#[derive(Debug, PartialEq)]
enum Came {
    Whole,
    Damaged,
    /// The read fails: another try may give more.
    Failed(ErrorKind),
}

#[tokio::test]
async fn what_is_damaged_for_good_is_told_and_what_may_pass_fails() {
    let good = blob(3);
    let sort = format!("team-a#{:032x}", xxh3_128(&good));
    let inline = [&[INLINE], good.as_ref()].concat();
    let pointer = [&[POINTER], b"wal/tenant=team-a/1/2".as_slice()].concat();
    let no_value = Answer::of(200, json!({"Items": [{"p": {"S": "w#0#29000000"}, "s": {"S": sort}}]}).to_string());
    let wrong_sum = Answer::Http(200, vec![("x-amz-meta-xxh3", "0".repeat(32))], good.to_vec());
    let nothing = || Answer::of(200, "");
    let cases = [
        (item(&sort, &inline), nothing(), Came::Whole),
        (item(&sort, &pointer), Answer::of(200, good.to_vec()), Came::Whole),
        (item(&sort, &inline[..3]), nothing(), Came::Damaged),
        (item(&sort, &[9]), nothing(), Came::Damaged),
        (item(&sort, b"\x02no/such/../key"), nothing(), Came::Damaged),
        (item("team-a", &inline), nothing(), Came::Damaged),
        (no_value, nothing(), Came::Damaged),
        (item(&sort, &pointer), Answer::of(200, "other"), Came::Damaged),
        (item(&sort, &pointer), wrong_sum, Came::Damaged),
        (item(&sort, &pointer), Answer::xml(404, "NoSuchKey"), Came::Damaged),
        (item(&sort, &pointer), Answer::xml(404, "NoSuchBucket"), Came::Failed(ErrorKind::Unavailable)),
        (item(&sort, &pointer), Answer::xml(403, "AccessDenied"), Came::Failed(ErrorKind::Unavailable)),
        (item(&sort, &pointer), Answer::xml(503, "SlowDown"), Came::Failed(ErrorKind::Throttled)),
        (item(&sort, &pointer), Answer::xml(500, "InternalError"), Came::Failed(ErrorKind::Unavailable)),
        (item(&sort, &pointer), Answer::Broken, Came::Failed(ErrorKind::Unavailable)),
        (Answer::json("ThrottlingException"), nothing(), Came::Failed(ErrorKind::Throttled)),
    ];
    for (number, (row, object, expected)) in cases.into_iter().enumerate() {
        let (dynamo, s3) = (Script::new([row]), Script::new([object]));
        let read = wal(&dynamo, &s3).read(SHARD, MINUTE..MINUTE + 1).await;
        let came = match &read {
            Ok(WalRead { entries, damaged }) => match (&entries[..], &damaged[..]) {
                ([entry], []) if entry.blob == good => Came::Whole,
                ([], [damaged]) if damaged.minute == MINUTE && !damaged.place.is_empty() => Came::Damaged,
                _ => panic!("case {number}: {read:?}"),
            },
            Err(error) => Came::Failed(error.kind()),
        };
        assert_eq!(came, expected, "case {number}: {read:?}");
    }
}

#[test]
fn minutes_sort_as_numbers_in_the_index() {
    let minutes = [Minute::MIN, -29_000_000, -1, 0, 1, 9, 10, 29_000_000, Minute::MAX];
    let sorts = minutes.map(index_sort);
    assert!(sorts.is_sorted_by(|a, b| a < b && a.len() == b.len()), "{sorts:?}");
    assert_eq!(sorts.map(|sort| minute_of(&sort)), minutes.map(Some));
}

#[test]
fn a_row_goes_three_days_after_its_minute() {
    assert_eq!(expiry_seconds(0), 60 + 72 * 3600);
    assert_eq!(expiry_seconds(29_000_000), 29_000_001 * 60 + 72 * 3600);
    assert_eq!(expiry_seconds(Minute::MAX), i64::MAX);
}

#[test]
fn a_row_that_is_none_is_found_out() {
    let hash = "0".repeat(31) + "7";
    let good = found(5, &format!("a.b-c#{hash}"), &Bytes::from_static(b"\x01blob")).expect("a row");
    assert_eq!((good.minute, good.tenant.as_str(), good.hash), (5, "a.b-c", 7));
    assert!(matches!(good.content, Content::Blob(blob) if blob == "blob"));
    let bad: [(&str, &[u8]); 5] =
        [("a", b"\x01"), ("a#x", b"\x01"), ("#7", b"\x01"), ("a#7", b""), ("a#7", b"\x03blob")];
    for (sort, value) in bad {
        assert!(found(5, sort, &Bytes::from_static(value)).is_none(), "{sort} {value:?}");
    }
}

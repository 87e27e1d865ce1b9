//! The contract of `StateStore`: rows, versions, conditions, expiry, ranges. Limits are in [`crate::state_limits`],
//! random histories in [`crate::state_histories`].

use app::ports::{Change, Expect, PortResult, Row, RowKey, RowRange, RowWrite, StateStore, range_all};
use bytes::Bytes;
use futures::future::join_all;
use model::{ErrorKind, Timestamp};

use crate::Subject;

/// Makes a test of each check of the state store, for the adapter that the expression gives.
#[macro_export]
macro_rules! state_store_contract {
    ($subject:expr) => {
        $crate::checks!(
            $subject,
            state,
            [
                a_written_row_is_read_back,
                versions_grow_and_never_restart,
                a_write_gives_the_new_version_of_each_row,
                an_expectation_decides_whether_a_write_happens,
                a_write_happens_as_a_whole_or_not_at_all,
                a_check_changes_nothing,
                an_expired_row_is_not_there,
                a_new_value_brings_its_own_expiry,
                a_range_holds_its_start_and_not_its_end,
                sort_keys_are_ordered_by_bytes,
                partitions_are_apart,
                pages_of_every_size_show_each_row_once,
                expired_rows_do_not_end_a_listing,
                a_page_goes_on_where_it_ended_although_rows_come_and_go,
                put_many_stores_whatever_is_there,
                of_concurrent_writers_at_one_version_one_wins,
                rows_survive_a_restart,
            ]
        );
        $crate::checks!(
            $subject,
            state_limits,
            [
                keys_have_their_greatest_length,
                a_row_has_its_greatest_size,
                a_write_has_its_most_rows_and_bytes,
                a_key_comes_once_in_a_write,
                put_many_refuses_what_a_write_refuses,
                a_page_without_rows_is_refused,
                large_rows_are_listed_completely,
                a_write_of_nothing_succeeds,
            ]
        );
        $crate::checks!($subject, state_histories, [random_histories_agree_with_the_model]);
    };
}

/// The time at which checks run.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// A time some seconds after [`NOW`].
pub(crate) fn later(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() + seconds * 1000)
}

/// The key of most checks: one partition, many sort keys.
pub(crate) fn key(sort: &str) -> RowKey {
    RowKey::new("p", sort)
}

/// A put whatever is there.
pub(crate) fn put(sort: &str, value: &str) -> RowWrite {
    RowWrite::put(key(sort), Expect::Any, value.to_owned())
}

/// The kind of a failure; `None` for success.
pub(crate) fn kind<T>(result: &PortResult<T>) -> Option<ErrorKind> {
    result.as_ref().err().map(app::ports::PortError::kind)
}

/// Writes at [`NOW`] what must succeed.
pub(crate) async fn write(store: &dyn StateStore, rows: Vec<RowWrite>) -> Vec<u64> {
    store.write(rows, NOW).await.expect("a write")
}

/// Reads a row at [`NOW`].
pub(crate) async fn get(store: &dyn StateStore, key: &RowKey) -> Option<Row> {
    store.get(key, NOW).await.expect("a read")
}

async fn version(store: &dyn StateStore, sort: &str) -> u64 {
    get(store, &key(sort)).await.expect("a row").version
}

/// The sort keys of a range, all pages.
pub(crate) async fn sorts(store: &dyn StateStore, range: RowRange) -> Vec<String> {
    let rows = range_all(store, range, NOW).await.expect("a range");
    rows.into_iter().map(|row| row.key.sort).collect()
}

/// Key, value, version and expiry; also an empty value.
pub async fn a_written_row_is_read_back(subject: Subject<dyn StateStore>) {
    let bytes: Bytes = (0..=255).collect();
    let cases =
        [("a", Bytes::from_static(b"value"), None), ("empty", Bytes::new(), Some(later(60))), ("見張り", bytes, None)];
    for (sort, value, expires) in cases {
        assert_eq!(get(subject.port(), &key(sort)).await, None);
        let write_row =
            RowWrite { key: key(sort), expect: Expect::Absent, change: Change::Put { value: value.clone(), expires } };
        let version = write(subject.port(), vec![write_row]).await[0];
        let expected = Row { key: key(sort), value, version, expires };
        assert_eq!(get(subject.port(), &key(sort)).await, Some(expected.clone()));
        let listed = range_all(subject.port(), RowRange::all("p"), NOW).await.expect("a range");
        assert!(listed.contains(&expected), "{sort:?}");
    }
}

/// Not after a delete, an expiry, or a restart.
pub async fn versions_grow_and_never_restart(mut subject: Subject<dyn StateStore>) {
    let mut last = 0;
    for round in 0..4 {
        for _ in 0..3 {
            let version = write(subject.port(), vec![put("a", "value")]).await[0];
            assert!(version > last, "round {round}: {version} after {last}");
            last = version;
        }
        match round {
            0 => drop(write(subject.port(), vec![RowWrite::delete(key("a"), Expect::Any)]).await),
            1 => drop(write(subject.port(), vec![put("a", "short").expiring(later(-1))]).await),
            2 => subject.port().put_many(vec![(key("a"), Bytes::new(), None)], NOW).await.expect("a put"),
            _ => {}
        }
        subject.reopen();
        if let Some(row) = get(subject.port(), &key("a")).await {
            assert!(row.version >= last);
            last = row.version;
        }
    }
    write(subject.port(), vec![RowWrite::delete(key("a"), Expect::Version(last))]).await;
    let stale = subject.port().write(vec![RowWrite::put(key("a"), Expect::Version(last), "value")], NOW).await;
    assert_eq!(kind(&stale), Some(ErrorKind::Conflict), "the version of a deleted row");
}

/// In the order of the rows; 0 for what leaves no row or changes none.
pub async fn a_write_gives_the_new_version_of_each_row(subject: Subject<dyn StateStore>) {
    write(subject.port(), vec![put("old", "value"), put("checked", "value")]).await;
    let check = RowWrite { key: key("checked"), expect: Expect::Any, change: Change::Check };
    let rows = vec![put("b", "1"), RowWrite::delete(key("old"), Expect::Any), put("a", "2"), check, put("c", "3")];
    let versions = write(subject.port(), rows).await;
    assert_eq!((versions[1], versions[3], versions.len()), (0, 0, 5));
    for (index, sort) in [(0, "b"), (2, "a"), (4, "c")] {
        assert_eq!(versions[index], version(subject.port(), sort).await, "{sort}");
    }
}

/// Every expectation with every change, on a row that is there and on one that is not.
pub async fn an_expectation_decides_whether_a_write_happens(subject: Subject<dyn StateStore>) {
    let put_change = || Change::Put { value: Bytes::from_static(b"new"), expires: None };
    let mut name = 0;
    for there in [false, true] {
        for (holds_when, expectation) in [("absent", 0), ("at its version", 1), ("at another version", 2), ("any", 3)] {
            for change in [put_change(), Change::Delete, Change::Check] {
                name += 1;
                let sort = format!("row {name}");
                let before = if there { write(subject.port(), vec![put(&sort, "old")]).await[0] } else { 0 };
                let expect = match expectation {
                    0 => Expect::Absent,
                    1 => Expect::Version(before),
                    2 => Expect::Version(before + 1_000_000),
                    _ => Expect::Any,
                };
                let holds = expectation == 3 || expectation == usize::from(there);
                let case = format!("there: {there}, expected {holds_when}, {change:?}");
                let row = RowWrite { key: key(&sort), expect, change: change.clone() };
                let result = subject.port().write(vec![row], NOW).await;
                assert_eq!(kind(&result), if holds { None } else { Some(ErrorKind::Conflict) }, "{case}");
                let old = there.then(|| Bytes::from_static(b"old"));
                let expected = match (holds, change) {
                    (true, Change::Put { value, .. }) => Some(value),
                    (true, Change::Delete) => None,
                    (true, Change::Check) | (false, _) => old,
                };
                assert_eq!(get(subject.port(), &key(&sort)).await.map(|row| row.value), expected, "{case}");
            }
        }
    }
}

/// One expectation that fails undoes all, wherever it stands, also one of a mere check.
pub async fn a_write_happens_as_a_whole_or_not_at_all(subject: Subject<dyn StateStore>) {
    write(subject.port(), vec![put("deleted", "old"), put("changed", "old")]).await;
    let before = range_all(subject.port(), RowRange::all("p"), NOW).await.expect("a range");
    let failing = [
        RowWrite::put(key("changed"), Expect::Absent, "new"),
        RowWrite::delete(key("none"), Expect::Version(1)),
        RowWrite { key: key("none"), expect: Expect::Version(1), change: Change::Check },
        RowWrite { key: RowKey::new("other", "none"), expect: Expect::Version(1), change: Change::Check },
    ];
    for failing in failing {
        for place in 0..3 {
            let mut rows = vec![RowWrite::delete(key("deleted"), Expect::Any), put("new", "new")];
            rows.insert(place, failing.clone());
            let result = subject.port().write(rows, NOW).await;
            assert_eq!(kind(&result), Some(ErrorKind::Conflict), "{failing:?} at {place}");
            let after = range_all(subject.port(), RowRange::all("p"), NOW).await.expect("a range");
            assert_eq!(after, before, "{failing:?} at {place}");
        }
    }
}

/// It holds or not, and the row keeps its value and version.
pub async fn a_check_changes_nothing(subject: Subject<dyn StateStore>) {
    write(subject.port(), vec![put("a", "value").expiring(later(60))]).await;
    let before = get(subject.port(), &key("a")).await.expect("a row");
    let check = |sort, expect| RowWrite { key: key(sort), expect, change: Change::Check };
    let checks = vec![check("a", Expect::Version(before.version)), check("b", Expect::Absent), check("c", Expect::Any)];
    assert_eq!(write(subject.port(), checks).await, [0, 0, 0]);
    assert_eq!(sorts(subject.port(), RowRange::all("p")).await, ["a"]);
    assert_eq!(get(subject.port(), &key("a")).await, Some(before));
}

/// From its very millisecond on: not for a read, a range, or an expectation.
pub async fn an_expired_row_is_not_there(mut subject: Subject<dyn StateStore>) {
    let version = write(subject.port(), vec![put("a", "value").expiring(later(10)), put("b", "value")]).await[0];
    let millisecond_before = Timestamp::from_millis(later(10).as_millis() - 1);
    for restarted in [false, true] {
        for (now, there) in [(NOW, true), (millisecond_before, true), (later(10), false), (later(99), false)] {
            let row = subject.port().get(&key("a"), now).await.expect("a read");
            assert_eq!(row.is_some(), there, "{now}, restarted: {restarted}");
            let rows = range_all(subject.port(), RowRange::all("p"), now).await.expect("a range");
            assert_eq!(rows.len(), 1 + usize::from(there), "{now}, restarted: {restarted}");
        }
        subject.reopen();
    }
    let at_version = RowWrite::put(key("a"), Expect::Version(version), "new");
    assert_eq!(kind(&subject.port().write(vec![at_version], later(10)).await), Some(ErrorKind::Conflict));
    let absent = RowWrite::put(key("a"), Expect::Absent, "new");
    let again = subject.port().write(vec![absent], later(10)).await.expect("an expired row is absent");
    assert!(again[0] > version, "{again:?} after {version}");
}

/// The expiry of the value before does not count any more.
pub async fn a_new_value_brings_its_own_expiry(subject: Subject<dyn StateStore>) {
    for (before, after, there) in [
        (Some(later(10)), None, true),
        (Some(later(10)), Some(later(90)), true),
        (Some(later(90)), Some(later(10)), false),
        (None, Some(later(10)), false),
    ] {
        for expires in [before, after] {
            let change = Change::Put { value: Bytes::from_static(b"value"), expires };
            write(subject.port(), vec![RowWrite { key: key("a"), expect: Expect::Any, change }]).await;
        }
        // Another write at a later time, when an adapter may clear away what has expired.
        subject.port().write(vec![put("b", "value")], later(30)).await.expect("a write");
        let row = subject.port().get(&key("a"), later(30)).await.expect("a read");
        assert_eq!(row.map(|row| row.expires), there.then_some(after), "{before:?} then {after:?}");
        write(subject.port(), vec![RowWrite::delete(key("a"), Expect::Any)]).await;
    }
}

/// Both ways, with and without an end; a range that ends before it starts is empty.
pub async fn a_range_holds_its_start_and_not_its_end(subject: Subject<dyn StateStore>) {
    write(subject.port(), ["b", "d", "f", "h"].map(|sort| put(sort, sort)).to_vec()).await;
    let cases: [(&str, Option<&str>, &[&str]); 11] = [
        ("", None, &["b", "d", "f", "h"]),
        ("b", None, &["b", "d", "f", "h"]),
        ("c", None, &["d", "f", "h"]),
        ("i", None, &[]),
        ("", Some("d"), &["b"]),
        ("d", Some("h"), &["d", "f"]),
        ("d", Some("h\0"), &["d", "f", "h"]),
        ("c", Some("e"), &["d"]),
        ("d", Some("d"), &[]),
        ("h", Some("b"), &[]),
        ("", Some(""), &[]),
    ];
    for (start, end, expected) in cases {
        let range = RowRange { start: start.to_owned(), end: end.map(str::to_owned), ..RowRange::all("p") };
        assert_eq!(sorts(subject.port(), range.clone()).await, expected, "{start:?}..{end:?}");
        let backwards: Vec<&str> = expected.iter().rev().copied().collect();
        let range = RowRange { reverse: true, ..range };
        assert_eq!(sorts(subject.port(), range).await, backwards, "{start:?}..{end:?} reversed");
    }
}

/// Not by language, case or length.
pub async fn sort_keys_are_ordered_by_bytes(subject: Subject<dyn StateStore>) {
    let mut keys = ["\0", "a", "B", "aa", "ab", "a\0", "a/", "a#", "é", "見", "\u{10000}", "\u{ffff}", "10", "9", "z"];
    write(subject.port(), keys.map(|sort| put(sort, "value")).to_vec()).await;
    keys.sort_unstable();
    assert_eq!(sorts(subject.port(), RowRange::all("p")).await, keys);
    keys.reverse();
    assert_eq!(sorts(subject.port(), RowRange { reverse: true, ..RowRange::all("p") }).await, keys);
}

/// Also where the name of one begins with the other's.
pub async fn partitions_are_apart(subject: Subject<dyn StateStore>) {
    let places = [("p", "1"), ("p", "2"), ("p#", "1"), ("p\0", "1"), ("P", "1"), ("pp", "1"), ("q", "1"), ("p1", "2")];
    let writes = places.map(|(partition, sort)| RowWrite::put(RowKey::new(partition, sort), Expect::Absent, partition));
    write(subject.port(), writes.to_vec()).await;
    for (partition, sorts_expected) in [("p", vec!["1", "2"]), ("p#", vec!["1"]), ("p1", vec!["2"]), ("none", vec![])] {
        for reverse in [false, true] {
            let mut expected = sorts_expected.clone();
            if reverse {
                expected.reverse();
            }
            let range = RowRange { reverse, ..RowRange::all(partition) };
            assert_eq!(sorts(subject.port(), range).await, expected, "{partition:?}");
        }
    }
}

/// A page never holds more than its limit; the cursor of the last one is `None`.
pub async fn pages_of_every_size_show_each_row_once(subject: Subject<dyn StateStore>) {
    let expected: Vec<String> = (0..23).map(|number| format!("{number:02}")).collect();
    write(subject.port(), expected.iter().map(|sort| put(sort, sort)).collect()).await;
    for limit in (1..=24).chain([1000, usize::MAX]) {
        for reverse in [false, true] {
            let mut range = RowRange { limit, reverse, ..RowRange::between("p", "02", "21") };
            let mut found = Vec::new();
            loop {
                let page = subject.port().range(&range, NOW).await.expect("a range");
                assert!(page.rows.len() <= limit, "{} rows of at most {limit}", page.rows.len());
                found.extend(page.rows.into_iter().map(|row| row.key.sort));
                range.cursor = page.cursor;
                if range.cursor.is_none() {
                    break;
                }
            }
            if reverse {
                found.reverse();
            }
            assert_eq!(found, expected[2..21], "limit {limit}, reverse {reverse}");
        }
    }
}

/// However many there are between the rows that are left.
pub async fn expired_rows_do_not_end_a_listing(subject: Subject<dyn StateStore>) {
    let rows = (0..90).map(|number| {
        let row = put(&format!("{number:02}"), "value");
        if number % 30 == 7 { row } else { row.expiring(later(1)) }
    });
    write(subject.port(), rows.collect()).await;
    for reverse in [false, true] {
        let range = RowRange { limit: 2, reverse, ..RowRange::all("p") };
        let rows = range_all(subject.port(), range, later(2)).await.expect("a range");
        let mut found: Vec<String> = rows.into_iter().map(|row| row.key.sort).collect();
        found.sort_unstable();
        assert_eq!(found, ["07", "37", "67"]);
    }
}

/// A cursor stays good when its row is deleted.
pub async fn a_page_goes_on_where_it_ended_although_rows_come_and_go(subject: Subject<dyn StateStore>) {
    write(subject.port(), ["a", "b", "c", "d", "e"].map(|sort| put(sort, sort)).to_vec()).await;
    let range = RowRange { limit: 2, ..RowRange::all("p") };
    let page = subject.port().range(&range, NOW).await.expect("a range");
    let last = page.rows.last().expect("a page with rows").key.sort.clone();
    write(subject.port(), vec![RowWrite::delete(key(&last), Expect::Any), put("0", "before"), put("bb", "after")])
        .await;
    let rest = sorts(subject.port(), RowRange { cursor: page.cursor, ..range }).await;
    let all = ["a", "b", "bb", "c", "d", "e"];
    let expected: Vec<&str> = all.into_iter().filter(|sort| *sort > last.as_str()).collect();
    assert_eq!(rest, expected);
}

/// More rows than one write may have, each at its next version, with its expiry.
pub async fn put_many_stores_whatever_is_there(subject: Subject<dyn StateStore>) {
    let before = write(subject.port(), vec![put("000", "old"), put("expired", "old").expiring(later(-1))]).await;
    let mut rows: Vec<_> = (0..250).map(|number| (key(&format!("{number:03}")), Bytes::from("new"), None)).collect();
    rows.push((key("expired"), Bytes::from("new"), None));
    rows.push((key("short"), Bytes::from("new"), Some(later(5))));
    subject.port().put_many(rows, NOW).await.expect("a put");
    let found = range_all(subject.port(), RowRange::all("p"), NOW).await.expect("a range");
    assert_eq!(found.len(), 252);
    assert!(found.iter().all(|row| row.value == "new" && row.version > 0));
    assert!(found[0].version > before[0], "an overwritten row's version grows");
    let row = subject.port().get(&key("short"), later(5)).await.expect("a read");
    assert_eq!(row, None, "its expiry counts");
    subject.port().put_many(Vec::new(), NOW).await.expect("nothing to put");
}

/// A counter that many raise at once loses no step.
pub async fn of_concurrent_writers_at_one_version_one_wins(subject: Subject<dyn StateStore>) {
    async fn raise(store: &dyn StateStore) {
        loop {
            let row = get(store, &key("counter")).await.expect("a row");
            let count: u32 = std::str::from_utf8(&row.value).expect("digits").parse().expect("a number");
            let next = RowWrite::put(row.key, Expect::Version(row.version), (count + 1).to_string());
            match store.write(vec![next, put("other", "value")], NOW).await {
                Ok(_) => return,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
            }
        }
    }
    write(subject.port(), vec![put("counter", "0")]).await;
    join_all((0..24).map(|_| raise(subject.port()))).await;
    let row = get(subject.port(), &key("counter")).await.expect("a row");
    assert_eq!(row.value, "24");
}

/// With their versions and expiries; deletes too.
pub async fn rows_survive_a_restart(mut subject: Subject<dyn StateStore>) {
    write(subject.port(), vec![put("a", "1"), put("b", "2").expiring(later(60)), put("gone", "3")]).await;
    subject.port().put_many(vec![(key("c"), Bytes::from("4"), Some(later(70)))], NOW).await.expect("a put");
    write(subject.port(), vec![RowWrite::delete(key("gone"), Expect::Any)]).await;
    let before = range_all(subject.port(), RowRange::all("p"), NOW).await.expect("a range");
    assert_eq!(before.len(), 3);
    subject.reopen();
    assert_eq!(range_all(subject.port(), RowRange::all("p"), NOW).await.expect("a range"), before);
    let next = RowWrite::put(key("a"), Expect::Version(before[0].version), "5");
    write(subject.port(), vec![next]).await;
}

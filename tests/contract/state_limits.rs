//! What a `StateStore` refuses, and what it must still take.

use app::ports::{
    Change, Expect, PARTITION_BYTES_MAX, ROW_BYTES_MAX, RowKey, RowRange, RowWrite, SORT_BYTES_MAX, StateStore,
    WRITE_BYTES_MAX, WRITE_ROWS_MAX, range_all,
};
use bytes::Bytes;
use model::ErrorKind;

use crate::Subject;
use crate::state::{NOW, get, key, kind, put, sorts, write};

/// Tries a write of rows; says whether it was refused, and that a refused one left nothing.
async fn refused(store: &dyn StateStore, rows: Vec<RowWrite>) -> bool {
    let keys: Vec<RowKey> = rows.iter().map(|row| row.key.clone()).collect();
    match store.write(rows, NOW).await {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
            for key in keys.iter().filter(|key| !key.partition.is_empty() && key.partition.len() <= PARTITION_BYTES_MAX)
            {
                if key.sort.len() <= SORT_BYTES_MAX {
                    assert_eq!(get(store, key).await, None, "a refused write leaves nothing");
                }
            }
            true
        }
    }
}

/// 1 to 2,048 bytes for a partition, 1 to 1,024 for a sort key.
pub async fn keys_have_their_greatest_length(subject: Subject<dyn StateStore>) {
    let cases = [
        (PARTITION_BYTES_MAX, SORT_BYTES_MAX, false),
        (1, 1, false),
        (1, 0, true),
        (PARTITION_BYTES_MAX + 1, 1, true),
        (1, SORT_BYTES_MAX + 1, true),
        (0, 1, true),
    ];
    for (partition_bytes, sort_bytes, expected) in cases {
        for change in [Change::Put { value: Bytes::new(), expires: None }, Change::Delete, Change::Check] {
            let key = RowKey::new("p".repeat(partition_bytes), "s".repeat(sort_bytes));
            let row = RowWrite { key: key.clone(), expect: Expect::Any, change };
            let case = format!("{partition_bytes} and {sort_bytes} bytes, {:?}", row.change);
            assert_eq!(refused(subject.port(), vec![row]).await, expected, "{case}");
        }
        if !expected {
            let key = RowKey::new("p".repeat(partition_bytes), "s".repeat(sort_bytes));
            write(subject.port(), vec![RowWrite::put(key.clone(), Expect::Any, "value")]).await;
            assert_eq!(get(subject.port(), &key).await.expect("a row").value, "value");
            assert_eq!(sorts(subject.port(), RowRange::all(key.partition)).await, [key.sort]);
        }
    }
}

/// 400 KB with the key, less a little for the version and the expiry.
pub async fn a_row_has_its_greatest_size(subject: Subject<dyn StateStore>) {
    let row = |value_bytes: usize| RowWrite::put(RowKey::new("pp", "sss"), Expect::Any, vec![1; value_bytes]);
    assert!(refused(subject.port(), vec![row(ROW_BYTES_MAX - 4)]).await);
    assert!(!refused(subject.port(), vec![row(ROW_BYTES_MAX - 5)]).await);
    let stored = get(subject.port(), &RowKey::new("pp", "sss")).await.expect("a row");
    assert_eq!(stored.value, vec![1; ROW_BYTES_MAX - 5]);
}

/// 100 rows and 4 MB together, less a little for their versions.
pub async fn a_write_has_its_most_rows_and_bytes(subject: Subject<dyn StateStore>) {
    let rows = |count: usize| (0..count).map(|number| put(&format!("{number:03}"), "value")).collect::<Vec<_>>();
    assert!(refused(subject.port(), rows(WRITE_ROWS_MAX + 1)).await);
    assert!(!refused(subject.port(), rows(WRITE_ROWS_MAX)).await);
    assert_eq!(sorts(subject.port(), RowRange::all("p")).await.len(), WRITE_ROWS_MAX);
    let of_bytes = |total_bytes: usize| {
        let key_bytes = 5;
        let each = total_bytes / 16 - key_bytes;
        let row = |number: usize| RowWrite::put(RowKey::new("big", format!("{number:02}")), Expect::Any, vec![2; each]);
        (0..16).map(row).collect::<Vec<_>>()
    };
    assert!(refused(subject.port(), of_bytes(WRITE_BYTES_MAX + 16)).await);
    assert!(!refused(subject.port(), of_bytes(WRITE_BYTES_MAX)).await);
    assert_eq!(sorts(subject.port(), RowRange::all("big")).await.len(), 16);
}

/// Whatever the two would do, also the same.
pub async fn a_key_comes_once_in_a_write(subject: Subject<dyn StateStore>) {
    let check = RowWrite { key: key("a"), expect: Expect::Any, change: Change::Check };
    let delete = RowWrite::delete(key("a"), Expect::Any);
    let pairs = [
        (put("a", "1"), put("a", "1")),
        (put("a", "1"), check.clone()),
        (delete, put("a", "1")),
        (check.clone(), check),
    ];
    for (first, second) in pairs {
        assert!(refused(subject.port(), vec![first, put("b", "value"), second]).await);
    }
    assert!(
        !refused(subject.port(), vec![put("a", "1"), RowWrite::put(RowKey::new("q", "a"), Expect::Any, "1")]).await
    );
}

/// The limits of keys and of a row; the number of rows and their sum have none.
pub async fn put_many_refuses_what_a_write_refuses(subject: Subject<dyn StateStore>) {
    let bad = [
        (RowKey::new("", "s"), 1),
        (RowKey::new("p", ""), 1),
        (RowKey::new("p".repeat(PARTITION_BYTES_MAX + 1), "s"), 1),
        (RowKey::new("p", "s".repeat(SORT_BYTES_MAX + 1)), 1),
        (RowKey::new("p", "s"), ROW_BYTES_MAX - 1),
    ];
    for (key, value_bytes) in bad {
        let result = subject.port().put_many(vec![(key, vec![1; value_bytes].into(), None)], NOW).await;
        assert_eq!(kind(&result), Some(ErrorKind::Invalid));
    }
    assert_eq!(sorts(subject.port(), RowRange::all("p")).await, [""; 0]);
    let good = (0..20).map(|number| (key(&number.to_string()), Bytes::from(vec![1; 300 << 10]), None)).collect();
    subject.port().put_many(good, NOW).await.expect("6 MB in 20 rows");
    assert_eq!(sorts(subject.port(), RowRange::all("p")).await.len(), 20);
}

/// It would never end; and keys that no row can have are not looked for.
pub async fn a_page_without_rows_is_refused(subject: Subject<dyn StateStore>) {
    let long = || "s".repeat(SORT_BYTES_MAX + 1);
    let bad = [
        RowRange { limit: 0, ..RowRange::all("p") },
        RowRange::all("p".repeat(PARTITION_BYTES_MAX + 1)),
        RowRange { start: long(), ..RowRange::all("p") },
        RowRange { end: Some(long()), ..RowRange::all("p") },
        RowRange { cursor: Some(long()), ..RowRange::all("p") },
    ];
    for range in bad {
        assert_eq!(kind(&subject.port().range(&range, NOW).await), Some(ErrorKind::Invalid));
    }
    assert_eq!(sorts(subject.port(), RowRange::all("")).await, [""; 0]);
}

/// A page may end early for their size; nothing is left out.
pub async fn large_rows_are_listed_completely(subject: Subject<dyn StateStore>) {
    for number in 0..24 {
        let row = RowWrite::put(key(&format!("{number:02}")), Expect::Any, vec![number; 390 << 10]);
        write(subject.port(), vec![row]).await;
    }
    for reverse in [false, true] {
        let rows = range_all(subject.port(), RowRange { reverse, ..RowRange::all("p") }, NOW).await.expect("a range");
        let mut numbers: Vec<u8> = rows.iter().map(|row| row.value[0]).collect();
        if reverse {
            numbers.reverse();
        }
        assert_eq!(numbers, (0..24).collect::<Vec<u8>>());
    }
}

/// No rows, no versions.
pub async fn a_write_of_nothing_succeeds(subject: Subject<dyn StateStore>) {
    assert_eq!(write(subject.port(), Vec::new()).await, [0; 0]);
}

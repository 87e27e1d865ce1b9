//! What the contract cannot see: the bytes, and the sweeping of expired rows.

use super::*;
use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _};

fn database() -> (tempfile::TempDir, Database) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::create(dir.path().join("rows.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    create_tables(&transaction).unwrap();
    transaction.commit().unwrap();
    (dir, database)
}

fn write(database: &Database, rows: Vec<RowWrite>, now: Timestamp) -> Vec<Written> {
    let transaction = database.begin_write().unwrap();
    match apply(&transaction, &[&Writing { rows, now }]).unwrap() {
        Ending::Commit(outcomes) => {
            transaction.commit().unwrap();
            outcomes
        }
        Ending::Abort(outcomes) => {
            transaction.abort().unwrap();
            outcomes
        }
    }
}

fn counts(database: &Database) -> (u64, u64) {
    let transaction = database.begin_read().unwrap();
    (transaction.open_table(ROWS).unwrap().len().unwrap(), transaction.open_table(EXPIRY).unwrap().len().unwrap())
}

fn put(sort: &str, expires: Option<i64>) -> RowWrite {
    put_of((RowKey::new("p", sort), Bytes::from_static(b"value"), expires.map(Timestamp::from_secs)))
}

#[test]
fn stored_rows_come_back_and_short_ones_are_corrupt() {
    for expires in [None, Some(Timestamp::MIN), Some(Timestamp::from_millis(-1)), Some(Timestamp::MAX)] {
        for value in [&b""[..], b"value", &[0; 100]] {
            let stored = encode(value, u64::MAX, expires);
            assert_eq!(split(&stored).unwrap(), (u64::MAX, expires, value));
        }
        let stored = encode(b"", 1, expires);
        for length in 0..stored.len() {
            assert!(split(&stored[..length]).is_err(), "{length} bytes");
        }
    }
    assert!(split(&[0, 0, 0, 0, 0, 0, 0, 0, 2]).is_err(), "unknown flags");
}

#[test]
fn expired_rows_are_swept_by_later_writes() {
    let (_dir, database) = database();
    let rows = (0..90).map(|number| put(&format!("{number:02}"), (number < 60).then_some(number))).collect();
    write(&database, rows, Timestamp::from_secs(0));
    assert_eq!(counts(&database), (90, 60));
    // An hour's grace: at 3630 s what expired before second 30 goes.
    write(&database, vec![put("new", None)], Timestamp::from_secs(3630));
    assert_eq!(counts(&database), (61, 30));
    write(&database, vec![put("new", None)], Timestamp::from_secs(9999));
    assert_eq!(counts(&database), (31, 0));
}

#[test]
fn a_row_that_no_longer_expires_is_not_swept() {
    let (_dir, database) = database();
    write(&database, vec![put("a", Some(1)), put("b", Some(1)), put("c", Some(1))], Timestamp::from_secs(0));
    let delete = RowWrite::delete(RowKey::new("p", "c"), Expect::Any);
    write(&database, vec![put("a", None), put("b", Some(99_999)), delete], Timestamp::from_secs(0));
    assert_eq!(counts(&database), (2, 1));
    write(&database, vec![put("d", None)], Timestamp::from_secs(50_000));
    assert_eq!(counts(&database), (3, 1));
}

#[test]
fn writes_of_one_commit_see_each_other() {
    let (_dir, database) = database();
    let create = || Writing {
        rows: vec![RowWrite::put(RowKey::new("p", "a"), Expect::Absent, "value")],
        now: Timestamp::from_secs(0),
    };
    let transaction = database.begin_write().unwrap();
    let Ending::Commit(outcomes) = apply(&transaction, &[&create(), &create()]).unwrap() else {
        panic!("the first one changes something");
    };
    assert_eq!(outcomes[0].as_deref().unwrap(), [1]);
    assert!(outcomes[1].is_err());
}

#[test]
fn what_changes_nothing_is_not_committed() {
    let (_dir, database) = database();
    let check = RowWrite { key: RowKey::new("p", "a"), expect: Expect::Absent, change: Change::Check };
    let delete = RowWrite::delete(RowKey::new("p", "a"), Expect::Any);
    let transaction = database.begin_write().unwrap();
    let ending = apply(&transaction, &[&Writing { rows: vec![check, delete], now: Timestamp::from_secs(0) }]).unwrap();
    assert!(matches!(ending, Ending::Abort(_)));
}

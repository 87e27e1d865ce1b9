//! The contract of `ObjectStore`.

use app::ports::{ByteRange, ObjectStore, PortResult};
use bytes::Bytes;
use futures::future::join_all;
use model::ErrorKind;

use crate::Subject;

/// Makes a test of each check of this module, for the adapter that the expression gives.
#[macro_export]
macro_rules! object_store_contract {
    ($subject:expr) => {
        $crate::checks!(
            $subject,
            objects,
            [
                what_was_put_is_read_back,
                putting_the_same_content_again_succeeds,
                other_content_under_a_key_is_a_conflict,
                of_concurrent_puts_one_wins,
                parts_are_read_by_offset_and_from_the_end,
                a_missing_object_is_not_found,
                bad_keys_are_refused_and_never_found,
                good_keys_of_every_kind_stand_side_by_side,
                a_prefix_selects_by_bytes_and_not_by_folder,
                a_long_listing_comes_in_pages,
                a_deleted_object_is_gone_and_its_key_free,
                objects_survive_a_restart,
                a_link_is_for_a_good_key_and_a_lifetime,
            ]
        );
    };
}

const OTHER: &[u8] = b"other content of the same length";
const CONTENT: &[u8] = b"first content of the same length";

async fn put(store: &dyn ObjectStore, key: &str, content: &'static [u8]) {
    store.put_new(key, Bytes::from_static(content)).await.unwrap_or_else(|error| panic!("{key}: {error}"));
}

async fn get(store: &dyn ObjectStore, key: &str) -> Bytes {
    store.get(key, ByteRange::All).await.unwrap_or_else(|error| panic!("{key}: {error}"))
}

fn kind<T>(result: PortResult<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

/// All keys with a prefix, page after page; pages hold at most 1,000 objects and none twice.
async fn keys(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = store.list(prefix, cursor.as_deref()).await.expect("a listing");
        assert!(page.entries.len() <= 1000, "a page of {} objects", page.entries.len());
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        assert!(found.is_sorted_by(|a, b| a < b), "in order of key, none twice");
        cursor = page.cursor;
        if cursor.is_none() {
            return found;
        }
    }
}

/// Also objects without a byte and large ones; the listing names their sizes.
pub async fn what_was_put_is_read_back(subject: Subject<dyn ObjectStore>) {
    for size in [0, 1, 4096, 3 << 20] {
        let content = Bytes::from(vec![7; size]);
        let key = format!("raw/tenant=t/{size}");
        subject.port().put_new(&key, content.clone()).await.expect("a put");
        assert!(get(subject.port(), &key).await == content, "{size} bytes");
        let page = subject.port().list(&key, None).await.expect("a listing");
        assert_eq!((page.entries[0].size_bytes, page.entries.len()), (size as u64, 1));
    }
}

/// A repeat is no error.
pub async fn putting_the_same_content_again_succeeds(mut subject: Subject<dyn ObjectStore>) {
    put(subject.port(), "a/b", CONTENT).await;
    put(subject.port(), "a/b", CONTENT).await;
    subject.reopen();
    put(subject.port(), "a/b", CONTENT).await;
    assert_eq!(get(subject.port(), "a/b").await, CONTENT);
}

/// Longer, shorter or of the same length: the first content stays.
pub async fn other_content_under_a_key_is_a_conflict(subject: Subject<dyn ObjectStore>) {
    put(subject.port(), "a/b", CONTENT).await;
    for other in [OTHER, b"", b"first content", b"first content of the same length, and more"] {
        let result = subject.port().put_new("a/b", Bytes::from_static(other)).await;
        assert_eq!(kind(result), Some(ErrorKind::Conflict), "{other:?}");
    }
    assert_eq!(get(subject.port(), "a/b").await, CONTENT);
}

/// Two contents at once under one key: one is stored, whole; its senders succeed, the others hear of a conflict.
pub async fn of_concurrent_puts_one_wins(subject: Subject<dyn ObjectStore>) {
    for round in 0..20 {
        let key = format!("race/{round}");
        let contents = [CONTENT, OTHER, CONTENT, OTHER];
        let puts = contents.map(|content| subject.port().put_new(&key, Bytes::from_static(content)));
        let results = join_all(puts).await;
        let stored = get(subject.port(), &key).await;
        for (content, result) in contents.iter().zip(results) {
            let expected = if stored == *content { None } else { Some(ErrorKind::Conflict) };
            assert_eq!(kind(result), expected);
        }
    }
}

/// Parts are cut at the end of the object; a part outside of it is empty.
pub async fn parts_are_read_by_offset_and_from_the_end(subject: Subject<dyn ObjectStore>) {
    put(subject.port(), "digits", b"0123456789").await;
    put(subject.port(), "empty", b"").await;
    let slice = |offset, len| ByteRange::Slice { offset, len };
    let cases = [
        ("digits", ByteRange::All, "0123456789"),
        ("digits", slice(0, 10), "0123456789"),
        ("digits", slice(0, 3), "012"),
        ("digits", slice(7, 3), "789"),
        ("digits", slice(7, 99), "789"),
        ("digits", slice(3, 0), ""),
        ("digits", slice(10, 1), ""),
        ("digits", slice(99, 5), ""),
        ("digits", slice(4, u64::MAX), "456789"),
        ("digits", slice(u64::MAX, u64::MAX), ""),
        ("digits", ByteRange::Suffix(0), ""),
        ("digits", ByteRange::Suffix(4), "6789"),
        ("digits", ByteRange::Suffix(10), "0123456789"),
        ("digits", ByteRange::Suffix(u64::MAX), "0123456789"),
        ("empty", ByteRange::All, ""),
        ("empty", slice(0, 1), ""),
        ("empty", ByteRange::Suffix(1), ""),
    ];
    for (key, range, expected) in cases {
        assert_eq!(subject.port().get(key, range).await.expect("a read"), expected, "{key} {range:?}");
    }
}

/// Whatever part of it is asked for, also where only longer keys are.
pub async fn a_missing_object_is_not_found(subject: Subject<dyn ObjectStore>) {
    put(subject.port(), "folder/file", CONTENT).await;
    for key in ["none", "folder", "folder/file/more", "folder/fil"] {
        for range in [ByteRange::All, ByteRange::Slice { offset: 0, len: 1 }, ByteRange::Suffix(1)] {
            assert_eq!(kind(subject.port().get(key, range).await), Some(ErrorKind::NotFound), "{key} {range:?}");
        }
    }
}

/// Keys that could leave the store, or that are no keys.
pub async fn bad_keys_are_refused_and_never_found(subject: Subject<dyn ObjectStore>) {
    let too_long = "x".repeat(1025);
    let bad = [
        "", "/", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a/..", "a b", "a\\b", "a\0b", "a~", "a+b",
        "日本", "a:b", "a%2fb", "a\n", &too_long,
    ];
    for key in bad {
        let result = subject.port().put_new(key, Bytes::from_static(CONTENT)).await;
        assert_eq!(kind(result), Some(ErrorKind::Invalid), "put {key:?}");
        let result = subject.port().get(key, ByteRange::All).await;
        assert_eq!(kind(result), Some(ErrorKind::NotFound), "get {key:?}");
        assert_eq!(kind(subject.port().delete(key).await), None, "delete {key:?}");
    }
    assert_eq!(keys(subject.port(), "").await, [""; 0]);
    for prefix in ["/", "../", "..", "./", "a/../", "~"] {
        assert_eq!(keys(subject.port(), prefix).await, [""; 0], "list {prefix:?}");
    }
}

/// A key may be the beginning of another, a segment may be long, and order is by bytes.
pub async fn good_keys_of_every_kind_stand_side_by_side(subject: Subject<dyn ObjectStore>) {
    let long = "x".repeat(1024);
    let longer_segments = [250, 251, 252, 255, 256, 257, 500, 900].map(|length| "y".repeat(length));
    let nested = format!("{}/{}", "y".repeat(256), "z".repeat(300));
    let mut good = vec![
        "a",
        "a/b",
        "a/b/c",
        "a.b",
        "a-b",
        "a#b",
        "a=b",
        "a_b",
        "a.",
        "..a",
        "a..",
        "...",
        ".hidden",
        "-",
        "#",
        "=",
        "a/#",
        "a/-/b",
        "a0",
        "aa",
        "B",
        "tenant=t/2026-11-22#1",
        &long,
        &nested,
    ];
    good.extend(longer_segments.iter().map(String::as_str));
    for key in &good {
        subject
            .port()
            .put_new(key, Bytes::from((*key).to_owned()))
            .await
            .unwrap_or_else(|error| panic!("{key}: {error}"));
    }
    for key in &good {
        assert_eq!(get(subject.port(), key).await, key.as_bytes());
    }
    good.sort_unstable();
    assert_eq!(keys(subject.port(), "").await, good);
    let of_y: Vec<&str> = good.iter().copied().filter(|key| key.starts_with(&"y".repeat(251))).collect();
    assert_eq!(keys(subject.port(), &"y".repeat(251)).await, of_y);
}

/// A prefix may end within a segment.
pub async fn a_prefix_selects_by_bytes_and_not_by_folder(subject: Subject<dyn ObjectStore>) {
    for key in ["raw/tenant=a/1", "raw/tenant=a/2", "raw/tenant=ab/1", "raw/tenant=b/1", "reports/1", "raw2"] {
        put(subject.port(), key, CONTENT).await;
    }
    let cases: [(&str, &[&str]); 7] = [
        ("raw/tenant=a/", &["raw/tenant=a/1", "raw/tenant=a/2"]),
        ("raw/tenant=a", &["raw/tenant=a/1", "raw/tenant=a/2", "raw/tenant=ab/1"]),
        ("raw/tenant=a/2", &["raw/tenant=a/2"]),
        ("raw/tenant=a/2/", &[]),
        ("rep", &["reports/1"]),
        ("raw2", &["raw2"]),
        ("none/at/all", &[]),
    ];
    for (prefix, expected) in cases {
        assert_eq!(keys(subject.port(), prefix).await, expected, "{prefix}");
    }
    assert_eq!(keys(subject.port(), "").await.len(), 6);
}

/// More than 1,000 objects come page after page, in order, each once; other prefixes do not disturb.
pub async fn a_long_listing_comes_in_pages(subject: Subject<dyn ObjectStore>) {
    let mut expected: Vec<String> = (0..1100).map(|number| format!("many/{}/{number}", number % 7)).collect();
    expected.push("many-more".to_owned());
    for keys in expected.chunks(50) {
        let puts = keys.iter().map(|key| subject.port().put_new(key, Bytes::from_static(b"x")));
        join_all(puts).await.into_iter().for_each(|result| result.expect("a put"));
    }
    let first = subject.port().list("many/", None).await.expect("a listing");
    assert!(first.cursor.is_some(), "the first page is not the last");
    expected.sort_unstable();
    assert_eq!(keys(subject.port(), "many").await, expected);
    expected.retain(|key| key.starts_with("many/"));
    assert_eq!(keys(subject.port(), "many/").await, expected);
}

/// Deleting what is not there succeeds, and a free key takes other content.
pub async fn a_deleted_object_is_gone_and_its_key_free(mut subject: Subject<dyn ObjectStore>) {
    put(subject.port(), "a/b/c", CONTENT).await;
    put(subject.port(), "a/b/d", CONTENT).await;
    for _ in 0..2 {
        subject.port().delete("a/b/c").await.expect("a delete");
        assert_eq!(kind(subject.port().get("a/b/c", ByteRange::All).await), Some(ErrorKind::NotFound));
        assert_eq!(keys(subject.port(), "").await, ["a/b/d"]);
        subject.reopen();
    }
    subject.port().delete("a/b").await.expect("a delete of what is only a beginning of keys");
    put(subject.port(), "a/b/c", OTHER).await;
    assert_eq!(get(subject.port(), "a/b/c").await, OTHER);
    assert_eq!(get(subject.port(), "a/b/d").await, CONTENT);
}

/// Content and listing are the same after a restart.
pub async fn objects_survive_a_restart(mut subject: Subject<dyn ObjectStore>) {
    for key in ["a", "a/b", "c/d/e"] {
        put(subject.port(), key, CONTENT).await;
    }
    subject.reopen();
    assert_eq!(keys(subject.port(), "").await, ["a", "a/b", "c/d/e"]);
    assert_eq!(get(subject.port(), "a/b").await, CONTENT);
}

/// A store without a door of its own gives none; a bad key is refused either way.
pub async fn a_link_is_for_a_good_key_and_a_lifetime(subject: Subject<dyn ObjectStore>) {
    put(subject.port(), "reports/a.html", CONTENT).await;
    let minutes = std::time::Duration::from_secs(300);
    let link = subject.port().link("reports/a.html", minutes).await.expect("a link or none");
    assert!(link.is_none_or(|link| link.starts_with("http")));
    for key in ["", "/", "../a", "a b"] {
        assert_eq!(kind(subject.port().link(key, minutes).await), Some(ErrorKind::Invalid), "{key:?}");
    }
}

//! What S3 can answer besides success, and the limits it documents. That objects are kept as the port says is proved by
//! its contract.

use app::ports::{ByteRange, ObjectStore as _, PortError};
use bytes::Bytes;
use model::ErrorKind;

use super::*;
use crate::testing::{Answer, Script};

const KEY: &str = "raw/tenant=t/1";
const CONTENT: &[u8] = b"content";
/// CRC-32 of the content, in the form of S3's header.
const CRC32: &str = "/sUwqQ==";

fn ok() -> Answer {
    Answer::of(200, "")
}

/// An object as S3 gives it, or only its head.
fn object(body: &[u8], metadata: &str) -> Answer {
    let headers = vec![("x-amz-meta-xxh3", metadata.to_owned()), ("content-length", body.len().to_string())];
    Answer::Http(200, headers, body.to_vec())
}

async fn put(answers: impl IntoIterator<Item = Answer>) -> (Option<ErrorKind>, Script) {
    let script = Script::new(answers);
    let result = S3Objects::new(&script.clients()).put_new(KEY, Bytes::from_static(CONTENT)).await;
    (result.err().map(|error| error.kind()), script)
}

async fn get(range: ByteRange, answers: impl IntoIterator<Item = Answer>) -> (Result<Bytes, PortError>, Script) {
    let script = Script::new(answers);
    (S3Objects::new(&script.clients()).get(KEY, range).await, script)
}

#[tokio::test]
async fn a_put_is_conditional_and_carries_checksums() {
    let (failure, script) = put([ok()]).await;
    assert_eq!(failure, None);
    let asked = &script.asked()[0];
    assert_eq!((asked.method.as_str(), asked.body.as_bytes()), ("PUT", CONTENT));
    assert!(asked.url.starts_with("https://bucket.s3.ap-northeast-1.amazonaws.com/raw/tenant%3Dt/1"), "{}", asked.url);
    assert_eq!(asked.header("if-none-match"), "*");
    assert_eq!(asked.header("x-amz-checksum-crc32"), CRC32);
    assert_eq!(asked.header("x-amz-meta-xxh3"), hash_of(CONTENT));
}

#[tokio::test]
async fn what_lies_under_a_taken_key_decides() {
    let taken = || Answer::xml(412, "PreconditionFailed");
    let cases = [
        (vec![taken(), object(b"", &hash_of(CONTENT))], None, 2),
        (vec![taken(), object(b"", &hash_of(b"other"))], Some(ErrorKind::Conflict), 2),
        // An object that somebody else stored, without the metadata.
        (vec![taken(), Answer::of(200, ""), Answer::of(200, CONTENT)], None, 3),
        (vec![taken(), Answer::of(200, ""), Answer::of(200, "other")], Some(ErrorKind::Conflict), 3),
        // Deleted in between.
        (vec![taken(), Answer::of(404, ""), ok()], None, 3),
        (vec![taken(), Answer::of(200, ""), Answer::xml(404, "NoSuchKey"), ok()], None, 4),
        // The answer to the first try was lost.
        (vec![Answer::Broken, taken(), object(b"", &hash_of(CONTENT))], None, 3),
        // Two at once.
        (vec![Answer::xml(409, "ConditionalRequestConflict"), ok()], None, 2),
        (vec![Answer::xml(409, "ConditionalRequestConflict")], Some(ErrorKind::Unavailable), 8),
    ];
    for (number, (answers, expected, calls)) in cases.into_iter().enumerate() {
        let (failure, script) = put(answers).await;
        assert_eq!((failure, script.asked().len()), (expected, calls), "case {number}: {:?}", script.operations());
    }
}

#[tokio::test]
async fn each_failure_asks_for_what_helps() {
    let slow_down = || Answer::xml(503, "SlowDown");
    let cases = [
        (vec![slow_down(), slow_down(), ok()], None),
        (vec![slow_down()], Some(ErrorKind::Throttled)),
        (vec![Answer::xml(500, "InternalError")], Some(ErrorKind::Unavailable)),
        (vec![Answer::xml(503, "ServiceUnavailable")], Some(ErrorKind::Unavailable)),
        (vec![Answer::xml(400, "BadDigest")], Some(ErrorKind::Unavailable)),
        (vec![Answer::xml(403, "AccessDenied")], Some(ErrorKind::Unavailable)),
        (vec![Answer::xml(404, "NoSuchBucket")], Some(ErrorKind::Unavailable)),
        (vec![Answer::xml(400, "EntityTooLarge")], Some(ErrorKind::Invalid)),
        (vec![Answer::Broken], Some(ErrorKind::Unavailable)),
    ];
    for (answers, expected) in cases {
        let case = format!("{answers:?}");
        let (failure, _) = put(answers.clone()).await;
        assert_eq!(failure, expected, "{case}");
        let (read, _) = get(ByteRange::All, answers).await;
        assert_eq!(read.err().map(|error| error.kind()), expected, "a read: {case}");
    }
}

#[tokio::test]
async fn a_read_that_came_wrong_is_tried_again_and_then_told() {
    let good = || object(CONTENT, &hash_of(CONTENT));
    let wrong = || object(b"c0ntent", &hash_of(CONTENT));
    let crc32 = |body: &[u8]| Answer::Http(200, vec![("x-amz-checksum-crc32", CRC32.to_owned())], body.to_vec());
    let cases = [
        (vec![wrong(), wrong(), good()], None),
        (vec![wrong()], Some(ErrorKind::Corrupt)),
        (vec![crc32(CONTENT)], None),
        (vec![crc32(b"c0ntent")], Some(ErrorKind::Corrupt)),
        (vec![Answer::xml(404, "NoSuchKey")], Some(ErrorKind::NotFound)),
    ];
    for (number, (answers, expected)) in cases.into_iter().enumerate() {
        let (read, _) = get(ByteRange::All, answers).await;
        assert_eq!(read.as_ref().err().map(PortError::kind), expected, "case {number}: {read:?}");
        assert!(read.is_err() || read.is_ok_and(|bytes| bytes == CONTENT), "case {number}");
    }
}

#[tokio::test]
async fn parts_are_asked_for_by_range_and_are_empty_beyond_the_end() {
    let slice = |offset, len| ByteRange::Slice { offset, len };
    let part = || Answer::of(206, "part");
    let cases = [
        (slice(0, 4), vec![part()], "part", "GET", "bytes=0-3"),
        (slice(5, u64::MAX), vec![part()], "part", "GET", "bytes=5-1125899906842624"),
        (ByteRange::Suffix(4), vec![part()], "part", "GET", "bytes=-4"),
        (ByteRange::Suffix(u64::MAX), vec![part()], "part", "GET", "bytes=-1125899906842624"),
        (slice(99, 1), vec![Answer::xml(416, "InvalidRange")], "", "GET", "bytes=99-99"),
        (slice(3, 0), vec![ok()], "", "HEAD", ""),
        (slice(u64::MAX, 5), vec![ok()], "", "HEAD", ""),
        (ByteRange::Suffix(0), vec![ok()], "", "HEAD", ""),
    ];
    for (range, answers, expected, method, header) in cases {
        let (read, script) = get(range, answers).await;
        assert_eq!(read.expect("a part"), expected, "{range:?}");
        let asked = &script.asked()[0];
        assert_eq!((asked.method.as_str(), asked.header("range")), (method, header), "{range:?}");
    }
    for range in [slice(0, 0), slice(u64::MAX, 5), ByteRange::Suffix(0)] {
        let (read, _) = get(range, [Answer::of(404, "")]).await;
        assert_eq!(read.expect_err("nothing there").kind(), ErrorKind::NotFound, "{range:?}");
    }
}

#[tokio::test]
async fn a_link_is_signed_for_its_lifetime() {
    let script = Script::new([ok()]);
    let objects = S3Objects::new(&script.clients());
    let link =
        objects.link("reports/tenant=t/a.html", Duration::from_secs(300)).await.expect("a link").expect("a door");
    let expected = "https://bucket.s3.ap-northeast-1.amazonaws.com/reports/tenant%3Dt/a.html?";
    assert!(link.starts_with(expected), "{link}");
    for part in ["X-Amz-Expires=300", "X-Amz-Date=20231114T221320Z", "X-Amz-Signature=", "X-Amz-SignedHeaders=host"] {
        assert!(link.contains(part), "{part} in {link}");
    }
    for bad in [Duration::ZERO, LINK_LIFETIME_MAX + Duration::from_secs(1)] {
        let refused = objects.link("reports/a", bad).await.expect_err("no such link");
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{bad:?}");
    }
    assert!(objects.link("reports/a", LINK_LIFETIME_MAX).await.is_ok());
    assert_eq!(script.asked(), [], "a link costs no call");
}

#[tokio::test]
async fn what_s3_would_refuse_is_never_sent() {
    let script = Script::new([ok()]);
    let objects = S3Objects::new(&script.clients());
    for key in ["", "a//b", "../a", &"x".repeat(1025)] {
        let refused = objects.put_new(key, Bytes::from_static(CONTENT)).await.expect_err("no such key");
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert_eq!(objects.get(key, ByteRange::All).await.expect_err("no such key").kind(), ErrorKind::NotFound);
        objects.delete(key).await.expect("nothing to delete");
    }
    for prefix in ["/", "a//", "../", "a b", &"x".repeat(1025)] {
        assert_eq!(objects.list(prefix, None).await.expect("no page"), ObjectPage::default(), "{prefix:?}");
    }
    assert_eq!(script.asked(), []);
    assert!(check_size(OBJECT_BYTES_MAX).is_ok());
    assert_eq!(check_size(OBJECT_BYTES_MAX + 1).expect_err("too large").kind(), ErrorKind::Invalid);
}

#[test]
fn a_prefix_may_end_anywhere_within_a_key() {
    for good in ["", "a", "raw/", "raw/tenant=", "raw/.", "raw/..", "..", "."] {
        assert!(begins_a_key(good), "{good:?}");
    }
    for bad in ["/", "a//", "./", "../", "a/../", "a/../b", "~", "a b"] {
        assert!(!begins_a_key(bad), "{bad:?}");
    }
}

#[test]
fn a_large_object_has_more_time() {
    for (size_mb, seconds) in [(0, 5), (2, 6), (64, 37), (1024, 517)] {
        assert_eq!(transfer_time(size_mb << 20), Duration::from_secs(seconds), "{size_mb} MB");
    }
}

//! What DynamoDB can answer besides success. That rows are kept as the port says is proved by its contract.

use app::ports::{Change, Expect, PortError, ROW_BYTES_MAX, RowKey, RowWrite, StateStore as _};
use bytes::Bytes;
use model::{ErrorKind, Timestamp};
use serde_json::json;

use super::DynamoState;
use crate::testing::{Answer, CLOCK_MICROS, Script};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn put(sort: &str, expect: Expect) -> RowWrite {
    RowWrite::put(RowKey::new("p", sort), expect, "value")
}

/// What one write of rows gives when DynamoDB answers as scripted, and what it was asked.
async fn write(
    rows: Vec<RowWrite>,
    answers: impl IntoIterator<Item = Answer>,
) -> (Result<Vec<u64>, PortError>, Script) {
    let script = Script::new(answers);
    let result = DynamoState::new(&script.clients()).write(rows, NOW).await;
    (result, script)
}

fn kind<T>(result: &Result<T, PortError>) -> Option<ErrorKind> {
    result.as_ref().err().map(PortError::kind)
}

/// A row as DynamoDB gives it; `value` is the Base64 of `value`.
fn item(version: u64) -> serde_json::Value {
    json!({"p": {"S": "p"}, "s": {"S": "a"}, "v": {"B": "dmFsdWU="}, "n": {"N": version.to_string()}})
}

/// A put or delete whose condition failed, with what was there instead.
fn refused(found: Option<serde_json::Value>) -> Answer {
    let mut answer = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
        "message": "The conditional request failed",
    });
    if let Some(item) = found {
        answer["Item"] = item;
    }
    Answer::of(400, answer.to_string())
}

/// A transaction that was cancelled for these reasons.
fn cancelled(reasons: serde_json::Value) -> Answer {
    let answer = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": reasons,
    });
    Answer::of(400, answer.to_string())
}

#[tokio::test]
async fn what_is_throttled_is_tried_again_and_then_told() {
    let throttled = || Answer::json("ProvisionedThroughputExceededException");
    let (result, script) = write(vec![put("a", Expect::Any)], [throttled(), throttled(), Answer::done()]).await;
    assert_eq!(result.expect("the third try"), [CLOCK_MICROS]);
    let bodies: Vec<String> = script.asked().into_iter().map(|asked| asked.body).collect();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    for code in ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"] {
        let (result, script) = write(vec![put("a", Expect::Any)], [Answer::json(code)]).await;
        assert_eq!((kind(&result), script.asked().len()), (Some(ErrorKind::Throttled), 5), "{code}");
    }
}

#[tokio::test]
async fn each_failure_asks_for_what_helps() {
    let too_large = Answer::json_with("ValidationException", "Item size has exceeded the maximum allowed size");
    let cases = [
        (Answer::of(500, "{}"), ErrorKind::Unavailable),
        (Answer::of(503, "{}"), ErrorKind::Unavailable),
        (Answer::Broken, ErrorKind::Unavailable),
        (Answer::json("AccessDeniedException"), ErrorKind::Unavailable),
        (Answer::json("ResourceNotFoundException"), ErrorKind::Unavailable),
        (Answer::json("ExpiredTokenException"), ErrorKind::Unavailable),
        (too_large, ErrorKind::Invalid),
        (Answer::json("ValidationException"), ErrorKind::Bug),
    ];
    for (answer, expected) in cases {
        let (result, _) = write(vec![put("a", Expect::Any)], [answer.clone()]).await;
        assert_eq!(kind(&result), Some(expected), "{answer:?}");
        let (result, _) = write(vec![put("a", Expect::Any), put("b", Expect::Any)], [answer.clone()]).await;
        assert_eq!(kind(&result), Some(expected), "in a transaction: {answer:?}");
    }
}

#[tokio::test]
async fn a_condition_that_fails_is_a_conflict_unless_it_was_our_own_late_answer() {
    let mine = item(CLOCK_MICROS);
    let cases = [
        (Expect::Absent, Some(mine.clone()), None),
        (Expect::Version(7), Some(mine.clone()), None),
        (Expect::Any, Some(mine), None),
        (Expect::Absent, Some(item(CLOCK_MICROS - 1)), Some(ErrorKind::Conflict)),
        (Expect::Version(7), Some(item(8)), Some(ErrorKind::Conflict)),
        (Expect::Version(7), None, Some(ErrorKind::Conflict)),
    ];
    for (expect, found, expected) in cases {
        let (result, script) = write(vec![put("a", expect)], [refused(found.clone())]).await;
        assert_eq!((kind(&result), script.asked().len()), (expected, 1), "{expect:?} finds {found:?}");
    }
    let mut other = item(CLOCK_MICROS);
    other["v"]["B"] = json!("b3RoZXI=");
    let (result, _) = write(vec![put("a", Expect::Absent)], [refused(Some(other))]).await;
    assert_eq!(kind(&result), Some(ErrorKind::Conflict), "another host in the same microsecond");
    let delete = RowWrite::delete(RowKey::new("p", "a"), Expect::Version(7));
    let (result, _) = write(vec![delete], [refused(Some(item(8)))]).await;
    assert_eq!(kind(&result), Some(ErrorKind::Conflict), "a delete");
}

#[tokio::test]
async fn a_version_ahead_of_the_clock_is_overtaken() {
    let ahead = CLOCK_MICROS + 5_000_000;
    let (result, script) = write(vec![put("a", Expect::Any)], [refused(Some(item(ahead))), Answer::done()]).await;
    assert_eq!(result.expect("the second try"), [ahead + 1]);
    assert_eq!(script.operations(), ["PutItem", "PutItem"]);
    let reasons = json!([{"Code": "ConditionalCheckFailed", "Item": item(ahead)}, {"Code": "None"}]);
    let rows = vec![put("a", Expect::Any), put("b", Expect::Any)];
    let (result, _) = write(rows, [cancelled(reasons), Answer::done()]).await;
    assert_eq!(result.expect("the second try"), [ahead + 1, ahead + 1]);
}

#[tokio::test]
async fn a_transaction_tells_why_it_was_cancelled() {
    let rows = || vec![put("a", Expect::Version(7)), put("b", Expect::Any)];
    let none = || json!({"Code": "None"});
    let cases = [
        (json!([{"Code": "ConditionalCheckFailed", "Item": item(8)}, none()]), ErrorKind::Conflict),
        (json!([{"Code": "ConditionalCheckFailed"}, none()]), ErrorKind::Conflict),
        (json!([{"Code": "ConditionalCheckFailed"}, {"Code": "TransactionConflict"}]), ErrorKind::Conflict),
        (json!([none(), {"Code": "ThrottlingError", "Message": "too much"}]), ErrorKind::Throttled),
        (json!([none(), {"Code": "ProvisionedThroughputExceeded", "Message": "too much"}]), ErrorKind::Throttled),
        (
            json!([none(), {"Code": "ValidationError", "Message": "Item size has exceeded the maximum"}]),
            ErrorKind::Invalid,
        ),
        (json!([none(), none()]), ErrorKind::Unavailable),
    ];
    for (reasons, expected) in cases {
        let (result, _) = write(rows(), [cancelled(reasons.clone())]).await;
        assert_eq!(kind(&result), Some(expected), "{reasons}");
    }
}

#[tokio::test]
async fn a_transaction_that_met_another_is_tried_again_under_a_new_token() {
    let met = || cancelled(json!([{"Code": "TransactionConflict", "Message": "in progress"}, {"Code": "None"}]));
    let rows = || vec![put("a", Expect::Version(7)), put("b", Expect::Any)];
    let (result, script) = write(rows(), [met(), met(), Answer::done()]).await;
    assert_eq!(result.expect("the third try").len(), 2);
    let tokens: Vec<_> = script.asked().iter().map(|asked| asked.json()["ClientRequestToken"].to_string()).collect();
    assert!(tokens.len() == 3 && tokens[0] != tokens[1] && tokens[1] != tokens[2], "{tokens:?}");
    let (result, script) = write(rows(), [met()]).await;
    assert_eq!((kind(&result), script.asked().len()), (Some(ErrorKind::Throttled), 8));
    let single = Answer::json("TransactionConflictException");
    let (result, script) = write(vec![put("a", Expect::Any)], [single, Answer::done()]).await;
    assert_eq!((kind(&result), script.asked().len()), (None, 2), "a single row meets a transaction");
}

#[tokio::test]
async fn a_transaction_that_was_not_answered_is_repeated_under_its_token() {
    let rows = vec![put("a", Expect::Absent), put("b", Expect::Absent)];
    let (result, script) = write(rows, [Answer::of(500, "{}"), Answer::Broken, Answer::done()]).await;
    assert!(result.is_ok(), "{result:?}");
    let bodies: Vec<String> = script.asked().into_iter().map(|asked| asked.body).collect();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert!(bodies[0].contains("ClientRequestToken"), "{bodies:?}");
}

#[tokio::test]
async fn what_a_batch_leaves_undone_is_sent_again() {
    let rows = || (0..60).map(|number| (RowKey::new("p", format!("{number:02}")), Bytes::new(), None)).collect();
    let left = |sorts: &[&str]| {
        let put = |sort: &&str| json!({"PutRequest": {"Item": {"p": {"S": "p"}, "s": {"S": *sort}}}});
        let left: Vec<_> = sorts.iter().map(put).collect();
        Answer::of(200, json!({"UnprocessedItems": {"table": left}}).to_string())
    };
    let script = Script::new([left(&["03", "07"]), Answer::done()]);
    DynamoState::new(&script.clients()).put_many(rows(), NOW).await.expect("all are stored in the end");
    let sent: Vec<usize> = script
        .asked()
        .iter()
        .map(|asked| asked.json()["RequestItems"]["table"].as_array().expect("rows").len())
        .collect();
    let mut sorted = sent.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [2, 10, 25, 25], "{sent:?}");
    let script = Script::new([left(&["03"])]);
    let result = DynamoState::new(&script.clients()).put_many(rows(), NOW).await;
    assert_eq!(kind(&result), Some(ErrorKind::Throttled));
}

#[tokio::test]
async fn of_a_key_that_comes_twice_the_last_put_is_sent() {
    let script = Script::new([Answer::done()]);
    let row = |value: &'static str| (RowKey::new("p", "a"), Bytes::from_static(value.as_bytes()), None);
    DynamoState::new(&script.clients()).put_many(vec![row("first"), row("last")], NOW).await.expect("a put");
    let asked = script.asked()[0].json();
    let rows = asked["RequestItems"]["table"].as_array().expect("rows");
    assert_eq!((rows.len(), &rows[0]["PutRequest"]["Item"]["v"]["B"]), (1, &json!("bGFzdA==")));
}

#[tokio::test]
async fn what_dynamodb_would_refuse_is_never_sent() {
    let script = Script::new([Answer::done()]);
    let state = DynamoState::new(&script.clients());
    let sized = |value_bytes: usize| RowWrite::put(RowKey::new("p", "s"), Expect::Any, vec![1; value_bytes]);
    let bad = [
        vec![sized(ROW_BYTES_MAX - 1)],
        vec![RowWrite::put(RowKey::new("", "s"), Expect::Any, "value")],
        vec![RowWrite::put(RowKey::new("p", ""), Expect::Any, "value")],
        vec![put("a", Expect::Any), put("a", Expect::Any)],
        (0..101).map(|number| put(&number.to_string(), Expect::Any)).collect(),
        (0..12).map(|n| RowWrite::put(RowKey::new("p", n.to_string()), Expect::Any, vec![1; 380 << 10])).collect(),
    ];
    for rows in bad {
        assert_eq!(kind(&state.write(rows, NOW).await), Some(ErrorKind::Invalid));
    }
    let any = RowWrite { key: RowKey::new("p", "s"), expect: Expect::Any, change: Change::Check };
    assert_eq!(state.write(vec![any], NOW).await.expect("nothing to do"), [0]);
    assert_eq!(state.get(&RowKey::new("p", ""), NOW).await.expect("no row"), None);
    assert_eq!(script.asked(), []);
}

/// 400 KB of keys, value, names of attributes and numbers, counted as DynamoDB documents it: text and binary by their
/// bytes, a number by half a byte a digit and one more, and one for a sign.
#[tokio::test]
async fn the_largest_row_is_within_the_limit_of_an_item() {
    let script = Script::new([Answer::done()]);
    let value = vec![1; ROW_BYTES_MAX - 4];
    let row = RowWrite::put(RowKey::new("pp", "ss"), Expect::Any, value).expiring(Timestamp::from_millis(i64::MIN + 1));
    DynamoState::new(&script.clients()).write(vec![row], NOW).await.expect("a write");
    let asked = script.asked()[0].json();
    let mut total_bytes = 0;
    for (name, value) in asked["Item"].as_object().expect("attributes") {
        let (kind, text) = value.as_object().and_then(|value| value.iter().next()).expect("one type");
        let text = text.as_str().expect("all are written as text");
        total_bytes += name.len()
            + match kind.as_str() {
                "N" => text.len().div_ceil(2) + 2,
                "B" => text.len() / 4 * 3,
                _ => text.len(),
            };
    }
    assert!((409_600 - 64..=409_600).contains(&total_bytes), "{total_bytes} bytes");
}

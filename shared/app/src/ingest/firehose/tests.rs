use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use model::{Limits, Matcher, TenantId, TimeRange, Timestamp};

use crate::access::{self, Access, NewToken, Role, Scope, SessionKey};
use crate::config::Config;
use crate::faults::{Fault, FaultPlan, Faulty};
use crate::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use crate::ports::{Shard, Wal};
use crate::{App, Ports, Settings, Stopwatch, query};

const NOW: Timestamp = Timestamp::from_secs(1_795_046_400);
const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

/// A deployment where everybody needs a token, and its log.
fn deployment(plan: Arc<FaultPlan>) -> (App, Arc<MemoryWal>) {
    let wal = Arc::new(MemoryWal::default());
    let ports = Ports {
        wal: Arc::new(Faulty::new(Arc::clone(&wal) as Arc<dyn Wal>, Arc::clone(&plan))),
        objects: Arc::new(MemoryObjectStore::default()),
        state: Arc::new(Faulty::new(Arc::new(MemoryStateStore::default()), plan)),
        topic: Arc::new(MemoryTopic::default()),
        messenger: Arc::new(MemoryMessenger::default()),
    };
    let session = (Access::Tokens, SessionKey::new([7; 32]));
    let app = App::new(ports, Settings::default(), Limits::default(), Stopwatch::stopped(), Config::default(), session);
    (app, wal)
}

async fn token(app: &App, scope: Scope) -> String {
    let tenant = TenantId::new("shop").unwrap();
    let name = scope.as_str().to_owned();
    let new = NewToken { name, scopes: vec![scope], role: Role::Ops, tenant };
    access::create(app.ports.state.as_ref(), new, [scope as u8; 32], NOW).await.unwrap()
}

fn body(records: &[&str]) -> String {
    let records: Vec<String> =
        records.iter().map(|record| format!(r#"{{"data":"{}"}}"#, STANDARD.encode(record))).collect();
    format!(r#"{{"requestId":"r-1","timestamp":1,"records":[{}]}}"#, records.join(","))
}

/// A line about the minute before now.
fn datum(instance: &str) -> String {
    let timestamp = (NOW - MINUTE).as_millis();
    format!(
        r#"{{"account_id":"1","region":"r","namespace":"AWS/EC2","metric_name":"CPUUtilization","dimensions":{{"InstanceId":"{instance}"}},"timestamp":{timestamp},"value":{{"count":2,"sum":3,"max":2,"min":1}}}}"#
    )
}

async fn send(app: &App, token: &str, body: &str, now: Timestamp) -> (StatusCode, String) {
    let request = Request::post("/firehose")
        .header("X-Amz-Firehose-Protocol-Version", "1.0")
        .header("X-Amz-Firehose-Request-Id", "r-1")
        .header("X-Amz-Firehose-Access-Key", token)
        .header("Content-Type", "application/json")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .unwrap();
    let reply = crate::http::handle(app, request, [0; 32], now).await;
    assert_eq!(reply.headers()["content-type"], "application/json");
    (reply.status(), String::from_utf8(reply.into_body().to_vec()).unwrap())
}

/// The blobs that were appended up to a time.
async fn appended(wal: &MemoryWal) -> usize {
    wal.read(Shard::default(), 0..NOW.minute() + 1000).await.unwrap().entries.len()
}

fn answer(error_message: Option<&str>, now: Timestamp) -> String {
    let timestamp = now.as_millis();
    let message = error_message.map(|message| format!(r#","errorMessage":"{message}""#)).unwrap_or_default();
    format!(r#"{{"requestId":"r-1","timestamp":{timestamp}{message}}}"#)
}

#[tokio::test]
async fn what_is_delivered_can_be_queried_by_the_tenant_of_the_key() {
    let (app, wal) = deployment(FaultPlan::none());
    let key = token(&app, Scope::Write).await;
    let sent = send(&app, &key, &body(&[&datum("a"), &datum("b")]), NOW).await;
    assert_eq!(sent, (StatusCode::OK, answer(None, NOW)));
    let repeated = send(&app, &key, &body(&[&datum("a"), &datum("b")]), NOW).await;
    assert_eq!((repeated.0, appended(&wal).await), (StatusCode::OK, 1));
    let tenant = TenantId::new("shop").unwrap();
    let average = [vec![Matcher::equal("__name__", "aws_ec2_cpuutilization_average")]];
    let series = query::series(&app, &tenant, &average, TimeRange::new(NOW - MINUTE, NOW), NOW).await.unwrap();
    let instances: Vec<&str> = series.iter().map(|labels| labels.get("dimension_InstanceId").unwrap()).collect();
    assert_eq!(instances, ["a", "b"]);
}

#[tokio::test]
async fn good_lines_of_a_refused_request_are_written_once_however_often_it_comes() {
    let (app, wal) = deployment(FaultPlan::none());
    let key = token(&app, Scope::Write).await;
    let mixed = body(&[&format!("{}\nnonsense", datum("a"))]);
    let message = "1 of the lines cannot be taken: record 0, line 2: expected a JSON object, found \\\"nonsense\\\"; is \
                   the output format of the metric stream JSON?";
    for minutes in 0..5 {
        let now = NOW + minutes * MINUTE;
        assert_eq!(send(&app, &key, &mixed, now).await, (StatusCode::BAD_REQUEST, answer(Some(message), now)));
        assert_eq!(appended(&wal).await, 1, "after {minutes} minutes");
    }
    let other = body(&[&format!("{}\nnonsense", datum("b"))]);
    send(&app, &key, &other, NOW + MINUTE).await;
    assert_eq!(appended(&wal).await, 2, "other samples under the same id are not lost");
    send(&app, &key, &body(&["nonsense"]), NOW).await;
    assert_eq!(appended(&wal).await, 2);
}

#[tokio::test]
async fn refusals_have_the_form_that_firehose_reads() {
    let (app, wal) = deployment(FaultPlan::none());
    let reader = token(&app, Scope::Read).await;
    let writer = token(&app, Scope::Write).await;
    let unknown = "the token is unknown, was revoked or has expired";
    let cases = [
        ("mihari_other", body(&[]), StatusCode::UNAUTHORIZED, unknown),
        (&reader, body(&[]), StatusCode::FORBIDDEN, "the token lacks the scope `write`"),
        (
            &writer,
            "[".to_owned(),
            StatusCode::BAD_REQUEST,
            "not a request of Firehose: EOF while parsing a list at line 1 column 1",
        ),
    ];
    for (key, body, status, message) in cases {
        let sent = send(&app, key, &body, NOW).await;
        assert_eq!(sent.0, status, "{message}");
        assert_eq!(sent.1, answer(Some(message), NOW));
    }
    assert_eq!(appended(&wal).await, 0);
}

#[tokio::test]
async fn a_request_that_is_not_durable_is_asked_for_again() {
    let unavailable = Fault::ErrorBefore(model::ErrorKind::Unavailable);
    // The token is the first row that is written.
    let plan = FaultPlan::script([("wal append", 0, unavailable), ("state write", 1, unavailable)]);
    let (app, wal) = deployment(plan);
    let key = token(&app, Scope::Write).await;
    let mixed = body(&[&format!("{}\nnonsense", datum("a"))]);
    assert_eq!(send(&app, &key, &mixed, NOW).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(appended(&wal).await, 0);
    // The row that remembers it cannot be written: the samples are there, and merge when they come again.
    assert_eq!(send(&app, &key, &mixed, NOW).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(&app, &key, &mixed, NOW).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(appended(&wal).await, 1);
}

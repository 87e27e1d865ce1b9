//! Every file of `events/` through the handler of its function, in an order that makes a story: samples are pushed, the
//! tick takes them, queries find them, alerts are told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use app::access::{self, Access, NewToken, Role, Scope, SessionKey};
use app::collect::MemoryCloudWatch;
use app::config::Config;
use app::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use app::{App, Ports, Settings, Stopwatch};
use aws::handlers::{self, FunctionError, Invocation};
use model::{Limits, TenantId, Timestamp};
use serde_json::Value;
use serde_json::value::RawValue;

/// 2026-11-22T11:33:40Z, a quarter of a minute after the recorded samples.
const NOW: Timestamp = Timestamp::from_secs(1_795_347_220);

/// What becomes of an event.
enum Expected {
    /// An HTTP answer with this status and this text in its body.
    Http(u16, &'static str),
    /// An answer with this text in its JSON.
    Answer(&'static str),
    /// The invocation fails, and says this.
    Fails(&'static str),
}

use Expected::{Answer, Fails, Http};

/// The events in the order in which they come, and how many minutes after [`NOW`].
const STORY: [(&str, i64, Expected); 42] = [
    ("ingest/remote-write.json", 0, Http(204, "")),
    ("ingest/remote-write.json", 0, Http(204, "")),
    ("ingest/function-url.json", 0, Http(204, "")),
    ("ingest/firehose.json", 0, Http(200, "ed1d787c-b9e2-4631-92dc-8e7c9d26d804")),
    ("ingest/firehose-bad-line.json", 0, Http(400, "errorMessage")),
    ("ingest/no-token.json", 0, Http(401, "a token is needed")),
    ("ingest/unsorted-labels.json", 0, Http(400, "labels are not sorted")),
    ("ingest/bad-base64.json", 0, Http(400, "the body is no base64")),
    ("ingest/not-snappy.json", 0, Http(400, "snappy")),
    ("ingest/a-page.json", 0, Http(404, "samples are taken here")),
    ("ingest/queue-event.json", 0, Fails("no HTTP request of payload format 2.0")),
    ("query/instant-query.json", 0, Http(200, "\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\"")),
    ("collect/schedule.json", 1, Answer("\"samples\":0")),
    ("collect/by-hand.json", 1, Answer("\"questions\":0")),
    ("collect/other-flow.json", 1, Fails("it starts \"ingest\"")),
    ("evaluate/schedule.json", 6, Answer("\"committed\":true")),
    ("evaluate/by-hand.json", 6, Answer("\"rules_failed\":0")),
    ("evaluate/other-flow.json", 6, Fails("it starts \"ingest\"")),
    ("evaluate/a-request.json", 6, Fails("it is no schedule's")),
    ("query/instant-query.json", 6, Http(200, "\"replica\":\"0\"")),
    ("query/form-on-a-stage.json", 6, Http(200, "\"resultType\":\"matrix\"")),
    ("query/page.json", 6, Http(200, "H4sI")),
    ("query/log-in-first.json", 6, Http(303, "")),
    ("query/bad-expression.json", 6, Http(400, "bad_data")),
    ("query/operator-query.json", 6, Answer("go_goroutines")),
    ("query/operator-bad.json", 6, Fails("the event is no operator's request: unknown field `pfad`")),
    ("query/a-push.json", 6, Http(404, "no samples are taken here")),
    ("query/schedule.json", 6, Fails("no HTTP request of payload format 2.0")),
    ("notify/queue-raw.json", 6, Answer("{\"batchItemFailures\":[]}")),
    ("notify/queue-envelope.json", 6, Answer("{\"batchItemFailures\":[]}")),
    (
        "notify/queue-one-bad.json",
        6,
        Answer(
            "{\"batchItemFailures\":[{\"itemIdentifier\":\"2e1424d4-f796-459a-8184-9c92662be6da\"},\
             {\"itemIdentifier\":\"6f1c9a58-3a64-4e0e-9a5c-6a2f5a1d7b11\"}]}",
        ),
    ),
    ("notify/queue-of-another-source.json", 6, Fails("a record is from \"aws:kinesis\"")),
    // The alert was older than its group waits, so it was told at once; now its group and its escalation are
    // looked at again.
    ("notify/schedule.json", 8, Answer("{\"delivered\":0,\"failed\":0,\"groups\":2}")),
    ("notify/other-flow.json", 8, Fails("no batch of an SQS queue")),
    ("notify/queue-alarm.json", 6, Answer("{\"batchItemFailures\":[]}")),
    (
        "notify/queue-alarm-broken.json",
        6,
        Answer("{\"batchItemFailures\":[{\"itemIdentifier\":\"5b2f1c74-8c2d-4e5b-a184-4c3e7d9f1032\"}]}"),
    ),
    // EventBridge sends it to the queue, not to the function.
    ("notify/alarm.json", 6, Fails("no batch of an SQS queue")),
    ("rollup/schedule.json", 120, Answer("\"hours_built\":1")),
    ("rollup/by-hand.json", 120, Answer("\"hours_built\":0")),
    ("rollup/other-flow.json", 120, Fails("it starts \"ingest\"")),
    // The day ends at 15:00 in UTC; its report is due a quarter of an hour later.
    ("report/schedule.json", 240, Answer("2026-11-22/Asia.Tokyo/final")),
    ("report/by-hand.json", 240, Answer("{\"written\":[]}")),
];

/// Files that [`STORY`] need not name twice.
const ALSO: [(&str, i64, Expected); 1] = [("report/other-flow.json", 240, Fails("it starts \"ingest\""))];

struct World {
    app: Arc<App>,
    messenger: Arc<MemoryMessenger>,
    cloudwatch: Arc<MemoryCloudWatch>,
}

impl World {
    async fn new() -> Self {
        let messenger = Arc::new(MemoryMessenger::default());
        let ports = Ports {
            wal: Arc::new(MemoryWal::default()),
            objects: Arc::new(MemoryObjectStore::default()),
            state: Arc::new(MemoryStateStore::default()),
            topic: Arc::new(MemoryTopic::default()),
            messenger: messenger.clone(),
        };
        let token = NewToken {
            name: "test".to_owned(),
            scopes: Scope::ALL.to_vec(),
            role: Role::Ops,
            tenant: TenantId::default_tenant(),
        };
        access::create(ports.state.as_ref(), token, [0; 32], NOW).await.expect("a token");
        let key = (Access::Tokens, SessionKey::new([7; 32]));
        let (settings, limits) = (Settings::default(), Limits::default());
        let app = Arc::new(App::new(ports, settings, limits, Stopwatch::stopped(), Config::defaults(), key));
        Self { app, messenger, cloudwatch: Arc::new(MemoryCloudWatch::new("ap-northeast-1", None)) }
    }

    async fn run(&self, name: &str, now: Timestamp) -> Result<Box<RawValue>, FunctionError> {
        let text = std::fs::read_to_string(folder().join(name)).expect("the event's file");
        let event = RawValue::from_string(text.trim().to_owned()).expect("the file holds JSON");
        let invocation = Invocation { event, now, random: [1; 32] };
        let app = Arc::clone(&self.app);
        let (function, _) = name.split_once('/').expect("a folder a function");
        let outcome = match function {
            "ingest" => handlers::ingest(app, invocation).await,
            "collect" => handlers::collect(app, self.cloudwatch.clone(), invocation).await,
            "evaluate" => handlers::evaluate(app, invocation).await,
            "notify" => handlers::notify(app, invocation).await,
            "rollup" => handlers::rollup(app, invocation).await,
            "query" => handlers::query(app, invocation).await,
            "report" => handlers::report(app, invocation).await,
            other => panic!("no function {other}"),
        };
        outcome.map(|outcome| outcome.answer)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events")
}

/// What is wrong with an outcome.
fn problem(result: Result<Box<RawValue>, FunctionError>, expected: &Expected) -> Option<String> {
    let is_right = match (&result, expected) {
        (Ok(answer), Http(status, text)) => {
            let answer: Value = serde_json::from_str(answer.get()).expect("an answer is JSON");
            answer["statusCode"] == *status && answer["body"].as_str().is_some_and(|body| body.contains(text))
        }
        (Ok(answer), Answer(text)) => answer.get().contains(text),
        (Err(error), Fails(text)) => error.to_string().contains(text),
        (Ok(_) | Err(_), _) => false,
    };
    (!is_right).then(|| format!("{result:?}"))
}

#[tokio::test]
async fn every_event_is_answered_as_it_should_be() {
    let world = World::new().await;
    let (mut told, mut problems) = (BTreeSet::new(), Vec::new());
    for (name, minutes, expected) in STORY.iter().chain(&ALSO) {
        let now = Timestamp::from_millis(NOW.as_millis() + minutes * 60_000);
        if let Some(problem) = problem(world.run(name, now).await, expected) {
            problems.push(format!("{name}: {}", problem.chars().take(1000).collect::<String>()));
        }
        told.insert((*name).to_owned());
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    // The alert came three times, raw, wrapped and beside a bad one, and was told once.
    let subjects: Vec<String> =
        world.messenger.deliveries().into_iter().map(|delivery| delivery.idempotency_key).collect();
    assert_eq!(subjects.len(), 1, "{subjects:?}");
    assert_eq!(told, files(), "each file has its line, and each line its file");
}

#[tokio::test]
async fn a_tick_that_cannot_keep_up_fails_and_tells_by_how_much() {
    let mut world = World::new().await;
    // Each look at the clock is eleven seconds after the one before.
    let looks = std::sync::atomic::AtomicU64::new(0);
    let look = move || std::time::Duration::from_secs(11 * looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    Arc::get_mut(&mut world.app).expect("nobody else has it").stopwatch = Stopwatch::new(look);
    let at = |minutes: i64| Timestamp::from_millis(NOW.as_millis() + minutes * 60_000);
    for minute in 0..60 {
        world.run("ingest/remote-write.json", at(minute)).await.expect("samples are taken");
    }
    // Of 57 closed minutes, two pieces of ten are taken.
    let mut failures = Vec::new();
    while let Err(error) = world.run("evaluate/schedule.json", at(59)).await {
        assert_eq!(error.name(), "WatermarkBehind");
        failures.push(error.to_string());
    }
    let behind = |minutes| format!("the tick is {minutes} minutes behind, over the limit of 10 minutes");
    assert_eq!(failures, [behind(40), behind(20)]);
}

fn files() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for function in std::fs::read_dir(folder()).expect("the folder of events") {
        let function = function.expect("an entry");
        if !function.path().is_dir() {
            continue;
        }
        let name = function.file_name().into_string().expect("UTF-8");
        let before = found.len();
        for file in std::fs::read_dir(function.path()).expect("a folder") {
            found.insert(format!("{name}/{}", file.expect("a file").file_name().to_string_lossy()));
        }
        assert!(found.len() >= before + 2, "{name} has fewer than two events");
    }
    assert_eq!(found.iter().filter_map(|name| name.split('/').next()).collect::<BTreeSet<_>>().len(), 7);
    found
}

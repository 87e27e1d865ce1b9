//! A deployment as on AWS: seven functions, each a process of its own, that meet in the stores only.

use std::sync::Arc;
use std::time::Duration;

use app::access::{self, Access, NewToken, Role, Scope, SessionKey};
use app::config::Config;
use app::cost::{self, Door, Ledger, Usage};
use app::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use app::ports::Shard;
use app::{App, Ports, Settings, Stopwatch, evaluate, notify, report, rollup};
use bytes::Bytes;
use http::{Request, StatusCode};
use model::{Limits, TenantId, Timestamp};

/// Queries that come at once are answered by so many processes, each with its own caches.
pub(crate) const QUERY_PROCESSES: usize = 10;

/// The memory of each function, as `infra/template.yaml` has it.
const MEMORY_MB: [(&str, u32); 7] = [
    ("ingest", 256),
    ("collect", 256),
    ("evaluate", 512),
    ("notify", 256),
    ("rollup", 1024),
    ("query", 1024),
    ("report", 512),
];

/// How long invocations take: estimates, which a bill forgives, since time is a small part of it. A call of a store
/// takes some 5 ms, an object some 30 ms; the rest is work.
const PUSH: Duration = Duration::from_millis(12);
const QUERY: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(40);
const TICK_A_SAMPLE: Duration = Duration::from_micros(1);
const ROLL_UP_AN_HOUR: Duration = Duration::from_secs(5);

/// One process.
#[derive(Debug)]
struct Process {
    function: &'static str,
    memory_mb: u32,
    app: App,
    ledger: Arc<Ledger>,
}

/// A deployment.
#[derive(Debug)]
pub(crate) struct Stack {
    token: String,
    topic: Arc<MemoryTopic>,
    ingest: Process,
    collect: Process,
    evaluate: Process,
    notify: Process,
    rollup: Process,
    report: Process,
    queries: Vec<Process>,
}

impl Stack {
    /// A deployment with the default configuration and one token.
    pub(crate) async fn new(now: Timestamp) -> Self {
        let topic = Arc::new(MemoryTopic::default());
        let ports = Ports {
            wal: Arc::new(MemoryWal::default()),
            objects: Arc::new(MemoryObjectStore::default()),
            state: Arc::new(MemoryStateStore::default()),
            topic: topic.clone(),
            messenger: Arc::new(MemoryMessenger::default()),
        };
        let token = NewToken {
            name: "everybody".to_owned(),
            scopes: vec![Scope::Write, Scope::Read],
            role: Role::Ops,
            tenant: TenantId::default_tenant(),
        };
        let token = access::create(ports.state.as_ref(), token, [1; 32], now).await.expect("memory takes it");
        let process = |function| Process::new(function, 0, &ports);
        let stack = Self {
            token,
            topic,
            ingest: process("ingest"),
            collect: process("collect"),
            evaluate: process("evaluate"),
            notify: process("notify"),
            rollup: process("rollup"),
            report: process("report"),
            queries: (0..QUERY_PROCESSES).map(|instance| Process::new("query", instance, &ports)).collect(),
        };
        // The day before has nothing to report; today's report is due after midnight.
        report::run_due(&stack.report.app, now).await.expect("memory answers");
        stack
    }

    /// A push through the HTTP API.
    pub(crate) async fn push(&self, body: Bytes, now: Timestamp) {
        let request = Request::post("/api/v1/write")
            .header("content-type", wire::remote_write::CONTENT_TYPE)
            .header("content-encoding", wire::remote_write::CONTENT_ENCODING);
        let request = self.authorized(request).body(body).expect("a request");
        let status = self.ingest.answer(request, PUSH, now).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }

    /// A page or a query through the HTTP API, which one of the processes answers.
    pub(crate) async fn get(&self, process: usize, path: &str, now: Timestamp) {
        let request = self.authorized(Request::get(path)).body(Bytes::new()).expect("a request");
        let status = self.queries[process].answer(request, QUERY, now).await;
        assert_eq!(status, StatusCode::OK, "{path}");
    }

    fn authorized(&self, request: http::request::Builder) -> http::request::Builder {
        request.header("authorization", format!("Bearer {}", self.token))
    }

    /// What the schedules start in a minute, and what the queue brings.
    pub(crate) async fn minute(&self, now: Timestamp) {
        let tick = evaluate::tick(&self.evaluate.app, Shard::default(), now).await.expect("memory answers");
        let samples = u32::try_from(tick.samples_taken).expect("a minute's samples");
        self.evaluate.done(Door::Schedule, TICK + TICK_A_SAMPLE * samples, now).await;
        let messages = self.topic.drain();
        for messages in messages.chunks(10) {
            let received = notify::receive(&self.notify.app, messages, now).await;
            assert!(received.failed.is_empty());
            notify::run_due(&self.notify.app, now).await.expect("memory answers");
            self.notify.done(Door::Queue, LOOK * 2, now).await;
        }
        notify::run_due(&self.notify.app, now).await.expect("memory answers");
        self.notify.done(Door::Schedule, LOOK, now).await;
        self.collect.done(Door::Schedule, LOOK, now).await;
        if now.minute() % 60 == 7 {
            self.roll_up(now).await;
        }
        if now.minute() % 15 == 0 {
            report::run_due(&self.report.app, now).await.expect("memory answers");
            self.report.done(Door::Schedule, LOOK * 2, now).await;
        }
    }

    /// The hourly rollup.
    pub(crate) async fn roll_up(&self, now: Timestamp) {
        let done = rollup::run(&self.rollup.app, now).await.expect("memory answers");
        let hours = u32::try_from(done.hours_rolled_up).expect("some hours");
        self.rollup.done(Door::Schedule, LOOK * 5 + ROLL_UP_AN_HOUR * hours, now).await;
    }

    /// What was used so far, by function.
    pub(crate) fn usage(&self) -> Vec<(&'static str, Usage)> {
        let single = [&self.ingest, &self.collect, &self.evaluate, &self.notify, &self.rollup, &self.report];
        let mut used: Vec<_> = single.map(|process| (process.function, process.ledger.usage())).to_vec();
        let mut queries = Usage::default();
        self.queries.iter().for_each(|process| queries.merge(&process.ledger.usage()));
        used.push(("query", queries));
        used
    }
}

impl Process {
    fn new(function: &'static str, instance: usize, ports: &Ports) -> Self {
        let ledger = Arc::new(Ledger::new(function, instance.to_string()));
        let ports = cost::metered(ports.clone(), &ledger);
        let access = (Access::Tokens, SessionKey::new([7; 32]));
        let settings = Settings { sender_memory: Duration::from_secs(30), ..Settings::default() };
        let limits = Limits::default();
        let app = App::new(ports, settings, limits, Stopwatch::stopped(), Config::defaults(), access);
        let known = MEMORY_MB.into_iter().find(|(name, _)| *name == function);
        let memory_mb = known.expect("every function has its memory").1;
        Self { function, memory_mb, app, ledger }
    }

    async fn answer(&self, request: Request<Bytes>, duration: Duration, now: Timestamp) -> StatusCode {
        let received_bytes = request.body().len() as u64;
        let reply = app::http::handle(&self.app, request, [0; 32], now).await;
        // The answer goes out compressed: about a tenth of a page or of JSON.
        let sent_bytes = reply.body().len() as u64 / 10;
        self.done(Door::HttpApi { received_bytes, sent_bytes }, duration, now).await;
        reply.status()
    }

    async fn done(&self, door: Door, duration: Duration, now: Timestamp) {
        self.ledger.invocation(door, duration, self.memory_mb);
        self.ledger.flush(&self.app, now).await.expect("memory answers");
    }
}

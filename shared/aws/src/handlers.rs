//! What each function does with an event: one `async fn` a function, from the event to its answer.
//!
//! A handler decodes what triggered it, runs one flow of `app`, and encodes the answer. It reads no clock and no
//! environment: [`Invocation`] brings the time and the randomness, so that every file of `events/` is a test.
//!
//! Which ports an [`App`] needs for a handler is said where the function is built (`functions/*/src/main.rs`).

mod schedule;

use std::sync::Arc;

use app::collect::CloudWatch;
use app::cost::{Door, Item};
use app::error::consequence;
use app::http::operator::OperatorEvent;
use app::http::{Reply, Route};
use app::ports::Shard;
use app::tick_row::WAL_RETENTION;
use app::{App, AppError};
use http::StatusCode;
use model::Timestamp;
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use crate::http_event::{self, Call, HttpEventError};
use crate::queue;

/// How far behind the tick may be before its function fails, so that the alarm on its failures tells: 10 minutes, when
/// 2 are normal.
pub const MINUTES_BEHIND_MAX: i64 = 10;
/// How long entries of the log live.
const LOG_MINUTES: i64 = WAL_RETENTION.as_secs().cast_signed() / 60;

/// One event, and what the host adds to it.
#[derive(Debug)]
pub struct Invocation {
    /// The event as it came.
    pub event: Box<RawValue>,
    /// When.
    pub now: Timestamp,
    /// Fresh random bytes, used where a token is made.
    pub random: [u8; 32],
}

/// What a function answers, and how it was asked, for the bill.
#[derive(Debug)]
pub struct Outcome {
    /// The answer as JSON.
    pub answer: Box<RawValue>,
    /// How the event came.
    pub door: Door,
    /// What was billed beside the ports, which count for themselves.
    pub billed: Vec<(Item, u64)>,
}

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// The event is not for this function: a trigger is wired wrongly.
    #[error("{0}")]
    Event(String),
    /// The flow failed.
    #[error(transparent)]
    Flow(#[from] AppError),
    /// The tick works, but cannot keep up.
    #[error("the tick is {minutes} minutes behind, over the limit of {MINUTES_BEHIND_MAX} minutes")]
    Behind {
        /// How far.
        minutes: i64,
    },
    /// Our own mistake.
    #[error("the handler panicked: {0}")]
    Panicked(String),
}

impl FunctionError {
    /// A short name for dashboards and alarms.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Event(_) => "WrongEvent",
            Self::Flow(_) => "FlowFailed",
            Self::Behind { .. } => "WatermarkBehind",
            Self::Panicked(_) => "Panicked",
        }
    }
}

/// Takes samples in, over HTTP.
///
/// # Errors
/// When the event is no HTTP request. Whatever is wrong with a request is answered.
pub async fn ingest(app: Arc<App>, invocation: Invocation) -> Result<Outcome, FunctionError> {
    over_http(&app, invocation, Served::Pushes).await
}

/// Answers queries, pages and downloads over HTTP, and operators who invoke the function itself.
///
/// # Errors
/// When the event is neither. Whatever is wrong with a request is answered.
pub async fn query(app: Arc<App>, invocation: Invocation) -> Result<Outcome, FunctionError> {
    #[derive(serde::Deserialize)]
    struct Probe<'a> {
        #[serde(borrow)]
        operator: Option<&'a RawValue>,
    }
    let event = invocation.event.get();
    if !serde_json::from_str::<Probe<'_>>(event).is_ok_and(|probe| probe.operator.is_some()) {
        return over_http(&app, invocation, Served::Questions).await;
    }
    let wrong = |error| FunctionError::Event(format!("the event is no operator's request: {error}"));
    let OperatorEvent { operator } = serde_json::from_str(event).map_err(wrong)?;
    let reply = app::http::handle_operator(&app, operator, invocation.random, invocation.now).await;
    outcome(&reply, Door::Direct)
}

/// Takes what CloudWatch measured, as `cloudwatch.yml` says.
///
/// # Errors
/// When the event is no schedule's, or something could not be read; the next run makes up for it.
pub async fn collect(
    app: Arc<App>,
    cloudwatch: Arc<dyn CloudWatch>,
    invocation: Invocation,
) -> Result<Outcome, FunctionError> {
    schedule::check(&invocation.event, "collect")?;
    let collected = app::collect::run(&app, cloudwatch.as_ref(), invocation.now).await?;
    let answer = json!({"questions": collected.questions, "pages": collected.pages, "samples": collected.samples});
    let asked = outcome(&answer, Door::Schedule)?;
    Ok(Outcome { billed: vec![(Item::CloudwatchMetric, collected.questions + collected.pages)], ..asked })
}

/// Takes in what was pushed, runs the rules, publishes alerts.
///
/// # Errors
/// When the event is no schedule's, the tick fails, or it works but cannot keep up: the alarm on the failures of this
/// function is the canary of the whole.
pub async fn evaluate(app: Arc<App>, invocation: Invocation) -> Result<Outcome, FunctionError> {
    schedule::check(&invocation.event, "evaluate")?;
    let summary = app::evaluate::tick(&app, Shard::default(), invocation.now).await?;
    if !summary.errors.is_empty() {
        tracing::warn!(errors = ?summary.errors, "the tick has something to tell");
    }
    if summary.minutes_taken > LOG_MINUTES {
        tracing::error!(
            minutes = summary.minutes_taken,
            "no tick ran for longer than the log lives: what it forgot meanwhile is lost"
        );
    }
    let minutes = invocation.now.minute() - summary.watermark;
    if minutes > MINUTES_BEHIND_MAX {
        return Err(FunctionError::Behind { minutes });
    }
    let answer = json!({
        "committed": summary.committed,
        "watermark": summary.watermark,
        "minutes_left": summary.minutes_left,
        "samples_taken": summary.samples_taken,
        "entries_unreadable": summary.entries_unreadable,
        "rules_evaluated": summary.rules_evaluated,
        "rules_failed": summary.rules_failed,
        "groups_skipped": summary.groups_skipped.len(),
        "alerts_published": summary.alerts_published,
    });
    outcome(&answer, Door::Schedule)
}

/// Takes alerts in from the queue, and tells people what is due; the schedule brings what became due without an alert.
///
/// # Errors
/// When the event is neither a queue's nor a schedule's, or, by schedule, the timers cannot be read. From the queue,
/// messages fail one by one.
pub async fn notify(app: Arc<App>, invocation: Invocation) -> Result<Outcome, FunctionError> {
    let now = invocation.now;
    if schedule::check(&invocation.event, "notify").is_ok() {
        let ran = app::notify::run_due(&app, now).await?;
        let answer = json!({"groups": ran.groups, "delivered": ran.delivered, "failed": ran.failed});
        app::notify::illustrate(&app, ran.pictures, now).await;
        return outcome(&answer, Door::Schedule);
    }
    let batch = queue::decode(&invocation.event).map_err(FunctionError::Event)?;
    for (record, reason) in batch.unreadable() {
        tracing::error!(record, reason, "a message of the queue is none of ours");
    }
    let received = app::notify::receive(&app, &batch.messages, now).await;
    let tell = async {
        match app::notify::run_due(&app, now).await {
            Ok(ran) => app::notify::illustrate(&app, ran.pictures, now).await,
            // The alerts are taken in; their timers bring them back with the next minute.
            Err(error) => tracing::warn!(%error, "due notifications wait for the next minute"),
        }
    };
    futures::future::join(tell, app::notify::forward(&app, &received.known, now)).await;
    // What can never succeed comes again, too: a few times later it is in the queue of dead letters, with an alarm.
    outcome(&batch.answer(received.failed.iter().map(|(id, _)| id.as_str())), Door::Queue)
}

/// Makes blocks and rollups, deletes what has expired.
///
/// # Errors
/// When the event is no schedule's, or the flow fails; the next run goes on from there.
pub async fn rollup(app: Arc<App>, invocation: Invocation) -> Result<Outcome, FunctionError> {
    schedule::check(&invocation.event, "rollup")?;
    let summary = app::rollup::run(&app, invocation.now).await?;
    let answer = json!({
        "hours_built": summary.hours_built,
        "hours_rolled_up": summary.hours_rolled_up,
        "hours_left": summary.hours_left,
        "rows_expired": summary.rows_expired,
        "objects_deleted": summary.objects_deleted,
    });
    outcome(&answer, Door::Schedule)
}

/// Writes the reports that are due.
///
/// # Errors
/// When the event is no schedule's, or a report cannot be written.
pub async fn report(app: Arc<App>, invocation: Invocation) -> Result<Outcome, FunctionError> {
    schedule::check(&invocation.event, "report")?;
    let written = app::report::run_due(&app, invocation.now).await?;
    let ids: Vec<&str> = written.iter().map(|entry| entry.id.as_str()).collect();
    outcome(&json!({ "written": ids }), Door::Schedule)
}

/// Which part of the router a function serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Served {
    Pushes,
    Questions,
}

impl Served {
    /// Why a path is not for this function, when it is not.
    fn refusal(self, path: &str) -> Option<&'static str> {
        let route = Route::of(path);
        match self {
            Self::Pushes if !route.is_push() && route != Route::Health => {
                Some("samples are taken here, and nothing else is answered: ask at the address of the pages")
            }
            Self::Questions if route.is_push() => {
                Some("no samples are taken here: the front door leads POST requests of this path to another function")
            }
            Self::Pushes | Self::Questions => None,
        }
    }
}

async fn over_http(app: &App, invocation: Invocation, served: Served) -> Result<Outcome, FunctionError> {
    let call = match http_event::decode(&invocation.event) {
        Ok(call) => call,
        Err(HttpEventError::Request(reason)) => {
            let reply = app::http::refuse(StatusCode::BAD_REQUEST, &reason);
            return Ok(replied(reply, false, |sent_bytes| Door::HttpApi { received_bytes: 0, sent_bytes }));
        }
        Err(error @ HttpEventError::Event(_)) => return Err(FunctionError::Event(error.to_string())),
    };
    let Call { request, is_function_url } = call;
    let gzip = http_event::accepts_gzip(request.headers());
    let received_bytes = count(request.body().len());
    let reply = match served.refusal(request.uri().path()) {
        Some(reason) => app::http::refuse(StatusCode::NOT_FOUND, reason),
        None => app::http::handle(app, request, invocation.random, invocation.now).await,
    };
    Ok(replied(reply, gzip, |sent_bytes| match is_function_url {
        true => Door::FunctionUrl { sent_bytes },
        false => Door::HttpApi { received_bytes, sent_bytes },
    }))
}

fn replied(reply: Reply, gzip: bool, door: impl FnOnce(u64) -> Door) -> Outcome {
    let answer = http_event::encode(reply, gzip);
    let door = door(count(answer.get().len()));
    Outcome { answer, door, billed: Vec::new() }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn outcome(answer: &impl Serialize, door: Door) -> Result<Outcome, FunctionError> {
    let answer = to_raw_value(answer).map_err(|error| AppError::Bug(format!("the answer is no JSON: {error}")))?;
    Ok(Outcome { answer, door, billed: Vec::new() })
}

/// How loudly a failed invocation is logged.
pub(crate) fn level(error: &FunctionError) -> tracing::Level {
    match error {
        FunctionError::Flow(error) => consequence(error.kind()).level,
        FunctionError::Event(_) | FunctionError::Behind { .. } | FunctionError::Panicked(_) => tracing::Level::ERROR,
    }
}

//! The host of the functions: clock, randomness, environment, log, and the loop that asks Lambda for events.
//!
//! Read [`run`] first: every function's `main` is one call of it. It reads the [`Environment`] and builds the clients
//! once, loads what the function [`Needs`], then hands each event to a handler of [`crate::handlers`].
//!
//! Invariants:
//! - An invocation that fails or panics is an error of that invocation; the process goes on with the next one.
//! - A start that cannot reach the table does not end the process: the next invocation tries again.
//! - The log is JSON on standard output, one line an event of note; none for a request that was answered.

mod environment;

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use app::access::{Access, SessionKey};
use app::collect::CloudWatch;
use app::config::Config;
use app::config_store;
use app::cost::{Door, Ledger, metered};
use app::ports::absent::Absent;
use app::ports::{Messenger, Topic};
use app::{App, AppError, Ports, Stopwatch};
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use model::Timestamp;
use serde_json::value::RawValue;
use tokio::sync::OnceCell;
use tracing::Instrument as _;
use tracing::level_filters::LevelFilter;

use crate::client::Clients;
use crate::handlers::{self, FunctionError, Invocation, Outcome};
use crate::{
    AlertQueue, AwsMessenger, CloudWatchReader, DynamoState, DynamoWal, MailMessenger, S3Objects, SnsTopic, SsmSecrets,
};

pub use environment::{Environment, EnvironmentError, MessageSettings};

/// How long loading at the start may take; Lambda gives a start ten seconds.
const START_TIME_MAX: Duration = Duration::from_secs(6);

/// What is loaded before the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The configuration that was pushed; looked at again every minute.
    pub config: bool,
    /// The key that sessions and links are signed with.
    pub session_key: bool,
}

impl Needs {
    /// Nothing: the function starts without a call.
    pub const NOTHING: Self = Self { config: false, session_key: false };
    /// The rules and receivers.
    pub const CONFIG: Self = Self { config: true, session_key: false };
    /// For functions that sign or check signatures.
    pub const ALL: Self = Self { config: true, session_key: true };
}

/// What a function is built from.
#[derive(Debug)]
pub struct Host {
    /// What the template says.
    pub environment: Environment,
    /// What all SDK clients share.
    pub clients: Clients,
    /// Measures durations.
    pub stopwatch: Stopwatch,
}

impl Host {
    fn new() -> Result<Self, EnvironmentError> {
        let clock = SharedTimeSource::new(SystemTimeSource::new());
        let environment = Environment::read(&variable, clock)?;
        let clients = Clients::new(environment.aws.clone());
        Ok(Self { environment, clients, stopwatch: stopwatch() })
    }

    /// Log, objects and rows; no topic and no messenger.
    pub fn stores(&self) -> Ports {
        Ports {
            wal: Arc::new(DynamoWal::new(&self.clients)),
            objects: Arc::new(S3Objects::new(&self.clients)),
            state: Arc::new(DynamoState::new(&self.clients)),
            topic: Arc::new(Absent),
            messenger: Arc::new(Absent),
        }
    }

    /// The alert topic.
    ///
    /// # Errors
    /// When the environment does not name it.
    pub fn topic(&self) -> Result<Arc<dyn Topic>, EnvironmentError> {
        Ok(Arc::new(SnsTopic::new(&self.clients, self.environment.topic_arn()?)))
    }

    /// The queue behind the alert topic, which can delay what is put into it.
    ///
    /// # Errors
    /// When the environment does not name it.
    pub fn queue(&self) -> Result<Arc<dyn Topic>, EnvironmentError> {
        Ok(Arc::new(AlertQueue::new(&self.clients, self.environment.queue_url()?)))
    }

    /// Secrets alone, for a function that checks signatures and tells nobody itself.
    pub fn secrets(&self) -> Arc<dyn Messenger> {
        Arc::new(SsmSecrets::new(&self.clients))
    }

    /// Every way to reach people.
    pub fn messenger(&self) -> Arc<dyn Messenger> {
        Arc::new(AwsMessenger::new(&self.clients, &self.environment.messages))
    }

    /// CloudWatch itself, for the function that reads it.
    pub fn cloudwatch(&self) -> Arc<dyn CloudWatch> {
        Arc::new(CloudWatchReader::new(&self.clients, self.environment.account()))
    }

    /// Mail alone.
    pub fn mail(&self) -> Arc<dyn Messenger> {
        Arc::new(MailMessenger::new(&self.clients, &self.environment.messages))
    }
}

/// Runs a function until Lambda ends it: `name` is its flow, `make` gives its ports and its handler.
pub fn run<M, H, F>(name: &'static str, needs: Needs, make: M) -> ExitCode
where
    M: FnOnce(&Host) -> Result<(Ports, H), EnvironmentError>,
    H: Fn(Arc<App>, Invocation) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Outcome, FunctionError>> + Send + 'static,
{
    start_log();
    match serve(name, needs, make) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(function = name, error, "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

fn serve<M, H, F>(name: &'static str, needs: Needs, make: M) -> Result<(), String>
where
    M: FnOnce(&Host) -> Result<(Ports, H), EnvironmentError>,
    H: Fn(Arc<App>, Invocation) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Outcome, FunctionError>> + Send + 'static,
{
    // A function has less than two processors, and other threads cost time at the start.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("starting the async runtime: {error}"))?;
    runtime.block_on(async {
        let host = Host::new().map_err(|error| error.to_string())?;
        let (ports, handler) = make(&host).map_err(|error| error.to_string())?;
        let function = Arc::new(Function::new(name, needs, host, ports, handler));
        function.warm_up().await;
        let service = service_fn(|event: LambdaEvent<Box<RawValue>>| {
            let function = Arc::clone(&function);
            async move { function.invoke(event.payload).await }
        });
        lambda_runtime::run(service).await.map_err(|error| format!("asking Lambda for events: {error}"))
    })
}

/// One function, started.
struct Function<H> {
    name: &'static str,
    needs: Needs,
    environment: Environment,
    stopwatch: Stopwatch,
    ports: Ports,
    ledger: Arc<Ledger>,
    handler: H,
    app: OnceCell<Arc<App>>,
}

impl<H> fmt::Debug for Function<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function").field("name", &self.name).field("needs", &self.needs).finish_non_exhaustive()
    }
}

impl<H, F> Function<H>
where
    H: Fn(Arc<App>, Invocation) -> F,
    F: Future<Output = Result<Outcome, FunctionError>> + Send + 'static,
{
    fn new(name: &'static str, needs: Needs, host: Host, ports: Ports, handler: H) -> Self {
        let Host { environment, stopwatch, .. } = host;
        let ledger = Arc::new(Ledger::new(name, environment.instance.clone()));
        let ports = metered(ports, &ledger);
        Self { name, needs, environment, stopwatch, ports, ledger, handler, app: OnceCell::new() }
    }

    /// Loads what is needed while Lambda gives a start its whole processor; connections stay open for the first event.
    async fn warm_up(&self) {
        let now = now();
        match tokio::time::timeout(START_TIME_MAX, self.app(now)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(function = self.name, %error, "the first event tries to start again"),
            Err(_) => tracing::warn!(function = self.name, "no answer yet: the first event tries to start again"),
        }
    }

    /// The app: built once, with the configuration of this minute.
    async fn app(&self, now: Timestamp) -> Result<Arc<App>, AppError> {
        let app = self.app.get_or_try_init(|| self.build(now)).await?;
        if self.needs.config {
            config_store::refresh(app, now).await?;
        }
        Ok(Arc::clone(app))
    }

    async fn build(&self, now: Timestamp) -> Result<Arc<App>, AppError> {
        let random = random()?;
        let session_key = match self.needs.session_key {
            true => SessionKey::load_or_create(self.ports.state.as_ref(), random, now).await?,
            // Signs nothing, and so nothing that anybody signed is accepted.
            false => SessionKey::new(random),
        };
        let config = if self.needs.config { Config::defaults() } else { Config::default() };
        let (settings, limits) = (self.environment.settings.clone(), self.environment.limits.clone());
        let access = (Access::Tokens, session_key);
        Ok(Arc::new(App::new(self.ports.clone(), settings, limits, self.stopwatch.clone(), config, access)))
    }

    /// One event, from Lambda and back; its failure is logged here.
    async fn invoke(&self, event: Box<RawValue>) -> Result<Box<RawValue>, Diagnostic> {
        let started = self.stopwatch.read();
        let now = now();
        let result = self.handle(event, now).await;
        let elapsed = self.stopwatch.read().saturating_sub(started);
        match result {
            Ok((app, outcome)) => {
                self.ledger.invocation(outcome.door, elapsed, self.environment.memory_mb);
                outcome.billed.iter().for_each(|(item, amount)| self.ledger.add(*item, *amount));
                if let Err(error) = self.ledger.flush(&app, now).await {
                    tracing::warn!(function = self.name, %error, "what was used is stored later");
                }
                Ok(outcome.answer)
            }
            Err(error) => {
                self.ledger.invocation(Door::Direct, elapsed, self.environment.memory_mb);
                Err(self.report(&error))
            }
        }
    }

    async fn handle(&self, event: Box<RawValue>, now: Timestamp) -> Result<(Arc<App>, Outcome), FunctionError> {
        let app = self.app(now).await?;
        let invocation = Invocation { event, now, random: random()? };
        // A task of its own, so that a panic ends nothing but the invocation.
        let work = tokio::spawn((self.handler)(Arc::clone(&app), invocation).in_current_span());
        let outcome = work.await.map_err(|error| FunctionError::Panicked(panic_message(error)))??;
        Ok((app, outcome))
    }

    fn report(&self, error: &FunctionError) -> Diagnostic {
        let (function, kind) = (self.name, error.name());
        match handlers::level(error) {
            tracing::Level::ERROR => tracing::error!(function, kind, %error, "the invocation failed"),
            tracing::Level::WARN => tracing::warn!(function, kind, %error, "the invocation failed"),
            _ => tracing::info!(function, kind, %error, "the invocation failed"),
        }
        Diagnostic { error_type: kind.to_owned(), error_message: error.to_string() }
    }
}

fn panic_message(error: tokio::task::JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else { return "it was cancelled".to_owned() };
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "no message".to_owned(), |text| (*text).to_owned()),
    }
}

/// JSON lines on standard output, in the form by which Lambda filters them: `timestamp`, `level`, and the fields.
fn start_log() {
    let level = variable("AWS_LAMBDA_LOG_LEVEL").as_deref().map_or(LevelFilter::INFO, environment::level);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_max_level(level)
        .init();
}

#[expect(clippy::disallowed_methods, reason = "the host owns the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "the host owns the clock")]
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "the host owns the clock")]
fn stopwatch() -> Stopwatch {
    let started = Instant::now();
    Stopwatch::new(move || started.elapsed())
}

fn random() -> Result<[u8; 32], AppError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| AppError::Bug(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;

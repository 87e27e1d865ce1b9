//! The flows, the ports they stand on, and the HTTP router.
//!
//! Read [`ports`] first (all that the flows know of the world), then [`App`] (what every flow gets), then one flow:
//! [`ingest`] is the shortest.
//!
//! Invariants:
//! - Every flow loads, decides in a pure function of `alerting`, `promql`, `tsdb` or `render`, and commits once.
//! - Time is an argument: no flow reads a clock. [`App::stopwatch`] measures durations and decides nothing.
//! - A trigger may come twice, late or out of order: versions decide what is correct, never leases.
//! - No AWS, no sockets, no files: hosts bring adapters.

pub mod access;
pub mod alerts;
pub mod catalogue;
pub mod collect;
pub mod config;
pub mod config_store;
pub mod cost;
pub mod error;
pub mod evaluate;
mod exemplars;
pub mod faults;
pub mod history;
pub mod http;
pub mod ingest;
pub mod layouts;
pub mod load;
pub mod memory;
pub mod metadata;
pub mod metrics;
pub mod notify;
pub mod pages;
pub mod ports;
pub mod query;
mod readable;
pub mod refusals;
pub mod report;
pub mod rollup;
pub mod settings;
pub mod tick_row;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use model::{Limits, TenantId, Timestamp};

use access::{Access, SessionKey};
use config::Config;
use config_store::PushedConfig;
pub use error::AppError;
use load::Loader;
use metrics::Metrics;
use ports::{Messenger, Minute, ObjectStore, Shard, StateStore, Topic, Wal};
pub use settings::Settings;

/// The five ports of one deployment.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Accepted requests until the tick has taken them.
    pub wal: Arc<dyn Wal>,
    /// Blocks, rollups, reports.
    pub objects: Arc<dyn ObjectStore>,
    /// Rows: the tick, the catalogue, alerts, groups, tokens.
    pub state: Arc<dyn StateStore>,
    /// From evaluate to notify.
    pub topic: Arc<dyn Topic>,
    /// From notify and report to people.
    pub messenger: Arc<dyn Messenger>,
}

/// Measures durations for metrics and time-outs: time since some fixed moment, never going backwards.
#[derive(Clone)]
pub struct Stopwatch(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Stopwatch {
    /// A stopwatch that reads the host's monotonic clock.
    pub fn new(read: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// A stopwatch that stands still, for tests.
    pub fn stopped() -> Self {
        Self::new(|| Duration::ZERO)
    }

    /// Time since its fixed moment.
    pub fn read(&self) -> Duration {
        (self.0)()
    }
}

impl fmt::Debug for Stopwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopwatch")
    }
}

/// What every flow gets: the ports, the settings, the limits and the configuration of one deployment.
#[derive(Debug)]
pub struct App {
    /// The world outside.
    pub ports: Ports,
    /// What the operator chose.
    pub settings: Settings,
    /// What is too much.
    pub limits: Limits,
    /// Measures durations.
    pub stopwatch: Stopwatch,
    /// What this process says of itself.
    pub metrics: Metrics,
    /// What queries read from.
    pub loader: Loader,
    config: RwLock<Arc<Config>>,
    /// What is wrong with the newest configuration, while an older one is in force.
    config_errors: RwLock<Vec<String>>,
    pushed_config: PushedConfig,
    tokens_required: AtomicBool,
    session_key: SessionKey,
    senders: access::Senders,
    watermark: WatermarkCache,
    cost: cost::Cache,
    tick_states: tick_row::StateCache,
    layouts: Option<layouts::LayoutWriter>,
    metadata: metadata::Stored,
    exemplars: exemplars::Budget,
}

impl App {
    /// A deployment at its start.
    pub fn new(
        ports: Ports,
        settings: Settings,
        limits: Limits,
        stopwatch: Stopwatch,
        config: Config,
        (access, session_key): (Access, SessionKey),
    ) -> Self {
        config.log_unheeded();
        Self {
            loader: Loader::new(ports.clone(), limits.clone(), settings.cache_bytes / 8 * 7),
            layouts: settings
                .layouts
                .then(|| layouts::LayoutWriter::new(Arc::clone(&ports.state), settings.cache_bytes / 8)),
            senders: access::Senders::new(settings.sender_memory),
            ports,
            settings,
            limits,
            stopwatch,
            metrics: Metrics::default(),
            config: RwLock::new(Arc::new(config)),
            config_errors: RwLock::default(),
            pushed_config: PushedConfig::default(),
            tokens_required: AtomicBool::new(access == Access::Tokens),
            session_key,
            watermark: WatermarkCache::default(),
            cost: cost::Cache::default(),
            tick_states: tick_row::StateCache::default(),
            metadata: metadata::Stored::default(),
            exemplars: exemplars::Budget::default(),
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a new configuration into force.
    pub fn set_config(&self, config: Config) {
        config.log_unheeded();
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.set_config_errors(Vec::new());
    }

    /// What is wrong with the newest configuration files, as far as a tenant may know: the default tenant, which
    /// administers the deployment, all of it, any other what is wrong with its own files.
    pub fn config_errors(&self, tenant: &TenantId) -> Vec<String> {
        let errors = self.config_errors.read().unwrap_or_else(PoisonError::into_inner);
        let own_files = format!("tenants/{tenant}/");
        let is_shown = |error: &&String| *tenant == self.settings.default_tenant || error.starts_with(&own_files);
        errors.iter().filter(is_shown).cloned().collect()
    }

    /// Remembers what is wrong with the newest configuration files; the last good ones stay in force.
    pub fn set_config_errors(&self, errors: Vec<String>) {
        *self.config_errors.write().unwrap_or_else(PoisonError::into_inner) = errors;
    }

    /// Checks that what is in force may be acted on: not the built-in defaults in place of what was pushed and cannot be
    /// read.
    ///
    /// # Errors
    /// `Corrupt`, with all that is wrong with what was pushed.
    pub fn require_config(&self) -> Result<(), AppError> {
        self.pushed_config.require()
    }

    /// Whether callers need a token.
    pub fn access(&self) -> Access {
        if self.tokens_required.load(Ordering::Relaxed) { Access::Tokens } else { Access::Open }
    }

    /// From now on everybody needs a token: the first one was made.
    pub fn require_tokens(&self) {
        self.tokens_required.store(true, Ordering::Relaxed);
    }

    /// The key that sessions are signed with.
    pub const fn session_key(&self) -> &SessionKey {
        &self.session_key
    }

    /// The watermark that was read in this minute, if it was.
    pub(crate) fn watermark_of(&self, minute: Minute) -> Option<Minute> {
        (self.watermark.read_in.load(Ordering::Acquire) == minute).then(|| self.watermark.value.load(Ordering::Relaxed))
    }

    /// The tick's watermark, as of this minute; where nothing was evaluated yet, one that is not behind.
    pub(crate) async fn watermark_or_read(&self, now: Timestamp) -> Result<Minute, AppError> {
        if let Some(watermark) = self.watermark_of(now.minute()) {
            return Ok(watermark);
        }
        let known = tick_row::watermark(self.ports.state.as_ref(), Shard::default(), now).await?;
        let watermark = known.unwrap_or_else(|| load::last_closed(now));
        self.remember_watermark(now.minute(), watermark);
        Ok(watermark)
    }

    /// From now on nothing may arrive in this minute or before: a tick of this process reads them for the last time. A
    /// tick that failed counts no more once the next one begins, which may find another time.
    pub(crate) fn close(&self, minute: Minute) {
        self.watermark.closed.store(minute, Ordering::SeqCst);
    }

    /// Whether a tick of this process may have read a minute for the last time.
    pub(crate) fn is_closed(&self, minute: Minute) -> bool {
        minute <= self.watermark.closed.load(Ordering::SeqCst)
    }

    /// Remembers a watermark for the rest of the minute it was read in.
    pub(crate) fn remember_watermark(&self, minute: Minute, watermark: Minute) {
        self.watermark.value.store(watermark, Ordering::Relaxed);
        self.watermark.read_in.store(minute, Ordering::Release);
    }
}

/// The tick's watermark, read at most once a minute by a busy ingest.
#[derive(Debug)]
struct WatermarkCache {
    read_in: AtomicI64,
    value: AtomicI64,
    /// The last minute that a tick of this process closed.
    closed: AtomicI64,
}

impl Default for WatermarkCache {
    fn default() -> Self {
        let never = || AtomicI64::new(Minute::MIN);
        Self { read_in: never(), value: AtomicI64::new(0), closed: never() }
    }
}

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
pub mod error;
pub mod faults;
pub mod ingest;
pub mod memory;
pub mod ports;
pub mod refusals;
pub mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::Limits;

pub use error::AppError;
use ports::{Messenger, ObjectStore, StateStore, Topic, Wal};
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

/// What every flow gets: the ports, the settings and the limits of one deployment.
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
}

//! What it costs: every port call becomes the units that AWS bills, and a price table turns them into dollars.
//!
//! Read [`Ledger`] first (one a process, counts), then [`metered`] (wraps the ports so that they count), then
//! [`report()`] (adds up what all processes stored). [`Item`] lists everything that is billed.
//!
//! The units are those of the adapters on AWS, whatever adapter is behind: on one machine the figures say what the same
//! work would cost there. They are a model, checked against what the services report: list prices, no free tiers.
//!
//! - Table: write units of 1 KB, twice that in a transaction; strongly consistent read units of 4 KB. A write is billed
//!   by the larger of what it stores and what it replaces, a delete by what it removes; the process knows the size of
//!   rows that it saw.
//! - Log: an item up to 8 KB, above that an object and a pointer.
//! - What is kept is charged when it is written, for the whole time that it will be kept, so that dollars a million
//!   samples hold all that a sample ever costs.
//! - Invocations are told by the host ([`Ledger::invocation`]), since no port sees them.

mod current;
mod item;
mod keep;
mod meter;
mod prices;
mod report;
mod rows;
mod units;
mod usage;

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use jiff::civil::Date;
use model::Timestamp;

use crate::App;
use crate::ports::PortResult;
pub use current::{Cache, current};
pub use item::Item;
pub use meter::metered;
pub use prices::{PriceError, Prices};
/// For whoever prints a report.
pub use render::unit::{Unit, dollars};
pub use report::{FunctionCost, Line, Report, STANDING, report, standing};
pub use usage::Usage;

/// A process stores what it used at most so often.
const FLUSH_EVERY: Duration = Duration::from_secs(15 * 60);
/// A request at API Gateway's HTTP API is so many bytes of body.
const HTTP_REQUEST_BYTES: u64 = 512 << 10;

/// How an invocation of a function came about, which decides what it costs beside the function's own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Through API Gateway's HTTP API.
    HttpApi {
        /// The request's body as it came in.
        received_bytes: u64,
        /// The answer's body as it went out.
        sent_bytes: u64,
    },
    /// Through the function's own URL.
    FunctionUrl {
        /// The answer's body as it went out.
        sent_bytes: u64,
    },
    /// By a schedule.
    Schedule,
    /// By messages in the queue; those are counted where they are published.
    Queue,
    /// By somebody who may invoke the function.
    Direct,
}

/// What one process used. Counting takes a lock for a moment and no call.
#[derive(Debug)]
pub struct Ledger {
    function: String,
    instance: String,
    book: Mutex<Book>,
    seen: Mutex<units::SeenRows>,
}

#[derive(Debug, Default)]
struct Book {
    /// Since the process started.
    total: Usage,
    /// Since the row of the day was begun.
    day: Usage,
    /// The day, and since when it is counted; none before the first flush.
    begun: Option<(Date, Timestamp)>,
    flushed_at: Option<Timestamp>,
    /// How many of the accepted samples are counted already.
    samples_counted: u64,
}

impl Ledger {
    /// The ledger of a process that just started: the function it runs (`ingest`; `local` for all of them in one), and
    /// a name that no other process of the function has, such as that of its log stream.
    pub fn new(function: impl Into<String>, instance: impl Into<String>) -> Self {
        let (book, seen) = (Mutex::default(), Mutex::default());
        Self { function: function.into(), instance: instance.into(), book, seen }
    }

    /// Counts one invocation of a function that has so much memory: to be told by the host when it is over.
    pub fn invocation(&self, door: Door, duration: Duration, memory_mb: u32) {
        let milliseconds = duration.as_nanos().div_ceil(1_000_000).max(1);
        let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
        self.add(Item::FunctionRequest, 1);
        self.add(Item::FunctionMemoryTime, milliseconds.saturating_mul(u64::from(memory_mb)));
        match door {
            Door::HttpApi { received_bytes, sent_bytes } => {
                let larger = received_bytes.max(sent_bytes);
                self.add(Item::HttpRequest, larger.div_ceil(HTTP_REQUEST_BYTES).max(1));
                self.add(Item::BytesOut, sent_bytes);
            }
            Door::FunctionUrl { sent_bytes } => self.add(Item::BytesOut, sent_bytes),
            Door::Schedule => self.add(Item::Schedule, 1),
            Door::Queue | Door::Direct => {}
        }
    }

    /// Counts something that is billed.
    pub fn add(&self, item: Item, amount: u64) {
        let mut book = self.book();
        book.total.add(item, amount);
        book.day.add(item, amount);
    }

    /// What was used since the process started. Samples are counted by [`Ledger::flush`].
    pub fn usage(&self) -> Usage {
        self.book().total.clone()
    }

    /// Stores what was used: the first time at once, since a process may be short-lived, then at most every 15 minutes.
    /// To be called after an invocation; it costs one write unit when it writes.
    ///
    /// # Errors
    /// When the store does not answer: the next call tries again.
    pub async fn flush(&self, app: &App, now: Timestamp) -> PortResult<()> {
        let Some((row, day)) = self.due(app.metrics.samples_accepted(), now) else { return Ok(()) };
        app.ports.state.put_many(vec![row], now).await?;
        let mut book = self.book();
        book.flushed_at = Some(now);
        let today = rows::day_of(now);
        if day != today {
            book.day = Usage::default();
            book.begun = Some((today, now));
        }
        Ok(())
    }

    /// The row to store, if it is time, and its day. What was used since the last flush counts for the day of that.
    fn due(&self, samples: u64, now: Timestamp) -> Option<(rows::Put, Date)> {
        let mut book = self.book();
        let new = samples.saturating_sub(book.samples_counted);
        book.samples_counted = samples;
        book.total.samples += new;
        book.day.samples += new;
        let (day, since) = *book.begun.get_or_insert((rows::day_of(now), now));
        let is_over = day != rows::day_of(now);
        if book.flushed_at.is_some_and(|at| now < at + FLUSH_EVERY) && !is_over {
            return None;
        }
        let usage = rows::ProcessUsage { since, until: now, usage: book.day.clone() };
        Some((usage.put(day, &self.function, &self.instance), day))
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nothing panics while it holds the lock")
    }

    fn seen(&self) -> MutexGuard<'_, units::SeenRows> {
        self.seen.lock().expect("nothing panics while it holds the lock")
    }
}

#[cfg(test)]
mod tests;

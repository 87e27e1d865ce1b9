//! The collect flow: what CloudWatch measured becomes samples of the default tenant.
//!
//! Read [`run`] first, then [`CloudWatch`] (the port that only this flow has) and [`config::CloudWatchConfig`] (what the
//! operator wants). An entry of the configuration in one region is a *unit*: it lists its metrics every half hour, and
//! asks about all of them whenever its interval has passed.
//!
//! Two kinds of rows, all in the partition `q#`: `board` says of all units how far they are, who is at work and what
//! was spent; it is all that a minute without work reads. `unit#<name>` holds a unit's metrics and how far each of its
//! questions was answered.
//!
//! Invariants:
//! - A trigger that comes twice asks nothing twice: what is due is claimed on the board first. The claim only saves
//!   money; what counts is how far the rows say a question was answered, which moves after its samples are durable. So
//!   a run that dies anywhere is made up for by the next one, and so is an outage, as far back as samples may be.
//! - Only complete periods are asked about, and the last few again, since what CloudWatch has of them still changes: an
//!   answer costs the same however many points it has. What was taken before and did not change is not written again.
//! - What is asked is counted before, and no round begins that the month's budget does not cover.

mod ask;
pub mod config;
mod memory;
mod plan;
mod port;
mod unit_row;

pub use memory::{Asked, MemoryCloudWatch};
pub use port::{
    Answer, Answered, CloudWatch, DataPage, LISTING_DIMENSIONS_MAX, Listing, Metric, MetricPage, POINTS_MAX,
    QUERIES_MAX, Query,
};

use std::collections::BTreeSet;
use std::time::Duration;

use model::{Batch, ErrorKind, Labels, Sample, TenantId, Timestamp};

use crate::ports::{Expect, PortError, RowKey, RowWrite};
use crate::{App, AppError, ingest};
use config::CloudWatchConfig;
use plan::{Board, Due, LIST_EVERY, Unit, backoff};
use unit_row::UnitRow;

/// How often a write is tried again that another run was faster with.
const TRIES: u32 = 5;
/// So many failures in a row that may pass by themselves are only counted: nobody needs to be told of one.
const FAILURES_TOLERATED: u32 = 3;
/// A run begins no further unit after so long: the function that it is has less than a minute.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);
/// What is remembered of a unit that is configured no more goes after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);
/// Format version of the board.
const BOARD_VERSION: u8 = 1;
const BOARD_ROW: &str = "CloudWatch board";

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Units that were brought up to date.
    pub units: usize,
    /// Questions that CloudWatch was asked: each is billed.
    pub questions: u64,
    /// Pages of listings that CloudWatch was asked for: each is billed.
    pub pages: u64,
    /// Samples that were taken.
    pub samples: usize,
    /// Units that failed and are tried again soon.
    pub failed: usize,
}

/// Reads what is due from CloudWatch; nothing where nothing is configured. To be called every minute.
///
/// # Errors
/// When the store does not answer, or some unit fails in a way that does not pass, or several times in a row: the others
/// are up to date all the same, and later runs make up for it.
pub async fn run(app: &App, cloudwatch: &dyn CloudWatch, now: Timestamp) -> Result<Collected, AppError> {
    let config = app.config();
    let mut collected = Collected::default();
    if config.cloudwatch.is_empty() {
        return Ok(collected);
    }
    let units = plan::units(&config.cloudwatch, cloudwatch.home_region());
    let Some((due, mut left)) = claim(app, &config.cloudwatch, &units, now).await? else { return Ok(collected) };
    let flow = Flow { app, cloudwatch, linked_accounts: config.cloudwatch.linked_accounts, now };
    let mut failed = None;
    let started = app.stopwatch.read();
    let mut waiting = due.into_iter();
    for due in waiting.by_ref() {
        let outcome = flow.collect(&due, &mut left, &mut collected).await;
        if let Err(error) = &outcome {
            let (namespace, region) = (due.unit.entry.namespace.as_str(), due.unit.region);
            tracing::warn!(namespace, region, %error, "metrics of CloudWatch could not be read; they are made up for");
            collected.failed += 1;
        }
        let told = flow.settle(&due, outcome).await.err();
        failed = failed.or(told);
        if app.stopwatch.read().saturating_sub(started) >= BEGINS_WITHIN {
            break;
        }
    }
    flow.release(waiting.as_slice()).await?;
    failed.map_or(Ok(collected), Err)
}

/// What a host without CloudWatch tells its operator, when the configuration wants metrics of it.
pub fn not_read_here(config: &CloudWatchConfig) -> Option<String> {
    let namespaces: BTreeSet<&str> = config.entries.iter().map(|entry| entry.namespace.as_str()).collect();
    if namespaces.is_empty() {
        return None;
    }
    let namespaces = Vec::from_iter(namespaces).join(", ");
    Some(format!(
        "cloudwatch.yml asks for {namespaces}; only the function collect on AWS reads CloudWatch, not this process"
    ))
}

/// Takes up what is due, and says how many further questions can be paid; `None` when nothing is, or another run has
/// taken it up.
async fn claim<'a>(
    app: &App,
    config: &CloudWatchConfig,
    units: &[Unit<'a>],
    now: Timestamp,
) -> Result<Option<(Vec<Due<'a>>, u64)>, AppError> {
    let names: Vec<String> = units.iter().map(|unit| unit.name.clone()).collect();
    for _ in 0..TRIES {
        let (mut board, version) = read_board(app, now).await?;
        let due = board.due(units.to_vec(), config.budget_dollars, now);
        if due.is_empty() {
            return Ok(None);
        }
        board.claim(&due, &names, now);
        if write_board(app, &board, version, now).await? {
            return Ok(Some((due, board.left(config.budget_dollars, now))));
        }
    }
    Ok(None)
}

/// What was achieved for one unit.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    /// The end of the last period that was asked about.
    until: Timestamp,
    /// Questions that a round takes.
    questions: u64,
    /// Pages of the listing, where there was one.
    pages: Option<u64>,
    /// All that was asked and is billed.
    billed: u64,
}

/// A run at work.
#[derive(Clone, Copy, Debug)]
struct Flow<'a> {
    app: &'a App,
    cloudwatch: &'a dyn CloudWatch,
    linked_accounts: bool,
    now: Timestamp,
}

/// A failure, and what was billed before it.
#[derive(Debug)]
struct Failed {
    billed: u64,
    error: AppError,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl Flow<'_> {
    /// Brings one unit up to date; `left` are the questions that can be paid beyond those that were expected.
    async fn collect(&self, due: &Due<'_>, left: &mut u64, collected: &mut Collected) -> Result<Outcome, Failed> {
        let mut billed = 0;
        let work = self.collect_billed(due, left, collected, &mut billed);
        work.await.map_err(|error| Failed { billed, error })
    }

    async fn collect_billed(
        &self,
        due: &Due<'_>,
        left: &mut u64,
        collected: &mut Collected,
        billed: &mut u64,
    ) -> Result<Outcome, AppError> {
        let (mut row, version) = self.read_unit(due).await?;
        let pages = self.relist(due, &mut row).await?;
        *billed += pages.unwrap_or(0);
        collected.pages += pages.unwrap_or(0);
        let mut outcome = Outcome { until: due.complete, questions: row.questions(), pages, billed: 0 };
        let unexpected = (row.questions() + pages.unwrap_or(0)).saturating_sub(due.mark.cost());
        let mut error = None;
        if unexpected <= *left {
            *left -= unexpected;
            let round = ask::round(self, due, &mut row).await?;
            *billed += round.questions;
            collected.questions += round.questions;
            outcome.until = round.until;
            error = round.error;
            let mut batch = round.batch;
            self.push_own(&mut batch, due, &outcome);
            let taken = ingest::append(self.app, self.tenant(), &batch, self.now).await?;
            collected.samples += taken.samples;
        } else {
            let (namespace, region) = (due.unit.entry.namespace.as_str(), due.unit.region);
            tracing::warn!(namespace, region, questions = row.questions(), "the budget does not allow for new metrics");
        }
        self.write_unit(due, &row, version).await?;
        collected.units += 1;
        outcome.billed = *billed;
        error.map_or(Ok(outcome), |error| Err(error.into()))
    }

    /// Lists the unit's metrics when that is due; gives back how many pages that took.
    async fn relist(&self, due: &Due<'_>, row: &mut UnitRow) -> Result<Option<u64>, AppError> {
        if row.listed.is_some_and(|listed| self.now.since(listed) < LIST_EVERY) {
            return Ok(None);
        }
        let (namespace, region) = (due.unit.entry.namespace.as_str(), due.unit.region);
        let (metrics, pages) = match ask::list(self, due).await {
            Ok(listed) => listed,
            Err(error) if row.metrics.is_empty() => return Err(error.into()),
            Err(error) => {
                tracing::warn!(namespace, region, %error, "metrics could not be listed; the known ones are read");
                return Ok(None);
            }
        };
        let statistics = due.unit.entry.statistics.len();
        let limit = self.app.limits.cloudwatch_questions_max;
        let left_out = row.relist(metrics, statistics, limit / statistics.max(1), self.now);
        if left_out > 0 {
            tracing::warn!(namespace, region, left_out, limit, "too many metrics (cloudwatch_questions_max)");
        }
        Ok(Some(pages))
    }

    /// Adds what the flow says of itself: how far it is and how much it asks.
    fn push_own(&self, batch: &mut Batch, due: &Due<'_>, outcome: &Outcome) {
        let own = [
            ("mihari_cloudwatch_taken_until_seconds", outcome.until.as_secs_f64()),
            ("mihari_cloudwatch_interval_seconds", due.every.as_secs_f64()),
            ("mihari_cloudwatch_questions", f64::from(u32::try_from(outcome.questions).unwrap_or(u32::MAX))),
        ];
        // Entries may share namespace and region.
        let entry = format!("{:016x}", due.unit.entry.identity());
        for (name, value) in own {
            let labels = Labels::from_pairs([
                ("__name__", name),
                ("entry", &entry),
                ("job", wire::cloudwatch::JOB),
                ("namespace", due.unit.entry.namespace.as_str()),
                ("region", due.unit.region),
            ]);
            let labels = labels.expect("names are sorted, and values were checked when the file was read");
            batch.push(labels.as_ref(), [Sample { timestamp: self.now, value }]);
        }
    }

    const fn tenant(&self) -> &TenantId {
        &self.app.settings.default_tenant
    }

    /// Reads what is remembered of a unit. What cannot be read is given up: it only saves money.
    async fn read_unit(&self, due: &Due<'_>) -> Result<(UnitRow, Expect), AppError> {
        let found = self.app.ports.state.get(&unit_key(due), self.now).await?;
        let Some(found) = found else { return Ok((UnitRow::default(), Expect::Absent)) };
        let row = UnitRow::decode(&found.value, due.unit.entry.period).unwrap_or_else(|error| {
            tracing::error!(unit = due.unit.name, %error, "what was known of metrics of CloudWatch cannot be read");
            UnitRow::default()
        });
        Ok((row, Expect::Version(found.version)))
    }

    async fn write_unit(&self, due: &Due<'_>, row: &UnitRow, expect: Expect) -> Result<(), AppError> {
        let write = RowWrite::put(unit_key(due), expect, row.encode(due.unit.entry.period));
        self.app.ports.state.write(vec![write.expiring(self.now + FORGOTTEN_AFTER)], self.now).await?;
        Ok(())
    }

    /// Writes on the board what came of a unit, and frees it; gives back a failure that somebody should know of.
    async fn settle(&self, due: &Due<'_>, outcome: Result<Outcome, Failed>) -> Result<(), AppError> {
        let billed = outcome.as_ref().map_or_else(|failed| failed.billed, |outcome| outcome.billed);
        let written = self.update_board(|board| {
            board.recount(due.mark.cost(), billed, self.now);
            let Some(mark) = board.units.get_mut(&due.unit.name) else { return };
            match &outcome {
                Ok(outcome) => {
                    mark.until_ms = Some(outcome.until.as_millis());
                    mark.questions = outcome.questions;
                    mark.pages = outcome.pages.unwrap_or(mark.pages);
                    (mark.failures, mark.not_before_ms) = (0, 0);
                }
                Err(_) => {
                    mark.failures = mark.failures.saturating_add(1);
                    mark.not_before_ms = (self.now + backoff(mark.failures)).as_millis();
                }
            }
        });
        let written = written.await;
        let may_pass = |error: &AppError| {
            let passes = matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Conflict);
            passes && due.mark.failures < FAILURES_TOLERATED
        };
        match outcome {
            Err(failed) if !may_pass(&failed.error) => Err(failed.error),
            _ => written,
        }
    }

    /// Gives units back that there was no time for.
    async fn release(&self, waiting: &[Due<'_>]) -> Result<(), AppError> {
        if waiting.is_empty() {
            return Ok(());
        }
        tracing::warn!(units = waiting.len(), "there was no time for all metrics of CloudWatch; the next run has it");
        let release = |board: &mut Board| {
            for due in waiting {
                board.recount(due.mark.cost(), 0, self.now);
                if let Some(mark) = board.units.get_mut(&due.unit.name) {
                    mark.not_before_ms = 0;
                }
            }
        };
        self.update_board(release).await
    }

    /// Changes the board, again where another run was faster.
    async fn update_board(&self, change: impl Fn(&mut Board)) -> Result<(), AppError> {
        for _ in 0..TRIES {
            let (mut board, version) = read_board(self.app, self.now).await?;
            change(&mut board);
            if write_board(self.app, &board, version, self.now).await? {
                return Ok(());
            }
        }
        Err(PortError::new(ErrorKind::Conflict, BOARD_ROW, "other runs were faster each time").into())
    }
}

fn unit_key(due: &Due<'_>) -> RowKey {
    RowKey::new(PARTITION, format!("unit#{}", due.unit.name))
}

/// Where all rows of the flow lie.
const PARTITION: &str = "q#";

fn board_key() -> RowKey {
    RowKey::new(PARTITION, "board")
}

async fn read_board(app: &App, now: Timestamp) -> Result<(Board, Expect), AppError> {
    let Some(row) = app.ports.state.get(&board_key(), now).await? else {
        return Ok((Board::default(), Expect::Absent));
    };
    let corrupt = |reason: String| AppError::Corrupt(format!("{BOARD_ROW}: {reason}"));
    let board = match row.value.split_first() {
        Some((&BOARD_VERSION, json)) => serde_json::from_slice(json).map_err(|error| corrupt(error.to_string()))?,
        Some((version, _)) => return Err(corrupt(format!("unknown format version {version}"))),
        None => return Err(corrupt("empty row".to_owned())),
    };
    Ok((board, Expect::Version(row.version)))
}

/// Writes the board; says whether nobody else has meanwhile.
async fn write_board(app: &App, board: &Board, expect: Expect, now: Timestamp) -> Result<bool, AppError> {
    let mut value = vec![BOARD_VERSION];
    serde_json::to_writer(&mut value, board).map_err(|error| AppError::Bug(format!("{BOARD_ROW}: {error}")))?;
    match app.ports.state.write(vec![RowWrite::put(board_key(), expect, value)], now).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;

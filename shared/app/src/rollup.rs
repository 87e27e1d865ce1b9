//! The rollup flow: chunks become blocks of hours, blocks become rollups, and what is too old goes.
//!
//! Nothing here is remembered between runs. Each run compares what the catalogue holds with what it should hold: an
//! hour with chunks needs a new block, rollups that were made from other blocks than those that stand there need to be
//! made again. So a run may die anywhere, come twice, or run beside another one: the rows' versions let one of them
//! win, and the next run does the rest. Late data is a chunk like any other.

mod hours;
mod spans;
mod sweep;

#[cfg(test)]
mod tests;

use std::time::Duration;

use model::{ErrorKind, Limits, TenantId, TimeRange, Timestamp};
use tsdb::retention::Retention;

use crate::catalogue::{CatalogueRow, raw_rows, tenants};
use crate::ports::{PortError, PortResult, Shard};
use crate::{App, AppError, Ports};

/// An hour is built when it is over for so long: senders that lag or retry have caught up.
const HOUR_SETTLES: Duration = Duration::from_secs(600);
/// A block is built again for late data at most so often.
const REBUILT_AFTER: Duration = Duration::from_secs(3600);
/// What is replaced stays so long, for readers that saw the old catalogue.
const TOMBSTONE_WAITS: Duration = Duration::from_secs(3600);

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollupSummary {
    /// Blocks of hours built, or built again.
    pub hours_built: usize,
    /// Chunks that went into them.
    pub chunks_merged: usize,
    /// Hours whose rollups were made, or made again.
    pub hours_rolled_up: usize,
    /// Hours left for the next run, since somebody else changed them meanwhile or more chunks wait than one write takes.
    pub hours_left: usize,
    /// Rows of the catalogue removed by retention.
    pub rows_expired: usize,
    /// Objects deleted.
    pub objects_deleted: usize,
}

/// Brings blocks, rollups and retention of all tenants up to date.
///
/// # Errors
/// When a store does not answer or holds bytes that cannot be read; the next run goes on where this one ended.
pub async fn run(app: &App, now: Timestamp) -> Result<RollupSummary, AppError> {
    run_on(&app.ports, &app.limits, now).await
}

/// As [`run`], for a deployment's ports and limits.
///
/// # Errors
/// As [`run`].
pub async fn run_on(ports: &Ports, limits: &Limits, now: Timestamp) -> Result<RollupSummary, AppError> {
    let retention = Retention { raw: limits.raw_retention, rollups: limits.rollup_retention };
    let mut summary = RollupSummary::default();
    let mut failed = None;
    for tenant in tenants(ports.state.as_ref(), now).await? {
        let flow = Flow { ports, tenant: &tenant, shard: Shard::default(), retention, now };
        // One tenant's trouble must not keep the others waiting.
        if let Err(error) = flow.run(&mut summary).await {
            tracing::error!(%tenant, %error, "rollup of a tenant failed");
            failed = failed.or(Some(error));
        }
    }
    summary.objects_deleted = sweep::delete_due(ports, now).await?;
    failed.map_or(Ok(summary), |error| Err(error.into()))
}

/// The work for one tenant.
#[derive(Clone, Copy, Debug)]
struct Flow<'a> {
    ports: &'a Ports,
    tenant: &'a TenantId,
    shard: Shard,
    retention: Retention,
    now: Timestamp,
}

impl Flow<'_> {
    async fn run(&self, summary: &mut RollupSummary) -> PortResult<()> {
        let mut broken = Broken::default();
        for rows in by_hour(self.rows().await?) {
            match self.build_hour(&rows).await {
                Ok(Some(built)) => {
                    summary.hours_built += usize::from(built.block_changed);
                    summary.chunks_merged += built.chunks;
                    summary.hours_left += usize::from(built.more_wait);
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => summary.hours_left += 1,
                Err(error) => broken.take(rows[0].hour(), error)?,
            }
        }
        let blocks: Vec<CatalogueRow> = self.rows().await?.into_iter().filter(CatalogueRow::is_hour).collect();
        self.roll_up_all(&blocks, summary, &mut broken).await?;
        summary.rows_expired += self.expire(blocks).await?;
        broken.first.map_or(Ok(()), Err)
    }

    async fn rows(&self) -> PortResult<Vec<CatalogueRow>> {
        raw_rows(self.ports.state.as_ref(), self.tenant, self.shard, TimeRange::ALL, self.now).await
    }
}

/// Hours that cannot be read: they must not keep the others, nor retention, waiting for ever.
#[derive(Debug, Default)]
struct Broken {
    first: Option<PortError>,
}

impl Broken {
    /// Notes what is wrong with an hour.
    ///
    /// # Errors
    /// When it is not the hour: the store does not answer.
    fn take(&mut self, hour: i64, error: PortError) -> PortResult<()> {
        match error.kind() {
            ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Bug => {
                tracing::error!(hour, %error, "an hour cannot be rolled up");
                self.first.get_or_insert(error);
                Ok(())
            }
            ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::Throttled | ErrorKind::Unavailable => Err(error),
        }
    }
}

/// Rows in order, cut where the hour changes.
fn by_hour(rows: Vec<CatalogueRow>) -> Vec<Vec<CatalogueRow>> {
    let mut hours: Vec<Vec<CatalogueRow>> = Vec::new();
    for row in rows {
        match hours.last_mut() {
            Some(hour) if hour[0].hour() == row.hour() => hour.push(row),
            _ => hours.push(vec![row]),
        }
    }
    hours
}

/// Runs work that keeps a processor busy where it does not hold up others.
async fn busy<T: Send + 'static>(work: impl FnOnce() -> tsdb::Result<T> + Send + 'static) -> PortResult<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| PortError::new(ErrorKind::Bug, "rollup", error))?.map_err(corrupt)
}

fn corrupt(error: tsdb::TsdbError) -> PortError {
    PortError::new(error.kind(), "block read", error)
}

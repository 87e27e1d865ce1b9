//! The rollup flow: chunks become blocks of hours, blocks become rollups, and what is too old goes.
//!
//! Each run compares what the catalogue holds with what it should hold: an hour with chunks needs a new block, rollups
//! that were made from other blocks than those that stand there need to be made again. So a run may die anywhere, come
//! twice, or run beside another one: the rows' versions let one of them win, and the next run does the rest. Late data is
//! a chunk like any other.
//!
//! Reading costs: a run looks at the hours of the last day. Once a day, and when a tick says that something came for a
//! time before, it looks through all; the tenant's row tells when that was done last.

mod hours;
mod spans;
mod sweep;

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use model::{ErrorKind, Limits, TenantId, TimeRange, Timestamp};
use tsdb::hour::{day_of, hour_of, hour_range};
use tsdb::retention::Retention;

use crate::catalogue::{CatalogueRow, Tenant, hour_key, raw_rows, stored_key, tenant_key, tenant_value, tenants};
use crate::load::{PieceStats, Stored};
use crate::ports::{Expect, PortError, PortResult, RowWrite, Shard};
use crate::{App, AppError, Ports};

/// An hour is built when it is over for so long: senders that lag or retry have caught up.
const HOUR_SETTLES: Duration = Duration::from_secs(600);
/// A block is built again for late data at most so often.
const REBUILT_AFTER: Duration = Duration::from_secs(3600);
/// How many hours before this one each run looks at.
const RECENT_HOURS: i64 = 26;
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
        let flow = Flow { ports, tenant: &tenant.id, shard: Shard::default(), retention, now };
        // One tenant's trouble must not keep the others waiting.
        if let Err(error) = flow.run(&tenant, &mut summary).await {
            tracing::error!(tenant = %tenant.id, %error, "rollup of a tenant failed");
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

/// Runs look at the hours from this one on; at those before only once a day, or when late samples came.
pub(crate) fn first_recent_hour(now: Timestamp) -> i64 {
    hour_of(now) - RECENT_HOURS
}

/// What a tenant's catalogue holds once its hours are built.
struct Built {
    /// The blocks of hours, in order.
    blocks: Vec<CatalogueRow>,
    /// Whether chunks wait in hours that are not looked at each time.
    late_chunks_wait: bool,
}

impl Flow<'_> {
    async fn run(&self, tenant: &Tenant, summary: &mut RollupSummary) -> PortResult<()> {
        let mut broken = Broken::default();
        let today = day_of(hour_of(self.now));
        let looks_at_all = tenant.checked_day != Some(today);
        // The first of the recent hours is only there for the increase of the next one.
        let first = if looks_at_all { i64::MIN } else { first_recent_hour(self.now) };
        let mut stored = Stored::read(self.ports.state.as_ref(), self.tenant, self.now).await?;
        let before = stored;
        if stored.is_none() {
            stored = Some(Stored::count(self.ports.state.as_ref(), self.tenant, self.now).await?);
        }
        let mut stored = stored.unwrap_or_default();
        let Built { blocks, late_chunks_wait } = self.build_all(first, &mut stored, summary, &mut broken).await?;
        if looks_at_all {
            stored.hours = PieceStats::default();
            blocks.iter().for_each(|block| stored.hours.add(&block.entry));
        }
        let evaluated_from = if looks_at_all { 0 } else { blocks.partition_point(|block| block.hour() <= first) };
        self.roll_up_all((&blocks, evaluated_from), &mut stored, summary, &mut broken).await?;
        if looks_at_all {
            summary.rows_expired += self.expire(blocks, &mut stored).await?;
        }
        if before != Some(stored) {
            let row = (stored_key(self.tenant), Bytes::from(stored.encode()), None);
            self.ports.state.put_many(vec![row], self.now).await?;
        }
        if looks_at_all && broken.first.is_none() && !late_chunks_wait {
            self.mark_checked(tenant, today).await?;
        }
        broken.first.map_or(Ok(()), Err)
    }

    /// Builds the hours from one on.
    async fn build_all(
        &self,
        first: i64,
        stored: &mut Stored,
        summary: &mut RollupSummary,
        broken: &mut Broken,
    ) -> PortResult<Built> {
        let mut all = Built { blocks: Vec::new(), late_chunks_wait: false };
        for rows in by_hour(self.rows(first).await?) {
            let hour = rows[0].hour();
            let mut chunks_wait = rows.iter().any(|row| !row.is_hour());
            let old = rows.iter().find(|row| row.is_hour());
            let mut changed = false;
            match self.build_hour(&rows).await {
                Ok(Some(built)) => {
                    changed = built.block_changed;
                    chunks_wait = built.more_wait;
                    summary.hours_built += usize::from(built.block_changed);
                    summary.chunks_merged += built.chunks;
                    summary.hours_left += usize::from(built.more_wait);
                }
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    changed = true;
                    summary.hours_left += 1;
                }
                Err(error) => broken.take(hour, error)?,
            }
            all.late_chunks_wait |= chunks_wait && hour < first_recent_hour(self.now);
            let block = if changed { self.hour_row(hour).await? } else { old.cloned() };
            if changed {
                old.iter().for_each(|old| stored.hours.remove(&old.entry));
                block.iter().for_each(|block| stored.hours.add(&block.entry));
            }
            all.blocks.extend(block);
        }
        Ok(all)
    }

    /// Notes that all was looked through, unless something came meanwhile.
    async fn mark_checked(&self, tenant: &Tenant, today: i64) -> PortResult<()> {
        let expect = Expect::Version(tenant.version);
        let write = RowWrite::put(tenant_key(self.tenant), expect, tenant_value(Some(today)));
        match self.ports.state.write(vec![write], self.now).await {
            Err(error) if error.kind() != ErrorKind::Conflict => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn rows(&self, first: i64) -> PortResult<Vec<CatalogueRow>> {
        let start = if first == i64::MIN { TimeRange::ALL.start } else { hour_range(first).start };
        let range = TimeRange::new(start, TimeRange::ALL.end);
        raw_rows(self.ports.state.as_ref(), self.tenant, self.shard, range, self.now).await
    }

    async fn hour_row(&self, hour: i64) -> PortResult<Option<CatalogueRow>> {
        let row = self.ports.state.get(&hour_key(self.tenant, self.shard, hour), self.now).await?;
        row.map(CatalogueRow::read).transpose()
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

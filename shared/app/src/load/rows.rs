//! The catalogue's raw rows, read once for all selections of a load.

use std::sync::Arc;

use model::{TenantId, TimeRange, Timestamp};

use super::Loader;
use crate::AppError;
use crate::catalogue::{CatalogueRow, without_replaced};

/// Raw rows of a tenant by range of time, without chunks that blocks replaced.
#[derive(Debug)]
pub(super) struct RawRows<'a> {
    pub(super) loader: &'a Loader,
    pub(super) tenant: &'a TenantId,
    pub(super) now: Timestamp,
    /// What will be asked for, joined where it overlaps.
    planned: Vec<TimeRange>,
    read: Vec<(TimeRange, Arc<[CatalogueRow]>)>,
}

impl<'a> RawRows<'a> {
    pub(super) fn new(loader: &'a Loader, tenant: &'a TenantId, planned: Vec<TimeRange>, now: Timestamp) -> Self {
        Self { loader, tenant, now, planned: joined(planned), read: Vec::new() }
    }

    /// The rows of a range; there may be rows of other times among them.
    pub(super) async fn of(&mut self, range: TimeRange) -> Result<Arc<[CatalogueRow]>, AppError> {
        if range.start > range.end {
            return Ok(Arc::new([]));
        }
        let covers = |wide: &TimeRange| wide.start <= range.start && range.end <= wide.end;
        if let Some((_, rows)) = self.read.iter().find(|(read, _)| covers(read)) {
            return Ok(Arc::clone(rows));
        }
        let wide = self.planned.iter().copied().find(covers).unwrap_or(range);
        let rows = self.loader.raw_rows(self.tenant, wide, self.now).await?;
        let rows: Arc<[CatalogueRow]> = without_replaced(rows).into();
        self.read.push((wide, Arc::clone(&rows)));
        Ok(rows)
    }
}

/// Ranges in order, those that overlap as one; empty ones are left out.
fn joined(mut ranges: Vec<TimeRange>) -> Vec<TimeRange> {
    ranges.retain(|range| range.start <= range.end);
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<TimeRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

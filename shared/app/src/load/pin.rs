//! One look at the log and the catalogue for all queries of a page.
//!
//! A page asks dozens of questions at once. Each would read the same minutes of the log and the same rows again, which
//! on AWS is most of what a page costs. While a [`Pin`] lives, loads of its tenant at its time share what it read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use model::{TenantId, TimeRange, Timestamp};
use tsdb::Head;

use super::Loader;
use crate::AppError;
use crate::catalogue::CatalogueRow;

/// Whose data, and when it was asked for.
type Key = (TenantId, Timestamp);

/// What was read for pages that are being made.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<BTreeMap<Key, Pinned>>);

#[derive(Debug)]
struct Pinned {
    /// How many pages share it.
    users: usize,
    head: Arc<Head>,
    range: TimeRange,
    rows: Vec<CatalogueRow>,
}

/// Lets the loads of a page share what was read for it, until it is dropped.
#[derive(Debug)]
pub struct Pin<'a> {
    pins: &'a Pins,
    key: Key,
}

impl Loader {
    /// Reads the log and the raw rows of a range for a page that is made at a time.
    ///
    /// # Errors
    /// As [`Loader::load`].
    pub async fn pin(&self, tenant: &TenantId, range: TimeRange, now: Timestamp) -> Result<Pin<'_>, AppError> {
        // The log first, as for every load: what moves into chunks meanwhile is seen twice.
        let head = self.head(tenant, now).await?;
        let rows = self.raw_rows(tenant, range, now).await?;
        let key = (tenant.clone(), now);
        let pinned = Pinned { users: 0, head, range, rows };
        self.pins.all().entry(key.clone()).or_insert(pinned).users += 1;
        Ok(Pin { pins: &self.pins, key })
    }
}

impl Pins {
    /// The samples in the log, if they are pinned.
    pub(super) fn head(&self, tenant: &TenantId, now: Timestamp) -> Option<Arc<Head>> {
        self.all().get(&(tenant.clone(), now)).map(|pinned| Arc::clone(&pinned.head))
    }

    /// The raw rows of a range, and of other times, if they are pinned.
    pub(super) fn rows(&self, tenant: &TenantId, range: TimeRange, now: Timestamp) -> Option<Vec<CatalogueRow>> {
        let all = self.all();
        let pinned = all.get(&(tenant.clone(), now))?;
        let covers = pinned.range.start <= range.start && range.end <= pinned.range.end;
        covers.then(|| pinned.rows.clone())
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Key, Pinned>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut all = self.pins.all();
        if let Some(pinned) = all.get_mut(&self.key) {
            pinned.users -= 1;
            if pinned.users == 0 {
                all.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::FaultPlan;
    use crate::load::testing::{START, World, bits, tenant};

    #[tokio::test]
    async fn while_it_is_pinned_the_log_is_read_once() {
        let plan = FaultPlan::none();
        let mut world = World::new(Arc::clone(&plan));
        world.push(&[("a", START, 1.0)]).await;
        let reads = || (plan.calls("wal read"), plan.calls("state range"));
        let range = world.recent();
        let tenant = tenant();
        let first = world.loader.pin(&tenant, range, world.now).await.unwrap();
        let second = world.loader.pin(&tenant, range, world.now).await.unwrap();
        let pinned = reads();
        for pin in [Some(first), Some(second)] {
            let seen = world.raw(range).await.unwrap();
            assert_eq!((bits(&seen), reads()), (bits(&world.expected(range)), pinned));
            drop(pin);
        }
        world.raw(range).await.unwrap();
        assert_eq!(reads(), (pinned.0 + 1, pinned.1 + 1), "nothing is pinned any more");
    }
}

//! Due groups in, deliveries out: claim, deliver, record.

use std::collections::BTreeMap;

use alerting::Fingerprint;
use alerting::notify::{Failure, Held, Inhibitor, Input, Notification, Outcome, Plan, Silence, plan};
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use model::{ErrorKind, TenantId, Timestamp};

use super::deliver::Delivered;
use super::rows::{self, StoredGroup, Timer};
use super::{Desk, Picture, dead_letters, escalate, history, load_silences};
use crate::AppError;
use crate::ports::{Expect, PortResult, RowRange, RowWrite, Shard, WRITE_ROWS_MAX, range_all};

/// Groups worked on at the same time.
const GROUPS_AT_ONCE: usize = 16;
/// How often what came of deliveries is written until it sticks.
pub(super) const RECORD_TRIES_MAX: usize = 8;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ran {
    /// Groups that were due.
    pub groups: usize,
    /// Notifications that were delivered.
    pub delivered: usize,
    /// Notifications whose delivery failed; their timers bring them back.
    pub failed: usize,
    /// Groups that somebody else was at.
    pub taken: usize,
    /// Groups that could not be read or written; their timers bring them back.
    pub broken: usize,
    /// Pictures that may follow what was delivered, see [`super::illustrate()`].
    pub pictures: Vec<Picture>,
}

impl Ran {
    pub(super) fn add(&mut self, other: Self) {
        self.groups += other.groups;
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.taken += other.taken;
        self.broken += other.broken;
        self.pictures.extend(other.pictures);
    }
}

/// What the groups of a tenant are decided on.
pub(super) struct Loaded {
    pub(super) alerts: BTreeMap<Fingerprint, Held>,
    pub(super) silences: Vec<Silence>,
}

impl Desk<'_> {
    pub(super) async fn run_due(&self) -> Result<Ran, AppError> {
        let until = Timer::place(Timestamp::from_millis(self.now.as_millis().saturating_add(1)));
        let range = RowRange::between(rows::timer_partition(Shard::default()), "", until);
        let mut by_tenant: BTreeMap<TenantId, Vec<Timer>> = BTreeMap::new();
        for row in range_all(self.state, range, self.now).await? {
            match Timer::read(&row.key.sort) {
                Some(timer) => by_tenant.entry(timer.tenant.clone()).or_default().push(timer),
                None => tracing::error!(key = row.key.sort, "a timer has an unreadable key"),
            }
        }
        let tenants = by_tenant.iter().map(|(tenant, timers)| async move {
            self.run_tenant(tenant, timers).await.unwrap_or_else(|error| {
                tracing::warn!(%tenant, %error, "due notifications wait for the next run");
                Ran { groups: timers.len(), broken: timers.len(), ..Ran::default() }
            })
        });
        let mut ran = Ran::default();
        join_all(tenants).await.into_iter().for_each(|more| ran.add(more));
        Ok(ran)
    }

    /// Works on the due groups of a tenant. The groups are read before the alerts: an alert that joins in between is
    /// known, and one that joins later changes the version of its group.
    async fn run_tenant(&self, tenant: &TenantId, timers: &[Timer]) -> PortResult<Ran> {
        let mut due = Vec::new();
        let (escalations, timers): (Vec<&Timer>, Vec<&Timer>) =
            timers.iter().partition(|timer| timer.group.starts_with(escalate::TIMER));
        for timer in timers {
            let row = self.state.get(&rows::group_key(tenant, &timer.group), self.now).await?;
            let stored = row.as_ref().map(StoredGroup::read).transpose();
            match stored {
                Ok(Some(stored)) if stored.timer == Some(timer.due_at) => due.push(stored),
                Ok(Some(_) | None) => self.drop_timer(timer).await?,
                Err(error) => tracing::error!(%tenant, group = timer.group, %error, "a group is unreadable"),
            }
        }
        let loaded = Loaded {
            alerts: self.alerts(tenant).await?.0,
            silences: load_silences(self.state, tenant, self.now).await?,
        };
        let inhibitor = Inhibitor::new(&self.routes(tenant).inhibit_rules, &loaded.alerts, self.now);
        let calls = self.run_escalations(tenant, &escalations, &loaded, &inhibitor);
        let (mut ran, called) = futures::join!(self.run_groups(tenant, &due, &loaded, &inhibitor), calls);
        ran.add(called);
        Ok(ran)
    }

    async fn run_groups(
        &self,
        tenant: &TenantId,
        due: &[StoredGroup],
        loaded: &Loaded,
        inhibitor: &Inhibitor<'_>,
    ) -> Ran {
        // A receiver that hangs holds up one of the places, not the others.
        let mut waiting = due.iter();
        let mut works = FuturesUnordered::new();
        let mut ran = Ran::default();
        loop {
            for stored in waiting.by_ref().take(GROUPS_AT_ONCE - works.len()) {
                works.push(self.run_group_or_leave(tenant, stored, loaded, inhibitor));
            }
            match works.next().await {
                Some(done) => ran.add(done),
                None => return ran,
            }
        }
    }

    /// Works on a group; what goes wrong is left to its timer.
    async fn run_group_or_leave(
        &self,
        tenant: &TenantId,
        stored: &StoredGroup,
        loaded: &Loaded,
        inhibitor: &Inhibitor<'_>,
    ) -> Ran {
        self.run_group(tenant, stored, loaded, inhibitor).await.unwrap_or_else(|error| {
            tracing::warn!(%tenant, group = stored.group.key.text(), %error, "a group waits for the next run");
            Ran { groups: 1, broken: 1, ..Ran::default() }
        })
    }

    /// Removes a timer whose group has another one, or none.
    pub(super) async fn drop_timer(&self, timer: &Timer) -> PortResult<()> {
        self.state.write(vec![RowWrite::delete(timer.key(), Expect::Any)], self.now).await.map(drop)
    }

    async fn run_group(
        &self,
        tenant: &TenantId,
        stored: &StoredGroup,
        loaded: &Loaded,
        inhibitor: &Inhibitor<'_>,
    ) -> PortResult<Ran> {
        let input = Input {
            tenant: tenant.as_str(),
            config: self.routes(tenant),
            alerts: &loaded.alerts,
            inhibitor,
            silences: &loaded.silences,
            now: self.now,
        };
        let plan = plan(&stored.group, &input);
        for decision in &plan.decisions {
            let group = stored.group.key.text();
            tracing::debug!(%tenant, group, decision.integration, verdict = ?decision.verdict, "notification decided");
        }
        let mut claimed = StoredGroup { group: plan.group.clone(), ..stored.clone() };
        match self.state.write(claimed.rows(tenant), self.now).await {
            Ok(versions) => claimed.written(versions[0]),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                return Ok(Ran { groups: 1, taken: 1, ..Ran::default() });
            }
            Err(error) => return Err(error),
        }
        let deliveries = plan.notifications.iter().map(|one| self.deliver(tenant.as_str(), one, None));
        let delivered = join_all(deliveries).await;
        if !delivered.is_empty() {
            self.record(tenant, claimed, &plan, &delivered).await?;
        }
        let succeeded = delivered.iter().filter(|one| one.outcome.result.is_ok()).count();
        let both = plan.notifications.iter().zip(&delivered);
        let pictures = both.filter_map(|(notification, one)| Picture::after(tenant, notification, one)).collect();
        Ok(Ran { groups: 1, delivered: succeeded, failed: delivered.len() - succeeded, pictures, ..Ran::default() })
    }

    /// Writes what came of the deliveries, over whatever others wrote in the meantime: only who claimed a notification
    /// changes it.
    async fn record(
        &self,
        tenant: &TenantId,
        claimed: StoredGroup,
        plan: &Plan,
        delivered: &[Delivered],
    ) -> PortResult<()> {
        let outcomes: Vec<Outcome> = delivered.iter().map(|one| one.outcome.clone()).collect();
        let mut current = claimed;
        for try_number in 1.. {
            current.group.record(&outcomes, &plan.leaving, self.now);
            let mut rows = current.rows(tenant);
            rows.extend(self.history(tenant, &current, plan, delivered).take(WRITE_ROWS_MAX - rows.len()));
            match self.state.write(rows, self.now).await {
                Ok(_) => return Ok(()),
                Err(error) if try_number < RECORD_TRIES_MAX && is_worth_another_try(error.kind()) => {}
                Err(error) => return Err(error),
            }
            let key = rows::group_key(tenant, &current.group.key.id());
            match self.state.get(&key, self.now).await? {
                Some(row) => current = StoredGroup::read(&row)?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// History rows of what was delivered, and of what is given up; that becomes a dead letter, too.
    fn history<'b>(
        &'b self,
        tenant: &'b TenantId,
        recorded: &'b StoredGroup,
        plan: &'b Plan,
        delivered: &'b [Delivered],
    ) -> impl Iterator<Item = RowWrite> + 'b {
        let is_settled = |one: &Delivered| match one.outcome.result {
            Ok(()) | Err(Failure::Permanent) => true,
            Err(Failure::Temporary { .. }) => {
                let state = recorded.group.integrations.get(&one.outcome.integration);
                let intent = state.and_then(|state| state.intent.as_ref());
                intent.is_some_and(|intent| intent.attempt == alerting::notify::Attempt::GivenUp)
            }
        };
        let both = plan.notifications.iter().zip(delivered).filter(move |(_, one)| is_settled(one));
        both.flat_map(move |(notification, one): (&Notification, &Delivered)| {
            let letter = || dead_letters::row(tenant, recorded, notification, one, self.now);
            let is_dead = one.outcome.result.is_err();
            [Some(history::row(tenant, notification, one, self.now)), is_dead.then(letter)].into_iter().flatten()
        })
    }
}

/// A conflict is decided anew; a store that does not answer may have written, which the next look shows.
pub(super) const fn is_worth_another_try(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Conflict | ErrorKind::Unavailable | ErrorKind::Throttled)
}

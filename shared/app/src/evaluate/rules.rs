//! Runs the rules of all tenants in turns, within the time and the memory of a tick.
//!
//! A tenant's turn is its share of the time that is left, so that whoever asks much takes it from nobody else; which
//! tenant comes first changes with the minute. Series are loaded for a few rules at a time, evaluated and dropped. What
//! there is no time for is skipped group by group, and comes first in the next tick.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use alerting::rule::GroupState;
use bytes::Bytes;
use model::{ErrorKind, Labels, TenantId, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

use super::recorded::RecordedSample;
use super::work::{Circumstances, Done, Turn, Work};
use super::{TickSummary, history, message};
use crate::load::{Loaded, Loads, Log};
use crate::ports::{Message, RowWrite};
use crate::tick_row::{GroupStates, TickRow};
use crate::{App, AppError};

/// How long the rules of one tick may take.
const RULE_WORK_MAX: Duration = Duration::from_secs(10);
/// After so much of it, slots that were missed before are made up for no more.
const LATE_WORK_MAX: Duration = Duration::from_secs(5);
/// How long one rule may take, and a little less where tenants share the time.
const RULE_TIME_MAX: Duration = Duration::from_secs(5);
/// The shortest turn, however many tenants there are.
const TURN_MIN: Duration = Duration::from_millis(20);
/// Most rules whose series are loaded before they are evaluated.
const RULES_AT_ONCE: usize = 64;
/// So many samples are evaluated before more are loaded.
const SAMPLES_AT_ONCE: usize = 1 << 20;

/// What the rules of all tenants lead to.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) groups: GroupStates,
    pub(super) samples: Vec<(TenantId, Vec<(Labels, RecordedSample)>)>,
    pub(super) messages: Vec<Message>,
    pub(super) history: Vec<RowWrite>,
    /// Why some of them could not be run: it may be possible later.
    pub(super) failed: Option<AppError>,
    room: history::Room,
}

/// The rules of a tenant on their way.
struct Tenant<'a> {
    id: &'a TenantId,
    loads: Loads<'a>,
    work: Work,
}

/// How a turn ended.
enum Ended<'a> {
    /// All rules have run.
    Done(Done),
    /// Its time was over.
    Left(Box<Tenant<'a>>),
    /// Series could not be loaded.
    Failed(Done, AppError),
}

/// Runs the rules of all tenants that have any, or had any.
pub(super) async fn run(
    app: &App,
    row: &TickRow,
    log: &Log,
    now: Timestamp,
    summary: &mut TickSummary,
) -> Result<Decided, AppError> {
    let config = app.config();
    let ids: BTreeSet<&TenantId> = config.tenants.keys().chain(row.groups.keys().map(|(tenant, _)| tenant)).collect();
    let mut decided = Decided { groups: row.groups.clone(), ..Decided::default() };
    let mut waiting = VecDeque::new();
    for id in in_turn(ids, now) {
        let states = match states(app, row, id, &mut decided, summary).await {
            Ok(states) => states,
            Err(error) => {
                decided.fail(id, error, summary);
                continue;
            }
        };
        let work = Work::plan(id.clone(), Arc::clone(&config), states, circumstances(app, now));
        if !work.is_empty() {
            waiting.push_back(Tenant { id, loads: app.loader.loads(log, id, &work.selections(), now), work });
        }
    }
    let started = app.stopwatch.read();
    let (late_end, end) = (started + LATE_WORK_MAX, started + RULE_WORK_MAX);
    while let Some(tenant) = waiting.pop_front() {
        let (id, time) = (tenant.id, app.stopwatch.read());
        if time >= end && !tenant.work.is_done() {
            let done = tenant.work.give_up("the time for the rules of all tenants was over");
            decided.take(id, done, (app, now), summary)?;
            continue;
        }
        let share = (end.saturating_sub(time) / u32::try_from(waiting.len() + 1).unwrap_or(u32::MAX)).max(TURN_MIN);
        let turn = Turn { end: time + share, late_end, rule_time_max: share.min(RULE_TIME_MAX) };
        match tenant.turn(app, turn).await? {
            Ended::Done(done) => decided.take(id, done, (app, now), summary)?,
            Ended::Left(tenant) => waiting.push_back(*tenant),
            Ended::Failed(done, error) => {
                decided.take(id, done, (app, now), summary)?;
                decided.fail(id, error, summary);
            }
        }
    }
    Ok(decided)
}

/// The tenants, another one first each minute.
fn in_turn(ids: BTreeSet<&TenantId>, now: Timestamp) -> Vec<&TenantId> {
    let mut ids: Vec<&TenantId> = ids.into_iter().collect();
    if let Ok(count @ 1..) = i64::try_from(ids.len()) {
        let first = now.minute().rem_euclid(count);
        ids.rotate_left(usize::try_from(first).expect("it is less than the number of tenants"));
    }
    ids
}

fn circumstances(app: &App, now: Timestamp) -> Circumstances {
    Circumstances {
        now,
        query_offset: app.settings.query_offset,
        resend_delay: app.settings.resend_delay,
        lookback: app.settings.lookback,
        promql_profile: app.settings.promql_profile,
        external_url: app.settings.external_url.clone(),
        limits: app.limits.clone(),
        stopwatch: app.stopwatch.clone(),
    }
}

/// The states of a tenant's groups. One that cannot be read costs its group alone: its bytes are set aside, and the group
/// starts anew.
async fn states(
    app: &App,
    row: &TickRow,
    tenant: &TenantId,
    decided: &mut Decided,
    summary: &mut TickSummary,
) -> Result<BTreeMap<String, GroupState>, AppError> {
    let mut states = BTreeMap::new();
    for ((owner, group), bytes) in row.groups.iter().filter(|((owner, _), _)| owner == tenant) {
        let error = match GroupState::decode(bytes) {
            Ok(state) => {
                states.insert(group.clone(), state);
                continue;
            }
            Err(error) => error,
        };
        let object = format!("unreadable/tenant={tenant}/state/{:032x}", xxh3_128(bytes));
        app.ports.objects.put_new(&object, Bytes::from(bytes.clone())).await?;
        tracing::error!(%tenant, group, object, %error, "the state of a rule group cannot be read: it starts anew");
        summary.errors.push(format!("{tenant}: {group}: starts anew: {error}"));
        summary.states_unreadable += 1;
        decided.groups.remove(&(owner.clone(), group.clone()));
    }
    Ok(states)
}

impl<'a> Tenant<'a> {
    /// Runs rules until all have run or the turn is over; at least one runs.
    async fn turn(mut self, app: &App, turn: Turn) -> Result<Ended<'a>, AppError> {
        while !self.work.is_done() {
            let (loaded, failure) = self.load(app, turn).await;
            if !loaded.is_empty() {
                self.work = evaluate_aside(self.work, loaded, turn).await?;
            }
            if let Some(error) = failure {
                return Ok(Ended::Failed(self.work.abandon(), error));
            }
            if app.stopwatch.read() >= turn.end && !self.work.is_done() {
                return Ok(Ended::Left(Box::new(self)));
            }
        }
        Ok(Ended::Done(self.work.finish()))
    }

    /// Loads the series of the next rules: of one, and of more while there is time and room. What cannot be loaded at all
    /// is the rule's failure; what may be loaded later ends the turn.
    async fn load(&mut self, app: &App, turn: Turn) -> (Vec<Result<Loaded, String>>, Option<AppError>) {
        let mut loaded = Vec::new();
        let mut samples = 0;
        while loaded.len() < RULES_AT_ONCE && samples < SAMPLES_AT_ONCE {
            let Some(selections) = self.work.next_selections(loaded.len()) else { break };
            if !loaded.is_empty() && app.stopwatch.read() >= turn.end {
                break;
            }
            match self.loads.load(selections).await {
                Ok(series) => {
                    samples += series.samples_max();
                    loaded.push(Ok(series));
                }
                Err(error) if is_temporary(error.kind()) => return (loaded, Some(error)),
                Err(error) => loaded.push(Err(error.to_string())),
            }
        }
        (loaded, None)
    }
}

/// Evaluates where it does not hold up other requests.
async fn evaluate_aside(mut work: Work, loaded: Vec<Result<Loaded, String>>, turn: Turn) -> Result<Work, AppError> {
    let evaluation = tokio::task::spawn_blocking(move || {
        work.evaluate(loaded, turn);
        work
    });
    evaluation.await.map_err(|error| AppError::Bug(format!("evaluation of the rules ended: {error}")))
}

/// Whether the same call may succeed later: then no rule is blamed.
const fn is_temporary(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Throttled | ErrorKind::Conflict)
}

impl Decided {
    /// What holds up the rules of a tenant holds up nothing else.
    fn fail(&mut self, tenant: &TenantId, error: AppError, summary: &mut TickSummary) {
        tracing::warn!(%tenant, %error, "the rules of a tenant have to wait");
        summary.errors.push(format!("{tenant}: the rules have to wait: {error}"));
        self.failed.get_or_insert(error);
    }

    fn take(
        &mut self,
        tenant: &TenantId,
        done: Done,
        (app, now): (&App, Timestamp),
        summary: &mut TickSummary,
    ) -> Result<(), AppError> {
        for (key, state) in done.states {
            match state {
                Some(state) => self.groups.insert((tenant.clone(), key), state.encode()),
                None => self.groups.remove(&(tenant.clone(), key)),
            };
        }
        let expires = now + app.limits.rollup_retention;
        let (rows, dropped) = history::rows(tenant, &done.transitions, expires, &mut self.room)?;
        self.history.extend(rows);
        summary.rules_evaluated += done.rules_evaluated;
        summary.rules_failed += done.rules_failed;
        summary.slots_missed += done.slots_missed;
        summary.samples_written += done.samples.len();
        summary.alerts_published += done.alerts.len();
        summary.transitions += done.transitions.len();
        summary.errors.extend(done.errors.into_iter().map(|error| format!("{tenant}: {error}")));
        for group in done.skipped {
            summary.errors.push(format!("{tenant}: {group}: skipped until the next tick"));
            summary.groups_skipped.push((tenant.clone(), group));
        }
        if dropped > 0 {
            summary.errors.push(format!("{tenant}: {dropped} changes of alerts have no room in the history"));
        }
        if !done.samples.is_empty() {
            self.samples.push((tenant.clone(), done.samples));
        }
        let (messages, too_large) = message::pack(tenant, &done.alerts)?;
        if too_large > 0 {
            summary.errors.push(format!("{tenant}: {too_large} alerts are too large to be told of"));
        }
        self.messages.extend(messages);
        Ok(())
    }
}

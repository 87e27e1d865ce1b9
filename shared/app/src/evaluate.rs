//! The evaluate flow: every minute, cut what arrived into chunks, run the rules that are due, tell what changed.
//!
//! [`tick`] is the whole flow. It loads the tick row and the log, decides in `work` (a pure function of the loaded
//! series), and commits once:
//!
//! 1. chunks of the minutes that are closed are stored, content-addressed;
//! 2. what the rules recorded is appended to the log, an ordinary batch of the tenant;
//! 3. one write of the tick row at its version and of the alert history: **this is the commit**;
//! 4. alerts are published. A crash before this loses nothing for long: an alert is sent again while it fires, and for
//!    a while after it ended.
//!
//! Whatever fails before the commit leaves nothing behind but bytes that the next tick stores or appends again. Two
//! ticks at once decide the same; one commits, the other one finds the conflict and drops what it did.

mod history;
mod message;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use alerting::rule::GroupState;
use bytes::Bytes;
use model::{Batch, ErrorKind, Labels, Sample, TenantId, Timestamp};
use promql::{Deadline, Source};

pub(crate) use history::read as read_history;

use crate::load::Log;
use crate::ports::{Message, Minute, RowWrite, Shard};
use crate::tick_row::{self, TickRow};
use crate::{App, AppError, load};
use work::{Circumstances, Done, Loaded, Work};

/// How long the rules of one tick may take; those behind it fail with a time-out and are tried at their next slot.
const RULE_WORK_MAX: Duration = Duration::from_secs(10);

/// How often publishing is tried before the tick fails.
const PUBLISH_TRIES: u32 = 3;

/// What a tick did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TickSummary {
    /// Samples cut into chunks.
    pub samples_taken: usize,
    /// The last arrival minute that is in chunks from now on.
    pub watermark: Minute,
    /// How many minutes of the log it took, from the watermark before to this one.
    pub minutes_taken: i64,
    /// Parts of the log in these minutes that were left out, since they are damaged, lost or cannot be decoded.
    pub entries_unreadable: usize,
    /// Evaluations of rules, late ones included.
    pub rules_evaluated: usize,
    /// Those that failed.
    pub rules_failed: usize,
    /// Slots of groups that passed without their alert rules.
    pub slots_missed: usize,
    /// Samples that the rules wrote.
    pub samples_written: usize,
    /// Alerts published.
    pub alerts_published: usize,
    /// Changes of alerts.
    pub transitions: usize,
    /// Whether it committed: false when there was nothing to do, or when another tick was faster.
    pub committed: bool,
    /// Which rules failed and why, and what else a person should know.
    pub errors: Vec<String>,
}

/// What the rules of all tenants lead to.
#[derive(Debug, Default)]
struct Decided {
    groups: BTreeMap<(TenantId, String), Vec<u8>>,
    samples: Vec<(TenantId, Vec<(Labels, Sample)>)>,
    messages: Vec<Message>,
    history: Vec<RowWrite>,
    room: history::Room,
}

/// Runs one tick of a shard.
///
/// # Errors
/// When something that the tick needs does not answer: nothing is committed then, save when the topic fails, which comes
/// last; either way the next tick goes on from there.
pub async fn tick(app: &App, shard: Shard, now: Timestamp) -> Result<TickSummary, AppError> {
    app.require_config()?;
    let (row, version) = tick_row::read(&app.ports, &app.tick_states, shard, now).await?;
    app.close(load::next_watermark(now, row.watermark));
    let log = app.loader.log(shard, row.watermark, now).await?;
    let drained = load::drain(&log, now).await?;
    let mut summary = TickSummary {
        watermark: drained.watermark,
        minutes_taken: drained.watermark - row.watermark,
        entries_unreadable: drained.unreadable.len() + drained.damaged.len(),
        samples_taken: drained.samples,
        ..TickSummary::default()
    };
    let decided = decide(app, &row, &log, now, &mut summary).await?;
    drop(log);
    app.metrics.rules(summary.rules_evaluated, summary.rules_failed, summary.slots_missed);
    let next = TickRow { watermark: drained.watermark, groups: decided.groups };
    if version.is_some() && next == row {
        return Ok(summary);
    }
    drained.store(&app.ports, shard, now).await?;
    append(app, shard, load::arrival_minute(now, row.watermark), &decided.samples).await?;
    summary.committed = commit(app, shard, now, (&next, version), decided.history).await?;
    if !summary.committed {
        return Ok(summary);
    }
    app.remember_watermark(now.minute(), next.watermark);
    app.metrics.unreadable(summary.entries_unreadable);
    publish(app, &decided.messages).await?;
    forget(app, shard, (row.watermark, version), next.watermark).await?;
    Ok(summary)
}

/// Runs the rules of all tenants that have any, or had any.
async fn decide(
    app: &App,
    row: &TickRow,
    log: &Log,
    now: Timestamp,
    summary: &mut TickSummary,
) -> Result<Decided, AppError> {
    let config = app.config();
    let circumstances = circumstances(app, now);
    let tenants: BTreeSet<&TenantId> =
        config.tenants.keys().chain(row.groups.keys().map(|(tenant, _)| tenant)).collect();
    let mut decided = Decided { groups: row.groups.clone(), ..Decided::default() };
    for tenant in tenants {
        let states = states(row, tenant)?;
        let work = Work::plan(tenant.clone(), Arc::clone(&config), states, circumstances.clone());
        if !work.is_empty() {
            let done = run(app, log, work, now).await?;
            decided.take(tenant, done, app.limits.rollup_retention, now, summary)?;
        }
    }
    Ok(decided)
}

fn circumstances(app: &App, now: Timestamp) -> Circumstances {
    let stopwatch = app.stopwatch.clone();
    let end = stopwatch.read() + RULE_WORK_MAX;
    Circumstances {
        now,
        query_offset: app.settings.query_offset,
        resend_delay: app.settings.resend_delay,
        lookback: app.settings.lookback,
        promql_profile: app.settings.promql_profile,
        external_url: app.settings.external_url.clone(),
        limits: app.limits.clone(),
        deadline: Deadline::when(move || stopwatch.read() > end),
        stopwatch: app.stopwatch.clone(),
    }
}

fn states(row: &TickRow, tenant: &TenantId) -> Result<BTreeMap<String, GroupState>, AppError> {
    let mut states = BTreeMap::new();
    for ((_, key), bytes) in row.groups.iter().filter(|((owner, _), _)| owner == tenant) {
        let state = GroupState::decode(bytes);
        let state = state.map_err(|error| AppError::Corrupt(format!("tenant {tenant}, group {key}: {error}")))?;
        states.insert(key.clone(), state);
    }
    Ok(states)
}

/// Loads what the rules select, all at once if that is within the limits, and evaluates them.
async fn run(app: &App, log: &Log, work: Work, now: Timestamp) -> Result<Done, AppError> {
    let loaded = match app.loader.load_from(log, &work.tenant, &work.selections, now).await {
        Ok(source) => Loaded::Together(source),
        Err(error) if is_temporary(error.kind()) => return Err(error),
        Err(_) => {
            let mut sources = Vec::new();
            for selections in work.selections_apart() {
                sources.push(match app.loader.load_from(log, &work.tenant, selections, now).await {
                    Ok(source) => Ok(source),
                    Err(error) if is_temporary(error.kind()) => return Err(error),
                    Err(error) => Err(error.to_string()),
                });
            }
            Loaded::Apart(sources)
        }
    };
    evaluate_aside(work, loaded).await
}

/// Evaluates where it does not hold up other requests.
async fn evaluate_aside<S: Source + Send + 'static>(work: Work, loaded: Loaded<S>) -> Result<Done, AppError> {
    let evaluation = tokio::task::spawn_blocking(move || work.evaluate(&loaded));
    evaluation.await.map_err(|error| AppError::Bug(format!("evaluation of the rules ended: {error}")))
}

/// Whether the same call may succeed later: then the tick is tried again as a whole, and no rule is blamed.
const fn is_temporary(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Throttled | ErrorKind::Conflict)
}

impl Decided {
    fn take(
        &mut self,
        tenant: &TenantId,
        done: Done,
        retention: Duration,
        now: Timestamp,
        summary: &mut TickSummary,
    ) -> Result<(), AppError> {
        for (key, state) in done.states {
            match state {
                Some(state) => self.groups.insert((tenant.clone(), key), state.encode()),
                None => self.groups.remove(&(tenant.clone(), key)),
            };
        }
        let (rows, dropped) = history::rows(tenant, &done.transitions, now + retention, &mut self.room)?;
        self.history.extend(rows);
        summary.rules_evaluated += done.rules_evaluated;
        summary.rules_failed += done.rules_failed;
        summary.slots_missed += done.slots_missed;
        summary.samples_written += done.samples.len();
        summary.alerts_published += done.alerts.len();
        summary.transitions += done.transitions.len();
        summary.errors.extend(done.errors.into_iter().map(|error| format!("{tenant}: {error}")));
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

/// Appends what the rules recorded to the log. The same samples in the same minute are the same blob.
async fn append(
    app: &App,
    shard: Shard,
    minute: Minute,
    samples: &[(TenantId, Vec<(Labels, Sample)>)],
) -> Result<(), AppError> {
    for (tenant, samples) in samples {
        let mut batch = Batch::new();
        for (labels, sample) in samples {
            batch.push(labels.as_ref(), [*sample]);
        }
        let blob = Bytes::from(tsdb::wal::encode(&batch));
        app.ports.wal.append(shard, minute, tenant, blob).await?;
    }
    Ok(())
}

/// Commits; false when another tick was faster.
///
/// A store may report a failure, or a conflict with its own retry, although it stored the row: then what is there is
/// what was to be committed, and the alerts go out.
async fn commit(
    app: &App,
    shard: Shard,
    now: Timestamp,
    (next, version): (&TickRow, Option<u64>),
    history: Vec<RowWrite>,
) -> Result<bool, AppError> {
    let mut writes = vec![next.store(app.ports.objects.as_ref(), &app.tick_states, shard, version).await?];
    writes.extend(history);
    let Err(error) = app.ports.state.write(writes, now).await else { return Ok(true) };
    let stored = tick_row::read(&app.ports, &app.tick_states, shard, now).await;
    match stored {
        Ok((row, _)) if row == *next => Ok(true),
        Ok(_) | Err(_) if error.kind() == ErrorKind::Conflict => Ok(false),
        Ok(_) | Err(_) => Err(error.into()),
    }
}

/// Publishes; the same message twice does no harm, so a failure is tried again at once.
async fn publish(app: &App, messages: &[Message]) -> Result<(), AppError> {
    if messages.is_empty() {
        return Ok(());
    }
    let mut tries = 1;
    loop {
        match app.ports.topic.publish(messages.to_vec()).await {
            Ok(()) => return Ok(()),
            Err(error) if tries == PUBLISH_TRIES => return Err(error.into()),
            Err(_) => tries += 1,
        }
    }
}

/// Once an hour, lets the log forget what has long been in chunks, and deletes states of earlier ticks.
async fn forget(
    app: &App,
    shard: Shard,
    (before, version): (Minute, Option<u64>),
    watermark: Minute,
) -> Result<(), AppError> {
    let retention_minutes = i64::try_from(tick_row::WAL_RETENTION.as_secs() / 60).unwrap_or(i64::MAX);
    if before.div_euclid(60) != watermark.div_euclid(60) {
        app.ports.wal.forget_before(shard, watermark.saturating_sub(retention_minutes)).await?;
        tick_row::sweep(app.ports.objects.as_ref(), shard, version).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

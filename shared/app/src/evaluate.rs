//! The evaluate flow: every minute, cut what arrived into chunks, run the rules that are due, tell what changed.
//!
//! [`tick`] is the whole flow. What waits after an outage is cut first, in pieces of which each is committed; the rules
//! run once the log is read to its end. Then the tick has loaded the tick row and the log, decides in `work` (a pure
//! function of the loaded series), and commits once:
//!
//! 1. chunks of the minutes that are closed are stored, content-addressed;
//! 2. what the rules recorded is appended to the log, an ordinary batch of the tenant;
//! 3. one write of the tick row at its version and of the alert history: **this is the commit**;
//! 4. alerts are published. A crash before this loses nothing for long: an alert is sent again while it fires, and for
//!    a while after it ended.
//!
//! Whatever fails before the commit leaves nothing behind but bytes: chunks, which repeat what the log holds, and samples
//! that rules recorded. The same slot again gives the same samples, in the same minute the same bytes; what alert rules
//! said at a slot that passed stays in `ALERTS`, though no alert came of it. Two ticks at once decide the same; one
//! commits, the other one finds the conflict and drops what it did.

mod history;
mod message;
mod queries;
mod recorded;
mod rules;
mod sampled;
mod work;

use std::time::Duration;

use bytes::Bytes;
use model::{Batch, ErrorKind, Labels, TenantId, Timestamp};

pub(crate) use history::{read as read_history, rows_of_alert as history_rows};
pub use work::rule_result;

use crate::load::Drained;
use crate::ports::{Message, Minute, RowWrite, Shard};
use crate::tick_row::{self, TickRow};
use crate::{App, AppError, load};
use recorded::RecordedSample;

/// How long a tick takes what waits after an outage; what is left then, and the rules, are for the next one. With the
/// time of the rules, and some to spare for one more piece, it is less than the function may run.
const CATCH_UP_MAX: Duration = Duration::from_secs(30);

/// How often publishing is tried before the tick fails.
const PUBLISH_TRIES: u32 = 3;

/// What a tick did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TickSummary {
    /// Samples cut into chunks.
    pub samples_taken: usize,
    /// The last arrival minute that is in chunks, as committed.
    pub watermark: Minute,
    /// How many minutes of the log it took, from the watermark before to this one.
    pub minutes_taken: i64,
    /// Parts of the log in these minutes that were left out, since they are damaged, lost or cannot be decoded.
    pub entries_unreadable: usize,
    /// Closed minutes that wait for the next tick, since the time of this one was over: no rule ran.
    pub minutes_left: i64,
    /// Evaluations of rules, late ones included.
    pub rules_evaluated: usize,
    /// Those that failed.
    pub rules_failed: usize,
    /// Groups that were due and did not run, by tenant, since there was no time left or their series could not be loaded.
    pub groups_skipped: Vec<(TenantId, String)>,
    /// States of groups that could not be read: these groups start anew.
    pub states_unreadable: usize,
    /// Slots of groups that passed without their alert rules.
    pub slots_missed: usize,
    /// Samples that the rules wrote.
    pub samples_written: usize,
    /// Alerts published.
    pub alerts_published: usize,
    /// Changes of alerts.
    pub transitions: usize,
    /// Whether it committed anything: not when there was nothing to do, or when another tick was faster.
    pub committed: bool,
    /// Which rules failed and why, and what else a person should know.
    pub errors: Vec<String>,
}

/// Runs one tick of a shard.
///
/// # Errors
/// When something that the tick needs does not answer: what it committed so far stays. What holds up the rules of one
/// tenant holds up nothing else, and is told when all is committed. The topic comes last. Either way the next tick goes
/// on from there.
pub async fn tick(app: &App, shard: Shard, now: Timestamp) -> Result<TickSummary, AppError> {
    app.require_config()?;
    let (row, version) = tick_row::read(&app.ports, &app.tick_states, shard, now).await?;
    let mut summary = TickSummary { watermark: row.watermark, ..TickSummary::default() };
    let mut tick = Tick { app, shard, now, row, version };
    if let Some(read_through) = tick.catch_up(&mut summary).await? {
        tick.evaluate(read_through, &mut summary).await?;
    }
    Ok(summary)
}

/// A tick on its way.
#[derive(Debug)]
struct Tick<'a> {
    app: &'a App,
    shard: Shard,
    now: Timestamp,
    /// What was read or committed last.
    row: TickRow,
    /// Its version.
    version: Option<u64>,
}

impl Tick<'_> {
    /// Takes what waits after an outage, piece by piece, each committed before the next one is read. Gives the minute
    /// up to which nothing is left in the log; `None` when time is over or another tick is at it.
    async fn catch_up(&mut self, summary: &mut TickSummary) -> Result<Option<Minute>, AppError> {
        let Self { app, shard, now, .. } = *self;
        let end = app.stopwatch.read() + CATCH_UP_MAX;
        let closed = load::next_watermark(now, self.row.watermark);
        app.close(closed);
        let mut backlog = app.loader.backlog(shard, self.row.watermark, closed).await?;
        while !backlog.is_empty() {
            if app.stopwatch.read() > end {
                summary.minutes_left = closed - self.row.watermark;
                return Ok(None);
            }
            let drained = app.loader.take_piece(&mut backlog, now).await?;
            drained.store(&app.ports, shard, now).await?;
            let next = TickRow { watermark: drained.watermark, groups: self.row.groups.clone() };
            let before = (self.row.watermark, self.version);
            if !self.commit(next, Vec::new(), summary).await? {
                return Ok(None);
            }
            self.taken(&drained, before.0, summary);
            self.forget(before).await?;
        }
        Ok(Some(backlog.empty_through()))
    }

    /// Counts what a commit took after a minute.
    fn taken(&self, drained: &Drained, after: Minute, summary: &mut TickSummary) {
        let unreadable = drained.unreadable.len() + drained.damaged.len();
        summary.samples_taken += drained.samples;
        summary.minutes_taken += drained.watermark - after;
        summary.entries_unreadable += unreadable;
        self.app.metrics.unreadable(unreadable);
    }

    /// Takes the rest of the log after a minute, runs the rules over it, and tells what changed.
    async fn evaluate(&mut self, read_through: Minute, summary: &mut TickSummary) -> Result<(), AppError> {
        let Self { app, shard, now, .. } = *self;
        let log = app.loader.log(shard, read_through, now).await?;
        let drained = load::drain(&log, now).await?;
        let decided = rules::run(app, &self.row, &log, now, summary).await?;
        drop(log);
        app.metrics.rules(summary.rules_evaluated, summary.rules_failed, summary.slots_missed);
        app.metrics.groups_skipped(&summary.groups_skipped);
        app.metrics.states_unreadable(summary.states_unreadable);
        let failed = decided.failed.map_or(Ok(()), Err);
        let next = TickRow { watermark: drained.watermark, groups: decided.groups };
        if self.version.is_some() && next == self.row {
            return failed;
        }
        drained.store(&app.ports, shard, now).await?;
        append(app, shard, load::arrival_minute(now, self.row.watermark), &decided.samples).await?;
        let before = (self.row.watermark, self.version);
        if !self.commit(next, decided.history, summary).await? {
            return Ok(());
        }
        self.taken(&drained, before.0, summary);
        publish(app, &decided.messages).await?;
        self.forget(before).await?;
        // Groups that could not be loaded are tried again with the next tick, and what there was to commit is.
        failed
    }

    /// Commits; false when another tick was faster.
    ///
    /// A store may report a failure, or a conflict with its own retry, although it stored the row: then what is there
    /// is what was to be committed, and the alerts go out.
    async fn commit(
        &mut self,
        next: TickRow,
        history: Vec<RowWrite>,
        summary: &mut TickSummary,
    ) -> Result<bool, AppError> {
        let Self { app, shard, now, .. } = *self;
        let mut writes = vec![next.store(app.ports.objects.as_ref(), &app.tick_states, shard, self.version).await?];
        writes.extend(history);
        self.version = match app.ports.state.write(writes, now).await {
            Ok(versions) => versions.first().copied(),
            Err(error) => match tick_row::read(&app.ports, &app.tick_states, shard, now).await {
                Ok((row, version)) if row == next => version,
                Ok(_) | Err(_) if error.kind() == ErrorKind::Conflict => return Ok(false),
                Ok(_) | Err(_) => return Err(error.into()),
            },
        };
        app.remember_watermark(now.minute(), next.watermark);
        summary.watermark = next.watermark;
        summary.committed = true;
        self.row = next;
        Ok(true)
    }

    /// Once an hour, lets the log forget what has long been in chunks, and deletes states of earlier ticks; given what
    /// the last commit replaced.
    async fn forget(&self, (before, version): (Minute, Option<u64>)) -> Result<(), AppError> {
        let Self { app, shard, .. } = *self;
        let retention_minutes = i64::try_from(tick_row::WAL_RETENTION.as_secs() / 60).unwrap_or(i64::MAX);
        if before.div_euclid(60) != self.row.watermark.div_euclid(60) {
            app.ports.wal.forget_before(shard, self.row.watermark.saturating_sub(retention_minutes)).await?;
            tick_row::sweep(app.ports.objects.as_ref(), shard, version).await?;
        }
        Ok(())
    }
}

/// Appends what the rules recorded to the log. The same samples in the same minute are the same blob.
async fn append(
    app: &App,
    shard: Shard,
    minute: Minute,
    samples: &[(TenantId, Vec<(Labels, RecordedSample)>)],
) -> Result<(), AppError> {
    for (tenant, samples) in samples {
        let mut batch = Batch::new();
        for (labels, sample) in samples {
            match sample {
                RecordedSample::Number(sample) => batch.push(labels.as_ref(), [*sample]),
                RecordedSample::Histogram(sample) => batch.push_native(labels.as_ref(), [], [sample.clone()]),
            }
        }
        let blob = Bytes::from(tsdb::wal::encode(&batch));
        app.ports.wal.append(shard, minute, tenant, blob).await?;
    }
    Ok(())
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

#[cfg(test)]
mod tests;

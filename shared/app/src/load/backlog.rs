//! Closed minutes of the log that wait for a tick, in pieces that fit into its memory.
//!
//! A tick that comes every minute takes the minute that was closed together with the open ones ([`Loader::log`]). After
//! an outage there may be days of them. They are read minute by minute, cut as soon as a number of samples is decoded,
//! and given out in pieces, so that each can be stored and committed before the next one is read: however much there is,
//! a tick that dies loses the work of one piece. Nothing of it becomes part of what queries keep in memory.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use model::{TenantId, Timestamp};
use tsdb::Head;
use tsdb::wal::Layouts;

use super::tail::{tell, undecoded};
use super::{Chunk, Drained, Loader};
use crate::AppError;
use crate::ports::{DamagedEntry, Minute, Shard, WalEntry, WalRead};

/// So many closed minutes are taken together with the open ones: the one that each tick closes, and those of two ticks
/// that failed.
const MINUTES_AT_ONCE: i64 = 3;
/// Most minutes with entries in a piece.
const PIECE_MINUTES_MAX: usize = 10;
/// A piece that has so many bytes of the log takes no further minute.
const PIECE_BYTES_MAX: usize = 8 << 20;
/// So many decoded samples are cut into chunks before more are decoded.
const SAMPLES_HELD_MAX: usize = 1 << 20;

/// Closed minutes that are to be taken in pieces.
#[derive(Debug)]
pub(crate) struct Backlog {
    shard: Shard,
    /// The last closed minute.
    end: Minute,
    /// Those up to it that have entries, in order.
    minutes: VecDeque<Minute>,
}

impl Backlog {
    /// Whether nothing is left to be taken in pieces.
    pub(crate) fn is_empty(&self) -> bool {
        self.minutes.is_empty()
    }

    /// The last minute before the next one that has entries: there is nothing to be read up to it.
    pub(crate) fn empty_through(&self) -> Minute {
        self.minutes.front().map_or(self.end, |next| next - 1)
    }
}

impl Loader {
    /// What waits after a watermark up to the last closed minute; nothing when it is so little that the tick takes it
    /// with the open minutes.
    ///
    /// # Errors
    /// As [`crate::ports::Wal::minutes`].
    pub(crate) async fn backlog(&self, shard: Shard, watermark: Minute, closed: Minute) -> Result<Backlog, AppError> {
        if closed.saturating_sub(watermark) <= MINUTES_AT_ONCE {
            return Ok(Backlog { shard, end: watermark, minutes: VecDeque::new() });
        }
        let minutes = self.ports.wal.minutes(shard, watermark + 1..closed + 1).await?;
        Ok(Backlog { shard, end: closed, minutes: minutes.into() })
    }

    /// Reads and cuts the next piece of a backlog: at least one minute, if there is any.
    ///
    /// # Errors
    /// As [`crate::ports::Wal::read`]; `Bug` when cutting does not end.
    pub(crate) async fn take_piece(&self, backlog: &mut Backlog, now: Timestamp) -> Result<Drained, AppError> {
        let mut cutter = Cutter::default();
        let mut log_bytes = 0;
        for _ in 0..PIECE_MINUTES_MAX {
            let Some(minute) = backlog.minutes.pop_front() else { break };
            let WalRead { entries, damaged } = self.ports.wal.read(backlog.shard, minute..minute + 1).await?;
            damaged.into_iter().for_each(|damaged| cutter.leave_out(damaged));
            log_bytes += entries.iter().map(|entry| entry.blob.len()).sum::<usize>();
            let layouts = self.layouts.of(&entries, now).await?;
            cutter = aside(move || cutter.take(entries, &layouts)).await?;
            if log_bytes >= PIECE_BYTES_MAX {
                break;
            }
        }
        let Cutter { chunks, samples, unreadable, damaged, .. } = aside(move || cutter.cut()).await?;
        Ok(Drained { watermark: backlog.empty_through(), chunks, samples, unreadable, damaged })
    }
}

/// Runs where it does not hold up other requests.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| AppError::Bug(format!("cutting chunks ended: {error}")))
}

/// Makes chunks of entries, with a limited number of decoded samples at any time.
#[derive(Debug, Default)]
struct Cutter {
    heads: BTreeMap<TenantId, Head>,
    /// Samples in the heads.
    held: usize,
    chunks: Vec<Chunk>,
    samples: usize,
    unreadable: Vec<WalEntry>,
    damaged: Vec<DamagedEntry>,
}

impl Cutter {
    /// Notes a part of the log that is damaged or lost; it may lie in several minutes.
    fn leave_out(&mut self, damaged: DamagedEntry) {
        if self.damaged.iter().all(|known| known.place != damaged.place) {
            tell(&damaged);
            self.damaged.push(damaged);
        }
    }

    fn take(mut self, entries: Vec<WalEntry>, layouts: &Layouts) -> Self {
        for entry in entries {
            match tsdb::wal::decode_with(&entry.blob, layouts) {
                Ok(batch) => {
                    self.held += batch.sample_count();
                    self.heads.entry(entry.tenant).or_default().append_arrived(&batch, entry.minute);
                }
                Err(error) => {
                    tell(&undecoded(&entry, &error));
                    self.unreadable.push(entry);
                }
            }
            if self.held >= SAMPLES_HELD_MAX {
                self = self.cut();
            }
        }
        self
    }

    fn cut(mut self) -> Self {
        for (tenant, head) in std::mem::take(&mut self.heads) {
            let chunk = |(hour, bytes)| Chunk { tenant: tenant.clone(), hour, bytes: Bytes::from(bytes) };
            self.chunks.extend(head.cut().into_iter().map(chunk));
        }
        self.samples += std::mem::take(&mut self.held);
        self
    }
}

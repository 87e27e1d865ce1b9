//! The thread that writes.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use app::ports::{Minute, PortError, PortResult, Shard};
use model::ErrorKind;
use tokio::sync::{mpsc, oneshot};

use super::Log;
use super::recent::KnownGroup;
use super::scan::seal;
use super::segment::{Entry, HEADER, HEADER_BYTES, SegmentIndex, encode_group, segment_path};
use crate::folder::sync_dir;

/// A group ends with the entry that brings it to so many bytes.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Most entries of a group.
const GROUP_ENTRIES_MAX: usize = 4096;
/// A segment ends with the group that brings it to so many bytes.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;
/// A segment of at least this size also ends when it spans [`SEGMENT_MINUTES`], so that it can be forgotten.
const SEGMENT_BYTES_MIN: u64 = 256 << 10;
const SEGMENT_MINUTES: i64 = 60;

/// What the writer is asked for.
pub(super) enum Request {
    Append { entry: Entry, reply: oneshot::Sender<PortResult<()>> },
    Forget { shard: Shard, minute: Minute, reply: oneshot::Sender<PortResult<()>> },
}

/// Owns the segment that is being written.
pub(super) struct Writer {
    log: Arc<Log>,
    next_number: u64,
    active: Option<Active>,
    /// Shards and the first minute each of them remembers.
    remembered: std::collections::BTreeMap<Shard, Minute>,
}

struct Active {
    number: u64,
    file: File,
    /// The end of what is durable; beyond it lies at most what failed.
    end: u64,
    /// Whether a failed write may have left something beyond `end`.
    torn: bool,
}

impl Writer {
    pub(super) fn new(log: Arc<Log>, next_number: u64) -> Self {
        Self { log, next_number, active: None, remembered: std::collections::BTreeMap::new() }
    }

    /// Serves requests until nobody can ask any more.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let mut entries = Vec::new();
            let mut replies = Vec::new();
            let mut group_bytes = 0;
            let mut next = Some(first);
            while let Some(Request::Append { entry, reply }) = next {
                group_bytes += entry.size_bytes();
                entries.push(entry);
                replies.push(reply);
                let full = group_bytes >= GROUP_BYTES_MAX || entries.len() >= GROUP_ENTRIES_MAX;
                next = if full { None } else { queue.try_recv().ok() };
            }
            self.append(entries, replies);
            if let Some(Request::Forget { shard, minute, reply }) = next {
                answer(reply, self.forget_before(shard, minute).map_err(|error| unavailable("wal forget", &error)));
            }
        }
        self.seal_active();
    }

    fn append(&mut self, entries: Vec<Entry>, replies: Vec<oneshot::Sender<PortResult<()>>>) {
        if entries.is_empty() {
            return;
        }
        let result = self.write_group(entries).map_err(|error| unavailable("wal append", &error));
        replies.into_iter().for_each(|reply| answer(reply, result.clone()));
    }

    /// Makes entries durable as one group, all or nothing.
    fn write_group(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        self.repair()?;
        self.roll(&entries);
        let active = match &mut self.active {
            Some(active) => active,
            none => none.insert(Active::create(&self.log, &mut self.next_number)?),
        };
        let frame = encode_group(&entries, active.number, active.end);
        let written = active.file.write_all_at(&frame, active.end).and_then(|()| active.file.sync_data());
        if let Err(error) = written {
            active.torn = true;
            if let Err(error) = self.repair() {
                tracing::warn!(%error, "a failed write could not be undone yet");
            }
            return Err(error);
        }
        let place = active.end..active.end + frame.len() as u64;
        active.end = place.end;
        let mut segments = self.log.segments();
        let index = segments.entry(active.number).or_default();
        entries.iter().for_each(|entry| index.add(entry.shard, entry.minute, &place));
        drop(segments);
        let group = Arc::new(KnownGroup::new(entries, place.end));
        self.log.recent().keep((active.number, place.start), group);
        Ok(())
    }

    /// Undoes what a failed write left; the segment then takes no more.
    fn repair(&mut self) -> io::Result<()> {
        if let Some(active) = self.active.take_if(|active| active.torn) {
            let undone = active.file.set_len(active.end).and_then(|()| active.file.sync_all());
            if undone.is_err() {
                self.active = Some(active);
            }
            return undone;
        }
        Ok(())
    }

    /// Ends the segment if it is large, or old and not small.
    fn roll(&mut self, entries: &[Entry]) {
        let Some(active) = &self.active else {
            return;
        };
        let span = self.log.segments().get(&active.number).and_then(SegmentIndex::span);
        let minutes = || entries.iter().map(|entry| entry.minute);
        let far = |(oldest, newest): (Minute, Minute)| {
            let newest = minutes().max().unwrap_or(newest).max(newest);
            let oldest = minutes().min().unwrap_or(oldest).min(oldest);
            newest.saturating_sub(oldest) >= SEGMENT_MINUTES
        };
        let old = active.end >= SEGMENT_BYTES_MIN && span.is_some_and(far);
        if active.end >= SEGMENT_BYTES_MAX || old {
            self.seal_active();
        }
    }

    /// Ends the segment that is being written, if there is one and nothing is wrong with it.
    fn seal_active(&mut self) {
        if self.repair().is_err() {
            return;
        }
        if let Some(active) = self.active.take() {
            let index = self.log.segments().get(&active.number).cloned().unwrap_or_default();
            seal(&active.file, &segment_path(&self.log.dir, active.number), &index, active.number, active.end);
        }
    }

    /// Deletes the segments that hold only what every shard has forgotten, but not the one that is being written.
    fn forget_before(&mut self, shard: Shard, minute: Minute) -> io::Result<()> {
        let first = self.remembered.entry(shard).or_insert(minute);
        *first = minute.max(*first);
        let active = self.active.as_ref().map(|active| active.number);
        let forgotten: Vec<u64> = {
            let segments = self.log.segments();
            let candidates = segments.iter().filter(|(number, _)| Some(**number) != active);
            candidates.filter(|(_, index)| self.is_forgotten(index)).map(|(number, _)| *number).collect()
        };
        for &number in &forgotten {
            self.log.segments().remove(&number);
            self.log.recent().forget(number);
            fs::remove_file(segment_path(&self.log.dir, number))?;
        }
        if forgotten.is_empty() { Ok(()) } else { sync_dir(&self.log.dir) }
    }

    fn is_forgotten(&self, index: &SegmentIndex) -> bool {
        index.shards().all(|shard| {
            let first = self.remembered.get(&shard).copied();
            index.newest(shard).zip(first).is_some_and(|(newest, first)| newest < first)
        })
    }
}

impl Active {
    /// Starts a segment, durably.
    fn create(log: &Log, next_number: &mut u64) -> io::Result<Self> {
        let number = *next_number;
        let path = segment_path(&log.dir, number);
        // What may lie there is what an attempt before this one failed to finish.
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        file.write_all_at(&HEADER, 0)?;
        file.sync_all()?;
        sync_dir(&log.dir)?;
        *next_number += 1;
        Ok(Self { number, file, end: HEADER_BYTES, torn: false })
    }
}

fn unavailable(operation: &'static str, error: &io::Error) -> PortError {
    PortError::new(ErrorKind::Unavailable, operation, error)
}

/// Answers, unless nobody waits any more.
fn answer(reply: oneshot::Sender<PortResult<()>>, result: PortResult<()>) {
    drop(reply.send(result));
}

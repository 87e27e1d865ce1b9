//! The write-ahead log: segments that are only ever appended to.
//!
//! Appends from all tasks go to one writer thread. It takes all that have queued up while it was busy, writes them as
//! one frame, syncs once, and answers them all: a busy log pays one sync for hundreds of appends. Reads go by an index
//! in memory that says which part of which segment may hold a minute. The bytes are described in [`segment`].

mod recent;
mod scan;
mod segment;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use app::ports::{DamagedEntry, Minute, PortError, PortResult, Shard, Wal, WalEntry, WalRead};
use app::refusals::check_blob;
use async_trait::async_trait;
use bytes::Bytes;
use model::{ErrorKind, TenantId};
use tokio::sync::{mpsc, oneshot};

use crate::OpenError;
use crate::folder::FolderLock;
use recent::{KnownGroup, Recent};
use segment::{FrameError, SegmentIndex, next_good_group, read_group, segment_path};
use writer::{Request, Writer};

/// Most requests that wait for the writer; more wait for room in the queue.
const QUEUE_MAX: usize = 4096;

/// A write-ahead log in a folder.
#[derive(Debug)]
pub struct SegmentWal {
    log: Arc<Log>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

/// What readers and the writer share.
#[derive(Debug)]
struct Log {
    dir: PathBuf,
    segments: Mutex<BTreeMap<u64, SegmentIndex>>,
    recent: Mutex<Recent>,
    _lock: Arc<FolderLock>,
}

impl Log {
    fn segments(&self) -> MutexGuard<'_, BTreeMap<u64, SegmentIndex>> {
        self.segments.lock().expect("nothing panics while it holds the lock")
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().expect("nothing panics while it holds the lock")
    }
}

impl SegmentWal {
    /// Opens the log: cuts off what a crash has torn, and starts the writer.
    pub(crate) fn open(dir: &Path, lock: Arc<FolderLock>) -> Result<Self, OpenError> {
        crate::folder::make_dir(dir).map_err(OpenError::io(dir))?;
        let scan::Found { segments, next_number } = scan::open_segments(dir)?;
        let log = Arc::new(Log {
            dir: dir.to_owned(),
            segments: Mutex::new(segments),
            recent: Mutex::default(),
            _lock: lock,
        });
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let writer = Writer::new(Arc::clone(&log), next_number);
        let thread = std::thread::Builder::new().name("wal".to_owned()).spawn(move || writer.run(queue));
        let thread = thread.map_err(OpenError::io(dir))?;
        Ok(Self { log, requests: Some(requests), writer: Some(thread) })
    }

    /// Asks the writer and waits for its answer.
    async fn ask(
        &self,
        operation: &'static str,
        request: impl FnOnce(oneshot::Sender<PortResult<()>>) -> Request,
    ) -> PortResult<()> {
        let gone = || PortError::new(ErrorKind::Bug, operation, "the writer thread is gone");
        let (reply, answer) = oneshot::channel();
        let requests = self.requests.as_ref().expect("it is there until the log is dropped");
        requests.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for SegmentWal {
    /// Lets the writer finish what it was given.
    fn drop(&mut self) {
        drop(self.requests.take());
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer of the write-ahead log panicked");
        }
    }
}

#[async_trait]
impl Wal for SegmentWal {
    async fn append(&self, shard: Shard, minute: Minute, tenant: &TenantId, blob: Bytes) -> PortResult<()> {
        check_blob("wal append", blob.len())?;
        let tenant = tenant.clone();
        let entry = segment::Entry { shard, minute, tenant, blob };
        self.ask("wal append", |reply| Request::Append { entry, reply }).await
    }

    async fn read(&self, shard: Shard, minutes: Range<Minute>) -> PortResult<WalRead> {
        let log = Arc::clone(&self.log);
        let task = tokio::task::spawn_blocking(move || log.read(shard, &minutes));
        task.await.unwrap_or_else(|error| Err(PortError::new(ErrorKind::Bug, "wal read", error)))
    }

    async fn minutes(&self, shard: Shard, range: Range<Minute>) -> PortResult<Vec<Minute>> {
        let segments = self.log.segments();
        let minutes: BTreeSet<Minute> = segments.values().flat_map(|index| index.minutes(shard, &range)).collect();
        Ok(minutes.into_iter().collect())
    }

    async fn forget_before(&self, shard: Shard, minute: Minute) -> PortResult<()> {
        self.ask("wal forget", |reply| Request::Forget { shard, minute, reply }).await
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.log.segments().values().map(SegmentIndex::end).sum())
    }
}

/// A part of a segment that is damaged or gone.
struct Hole {
    /// From the bad frame to the next good one, or to the end of what was asked for.
    bytes: Range<u64>,
    reason: String,
}

impl Log {
    fn read(&self, shard: Shard, minutes: &Range<Minute>) -> PortResult<WalRead> {
        if minutes.is_empty() {
            return Ok(WalRead::default());
        }
        let parts: Vec<(u64, Range<u64>)> =
            self.segments().iter().filter_map(|(&number, index)| Some((number, index.part(shard, minutes)?))).collect();
        // The same entry may stand in several frames: the map holds it once, in order.
        let mut entries: BTreeMap<(Minute, TenantId, u128), Bytes> = BTreeMap::new();
        let mut damaged = Vec::new();
        for (number, part) in parts {
            let holes = self.read_part(number, part, |(of, entry)| {
                if *of == shard && minutes.contains(&entry.minute) {
                    entries.insert((entry.minute, entry.tenant.clone(), entry.hash), entry.blob.clone());
                }
            })?;
            damaged.extend(holes.into_iter().filter_map(|hole| self.damaged(number, hole, shard, minutes)));
        }
        damaged.sort_unstable();
        let entry = |((minute, tenant, hash), blob)| WalEntry { minute, tenant, hash, blob };
        Ok(WalRead { entries: entries.into_iter().map(entry).collect(), damaged })
    }

    /// Takes the entries of a part of a segment; gives back where it has none.
    fn read_part(
        &self,
        number: u64,
        part: Range<u64>,
        mut take: impl FnMut(&(Shard, WalEntry)),
    ) -> PortResult<Vec<Hole>> {
        let mut file = None;
        let mut holes = Vec::new();
        let mut offset = part.start;
        while offset < part.end {
            let group = match self.group(&mut file, number, offset, part.end) {
                Ok(group) => group,
                Err(error) => {
                    let end = self.good_again(file.as_ref(), number, offset..part.end, &error)?;
                    holes.push(Hole { bytes: offset..end, reason: error.to_string() });
                    offset = end;
                    continue;
                }
            };
            group.entries.iter().for_each(&mut take);
            offset = group.end;
        }
        Ok(holes)
    }

    /// The group at an offset, from memory or from the file, which is opened once.
    fn group(
        &self,
        file: &mut Option<File>,
        number: u64,
        offset: u64,
        end: u64,
    ) -> Result<Arc<KnownGroup>, FrameError> {
        if let Some(group) = self.recent().get((number, offset)) {
            return Ok(group);
        }
        let file = match file {
            Some(file) => file,
            none => none.insert(File::open(segment_path(&self.dir, number))?),
        };
        let group = read_group(file, number, offset, end)?;
        let group = Arc::new(KnownGroup::new(group.entries, group.end));
        self.recent().keep((number, offset), Arc::clone(&group));
        Ok(group)
    }

    /// Where reading goes on after a group that cannot be read; an error when another try may read it.
    fn good_again(&self, file: Option<&File>, number: u64, rest: Range<u64>, error: &FrameError) -> PortResult<u64> {
        let path = || segment_path(&self.dir, number);
        let unavailable = |error: &dyn std::fmt::Display| {
            PortError::new(ErrorKind::Unavailable, "wal read", format!("{}: {error}", path().display()))
        };
        match (error, file) {
            (FrameError::Damaged { .. }, Some(file)) => {
                let next = next_good_group(file, number, rest.start, rest.end).map_err(|error| unavailable(&error))?;
                Ok(next.unwrap_or(rest.end))
            }
            // The index knows bytes that the file does not have.
            (FrameError::Io(error), _)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) =>
            {
                Ok(rest.end)
            }
            (error, _) => Err(unavailable(error)),
        }
    }

    /// A hole as readers of some minutes know it; `None` when it holds none of them, or was forgotten meanwhile.
    fn damaged(&self, number: u64, hole: Hole, shard: Shard, minutes: &Range<Minute>) -> Option<DamagedEntry> {
        let minute = self.segments().get(&number)?.newest_within(shard, minutes, &hole.bytes)?;
        let (path, Range { start, end }) = (segment_path(&self.dir, number), hole.bytes);
        let place = format!("{} from byte {start} to {end}", path.display());
        Some(DamagedEntry { minute, place, reason: hole.reason })
    }
}

#[cfg(test)]
mod tests;

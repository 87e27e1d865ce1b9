//! The write-ahead log: segments that are only ever appended to.
//!
//! Appends from all tasks go to one writer thread. It takes all that have queued up while it was busy, writes them as
//! one frame, syncs once, and answers them all: a busy log pays one sync for hundreds of appends. Reads go by an index
//! in memory that says which part of which segment may hold a minute. The bytes are described in [`segment`].

mod recent;
mod scan;
mod segment;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use app::ports::{Minute, PortError, PortResult, Shard, Wal, WalEntry};
use app::refusals::check_blob;
use async_trait::async_trait;
use bytes::Bytes;
use model::{ErrorKind, TenantId};
use tokio::sync::{mpsc, oneshot};

use crate::OpenError;
use crate::folder::FolderLock;
use recent::{KnownGroup, Recent};
use segment::{FrameError, SegmentIndex, read_group, segment_path};
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

    async fn read(&self, shard: Shard, minutes: Range<Minute>) -> PortResult<Vec<WalEntry>> {
        let log = Arc::clone(&self.log);
        let task = tokio::task::spawn_blocking(move || log.read(shard, &minutes));
        task.await.unwrap_or_else(|error| Err(PortError::new(ErrorKind::Bug, "wal read", error)))
    }

    async fn forget_before(&self, shard: Shard, minute: Minute) -> PortResult<()> {
        self.ask("wal forget", |reply| Request::Forget { shard, minute, reply }).await
    }

    fn size_bytes(&self) -> Option<u64> {
        Some(self.log.segments().values().map(SegmentIndex::end).sum())
    }
}

impl Log {
    fn read(&self, shard: Shard, minutes: &Range<Minute>) -> PortResult<Vec<WalEntry>> {
        if minutes.is_empty() {
            return Ok(Vec::new());
        }
        let parts: Vec<(u64, Range<u64>)> =
            self.segments().iter().filter_map(|(&number, index)| Some((number, index.part(shard, minutes)?))).collect();
        // The same entry may stand in several frames: the map holds it once, in order.
        let mut entries: BTreeMap<(Minute, TenantId, u128), Bytes> = BTreeMap::new();
        for (number, part) in parts {
            let read = self.read_part(number, part, |(of, entry)| {
                if *of == shard && minutes.contains(&entry.minute) {
                    entries.insert((entry.minute, entry.tenant.clone(), entry.hash), entry.blob.clone());
                }
            });
            match read {
                Ok(()) => {}
                Err(FrameError::Io(error)) if self.was_forgotten(number, &error) => {}
                Err(error) => return Err(self.read_error(number, &error)),
            }
        }
        let entry = |((minute, tenant, hash), blob)| WalEntry { minute, tenant, hash, blob };
        Ok(entries.into_iter().map(entry).collect())
    }

    fn read_part(
        &self,
        number: u64,
        part: Range<u64>,
        mut take: impl FnMut(&(Shard, WalEntry)),
    ) -> Result<(), FrameError> {
        let mut file = None;
        let mut offset = part.start;
        while offset < part.end {
            let known = self.recent().get((number, offset));
            let group = match known {
                Some(group) => group,
                None => {
                    let file = match &mut file {
                        Some(file) => file,
                        none => none.insert(File::open(segment_path(&self.dir, number))?),
                    };
                    let group = read_group(file, number, offset, part.end)?;
                    let group = Arc::new(KnownGroup::new(group.entries, group.end));
                    self.recent().keep((number, offset), Arc::clone(&group));
                    group
                }
            };
            group.entries.iter().for_each(&mut take);
            offset = group.end;
        }
        Ok(())
    }

    /// Whether a segment is missing because it was forgotten meanwhile.
    fn was_forgotten(&self, number: u64, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::NotFound && !self.segments().contains_key(&number)
    }

    fn read_error(&self, number: u64, error: &FrameError) -> PortError {
        let kind = match error {
            FrameError::Damaged { .. } => ErrorKind::Corrupt,
            // The index knows bytes that the file does not have.
            FrameError::Io(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                ErrorKind::Corrupt
            }
            FrameError::Io(_) => ErrorKind::Unavailable,
        };
        PortError::new(kind, "wal read", format!("{}: {error}", segment_path(&self.dir, number).display()))
    }
}

#[cfg(test)]
mod tests;

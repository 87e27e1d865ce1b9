//! Rows in a redb table.
//!
//! Writes go to one writer thread: it takes all that have queued up while it was busy, judges each by what is there at
//! its turn, and commits them together with one sync. Reads run beside it on the pool of blocking threads, each on the
//! last committed state. The tables are described in [`rows`].

mod database;
mod rows;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use app::ports::{PortError, PortResult, Row, RowKey, RowPage, RowRange, RowWrite, StateStore};
use app::refusals::{check_range, check_row, check_write};
use async_trait::async_trait;
use bytes::Bytes;
use model::{ErrorKind, Timestamp};
use tokio::sync::{mpsc, oneshot};

use crate::OpenError;
use crate::folder::FolderLock;
use database::{Failure, SharedDatabase};
use rows::{Writing, Written};

/// Most writes that wait; more wait for room in the queue.
const QUEUE_MAX: usize = 1024;
/// Most writes of one commit.
const COMMIT_WRITES_MAX: usize = 256;

/// Rows in a redb table.
#[derive(Debug)]
pub struct RedbStateStore {
    database: Arc<SharedDatabase>,
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    _lock: Arc<FolderLock>,
}

/// One write that waits.
struct Job {
    operation: &'static str,
    writing: Writing,
    reply: oneshot::Sender<PortResult<Vec<u64>>>,
}

impl RedbStateStore {
    /// Opens the table, repairing it if its process crashed, and starts the writer.
    pub(crate) fn open(path: &Path, lock: Arc<FolderLock>) -> Result<Self, OpenError> {
        let database = SharedDatabase::open(path, rows::create_tables).map_err(|failure| failure.at_opening(path))?;
        let database = Arc::new(database);
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let for_writer = Arc::clone(&database);
        let thread = std::thread::Builder::new().name("state".to_owned()).spawn(move || write_all(&for_writer, queue));
        let writer = Some(thread.map_err(OpenError::io(path))?);
        Ok(Self { database, jobs: Some(jobs), writer, _lock: lock })
    }

    /// Asks the writer and waits for its answer.
    async fn ask(&self, operation: &'static str, writing: Writing) -> PortResult<Vec<u64>> {
        let gone = || PortError::new(ErrorKind::Bug, operation, "the writer thread is gone");
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().expect("it is there until the store is dropped");
        jobs.send(Job { operation, writing, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Runs a read on a thread that may wait.
    async fn read<T: Send + 'static>(
        &self,
        operation: &'static str,
        read: impl Fn(&redb::ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> PortResult<T> {
        let database = Arc::clone(&self.database);
        let task = tokio::task::spawn_blocking(move || database.read(read).map_err(|failure| failure.of(operation)));
        task.await.unwrap_or_else(|error| Err(PortError::new(ErrorKind::Bug, operation, error)))
    }
}

impl Drop for RedbStateStore {
    /// Lets the writer finish what it was given.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer of the state store panicked");
        }
    }
}

#[async_trait]
impl StateStore for RedbStateStore {
    async fn get(&self, key: &RowKey, now: Timestamp) -> PortResult<Option<Row>> {
        let key = key.clone();
        self.read("state get", move |transaction| rows::get(transaction, &key, now)).await
    }

    async fn range(&self, range: &RowRange, now: Timestamp) -> PortResult<RowPage> {
        check_range("state range", range)?;
        let range = range.clone();
        self.read("state range", move |transaction| rows::range(transaction, &range, now)).await
    }

    async fn write(&self, rows: Vec<RowWrite>, now: Timestamp) -> PortResult<Vec<u64>> {
        check_write("state write", &rows)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.ask("state write", Writing { rows, now }).await
    }

    async fn put_many(&self, puts: Vec<(RowKey, Bytes, Option<Timestamp>)>, now: Timestamp) -> PortResult<()> {
        puts.iter().try_for_each(|(key, value, _)| check_row("state put", key, value.len()))?;
        if puts.is_empty() {
            return Ok(());
        }
        let rows = puts.into_iter().map(rows::put_of).collect();
        self.ask("state put", Writing { rows, now }).await.map(drop)
    }
}

/// Serves writes until nobody can ask any more.
fn write_all(database: &SharedDatabase, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        let mut jobs = vec![first];
        while let Some(job) = (jobs.len() < COMMIT_WRITES_MAX).then(|| queue.try_recv().ok()).flatten() {
            jobs.push(job);
        }
        let writings: Vec<&Writing> = jobs.iter().map(|job| &job.writing).collect();
        match database.write(|transaction| rows::apply(transaction, &writings)) {
            Ok(outcomes) => jobs.into_iter().zip(outcomes).for_each(|(job, outcome)| job.answer(outcome)),
            Err(failure) => jobs.into_iter().for_each(|job| job.fail(&failure)),
        }
    }
}

impl Job {
    fn answer(self, outcome: Written) {
        drop(self.reply.send(outcome));
    }

    fn fail(self, failure: &Failure) {
        drop(self.reply.send(Err(failure.of(self.operation))));
    }
}

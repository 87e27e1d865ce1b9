//! A redb database that is reopened when it has seen an I/O error: until then redb refuses all further work.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use app::ports::PortError;
use model::ErrorKind;
use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase as _, StorageError, WriteTransaction};

use crate::OpenError;

/// Most bytes of pages that redb keeps in memory.
const CACHE_BYTES: usize = 64 << 20;

/// A database that readers and the writer share.
pub(super) struct SharedDatabase {
    path: PathBuf,
    /// `None` when the last try to reopen it failed.
    open: RwLock<Opened>,
}

struct Opened {
    database: Option<Database>,
    /// Grows with each opening, so that of several who saw the same error one reopens.
    generation: u64,
}

/// Why a transaction failed.
#[derive(Debug)]
pub(super) struct Failure(redb::Error);

/// What a transaction has to do in the end.
pub(super) enum Ending<T> {
    Commit(T),
    /// Nothing was changed.
    Abort(T),
}

impl std::fmt::Debug for SharedDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedDatabase").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SharedDatabase {
    /// Opens or makes the database and its tables.
    pub(super) fn open(
        path: &Path,
        prepare: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<Self, Failure> {
        let database = open(path)?;
        let transaction = database.begin_write().map_err(redb::Error::from)?;
        prepare(&transaction)?;
        transaction.commit().map_err(redb::Error::from)?;
        let open = RwLock::new(Opened { database: Some(database), generation: 0 });
        Ok(Self { path: path.to_owned(), open })
    }

    /// Runs a read on the last committed state.
    pub(super) fn read<T>(&self, read: impl Fn(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T, Failure> {
        let run = |database: &Database| {
            let transaction = database.begin_read().map_err(redb::Error::from)?;
            Ok(read(&transaction)?)
        };
        match self.with_database(run) {
            Err((generation, failure)) if failure.asks_for_reopening() => {
                self.reopen(generation)?;
                self.with_database(run).map_err(|(_, failure)| failure)
            }
            result => result.map_err(|(_, failure)| failure),
        }
    }

    /// Runs a write and commits it durably. Tried again only when an error of the past refused it.
    pub(super) fn write<T>(
        &self,
        write: impl Fn(&WriteTransaction) -> Result<Ending<T>, redb::Error>,
    ) -> Result<T, Failure> {
        let run = |database: &Database| {
            let transaction = database.begin_write().map_err(redb::Error::from)?;
            match write(&transaction)? {
                Ending::Commit(value) => transaction.commit().map_err(redb::Error::from).map(|()| value),
                Ending::Abort(value) => transaction.abort().map_err(redb::Error::from).map(|()| value),
            }
            .map_err(Failure)
        };
        match self.with_database(run) {
            Err((generation, failure)) if failure.is_of_the_past() => {
                self.reopen(generation)?;
                self.with_database(run).map_err(|(_, failure)| failure)
            }
            Err((generation, failure)) => {
                if failure.asks_for_reopening()
                    && let Err(error) = self.reopen(generation)
                {
                    tracing::warn!(error = %error.0, "the state store could not be reopened yet");
                }
                Err(failure)
            }
            Ok(value) => Ok(value),
        }
    }

    /// Calls with the database; a failure comes with the generation it was seen in.
    fn with_database<T>(&self, call: impl Fn(&Database) -> Result<T, Failure>) -> Result<T, (u64, Failure)> {
        let opened = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let closed = || Failure(redb::Error::DatabaseClosed);
        let result = opened.database.as_ref().ok_or_else(closed).and_then(call);
        result.map_err(|failure| (opened.generation, failure))
    }

    /// Closes and opens the database, unless somebody did so since a generation.
    fn reopen(&self, seen_generation: u64) -> Result<(), Failure> {
        let mut opened = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if opened.generation > seen_generation && opened.database.is_some() {
            return Ok(());
        }
        drop(opened.database.take());
        opened.generation += 1;
        opened.database = Some(open(&self.path)?);
        tracing::warn!(file = %self.path.display(), "reopened the state store after an I/O error");
        Ok(())
    }
}

fn open(path: &Path) -> Result<Database, Failure> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.create(path).map_err(Failure::from)
}

impl From<redb::Error> for Failure {
    fn from(error: redb::Error) -> Self {
        Self(error)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self(error.into())
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self(error.into())
    }
}

impl Failure {
    /// The failure as a port reports it.
    pub(super) fn of(&self, operation: &'static str) -> PortError {
        let kind = if self.is_corruption() { ErrorKind::Corrupt } else { ErrorKind::Unavailable };
        PortError::new(kind, operation, &self.0)
    }

    /// The failure as opening a data folder reports it.
    pub(super) fn at_opening(&self, path: &Path) -> OpenError {
        OpenError::State { file: path.to_owned(), corrupt: self.is_corruption(), reason: self.0.to_string() }
    }

    const fn is_corruption(&self) -> bool {
        matches!(self.0, redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_))
    }

    /// Whether redb refused the work because of an error before it.
    const fn is_of_the_past(&self) -> bool {
        matches!(self.0, redb::Error::PreviousIo | redb::Error::DatabaseClosed)
    }

    const fn asks_for_reopening(&self) -> bool {
        self.is_of_the_past() || matches!(self.0, redb::Error::Io(_) | redb::Error::Backend(_))
    }
}

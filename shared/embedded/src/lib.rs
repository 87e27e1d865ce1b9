//! The ports on one machine: an append-only log, a folder of objects, a redb table, a queue in the process.
//!
//! Read [`open`] first: it takes a data folder and gives a [`Store`]. Then [`SegmentWal`], which is what makes a 2xx
//! durable.
//!
//! # The data folder
//! ```text
//! FORMAT              "mihari data folder, format 2": a folder of another version is refused
//! LOCK                locked while a process uses the folder; holds its process id
//! wal/0000000001.wal  segments of the write-ahead log, see `wal/segment.rs`; deleted when forgotten
//! state.redb          rows, see `state.rs`
//! objects/raw+/x      the object `raw/x`, see `objects.rs`
//! tmp/                objects that are being written; emptied when the folder is opened
//! ```
//! Other files may lie beside these (an outbox, for instance); they are left alone.
//!
//! Invariants:
//! - What a call acknowledged survives a crash of the process and of the machine: files and folders are synced before
//!   the answer is given.
//! - What failed left nothing half-written: a full disk is `Unavailable`, and all is well again once there is room.
//! - No async thread waits for the disk: the log and the rows have a writer thread each, all else runs on the pool of
//!   blocking threads.
//! - No clock: expiry is judged by the `now` of each call.

mod error;
mod folder;
mod objects;
mod state;
mod topic;
mod wal;

use std::path::Path;
use std::sync::Arc;

pub use error::OpenError;
pub use objects::FolderObjectStore;
pub use state::RedbStateStore;
pub use topic::LocalTopic;
pub use wal::SegmentWal;

/// The three ports that live in a data folder.
#[derive(Clone, Debug)]
pub struct Store {
    /// The write-ahead log.
    pub wal: Arc<SegmentWal>,
    /// Objects.
    pub objects: Arc<FolderObjectStore>,
    /// Rows.
    pub state: Arc<RedbStateStore>,
}

/// Opens a data folder, making it when there is none. Blocks; the folder stays locked until all three ports are
/// dropped.
///
/// # Errors
/// When another process uses the folder, it is of another version or no data folder, the log is damaged, or the disk
/// fails. The message says what to do.
pub fn open(dir: &Path) -> Result<Store, OpenError> {
    let lock = Arc::new(folder::claim(dir)?);
    let objects = FolderObjectStore::open(&dir.join("objects"), &dir.join("tmp"), Arc::clone(&lock))?;
    let state = RedbStateStore::open(&dir.join("state.redb"), Arc::clone(&lock))?;
    let wal = SegmentWal::open(&dir.join("wal"), lock)?;
    Ok(Store { wal: Arc::new(wal), objects: Arc::new(objects), state: Arc::new(state) })
}

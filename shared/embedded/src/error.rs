//! Why a data folder could not be opened.

use std::io;
use std::path::{Path, PathBuf};

use model::ErrorKind;

/// Why a data folder could not be opened; each message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "data folder {} is in use by {}: stop it, or choose another folder",
        dir.display(),
        process_id.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
    )]
    InUse {
        /// The data folder.
        dir: PathBuf,
        /// Who has it, when that could be read.
        process_id: Option<u32>,
    },
    /// Written by another version.
    #[error(
        "data folder {} says {found:?}, this version reads {expected:?}: \
         use the version that wrote it, or move the folder away to start with an empty one",
        dir.display()
    )]
    OtherFormat {
        /// The data folder.
        dir: PathBuf,
        /// The first line of its `FORMAT` file.
        found: String,
        /// What this version writes.
        expected: &'static str,
    },
    /// A folder of something else.
    #[error("{} is not empty and not a data folder (it holds {found:?}): choose an empty or a new folder", dir.display())]
    NotADataFolder {
        /// The folder.
        dir: PathBuf,
        /// One of the files in it.
        found: String,
    },
    /// A file that fails its checksum where no crash can have torn it.
    #[error(
        "{} is damaged at byte {offset} ({reason}): restore it from a backup, or move it away to go on without it",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The table of rows cannot be opened.
    #[error("{} cannot be opened: {reason}", file.display())]
    State {
        /// The file.
        file: PathBuf,
        /// Whether its content is at fault, and not the disk.
        corrupt: bool,
        /// What redb says.
        reason: String,
    },
    /// The disk or its permissions.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

impl OpenError {
    /// What the failure asks of the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::OtherFormat { .. } | Self::NotADataFolder { .. } => ErrorKind::Invalid,
            Self::Damaged { .. } | Self::State { corrupt: true, .. } => ErrorKind::Corrupt,
            Self::State { .. } | Self::Io { .. } => ErrorKind::Unavailable,
        }
    }

    /// Names the file or folder of a failure of the disk.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

//! Why stored bytes could not be read.

use model::ErrorKind;

/// Bytes that are not what this crate wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TsdbError {
    /// The bytes end before the named part does.
    #[error("{what} ends too early")]
    Truncated {
        /// The part that was being read.
        what: &'static str,
    },
    /// The bytes were changed after they were written.
    #[error("{what} fails its checksum")]
    Checksum {
        /// The part that was checked.
        what: &'static str,
    },
    /// Written by another version of the format.
    #[error("{what} has format version {found}, this program reads version {known}")]
    Version {
        /// Which format.
        what: &'static str,
        /// The version that stands there.
        found: u8,
        /// The version this program reads.
        known: u8,
    },
    /// The checksum holds, but the content makes no sense.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// The part that was being read.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A log blob that names a layout which the reader was not given.
    #[error("wal blob names the layout {hash:032x}, which is not there")]
    UnknownLayout {
        /// The layout.
        hash: u128,
    },
}

impl TsdbError {
    /// What the failure asks of the caller: always a person, since reading again gives the same bytes.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }

    pub(crate) const fn malformed(what: &'static str, reason: &'static str) -> Self {
        Self::Malformed { what, reason }
    }
}

/// What reading stored bytes gives.
pub type Result<T> = std::result::Result<T, TsdbError>;

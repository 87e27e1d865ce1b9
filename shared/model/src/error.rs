//! What a caller can do about a failure.

/// The short, stable list of what a failure asks of the caller; every crate's error maps to one of these.
///
/// One table in `app` turns a kind into an HTTP status, into retry or drop, and into a log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// The input can never succeed as it is: the sender drops it.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// Somebody else changed it first: load again and decide again.
    Conflict,
    /// Too much at once: retry after a pause.
    Throttled,
    /// A part we need does not answer, or there is no room: retry later.
    Unavailable,
    /// Stored bytes fail their checksum or cannot be read: do not retry, tell a person.
    Corrupt,
    /// Our own mistake.
    Bug,
}

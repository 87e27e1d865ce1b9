//! Why a flow failed, and the one table of what follows from it.

use http::StatusCode;
use model::ErrorKind;

use crate::ports::PortError;

/// Why a flow failed. The message is fit for the client unless the kind is `Corrupt`, `Unavailable` or `Bug`.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A port failed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What was pushed cannot be taken.
    #[error(transparent)]
    Wire(#[from] wire::WireError),
    /// The text is no expression.
    #[error(transparent)]
    Parse(#[from] promql::ParseError),
    /// The expression cannot be answered.
    #[error(transparent)]
    Eval(#[from] promql::EvalError),
    /// Series cannot be loaded.
    #[error(transparent)]
    Source(#[from] promql::SourceError),
    /// Stored bytes cannot be decoded.
    #[error(transparent)]
    Storage(#[from] tsdb::TsdbError),
    /// The client's request cannot succeed as it is.
    #[error("{0}")]
    Invalid(String),
    /// The named thing does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Stored bytes cannot be read.
    #[error("stored data cannot be read: {0}")]
    Corrupt(String),
    /// The deployment cannot take more at the moment.
    #[error("{0}")]
    Overloaded(String),
    /// Our own mistake.
    #[error("internal error: {0}")]
    Bug(String),
}

impl AppError {
    /// What the failure asks of the caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Port(error) => error.kind(),
            Self::Wire(error) => error.kind(),
            Self::Parse(error) => error.kind(),
            Self::Eval(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Corrupt(_) => ErrorKind::Corrupt,
            Self::Overloaded(_) => ErrorKind::Unavailable,
            Self::Bug(_) => ErrorKind::Bug,
        }
    }

    /// Whether it is about a query's expression or its data.
    pub const fn is_query(&self) -> bool {
        matches!(self, Self::Parse(_) | Self::Eval(_) | Self::Source(_))
    }

    /// What a client may read: causes that lie with us are named by their kind only.
    pub fn public_message(&self) -> String {
        match self.kind() {
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Conflict | ErrorKind::Throttled => self.to_string(),
            ErrorKind::Unavailable if matches!(self, Self::Overloaded(_) | Self::Eval(promql::EvalError::TimedOut)) => {
                self.to_string()
            }
            ErrorKind::Unavailable => "the store does not answer or has no room; try again later".to_owned(),
            ErrorKind::Corrupt => "stored data cannot be read; the log of the server says more".to_owned(),
            ErrorKind::Bug => "internal error; the log of the server says more".to_owned(),
        }
    }
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consequence {
    /// What an HTTP client is told.
    pub status: StatusCode,
    /// Whether the same request may succeed later.
    pub retry: bool,
    /// How loudly it is logged.
    pub level: tracing::Level,
}

/// The table: each kind of failure, and what follows.
///
/// Overload is 503, never 429, since Prometheus drops a batch on 429 and retries on 503.
pub const fn consequence(kind: ErrorKind) -> Consequence {
    let (status, retry, level) = match kind {
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, false, tracing::Level::INFO),
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, false, tracing::Level::INFO),
        ErrorKind::Conflict => (StatusCode::CONFLICT, true, tracing::Level::INFO),
        ErrorKind::Throttled => (StatusCode::SERVICE_UNAVAILABLE, true, tracing::Level::WARN),
        ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, true, tracing::Level::WARN),
        ErrorKind::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, false, tracing::Level::ERROR),
        ErrorKind::Bug => (StatusCode::INTERNAL_SERVER_ERROR, false, tracing::Level::ERROR),
    };
    Consequence { status, retry, level }
}

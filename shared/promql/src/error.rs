//! What can go wrong with a query.

use model::ErrorKind;

use crate::functions::ValueType;

/// Why a text is no expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: parse error: {message}")]
pub struct ParseError {
    /// What was wrong, worded as Prometheus words it.
    pub message: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in bytes, counted from 1.
    pub column: usize,
}

impl ParseError {
    /// A failure at a byte offset of a text.
    pub(crate) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let (line, column) = line_column(text, offset);
        Self { message: message.into(), line, column }
    }

    /// What the failure asks of the caller: another text.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Line and column (in bytes), both counted from 1, of a byte offset.
pub(crate) fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    (line, column)
}

/// A name that no [`crate::Profile`] has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no profile of PromQL: extended or prometheus")]
pub struct ProfileError(pub(crate) String);

/// Why a [`crate::Source`] could not deliver series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    kind: ErrorKind,
    message: String,
}

impl SourceError {
    /// A failure to load.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What the failure asks of the caller.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// Why an expression could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The expression has no answer on this data, worded as Prometheus words it.
    #[error("{message}")]
    Execution {
        /// What was wrong.
        message: String,
    },
    /// The function is known, but not yet evaluated here.
    #[error("function {name:?} is not supported yet")]
    Unsupported {
        /// Its name.
        name: String,
    },
    /// A limit of [`model::Limits`] was reached.
    #[error("query {what} is over the limit {limit_name} of {limit} ({})", flag(limit_name))]
    Limit {
        /// What there was too much of, with its amount.
        what: String,
        /// The field of [`model::Limits`].
        limit_name: &'static str,
        /// Its value.
        limit: usize,
    },
    /// More samples than a query may hold in memory, worded as Prometheus words it.
    #[error(
        "query processing would load too many samples into memory in query execution: \
         the limit is {limit} (query_samples_max, --query-samples-max)"
    )]
    Samples {
        /// The most samples there may be.
        limit: usize,
    },
    /// More steps than a range query may have, worded as Prometheus words it.
    #[error(
        "exceeded maximum resolution of {limit} points per timeseries (query_points_max, --query-points-max). \
         Try decreasing the query resolution (?step=XX)"
    )]
    Points {
        /// The most steps there may be.
        limit: usize,
    },
    /// The deadline passed.
    #[error("query timed out in expression evaluation (query_timeout, --query-timeout)")]
    TimedOut,
    /// Nobody waits for the answer any more.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// Start, end or step make no sense.
    #[error("{message}")]
    Parameters {
        /// What was wrong.
        message: String,
    },
    /// Only instant queries answer with windows and texts; worded as Prometheus words it.
    #[error("invalid expression type \"{found}\" for range query, must be Scalar or instant Vector")]
    NotForRanges {
        /// What the expression gives.
        found: ValueType,
    },
    /// Series could not be loaded.
    #[error("loading series: {0}")]
    Source(#[from] SourceError),
}

/// The flag that changes a limit.
fn flag(limit_name: &str) -> String {
    format!("--{}", limit_name.replace('_', "-"))
}

impl EvalError {
    /// An execution error with a message as Prometheus words it.
    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::Execution { message: message.into() }
    }

    /// What the failure asks of the caller.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Execution { .. }
            | Self::Unsupported { .. }
            | Self::Limit { .. }
            | Self::Samples { .. }
            | Self::Points { .. }
            | Self::NotForRanges { .. }
            | Self::Parameters { .. } => ErrorKind::Invalid,
            Self::TimedOut | Self::Canceled => ErrorKind::Unavailable,
            Self::Source(error) => error.kind(),
        }
    }
}

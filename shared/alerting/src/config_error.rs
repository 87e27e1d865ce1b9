//! What is wrong with a configuration file, and where.

use std::fmt;

use model::ErrorKind;

/// A configuration file that was refused.
///
/// Prints as `file:line:column: reason`, the form that editors and terminals turn into a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{file}:{line}:{column}: {reason}")]
pub struct ConfigError {
    /// The file's name as the reader gave it.
    pub file: String,
    /// The line, counted from 1; 0 when the fault has no place in the file.
    pub line: u64,
    /// The column in characters, counted from 1; 0 when the fault has no place in the line.
    pub column: u64,
    /// What is wrong, in one line.
    pub reason: String,
}

impl ConfigError {
    /// A fault at a place that the YAML reader reported.
    pub fn at(file: &str, location: serde_saphyr::Location, reason: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), line: location.line(), column: location.column(), reason: reason.to_string() }
    }

    /// A fault of the file as a whole.
    pub fn whole(file: &str, reason: impl fmt::Display) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, reason: reason.to_string() }
    }

    /// A file that is not the YAML it should be: bad syntax, an unknown field, a value of the wrong type.
    pub fn from_yaml(file: &str, error: &serde_saphyr::Error) -> Self {
        let location = error.location().unwrap_or(serde_saphyr::Location::UNKNOWN);
        Self::at(file, location, yaml_reason(error))
    }

    /// A configuration error is the input's fault.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The YAML reader's message without its picture of the source and without the place, which stands beside it.
fn yaml_reason(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let first_line = text.lines().next().unwrap_or("").trim();
    let without_place = first_line.split(" at line ").next().unwrap_or(first_line);
    let without_advice = without_place.split(", set DuplicateKeyPolicy").next().unwrap_or(without_place);
    without_advice.trim_start_matches("error: ").to_owned()
}

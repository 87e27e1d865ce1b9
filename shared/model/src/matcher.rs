//! Conditions on one label.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use crate::labels::LabelsRef;
use crate::pattern::{self, PATTERN_BYTES_MAX, PatternError};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// Why a matcher was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression {pattern:?}: {}", source.reason())]
pub struct MatcherError {
    pattern: String,
    source: PatternError,
}

impl MatcherError {
    /// What is wrong with the regular expression.
    pub const fn pattern_error(&self) -> &PatternError {
        &self.source
    }
}

/// A condition on one label; an absent label is matched as the empty value. Regular expressions are anchored.
#[derive(Clone)]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    pattern: Option<Arc<Regex>>,
}

impl Matcher {
    /// Builds a matcher, compiling its regular expression.
    ///
    /// # Errors
    /// When the regular expression is invalid or too large.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, MatcherError> {
        Self::with_room(name, op, value, PATTERN_BYTES_MAX)
    }

    /// As [`Matcher::new`], with so many bytes for the compiled regular expression.
    ///
    /// # Errors
    /// As [`Matcher::new`].
    pub fn with_room(name: &str, op: MatchOp, value: &str, bytes_max: usize) -> Result<Self, MatcherError> {
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => {
                let refused = |source| MatcherError { pattern: value.to_owned(), source };
                Some(Arc::new(pattern::whole(value, bytes_max).map_err(refused)?))
            }
        };
        Ok(Self { name: name.to_owned(), op, value: value.to_owned(), pattern })
    }

    /// `name="value"`, which cannot fail.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), op: MatchOp::Equal, value: value.to_owned(), pattern: None }
    }

    /// The label it looks at.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    pub const fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern as it was written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a label with this value (empty: absent) fulfils the condition.
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => value == self.value,
            MatchOp::NotEqual => value != self.value,
            MatchOp::Regex => self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(value)),
            MatchOp::NotRegex => !self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(value)),
        }
    }

    /// Whether a series without the label fulfils the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}

/// Whether a label set fulfils all conditions.
pub fn matches_all(matchers: &[Matcher], labels: LabelsRef<'_>) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or("")))
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op.as_str(), self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;

    #[test]
    fn absent_labels_are_empty_and_patterns_are_anchored() {
        let labels = Labels::from_pairs([("job", "api"), ("multi", "a\nb")]).unwrap();
        let cases = [
            ("job", MatchOp::Equal, "api", true),
            ("job", MatchOp::Regex, "ap", false),
            ("job", MatchOp::Regex, "ap.", true),
            ("job", MatchOp::Regex, "x|api", true),
            ("job", MatchOp::NotRegex, "ap", true),
            ("none", MatchOp::Equal, "", true),
            ("none", MatchOp::NotEqual, "", false),
            ("none", MatchOp::Regex, ".*", true),
            ("multi", MatchOp::Regex, "a.b", true),
        ];
        for (name, op, value, expected) in cases {
            let matcher = Matcher::new(name, op, value).unwrap();
            assert_eq!(matches_all(std::slice::from_ref(&matcher), labels.as_ref()), expected, "{matcher}");
        }
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Matcher::new("a", MatchOp::Regex, "(").unwrap_err();
        assert!(error.to_string().starts_with("invalid regular expression \"(\""), "{error}");
    }
}

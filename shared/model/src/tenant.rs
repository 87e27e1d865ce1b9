//! Whose data it is.

use std::fmt;
use std::sync::Arc;

/// Names a tenant; part of every key.
///
/// 1 to 128 letters, digits or `-`, `_`, `.`, and not all dots: safe in keys, paths and headers.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

/// Why a tenant's name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tenant {name:?} is not 1 to 128 letters, digits, '-', '_' or '.'")]
pub struct TenantError {
    name: String,
}

impl TenantId {
    /// Checks a name.
    ///
    /// # Errors
    /// When the name has other characters, is empty, is too long or has only dots.
    pub fn new(name: &str) -> Result<Self, TenantError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let valid = (1..=128).contains(&name.len()) && name.chars().all(allowed) && name.chars().any(|c| c != '.');
        if valid { Ok(Self(Arc::from(name))) } else { Err(TenantError { name: name.chars().take(128).collect() }) }
    }

    /// The tenant that a single machine uses unless told otherwise.
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in ["", ".", "..", "a/b", "a#b", "a b", "日本", &"x".repeat(129)] {
            assert!(TenantId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["default", "team-a.prod_1", "x"] {
            assert_eq!(TenantId::new(good).unwrap().as_str(), good);
        }
    }
}

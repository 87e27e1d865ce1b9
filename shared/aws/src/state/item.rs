//! What a row looks like as an item, and what an expectation looks like as a condition.
//!
//! ```text
//! p  S  partition key              n  N  version
//! s  S  sort key                   e  N  expiry in seconds, rounded up; the table's TTL attribute
//! v  B  value                      x  N  expiry in milliseconds, only when that is not a whole second
//! ```
//! `e` and `x` are there only on rows that expire. DynamoDB deletes expired items some time later (within days), so
//! reads and conditions judge expiry themselves.

use app::ports::{Expect, PortError, PortResult, Row, RowKey};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use model::{ErrorKind, Timestamp};

use super::Named;

pub(super) const PARTITION: &str = "p";
pub(super) const SORT: &str = "s";
const VALUE: &str = "v";
const VERSION: &str = "n";
const EXPIRY_SECONDS: &str = "e";
const EXPIRY_MILLISECONDS: &str = "x";

/// The row is there and has not expired.
const IS_LIVE: &str = "(attribute_not_exists(e) OR x > :ms OR (attribute_not_exists(x) AND e > :s))";
/// There is a row, and it has expired.
const HAS_EXPIRED: &str = "(x <= :ms OR (attribute_not_exists(x) AND e <= :s))";

/// A row without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) value: Bytes,
    pub(super) version: u64,
    pub(super) expires: Option<Timestamp>,
}

impl Stored {
    /// The version that an expectation is judged by: none once it has expired.
    pub(super) fn live_version(&self, now: Timestamp) -> Option<u64> {
        is_live(self.expires, now).then_some(self.version)
    }
}

/// Whether a row is there for readers.
pub(super) fn is_live(expires: Option<Timestamp>, now: Timestamp) -> bool {
    expires.is_none_or(|expires| now < expires)
}

/// The attributes of a key.
pub(super) fn key_attributes(key: &RowKey) -> [Named; 2] {
    [(PARTITION, AttributeValue::S(key.partition.clone())), (SORT, AttributeValue::S(key.sort.clone()))]
}

/// The attributes of a row.
pub(super) fn attributes(key: &RowKey, stored: &Stored) -> impl Iterator<Item = Named> {
    let expiry = stored.expires.into_iter().flat_map(|expires| {
        let millis = expires.as_millis();
        let exact = (millis % 1000 != 0).then(|| (EXPIRY_MILLISECONDS, number(millis)));
        [Some((EXPIRY_SECONDS, number(seconds_up(millis)))), exact].into_iter().flatten()
    });
    let value = (VALUE, AttributeValue::B(Blob::new(stored.value.clone())));
    key_attributes(key).into_iter().chain([value, (VERSION, number(stored.version))]).chain(expiry)
}

/// Reads an item.
///
/// # Errors
/// `Corrupt` when it has not the attributes that [`attributes`] gave.
pub(super) fn row(
    operation: &'static str,
    item: impl IntoIterator<Item = (String, AttributeValue)>,
) -> PortResult<Row> {
    let (mut partition, mut sort, mut value, mut version) = (None, None, None, None);
    let (mut seconds, mut millis) = (None, None);
    for (name, attribute) in item {
        match (name.as_str(), attribute) {
            (PARTITION, AttributeValue::S(text)) => partition = Some(text),
            (SORT, AttributeValue::S(text)) => sort = Some(text),
            (VALUE, AttributeValue::B(blob)) => value = Some(Bytes::from(blob.into_inner())),
            (VERSION, AttributeValue::N(digits)) => version = digits.parse().ok(),
            (EXPIRY_SECONDS, AttributeValue::N(digits)) => seconds = digits.parse::<i64>().ok(),
            (EXPIRY_MILLISECONDS, AttributeValue::N(digits)) => millis = digits.parse::<i64>().ok(),
            _ => {}
        }
    }
    let expires = millis.or(seconds.map(|seconds| seconds.saturating_mul(1000))).map(Timestamp::from_millis);
    match (partition, sort, value, version) {
        (Some(partition), Some(sort), Some(value), Some(version)) => {
            Ok(Row { key: RowKey { partition, sort }, value, version, expires })
        }
        (partition, sort, ..) => {
            let message = format!("the item {partition:?} / {sort:?} is no row: it lacks a key, a value or a version");
            Err(PortError::new(ErrorKind::Corrupt, operation, message))
        }
    }
}

/// Reads an item whose key is known.
///
/// # Errors
/// As [`row`].
pub(super) fn stored(
    operation: &'static str,
    item: impl IntoIterator<Item = (String, AttributeValue)>,
) -> PortResult<Stored> {
    row(operation, item).map(|row| Stored { value: row.value, version: row.version, expires: row.expires })
}

/// What must hold for a write to happen.
#[derive(Debug, PartialEq)]
pub(super) struct Condition {
    expression: String,
    values: Vec<Named>,
}

impl Condition {
    /// The condition of a delete or a check; `None` where anything will do.
    pub(super) fn of(expect: Expect, now: Timestamp) -> Option<Self> {
        let expression = match expect {
            Expect::Any => return None,
            Expect::Absent => format!("attribute_not_exists(p) OR {HAS_EXPIRED}"),
            Expect::Version(_) => format!("n = :n AND {IS_LIVE}"),
        };
        let mut values = times(now);
        if let Expect::Version(version) = expect {
            values.push((":n", number(version)));
        }
        Some(Self { expression, values })
    }

    /// The condition of a put: what is expected, and that the version grows.
    pub(super) fn of_put(expect: Expect, version: u64, now: Timestamp) -> Self {
        let new = (":new", number(version));
        match expect {
            Expect::Any => Self { expression: "attribute_not_exists(p) OR n < :new".to_owned(), values: vec![new] },
            Expect::Absent => {
                let expression = format!("attribute_not_exists(p) OR (n < :new AND {HAS_EXPIRED})");
                let mut values = times(now);
                values.push(new);
                Self { expression, values }
            }
            // The new version is already greater than the one expected.
            Expect::Version(_) => Self::of(expect, now).expect("a version is a condition"),
        }
    }

    pub(super) fn expression(&self) -> &str {
        &self.expression
    }

    pub(super) fn values(self) -> Vec<Named> {
        self.values
    }
}

fn times(now: Timestamp) -> Vec<Named> {
    let millis = now.as_millis();
    vec![(":ms", number(millis)), (":s", number(millis.div_euclid(1000)))]
}

fn seconds_up(millis: i64) -> i64 {
    millis.div_euclid(1000) + i64::from(millis.rem_euclid(1000) != 0)
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_and_numbers(expires_ms: i64) -> Vec<(String, String)> {
        let stored = Stored {
            value: Bytes::from_static(b"value"),
            version: 7,
            expires: Some(Timestamp::from_millis(expires_ms)),
        };
        attributes(&RowKey::new("p", "s"), &stored)
            .filter_map(|(name, value)| value.as_n().ok().map(|digits| (name.to_owned(), digits.clone())))
            .collect()
    }

    #[test]
    fn an_expiry_is_whole_seconds_rounded_up_and_exact_beside_it() {
        let cases: [(i64, &[(&str, &str)]); 5] = [
            (5000, &[("n", "7"), ("e", "5")]),
            (5001, &[("n", "7"), ("e", "6"), ("x", "5001")]),
            (5999, &[("n", "7"), ("e", "6"), ("x", "5999")]),
            (0, &[("n", "7"), ("e", "0")]),
            (-1, &[("n", "7"), ("e", "0"), ("x", "-1")]),
        ];
        for (expires_ms, expected) in cases {
            let expected: Vec<_> =
                expected.iter().map(|&(name, digits)| (name.to_owned(), digits.to_owned())).collect();
            assert_eq!(names_and_numbers(expires_ms), expected, "{expires_ms}");
        }
    }

    #[test]
    fn an_item_is_read_back_and_others_are_refused() {
        let key = RowKey::new("p", "s");
        for expires in [None, Some(5000), Some(5001), Some(-1)] {
            let expires = expires.map(Timestamp::from_millis);
            let stored = Stored { value: Bytes::new(), version: u64::MAX, expires };
            let item = || attributes(&key, &stored).map(|(name, value)| (name.to_owned(), value));
            let expected = Row { key: key.clone(), value: Bytes::new(), version: u64::MAX, expires };
            assert_eq!(row("test", item()).expect("a row"), expected);
            for missing in [PARTITION, SORT, VALUE, VERSION] {
                let rest = item().filter(|(name, _)| name != missing);
                assert_eq!(row("test", rest).expect_err(missing).kind(), ErrorKind::Corrupt);
            }
        }
    }
}

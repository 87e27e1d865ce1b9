//! What every adapter of a port refuses, in one place, so that all of them refuse the same.

use std::collections::BTreeSet;

use model::ErrorKind;

use crate::ports::{
    Address, Change, Content, Delivery, Expect, Message, PARTITION_BYTES_MAX, PortError, PortResult, ROW_BYTES_MAX,
    RowKey, RowRange, RowWrite, SORT_BYTES_MAX, WRITE_BYTES_MAX, WRITE_ROWS_MAX,
};

/// Most bytes of one blob of the write-ahead log.
pub const BLOB_BYTES_MAX: usize = 64 << 20;
/// Most bytes of an object's key.
pub const OBJECT_KEY_BYTES_MAX: usize = 1024;
/// Most objects of one page of a listing.
pub const OBJECT_PAGE_MAX: usize = 1000;
/// Most bytes of one message on the topic: the 256 KB of SNS, less what the message's attributes take there.
pub const MESSAGE_BYTES_MAX: usize = (256 << 10) - 1024;
/// Most bytes of rows in one page: a page ends with the row that reaches it.
pub const ROW_PAGE_BYTES_MAX: usize = 1 << 20;

/// Checks a blob that is to be appended.
///
/// # Errors
/// `Invalid` when it is too large.
pub fn check_blob(operation: &'static str, blob_bytes: usize) -> PortResult<()> {
    within(operation, "blob", blob_bytes, BLOB_BYTES_MAX)
}

/// Checks the key of an object.
///
/// # Errors
/// `Invalid` when it is empty, too long, has other characters, or an empty, `.` or `..` path segment.
pub fn check_object_key(operation: &'static str, key: &str) -> PortResult<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=/#".contains(&byte);
    let reason = if key.is_empty() || key.len() > OBJECT_KEY_BYTES_MAX {
        format!("is {} bytes long, not 1 to {OBJECT_KEY_BYTES_MAX}", key.len())
    } else if !key.bytes().all(allowed) {
        "has characters other than ASCII letters, digits and -_.=/#".to_owned()
    } else if key.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        "has an empty, '.' or '..' path segment".to_owned()
    } else {
        return Ok(());
    };
    let shown: String = key.chars().take(64).collect();
    Err(invalid(operation, format!("object key {shown:?} {reason}")))
}

/// Checks one row that is to be stored.
///
/// # Errors
/// `Invalid` when its key or the whole row is over a limit.
pub fn check_row(operation: &'static str, key: &RowKey, value_bytes: usize) -> PortResult<()> {
    if key.partition.is_empty() || key.sort.is_empty() {
        return Err(invalid(operation, "a partition key or a sort key is empty"));
    }
    within(operation, "partition key", key.partition.len(), PARTITION_BYTES_MAX)?;
    within(operation, "sort key", key.sort.len(), SORT_BYTES_MAX)?;
    within(operation, "row", row_bytes(key, value_bytes), ROW_BYTES_MAX)
}

/// Checks the rows of one write.
///
/// # Errors
/// `Invalid` when there are too many rows or bytes, a row is over a limit, or a key comes twice.
pub fn check_write(operation: &'static str, rows: &[RowWrite]) -> PortResult<()> {
    if rows.len() > WRITE_ROWS_MAX {
        return Err(invalid(operation, format!("{} rows are over the limit of {WRITE_ROWS_MAX}", rows.len())));
    }
    let mut keys = BTreeSet::new();
    let mut total_bytes = 0;
    for row in rows {
        let value_bytes = match &row.change {
            Change::Put { value, .. } => value.len(),
            Change::Delete | Change::Check => 0,
        };
        check_row(operation, &row.key, value_bytes)?;
        total_bytes += row_bytes(&row.key, value_bytes);
        if !keys.insert(&row.key) {
            return Err(invalid(
                operation,
                format!("the key {:?} / {:?} comes twice", row.key.partition, row.key.sort),
            ));
        }
    }
    within(operation, "write", total_bytes, WRITE_BYTES_MAX)
}

/// Checks a range of rows that is to be read.
///
/// # Errors
/// `Invalid` when it asks for pages without rows, or a key in it is over a limit.
pub fn check_range(operation: &'static str, range: &RowRange) -> PortResult<()> {
    if range.limit == 0 {
        return Err(invalid(operation, "a page of 0 rows never ends"));
    }
    within(operation, "partition key", range.partition.len(), PARTITION_BYTES_MAX)?;
    let sorts = [Some(&range.start), range.end.as_ref(), range.cursor.as_ref()];
    sorts.into_iter().flatten().try_for_each(|sort| within(operation, "sort key", sort.len(), SORT_BYTES_MAX))
}

/// Checks messages for the topic.
///
/// # Errors
/// `Invalid` when one is too large.
pub fn check_messages(operation: &'static str, messages: &[Message]) -> PortResult<()> {
    messages.iter().try_for_each(|message| within(operation, "message", message.body.len(), MESSAGE_BYTES_MAX))
}

/// Checks that the content of a delivery can be carried to its address.
///
/// # Errors
/// `Invalid` when they are of two kinds, there is no recipient, or no idempotency key.
pub fn check_delivery(operation: &'static str, delivery: &Delivery) -> PortResult<()> {
    let reason = match (&delivery.address, &delivery.content) {
        (Address::Webhook { .. }, Content::Email { .. } | Content::Text { .. } | Content::Picture { .. }) => {
            "a webhook takes a JSON document"
        }
        (Address::Email { .. }, Content::Json(_) | Content::Text { .. } | Content::Picture { .. }) => {
            "a mailbox takes a mail"
        }
        (
            Address::Sms { .. } | Address::Topic { .. },
            Content::Json(_) | Content::Email { .. } | Content::Picture { .. },
        ) => "telephones and topics take a plain text",
        (Address::SlackThread { .. }, Content::Json(_) | Content::Email { .. } | Content::Text { .. }) => {
            "a thread of Slack takes a picture"
        }
        (Address::Email { to, .. }, _) if to.is_empty() => "a mail without recipients",
        (Address::Sms { numbers }, _) if numbers.is_empty() => "a text message without recipients",
        _ if delivery.idempotency_key.is_empty() => "a delivery without an idempotency key",
        _ => return Ok(()),
    };
    Err(invalid(operation, reason))
}

/// Checks what a write expects of a row against the version found; `None` when there is none, or an expired one.
///
/// # Errors
/// `Conflict` when the expectation does not hold.
pub fn check_expectation(operation: &'static str, row: &RowWrite, found: Option<u64>) -> PortResult<()> {
    let holds = match row.expect {
        Expect::Absent => found.is_none(),
        Expect::Version(version) => found == Some(version),
        Expect::Any => true,
    };
    if holds {
        return Ok(());
    }
    let found = found.map_or_else(|| "none".to_owned(), |version| format!("version {version}"));
    let (partition, sort) = (&row.key.partition, &row.key.sort);
    let message = format!("row {partition:?} / {sort:?}: expected {:?}, found {found}", row.expect);
    Err(PortError::new(ErrorKind::Conflict, operation, message))
}

/// The size of a row as the limits count it: both parts of the key and the value, in bytes.
pub fn row_bytes(key: &RowKey, value_bytes: usize) -> usize {
    key.partition.len() + key.sort.len() + value_bytes
}

fn within(operation: &'static str, what: &str, size_bytes: usize, limit_bytes: usize) -> PortResult<()> {
    if size_bytes <= limit_bytes {
        return Ok(());
    }
    Err(invalid(operation, format!("a {what} of {size_bytes} bytes is over the limit of {limit_bytes} bytes")))
}

fn invalid(operation: &'static str, message: impl std::fmt::Display) -> PortError {
    PortError::new(ErrorKind::Invalid, operation, message)
}

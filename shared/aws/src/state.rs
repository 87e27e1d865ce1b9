//! Rows in a DynamoDB table.
//!
//! One write is one call: `PutItem` or `DeleteItem` with a condition for a single row, which costs half of what a
//! transaction does, and `TransactWriteItems` for more. Rows look as `item.rs` says.
//!
//! Versions come from the clock (microseconds since the epoch, and always more than any version seen before), since a
//! deleted item leaves nothing that could be counted on. A put also demands that the version grows, so that a clock
//! that went back costs a second try and not an order.
//!
//! Who tries again: the SDK, what was throttled or not answered; this module, what met another transaction, and what a
//! batch left undone. A conditional put that finds exactly what it meant to store was answered late the first time, and
//! is a success; a transaction has a token by which DynamoDB itself knows a repeat.

mod item;
mod read;
mod transaction;
mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use app::ports::{Change, Expect, PortError, PortResult, Row, RowKey, RowPage, RowRange, RowWrite, StateStore};
use app::refusals::{check_expectation, check_range, check_row, check_write};
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, PutRequest, ReturnValuesOnConditionCheckFailure, WriteRequest as BatchWrite,
};
use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use model::{ErrorKind, Timestamp};

use crate::client::Clients;
use crate::failure;
use crate::pause::{TRIES_MAX, pause};
use item::{Condition, Stored};
use version::Versions;

/// Most items of one `BatchWriteItem`.
const BATCH_ROWS_MAX: usize = 25;
/// Most such calls at once.
const BATCHES_AT_ONCE: usize = 4;

const WRITE: &str = "state write";
const PUT_MANY: &str = "state put";

/// Rows in a DynamoDB table. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DynamoState {
    clients: Clients,
    dynamo: Client,
    versions: Arc<Versions>,
}

/// What came of one try.
enum Outcome {
    Done,
    /// The version given did not grow, or another transaction was at work on the rows: try again.
    Again(PortError),
}

impl DynamoState {
    /// The rows of the deployment's table. Opens no connection.
    pub fn new(clients: &Clients) -> Self {
        Self {
            clients: clients.clone(),
            dynamo: Client::new(clients.sdk_config()),
            versions: Arc::new(Versions::default()),
        }
    }

    fn table(&self) -> &str {
        &self.clients.settings().table
    }

    /// One try of a write; `rows` are those that need a call.
    async fn try_write(&self, rows: &[&RowWrite], version: u64, now: Timestamp) -> PortResult<Outcome> {
        match rows {
            [] => Ok(Outcome::Done),
            [row] => match &row.change {
                Change::Put { value, expires } => self.put_one(row, value, *expires, version, now).await,
                Change::Delete => self.delete_one(row, now).await,
                Change::Check => {
                    let found = self.get(&row.key, now).await?;
                    check_expectation(WRITE, row, found.map(|row| row.version))?;
                    Ok(Outcome::Done)
                }
            },
            many => self.transact(many, version, now).await,
        }
    }

    async fn put_one(
        &self,
        row: &RowWrite,
        value: &Bytes,
        expires: Option<Timestamp>,
        version: u64,
        now: Timestamp,
    ) -> PortResult<Outcome> {
        let stored = Stored { value: value.clone(), version, expires };
        let condition = Condition::of_put(row.expect, version, now);
        let call = self.dynamo.put_item().table_name(self.table()).condition_expression(condition.expression());
        let call = call.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let call = condition
            .values()
            .into_iter()
            .fold(call, |call, (name, value)| call.expression_attribute_values(name, value));
        let call = item::attributes(&row.key, &stored).fold(call, |call, (name, value)| call.item(name, value));
        let error = match call.send().await {
            Ok(_) => return Ok(Outcome::Done),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let found = failed.item().map(|item| item::stored(WRITE, item.clone())).transpose()?;
                self.judge_put(row, found, &stored, now)
            }
            Some(PutItemError::TransactionConflictException(_)) => Ok(Outcome::Again(failure::of_store(WRITE, &error))),
            _ => Err(failure::of_store(WRITE, &error)),
        }
    }

    /// Why a put's condition failed, by what was there instead.
    fn judge_put(&self, row: &RowWrite, found: Option<Stored>, meant: &Stored, now: Timestamp) -> PortResult<Outcome> {
        if found.as_ref() == Some(meant) {
            return Ok(Outcome::Done);
        }
        self.versions.saw(found.as_ref().map_or(0, |found| found.version));
        check_expectation(WRITE, row, found.and_then(|found| found.live_version(now)))?;
        let message = format!("row {:?} / {:?} has a version ahead of this clock", row.key.partition, row.key.sort);
        Ok(Outcome::Again(PortError::new(ErrorKind::Throttled, WRITE, message)))
    }

    async fn delete_one(&self, row: &RowWrite, now: Timestamp) -> PortResult<Outcome> {
        let mut call = self.dynamo.delete_item().table_name(self.table());
        for (name, value) in item::key_attributes(&row.key) {
            call = call.key(name, value);
        }
        if let Some(condition) = Condition::of(row.expect, now) {
            call = call
                .condition_expression(condition.expression())
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            for (name, value) in condition.values() {
                call = call.expression_attribute_values(name, value);
            }
        }
        let error = match call.send().await {
            Ok(_) => return Ok(Outcome::Done),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(DeleteItemError::ConditionalCheckFailedException(failed)) => {
                let found = failed.item().map(|item| item::stored(WRITE, item.clone())).transpose()?;
                check_expectation(WRITE, row, found.and_then(|found| found.live_version(now)))?;
                Err(PortError::new(ErrorKind::Bug, WRITE, "DynamoDB refused a delete whose expectation holds"))
            }
            Some(DeleteItemError::TransactionConflictException(_)) => {
                Ok(Outcome::Again(failure::of_store(WRITE, &error)))
            }
            _ => Err(failure::of_store(WRITE, &error)),
        }
    }

    /// Stores at most 25 rows, again and again what DynamoDB leaves undone.
    async fn put_batch(&self, rows: Vec<BatchWrite>) -> PortResult<()> {
        let count = rows.len();
        let mut left = rows;
        for tries in 1..=TRIES_MAX {
            let call = self.dynamo.batch_write_item().request_items(self.table(), left);
            let answer = call.send().await.map_err(|error| failure::of_store(PUT_MANY, &error))?;
            left = answer.unprocessed_items.into_iter().flatten().flat_map(|(_, rows)| rows).collect();
            if left.is_empty() {
                return Ok(());
            }
            pause(&self.clients, tries).await;
        }
        let message = format!("{} of {count} rows were not taken in {TRIES_MAX} tries", left.len());
        Err(PortError::new(ErrorKind::Throttled, PUT_MANY, message))
    }
}

#[async_trait]
impl StateStore for DynamoState {
    async fn get(&self, key: &RowKey, now: Timestamp) -> PortResult<Option<Row>> {
        let row = read::get(self, key).await?;
        self.versions.saw(row.as_ref().map_or(0, |row| row.version));
        Ok(row.filter(|row| item::is_live(row.expires, now)))
    }

    async fn range(&self, range: &RowRange, now: Timestamp) -> PortResult<RowPage> {
        check_range("state range", range)?;
        let page = read::range(self, range, now).await?;
        self.versions.saw(page.rows.iter().map(|row| row.version).max().unwrap_or(0));
        Ok(page)
    }

    async fn write(&self, rows: Vec<RowWrite>, now: Timestamp) -> PortResult<Vec<u64>> {
        check_write(WRITE, &rows)?;
        let needs_a_call = |row: &&RowWrite| row.change != Change::Check || row.expect != Expect::Any;
        let to_write: Vec<&RowWrite> = rows.iter().filter(needs_a_call).collect();
        let mut tries = 0;
        let version = loop {
            let version = self.versions.next(self.clients.clock_micros(), &rows);
            let Outcome::Again(error) = self.try_write(&to_write, version, now).await? else {
                break version;
            };
            tries += 1;
            if tries == TRIES_MAX {
                return Err(error);
            }
            pause(&self.clients, tries).await;
        };
        let of_row = |row: &RowWrite| if matches!(row.change, Change::Put { .. }) { version } else { 0 };
        Ok(rows.iter().map(of_row).collect())
    }

    async fn put_many(&self, puts: Vec<(RowKey, Bytes, Option<Timestamp>)>, _now: Timestamp) -> PortResult<()> {
        puts.iter().try_for_each(|(key, value, _)| check_row(PUT_MANY, key, value.len()))?;
        let version = self.versions.next(self.clients.clock_micros(), &[]);
        // DynamoDB refuses a key that comes twice; the last put would have won.
        let last: BTreeMap<RowKey, (Bytes, Option<Timestamp>)> =
            puts.into_iter().map(|(key, value, expires)| (key, (value, expires))).collect();
        let mut rows = last.into_iter().map(|(key, (value, expires))| {
            let stored = Stored { value, version, expires };
            let put =
                item::attributes(&key, &stored).fold(PutRequest::builder(), |put, (name, value)| put.item(name, value));
            BatchWrite::builder().put_request(put.build().expect("an item has attributes")).build()
        });
        let mut batches = Vec::new();
        loop {
            let batch: Vec<BatchWrite> = rows.by_ref().take(BATCH_ROWS_MAX).collect();
            if batch.is_empty() {
                break;
            }
            batches.push(self.put_batch(batch));
        }
        stream::iter(batches).buffer_unordered(BATCHES_AT_ONCE).try_collect().await
    }
}

/// Names and values of an item, a key or an expression.
type Named = (&'static str, AttributeValue);

#[cfg(test)]
mod tests;

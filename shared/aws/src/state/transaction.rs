//! Several rows all together or not at all.

use app::ports::{Change, Expect, PortError, PortResult, RowWrite};
use app::refusals::check_expectation;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use model::{ErrorKind, Timestamp};

use super::item::{self, Condition, Stored};
use super::{DynamoState, Outcome, WRITE};
use crate::failure;

const ALL_OLD: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;

impl DynamoState {
    /// One try of a transaction. The SDK gives it a token, so that its own repeats are one.
    pub(super) async fn transact(&self, rows: &[&RowWrite], version: u64, now: Timestamp) -> PortResult<Outcome> {
        let items = rows.iter().map(|row| self.part(row, version, now)).collect();
        let call = self.dynamo.transact_write_items().set_transact_items(Some(items));
        let error = match call.send().await {
            Ok(_) => return Ok(Outcome::Done),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                self.judge_cancellation(rows, cancelled.cancellation_reasons(), now)
            }
            _ => Err(failure::of_store(WRITE, &error)),
        }
    }

    fn part(&self, row: &RowWrite, version: u64, now: Timestamp) -> TransactWriteItem {
        match &row.change {
            Change::Put { value, expires } => {
                let stored = Stored { value: value.clone(), version, expires: *expires };
                TransactWriteItem::builder().put(self.put_part(row, &stored, now)).build()
            }
            Change::Delete => TransactWriteItem::builder().delete(self.delete_part(row, now)).build(),
            Change::Check => TransactWriteItem::builder().condition_check(self.check_part(row, now)).build(),
        }
    }

    fn put_part(&self, row: &RowWrite, stored: &Stored, now: Timestamp) -> Put {
        let condition = Condition::of_put(row.expect, stored.version, now);
        let mut put = Put::builder()
            .table_name(self.table())
            .condition_expression(condition.expression())
            .return_values_on_condition_check_failure(ALL_OLD);
        for (name, value) in condition.values() {
            put = put.expression_attribute_values(name, value);
        }
        for (name, value) in item::attributes(&row.key, stored) {
            put = put.item(name, value);
        }
        put.build().expect("table and item are set")
    }

    fn delete_part(&self, row: &RowWrite, now: Timestamp) -> Delete {
        let mut delete = Delete::builder().table_name(self.table());
        for (name, value) in item::key_attributes(&row.key) {
            delete = delete.key(name, value);
        }
        if let Some(condition) = Condition::of(row.expect, now) {
            delete =
                delete.condition_expression(condition.expression()).return_values_on_condition_check_failure(ALL_OLD);
            for (name, value) in condition.values() {
                delete = delete.expression_attribute_values(name, value);
            }
        }
        delete.build().expect("table and key are set")
    }

    fn check_part(&self, row: &RowWrite, now: Timestamp) -> ConditionCheck {
        let condition = Condition::of(row.expect, now).expect("checks that anything passes are left out");
        let mut check = ConditionCheck::builder()
            .table_name(self.table())
            .condition_expression(condition.expression())
            .return_values_on_condition_check_failure(ALL_OLD);
        for (name, value) in condition.values() {
            check = check.expression_attribute_values(name, value);
        }
        for (name, value) in item::key_attributes(&row.key) {
            check = check.key(name, value);
        }
        check.build().expect("table, key and condition are set")
    }

    /// Why a transaction did not happen. An expectation that does not hold outweighs all else: another try would only
    /// find the same.
    fn judge_cancellation(
        &self,
        rows: &[&RowWrite],
        reasons: &[CancellationReason],
        now: Timestamp,
    ) -> PortResult<Outcome> {
        let mut again = None;
        let mut failure = None;
        for (row, reason) in rows.iter().zip(reasons) {
            let code = reason.code().unwrap_or("None");
            let message = reason.message().unwrap_or("no message");
            let text = format!("row {:?} / {:?}: {code}: {message}", row.key.partition, row.key.sort);
            match code {
                "None" => {}
                "ConditionalCheckFailed" => {
                    self.judge_part(row, reason, now)?;
                    again = Some(PortError::new(ErrorKind::Throttled, WRITE, text));
                }
                "TransactionConflict" => again = Some(PortError::new(ErrorKind::Throttled, WRITE, text)),
                code => {
                    let code = if code == "ValidationError" { "ValidationException" } else { code };
                    failure = Some(PortError::new(failure::store_kind(code, message, 400), WRITE, text));
                }
            }
        }
        let unexplained = || PortError::new(ErrorKind::Unavailable, WRITE, "a transaction was cancelled for no reason");
        match (failure, again) {
            (Some(failure), _) => Err(failure),
            (None, Some(error)) => Ok(Outcome::Again(error)),
            (None, None) => Err(unexplained()),
        }
    }

    /// A conflict, unless only the version of a put was not ahead of what is there.
    fn judge_part(&self, row: &RowWrite, reason: &CancellationReason, now: Timestamp) -> PortResult<()> {
        let found = reason.item().map(|item| item::stored(WRITE, item.clone())).transpose()?;
        self.versions.saw(found.as_ref().map_or(0, |found| found.version));
        check_expectation(WRITE, row, found.and_then(|found| found.live_version(now)))?;
        if row.expect == Expect::Any || matches!(row.change, Change::Put { .. }) {
            return Ok(());
        }
        Err(PortError::new(ErrorKind::Bug, WRITE, "DynamoDB refused an expectation that holds"))
    }
}

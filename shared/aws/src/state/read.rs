//! Reads: one item, or a page of a partition.

use app::ports::{PortResult, Row, RowKey, RowPage, RowRange};
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use model::Timestamp;

use super::{DynamoState, item};
use crate::failure;

const GET: &str = "state get";
const RANGE: &str = "state range";

/// Reads one row, expired or not.
pub(super) async fn get(state: &DynamoState, key: &RowKey) -> PortResult<Option<Row>> {
    if app::refusals::check_row(GET, key, 0).is_err() {
        // DynamoDB refuses such a key; there can be no row.
        return Ok(None);
    }
    let mut call = state.dynamo.get_item().table_name(state.table()).consistent_read(true);
    for (name, value) in item::key_attributes(key) {
        call = call.key(name, value);
    }
    let answer = call.send().await.map_err(|error| failure::of_store(GET, &error))?;
    answer.item.map(|item| item::row(GET, item)).transpose()
}

/// Reads a page of rows, without those that have expired. Goes on until there is a row or the range ends, so that an
/// empty page is the last one.
pub(super) async fn range(state: &DynamoState, range: &RowRange, now: Timestamp) -> PortResult<RowPage> {
    let Some(keys) = Keys::of(range) else {
        return Ok(RowPage::default());
    };
    let mut cursor = range.cursor.clone();
    loop {
        let call = keys.query(state.dynamo.query().table_name(state.table()), cursor.take());
        let answer = call.send().await.map_err(|error| failure::of_store(RANGE, &error))?;
        let mut rows = Vec::new();
        for found in answer.items.into_iter().flatten() {
            let row = item::row(RANGE, found)?;
            let is_in_range = range.end.as_ref().is_none_or(|end| row.key.sort < *end);
            if is_in_range && item::is_live(row.expires, now) {
                rows.push(row);
            }
        }
        cursor = answer.last_evaluated_key.and_then(|mut key| match key.remove(item::SORT) {
            Some(AttributeValue::S(sort)) => Some(sort),
            _ => None,
        });
        if !rows.is_empty() || cursor.is_none() {
            return Ok(RowPage { rows, cursor });
        }
    }
}

/// The keys that a query asks for.
struct Keys<'r> {
    range: &'r RowRange,
    limit: i32,
}

impl<'r> Keys<'r> {
    /// `None` when there can be none, which DynamoDB would refuse to look for.
    fn of(range: &'r RowRange) -> Option<Self> {
        let is_empty = range.partition.is_empty() || range.end.as_ref().is_some_and(|end| *end <= range.start);
        let limit = i32::try_from(range.limit).unwrap_or(i32::MAX);
        (!is_empty).then_some(Self { range, limit })
    }

    /// `BETWEEN` holds both of its ends; a row at the end is passed over, backwards by starting after it.
    fn query(&self, call: QueryFluentBuilder, cursor: Option<String>) -> QueryFluentBuilder {
        let RowRange { partition, start, end, reverse, .. } = self.range;
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let (condition, after) = match (start.as_str(), end) {
            ("", None) => ("p = :p", None),
            (_, None) => ("p = :p AND s >= :a", None),
            ("", Some(_)) => ("p = :p AND s < :b", None),
            (_, Some(end)) => ("p = :p AND s BETWEEN :a AND :b", reverse.then(|| end.clone())),
        };
        let mut call = call
            .consistent_read(true)
            .key_condition_expression(condition)
            .expression_attribute_values(":p", text(partition))
            .scan_index_forward(!reverse)
            .limit(self.limit);
        if !start.is_empty() {
            call = call.expression_attribute_values(":a", text(start));
        }
        if let Some(end) = end {
            call = call.expression_attribute_values(":b", text(end));
        }
        if let Some(after) = cursor.or(after) {
            call = call
                .exclusive_start_key(item::PARTITION, text(partition))
                .exclusive_start_key(item::SORT, AttributeValue::S(after));
        }
        call
    }
}

//! CloudWatch as the source of metrics of the collect flow.
//!
//! One SDK client for each region that is asked, over the same connections and credentials. What AWS allows of a call is
//! checked before it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use app::collect::{
    Answer, Answered, CloudWatch, DataPage, LISTING_DIMENSIONS_MAX, Listing, Metric, MetricPage, POINTS_MAX,
    QUERIES_MAX, Query,
};
use app::ports::{PortError, PortResult};
use async_trait::async_trait;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::Region;
use aws_sdk_cloudwatch::types::{
    Dimension, DimensionFilter, MetricDataQuery, MetricDataResult, MetricStat, RecentlyActive, ScanBy, StatusCode,
};
use aws_smithy_types::DateTime;
use aws_smithy_types::timeout::TimeoutConfig;
use model::{ErrorKind, Timestamp};

use crate::client::Clients;
use crate::failure;

const LIST: &str = "cloudwatch list";
const METRIC_DATA: &str = "cloudwatch metric data";

/// A page of 500 questions takes CloudWatch seconds, so a try may be longer than with the stores.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(15);
/// Longest call with all its tries.
const CALL_TIME_MAX: Duration = Duration::from_secs(40);
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);

/// Reads metrics of CloudWatch in any region.
#[derive(Debug)]
pub struct CloudWatchReader {
    clients: Clients,
    account: Option<String>,
    by_region: Mutex<BTreeMap<String, Client>>,
}

impl CloudWatchReader {
    /// A reader; `account` is the number of the deployment's own account, the label `account_id` of its metrics.
    pub fn new(clients: &Clients, account: Option<String>) -> Self {
        Self { clients: clients.clone(), account, by_region: Mutex::default() }
    }

    fn client(&self, region: &str) -> Client {
        let mut by_region = self.by_region.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIME_MAX)
                .operation_attempt_timeout(ATTEMPT_TIME_MAX)
                .operation_timeout(CALL_TIME_MAX)
                .build();
            let config = aws_sdk_cloudwatch::config::Builder::from(self.clients.sdk_config())
                .region(Region::new(region.to_owned()))
                .timeout_config(timeouts);
            Client::from_conf(config.build())
        };
        by_region.entry(region.to_owned()).or_insert_with(new).clone()
    }
}

#[async_trait]
impl CloudWatch for CloudWatchReader {
    fn home_region(&self) -> &str {
        &self.clients.settings().region
    }

    fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    async fn list(&self, region: &str, listing: &Listing<'_>, cursor: Option<&str>) -> PortResult<MetricPage> {
        if listing.dimensions.len() > LISTING_DIMENSIONS_MAX {
            let message = format!("more than {LISTING_DIMENSIONS_MAX} dimensions");
            return Err(PortError::new(ErrorKind::Invalid, LIST, message));
        }
        let filters = listing.dimensions.iter().map(|name| DimensionFilter::builder().name(*name).build());
        let answer = self
            .client(region)
            .list_metrics()
            .namespace(listing.namespace)
            .set_metric_name(listing.name.map(str::to_owned))
            .set_dimensions(Some(filters.collect()).filter(|filters: &Vec<_>| !filters.is_empty()))
            .set_recently_active(listing.recently_active.then_some(RecentlyActive::Pt3H))
            .set_include_linked_accounts(listing.linked_accounts.then_some(true))
            .set_next_token(cursor.map(str::to_owned))
            .send()
            .await
            .map_err(|error| failure::of(LIST, &error))?;
        let owners = answer.owning_accounts.unwrap_or_default();
        let metrics = answer.metrics.unwrap_or_default().into_iter().enumerate();
        // The owners stand beside the metrics, in their order.
        let metrics = metrics.map(|(place, found)| metric(found, owners.get(place), self.account())).collect();
        Ok(MetricPage { metrics, cursor: answer.next_token.filter(|token| !token.is_empty()) })
    }

    async fn metric_data(
        &self,
        region: &str,
        queries: &[Query<'_>],
        (from, until): (Timestamp, Timestamp),
        cursor: Option<&str>,
    ) -> PortResult<DataPage> {
        let invalid = |message: String| PortError::new(ErrorKind::Invalid, METRIC_DATA, message);
        if queries.is_empty() || queries.len() > QUERIES_MAX {
            return Err(invalid(format!("{} questions, not 1 to {QUERIES_MAX}", queries.len())));
        }
        if from >= until {
            return Err(invalid(format!("no time between {from} and {until}")));
        }
        let questions = queries.iter().enumerate().map(|(place, query)| question(place, query));
        let answer = self
            .client(region)
            .get_metric_data()
            .set_metric_data_queries(Some(questions.collect::<PortResult<_>>()?))
            .start_time(date(from))
            .end_time(date(until))
            .scan_by(ScanBy::TimestampAscending)
            .max_datapoints(i32::try_from(POINTS_MAX).unwrap_or(i32::MAX))
            .set_next_token(cursor.map(str::to_owned))
            .send()
            .await
            .map_err(|error| failure::of(METRIC_DATA, &error))?;
        let results = answer.metric_data_results.unwrap_or_default();
        let answers = results.into_iter().filter_map(|result| self::answer(result, queries.len())).collect();
        Ok(DataPage { answers, cursor: answer.next_token.filter(|token| !token.is_empty()) })
    }
}

/// A metric as the flow knows it; `own` is the account whose metrics need no owner.
fn metric(found: aws_sdk_cloudwatch::types::Metric, owner: Option<&String>, own: Option<&str>) -> Metric {
    let pair = |dimension: Dimension| (dimension.name.unwrap_or_default(), dimension.value.unwrap_or_default());
    let mut dimensions: Vec<_> = found.dimensions.unwrap_or_default().into_iter().map(pair).collect();
    dimensions.sort();
    Metric {
        namespace: found.namespace.unwrap_or_default(),
        name: found.metric_name.unwrap_or_default(),
        dimensions,
        account: owner.filter(|owner| Some(owner.as_str()) != own).cloned(),
    }
}

/// A question, named by its place: names begin with a small letter.
fn question(place: usize, query: &Query<'_>) -> PortResult<MetricDataQuery> {
    let period = i32::try_from(query.period.as_secs()).ok().filter(|seconds| *seconds > 0 && seconds % 60 == 0);
    let Some(period) = period else {
        let message = format!("a period of {:?} is not whole minutes", query.period);
        return Err(PortError::new(ErrorKind::Invalid, METRIC_DATA, message));
    };
    let dimensions = query.metric.dimensions.iter();
    let dimensions = dimensions.map(|(name, value)| Dimension::builder().name(name).value(value).build());
    let metric = aws_sdk_cloudwatch::types::Metric::builder()
        .namespace(&query.metric.namespace)
        .metric_name(&query.metric.name)
        .set_dimensions(Some(dimensions.collect()))
        .build();
    let stat = MetricStat::builder().metric(metric).period(period).stat(query.statistic).build();
    Ok(MetricDataQuery::builder()
        .id(format!("q{place}"))
        .metric_stat(stat)
        .set_account_id(query.metric.account.clone())
        .return_data(true)
        .build())
}

/// An answer as the flow knows it; `None` when it answers nothing that was asked.
fn answer(result: MetricDataResult, questions: usize) -> Option<Answer> {
    let place = result.id.as_deref()?.strip_prefix('q')?.parse().ok().filter(|place| *place < questions)?;
    let answered = match result.status_code {
        Some(StatusCode::Complete) => Answered::Complete,
        Some(StatusCode::PartialData) => Answered::Partly,
        other => {
            let code = other.map_or_else(|| "no status".to_owned(), |code| code.as_str().to_owned());
            let messages = result.messages.unwrap_or_default();
            let causes: Vec<String> = messages.into_iter().filter_map(|message| message.code).collect();
            Answered::Failed([vec![code], causes].concat().join(" "))
        }
    };
    let times = result.timestamps.unwrap_or_default().into_iter().map(timestamp);
    let points = times.zip(result.values.unwrap_or_default()).collect();
    Some(Answer { query: place, answered, points })
}

fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.as_millis())
}

/// Of a date beyond what we can count, the end of time: nobody asked for that.
fn timestamp(date: DateTime) -> Timestamp {
    date.to_millis().map_or(Timestamp::MAX, Timestamp::from_millis)
}

#[cfg(test)]
mod tests;

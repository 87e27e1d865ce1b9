//! What the flow knows of CloudWatch.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use model::Timestamp;

use crate::ports::PortResult;

/// Most queries of one [`CloudWatch::metric_data`].
pub const QUERIES_MAX: usize = 500;
/// Most points of one page of [`CloudWatch::metric_data`].
pub const POINTS_MAX: usize = 100_800;
/// Most dimensions of a [`Listing`].
pub const LISTING_DIMENSIONS_MAX: usize = 10;

/// What CloudWatch measures of one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// Such as `AWS/EC2`.
    pub namespace: String,
    /// Such as `CPUUtilization`.
    pub name: String,
    /// Names and values, sorted.
    pub dimensions: Vec<(String, String)>,
    /// The account it belongs to, where that is not the deployment's own.
    pub account: Option<String>,
}

/// Which metrics to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listing<'a> {
    /// Of this namespace.
    pub namespace: &'a str,
    /// Of this name; of any when `None`.
    pub name: Option<&'a str>,
    /// With all of these dimensions, and perhaps more; at most [`LISTING_DIMENSIONS_MAX`].
    pub dimensions: &'a [&'a str],
    /// Only those that had data within the last three hours; otherwise within the last two weeks.
    pub recently_active: bool,
    /// Also those of the accounts that share theirs with this one.
    pub linked_accounts: bool,
}

/// A page of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricPage {
    /// In any order.
    pub metrics: Vec<Metric>,
    /// Where the next page starts; `None` on the last one.
    pub cursor: Option<String>,
}

/// A question: one statistic of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// What is measured.
    pub metric: &'a Metric,
    /// Such as `Average` or `p99`.
    pub statistic: &'a str,
    /// Over how long each point goes: whole minutes.
    pub period: Duration,
}

/// How far the answer to a question got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// All points there are.
    Complete,
    /// More points are on the next page.
    Partly,
    /// CloudWatch failed on this question alone, and why.
    Failed(String),
}

/// Points that answer one question.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which question, counted from 0.
    pub query: usize,
    /// Whether there is more.
    pub answered: Answered,
    /// The start of each period that has data, and the value.
    pub points: Vec<(Timestamp, f64)>,
}

/// A page of answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataPage {
    /// In any order; a question may come more than once.
    pub answers: Vec<Answer>,
    /// Where the next page starts; `None` on the last one.
    pub cursor: Option<String>,
}

/// CloudWatch as a source of metrics. A port of the collect flow alone.
#[async_trait]
pub trait CloudWatch: Send + Sync + fmt::Debug {
    /// The region that is asked where the configuration names none.
    fn home_region(&self) -> &str;

    /// The number of the deployment's own account, if the host knows it.
    fn account(&self) -> Option<&str>;

    /// Lists a page of metrics of a region. Each page is billed as a request.
    ///
    /// # Errors
    /// `Invalid` when AWS will never answer this, as without permission; `Throttled` or `Unavailable` when it may.
    async fn list(&self, region: &str, listing: &Listing<'_>, cursor: Option<&str>) -> PortResult<MetricPage>;

    /// Asks for the points of all periods that start within `from..until`, at most [`QUERIES_MAX`] questions at once.
    /// Each question is billed, however many points answer it.
    ///
    /// # Errors
    /// `Invalid` when AWS will never answer this, as without permission; `Throttled` or `Unavailable` when it may.
    async fn metric_data(
        &self,
        region: &str,
        queries: &[Query<'_>],
        (from, until): (Timestamp, Timestamp),
        cursor: Option<&str>,
    ) -> PortResult<DataPage>;
}

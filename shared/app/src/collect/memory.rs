//! CloudWatch in memory: for tests, with the limits and refusals of the real one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use model::{ErrorKind, Timestamp};

use super::port::{
    Answer, Answered, CloudWatch, DataPage, LISTING_DIMENSIONS_MAX, Listing, Metric, MetricPage, POINTS_MAX,
    QUERIES_MAX, Query,
};
use crate::ports::{PortError, PortResult};

/// Metrics of all regions, as they were put in.
#[derive(Debug)]
pub struct MemoryCloudWatch {
    home_region: String,
    account: Option<String>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    observations: BTreeMap<(String, Metric), Vec<Observation>>,
    now: Option<Timestamp>,
    page_items_max: Option<usize>,
    faults: VecDeque<(u64, PortError)>,
    broken: Vec<String>,
    calls: u64,
    asked: Vec<Asked>,
    pages: u64,
}

/// One value that somebody put, or the service measured.
#[derive(Clone, Copy, Debug)]
struct Observation {
    time: Timestamp,
    value: f64,
    /// It can be seen from then on.
    seen_from: Timestamp,
}

/// One call of [`CloudWatch::metric_data`] for the first page of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How many questions.
    pub questions: usize,
    /// The start of the first period.
    pub from: Timestamp,
    /// The end of the last one.
    pub until: Timestamp,
}

impl MemoryCloudWatch {
    /// Without any metrics, at the end of time: everything can be seen.
    pub fn new(home_region: &str, account: Option<&str>) -> Self {
        Self { home_region: home_region.to_owned(), account: account.map(str::to_owned), inner: Mutex::default() }
    }

    /// A value of a metric of the home region, which can be seen from some time on.
    pub fn observe(&self, metric: &Metric, time: Timestamp, value: f64, seen_from: Timestamp) {
        let key = (self.home_region.clone(), metric.clone());
        self.lock().observations.entry(key).or_default().push(Observation { time, value, seen_from });
    }

    /// What time it is: what can be seen only later does not exist yet.
    pub fn set_now(&self, now: Timestamp) {
        self.lock().now = Some(now);
    }

    /// Pages are cut after so many metrics or points.
    pub fn set_page_items_max(&self, items: usize) {
        self.lock().page_items_max = Some(items.max(1));
    }

    /// The call with this number, counted from 0 over both operations, fails.
    pub fn fail(&self, call: u64, kind: ErrorKind) {
        self.lock().faults.push_back((call, PortError::new(kind, "CloudWatch", "injected")));
    }

    /// Questions about metrics of this name fail, and no others.
    pub fn set_broken(&self, names: &[&str]) {
        self.lock().broken = names.iter().map(|name| (*name).to_owned()).collect();
    }

    /// The calls so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// All that would have been billed so far: questions and pages of listings.
    pub fn billed(&self) -> u64 {
        let inner = self.lock();
        inner.pages + inner.asked.iter().map(|asked| asked.questions as u64).sum::<u64>()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn call(&mut self) -> PortResult<()> {
        let call = self.calls;
        self.calls += 1;
        match self.faults.iter().position(|(number, _)| *number == call) {
            Some(place) => Err(self.faults.remove(place).expect("it was found there").1),
            None => Ok(()),
        }
    }

    /// Every statistic that [`statistic`] knows, by the start of each period that has values.
    fn points(&self, region: &str, query: &Query<'_>, (from, until): (Timestamp, Timestamp)) -> Vec<(Timestamp, f64)> {
        let observations = self.observations.get(&(region.to_owned(), query.metric.clone()));
        let mut periods: BTreeMap<Timestamp, Vec<f64>> = BTreeMap::new();
        for observation in observations.into_iter().flatten() {
            let start = observation.time.align_down(query.period);
            let is_seen = self.now.is_none_or(|now| observation.seen_from <= now);
            if is_seen && start >= from && start < until {
                periods.entry(start).or_default().push(observation.value);
            }
        }
        periods.into_iter().map(|(start, values)| (start, statistic(query.statistic, &values))).collect()
    }
}

fn statistic(name: &str, values: &[f64]) -> f64 {
    let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
    let sum: f64 = values.iter().sum();
    match name {
        "Sum" => sum,
        "Minimum" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "Maximum" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "SampleCount" => count,
        _ => sum / count,
    }
}

fn invalid(operation: &'static str, reason: &str) -> PortError {
    PortError::new(ErrorKind::Invalid, operation, reason)
}

/// Where a page starts, from its cursor.
fn offset(cursor: Option<&str>, operation: &'static str) -> PortResult<usize> {
    let unknown = |_| invalid(operation, "unknown cursor");
    cursor.map_or(Ok(0), |cursor| cursor.parse().map_err(unknown))
}

#[async_trait]
impl CloudWatch for MemoryCloudWatch {
    fn home_region(&self) -> &str {
        &self.home_region
    }

    fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    async fn list(&self, region: &str, listing: &Listing<'_>, cursor: Option<&str>) -> PortResult<MetricPage> {
        let mut inner = self.lock();
        inner.call()?;
        inner.pages += 1;
        if listing.dimensions.len() > LISTING_DIMENSIONS_MAX {
            return Err(invalid("list metrics", "too many dimensions"));
        }
        let exists = |observation: &Observation| inner.now.is_none_or(|now| observation.seen_from <= now);
        let wanted = |metric: &Metric| {
            let has = |wanted: &&str| metric.dimensions.iter().any(|(name, _)| name == wanted);
            metric.namespace == listing.namespace
                && listing.name.is_none_or(|name| name == metric.name)
                && listing.dimensions.iter().all(has)
                && (listing.linked_accounts || metric.account.is_none())
        };
        let all = inner.observations.iter().filter(|((found, metric), observations)| {
            found == region && wanted(metric) && observations.iter().any(exists)
        });
        let start = offset(cursor, "list metrics")?;
        let page_items = inner.page_items_max.unwrap_or(500);
        let mut metrics: Vec<Metric> = all.skip(start).take(page_items + 1).map(|((_, m), _)| m.clone()).collect();
        let cursor = (metrics.len() > page_items).then(|| (start + page_items).to_string());
        metrics.truncate(page_items);
        Ok(MetricPage { metrics, cursor })
    }

    async fn metric_data(
        &self,
        region: &str,
        queries: &[Query<'_>],
        (from, until): (Timestamp, Timestamp),
        cursor: Option<&str>,
    ) -> PortResult<DataPage> {
        // Calls that run at once must be able to take turns.
        tokio::task::yield_now().await;
        let mut inner = self.lock();
        inner.call()?;
        if queries.is_empty() || queries.len() > QUERIES_MAX || from >= until {
            return Err(invalid("metric data", "no question, too many, or no time to ask about"));
        }
        if let Some(query) = queries.iter().find(|query| !query.period.as_secs().is_multiple_of(60)) {
            return Err(invalid("metric data", &format!("{query:?}: not whole minutes")));
        }
        if cursor.is_none() {
            inner.asked.push(Asked { questions: queries.len(), from, until });
        }
        let mut all = Vec::new();
        let mut answers: Vec<Answer> = Vec::new();
        for (query, question) in queries.iter().enumerate() {
            if inner.broken.contains(&question.metric.name) {
                let answered = Answered::Failed("InternalError".to_owned());
                answers.push(Answer { query, answered, points: Vec::new() });
                continue;
            }
            answers.push(Answer { query, answered: Answered::Complete, points: Vec::new() });
            all.extend(inner.points(region, question, (from, until)).into_iter().map(|point| (query, point)));
        }
        let start = offset(cursor, "metric data")?;
        let end = all.len().min(start + inner.page_items_max.unwrap_or(POINTS_MAX));
        for &(query, point) in &all[start.min(end)..end] {
            answers[query].points.push(point);
        }
        for (query, _) in &all[end..] {
            answers[*query].answered = Answered::Partly;
        }
        Ok(DataPage { answers, cursor: (end < all.len()).then(|| end.to_string()) })
    }
}

//! The bill so far and the bill to come.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::Timestamp;
use serde::{Deserialize, Serialize};

use super::item::MONTH_HOURS;
use super::{Item, Prices, Usage, rows};
use crate::{App, AppError};

/// The forecast goes on as the last days went, so many of them.
const FORECAST_DAYS: i8 = 7;
/// No forecast before so much of the month is known.
const FORECAST_AFTER: Duration = Duration::from_secs(600);
/// Metrics that the alarms on ourselves read, each of which is billed: two of the canary, one of each other alarm.
const ALARM_METRICS: u64 = 4;
/// An empty queue is asked three times a minute by five pollers.
const QUEUE_POLLS_AN_HOUR: u64 = 5 * 3 * 60;

/// Among the functions of a report: what a deployment costs that does nothing.
pub const STANDING: &str = "standing";

/// What this month costs, at list prices and without free tiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The region whose prices are used.
    pub region: String,
    /// The month, `2026-11`, as AWS bills it: in UTC.
    pub month: String,
    /// Since when there are figures, milliseconds since the epoch; `None` before the first.
    pub since_ms: Option<i64>,
    /// Until when, at least from one process.
    pub until_ms: Option<i64>,
    /// Samples accepted in the month.
    pub samples: u64,
    /// Dollars in the month up to now.
    pub month_to_date: f64,
    /// Dollars at the end of the month, if the rest of it is like the last days.
    pub forecast: Option<f64>,
    /// Dollars for 30 days like the last ones.
    pub thirty_days: Option<f64>,
    /// Dollars for a million samples, everything together.
    pub per_million_samples: Option<f64>,
    /// What it consists of, the most expensive first.
    pub lines: Vec<Line>,
    /// What each function brought about, the most expensive first.
    pub functions: Vec<FunctionCost>,
}

/// One line of the bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The service.
    pub service: String,
    /// What is billed.
    pub item: Item,
    /// How much of it.
    pub amount: f64,
    /// Dollars.
    pub dollars: f64,
}

/// What one function brought about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionCost {
    /// The function, or [`STANDING`].
    pub function: String,
    /// Dollars.
    pub dollars: f64,
}

/// Adds up what all processes of the deployment stored this month; the last minutes of each may be missing.
///
/// # Errors
/// When the rows cannot be read.
pub async fn report(app: &App, prices: &Prices, now: Timestamp) -> Result<Report, AppError> {
    let today = rows::day_of(now);
    let stored = rows::of_month(app.ports.state.as_ref(), today, now).await?;
    Ok(of(&stored, prices, today, now))
}

fn of(stored: &[rows::Stored], prices: &Prices, today: Date, now: Timestamp) -> Report {
    let since = stored.iter().map(|row| row.process.since).min();
    let until = stored.iter().map(|row| row.process.until).max();
    let mut usages: BTreeMap<&str, Usage> = BTreeMap::new();
    for row in stored {
        usages.entry(&row.function).or_default().merge(&row.process.usage);
    }
    let so_far = since.map_or(Duration::ZERO, |since| now.since(since));
    let standing = standing(so_far);
    usages.entry(STANDING).or_default().merge(&standing);
    let mut all = Usage::default();
    usages.values().for_each(|usage| all.merge(usage));
    let month_to_date = prices.total(&all);
    let a_second = recent_rate(stored, prices, today);
    let left = month_end(today).map_or(0.0, |end| end.since(until.unwrap_or(now)).as_secs_f64());
    Report {
        region: prices.region().to_owned(),
        month: format!("{:04}-{:02}", today.year(), today.month()),
        since_ms: since.map(Timestamp::as_millis),
        until_ms: until.map(Timestamp::as_millis),
        samples: all.samples,
        month_to_date,
        forecast: a_second.map(|rate| rate.mul_add(left, month_to_date)),
        thirty_days: a_second.map(|rate| rate * 30.0 * 86_400.0),
        per_million_samples: (all.samples > 0).then(|| month_to_date * 1e6 / float(all.samples)),
        lines: lines(&all, prices),
        functions: functions(&usages, prices),
    }
}

/// What a deployment uses over a time although nothing happens: alarms, and the queue's pollers. Whoever runs the
/// schedules counts those.
pub fn standing(time: Duration) -> Usage {
    let hours = time.as_secs() / 3600;
    let mut usage = Usage::default();
    usage.add(Item::Alarm, ALARM_METRICS.saturating_mul(hours));
    usage.add(Item::QueueRequest, QUEUE_POLLS_AN_HOUR.saturating_mul(hours));
    usage
}

/// Dollars a second of the last days, what stands included.
fn recent_rate(stored: &[rows::Stored], prices: &Prices, today: Date) -> Option<f64> {
    let recent: Vec<_> = stored.iter().filter(|row| row.day > today.day().saturating_sub(FORECAST_DAYS)).collect();
    let since = recent.iter().map(|row| row.process.since).min()?;
    let until = recent.iter().map(|row| row.process.until).max()?;
    let covered = until.since(since);
    if covered < FORECAST_AFTER {
        return None;
    }
    let dollars: f64 = recent.iter().map(|row| prices.total(&row.process.usage)).sum();
    let month = standing(Duration::from_secs(730 * 3600));
    Some(dollars / covered.as_secs_f64() + prices.total(&month) / (MONTH_HOURS * 3600.0))
}

fn month_end(today: Date) -> Option<Timestamp> {
    let next = today.last_of_month().tomorrow().ok()?;
    let end = next.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::from_millis(end.as_millisecond()))
}

fn lines(usage: &Usage, prices: &Prices) -> Vec<Line> {
    let line = |(item, amount): (Item, u64)| Line {
        service: item.service().to_owned(),
        item,
        amount: float(amount),
        dollars: prices.dollars(item, amount),
    };
    let mut lines: Vec<Line> = usage.amounts().map(line).collect();
    lines.sort_by(|a, b| b.dollars.total_cmp(&a.dollars).then(a.item.cmp(&b.item)));
    lines
}

fn functions(usages: &BTreeMap<&str, Usage>, prices: &Prices) -> Vec<FunctionCost> {
    let cost = |(function, usage): (&&str, &Usage)| FunctionCost {
        function: (*function).to_owned(),
        dollars: prices.total(usage),
    };
    let mut costs: Vec<FunctionCost> = usages.iter().map(cost).collect();
    costs.sort_by(|a, b| b.dollars.total_cmp(&a.dollars).then_with(|| a.function.cmp(&b.function)));
    costs
}

#[expect(clippy::cast_precision_loss, reason = "a bill has fewer digits")]
const fn float(count: u64) -> f64 {
    count as f64
}

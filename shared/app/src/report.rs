//! The report flow: load the panels and alert history of a day, put them into figures, store the report.
//!
//! A report is identified by type, period and time zone ([`store`] says how that becomes a key). A day that is over
//! has one final report, written once; before that, each run for the day adds one more report "so far". So a schedule
//! that fires twice, late or on two machines at once writes one report.

pub mod link;
mod mail;
mod on_call;
mod schedule;
mod statistics;
mod store;

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use jiff::civil::Date;
use model::{Language, TenantId, TimeRange, Timestamp};
use render::Zone;
use render::chart::Stats;
use render::report::{AlertStatistics, DailyReport, FORMAT, Panel, PanelSeries};

use crate::access::Role;
use crate::alerts::{self, AlertState};
use crate::pages::panels::{self, Course, Found, PANELS, Part};
use crate::{App, AppError, history};

pub use schedule::{Daily, Schedule, due};

use statistics::FiringNow;
use store::ReportKey;

/// A stored report in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Names it among the tenant's daily reports: `2026-11-21/Asia.Tokyo/final`.
    pub id: String,
    /// The day.
    pub date: Date,
    /// The zone that the day is counted in.
    pub zone: String,
    /// Whether the day was over when it was written.
    pub is_final: bool,
    /// When one that is not final was written.
    pub made_at: Option<Timestamp>,
}

/// A form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The model, in no language.
    Json,
    /// A self-contained page.
    Html(Language),
}

impl Format {
    /// The id and the form that a file's name stands for: `<id>.json`, `<id>.ja.html` or `<id>.en.html`.
    pub fn of_file(file: &str) -> Option<(&str, Self)> {
        if let Some(id) = file.strip_suffix(".json") {
            return Some((id, Self::Json));
        }
        let (id, tag) = file.strip_suffix(".html")?.rsplit_once('.')?;
        let language = Language::from_tag(tag).filter(|language| language.tag() == tag)?;
        Some((id, Self::Html(language)))
    }
}

/// Where a report is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under a link of the store's own, for a while.
    Elsewhere(String),
    /// Its bytes.
    Here(Bytes),
}

/// The points of a report's charts are this far apart: 288 a day.
const STEP: Duration = Duration::from_secs(300);
/// A day's figures are final this long after its end, when its last samples have arrived.
const SETTLED_AFTER: Duration = Duration::from_secs(300);

/// Writes the report of a day and says where it is; a final one that is there already is left as it is.
///
/// # Errors
/// When the day has not begun, or its data cannot be loaded or the report cannot be stored.
pub async fn daily(app: &App, tenant: &TenantId, day: Date, now: Timestamp) -> Result<Entry, AppError> {
    let period = Period::of(app, day, now)?;
    let key = period.key(now);
    let objects = app.ports.objects.as_ref();
    if let Some(stored) = store::load(objects, tenant, &key).await? {
        store::save_pages(objects, tenant, &key, &stored).await?;
        return Ok(period.entry(&key, now));
    }
    let report = figures(app, tenant, &period, now).await?;
    if period.is_over && day == yesterday(app, now)? {
        mail::announce(app, tenant, &key, now).await?;
    }
    store::save(objects, tenant, &key, report).await?;
    Ok(period.entry(&key, now))
}

/// Writes every report that is due, for every tenant of the configuration, and says which; then mails those that are
/// final to whom `reports.yml` names.
///
/// # Errors
/// When a report could not be written or what is to be mailed could not be read; others may have been. A mail that
/// cannot be delivered is tried again by later runs.
pub async fn run_due(app: &App, now: Timestamp) -> Result<Vec<Entry>, AppError> {
    app.require_config()?;
    let written = write_all_due(app, now).await;
    mail::deliver_due(app, now).await?;
    written
}

async fn write_all_due(app: &App, now: Timestamp) -> Result<Vec<Entry>, AppError> {
    let mut written = Vec::new();
    let Some(daily) = schedule(app).daily else { return Ok(written) };
    let zone = zone(app);
    for tenant in tenants(app) {
        let last = last_done(app, &tenant, &daily, &zone, now).await?;
        for day in due(&daily, &zone, now, last) {
            written.extend(write_due(app, &tenant, day, now).await?);
        }
    }
    Ok(written)
}

/// All stored daily reports of a tenant, the newest day first.
///
/// # Errors
/// When the store does not answer.
pub async fn list(app: &App, tenant: &TenantId) -> Result<Vec<Entry>, AppError> {
    store::list(app.ports.objects.as_ref(), tenant).await
}

/// A stored report in one of its forms; `None` when there is none under the id.
///
/// # Errors
/// When the store does not answer or what it holds cannot be read.
pub async fn get(app: &App, tenant: &TenantId, id: &str, format: Format) -> Result<Option<Bytes>, AppError> {
    let Some(key) = ReportKey::parse(id) else { return Ok(None) };
    store::get(app.ports.objects.as_ref(), tenant, &key, format).await
}

/// Where a stored report can be read in one of its forms; `None` when there is none under the id. A link of the store's
/// own works for `lifetime`.
///
/// # Errors
/// When the store does not answer or what it holds cannot be read.
pub async fn place(
    app: &App,
    tenant: &TenantId,
    id: &str,
    format: Format,
    lifetime: Duration,
) -> Result<Option<Place>, AppError> {
    let Some(key) = ReportKey::parse(id) else { return Ok(None) };
    let objects = app.ports.objects.as_ref();
    if let Some(link) = store::link(objects, tenant, &key, format, lifetime).await? {
        return Ok(Some(Place::Elsewhere(link)));
    }
    Ok(store::get(objects, tenant, &key, format).await?.map(Place::Here))
}

/// The path of a report's page in a language.
pub fn page_path(id: &str, language: Language) -> String {
    format!("/reports/daily/{id}.{}.html", language.tag())
}

/// Today in the reports' time zone: its report covers the day so far.
pub fn today(app: &App, now: Timestamp) -> Date {
    zone(app).date(now)
}

/// The day before today, where reports count their days.
///
/// # Errors
/// When the clock stands at the beginning of the calendar.
pub fn yesterday(app: &App, now: Timestamp) -> Result<Date, AppError> {
    let today = zone(app).date(now);
    today.yesterday().map_err(|_| AppError::Invalid(format!("there is no day before {today}")))
}

/// What `reports.yml` says.
pub fn schedule(app: &App) -> Schedule {
    app.config().reports.clone()
}

/// Whether a role sees daily reports.
pub fn is_for(app: &App, role: Role) -> bool {
    schedule(app).daily.is_none_or(|daily| daily.audience.contains(&role))
}

/// The zone that reports count their days in.
fn zone(app: &App) -> Zone {
    schedule(app).time_zone.unwrap_or_else(|| Zone::of(&app.settings.time_zone))
}

fn tenants(app: &App) -> Vec<TenantId> {
    let mut tenants: Vec<TenantId> = app.config().tenants.keys().cloned().collect();
    tenants.push(app.settings.default_tenant.clone());
    tenants.sort();
    tenants.dedup();
    tenants
}

/// The newest day that is done with, among those that may be due.
async fn last_done(
    app: &App,
    tenant: &TenantId,
    daily: &Daily,
    zone: &Zone,
    now: Timestamp,
) -> Result<Option<Date>, AppError> {
    // With a last day long ago, `due` lists every day that may still be made up for.
    let candidates = due(daily, zone, now, Some(Date::MIN));
    for day in candidates.into_iter().rev() {
        let key = ReportKey::new(day, zone, None);
        if store::is_done(app.ports.objects.as_ref(), tenant, &key).await? {
            return Ok(Some(day));
        }
    }
    Ok(None)
}

async fn write_due(app: &App, tenant: &TenantId, day: Date, now: Timestamp) -> Result<Option<Entry>, AppError> {
    let period = Period::of(app, day, now)?;
    let key = period.key(now);
    let report = figures(app, tenant, &period, now).await?;
    let objects = app.ports.objects.as_ref();
    if report.is_empty() {
        store::mark_empty(objects, tenant, &key).await?;
        return Ok(None);
    }
    mail::announce(app, tenant, &key, now).await?;
    store::save(objects, tenant, &key, report).await?;
    tracing::info!(tenant = tenant.as_str(), report = key.id(), "daily report written");
    Ok(Some(period.entry(&key, now)))
}

/// A day, the day before it, and how far it has come.
#[derive(Clone, Debug)]
struct Period {
    date: Date,
    zone: Zone,
    day: TimeRange,
    before: TimeRange,
    is_over: bool,
}

impl Period {
    fn of(app: &App, date: Date, now: Timestamp) -> Result<Self, AppError> {
        let zone = zone(app);
        let range =
            |date: Date| zone.day(date).ok_or_else(|| AppError::Invalid(format!("day {date} is not in the calendar")));
        let day = range(date)?;
        let before = range(date.yesterday().map_err(|_| AppError::Invalid(format!("there is no day before {date}")))?)?;
        if now < day.start {
            return Err(AppError::Invalid(format!("day {date} has not begun in {}", zone.name())));
        }
        Ok(Self { date, day, before, is_over: now > day.end + SETTLED_AFTER, zone })
    }

    fn key(&self, now: Timestamp) -> ReportKey {
        ReportKey::new(self.date, &self.zone, (!self.is_over).then_some(now))
    }

    fn entry(&self, key: &ReportKey, now: Timestamp) -> Entry {
        let zone = self.zone.name().to_owned();
        Entry { id: key.id(), date: self.date, zone, is_final: self.is_over, made_at: (!self.is_over).then_some(now) }
    }

    /// How far the curves of the day before are moved to lie below those of the day.
    fn shift_ms(&self) -> i64 {
        self.day.start.as_millis() - self.before.start.as_millis()
    }
}

/// Loads a day and puts it into figures.
async fn figures(app: &App, tenant: &TenantId, period: &Period, now: Timestamp) -> Result<DailyReport, AppError> {
    let until_now = TimeRange::new(period.day.start, period.day.end.min(now));
    let load = |panel: &'static panels::Panel| async move {
        let day = panels::course(app, tenant, panel, until_now, STEP, now).await?;
        let before = panels::course(app, tenant, panel, period.before, STEP, now).await?;
        Ok::<_, AppError>((panel.part, figures_of(panel, &day, &before, period)))
    };
    let (mut resources, mut metrics) = (Vec::new(), Vec::new());
    for loaded in join_all(PANELS.iter().map(load)).await {
        let (part, panel) = loaded?;
        match part {
            _ if panel.series.is_empty() => {}
            Part::Resources => resources.push(panel),
            Part::Performance => metrics.push(panel),
        }
    }
    Ok(DailyReport {
        format: FORMAT,
        tenant: tenant.to_string(),
        date: period.date.to_string(),
        time_zone: period.zone.name().to_owned(),
        start_ms: period.day.start.as_millis(),
        end_ms: period.day.end.as_millis(),
        made_at_ms: now.as_millis(),
        is_final: period.is_over,
        alerts: alert_statistics(app, tenant, period, until_now, now).await?,
        on_call: on_call::of(history::worth(app, tenant, until_now, now).await?),
        resources,
        metrics,
    })
}

/// The alerts of the day, beside those of the day before.
async fn alert_statistics(
    app: &App,
    tenant: &TenantId,
    period: &Period,
    until_now: TimeRange,
    now: Timestamp,
) -> Result<AlertStatistics, AppError> {
    let changes = alerts::history(app, tenant, until_now, now).await?;
    let before = alerts::history(app, tenant, period.before, now).await?;
    let active = alerts::active(app, tenant, now).await?;
    let firing = active.into_iter().filter(|alert| alert.state == AlertState::Firing);
    let firing_now: Vec<FiringNow> =
        firing.map(|alert| FiringNow { labels: alert.labels, since: alert.active_at }).collect();
    Ok(statistics::of(&changes, &firing_now, Some(&before), until_now))
}

fn figures_of(panel: &panels::Panel, day: &Course, before: &Course, period: &Period) -> Panel {
    let names = [Language::Japanese, Language::English].map(|language| panels::names(day, language));
    let is_single = day.series.len() == 1;
    let series = |(index, found): (usize, &Found)| {
        let earlier = before.series.iter().find(|earlier| earlier.is_same_series(found));
        let ghost = earlier.filter(|_| is_single).map_or(&[][..], |earlier| &earlier.points);
        PanelSeries {
            name_ja: names[0][index].clone(),
            name_en: names[1][index].clone(),
            points: as_json(&found.points, 0),
            stats: Stats::of(&found.points),
            mean_day_before: earlier.and_then(|earlier| Stats::of(&earlier.points)).map(|stats| stats.mean),
            over_warning_seconds: panel.limits.map(|(warning, _)| seconds_over(&found.points, warning)),
            over_critical_seconds: panel.limits.map(|(_, critical)| seconds_over(&found.points, critical)),
            points_day_before: as_json(ghost, period.shift_ms()),
        }
    };
    Panel {
        key: panel.key.to_owned(),
        title_ja: panel.title.in_language(Language::Japanese).to_owned(),
        title_en: panel.title.in_language(Language::English).to_owned(),
        unit: panel.unit,
        gap_ms: u64::try_from((STEP + STEP / 2).as_millis()).expect("a step is short"),
        reach: panel.reach,
        warning: panel.limits.map(|(warning, _)| warning),
        critical: panel.limits.map(|(_, critical)| critical),
        series: day.series.iter().enumerate().map(series).collect(),
        series_left_out: day.left_out,
    }
}

fn as_json(points: &[(Timestamp, f64)], shift_ms: i64) -> Vec<(i64, Option<f64>)> {
    let value = |value: f64| value.is_finite().then_some(value);
    points.iter().map(|&(time, point)| (time.as_millis() + shift_ms, value(point))).collect()
}

/// How long a series was above a limit: each point stands for one step.
fn seconds_over(points: &[(Timestamp, f64)], limit: f64) -> u64 {
    let over = points.iter().filter(|(_, value)| *value > limit).count();
    u64::try_from(over).unwrap_or(u64::MAX).saturating_mul(STEP.as_secs())
}

#[cfg(test)]
mod tests;

//! The daily report: one model, written as JSON for machines and as one self-contained page for people.
//!
//! The JSON is the model itself and speaks no language; the page carries its style inside, has no script and prints.

mod mail;
mod on_call;

use std::time::Duration;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use model::{Language, TimeRange, Timestamp};
use serde::{Deserialize, Serialize};

use crate::chart::{self, Chart, Line, Stats, Threshold};
use crate::i18n::Text;
use crate::page::mark;
use crate::state::State;
use crate::unit::{Unit, signed};
use crate::{Reader, Zone, assets};

pub use mail::mail;
pub use on_call::{OnCallStatistics, ResponseStatistics, RuleWorth};

/// The version of the report's JSON.
pub const FORMAT: u32 = 1;

/// A mean that differs from the day before by less than this part of itself has not changed.
const UNCHANGED_PART: f64 = 0.005;

/// A day in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DailyReport {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose day.
    pub tenant: String,
    /// Which day, `2026-11-21`.
    pub date: String,
    /// The zone that the day is counted in.
    pub time_zone: String,
    /// The first millisecond of the period, since the epoch.
    pub start_ms: i64,
    /// The last millisecond of the period.
    pub end_ms: i64,
    /// When the report was made; before the end of the period when the day was not over.
    pub made_at_ms: i64,
    /// Whether the day was over, and its last samples had arrived, when the report was made.
    pub is_final: bool,
    /// Alerts of the day.
    pub alerts: AlertStatistics,
    /// How people answered them; nothing in reports that are older than this field.
    #[serde(default)]
    pub on_call: OnCallStatistics,
    /// How much of each resource was used.
    pub resources: Vec<Panel>,
    /// The main metrics of performance.
    pub metrics: Vec<Panel>,
}

/// How many alerts there were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertStatistics {
    /// How often an alert began to fire.
    pub fired: u64,
    /// How often one ended.
    pub resolved: u64,
    /// How many fired at the end of the period.
    pub still_firing: u64,
    /// How often an alert began to fire on the day before; `None` when nothing is known about it.
    pub fired_day_before: Option<u64>,
    /// The same for each alert rule, the longest firing first.
    pub rules: Vec<RuleStatistics>,
}

/// How often and how long one alert rule fired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RuleStatistics {
    /// The label `alertname`.
    pub name: String,
    /// The label `severity`.
    pub severity: String,
    /// How often one of its alerts began to fire.
    pub fired: u64,
    /// Time that its alerts fired, added up, in seconds.
    pub firing_seconds: u64,
    /// The longest stretch, in seconds.
    pub longest_seconds: u64,
    /// How many of its alerts fired at the end of the period.
    pub still_firing: u64,
}

/// One thing that was measured over the day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Panel {
    /// Names it in the JSON and in the configuration: `cpu`, `memory`.
    pub key: String,
    /// Its title in Japanese.
    pub title_ja: String,
    /// Its title in English.
    pub title_en: String,
    /// What its values measure.
    pub unit: Unit,
    /// Points further apart than this are not joined, in milliseconds.
    pub gap_ms: u64,
    /// For levels, what the axis reaches up to.
    pub reach: Option<f64>,
    /// Above which value it is worrying, if it ever is.
    pub warning: Option<f64>,
    /// Above which value it is critical, if it ever is.
    pub critical: Option<f64>,
    /// The series, the most important first.
    pub series: Vec<PanelSeries>,
    /// How many further series there were.
    pub series_left_out: usize,
}

/// One series of a panel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PanelSeries {
    /// What it is called, in Japanese.
    pub name_ja: String,
    /// What it is called, in English.
    pub name_en: String,
    /// Milliseconds since the epoch, and value; no value is a gap.
    pub points: Vec<(i64, Option<f64>)>,
    /// Its figures; `None` without a value.
    pub stats: Option<Stats>,
    /// The mean of the day before.
    pub mean_day_before: Option<f64>,
    /// Seconds above the warning threshold.
    pub over_warning_seconds: Option<u64>,
    /// Seconds above the critical threshold.
    pub over_critical_seconds: Option<u64>,
    /// The course of the day before, moved by a day, where it is drawn for comparison.
    pub points_day_before: Vec<(i64, Option<f64>)>,
}

impl DailyReport {
    /// Whether there is nothing to report: no series, no alert and no answer.
    pub fn is_empty(&self) -> bool {
        let panels = || self.resources.iter().chain(&self.metrics);
        panels().all(|panel| panel.series.is_empty()) && self.alerts.rules.is_empty() && self.on_call.is_empty()
    }

    /// The report as JSON.
    ///
    /// # Panics
    /// Never: the model has only text keys and finite numbers.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report has text keys and finite numbers only")
    }

    fn range(&self) -> TimeRange {
        TimeRange::new(Timestamp::from_millis(self.start_ms), Timestamp::from_millis(self.end_ms))
    }

    fn made_at(&self) -> Timestamp {
        Timestamp::from_millis(self.made_at_ms)
    }
}

impl Panel {
    fn title(&self, language: Language) -> &str {
        match language {
            Language::Japanese => &self.title_ja,
            Language::English => &self.title_en,
        }
    }

    fn thresholds(&self) -> Vec<Threshold> {
        let threshold = |severity: State, value: Option<f64>| value.map(|value| Threshold { severity, value });
        [threshold(State::Warning, self.warning), threshold(State::Critical, self.critical)]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl PanelSeries {
    fn name(&self, language: Language) -> &str {
        match language {
            Language::Japanese => &self.name_ja,
            Language::English => &self.name_en,
        }
    }
}

/// The report as one self-contained page.
pub fn page(report: &DailyReport, language: Language) -> String {
    let zone = Zone::named(&report.time_zone).unwrap_or_else(|_| Zone::utc());
    let reader = Reader { language, zone, now: report.made_at() };
    let title = format!("{} {} · Mihari", reader.text(Text::ReportTitle), report.date);
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(assets::REPORT_STYLE)) }
            }
            body { main {
                (head(report, &reader))
                h2 { (reader.text(Text::PerformanceSummary)) }
                (summary(report, &reader))
                h2 { (reader.text(Text::AlertStatistics)) }
                (alert_statistics(&report.alerts, &reader))
                (on_call::section(&report.on_call, &reader))
                (panels(Text::ResourceUsage, &report.resources, report, &reader))
                (panels(Text::MainMetrics, &report.metrics, report, &reader))
                footer { p { "Mihari · " (report.tenant) " · " (report.date) " · " (report.time_zone) } }
            } }
        }
    }
    .into_string()
}

fn head(report: &DailyReport, reader: &Reader) -> Markup {
    let range = report.range();
    let period = format!("{} – {}", reader.zone.date_time(range.start), reader.zone.date_time(range.end));
    let made_at = format!("{} {}", reader.zone.date_time(reader.now), reader.zone.offset(reader.now));
    html! {
        header {
            div.title {
                h1 { (mark()) (reader.text(Text::ReportTitle)) }
                time.day datetime=(report.date) { (report.date) }
            }
            dl.facts {
                div { dt { (reader.text(Text::Tenant)) } dd { (report.tenant) } }
                div { dt { (reader.text(Text::ReportPeriod)) } dd { (period) " (" (report.time_zone) ", " (reader.zone.offsets(range)) ")" } }
                div { dt { (reader.text(Text::ReportGenerated)) } dd { (made_at) } }
                div { dd { (reader.text(Text::ReportAudience)) } }
            }
            @if !report.is_final {
                p.is-warning { (State::Pending.icon()) (reader.fill(Text::ReportSoFarNote, &[&reader.zone.time(reader.now)])) }
            }
            (verdict(report, reader))
        }
    }
}

/// The day in a sentence or two.
fn verdict(report: &DailyReport, reader: &Reader) -> Markup {
    let state = if report.is_empty() {
        State::Unknown
    } else if exceeded(report).next().is_none() {
        State::Ok
    } else {
        State::Critical
    };
    html! { p.verdict.(state.class()) { (state.icon()) span { (verdict_text(report, reader)) } } }
}

fn verdict_text(report: &DailyReport, reader: &Reader) -> String {
    let names: Vec<&str> = exceeded(report).map(|panel| panel.title(reader.language)).collect();
    if report.is_empty() {
        reader.text(Text::ReportNoData).to_owned()
    } else if names.is_empty() {
        reader.text(Text::SummaryQuiet).to_owned()
    } else {
        reader.fill(Text::SummaryExceeded, &[&names.join(", ")])
    }
}

/// What was above its critical threshold.
fn exceeded(report: &DailyReport) -> impl Iterator<Item = &Panel> {
    let is_over = |series: &PanelSeries| series.over_critical_seconds.is_some_and(|seconds| seconds > 0);
    report.resources.iter().chain(&report.metrics).filter(move |panel| panel.series.iter().any(is_over))
}

fn summary(report: &DailyReport, reader: &Reader) -> Markup {
    let heads = [Text::Mean, Text::Percentile95, Text::Maximum, Text::DayBefore, Text::ChangeFromDayBefore];
    html! {
        div.scroll role="group" tabindex="0" aria-label=(reader.text(Text::PerformanceSummary)) {
            table {
                thead { tr {
                    th scope="col" { (reader.text(Text::Metric)) }
                    @for key in heads { th.amount scope="col" { (reader.text(key)) } }
                    th scope="col" { (reader.text(Text::OverThreshold)) }
                } }
                tbody {
                    @for panel in report.resources.iter().chain(&report.metrics) {
                        @for series in &panel.series { (summary_row(panel, series, reader)) }
                    }
                }
            }
        }
    }
}

fn summary_row(panel: &Panel, series: &PanelSeries, reader: &Reader) -> Markup {
    let figure = |pick: fn(&Stats) -> f64| panel.unit.format(series.stats.as_ref().map_or(f64::NAN, pick));
    html! {
        tr {
            th scope="row" { (panel.title(reader.language)) " " span.soft { (series.name(reader.language)) } }
            td.amount { (figure(|stats| stats.mean)) }
            td.amount { (figure(|stats| stats.p95)) }
            td.amount { (figure(|stats| stats.max)) }
            td.amount { (panel.unit.format(series.mean_day_before.unwrap_or(f64::NAN))) }
            td.amount { (change(panel.unit, series, reader)) }
            td { (over_thresholds(panel, series, reader)) }
        }
    }
}

/// The mean against the day before: in percent points for a percentage, in percent of itself for all else.
fn change(unit: Unit, series: &PanelSeries, reader: &Reader) -> String {
    let (Some(stats), Some(before)) = (&series.stats, series.mean_day_before) else { return "–".to_owned() };
    let difference = stats.mean - before;
    if difference.abs() <= UNCHANGED_PART * before.abs().max(stats.mean.abs()) {
        return reader.text(Text::Unchanged).to_owned();
    }
    match unit {
        Unit::Percent => points(difference, reader),
        Unit::Bytes | Unit::BytesPerSecond | Unit::Seconds | Unit::PerSecond | Unit::Count if before.abs() > 0.0 => {
            signed(&Unit::Percent.format(100.0 * difference / before.abs())).into_owned()
        }
        Unit::Bytes | Unit::BytesPerSecond | Unit::Seconds | Unit::PerSecond | Unit::Count => "–".to_owned(),
    }
}

/// A difference of two percentages, with as many decimals as it needs to be seen.
fn points(difference: f64, reader: &Reader) -> String {
    let decimals = if difference.abs() >= 0.095 { 1 } else { 3 };
    let number = format!("{difference:+.decimals$}").replace('-', "−");
    let unit = match reader.language {
        Language::Japanese => " ポイント",
        Language::English => " pp",
    };
    format!("{number}{unit}")
}

fn over_thresholds(panel: &Panel, series: &PanelSeries, reader: &Reader) -> Markup {
    let limits = [
        (State::Critical, panel.critical, series.over_critical_seconds),
        (State::Warning, panel.warning, series.over_warning_seconds),
    ];
    let over =
        |state: State, value: Option<f64>, seconds: Option<u64>| Some((state, value?, seconds.filter(|&s| s > 0)?));
    let exceeded: Vec<_> =
        limits.into_iter().filter_map(|(state, value, seconds)| over(state, value, seconds)).collect();
    html! {
        @if panel.warning.is_none() && panel.critical.is_none() { span.soft { "–" } }
        @else if exceeded.is_empty() { span.is-ok { (State::Ok.icon()) (reader.text(Text::NotExceeded)) } }
        @for (state, value, seconds) in exceeded {
            div.(state.class()) {
                (state.icon())
                (reader.fill(Text::OverFor, &[&panel.unit.format_round(value), &reader.span(Duration::from_secs(seconds))]))
            }
        }
    }
}

fn alert_statistics(alerts: &AlertStatistics, reader: &Reader) -> Markup {
    if alerts.rules.is_empty() {
        return html! { p.is-ok { (State::Ok.icon()) (reader.text(Text::AlertsNone)) } };
    }
    html! {
        p {
            b { (reader.text(Text::AlertsFired)) " " (alerts.fired) }
            " · " (reader.text(Text::AlertsResolved)) " " (alerts.resolved)
            " · " (reader.text(Text::AlertsStillFiring)) " " (alerts.still_firing)
            @if let Some(before) = alerts.fired_day_before { span.soft { " · " (against_day_before(alerts.fired, before, reader)) } }
        }
        div.scroll role="group" tabindex="0" aria-label=(reader.text(Text::AlertStatistics)) {
            table {
                thead { tr {
                    th scope="col" { (reader.text(Text::Alert)) }
                    th scope="col" { (reader.text(Text::Severity)) }
                    @for key in [Text::AlertsFired, Text::FiringTime, Text::LongestFiring, Text::AlertsStillFiring] {
                        th.amount scope="col" { (reader.text(key)) }
                    }
                } }
                tbody { @for rule in &alerts.rules { (rule_row(rule, reader)) } }
            }
        }
    }
}

fn rule_row(rule: &RuleStatistics, reader: &Reader) -> Markup {
    html! {
        tr {
            th scope="row" { (rule.name) }
            td { (State::of_severity(&rule.severity).badge(reader.language)) }
            td.amount { (rule.fired) }
            td.amount { (reader.span(Duration::from_secs(rule.firing_seconds))) }
            td.amount { (reader.span(Duration::from_secs(rule.longest_seconds))) }
            td.amount { (rule.still_firing) }
        }
    }
}

fn against_day_before(fired: u64, before: u64, reader: &Reader) -> String {
    match fired.cmp(&before) {
        std::cmp::Ordering::Equal => reader.text(Text::AlertsSame).to_owned(),
        std::cmp::Ordering::Greater => reader.fill(Text::AlertsMore, &[&(fired - before).to_string()]),
        std::cmp::Ordering::Less => reader.fill(Text::AlertsFewer, &[&(before - fired).to_string()]),
    }
}

fn panels(title: Text, panels: &[Panel], report: &DailyReport, reader: &Reader) -> Markup {
    html! {
        h2 { (reader.text(title)) }
        @if panels.is_empty() { p.soft { (reader.text(Text::ReportNoData)) } }
        @for panel in panels { div.panel { (chart::figure(&chart_of(panel, report, reader), reader, 3)) } }
    }
}

fn chart_of(panel: &Panel, report: &DailyReport, reader: &Reader) -> Chart {
    let points = |points: &[(i64, Option<f64>)]| -> Vec<(Timestamp, f64)> {
        points.iter().map(|&(time, value)| (Timestamp::from_millis(time), value.unwrap_or(f64::NAN))).collect()
    };
    let mut lines = Vec::new();
    for series in &panel.series {
        let name = series.name(reader.language);
        lines.push(Line { name: name.to_owned(), points: points(&series.points), is_ghost: false });
        if !series.points_day_before.is_empty() {
            let name = reader.fill(Text::MeanLine, &[name]);
            lines.push(Line { name, points: points(&series.points_day_before), is_ghost: true });
        }
    }
    let left_out = panel.series_left_out;
    Chart {
        id: panel.key.clone(),
        title: panel.title(reader.language).to_owned(),
        unit: panel.unit,
        range: report.range(),
        gap: Duration::from_millis(panel.gap_ms),
        lines,
        thresholds: panel.thresholds(),
        reach: panel.reach,
        note: (left_out > 0).then(|| reader.fill(Text::SeriesLeftOut, &[&left_out.to_string()])),
    }
}

//! The overview: what is wrong, how much of everything is used, what comes in.

use maud::{Markup, html};
use model::Timestamp;

use super::alerts::ActiveAlert;
use super::{Frame, Page, scrolling, section};
use crate::chart::{self, Chart, Threshold, short};
use crate::state::State;
use crate::{Reader, Text, Unit};

/// So many firing alerts are shown, the worst first: more would push the current values out of sight.
const FIRING_MAX: usize = 4;

/// What the overview shows.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Alerts that fire, the most severe first.
    pub firing: Vec<ActiveAlert>,
    /// How many alerts wait for their time.
    pub pending_count: usize,
    /// How many alert rules there are.
    pub rule_count: usize,
    /// How many rules cannot be evaluated.
    pub failing_count: usize,
    /// Current values of the main resources.
    pub tiles: Vec<Tile>,
    /// What comes in and what is kept.
    pub intake: Intake,
    /// Charts of resources.
    pub resources: Vec<Chart>,
    /// Charts of performance.
    pub performance: Vec<Chart>,
    /// What is wrong with the newest configuration files, while the ones before are in force.
    pub config_errors: Vec<String>,
    /// Panels that could not be loaded: title and reason.
    pub failures: Vec<(String, String)>,
}

/// The current value of one resource.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Which resource.
    pub label: String,
    /// What its values measure.
    pub unit: Unit,
    /// One value, or some with a name each (read, write); none while there is no value.
    pub readings: Vec<(String, f64)>,
    /// For levels: the value that fills the bar.
    pub full: Option<f64>,
    /// Where the value starts to be worrying.
    pub thresholds: Vec<Threshold>,
    /// A remark, such as the amount behind the percentage.
    pub detail: String,
}

/// What comes in and what is kept.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    /// Series that received a sample of late.
    pub series: Option<f64>,
    /// Samples a second.
    pub samples_per_second: Option<f64>,
    /// The newest sample there is.
    pub newest: Option<Timestamp>,
    /// Bytes of everything kept.
    pub storage_bytes: Option<f64>,
    /// Bytes of storage for one sample.
    pub bytes_per_sample: Option<f64>,
    /// Who sends, the stalest first.
    pub sources: Vec<Source>,
    /// How many further sources are not listed.
    pub sources_left_out: usize,
    /// Where a sender is pointed at.
    pub write_url: String,
}

/// One sender, as its labels `job` and `instance` name it.
#[derive(Clone, Debug)]
pub struct Source {
    /// The label `job`.
    pub job: String,
    /// The label `instance`.
    pub instance: String,
    /// How many series it sends.
    pub series: f64,
    /// When its newest sample was measured.
    pub newest: Timestamp,
    /// Whether it answers scrapes, where `up` says so.
    pub is_up: Option<bool>,
}

/// A sample may be this old before its sender counts as late: two intervals of a minute.
const LATE_SECONDS: u64 = 150;
/// A sender that was silent for longer than the lookback has gone.
const GONE_SECONDS: u64 = 300;

impl Tile {
    /// How bad the worst reading is; nothing is said where all is well.
    fn state(&self) -> Option<State> {
        let worst = self.readings.iter().map(|(_, value)| *value).fold(f64::NAN, f64::max);
        let exceeded = self.thresholds.iter().filter(|threshold| worst > threshold.value);
        exceeded.map(|threshold| threshold.severity).min()
    }
}

/// The content of the overview.
pub fn content(overview: &Overview, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    html! {
        (alert_summary(overview, frame))
        (super::config_problems(&overview.config_errors, reader))
        (section("now", reader.text(Text::CurrentValues), &html! {
            ul.tiles { @for tile in &overview.tiles { (tile_card(tile, reader)) } }
            (intake_figures(&overview.intake, reader))
        }))
        @for (title, reason) in &overview.failures {
            p.failure { (State::Failing.icon()) b { (title) } " " (reader.fill(Text::PanelFailed, &[reason])) }
        }
        (chart_section("resources", Text::ResourcesSection, &overview.resources, reader))
        (chart_section("performance", Text::PerformanceSection, &overview.performance, reader))
        (section("receiving", reader.text(Text::ReceivingSection), &sources(&overview.intake, reader)))
    }
}

fn alert_summary(overview: &Overview, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let firing = overview.firing.len();
    let (class, state) = if firing == 0 { ("all-well", State::Ok) } else { ("trouble", State::Firing) };
    let headline = match firing {
        0 => reader.text(Text::NothingFiring).to_owned(),
        count => reader.fill(Text::AlertsFiring, &[&count.to_string()]),
    };
    html! {
        section.summary.(class) aria-labelledby="alerts-heading" {
            div.headline {
                (state.icon())
                h2 #alerts-heading { (headline) }
                p.counts {
                    span { (reader.fill(Text::RulesWatching, &[&overview.rule_count.to_string()])) }
                    @if overview.pending_count > 0 {
                        span.is-warning { (State::Pending.icon()) (reader.fill(Text::PendingCount, &[&overview.pending_count.to_string()])) }
                    }
                    @if overview.failing_count > 0 {
                        span.is-critical { (State::Failing.icon()) (reader.fill(Text::FailingCount, &[&overview.failing_count.to_string()])) }
                    }
                }
                @if frame.pages.contains(&Page::Alerts) { a href=(Page::Alerts.path()) { (reader.text(Text::AllAlerts)) } }
            }
            @if firing > 0 {
                ul.firing { @for alert in overview.firing.iter().take(FIRING_MAX) { li { (super::alerts::brief(alert, reader)) } } }
            }
            @if firing > FIRING_MAX { p.soft.more { (reader.fill(Text::MoreAlerts, &[&(firing - FIRING_MAX).to_string()])) } }
        }
    }
}

fn tile_card(tile: &Tile, reader: &Reader) -> Markup {
    let state = tile.state();
    html! {
        li.tile.(state.map_or("", State::class)) {
            p.tile-label { (tile.label) @if let Some(state) = state { " " (state.badge(reader.language)) } }
            @if tile.readings.is_empty() {
                p.reading.nothing { "–" }
                p.detail { (reader.text(Text::WaitingForSecondCollection)) }
            } @else {
                div.readings {
                    @for (name, value) in &tile.readings {
                        p.reading {
                            @if !name.is_empty() { span.reading-name { (name) } " " }
                            (number(tile.unit, *value))
                        }
                    }
                }
                (bar(tile))
                p.detail { (tile.detail) }
            }
        }
    }
}

/// A value with its unit set smaller.
pub(crate) fn number(unit: Unit, value: f64) -> Markup {
    let text = unit.format(value);
    let split = text.find(|c: char| c.is_alphabetic() || matches!(c, ' ' | '%' | '/')).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(split);
    html! { span.number { (digits) @if !suffix.is_empty() { span.unit { (suffix) } } } }
}

/// A bar that the value fills, with a notch at each threshold. The number stands above it, so it is decoration.
fn bar(tile: &Tile) -> Markup {
    let (Some(full), [(_, value)]) = (tile.full, &tile.readings[..]) else { return html! {} };
    let part = |value: f64| short((100.0 * value / full).clamp(0.0, 100.0));
    html! {
        svg.bar width="100%" height="8" aria-hidden="true" {
            rect.track x="0" y="1" width="100%" height="6" rx="3" {}
            rect.level x="0" y="1" width={ (part(*value)) "%" } height="6" rx="3" {}
            @for threshold in &tile.thresholds {
                rect.notch.(threshold.severity.class()) x={ (part(threshold.value)) "%" } y="0" width="2" height="8" {}
            }
        }
    }
}

fn intake_figures(intake: &Intake, reader: &Reader) -> Markup {
    let value = |unit: Unit, value: Option<f64>| unit.format(value.unwrap_or(f64::NAN));
    let newest = intake.newest.map_or_else(|| reader.text(Text::NotYet).to_owned(), |time| reader.ago(time));
    let figures = [
        (Text::NewestSample, newest),
        (Text::ActiveSeries, value(Unit::Count, intake.series)),
        (Text::SamplesPerSecond, value(Unit::PerSecond, intake.samples_per_second)),
        (Text::StorageUsed, value(Unit::Bytes, intake.storage_bytes)),
        (Text::BytesPerSample, value(Unit::Bytes, intake.bytes_per_sample)),
    ];
    html! {
        dl.figures-row {
            @for (key, figure) in figures { div { dt { (reader.text(key)) } dd { (figure) } } }
        }
    }
}

fn chart_section(id: &str, title: Text, charts: &[Chart], reader: &Reader) -> Markup {
    if charts.is_empty() {
        return html! {};
    }
    section(
        id,
        reader.text(title),
        &html! {
            div.charts { @for chart in charts { (chart::figure(chart, reader, 3)) } }
        },
    )
}

fn sources(intake: &Intake, reader: &Reader) -> Markup {
    if intake.sources.is_empty() {
        return html! { p.empty-note { (reader.fill(Text::NoSources, &[&intake.write_url])) } };
    }
    let name = reader.text(Text::ReceivingSection);
    html! {
        (scrolling(name, &html! {
            table.sources {
                caption.unseen { (name) }
                thead { tr {
                    th scope="col" { (reader.text(Text::Job)) }
                    th scope="col" { (reader.text(Text::Instance)) }
                    th scope="col" { (reader.text(Text::Freshness)) }
                    th.amount scope="col" { (reader.text(Text::SeriesCount)) }
                    th scope="col" { (reader.text(Text::Up)) }
                } }
                tbody { @for source in &intake.sources { (source_row(source, reader)) } }
            }
        }))
        @if intake.sources_left_out > 0 {
            p.note { (reader.fill(Text::SourcesLeftOut, &[&intake.sources_left_out.to_string()])) }
        }
    }
}

fn source_row(source: &Source, reader: &Reader) -> Markup {
    let age = reader.now.since(source.newest);
    let (state, word) = match age.as_secs() {
        0..LATE_SECONDS => (State::Ok, Text::FreshNow),
        LATE_SECONDS..GONE_SECONDS => (State::Warning, Text::FreshLate),
        _ => (State::Critical, Text::FreshGone),
    };
    html! {
        tr {
            th scope="row" { (source.job) }
            td { (source.instance) }
            td.when.(state.class()) { (state.icon()) (reader.text(word)) span.soft { " · " (reader.ago(source.newest)) } }
            td.amount { (Unit::Count.format(source.series)) }
            td.when { @match source.is_up {
                Some(true) => span.is-ok { (State::Ok.icon()) (reader.text(Text::UpYes)) },
                Some(false) => span.is-critical { (State::Critical.icon()) (reader.text(Text::UpNo)) },
                None => span.soft { "–" },
            } }
        }
    }
}

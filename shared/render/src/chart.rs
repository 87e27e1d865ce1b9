//! Line charts, drawn as SVG on the server.
//!
//! The plot has no fixed width: horizontal places are percentages and the curves lie in a nested `viewBox` that is
//! stretched to the plot, so that text keeps its size from a phone to a wall. A chart never joins points across a gap.
//! Colour, dash pattern and legend tell the series apart; a table says the same as the picture; the points travel in
//! `data-chart` for the script that reads values out under the pointer.

mod axis;
mod curve;
pub mod picture;
mod stats;
mod table;

use std::time::Duration;

use maud::{Markup, html};
use model::{TimeRange, Timestamp};

use crate::state::State;
use crate::{Reader, Text, Unit};

pub use stats::Stats;

use axis::Axis;

/// A chart of some series over a range of time.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Names the chart within its page: ASCII letters, digits and `-`.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What its values measure.
    pub unit: Unit,
    /// From the left to the right end of the time axis.
    pub range: TimeRange,
    /// Points further apart than this are not joined: there is a gap.
    pub gap: Duration,
    /// The series, the most important first.
    pub lines: Vec<Line>,
    /// Where values start to be worrying.
    pub thresholds: Vec<Threshold>,
    /// The value axis reaches at least up to here: 100 for a level in percent.
    pub reach: Option<f64>,
    /// A remark under the legend, such as how many series were left out.
    pub note: Option<String>,
}

/// One series of a chart.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// Its values in order of time; no number means a gap.
    pub points: Vec<(Timestamp, f64)>,
    /// Drawn thin and grey: the day before, for comparison.
    pub is_ghost: bool,
}

/// A value above which something is wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// How wrong.
    pub severity: State,
    /// Above which value.
    pub value: f64,
}

/// Most series of one chart: as many as there are colours and dash patterns.
pub const LINES_MAX: usize = 8;

/// Height of the plot in pixels.
pub(crate) const HEIGHT: f64 = 168.0;
/// Width of the stretched field that the curves are drawn in.
pub(crate) const FIELD_WIDTH: f64 = 1000.0;
/// Marks of the time axis that fit on a phone.
const TIME_MARKS_MAX: usize = 6;

/// A chart as a figure, with its heading at a level of 2 to 6.
pub fn figure(chart: &Chart, reader: &Reader, heading_level: u8) -> Markup {
    let axis = Axis::of(chart);
    html! {
        figure.chart id=(chart.id) data-chart=(readout(chart, &axis, reader)) {
            figcaption { (heading(heading_level, &chart.title)) }
            div.frame data-frame role="group" aria-label=(chart.title) { (plot(chart, &axis, reader)) }
            (legend(chart))
            @if let Some(note) = &chart.note { p.note { (note) } }
            (table::alternative(chart, reader))
        }
    }
}

/// A heading of a level.
pub(crate) fn heading(level: u8, text: &str) -> Markup {
    match level {
        2 => html! { h2 { (text) } },
        3 => html! { h3 { (text) } },
        4 => html! { h4 { (text) } },
        _ => html! { h5 { (text) } },
    }
}

fn plot(chart: &Chart, axis: &Axis, reader: &Reader) -> Markup {
    let (title, description) = (format!("{}-title", chart.id), format!("{}-desc", chart.id));
    html! {
        svg.plot role="img" height=(HEIGHT) aria-labelledby={ (title) " " (description) } {
            title id=(title) { (chart.title) }
            desc id=(description) { (describe(chart, reader)) }
            (value_marks(axis))
            (time_marks(chart, reader))
            (curves(chart, axis))
            (threshold_lines(chart, axis, reader))
            @if chart.is_empty() {
                text.empty x="50%" y=(HEIGHT / 2.0) { (reader.text(Text::NoDataInRange)) }
            }
            g.cursor data-keep {}
        }
    }
}

fn value_marks(axis: &Axis) -> Markup {
    html! {
        g.values aria-hidden="true" {
            @for (value, label) in axis.ticks.iter().zip(&axis.labels) {
                @let y = axis.y(*value);
                line x1="0" x2="100%" y1=(short(y)) y2=(short(y)) {}
                text x="-8" y=(short(y + 4.0)) { (label) }
            }
        }
    }
}

fn time_marks(chart: &Chart, reader: &Reader) -> Markup {
    html! {
        g.times aria-hidden="true" {
            @for tick in reader.zone.ticks(chart.range, TIME_MARKS_MAX) {
                @let x = 100.0 * part_of(chart.range, tick.time);
                line x1={ (short(x)) "%" } x2={ (short(x)) "%" } y1=(HEIGHT) y2=(HEIGHT + 5.0) {}
                @if x > 4.0 { text x={ (short(x)) "%" } y=(HEIGHT + 18.0) { (tick.label) } }
            }
            text.offset x="-8" y=(HEIGHT + 18.0) { (reader.zone.offset(chart.range.end)) }
        }
    }
}

fn curves(chart: &Chart, axis: &Axis) -> Markup {
    let single = chart.lines.iter().filter(|line| !line.is_ghost).count() == 1;
    html! {
        svg.field aria-hidden="true" width="100%" height=(HEIGHT) viewBox={ "0 0 " (FIELD_WIDTH) " " (HEIGHT) } preserveAspectRatio="none" {
            // The first series is the most important one and lies on top.
            @for (index, line) in chart.lines.iter().enumerate().take(LINES_MAX).rev() {
                @let class = line_class(line, index);
                @if single && !line.is_ghost { path class={ "fill " (class) } d=(curve::area(chart, line, axis)) {} }
                path class={ "line " (class) } d=(curve::path(chart, line, axis)) {}
                @let dots = curve::dots(chart, line, axis);
                @if !dots.is_empty() { path class={ "dots " (class) } d=(dots) {} }
            }
        }
    }
}

fn threshold_lines(chart: &Chart, axis: &Axis, reader: &Reader) -> Markup {
    let visible = chart.thresholds.iter().filter(|threshold| axis.holds(threshold.value));
    html! {
        g.thresholds aria-hidden="true" {
            @for threshold in visible {
                @let y = axis.y(threshold.value);
                line class=(threshold.severity.class()) x1="0" x2="100%" y1=(short(y)) y2=(short(y)) {}
                text class=(threshold.severity.class()) x="4" y=(short(y - 4.0)) {
                    (threshold.severity.text(reader.language)) " " (chart.unit.format_round(threshold.value))
                }
            }
        }
    }
}

fn legend(chart: &Chart) -> Markup {
    html! {
        ul.legend {
            @for (index, line) in chart.lines.iter().enumerate().take(LINES_MAX) {
                @let last = Stats::of(&line.points).map_or(f64::NAN, |stats| stats.last);
                li {
                    svg.swatch width="22" height="10" aria-hidden="true" {
                        line class={ "line " (line_class(line, index)) } x1="0" x2="22" y1="5" y2="5" {}
                    }
                    span.name { (line.name) }
                    @if !line.is_ghost { span.value { (chart.unit.format(last)) } }
                }
            }
        }
    }
}

/// What the picture shows, in a sentence.
fn describe(chart: &Chart, reader: &Reader) -> String {
    let lasts: Vec<String> = chart
        .lines
        .iter()
        .filter_map(|line| {
            let last = chart.unit.format(Stats::of(&line.points)?.last);
            Some(reader.fill(Text::SeriesLast, &[&line.name, &last]))
        })
        .collect();
    let from = reader.zone.date_minute(chart.range.start);
    let to = format!("{} {}", reader.zone.date_minute(chart.range.end), reader.zone.offset(chart.range.end));
    reader.fill(Text::ChartDescription, &[&from, &to, &chart.lines.len().to_string(), &lasts.join(", ")])
}

/// The points for the script: seconds from the start of the range, and one column of values for each series.
fn readout(chart: &Chart, axis: &Axis, reader: &Reader) -> String {
    let mut times: Vec<Timestamp> =
        chart.lines.iter().take(LINES_MAX).flat_map(|line| line.points.iter().map(|(time, _)| *time)).collect();
    times.sort_unstable();
    times.dedup();
    let column = |line: &Line| -> Vec<Option<f64>> {
        let mut points = line.points.iter().peekable();
        let mut value_at = |time: Timestamp| {
            while points.next_if(|(at, _)| *at < time).is_some() {}
            points.next_if(|(at, _)| *at == time).map(|(_, value)| rounded(*value))
        };
        times.iter().map(|time| value_at(*time).filter(|value| value.is_finite())).collect()
    };
    let columns: Vec<Vec<Option<f64>>> = chart.lines.iter().take(LINES_MAX).map(column).collect();
    let start = chart.range.start;
    let seconds: Vec<f64> = times.iter().map(|time| time.as_secs_f64() - start.as_secs_f64()).map(millis).collect();
    serde_json::json!({
        "from": start.as_millis(),
        "to": chart.range.end.as_millis(),
        "axis": [axis.min(), axis.max()],
        "unit": chart.unit,
        "zone": reader.zone.name(),
        "times": seconds,
        "values": columns,
    })
    .to_string()
}

impl Chart {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.lines.iter().all(|line| line.points.iter().all(|(_, value)| !value.is_finite()))
    }
}

/// The class that gives a series its colour and dash pattern.
fn line_class(line: &Line, index: usize) -> String {
    if line.is_ghost { "ghost".to_owned() } else { format!("s{}", index + 1) }
}

/// Where in a range a time lies, from 0 to 1 within it.
pub(crate) fn part_of(range: TimeRange, time: Timestamp) -> f64 {
    let span = range.end.as_secs_f64() - range.start.as_secs_f64();
    if span <= 0.0 { 0.0 } else { (time.as_secs_f64() - range.start.as_secs_f64()) / span }
}

/// A coordinate with at most two decimals.
pub(crate) fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    let trimmed = text.trim_end_matches('0').trim_end_matches('.');
    if trimmed == "-0" { "0".to_owned() } else { trimmed.to_owned() }
}

/// A value with five significant digits: finer than anybody can read off a chart.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// Seconds to the millisecond.
fn millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;

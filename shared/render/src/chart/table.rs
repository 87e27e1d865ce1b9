//! The table that says the same as a chart's picture.

use maud::{Markup, html};
use model::Timestamp;

use super::{Chart, LINES_MAX, Line, Stats};
use crate::{Reader, Text};

/// Rows of the table: enough to see the course, few enough to listen to.
const ROWS_MAX: usize = 12;

/// The figures of each series, and values at a dozen times.
pub(super) fn alternative(chart: &Chart, reader: &Reader) -> Markup {
    if chart.is_empty() {
        return html! {};
    }
    let lines = &chart.lines[..chart.lines.len().min(LINES_MAX)];
    html! {
        details.values-table {
            summary { (reader.text(Text::ShowAsTable)) }
            div.scroll role="group" tabindex="0" aria-label=(reader.fill(Text::ChartTableCaption, &[&chart.title])) {
                table {
                    caption.unseen { (reader.fill(Text::ChartTableCaption, &[&chart.title])) }
                    thead { tr {
                        th scope="col" { (reader.text(Text::Time)) " (" (reader.zone.offset(chart.range.end)) ")" }
                        @for line in lines { th scope="col" { (line.name) } }
                    } }
                    (figures(chart, lines, reader))
                    (course(chart, lines, reader))
                }
            }
        }
    }
}

fn figures(chart: &Chart, lines: &[Line], reader: &Reader) -> Markup {
    let stats: Vec<Option<Stats>> = lines.iter().map(|line| Stats::of(&line.points)).collect();
    type Figure = fn(&Stats) -> f64;
    let rows: [(Text, Figure); 4] = [
        (Text::Last, |stats| stats.last),
        (Text::Minimum, |stats| stats.min),
        (Text::Mean, |stats| stats.mean),
        (Text::Maximum, |stats| stats.max),
    ];
    html! {
        tbody.figures {
            @for (key, figure) in rows {
                tr {
                    th scope="row" { (reader.text(key)) }
                    @for stats in &stats { td { (chart.unit.format(stats.as_ref().map_or(f64::NAN, figure))) } }
                }
            }
        }
    }
}

fn course(chart: &Chart, lines: &[Line], reader: &Reader) -> Markup {
    html! {
        tbody {
            @for time in times(lines) {
                tr {
                    th scope="row" {
                        time datetime=(reader.zone.rfc3339(time)) { (reader.zone.date_time(time)) }
                    }
                    @for line in lines { td { (chart.unit.format(value_at(line, time))) } }
                }
            }
        }
    }
}

/// Up to a dozen of the times that have values, evenly picked, the newest first.
fn times(lines: &[Line]) -> Vec<Timestamp> {
    let mut times: Vec<Timestamp> = lines.iter().flat_map(|line| line.points.iter().map(|(time, _)| *time)).collect();
    times.sort_unstable();
    times.dedup();
    let stride = times.len().div_ceil(ROWS_MAX).max(1);
    times.into_iter().rev().step_by(stride).collect()
}

fn value_at(line: &Line, time: Timestamp) -> f64 {
    let found = line.points.binary_search_by_key(&time, |(at, _)| *at);
    found.map_or(f64::NAN, |index| line.points[index].1)
}

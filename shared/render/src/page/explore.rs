//! A query of one's own: typed, charted, tabulated.

use maud::{Markup, html};

use super::{Frame, scrolling, section};
use crate::chart::{self, Chart, LINES_MAX};
use crate::state::State;
use crate::{Text, Unit};

/// What the page shows.
#[derive(Clone, Debug, Default)]
pub struct Explore {
    /// The query as it was typed; empty at first.
    pub query: String,
    /// What came of it; `None` before a query was typed.
    pub outcome: Option<Outcome>,
}

/// What came of a query.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Values over the range.
    Found {
        /// The first series as curves.
        chart: Box<Chart>,
        /// All series that are listed: labels and newest value; of a native histogram its mean.
        rows: Vec<(String, f64)>,
        /// How many series the query gave.
        series_count: usize,
        /// When native histograms are shown as their means: a query for a quantile instead.
        quantile: Option<String>,
        /// Warnings and remarks of the evaluation.
        warnings: Vec<String>,
    },
    /// A message that names what is wrong and where.
    Refused(String),
}

/// Queries to start from.
const EXAMPLES: [&str; 3] = [
    "100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
    "sum by (mode) (rate(node_cpu_seconds_total[2m]))",
    "topk(5, count by (__name__) ({__name__=~\".+\"}))",
];

/// The content of the page.
pub fn content(explore: &Explore, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let range = frame.span.filter(|span| !span.parameter().is_empty());
    html! {
        form.explore method="get" action=(frame.page.path()) role="search" {
            label for="query" { (reader.text(Text::Query)) }
            textarea #query name="query" rows="2" spellcheck="false" autocapitalize="off" autocomplete="off" { (explore.query) }
            @if let Some(span) = range { input type="hidden" name="range" value=(span.parameter()); }
            button type="submit" { (reader.text(Text::RunQuery)) }
        }
        @match &explore.outcome {
            None => (examples(frame)),
            Some(Outcome::Refused(message)) => {
                div.refused role="alert" {
                    p.is-critical { (State::Failing.icon()) b { (reader.text(Text::QueryRefused)) } }
                    pre { (message) }
                }
            }
            Some(Outcome::Found { chart, rows, series_count, quantile, warnings }) => {
                (section("results", reader.text(Text::Results), &html! {
                    @for warning in warnings { p.is-warning { (State::Warning.icon()) (warning) } }
                    @if let Some(query) = quantile {
                        p.note {
                            (reader.text(Text::HistogramsAsMean)) " "
                            a href=(frame.link(&[("query", query)])) { code { (query) } }
                        }
                    }
                    div.charts.wide { (chart::figure(chart, reader, 3)) }
                    (table(rows, *series_count, frame))
                }))
            }
        }
    }
}

fn examples(frame: &Frame) -> Markup {
    html! {
        ul.examples {
            @for example in EXAMPLES {
                li { a href=(frame.link(&[("query", example)])) { code { (example) } } }
            }
        }
    }
}

fn table(rows: &[(String, f64)], series_count: usize, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let name = reader.text(Text::Series);
    html! {
        (scrolling(name, &html! {
            table {
                caption.unseen { (name) }
                thead { tr { th scope="col" { (name) } th.amount scope="col" { (reader.text(Text::Last)) } } }
                tbody { @for (labels, value) in rows {
                    tr { th scope="row" { code { (labels) } } td.amount { (Unit::Count.format(*value)) } }
                } }
            }
        }))
        @if series_count > rows.len().max(LINES_MAX) {
            p.note { (reader.fill(Text::SeriesLeftOut, &[&(series_count - rows.len()).to_string()])) }
        }
    }
}

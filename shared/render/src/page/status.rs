//! Mihari itself: what it keeps, for how long, and which process this is.

pub mod cost;

use std::time::Duration;

use maud::{Markup, html};

use super::overview::{Intake, number};
use super::{Frame, scrolling, section};
use crate::{Text, Unit};
pub use cost::Cost;

/// What the page shows.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// What is kept, one row a kind.
    pub storage: Vec<StorageRow>,
    /// What is wrong with the newest configuration files, while the ones before are in force.
    pub config_errors: Vec<String>,
    /// What comes in.
    pub intake: Intake,
    /// What it costs; `None` for who has no business with that.
    pub cost: Option<Cost>,
    /// How fast people are told of alerts, one row a source.
    pub detection: Vec<DetectionRow>,
    /// Retention and the like: name and value.
    pub retention: Vec<(String, String)>,
    /// The process: name and value.
    pub process: Vec<(String, String)>,
}

/// What is kept of one kind.
#[derive(Clone, Debug)]
pub struct StorageRow {
    /// Which kind.
    pub kind: String,
    /// How many series, where that is counted.
    pub series: Option<f64>,
    /// How many samples, where that is counted.
    pub samples: Option<f64>,
    /// How many bytes, where that is counted.
    pub size_bytes: Option<f64>,
}

/// How fast people were told of alerts from one source of samples.
#[derive(Clone, Debug)]
pub struct DetectionRow {
    /// Where the samples come from.
    pub source: String,
    /// How often somebody was told.
    pub count: usize,
    /// The time that half of them took at most.
    pub median: Duration,
    /// The longest time.
    pub longest: Duration,
}

/// The content of the page.
pub fn content(status: &Status, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let total = status.storage.iter().filter_map(|row| row.size_bytes).sum();
    html! {
        (super::config_problems(&status.config_errors, reader))
        (section("storage", reader.text(Text::Storage), &html! {
            ul.tiles {
                (figure(reader.text(Text::StorageUsed), Unit::Bytes, total))
                (figure(reader.text(Text::BytesPerSample), Unit::Bytes, status.intake.bytes_per_sample.unwrap_or(f64::NAN)))
                (figure(reader.text(Text::ActiveSeries), Unit::Count, status.intake.series.unwrap_or(f64::NAN)))
                (figure(reader.text(Text::SamplesPerSecond), Unit::PerSecond, status.intake.samples_per_second.unwrap_or(f64::NAN)))
            }
            (storage_table(status, total, frame))
        }))
        @if let Some(cost) = &status.cost {
            (section("cost", reader.text(Text::Cost), &cost::content(cost, reader)))
        }
        @if !status.detection.is_empty() {
            (section("detection", reader.text(Text::Detection), &detection(&status.detection, frame)))
        }
        (section("retention", reader.text(Text::Retention), &facts(&status.retention)))
        (section("process", reader.text(Text::Process), &facts(&status.process)))
    }
}

fn figure(label: &str, unit: Unit, value: f64) -> Markup {
    html! { li.tile { p.tile-label { (label) } p.reading { (number(unit, value)) } } }
}

fn storage_table(status: &Status, total: f64, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let name = reader.text(Text::Storage);
    let count = |value: Option<f64>| Unit::Count.format(value.unwrap_or(f64::NAN));
    scrolling(
        name,
        &html! {
            table {
                caption.unseen { (name) }
                thead { tr {
                    th scope="col" { (reader.text(Text::StorageKind)) }
                    th.amount scope="col" { (reader.text(Text::Series)) }
                    th.amount scope="col" { (reader.text(Text::Samples)) }
                    th.amount scope="col" { (reader.text(Text::Size)) }
                } }
                tbody { @for row in &status.storage {
                    tr {
                        th scope="row" { (row.kind) }
                        td.amount { (count(row.series)) }
                        td.amount { (count(row.samples)) }
                        td.amount { (Unit::Bytes.format(row.size_bytes.unwrap_or(f64::NAN))) }
                    }
                } }
                tfoot { tr {
                    th scope="row" { (reader.text(Text::Total)) }
                    td {} td {}
                    td.amount { (Unit::Bytes.format(total)) }
                } }
            }
        },
    )
}

fn facts(facts: &[(String, String)]) -> Markup {
    html! {
        dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } }
    }
}

fn detection(rows: &[DetectionRow], frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let name = reader.text(Text::Detection);
    let heads = [Text::DetectionCount, Text::DetectionMedian, Text::DetectionLongest];
    scrolling(
        name,
        &html! {
            table {
                caption.unseen { (name) }
                thead { tr {
                    th scope="col" { (reader.text(Text::DetectionSource)) }
                    @for head in heads { th.amount scope="col" { (reader.text(head)) } }
                } }
                tbody { @for row in rows { tr {
                    th scope="row" { (row.source) }
                    td.amount { (row.count) }
                    td.amount { (reader.span(row.median)) }
                    td.amount { (reader.span(row.longest)) }
                } } }
            }
        },
    )
}

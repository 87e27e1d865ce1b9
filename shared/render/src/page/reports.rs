//! The list of reports.

use maud::{Markup, html};
use model::Timestamp;

use super::{Frame, moment, scrolling, section};
use crate::Text;
use crate::state::State;

/// What the page shows.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// Daily reports, the newest day first.
    pub daily: Vec<ReportRow>,
    /// When a daily report is written, such as `00:15`; `None` when it is switched off.
    pub daily_at: Option<String>,
    /// Whether the reader's role sees none of them.
    pub is_for_others: bool,
}

/// One report.
#[derive(Clone, Debug)]
pub struct ReportRow {
    /// The day, `2026-11-21`.
    pub date: String,
    /// The zone that the day is counted in.
    pub time_zone: String,
    /// When one that is not final was made.
    pub made_at: Option<Timestamp>,
    /// Whether the day was over when it was written.
    pub is_final: bool,
    /// Its address without an ending, `/reports/daily/2026-11-21/...`.
    pub address: String,
    /// A link to its page that needs no token, for a while.
    pub link: String,
}

/// The content of the page.
pub fn content(reports: &Reports, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    if reports.is_for_others {
        let note = html! { p.empty-note { (reader.text(Text::ReportsForOthers)) } };
        return section("daily", reader.text(Text::DailyReports), &note);
    }
    let body = match (&reports.daily_at, reports.daily.is_empty()) {
        (None, true) => html! { p.empty-note { (reader.text(Text::ReportDisabled)) } },
        (Some(at), true) => html! { p.empty-note { (reader.fill(Text::NoReports, &[at])) } },
        (_, false) => table(&reports.daily, frame),
    };
    section("daily", reader.text(Text::DailyReports), &body)
}

fn table(rows: &[ReportRow], frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let name = reader.text(Text::DailyReports);
    scrolling(
        name,
        &html! {
            table.reports {
                caption.unseen { (name) }
                thead { tr {
                    th scope="col" { (reader.text(Text::ReportDate)) }
                    th scope="col" { (reader.text(Text::ReportStatus)) }
                    th scope="col" { (reader.text(Text::Formats)) }
                    } }
                tbody { @for row in rows { (report_row(row, frame)) } }
            }
        },
    )
}

fn report_row(row: &ReportRow, frame: &Frame) -> Markup {
    let reader = &frame.reader;
    let of_day = reader.fill(Text::ReportOf, &[&row.date]);
    let html_address = format!("{}.{}.html", row.address, reader.language.tag());
    let link = |address: &str, key: Text, download: bool| {
        html! {
            a href=(address) download[download] { (reader.text(key)) span.unseen { " " (of_day) } }
        }
    };
    html! {
        tr {
            th scope="row" {
                a href=(html_address) { time datetime=(row.date) { (row.date) } }
                " " span.soft { (row.time_zone) }
            }
            td { @if row.is_final {
                span.is-ok { (State::Ok.icon()) (reader.text(Text::ReportFinal)) }
            } @else {
                span.is-warning { (State::Pending.icon()) (reader.text(Text::ReportSoFar)) }
                @if let Some(time) = row.made_at { " " (moment(reader, time)) }
            } }
            td.downloads {
                (link(&html_address, Text::ReportDownloadHtml, true))
                (link(&format!("{}.json", row.address), Text::ReportDownloadJson, true))
                a href=(row.link) data-copy=(reader.text(Text::LinkCopied)) rel="noreferrer" {
                    (reader.text(Text::LinkToCopy)) span.unseen { " " (of_day) }
                }
            }
        }
    }
}

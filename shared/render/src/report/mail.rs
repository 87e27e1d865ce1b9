//! The mail that brings a finished report: the day in a few lines, and a link to the rest.

use maud::{DOCTYPE, Markup, html};
use model::Language;

use super::{DailyReport, Panel, PanelSeries, on_call, verdict_text};
use crate::chart::Stats;
use crate::i18n::Text;
use crate::notification::Mail;
use crate::{Reader, Zone};

/// Most series that the mail lists: the report has them all.
const ROWS_MAX: usize = 12;

const BODY: &str = "margin:0;padding:16px;background:#f2f3f5;color:#1d2430;\
    font-family:-apple-system,'Segoe UI','Hiragino Sans','Noto Sans JP',Meiryo,sans-serif;font-size:16px;line-height:1.6";
const BOX: &str = "max-width:640px;margin:0 auto;padding:16px 20px;background:#ffffff";
const TABLE: &str = "width:100%;border-collapse:collapse;margin:16px 0;font-size:15px";
const NAME: &str = "text-align:left;padding:6px 12px 6px 0;font-weight:normal;border-top:1px solid #dde1e7";
const AMOUNT: &str = "text-align:right;padding:6px 0 6px 12px;white-space:nowrap;border-top:1px solid #dde1e7";
const BUTTON: &str = "display:inline-block;padding:10px 18px;background:#1f5fa8;color:#ffffff;text-decoration:none;\
    border-radius:6px";
const QUIET: &str = "color:#4a5464;font-size:14px";

/// The mail for a report; `link` leads to its page without a token for `link_days` days.
pub fn mail(report: &DailyReport, link: &str, link_days: u64, language: Language) -> Mail {
    let zone = Zone::named(&report.time_zone).unwrap_or_else(|_| Zone::utc());
    let reader = Reader { language, zone, now: report.made_at() };
    let subject = format!("{} {} · Mihari", reader.text(Text::ReportTitle), report.date);
    let note = reader.fill(Text::MailReportLink, &[&link_days.to_string()]);
    let letter = Letter { report, reader: &reader, link, note: &note };
    Mail { text: letter.text(), html: letter.html(&subject).into_string(), subject }
}

struct Letter<'a> {
    report: &'a DailyReport,
    reader: &'a Reader,
    link: &'a str,
    note: &'a str,
}

impl Letter<'_> {
    fn intro(&self) -> String {
        self.reader.fill(Text::MailReportIntro, &[&self.report.date, &self.report.time_zone])
    }

    fn alerts(&self) -> String {
        let alerts = &self.report.alerts;
        let counts = [alerts.fired, alerts.resolved, alerts.still_firing].map(|count| count.to_string());
        self.reader.fill(Text::MailReportAlerts, &counts.each_ref().map(String::as_str))
    }

    /// Whether promises to answer were kept.
    fn on_call(&self) -> Option<String> {
        on_call::verdict(&self.report.on_call, self.reader).map(|(_, text)| text)
    }

    /// What was measured: the name, the mean, the greatest value.
    fn rows(&self) -> Vec<[String; 3]> {
        let panels = self.report.resources.iter().chain(&self.report.metrics);
        let series = panels.flat_map(|panel| panel.series.iter().map(move |series| (panel, series)));
        series.take(ROWS_MAX).map(|(panel, series)| self.row(panel, series)).collect()
    }

    /// How many are not listed, if any.
    fn more(&self) -> Option<String> {
        let panels = self.report.resources.iter().chain(&self.report.metrics);
        let more =
            panels.map(|panel| panel.series.len()).sum::<usize>().checked_sub(ROWS_MAX).filter(|more| *more > 0)?;
        Some(self.reader.fill(Text::MoreAlerts, &[&more.to_string()]))
    }

    fn row(&self, panel: &Panel, series: &PanelSeries) -> [String; 3] {
        let figure = |pick: fn(&Stats) -> f64| panel.unit.format(series.stats.as_ref().map_or(f64::NAN, pick));
        let name = format!("{} {}", panel.title(self.reader.language), series.name(self.reader.language));
        [name.trim_end().to_owned(), figure(|stats| stats.mean), figure(|stats| stats.max)]
    }

    fn text(&self) -> String {
        let (mean, maximum) = (self.reader.text(Text::Mean), self.reader.text(Text::Maximum));
        let mut lines = vec![self.intro(), verdict_text(self.report, self.reader), self.alerts()];
        lines.extend(self.on_call());
        lines.push(String::new());
        let row = |[name, average, top]: [String; 3]| format!("{name}: {mean} {average}, {maximum} {top}");
        lines.extend(self.rows().into_iter().map(row));
        lines.extend(self.more());
        lines.push(String::new());
        lines.push(format!("{}: {}", self.reader.text(Text::MailReportOpen), self.link));
        lines.push(format!("{}\n", self.note));
        lines.join("\n")
    }

    fn html(&self, subject: &str) -> Markup {
        html! {
            (DOCTYPE)
            html lang=(self.reader.language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    title { (subject) }
                }
                body style=(BODY) {
                    div style=(BOX) {
                        h1 style="margin:0 0 8px;font-size:20px" { (self.reader.text(Text::ReportTitle)) " " (self.report.date) }
                        p style="margin:0" { (self.intro()) }
                        p style="margin:8px 0" { (verdict_text(self.report, self.reader)) }
                        p style="margin:8px 0" { (self.alerts()) }
                        @if let Some(answers) = self.on_call() { p style="margin:8px 0" { (answers) } }
                        (self.table())
                        @if let Some(more) = self.more() { p style=(QUIET) { (more) } }
                        p { a style=(BUTTON) href=(self.link) { (self.reader.text(Text::MailReportOpen)) } }
                        p style=(QUIET) { (self.note) }
                    }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            table style=(TABLE) {
                tr {
                    th style=(NAME) scope="col" { (self.reader.text(Text::Metric)) }
                    th style=(AMOUNT) scope="col" { (self.reader.text(Text::Mean)) }
                    th style=(AMOUNT) scope="col" { (self.reader.text(Text::Maximum)) }
                }
                @for [name, mean, maximum] in self.rows() {
                    tr {
                        th style=(NAME) scope="row" { (name) }
                        td style=(AMOUNT) { (mean) }
                        td style=(AMOUNT) { (maximum) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AlertStatistics, FORMAT, OnCallStatistics, ResponseStatistics};
    use super::*;
    use crate::unit::Unit;

    fn report() -> DailyReport {
        let stats = Stats { min: 1.0, mean: 25.0, p95: 80.0, max: 93.25, last: 3.0 };
        let series = |name: &str| PanelSeries {
            name_ja: name.to_owned(),
            name_en: name.to_owned(),
            points: Vec::new(),
            stats: Some(stats),
            mean_day_before: None,
            over_warning_seconds: Some(600),
            over_critical_seconds: Some(60),
            points_day_before: Vec::new(),
        };
        let names: Vec<String> = (0..20).map(|number| format!("web-{number} <b>")).collect();
        let cpu = Panel {
            key: "cpu".to_owned(),
            title_ja: "CPU使用率".to_owned(),
            title_en: "CPU usage".to_owned(),
            unit: Unit::Percent,
            gap_ms: 1000,
            reach: None,
            warning: Some(70.0),
            critical: Some(90.0),
            series: names.iter().map(|name| series(name)).collect(),
            series_left_out: 0,
        };
        DailyReport {
            format: FORMAT,
            tenant: "default".to_owned(),
            date: "2026-11-21".to_owned(),
            time_zone: "Asia/Tokyo".to_owned(),
            start_ms: 1_795_186_800_000,
            end_ms: 1_795_273_199_999,
            made_at_ms: 1_795_274_100_000,
            is_final: true,
            alerts: AlertStatistics { fired: 3, resolved: 2, still_firing: 1, ..AlertStatistics::default() },
            on_call: OnCallStatistics {
                responses: vec![ResponseStatistics { in_time: 2, breaches: 1, ..ResponseStatistics::default() }],
                rules: Vec::new(),
            },
            resources: vec![cpu],
            metrics: Vec::new(),
        }
    }

    #[test]
    fn the_mail_says_how_the_day_was_and_where_the_rest_is() {
        let link = "https://mihari.example/r/default/2026-11-21/Asia.Tokyo/final.ja.html?e=1&s=x";
        let mails = [Language::Japanese, Language::English].map(|language| mail(&report(), link, 30, language));
        let shown = mails.each_ref().map(|mail| format!("{}\n\n{}", mail.subject, mail.text)).join("\n--------\n");
        insta::assert_snapshot!(shown);
        for mail in mails {
            assert!(mail.html.contains("final.ja.html?e=1&amp;s=x\"") && !mail.html.contains("<b>"), "{}", mail.html);
            assert_eq!(mail.html.matches("93.2%").count(), ROWS_MAX);
        }
    }
}

//! Every page in both languages: reviewed snapshots, and what must hold for each of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop where a page is malformed")]

#[path = "../examples/gallery/samples.rs"]
mod samples;

use std::collections::BTreeSet;

use model::{Language, Timestamp};
use render::page::message::{Login, Problem};
use render::page::{Page, alerts, explore, message, overview, reports, status};
use render::{Text, i18n, report};

/// Every page with invented figures; charts have few points so that a snapshot can be read.
fn documents(language: Language) -> Vec<(&'static str, String)> {
    let frame = |page: Page| samples::frame(page, language);
    let front = frame(Page::Overview);
    let final_report = samples::report(6, samples::NOW);
    let midday = Timestamp::from_millis(final_report.end_ms - 43_200_000);
    vec![
        ("overview", front.document(&overview::content(&samples::overview(&front.reader, 6), &front))),
        ("overview-empty", front.document(&overview::content(&overview::Overview::default(), &front))),
        (
            "alerts",
            frame(Page::Alerts).document(&alerts::content(
                &samples::alerts(),
                &[samples::deliveries(&frame(Page::Alerts).reader), samples::answers(&frame(Page::Alerts))],
                &frame(Page::Alerts),
            )),
        ),
        ("explore", frame(Page::Explore).document(&explore::content(&samples::explore(), &frame(Page::Explore)))),
        (
            "explore-refused",
            frame(Page::Explore).document(&explore::content(&samples::refused(), &frame(Page::Explore))),
        ),
        ("reports", frame(Page::Reports).document(&reports::content(&samples::reports(), &frame(Page::Reports)))),
        ("status", frame(Page::Status).document(&status::content(&samples::status(), &frame(Page::Status)))),
        ("login", message::login(&Login { next: "/alerts?a=1&b=2".to_owned(), has_failed: true }, language)),
        ("problem", message::problem(Problem::NotFound, "<b>", language)),
        ("report", report::page(&final_report, language)),
        ("report-so-far", report::page(&samples::report(6, midday), language)),
    ]
}

fn all() -> Vec<(String, String)> {
    let named = |language: Language| {
        documents(language).into_iter().map(move |(name, html)| (format!("{name}.{}", language.tag()), html))
    };
    i18n::LANGUAGES.into_iter().flat_map(named).collect()
}

/// One element a line, so that a change of a snapshot can be read; styles and asset hashes left out.
fn readable(html: &str) -> String {
    let mut text = html.replace("><", ">\n<");
    while let (Some(start), Some(end)) =
        (text.find("<style>\n").or_else(|| text.find("<style>")), text.find("</style>"))
    {
        text.replace_range(start..end + "</style>".len(), "<!-- the style of a report -->");
    }
    for asset in [render::assets::style(), render::assets::script(), render::assets::mark()] {
        let (name, rest) = asset.path.split_once('-').unwrap();
        let (_, extension) = rest.split_once('.').unwrap();
        text = text.replace(&asset.path, &format!("{name}-HASH.{extension}"));
    }
    text
}

#[test]
fn pages_look_as_they_were_reviewed() {
    for (name, html) in all() {
        insta::assert_snapshot!(name, readable(&html));
    }
}

#[test]
fn many_alerts_leave_room_for_the_current_values() {
    let frame = samples::frame(Page::Overview, Language::English);
    let mut overview = samples::overview(&frame.reader, 6);
    let alert = overview.firing[0].clone();
    for (count, shown, more) in [(4, 4, None), (5, 4, Some("1 more")), (200, 4, Some("196 more"))] {
        overview.firing = vec![alert.clone(); count];
        let html = overview::content(&overview, &frame).into_string();
        assert_eq!(html.matches("class=\"alert-title\"").count(), shown, "of {count}");
        assert!(more.is_none_or(|more| html.contains(more)) && html.contains(&format!("Alerts firing: {count}")));
    }
}

/// The values of an attribute wherever it stands.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    html.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// The opening tags of an element.
fn tags<'a>(html: &'a str, element: &str) -> Vec<&'a str> {
    let start = format!("<{element}");
    let is_tag = |rest: &&str| rest.starts_with([' ', '>']);
    html.split(&start).skip(1).filter(is_tag).map(|rest| rest.split('>').next().unwrap()).collect()
}

#[test]
fn every_field_has_a_label() {
    for (page, html) in all() {
        let labelled: BTreeSet<&str> = attributes(&html, "for").into_iter().collect();
        for element in ["input", "select", "textarea"] {
            for tag in tags(&html, element).iter().filter(|tag| !tag.contains("type=\"hidden\"")) {
                let id = attributes(tag, "id").first().copied().unwrap_or_default();
                assert!(labelled.contains(id), "{page}: <{element}{tag}> has no label");
            }
        }
    }
}

#[test]
fn ids_are_unique_and_references_lead_somewhere() {
    for (page, html) in all() {
        let ids = attributes(&html, "id");
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{page}: an id stands twice in {ids:?}");
        for name in ["aria-labelledby", "aria-describedby", "for"] {
            for reference in attributes(&html, name).iter().flat_map(|value| value.split(' ')) {
                assert!(unique.contains(reference), "{page}: {name} names {reference}, which is not there");
            }
        }
    }
}

#[test]
fn headings_go_down_by_one_level_and_start_with_one_h1() {
    for (page, html) in all() {
        let levels: Vec<u32> = html
            .split("<h")
            .skip(1)
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            .map(|rest| rest[..1].parse().unwrap())
            .collect();
        assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1, "{page}");
        assert!(levels[0] == 1 && levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{page}: {levels:?}");
    }
}

#[test]
fn pages_name_their_language_and_have_landmarks() {
    for (page, html) in all() {
        let language = page.rsplit('.').next().unwrap();
        assert!(html.starts_with(&format!("<!DOCTYPE html><html lang=\"{language}\">")), "{page}");
        assert_eq!(tags(&html, "main").len(), 1, "{page}");
        assert!(html.contains("<title>") && html.contains("name=\"viewport\""), "{page}");
    }
}

#[test]
fn pages_keep_to_the_content_security_policy() {
    for (page, html) in all() {
        assert!(attributes(&html, "style").is_empty(), "{page}: a style attribute");
        for tag in tags(&html, "script") {
            assert!(tag.contains("src=\"/assets/"), "{page}: an inline script");
        }
        assert!(!html.contains("onclick") && !html.contains("javascript:"), "{page}");
        let is_report = page.starts_with("report") && !page.starts_with("reports");
        assert_eq!(tags(&html, "style").len(), usize::from(is_report), "{page}");
        assert!(!is_report || !html.contains("/assets/"), "{page}: a report carries all it needs");
    }
}

#[test]
fn what_came_from_outside_is_escaped() {
    for (page, html) in all() {
        assert!(!html.contains("<script>alert"), "{page}");
    }
    let refused = samples::frame(Page::Explore, Language::English);
    let html = refused.document(&explore::content(&samples::refused(), &refused));
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
}

#[test]
fn every_chart_has_a_picture_with_words_and_a_table() {
    for (page, html) in all() {
        for chart in html.split("<figure class=\"chart\"").skip(1).map(|rest| rest.split("</figure>").next().unwrap()) {
            assert!(chart.contains("role=\"img\"") && chart.contains("<title") && chart.contains("<desc"), "{page}");
            assert!(chart.contains("<table>") || chart.contains("class=\"empty\""), "{page}: a chart without a table");
        }
    }
}

#[test]
fn states_have_a_shape_and_a_word() {
    for (page, html) in all() {
        for badge in html.split("<span class=\"badge ").skip(1).map(|rest| rest.split("</span>").next().unwrap()) {
            let word = badge.rsplit("</svg>").next().unwrap();
            assert!(badge.contains("<svg") && !word.trim().is_empty(), "{page}: {badge}");
        }
    }
}

#[test]
fn a_fragment_is_the_inside_of_main() {
    let frame = samples::frame(Page::Alerts, Language::English);
    let content = alerts::content(&samples::alerts(), &[samples::answers(&frame)], &frame);
    let (document, fragment) = (frame.document(&content), frame.fragment(&content));
    assert!(document.contains(&format!("<main id=\"main\" tabindex=\"-1\" data-live>{fragment}</main>")));
    assert!(fragment.contains(Text::ActiveAlerts.in_language(Language::English)));
}

#[test]
fn a_report_reads_back_from_its_json() {
    let report = samples::report(6, samples::NOW);
    let again: report::DailyReport = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(again, report);
    assert!(report.is_final && !report.is_empty());
}

//! Writes every page with invented figures into a folder, to look at them in a browser without a server:
//! `cargo run -p render --example gallery -- target/gallery`.

mod samples;

use std::path::Path;
use std::{fs, io};

use model::Language;
use render::page::message::{Login, Problem};
use render::page::{Page, alerts, explore, message, overview, reports, status};
use render::{assets, report};

fn main() -> io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "gallery".to_owned());
    let folder = Path::new(&folder);
    fs::create_dir_all(folder.join("assets"))?;
    for asset in [assets::style(), assets::script(), assets::mark()] {
        fs::write(folder.join(asset.path.trim_start_matches('/')), asset.content)?;
    }
    for language in [Language::Japanese, Language::English] {
        for (name, html) in documents(language) {
            fs::write(folder.join(format!("{name}.{}.html", language.tag())), html)?;
        }
    }
    Ok(())
}

fn documents(language: Language) -> Vec<(&'static str, String)> {
    let frame = |page: Page| samples::frame(page, language);
    let front = frame(Page::Overview);
    let quiet = overview::Overview { firing: Vec::new(), ..samples::overview(&front.reader, 240) };
    let login = Login { next: "/alerts".to_owned(), has_failed: true };
    let end = samples::report(1, samples::NOW);
    let midday = model::Timestamp::from_millis(end.end_ms - 43_200_000);
    vec![
        ("overview", front.document(&overview::content(&samples::overview(&front.reader, 240), &front))),
        ("quiet", front.document(&overview::content(&quiet, &front))),
        ("empty", front.document(&overview::content(&overview::Overview::default(), &front))),
        (
            "alerts",
            frame(Page::Alerts).document(&alerts::content(
                &samples::alerts(),
                &[samples::deliveries(&frame(Page::Alerts).reader), samples::answers(&frame(Page::Alerts))],
                &frame(Page::Alerts),
            )),
        ),
        ("explore", frame(Page::Explore).document(&explore::content(&samples::explore(), &frame(Page::Explore)))),
        ("refused", frame(Page::Explore).document(&explore::content(&samples::refused(), &frame(Page::Explore)))),
        ("reports", frame(Page::Reports).document(&reports::content(&samples::reports(), &frame(Page::Reports)))),
        ("status", frame(Page::Status).document(&status::content(&samples::status(), &frame(Page::Status)))),
        ("login", message::login(&login, language)),
        ("problem", message::problem(Problem::NotFound, "", language)),
        ("report", report::page(&samples::report(288, samples::NOW), language)),
        ("report-so-far", report::page(&samples::report(288, midday), language)),
    ]
}

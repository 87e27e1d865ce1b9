//! Pages: the frame that all share, then one module for what each shows.
//!
//! A live page refreshes itself: the script fetches the same address with `fragment=1`, gets [`Frame::fragment`], and
//! brings `main` up to it element by element, so that focus, an opened table and the pointer stay where they are.

pub mod alerts;
pub mod answers;
pub mod deliveries;
pub mod explore;
pub mod message;
pub mod overview;
pub mod reports;
pub mod status;

use maud::{DOCTYPE, Markup, html};
use model::{Language, TimeRange};

use crate::i18n::{LANGUAGES, own_name};
use crate::state::State;
use crate::{Reader, Text, assets};

/// The policy that pages are served with: everything comes from here, nothing is inline.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The pages of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Page {
    /// How everything is.
    Overview,
    /// Alerts, rules and history.
    Alerts,
    /// A query of one's own.
    Explore,
    /// Reports to read and download.
    Reports,
    /// Mihari itself: storage, retention, process.
    Status,
}

impl Page {
    /// All pages, in the order of the navigation.
    pub const ALL: [Self; 5] = [Self::Overview, Self::Alerts, Self::Explore, Self::Reports, Self::Status];

    /// Where it is.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Alerts => "/alerts",
            Self::Explore => "/explore",
            Self::Reports => "/reports",
            Self::Status => "/status",
        }
    }

    const fn name(self) -> Text {
        match self {
            Self::Overview => Text::NavOverview,
            Self::Alerts => Text::NavAlerts,
            Self::Explore => Text::NavExplore,
            Self::Reports => Text::NavReports,
            Self::Status => Text::NavStatus,
        }
    }
}

/// Which time a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The last quarter of an hour.
    Last15m,
    /// The last hour.
    Last1h,
    /// The last six hours.
    Last6h,
    /// The last day.
    Last24h,
    /// The last week.
    Last7d,
    /// From one moment to another.
    Custom(TimeRange),
}

impl Span {
    /// The spans that are a click away.
    pub const CHOICES: [Self; 5] = [Self::Last15m, Self::Last1h, Self::Last6h, Self::Last24h, Self::Last7d];

    /// The value of the parameter `range`; empty for a custom span.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Last15m => "15m",
            Self::Last1h => "1h",
            Self::Last6h => "6h",
            Self::Last24h => "24h",
            Self::Last7d => "7d",
            Self::Custom(_) => "",
        }
    }

    /// The range of time at `now`.
    pub fn range(self, now: model::Timestamp) -> TimeRange {
        let minutes = match self {
            Self::Last15m => 15,
            Self::Last1h => 60,
            Self::Last6h => 6 * 60,
            Self::Last24h => 24 * 60,
            Self::Last7d => 7 * 24 * 60,
            Self::Custom(range) => return range,
        };
        TimeRange::new(now - std::time::Duration::from_secs(minutes * 60), now)
    }

    const fn name(self) -> Text {
        match self {
            Self::Last15m => Text::Last15m,
            Self::Last1h => Text::Last1h,
            Self::Last6h => Text::Last6h,
            Self::Last24h => Text::Last24h,
            Self::Last7d => Text::Last7d,
            Self::Custom(_) => Text::CustomRange,
        }
    }
}

/// What stands around the content of a page.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Who reads.
    pub reader: Reader,
    /// Which page it is.
    pub page: Page,
    /// The pages that the reader may see.
    pub pages: Vec<Page>,
    /// The span of time, on pages that have one.
    pub span: Option<Span>,
    /// Parameters of the address that links to other spans and languages keep.
    pub keep: Vec<(String, String)>,
    /// Whose data it is.
    pub tenant: String,
    /// The name that the reader signed in with; empty without.
    pub name: String,
    /// The token that changing forms carry; set when the reader can sign out.
    pub csrf: Option<String>,
    /// Time zones to choose from, the reader's own among them.
    pub zones: Vec<String>,
    /// Whether the page refreshes itself.
    pub is_live: bool,
}

impl Frame {
    /// The whole document around the content of `main`.
    pub fn document(&self, content: &Markup) -> String {
        let reader = &self.reader;
        let title = format!("{} · Mihari", reader.text(self.page.name()));
        document(
            reader.language,
            &title,
            &html! {
                a.skip href="#main" { (reader.text(Text::SkipToContent)) }
                (self.header())
                main #main tabindex="-1" data-live[self.is_live] { (self.main(content)) }
                (self.footer())
            },
        )
    }

    /// The inside of `main` alone, for a page that refreshes itself.
    pub fn fragment(&self, content: &Markup) -> String {
        self.main(content).into_string()
    }

    /// A link to this page with some parameters changed; the others and the span stay.
    pub fn link(&self, changes: &[(&str, &str)]) -> String {
        let mut parameters: Vec<(String, String)> = self.keep.clone();
        parameters.extend(self.span_parameters());
        for (name, value) in changes {
            parameters
                .retain(|(kept, _)| kept != name && !(*name == "range" && matches!(kept.as_str(), "from" | "to")));
            parameters.push(((*name).to_owned(), (*value).to_owned()));
        }
        let query: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        if query.is_empty() { self.page.path().to_owned() } else { format!("{}?{}", self.page.path(), query.join("&")) }
    }

    fn span_parameters(&self) -> Vec<(String, String)> {
        let owned = |name: &str, value: String| (name.to_owned(), value);
        match self.span {
            None => Vec::new(),
            Some(Span::Custom(range)) => vec![
                owned("from", self.reader.zone.input_value(range.start)),
                owned("to", self.reader.zone.input_value(range.end)),
            ],
            Some(span) => vec![owned("range", span.parameter().to_owned())],
        }
    }

    fn main(&self, content: &Markup) -> Markup {
        let reader = &self.reader;
        html! {
            div.page-head {
                h1 { (reader.text(self.page.name())) }
                (self.live_state())
                @if let Some(span) = self.span { (self.span_choice(span)) }
            }
            (content)
        }
    }

    /// When the page was made, and whether it goes on by itself.
    fn live_state(&self) -> Markup {
        let reader = &self.reader;
        let time = format!("{} {}", reader.zone.time(reader.now), reader.zone.offset(reader.now));
        html! {
            div.live {
                p.as-of { (reader.fill(Text::UpdatedAt, &[&time])) }
                @if self.is_live {
                    p.live-state role="status" hidden data-keep data-on=(reader.text(Text::LiveOn))
                        data-paused=(reader.text(Text::LivePaused)) data-lost=(reader.text(Text::LiveLost)) {}
                    button.live-switch type="button" hidden data-keep data-pause=(reader.text(Text::Pause))
                        data-resume=(reader.text(Text::Resume)) { (reader.text(Text::Pause)) }
                    noscript { p { (reader.text(Text::NoScript)) } }
                }
            }
        }
    }

    fn span_choice(&self, current: Span) -> Markup {
        let reader = &self.reader;
        let range = current.range(reader.now);
        html! {
            nav.span-choice aria-label=(reader.text(Text::TimeRange)) {
                ul {
                    @for span in Span::CHOICES {
                        li { a href=(self.link(&[("range", span.parameter())])) aria-current=[(span == current).then_some("true")] {
                            (reader.text(span.name()))
                        } }
                    }
                }
                details.custom open[matches!(current, Span::Custom(_))] {
                    summary { (reader.text(Text::CustomRange)) }
                    form method="get" action=(self.page.path()) {
                        (hidden(&self.keep))
                        label for="from" { (reader.text(Text::From)) }
                        input #from type="datetime-local" name="from" required value=(reader.zone.input_value(range.start));
                        label for="to" { (reader.text(Text::To)) }
                        input #to type="datetime-local" name="to" required value=(reader.zone.input_value(range.end));
                        button type="submit" { (reader.text(Text::Apply)) }
                    }
                }
            }
        }
    }

    fn header(&self) -> Markup {
        let reader = &self.reader;
        html! {
            header.top {
                a.brand href="/" { (mark()) span { "Mihari" } }
                nav.pages aria-label=(reader.text(Text::MainNavigation)) {
                    ul {
                        @for page in &self.pages {
                            li { a href=(page.path()) aria-current=[(*page == self.page).then_some("page")] {
                                (reader.text(page.name()))
                            } }
                        }
                    }
                }
                div.who {
                    span.tenant title=(reader.text(Text::Tenant)) {
                        span.unseen { (reader.text(Text::Tenant)) " " }
                        (self.tenant)
                    }
                    (self.language_choice())
                    @if let Some(csrf) = &self.csrf {
                        form.sign-out method="post" action="/logout" {
                            input type="hidden" name="csrf" value=(csrf);
                            button type="submit" title=(reader.fill(Text::SignedInAs, &[&self.name])) {
                                (reader.text(Text::SignOut))
                            }
                        }
                    }
                }
            }
        }
    }

    fn language_choice(&self) -> Markup {
        let reader = &self.reader;
        html! {
            nav.languages aria-label=(reader.text(Text::LanguageChoice)) {
                @for language in LANGUAGES.into_iter().filter(|language| *language != reader.language) {
                    a href=(self.link(&[("lang", language.tag())])) lang=(language.tag()) hreflang=(language.tag()) {
                        (own_name(language))
                    }
                }
            }
        }
    }

    fn footer(&self) -> Markup {
        let reader = &self.reader;
        let zone = &reader.zone;
        html! {
            footer.bottom {
                p { (reader.fill(Text::TimesShownIn, &[zone.name(), &zone.offset(reader.now)])) }
                form method="get" action=(self.page.path()) {
                    (hidden(&self.keep))
                    @if let Some(span) = self.span.filter(|span| !matches!(span, Span::Custom(_))) {
                        input type="hidden" name="range" value=(span.parameter());
                    }
                    label for="tz" { (reader.text(Text::TimeZone)) }
                    select #tz name="tz" {
                        @for name in &self.zones { option value=(name) selected[name == zone.name()] { (name) } }
                    }
                    button type="submit" { (reader.text(Text::Apply)) }
                }
            }
        }
    }
}

/// A whole document: head and body.
pub(crate) fn document(language: Language, title: &str, body: &Markup) -> String {
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href=(assets::mark().path);
                link rel="stylesheet" href=(assets::style().path);
                script src=(assets::script().path) defer {}
            }
            body { (body) }
        }
    }
    .into_string()
}

/// The mark: a lookout on its tower.
pub(crate) fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 32 32" aria-hidden="true" {
            path.roof d="M16 3 29 11v3H3v-3z" {}
            path.tower d="M8 16h16v3H8zM9 21h3l-2 8H6zM20 21h3l3 8h-4zM13 21h6v3h-6z" {}
        }
    }
}

/// A section with its heading.
pub(crate) fn section(id: &str, title: &str, body: &Markup) -> Markup {
    let heading = format!("{id}-heading");
    html! {
        section id=(id) aria-labelledby=(heading) {
            h2 id=(heading) { (title) }
            (body)
        }
    }
}

/// Mistakes in the newest configuration files.
pub(crate) fn config_problems(errors: &[String], reader: &Reader) -> Markup {
    html! {
        @if !errors.is_empty() {
            div.refused role="alert" {
                p.is-critical { (State::Failing.icon()) b { (reader.text(Text::ConfigRefused)) } }
                @for error in errors { pre { (error) } }
            }
        }
    }
}

/// A table that scrolls sideways by itself where it is too wide.
pub(crate) fn scrolling(name: &str, table: &Markup) -> Markup {
    html! { div.scroll role="group" tabindex="0" aria-label=(name) { (table) } }
}

/// Labels as small tokens, `name="value"`.
pub(crate) fn label_tokens(labels: &[(String, String)]) -> Markup {
    html! {
        span.labels {
            @for (name, value) in labels { span.label { (name) "=" b { (value) } } " " }
        }
    }
}

/// A moment: its age for people, its date on the second line, both for machines.
pub(crate) fn moment(reader: &Reader, time: model::Timestamp) -> Markup {
    html! {
        time datetime=(reader.zone.rfc3339(time)) title=(reader.zone.offset(time)) { (reader.zone.date_time(time)) }
    }
}

fn hidden(parameters: &[(String, String)]) -> Markup {
    html! {
        @for (name, value) in parameters { input type="hidden" name=(name) value=(value); }
    }
}

/// A value of a query string: everything but unreserved characters is percent-encoded.
pub(crate) fn encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Zone;

    fn frame() -> Frame {
        Frame {
            reader: Reader { language: Language::English, zone: Zone::utc(), now: model::Timestamp::from_secs(0) },
            page: Page::Explore,
            pages: Page::ALL.to_vec(),
            span: Some(Span::Last1h),
            keep: vec![("query".to_owned(), "a{b=\"c\"} & <d>".to_owned())],
            tenant: "default".to_owned(),
            name: String::new(),
            csrf: None,
            zones: vec!["UTC".to_owned()],
            is_live: false,
        }
    }

    #[test]
    fn links_keep_the_query_and_the_span() {
        let query = "query=a%7Bb%3D%22c%22%7D%20%26%20%3Cd%3E";
        assert_eq!(frame().link(&[("lang", "ja")]), format!("/explore?{query}&range=1h&lang=ja"));
        assert_eq!(frame().link(&[("range", "7d")]), format!("/explore?{query}&range=7d"));
        let range = TimeRange::new(model::Timestamp::from_secs(0), model::Timestamp::from_secs(3600));
        let custom = Frame { span: Some(Span::Custom(range)), ..frame() };
        let times = "from=1970-01-01T00%3A00&to=1970-01-01T01%3A00";
        assert_eq!(custom.link(&[("lang", "ja")]), format!("/explore?{query}&{times}&lang=ja"));
        assert_eq!(custom.link(&[("range", "1h")]), format!("/explore?{query}&range=1h"));
    }
}

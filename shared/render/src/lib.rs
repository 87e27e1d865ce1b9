//! Pages, charts, reports and notification texts: view models in, text out.
//!
//! Read [`page::Frame`] first (what every page needs), then [`chart::Chart`], then [`report::DailyReport`].
//!
//! Invariants:
//! - Pure functions: no clock, no I/O, no environment; the same model gives the same bytes.
//! - Everything is escaped by default ([`maud`]); nothing here takes markup from outside.
//! - No text that a person reads stands outside [`i18n`]; no state is told by colour alone ([`state`]).
//! - Pages work under [`page::CONTENT_SECURITY_POLICY`]: no inline script, no `style` attribute. Geometry is in SVG
//!   attributes, colour in classes.

pub mod assets;
pub mod chart;
pub mod i18n;
pub mod notification;
pub mod page;
pub mod report;
pub mod state;
pub mod unit;
pub mod zone;

use std::time::Duration;

use model::{Language, Timestamp};

pub use i18n::Text;
pub use maud::Markup;
pub use unit::Unit;
pub use zone::Zone;

/// Who reads: in which language and time zone, and when.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The language of all text.
    pub language: Language,
    /// The zone of all times.
    pub zone: Zone,
    /// When the page is made; ages are counted from here.
    pub now: Timestamp,
}

impl Reader {
    /// A text of the table.
    pub const fn text(&self, key: Text) -> &'static str {
        key.in_language(self.language)
    }

    /// A text of the table with values in its places.
    pub fn fill(&self, key: Text, values: &[&str]) -> String {
        key.fill(self.language, values)
    }

    /// How long ago a time was: `3 s ago`.
    pub fn ago(&self, time: Timestamp) -> String {
        self.fill(Text::Ago, &[&self.span(self.now.since(time))])
    }

    /// A span of time, roughly, in its two largest units: `3 s`, `5 min`, `2 h 10 min`, `3 d 4 h`; `2時間10分`.
    pub fn span(&self, duration: Duration) -> String {
        let secs = duration.as_secs();
        let (large, small) = match secs {
            0..60 => ((secs, 3), (0, 3)),
            60..3600 => ((secs / 60, 2), (if secs < 600 { secs % 60 } else { 0 }, 3)),
            3600..86_400 => ((secs / 3600, 1), (secs % 3600 / 60, 2)),
            _ => ((secs / 86_400, 0), (secs % 86_400 / 3600, 1)),
        };
        let (units, space) = match self.language {
            Language::Japanese => (["日", "時間", "分", "秒"], ""),
            Language::English => ([" d", " h", " min", " s"], " "),
        };
        let part = |(count, unit): (u64, usize)| format!("{count}{}", units[unit]);
        if small.0 == 0 { part(large) } else { format!("{}{space}{}", part(large), part(small)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        let cases = [
            (0, "0 s", "0秒"),
            (59, "59 s", "59秒"),
            (60, "1 min", "1分"),
            (75, "1 min 15 s", "1分15秒"),
            (615, "10 min", "10分"),
            (3600, "1 h", "1時間"),
            (7800, "2 h 10 min", "2時間10分"),
            (273_600, "3 d 4 h", "3日4時間"),
        ];
        for (secs, english, japanese) in cases {
            for (language, expected) in [(Language::English, english), (Language::Japanese, japanese)] {
                let reader = Reader { language, zone: Zone::utc(), now: Timestamp::from_secs(0) };
                assert_eq!(reader.span(Duration::from_secs(secs)), expected);
            }
        }
    }
}

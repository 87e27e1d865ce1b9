//! How somebody wants to read: language and time zone.

use http::HeaderMap;
use jiff::tz::TimeZone;
use model::Language;

use super::session::cookie;
use crate::Settings;

/// The cookie that holds a chosen language's tag.
pub const LANGUAGE_COOKIE: &str = "mihari_language";
/// The cookie that holds a chosen time zone's name, percent-encoded.
pub const TIME_ZONE_COOKIE: &str = "mihari_time_zone";

/// The language: what the person chose, else what the browser asks for, else the setting.
pub fn language(headers: &HeaderMap, settings: &Settings) -> Language {
    let chosen = cookie(headers, LANGUAGE_COOKIE).and_then(Language::from_tag);
    chosen.or_else(|| accepted(headers)).unwrap_or(settings.language)
}

/// The time zone: what the person chose, else the setting.
pub fn time_zone(headers: &HeaderMap, settings: &Settings) -> TimeZone {
    let chosen = cookie(headers, TIME_ZONE_COOKIE);
    let name = chosen.and_then(|name| percent_encoding::percent_decode_str(name).decode_utf8().ok());
    name.and_then(|name| TimeZone::get(&name).ok()).unwrap_or_else(|| settings.time_zone.clone())
}

/// The best language of `Accept-Language` that we have.
fn accepted(headers: &HeaderMap) -> Option<Language> {
    let header = headers.get("accept-language")?.to_str().ok()?;
    let mut best: Option<(Language, f32)> = None;
    for choice in header.split(',') {
        let mut parts = choice.split(';');
        let Some(language) = parts.next().map(str::trim).and_then(Language::from_tag) else { continue };
        let quality = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(Some(1.0), |text| text.parse().ok());
        let quality = quality.unwrap_or(0.0);
        if quality > 0.0 && best.is_none_or(|(_, found)| quality > found) {
            best = Some((language, quality));
        }
    }
    best.map(|(language, _)| language)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_choice_beats_the_browser_and_the_browser_beats_the_setting() {
        let settings = Settings::default();
        let cases: [(&[(&'static str, &str)], Language); 7] = [
            (&[], Language::Japanese),
            (&[("accept-language", "en-US,en;q=0.9")], Language::English),
            (&[("accept-language", "fr, ja;q=0.5, en;q=0.7")], Language::English),
            (&[("accept-language", "fr, en;q=0, ja;q=0.1")], Language::Japanese),
            (&[("accept-language", "fr")], Language::Japanese),
            (&[("accept-language", "en"), ("cookie", "mihari_language=ja")], Language::Japanese),
            (&[("accept-language", "en"), ("cookie", "mihari_language=xx")], Language::English),
        ];
        for (pairs, expected) in cases {
            assert_eq!(language(&headers(pairs), &settings), expected, "{pairs:?}");
        }
    }

    #[test]
    fn an_unknown_time_zone_is_no_choice() {
        let settings = Settings::default();
        let zone = |value: &str| time_zone(&headers(&[("cookie", value)]), &settings);
        assert_eq!(zone("mihari_time_zone=Europe%2FBerlin").iana_name(), Some("Europe/Berlin"));
        assert_eq!(zone("mihari_time_zone=Nowhere").iana_name(), Some("Asia/Tokyo"));
    }
}

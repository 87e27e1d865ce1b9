//! Every text that a person reads on a page or in a report, in Japanese and English, under a typed key.
//!
//! The table is one `match` per language, so the compiler refuses a key without a text; a test refuses an empty one
//! and one whose places for values differ between the languages.

mod table;

use model::Language;

pub use table::Text;

/// All languages, in the order in which a choice lists them.
pub const LANGUAGES: [Language; 2] = [Language::Japanese, Language::English];

impl Text {
    /// The text with values put in its places `{0}`, `{1}`, ...
    pub fn fill(self, language: Language, values: &[&str]) -> String {
        let mut filled = String::new();
        let mut rest = self.in_language(language);
        while let Some(open) = rest.find('{') {
            let place = rest[open + 1..].chars().next().and_then(|digit| digit.to_digit(10));
            filled.push_str(&rest[..open]);
            filled.push_str(place.and_then(|index| values.get(index as usize)).copied().unwrap_or(""));
            rest = rest.get(open + 3..).unwrap_or("");
        }
        filled.push_str(rest);
        filled
    }
}

/// The language's name in itself, as a language switch shows it.
pub const fn own_name(language: Language) -> &'static str {
    match language {
        Language::Japanese => "日本語",
        Language::English => "English",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places for values in a text, in order.
    fn places(text: &str) -> Vec<char> {
        let mut places: Vec<char> =
            text.match_indices('{').filter_map(|(at, _)| text[at + 1..].chars().next()).collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn both_languages_are_complete_and_take_the_same_values() {
        for &key in Text::ALL {
            let [japanese, english] = LANGUAGES.map(|language| key.in_language(language));
            assert!(!japanese.trim().is_empty() && !english.trim().is_empty(), "{key:?}");
            assert_eq!(places(japanese), places(english), "{key:?}");
            let is_english = |c: char| c.is_ascii() || "–…’“”×→·".contains(c);
            assert!(english.chars().all(is_english), "{key:?}: {english}");
        }
    }

    #[test]
    fn nearly_every_japanese_text_is_japanese() {
        let is_japanese = |text: &str| text.chars().any(|c| ('\u{3040}'..='\u{30ff}').contains(&c) || c >= '\u{4e00}');
        let latin: Vec<&Text> =
            Text::ALL.iter().filter(|key| !is_japanese(key.in_language(Language::Japanese))).collect();
        assert!(latin.is_empty(), "{latin:?}");
    }

    #[test]
    fn values_go_where_the_text_wants_them() {
        assert_eq!(Text::Of.fill(Language::English, &["1", "2"]), "1 of 2");
        assert_eq!(Text::Of.fill(Language::Japanese, &["1", "2"]), "1 ／ 2");
        assert_eq!(Text::Of.fill(Language::English, &["{1}", "<b>"]), "{1} of <b>");
    }
}

//! Plain text: a short message for a telephone, and a long one for the subscribers of a topic.
//!
//! A text message is billed by the part. With nothing but characters of the telephone's own alphabet (GSM 03.38) a part
//! holds 160 of them, or 153 each in a message of several; with any other character, such as a Japanese one, 70 or 67
//! units of UTF-16. A message is cut to two parts, and never inside of what a reader sees as one character.

use super::{Item, Message, Stage, Writer, distinguishing, words};

/// Most parts of a text message.
const PARTS_MAX: usize = 2;
/// Most bytes of a text for a topic, which takes 256 KB with all that belongs to it.
const TOPIC_BYTES_MAX: usize = 200 << 10;

/// The characters that take one place in the telephone's alphabet.
const GSM: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿\
    abcdefghijklmnopqrstuvwxyzäöñüà";
/// Those that take two.
const GSM_EXTENDED: &str = "^{}\\[~]|€";

impl Writer<'_> {
    /// The text message for a message: what it is, what it is about and, where there is room, where to look.
    pub fn sms(&self, message: &Message) -> String {
        let lines = self.sms_lines(message);
        if let Some(link) = &message.answer_url {
            return with_link(&lines.join("\n"), link);
        }
        let link = format!("{}/alerts", message.external_url);
        let with_link = format!("{}\n{link}", lines.join("\n"));
        if Alphabet::of(&with_link).parts(&with_link) <= PARTS_MAX {
            return with_link;
        }
        // A link that is cut off leads nowhere; who is called knows where to look.
        cut_to_parts(&lines.join("\n"), PARTS_MAX)
    }

    /// The text for a topic: all that a mail says.
    pub fn topic(&self, message: &Message) -> (String, String) {
        let text = self.mail_text(message);
        (self.subject(message), cut_to(&text, |text| text.len() <= TOPIC_BYTES_MAX))
    }

    /// What matters most comes first: the rest may be cut off.
    fn sms_lines(&self, message: &Message) -> Vec<String> {
        let mut lines = vec![self.subject(message)];
        if let Some(first) = message.alerts.first() {
            if let Some(Stage::Acknowledged { by }) = &first.stage {
                lines.push(words::answered_by(self.language, by));
            }
            lines.extend(self.sms_about(first));
        }
        if message.alerts.len() > 1 {
            lines.push(self.counts(message));
        }
        lines
    }

    fn sms_about(&self, alert: &Item) -> Vec<String> {
        let description = alert.annotation("description", self.language);
        let summary = alert.annotation("summary", self.language);
        let instance = distinguishing(&alert.labels).find(|(name, _)| *name == "instance");
        let which = instance.or_else(|| distinguishing(&alert.labels).next()).map(|(_, value)| value);
        let about = description.or(summary).unwrap_or(words::not_given(self.language));
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        [which, Some(about)].into_iter().flatten().map(one_line).collect()
    }
}

/// A text that is cut so far that a link after it is whole: without it nobody can answer.
fn with_link(text: &str, link: &str) -> String {
    let whole = |text: &str| format!("{text}\n{link}");
    let fits = |text: &str| Alphabet::of(&whole(text)).parts(&whole(text)) <= PARTS_MAX;
    whole(&cut_to(text, fits))
}

/// What a text message is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alphabet {
    Gsm,
    Utf16,
}

impl Alphabet {
    fn of(text: &str) -> Self {
        let is_gsm = text.chars().all(|c| GSM.contains(c) || GSM_EXTENDED.contains(c));
        if is_gsm { Self::Gsm } else { Self::Utf16 }
    }

    /// How many places a text takes.
    fn places(self, text: &str) -> usize {
        match self {
            Self::Gsm => text.chars().map(|c| if GSM_EXTENDED.contains(c) { 2 } else { 1 }).sum(),
            Self::Utf16 => text.encode_utf16().count(),
        }
    }

    /// How many parts a text is sent in. What takes two places is not torn apart, so that a part may stay one short.
    fn parts(self, text: &str) -> usize {
        let (alone, of_several) = match self {
            Self::Gsm => (160, 153),
            Self::Utf16 => (70, 67),
        };
        if self.places(text) <= alone {
            return 1;
        }
        let mut parts = 1;
        let mut used = 0;
        for c in text.chars() {
            let places = self.places(c.encode_utf8(&mut [0; 4]));
            if used + places > of_several {
                parts += 1;
                used = 0;
            }
            used += places;
        }
        parts
    }
}

/// As much of a text as so many parts hold; what is cut off is replaced by three dots.
fn cut_to_parts(text: &str, parts_max: usize) -> String {
    // Cut by the alphabet of the whole text: the piece that is left never needs more.
    let alphabet = Alphabet::of(text);
    cut_to(text, |text| alphabet.parts(text) <= parts_max)
}

/// The longest start of a text, with three dots, that fits; the text itself if it does. Nothing is cut inside of what a
/// reader sees as one character.
fn cut_to(text: &str, fits: impl Fn(&str) -> bool) -> String {
    const DOTS: &str = "...";
    if fits(text) {
        return text.to_owned();
    }
    let ends: Vec<usize> = boundaries(text);
    // Whether a start fits is monotonous in its length.
    let fitting = ends.partition_point(|&end| fits(&format!("{}{DOTS}", text[..end].trim_end())));
    let end = fitting.checked_sub(1).map_or(0, |at| ends[at]);
    format!("{}{DOTS}", text[..end].trim_end())
}

/// Where a text may be cut: before a character that starts something of its own.
fn boundaries(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut flags = 0_usize;
    let mut before = None;
    for (at, c) in text.char_indices() {
        let is_second_of_a_flag = is_flag_letter(c) && flags % 2 == 1;
        if !is_attached(c) && !is_second_of_a_flag && before != Some(JOINER) {
            ends.push(at);
        }
        flags = if is_flag_letter(c) { flags + 1 } else { 0 };
        before = Some(c);
    }
    ends
}

/// Joins two pictures into one.
const JOINER: char = '\u{200d}';

/// Whether a character belongs to the one before it: combining marks, voiced sound marks, variation selectors, skin
/// tones, joiners, tags.
const fn is_attached(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036f}' | '\u{0483}'..='\u{0489}' | '\u{0591}'..='\u{05bd}' | '\u{0610}'..='\u{061a}'
        | '\u{064b}'..='\u{065f}' | '\u{093c}' | '\u{093e}'..='\u{094f}' | '\u{0e31}' | '\u{0e34}'..='\u{0e3a}'
        | '\u{0e47}'..='\u{0e4e}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{200c}' | JOINER
        | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}' | '\u{ff9e}' | '\u{ff9f}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Two of these in a row are a flag.
const fn is_flag_letter(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_as_telephones_count() {
        let cases = [
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("[".repeat(80), 1),
            ("[".repeat(81), 2),
            // 76 brackets fit into a part of 153: the 153rd place stays empty.
            ("[".repeat(152), 2),
            ("[".repeat(153), 3),
            ("あ".repeat(70), 1),
            ("あ".repeat(71), 2),
            ("あ".repeat(134), 2),
            ("あ".repeat(135), 3),
            ("😀".repeat(35), 1),
            ("😀".repeat(36), 2),
            ("😀".repeat(66), 2),
            ("😀".repeat(67), 3),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Alphabet::of(&text).parts(&text),
                expected,
                "{} of {:?}",
                text.chars().count(),
                text.chars().next()
            );
        }
    }

    #[test]
    fn what_a_reader_sees_as_one_character_is_not_cut() {
        let wholes = ["か\u{3099}", "e\u{301}", "👩\u{200d}👩\u{200d}👧", "👍\u{1f3fd}", "🇯🇵", "⚠\u{fe0f}", "ｶﾞ"];
        for whole in wholes {
            let text = whole.repeat(200);
            let cut = cut_to_parts(&text, PARTS_MAX);
            let kept = cut.strip_suffix("...").unwrap();
            assert_eq!(kept.len() % whole.len(), 0, "{cut}");
            assert!(!kept.is_empty());
            assert!(Alphabet::of(&text).parts(&format!("{cut}{whole}")) > PARTS_MAX, "no room is wasted");
        }
    }

    /// Texts of up to 400 characters that are hard to cut, the same every time.
    fn texts() -> impl Iterator<Item = String> {
        let pieces: Vec<char> = "ab [€あ語か\u{3099}e\u{301}😀👩\u{200d}👧👍\u{1f3fd}🇯🇵⚠\u{fe0f}\n ".chars().collect();
        let mut state = 1_u64;
        let mut next = move |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 40).expect("24 bits") % below
        };
        (0..2000).map(move |_| {
            // Some texts are plain, so that the telephone's own alphabet comes up, too.
            let some = [4, pieces.len()][next(2)];
            (0..next(400)).map(|_| pieces[next(some)]).collect()
        })
    }

    #[test]
    fn a_cut_text_fits_and_is_a_start_of_the_whole() {
        for text in texts() {
            for parts in 1..4 {
                let cut = cut_to_parts(&text, parts);
                assert!(Alphabet::of(&cut).parts(&cut) <= parts, "{text:?}");
                if cut != text {
                    let kept = cut.strip_suffix("...").expect("what is cut ends in dots");
                    assert!(text.starts_with(kept), "{text:?}");
                }
            }
        }
    }
}

//! The languages that pages, notifications and reports are written in.

/// A language that people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// Japanese, `ja`.
    Japanese,
    /// English, `en`.
    English,
}

impl Language {
    /// The language's tag, as in HTML and in headers.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Japanese => "ja",
            Self::English => "en",
        }
    }

    /// The language of a tag such as `ja`, `ja-JP` or `en-US`.
    pub fn from_tag(tag: &str) -> Option<Self> {
        match tag.split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
            "ja" => Some(Self::Japanese),
            "en" => Some(Self::English),
            _ => None,
        }
    }
}

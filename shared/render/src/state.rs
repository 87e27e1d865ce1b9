//! States as a person sees them: always a shape and a word, colour only on top.

use maud::{Markup, html};
use model::Language;

use crate::Text;

/// How well something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Over the critical threshold; an alert of that severity.
    Critical,
    /// Over the warning threshold; an alert of that severity.
    Warning,
    /// Worth knowing.
    Info,
    /// As it should be.
    Ok,
    /// Not known.
    Unknown,
    /// An alert that holds.
    Firing,
    /// An alert that holds, but not yet for long enough.
    Pending,
    /// A rule without alerts.
    Inactive,
    /// An alert that holds no longer.
    Resolved,
    /// A rule that cannot be evaluated.
    Failing,
}

impl State {
    /// The state of an alert's `severity` label; anything unknown is informative.
    pub fn of_severity(severity: &str) -> Self {
        match severity {
            "critical" => Self::Critical,
            "warning" => Self::Warning,
            _ => Self::Info,
        }
    }

    /// The word for it.
    pub const fn text(self, language: Language) -> &'static str {
        let key = match self {
            Self::Critical => Text::StateCritical,
            Self::Warning => Text::StateWarning,
            Self::Info => Text::StateInfo,
            Self::Ok => Text::StateOk,
            Self::Unknown => Text::StateUnknown,
            Self::Firing => Text::StateFiring,
            Self::Pending => Text::StatePending,
            Self::Inactive => Text::StateInactive,
            Self::Resolved => Text::StateResolved,
            Self::Failing => Text::StateFailing,
        };
        key.in_language(language)
    }

    /// The class that gives it its colour.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Critical | Self::Firing | Self::Failing => "is-critical",
            Self::Warning | Self::Pending => "is-warning",
            Self::Info => "is-info",
            Self::Ok | Self::Resolved => "is-ok",
            Self::Unknown | Self::Inactive => "is-quiet",
        }
    }

    /// Its shape on a field of 16 by 16: octagon, triangle, circle, tick, ring, half a ring.
    const fn shape(self) -> &'static str {
        match self {
            Self::Critical | Self::Firing | Self::Failing => {
                "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1zM7 4v5h2V4zm0 6.3v2h2v-2z"
            }
            Self::Warning => "M8 1.2 15.6 14.5H.4zM7.1 5.6v4.6h1.8V5.6zm0 5.6V13h1.8v-1.8z",
            Self::Pending => "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zm0 2a5 5 0 0 0 0 10zM7.2 4v4.6l3.4 2 .8-1.4-2.6-1.5V4z",
            Self::Info => "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zM7 7v5h2V7zm0-3v2h2V4z",
            Self::Ok | Self::Resolved => "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zm3.2 4L7 9.2 4.9 7.1 3.5 8.5 7 12l5.6-5.6z",
            Self::Unknown | Self::Inactive => "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1zm0 2a5 5 0 1 0 0 10A5 5 0 0 0 8 3z",
        }
    }

    /// The shape alone, for places where the word stands beside it anyway.
    pub fn icon(self) -> Markup {
        html! {
            svg class={ "icon " (self.class()) } viewBox="0 0 16 16" aria-hidden="true" {
                path fill-rule="evenodd" d=(self.shape()) {}
            }
        }
    }

    /// Shape and word.
    pub fn badge(self, language: Language) -> Markup {
        html! { span class={ "badge " (self.class()) } { (self.icon()) (self.text(language)) } }
    }
}

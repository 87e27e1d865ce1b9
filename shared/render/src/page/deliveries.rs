//! Why people were told of an alert, or were not.

use maud::{Markup, html};

use super::{label_tokens, section};
use crate::state::State;
use crate::{Reader, Text};

/// The alerts that the notifications know, each with its reasons.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    /// Those that are explained.
    pub alerts: Vec<Explained>,
    /// How many more there are.
    pub more: usize,
}

/// An alert, with what is said of it in sentences of the reader's language.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The label `alertname`.
    pub name: String,
    /// The label `severity`.
    pub severity: String,
    /// The other labels.
    pub labels: Vec<(String, String)>,
    /// Firing or resolved.
    pub state: State,
    /// Since when, until when, and what mutes it.
    pub sentences: Vec<String>,
    /// Where it leads.
    pub routes: Vec<Way>,
}

/// A group that an alert belongs to.
#[derive(Clone, Debug)]
pub struct Way {
    /// Who is notified.
    pub receiver: String,
    /// Its clocks and calendars.
    pub sentences: Vec<String>,
    /// Each way to the receiver, such as `slack/0`, with its reasons.
    pub channels: Vec<(String, Vec<String>)>,
}

/// The part of the page.
pub fn content(deliveries: &Deliveries, reader: &Reader) -> Markup {
    section(
        "deliveries",
        reader.text(Text::WhyTitle),
        &html! {
            @if deliveries.alerts.is_empty() {
                p.empty-note { (reader.text(Text::WhyNone)) }
            } @else {
                ul.rules { @for alert in &deliveries.alerts { li.rule { (explained(alert, reader)) } } }
            }
            @if deliveries.more > 0 {
                p.soft { (reader.fill(Text::WhyMore, &[&deliveries.more.to_string()])) }
            }
        },
    )
}

fn explained(alert: &Explained, reader: &Reader) -> Markup {
    html! {
        details {
            summary {
                (alert.state.badge(reader.language)) " " b { (alert.name) } " "
                @if !alert.severity.is_empty() {
                    span.soft { (State::of_severity(&alert.severity).text(reader.language)) } " "
                }
                (label_tokens(&alert.labels))
            }
            @for sentence in &alert.sentences { p { (sentence) } }
            @for way in &alert.routes {
                h3 { (reader.fill(Text::WhyReceiver, &[&way.receiver])) }
                @for sentence in &way.sentences { p.soft { (sentence) } }
                dl {
                    @for (channel, sentences) in &way.channels {
                        dt { code { (channel) } }
                        @for sentence in sentences { dd { (sentence) } }
                    }
                }
            }
        }
    }
}

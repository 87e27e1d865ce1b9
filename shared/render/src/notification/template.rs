//! Templates of notifications: plain text with places such as `{alert_name}`.
//!
//! A template is a subject line, an empty line and a body. Strict: an unknown place and one that the kind of
//! notification needs and that is missing are refused when the template is read, never when somebody is woken up.

use std::collections::{BTreeMap, BTreeSet};

use model::{ErrorKind, Language};

use super::Kind;

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Placeholder {
    AlertName,
    Severity,
    Timestamp,
    ResolvedAt,
    Description,
    Impact,
    Action,
    AcknowledgedBy,
}

/// Which template something is told with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// That of an alert of a kind.
    Alert(Kind),
    /// That for who is called since nobody answered.
    Escalated,
    /// That for who was called, when somebody else answered.
    Acknowledged,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Alert(Kind::Critical),
        Self::Alert(Kind::Warning),
        Self::Alert(Kind::Info),
        Self::Alert(Kind::Resolved),
        Self::Escalated,
        Self::Acknowledged,
    ];
}

impl Placeholder {
    const ALL: [Self; 8] = [
        Self::AlertName,
        Self::Severity,
        Self::Timestamp,
        Self::ResolvedAt,
        Self::Description,
        Self::Impact,
        Self::Action,
        Self::AcknowledgedBy,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::AlertName => "alert_name",
            Self::Severity => "severity",
            Self::Timestamp => "timestamp",
            Self::ResolvedAt => "resolved_at",
            Self::Description => "description",
            Self::Impact => "impact",
            Self::Action => "action",
            Self::AcknowledgedBy => "acknowledged_by",
        }
    }

    /// What the body of a notification must hold, and may hold nothing else.
    const fn of_body(form: Form) -> &'static [Self] {
        let kind = match form {
            Form::Escalated => {
                return &[Self::AlertName, Self::Severity, Self::Timestamp, Self::Description, Self::Action];
            }
            Form::Acknowledged => {
                return &[Self::AlertName, Self::Severity, Self::Timestamp, Self::AcknowledgedBy, Self::Description];
            }
            Form::Alert(kind) => kind,
        };
        match kind {
            Kind::Critical => {
                &[Self::AlertName, Self::Severity, Self::Timestamp, Self::Description, Self::Impact, Self::Action]
            }
            Kind::Warning => &[Self::AlertName, Self::Severity, Self::Timestamp, Self::Description, Self::Action],
            Kind::Info => &[Self::AlertName, Self::Severity, Self::Timestamp, Self::Description],
            Kind::Resolved => &[Self::AlertName, Self::Severity, Self::Timestamp, Self::ResolvedAt, Self::Description],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Placeholder),
}

/// One template as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    subject: Vec<Piece>,
    /// What stands before the colon of each line, empty where there is none, and the rest.
    lines: Vec<(String, Vec<Piece>)>,
}

/// Why a template was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A place that does not exist, or not in this kind of notification.
    #[error("line {line}: unknown placeholder {{{name}}}; known here: {known}")]
    Unknown {
        /// The line, counted from 1.
        line: usize,
        /// What stands between the braces.
        name: String,
        /// What may stand there.
        known: String,
    },
    /// A brace without its partner.
    #[error("line {line}: a brace has no partner")]
    Brace {
        /// The line, counted from 1.
        line: usize,
    },
    /// A place that must be there.
    #[error("placeholder {{{name}}} is missing in the {part}")]
    Missing {
        /// The place.
        name: &'static str,
        /// Subject or body.
        part: &'static str,
    },
    /// The second line is not empty.
    #[error("line 2: an empty line must divide the subject from the body")]
    NoEmptyLine,
}

impl TemplateError {
    /// A bad template is the input's fault.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Template {
    /// Reads a template for a form of notification.
    ///
    /// # Errors
    /// When a place is unknown or missing, or the empty line after the subject is.
    pub fn parse(form: Form, text: &str) -> Result<Self, TemplateError> {
        let mut lines = text.trim_end().lines();
        let subject = pieces(1, lines.next().unwrap_or(""), &[Placeholder::AlertName])?;
        require("subject", &[Placeholder::AlertName], &subject)?;
        if lines.next().is_some_and(|line| !line.trim().is_empty()) {
            return Err(TemplateError::NoEmptyLine);
        }
        let allowed = Placeholder::of_body(form);
        let mut body = Vec::new();
        for (index, line) in lines.enumerate() {
            body.push(split_label(pieces(index + 3, line, allowed)?));
        }
        let all: Vec<Piece> = body.iter().flat_map(|(_, pieces)| pieces.clone()).collect();
        require("body", allowed, &all)?;
        Ok(Self { subject, lines: body })
    }

    /// The subject for an alert's name.
    pub(super) fn subject(&self, alert_name: &str) -> String {
        fill(&self.subject, &|_| alert_name.to_owned())
    }

    /// The body's lines: what stands before the colon, and the value.
    pub(super) fn lines(&self, value: impl Fn(Placeholder) -> String) -> Vec<(String, String)> {
        self.lines.iter().map(|(label, pieces)| (label.clone(), fill(pieces, &value))).collect()
    }
}

/// A line as label and value, where it is of the form `label: ...`.
fn split_label(pieces: Vec<Piece>) -> (String, Vec<Piece>) {
    if let [Piece::Text(first), rest @ ..] = pieces.as_slice()
        && let Some((label, after)) = first.split_once(": ")
    {
        let after = (!after.is_empty()).then(|| Piece::Text(after.to_owned()));
        return (label.to_owned(), after.into_iter().chain(rest.iter().cloned()).collect());
    }
    (String::new(), pieces)
}

fn fill(pieces: &[Piece], value: &impl Fn(Placeholder) -> String) -> String {
    let filled = pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Place(placeholder) => value(*placeholder),
    });
    filled.collect()
}

fn pieces(line: usize, text: &str, allowed: &[Placeholder]) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let (before, from_brace) = rest.split_at(open);
        let inner = from_brace.strip_prefix('{').ok_or(TemplateError::Brace { line })?;
        let (name, after) = inner.split_once('}').ok_or(TemplateError::Brace { line })?;
        let found = Placeholder::ALL.into_iter().find(|one| one.name() == name && allowed.contains(one));
        let Some(placeholder) = found else {
            let known: Vec<&str> = allowed.iter().map(|one| one.name()).collect();
            return Err(TemplateError::Unknown { line, name: name.to_owned(), known: known.join(", ") });
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Place(placeholder));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn require(part: &'static str, needed: &[Placeholder], pieces: &[Piece]) -> Result<(), TemplateError> {
    let present: BTreeSet<Placeholder> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Place(placeholder) => Some(*placeholder),
            Piece::Text(_) => None,
        })
        .collect();
    match needed.iter().find(|one| !present.contains(one)) {
        Some(missing) => Err(TemplateError::Missing { name: missing.name(), part }),
        None => Ok(()),
    }
}

/// The templates of all forms in all languages.
#[derive(Clone, Debug)]
pub struct Templates {
    all: BTreeMap<(Form, Language), Template>,
}

/// The templates of `infra/config/templates/`.
const EMBEDDED: [(Form, Language, &str); 12] = [
    (
        Form::Alert(Kind::Critical),
        Language::Japanese,
        include_str!("../../../../infra/config/templates/critical.ja.txt"),
    ),
    (
        Form::Alert(Kind::Critical),
        Language::English,
        include_str!("../../../../infra/config/templates/critical.en.txt"),
    ),
    (Form::Alert(Kind::Warning), Language::Japanese, include_str!("../../../../infra/config/templates/warning.ja.txt")),
    (Form::Alert(Kind::Warning), Language::English, include_str!("../../../../infra/config/templates/warning.en.txt")),
    (Form::Alert(Kind::Info), Language::Japanese, include_str!("../../../../infra/config/templates/info.ja.txt")),
    (Form::Alert(Kind::Info), Language::English, include_str!("../../../../infra/config/templates/info.en.txt")),
    (
        Form::Alert(Kind::Resolved),
        Language::Japanese,
        include_str!("../../../../infra/config/templates/resolved.ja.txt"),
    ),
    (
        Form::Alert(Kind::Resolved),
        Language::English,
        include_str!("../../../../infra/config/templates/resolved.en.txt"),
    ),
    (Form::Escalated, Language::Japanese, include_str!("../../../../infra/config/templates/escalated.ja.txt")),
    (Form::Escalated, Language::English, include_str!("../../../../infra/config/templates/escalated.en.txt")),
    (Form::Acknowledged, Language::Japanese, include_str!("../../../../infra/config/templates/acknowledged.ja.txt")),
    (Form::Acknowledged, Language::English, include_str!("../../../../infra/config/templates/acknowledged.en.txt")),
];

impl Templates {
    /// The templates that come with the program.
    pub fn embedded() -> Self {
        let read = |(form, language, text): (Form, Language, &str)| {
            let template =
                Template::parse(form, text).expect("a test reads every template that comes with the program");
            ((form, language), template)
        };
        Self { all: EMBEDDED.into_iter().map(read).collect() }
    }

    /// The template of a form in a language.
    pub(super) fn of(&self, form: Form, language: Language) -> &Template {
        &self.all[&(form, language)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_a_template_in_every_language() {
        let templates = Templates::embedded();
        for form in Form::ALL {
            for language in [Language::Japanese, Language::English] {
                assert!(templates.of(form, language).subject("cpu_usage").ends_with("] cpu_usage"));
            }
        }
    }

    #[test]
    fn the_places_are_exactly_those_of_the_kind() {
        let cases = [
            ("[INFO] {alert_name}\n\n{alert_name}{severity}{timestamp}{description}", ""),
            ("[INFO] x\n\n{alert_name}", "placeholder {alert_name} is missing in the subject"),
            ("{alert_name}\n\n{alert_name}{severity}{timestamp}", "placeholder {description} is missing in the body"),
            ("{alert_name}\nbody", "line 2: an empty line must divide the subject from the body"),
            (
                "{alert_name}\n\nok\n{impact}",
                "line 4: unknown placeholder {impact}; known here: alert_name, severity, timestamp, description",
            ),
            ("{alert}\n\n", "line 1: unknown placeholder {alert}; known here: alert_name"),
            ("{alert_name}\n\n{severity", "line 3: a brace has no partner"),
            ("{alert_name}\n\nseverity}", "line 3: a brace has no partner"),
        ];
        for (text, expected) in cases {
            let reason =
                Template::parse(Form::Alert(Kind::Info), text).err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(reason, expected, "{text}");
        }
    }

    #[test]
    fn values_are_not_read_as_places() {
        let template = Template::parse(
            Form::Alert(Kind::Info),
            "{alert_name}\n\na: {alert_name}\n{severity}{timestamp}{description}",
        )
        .unwrap();
        let lines = template.lines(|_| "{severity}".to_owned());
        assert_eq!(lines[0], ("a".to_owned(), "{severity}".to_owned()));
        assert_eq!(lines[1].1, "{severity}{severity}{severity}");
    }
}

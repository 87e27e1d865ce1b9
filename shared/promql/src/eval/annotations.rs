//! What is noteworthy about an answer.

use std::collections::BTreeMap;

use crate::ast::Span;

/// The most annotations of a kind that an answer carries.
const SHOWN_MAX: usize = 10;

/// Warnings and infos, each once: where several parts of an expression have the same to say, the last one is named.
#[derive(Debug, Default)]
pub(crate) struct Annotations {
    warnings: BTreeMap<String, Span>,
    infos: BTreeMap<String, Span>,
}

impl Annotations {
    /// The answer may be wrong.
    pub(crate) fn warn(&mut self, span: Span, message: &str) {
        self.warnings.insert(format!("PromQL warning: {message}"), span);
    }

    /// The question may be wrong.
    pub(crate) fn inform(&mut self, span: Span, message: &str) {
        self.infos.insert(format!("PromQL info: {message}"), span);
    }

    /// Takes over what others have to say.
    pub(crate) fn append(&mut self, others: Self) {
        self.warnings.extend(others.warnings);
        self.infos.extend(others.infos);
    }

    /// Whether there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.infos.is_empty()
    }

    /// Warnings, then infos.
    pub(crate) fn finish(self) -> (Vec<String>, Vec<String>) {
        (shorten(self.warnings, "warning"), shorten(self.infos, "info"))
    }
}

fn shorten(all: BTreeMap<String, Span>, kind: &str) -> Vec<String> {
    let omitted = all.len().saturating_sub(SHOWN_MAX);
    let at = |(message, span): (String, Span)| format!("{message} ({}:{})", span.line, span.column);
    let mut shown: Vec<String> = all.into_iter().take(SHOWN_MAX).map(at).collect();
    if omitted > 0 {
        shown.push(format!("{omitted} more {kind} annotations omitted"));
    }
    shown
}

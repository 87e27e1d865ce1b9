//! Functions of labels.

#![expect(clippy::wildcard_enum_match_arm, reason = "only selectors ask for labels")]

use std::cmp::Ordering;

use model::{Labels, METRIC_NAME, MatchOp, Matcher};

use super::vector::{ABSENT, Grid, Vector};
use super::window::check_extent;
use super::{Evaluator, Result_};
use crate::ast::{Call, Expr, ExprKind};
use crate::error::EvalError;
use crate::quote::quote_bytes;

/// Most bytes that a replacement may become, far beyond any label's value.
const EXPANDED_BYTES_MAX: usize = 1 << 20;

impl Evaluator<'_> {
    pub(super) fn label_replace(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let arguments = &call.arguments;
        let (replacement, pattern) = (self.utf8(&arguments[2], grid)?, self.utf8(&arguments[4], grid)?);
        let target = self.label_name(&arguments[1], grid, "destination label name in label_replace()")?;
        let source = self.utf8(&arguments[3], grid)?;
        let pattern = call
            .pattern
            .compiled(&pattern)
            .map_err(|_| EvalError::execution(format!("invalid regular expression in label_replace(): {pattern}")))?;
        let references = replacement.bytes().filter(|byte| *byte == b'$').count();
        let mut vector = self.vector(&arguments[0], grid)?;
        for row in 0..vector.rows() {
            self.params.deadline.check()?;
            let value = vector.labels[row].get(&source).unwrap_or("");
            let Some(captures) = pattern.captures(value) else { continue };
            // Each reference gives the whole value at most.
            let longest = replacement.len().saturating_add(references.saturating_mul(value.len()));
            if longest > EXPANDED_BYTES_MAX {
                let message = format!("value of label_replace() is over the limit of {EXPANDED_BYTES_MAX} bytes");
                return Err(EvalError::execution(message));
            }
            let mut replaced = String::new();
            captures.expand(&replacement, &mut replaced);
            set_label(&mut vector, row, &target, &replaced)?;
        }
        vector.merge_same_labels()
    }

    pub(super) fn label_join(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let arguments = &call.arguments;
        let target = self.label_name(&arguments[1], grid, "destination label name in label_join()")?;
        let separator = self.utf8(&arguments[2], grid)?;
        let mut sources = Vec::new();
        for source in &arguments[3..] {
            sources.push(self.label_name(source, grid, "source label name in label_join()")?);
        }
        let mut vector = self.vector(&arguments[0], grid)?;
        for row in 0..vector.rows() {
            self.params.deadline.check()?;
            let values: Vec<&str> = sources.iter().map(|source| vector.labels[row].get(source).unwrap_or("")).collect();
            let joined = values.join(&separator);
            set_label(&mut vector, row, &target, &joined)?;
        }
        vector.merge_same_labels()
    }

    /// One sample with the labels a selector asks for, where it finds nothing.
    pub(super) fn absent(&mut self, argument: &Expr, grid: Grid) -> Result_<Vector> {
        let vector = self.vector(argument, grid)?;
        let mut any = vec![false; grid.count];
        for row in 0..vector.rows() {
            let row = vector.full_row(row);
            for (step, any) in any.iter_mut().enumerate() {
                *any |= row.has_sample(step);
            }
        }
        absence(argument, &any)
    }

    pub(super) fn absent_over_time(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let argument = &call.arguments[0];
        let windows = self.windows(argument, grid)?;
        check_extent(call.function, &windows)?;
        let any = self.any_in_windows(&windows, grid)?;
        absence(argument, &any)
    }

    /// Series by the values of labels, numbers in them by their size; over several steps their order means nothing.
    pub(super) fn sort_by_label(&mut self, call: &Call, grid: Grid, descending: bool) -> Result_<Vector> {
        let mut names = Vec::new();
        for argument in &call.arguments[1..] {
            names.push(self.label_name(argument, grid, "label name in sort_by_label()")?);
        }
        let vector = self.vector(&call.arguments[0], grid)?;
        if vector.steps != 1 {
            return Ok(vector);
        }
        let mut order: Vec<usize> = (0..vector.rows()).collect();
        order.sort_by(|&left, &right| {
            let (left, right) = (&vector.labels[left], &vector.labels[right]);
            let value = |labels: &Labels, name: &str| labels.get(name).unwrap_or("").to_owned();
            let by_values = names.iter().map(|name| natural(&value(left, name), &value(right, name)));
            let ordering = by_values.fold(Ordering::Equal, Ordering::then).then_with(|| left.cmp(right));
            if descending { ordering.reverse() } else { ordering }
        });
        Ok(vector.select_rows(&order))
    }

    /// A text that must be UTF-8, as all labels are.
    fn utf8(&mut self, argument: &Expr, grid: Grid) -> Result_<String> {
        let bytes = self.text(argument, grid)?;
        String::from_utf8(bytes)
            .map_err(|error| EvalError::execution(format!("invalid UTF-8 in {}", quote_bytes(error.as_bytes()))))
    }

    /// A text that names a label.
    pub(super) fn label_name(&mut self, argument: &Expr, grid: Grid, what: &str) -> Result_<String> {
        let bytes = self.text(argument, grid)?;
        match String::from_utf8(bytes) {
            Ok(name) if !name.is_empty() => Ok(name),
            Ok(_) => Err(EvalError::execution(format!("invalid {what}: "))),
            Err(error) => {
                let shown = quote_bytes(error.as_bytes());
                Err(EvalError::execution(format!("invalid {what}: {}", shown.trim_matches('"'))))
            }
        }
    }
}

/// Sets a label of a row; an empty value removes it. A name that is set stays.
fn set_label(vector: &mut Vector, row: usize, name: &str, value: &str) -> Result_<()> {
    let labels = vector.labels[row].to_builder().set(name, value).build();
    vector.labels[row] = labels.map_err(|error| EvalError::execution(error.to_string()))?;
    if name == METRIC_NAME {
        vector.drop_names[row] = false;
    }
    Ok(())
}

fn absence(argument: &Expr, any: &[bool]) -> Result_<Vector> {
    let mut vector = Vector::new(any.len());
    let row: Vec<f64> = any.iter().map(|any| if *any { ABSENT } else { 1.0 }).collect();
    let labels = labels_asked_for(argument).map_err(|error| EvalError::execution(error.to_string()))?;
    vector.push(labels, false, &row);
    vector.pop_if_empty();
    Ok(vector)
}

/// The labels that a selector fixes to one value.
fn labels_asked_for(expr: &Expr) -> Result<Labels, model::LabelError> {
    let matchers: &[Matcher] = match &expr.without_parens().kind {
        ExprKind::Selector(selector) => &selector.matchers,
        ExprKind::Range(range) => &range.selector.matchers,
        _ => &[],
    };
    let mut builder = model::LabelsBuilder::new();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            builder.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            builder.remove(matcher.name());
        }
    }
    builder.build()
}

/// Compares texts, runs of digits in them by the numbers they mean.
fn natural(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left, right);
    while !left.is_empty() && !right.is_empty() {
        let (left_piece, left_rest) = piece(left);
        let (right_piece, right_rest) = piece(right);
        let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let ordering = if digits(left_piece) && digits(right_piece) {
            let trimmed = [left_piece, right_piece].map(|digits| digits.trim_start_matches('0'));
            trimmed[0].len().cmp(&trimmed[1].len()).then(trimmed[0].cmp(trimmed[1]))
        } else {
            left_piece.cmp(right_piece)
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
        (left, right) = (left_rest, right_rest);
    }
    left.len().cmp(&right.len())
}

/// The digits, or what are none, at the start of a text, and the rest.
fn piece(text: &str) -> (&str, &str) {
    let is_digits = text.starts_with(|c: char| c.is_ascii_digit());
    text.split_at(text.find(|c: char| c.is_ascii_digit() != is_digits).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_sort_by_size() {
        let mut texts = ["cpu10", "cpu2", "cpu", "a1b2", "a1b10", "cpu02x"];
        texts.sort_by(|left, right| natural(left, right));
        assert_eq!(texts, ["a1b2", "a1b10", "cpu", "cpu2", "cpu02x", "cpu10"]);
    }
}

//! Whether the parts of an expression fit together, worded as Prometheus words it.
//!
//! A text that cannot be read to its end is refused for that first, as in Prometheus.

use model::{METRIC_NAME, Matcher};

use crate::ast::{AggregateOp, Binary, Call, Expr, ExprKind, Group, MatchingLabels, Selector};
use crate::functions::{FunctionId, ValueType};
use crate::quote::quote;

/// What is wrong, and at which offset.
type Wrong = (usize, String);

/// Checks an expression that has been read to its end: the parts of each node first, then the node.
pub(super) fn tree(expr: &Expr, text: &str) -> Result<(), Wrong> {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Text(_) => Ok(()),
        ExprKind::Selector(selector) => self::selector(selector, expr.span.start),
        ExprKind::Range(range) => selector(&range.selector, expr.span.start),
        ExprKind::Paren(inner) => tree(inner, text),
        ExprKind::Unary { operand, .. } => {
            tree(operand, text)?;
            unary(operand).map_err(|message| (expr.span.start, message))
        }
        ExprKind::Subquery(subquery) => {
            tree(&subquery.expr, text)?;
            self::subquery(&subquery.expr).map_err(|message| (expr.span.start, message))
        }
        ExprKind::Binary(binary) => {
            tree(&binary.left, text)?;
            tree(&binary.right, text)?;
            self::binary(binary, expr.span.start, text)
        }
        ExprKind::Aggregate(aggregation) => {
            expect_type(&aggregation.expr, ValueType::InstantVector, "aggregation expression", text)?;
            let Some(parameter) = &aggregation.parameter else { return Ok(()) };
            let is_text = aggregation.op == AggregateOp::CountValues;
            let expected = if is_text { ValueType::String } else { ValueType::Scalar };
            expect_type(parameter, expected, "aggregation parameter", text)
        }
        ExprKind::Call(call) => self::call(call, expr.span.start, text),
    }
}

fn selector(selector: &Selector, start: usize) -> Result<(), Wrong> {
    if let Some(name) = &selector.name {
        let others = &selector.matchers[..selector.matchers.len() - 1];
        return match others.iter().find(|matcher| matcher.name() == METRIC_NAME) {
            None => Ok(()),
            Some(second) => {
                let (name, second) = (quote(name), quote(second.value()));
                Err((start, format!("metric name must not be set twice: {name} or {second}")))
            }
        };
    }
    if selector.matchers.iter().all(Matcher::matches_empty) {
        return Err((start, "vector selector must contain at least one non-empty matcher".to_owned()));
    }
    Ok(())
}

fn subquery(inner: &Expr) -> Result<(), String> {
    let kind = match inner.value_type() {
        ValueType::InstantVector => return Ok(()),
        ValueType::RangeVector => "matrix",
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
    };
    Err(format!("subquery is only allowed on instant vector, got {kind} instead"))
}

/// Checks an operator between two expressions.
fn binary(binary: &Binary, start: usize, text: &str) -> Result<(), Wrong> {
    let (left, right) = (binary.left.value_type(), binary.right.value_type());
    let name = quote(binary.op.as_str());
    let behind_left = &text[binary.left.span.end..];
    let at_operator = text.len() - behind_left.trim_start_matches([' ', '\t', '\n', '\r']).len();
    let wrong = |offset, message: &str| Err((offset, message.to_owned()));
    if binary.returns_bool && !binary.op.is_comparison() {
        return wrong(at_operator, "bool modifier can only be used on comparison operators");
    }
    let scalars = [left, right].map(|side| side == ValueType::Scalar);
    if scalars == [true, true] && binary.op.is_comparison() && !binary.returns_bool {
        return wrong(at_operator, "comparisons between scalars must use BOOL modifier");
    }
    if let (Some(MatchingLabels::On(on)), Some(Group { include, .. })) =
        (&binary.matching.labels, &binary.matching.group)
        && let Some(both) = on.iter().find(|label| include.contains(label))
    {
        let message = format!("label {} must not occur in ON and GROUP clause at once", quote(both));
        return wrong(at_operator, &message);
    }
    for side in [&binary.left, &binary.right] {
        if !matches!(side.value_type(), ValueType::Scalar | ValueType::InstantVector) {
            return wrong(side.span.start, "binary expression must contain only scalar and instant vector types");
        }
    }
    let fills = binary.matching.fill_left.is_some() || binary.matching.fill_right.is_some();
    if scalars.contains(&true) {
        let has_labels = match &binary.matching.labels {
            Some(MatchingLabels::On(labels) | MatchingLabels::Ignoring(labels)) => !labels.is_empty(),
            None => false,
        };
        if has_labels {
            return wrong(start, "vector matching only allowed between instant vectors");
        }
        if fills {
            return wrong(start, "filling in missing series only allowed between instant vectors");
        }
        if binary.op.is_set() {
            return wrong(start, &format!("set operator {name} not allowed in binary scalar expression"));
        }
    } else if binary.op.is_set() && binary.matching.group.is_some() {
        return wrong(start, &format!("no grouping allowed for {name} operation"));
    } else if binary.op.is_set() && fills {
        return wrong(start, "filling in missing series not allowed for set operators");
    }
    Ok(())
}

/// Checks what stands behind a sign.
fn unary(operand: &Expr) -> Result<(), String> {
    match operand.value_type() {
        ValueType::Scalar | ValueType::InstantVector => Ok(()),
        other @ (ValueType::String | ValueType::RangeVector) => Err(format!(
            "unary expression only allowed on expressions of type scalar or instant vector, got {}",
            quote(&other.to_string())
        )),
    }
}

/// Checks the arguments of a call.
fn call(call: &Call, start: usize, text: &str) -> Result<(), Wrong> {
    let (function, got) = (call.function, call.arguments.len());
    let (min, name) = (function.arguments_min(), quote(function.name));
    let wrong_number = |how: &str, expected| {
        Err((start, format!("expected {how}{expected} argument(s) in call to {name}, got {got}")))
    };
    match function.arguments_max() {
        Some(max) if min == max && got != min => return wrong_number("", min),
        Some(max) if got > max => return wrong_number("at most ", max),
        Some(_) | None if got < min => return wrong_number("at least ", min),
        Some(_) | None => {}
    }
    let is_info = function.id == FunctionId::Info;
    for (index, argument) in call.arguments.iter().enumerate() {
        if is_info && index == 1 {
            info_selector(argument).map_err(|message| (start, message))?;
            continue;
        }
        let expected = function.argument(index).expect("a function with arguments has a last one");
        expect_type(argument, expected, &format!("call to function {name}"), text)?;
    }
    Ok(())
}

/// Checks what says which info metrics are meant: labels in braces, which may match anything.
fn info_selector(expr: &Expr) -> Result<(), String> {
    let got = expr.value_type();
    if got != ValueType::InstantVector {
        return Err(format!("expected type instant vector in call to function \"info\", got {got}"));
    }
    let ExprKind::Selector(selector) = &expr.without_parens().kind else {
        return Err("expected label selectors only".to_owned());
    };
    if selector.name.is_some() {
        return Err("expected label selectors only, got vector selector instead".to_owned());
    }
    Ok(())
}

fn expect_type(expr: &Expr, expected: ValueType, context: &str, text: &str) -> Result<(), Wrong> {
    tree(expr, text)?;
    let got = expr.value_type();
    if got == expected {
        return Ok(());
    }
    Err((expr.span.start, format!("expected type {expected} in {context}, got {got}")))
}

//! Whether the parts of an expression fit together, worded as Prometheus words it.

use crate::ast::{AggregateOp, Aggregation, Binary, Call, Expr, ExprKind, Group, MatchingLabels};
use crate::functions::{FunctionId, ValueType};
use crate::quote::quote;

/// Checks an operator between two expressions.
pub(super) fn binary(binary: &Binary) -> Result<(), String> {
    let (left, right) = (binary.left.value_type(), binary.right.value_type());
    let name = quote(binary.op.as_str());
    if binary.returns_bool && !binary.op.is_comparison() {
        return Err("bool modifier can only be used on comparison operators".to_owned());
    }
    let allowed = |side| matches!(side, ValueType::Scalar | ValueType::InstantVector);
    if !allowed(left) || !allowed(right) {
        return Err("binary expression must contain only scalar and instant vector types".to_owned());
    }
    let scalars = [left, right].map(|side| side == ValueType::Scalar);
    if scalars == [true, true] && binary.op.is_comparison() && !binary.returns_bool {
        return Err("comparisons between scalars must use BOOL modifier".to_owned());
    }
    if binary.op.is_set() && binary.matching.group.is_some() {
        return Err(format!("no grouping allowed for {name} operation"));
    }
    if let (Some(MatchingLabels::On(on)), Some(Group { include, .. })) =
        (&binary.matching.labels, &binary.matching.group)
        && let Some(both) = on.iter().find(|label| include.contains(label))
    {
        return Err(format!("label {} must not occur in ON and GROUP clause at once", quote(both)));
    }
    if scalars.contains(&true) {
        let labels = match &binary.matching.labels {
            Some(MatchingLabels::On(labels) | MatchingLabels::Ignoring(labels)) => !labels.is_empty(),
            None => false,
        };
        if labels {
            return Err("vector matching only allowed between instant vectors".to_owned());
        }
        if binary.op.is_set() {
            return Err(format!("set operator {name} not allowed in binary scalar expression"));
        }
    }
    Ok(())
}

/// Checks what stands behind a sign.
pub(super) fn unary(operand: &Expr) -> Result<(), String> {
    match operand.value_type() {
        ValueType::Scalar | ValueType::InstantVector => Ok(()),
        other @ (ValueType::String | ValueType::RangeVector) => Err(format!(
            "unary expression only allowed on expressions of type scalar or instant vector, got {}",
            quote(&other.to_string())
        )),
    }
}

/// Checks the arguments of an aggregation; an error says at which offset.
pub(super) fn aggregation(aggregation: &Aggregation) -> Result<(), (usize, String)> {
    expect_type(&aggregation.expr, ValueType::InstantVector, "aggregation expression")?;
    if let Some(parameter) = &aggregation.parameter {
        let is_text = aggregation.op == AggregateOp::CountValues;
        let expected = if is_text { ValueType::String } else { ValueType::Scalar };
        expect_type(parameter, expected, "aggregation parameter")?;
    }
    Ok(())
}

/// Checks the arguments of a call; an error says at which offset, unless it is about the call itself.
pub(super) fn call(call: &Call) -> Result<(), (Option<usize>, String)> {
    let (function, got) = (call.function, call.arguments.len());
    let (min, name) = (function.arguments_min(), quote(function.name));
    let wrong_number =
        |how: &str, expected| Err((None, format!("expected {how}{expected} argument(s) in call to {name}, got {got}")));
    match function.arguments_max() {
        Some(max) if min == max && got != min => return wrong_number("", min),
        Some(max) if got > max => return wrong_number("at most ", max),
        Some(_) | None if got < min => return wrong_number("at least ", min),
        Some(_) | None => {}
    }
    for (index, argument) in call.arguments.iter().enumerate() {
        let expected = function.argument(index).expect("a function with arguments has a last one");
        expect_type(argument, expected, &format!("call to function {name}"))
            .map_err(|(offset, message)| (Some(offset), message))?;
    }
    match &call.arguments[..] {
        [_, second] if function.id == FunctionId::Info => info_selector(second).map_err(|error| (None, error)),
        _ => Ok(()),
    }
}

/// Checks what says which info metrics are meant: labels in braces.
fn info_selector(expr: &Expr) -> Result<(), String> {
    let ExprKind::Selector(selector) = &expr.without_parens().kind else {
        return Err("expected label selectors only".to_owned());
    };
    if selector.name.is_some() {
        return Err("expected label selectors only, got vector selector instead".to_owned());
    }
    Ok(())
}

fn expect_type(expr: &Expr, expected: ValueType, context: &str) -> Result<(), (usize, String)> {
    let got = expr.value_type();
    if got == expected {
        return Ok(());
    }
    Err((expr.span.start, format!("expected type {expected} in {context}, got {got}")))
}

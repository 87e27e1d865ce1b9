//! Durations that are calculated.

use crate::ast::{BinaryOp, DurationExpr};
use crate::error::EvalError;
use crate::selection::{Params, millis};

/// Milliseconds of a duration expression.
///
/// # Errors
/// When it divides by zero or is no duration that can be counted.
pub(crate) fn resolve(expr: &DurationExpr, params: &Params) -> Result<i64, EvalError> {
    if let DurationExpr::Millis(millis) = expr {
        return Ok(*millis);
    }
    let seconds = seconds(expr, params)?;
    whole_millis(seconds).ok_or_else(|| EvalError::execution("duration out of range"))
}

/// Milliseconds of seconds, if they can be counted.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
pub(crate) fn whole_millis(seconds: f64) -> Option<i64> {
    let millis = (seconds * 1000.0).round();
    (millis.abs() < 9.2e15).then_some(millis as i64)
}

#[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 ms")]
fn seconds(expr: &DurationExpr, params: &Params) -> Result<f64, EvalError> {
    Ok(match expr {
        DurationExpr::Millis(millis) => *millis as f64 / 1000.0,
        DurationExpr::Number(number) => number.value,
        DurationExpr::Step => millis(params.step) as f64 / 1000.0,
        DurationExpr::Range => millis(params.end.since(params.start)) as f64 / 1000.0,
        DurationExpr::Negative(inner) => -seconds(inner, params)?,
        DurationExpr::Paren(inner) => seconds(inner, params)?,
        DurationExpr::MinOf(left, right) => seconds(left, params)?.min(seconds(right, params)?),
        DurationExpr::MaxOf(left, right) => seconds(left, params)?.max(seconds(right, params)?),
        DurationExpr::Binary(op, left, right) => calculate(*op, seconds(left, params)?, seconds(right, params)?)?,
    })
}

fn calculate(op: BinaryOp, left: f64, right: f64) -> Result<f64, EvalError> {
    match op {
        BinaryOp::Add => Ok(left + right),
        BinaryOp::Sub => Ok(left - right),
        BinaryOp::Mul => Ok(left * right),
        BinaryOp::Div if right == 0.0 => Err(EvalError::execution("division by zero")),
        BinaryOp::Div => Ok(left / right),
        BinaryOp::Mod if right == 0.0 => Err(EvalError::execution("modulo by zero")),
        BinaryOp::Mod => Ok(left % right),
        BinaryOp::Pow => Ok(left.powf(right)),
        BinaryOp::Atan2
        | BinaryOp::TrimUpper
        | BinaryOp::TrimLower
        | BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::LessOrEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterOrEqual
        | BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Unless => Err(EvalError::execution(format!("operator {} in a duration", op.as_str()))),
    }
}

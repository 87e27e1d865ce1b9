//! Native histograms in calculations, and what is said about them.

pub(super) mod quantile;
mod trim;

use std::sync::Arc;

use model::{CounterReset, Folded, Histogram, MixedSchemas, fold_histograms};

use super::annotations::Annotations;
use super::float::{Mean, Sum};
use crate::ast::{BinaryOp, Span};
use crate::quote::quote;

/// A number or a histogram.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operand<'a> {
    Number(f64),
    Histogram(&'a Arc<Histogram>),
}

impl Operand<'_> {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Number(_) => "float",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What an operator or a function gives at a step.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Absent,
    Number(f64),
    Histogram(Arc<Histogram>),
}

/// What histograms are folded for, as annotations name it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Addition,
    Subtraction,
    Aggregation,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// How many numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Sum,
    Mean,
}

/// Every count and the sum, times a factor; a negative one makes a counter a gauge.
pub(super) fn scaled(histogram: &Histogram, factor: f64) -> Histogram {
    signed(histogram.map(|number| number * factor), factor)
}

/// Every count and the sum, divided. Divided by zero, nobody knows what is in the buckets: there are none.
pub(super) fn divided(histogram: &Histogram, divisor: f64) -> Histogram {
    let divided = histogram.map(|number| number / divisor);
    if divisor != 0.0 {
        return signed(divided, divisor);
    }
    let mut parts = divided.parts().clone();
    (parts.positive, parts.negative) = <_>::default();
    Histogram::new(parts).map_or(divided, |histogram| histogram)
}

fn signed(histogram: Histogram, factor: f64) -> Histogram {
    let histogram = histogram.compact();
    if factor < 0.0 { histogram.with_counter_reset(CounterReset::Gauge) } else { histogram }
}

/// The sum or the mean of histograms; says what is noteworthy about it. Nothing when their schemas are of two kinds,
/// which is for the caller to tell.
pub(super) fn folded(
    histograms: &[&Histogram],
    fold: Fold,
    annotations: &mut Annotations,
    span: Span,
) -> Result<Arc<Histogram>, MixedSchemas> {
    let folded = match fold {
        Fold::Sum => fold_histograms(histograms, |numbers| {
            let mut sum = Sum::default();
            numbers.iter().for_each(|number| sum.add(*number));
            sum.total()
        }),
        Fold::Mean => fold_histograms(histograms, |numbers| {
            let mut mean = Mean::of(numbers[0]);
            numbers[1..].iter().for_each(|number| mean.add(*number));
            mean.value()
        }),
    }?;
    remark(&folded, Purpose::Aggregation, annotations, span);
    Ok(Arc::new(folded.histogram))
}

/// One histogram added to another, or taken away from it.
pub(super) fn combined(left: &Histogram, right: &Histogram, purpose: Purpose) -> Result<Folded, MixedSchemas> {
    match purpose {
        Purpose::Subtraction => fold_histograms(&[left, right], |numbers| numbers[0] - numbers[1]),
        Purpose::Addition | Purpose::Aggregation => fold_histograms(&[left, right], |numbers| numbers[0] + numbers[1]),
    }
}

/// Warns of counter resets that contradict each other and informs of custom bounds that had to go.
pub(super) fn remark(folded: &Folded, purpose: Purpose, annotations: &mut Annotations, span: Span) {
    let purpose = purpose.as_str();
    if folded.resets_conflict {
        annotations.warn(span, &format!("conflicting counter resets during histogram {purpose}"));
    }
    if folded.bounds_reconciled {
        annotations.inform(span, &format!("mismatched custom buckets were reconciled during {purpose}"));
    }
}

/// Warns of exponential and custom buckets together.
pub(super) fn warn_of_schemas(annotations: &mut Annotations, span: Span, metric: &str) {
    let message = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
    annotations.warn(span, &format!("{message} {}", quote(metric)));
}

/// Warns of numbers and histograms in one window.
pub(super) fn warn_of_mix(annotations: &mut Annotations, span: Span, metric: &str) {
    annotations.warn(span, &format!("encountered a mix of histograms and floats for metric name {}", quote(metric)));
}

/// What two operands give of which one at least is a histogram; a comparison keeps the left one.
pub(super) fn binary(
    op: BinaryOp,
    returns_bool: bool,
    operands: [Operand<'_>; 2],
    annotations: &mut Annotations,
    span: Span,
) -> Outcome {
    match operands {
        [Operand::Histogram(left), Operand::Histogram(right)] if matches!(op, BinaryOp::Add | BinaryOp::Sub) => {
            sum_or_difference(op, left, right, annotations, span)
        }
        [Operand::Histogram(left), Operand::Histogram(right)] if matches!(op, BinaryOp::Equal | BinaryOp::NotEqual) => {
            match ((left == right) == (op == BinaryOp::Equal), returns_bool) {
                (holds, true) => Outcome::Number(f64::from(u8::from(holds))),
                (true, false) => Outcome::Histogram(Arc::clone(left)),
                (false, false) => Outcome::Absent,
            }
        }
        [Operand::Number(factor), Operand::Histogram(histogram)]
        | [Operand::Histogram(histogram), Operand::Number(factor)]
            if op == BinaryOp::Mul =>
        {
            Outcome::Histogram(Arc::new(scaled(histogram, factor)))
        }
        [Operand::Histogram(histogram), Operand::Number(divisor)] if op == BinaryOp::Div => {
            Outcome::Histogram(Arc::new(divided(histogram, divisor)))
        }
        [Operand::Histogram(histogram), Operand::Number(limit)]
            if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) =>
        {
            Outcome::Histogram(trim::trimmed(histogram, limit, op == BinaryOp::TrimUpper))
        }
        [left, right] => {
            inform_of_types(op, left.kind(), right.kind(), annotations, span);
            Outcome::Absent
        }
    }
}

/// Informs of operands that an operator does not take.
pub(super) fn inform_of_types(op: BinaryOp, left: &str, right: &str, annotations: &mut Annotations, span: Span) {
    let (quoted, op) = (quote(op.as_str()), op.as_str());
    let message = "incompatible sample types encountered for binary operator";
    annotations.inform(span, &format!("{message} {quoted}: {left} {op} {right}"));
}

fn sum_or_difference(
    op: BinaryOp,
    left: &Histogram,
    right: &Histogram,
    annotations: &mut Annotations,
    span: Span,
) -> Outcome {
    let purpose = if op == BinaryOp::Add { Purpose::Addition } else { Purpose::Subtraction };
    match combined(left, right, purpose) {
        Ok(folded) => {
            remark(&folded, purpose, annotations, span);
            let histogram = folded.histogram;
            Outcome::Histogram(Arc::new(match purpose {
                // A difference may be negative.
                Purpose::Subtraction => histogram.with_counter_reset(CounterReset::Gauge),
                Purpose::Addition | Purpose::Aggregation => histogram,
            }))
        }
        Err(MixedSchemas) => {
            let op = op.as_str();
            annotations.warn(span, &format!("incompatible bucket layout encountered for binary operator {op}"));
            Outcome::Absent
        }
    }
}

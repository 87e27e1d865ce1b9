//! What an expression would give if it left out no series for its value.

use crate::ast::{AggregateOp, Aggregation, Binary, BinaryOp, Call, Expr, ExprKind};
use crate::functions::{FunctionId, ValueType};

/// The expression with every filter taken out: a series of its result has data, whether the expression gives it or not.
/// Values mean nothing; selectors keep their indices, so that what was loaded for the expression serves this one.
///
/// `None` where what is there cannot be told from the result: `absent` and `count_values`.
pub fn unfiltered(expr: &Expr) -> Option<Expr> {
    let kind = match &expr.kind {
        ExprKind::Paren(inner) => ExprKind::Paren(Box::new(unfiltered(inner)?)),
        ExprKind::Unary { negative, operand } => {
            ExprKind::Unary { negative: *negative, operand: Box::new(unfiltered(operand)?) }
        }
        ExprKind::Binary(binary) => return of_binary(expr, binary),
        ExprKind::Aggregate(aggregation) => return of_aggregation(expr, aggregation),
        ExprKind::Call(call) => return of_call(expr, call),
        ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Selector(_)
        | ExprKind::Range(_)
        | ExprKind::Subquery(_) => {
            return Some(expr.clone());
        }
    };
    Some(Expr::new(kind, expr.span))
}

fn of_binary(expr: &Expr, binary: &Binary) -> Option<Expr> {
    if expr.value_type() != ValueType::InstantVector {
        return Some(expr.clone());
    }
    let (left, right) = (unfiltered(&binary.left)?, unfiltered(&binary.right)?);
    let is_filter = binary.op.is_comparison() && !binary.returns_bool;
    match [&left, &right].map(Expr::value_type) {
        // What is not excluded is there, whether anything is there that would exclude it or not.
        _ if binary.op == BinaryOp::Unless => return Some(left),
        [ValueType::InstantVector, ValueType::Scalar] if is_filter => return Some(left),
        [ValueType::Scalar, ValueType::InstantVector] if is_filter => return Some(right),
        _ => {}
    }
    let binary = Binary { left, right, returns_bool: binary.returns_bool || is_filter, ..binary.clone() };
    Some(Expr::new(ExprKind::Binary(Box::new(binary)), expr.span))
}

fn of_aggregation(expr: &Expr, aggregation: &Aggregation) -> Option<Expr> {
    let inner = unfiltered(&aggregation.expr)?;
    match aggregation.op {
        AggregateOp::CountValues => None,
        AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio => Some(inner),
        AggregateOp::Sum
        | AggregateOp::Avg
        | AggregateOp::Min
        | AggregateOp::Max
        | AggregateOp::Count
        | AggregateOp::Group
        | AggregateOp::Stddev
        | AggregateOp::Stdvar
        | AggregateOp::Quantile => {
            let aggregation = Aggregation { expr: inner, ..aggregation.clone() };
            Some(Expr::new(ExprKind::Aggregate(Box::new(aggregation)), expr.span))
        }
    }
}

fn of_call(expr: &Expr, call: &Call) -> Option<Expr> {
    if matches!(call.function.id, FunctionId::Absent | FunctionId::AbsentOverTime) {
        return None;
    }
    if call.function.returns != ValueType::InstantVector {
        return Some(expr.clone());
    }
    let arguments: Option<Vec<Expr>> = call.arguments.iter().map(unfiltered).collect();
    let call = Call { arguments: arguments?, ..call.clone() };
    Some(Expr::new(ExprKind::Call(Box::new(call)), expr.span))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn check(text: &str, expected: &str) {
        let found = unfiltered(&parse(text).unwrap());
        assert_eq!(found.map_or_else(|| "-".to_owned(), |expr| expr.to_string()), expected, "{text}");
    }

    #[test]
    fn filters_are_taken_out_and_all_else_stays() {
        check("cpu > 90", "cpu");
        check("90 < cpu", "cpu");
        check("cpu > bool 90", "cpu > bool 90");
        check("(cpu > 50) * 2 > 150", "(cpu) * 2");
        check("cpu > on (instance) limit", "cpu > bool on (instance) limit");
        check("cpu > 90 and on (instance) up == 1", "cpu and on (instance) up");
        check("cpu > 90 or mem > 80", "cpu or mem");
        check("cpu > 90 unless on (instance) maintenance == 1", "cpu");
        check("sum by (job) (up == 0) > 2", "sum by (job) (up)");
        check("topk(3, cpu > 5)", "cpu");
        check("abs(-(rate(x[5m]) > 1)) > scalar(y > 1)", "abs(-(rate(x[5m])))");
        check("max_over_time((cpu > 90)[5m:1m])", "max_over_time((cpu > 90)[5m:1m])");
        check("vector(1) > 0", "vector(1)");
        check("1 > bool 0", "1 > bool 0");
        for unknown in ["absent(up)", "absent_over_time(up[5m]) > 0", "count_values(\"v\", up) > 3", "up or absent(up)"]
        {
            check(unknown, "-");
        }
    }

    #[test]
    fn selectors_keep_their_places() {
        let expr = parse("a > 1 unless b == 1 or c > 2").unwrap();
        let ExprKind::Binary(binary) = unfiltered(&expr).unwrap().kind else { panic!("an operator") };
        let index = |expr: &Expr| {
            let ExprKind::Selector(selector) = &expr.kind else { panic!("a selector") };
            selector.index
        };
        assert_eq!((index(&binary.left), index(&binary.right)), (0, 2));
    }
}

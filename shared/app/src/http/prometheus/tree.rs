//! Expressions as JSON trees, in the form of `/api/v1/parse_query` of Prometheus 3.

use promql::{
    AggregateOp, Aggregation, At, Binary, BinaryOp, Call, DurationExpr, Expr, ExprKind, Extent, Grouping, LastArgument,
    Matching, MatchingLabels, Number, Selector, Shift, Side, ValueType,
};
use serde_json::{Map, Value, json};

/// The tree of an expression.
pub(super) fn tree(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(number) => json!({ "type": "numberLiteral", "val": promql::format_float(number.value) }),
        ExprKind::Text(text) => json!({ "type": "stringLiteral", "val": String::from_utf8_lossy(&text.bytes) }),
        ExprKind::Selector(selector) => selection("vectorSelector", selector),
        ExprKind::Range(range) => {
            let mut node = selection("matrixSelector", &range.selector);
            add_duration(&mut node, ("range", "rangeExpr"), Some(&range.range));
            node
        }
        ExprKind::Subquery(subquery) => {
            let mut node = json!({ "type": "subquery", "expr": tree(&subquery.expr) });
            add_duration(&mut node, ("range", "rangeExpr"), Some(&subquery.range));
            add_duration(&mut node, ("step", "stepExpr"), subquery.step.as_ref());
            add_shift(&mut node, &subquery.shift);
            node
        }
        ExprKind::Unary { negative, operand } => {
            json!({ "type": "unaryExpr", "op": if *negative { "-" } else { "+" }, "expr": tree(operand) })
        }
        ExprKind::Binary(binary) => operation(binary),
        ExprKind::Aggregate(aggregation) => group(aggregation),
        ExprKind::Call(call) => function(call),
        ExprKind::Paren(inner) => json!({ "type": "parenExpr", "expr": tree(inner) }),
    }
}

fn selection(kind: &str, selector: &Selector) -> Value {
    let matchers: Vec<Value> = selector
        .matchers
        .iter()
        .map(|matcher| json!({ "name": matcher.name(), "value": matcher.value(), "type": matcher.op().as_str() }))
        .collect();
    let mut node = json!({
        "type": kind,
        "name": selector.name.as_deref().unwrap_or(""),
        "matchers": matchers,
        "anchored": selector.extent == Some(Extent::Anchored),
        "smoothed": selector.extent == Some(Extent::Smoothed),
    });
    add_shift(&mut node, &selector.shift);
    node
}

fn add_shift(node: &mut Value, shift: &Shift) {
    add_duration(node, ("offset", "offsetExpr"), shift.offset.as_ref());
    let (timestamp, start_or_end) = match shift.at {
        None => (Value::Null, Value::Null),
        Some(At::Millis(millis)) => (json!(millis), Value::Null),
        Some(At::Start) => (Value::Null, json!("start")),
        Some(At::End) => (Value::Null, json!("end")),
    };
    node["timestamp"] = timestamp;
    node["startOrEnd"] = start_or_end;
}

/// A duration in milliseconds, or 0 and the calculation that gives it.
fn add_duration(node: &mut Value, (fixed, calculated): (&str, &str), duration: Option<&DurationExpr>) {
    let (millis, expr) = match duration {
        None => (0, Value::Null),
        Some(DurationExpr::Millis(millis)) => (*millis, Value::Null),
        Some(other) => (0, calculation(other)),
    };
    node[fixed] = json!(millis);
    node[calculated] = expr;
}

fn calculation(duration: &DurationExpr) -> Value {
    let node = |op: &str, left: Value, right: Value| json!({ "type": "durationExpr", "op": op, "lhs": left, "rhs": right, "wrapped": false });
    match duration {
        DurationExpr::Millis(millis) => {
            #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 ms")]
            let seconds = *millis as f64 / 1000.0;
            json!({ "type": "numberLiteral", "val": promql::format_float(seconds), "duration": true })
        }
        DurationExpr::Number(number) => {
            json!({ "type": "numberLiteral", "val": promql::format_float(number.value), "duration": false })
        }
        DurationExpr::Step => node("step", Value::Null, Value::Null),
        DurationExpr::Range => node("range", Value::Null, Value::Null),
        DurationExpr::Negative(inner) => node("-", Value::Null, calculation(inner)),
        DurationExpr::Paren(inner) => {
            let mut inner = calculation(inner);
            if inner["type"] == "durationExpr" {
                inner["wrapped"] = json!(true);
            }
            inner
        }
        DurationExpr::MinOf(left, right) => node("min_of", calculation(left), calculation(right)),
        DurationExpr::MaxOf(left, right) => node("max_of", calculation(left), calculation(right)),
        DurationExpr::Binary(op, left, right) => node(op.as_str(), calculation(left), calculation(right)),
    }
}

fn operation(binary: &Binary) -> Value {
    let is_vector = |expr: &Expr| expr.value_type() == ValueType::InstantVector;
    let matched = is_vector(&binary.left) && is_vector(&binary.right);
    json!({
        "type": "binaryExpr",
        "op": binary.op.as_str(),
        "lhs": tree(&binary.left),
        "rhs": tree(&binary.right),
        "matching": if matched { matching(binary.op, &binary.matching) } else { Value::Null },
        "bool": binary.returns_bool,
    })
}

fn matching(op: BinaryOp, matching: &Matching) -> Value {
    let card = match &matching.group {
        None if op.is_set() => "many-to-many",
        None => "one-to-one",
        Some(group) if group.many == Side::Left => "many-to-one",
        Some(_) => "one-to-many",
    };
    let (labels, on): (&[String], bool) = match &matching.labels {
        None => (&[], false),
        Some(MatchingLabels::On(labels)) => (labels, true),
        Some(MatchingLabels::Ignoring(labels)) => (labels, false),
    };
    let filled = |value: Option<Number>| value.map(|number| number.value);
    json!({
        "card": card,
        "labels": labels,
        "on": on,
        "include": matching.group.as_ref().map_or(&[][..], |group| &group.include),
        "fillValues": { "lhs": filled(matching.fill_left), "rhs": filled(matching.fill_right) },
    })
}

fn group(aggregation: &Aggregation) -> Value {
    let (grouping, without) = match &aggregation.grouping {
        Grouping::By(labels) => (labels, false),
        Grouping::Without(labels) => (labels, true),
    };
    let op: AggregateOp = aggregation.op;
    json!({
        "type": "aggregation",
        "op": op.as_str(),
        "expr": tree(&aggregation.expr),
        "param": aggregation.parameter.as_ref().map(tree),
        "grouping": grouping,
        "without": without,
    })
}

fn function(call: &Call) -> Value {
    let function = call.function;
    let types: Vec<&str> = function.arguments.iter().map(|kind| type_name(*kind)).collect();
    // How many arguments may be left out; -1 where the last one may stand any number of times.
    let variadic = match function.last {
        LastArgument::Required => 0,
        LastArgument::Optional => 1,
        LastArgument::Repeated => -1,
    };
    let signature = Map::from_iter([
        ("name".to_owned(), json!(function.name)),
        ("argTypes".to_owned(), json!(types)),
        ("variadic".to_owned(), json!(variadic)),
        ("returnType".to_owned(), json!(type_name(function.returns))),
    ]);
    // What takes no room in the text was not written: the info metrics that `info` means when it names none.
    let written = call.arguments.iter().filter(|argument| argument.span.start < argument.span.end);
    let arguments: Vec<Value> = written.map(tree).collect();
    json!({ "type": "call", "func": signature, "args": arguments })
}

/// Types as the API names them.
const fn type_name(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Scalar => "scalar",
        ValueType::String => "string",
        ValueType::InstantVector => "vector",
        ValueType::RangeVector => "matrix",
    }
}

//! Writes long expressions over several lines, broken and indented where Prometheus breaks and indents them.
//!
//! An expression that fits on a line stays on it; one that does not is opened, and what is inside is indented by one
//! level more and judged alike.

use crate::ast::{Aggregation, Binary, Call, Expr, ExprKind};

/// How long an expression may be to stay on one line, in bytes.
const LINE_BYTES_MAX: usize = 100;

impl Expr {
    /// The expression for people to read: in its canonical form if that is short, else over several lines.
    pub fn pretty(&self) -> String {
        self.pretty_within(LINE_BYTES_MAX)
    }

    /// As [`Self::pretty`], where an expression of at most so many bytes stays on its line.
    pub fn pretty_within(&self, line_bytes_max: usize) -> String {
        let mut writer = Writer { line_bytes_max, text: String::new() };
        writer.expr(self, 0);
        writer.text
    }
}

struct Writer {
    line_bytes_max: usize,
    text: String,
}

impl Writer {
    fn expr(&mut self, expr: &Expr, level: usize) {
        let flat = expr.to_string();
        let is_long = flat.len() > self.line_bytes_max;
        match &expr.kind {
            ExprKind::Aggregate(aggregation) if is_long => self.aggregation(aggregation, level),
            ExprKind::Binary(binary) if is_long => self.binary(binary, level),
            ExprKind::Call(call) if is_long => self.call(call, level),
            ExprKind::Paren(inner) if is_long => {
                self.indent(level);
                self.text.push_str("(\n");
                self.expr(inner, level + 1);
                self.close(level);
            }
            ExprKind::Subquery(subquery) if is_long => {
                self.expr(&subquery.expr, level);
                self.text.push_str(&subquery.window());
            }
            // A subquery is the one short expression that stands where its line begins.
            ExprKind::Subquery(_) => self.text.push_str(&flat),
            ExprKind::Unary { negative, operand } => {
                self.indent(level);
                self.text.push(if *negative { '-' } else { '+' });
                let start = self.text.len();
                self.expr(operand, level);
                let inner = self.text[start..].trim().to_owned();
                self.text.replace_range(start.., &inner);
            }
            ExprKind::Number(_)
            | ExprKind::Text(_)
            | ExprKind::Selector(_)
            | ExprKind::Range(_)
            | ExprKind::Aggregate(_)
            | ExprKind::Binary(_)
            | ExprKind::Call(_)
            | ExprKind::Paren(_) => {
                self.indent(level);
                self.text.push_str(&flat);
            }
        }
    }

    fn aggregation(&mut self, aggregation: &Aggregation, level: usize) {
        self.indent(level);
        self.text.push_str(&aggregation.head());
        self.text.push_str("(\n");
        if let Some(parameter) = &aggregation.parameter {
            self.expr(parameter, level + 1);
            self.text.push_str(",\n");
        }
        self.expr(&aggregation.expr, level + 1);
        self.close(level);
    }

    fn binary(&mut self, binary: &Binary, level: usize) {
        self.expr(&binary.left, level + 1);
        self.text.push('\n');
        self.indent(level);
        self.text.push_str(&binary.middle());
        self.text.push('\n');
        self.expr(&binary.right, level + 1);
    }

    fn call(&mut self, call: &Call, level: usize) {
        self.indent(level);
        self.text.push_str(call.function.name);
        self.text.push_str("(\n");
        for (index, argument) in call.arguments.iter().filter(|argument| !argument.is_implied()).enumerate() {
            if index > 0 {
                self.text.push_str(",\n");
            }
            self.expr(argument, level + 1);
        }
        self.close(level);
    }

    fn close(&mut self, level: usize) {
        self.text.push('\n');
        self.indent(level);
        self.text.push(')');
    }

    fn indent(&mut self, level: usize) {
        for _ in 0..level {
            self.text.push_str("  ");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_long_is_opened() {
        let cases = [
            ("up == 0", "up == 0"),
            ("sum(up) by (job)", "sum by (job) (\n  up\n)"),
            ("-rate(up[5m])>1", "  -rate(\n    up[5m]\n  )\n>\n  1"),
            ("max_over_time(sum(up)[1h:1m])", "max_over_time(\n  sum(up)[1h:1m]\n)"),
        ];
        for (text, expected) in cases {
            let expr = crate::parse(text).unwrap();
            let pretty = expr.pretty_within(10);
            assert_eq!(crate::parse(&pretty).unwrap(), expr, "{pretty}");
            assert_eq!(pretty, expected, "{text}");
            assert_eq!(expr.pretty(), expr.to_string());
        }
    }
}

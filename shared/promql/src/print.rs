//! Writes expressions back, in the one canonical form.

use std::fmt;
use std::time::Duration;

use model::{METRIC_NAME, MatchOp, Matcher};

use crate::ast::{
    Aggregation, At, Binary, BinaryOp, DurationExpr, Expr, ExprKind, Extent, Grouping, MatchingLabels, Number,
    Selector, Shift, Side, Subquery,
};
use crate::parser::is_reserved;
use crate::quote::{quote, quote_bytes};
use crate::value::format_float;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(f),
            ExprKind::Text(text) => f.write_str(&quote_bytes(&text.bytes)),
            ExprKind::Selector(selector) => {
                write!(f, "{selector}{}{}", extent(selector.extent), selector.shift)
            }
            ExprKind::Range(range) => {
                let selector = &range.selector;
                write!(f, "{selector}[{}]{}{}", range.range, extent(selector.extent), selector.shift)
            }
            ExprKind::Subquery(subquery) => subquery.fmt(f),
            ExprKind::Unary { negative, operand } => write!(f, "{}{operand}", if *negative { "-" } else { "+" }),
            ExprKind::Binary(binary) => binary.fmt(f),
            ExprKind::Aggregate(aggregation) => aggregation.fmt(f),
            ExprKind::Call(call) => {
                let written = call.arguments.iter().filter(|argument| !argument.is_implied());
                let arguments: Vec<String> = written.map(Self::to_string).collect();
                write!(f, "{}({})", call.function.name, arguments.join(", "))
            }
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.as_duration
            && let Some(millis) = crate::duration::whole_millis(self.value)
        {
            // Minus zero is another number than zero.
            f.write_str(if millis == 0 && self.value.is_sign_negative() { "-" } else { "" })?;
            return DurationExpr::Millis(millis).fmt(f);
        }
        f.write_str(&format_float(self.value))
    }
}

/// The name and the braces; modifiers stand behind the window.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain_name =
            self.name.as_deref().filter(|name| is_plain(name, ":") && !is_reserved(&name.to_ascii_lowercase()));
        let quoted_name = self.name.as_deref().filter(|_| plain_name.is_none());
        let is_name = |matcher: &&Matcher| {
            matcher.name() == METRIC_NAME
                && matcher.op() == MatchOp::Equal
                && self.name.as_deref() == Some(matcher.value())
        };
        let written = self.matchers.iter().filter(|matcher| !is_name(matcher)).map(|matcher| {
            let name = label(matcher.name());
            format!("{name}{}{}", matcher.op().as_str(), quote(matcher.value()))
        });
        let mut written: Vec<String> = written.collect();
        written.sort_unstable();
        let parts: Vec<String> = quoted_name.map(quote).into_iter().chain(written).collect();
        f.write_str(plain_name.unwrap_or(""))?;
        // Without a name the braces are all there is.
        if parts.is_empty() && plain_name.is_some() { Ok(()) } else { write!(f, "{{{}}}", parts.join(",")) }
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            None => {}
            #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ms")]
            Some(At::Millis(millis)) => write!(f, " @ {:.3}", millis as f64 / 1000.0)?,
            Some(At::Start) => f.write_str(" @ start()")?,
            Some(At::End) => f.write_str(" @ end()")?,
        }
        self.offset.as_ref().map_or(Ok(()), |offset| write!(f, " offset {offset}"))
    }
}

impl fmt::Display for Subquery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.expr, self.window())
    }
}

impl Subquery {
    /// The brackets and the modifiers behind the expression.
    pub(crate) fn window(&self) -> String {
        let step = self.step.as_ref().map(DurationExpr::to_string).unwrap_or_default();
        format!("[{}:{step}]{}", self.range, self.shift)
    }
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Millis(millis) => {
                let sign = if *millis < 0 { "-" } else { "" };
                write!(f, "{sign}{}", model::duration::format(Duration::from_millis(millis.unsigned_abs())))
            }
            Self::Number(number) => number.fmt(f),
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Negative(inner) => write!(f, "-{inner}"),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::MinOf(left, right) => write!(f, "min_of({left}, {right})"),
            Self::MaxOf(left, right) => write!(f, "max_of({left}, {right})"),
            Self::Binary(op, left, right) => write!(f, "{left} {} {right}", op.as_str()),
        }
    }
}

impl fmt::Display for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.left.to_string();
        // A sign before a power would be read as the sign of the power.
        let left = if self.op == BinaryOp::Pow { left.trim_start_matches('+') } else { &left };
        write!(f, "{left} {} {}", self.middle(), self.right)
    }
}

impl Binary {
    /// The operator and all that stands between it and the right side.
    pub(crate) fn middle(&self) -> String {
        let mut text = self.op.as_str().to_owned();
        if self.returns_bool {
            text.push_str(" bool");
        }
        match &self.matching.labels {
            Some(MatchingLabels::On(labels)) => text.push_str(&format!(" on ({})", list(labels))),
            Some(MatchingLabels::Ignoring(labels)) if !labels.is_empty() || self.matching.group.is_some() => {
                text.push_str(&format!(" ignoring ({})", list(labels)));
            }
            Some(MatchingLabels::Ignoring(_)) | None => {}
        }
        if let Some(group) = &self.matching.group {
            let word = if group.many == Side::Left { "group_left" } else { "group_right" };
            text.push_str(&format!(" {word} ({})", list(&group.include)));
        }
        match (self.matching.fill_left, self.matching.fill_right) {
            (None, None) => {}
            (Some(left), Some(right)) if left == right => text.push_str(&format!(" fill ({left})")),
            (left, right) => {
                let sides = [("fill_left", left), ("fill_right", right)];
                let filled = sides.into_iter().filter_map(|(word, value)| Some(format!(" {word} ({})", value?)));
                text.extend(filled);
            }
        }
        text
    }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head())?;
        f.write_str("(")?;
        if let Some(parameter) = &self.parameter {
            write!(f, "{parameter}, ")?;
        }
        write!(f, "{})", self.expr)
    }
}

impl Aggregation {
    /// All that stands before the parentheses.
    pub(crate) fn head(&self) -> String {
        let op = self.op.as_str();
        match &self.grouping {
            Grouping::By(labels) if labels.is_empty() => op.to_owned(),
            Grouping::By(labels) => format!("{op} by ({}) ", list(labels)),
            Grouping::Without(labels) => format!("{op} without ({}) ", list(labels)),
        }
    }
}

const fn extent(extent: Option<Extent>) -> &'static str {
    match extent {
        None => "",
        Some(Extent::Anchored) => " anchored",
        Some(Extent::Smoothed) => " smoothed",
    }
}

fn list(labels: &[String]) -> String {
    labels.iter().map(|name| label(name)).collect::<Vec<_>>().join(", ")
}

fn label(name: &str) -> String {
    if is_plain(name, "") { name.to_owned() } else { quote(name) }
}

/// Whether a name needs no quotes; `also` lists further characters it may have.
pub(crate) fn is_plain(name: &str, also: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || also.contains(c);
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(allowed)
}

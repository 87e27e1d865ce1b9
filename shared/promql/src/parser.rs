//! Reads expressions: precedence climbing over the tokens, then checks of each node when it is built.

mod check;
mod duration;
mod selector;

use model::{Limits, METRIC_NAME, Matcher};

use crate::ast::{
    AggregateOp, Aggregation, Binary, BinaryOp, Call, CallPattern, Expr, ExprKind, Group, Grouping, Matching,
    MatchingLabels, Number, Selector, Shift, Side, Span, TextLiteral,
};
use crate::error::ParseError;
use crate::functions::{self, FunctionId};
use crate::lexer::{Mode, Token, TokenKind, lex};
use crate::quote::{quote, quote_bytes};
use crate::selection::Profile;

/// How deep expressions may lie within each other; reading and evaluating them takes stack.
pub(crate) const NESTING_MAX: usize = 100;

/// How deep the tree may be: a chain of operators makes it as deep as the chain is long, though nothing is nested.
const DEPTH_MAX: usize = 400;

/// Reads an expression of the whole language.
///
/// # Errors
/// When the text is none, is longer than [`Limits::query_text_bytes_max`] by default, or nests too deeply; says where
/// and why.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    parse_as(text, Profile::Extended, &Limits::default())
}

/// Reads an expression as a profile has it, under other limits.
///
/// # Errors
/// As [`parse`], and when the expression needs what the profile leaves out.
pub fn parse_as(text: &str, profile: Profile, limits: &Limits) -> Result<Expr, ParseError> {
    if text.len() > limits.query_text_bytes_max {
        let limit = limits.query_text_bytes_max;
        let message = format!("expression of {} bytes is over the limit query_text_bytes_max of {limit}", text.len());
        return Err(ParseError::at(text, 0, message));
    }
    let mut parser = Parser::new(text, profile)?;
    if parser.token.kind == TokenKind::End {
        return Err(parser.error_at(0, "no expression found in input"));
    }
    let expr = parser.expression(0)?;
    if parser.token.kind != TokenKind::End {
        return Err(parser.unexpected("", ""));
    }
    check::tree(&expr, text).map_err(|(offset, message)| parser.error_at(offset, message))?;
    Ok(expr)
}

/// Reads a plain selector such as `up{job="api"}`, without window and modifiers: what `match[]` takes.
///
/// # Errors
/// When the text is none, or would select everything.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(text, Profile::Extended)?;
    let expr = parser.expression(0)?;
    if parser.token.kind != TokenKind::End {
        return Err(parser.unexpected("", ""));
    }
    let ExprKind::Selector(selector) = &expr.kind else {
        return Err(parser.error_at(0, "not a series selector"));
    };
    if selector.shift != Shift::default() || selector.extent.is_some() {
        return Err(parser.error_at(0, "modifiers are not allowed in a series selector"));
    }
    if selector.matchers.iter().all(Matcher::matches_empty) {
        return Err(parser.error_at(0, "match[] must contain at least one non-empty matcher"));
    }
    check::tree(&expr, text).map_err(|(offset, message)| parser.error_at(offset, message))?;
    Ok(selector.matchers.clone())
}

/// The state of reading: one token ahead.
struct Parser<'a> {
    text: &'a str,
    profile: Profile,
    token: Token,
    /// Where each line begins; the first entry is 0.
    line_starts: Vec<usize>,
    /// Where the token before ended.
    previous_end: usize,
    mode: Mode,
    /// Parentheses that are open.
    parens: usize,
    /// Calls of [`Parser::expression`] within each other.
    nesting: usize,
    /// Aggregations within each other: what is misplaced in one is said to be so.
    aggregations: usize,
    /// Selectors so far.
    selectors: usize,
    /// Regular expressions so far.
    patterns: usize,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn new(text: &'a str, profile: Profile) -> Parsed<Self> {
        let token = lex(text, 0, Mode::Expression)?;
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect();
        let mode = Mode::Expression;
        Ok(Self {
            text,
            profile,
            token,
            line_starts,
            previous_end: 0,
            mode,
            parens: 0,
            nesting: 0,
            aggregations: 0,
            selectors: 0,
            patterns: 0,
        })
    }

    /// Operators of at least that precedence, and what they stand between.
    fn expression(&mut self, precedence_min: u8) -> Parsed<Expr> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.error(too_deep()));
        }
        let mut left = self.operand()?;
        while let Some((op, precedence)) = self.operator().filter(|(_, precedence)| *precedence >= precedence_min) {
            self.advance()?;
            left = self.binary(op, precedence, left)?;
        }
        self.nesting -= 1;
        Ok(left)
    }

    /// The operator that comes next, and its precedence.
    fn operator(&self) -> Option<(BinaryOp, u8)> {
        let written = match &self.token.kind {
            TokenKind::Symbol(symbol) => (*symbol).to_owned(),
            TokenKind::Name => self.written().to_ascii_lowercase(),
            TokenKind::End | TokenKind::Number(_) | TokenKind::Duration(_) | TokenKind::Text(_) => return None,
        };
        Some(match written.as_str() {
            "or" => (BinaryOp::Or, 1),
            "and" => (BinaryOp::And, 2),
            "unless" => (BinaryOp::Unless, 2),
            "==" => (BinaryOp::Equal, 3),
            "!=" => (BinaryOp::NotEqual, 3),
            "<" => (BinaryOp::Less, 3),
            "<=" => (BinaryOp::LessOrEqual, 3),
            ">" => (BinaryOp::Greater, 3),
            ">=" => (BinaryOp::GreaterOrEqual, 3),
            "+" => (BinaryOp::Add, 4),
            "-" => (BinaryOp::Sub, 4),
            "*" => (BinaryOp::Mul, 5),
            "/" => (BinaryOp::Div, 5),
            "%" => (BinaryOp::Mod, 5),
            "atan2" => (BinaryOp::Atan2, 5),
            "</" => (BinaryOp::TrimUpper, 5),
            ">/" => (BinaryOp::TrimLower, 5),
            "^" => (BinaryOp::Pow, 6),
            _ => return None,
        })
    }

    fn binary(&mut self, op: BinaryOp, precedence: u8, left: Expr) -> Parsed<Expr> {
        let returns_bool = self.take_word("bool")?;
        let matching = self.matching()?;
        let right_min = if op == BinaryOp::Pow { precedence } else { precedence + 1 };
        let right = self.expression(right_min)?;
        let start = left.span.start;
        if matching.fill_left.is_some() || matching.fill_right.is_some() {
            self.experimental(start, || "binop fill modifiers are experimental and not enabled".to_owned())?;
        }
        let binary = Binary { op, left, right, returns_bool, matching };
        self.build(ExprKind::Binary(Box::new(binary)), start)
    }

    fn matching(&mut self) -> Parsed<Matching> {
        let mut matching = Matching::default();
        if self.take_word("on")? {
            matching.labels = Some(MatchingLabels::On(self.label_list()?));
        } else if self.take_word("ignoring")? {
            matching.labels = Some(MatchingLabels::Ignoring(self.label_list()?));
        }
        // Ignoring nothing is what happens anyway.
        let ignores_nothing = matching.labels == Some(MatchingLabels::Ignoring(Vec::new()));
        for (word, many) in [("group_left", Side::Left), ("group_right", Side::Right)] {
            if matching.labels.is_some() && matching.group.is_none() && self.take_word(word)? {
                let include = if self.is_symbol("(") { self.label_list()? } else { Vec::new() };
                matching.group = Some(Group { many, include });
            }
        }
        if ignores_nothing && matching.group.is_none() {
            matching.labels = None;
        }
        for (word, left, right) in [("fill", true, true), ("fill_left", true, false), ("fill_right", false, true)] {
            self.fill(word, left.then_some(()), right.then_some(()), &mut matching)?;
        }
        // The two one-sided forms may stand in either order.
        self.fill("fill_left", Some(()), None, &mut matching)?;
        Ok(matching)
    }

    fn fill(&mut self, word: &str, left: Option<()>, right: Option<()>, matching: &mut Matching) -> Parsed<()> {
        let is_call = self.token.kind == TokenKind::Name
            && self.written().eq_ignore_ascii_case(word)
            && self.text[self.token.end..].trim_start().starts_with('(');
        if !is_call {
            return Ok(());
        }
        self.advance()?;
        self.open_paren("fill modifier")?;
        let negative = self.sign()?;
        let TokenKind::Number(value) = self.number_token() else {
            return Err(self.unexpected("fill modifier", "number"));
        };
        let number = Number { value: if negative { -value } else { value }, as_duration: false };
        self.advance()?;
        self.close_paren("fill modifier")?;
        matching.fill_left = left.map(|()| number).or(matching.fill_left);
        matching.fill_right = right.map(|()| number).or(matching.fill_right);
        Ok(())
    }

    /// A sign or a primary expression, with what is attached to it.
    fn operand(&mut self) -> Parsed<Expr> {
        let start = self.token.start;
        if self.is_symbol("+") || self.is_symbol("-") {
            let negative = self.sign()?;
            let operand = self.expression(6)?;
            if let ExprKind::Number(number) = &operand.kind {
                let value = if negative { -number.value } else { number.value };
                return self.build(ExprKind::Number(Number { value, ..*number }), start);
            }
            return self.build(ExprKind::Unary { negative, operand: Box::new(operand) }, start);
        }
        let mut expr = self.primary()?;
        while let Some(next) = self.attachment(start)? {
            expr = self.attach(expr, next)?;
        }
        Ok(expr)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let start = self.token.start;
        match self.number_token() {
            TokenKind::Number(value) => {
                self.advance()?;
                self.build(ExprKind::Number(Number { value, as_duration: false }), start)
            }
            TokenKind::Duration(millis) => {
                self.advance()?;
                #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 ms")]
                let value = millis as f64 / 1000.0;
                self.build(ExprKind::Number(Number { value, as_duration: true }), start)
            }
            TokenKind::Text(bytes) => {
                self.advance()?;
                self.build(ExprKind::Text(TextLiteral { bytes }), start)
            }
            TokenKind::Symbol("(") => {
                self.open_paren("")?;
                let inner = self.expression(0)?;
                self.close_paren("")?;
                self.build(ExprKind::Paren(Box::new(inner)), start)
            }
            TokenKind::Symbol("{") => self.selector(None),
            TokenKind::Name => self.named(),
            TokenKind::Symbol(_) | TokenKind::End => Err(self.unexpected("", "")),
        }
    }

    /// An aggregation, a call or a selector: what begins with a name.
    fn named(&mut self) -> Parsed<Expr> {
        let name = self.written().to_owned();
        let lower = name.to_ascii_lowercase();
        if is_reserved(&lower) {
            return Err(self.unexpected("", ""));
        }
        let start = self.token.start;
        self.advance()?;
        let aggregation = AggregateOp::ALL.into_iter().find(|op| op.as_str() == lower);
        let grouped = self.is_word("by") || self.is_word("without");
        match aggregation {
            Some(op) if self.is_symbol("(") || grouped => self.aggregation(op, start),
            Some(_) | None if self.is_symbol("(") => self.call(&name, start),
            Some(_) | None => self.selector(Some((name, start))),
        }
    }

    fn aggregation(&mut self, op: AggregateOp, start: usize) -> Parsed<Expr> {
        self.aggregations += 1;
        let mut grouping = self.grouping()?;
        let mut arguments = self.arguments()?;
        self.aggregations -= 1;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let (expected, got) = (1 + usize::from(op.has_parameter()), arguments.len());
        if got == 0 {
            return Err(self.error_at(start, "no arguments for aggregate expression provided"));
        }
        if op.is_experimental() {
            self.experimental(start, || {
                let flag = "--enable-feature=promql-experimental-functions";
                format!("{}() is experimental and must be enabled with {flag}", op.as_str())
            })?;
        }
        if got != expected {
            let message =
                format!("wrong number of arguments for aggregate expression provided, expected {expected}, got {got}");
            return Err(self.error_at(start, message));
        }
        let expr = arguments.pop().expect("the number of arguments was just checked");
        let grouping = grouping.unwrap_or(Grouping::By(Vec::new()));
        let aggregation = Aggregation { op, expr, parameter: arguments.pop(), grouping };
        self.build(ExprKind::Aggregate(Box::new(aggregation)), start)
    }

    fn grouping(&mut self) -> Parsed<Option<Grouping>> {
        if self.take_word("by")? {
            return Ok(Some(Grouping::By(self.label_list()?)));
        }
        if self.take_word("without")? {
            return Ok(Some(Grouping::Without(self.label_list()?)));
        }
        Ok(None)
    }

    /// Names in parentheses.
    fn label_list(&mut self) -> Parsed<Vec<String>> {
        const CONTEXT: &str = "grouping opts";
        let mut labels = Vec::new();
        if !self.is_symbol("(") {
            return Err(self.unexpected(CONTEXT, "\"(\""));
        }
        self.open_paren(CONTEXT)?;
        while !self.is_symbol(")") {
            labels.push(match &self.token.kind {
                TokenKind::Name if !matches!(self.number_token(), TokenKind::Number(_)) => self.written().to_owned(),
                TokenKind::Text(bytes) if bytes.is_empty() => {
                    return Err(self.error("invalid label name for grouping: \"\""));
                }
                TokenKind::Text(bytes) => self.utf8(bytes.clone())?,
                TokenKind::Name
                | TokenKind::End
                | TokenKind::Number(_)
                | TokenKind::Duration(_)
                | TokenKind::Symbol(_) => return Err(self.unexpected(CONTEXT, "label")),
            });
            self.advance()?;
            if !self.take_symbol(",")? && !self.is_symbol(")") {
                return Err(self.unexpected(CONTEXT, "\",\" or \")\""));
            }
        }
        self.close_paren(CONTEXT)?;
        Ok(labels)
    }

    fn call(&mut self, name: &str, start: usize) -> Parsed<Expr> {
        let mut arguments = self.arguments()?;
        let Some(function) = functions::find(name) else {
            return Err(self.error_at(start, format!("unknown function with name {}", quote(name))));
        };
        if function.is_experimental() {
            self.experimental(start, || format!("function {} is not enabled", quote(name)))?;
        }
        if function.id == FunctionId::Info && arguments.len() == 1 {
            arguments.push(self.target_info()?);
        }
        let call = Call { function, arguments, pattern: CallPattern::default() };
        self.build(ExprKind::Call(Box::new(call)), start)
    }

    /// The info metrics meant when `info` does not say which: a selector that takes no room in the text.
    fn target_info(&mut self) -> Parsed<Expr> {
        let matchers = vec![Matcher::equal(METRIC_NAME, "target_info")];
        let index = self.selectors;
        self.selectors += 1;
        let selector = Selector { index, name: None, matchers, shift: Shift::default(), extent: None };
        self.build(ExprKind::Selector(Box::new(selector)), self.previous_end)
    }

    /// Expressions in parentheses.
    fn arguments(&mut self) -> Parsed<Vec<Expr>> {
        let mut arguments = Vec::new();
        if !self.is_symbol("(") {
            return Err(self.unexpected("", ""));
        }
        self.open_paren("")?;
        while !self.is_symbol(")") {
            arguments.push(self.expression(0)?);
            let comma = self.token.start;
            // Behind a comma an operator is as much as the end.
            let begins = ["(", "{", "+", "-", "[", "]", "}", ":"];
            let is_end = |token: &TokenKind| matches!(token, TokenKind::Symbol(symbol) if !begins.contains(symbol));
            if self.take_symbol(",")? && is_end(&self.token.kind) {
                return Err(self.error_at(comma, "trailing commas not allowed in function call args"));
            }
            if !self.is_symbol(")") && !self.text[..self.token.start].trim_end().ends_with(',') {
                return Err(self.unexpected("", ""));
            }
        }
        self.close_paren("")?;
        Ok(arguments)
    }

    /// A node of the tree, unless it lies too deep.
    fn build(&self, kind: ExprKind, start: usize) -> Parsed<Expr> {
        let line = self.line_starts.partition_point(|line_start| *line_start <= start);
        let column = start - self.line_starts[line - 1] + 1;
        let expr = Expr::new(kind, Span { start, end: self.previous_end, line, column });
        if expr.depth > DEPTH_MAX {
            return Err(self.error_at(start, format!("more than {DEPTH_MAX} operators in a row or levels deep")));
        }
        Ok(expr)
    }

    // Tokens.

    fn advance(&mut self) -> Parsed<()> {
        self.previous_end = self.token.end;
        self.token = lex(self.text, self.token.end, self.mode)?;
        Ok(())
    }

    fn written(&self) -> &'a str {
        &self.text[self.token.start..self.token.end]
    }

    /// The next token, with `Inf` and `NaN` as the numbers they are.
    fn number_token(&self) -> TokenKind {
        let next = self.text[self.token.end..].trim_start();
        match &self.token.kind {
            TokenKind::Name if !next.starts_with('(') => match self.written().to_ascii_lowercase().as_str() {
                "inf" => TokenKind::Number(f64::INFINITY),
                "nan" => TokenKind::Number(f64::NAN),
                _ => TokenKind::Name,
            },
            kind @ (TokenKind::End
            | TokenKind::Name
            | TokenKind::Number(_)
            | TokenKind::Duration(_)
            | TokenKind::Text(_)
            | TokenKind::Symbol(_)) => kind.clone(),
        }
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(&self.token.kind, TokenKind::Symbol(next) if *next == symbol)
    }

    fn take_symbol(&mut self, symbol: &str) -> Parsed<bool> {
        let found = self.is_symbol(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn is_word(&self, word: &str) -> bool {
        self.token.kind == TokenKind::Name && self.written().eq_ignore_ascii_case(word)
    }

    fn take_word(&mut self, word: &str) -> Parsed<bool> {
        let found = self.is_word(word);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    /// Reads signs; says whether they come down to a minus.
    fn sign(&mut self) -> Parsed<bool> {
        let negative = self.is_symbol("-");
        if negative || self.is_symbol("+") {
            self.advance()?;
        }
        Ok(negative)
    }

    fn open_paren(&mut self, context: &str) -> Parsed<()> {
        if !self.is_symbol("(") {
            return Err(self.unexpected(context, "\"(\""));
        }
        self.parens += 1;
        self.advance()
    }

    fn close_paren(&mut self, context: &str) -> Parsed<()> {
        if !self.is_symbol(")") {
            return Err(self.unexpected(context, if context.is_empty() { "" } else { "\")\"" }));
        }
        self.parens -= 1;
        self.advance()
    }

    fn utf8(&self, bytes: Vec<u8>) -> Parsed<String> {
        String::from_utf8(bytes)
            .map_err(|error| self.error(format!("invalid UTF-8 in {}", quote_bytes(error.as_bytes()))))
    }

    // Errors.

    /// Refuses what a stock Prometheus takes only behind a feature flag, unless the profile takes all there is.
    fn experimental(&self, offset: usize, message: impl FnOnce() -> String) -> Parsed<()> {
        match self.profile {
            Profile::Extended => Ok(()),
            Profile::Prometheus => Err(self.error_at(offset, format!("{}{SWITCHED_OFF}", message()))),
        }
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        self.error_at(self.token.start, message)
    }

    fn error_at(&self, offset: usize, message: impl Into<String>) -> ParseError {
        ParseError::at(self.text, offset, message)
    }

    /// The next token does not belong there.
    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        if self.token.kind == TokenKind::End && self.parens > 0 {
            return self.error("unclosed left parenthesis");
        }
        if self.is_symbol(")") && self.parens == 0 {
            return self.error_at(self.token.end, "unexpected right parenthesis ')'");
        }
        if self.is_symbol("]") && self.mode != Mode::Brackets {
            return self.error("unexpected right bracket ']'");
        }
        let context = if context.is_empty() && self.aggregations > 0 { "aggregation" } else { context };
        let mut message = format!("unexpected {}", self.describe());
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.error(message)
    }

    fn describe(&self) -> String {
        let written = self.written();
        let lower = written.to_ascii_lowercase();
        match &self.token.kind {
            TokenKind::End => "end of input".to_owned(),
            TokenKind::Name if self.mode == Mode::Braces => format!("identifier {}", quote(written)),
            TokenKind::Name if matches!(lower.as_str(), "inf" | "nan") => format!("number {}", quote(written)),
            TokenKind::Name if KEYWORDS.contains(&lower.as_str()) => format!("<{written}>"),
            TokenKind::Name if matches!(lower.as_str(), "and" | "or" | "unless" | "atan2") => {
                format!("<op:{written}>")
            }
            TokenKind::Name if AggregateOp::ALL.iter().any(|op| op.as_str() == lower) => format!("<aggr:{written}>"),
            TokenKind::Name => format!("identifier {}", quote(written)),
            TokenKind::Number(_) => format!("number {}", excerpt(written)),
            TokenKind::Duration(_) => format!("duration {}", excerpt(written)),
            TokenKind::Text(_) => format!("string {}", excerpt(written)),
            TokenKind::Symbol(symbol @ ("=" | "(" | ")" | "{" | "}" | "[" | "]" | "," | ":")) => quote(symbol),
            TokenKind::Symbol(symbol) => format!("<op:{symbol}>"),
        }
    }
}

/// Whether a lower-case word cannot be the name of a metric unless it is quoted.
pub(crate) fn is_reserved(word: &str) -> bool {
    matches!(word, "on" | "ignoring" | "group_left" | "group_right" | "bool" | "atan2" | "inf" | "nan")
}

/// What an error adds to Prometheus's words about a feature that is off: Mihari has one flag for all of them.
const SWITCHED_OFF: &str = " (Mihari takes it with --promql-profile=extended)";

/// Words that are neither operators nor aggregations.
const KEYWORDS: [&str; 9] = ["offset", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "start"];

/// What is written, in quotes: of more than ten bytes the first ten characters.
fn excerpt(written: &str) -> String {
    if written.len() <= 10 {
        return quote(written);
    }
    format!("{}...", quote(&written.chars().take(10).collect::<String>()))
}

fn too_deep() -> String {
    format!("expression is nested more than {NESTING_MAX} levels deep")
}

#[cfg(test)]
mod tests;

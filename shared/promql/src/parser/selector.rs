//! Selectors and what is attached to expressions: windows, offsets, `@`.

#![expect(clippy::wildcard_enum_match_arm, reason = "only selectors and subqueries take modifiers")]

use model::pattern::PATTERN_BYTES_MAX;
use model::{METRIC_NAME, MatchOp, Matcher};

use super::{Parsed, Parser};
use crate::ast::{At, DurationExpr, Expr, ExprKind, Extent, RangeSelector, Selector, Shift, Subquery};
use crate::duration::whole_millis;
use crate::lexer::{Mode, TokenKind};
use crate::quote::quote;

/// What may follow an expression.
pub(super) enum Attachment {
    /// Between brackets, the first of which is at `start`.
    Window {
        start: usize,
        range: DurationExpr,
        step: Option<Option<DurationExpr>>,
    },
    Offset(DurationExpr),
    At(At),
    Extent(Extent),
}

/// So many patterns of a query may be as large as any.
const PATTERNS_LARGE: usize = 8;
/// What each of the others may take when it is compiled: a text can hold thousands of them.
const PATTERN_BYTES_LATER: usize = 32 << 10;

impl Parser<'_> {
    /// A selector, whose name may have been read already.
    pub(super) fn selector(&mut self, name: Option<(String, usize)>) -> Parsed<Expr> {
        let start = name.as_ref().map_or(self.token.start, |(_, start)| *start);
        let mut matchers = Vec::new();
        let mut quoted_name = None;
        if self.is_symbol("{") {
            self.mode = Mode::Braces;
            self.advance()?;
            self.matchers(&mut matchers, &mut quoted_name)?;
            self.mode = Mode::Expression;
            self.advance()?;
        }
        let name = name.map(|(name, _)| name);
        if let (Some(outer), Some(quoted)) = (&name, &quoted_name) {
            let message = format!("metric name must not be set twice: {} or {}", quote(outer), quote(quoted));
            return Err(self.error_at(start, message));
        }
        if let Some(name) = name.as_ref().or(quoted_name.as_ref()) {
            matchers.push(Matcher::equal(METRIC_NAME, name));
        }
        // A name in braces is a matcher like any other, and only a name when it is the only one.
        let is_name = matchers.iter().filter(|matcher| matcher.name() == METRIC_NAME).count() == 1;
        let name = name.or(quoted_name.filter(|_| is_name));
        let index = self.selectors;
        self.selectors += 1;
        let selector = Selector { index, name, matchers, shift: Shift::default(), extent: None };
        self.build(ExprKind::Selector(Box::new(selector)), start)
    }

    /// Everything up to the closing brace, which stays the next token.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>, quoted_name: &mut Option<String>) -> Parsed<()> {
        const CONTEXT: &str = "label matching";
        while !self.is_symbol("}") {
            let (start, quoted) = (self.token.start, matches!(self.token.kind, TokenKind::Text(_)));
            let name = match &self.token.kind {
                TokenKind::Name => self.written().to_owned(),
                TokenKind::Text(bytes) => self.utf8(bytes.clone())?,
                TokenKind::End | TokenKind::Number(_) | TokenKind::Duration(_) | TokenKind::Symbol(_) => {
                    return Err(self.unexpected(CONTEXT, "identifier or \"}\""));
                }
            };
            self.advance()?;
            if quoted && (self.is_symbol(",") || self.is_symbol("}")) {
                match quoted_name {
                    Some(_) => matchers.push(Matcher::equal(METRIC_NAME, &name)),
                    None => *quoted_name = Some(name),
                }
            } else if quoted && matches!(self.token.kind, TokenKind::Text(_) | TokenKind::Name) {
                return Err(self.unexpected(CONTEXT, "\",\" or \"}\""));
            } else {
                matchers.push(self.matcher(&name, start)?);
            }
            if !self.is_symbol("}") && !self.take_symbol(",")? {
                return Err(self.unexpected(CONTEXT, "\",\" or \"}\""));
            }
        }
        Ok(())
    }

    fn matcher(&mut self, name: &str, start: usize) -> Parsed<Matcher> {
        const CONTEXT: &str = "label matching";
        let op = match &self.token.kind {
            TokenKind::Symbol("=") => MatchOp::Equal,
            TokenKind::Symbol("!=") => MatchOp::NotEqual,
            TokenKind::Symbol("=~") => MatchOp::Regex,
            TokenKind::Symbol("!~") => MatchOp::NotRegex,
            _ => return Err(self.unexpected(CONTEXT, "label matching operator")),
        };
        self.advance()?;
        let TokenKind::Text(bytes) = &self.token.kind else {
            return Err(self.unexpected(CONTEXT, "string"));
        };
        let value = self.utf8(bytes.clone())?;
        let room = if self.patterns < PATTERNS_LARGE { PATTERN_BYTES_MAX } else { PATTERN_BYTES_LATER };
        self.patterns += usize::from(matches!(op, MatchOp::Regex | MatchOp::NotRegex));
        let matcher = Matcher::with_room(name, op, &value, room)
            .map_err(|error| self.error_at(start, error.pattern_error().to_string()))?;
        self.advance()?;
        Ok(matcher)
    }

    /// Reads what is attached to the expression before, if anything is.
    pub(super) fn attachment(&mut self, start: usize) -> Parsed<Option<Attachment>> {
        if self.is_symbol("[") {
            return self.window().map(Some);
        }
        if self.take_word("offset")? {
            return self.offset_duration().map(|offset| Some(Attachment::Offset(offset)));
        }
        if self.take_symbol("@")? {
            return self.at(start).map(|at| Some(Attachment::At(at)));
        }
        if self.take_word("anchored")? {
            return Ok(Some(Attachment::Extent(Extent::Anchored)));
        }
        if self.take_word("smoothed")? {
            return Ok(Some(Attachment::Extent(Extent::Smoothed)));
        }
        Ok(None)
    }

    fn window(&mut self) -> Parsed<Attachment> {
        const SUBQUERY: &str = "subquery selector";
        let start = self.token.start;
        self.mode = Mode::Brackets;
        self.advance()?;
        let range = self.window_duration("subquery or range selector")?;
        let mut step = None;
        if self.take_symbol(":")? {
            step = Some(if self.is_symbol("]") { None } else { Some(self.window_duration(SUBQUERY)?) });
        }
        if !self.is_symbol("]") {
            return Err(match &self.token.kind {
                TokenKind::Name if step.is_none() => {
                    let first = self.written().chars().next().unwrap_or(' ');
                    self.error(format!("unexpected character: '{first}', expected ':'"))
                }
                TokenKind::Symbol(":") => self.error("unexpected colon ':'"),
                _ if step.is_some() => self.unexpected(SUBQUERY, "\"]\""),
                _ => self.unexpected("subquery or range", "\":\" or \"]\""),
            });
        }
        self.mode = Mode::Expression;
        self.advance()?;
        Ok(Attachment::Window { start, range, step })
    }

    fn at(&mut self, start: usize) -> Parsed<At> {
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if self.take_word(word)? {
                if !self.is_symbol("(") {
                    return Err(self.unexpected("@", "timestamp"));
                }
                self.open_paren("@")?;
                self.close_paren("@")?;
                return Ok(at);
            }
        }
        let negative = self.sign()?;
        let seconds = match self.number_token() {
            TokenKind::Number(value) => value,
            #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 ms")]
            TokenKind::Duration(millis) => millis as f64 / 1000.0,
            TokenKind::End | TokenKind::Name | TokenKind::Text(_) | TokenKind::Symbol(_) => {
                return Err(self.unexpected("@", "timestamp"));
            }
        };
        self.advance()?;
        let seconds = if negative { -seconds } else { seconds };
        whole_millis(seconds).filter(|_| seconds.is_finite()).map(At::Millis).ok_or_else(|| {
            let shown = if seconds.is_finite() { format!("{seconds:.6}") } else { crate::format_float(seconds) };
            self.error_at(start, format!("timestamp out of bounds for @ modifier: {shown}"))
        })
    }

    /// Puts the attachment to the expression it follows.
    pub(super) fn attach(&mut self, mut expr: Expr, attachment: Attachment) -> Parsed<Expr> {
        let start = expr.span.start;
        match attachment {
            Attachment::Window { start, range, step: None } => return self.range_selector(expr, start, range),
            Attachment::Window { range, step: Some(step), .. } => return self.subquery(expr, range, step),
            Attachment::Offset(offset) => {
                let shift = shift_of(&mut expr).ok_or_else(|| self.misplaced("offset", start))?;
                if shift.offset.replace(offset).is_some() {
                    return Err(self.error_at(start, "offset may not be set multiple times"));
                }
            }
            Attachment::At(at) => {
                let shift = shift_of(&mut expr).ok_or_else(|| self.misplaced("@", start))?;
                if shift.at.replace(at).is_some() {
                    return Err(self.error_at(start, "@ <timestamp> may not be set multiple times"));
                }
            }
            Attachment::Extent(extent) => {
                let place = match &mut expr.kind {
                    ExprKind::Selector(selector) => Some(&mut selector.extent),
                    ExprKind::Range(range) => Some(&mut range.selector.extent),
                    _ => None,
                };
                let name = if extent == Extent::Anchored { "anchored" } else { "smoothed" };
                self.experimental(start, || format!("{name} modifier is experimental and not enabled"))?;
                let place = place.ok_or_else(|| {
                    self.error_at(start, format!("{name} modifier must be preceded by a vector selector"))
                })?;
                if place.replace(extent).is_some() {
                    return Err(self.error_at(start, format!("{name} modifier may not be set multiple times")));
                }
            }
        }
        self.build(expr.kind, start)
    }

    /// A selector with a window, the bracket of which is at an offset.
    fn range_selector(&mut self, expr: Expr, bracket: usize, range: DurationExpr) -> Parsed<Expr> {
        let start = expr.span.start;
        let ExprKind::Selector(selector) = expr.kind else {
            return Err(self.error_at(bracket, "ranges only allowed for vector selectors"));
        };
        if selector.shift.offset.is_some() {
            return Err(self.error_at(bracket, "no offset modifiers allowed before range"));
        }
        if selector.shift.at.is_some() {
            return Err(self.error_at(bracket, "no @ modifiers allowed before range"));
        }
        self.build(ExprKind::Range(Box::new(RangeSelector { selector: *selector, range })), start)
    }

    fn subquery(&mut self, expr: Expr, range: DurationExpr, step: Option<DurationExpr>) -> Parsed<Expr> {
        let start = expr.span.start;
        self.build(ExprKind::Subquery(Box::new(Subquery { expr, range, step, shift: Shift::default() })), start)
    }

    fn misplaced(&self, what: &str, start: usize) -> crate::ParseError {
        let message = format!(
            "{what} modifier must be preceded by an instant vector selector or range vector selector or a subquery"
        );
        self.error_at(start, message)
    }
}

fn shift_of(expr: &mut Expr) -> Option<&mut Shift> {
    match &mut expr.kind {
        ExprKind::Selector(selector) => Some(&mut selector.shift),
        ExprKind::Range(range) => Some(&mut range.selector.shift),
        ExprKind::Subquery(subquery) => Some(&mut subquery.shift),
        _ => None,
    }
}

//! Durations in brackets and behind `offset`.

#![expect(clippy::wildcard_enum_match_arm, reason = "literals are special, all else is alike")]

use super::{NESTING_MAX, Parsed, Parser};
use crate::ast::{BinaryOp, DurationExpr, Number};
use crate::duration::whole_millis;
use crate::lexer::{Mode, TokenKind};

const EXPECTED: &str = "number, duration, step(), or range()";

impl Parser<'_> {
    /// A window or a subquery's step, as the context says: must be greater than zero.
    pub(super) fn window_duration(&mut self, context: &str) -> Parsed<DurationExpr> {
        let start = self.token.start;
        let duration = self.duration_expression(0, context)?;
        let duration = self.literal_to_millis(duration, start)?;
        self.experimental_duration(&duration, start)?;
        if matches!(duration, DurationExpr::Millis(millis) if millis <= 0) {
            return Err(self.error_at(start, "duration must be greater than 0"));
        }
        Ok(duration)
    }

    /// What follows `offset`: calculations only in parentheses.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        let start = self.token.start;
        let mode = std::mem::replace(&mut self.mode, Mode::Expression);
        let duration = self.duration_operand("offset")?;
        self.mode = mode;
        let duration = self.literal_to_millis(duration, start)?;
        self.experimental_duration(&duration, start)?;
        Ok(duration)
    }

    /// Calculations with durations are experimental; a literal with a sign is none.
    fn experimental_duration(&self, duration: &DurationExpr, start: usize) -> Parsed<()> {
        match duration {
            DurationExpr::Millis(_) | DurationExpr::Number(_) => Ok(()),
            _ => self.experimental(start, || "experimental duration expression is not enabled".to_owned()),
        }
    }

    /// A number that stands alone means seconds.
    fn literal_to_millis(&self, duration: DurationExpr, start: usize) -> Parsed<DurationExpr> {
        match duration {
            DurationExpr::Number(number) => whole_millis(number.value)
                .filter(|millis| millis.abs() / 1000 < 9_223_372_036)
                .map(DurationExpr::Millis)
                .ok_or_else(|| self.error_at(start, "duration out of range")),
            other => Ok(other),
        }
    }

    fn duration_expression(&mut self, precedence_min: u8, context: &str) -> Parsed<DurationExpr> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.error(super::too_deep()));
        }
        let nesting = self.nesting;
        let mut left = self.duration_operand(context)?;
        while let Some((op, precedence)) = self.operator().filter(|(op, precedence)| {
            *precedence >= precedence_min && is_arithmetic(*op) && matches!(self.token.kind, TokenKind::Symbol(_))
        }) {
            let start = self.token.start;
            self.advance()?;
            // A chain is a tree as deep as it is long.
            self.nesting += 1;
            let right =
                self.duration_expression(if op == BinaryOp::Pow { precedence } else { precedence + 1 }, context)?;
            if is_zero(&right) && matches!(op, BinaryOp::Div | BinaryOp::Mod) {
                let what = if op == BinaryOp::Div { "division" } else { "modulo" };
                return Err(self.error_at(start, format!("{what} by zero")));
            }
            left = DurationExpr::Binary(op, Box::new(left), Box::new(right));
        }
        self.nesting = nesting - 1;
        Ok(left)
    }

    fn duration_operand(&mut self, context: &str) -> Parsed<DurationExpr> {
        if self.is_symbol("-") || self.is_symbol("+") {
            let negative = self.sign()?;
            self.nesting += 1;
            // As in expressions, a sign binds weaker than a power.
            let operand = if context == "offset" {
                self.duration_operand(context)?
            } else {
                self.duration_expression(6, context)?
            };
            self.nesting -= 1;
            return Ok(if negative { negate(operand) } else { operand });
        }
        if self.is_symbol("(") {
            self.open_paren(context)?;
            let inner = self.duration_expression(0, "duration expression")?;
            self.close_paren(context)?;
            return Ok(DurationExpr::Paren(Box::new(inner)));
        }
        match self.number_token() {
            TokenKind::Number(value) => {
                self.advance()?;
                Ok(DurationExpr::Number(Number { value, as_duration: false }))
            }
            TokenKind::Duration(millis) => {
                self.advance()?;
                Ok(DurationExpr::Millis(millis))
            }
            TokenKind::Name => self.duration_function(context),
            // A subquery may have no step.
            TokenKind::End | TokenKind::Text(_) | TokenKind::Symbol(_) if context == "subquery selector" => {
                Err(self.unexpected(context, &format!("{EXPECTED} or \"]\"")))
            }
            TokenKind::End | TokenKind::Text(_) | TokenKind::Symbol(_) => Err(self.unexpected(context, EXPECTED)),
        }
    }

    fn duration_function(&mut self, context: &str) -> Parsed<DurationExpr> {
        let name = self.written().to_ascii_lowercase();
        if !matches!(name.as_str(), "step" | "range" | "min_of" | "max_of") {
            return Err(self.unexpected(context, EXPECTED));
        }
        self.advance()?;
        if !self.is_symbol("(") {
            return Err(self.unexpected(context, EXPECTED));
        }
        self.open_paren(context)?;
        let duration = match name.as_str() {
            "step" => DurationExpr::Step,
            "range" => DurationExpr::Range,
            name => {
                let left = Box::new(self.duration_expression(0, context)?);
                if !self.take_symbol(",")? {
                    return Err(self.unexpected(context, "\",\""));
                }
                let right = Box::new(self.duration_expression(0, context)?);
                if name == "min_of" { DurationExpr::MinOf(left, right) } else { DurationExpr::MaxOf(left, right) }
            }
        };
        self.close_paren(context)?;
        Ok(duration)
    }
}

fn negate(operand: DurationExpr) -> DurationExpr {
    match operand {
        DurationExpr::Millis(millis) => DurationExpr::Millis(-millis),
        DurationExpr::Number(number) => DurationExpr::Number(Number { value: -number.value, ..number }),
        other => DurationExpr::Negative(Box::new(other)),
    }
}

fn is_zero(duration: &DurationExpr) -> bool {
    match duration {
        DurationExpr::Millis(millis) => *millis == 0,
        DurationExpr::Number(number) => number.value == 0.0,
        _ => false,
    }
}

const fn is_arithmetic(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod | BinaryOp::Pow)
}

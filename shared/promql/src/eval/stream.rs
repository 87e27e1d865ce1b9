//! Rows one after the other, so that what needs each of them only once never holds all of them.

#![expect(clippy::wildcard_enum_match_arm, reason = "only selectors and functions of windows give rows one by one")]

use std::ops::ControlFlow;

use model::{Labels, METRIC_NAME, MatchOp, Series};

use super::select::with_detected_resets;
use super::vector::{Grid, Row, Vector};
use super::{Evaluator, Result_, room, window};
use crate::ast::{Expr, ExprKind, Selector};
use crate::error::EvalError;
use crate::selection::Profile;

/// Takes the rows of a vector: labels, whether the metric name is to be dropped, the samples (at least one).
pub(super) type Sink<'s, 'a> = dyn FnMut(&mut Evaluator<'a>, &Labels, bool, Row<'_>) -> Result_<()> + 's;

impl<'a> Evaluator<'a> {
    /// Gives the rows of a vector to a sink: where they can be had one by one, without holding the others.
    pub(super) fn stream(&mut self, expr: &Expr, grid: Grid, sink: &mut Sink<'_, 'a>) -> Result_<()> {
        if grid.count == 1 || !super::is_step_invariant(expr) {
            match &expr.without_parens().kind {
                ExprKind::Selector(selector) if selector.extent.is_none() => {
                    self.params.deadline.check()?;
                    return self.selector_rows(selector, grid, super::select::Pick::Value, sink);
                }
                ExprKind::Call(call) if window::is_over_time(call.function.id) && self.keeps_rows_apart(expr) => {
                    self.params.deadline.check()?;
                    return match self.params.profile {
                        Profile::Extended => self.over_time_rows(call, grid, sink),
                        Profile::Prometheus => {
                            self.over_time_rows(call, grid, &mut |evaluator, labels, drop_name, row| match drop_name {
                                true => sink(evaluator, &labels.without(&[METRIC_NAME]), false, row),
                                false => sink(evaluator, labels, false, row),
                            })
                        }
                    };
                }
                _ => {}
            }
        }
        let vector = self.vector(expr, grid)?;
        for row in 0..vector.rows() {
            self.check_deadline(row)?;
            let samples = vector.full_row(row);
            if samples.has_samples() {
                sink(self, &vector.labels[row], vector.drop_names[row], samples)?;
            }
        }
        Ok(())
    }

    /// Whether no two rows of a function of windows can become the same series when their names are dropped at once.
    fn keeps_rows_apart(&self, expr: &Expr) -> bool {
        let names_metric = |selector: &Selector| {
            selector.matchers.iter().any(|matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal)
        };
        let range = |argument: &Expr| match &argument.without_parens().kind {
            ExprKind::Range(range) => names_metric(&range.selector),
            _ => false,
        };
        self.params.profile == Profile::Extended || expr.without_parens().kind.children().any(range)
    }

    /// The rows of a stream as a vector, in which there are about so many.
    pub(super) fn collect(
        &mut self,
        grid: Grid,
        count: usize,
        rows: impl FnOnce(&mut Self, &mut Sink<'_, 'a>) -> Result_<()>,
    ) -> Result_<Vector> {
        /// More is not reserved before it is known to be needed.
        const RESERVED_MAX: usize = 1 << 22;
        let mut vector = Vector::new(grid.count);
        vector.reserve(count.min(RESERVED_MAX / grid.count.max(1)));
        rows(self, &mut |evaluator, labels, drop_name, row| {
            vector.push_row(labels.clone(), drop_name, row);
            evaluator.check_live(vector.values.len())
        })?;
        Ok(vector)
    }

    /// Shows each series of a selector once, counted against the limits as long as it is looked at.
    pub(super) fn each_series(
        &mut self,
        selector: &Selector,
        visit: &mut dyn FnMut(&mut Self, &Series) -> Result_<()>,
    ) -> Result_<()> {
        let (source, mut count, mut result) = (self.source, 0, Ok(()));
        source.each(selector.index, &mut |series| {
            count += 1;
            result = self.visit(series, count, visit);
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result
    }

    fn visit(
        &mut self,
        series: &Series,
        count: usize,
        visit: &mut dyn FnMut(&mut Self, &Series) -> Result_<()>,
    ) -> Result_<()> {
        let limit = self.params.limits.query_series_max;
        if count > limit {
            let what = format!("selector of more than {limit} series");
            return Err(EvalError::Limit { what, limit_name: "query_series_max", limit });
        }
        self.check_deadline(count - 1)?;
        let histograms = series.histograms.iter().flat_map(|samples| &samples.values);
        let held = series.len() + histograms.map(|histogram| room(histogram)).sum::<usize>();
        self.count_samples(held)?;
        if self.detects_resets && series.histograms.is_some() {
            visit(self, &with_detected_resets(series.clone()))?;
        } else {
            visit(self, series)?;
        }
        self.samples = self.samples.saturating_sub(held);
        Ok(())
    }
}

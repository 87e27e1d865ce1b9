//! Answers expressions.

use model::Series;

use crate::ast::Expr;
use crate::error::{EvalError, SourceError};
use crate::selection::Params;
use crate::value::Output;

/// Where the series of an expression's selectors come from.
pub trait Source {
    /// The series of the selection at that index of [`crate::selections`]; asked at most once for each.
    ///
    /// # Errors
    /// When they cannot be loaded.
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError>;
}

/// Answers an expression from loaded series.
///
/// # Errors
/// When the expression has no answer on this data, a limit is reached, the deadline passes or the source fails.
pub fn evaluate(expr: &Expr, source: &dyn Source, params: &Params) -> Result<Output, EvalError> {
    params.deadline.check()?;
    let _ = (expr, source);
    Err(EvalError::execution("evaluation is being built"))
}

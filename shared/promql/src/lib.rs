//! The query language: parse, say what to load, evaluate.
//!
//! Read [`Expr`] first, then [`selections`] (what an expression needs) and [`evaluate`] (what it answers). A caller
//! parses a text, asks for the selections, loads one list of series for each of them and evaluates:
//!
//! ```
//! use model::{Labels, Sample, Series, Timestamp};
//! use promql::{Params, Source, SourceError, Value};
//!
//! struct Loaded(Vec<Vec<Series>>);
//! impl Source for Loaded {
//!     fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError> {
//!         Ok(self.0[selection].clone())
//!     }
//! }
//!
//! let expr = promql::parse("up + 1").unwrap();
//! let params = Params::instant(Timestamp::from_secs(60));
//! assert_eq!(promql::selections(&expr, &params).len(), 1);
//! let up = Labels::from_pairs([("__name__", "up"), ("job", "api")]).unwrap();
//! let samples = [Sample { timestamp: Timestamp::from_secs(50), value: 1.0 }];
//! let loaded = Loaded(vec![vec![Series::from_samples(up, &samples)]]);
//! let Value::Vector(vector) = promql::evaluate(&expr, &loaded, &params).unwrap().value else { panic!() };
//! assert_eq!((vector[0].0.to_string(), vector[0].1.value), (r#"{job="api"}"#.to_owned(), 2.0));
//! ```
//!
//! Invariants:
//! - Knows no storage, no clock, no I/O: series come from a [`Source`], the time from [`Params`].
//! - Any text is parsed or refused with its position; any expression is answered or refused with a reason. Neither
//!   panics, overflows the stack or runs longer or larger than [`model::Limits`] allow.
//! - A range query answers at each step what an instant query answers there.

mod ast;
mod duration;
mod error;
mod eval;
mod functions;
mod lexer;
mod parser;
mod pretty;
mod print;
mod quote;
mod selection;
pub mod testing;
mod unfiltered;
mod value;

pub use ast::{
    AggregateOp, Aggregation, At, Binary, BinaryOp, Call, DurationExpr, Expr, ExprKind, Extent, Group, Grouping,
    Matching, MatchingLabels, Number, RangeSelector, Selector, Shift, Side, Span, Subquery, TextLiteral,
};
pub use error::{EvalError, ParseError, ProfileError, SourceError};
pub use eval::{Source, evaluate};
pub use functions::{FUNCTIONS, Function, FunctionId, LastArgument, ValueType};
pub use parser::{parse, parse_as, parse_selector};
pub use selection::{Deadline, Params, Profile, Selection, Stop, selections};
pub use unfiltered::unfiltered;
pub use value::{HistogramSample, Output, Value, format_float, push_float};

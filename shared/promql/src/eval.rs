//! Answers expressions: one pass over the tree, each node giving columns over all steps at once.

mod aggregate;
mod annotations;
mod binary;
mod calendar;
mod call;
mod float;
mod histogram;
mod info;
mod interner;
mod labels;
mod native;
mod select;
mod stream;
mod vector;
mod window;

use std::ops::ControlFlow;
use std::sync::Arc;

use model::{Histogram, HistogramSamples, Labels, Sample, Series, Timestamp};

use self::annotations::Annotations;
use self::vector::{Grid, Row, Vector, is_present};
use crate::ast::{AggregateOp, Expr, ExprKind};
use crate::error::{EvalError, SourceError};
use crate::functions::{FunctionId, ValueType};
use crate::selection::{Params, Profile, millis};
use crate::value::{HistogramSample, Output, Value};

/// Where the series of an expression's selectors come from.
pub trait Source {
    /// The series of the selection at that index of [`crate::selections`], each label set once, in the order of their
    /// labels (which decides only between equals, such as in `topk`); asked at most once for each.
    ///
    /// # Errors
    /// When they cannot be loaded.
    fn series(&self, selection: usize) -> Result<Vec<Series>, SourceError>;

    /// About how many series the selection has, to make room for what is made of them; zero where nobody knows.
    fn series_count(&self, _selection: usize) -> usize {
        0
    }

    /// As [`Self::series`], one after the other until `visit` has seen enough: sources that need not hold all of them
    /// at once have their own. For each selection either this or the other is asked.
    ///
    /// # Errors
    /// When they cannot be loaded.
    fn each(&self, selection: usize, visit: &mut dyn FnMut(&Series) -> ControlFlow<()>) -> Result<(), SourceError> {
        let series = self.series(selection)?;
        let _seen_enough = series.iter().try_for_each(visit);
        Ok(())
    }
}

/// Answers an expression from loaded series.
///
/// # Errors
/// When the expression has no answer on this data, a limit is reached, the deadline passes or the source fails.
pub fn evaluate(expr: &Expr, source: &dyn Source, params: &Params) -> Result<Output, EvalError> {
    let grid = query_grid(params)?;
    let annotations = Annotations::default();
    let mut evaluator = Evaluator { source, params, annotations, samples: 0, detects_resets: false };
    let (value, histograms) = evaluator.answer(expr, grid)?;
    let (warnings, infos) = evaluator.annotations.finish();
    Ok(Output { value, histograms, warnings, infos })
}

fn query_grid(params: &Params) -> Result<Grid, EvalError> {
    let (start, end, step) = (params.start.as_millis(), params.end.as_millis(), millis(params.step));
    let refuse = |message: &str| Err(EvalError::Parameters { message: message.to_owned() });
    if end < start {
        return refuse("end timestamp must not be before start time");
    }
    if params.is_instant() {
        return if start == end {
            Ok(Grid { start, step: 0, count: 1 })
        } else {
            refuse("zero or negative query resolution step widths are not accepted. Try a positive integer")
        };
    }
    if step == 0 {
        return refuse("query resolution step width must be at least a millisecond");
    }
    let limit = params.limits.query_points_max;
    let intervals = end.saturating_sub(start) / step;
    match usize::try_from(intervals) {
        Ok(intervals) if intervals <= limit => Ok(Grid { start, step, count: intervals + 1 }),
        Ok(_) | Err(_) => Err(EvalError::Points { limit }),
    }
}

/// The value of an expression over a grid.
#[derive(Debug)]
enum Evaluated {
    /// One number a step.
    Scalar(Vec<f64>),
    /// A text.
    Text(Vec<u8>),
    /// Series over the steps.
    Vector(Vector),
}

impl Evaluated {
    /// How many samples take as much memory.
    fn samples(&self) -> usize {
        match self {
            Self::Scalar(values) => values.len(),
            Self::Text(_) => 0,
            Self::Vector(vector) => {
                vector.values.len() + vector.each_histogram().map(|(_, _, histogram)| room(histogram)).sum::<usize>()
            }
        }
    }
}

/// The state of one evaluation.
struct Evaluator<'a> {
    source: &'a dyn Source,
    params: &'a Params,
    annotations: Annotations,
    /// Samples that are held in memory at the moment.
    samples: usize,
    /// Whether histograms are loaded for their counts and sums alone: then unknown counter resets are looked for.
    detects_resets: bool,
}

type Result_<T> = Result<T, EvalError>;

impl<'a> Evaluator<'a> {
    /// The answer, and of an instant query the samples that are histograms.
    fn answer(&mut self, expr: &Expr, grid: Grid) -> Result_<(Value, Vec<HistogramSample>)> {
        let is_instant = self.params.is_instant();
        if expr.value_type() == ValueType::RangeVector {
            if is_instant {
                return Ok((self.range_answer(expr, grid)?, Vec::new()));
            }
            return Err(EvalError::NotForRanges { found: ValueType::RangeVector });
        }
        let value = match self.eval(expr, grid)? {
            Evaluated::Scalar(values) if is_instant => Ok(Value::Scalar(sample(self.params.start, values[0]))),
            Evaluated::Scalar(values) => {
                let mut vector = Vector::new(grid.count);
                vector.push(Labels::empty(), false, &values);
                Ok(matrix(&vector, grid))
            }
            Evaluated::Text(bytes) if is_instant => Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned())),
            Evaluated::Text(_) => Err(EvalError::NotForRanges { found: ValueType::String }),
            Evaluated::Vector(vector) => {
                let vector = vector.drop_names_now()?;
                if !is_instant {
                    return Ok((matrix(&vector, grid), Vec::new()));
                }
                return Ok(instant_answer(&vector, self.params.start, is_ordered(expr)));
            }
        };
        Ok((value?, Vec::new()))
    }

    /// The value of an expression at each time of the grid.
    fn eval(&mut self, expr: &Expr, grid: Grid) -> Result_<Evaluated> {
        self.params.deadline.check()?;
        let before = self.samples;
        let value = self.eval_steps(expr, grid)?;
        // What it was made of is gone now.
        self.samples = before;
        self.count_samples(value.samples())?;
        Ok(value)
    }

    fn eval_steps(&mut self, expr: &Expr, grid: Grid) -> Result_<Evaluated> {
        if grid.count > 1 && !matches!(expr.kind, ExprKind::Number(_) | ExprKind::Text(_)) && is_step_invariant(expr) {
            let once = self.eval_varying(expr, Grid { count: 1, ..grid })?;
            return Ok(match once {
                Evaluated::Scalar(values) => Evaluated::Scalar(vec![values[0]; grid.count]),
                Evaluated::Text(bytes) => Evaluated::Text(bytes),
                Evaluated::Vector(vector) => {
                    self.check_size(vector.rows(), grid.count)?;
                    Evaluated::Vector(vector.broadcast(grid.count))
                }
            });
        }
        self.eval_varying(expr, grid)
    }

    fn eval_varying(&mut self, expr: &Expr, grid: Grid) -> Result_<Evaluated> {
        match &expr.kind {
            ExprKind::Number(number) => Ok(Evaluated::Scalar(vec![number.value; grid.count])),
            ExprKind::Text(text) => Ok(Evaluated::Text(text.bytes.clone())),
            ExprKind::Selector(selector) => self.selector(selector, grid).map(Evaluated::Vector),
            ExprKind::Range(_) | ExprKind::Subquery(_) => Err(misplaced(expr, "an instant vector or a scalar")),
            ExprKind::Unary { negative, operand } => self.unary(*negative, operand, grid),
            ExprKind::Binary(binary) => self.binary(binary, grid),
            ExprKind::Aggregate(aggregation) => self.aggregate(aggregation, grid).map(Evaluated::Vector),
            ExprKind::Call(call) => self.call(call, grid),
            ExprKind::Paren(inner) => self.eval(inner, grid),
        }
    }

    fn unary(&mut self, negative: bool, operand: &Expr, grid: Grid) -> Result_<Evaluated> {
        Ok(match self.eval(operand, grid)? {
            Evaluated::Scalar(values) if negative => {
                Evaluated::Scalar(values.into_iter().map(|value| -value).collect())
            }
            Evaluated::Vector(vector) if negative => {
                self.check_histograms(&vector)?;
                let negated: Vec<_> = vector
                    .each_histogram()
                    .map(|(row, step, histogram)| (row, step, Arc::new(native::scaled(histogram, -1.0))))
                    .collect();
                let mut vector = vector.map(|value| -value);
                for (row, step, histogram) in negated {
                    vector.put_histogram(row, step, histogram);
                }
                Evaluated::Vector(self.named(vector)?)
            }
            other @ (Evaluated::Scalar(_) | Evaluated::Text(_) | Evaluated::Vector(_)) => other,
        })
    }

    /// A vector whose names are dropped now where the profile says so.
    fn named(&self, vector: Vector) -> Result_<Vector> {
        match self.params.profile {
            Profile::Extended => Ok(vector),
            Profile::Prometheus => vector.drop_names_now(),
        }
    }

    fn vector(&mut self, expr: &Expr, grid: Grid) -> Result_<Vector> {
        match self.eval(expr, grid)? {
            Evaluated::Vector(vector) => Ok(vector),
            Evaluated::Scalar(_) | Evaluated::Text(_) => Err(misplaced(expr, "an instant vector")),
        }
    }

    fn scalar(&mut self, expr: &Expr, grid: Grid) -> Result_<Vec<f64>> {
        match self.eval(expr, grid)? {
            Evaluated::Scalar(values) => Ok(values),
            Evaluated::Vector(_) | Evaluated::Text(_) => Err(misplaced(expr, "a scalar")),
        }
    }

    fn text(&mut self, expr: &Expr, grid: Grid) -> Result_<Vec<u8>> {
        match self.eval(expr, grid)? {
            Evaluated::Text(bytes) => Ok(bytes),
            Evaluated::Vector(_) | Evaluated::Scalar(_) => Err(misplaced(expr, "a string")),
        }
    }

    /// Refuses a vector larger than what a query may hold.
    fn check_size(&self, rows: usize, steps: usize) -> Result_<()> {
        self.check_live(rows.saturating_mul(steps))
    }

    /// Counts samples that are held in memory against the limit.
    fn count_samples(&mut self, samples: usize) -> Result_<()> {
        self.samples = self.samples.saturating_add(samples);
        self.check_live(0)
    }

    /// Refuses to hold more samples than a query may, so many more than were counted among them.
    fn check_live(&self, more: usize) -> Result_<()> {
        let limit = self.params.limits.query_samples_max;
        if self.samples.saturating_add(more) <= limit { Ok(()) } else { Err(EvalError::Samples { limit }) }
    }

    /// Refuses to calculate with more histograms than may be held in memory.
    fn check_histograms(&self, vector: &Vector) -> Result_<()> {
        self.check_live(vector.each_histogram().map(|(_, _, histogram)| room(histogram)).sum())
    }
}

/// How many samples take as much room as a histogram.
fn room(histogram: &Histogram) -> usize {
    let parts = histogram.parts();
    8 + (parts.positive.counts().len() + parts.negative.counts().len()) / 2
}

/// The parser lets no expression of a wrong type through; one built by hand may have one.
fn misplaced(expr: &Expr, expected: &str) -> EvalError {
    EvalError::execution(format!("{expr} is a {} where {expected} is needed", expr.value_type()))
}

/// Whether an expression has the same value at each step.
fn is_step_invariant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Selector(selector) => selector.shift.at.is_some(),
        ExprKind::Range(range) => range.selector.shift.at.is_some(),
        ExprKind::Subquery(subquery) => subquery.shift.at.is_some(),
        ExprKind::Call(call) => {
            let sees_time =
                matches!(call.function.id, FunctionId::Time | FunctionId::Timestamp | FunctionId::PredictLinear)
                    || call.arguments.is_empty();
            // The info metrics that `info` means when it names none are those of the time it is evaluated at.
            !sees_time && call.arguments.iter().filter(|argument| !argument.is_implied()).all(is_step_invariant)
        }
        ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Unary { .. }
        | ExprKind::Binary(_)
        | ExprKind::Aggregate(_)
        | ExprKind::Paren(_) => expr.kind.children().all(is_step_invariant),
    }
}

/// Whether an expression puts series in an order of its own.
fn is_ordered(expr: &Expr) -> bool {
    let orders = match &expr.kind {
        ExprKind::Call(call) => matches!(
            call.function.id,
            FunctionId::Sort | FunctionId::SortDesc | FunctionId::SortByLabel | FunctionId::SortByLabelDesc
        ),
        ExprKind::Aggregate(aggregation) => matches!(aggregation.op, AggregateOp::TopK | AggregateOp::BottomK),
        ExprKind::Number(_)
        | ExprKind::Text(_)
        | ExprKind::Selector(_)
        | ExprKind::Range(_)
        | ExprKind::Subquery(_)
        | ExprKind::Unary { .. }
        | ExprKind::Binary(_)
        | ExprKind::Paren(_) => false,
    };
    orders || expr.kind.children().any(is_ordered)
}

const fn sample(timestamp: Timestamp, value: f64) -> Sample {
    Sample { timestamp, value }
}

/// The samples of the only step, in the order of their labels unless they have one of their own.
fn instant_answer(vector: &Vector, time: Timestamp, is_ordered: bool) -> (Value, Vec<HistogramSample>) {
    let mut rows: Vec<usize> = (0..vector.rows()).filter(|row| vector.full_row(*row).has_samples()).collect();
    if !is_ordered {
        rows.sort_by(|left, right| vector.labels[*left].cmp(&vector.labels[*right]));
    }
    let (mut numbers, mut histograms) = (Vec::with_capacity(rows.len()), Vec::new());
    for (position, row) in rows.into_iter().enumerate() {
        let labels = vector.labels[row].clone();
        match vector.full_row(row).histogram(0) {
            None => numbers.push((labels, sample(time, vector.values[row]))),
            Some(histogram) => {
                let histogram = Arc::clone(histogram);
                histograms.push(HistogramSample { position, labels, timestamp: time, histogram });
            }
        }
    }
    (Value::Vector(numbers), histograms)
}

/// The rows as series, in the order of their labels.
fn matrix(vector: &Vector, grid: Grid) -> Value {
    let all_times: Arc<[Timestamp]> = grid.times().map(Timestamp::from_millis).collect();
    let mut series: Vec<Series> = (0..vector.rows())
        .filter_map(|row| present_samples(vector.labels[row].clone(), vector.full_row(row), &all_times))
        .collect();
    series.sort_by(|left, right| left.labels.cmp(&right.labels));
    Value::Matrix(series)
}

/// A row without the steps that have no sample; `None` when none has.
fn present_samples(labels: Labels, row: Row<'_>, all_times: &Arc<[Timestamp]>) -> Option<Series> {
    let values = row.values;
    let count = values.iter().filter(|value| is_present(**value)).count();
    let histograms = row.histograms.and_then(|histograms| present_histograms(histograms, all_times));
    let series = |timestamps, values, histograms| {
        Some(Series { labels, timestamps, values, weights: None, resolution: None, histograms })
    };
    if count == values.len() {
        return series(Arc::clone(all_times), values.to_vec(), None);
    }
    if count == 0 && histograms.is_none() {
        return None;
    }
    let present = || values.iter().zip(all_times.iter()).filter(|(value, _)| is_present(**value));
    series(present().map(|(_, time)| *time).collect(), present().map(|(value, _)| *value).collect(), histograms)
}

fn present_histograms(row: &[Option<Arc<Histogram>>], all_times: &Arc<[Timestamp]>) -> Option<Box<HistogramSamples>> {
    let values: Vec<Arc<Histogram>> = row.iter().flatten().cloned().collect();
    let timestamps = if values.len() == row.len() {
        Arc::clone(all_times)
    } else {
        row.iter().zip(all_times.iter()).filter_map(|(histogram, time)| histogram.as_ref().map(|_| *time)).collect()
    };
    (!values.is_empty()).then(|| Box::new(HistogramSamples::new(timestamps, values)))
}

//! Function calls.

#![expect(clippy::wildcard_enum_match_arm, reason = "each function here is about a few of all functions")]

use std::f64::consts::{LN_2, PI};

use model::{Labels, TimeRange, Timestamp};

use super::select::Pick;
use super::vector::{ABSENT, Grid, Vector, is_present};
use super::{Evaluated, Evaluator, Result_, calendar, float, window};
use crate::ast::{Call, Expr, ExprKind};
use crate::error::EvalError;
use crate::functions::FunctionId;
use crate::selection::millis;

impl Evaluator<'_> {
    pub(super) fn call(&mut self, call: &Call, grid: Grid) -> Result_<Evaluated> {
        let arguments = &call.arguments;
        let id = call.function.id;
        if let Some(change) = elementwise(id) {
            let vector = self.vector(&arguments[0], grid)?;
            return self.named(vector.map(change)).map(Evaluated::Vector);
        }
        if let Some(part) = calendar::part(id) {
            let vector = self.times_or_now(arguments, grid)?;
            return self.named(vector.map(part)).map(Evaluated::Vector);
        }
        if window::is_over_time(id) {
            return self.over_time(call, grid).map(Evaluated::Vector);
        }
        match id {
            FunctionId::Time => Ok(Evaluated::Scalar(grid.seconds())),
            FunctionId::Pi => Ok(Evaluated::Scalar(vec![PI; grid.count])),
            FunctionId::Start | FunctionId::End | FunctionId::Range | FunctionId::Step => {
                Ok(Evaluated::Scalar(vec![self.of_query(id); grid.count]))
            }
            FunctionId::MinOf | FunctionId::MaxOf => {
                let (left, right) = (self.scalar(&arguments[0], grid)?, self.scalar(&arguments[1], grid)?);
                let choose = if id == FunctionId::MinOf { float::min } else { float::max };
                Ok(Evaluated::Scalar(left.iter().zip(&right).map(|(left, right)| choose(*left, *right)).collect()))
            }
            FunctionId::Scalar => self.only_value(&arguments[0], grid),
            FunctionId::Vector => {
                let values = self.scalar(&arguments[0], grid)?;
                let mut vector = Vector::new(grid.count);
                vector.push(Labels::empty(), false, &values);
                Ok(Evaluated::Vector(vector))
            }
            _ => self.vector_call(call, grid).map(Evaluated::Vector),
        }
    }

    /// The other functions that give a vector.
    fn vector_call(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let arguments = &call.arguments;
        match call.function.id {
            FunctionId::Timestamp => self.timestamp(&arguments[0], grid),
            FunctionId::Absent => self.absent(&arguments[0], grid),
            FunctionId::AbsentOverTime => self.absent_over_time(call, grid),
            FunctionId::Clamp | FunctionId::ClampMin | FunctionId::ClampMax => self.clamp(call, grid),
            FunctionId::Round => self.round(call, grid),
            FunctionId::Sort => self.vector(&arguments[0], grid).map(|vector| sorted(vector, false)),
            FunctionId::SortDesc => self.vector(&arguments[0], grid).map(|vector| sorted(vector, true)),
            FunctionId::SortByLabel => self.sort_by_label(call, grid, false),
            FunctionId::SortByLabelDesc => self.sort_by_label(call, grid, true),
            FunctionId::LabelReplace => self.label_replace(call, grid),
            FunctionId::LabelJoin => self.label_join(call, grid),
            FunctionId::HistogramQuantile => self.histogram_quantile(call, grid),
            FunctionId::HistogramQuantiles => self.histogram_quantiles(call, grid),
            FunctionId::HistogramFraction => self.histogram_fraction(call, grid),
            FunctionId::HistogramAvg
            | FunctionId::HistogramCount
            | FunctionId::HistogramSum
            | FunctionId::HistogramStddev
            | FunctionId::HistogramStdvar => self.of_native(call, grid),
            FunctionId::Info => self.info(call, grid),
            _ => Err(EvalError::Unsupported { name: call.function.name.to_owned() }),
        }
    }

    /// What a function says about the query itself, in seconds.
    fn of_query(&self, id: FunctionId) -> f64 {
        let range = TimeRange::new(self.params.start, self.params.end);
        let step = Timestamp::from_millis(millis(self.params.step));
        match id {
            FunctionId::Start => range.start.as_secs_f64(),
            FunctionId::End => range.end.as_secs_f64(),
            FunctionId::Range => range.end.since(range.start).as_secs_f64(),
            _ => step.as_secs_f64(),
        }
    }

    /// The one sample of each step; not a number where there is none or more than one.
    fn only_value(&mut self, argument: &Expr, grid: Grid) -> Result_<Evaluated> {
        let vector = self.vector(argument, grid)?;
        let mut found = vec![ABSENT; grid.count];
        let mut many = vec![false; grid.count];
        for row in 0..vector.rows() {
            for (step, &value) in vector.row(row).iter().enumerate().filter(|(_, value)| is_present(**value)) {
                many[step] |= is_present(found[step]);
                found[step] = value;
            }
        }
        let only = |(value, many): (f64, bool)| if many || !is_present(value) { f64::NAN } else { value };
        Ok(Evaluated::Scalar(found.into_iter().zip(many).map(only).collect()))
    }

    /// Times of samples: of a selector's the ones they were taken at, else the steps'.
    fn timestamp(&mut self, argument: &Expr, grid: Grid) -> Result_<Vector> {
        let mut vector = match &argument.without_parens().kind {
            ExprKind::Selector(selector) => self.pick(selector, grid, Pick::Time)?,
            _ => {
                let times = grid.seconds();
                let mut vector = self.vector(argument, grid)?;
                let histograms: Vec<(usize, usize)> =
                    vector.each_histogram().map(|(row, step, _)| (row, step)).collect();
                for (row, step) in histograms {
                    vector.values[row * vector.steps + step] = times[step];
                }
                vector.map_with_step(|_, step| times[step])
            }
        };
        vector.drop_all_names();
        self.named(vector)
    }

    fn clamp(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let arguments = &call.arguments;
        let vector = self.vector(&arguments[0], grid)?;
        let first = self.scalar(&arguments[1], grid)?;
        let vector = match call.function.id {
            FunctionId::ClampMin => vector.map_with_step(|value, step| float::max(first[step], value)),
            FunctionId::ClampMax => vector.map_with_step(|value, step| float::min(first[step], value)),
            _ => {
                let second = self.scalar(&arguments[2], grid)?;
                vector.map_with_step(|value, step| {
                    let (low, high) = (first[step], second[step]);
                    if high < low { ABSENT } else { float::max(low, float::min(high, value)) }
                })
            }
        };
        self.named(vector)
    }

    /// To the nearest multiple, halves up.
    fn round(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let vector = self.vector(&call.arguments[0], grid)?;
        let nearest = match call.arguments.get(1) {
            Some(nearest) => self.scalar(nearest, grid)?,
            None => vec![1.0; grid.count],
        };
        // Multiplying by the inverse is exact more often than dividing.
        let vector = vector.map_with_step(|value, step| {
            let inverse = 1.0 / nearest[step];
            (value * inverse + 0.5).floor() / inverse
        });
        self.named(vector)
    }

    /// The argument of a function of dates; the time of the step when there is none.
    fn times_or_now(&mut self, arguments: &[Expr], grid: Grid) -> Result_<Vector> {
        match arguments.first() {
            Some(argument) => self.vector(argument, grid),
            None => {
                let mut vector = Vector::new(grid.count);
                vector.push(Labels::empty(), false, &grid.seconds());
                Ok(vector)
            }
        }
    }
}

/// Series by the value of their only step, what is not a number last; over several steps their order means nothing.
fn sorted(vector: Vector, descending: bool) -> Vector {
    let vector = vector.without_histograms();
    if vector.steps != 1 {
        return vector;
    }
    let mut order: Vec<usize> = (0..vector.rows()).filter(|row| is_present(vector.values[*row])).collect();
    order.sort_by(|&left, &right| {
        let (left, right) = (vector.values[left], vector.values[right]);
        let by_value = left.partial_cmp(&right).unwrap_or(std::cmp::Ordering::Equal);
        left.is_nan().cmp(&right.is_nan()).then(if descending { by_value.reverse() } else { by_value })
    });
    vector.select_rows(&order)
}

/// The functions of each sample alone.
fn elementwise(id: FunctionId) -> Option<fn(f64) -> f64> {
    Some(match id {
        FunctionId::Abs => f64::abs,
        FunctionId::Ceil => f64::ceil,
        FunctionId::Floor => f64::floor,
        FunctionId::Sgn => sign,
        FunctionId::Sqrt => f64::sqrt,
        FunctionId::Exp => f64::exp,
        FunctionId::Ln => f64::ln,
        FunctionId::Log2 => f64::log2,
        FunctionId::Log10 => f64::log10,
        FunctionId::Sin => f64::sin,
        FunctionId::Cos => f64::cos,
        FunctionId::Tan => f64::tan,
        FunctionId::Asin => f64::asin,
        FunctionId::Acos => f64::acos,
        FunctionId::Atan => f64::atan,
        FunctionId::Sinh => f64::sinh,
        FunctionId::Cosh => f64::cosh,
        FunctionId::Tanh => f64::tanh,
        FunctionId::Asinh => asinh,
        FunctionId::Acosh => acosh,
        FunctionId::Atanh => f64::atanh,
        // In this order, as Prometheus calculates: the largest numbers overflow, and the last digit is its.
        FunctionId::Rad => |degrees| degrees * PI / 180.0,
        FunctionId::Deg => |radians| radians * 180.0 / PI,
        _ => return None,
    })
}

/// From here on what is under the root is the square of the number to the last digit, and it may overflow.
const LARGE: f64 = (1_u32 << 28) as f64;

/// The inverse of the hyperbolic sine: of large numbers by ln 2x.
fn asinh(value: f64) -> f64 {
    if value.abs() > LARGE { (value.abs().ln() + LN_2).copysign(value) } else { value.asinh() }
}

/// The inverse of the hyperbolic cosine: of large numbers by ln 2x.
fn acosh(value: f64) -> f64 {
    if value >= LARGE { value.ln() + LN_2 } else { value.acosh() }
}

/// -1, 1 or the number itself: zeros and what is no number have no sign.
fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

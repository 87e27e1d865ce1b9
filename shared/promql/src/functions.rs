//! Every function there is: what it takes and gives.

use std::fmt;

/// The types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A number.
    Scalar,
    /// A text.
    String,
    /// At each time one sample a series.
    InstantVector,
    /// At each time a window of samples a series.
    RangeVector,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::String => "string",
            Self::InstantVector => "instant vector",
            Self::RangeVector => "range vector",
        })
    }
}

/// How often the last argument of a function may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastArgument {
    /// Exactly once.
    Required,
    /// Not at all or once.
    Optional,
    /// Any number of times.
    Repeated,
}

/// A function's name and signature.
#[derive(Debug)]
pub struct Function {
    /// Which one.
    pub id: FunctionId,
    /// Its name.
    pub name: &'static str,
    /// The types of its arguments.
    pub arguments: &'static [ValueType],
    /// How often the last of them may stand.
    pub last: LastArgument,
    /// What it gives.
    pub returns: ValueType,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Function {
    /// The fewest arguments it takes.
    pub const fn arguments_min(&self) -> usize {
        match self.last {
            LastArgument::Required => self.arguments.len(),
            LastArgument::Optional | LastArgument::Repeated => self.arguments.len() - 1,
        }
    }

    /// The most arguments it takes, if there is a limit.
    pub const fn arguments_max(&self) -> Option<usize> {
        match self.last {
            LastArgument::Required | LastArgument::Optional => Some(self.arguments.len()),
            LastArgument::Repeated => None,
        }
    }

    /// Whether a stock Prometheus has it only behind its feature flag `promql-experimental-functions`.
    pub const fn is_experimental(&self) -> bool {
        matches!(
            self.id,
            FunctionId::DoubleExponentialSmoothing
                | FunctionId::End
                | FunctionId::HistogramQuantiles
                | FunctionId::Info
                | FunctionId::MadOverTime
                | FunctionId::MaxOf
                | FunctionId::MinOf
                | FunctionId::Range
                | FunctionId::SortByLabel
                | FunctionId::SortByLabelDesc
                | FunctionId::Start
                | FunctionId::Step
                | FunctionId::TsOfFirstOverTime
                | FunctionId::TsOfLastOverTime
                | FunctionId::TsOfMaxOverTime
                | FunctionId::TsOfMinOverTime
        )
    }

    /// The type its argument at `index` must have.
    pub fn argument(&self, index: usize) -> Option<ValueType> {
        self.arguments.get(index).or(self.arguments.last()).copied()
    }
}

/// The function of that name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|index| &FUNCTIONS[index])
}

const fn function(
    name: &'static str,
    id: FunctionId,
    arguments: &'static [ValueType],
    last: LastArgument,
    returns: ValueType,
) -> Function {
    Function { id, name, arguments, last, returns }
}

/// Every function, by name.
#[rustfmt::skip]
pub static FUNCTIONS: &[Function] = {
    use LastArgument::{Optional, Repeated, Required};
    use ValueType::{InstantVector, RangeVector, Scalar, String};
    &[
        function("abs", FunctionId::Abs, &[InstantVector], Required, InstantVector),
        function("absent", FunctionId::Absent, &[InstantVector], Required, InstantVector),
        function("absent_over_time", FunctionId::AbsentOverTime, &[RangeVector], Required, InstantVector),
        function("acos", FunctionId::Acos, &[InstantVector], Required, InstantVector),
        function("acosh", FunctionId::Acosh, &[InstantVector], Required, InstantVector),
        function("asin", FunctionId::Asin, &[InstantVector], Required, InstantVector),
        function("asinh", FunctionId::Asinh, &[InstantVector], Required, InstantVector),
        function("atan", FunctionId::Atan, &[InstantVector], Required, InstantVector),
        function("atanh", FunctionId::Atanh, &[InstantVector], Required, InstantVector),
        function("avg_over_time", FunctionId::AvgOverTime, &[RangeVector], Required, InstantVector),
        function("ceil", FunctionId::Ceil, &[InstantVector], Required, InstantVector),
        function("changes", FunctionId::Changes, &[RangeVector], Required, InstantVector),
        function("clamp", FunctionId::Clamp, &[InstantVector, Scalar, Scalar], Required, InstantVector),
        function("clamp_max", FunctionId::ClampMax, &[InstantVector, Scalar], Required, InstantVector),
        function("clamp_min", FunctionId::ClampMin, &[InstantVector, Scalar], Required, InstantVector),
        function("cos", FunctionId::Cos, &[InstantVector], Required, InstantVector),
        function("cosh", FunctionId::Cosh, &[InstantVector], Required, InstantVector),
        function("count_over_time", FunctionId::CountOverTime, &[RangeVector], Required, InstantVector),
        function("day_of_month", FunctionId::DayOfMonth, &[InstantVector], Optional, InstantVector),
        function("day_of_week", FunctionId::DayOfWeek, &[InstantVector], Optional, InstantVector),
        function("day_of_year", FunctionId::DayOfYear, &[InstantVector], Optional, InstantVector),
        function("days_in_month", FunctionId::DaysInMonth, &[InstantVector], Optional, InstantVector),
        function("deg", FunctionId::Deg, &[InstantVector], Required, InstantVector),
        function("delta", FunctionId::Delta, &[RangeVector], Required, InstantVector),
        function("deriv", FunctionId::Deriv, &[RangeVector], Required, InstantVector),
        function("double_exponential_smoothing", FunctionId::DoubleExponentialSmoothing, &[RangeVector, Scalar, Scalar], Required, InstantVector),
        function("end", FunctionId::End, &[], Required, Scalar),
        function("exp", FunctionId::Exp, &[InstantVector], Required, InstantVector),
        function("first_over_time", FunctionId::FirstOverTime, &[RangeVector], Required, InstantVector),
        function("floor", FunctionId::Floor, &[InstantVector], Required, InstantVector),
        function("histogram_avg", FunctionId::HistogramAvg, &[InstantVector], Required, InstantVector),
        function("histogram_count", FunctionId::HistogramCount, &[InstantVector], Required, InstantVector),
        function("histogram_fraction", FunctionId::HistogramFraction, &[Scalar, Scalar, InstantVector], Required, InstantVector),
        function("histogram_quantile", FunctionId::HistogramQuantile, &[Scalar, InstantVector], Required, InstantVector),
        function("histogram_quantiles", FunctionId::HistogramQuantiles, &[InstantVector, String, Scalar, Scalar], Repeated, InstantVector),
        function("histogram_stddev", FunctionId::HistogramStddev, &[InstantVector], Required, InstantVector),
        function("histogram_stdvar", FunctionId::HistogramStdvar, &[InstantVector], Required, InstantVector),
        function("histogram_sum", FunctionId::HistogramSum, &[InstantVector], Required, InstantVector),
        function("hour", FunctionId::Hour, &[InstantVector], Optional, InstantVector),
        function("idelta", FunctionId::Idelta, &[RangeVector], Required, InstantVector),
        function("increase", FunctionId::Increase, &[RangeVector], Required, InstantVector),
        function("info", FunctionId::Info, &[InstantVector, InstantVector], Optional, InstantVector),
        function("irate", FunctionId::Irate, &[RangeVector], Required, InstantVector),
        function("label_join", FunctionId::LabelJoin, &[InstantVector, String, String, String], Repeated, InstantVector),
        function("label_replace", FunctionId::LabelReplace, &[InstantVector, String, String, String, String], Required, InstantVector),
        function("last_over_time", FunctionId::LastOverTime, &[RangeVector], Required, InstantVector),
        function("ln", FunctionId::Ln, &[InstantVector], Required, InstantVector),
        function("log10", FunctionId::Log10, &[InstantVector], Required, InstantVector),
        function("log2", FunctionId::Log2, &[InstantVector], Required, InstantVector),
        function("mad_over_time", FunctionId::MadOverTime, &[RangeVector], Required, InstantVector),
        function("max_of", FunctionId::MaxOf, &[Scalar, Scalar], Required, Scalar),
        function("max_over_time", FunctionId::MaxOverTime, &[RangeVector], Required, InstantVector),
        function("min_of", FunctionId::MinOf, &[Scalar, Scalar], Required, Scalar),
        function("min_over_time", FunctionId::MinOverTime, &[RangeVector], Required, InstantVector),
        function("minute", FunctionId::Minute, &[InstantVector], Optional, InstantVector),
        function("month", FunctionId::Month, &[InstantVector], Optional, InstantVector),
        function("pi", FunctionId::Pi, &[], Required, Scalar),
        function("predict_linear", FunctionId::PredictLinear, &[RangeVector, Scalar], Required, InstantVector),
        function("present_over_time", FunctionId::PresentOverTime, &[RangeVector], Required, InstantVector),
        function("quantile_over_time", FunctionId::QuantileOverTime, &[Scalar, RangeVector], Required, InstantVector),
        function("rad", FunctionId::Rad, &[InstantVector], Required, InstantVector),
        function("range", FunctionId::Range, &[], Required, Scalar),
        function("rate", FunctionId::Rate, &[RangeVector], Required, InstantVector),
        function("resets", FunctionId::Resets, &[RangeVector], Required, InstantVector),
        function("round", FunctionId::Round, &[InstantVector, Scalar], Optional, InstantVector),
        function("scalar", FunctionId::Scalar, &[InstantVector], Required, Scalar),
        function("sgn", FunctionId::Sgn, &[InstantVector], Required, InstantVector),
        function("sin", FunctionId::Sin, &[InstantVector], Required, InstantVector),
        function("sinh", FunctionId::Sinh, &[InstantVector], Required, InstantVector),
        function("sort", FunctionId::Sort, &[InstantVector], Required, InstantVector),
        function("sort_by_label", FunctionId::SortByLabel, &[InstantVector, String], Repeated, InstantVector),
        function("sort_by_label_desc", FunctionId::SortByLabelDesc, &[InstantVector, String], Repeated, InstantVector),
        function("sort_desc", FunctionId::SortDesc, &[InstantVector], Required, InstantVector),
        function("sqrt", FunctionId::Sqrt, &[InstantVector], Required, InstantVector),
        function("start", FunctionId::Start, &[], Required, Scalar),
        function("stddev_over_time", FunctionId::StddevOverTime, &[RangeVector], Required, InstantVector),
        function("stdvar_over_time", FunctionId::StdvarOverTime, &[RangeVector], Required, InstantVector),
        function("step", FunctionId::Step, &[], Required, Scalar),
        function("sum_over_time", FunctionId::SumOverTime, &[RangeVector], Required, InstantVector),
        function("tan", FunctionId::Tan, &[InstantVector], Required, InstantVector),
        function("tanh", FunctionId::Tanh, &[InstantVector], Required, InstantVector),
        function("time", FunctionId::Time, &[], Required, Scalar),
        function("timestamp", FunctionId::Timestamp, &[InstantVector], Required, InstantVector),
        function("ts_of_first_over_time", FunctionId::TsOfFirstOverTime, &[RangeVector], Required, InstantVector),
        function("ts_of_last_over_time", FunctionId::TsOfLastOverTime, &[RangeVector], Required, InstantVector),
        function("ts_of_max_over_time", FunctionId::TsOfMaxOverTime, &[RangeVector], Required, InstantVector),
        function("ts_of_min_over_time", FunctionId::TsOfMinOverTime, &[RangeVector], Required, InstantVector),
        function("vector", FunctionId::Vector, &[Scalar], Required, InstantVector),
        function("year", FunctionId::Year, &[InstantVector], Optional, InstantVector),
    ]
};

/// Names a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named like its function")]
#[rustfmt::skip]
pub enum FunctionId {
    Abs, Absent, AbsentOverTime, Acos, Acosh, Asin, Asinh, Atan, Atanh, AvgOverTime, Ceil, Changes, Clamp, ClampMax,
    ClampMin, Cos, Cosh, CountOverTime, DayOfMonth, DayOfWeek, DayOfYear, DaysInMonth, Deg, Delta, Deriv,
    DoubleExponentialSmoothing, End, Exp, FirstOverTime, Floor, HistogramAvg, HistogramCount, HistogramFraction,
    HistogramQuantile, HistogramQuantiles, HistogramStddev, HistogramStdvar, HistogramSum, Hour, Idelta, Increase,
    Info, Irate, LabelJoin, LabelReplace, LastOverTime, Ln, Log10, Log2, MadOverTime, MaxOf, MaxOverTime, MinOf,
    MinOverTime, Minute, Month, Pi, PredictLinear, PresentOverTime, QuantileOverTime, Rad, Range, Rate, Resets, Round,
    Scalar, Sgn, Sin, Sinh, Sort, SortByLabel, SortByLabelDesc, SortDesc, Sqrt, Start, StddevOverTime, StdvarOverTime,
    Step, SumOverTime, Tan, Tanh, Time, Timestamp, TsOfFirstOverTime, TsOfLastOverTime, TsOfMaxOverTime,
    TsOfMinOverTime, Vector, Year,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_its_name() {
        for function in FUNCTIONS {
            assert_eq!(find(function.name), Some(function), "the table is sorted by name");
        }
        assert_eq!(find("nonsense"), None);
    }
}

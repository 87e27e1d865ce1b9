//! Functions of histograms: of classic ones, which are series that differ only in their upper bound, `le`, and of native
//! ones.

#![expect(clippy::wildcard_enum_match_arm, reason = "only a few functions are about histograms")]

use std::collections::BTreeSet;

use model::{General, Histogram as Native, Labels, LabelsBuffer, METRIC_NAME};

use super::interner::Interner;
use super::native::quantile::{Skew, fraction as native_fraction, quantile as native_quantile, variance};
use super::vector::{Grid, Vector, is_present};
use super::{Evaluator, Result_};
use crate::ast::{Call, Expr};
use crate::error::EvalError;
use crate::functions::FunctionId;
use crate::quote::quote;

/// The label that holds a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// Counts that differ by less, relatively, differ by rounding only.
const SMALL_DELTA: f64 = 1e-12;

/// How many observations are at most so great.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    upper_bound: f64,
    count: f64,
}

/// The series of one histogram.
struct Histogram {
    /// Its labels without the upper bound.
    labels: Labels,
    /// Upper bounds and the rows that hold their counts, by bound.
    rows: Vec<(f64, usize)>,
    /// Rows with the same labels that hold native histograms.
    native_rows: Vec<usize>,
}

impl Evaluator<'_> {
    pub(super) fn histogram_quantile(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let quantiles = self.scalar(&call.arguments[0], grid)?;
        self.check_quantiles(&quantiles, call.arguments[0].span);
        let buckets = self.with_buckets(&call.arguments[1], grid)?;
        let histograms = self.histograms(&buckets, &call.arguments[1]);
        let vector = self.quantiles(&buckets, &histograms, &quantiles, &call.arguments[1]);
        self.named(vector)
    }

    /// The functions of native histograms alone: a number is none.
    pub(super) fn of_native(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let of: fn(&Native) -> f64 = match call.function.id {
            FunctionId::HistogramCount => Native::count,
            FunctionId::HistogramSum => Native::sum,
            FunctionId::HistogramAvg => |histogram| histogram.sum() / histogram.count(),
            FunctionId::HistogramStdvar => variance,
            _ => |histogram| variance(histogram).sqrt(),
        };
        let needs_buckets = matches!(call.function.id, FunctionId::HistogramStddev | FunctionId::HistogramStdvar);
        let detects_resets = std::mem::replace(&mut self.detects_resets, !needs_buckets);
        let vector = self.vector(&call.arguments[0], grid);
        self.detects_resets = detects_resets;
        let vector = native_values(&vector?, |_, _, histogram| of(histogram));
        self.named(vector)
    }

    pub(super) fn histogram_quantiles(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let arguments = &call.arguments;
        let label = self.label_name(&arguments[1], grid, "label name in histogram_quantiles()")?;
        let buckets = self.with_buckets(&arguments[0], grid)?;
        let mut all = Vector::new(grid.count);
        let mut asked = Vec::new();
        for argument in &arguments[2..] {
            let quantiles = self.scalar(argument, grid)?;
            self.check_quantiles(&quantiles, argument.span);
            asked.push(quantiles);
        }
        let histograms = self.histograms(&buckets, &arguments[0]);
        let native = (0..buckets.rows()).filter(|row| buckets.histograms[*row].is_some());
        let mut all_labels =
            histograms.iter().map(|histogram| &histogram.labels).chain(native.map(|row| &buckets.labels[row]));
        if let Some(taken) = all_labels.find(|labels| labels.get(&label).is_some()) {
            let message = format!("label {} is already used by {taken}", quote(&label));
            return Err(EvalError::execution(message));
        }
        for quantiles in &asked {
            let mut vector = self.quantiles(&buckets, &histograms, quantiles, &arguments[0]);
            let shown = bound_text(quantiles.first().copied().unwrap_or(f64::NAN));
            for labels in &mut vector.labels {
                let built = labels.to_builder().set(&label, &shown).build();
                *labels = built.map_err(|error| EvalError::execution(error.to_string()))?;
            }
            all.append(vector);
            self.params.deadline.check()?;
            self.check_size(all.rows(), grid.count)?;
        }
        self.named(all)
    }

    pub(super) fn histogram_fraction(&mut self, call: &Call, grid: Grid) -> Result_<Vector> {
        let lower = self.scalar(&call.arguments[0], grid)?;
        let upper = self.scalar(&call.arguments[1], grid)?;
        let buckets = self.with_buckets(&call.arguments[2], grid)?;
        let histograms = self.histograms(&buckets, &call.arguments[2]);
        let expr = &call.arguments[2];
        let classic = each_step(&buckets, &histograms, |_, step, found| {
            coalesce(found);
            fraction(lower[step], upper[step], found)
        });
        let mut with_nan: BTreeSet<usize> = BTreeSet::new();
        // Native ones come first, as in Prometheus: `limitk` and its like see the order.
        let mut vector = native_values(&self.without_classic(buckets, &histograms, expr), |row, step, histogram| {
            let value = native_fraction(lower[step], upper[step], histogram);
            if histogram.sum().is_nan() && lower[step] < upper[step] {
                with_nan.insert(row);
            }
            value
        });
        for row in with_nan {
            let message = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
            self.inform_of_metric(expr, message, vector.labels[row].get(METRIC_NAME));
        }
        vector.append(classic);
        self.named(vector)
    }

    /// Histograms whose buckets are needed.
    fn with_buckets(&mut self, expr: &Expr, grid: Grid) -> Result_<Vector> {
        let detects_resets = std::mem::take(&mut self.detects_resets);
        let vector = self.vector(expr, grid);
        self.detects_resets = detects_resets;
        vector
    }

    fn inform_of_metric(&mut self, expr: &Expr, message: &str, metric: Option<&str>) {
        let metric = metric.map_or(String::new(), |metric| format!(" for metric name {}", quote(metric)));
        self.annotations.inform(expr.span, &format!("{message}{metric}"));
    }

    /// Native histograms at the steps where there is no classic one of the same labels.
    fn without_classic(&mut self, mut buckets: Vector, histograms: &[Histogram], expr: &Expr) -> Vector {
        for histogram in histograms {
            for &native in &histogram.native_rows {
                let has_classic =
                    |step: usize| histogram.rows.iter().any(|(_, row)| is_present(buckets.row(*row)[step]));
                let conflicts: Vec<usize> = (0..buckets.steps)
                    .filter(|step| buckets.full_row(native).histogram(*step).is_some() && has_classic(*step))
                    .collect();
                if conflicts.is_empty() {
                    continue;
                }
                let message = "vector contains a mix of classic and native histograms";
                let metric = buckets.labels[native].get(METRIC_NAME);
                let metric = metric.map_or(String::new(), |metric| format!(" for metric name {}", quote(metric)));
                self.annotations.warn(expr.span, &format!("{message}{metric}"));
                if let Some(row) = &mut buckets.histograms[native] {
                    conflicts.into_iter().for_each(|step| row[step] = None);
                }
            }
        }
        buckets
    }

    /// The quantile of each histogram at each step.
    fn quantiles(&mut self, buckets: &Vector, histograms: &[Histogram], asked: &[f64], expr: &Expr) -> Vector {
        let mut forced: BTreeSet<&str> = BTreeSet::new();
        let classic = each_step(buckets, histograms, |histogram, step, found| {
            let (value, was_forced) = bucket_quantile(asked[step], found);
            if was_forced {
                forced.insert(histogram.labels.get(METRIC_NAME).unwrap_or(""));
            }
            value
        });
        for name in forced {
            let message = "input to histogram_quantile needed to be fixed for monotonicity (see \
                 https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
            self.inform_of_metric(expr, message, Some(name).filter(|name| !name.is_empty()));
        }
        if !buckets.has_histograms() {
            return classic;
        }
        let native = self.without_classic(buckets.clone(), histograms, expr);
        let mut vector = self.native_quantiles(&native, asked, expr);
        vector.append(classic);
        vector
    }

    fn native_quantiles(&mut self, vector: &Vector, asked: &[f64], expr: &Expr) -> Vector {
        let mut skewed: BTreeSet<(usize, bool)> = BTreeSet::new();
        let quantiles = native_values(vector, |row, step, histogram| {
            let quantile = native_quantile(asked[step], histogram);
            if quantile.skew != Skew::None {
                skewed.insert((row, quantile.skew == Skew::IsNan));
            }
            quantile.value
        });
        for (row, is_nan) in skewed {
            let how = if is_nan { "NaN" } else { "skewed higher" };
            let message = format!("input to histogram_quantile has NaN observations, result is {how}");
            self.inform_of_metric(expr, &message, quantiles.labels[row].get(METRIC_NAME));
        }
        quantiles
    }

    /// Finds the series of each histogram, in the order they appear.
    fn histograms(&mut self, buckets: &Vector, expr: &Expr) -> Vec<Histogram> {
        let (mut known, mut buffer) = (Interner::default(), LabelsBuffer::default());
        let mut histograms: Vec<Histogram> = Vec::new();
        let numbers = |row: usize| buckets.row(row).iter().copied().any(is_present);
        for (row, labels) in buckets.labels.iter().enumerate().filter(|(row, _)| numbers(*row)) {
            let written = labels.get(BUCKET_LABEL).unwrap_or("");
            let Some(upper_bound) = read_bound(written) else {
                let name = labels.get(METRIC_NAME);
                let name = name.map_or(String::new(), |name| format!(" for metric name {}", quote(name)));
                let (label, written) = (quote(BUCKET_LABEL), quote(written));
                let message = format!("bucket label {label} is missing or has a malformed value of {written}{name}");
                self.annotations.warn(expr.span, &message);
                continue;
            };
            let index = known.number(buffer.without(labels.as_ref(), &[BUCKET_LABEL]));
            if index == histograms.len() {
                let labels = known.set(index).clone();
                histograms.push(Histogram { labels, rows: Vec::new(), native_rows: Vec::new() });
            }
            histograms[index].rows.push((upper_bound, row));
        }
        for histogram in &mut histograms {
            histogram.rows.sort_by(|left, right| left.0.total_cmp(&right.0));
        }
        for (row, labels) in buckets.labels.iter().enumerate().filter(|(row, _)| buckets.histograms[*row].is_some()) {
            if let Some(index) = known.find(buffer.without(labels.as_ref(), &[BUCKET_LABEL])) {
                histograms[index].native_rows.push(row);
            }
        }
        histograms
    }
}

/// Numbers as other languages write them: `+Inf`, `1e0`, `.2`.
fn read_bound(written: &str) -> Option<f64> {
    written.parse().ok()
}

/// One row a classic histogram, from its buckets at each step; nothing where there is a native one too.
fn each_step<'a>(
    buckets: &Vector,
    histograms: &'a [Histogram],
    mut value: impl FnMut(&'a Histogram, usize, &mut Vec<Bucket>) -> f64,
) -> Vector {
    let mut vector = Vector::new(buckets.steps);
    let mut found: Vec<Bucket> = Vec::new();
    for histogram in histograms {
        let row = vector.push_absent(histogram.labels.clone(), true);
        for (step, slot) in row.iter_mut().enumerate() {
            found.clear();
            for &(upper_bound, bucket_row) in &histogram.rows {
                let count = buckets.values[bucket_row * buckets.steps + step];
                if is_present(count) {
                    found.push(Bucket { upper_bound, count });
                }
            }
            let is_native = |row: &usize| buckets.full_row(*row).histogram(step).is_some();
            if !found.is_empty() && !histogram.native_rows.iter().any(is_native) {
                *slot = value(histogram, step, &mut found);
            }
        }
        vector.pop_if_empty();
    }
    vector
}

/// One row for each row of the vector, with a number for each native histogram.
fn native_values(vector: &Vector, mut value: impl FnMut(usize, usize, &Native) -> f64) -> Vector {
    let mut values = Vector::new(vector.steps);
    if !vector.has_histograms() {
        return values;
    }
    for labels in &vector.labels {
        values.push_absent(labels.clone(), true);
    }
    for (row, step, histogram) in vector.each_histogram() {
        values.values[row * vector.steps + step] = value(row, step, histogram);
    }
    values
}

/// Adds up buckets of the same bound, written differently.
#[expect(clippy::float_cmp, reason = "the same bound in two texts is the same number")]
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.upper_bound == kept.upper_bound;
        if same {
            kept.count += next.count;
        }
        same
    });
}

fn ends_in_infinity(buckets: &[Bucket]) -> bool {
    buckets.last().is_some_and(|bucket| bucket.upper_bound == f64::INFINITY)
}

/// The quantile by linear interpolation within its bucket, and whether counts that fell had to be raised.
fn bucket_quantile(quantile: f64, buckets: &mut Vec<Bucket>) -> (f64, bool) {
    let value = if quantile.is_nan() {
        f64::NAN
    } else if quantile < 0.0 {
        f64::NEG_INFINITY
    } else if quantile > 1.0 {
        f64::INFINITY
    } else if !ends_in_infinity(buckets) {
        f64::NAN
    } else {
        coalesce(buckets);
        let was_forced = make_monotonic(buckets);
        return (interpolated_quantile(quantile, buckets), was_forced);
    };
    (value, false)
}

fn interpolated_quantile(quantile: f64, buckets: &[Bucket]) -> f64 {
    let last = buckets.len() - 1;
    let observations = buckets[last].count;
    if buckets.len() < 2 || observations == 0.0 || observations.is_nan() {
        return f64::NAN;
    }
    let rank = quantile * observations;
    let index = buckets[..last].partition_point(|bucket| bucket.count < rank);
    let end = buckets[index].upper_bound;
    if index == last {
        return buckets[last - 1].upper_bound;
    }
    if index == 0 {
        return if end <= 0.0 { end } else { end * (rank / buckets[0].count) };
    }
    let before = buckets[index - 1];
    let share = (rank - before.count) / (buckets[index].count - before.count);
    before.upper_bound + (end - before.upper_bound) * share
}

/// Counts of greater bounds are not smaller: raises those that are; says whether one was by more than rounding.
fn make_monotonic(buckets: &mut [Bucket]) -> bool {
    let mut was_forced = false;
    let mut previous = buckets[0].count;
    for bucket in &mut buckets[1..] {
        if almost_equal(previous, bucket.count) {
            bucket.count = previous;
        } else if bucket.count < previous {
            bucket.count = previous;
            was_forced = true;
        } else {
            previous = bucket.count;
        }
    }
    was_forced
}

#[expect(clippy::float_cmp, reason = "equal numbers need no tolerance")]
fn almost_equal(left: f64, right: f64) -> bool {
    let (sum, difference) = (left.abs() + right.abs(), (left - right).abs());
    if left == right {
        true
    } else if left == 0.0 || right == 0.0 || sum < f64::MIN_POSITIVE {
        difference < SMALL_DELTA * f64::MIN_POSITIVE
    } else {
        difference / sum.min(f64::MAX) < SMALL_DELTA
    }
}

/// The share of observations between two values, by linear interpolation within their buckets.
fn fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    if !ends_in_infinity(buckets) || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || count.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets) - rank_of(lower, buckets)) / count
}

/// How many observations are below a value.
fn rank_of(value: f64, buckets: &[Bucket]) -> f64 {
    let count = buckets[buckets.len() - 1].count;
    let mut below = Bucket { upper_bound: f64::NEG_INFINITY, count: 0.0 };
    if buckets[0].upper_bound > 0.0 {
        below.upper_bound = 0.0;
    }
    for bucket in buckets {
        if below.upper_bound >= value {
            return below.count.min(count);
        }
        if bucket.upper_bound > value {
            let rank = if below.upper_bound == f64::NEG_INFINITY {
                // Nobody knows where in there: as if all were at its upper bound, which lies above.
                bucket.count
            } else {
                let share = (value - below.upper_bound) / (bucket.upper_bound - below.upper_bound);
                below.count + (bucket.count - below.count) * share
            };
            return rank.min(count);
        }
        below = *bucket;
    }
    count
}

/// A bound as a label's value: with a point or an exponent, so that it is seen to be no integer.
fn bound_text(value: f64) -> String {
    let text = General(value).to_string();
    if value.is_finite() && !text.contains(['.', 'e']) { format!("{text}.0") } else { text }
}

//! Operators between two values.

#![expect(clippy::wildcard_enum_match_arm, reason = "each function here is about one kind of operators")]

use model::{Labels, LabelsBuffer, LabelsBuilder, LabelsRef, METRIC_NAME};

use super::annotations::Annotations;
use super::interner::Interner;
use super::native::{self, Operand, Outcome};
use super::vector::{ABSENT, Grid, Row, Vector, is_present};
use super::{Evaluated, Evaluator, Result_, misplaced};
use crate::ast::{Binary, BinaryOp, ExprKind, Group, Matching, MatchingLabels, Side, Span};
use crate::error::EvalError;

impl Evaluator<'_> {
    /// A chain of operators from left to right: one stack frame, however long it is.
    pub(super) fn binary(&mut self, binary: &Binary, grid: Grid) -> Result_<Evaluated> {
        let mut chain = vec![binary];
        let mut leftmost = &binary.left;
        while let ExprKind::Binary(next) = &leftmost.kind {
            chain.push(next);
            leftmost = &next.left;
        }
        let mut left = self.eval(leftmost, grid)?;
        while let Some(binary) = chain.pop() {
            let right = self.eval(&binary.right, grid)?;
            left = self.combine(binary, left, right)?;
        }
        Ok(left)
    }

    fn combine(&mut self, binary: &Binary, left: Evaluated, right: Evaluated) -> Result_<Evaluated> {
        let span = binary.left.span;
        match (left, right) {
            (Evaluated::Scalar(left), Evaluated::Scalar(right)) => {
                // Of two numbers a comparison always gives 0 or 1.
                let values = left.iter().zip(&right).map(|(left, right)| number(binary.op, *left, *right));
                Ok(Evaluated::Scalar(values.collect()))
            }
            (Evaluated::Vector(vector), Evaluated::Scalar(scalars)) => {
                self.with_scalar(binary, vector, &scalars, Side::Right, span).map(Evaluated::Vector)
            }
            (Evaluated::Scalar(scalars), Evaluated::Vector(vector)) => {
                self.with_scalar(binary, vector, &scalars, Side::Left, span).map(Evaluated::Vector)
            }
            (Evaluated::Vector(left), Evaluated::Vector(right)) => {
                let vector = if binary.op.is_set() {
                    set_operation(binary.op, &binary.matching, left, right)
                } else {
                    self.between_vectors(binary, &left, &right)?
                };
                self.named(vector).map(Evaluated::Vector)
            }
            (Evaluated::Text(_), _) => Err(misplaced(&binary.left, "a scalar or an instant vector")),
            (_, Evaluated::Text(_)) => Err(misplaced(&binary.right, "a scalar or an instant vector")),
        }
    }

    /// Each sample with the number of its step; a comparison keeps the sample, whichever side it stands on.
    fn with_scalar(
        &mut self,
        binary: &Binary,
        mut vector: Vector,
        scalars: &[f64],
        side: Side,
        span: Span,
    ) -> Result_<Vector> {
        let op = binary.op;
        self.check_histograms(&vector)?;
        self.inform_of_trim(op, &vector, span);
        // Histograms first: what they become may be a number.
        let from_histograms = self.histograms_with_scalar(binary, &vector, scalars, side);
        for row in vector.values.chunks_exact_mut(vector.steps.max(1)) {
            for (value, &scalar) in row.iter_mut().zip(scalars) {
                if !is_present(*value) {
                    continue;
                }
                let (left, right) = if side == Side::Left { (scalar, *value) } else { (*value, scalar) };
                *value = outcome(op, binary.returns_bool, left, right, *value);
            }
        }
        if !from_histograms.is_empty() {
            vector = vector.without_histograms();
        }
        for (row, step, outcome) in from_histograms {
            vector.put_outcome(row, step, outcome);
        }
        if !op.keeps_name() || binary.returns_bool {
            vector.drop_all_names();
        }
        if op.is_comparison() && !binary.returns_bool {
            vector = vector.without_empty_rows();
        }
        self.named(vector)
    }

    /// What becomes of each histogram of a vector.
    fn histograms_with_scalar(
        &mut self,
        binary: &Binary,
        vector: &Vector,
        scalars: &[f64],
        side: Side,
    ) -> Vec<(usize, usize, Outcome)> {
        let mut outcomes = Vec::new();
        for (row, step, histogram) in vector.each_histogram() {
            let mut operands = [Operand::Histogram(histogram), Operand::Number(scalars[step])];
            if side == Side::Left {
                operands.reverse();
            }
            let (annotations, span) = (&mut self.annotations, binary.left.span);
            outcomes.push((row, step, native::binary(binary.op, binary.returns_bool, operands, annotations, span)));
        }
        outcomes
    }

    fn inform_of_trim(&mut self, op: BinaryOp, vector: &Vector, span: Span) {
        let has_numbers = || vector.values.iter().copied().any(is_present);
        if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) && has_numbers() {
            native::inform_of_types(op, "float", "float", &mut self.annotations, span);
        }
    }

    /// Arithmetic and comparison of the series that match.
    fn between_vectors(&mut self, binary: &Binary, left: &Vector, right: &Vector) -> Result_<Vector> {
        self.check_histograms(left)?;
        self.check_histograms(right)?;
        let many_side = binary.matching.group.as_ref().map_or(Side::Left, |group| group.many);
        let (many, one) = if many_side == Side::Left { (left, right) } else { (right, left) };
        let mut signatures = Signatures::new(&binary.matching);
        let many_ids = signatures.of(many);
        let one_ids = signatures.of(one);
        let many_rows = RowsOf::new(&many_ids, signatures.count());
        let one_rows = RowsOf::new(&one_ids, signatures.count());
        check_one_side(many, one, &one_rows, &binary.matching, many_side)?;
        let vector = Vector::new(left.steps);
        let mut join = Join { binary, many_side, vector, taken: Vec::new(), notes: Vec::new() };
        for (number, (many_rows, one_rows)) in many_rows.iter().zip(one_rows.iter()).enumerate() {
            if number.is_multiple_of(256) {
                self.params.deadline.check()?;
            }
            join.group(many, many_rows, one, one_rows)?;
        }
        join.notes.into_iter().for_each(|(_, notes)| self.annotations.append(notes));
        Ok(join.vector)
    }
}

/// Joins the rows that share a signature.
struct Join<'a> {
    binary: &'a Binary,
    many_side: Side,
    vector: Vector,
    /// In a one-to-one match: the steps that have a result already.
    taken: Vec<bool>,
    /// By step what is noteworthy about the last row of the many side about which anything is: as Prometheus, which
    /// remembers one thing a step. Empty while there is nothing.
    notes: Vec<(usize, Annotations)>,
}

impl Join<'_> {
    fn group(&mut self, many: &Vector, many_rows: &[usize], one: &Vector, one_rows: &[usize]) -> Result_<()> {
        let matching = &self.binary.matching;
        let first_result = self.vector.rows();
        self.taken.clear();
        self.taken.resize(self.vector.steps, false);
        for &many_row in many_rows {
            for &one_row in one_rows {
                let labels = result_labels(self.binary, &many.labels[many_row], &one.labels[one_row])?;
                let drop_name = self.binary.returns_bool || many.drop_names[many_row];
                self.pair(labels, drop_name, many_row, (many.full_row(many_row), one.full_row(one_row)));
            }
            if one_rows.is_empty() || matching.fill_left.is_some() || matching.fill_right.is_some() {
                self.fill_one(many, many_row, one, one_rows)?;
            }
        }
        for &one_row in one_rows {
            self.fill_many(many, many_rows, one, one_row)?;
        }
        self.check_unique(first_result)
    }

    /// Appends the results of two rows, of which that of the many side has that number.
    fn pair(&mut self, labels: Labels, drop_name: bool, number: usize, (many, one): (Row<'_>, Row<'_>)) {
        let (op, returns_bool) = (self.binary.op, self.binary.returns_bool);
        let (left, right) = if self.many_side == Side::Left { (many, one) } else { (one, many) };
        let row = self.vector.push_absent(labels, drop_name);
        for ((slot, &left), &right) in row.iter_mut().zip(left.values).zip(right.values) {
            if is_present(left) && is_present(right) {
                *slot = outcome(op, returns_bool, left, right, left);
            }
        }
        if left.histograms.is_some() || right.histograms.is_some() {
            self.pair_histograms(number, left, right);
        }
        if matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower) {
            let both = |step: &usize| is_present(left.values[*step]) && is_present(right.values[*step]);
            for step in (0..self.vector.steps).filter(both) {
                let mut notes = Annotations::default();
                native::inform_of_types(op, "float", "float", &mut notes, self.binary.left.span);
                self.note(number, step, notes);
            }
        }
        self.vector.pop_if_empty();
    }

    /// The results of the last row where one side has a histogram.
    fn pair_histograms(&mut self, number: usize, left: Row<'_>, right: Row<'_>) {
        let row = self.vector.rows() - 1;
        for step in 0..self.vector.steps {
            let operands = [operand(left, step), operand(right, step)];
            if let [Some(Operand::Number(_)), Some(Operand::Number(_))] = operands {
                continue;
            }
            if let [Some(left), Some(right)] = operands {
                let (op, returns_bool) = (self.binary.op, self.binary.returns_bool);
                let mut notes = Annotations::default();
                let outcome = native::binary(op, returns_bool, [left, right], &mut notes, self.binary.left.span);
                self.vector.put_outcome(row, step, outcome);
                self.note(number, step, notes);
            }
        }
    }

    /// Remembers what is noteworthy about a row of the many side at a step.
    fn note(&mut self, number: usize, step: usize, notes: Annotations) {
        if notes.is_empty() {
            return;
        }
        self.notes.resize_with(self.vector.steps, Default::default);
        if number >= self.notes[step].0 {
            self.notes[step] = (number, notes);
        }
    }

    /// A number stands in for the one side where it is missing.
    fn fill_one(&mut self, many: &Vector, many_row: usize, one: &Vector, one_rows: &[usize]) -> Result_<()> {
        let matching = &self.binary.matching;
        let fill = if self.many_side == Side::Left { matching.fill_right } else { matching.fill_left };
        let Some(fill) = fill else { return Ok(()) };
        let labels = result_labels(self.binary, &many.labels[many_row], &Labels::empty())?;
        let filled = missing(one, one_rows, fill.value);
        let drop_name = self.binary.returns_bool || many.drop_names[many_row];
        self.pair(labels, drop_name, many_row, (many.full_row(many_row), Row::of_values(&filled)));
        Ok(())
    }

    /// A number stands in for the many side where it is missing.
    fn fill_many(&mut self, many: &Vector, many_rows: &[usize], one: &Vector, one_row: usize) -> Result_<()> {
        let matching = &self.binary.matching;
        let fill = if self.many_side == Side::Left { matching.fill_left } else { matching.fill_right };
        let Some(fill) = fill else { return Ok(()) };
        let shared = signature_labels(&one.labels[one_row], matching);
        let labels = result_labels(self.binary, &shared, &one.labels[one_row])?;
        let filled = missing(many, many_rows, fill.value);
        // These come after all that have a row.
        let rows = (Row::of_values(&filled), one.full_row(one_row));
        self.pair(labels, self.binary.returns_bool, usize::MAX, rows);
        Ok(())
    }

    /// Refuses a step with two results: of one signature in a one-to-one match, of one label set otherwise.
    fn check_unique(&mut self, first_result: usize) -> Result_<()> {
        let results = first_result..self.vector.rows();
        if results.len() < 2 {
            return Ok(());
        }
        if self.binary.matching.group.is_some() {
            return self.check_unique_labels(results);
        }
        for row in results {
            let row = self.vector.full_row(row);
            for (step, taken) in self.taken.iter_mut().enumerate() {
                if row.has_sample(step) && std::mem::replace(taken, true) {
                    let message =
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
                    return Err(EvalError::execution(message));
                }
            }
        }
        Ok(())
    }

    fn check_unique_labels(&self, results: std::ops::Range<usize>) -> Result_<()> {
        let mut known = Interner::default();
        let numbers: Vec<usize> =
            self.vector.labels[results.clone()].iter().map(|labels| known.number_shared(labels)).collect();
        if known.count() == numbers.len() {
            return Ok(());
        }
        let steps = self.vector.steps;
        let mut taken = vec![false; known.count() * steps];
        for (row, number) in results.zip(numbers) {
            let row = self.vector.full_row(row);
            for (step, taken) in taken[number * steps..(number + 1) * steps].iter_mut().enumerate() {
                if row.has_sample(step) && std::mem::replace(taken, true) {
                    let message = "multiple matches for labels: grouping labels must ensure unique matches";
                    return Err(EvalError::execution(message));
                }
            }
        }
        Ok(())
    }
}

/// A column of a number where none of the rows has a sample.
fn missing(vector: &Vector, rows: &[usize], fill: f64) -> Vec<f64> {
    let has_sample = |step: usize| rows.iter().any(|&row| vector.full_row(row).has_sample(step));
    (0..vector.steps).map(|step| if has_sample(step) { ABSENT } else { fill }).collect()
}

/// What a row has at a step.
fn operand(row: Row<'_>, step: usize) -> Option<Operand<'_>> {
    let number = row.values[step];
    row.histogram(step).map(Operand::Histogram).or_else(|| is_present(number).then_some(Operand::Number(number)))
}

/// Refuses two series of the one side with the same signature at a step, as soon as the other side has any series.
fn check_one_side(many: &Vector, one: &Vector, one_rows: &RowsOf, matching: &Matching, many_side: Side) -> Result_<()> {
    if !one_rows.iter().any(|rows| rows.len() > 1) {
        return Ok(());
    }
    let any_many = any_sample(many);
    // The first row of the signature with a sample at each step.
    let mut owners: Vec<Option<usize>> = Vec::new();
    for rows in one_rows.iter().filter(|rows| rows.len() > 1) {
        owners.clear();
        owners.resize(one.steps, None);
        for &row in rows {
            let samples = one.full_row(row);
            let mut other: Option<usize> = None;
            for (step, owner) in owners.iter_mut().enumerate().filter(|(step, _)| samples.has_sample(*step)) {
                match *owner {
                    Some(owner) if any_many[step] => other = Some(other.map_or(owner, |other| other.min(owner))),
                    Some(_) => {}
                    None => *owner = Some(row),
                }
            }
            if let Some(other) = other {
                return Err(duplicates(&one.labels[other], &one.labels[row], matching, many_side));
            }
        }
    }
    Ok(())
}

/// For each step whether any series has a sample.
fn any_sample(vector: &Vector) -> Vec<bool> {
    let mut any = vec![false; vector.steps];
    for row in 0..vector.rows() {
        let row = vector.full_row(row);
        for (step, any) in any.iter_mut().enumerate() {
            *any |= row.has_sample(step);
        }
    }
    any
}

fn duplicates(first: &Labels, second: &Labels, matching: &Matching, many_side: Side) -> EvalError {
    let group = full_labels(&signature_labels(first, matching));
    let side = if many_side == Side::Left { "right" } else { "left" };
    let mut series = [first, second];
    series.sort();
    let [first, second] = series.map(full_labels);
    EvalError::execution(format!(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
         [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
    ))
}

/// All labels in braces, the metric name among them.
fn full_labels(labels: &Labels) -> String {
    let written: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={}", crate::quote::quote(value))).collect();
    format!("{{{}}}", written.join(", "))
}

/// The labels that decide about matching; a name that is to be dropped at the end is still one of them.
struct Deciding<'a> {
    is_on: bool,
    names: Vec<&'a str>,
}

impl<'a> Deciding<'a> {
    fn new(matching: &'a Matching) -> Self {
        let (is_on, names): (bool, Vec<&str>) = match &matching.labels {
            Some(MatchingLabels::On(on)) => (true, on.iter().map(String::as_str).collect()),
            Some(MatchingLabels::Ignoring(ignored)) => {
                (false, ignored.iter().map(String::as_str).chain([METRIC_NAME]).collect())
            }
            None => (false, vec![METRIC_NAME]),
        };
        Self { is_on, names }
    }

    /// Those of a series.
    fn of<'set>(&self, labels: &'set Labels, buffer: &'set mut LabelsBuffer) -> LabelsRef<'set> {
        match self.is_on {
            true => buffer.with_only(labels.as_ref(), &self.names),
            false => buffer.without(labels.as_ref(), &self.names),
        }
    }
}

/// Those of one series, as a set.
fn signature_labels(labels: &Labels, matching: &Matching) -> Labels {
    Deciding::new(matching).of(labels, &mut LabelsBuffer::default()).to_labels()
}

/// Numbers for the label sets that decide about matching.
struct Signatures<'a> {
    deciding: Deciding<'a>,
    known: Interner,
    buffer: LabelsBuffer,
}

impl<'a> Signatures<'a> {
    fn new(matching: &'a Matching) -> Self {
        Self { deciding: Deciding::new(matching), known: Interner::default(), buffer: LabelsBuffer::default() }
    }

    /// The number of each row.
    fn of(&mut self, vector: &Vector) -> Vec<usize> {
        let Self { deciding, known, buffer } = self;
        vector.labels.iter().map(|labels| known.number(deciding.of(labels, buffer))).collect()
    }

    fn count(&self) -> usize {
        self.known.count()
    }
}

/// The rows of each signature, in order.
struct RowsOf {
    /// Where the rows of each signature start, and at last their number.
    starts: Vec<usize>,
    rows: Vec<usize>,
}

impl RowsOf {
    fn new(ids: &[usize], count: usize) -> Self {
        let mut starts = vec![0; count + 1];
        ids.iter().for_each(|&id| starts[id + 1] += 1);
        for id in 0..count {
            starts[id + 1] += starts[id];
        }
        let (mut next, mut rows) = (starts.clone(), vec![0; ids.len()]);
        for (row, &id) in ids.iter().enumerate() {
            rows[next[id]] = row;
            next[id] += 1;
        }
        Self { starts, rows }
    }

    /// The rows of one signature after the other.
    fn iter(&self) -> impl Iterator<Item = &[usize]> {
        self.starts.windows(2).map(|ends| &self.rows[ends[0]..ends[1]])
    }
}

/// The labels of the many side, as the operator and the matching leave them.
fn result_labels<'a>(binary: &'a Binary, many: &Labels, one: &Labels) -> Result_<Labels> {
    let matching = &binary.matching;
    let dropped = if binary.op.keeps_name() { many.clone() } else { many.without(&[METRIC_NAME]) };
    let Some(Group { include, .. }) = &matching.group else {
        let list = |names: &'a [String]| names.iter().map(String::as_str).collect::<Vec<&'a str>>();
        return Ok(match &matching.labels {
            None => dropped,
            Some(MatchingLabels::On(on)) => dropped.with_only(&list(on)),
            Some(MatchingLabels::Ignoring(ignored)) => dropped.without(&list(ignored)),
        });
    };
    if include.is_empty() {
        return Ok(dropped);
    }
    let mut builder: LabelsBuilder = dropped.to_builder();
    for name in include {
        builder.set(name, one.get(name).unwrap_or(""));
    }
    builder.build().map_err(|error| EvalError::execution(error.to_string()))
}

/// `and`, `or`, `unless`.
fn set_operation(op: BinaryOp, matching: &Matching, mut left: Vector, right: Vector) -> Vector {
    let mut signatures = Signatures::new(matching);
    let left_ids = signatures.of(&left);
    let right_ids = signatures.of(&right);
    let steps = left.steps;
    let presence = |vector: &Vector, ids: &[usize], count: usize| {
        let mut present = vec![false; count * steps];
        for (row, &id) in ids.iter().enumerate() {
            let row = vector.full_row(row);
            for (step, present) in present[id * steps..(id + 1) * steps].iter_mut().enumerate() {
                *present |= row.has_sample(step);
            }
        }
        present
    };
    let keep = |mut vector: Vector, ids: &[usize], present: &[bool], wanted: bool| {
        for (row, &id) in ids.iter().enumerate() {
            for step in 0..steps {
                if present[id * steps + step] != wanted {
                    vector.put_outcome(row, step, Outcome::Absent);
                }
            }
        }
        vector.without_empty_rows()
    };
    match op {
        BinaryOp::Or => {
            let present = presence(&left, &left_ids, signatures.count());
            let rest = keep(right, &right_ids, &present, false);
            left.append(rest);
            left
        }
        _ => {
            let present = presence(&right, &right_ids, signatures.count());
            keep(left, &left_ids, &present, op == BinaryOp::And)
        }
    }
}

/// What two numbers give: of a comparison the kept value or nothing, or 0 and 1.
#[inline]
fn outcome(op: BinaryOp, returns_bool: bool, left: f64, right: f64, kept: f64) -> f64 {
    if !op.is_comparison() {
        return number(op, left, right);
    }
    match (compares(op, left, right), returns_bool) {
        (true, true) => 1.0,
        (false, true) => 0.0,
        (true, false) => kept,
        (false, false) => ABSENT,
    }
}

#[inline]
#[expect(clippy::float_cmp, reason = "the language compares exactly")]
fn compares(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Less => left < right,
        BinaryOp::LessOrEqual => left <= right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterOrEqual => left >= right,
        _ => false,
    }
}

/// What two numbers give as a number.
#[inline]
fn number(op: BinaryOp, left: f64, right: f64) -> f64 {
    match op {
        BinaryOp::Add => left + right,
        BinaryOp::Sub => left - right,
        BinaryOp::Mul => left * right,
        BinaryOp::Div => left / right,
        BinaryOp::Mod => left % right,
        BinaryOp::Pow => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        // Numbers have nothing that could be trimmed, and sets are of series.
        BinaryOp::TrimUpper | BinaryOp::TrimLower | BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => ABSENT,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::LessOrEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterOrEqual => f64::from(u8::from(compares(op, left, right))),
    }
}

//! The expression tree.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use model::Matcher;
use model::pattern::{self, PATTERN_BYTES_MAX, PatternError};
use regex::Regex;

use crate::functions::{Function, ValueType};

/// Where in the text something stands: byte offsets, the end excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The line of the first byte, counted from 1.
    pub line: usize,
    /// The column of the first byte in bytes, counted from 1.
    pub column: usize,
}

/// An expression and where it was written. Two are equal when they mean the same, wherever they stand.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands in the text.
    pub span: Span,
    /// How many expressions lie within each other from here on, this one included.
    pub(crate) depth: usize,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Expr {
    /// An expression of that form.
    pub(crate) fn new(kind: ExprKind, span: Span) -> Self {
        let depth = kind.children().map(|child| child.depth).max().unwrap_or(0) + 1;
        Self { kind, span, depth }
    }

    /// The type of its value.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::Text(_) => ValueType::String,
            ExprKind::Selector(_) | ExprKind::Aggregate(_) => ValueType::InstantVector,
            ExprKind::Range(_) | ExprKind::Subquery(_) => ValueType::RangeVector,
            ExprKind::Unary { operand, .. } => operand.value_type(),
            ExprKind::Binary(binary) => {
                let scalars = [&binary.left, &binary.right].map(|side| side.value_type() == ValueType::Scalar);
                if scalars == [true, true] { ValueType::Scalar } else { ValueType::InstantVector }
            }
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Paren(inner) => inner.value_type(),
        }
    }

    /// Whether the parser added it: what takes no room in the text was not written.
    pub(crate) const fn is_implied(&self) -> bool {
        self.span.start == self.span.end && self.span.line > 0
    }

    /// The expression without the parentheses around it.
    pub(crate) fn without_parens(&self) -> &Self {
        let mut inner = self;
        while let ExprKind::Paren(next) = &inner.kind {
            inner = next;
        }
        inner
    }
}

impl ExprKind {
    /// The expressions right inside, in the order of the text.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Expr> {
        let (two, many): ([Option<&Expr>; 2], &[Expr]) = match self {
            Self::Number(_) | Self::Text(_) | Self::Selector(_) | Self::Range(_) => ([None, None], &[]),
            Self::Subquery(subquery) => ([Some(&subquery.expr), None], &[]),
            Self::Unary { operand: inner, .. } | Self::Paren(inner) => ([Some(inner), None], &[]),
            Self::Binary(binary) => ([Some(&binary.left), Some(&binary.right)], &[]),
            Self::Aggregate(aggregation) => ([aggregation.parameter.as_ref(), Some(&aggregation.expr)], &[]),
            Self::Call(call) => ([None, None], &call.arguments),
        };
        two.into_iter().flatten().chain(many)
    }
}

/// The forms an expression has.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number, or a duration in the place of one.
    Number(Number),
    /// A quoted text.
    Text(TextLiteral),
    /// An instant selector.
    Selector(Box<Selector>),
    /// A range selector.
    Range(Box<RangeSelector>),
    /// A subquery.
    Subquery(Box<Subquery>),
    /// A sign before an expression.
    Unary {
        /// Whether the sign is `-`.
        negative: bool,
        /// What it stands before.
        operand: Box<Expr>,
    },
    /// An operator between two expressions.
    Binary(Box<Binary>),
    /// An aggregation.
    Aggregate(Box<Aggregation>),
    /// A function call.
    Call(Box<Call>),
    /// An expression in parentheses.
    Paren(Box<Expr>),
}

/// A number literal.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// Its value; of a duration its seconds.
    pub value: f64,
    /// Whether it was written as a duration such as `5m`.
    pub as_duration: bool,
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.value.to_bits() == other.value.to_bits() && self.as_duration == other.as_duration
    }
}

/// A quoted text; escapes can put bytes into it that are not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLiteral {
    /// What stands between the quotes, escapes replaced.
    pub bytes: Vec<u8>,
}

/// An instant selector: `name{matchers} offset 5m @ 10`.
#[derive(Clone, Debug)]
pub struct Selector {
    /// Which of the expression's selectors this is, in the order of the text: the index into [`crate::selections`].
    pub index: usize,
    /// The metric name, when it stands before the braces.
    pub name: Option<String>,
    /// All conditions, the one on the metric name included.
    pub matchers: Vec<Matcher>,
    /// Its modifiers.
    pub shift: Shift,
    /// The experimental `anchored` or `smoothed`.
    pub extent: Option<Extent>,
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        (self.sorted_matchers(), &self.shift, self.extent) == (other.sorted_matchers(), &other.shift, other.extent)
    }
}

impl Selector {
    /// The conditions in an order that does not depend on how they were written.
    fn sorted_matchers(&self) -> Vec<&Matcher> {
        let mut matchers: Vec<&Matcher> = self.matchers.iter().collect();
        matchers.sort_by(|one, two| {
            let key = |matcher: &Matcher| matcher.op().as_str();
            (one.name(), one.value(), key(one)).cmp(&(two.name(), two.value(), key(two)))
        });
        matchers
    }
}

/// How a range selector treats samples around its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The last sample before the window belongs to it.
    Anchored,
    /// Values at the window's ends are interpolated.
    Smoothed,
}

/// When a selector or subquery looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shift {
    /// How far back from there; negative is ahead.
    pub offset: Option<DurationExpr>,
    /// A fixed time instead of the step's.
    pub at: Option<At>,
}

/// The time behind `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A time in milliseconds since the epoch.
    Millis(i64),
    /// The start of the query.
    Start,
    /// The end of the query.
    End,
}

/// A range selector; its modifiers stand in the instant selector inside.
#[derive(Clone, Debug, PartialEq)]
pub struct RangeSelector {
    /// What to select.
    pub selector: Selector,
    /// How far back the window reaches.
    pub range: DurationExpr,
}

/// A subquery: `expr[range:step]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What to evaluate.
    pub expr: Expr,
    /// How far back the window reaches.
    pub range: DurationExpr,
    /// The step; the default one when absent.
    pub step: Option<DurationExpr>,
    /// Its modifiers.
    pub shift: Shift,
}

/// A duration that may depend on the query's step and range.
#[derive(Clone, Debug, PartialEq)]
pub enum DurationExpr {
    /// Milliseconds, written `5m` or as seconds.
    Millis(i64),
    /// A plain number in a calculation: seconds, or a factor.
    Number(Number),
    /// `step()`: the step of the query.
    Step,
    /// `range()`: from the query's start to its end.
    Range,
    /// `-`
    Negative(Box<DurationExpr>),
    /// Parentheses.
    Paren(Box<DurationExpr>),
    /// `min_of`
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of`
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// A calculation; only the arithmetic operators.
    Binary(BinaryOp, Box<DurationExpr>, Box<DurationExpr>),
}

impl DurationExpr {
    /// A fixed duration.
    pub fn fixed(duration: Duration) -> Self {
        Self::Millis(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The operators between two expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `</`: a histogram without what lies above.
    TrimUpper,
    /// `>/`: a histogram without what lies below.
    TrimLower,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
}

impl BinaryOp {
    /// The operator as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// Whether it compares.
    pub const fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual
        )
    }

    /// Whether the result is still of the metric that the left side is of.
    pub(crate) const fn keeps_name(self) -> bool {
        self.is_comparison() || matches!(self, Self::TrimUpper | Self::TrimLower)
    }

    /// Whether it is `and`, `or` or `unless`.
    pub const fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// An operator between two expressions.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which operator.
    pub op: BinaryOp,
    /// The left side.
    pub left: Expr,
    /// The right side.
    pub right: Expr,
    /// Whether a comparison gives 0 or 1 instead of filtering.
    pub returns_bool: bool,
    /// How series of both sides find each other.
    pub matching: Matching,
}

/// How series of two vectors find each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// `on` or `ignoring`, if written.
    pub labels: Option<MatchingLabels>,
    /// `group_left` or `group_right`, if written.
    pub group: Option<Group>,
    /// What stands in for a missing left side: the experimental `fill`.
    pub fill_left: Option<Number>,
    /// What stands in for a missing right side.
    pub fill_right: Option<Number>,
}

/// The labels two series must share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MatchingLabels {
    /// Only these.
    On(Vec<String>),
    /// All but these.
    Ignoring(Vec<String>),
}

/// Which side has many series for one of the other, and which labels the one gives to the many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The side with many series.
    pub many: Side,
    /// Labels taken over from the other side.
    pub include: Vec<String>,
}

/// A side of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before the operator.
    Left,
    /// Behind the operator.
    Right,
}

/// The aggregations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AggregateOp {
    /// `sum`
    Sum,
    /// `avg`
    Avg,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `count`
    Count,
    /// `group`
    Group,
    /// `stddev`
    Stddev,
    /// `stdvar`
    Stdvar,
    /// `topk`
    TopK,
    /// `bottomk`
    BottomK,
    /// `quantile`
    Quantile,
    /// `count_values`
    CountValues,
    /// `limitk`
    LimitK,
    /// `limit_ratio`
    LimitRatio,
}

impl AggregateOp {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Count,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::TopK,
        Self::BottomK,
        Self::Quantile,
        Self::CountValues,
        Self::LimitK,
        Self::LimitRatio,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::TopK => "topk",
            Self::BottomK => "bottomk",
            Self::Quantile => "quantile",
            Self::CountValues => "count_values",
            Self::LimitK => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// Whether a stock Prometheus has it only behind its feature flag `promql-experimental-functions`.
    pub const fn is_experimental(self) -> bool {
        matches!(self, Self::LimitK | Self::LimitRatio)
    }

    /// Whether it takes a parameter before the vector.
    pub const fn has_parameter(self) -> bool {
        matches!(
            self,
            Self::TopK | Self::BottomK | Self::Quantile | Self::CountValues | Self::LimitK | Self::LimitRatio
        )
    }
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    /// Which one.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// The parameter of `topk` and its like.
    pub parameter: Option<Expr>,
    /// How series form groups.
    pub grouping: Grouping,
}

/// How series form groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// By the values of these labels; none is one group of all.
    By(Vec<String>),
    /// By the values of all labels but these and the metric name.
    Without(Vec<String>),
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub function: &'static Function,
    /// Its arguments.
    pub arguments: Vec<Expr>,
    /// The regular expression among them, from its first use on.
    pub pattern: CallPattern,
}

/// The regular expression of a `label_replace`, which is written out in the query. Compiled once: a rule's expression is
/// evaluated again and again, and compiling takes longer than replacing. Equal calls may differ in it.
#[derive(Clone, Debug, Default)]
pub struct CallPattern(OnceLock<Arc<Regex>>);

impl CallPattern {
    /// Compiles the text at the first call; later ones give that expression again.
    ///
    /// # Errors
    /// When the text is no regular expression.
    pub(crate) fn compiled(&self, text: &str) -> Result<Arc<Regex>, PatternError> {
        if let Some(pattern) = self.0.get() {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Arc::new(pattern::whole(text, PATTERN_BYTES_MAX)?);
        Ok(Arc::clone(self.0.get_or_init(|| pattern)))
    }
}

impl PartialEq for CallPattern {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

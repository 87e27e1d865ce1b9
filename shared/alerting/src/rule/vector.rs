//! What an expression gave to its rule.

use std::sync::Arc;

use model::{Histogram, Labels};

/// What the expression gave, or why there is nothing.
pub type RuleResult = Result<RuleVector, String>;

/// The series that an expression gave, each with its number or its native histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleVector {
    /// Those with a number.
    pub numbers: Vec<(Labels, f64)>,
    /// Those with a histogram. As in Prometheus, one makes an alert whose value is zero.
    pub histograms: Vec<(Labels, Arc<Histogram>)>,
}

impl RuleVector {
    /// How many series there are.
    pub const fn len(&self) -> usize {
        self.numbers.len() + self.histograms.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromIterator<(Labels, f64)> for RuleVector {
    fn from_iter<I: IntoIterator<Item = (Labels, f64)>>(numbers: I) -> Self {
        Self { numbers: numbers.into_iter().collect(), histograms: Vec::new() }
    }
}

//! Amounts of what is billed.

use std::collections::BTreeMap;

use super::Item;

/// How much of each item was used, and how many samples were accepted meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Samples accepted.
    pub samples: u64,
    amounts: BTreeMap<Item, u64>,
}

impl Usage {
    /// Nothing was used but samples accepted.
    pub fn of_samples(samples: u64) -> Self {
        Self { samples, amounts: BTreeMap::new() }
    }

    /// Counts an amount.
    pub fn add(&mut self, item: Item, amount: u64) {
        if amount > 0 {
            let sum = self.amounts.entry(item).or_default();
            *sum = sum.saturating_add(amount);
        }
    }

    /// Adds all of another usage.
    pub fn merge(&mut self, other: &Self) {
        self.samples = self.samples.saturating_add(other.samples);
        other.amounts().for_each(|(item, amount)| self.add(item, amount));
    }

    /// How much of an item was used.
    pub fn amount(&self, item: Item) -> u64 {
        self.amounts.get(&item).copied().unwrap_or(0)
    }

    /// What was used at all, in order.
    pub fn amounts(&self) -> impl Iterator<Item = (Item, u64)> {
        self.amounts.iter().map(|(item, amount)| (*item, *amount))
    }

    /// What was used after an earlier state of the same ledger.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = Self::of_samples(self.samples.saturating_sub(earlier.samples));
        for (item, amount) in self.amounts() {
            difference.add(item, amount.saturating_sub(earlier.amount(item)));
        }
        difference
    }
}

//! Numbers for label sets, found by their hash.

use hashbrown::HashTable;
use model::{Labels, LabelsRef};
use xxhash_rust::xxh3::xxh3_64;

/// Distinct label sets, numbered in the order they were met.
#[derive(Debug, Default)]
pub(super) struct Interner {
    /// Hash and number of each set.
    numbers: HashTable<(u64, usize)>,
    /// By number.
    sets: Vec<Labels>,
}

impl Interner {
    /// The number of a set; of a new one the next number.
    pub(super) fn number(&mut self, set: LabelsRef<'_>) -> usize {
        self.number_or(set, || set.to_labels())
    }

    /// As [`Self::number`], of a set that need not be copied.
    pub(super) fn number_shared(&mut self, set: &Labels) -> usize {
        self.number_or(set.as_ref(), || set.clone())
    }

    /// The number of a set that was met before.
    pub(super) fn find(&self, set: LabelsRef<'_>) -> Option<usize> {
        self.find_hashed(hash(set), set)
    }

    /// The set of a number that was given.
    pub(super) fn set(&self, number: usize) -> &Labels {
        &self.sets[number]
    }

    fn find_hashed(&self, hash: u64, set: LabelsRef<'_>) -> Option<usize> {
        let same = |(known, number): &(u64, usize)| *known == hash && self.sets[*number].as_ref() == set;
        self.numbers.find(hash, same).map(|(_, number)| *number)
    }

    fn number_or(&mut self, set: LabelsRef<'_>, own: impl FnOnce() -> Labels) -> usize {
        let hash = hash(set);
        if let Some(number) = self.find_hashed(hash, set) {
            return number;
        }
        let number = self.sets.len();
        self.numbers.insert_unique(hash, (hash, number), |(hash, _)| *hash);
        self.sets.push(own());
        number
    }

    /// How many sets there are.
    pub(super) fn count(&self) -> usize {
        self.sets.len()
    }

    /// The sets by number.
    pub(super) fn into_sets(self) -> Vec<Labels> {
        self.sets
    }
}

fn hash(set: LabelsRef<'_>) -> u64 {
    xxh3_64(set.as_text().as_bytes())
}

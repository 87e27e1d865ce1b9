//! A cache that forgets what was not used for longest.

use std::collections::BTreeMap;

/// Values with a weight; together they stay under a limit.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    values: BTreeMap<K, (u64, usize, V)>,
    /// Keys by their last use.
    uses: BTreeMap<u64, K>,
    clock: u64,
    bytes: usize,
    bytes_max: usize,
}

impl<K: Ord + Clone, V: Clone> Cache<K, V> {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self { values: BTreeMap::new(), uses: BTreeMap::new(), clock: 0, bytes: 0, bytes_max }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        let (used, _, value) = self.values.get_mut(key)?;
        self.uses.remove(used);
        self.clock += 1;
        *used = self.clock;
        self.uses.insert(self.clock, key.clone());
        Some(value.clone())
    }

    pub(crate) fn insert(&mut self, key: K, value: V, bytes: usize) {
        if bytes > self.bytes_max {
            return;
        }
        self.clock += 1;
        if let Some((used, old_bytes, _)) = self.values.insert(key.clone(), (self.clock, bytes, value)) {
            self.uses.remove(&used);
            self.bytes -= old_bytes;
        }
        self.uses.insert(self.clock, key);
        self.bytes += bytes;
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.uses.pop_first() else { break };
            if let Some((_, bytes, _)) = self.values.remove(&oldest) {
                self.bytes -= bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut cache = Cache::new(30);
        for (key, bytes) in [("a", 10), ("b", 10), ("c", 10)] {
            cache.insert(key, key, bytes);
        }
        assert_eq!(cache.get(&"a"), Some("a"));
        cache.insert("d", "d", 10);
        assert_eq!(["a", "b", "c", "d"].map(|key| cache.get(&key).is_some()), [true, false, true, true]);
        cache.insert("a", "larger", 25);
        assert_eq!(["a", "c", "d"].map(|key| cache.get(&key)), [Some("larger"), None, None]);
        cache.insert("huge", "huge", 31);
        assert_eq!(cache.get(&"huge"), None);
        assert_eq!(cache.bytes, 25);
    }
}

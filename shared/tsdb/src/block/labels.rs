//! The labels of the series of a block.
//!
//! Chunks of one fleet differ in their samples and hardly in their series: whoever has several open holds the same labels
//! once, and reads them once.

use std::ops::Range;
use std::sync::{Arc, Mutex, Weak};

use hashbrown::HashMap;
use model::{Batch, LabelsRef, METRIC_NAME};
use xxhash_rust::xxh3::xxh3_128;

use crate::coding::Reader;
use crate::error::{Result, TsdbError};
use crate::text::TextReader;

const WHAT: &str = "block index";
/// Tables that nobody uses any more are looked for when there are so many.
const TABLES_TIDIED: usize = 64;

/// The label sets of a block in order: by metric name, then by labels.
#[derive(Debug)]
pub(super) struct LabelTable {
    /// Without samples.
    sets: Batch,
    /// The first series of each metric name, in order.
    metrics: Vec<usize>,
}

impl LabelTable {
    pub(super) fn set(&self, series: usize) -> LabelsRef<'_> {
        self.sets.series(series).labels
    }

    /// The places of the series of a metric.
    pub(super) fn of_metric(&self, metric: &str) -> Range<usize> {
        let name_of = |first: usize| self.set(first).get(METRIC_NAME).unwrap_or("");
        let place = self.metrics.partition_point(|&first| name_of(first) < metric);
        let first = |place: usize| self.metrics.get(place).copied().unwrap_or(self.sets.series_count());
        first(place)..first(place + 1)
    }

    /// About how much memory it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.sets.iter().map(|series| series.labels.as_text().len() + 16).sum()
    }

    fn read(mut table: TextReader<'_>, series_count: usize) -> Result<Self> {
        let mut sets = Batch::new();
        let mut metrics = Vec::new();
        for index in 0..series_count {
            let set = table.read()?;
            let metric = set.get(METRIC_NAME).unwrap_or("");
            let before = index.checked_sub(1).map(|before| sets.series(before).labels);
            let metric_before = before.map(|before| before.get(METRIC_NAME).unwrap_or(""));
            if before.is_some_and(|before| (metric_before.unwrap_or(""), before) >= (metric, set)) {
                return Err(TsdbError::malformed(WHAT, "series do not ascend"));
            }
            if metric_before != Some(metric) {
                metrics.push(index);
            }
            sets.push(set, []);
        }
        Ok(Self { sets, metrics })
    }
}

/// The labels of the blocks that are open: what is written the same in several is held once.
#[derive(Debug, Default)]
pub struct LabelTables {
    /// By the hash of the bytes, and the number of series.
    known: Mutex<HashMap<(u128, usize), Weak<LabelTable>>>,
}

impl LabelTables {
    /// Reads the labels of so many series.
    pub(super) fn read(&self, reader: &mut Reader<'_>, series_count: usize) -> Result<Arc<LabelTable>> {
        let before = reader.rest();
        let table = TextReader::new(reader)?;
        let key = (xxh3_128(&before[..before.len() - reader.rest().len()]), series_count);
        let lock = || self.known.lock().expect("nothing panics while it holds the lock");
        if let Some(known) = lock().get(&key).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let table = Arc::new(LabelTable::read(table, series_count)?);
        let mut known = lock();
        if known.len() >= TABLES_TIDIED {
            known.retain(|_, table| table.strong_count() > 0);
        }
        known.insert(key, Arc::downgrade(&table));
        Ok(table)
    }
}

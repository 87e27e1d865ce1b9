//! What is remembered of one unit: its metrics as they were listed last, and how far each question was answered.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Timestamp;
use tsdb::coding::{Reader, put_bytes, put_signed, put_varint, seal, unseal};

use super::port::Metric;
use crate::ports::ROW_BYTES_MAX;

/// Format version of the row.
const VERSION: u8 = 1;
const WHAT: &str = "row of a CloudWatch unit";
/// Of a row's bytes, what its key and a store's own fields may take.
const SPARE_BYTES: usize = 4096;

/// The metrics of a unit with all questions about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UnitRow {
    /// When the metrics were listed; `None` before the first time.
    pub(super) listed: Option<Timestamp>,
    /// By metric, for each statistic of the entry in its order.
    pub(super) metrics: BTreeMap<Metric, Vec<Progress>>,
}

/// How far one question was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The end of the last period that was answered for; `None` before the first answer.
    pub(super) until: Option<Timestamp>,
    /// The newest samples that were taken, by the end of their period, with a mark of their value: what comes again
    /// unchanged is not written again.
    pub(super) taken: BTreeMap<Timestamp, u16>,
}

impl Progress {
    /// Whether a sample is new or has another value than before; from now on it is known.
    pub(super) fn take(&mut self, time: Timestamp, value: f64) -> bool {
        let mark = mark(value);
        self.taken.insert(time, mark) != Some(mark)
    }

    /// Forgets samples up to a time: they are not asked for again.
    pub(super) fn forget(&mut self, until: Timestamp) {
        self.taken.retain(|time, _| *time > until);
    }
}

/// Sixteen bits that change with the value.
fn mark(value: f64) -> u16 {
    let hash = xxhash_rust::xxh3::xxh3_64(&value.to_bits().to_le_bytes()).to_le_bytes();
    u16::from_le_bytes([hash[0], hash[1]])
}

impl UnitRow {
    /// Takes over a new list of metrics, at most so many: known ones stay, new ones are added in order as long as there
    /// is room. Gives back how many found none.
    pub(super) fn relist(
        &mut self,
        listed: impl IntoIterator<Item = Metric>,
        statistics: usize,
        metrics_max: usize,
        now: Timestamp,
    ) -> usize {
        let mut before = std::mem::take(&mut self.metrics);
        let mut added = BTreeMap::new();
        for metric in listed {
            match before.remove(&metric) {
                Some(progress) => _ = self.metrics.insert(metric, progress),
                None if self.metrics.contains_key(&metric) => {}
                None => _ = added.insert(metric, vec![Progress::default(); statistics]),
            }
        }
        let room = metrics_max.saturating_sub(self.metrics.len());
        let left_out = added.len().saturating_sub(room);
        self.metrics.extend(added.into_iter().take(room));
        self.listed = Some(now);
        left_out
    }

    /// How many questions there are.
    pub(super) fn questions(&self) -> u64 {
        self.metrics.values().map(|progress| progress.len() as u64).sum()
    }

    /// As bytes for a row. Where they are too many, the samples that were taken are forgotten, which writes some twice.
    pub(super) fn encode(&self, period: Duration) -> Vec<u8> {
        let whole = self.encode_with(period, true);
        if whole.len() + SPARE_BYTES <= ROW_BYTES_MAX { whole } else { self.encode_with(period, false) }
    }

    fn encode_with(&self, period: Duration, with_taken: bool) -> Vec<u8> {
        let mut out = Vec::new();
        put_time(&mut out, self.listed);
        put_varint(&mut out, self.metrics.len() as u64);
        for (metric, progress) in &self.metrics {
            put_bytes(&mut out, metric.namespace.as_bytes());
            put_bytes(&mut out, metric.name.as_bytes());
            put_bytes(&mut out, metric.account.as_deref().unwrap_or("").as_bytes());
            put_varint(&mut out, metric.dimensions.len() as u64);
            for (name, value) in &metric.dimensions {
                put_bytes(&mut out, name.as_bytes());
                put_bytes(&mut out, value.as_bytes());
            }
            put_varint(&mut out, progress.len() as u64);
            for progress in progress {
                put_progress(&mut out, progress, period, with_taken);
            }
        }
        seal(VERSION, &out)
    }

    /// Reads what [`UnitRow::encode`] gave for the same period.
    pub(super) fn decode(bytes: &[u8], period: Duration) -> tsdb::Result<Self> {
        let content = unseal(bytes, VERSION, WHAT)?;
        let mut reader = Reader::new(&content, WHAT);
        let listed = time(&mut reader)?;
        let mut metrics = BTreeMap::new();
        for _ in 0..reader.count(5)? {
            let namespace = reader.text()?.to_owned();
            let name = reader.text()?.to_owned();
            let account = Some(reader.text()?.to_owned()).filter(|account| !account.is_empty());
            let mut dimensions = Vec::new();
            for _ in 0..reader.count(2)? {
                dimensions.push((reader.text()?.to_owned(), reader.text()?.to_owned()));
            }
            let mut progress = Vec::new();
            for _ in 0..reader.count(2)? {
                progress.push(read_progress(&mut reader, period)?);
            }
            metrics.insert(Metric { namespace, name, dimensions, account }, progress);
        }
        reader.end()?;
        Ok(Self { listed, metrics })
    }
}

/// A time in milliseconds after a flag: zero without one.
fn put_time(out: &mut Vec<u8>, time: Option<Timestamp>) {
    put_varint(out, u64::from(time.is_some()));
    if let Some(time) = time {
        put_signed(out, time.as_millis());
    }
}

fn time(reader: &mut Reader<'_>) -> tsdb::Result<Option<Timestamp>> {
    if reader.varint()? == 0 {
        return Ok(None);
    }
    Ok(Some(Timestamp::from_millis(reader.signed()?)))
}

/// Sample times as periods before `until`, whose columns repeat from question to question and so pack well.
fn put_progress(out: &mut Vec<u8>, progress: &Progress, period: Duration, with_taken: bool) {
    put_time(out, progress.until);
    let until = progress.until.unwrap_or_default().as_millis();
    let taken = if with_taken { progress.taken.len() } else { 0 };
    put_varint(out, taken as u64);
    for (time, mark) in progress.taken.iter().take(taken) {
        put_signed(out, (until - time.as_millis()) / millis(period));
        out.extend_from_slice(&mark.to_le_bytes());
    }
}

fn read_progress(reader: &mut Reader<'_>, period: Duration) -> tsdb::Result<Progress> {
    let until = time(reader)?;
    let end = until.unwrap_or_default().as_millis();
    let mut taken = BTreeMap::new();
    for _ in 0..reader.count(3)? {
        let millis = end.saturating_sub(reader.signed()?.saturating_mul(millis(period)));
        taken.insert(Timestamp::from_millis(millis), u16::from_le_bytes(reader.array()?));
    }
    Ok(Progress { until, taken })
}

fn millis(period: Duration) -> i64 {
    i64::try_from(period.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(300);

    fn metric(number: u32) -> Metric {
        let dimensions = vec![("InstanceId".to_owned(), format!("i-{number:016x}"))];
        Metric { namespace: "AWS/EC2".to_owned(), name: "CPUUtilization".to_owned(), dimensions, account: None }
    }

    fn at(periods: i64) -> Timestamp {
        Timestamp::from_secs(1_795_046_400 + 300 * periods)
    }

    /// A row of so many metrics with one question each, answered for so many periods.
    fn row(metrics: u32, periods: i64) -> UnitRow {
        let taken = |number: u32| {
            (0..periods).map(|back| (at(-back), mark(f64::from(number) / 7.0 + at(back).as_secs_f64()))).collect()
        };
        let progress = |number| vec![Progress { until: Some(at(0)), taken: taken(number) }];
        UnitRow {
            listed: Some(at(-2)),
            metrics: (0..metrics).map(|number| (metric(number), progress(number))).collect(),
        }
    }

    #[test]
    fn reads_back_and_refuses_changed_bytes() {
        let mut row = row(3, 3);
        let account = Metric { account: Some("123456789012".to_owned()), ..metric(9) };
        row.metrics.insert(account, vec![Progress::default(); 2]);
        let bytes = row.encode(PERIOD);
        assert_eq!(UnitRow::decode(&bytes, PERIOD), Ok(row));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(UnitRow::decode(&changed, PERIOD).is_err(), "byte {at}");
        }
        assert_eq!(UnitRow::decode(&UnitRow::default().encode(PERIOD), PERIOD), Ok(UnitRow::default()));
    }

    #[test]
    fn a_row_of_many_metrics_forgets_what_was_taken_rather_than_grow_too_large() {
        let small = row(3000, 3);
        assert_eq!(UnitRow::decode(&small.encode(PERIOD), PERIOD), Ok(small));
        let large = row(6000, 40);
        let bytes = large.encode(PERIOD);
        assert!(bytes.len() < ROW_BYTES_MAX, "{}", bytes.len());
        let read = UnitRow::decode(&bytes, PERIOD).unwrap();
        assert_eq!(read.questions(), 6000);
        let only_until = Progress { until: Some(at(0)), ..Progress::default() };
        assert!(read.metrics.values().flatten().all(|progress| *progress == only_until));
    }

    #[test]
    fn known_metrics_stay_when_there_are_too_many() {
        let mut row = row(3, 3);
        let known = row.metrics[&metric(2)].clone();
        let listed = [metric(9), metric(2), metric(8), metric(2), metric(9)];
        assert_eq!(row.relist(listed, 1, 2, at(5)), 1);
        assert_eq!(row.metrics.keys().cloned().collect::<Vec<_>>(), [metric(2), metric(8)]);
        assert_eq!((&row.metrics[&metric(2)], row.listed), (&known, Some(at(5))));
        assert_eq!(row.relist([metric(2)], 1, 2, at(6)), 0);
        assert_eq!(row.questions(), 1);
    }

    #[test]
    fn a_sample_is_taken_once_unless_its_value_changes() {
        let mut progress = Progress::default();
        let taken =
            [(0, 1.0), (0, 1.0), (0, 1.5), (1, 1.5), (0, 1.5)].map(|(period, value)| progress.take(at(period), value));
        assert_eq!(taken, [true, false, true, true, false]);
        progress.forget(at(0));
        assert_eq!(progress.taken.len(), 1);
    }
}

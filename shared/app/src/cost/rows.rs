//! What processes store of what they used: one row a process and day, `l#<month>` / `<day>#<function>#<instance>`.

use bytes::Bytes;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::{ErrorKind, Timestamp};
use tsdb::TsdbError;
use tsdb::coding::{Reader, put_signed, put_varint};

use super::{Item, Usage};
use crate::ports::{PortError, PortResult, Row, RowKey, RowRange, StateStore, range_all};

/// Format version of a row.
const VERSION: u8 = 1;
/// Rows are kept for a year, so that a month can be compared with the same one a year ago.
const KEPT: std::time::Duration = std::time::Duration::from_secs(400 * 86_400);
const WHAT: &str = "usage row";

/// A row to store.
pub(super) type Put = (RowKey, Bytes, Option<Timestamp>);

/// What one process used on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProcessUsage {
    /// Since when it is counted.
    pub(super) since: Timestamp,
    /// Until when it is counted.
    pub(super) until: Timestamp,
    pub(super) usage: Usage,
}

/// A row of the month, as it was read.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) day: i8,
    pub(super) function: String,
    pub(super) process: ProcessUsage,
}

/// The day of a moment, as AWS bills it: in UTC.
pub(super) fn day_of(now: Timestamp) -> Date {
    let moment = jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    moment.to_zoned(TimeZone::UTC).date()
}

fn partition(day: Date) -> String {
    format!("l#{:04}-{:02}", day.year(), day.month())
}

impl ProcessUsage {
    pub(super) fn put(&self, day: Date, function: &str, instance: &str) -> Put {
        let key = RowKey::new(partition(day), format!("{:02}#{function}#{instance}", day.day()));
        (key, Bytes::from(self.encode()), Some(self.until + KEPT))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_signed(&mut out, self.since.as_millis());
        put_signed(&mut out, self.until.as_millis());
        put_varint(&mut out, self.usage.samples);
        put_varint(&mut out, self.usage.amounts().count() as u64);
        for (item, amount) in self.usage.amounts() {
            out.push(item.code());
            put_varint(&mut out, amount);
        }
        out
    }

    fn decode(value: &[u8]) -> tsdb::Result<Self> {
        let mut reader = Reader::new(value, WHAT);
        let found = reader.byte()?;
        if found != VERSION {
            return Err(TsdbError::Version { what: WHAT, found, known: VERSION });
        }
        let since = Timestamp::from_millis(reader.signed()?);
        let until = Timestamp::from_millis(reader.signed()?);
        let mut usage = Usage::of_samples(reader.varint()?);
        for _ in 0..reader.count(2)? {
            let item = Item::from_code(reader.byte()?);
            let item = item.ok_or(TsdbError::Malformed { what: WHAT, reason: "unknown item" })?;
            usage.add(item, reader.varint()?);
        }
        reader.end()?;
        Ok(Self { since, until, usage })
    }
}

/// All that was stored in the month of a day.
pub(super) async fn of_month(state: &dyn StateStore, day: Date, now: Timestamp) -> PortResult<Vec<Stored>> {
    let rows = range_all(state, RowRange::all(partition(day)), now).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> PortResult<Stored> {
    let corrupt = |kind, reason: String| {
        PortError::new(kind, "usage read", format!("{} {}: {reason}", row.key.partition, row.key.sort))
    };
    let mut parts = row.key.sort.splitn(3, '#');
    let (day, function) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().to_owned());
    let day = day.parse().map_err(|_| corrupt(ErrorKind::Corrupt, "no day".to_owned()))?;
    let process = ProcessUsage::decode(&row.value).map_err(|error| corrupt(error.kind(), error.to_string()))?;
    Ok(Stored { day, function, process })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_back_and_bad_ones_are_refused() {
        let mut usage = Usage::of_samples(1 << 40);
        Item::ALL.into_iter().zip([1, 300, u64::MAX].into_iter().cycle()).for_each(|(item, n)| usage.add(item, n));
        let process = ProcessUsage { since: Timestamp::from_secs(5), until: Timestamp::from_secs(99), usage };
        let value = process.encode();
        assert_eq!(ProcessUsage::decode(&value), Ok(process));
        assert!(value.len() < 200, "a row is one write unit: {} bytes", value.len());
        for len in 0..value.len() {
            assert!(ProcessUsage::decode(&value[..len]).is_err(), "{len}");
        }
        let newer = ProcessUsage::decode(&[9]).unwrap_err();
        assert_eq!(newer.to_string(), "usage row has format version 9, this program reads version 1");
    }
}

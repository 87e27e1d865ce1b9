//! Blocks of hours become rollups.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use model::{HistogramSamples, Sample, Series, TimeRange, is_stale};
use tsdb::block::encode_rollups;
use tsdb::hour::{day_of, hour_range};
use tsdb::rollup::{Column, Resolution, RollupSeries, fold, join, roll_up};
use tsdb::{Block, merge};

use super::{Broken, Flow, RollupSummary, busy};
use crate::catalogue::{CatalogueRow, Entry, RollupSource, rollup_folder, rollup_key, rollup_rows};
use crate::load::Stored;
use crate::ports::{Expect, PortResult, RowWrite};
use crate::rollup::sweep::tombstone;

/// The rollups of one hour, and those of its day.
struct Pieces {
    minutes: Vec<u8>,
    five_minutes: Vec<u8>,
    /// All hours of the day so far.
    hours: Vec<u8>,
    day: Vec<u8>,
}

impl Flow<'_> {
    /// Makes the rollups of each hour, from a place on, whose block, or the block before, is another than they were made
    /// from.
    pub(super) async fn roll_up_all(
        &self,
        (blocks, evaluated_from): (&[CatalogueRow], usize),
        stored: &mut Stored,
        summary: &mut RollupSummary,
        broken: &mut Broken,
    ) -> PortResult<()> {
        let Some(first) = blocks.first() else { return Ok(()) };
        let range = TimeRange::new(hour_range(first.hour()).start, TimeRange::ALL.end);
        // The rows of the hours' own day tell what all resolutions were made from: they are written together.
        let rows = rollup_rows(self.ports.state.as_ref(), self.tenant, Resolution::Hour, range, self.now).await?;
        let sources = rows.iter().flat_map(|row| &row.entry.sources);
        let made: BTreeMap<i64, RollupSource> = sources.map(|source| (source.hour, *source)).collect();
        for (index, block) in blocks.iter().enumerate().skip(evaluated_from) {
            let before = index.checked_sub(1).map(|before| &blocks[before]);
            let before = before.filter(|before| before.hour() + 1 == block.hour());
            if !is_made(&made, block, before) {
                match self.roll_up_hour(block, before, stored).await {
                    Ok(()) => summary.hours_rolled_up += 1,
                    Err(error) if error.kind() == model::ErrorKind::Conflict => summary.hours_left += 1,
                    Err(error) => broken.take(block.hour(), error)?,
                }
            }
        }
        Ok(())
    }

    async fn roll_up_hour(
        &self,
        block: &CatalogueRow,
        before: Option<&CatalogueRow>,
        stored: &mut Stored,
    ) -> PortResult<()> {
        let hour = block.hour();
        let source = RollupSource { hour, block: block.entry.hash, before: before.map(|before| before.entry.hash) };
        let old = self.old_rows(hour).await?;
        let mut sources: Vec<RollupSource> = old[2].iter().flat_map(|row| row.entry.sources.iter().copied()).collect();
        sources.retain(|known| known.hour != hour);
        sources.push(source);
        sources.sort_by_key(|source| source.hour);
        let pieces = self.pieces(block, before, old[2].as_ref()).await?;
        let mut writes = Vec::new();
        let parts = [
            (Resolution::Minute, pieces.minutes, vec![source]),
            (Resolution::FiveMinutes, pieces.five_minutes, vec![source]),
            (Resolution::Hour, pieces.hours, sources.clone()),
            (Resolution::Day, pieces.day, sources),
        ];
        let mut gone = Vec::new();
        let mut counted = stored.rollups;
        for (((resolution, bytes, sources), old), counted) in parts.into_iter().zip(&old).zip(&mut counted) {
            let folder = rollup_folder(self.tenant, resolution, hour);
            let piece = Entry::store(self.ports.objects.as_ref(), &folder, Bytes::from(bytes), self.now).await?;
            let entry = Entry { sources, ..piece };
            old.iter().for_each(|old| counted.remove(&old.entry));
            counted.add(&entry);
            gone.extend(old.as_ref().filter(|old| old.entry.object() != entry.object()));
            let expect = old.as_ref().map_or(Expect::Absent, |old| Expect::Version(old.version));
            writes.push(RowWrite::put(rollup_key(self.tenant, resolution, hour), expect, entry.encode()));
        }
        writes.extend(tombstone(&gone, self.now));
        self.ports.state.write(writes, self.now).await?;
        stored.rollups = counted;
        Ok(())
    }

    /// The rows that the rollups of an hour lie in now, by resolution.
    async fn old_rows(&self, hour: i64) -> PortResult<Vec<Option<CatalogueRow>>> {
        let mut old = Vec::with_capacity(Resolution::ALL.len());
        for resolution in Resolution::ALL {
            let key = rollup_key(self.tenant, resolution, hour);
            let row = self.ports.state.get(&key, self.now).await?;
            old.push(row.map(CatalogueRow::read).transpose()?);
        }
        Ok(old)
    }

    /// Computes the rollups of an hour from its block, and those of its day from the other hours' ones.
    async fn pieces(
        &self,
        block: &CatalogueRow,
        before: Option<&CatalogueRow>,
        hours_of_day: Option<&CatalogueRow>,
    ) -> PortResult<Pieces> {
        let hour = block.hour();
        let own = self.block(&block.entry).await?;
        let before = match before {
            Some(before) => Some(self.block(&before.entry).await?),
            None => None,
        };
        let of_day = match hours_of_day {
            Some(row) => Some(self.block(&row.entry).await?),
            None => None,
        };
        busy(move || {
            let mut sources = vec![own.select(&[], TimeRange::ALL)?];
            if let Some(before) = before {
                sources.push(last_samples(before.select(&[], TimeRange::ALL)?));
            }
            let series = merge(sources);
            let range = hour_range(hour);
            let hours = whole_day(of_day, roll_up(&series, Resolution::Hour, range), hour)?;
            let piece = |resolution| encode_rollups(&roll_up(&series, resolution, range), resolution);
            Ok(Pieces {
                minutes: piece(Resolution::Minute),
                five_minutes: piece(Resolution::FiveMinutes),
                day: encode_rollups(&fold(&hours, Resolution::Day, TimeRange::ALL), Resolution::Day),
                hours: encode_rollups(&hours, Resolution::Hour),
            })
        })
        .await
    }
}

/// The hours of a day with one of them replaced.
fn whole_day(of_day: Option<Block>, own: Vec<RollupSeries>, hour: i64) -> tsdb::Result<Vec<RollupSeries>> {
    let day_start = hour_range(day_of(hour) * 24).start;
    let day_end = hour_range(day_of(hour) * 24 + 23).end;
    let (earlier, later) =
        (TimeRange::new(day_start, hour_range(hour - 1).end), TimeRange::new(hour_range(hour + 1).end, day_end));
    let mut pieces = Vec::with_capacity(3);
    if let Some(block) = of_day {
        pieces.push(block.select_rollups(&[], earlier, &Column::ALL)?);
        pieces.push(own);
        pieces.push(block.select_rollups(&[], later, &Column::ALL)?);
    } else {
        pieces.push(own);
    }
    Ok(join(pieces))
}

/// Of each series the last sample that an increase can be counted from, of either kind.
fn last_samples(series: Vec<Series>) -> Vec<Series> {
    let last = |series: Series| {
        let counts = |value: &f64| !is_stale(*value) && !value.is_nan();
        let place = series.values.iter().rposition(counts);
        let sample = place.map(|at| Sample { timestamp: series.timestamps[at], value: series.values[at] });
        let native = series.histograms.as_ref().and_then(|native| native.timestamps.last().zip(native.values.last()));
        let histograms = native
            .map(|(time, histogram)| Box::new(HistogramSamples::new([*time].into(), vec![Arc::clone(histogram)])));
        let last = Series { histograms, ..Series::from_samples(series.labels, sample.as_slice()) };
        (!last.is_empty()).then_some(last)
    };
    series.into_iter().filter_map(last).collect()
}

/// Whether rollups were made from this block and the one before. A block before that is gone by now does not count: its
/// samples were there when the rollups were made.
fn is_made(made: &BTreeMap<i64, RollupSource>, block: &CatalogueRow, before: Option<&CatalogueRow>) -> bool {
    let source = made.get(&block.hour()).filter(|source| source.block == block.entry.hash);
    source.is_some_and(|source| before.is_none_or(|before| source.before == Some(before.entry.hash)))
}

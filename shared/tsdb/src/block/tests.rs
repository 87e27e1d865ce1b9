use model::{Buckets, Histogram, HistogramParts, Labels, MatchOp, Matcher, Series, TimeRange, Timestamp, matches_all};
use proptest::prelude::*;

use super::*;
use crate::coding::finish_seal;
use crate::rollup::{RollupSeries, roll_up};
use crate::testing::{any_series, bits_of, chosen, scraped, told, with_histograms};

fn block(series: &[Series]) -> Block {
    Block::open(Bytes::from(encode(series))).unwrap()
}

fn filtered(series: &[Series], matchers: &[Matcher], range: TimeRange) -> Vec<Series> {
    let found = series.iter().filter(|series| matches_all(matchers, series.labels.as_ref()));
    let found = found.map(|series| chosen(series, |time| range.contains(time)));
    found.filter(|series| !series.is_empty()).collect()
}

#[test]
fn gaps_and_staleness_do_not_cost_the_class_of_a_column() {
    let whole: Vec<f64> = (0..240).map(|index| f64::from(index * index % 97)).collect();
    let mut stale = whole.clone();
    stale[100] = stale_nan();
    let plain = encode(&scraped(&[("a", &whole), ("b", &whole)], 15)).len();
    let marked = encode(&scraped(&[("a", &whole), ("b", &stale)], 15)).len();
    assert!(marked < plain + 60, "{marked} against {plain}");
}

#[test]
fn series_of_a_scrape_share_their_times() {
    let block = block(&scraped(&[("a", &[1.0, 2.0, 3.0]), ("b", &[5.0, 5.0, 5.0])], 15));
    let found = block.select(&[], TimeRange::ALL).unwrap();
    assert!(Arc::ptr_eq(&found[0].timestamps, &found[1].timestamps));
    let range = TimeRange::new(found[0].timestamps[1], found[0].timestamps[1]);
    let cut = block.select(&[], range).unwrap();
    assert!(Arc::ptr_eq(&cut[0].timestamps, &cut[1].timestamps));
    assert_eq!(cut[0].values, [2.0]);
}

#[test]
fn blocks_that_are_open_hold_the_same_labels_once() {
    let tables = LabelTables::default();
    let open = |values: &[(&str, &[f64])]| {
        let bytes = encode(&scraped(values, 15));
        Index::open(&bytes, bytes.len() as u64, &tables).unwrap()
    };
    let (first, second) = (open(&[("a", &[1.0]), ("b", &[2.0])]), open(&[("a", &[3.0, 4.0]), ("b", &[5.0, 5.0])]));
    let other = open(&[("a", &[1.0]), ("c", &[2.0])]);
    assert!(first.shares_labels_with(&second));
    assert!(!first.shares_labels_with(&other) && !other.shares_labels_with(&second));
    let c = other.select(&[Matcher::equal("__name__", "c")], TimeRange::ALL);
    assert_eq!(other.selected_labels(&c).next().unwrap().get("__name__"), Some("c"));
}

#[test]
fn a_reader_of_parts_needs_only_the_tail_and_its_frames() {
    let values: Vec<f64> = (0..240).map(f64::from).collect();
    let names: Vec<String> = (0..1200).map(|index| format!("metric_{index:04}")).collect();
    let metrics: Vec<(&str, &[f64])> = names.iter().map(|name| (name.as_str(), values.as_slice())).collect();
    let series = scraped(&metrics, 15);
    let bytes = encode(&series);
    assert!(matches!(
        Index::open(&bytes[bytes.len() - 8..], bytes.len() as u64, &LabelTables::default()),
        Err(TsdbError::Truncated { .. })
    ));
    let tail = Index::tail_bytes(&bytes[bytes.len() - TRAILER_BYTES..]).unwrap();
    let index = Index::open(&bytes[bytes.len() - tail..], bytes.len() as u64, &LabelTables::default()).unwrap();
    let selected = index.select(&[Matcher::equal("__name__", "metric_0700")], TimeRange::ALL);
    assert_eq!((selected.series_count(), selected.samples_max), (1, 240));
    let frames = index.frames(&selected, &[0]);
    assert_eq!(frames.len(), 1);
    assert!(index.group_count() > 1, "the test wants several frames");
    let mut fetched = Vec::new();
    let whole = Block::open(Bytes::from(bytes)).unwrap();
    let found = index
        .decode(&selected, TimeRange::ALL, &mut |range: Range<u64>| {
            fetched.push(range.clone());
            whole.slice(range)
        })
        .unwrap();
    assert_eq!(fetched, frames);
    assert_eq!(bits_of(&found), bits_of(&series[700..701]));
}

/// Keeps every frame, and counts what it was asked for.
#[derive(Default)]
struct Keeping {
    bytes: Bytes,
    fetched: usize,
    kept: BTreeMap<u64, Arc<Frame>>,
}

impl Frames for Keeping {
    fn bytes(&mut self, range: Range<u64>) -> Result<Bytes> {
        self.fetched += 1;
        Ok(self.bytes.slice(usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()))
    }

    fn unpacked(&mut self, start: u64) -> Option<Arc<Frame>> {
        self.kept.get(&start).cloned()
    }

    fn keep(&mut self, start: u64, frame: &Arc<Frame>) {
        self.kept.insert(start, Arc::clone(frame));
    }
}

#[test]
fn frames_that_are_kept_are_unpacked_once_and_say_the_same() {
    let values: Vec<f64> = (0..240).map(f64::from).collect();
    let names: Vec<String> = (0..1200).map(|index| format!("metric_{index:04}")).collect();
    let metrics: Vec<(&str, &[f64])> = names.iter().map(|name| (name.as_str(), values.as_slice())).collect();
    let series = scraped(&metrics, 15);
    let block = Block::open(Bytes::from(encode(&series))).unwrap();
    let mut frames = Keeping { bytes: block.bytes.clone(), ..Keeping::default() };
    let selected = block.index().select(&[], TimeRange::ALL);
    let first = block.index().decode(&selected, TimeRange::ALL, &mut frames).unwrap();
    let fetched = frames.fetched;
    assert!(fetched > 1 && frames.kept.values().all(|frame| frame.memory_bytes() > 0));
    let second = block.index().decode(&selected, TimeRange::ALL, &mut frames).unwrap();
    assert_eq!(frames.fetched, fetched);
    assert_eq!(bits_of(&first), bits_of(&series));
    assert_eq!(bits_of(&second), bits_of(&series));
}

/// All that is kept of the native histograms of a series.
fn native_text(rollups: &RollupSeries) -> String {
    rollups.histograms.as_ref().map_or(String::new(), |native| {
        let texts = |all: &[Arc<Histogram>]| all.iter().map(|histogram| told(histogram)).collect::<Vec<_>>();
        let columns = [&native.sums, &native.lasts, &native.increases].map(|column| texts(column));
        format!("{:?} {:?} {columns:?}", native.timestamps, native.counts)
    })
}

/// Counters of requests, in histograms of 40 buckets, each scraped 240 times.
fn latencies(series: i32) -> Vec<Series> {
    let labels = |index: i32| {
        Labels::from_pairs([("__name__", "latency_seconds"), ("instance", &format!("host-{index}"))]).unwrap()
    };
    let one = |index: i32| {
        let at = |step: i32| {
            let count = |bucket: i32| f64::from(step * (40 - bucket) * (1 + index % 3) + step * bucket % 7);
            let counts: Vec<f64> = (0..40).map(count).collect();
            let (total, sum) = (counts.iter().sum(), f64::from(step) * 0.37);
            let positive = Buckets::from_run(-20, counts).unwrap();
            let parts = HistogramParts { count: total, sum, positive, ..HistogramParts::default() };
            let time = Timestamp::from_secs(1_795_003_200 + i64::from(step) * 15);
            (time, Arc::new(Histogram::new(parts).unwrap()))
        };
        with_histograms(Series::from_samples(labels(index), &[]), (1..=240).map(at).collect())
    };
    (0..series).map(one).collect()
}

#[test]
fn histograms_take_few_bytes_a_bucket() {
    let series = latencies(20);
    let bytes = encode(&series);
    let buckets = 20 * 240 * 40;
    assert!(bytes.len() < buckets, "{} bytes for {buckets} buckets", bytes.len());
    let block = Block::open(Bytes::from(bytes)).unwrap();
    assert_eq!(block.sample_count(), 20 * 240);
    assert_eq!(
        block.time_range(),
        Some(TimeRange::new(Timestamp::from_secs(1_795_003_215), Timestamp::from_secs(1_795_006_800)))
    );
    let one = [Matcher::equal("__name__", "latency_seconds"), Matcher::equal("instance", "host-7")];
    let hour = TimeRange::new(Timestamp::from_secs(1_795_006_801), Timestamp::from_secs(1_795_010_400));
    assert_eq!(block.index().select(&one, hour), Selected::default(), "no samples, no series");
    let selected = block.index().select(&one, TimeRange::ALL);
    assert_eq!((selected.series_count(), selected.samples_max), (1, 240 * 30), "a histogram counts for its buckets");
}

#[test]
fn blocks_of_numbers_alone_are_what_they_were() {
    let bytes = encode(&scraped(&[("a", &[1.0, 2.0, 3.0])], 15));
    assert_eq!(bytes.last(), Some(&1), "the version");
    assert_eq!(encode(&latencies(1)).last(), Some(&2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_series_come_back_bit_by_bit(series in any_series()) {
        let block = block(&series);
        let kept: Vec<Series> = series.iter().filter(|series| !series.is_empty()).cloned().collect();
        prop_assert_eq!(block.series_count(), kept.len());
        let overview = Index::overview(&encode(&series)).unwrap();
        prop_assert_eq!((overview.series, overview.samples), (block.series_count(), block.sample_count()));
        prop_assert_eq!(overview.range, block.time_range());
        prop_assert_eq!(block.sample_count(), kept.iter().map(|series| series.len() as u64).sum::<u64>());
        prop_assert_eq!(bits_of(&block.select(&[], TimeRange::ALL).unwrap()), bits_of(&kept));
    }

    #[test]
    fn a_selection_is_what_a_filter_gives(series in any_series(), start in 0i64..600, len in 0i64..600, which in 0usize..5) {
        let time = |step: i64| Timestamp::from_secs(1_795_000_000 + step * 15);
        let range = TimeRange::new(time(start), time(start + len));
        let matchers = [
            vec![],
            vec![Matcher::equal("__name__", "up")],
            vec![Matcher::equal("__name__", "node_cpu_seconds_total"), Matcher::equal("device", "sd1")],
            vec![Matcher::new("instance", MatchOp::Regex, "host-[12]:.*").unwrap()],
            vec![Matcher::new("job", MatchOp::NotEqual, "node").unwrap()],
        ];
        let matchers = &matchers[which];
        let found = block(&series).select(matchers, range).unwrap();
        prop_assert_eq!(bits_of(&found), bits_of(&filtered(&series, matchers, range)));
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(series in any_series()) {
        let mut turned = series.clone();
        turned.reverse();
        prop_assert_eq!(encode(&turned), encode(&series));
    }

    #[test]
    fn rollups_come_back_bit_by_bit(series in any_series()) {
        let resolution = Resolution::FiveMinutes;
        let rollups = roll_up(&series, resolution, TimeRange::ALL);
        let block = Block::open(Bytes::from(encode_rollups(&rollups, resolution))).unwrap();
        prop_assert_eq!(block.index().kind(), BlockKind::Rollup(resolution));
        let found = block.select_rollups(&[], TimeRange::ALL, &Column::ALL).unwrap();
        let bits = |all: &[RollupSeries]| {
            let one = |one: &RollupSeries| {
                let columns = one.columns.each_ref().map(|c| c.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
                (one.labels.to_string(), one.timestamps.to_vec(), columns, native_text(one))
            };
            let mut all: Vec<_> = all.iter().map(one).collect();
            all.sort();
            all
        };
        prop_assert_eq!(bits(&found), bits(&rollups));
        prop_assert!(block.select(&[], TimeRange::ALL).is_err());
    }

    #[test]
    fn a_changed_block_is_refused_or_gives_the_same(series in any_series(), at: usize, bit in 0u8..8) {
        let mut bytes = encode(&series);
        let whole = bits_of(&block(&series).select(&[], TimeRange::ALL).unwrap());
        let at = at % bytes.len();
        bytes[at] ^= 1u8 << bit;
        let read = Block::open(Bytes::from(bytes.clone())).and_then(|block| block.select(&[], TimeRange::ALL));
        if let Ok(read) = read {
            prop_assert_eq!(bits_of(&read), whole);
        }
        prop_assert!(Block::open(Bytes::from(bytes[..at].to_vec())).is_err());
    }

    /// With checksums that hold, the content must still not be trusted.
    #[test]
    fn nonsense_under_good_checksums_does_no_harm(
        series in any_series(),
        edits in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode(&series);
        let tail = Index::tail_bytes(&bytes).unwrap();
        let (start, end) = (bytes.len() - tail, bytes.len() - TRAILER_BYTES);
        for &(at, byte) in &edits {
            let at = start + 9 + at % (end - start - 9);
            bytes[at] = byte;
        }
        let version = bytes[bytes.len() - 1];
        finish_seal(&mut bytes[start..end], version);
        drop(Index::overview(&bytes));
        if let Ok(block) = Block::open(Bytes::from(bytes)) {
            drop(block.select(&[], TimeRange::ALL));
        }
    }
}

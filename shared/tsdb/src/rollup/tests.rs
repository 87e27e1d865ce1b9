use proptest::prelude::*;

use super::*;
use crate::hour::hour_range;
use crate::merge::merge;
use crate::testing::{any_series, chosen, scraped, told};

/// Column by column as text, with sums rounded, since the order of additions shows in their last digits.
fn table(rollups: &[RollupSeries]) -> Vec<String> {
    let mut rows = Vec::new();
    for series in rollups {
        for (index, time) in series.timestamps.iter().enumerate() {
            let [count, sum, min, max, last, increase] = series.columns.each_ref().map(|column| column[index]);
            let labels = &series.labels;
            rows.push(format!("{labels} {time} {count} {sum:.9e} {min} {max} {last} {increase:.9e}"));
        }
        if let Some(native) = &series.histograms {
            for (index, time) in native.timestamps.iter().enumerate() {
                let [sum, last, increase] =
                    [&native.sums, &native.lasts, &native.increases].map(|column| told(&column[index]));
                rows.push(format!("{} {time} {} {sum} {last} {increase}", series.labels, native.counts[index]));
            }
        }
    }
    rows.sort();
    rows
}

#[test]
fn spans_are_left_open_and_stamped_with_their_end() {
    let minute = Resolution::Minute;
    for (millis, end) in [(60_000, 60_000), (60_001, 120_000), (0, 0), (1, 60_000), (-59_999, 0)] {
        assert_eq!(minute.span_end(Timestamp::from_millis(millis)), Timestamp::from_millis(end), "{millis}");
    }
}

#[test]
fn a_span_holds_what_the_functions_over_time_give() {
    let values = [5.0, 9.0, 1.0, 4.0, f64::NAN, 7.0];
    let series = scraped(&[("a", &values)], 15);
    let rollups = roll_up(&series, Resolution::Minute, TimeRange::ALL);
    // Times are :15 :30 :45 :60 | :75 :90; the counter was reset before the third sample.
    let expected = [
        "a{job=\"node\"} 1795003260 4 1.900000000e1 1 9 4 8.000000000e0",
        "a{job=\"node\"} 1795003320 2 NaN 7 7 7 3.000000000e0",
    ];
    assert_eq!(table(&rollups), expected);
}

#[test]
fn the_first_increase_of_a_range_counts_from_the_sample_before() {
    let series = scraped(&[("a", &[1.0, 2.0, 3.0, 4.0, 10.0, 11.0, 12.0, 13.0])], 15);
    let second = TimeRange::new(Timestamp::from_secs(1_795_003_261), Timestamp::from_secs(1_795_003_320));
    let rollups = roll_up(&series, Resolution::Minute, second);
    assert_eq!(rollups[0].columns[Column::Increase as usize], [9.0]);
    assert_eq!(rollups[0].timestamps.len(), 1);
}

#[test]
fn a_counter_made_of_increases_has_no_resets() {
    let values = [10.0, 20.0, 30.0, 40.0, 5.0, 6.0, 7.0, 8.0];
    let series = scraped(&[("a", &values)], 15);
    let rollups = roll_up(&series, Resolution::Minute, TimeRange::ALL);
    let counter = aggregate(rollups.clone(), Aggregate::Increase, Resolution::Minute);
    assert_eq!(counter[0].values, [40.0, 48.0]);
    assert_eq!(counter[0].resolution, Some(Duration::from_secs(60)));
    let average = aggregate(rollups, Aggregate::Average, Resolution::Minute);
    assert_eq!(average[0].values, [25.0, 6.5]);
    assert_eq!(average[0].weights, Some(vec![4.0, 4.0]));
}

#[test]
fn a_span_in_two_pieces_becomes_one() {
    let series = scraped(&[("a", &[5.0, 9.0, 1.0, 4.0, 7.0])], 15);
    let time = |secs: i64| Timestamp::from_secs(1_795_003_200 + secs);
    let early = roll_up(&series, Resolution::Day, TimeRange::new(time(0), time(30)));
    let late = roll_up(&series, Resolution::Day, TimeRange::new(time(31), time(99)));
    let joined = join(vec![early, late]);
    assert_eq!(table(&joined), table(&roll_up(&series, Resolution::Day, TimeRange::ALL)));
    assert!(cut(joined, TimeRange::new(time(0), time(99))).is_empty(), "the day ends later");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The samples of an hour in one go, or some of them late: the rollups are the same.
    #[test]
    fn late_gives_the_same_as_in_order(series in any_series(), pick in proptest::collection::vec(any::<bool>(), 0..60)) {
        let part = |late: bool| -> Vec<Series> {
            let place = |time: Timestamp| usize::try_from(time.as_millis().rem_euclid(59)).unwrap();
            let keep = |time: Timestamp| pick.get(place(time)).copied().unwrap_or(false) == late;
            series.iter().map(|series| chosen(series, keep)).filter(|series| !series.is_empty()).collect()
        };
        for resolution in Resolution::ALL {
            let in_order = roll_up(&series, resolution, TimeRange::ALL);
            let late = roll_up(&merge(vec![part(true), part(false)]), resolution, TimeRange::ALL);
            prop_assert_eq!(table(&late), table(&in_order));
        }
    }

    /// Hour by hour, each with the sample before it, or all at once: the same spans.
    #[test]
    fn hour_by_hour_gives_the_same_as_all_at_once(series in any_series()) {
        let all = roll_up(&series, Resolution::FiveMinutes, TimeRange::ALL);
        let hours: std::collections::BTreeSet<i64> = series
            .iter()
            .flat_map(|series| {
                let native = series.histograms.iter().flat_map(|native| native.timestamps.iter());
                series.timestamps.iter().chain(native).map(|time| crate::hour::hour_of(*time)).collect::<Vec<_>>()
            })
            .collect();
        let pieces = hours.iter().map(|hour| roll_up(&series, Resolution::FiveMinutes, hour_range(*hour))).collect();
        prop_assert_eq!(table(&join(pieces)), table(&all));
    }

    /// Folding is exact but for sums.
    #[test]
    fn folding_gives_the_same_as_rolling_up(values in proptest::collection::vec(-1000i32..1000, 1..400)) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let series = scraped(&[("a", &values)], 15);
        let minutes = roll_up(&series, Resolution::Minute, TimeRange::ALL);
        for resolution in Resolution::ALL {
            let folded = fold(&minutes, resolution, TimeRange::ALL);
            prop_assert_eq!(table(&folded), table(&roll_up(&series, resolution, TimeRange::ALL)));
        }
    }
}

use model::{Sample, stale_nan};
use proptest::prelude::*;

use super::*;
use crate::testing::{any_series, bits_of};

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name)]).unwrap()
}

fn check(values: &[f64], expected: f64) {
    let time = Timestamp::from_secs(1);
    let source = |value: &f64| vec![Series::from_samples(labels("a"), &[Sample { timestamp: time, value: *value }])];
    let merged = merge(values.iter().map(source).collect());
    assert_eq!(merged.len(), 1);
    assert_eq!(merged[0].values[0].to_bits(), expected.to_bits(), "{values:?}");
}

#[test]
fn one_value_stays_for_each_time() {
    check(&[1.0, 1.0, 1.0], 1.0);
    check(&[stale_nan(), 1.0], 1.0);
    check(&[1.0, stale_nan()], 1.0);
    check(&[stale_nan(), stale_nan()], stale_nan());
    check(&[2.0, 3.0, 1.0], 3.0);
    check(&[-0.0, 0.0], 0.0);
    check(&[f64::NEG_INFINITY, stale_nan()], f64::NEG_INFINITY);
    check(&[f64::INFINITY, f64::NAN], f64::NAN);
}

#[test]
fn parts_that_follow_on_each_other_share_joined_times() {
    let times = |start: i64| -> Arc<[Timestamp]> { (start..start + 3).map(Timestamp::from_secs).collect() };
    let source = |times: &Arc<[Timestamp]>| -> Vec<Series> {
        let one = |name| Series {
            timestamps: Arc::clone(times),
            values: vec![1.0; 3],
            ..Series::from_samples(labels(name), &[])
        };
        vec![one("a"), one("b")]
    };
    let merged = merge(vec![source(&times(10)), source(&times(0))]);
    assert!(Arc::ptr_eq(&merged[0].timestamps, &merged[1].timestamps));
    assert_eq!(merged[0].len(), 6);
    assert!(merged[0].timestamps.is_sorted());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn neither_order_nor_repeats_nor_grouping_matter(one in any_series(), two in any_series(), three in any_series()) {
        let merged = bits_of(&merge(vec![one.clone(), two.clone(), three.clone()]));
        let turned = merge(vec![three.clone(), two.clone(), one.clone()]);
        prop_assert_eq!(&bits_of(&turned), &merged);
        let twice = merge(vec![two.clone(), one.clone(), two.clone(), three.clone(), one.clone()]);
        prop_assert_eq!(&bits_of(&twice), &merged);
        let grouped = merge(vec![one, merge(vec![two, three])]);
        prop_assert!(grouped.iter().all(|series| series.timestamps.windows(2).all(|pair| pair[0] < pair[1])));
        prop_assert!(grouped.windows(2).all(|pair| pair[0].labels < pair[1].labels));
        prop_assert_eq!(bits_of(&grouped), merged);
    }
}

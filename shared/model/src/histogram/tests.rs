use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn exponential(schema: i32, zero: (f64, f64), positive: &[f64], negative: &[f64]) -> Histogram {
    let buckets = |counts: &[f64]| Buckets::from_run(0, counts.to_vec()).unwrap();
    let count = zero.1 + positive.iter().chain(negative).sum::<f64>();
    Histogram::new(HistogramParts {
        schema: Schema::new(schema, &[]).unwrap(),
        count,
        sum: count,
        zero_threshold: zero.0,
        zero_count: zero.1,
        positive: buckets(positive),
        negative: buckets(negative),
        ..HistogramParts::default()
    })
    .unwrap()
}

fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
    Histogram::new(HistogramParts {
        schema: Schema::new(-53, bounds).unwrap(),
        count: counts.iter().sum(),
        positive: Buckets::from_run(0, counts.to_vec()).unwrap(),
        ..HistogramParts::default()
    })
    .unwrap()
}

fn add(left: &Histogram, right: &Histogram) -> Histogram {
    fold(&[left, right], |numbers| numbers.iter().sum()).unwrap().histogram
}

#[test]
fn buckets_are_runs_of_neighbours() {
    let pairs = [(-3, 1.0), (-2, 2.0), (0, 3.0), (7, 0.0), (9, 4.0)];
    let buckets = Buckets::from_pairs(pairs);
    let spans = [BucketSpan { offset: -3, length: 4 }, BucketSpan { offset: 8, length: 1 }];
    assert_eq!(buckets.spans(), spans);
    assert_eq!(buckets.counts(), [1.0, 2.0, 0.0, 3.0, 4.0]);
    assert_eq!(Buckets::new(spans.to_vec(), vec![1.0; 4]), Err(HistogramError::CountMismatch { spans: 5, counts: 4 }));
    assert_eq!(Buckets::from_deltas(spans.to_vec(), &[1, 1, -2, 3, 1]).unwrap(), buckets);
    let overlap = [BucketSpan { offset: 0, length: 1 }, BucketSpan { offset: -1, length: 1 }];
    assert!(Buckets::new(overlap.to_vec(), vec![1.0; 2]).is_err());
    let far = BucketSpan { offset: i32::MAX, length: 1 };
    assert_eq!(Buckets::new(vec![far], vec![1.0]), Err(HistogramError::OutOfRange));
}

#[test]
fn the_coarser_schema_and_the_wider_zero_bucket_win() {
    let fine = exponential(1, (0.0, 0.0), &[1.0, 2.0, 3.0], &[]);
    let coarse = exponential(0, (0.0, 0.0), &[10.0, 20.0], &[5.0]);
    assert_eq!(add(&fine, &coarse).to_string(), "{count:41, sum:41, [-1,-0.5):5, (0.5,1]:11, (1,2]:25}");
    let wide = exponential(0, (0.75, 1.0), &[], &[]);
    assert_eq!(add(&coarse, &wide).to_string(), "{count:36, sum:36, [-1,1]:16, (1,2]:20}");
}

#[test]
fn only_common_custom_bounds_are_left() {
    let left = custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]);
    let right = custom(&[1.0, 4.0, 8.0], &[10.0, 20.0, 30.0, 40.0]);
    let folded = fold(&[&left, &right], |numbers| numbers.iter().sum()).unwrap();
    assert!(folded.bounds_reconciled);
    assert_eq!(folded.histogram, custom(&[1.0, 4.0], &[11.0, 25.0, 74.0]));
    let exponential = exponential(0, (0.0, 0.0), &[1.0], &[]);
    assert_eq!(fold(&[&left, &exponential], |numbers| numbers[0]).unwrap_err(), MixedSchemas);
}

#[test]
fn a_count_that_falls_is_a_reset() {
    let before = exponential(0, (0.001, 1.0), &[1.0, 2.0], &[1.0]);
    let cases = [
        (exponential(0, (0.001, 1.0), &[1.0, 2.0], &[1.0]), false),
        (exponential(0, (0.001, 1.0), &[1.0, 3.0, 1.0], &[1.0]), false),
        (exponential(0, (0.001, 9.0), &[0.0, 2.0], &[1.0]), true),
        (exponential(0, (0.001, 0.0), &[9.0, 2.0], &[1.0]), true),
        (exponential(0, (0.001, 9.0), &[1.0, 2.0], &[]), true),
        (exponential(1, (0.001, 9.0), &[1.0, 2.0], &[1.0]), true),
        (exponential(-1, (0.001, 9.0), &[1.0, 2.0], &[1.0]), false),
        (exponential(0, (0.0, 9.0), &[1.0, 2.0], &[1.0]), true),
        (custom(&[1.0], &[9.0, 9.0]), true),
    ];
    for (after, expected) in cases {
        assert_eq!(after.is_reset_since(&before), expected, "{after}");
        assert!(after.clone().with_counter_reset(CounterReset::Reset).is_reset_since(&before));
        assert!(!after.with_counter_reset(CounterReset::NotReset).is_reset_since(&before));
    }
}

#[test]
fn text_is_that_of_prometheus() {
    let histogram = exponential(0, (0.001, 2.0), &[1.0, 2e21], &[1e-5, 0.0, 2.0]);
    let text = "{count:2e+21, sum:2e+21, [-4,-2):2, [-1,-0.5):1e-05, [-0.001,0.001]:2, (0.5,1]:1, (1,2]:2e+21}";
    assert_eq!(histogram.to_string(), text);
    let numbers = [(123_456.0, "123456"), (1_234_567.0, "1.234567e+06"), (1e20, "1e+20"), (0.0001, "0.0001")];
    for (number, text) in numbers.into_iter().chain([(-1.5e-7, "-1.5e-07"), (0.0, "0"), (f64::INFINITY, "+Inf")]) {
        assert_eq!(General(number).to_string(), text);
    }
    assert_eq!(custom(&[5.0], &[1.0, 2.0]).to_string(), "{count:3, sum:0, [-Inf,5]:1, (5,+Inf]:2}");
}

#[test]
fn parts_are_checked() {
    let parts = custom(&[5.0], &[1.0, 2.0]).parts().clone();
    let many = HistogramParts { positive: Buckets::from_run(0, vec![1.0; 3]).unwrap(), ..parts.clone() };
    assert_eq!(Histogram::new(many), Err(HistogramError::NotCustom));
    assert_eq!(Histogram::new(HistogramParts { zero_count: 1.0, ..parts.clone() }), Err(HistogramError::NotCustom));
    assert!(Histogram::new(HistogramParts { zero_threshold: -1.0, ..parts }).is_err());
}

fn any_buckets() -> impl Strategy<Value = Buckets> {
    proptest::collection::btree_map(-40..40_i32, (1..50_i32).prop_map(f64::from), 0..12)
        .prop_map(|pairs: BTreeMap<i32, f64>| Buckets::from_pairs(pairs))
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let zero = (prop_oneof![Just(0.0), Just(0.001), Just(0.3), Just(2.0), Just(5.0)], 0..9_i32);
    (-2..4_i32, zero, any_buckets(), any_buckets()).prop_map(|(schema, zero, positive, negative)| {
        let schema = Schema::new(schema, &[]).unwrap();
        // Buckets do not reach into the zero bucket.
        let beyond = |buckets: &Buckets| {
            Buckets::from_pairs(buckets.iter().filter(|(index, _)| schema.bounds(*index).0 >= zero.0))
        };
        let (positive, negative) = (beyond(&positive), beyond(&negative));
        let zero_count = f64::from(zero.1);
        let count = zero_count + positive.counts().iter().chain(negative.counts()).sum::<f64>();
        let zero_threshold = zero.0;
        let hint = CounterReset::Unknown;
        let (sum, counter_reset) = (count * 2.0, hint);
        let parts =
            HistogramParts { schema, counter_reset, count, sum, zero_threshold, zero_count, positive, negative };
        Histogram::new(parts).unwrap()
    })
}

fn any_custom() -> impl Strategy<Value = Histogram> {
    let bounds = proptest::collection::btree_set(-5..20_i32, 0..6);
    bounds.prop_flat_map(|bounds| {
        let bounds: Vec<f64> = bounds.into_iter().map(f64::from).collect();
        let counts = proptest::collection::vec((0..9_i32).prop_map(f64::from), bounds.len() + 1);
        counts.prop_map(move |counts| custom(&bounds, &counts))
    })
}

/// What is in all buckets together.
fn total(histogram: &Histogram) -> f64 {
    histogram.buckets().map(|bucket| bucket.count).sum()
}

proptest! {
    #[test]
    fn buckets_keep_what_they_are_given(buckets in any_buckets()) {
        let again = Buckets::new(buckets.spans().to_vec(), buckets.counts().to_vec());
        prop_assert_eq!(again.as_ref(), Ok(&buckets));
        let deltas = buckets.deltas().unwrap();
        prop_assert_eq!(Buckets::from_deltas(buckets.spans().to_vec(), &deltas), Ok(buckets.clone()));
        prop_assert_eq!(Buckets::from_pairs(buckets.iter()), buckets);
    }

    #[test]
    fn a_counter_that_goes_on_counting_is_not_reset(
        (before, more) in prop_oneof![(any_histogram(), any_histogram()), (any_custom(), any_custom())],
    ) {
        let now = add(&before, &more);
        // A zero bucket that ends within a bucket of the coarser schema is taken for a reset, as Prometheus takes it.
        let is_comparable = before.parts().zero_threshold.to_bits() == now.parts().zero_threshold.to_bits()
            || before.schema() == now.schema()
            || now.schema().is_custom();
        prop_assert!(!is_comparable || !now.is_reset_since(&before), "{} {}", now, before);
        prop_assert!((total(&now) - total(&before) - total(&more)).abs() < 0.5);
        prop_assert!((total(&now) - now.count()).abs() < 0.5);
        prop_assert_eq!(now, add(&more, &before));
    }

    #[test]
    fn several_at_once_are_one_after_the_other(all in proptest::collection::vec(any_histogram(), 1..5)) {
        let at_once: Vec<&Histogram> = all.iter().collect();
        let at_once = fold(&at_once, |numbers| numbers.iter().sum()).unwrap().histogram;
        let one_by_one = all[1..].iter().fold(all[0].clone(), |sum, next| add(&sum, next));
        prop_assert!((total(&at_once) - total(&one_by_one)).abs() < 0.5);
        prop_assert_eq!(at_once.schema(), one_by_one.schema());
        prop_assert!(at_once.parts().zero_threshold <= one_by_one.parts().zero_threshold);
    }

    #[test]
    fn buckets_ascend(histogram in any_histogram()) {
        let buckets: Vec<Bucket> = histogram.buckets().collect();
        prop_assert!(buckets.iter().all(|bucket| bucket.lower <= bucket.upper));
        prop_assert!(buckets.windows(2).all(|pair| pair[0].upper <= pair[1].lower), "{}", histogram);
    }
}

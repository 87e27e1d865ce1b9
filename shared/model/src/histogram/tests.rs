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

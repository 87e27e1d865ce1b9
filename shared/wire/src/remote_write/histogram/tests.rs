use proptest::prelude::*;

use super::testing::any_histogram;
use super::*;

/// The message of a well-formed integer histogram, changed.
fn message(change: impl FnOnce(&mut Message)) -> Message {
    let mut message = Message {
        timestamp: Timestamp::from_secs(1),
        sum: 2.5,
        count: Count::Integer(10),
        zero_count: Count::Integer(1),
        zero_threshold: 0.001,
        schema: 0,
        positive: Side {
            spans: vec![BucketSpan { offset: -1, length: 2 }, BucketSpan { offset: 3, length: 1 }],
            deltas: vec![2, 1, -2],
            ..Side::default()
        },
        negative: Side { spans: vec![BucketSpan { offset: 0, length: 1 }], deltas: vec![3], ..Side::default() },
        ..Message::default()
    };
    change(&mut message);
    message
}

fn custom(change: impl FnOnce(&mut Message)) -> Message {
    let mut custom = Message {
        sum: 3.0,
        count: Count::Float(3.5),
        zero_count: Count::Float(0.0),
        schema: -53,
        custom_values: vec![1.0, 2.0],
        positive: Side {
            spans: vec![BucketSpan { offset: 0, length: 3 }],
            counts: vec![1.0, 0.5, 2.0],
            ..Side::default()
        },
        ..Message::default()
    };
    change(&mut custom);
    custom
}

fn check(message: Message) -> String {
    match message.check() {
        Ok(Read::Sample(sample)) => sample.histogram.to_string(),
        Ok(Read::Stale(time)) => format!("stale at {time}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn messages_are_checked_as_prometheus_does() {
    let cases: Vec<(Message, &str)> = vec![
        (message(|_| {}), "{count:10, sum:2.5, [-1,-0.5):3, [-0.001,0.001]:1, (0.25,0.5]:2, (0.5,1]:3, (8,16]:1}"),
        (message(|m| m.sum = model::stale_nan()), "stale at 1"),
        (message(|m| m.count = Count::Integer(11)), "histogram counts 11 observations, its buckets 10"),
        (message(|m| m.count = Count::Integer(9)), "histogram counts 9 observations, its buckets 10"),
        (
            message(|m| (m.count, m.sum) = (Count::Integer(9), f64::NAN)),
            "histogram counts 9 observations, its buckets 10",
        ),
        (message(|m| m.positive.deltas[2] = -4), "histogram has the negative count -1 in bucket 4"),
        (message(|m| m.negative.deltas[0] = -1), "histogram has the negative count -1 in bucket 0"),
        (message(|m| m.positive.deltas.truncate(2)), "histogram has 2 bucket counts for spans of 3 buckets"),
        (message(|m| m.positive.spans[1].offset = -1), "histogram has span 1 with the negative offset -1"),
        (
            message(|m| m.schema = 9),
            "histogram has unknown schema 9, must be between -4 and 8, or -53 for custom buckets",
        ),
        (message(|m| m.custom_values = vec![1.0]), "histogram has custom bounds and an exponential schema"),
        (message(|m| m.zero_threshold = -1.0), "histogram has the zero threshold -1"),
        (message(|m| m.positive.spans[0].offset = i32::MAX), "histogram has buckets out of range"),
        (custom(|_| {}), "{count:3.5, sum:3, [-Inf,1]:1, (1,2]:0.5, (2,+Inf]:2}"),
        (custom(|m| m.count = Count::Float(99.0)), "{count:99, sum:3, [-Inf,1]:1, (1,2]:0.5, (2,+Inf]:2}"),
        (custom(|m| m.count = Count::Float(-1.0)), "histogram has the negative count -1"),
        (custom(|m| m.custom_values[1] = 1.0), "histogram has custom bounds that do not ascend or are not finite"),
        (
            custom(|m| m.custom_values[1] = f64::INFINITY),
            "histogram has custom bounds that do not ascend or are not finite",
        ),
        (
            custom(|m| m.custom_values.truncate(1)),
            "histogram with custom bounds has zero or negative buckets, or buckets beyond its bounds",
        ),
        (
            custom(|m| m.zero_count = Count::Float(1.0)),
            "histogram with custom bounds has zero or negative buckets, or buckets beyond its bounds",
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(check(message), expected);
    }
    let unusual = message(|m| (m.count, m.sum) = (Count::Integer(12), f64::NAN));
    assert!(check(unusual).starts_with("{count:12, sum:NaN"), "observations that are not a number are in no bucket");
}

#[test]
fn numbers_may_be_packed_or_stand_alone() {
    let mut packed = Vec::new();
    put_signed(&mut packed, field::POSITIVE_DELTAS, &[5, -3]);
    put_doubles(&mut packed, field::CUSTOM_VALUES, &[1.5, 2.5]);
    let mut alone = Vec::new();
    for delta in [5, -3] {
        put_number(&mut alone, field::POSITIVE_DELTAS, folded(delta));
    }
    for bound in [1.5, 2.5] {
        put_double(&mut alone, field::CUSTOM_VALUES, bound);
    }
    for bytes in [packed, alone] {
        let read = Message::read(Reader::new(&bytes)).unwrap();
        assert_eq!((read.positive.deltas, read.custom_values), (vec![5, -3], vec![1.5, 2.5]));
    }
    let mut wrong = Vec::new();
    put_double(&mut wrong, field::POSITIVE_DELTAS, 1.0);
    let error = Message::read(Reader::new(&wrong)).unwrap_err();
    assert!(error.to_string().ends_with("field 12 (positive_deltas) has wire type 1, expected 2"), "{error}");
}

proptest! {
    #[test]
    fn what_is_written_reads_back(histogram in any_histogram()) {
        let sample = TimedHistogram { timestamp: Timestamp::from_millis(-7), histogram: Arc::new(histogram) };
        let mut bytes = Vec::new();
        put(&mut bytes, &sample);
        let Read::Sample(read) = Message::read(Reader::new(&bytes)).unwrap().check().unwrap() else { panic!("stale") };
        // Hints and empty buckets too, which comparisons leave out.
        prop_assert_eq!(format!("{read:?}"), format!("{sample:?}"));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(message) = Message::read(Reader::new(&bytes)) {
            drop(message.check());
        }
    }
}

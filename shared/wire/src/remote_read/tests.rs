use super::*;

fn matcher_message(op: u64, name: &str, value: &str) -> Vec<u8> {
    let mut message = Vec::new();
    put_number(&mut message, 1, op);
    put_bytes(&mut message, 2, name.as_bytes());
    put_bytes(&mut message, 3, value.as_bytes());
    message
}

fn query_message(start: i64, end: i64, matchers: &[Vec<u8>]) -> Vec<u8> {
    let mut message = Vec::new();
    put_number(&mut message, 1, start.cast_unsigned());
    put_number(&mut message, 2, end.cast_unsigned());
    for matcher in matchers {
        put_bytes(&mut message, 3, matcher);
    }
    // Hints.
    put_bytes(&mut message, 4, &[0x08, 15]);
    message
}

fn request(queries: &[Vec<u8>], accepted: &[u64]) -> Vec<u8> {
    let mut message = Vec::new();
    for query in queries {
        put_bytes(&mut message, 1, query);
    }
    for form in accepted {
        put_varint(&mut message, tag(2, VARINT));
        put_varint(&mut message, *form);
    }
    message
}

fn check(message: &[u8], expected: Result<(usize, Form), &str>) {
    let found = decode(&snappy::compress(message), &Limits::default());
    let found = found.map(|request| (request.queries.len(), request.form)).map_err(|error| error.to_string());
    assert_eq!(found, expected.map_err(str::to_owned));
}

#[test]
fn requests_are_read_or_refused_with_the_reason() {
    let one = query_message(-5, 10, &[matcher_message(0, "__name__", "up"), matcher_message(3, "job", "a|b")]);
    let read = decode(&snappy::compress(&request(std::slice::from_ref(&one), &[])), &Limits::default()).unwrap();
    let (range, matchers) = (read.queries[0].range, &read.queries[0].matchers);
    assert_eq!((range.start.as_millis(), range.end.as_millis()), (-5, 10));
    assert_eq!(matchers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["__name__=\"up\"", "job!~\"a|b\""]);
    check(&request(&[one.clone(), one.clone()], &[]), Ok((2, Form::Samples)));
    check(&request(std::slice::from_ref(&one), &[0, 1]), Ok((1, Form::Samples)));
    check(&request(std::slice::from_ref(&one), &[7, 1, 0]), Ok((1, Form::Chunks)));
    check(&[0x12, 2, 1, 0], Ok((0, Form::Chunks)));
    check(
        &request(&[one], &[7]),
        Err("none of the accepted response types [7] is known: 0 (SAMPLES) and 1 (STREAMED_XOR_CHUNKS) are"),
    );
    check(&request(&[query_message(2, 1, &[])], &[]), Err("a query ends at 1 ms, before it starts at 2 ms"));
    check(
        &request(&[query_message(0, 1, &[matcher_message(9, "a", "b")])], &[]),
        Err("matcher type 9 is none of 0 (=), 1 (!=), 2 (=~) and 3 (!~)"),
    );
    check(&request(&vec![query_message(0, 1, &[]); 101], &[]), Err("more than 100 queries"));
    assert!(decode(b"\xff\xff", &Limits::default()).is_err());
    let bad = request(&[query_message(0, 1, &[matcher_message(2, "a", "(")])], &[]);
    assert!(decode(&snappy::compress(&bad), &Limits::default()).unwrap_err().to_string().starts_with("a matcher: "));
}

fn series(points: &[(i64, f64)]) -> Series {
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "見張り")]).unwrap();
    let samples: Vec<Sample> =
        points.iter().map(|&(time, value)| Sample { timestamp: Timestamp::from_millis(time), value }).collect();
    Series::from_samples(labels, &samples)
}

/// Times and bits of values.
type Points = Vec<(i64, u64)>;

/// The times and bits of what a stream of frames holds, read as a client reads it, and the index of the query.
fn read_frames(mut bytes: &[u8]) -> Vec<(u64, usize, Points)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let mut reader = Reader::new(bytes);
        let length = usize::try_from(reader.varint().unwrap()).unwrap();
        let (checksum, rest) = reader.rest().split_first_chunk::<4>().unwrap();
        let (message, rest) = rest.split_at(length);
        assert_eq!(u32::from_be_bytes(*checksum), castagnoli(message));
        bytes = rest;
        let mut message = Reader::new(message);
        assert_eq!(message.tag().unwrap(), Some(tag(1, BYTES)));
        let mut chunked = message.message().unwrap();
        let query = if message.tag().unwrap().is_some() { message.varint().unwrap() } else { 0 };
        let (mut chunks, mut points) = (0, Vec::new());
        while let Some(next) = chunked.tag().unwrap() {
            let mut inner = chunked.message().unwrap();
            if next == tag(2, BYTES) {
                let mut data: &[u8] = &[];
                while let Some(next) = inner.tag().unwrap() {
                    match next == tag(4, BYTES) {
                        true => data = inner.bytes().unwrap(),
                        false => assert!(inner.varint().is_ok()),
                    }
                }
                chunks += 1;
                points.extend(decode_chunk(data));
            }
        }
        frames.push((query, chunks, points));
    }
    frames
}

/// Bits, highest first.
struct Bits<'a>(&'a [u8], usize);

impl Bits<'_> {
    fn take(&mut self, count: u32) -> u64 {
        (0..count).fold(0, |number, _| {
            let bit = self.0[self.1 / 8] >> (7 - self.1 % 8) & 1;
            self.1 += 1;
            number << 1 | u64::from(bit)
        })
    }

    fn uvarint(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.take(8);
            number |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    /// A number of so many bits, the highest half of which are negative but for the one in the middle.
    fn signed(&mut self, count: u32) -> i64 {
        let number = self.take(count).cast_signed();
        if count < 64 && number > 1 << (count - 1) { number - (1 << count) } else { number }
    }
}

/// A reader of XOR chunks, written after the description of the format alone.
fn decode_chunk(data: &[u8]) -> Points {
    let count = u16::from_be_bytes([data[0], data[1]]);
    let mut bits = Bits(&data[2..], 0);
    let (mut time, mut delta, mut value, mut window) = (0_i64, 0_i64, 0_u64, (0, 0));
    let mut points = Vec::new();
    for index in 0..count {
        match index {
            0 => {
                let zigzag = bits.uvarint();
                time = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
            }
            1 => delta = bits.uvarint().cast_signed(),
            _ => {
                let ones = (0..4).take_while(|_| bits.take(1) == 1).count();
                delta = delta.wrapping_add(match ones {
                    0 => 0,
                    1 => bits.signed(14),
                    2 => bits.signed(17),
                    3 => bits.signed(20),
                    _ => bits.signed(64),
                });
            }
        }
        time = time.wrapping_add(delta);
        if index == 0 {
            value = bits.take(64);
        } else if bits.take(1) == 1 {
            if bits.take(1) == 1 {
                let leading = u32::try_from(bits.take(5)).unwrap();
                let length = u32::try_from(bits.take(6)).unwrap();
                let length = if length == 0 { 64 } else { length };
                window = (leading, 64 - leading - length);
            }
            value ^= bits.take(64 - window.0 - window.1) << window.1;
        }
        points.push((time, value));
    }
    points
}

#[test]
fn frames_hold_every_sample_bit_by_bit() {
    let staleness_marker = f64::from_bits(0x7ff0_0000_0000_0002);
    let cases: [Vec<(i64, f64)>; 6] = [
        vec![(0, 1.0)],
        vec![(-7, 0.0), (i64::from(i32::MAX), -0.0)],
        vec![(1, 1.5), (15_001, 1.5), (30_001, staleness_marker), (45_002, f64::NAN), (45_003, 1e300)],
        (0..1000).map(|index| (index * 15_000 + index % 7, (index as f64).sqrt())).collect(),
        // Differences of differences of every size, at the edges of each.
        [0, 1, 8192, -8191, 8193, -8192, 65_536, -65_535, 65_537, 524_288, -524_287, 524_289, 1 << 40]
            .iter()
            .scan((0_i64, 1_i64 << 41), |(time, delta), change| {
                *delta += change;
                *time += *delta;
                Some((*time, *change as f64))
            })
            .collect(),
        vec![(0, f64::from_bits(1)), (1, f64::from_bits(u64::MAX)), (2, f64::from_bits(1 << 40)), (3, 0.0)],
    ];
    for points in cases {
        let mut body = Vec::new();
        frame(&mut body, 3, &series(&points));
        let frames = read_frames(&body);
        let expected: Points = points.iter().map(|(time, value)| (*time, value.to_bits())).collect();
        let found: Points = frames.iter().flat_map(|(.., points)| points.clone()).collect();
        assert_eq!(found, expected);
        assert_eq!(frames.iter().map(|(_, chunks, _)| chunks).sum::<usize>(), points.len().div_ceil(CHUNK_SAMPLES));
        assert!(frames.iter().all(|(query, ..)| *query == 3));
    }
    let mut none = Vec::new();
    frame(&mut none, 0, &series(&[]));
    assert!(none.is_empty());
}

#[test]
fn a_long_series_takes_several_frames() {
    let points: Vec<(i64, f64)> = (0..400_000_i64).map(|index| (index * 1000, (index as f64).sin())).collect();
    let mut body = Vec::new();
    frame(&mut body, 0, &series(&points));
    let frames = read_frames(&body);
    assert!(frames.len() > 2, "{}", frames.len());
    assert_eq!(frames.iter().map(|(.., points)| points.len()).sum::<usize>(), points.len());
}

#[test]
fn samples_come_in_one_message() {
    let body = samples(&[vec![series(&[(-1, 0.0), (5, 2.5)])], Vec::new()]);
    let message = snappy::decompress(&body, 1 << 20).unwrap();
    let mut response = Reader::new(&message);
    assert_eq!(response.tag().unwrap(), Some(tag(1, BYTES)));
    let mut result = response.message().unwrap();
    assert_eq!(response.tag().unwrap(), Some(tag(1, BYTES)));
    assert!(response.message().unwrap().rest().is_empty() && response.rest().is_empty());
    assert_eq!(result.tag().unwrap(), Some(tag(1, BYTES)));
    // A series has the form in which remote write brings it.
    let mut write = Vec::new();
    put_bytes(&mut write, 1, result.bytes().unwrap());
    let text = String::from_utf8_lossy(&write).into_owned();
    assert!(text.contains("__name__") && text.contains("見張り"), "{text}");
    assert!(write.windows(11).any(|bytes| bytes == [0x09, 0, 0, 0, 0, 0, 0, 4, 0x40, 0x10, 5]));
}

#[test]
fn the_checksum_is_that_of_iscsi() {
    // RFC 3720, appendix B.4; and the check value of CRC-32C.
    assert_eq!(castagnoli(&[0; 32]), 0x8a91_36aa);
    assert_eq!(castagnoli(&[0xff; 32]), 0x62a8_ab43);
    assert_eq!(castagnoli(b"123456789"), 0xe306_9283);
}

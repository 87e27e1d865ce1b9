//! How fast a request of Firehose is read: 4,000 lines of a metric stream, gzip, as an endpoint gets them.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start is a failure")]

use std::hint::black_box;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flate2::Compression;
use flate2::write::GzEncoder;
use model::{Limits, Timestamp};
use wire::cloudwatch::firehose::decode;

const NOW: Timestamp = Timestamp::from_secs(1_795_305_600);
const LINES: u32 = 4000;

/// A request with all lines in four records.
fn request() -> Vec<u8> {
    let line = |number: u32| {
        let (value, timestamp) = (f64::from(number) / 7.0, NOW.as_millis() - 120_000);
        format!(
            "{{\"metric_stream_name\":\"all\",\"account_id\":\"123456789012\",\"region\":\"ap-northeast-1\",\
             \"namespace\":\"AWS/EC2\",\"metric_name\":\"CPUUtilization\",\"dimensions\":{{\"InstanceId\":\
             \"i-{number:017x}\"}},\"timestamp\":{timestamp},\"value\":{{\"max\":{value},\"min\":{value},\
             \"sum\":{value},\"count\":1.0}},\"unit\":\"Percent\"}}\n"
        )
    };
    let record = |start: u32| {
        let lines: String = (start..start + LINES / 4).map(line).collect();
        format!("{{\"data\":\"{}\"}}", STANDARD.encode(lines))
    };
    let records: Vec<String> = (0..4).map(|quarter| record(quarter * LINES / 4)).collect();
    let body = format!("{{\"requestId\":\"r\",\"timestamp\":1,\"records\":[{}]}}", records.join(","));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

fn metric_stream(criterion: &mut Criterion) {
    let (body, limits) = (request(), Limits::default());
    let samples = decode(&body, Some("gzip"), &limits, NOW).unwrap().batch.sample_count();
    assert_eq!(samples, 5 * LINES as usize);
    let mut group = criterion.benchmark_group("metric_stream");
    group.throughput(Throughput::Elements(samples as u64));
    group.bench_function("decode 4,000 lines", |bencher| {
        bencher.iter(|| decode(black_box(&body), Some("gzip"), &limits, NOW).unwrap());
    });
    group.finish();
}

criterion_group!(benches, metric_stream);
criterion_main!(benches);

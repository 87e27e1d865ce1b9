//! Remote write: what decoding costs a sample.
//!
//! Reads `node_15s_240_rw.bin` (bodies, each behind its length as a little-endian u32) from the folder in
//! `MIHARI_BENCH`, else the one recorded body among the fixtures. `shuffled` has the same series in random order, so
//! that nothing is won by neighbours that look alike.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot read its input has nothing to measure")]

use std::path::PathBuf;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Batch, Limits, Timestamp};
use wire::remote_write;

criterion_group!(benches, decode);
criterion_main!(benches);

fn decode(criterion: &mut Criterion) {
    let bodies = bodies();
    let shuffled: Vec<Vec<u8>> = bodies.iter().map(|body| shuffle(body)).collect();
    for (order, bodies) in [("as sent", &bodies), ("shuffled", &shuffled)] {
        let messages: Vec<Vec<u8>> = bodies.iter().map(|body| decompress(body)).collect();
        let samples: usize = bodies.iter().map(|body| decode_body(body).sample_count()).sum();
        let mut group = criterion.benchmark_group(format!("remote_write {order}"));
        group.throughput(Throughput::Elements(samples as u64));
        group.sample_size(20);
        group.bench_function("snappy only", |b| {
            b.iter(|| bodies.iter().map(|body| decompress(body).len()).sum::<usize>())
        });
        group.bench_function("message", |b| {
            b.iter(|| messages.iter().map(|message| decode_message(message).sample_count()).sum::<usize>());
        });
        group.bench_function("message and ids", |b| {
            b.iter(|| messages.iter().map(|message| ids(&decode_message(message))).fold(0, |all, one| all ^ one));
        });
        group.bench_function("body", |b| {
            b.iter(|| bodies.iter().map(|body| decode_body(body).sample_count()).sum::<usize>())
        });
        group.bench_function("body and ids", |b| {
            b.iter(|| bodies.iter().map(|body| ids(&decode_body(body))).fold(0, |all, one| all ^ one));
        });
        group.finish();
    }
}

fn bodies() -> Vec<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "a benchmark is its own main")]
    let folder = std::env::var("MIHARI_BENCH");
    let Ok(folder) = folder else {
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/remote_write/prometheus-2.42.body");
        return vec![std::fs::read(fixture).unwrap()];
    };
    let file = std::fs::read(PathBuf::from(folder).join("node_15s_240_rw.bin")).unwrap();
    let mut rest = file.as_slice();
    let mut bodies = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (body, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        bodies.push(body.to_vec());
        rest = after;
    }
    bodies
}

fn any_time() -> (Limits, Timestamp) {
    let century = Duration::from_secs(100 * 365 * 24 * 3600);
    let limits = Limits { sample_age_max: century, sample_ahead_max: century, ..Limits::default() };
    (limits, Timestamp::from_secs(1_700_000_000))
}

fn decode_body(body: &[u8]) -> Batch {
    let (limits, now) = any_time();
    remote_write::decode(body, &limits, now).unwrap().batch
}

fn decode_message(message: &[u8]) -> Batch {
    let (limits, now) = any_time();
    remote_write::decode_message(message, &limits, now).unwrap().batch
}

fn decompress(body: &[u8]) -> Vec<u8> {
    snap::raw::Decoder::new().decompress_vec(body).unwrap()
}

fn ids(batch: &Batch) -> u128 {
    batch.iter().fold(0, |all, series| all ^ series.labels.id().0)
}

/// The same series in another order, the same one every time.
fn shuffle(body: &[u8]) -> Vec<u8> {
    let batch = decode_body(body);
    let mut order: Vec<usize> = (0..batch.series_count()).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for index in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        order.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
    }
    let mut shuffled = Batch::new();
    for index in order {
        let series = batch.series(index);
        shuffled.push(series.labels, series.samples());
    }
    remote_write::encode(&shuffled)
}

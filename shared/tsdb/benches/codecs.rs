//! Log blobs and blocks: what encoding and decoding cost, and how many bytes a sample takes.
//!
//! Reads `node_15s_240_rw.bin` (remote-write bodies, each behind its length as a little-endian u32) from the folder in
//! `MIHARI_BENCH`, else one recorded body among the fixtures. Sizes are printed first: values are what frames take,
//! the index is labels, timestamps and places.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot read its input has nothing to measure")]
#![expect(clippy::print_stdout, reason = "sizes belong beside the times")]

use std::path::PathBuf;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use model::{Aggregate, Batch, BatchBuilder, Labels, Matcher, Sample, Series, TimeRange, Timestamp};
use tsdb::rollup::{Column, Resolution, roll_up};
use tsdb::{Block, Head, block, merge, wal};

criterion_group!(benches, run);
criterion_main!(benches);

fn run(criterion: &mut Criterion) {
    let batches = batches();
    let mut head = Head::new();
    batches.iter().for_each(|batch| head.append(batch));
    let series = head.select(&[], TimeRange::ALL);
    let samples: usize = batches.iter().map(Batch::sample_count).sum();
    println!("{} series, {samples} samples", series.len());
    wal_blobs(criterion, &batches, samples);
    requests(criterion, &batches);
    heads(criterion, &batches, samples);
    blocks(criterion, &series, samples);
    chunks(&batches);
    rollups(criterion, &series, samples);
}

fn wal_blobs(criterion: &mut Criterion, batches: &[Batch], samples: usize) {
    let shuffled: Vec<Batch> = batches.iter().map(shuffle).collect();
    for (order, batches) in [("as sent", batches), ("shuffled", &shuffled)] {
        let blobs: Vec<Vec<u8>> = batches.iter().map(wal::encode).collect();
        report(&format!("wal blob {order}"), blobs.iter().map(Vec::len).sum(), samples);
        let mut group = criterion.benchmark_group(format!("wal {order}"));
        group.throughput(Throughput::Elements(samples as u64)).sample_size(10);
        group.bench_function("encode", |b| {
            b.iter(|| batches.iter().map(|batch| wal::encode(batch).len()).sum::<usize>())
        });
        group.bench_function("decode", |b| {
            b.iter(|| blobs.iter().map(|blob| wal::decode(blob).unwrap().sample_count()).sum::<usize>());
        });
        group.finish();
    }
}

/// Series a request: what senders put into one.
const REQUEST_SERIES: usize = 2000;
const HOSTS: usize = 24;

/// Requests of 2,000 series from a fleet whose hosts are scraped one after the other: labels that stand in the blob, and
/// labels in layouts that are stored once a day.
fn requests(criterion: &mut Criterion, scrapes: &[Batch]) {
    let requests = fleet(scrapes);
    let samples: usize = requests.iter().map(Batch::sample_count).sum();
    let no_values = |batch: &Batch| wal::encode(&changed(batch, |_| 0.0)).len();
    report("request, labels and times", requests.iter().map(no_values).sum(), samples);
    let (mut dictionary, mut layouts) = (wal::Dictionary::default(), wal::Layouts::new());
    let mut stored = 0;
    for request in &requests {
        let known: &wal::Dictionary = &dictionary;
        let new = request.iter().map(|series| series.labels).filter(|labels| !known.contains(labels.id()));
        for layout in wal::Layout::cut(new) {
            stored += layout.encode().len();
            dictionary.insert(&layout);
            layouts.insert(layout.hash(), std::sync::Arc::new(layout));
        }
    }
    println!("layouts of a day: {stored} bytes, {:.3} a series", stored as f64 / dictionary.series_count() as f64);
    let alone: Vec<Vec<u8>> = requests.iter().map(wal::encode).collect();
    let named: Vec<Vec<u8>> = requests.iter().map(|request| wal::encode_with(request, &dictionary)).collect();
    report("request, labels in the blob", alone.iter().map(Vec::len).sum(), samples);
    report("request, labels in layouts", named.iter().map(Vec::len).sum(), samples);
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Elements(samples as u64)).sample_size(10);
    group.bench_function("encode", |b| b.iter(|| requests.iter().map(|one| wal::encode(one).len()).sum::<usize>()));
    group.bench_function("encode with layouts", |b| {
        b.iter(|| requests.iter().map(|one| wal::encode_with(one, &dictionary).len()).sum::<usize>());
    });
    group.bench_function("decode", |b| {
        b.iter(|| alone.iter().map(|blob| wal::decode(blob).unwrap().sample_count()).sum::<usize>());
    });
    group.bench_function("decode with layouts", |b| {
        b.iter(|| named.iter().map(|blob| wal::decode_with(blob, &layouts).unwrap().sample_count()).sum::<usize>());
    });
    group.finish();
}

/// Eight scrapes of each host of a fleet, as requests. Hosts share what they are (constants, small numbers) and differ in
/// everything that they measured: copies of one host would compress to nothing.
fn fleet(scrapes: &[Batch]) -> Vec<Batch> {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut factor = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        0.3 + 2.7 * (random >> 11) as f64 / (1u64 << 53) as f64
    };
    let factors: Vec<Vec<f64>> = (0..HOSTS).map(|_| (0..700).map(|_| factor()).collect()).collect();
    let mut requests = vec![Batch::new()];
    for round in 0..8 {
        for (host, factors) in factors.iter().enumerate() {
            let scrape = &scrapes[(host * 9 + round) % scrapes.len()];
            let address = format!("10.2.{}.{}:9100", host / 8, 17 + host * 7);
            let time = Timestamp::from_millis(1_795_000_000_000 + round as i64 * 15_000 + host as i64 * 617);
            for (series, factor) in scrape.iter().zip(factors) {
                if requests.last().unwrap().series_count() == REQUEST_SERIES {
                    requests.push(Batch::new());
                }
                let pairs = series.labels.iter().map(|(name, value)| match name {
                    "instance" => (name, address.as_str()),
                    _ => (name, value),
                });
                let labels = Labels::from_pairs(pairs).unwrap();
                let value = scaled(series.values[0], *factor);
                requests.last_mut().unwrap().push(labels.as_ref(), [Sample { timestamp: time, value }]);
            }
        }
    }
    requests
}

/// Another value with as many decimal places; small whole numbers stay.
fn scaled(value: f64, factor: f64) -> f64 {
    if !value.is_finite() || value.abs() < 10.0 && value.fract() == 0.0 {
        return value;
    }
    let text = (0..=9).map(|places| format!("{value:.places$}"));
    let exact = text.enumerate().find(|(_, text)| text.parse::<f64>().unwrap().to_bits() == value.to_bits());
    exact.map_or(value * factor, |(places, _)| format!("{:.places$}", value * factor).parse().unwrap())
}

fn changed(batch: &Batch, change: impl Fn(f64) -> f64) -> Batch {
    let mut out = Batch::new();
    for series in batch.iter() {
        out.push(series.labels, series.samples().map(|sample| Sample { value: change(sample.value), ..sample }));
    }
    out
}

fn heads(criterion: &mut Criterion, batches: &[Batch], samples: usize) {
    let mut group = criterion.benchmark_group("head");
    group.throughput(Throughput::Elements(samples as u64)).sample_size(10);
    group.bench_function("append", |b| {
        b.iter(|| {
            let mut head = Head::new();
            batches.iter().for_each(|batch| head.append(batch));
            head.sample_count()
        });
    });
    group.finish();
}

fn blocks(criterion: &mut Criterion, series: &[Series], samples: usize) {
    let bytes = Bytes::from(block::encode(series));
    let index = block::Index::tail_bytes(&bytes).unwrap();
    report("block values", bytes.len() - index, samples);
    report("block index", index, samples);
    println!("block index: {:.2} bytes a series", index as f64 / series.len() as f64);
    let block = Block::open(bytes.clone()).unwrap();
    let mut group = criterion.benchmark_group("block");
    group.throughput(Throughput::Elements(samples as u64)).sample_size(10);
    group.bench_function("encode", |b| b.iter(|| block::encode(series).len()));
    group.bench_function("open", |b| b.iter(|| Block::open(bytes.clone()).unwrap().series_count()));
    group.bench_function("decode all", |b| b.iter(|| block.select(&[], TimeRange::ALL).unwrap().len()));
    let one_metric = [Matcher::equal("__name__", "node_cpu_seconds_total")];
    group.bench_function("decode one metric", |b| b.iter(|| block.select(&one_metric, TimeRange::ALL).unwrap().len()));
    group.finish();
}

/// What a tick writes every minute, and what merging an hour of it costs.
fn chunks(batches: &[Batch]) {
    let mut total = 0;
    let mut parts = Vec::new();
    let mut samples = 0;
    for minute in batches.chunks(4) {
        let mut head = Head::new();
        minute.iter().for_each(|batch| head.append(batch));
        for (_, bytes) in head.cut() {
            total += bytes.len();
            parts.push(Block::open(Bytes::from(bytes)).unwrap().select(&[], TimeRange::ALL).unwrap());
        }
        samples += head.sample_count();
    }
    report("chunks of a minute", total, samples);
    println!("an hour of chunks: {} in {} series", parts.len(), merge(parts).len());
}

fn rollups(criterion: &mut Criterion, series: &[Series], samples: usize) {
    let mut bytes = 0;
    for resolution in Resolution::ALL {
        let rollups = roll_up(series, resolution, TimeRange::ALL);
        let spans: usize = rollups.iter().map(|series| series.timestamps.len()).sum();
        let block = block::encode_rollups(&rollups, resolution);
        println!("rollup {}: {spans} spans, {} bytes", resolution.as_str(), block.len());
        bytes += block.len();
    }
    report("all rollups", bytes, samples);
    let minute = Resolution::Minute;
    let block =
        Block::open(Bytes::from(block::encode_rollups(&roll_up(series, minute, TimeRange::ALL), minute))).unwrap();
    let mut group = criterion.benchmark_group("rollup");
    group.throughput(Throughput::Elements(samples as u64)).sample_size(10);
    group.bench_function("roll up 1m", |b| b.iter(|| roll_up(series, minute, TimeRange::ALL).len()));
    group.bench_function("encode 1m", |b| {
        let rollups = roll_up(series, minute, TimeRange::ALL);
        b.iter(|| block::encode_rollups(&rollups, minute).len());
    });
    group.bench_function("select averages", |b| {
        let columns = Column::of(Aggregate::Average);
        b.iter(|| block.select_rollups(&[], TimeRange::ALL, columns).unwrap().len());
    });
    group.finish();
}

fn report(what: &str, bytes: usize, samples: usize) {
    println!("{what}: {bytes} bytes, {:.4} a sample", bytes as f64 / samples as f64);
}

/// The same series in an order that makes no neighbours of alikes.
fn shuffle(batch: &Batch) -> Batch {
    let mut order: Vec<usize> = (0..batch.series_count()).collect();
    order.sort_by_key(|&index| batch.series(index).labels.id());
    let mut out = Batch::new();
    for index in order {
        let series = batch.series(index);
        out.push(series.labels, series.samples());
    }
    out
}

fn batches() -> Vec<Batch> {
    #[expect(clippy::disallowed_methods, reason = "a benchmark is its own main")]
    let folder = std::env::var("MIHARI_BENCH");
    let Ok(folder) = folder else {
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/remote_write/prometheus-2.42.body");
        return vec![batch(&std::fs::read(fixture).unwrap())];
    };
    let file = std::fs::read(PathBuf::from(folder).join("node_15s_240_rw.bin")).unwrap();
    let mut rest = file.as_slice();
    let mut batches = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let (body, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        batches.push(batch(body));
        rest = after;
    }
    batches
}

/// A remote-write body, which is trusted here.
fn batch(body: &[u8]) -> Batch {
    let message = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let mut out = BatchBuilder::default();
    for (_, series, _) in fields(&message).into_iter().filter(|(number, ..)| *number == 1) {
        for (number, part, _) in fields(series) {
            let parts = fields(part);
            let bytes = |wanted| parts.iter().find(|(number, ..)| *number == wanted).map_or(&[][..], |part| part.1);
            let scalar = |wanted| parts.iter().find(|(number, ..)| *number == wanted).map_or(0, |part| part.2);
            if number == 1 && !bytes(2).is_empty() {
                out.push_label(bytes(1), bytes(2)).unwrap();
            } else if number == 2 {
                let timestamp = Timestamp::from_millis(scalar(2).cast_signed());
                out.push_sample(Sample { timestamp, value: f64::from_bits(scalar(1)) });
            }
        }
        out.end_series();
    }
    out.finish().unwrap()
}

/// The fields of a protobuf message: number, bytes, scalar.
fn fields(message: &[u8]) -> Vec<(u64, &[u8], u64)> {
    let mut reader = tsdb::coding::Reader::new(message, "message");
    let mut out = Vec::new();
    while !reader.rest().is_empty() {
        let key = reader.varint().unwrap();
        out.push(match key & 7 {
            0 => (key >> 3, &[][..], reader.varint().unwrap()),
            1 => (key >> 3, &[][..], u64::from_le_bytes(reader.array().unwrap())),
            _ => (key >> 3, reader.bytes().unwrap(), 0),
        });
    }
    out
}

//! How many durable appends a second the write-ahead log takes, by how many wait at once; beside it one synced write at
//! a time to a plain file, which is what the disk alone gives.

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;

use app::ports::{Shard, Wal as _};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use model::TenantId;

/// About what one scrape of a node exporter becomes.
const BLOB_BYTES: usize = 2048;

fn appends(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let store = embedded::open(dir.path()).expect("a data folder");
    let tenant = TenantId::default_tenant();
    let mut group = criterion.benchmark_group("append");
    let mut number = 0_u64;
    for waiting in [1_u64, 16, 256, 2048] {
        group.throughput(Throughput::Elements(waiting));
        group.bench_function(format!("{waiting} waiting"), |bencher| {
            bencher.iter(|| {
                let blobs: Vec<Bytes> = (0..waiting)
                    .map(|_| {
                        number += 1;
                        let mut blob = vec![0; BLOB_BYTES];
                        blob[..8].copy_from_slice(&number.to_le_bytes());
                        blob.into()
                    })
                    .collect();
                let appends = blobs.into_iter().map(|blob| store.wal.append(Shard(0), 1, &tenant, blob));
                for result in runtime.block_on(join_all(appends)) {
                    result.expect("an append");
                }
            });
        });
    }
    let mut file = File::create(dir.path().join("plain")).expect("a file");
    group.throughput(Throughput::Elements(1));
    group.bench_function("plain file, one sync each", |bencher| {
        bencher.iter(|| {
            file.write_all(black_box(&[0; BLOB_BYTES])).expect("a write");
            file.sync_data().expect("a sync");
        });
    });
}

criterion_group!(benches, appends);
criterion_main!(benches);

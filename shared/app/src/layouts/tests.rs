use model::{Sample, Series, TimeRange};

use super::*;
use crate::faults::{Fault, FaultPlan, FaultRates};
use crate::load::testing::{START, World, bits, tenant};
use crate::ports::{ByteRange, Expect, RowWrite, Shard};

/// So many series are scraped every 15 s; requests hold this many.
const SERIES: usize = 700;
const REQUEST: usize = 300;

fn labels(index: usize) -> Labels {
    let instance = format!("10.0.0.{}:9100", index / 100);
    let cpu = (index % 100).to_string();
    let pairs = [("__name__", "node_cpu_seconds_total"), ("cpu", &cpu), ("instance", &instance), ("job", "test")];
    Labels::from_pairs(pairs).expect("these labels are fine")
}

/// The samples of a scrape, cut into requests that do not begin where those of the scrape before did.
fn requests(scrape: usize, now: Timestamp) -> Vec<Batch> {
    let mut requests = vec![Batch::new()];
    for index in 0..SERIES {
        let count = requests.last().map_or(0, Batch::series_count);
        if count == REQUEST || count > 0 && index == scrape * 77 % REQUEST {
            requests.push(Batch::new());
        }
        let sample = Sample { timestamp: now, value: (index * 31 + scrape) as f64 };
        requests.last_mut().expect("there is one").push(labels(index).as_ref(), [sample]);
    }
    requests
}

fn writer(world: &World) -> LayoutWriter {
    LayoutWriter::new(Arc::clone(&world.ports.state), 1 << 20)
}

/// Logs a scrape as often as it takes; gives back how many bytes its blobs have.
async fn push(world: &World, writer: &LayoutWriter, scrape: usize) -> usize {
    let mut bytes = 0;
    for batch in requests(scrape, world.now) {
        let blob = Bytes::from(writer.encode(&tenant(), world.now.minute(), &batch, world.now).await);
        bytes += blob.len();
        while world.ports.wal.append(Shard(0), world.now.minute(), &tenant(), blob.clone()).await.is_err() {}
    }
    bytes
}

fn expected(scrapes: &[(usize, Timestamp)]) -> Vec<Series> {
    let mut series: Vec<Series> = (0..SERIES)
        .map(|index| {
            let sample = |(scrape, timestamp): &(usize, Timestamp)| Sample {
                timestamp: *timestamp,
                value: (index * 31 + scrape) as f64,
            };
            Series::from_samples(labels(index), &scrapes.iter().map(sample).collect::<Vec<_>>())
        })
        .collect();
    series.sort_by(|one, two| one.labels.cmp(&two.labels));
    series
}

async fn check(world: &World, scrapes: &[(usize, Timestamp)]) {
    let found = world.raw(world.recent()).await.unwrap();
    assert_eq!(bits(&found), bits(&expected(scrapes)));
}

async fn rows(world: &World, day: i64) -> usize {
    range_all(world.ports.state.as_ref(), RowRange::all(partition(&tenant(), day)), world.now).await.unwrap().len()
}

fn today(world: &World) -> i64 {
    world.now.minute().div_euclid(DAY_MINUTES)
}

#[tokio::test]
async fn labels_are_stored_once_a_day_and_named_from_then_on() {
    let mut world = World::new(FaultPlan::none());
    let first = writer(&world);
    let mut sizes = Vec::new();
    let mut scrapes = Vec::new();
    for scrape in 0..6 {
        world.now = START + Duration::from_secs(15 * scrape as u64);
        sizes.push(push(&world, &first, scrape).await);
        scrapes.push((scrape, world.now));
    }
    assert!(sizes[5] < SERIES * 5 / 2, "{sizes:?}");
    let stored = rows(&world, today(&world)).await;
    let calls = world.plan.calls("state put");
    check(&world, &scrapes).await;
    // Another process finds what the first one stored, and adds nothing.
    let other = writer(&world);
    world.now = world.now + Duration::from_secs(15);
    let size = push(&world, &other, 6).await;
    scrapes.push((6, world.now));
    assert_eq!((rows(&world, today(&world)).await, world.plan.calls("state put")), (stored, calls));
    assert!(size < SERIES * 5 / 2, "{size} bytes");
    world.restart();
    check(&world, &scrapes).await;
    // The next day has its own.
    world.now = START + DAY;
    push(&world, &other, 7).await;
    scrapes.push((7, world.now));
    assert!(rows(&world, today(&world)).await > 0);
    check(&world, &scrapes).await;
    world.tick().await.unwrap();
    world.restart();
    check(&world, &scrapes).await;
}

#[tokio::test]
async fn series_that_come_in_small_numbers_wait_until_there_are_enough() {
    let world = World::new(FaultPlan::none());
    let writer = writer(&world);
    let all = requests(0, world.now);
    let series: Vec<_> = all.iter().flat_map(Batch::iter).collect();
    for (round, calls) in [(0, 1), (1, 1)] {
        for part in series.chunks(40) {
            let mut batch = Batch::new();
            part.iter().for_each(|series| batch.push(series.labels, series.samples()));
            writer.encode(&tenant(), world.now.minute(), &batch, world.now).await;
        }
        assert!(world.plan.calls("state put") >= calls, "round {round}");
    }
    assert!(world.plan.calls("state put") <= 3, "{}", world.plan.calls("state put"));
}

#[tokio::test]
async fn layouts_outlive_every_entry_that_may_name_them() {
    let mut world = World::new(FaultPlan::none());
    // The last moment of a day.
    world.now = START + DAY - Duration::from_secs(1);
    world.tick().await.unwrap();
    push(&world, &writer(&world), 0).await;
    let scrapes = [(0, world.now)];
    world.limits.raw_retention = DAY * 7;
    world.now = world.now + WAL_RETENTION + Duration::from_secs(3600);
    world.restart();
    check(&world, &scrapes).await;
    world.now = world.now + DAY * 2;
    assert_eq!(rows(&world, START.minute().div_euclid(DAY_MINUTES)).await, 0, "they go by themselves");
}

#[tokio::test]
async fn when_layouts_cannot_be_stored_or_read_the_blob_stands_alone() {
    for call in ["state put", "state range"] {
        for fault in [Fault::ErrorBefore, Fault::ErrorAfter].map(|fault| fault(ErrorKind::Unavailable)) {
            let world = World::new(FaultPlan::script([(call, 0, fault), (call, 1, fault)]));
            let writer = writer(&world);
            for batch in requests(0, world.now) {
                let blob = writer.encode(&tenant(), world.now.minute(), &batch, world.now).await;
                assert_eq!(wal::decode(&blob).unwrap(), batch, "{call} {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_tick_that_cannot_read_layouts_takes_nothing_and_the_next_one_all() {
    // The first row that a tick reads is its own.
    let mut world = World::new(FaultPlan::script([("state get", 1, Fault::ErrorBefore(ErrorKind::Unavailable))]));
    push(&world, &writer(&world), 0).await;
    let scrapes = [(0, world.now)];
    world.now = world.now + Duration::from_secs(600);
    assert_eq!(world.tick().await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(crate::tick_row::watermark(world.ports.state.as_ref(), Shard(0), world.now).await.unwrap(), None);
    world.tick().await.unwrap();
    world.restart();
    check(&world, &scrapes).await;
}

#[tokio::test]
async fn an_entry_whose_layout_is_gone_is_set_aside_and_holds_up_no_other() {
    let mut world = World::new(FaultPlan::none());
    push(&world, &writer(&world), 0).await;
    let partition = partition(&tenant(), today(&world));
    let all = range_all(world.ports.state.as_ref(), RowRange::all(partition), world.now).await.unwrap();
    let writes = all.iter().map(|row| RowWrite::delete(row.key.clone(), Expect::Any)).collect();
    world.ports.state.write(writes, world.now).await.unwrap();
    world.push(&[("other", START, 1.0)]).await;
    world.now = world.now + Duration::from_secs(600);
    world.tick().await.unwrap();
    let listed = world.ports.objects.list("unreadable/tenant=default/", None).await.unwrap().entries;
    assert_eq!(listed.len(), requests(0, START).len());
    // With its layouts it could be read again: nothing is lost.
    for entry in listed {
        let blob = world.ports.objects.get(&entry.key, ByteRange::All).await.unwrap();
        let layouts = all.iter().map(|row| Layout::decode(&row.value).unwrap());
        let layouts = layouts.map(|layout| (layout.hash(), Arc::new(layout))).collect();
        assert!(wal::decode_with(&blob, &layouts).unwrap().sample_count() > 0);
    }
    let found = world.raw(TimeRange::new(START, world.now)).await.unwrap();
    assert_eq!(bits(&found), bits(&world.expected(TimeRange::ALL)));
}

#[tokio::test]
async fn random_faults_lose_nothing() {
    for seed in 0..20 {
        let mut world = World::new(FaultPlan::seeded(seed, FaultRates::each(50)));
        let mut scrapes = Vec::new();
        let mut writers = [writer(&world), writer(&world)];
        for scrape in 0..12 {
            world.now = START + Duration::from_secs(45 * scrape as u64);
            push(&world, &writers[scrape % 2], scrape).await;
            scrapes.push((scrape, world.now));
            if scrape % 5 == 4 {
                writers[0] = writer(&world);
                world.restart();
            }
            drop(world.tick().await);
        }
        let found = loop {
            if let Ok(found) = world.raw(world.recent()).await {
                break found;
            }
        };
        assert_eq!(bits(&found), bits(&expected(&scrapes)), "seed {seed}");
    }
}

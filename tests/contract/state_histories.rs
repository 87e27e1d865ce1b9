//! Random histories against a reference model that is small enough to be read.

use std::collections::BTreeMap;

use app::ports::{Change, Expect, Row, RowKey, RowRange, RowWrite, StateStore, range_all};
use bytes::Bytes;
use model::{ErrorKind, Timestamp};

use crate::Subject;
use crate::random::Random;
use crate::state::{later, sorts};

/// What the store should hold, and every version that a key has had.
#[derive(Default)]
struct Model {
    rows: BTreeMap<(String, String), Row>,
    last_versions: BTreeMap<(String, String), u64>,
}

impl Model {
    fn get(&self, key: &RowKey, now: Timestamp) -> Option<&Row> {
        let row = self.rows.get(&(key.partition.clone(), key.sort.clone()))?;
        row.expires.is_none_or(|expires| expires > now).then_some(row)
    }

    fn allows(&self, write: &RowWrite, now: Timestamp) -> bool {
        let found = self.get(&write.key, now).map(|row| row.version);
        match write.expect {
            Expect::Absent => found.is_none(),
            Expect::Version(version) => found == Some(version),
            Expect::Any => true,
        }
    }

    fn apply(&mut self, write: RowWrite, version: u64) {
        let place = (write.key.partition.clone(), write.key.sort.clone());
        match write.change {
            Change::Put { value, expires } => {
                let last = self.last_versions.insert(place.clone(), version).unwrap_or(0);
                assert!(version > last, "the version of {:?} went from {last} to {version}", write.key);
                self.rows.insert(place, Row { key: write.key, value, version, expires });
            }
            Change::Delete => {
                self.rows.remove(&place);
                assert_eq!(version, 0);
            }
            Change::Check => assert_eq!(version, 0),
        }
    }
}

fn random_key(random: &mut Random) -> RowKey {
    RowKey::new(random.pick(&["p", "p#", "q"]), random.pick(&["#", "a", "a#", "b", "c"]))
}

fn random_write(random: &mut Random, key: RowKey, model: &Model, now: Timestamp) -> RowWrite {
    let known = model.last_versions.get(&(key.partition.clone(), key.sort.clone())).copied();
    let live = model.get(&key, now).map(|row| row.version);
    let expect = match (random.below(8), live, known) {
        (0..=3, Some(version), _) => Expect::Version(version),
        (4, _, Some(stale)) => Expect::Version(stale),
        (5, ..) => Expect::Absent,
        (_, None, _) => Expect::Absent,
        _ => Expect::Any,
    };
    let offset = i64::try_from(random.below(30)).expect("less than 30") - 3;
    let expires = (random.below(3) == 0)
        .then(|| now + std::time::Duration::from_secs(3))
        .map(|time| Timestamp::from_millis(time.as_millis() + offset * 1000));
    let change = match random.below(6) {
        0 => Change::Delete,
        1 => Change::Check,
        _ => Change::Put { value: Bytes::from(random.next().to_string()), expires },
    };
    RowWrite { key, expect, change }
}

fn random_writes(random: &mut Random, model: &Model, now: Timestamp) -> Vec<RowWrite> {
    let mut rows: BTreeMap<RowKey, RowWrite> = BTreeMap::new();
    for _ in 0..=random.below(3) {
        let key = random_key(random);
        rows.insert(key.clone(), random_write(random, key, model, now));
    }
    rows.into_values().collect()
}

async fn compare(store: &dyn StateStore, model: &Model, partition: &str, now: Timestamp, case: &str) {
    let expected: Vec<Row> = model
        .rows
        .values()
        .filter(|row| row.key.partition == partition && model.get(&row.key, now).is_some())
        .cloned()
        .collect();
    for row in &expected {
        assert_eq!(store.get(&row.key, now).await.expect("a read").as_ref(), Some(row), "{case}");
    }
    let range = RowRange { limit: 2, ..RowRange::all(partition) };
    assert_eq!(range_all(store, range, now).await.expect("a range"), expected, "{case}");
}

/// Writes, conflicts, expiries, puts and restarts in any order, a partition compared with the model after each step.
pub async fn random_histories_agree_with_the_model(mut subject: Subject<dyn StateStore>) {
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let mut model = Model::default();
        for partition in ["p", "p#", "q"] {
            for sort in sorts(subject.port(), RowRange::all(partition)).await {
                let delete = RowWrite::delete(RowKey::new(partition, sort), Expect::Any);
                subject.port().write(vec![delete], later(0)).await.expect("a delete");
            }
        }
        let mut seconds = 100_000 * i64::try_from(seed).expect("small");
        for step in 0..120 {
            seconds += i64::try_from(random.below(3)).expect("less than 3");
            let now = later(seconds);
            let case = format!("seed {seed}, step {step}");
            match random.below(20) {
                0 => subject.reopen(),
                1 => put_one(subject.port(), &mut model, &mut random, now).await,
                _ => {
                    let writes = random_writes(&mut random, &model, now);
                    let allowed = writes.iter().all(|write| model.allows(write, now));
                    match subject.port().write(writes.clone(), now).await {
                        Ok(versions) => {
                            assert!(allowed, "{case}: {writes:?} was to be refused");
                            writes.into_iter().zip(versions).for_each(|(write, version)| model.apply(write, version));
                        }
                        Err(error) => {
                            assert!(!allowed, "{case}: {writes:?} was refused: {error}");
                            assert_eq!(error.kind(), ErrorKind::Conflict, "{case}");
                        }
                    }
                }
            }
            compare(subject.port(), &model, ["p", "p#", "q"][step % 3], now, &case).await;
        }
    }
}

async fn put_one(store: &dyn StateStore, model: &mut Model, random: &mut Random, now: Timestamp) {
    let key = random_key(random);
    let value = Bytes::from(random.next().to_string());
    store.put_many(vec![(key.clone(), value.clone(), None)], now).await.expect("a put");
    let version = store.get(&key, now).await.expect("a read").expect("a row").version;
    model.apply(RowWrite::put(key, Expect::Any, value), version);
}

//! The adapters for AWS, against DynamoDB and S3 emulated in this process.

mod bucket;
pub(crate) mod servers;

use std::sync::Arc;

use ::aws::client::{AwsSettings, Clients, Credentials, SharedTimeSource, SystemTimeSource};
use ::aws::{DynamoState, DynamoWal, S3Objects};
use app::catalogue::INLINE_BYTES_MAX;
use app::ports::{ObjectStore, RowKey, StateStore, Wal, WalEntry};
use bytes::Bytes;
use model::Timestamp;
use tests::Subject;
use tests::wal::Damageable;

/// Clients of whatever listens at an endpoint.
pub(crate) fn clients(endpoint: String) -> Clients {
    Clients::new(AwsSettings {
        region: "ap-northeast-1".to_owned(),
        endpoint: Some(endpoint),
        credentials: Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"),
        table: servers::TABLE.to_owned(),
        bucket: servers::BUCKET.to_owned(),
        clock: SharedTimeSource::new(SystemTimeSource::new()),
    })
}

fn state() -> Subject<dyn StateStore> {
    let dynamo = servers::dynamo();
    Subject::new(move || -> Arc<dyn StateStore> { Arc::new(DynamoState::new(&clients(dynamo.clone()))) })
}

fn wal() -> Subject<dyn Wal> {
    let (dynamo, s3) = (servers::dynamo(), servers::s3_in_memory());
    Subject::new(move || -> Arc<dyn Wal> {
        Arc::new(DynamoWal::with_objects(&clients(dynamo.clone()), S3Objects::new(&clients(s3.clone()))))
    })
}

/// How an entry of the log is harmed.
#[derive(Clone, Copy)]
enum Harm {
    /// The item holds other bytes.
    Item,
    /// The object is gone.
    Lost,
    /// The object holds other bytes.
    Replaced,
}

fn harmed_wal(harm: Harm) -> Damageable {
    let (dynamo, s3) = (servers::dynamo(), servers::s3_in_memory());
    let open = {
        let (dynamo, s3) = (dynamo.clone(), s3.clone());
        move || -> Arc<dyn Wal> {
            Arc::new(DynamoWal::with_objects(&clients(dynamo.clone()), S3Objects::new(&clients(s3.clone()))))
        }
    };
    let damage = move |entry: WalEntry| {
        let (state, objects) = (DynamoState::new(&clients(dynamo.clone())), S3Objects::new(&clients(s3.clone())));
        let future = async move {
            let WalEntry { minute, tenant, hash, .. } = entry;
            let key = format!("wal/tenant={tenant}/{minute}/{hash:032x}");
            if let Harm::Item = harm {
                let row = RowKey::new(format!("w#0#{minute}"), format!("{tenant}#{hash:032x}"));
                let other = Bytes::from_static(b"\x01other bytes");
                state.put_many(vec![(row, other, None)], Timestamp::from_secs(0)).await.expect("a put");
                return;
            }
            assert!(objects.get(&key, app::ports::ByteRange::All).await.is_ok(), "there is such an object");
            objects.delete(&key).await.expect("a delete");
            if let Harm::Replaced = harm {
                objects.put_new(&key, Bytes::from_static(b"other bytes")).await.expect("a put");
            }
        };
        Box::pin(future) as _
    };
    let blob_bytes = if let Harm::Item = harm { 100 } else { INLINE_BYTES_MAX + 1 };
    Damageable { subject: Subject::new(open), damage: Box::new(damage), blob_bytes }
}

fn objects() -> Subject<dyn ObjectStore> {
    let s3 = servers::s3_in_memory();
    Subject::new(move || -> Arc<dyn ObjectStore> { Arc::new(S3Objects::new(&clients(s3.clone()))) })
}

/// A folder cannot hold a key that another begins with, nor long names, its puts are not atomic, and it breaks off when
/// asked for the end of an empty object.
fn objects_in_a_folder() -> Subject<dyn ObjectStore> {
    let dir = tempfile::tempdir().expect("a folder for a test");
    let s3 = servers::s3_in_folder(dir.path());
    Subject::new(move || -> Arc<dyn ObjectStore> {
        assert!(dir.path().is_dir(), "it lives as long as its server is used");
        Arc::new(S3Objects::new(&clients(s3.clone())))
    })
}

mod state {
    tests::state_store_contract!(super::state());
}
mod wal {
    tests::wal_contract!(super::wal());
}
mod wal_with_another_item {
    tests::wal_damage_contract!(super::harmed_wal(super::Harm::Item));
}
mod wal_without_an_object {
    tests::wal_damage_contract!(super::harmed_wal(super::Harm::Lost));
}
mod wal_with_another_object {
    tests::wal_damage_contract!(super::harmed_wal(super::Harm::Replaced));
}
mod objects {
    tests::object_store_contract!(super::objects());
}
mod objects_in_a_folder {
    tests::checks!(
        super::objects_in_a_folder(),
        objects,
        [
            what_was_put_is_read_back,
            putting_the_same_content_again_succeeds,
            other_content_under_a_key_is_a_conflict,
            bad_keys_are_refused_and_never_found,
            a_prefix_selects_by_bytes_and_not_by_folder,
            a_long_listing_comes_in_pages,
            a_link_is_for_a_good_key_and_a_lifetime,
        ]
    );
}

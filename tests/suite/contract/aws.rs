//! The adapters for AWS, against DynamoDB and S3 emulated in this process.

mod bucket;
pub(crate) mod servers;

use std::sync::Arc;

use ::aws::client::{AwsSettings, Clients, Credentials, SharedTimeSource, SystemTimeSource};
use ::aws::{DynamoState, DynamoWal, S3Objects};
use app::ports::{ObjectStore, StateStore, Wal};
use tests::Subject;

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

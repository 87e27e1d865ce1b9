//! Servers that speak the protocols of DynamoDB and S3 on a free port of this machine, as long as the test runs.

use std::path::Path;

use dynoxide::Database;
use hyper_util::rt::TokioIo;
use s3s::S3;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use serde_json::json;
use tokio::net::TcpListener;

use super::bucket::MemoryBucket;

/// The table of every DynamoDB here.
pub(crate) const TABLE: &str = "mihari-test";
/// The bucket of every S3 here.
pub(crate) const BUCKET: &str = "mihari-test";

/// An empty table in a DynamoDB of its own.
pub(crate) fn dynamo() -> String {
    let database = Database::memory().expect("a database in memory");
    let table = json!({
        "TableName": TABLE,
        "KeySchema": [
            { "AttributeName": "p", "KeyType": "HASH" },
            { "AttributeName": "s", "KeyType": "RANGE" },
        ],
        "AttributeDefinitions": [
            { "AttributeName": "p", "AttributeType": "S" },
            { "AttributeName": "s", "AttributeType": "S" },
        ],
        "BillingMode": "PAY_PER_REQUEST",
    });
    database.create_table(serde_json::from_value(table).expect("a table")).expect("the table is made");
    let (listener, endpoint) = listen();
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    endpoint
}

/// An empty bucket that does all that our adapter asks of S3, as S3 documents it.
pub(crate) fn s3_in_memory() -> String {
    serve_s3(MemoryBucket::default())
}

/// An empty bucket in a folder.
pub(crate) fn s3_in_folder(dir: &Path) -> String {
    std::fs::create_dir(dir.join(BUCKET)).expect("a bucket");
    serve_s3(s3s_fs::FileSystem::new(dir).expect("a folder"))
}

fn serve_s3(s3: impl S3) -> String {
    let mut builder = S3ServiceBuilder::new(s3);
    // Requests with another signature are refused.
    builder.set_auth(SimpleAuth::from_single("AKIDEXAMPLE", "secret"));
    let (listener, endpoint) = listen();
    tokio::spawn(accept(listener, builder.build()));
    endpoint
}

async fn accept(listener: TcpListener, service: S3Service) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let service = service.clone();
        tokio::spawn(async move {
            let connection = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            // A client that goes away is none of our business.
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

fn listen() -> (TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("a bound address");
    (TcpListener::from_std(listener).expect("a runtime"), format!("http://{address}"))
}

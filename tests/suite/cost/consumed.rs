//! The model's units against those that DynamoDB reports for the calls of the real adapter.
//!
//! A door between the two asks for the consumed capacity of every call and adds it up.

use std::sync::{Arc, Mutex};

use app::Ports;
use app::cost::{Item, Ledger, metered};
use app::memory::{MemoryMessenger, MemoryObjectStore, MemoryTopic};
use app::ports::{Expect, PortResult, RowKey, RowRange, RowWrite, Shard};
use aws::{DynamoState, DynamoWal, S3Objects};
use bytes::Bytes;
use model::{TenantId, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::contract::aws::{clients, servers};

/// 2026-11-22 00:00:00 UTC.
const NOW: Timestamp = Timestamp::from_secs(1_795_305_600);

/// Read and write units that were reported.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Units {
    reads: f64,
    writes: f64,
}

/// A door in front of a DynamoDB.
#[derive(Clone, Debug)]
struct Door {
    target: String,
    units: Arc<Mutex<Units>>,
}

impl Door {
    /// Opens it, and says where.
    async fn open(target: String) -> (Self, String) {
        let target = target.trim_start_matches("http://").to_owned();
        let door = Self { target, units: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let opened = door.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let door = opened.clone();
                tokio::spawn(async move { door.serve(stream).await });
            }
        });
        (door, format!("http://{address}"))
    }

    fn units(&self) -> Units {
        *self.units.lock().expect("nothing panics while it holds the lock")
    }

    /// Answers the requests of a connection, one after the other, until it is closed.
    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (operation, body) = read_request(&mut stream).await?;
            let mut call: Value = serde_json::from_slice(&body).ok()?;
            call["ReturnConsumedCapacity"] = json!("TOTAL");
            let (status, body) = self.forward(&operation, &call.to_string()).await?;
            self.count(&operation, &serde_json::from_slice(&body).unwrap_or_default());
            let head = format!("{status}\r\ncontent-type: {JSON}\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(&body).await.ok()?;
        }
    }

    /// The first line of the answer, and its body.
    async fn forward(&self, operation: &str, body: &str) -> Option<(String, Vec<u8>)> {
        let host = &self.target;
        let mut stream = TcpStream::connect(host).await.ok()?;
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nx-amz-date: 20261122T000000Z\r\nx-amz-target: {operation}\r\n\
             authorization: {AUTH}\r\ncontent-type: {JSON}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let status = String::from_utf8_lossy(&answer[..end]).lines().next()?.to_owned();
        Some((status, answer.split_off(end + 4)))
    }

    fn count(&self, operation: &str, answer: &Value) {
        let consumed = &answer["ConsumedCapacity"];
        let tables = consumed.as_array().cloned().unwrap_or_else(|| vec![consumed.clone()]);
        let sum: f64 = tables.iter().filter_map(|table| table["CapacityUnits"].as_f64()).sum();
        let mut units = self.units.lock().expect("nothing panics while it holds the lock");
        let is_read = ["GetItem", "Query"].iter().any(|read| operation.ends_with(read));
        *if is_read { &mut units.reads } else { &mut units.writes } += sum;
    }
}

const JSON: &str = "application/x-amz-json-1.0";
/// Any signature will do for an emulator.
const AUTH: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/dynamodb/aws4_request, \
                    SignedHeaders=host, Signature=0";

/// The operation and the body of the next request.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut operation, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => value.trim().clone_into(&mut operation),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((operation, body))
}

/// The real adapters, what the model counts of them, and what DynamoDB reports.
#[derive(Debug)]
struct Scales {
    ports: Ports,
    ledger: Arc<Ledger>,
    door: Door,
}

impl Scales {
    async fn new() -> Self {
        let (door, endpoint) = Door::open(servers::dynamo()).await;
        let dynamo = clients(endpoint);
        let objects = S3Objects::new(&clients(servers::s3_in_memory()));
        let ports = Ports {
            wal: Arc::new(DynamoWal::with_objects(&dynamo, objects)),
            objects: Arc::new(MemoryObjectStore::default()),
            state: Arc::new(DynamoState::new(&dynamo)),
            topic: Arc::new(MemoryTopic::default()),
            messenger: Arc::new(MemoryMessenger::default()),
        };
        let ledger = Arc::new(Ledger::new("test", "1"));
        Self { ports: metered(ports, &ledger), ledger, door }
    }

    /// Makes a call and weighs it on both scales.
    async fn check<T>(&self, name: &str, call: impl Future<Output = PortResult<T>>) {
        let (before, modelled) = (self.door.units(), self.ledger.usage());
        call.await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let (after, modelled) = (self.door.units(), self.ledger.usage().since(&modelled));
        let reported = Units { reads: after.reads - before.reads, writes: after.writes - before.writes };
        let amount = |item| modelled.amount(item) as f64;
        let modelled = Units { reads: amount(Item::TableRead), writes: amount(Item::TableWrite) };
        assert_eq!(modelled, reported, "{name}");
    }
}

#[tokio::test]
async fn rows_cost_what_dynamodb_reports() {
    let scales = Scales::new().await;
    let state = scales.ports.state.as_ref();
    let key = |sort: &str| RowKey::new("p#1", sort);
    let put = |sort: &str, bytes: usize| RowWrite::put(key(sort), Expect::Any, vec![7; bytes]);
    // Keys, names and numbers of a row take 34 bytes, so that these stand on both sides of each border.
    for bytes in [0, 1, 900, 1000, 1010, 1100, 2040, 4050, 4070, 8100, 9000, 100_000] {
        let sort = format!("{bytes:06}");
        scales.check(&format!("put {bytes}"), state.write(vec![put(&sort, bytes)], NOW)).await;
        scales.check(&format!("get {bytes}"), state.get(&key(&sort), NOW)).await;
    }
    scales.check("get nothing", state.get(&key("none"), NOW)).await;
    scales.check("a page", state.range(&RowRange::all("p#1"), NOW)).await;
    scales.check("an empty page", state.range(&RowRange::all("p#2"), NOW)).await;
    scales.check("replaced by less", state.write(vec![put("009000", 5)], NOW)).await;
    scales.check("replaced by more", state.write(vec![put("000001", 3000)], NOW)).await;
    let three = vec![put("a", 10), put("b", 2000), RowWrite::put(key("c"), Expect::Absent, vec![7; 5000])];
    scales.check("three rows", state.write(three, NOW)).await;
    scales.check("one away", state.write(vec![RowWrite::delete(key("b"), Expect::Any)], NOW)).await;
    let expiring = put("d", 980).expiring(NOW + std::time::Duration::from_millis(1));
    scales.check("expiring", state.write(vec![expiring], NOW)).await;
    let many = (0..60).map(|sort| (key(&format!("m{sort:02}")), Bytes::from(vec![7; sort * 50]), None)).collect();
    scales.check("many", state.put_many(many, NOW)).await;
}

#[tokio::test]
async fn the_log_costs_what_dynamodb_reports() {
    let scales = Scales::new().await;
    let (wal, tenant, shard) = (scales.ports.wal.as_ref(), TenantId::default_tenant(), Shard::default());
    let minute = NOW.minute();
    for (index, bytes) in [10, 970, 1000, 4700, 8192, 8193, 60_000].into_iter().enumerate() {
        let at = minute + i64::try_from(index).expect("a few") / 3;
        let append = wal.append(shard, at, &tenant, Bytes::from(vec![7; bytes]));
        scales.check(&format!("append {bytes}"), append).await;
    }
    scales.check("the newest minutes", wal.read(shard, minute - 2..minute + 4)).await;
    scales.check("all", wal.read(shard, minute - 4320..minute + 4)).await;
    scales.check("none", wal.read(shard, minute..minute)).await;
}

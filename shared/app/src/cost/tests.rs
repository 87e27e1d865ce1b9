//! Ledgers that count, store and add up.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use model::{Limits, TenantId};

use super::*;
use crate::access::{Access, SessionKey};
use crate::config::Config;
use crate::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use crate::ports::{Address, ByteRange, Content, Delivery, Expect, Message, RowKey, RowRange, RowWrite, Secret, Shard};
use crate::{Ports, Settings, Stopwatch};

/// 2026-11-22 00:00:00 UTC.
const NOW: Timestamp = Timestamp::from_secs(1_795_305_600);

fn memory() -> Ports {
    Ports {
        wal: Arc::new(MemoryWal::default()),
        objects: Arc::new(MemoryObjectStore::default()),
        state: Arc::new(MemoryStateStore::default()),
        topic: Arc::new(MemoryTopic::default()),
        messenger: Arc::new(MemoryMessenger::default()),
    }
}

fn process(ports: &Ports, function: &str) -> (App, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::new(function, "1"));
    let access = (Access::Open, SessionKey::new([7; 32]));
    let ports = metered(ports.clone(), &ledger);
    let config = Config::parse::<&str, &str>(&[]).unwrap();
    (App::new(ports, Settings::default(), Limits::default(), Stopwatch::stopped(), config, access), ledger)
}

/// What one call counts.
async fn check<T>(name: &str, expected: &[(Item, u64)], ledger: &Ledger, call: impl Future<Output = PortResult<T>>) {
    let before = ledger.usage();
    drop(call.await);
    let used = ledger.usage().since(&before);
    let kept = [Item::TableByteHours, Item::ObjectByteHours];
    let counted: Vec<(Item, u64)> = used.amounts().filter(|(item, _)| !kept.contains(item)).collect();
    assert_eq!(counted, expected, "{name}");
}

#[tokio::test]
async fn calls_become_the_units_that_are_billed() {
    use Item::{ObjectGet, ObjectPut, QueueRequest, TableRead, TableWrite, TopicPublish};
    let (app, ledger) = process(&memory(), "test");
    let Ports { wal, objects, state, topic, .. } = &app.ports;
    let (tenant, shard) = (TenantId::default_tenant(), Shard::default());
    let ledger = ledger.as_ref();
    let key = |sort: &str| RowKey::new("p", sort);
    let put = |sort: &str, bytes: usize| RowWrite::put(key(sort), Expect::Any, vec![7; bytes]);

    check("get nothing", &[(TableRead, 1)], ledger, state.get(&key("a"), NOW)).await;
    check("one row", &[(TableWrite, 3)], ledger, state.write(vec![put("a", 2048)], NOW)).await;
    check("get it", &[(TableRead, 1)], ledger, state.get(&key("a"), NOW)).await;
    check("two rows", &[(TableWrite, 12)], ledger, state.write(vec![put("a", 10), put("b", 2048)], NOW)).await;
    check("smaller", &[(TableWrite, 3)], ledger, state.write(vec![put("b", 1)], NOW)).await;
    check("small again", &[(TableWrite, 1)], ledger, state.write(vec![put("b", 1)], NOW)).await;
    let conflict = RowWrite::put(key("b"), Expect::Absent, vec![0; 5000]);
    check("a conflict", &[(TableWrite, 5)], ledger, state.write(vec![conflict], NOW)).await;
    let many = (0..30).map(|sort| (key(&format!("m{sort}")), Bytes::from(vec![1; 500]), None)).collect();
    check("many", &[(TableWrite, 30)], ledger, state.put_many(many, NOW)).await;
    check("a range", &[(TableRead, 4)], ledger, state.range(&RowRange::all("p"), NOW)).await;
    let deletes = vec![RowWrite::delete(key("m1"), Expect::Any), RowWrite::delete(key("m2"), Expect::Any)];
    check("deletes", &[(TableWrite, 4)], ledger, state.write(deletes, NOW)).await;

    let append = |minute, bytes: usize| wal.append(shard, minute, &tenant, Bytes::from(vec![7; bytes]));
    check("first of a minute", &[(TableWrite, 6)], ledger, append(100, 4700)).await;
    check("another", &[(TableWrite, 5)], ledger, append(100, 4701)).await;
    check("a large one", &[(TableWrite, 1), (ObjectPut, 1)], ledger, append(100, 8193)).await;
    let narrow = [(TableRead, 3 + 9), (ObjectGet, 1)];
    check("ten minutes", &narrow, ledger, wal.read(shard, 95..105)).await;
    let wide = [(TableRead, 3 + 1), (ObjectGet, 1)];
    check("many minutes", &wide, ledger, wal.read(shard, 0..4320)).await;

    check("object", &[(ObjectPut, 1)], ledger, objects.put_new("raw/a", Bytes::from_static(b"x"))).await;
    check("its end", &[(ObjectGet, 1)], ledger, objects.get("raw/a", ByteRange::Suffix(1))).await;
    check("objects", &[(ObjectPut, 1)], ledger, objects.list("raw/", None)).await;
    check("away", &[], ledger, objects.delete("raw/a")).await;

    let message = |bytes: usize| Message { id: String::new(), body: Bytes::from(vec![7; bytes]) };
    let sent = [(TopicPublish, 1), (QueueRequest, 6)];
    check("messages", &sent, ledger, topic.publish(vec![message(30_000), message(30_000)])).await;
    let sent = [(TopicPublish, 4 + 4), (QueueRequest, 9 + 9)];
    check("large messages", &sent, ledger, topic.publish(vec![message(250_000), message(250_000)])).await;
    let sent = [(TopicPublish, 2), (QueueRequest, 33)];
    check("eleven", &sent, ledger, topic.publish((0..11).map(|_| message(1)).collect())).await;
}

#[tokio::test]
async fn people_are_counted_one_by_one() {
    let (app, ledger) = process(&memory(), "test");
    let text = Content::Text { subject: None, text: "down".to_owned() };
    let mail = Content::Email {
        subject: String::new(),
        text: String::new(),
        html: String::new(),
        headers: BTreeMap::new(),
        thread: None,
    };
    let two = vec!["a".to_owned(), "b".to_owned()];
    let url = Secret::Inline("https://example.org".to_owned());
    let cases = [
        (Address::Email { from: "c".to_owned(), to: two.clone(), server: None }, mail, &[(Item::Mail, 2)][..]),
        (Address::Sms { numbers: two }, text.clone(), &[(Item::Sms, 2)]),
        (Address::Topic { arn: "arn".to_owned(), attributes: BTreeMap::new() }, text, &[(Item::TopicPublish, 1)]),
        (Address::Webhook { url, headers: Vec::new(), connection: None }, Content::Json("{}".to_owned()), &[]),
    ];
    for (address, content, expected) in cases {
        let delivery = Delivery { idempotency_key: "key".to_owned(), address, content, time: NOW };
        check("delivery", expected, &ledger, app.ports.messenger.deliver(&delivery)).await;
    }
}

#[test]
fn invocations_are_billed_by_their_door_and_by_started_milliseconds() {
    let check = |door, duration, expected: &[(Item, u64)]| {
        let ledger = Ledger::new("test", "1");
        ledger.invocation(door, duration, 512);
        assert_eq!(ledger.usage().amounts().collect::<Vec<_>>(), expected, "{door:?}");
    };
    use Item::{BytesOut, FunctionMemoryTime, FunctionRequest, HttpRequest, Schedule};
    let http = |received_bytes, sent_bytes| Door::HttpApi { received_bytes, sent_bytes };
    let function = [(FunctionRequest, 1), (FunctionMemoryTime, 2 * 512)];
    let with = |others: &[(Item, u64)]| [&function[..], others].concat();
    let two = Duration::from_micros(1001);
    check(Door::Direct, two, &function);
    check(Door::Queue, two, &function);
    check(Door::Schedule, two, &with(&[(Schedule, 1)]));
    check(Door::FunctionUrl { sent_bytes: 9 }, two, &with(&[(BytesOut, 9)]));
    check(http(40_000, 0), two, &with(&[(HttpRequest, 1)]));
    check(http(0, (512 << 10) + 1), two, &with(&[(HttpRequest, 2), (BytesOut, (512 << 10) + 1)]));
    check(Door::Direct, Duration::ZERO, &[(FunctionRequest, 1), (FunctionMemoryTime, 512)]);
}

#[tokio::test]
async fn what_is_kept_is_charged_when_it_is_written() {
    let (app, ledger) = process(&memory(), "test");
    let object = |key: &'static str| app.ports.objects.put_new(key, Bytes::from(vec![7; 1000]));
    for (key, hours) in [("raw/tenant=a/chunk/1", 3), ("raw/tenant=a/hour/1", 9 * 24), ("reports/a", 366 * 24)] {
        let before = ledger.usage();
        object(key).await.unwrap();
        assert_eq!(ledger.usage().since(&before).amount(Item::ObjectByteHours), 1000 * hours, "{key}");
    }
    let row = RowWrite::put(RowKey::new("h#a#1", "1"), Expect::Any, vec![7; 66]);
    app.ports.state.write(vec![row.expiring(NOW + Duration::from_secs(7200))], NOW).await.unwrap();
    assert_eq!(ledger.usage().amount(Item::TableByteHours), 2 * (4 + 5 + 1 + 66 + 9 + 7 + 100));
}

#[tokio::test]
async fn all_processes_of_a_month_add_up() {
    let ports = memory();
    let prices = Prices::us_east_1();
    let (ingest, ingest_ledger) = process(&ports, "ingest");
    let (query, query_ledger) = process(&ports, "query");
    let hour = Duration::from_secs(3600);
    assert_eq!(report(&query, &prices, NOW).await.unwrap().forecast, None);
    for (app, ledger) in [(&ingest, &ingest_ledger), (&query, &query_ledger)] {
        ledger.flush(app, NOW).await.unwrap();
        ledger.add(Item::ObjectPut, 400_000);
        app.metrics.accepted(3_000_000, 0);
        ledger.flush(app, NOW + hour).await.unwrap();
    }
    let found = report(&query, &prices, NOW + hour).await.unwrap();
    let standing = 4.0 * 0.10 / 730.0 + 900.0 * 0.40e-6;
    let flushes = 4.0 * 0.625e-6;
    let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-3, "{found}, not {expected}");
    near(found.month_to_date, 4.0 + standing + flushes);
    near(found.per_million_samples.unwrap(), 4.0 / 6.0);
    near(found.thirty_days.unwrap(), 720.0 * (4.0 + standing + flushes));
    // The 22nd from 01:00 to the end of the 30th.
    near(found.forecast.unwrap(), (1.0 + 23.0 + 8.0 * 24.0) * (4.0 + standing + flushes));
    assert_eq!((found.samples, found.month.as_str()), (6_000_000, "2026-11"));
    assert_eq!(found.lines[0].item, Item::ObjectPut);
    let names: Vec<&str> = found.functions.iter().map(|cost| cost.function.as_str()).collect();
    assert_eq!(names, ["query", "ingest", "standing"], "query has read a report");
}

#[tokio::test]
async fn usage_is_stored_at_once_then_rarely_and_by_day() {
    let ports = memory();
    let (app, ledger) = process(&ports, "ingest");
    let row = |day: i8| {
        let state = Arc::clone(&ports.state);
        async move {
            let stored = rows::of_month(state.as_ref(), rows::day_of(NOW), NOW).await.unwrap();
            stored.iter().find(|row| row.day == day).map(|row| row.process.usage.amount(Item::Mail))
        }
    };
    let minutes = |minutes: u64| NOW + Duration::from_secs(minutes * 60);
    for (at, expected) in [(0, 1), (1, 1), (14, 1), (15, 4), (16, 4), (31, 6)] {
        ledger.add(Item::Mail, 1);
        ledger.flush(&app, minutes(at)).await.unwrap();
        assert_eq!(row(22).await, Some(expected), "minute {at}");
    }
    ledger.add(Item::Mail, 10);
    ledger.flush(&app, minutes(1441)).await.unwrap();
    assert_eq!((row(22).await, row(23).await), (Some(16), None), "what came since the last flush is of that day");
    ledger.add(Item::Mail, 1);
    ledger.flush(&app, minutes(1456)).await.unwrap();
    assert_eq!((row(22).await, row(23).await), (Some(16), Some(1)));
    assert_eq!(ledger.usage().amount(Item::Mail), 17);
}

#[tokio::test]
async fn the_report_is_for_whoever_administers_the_deployment() {
    let (app, ledger) = process(&memory(), "query");
    ledger.flush(&app, NOW).await.unwrap();
    let get = async |tenant: &str| {
        let request =
            http::Request::get("/api/mihari/v1/cost").header("host", "127.0.0.1").header("x-scope-orgid", tenant);
        crate::http::handle(&app, request.body(Bytes::new()).unwrap(), [0; 32], NOW + Duration::from_secs(60)).await
    };
    let reply = get("default").await;
    assert_eq!(reply.status(), 200);
    let report: Report = serde_json::from_slice(reply.body()).unwrap();
    assert_eq!((report.region.as_str(), report.since_ms), ("us-east-1", Some(NOW.as_millis())));
    assert_eq!(get("other").await.status(), 403);
    let reads = ledger.usage().amount(Item::TableRead);
    get("default").await;
    assert_eq!(ledger.usage().amount(Item::TableRead), reads, "a minute's report is read once");
}

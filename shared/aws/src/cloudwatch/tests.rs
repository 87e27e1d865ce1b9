use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use app::access::{Access, SessionKey};
use app::collect::run;
use app::config::Config;
use app::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use app::ports::{Shard, Wal as _};
use app::{App, Ports, Settings, Stopwatch};
use aws_smithy_async::time::StaticTimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;
use ciborium::Value;
use model::Limits;

use super::*;
use crate::client::{AwsSettings, Credentials, SharedTimeSource};

/// 2026-11-22 00:00 UTC.
const START: Timestamp = Timestamp::from_secs(1_795_305_600);
const MINUTE: Duration = Duration::from_secs(60);

/// What CloudWatch was asked: host, operation, content.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    host: String,
    operation: String,
    content: Value,
}

/// What an answer is made by: a status and the content.
type Answering = dyn Fn(&Asked) -> (u16, Value) + Send + Sync;

/// CloudWatch behind its protocol (Smithy RPC v2, CBOR): a function answers, by status and content.
#[derive(Clone)]
struct Server {
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Answering>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    fn new(answer: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static) -> Self {
        Self { asked: Arc::default(), answer: Arc::new(answer) }
    }

    fn reader(&self) -> CloudWatchReader {
        let settings = AwsSettings {
            region: "ap-northeast-1".to_owned(),
            endpoint: None,
            credentials: Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"),
            table: "table".to_owned(),
            bucket: "bucket".to_owned(),
            clock: SharedTimeSource::new(StaticTimeSource::new(UNIX_EPOCH + Duration::from_secs(1_795_305_600))),
        };
        let clients = Clients::with_http_client(settings, SharedHttpClient::new(self.clone()));
        CloudWatchReader::new(&clients, Some("111111111111".to_owned()))
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl HttpClient for Server {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Server {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let path = request.uri().split_once("://").unwrap().1;
        let (host, path) = path.split_once('/').unwrap();
        let content = ciborium::from_reader(request.body().bytes().unwrap()).unwrap();
        let operation = path.rsplit('/').next().unwrap().to_owned();
        let asked = Asked { host: host.to_owned(), operation, content };
        let (status, content) = (self.answer)(&asked);
        self.asked.lock().unwrap().push(asked);
        let mut body = Vec::new();
        ciborium::into_writer(&content, &mut body).unwrap();
        let mut response = Response::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
        response.headers_mut().insert("smithy-protocol", "rpc-v2-cbor");
        response.headers_mut().insert("content-type", "application/cbor");
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.into_iter().map(|(name, value)| (text(name), value)).collect())
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().collect())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A time as the protocol has it: tag 1, seconds.
fn time(time: Timestamp) -> Value {
    Value::Tag(1, Box::new(Value::Float(time.as_secs_f64())))
}

fn dimension(name: &str, value: &str) -> Value {
    map([("Name", text(name)), ("Value", text(value))])
}

fn cpu(instance: &str) -> Value {
    let dimensions = list([dimension("InstanceId", instance)]);
    map([("Namespace", text("AWS/EC2")), ("MetricName", text("CPUUtilization")), ("Dimensions", dimensions)])
}

fn metric_of(instance: &str, account: Option<&str>) -> Metric {
    Metric {
        namespace: "AWS/EC2".to_owned(),
        name: "CPUUtilization".to_owned(),
        dimensions: vec![("InstanceId".to_owned(), instance.to_owned())],
        account: account.map(str::to_owned),
    }
}

/// A field of a map; maps have no order.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let pairs = value.as_map().expect("a map");
    pairs.iter().find(|(found, _)| found.as_text() == Some(name)).map(|(_, value)| value)
}

/// The fields of a map, sorted: encoders may choose the order and the size of numbers.
fn sorted(value: &Value) -> Value {
    if let Value::Map(pairs) = value {
        let mut pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
        pairs.sort_by(|one, two| one.0.as_text().cmp(&two.0.as_text()));
        return Value::Map(pairs);
    }
    if let Value::Array(values) = value {
        return list(values.iter().map(sorted));
    }
    if let Value::Tag(tag, value) = value {
        return Value::Tag(*tag, Box::new(sorted(value)));
    }
    let integer = value.as_integer().and_then(|number| i32::try_from(number).ok());
    integer.map_or_else(|| value.clone(), |number| Value::Float(f64::from(number)))
}

const LISTING: Listing<'_> =
    Listing { namespace: "AWS/EC2", name: None, dimensions: &[], recently_active: false, linked_accounts: false };

#[tokio::test]
async fn metrics_are_listed_page_by_page_with_their_owners() {
    let server = Server::new(|asked| {
        let metrics = list([cpu("i-1"), cpu("i-2")]);
        let owners = list([text("111111111111"), text("222222222222")]);
        match field(&asked.content, "NextToken") {
            None => (200, map([("Metrics", metrics), ("OwningAccounts", owners), ("NextToken", text("two"))])),
            Some(_) => (200, map([("Metrics", list([]))])),
        }
    });
    let reader = server.reader();
    let page = reader.list("ap-northeast-1", &LISTING, None).await.unwrap();
    let expected = vec![metric_of("i-1", None), metric_of("i-2", Some("222222222222"))];
    assert_eq!(page, MetricPage { metrics: expected, cursor: Some("two".to_owned()) });
    let narrow = Listing {
        name: Some("CPUUtilization"),
        dimensions: &["A", "B"],
        recently_active: true,
        linked_accounts: true,
        ..LISTING
    };
    assert_eq!(reader.list("us-east-1", &narrow, Some("two")).await.unwrap(), MetricPage::default());
    let asked = server.asked();
    assert_eq!(sorted(&asked[0].content), map([("Namespace", text("AWS/EC2"))]));
    let filters = list([map([("Name", text("A"))]), map([("Name", text("B"))])]);
    let expected = map([
        ("Dimensions", filters),
        ("IncludeLinkedAccounts", Value::Bool(true)),
        ("MetricName", text("CPUUtilization")),
        ("Namespace", text("AWS/EC2")),
        ("NextToken", text("two")),
        ("RecentlyActive", text("PT3H")),
    ]);
    assert_eq!(sorted(&asked[1].content), expected);
    let hosts: Vec<&str> = asked.iter().map(|asked| asked.host.as_str()).collect();
    assert_eq!(hosts, ["monitoring.ap-northeast-1.amazonaws.com", "monitoring.us-east-1.amazonaws.com"]);
    assert_eq!(asked[0].operation, "ListMetrics");
}

#[tokio::test]
async fn questions_are_asked_and_answers_find_their_question() {
    let server = Server::new(|_| {
        let result = |id: &str, status: &str, points: &[(u32, f64)]| {
            map([
                ("Id", text(id)),
                ("StatusCode", text(status)),
                ("Timestamps", list(points.iter().map(|(minute, _)| time(START + *minute * MINUTE)))),
                ("Values", list(points.iter().map(|(_, value)| Value::Float(*value)))),
            ])
        };
        let mut forbidden = result("q2", "Forbidden", &[]);
        let Value::Map(pairs) = &mut forbidden else { panic!("a map") };
        pairs.push((text("Messages"), list([map([("Code", text("ArchiveAccessDenied"))])])));
        let results = list([
            forbidden,
            result("q1", "PartialData", &[(0, 1.5), (5, 2.5)]),
            result("q0", "Complete", &[]),
            result("q9", "Complete", &[(0, 1.0)]),
            result("m1", "Complete", &[(0, 1.0)]),
        ]);
        (200, map([("MetricDataResults", results), ("NextToken", text("more"))]))
    });
    let (own, other) = (metric_of("i-1", None), metric_of("i-2", Some("222222222222")));
    let period = 5 * MINUTE;
    let queries = [
        Query { metric: &own, statistic: "Average", period },
        Query { metric: &own, statistic: "p99", period },
        Query { metric: &other, statistic: "Sum", period },
    ];
    let range = (START, START + 10 * MINUTE);
    let page = server.reader().metric_data("us-east-1", &queries, range, Some("token")).await.unwrap();
    let points = vec![(START, 1.5), (START + 5 * MINUTE, 2.5)];
    let failed = Answered::Failed("Forbidden ArchiveAccessDenied".to_owned());
    let expected = vec![
        Answer { query: 2, answered: failed, points: Vec::new() },
        Answer { query: 1, answered: Answered::Partly, points },
        Answer { query: 0, answered: Answered::Complete, points: Vec::new() },
    ];
    assert_eq!(page, DataPage { answers: expected, cursor: Some("more".to_owned()) });
    let asked = &server.asked()[0];
    assert_eq!(
        (asked.host.as_str(), asked.operation.as_str()),
        ("monitoring.us-east-1.amazonaws.com", "GetMetricData")
    );
    let question = |id: &str, instance: &str, stat: &str| {
        let stat = map([("Metric", sorted(&cpu(instance))), ("Period", Value::Float(300.0)), ("Stat", text(stat))]);
        map([("Id", text(id)), ("MetricStat", stat), ("ReturnData", Value::Bool(true))])
    };
    let mut of_other = question("q2", "i-2", "Sum");
    let Value::Map(pairs) = &mut of_other else { panic!("a map") };
    pairs.insert(0, (text("AccountId"), text("222222222222")));
    let expected = map([
        ("EndTime", time(range.1)),
        ("MaxDatapoints", Value::Float(100_800.0)),
        ("MetricDataQueries", list([question("q0", "i-1", "Average"), question("q1", "i-1", "p99"), of_other])),
        ("NextToken", text("token")),
        ("ScanBy", text("TimestampAscending")),
        ("StartTime", time(range.0)),
    ]);
    assert_eq!(sorted(&asked.content), expected);
}

#[tokio::test]
async fn what_aws_would_refuse_is_not_sent() {
    let server = Server::new(|_| (200, map([])));
    let reader = server.reader();
    let metric = metric_of("i-1", None);
    let query = Query { metric: &metric, statistic: "Sum", period: MINUTE };
    let odd = Query { period: Duration::from_secs(30), ..query };
    let (hour, nothing) = ((START, START + 60 * MINUTE), (START, START));
    let cases = [
        (vec![query; 501], hour, "501 questions, not 1 to 500"),
        (Vec::new(), hour, "0 questions, not 1 to 500"),
        (vec![query], nothing, "no time between"),
        (vec![query, odd], hour, "a period of 30s is not whole minutes"),
    ];
    for (queries, range, expected) in cases {
        let error = reader.metric_data("us-east-1", &queries, range, None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = reader.list("us-east-1", &Listing { dimensions: &["A"; 11], ..LISTING }, None).await.unwrap_err();
    assert_eq!(error.to_string(), "cloudwatch list: more than 10 dimensions");
    assert_eq!(server.asked(), []);
    assert_eq!(reader.metric_data("us-east-1", &vec![query; 500], hour, None).await.unwrap(), DataPage::default());
}

#[tokio::test]
async fn failures_say_whether_to_try_again() {
    let cases = [
        (400, "Throttling", ErrorKind::Throttled, 5),
        (400, "ThrottlingException", ErrorKind::Throttled, 5),
        (500, "InternalServiceFault", ErrorKind::Unavailable, 5),
        (503, "ServiceUnavailable", ErrorKind::Unavailable, 5),
        (403, "AccessDenied", ErrorKind::Unavailable, 1),
        (400, "InvalidParameterValue", ErrorKind::Invalid, 1),
        (400, "InvalidNextToken", ErrorKind::Invalid, 1),
    ];
    for (status, code, expected, calls) in cases {
        let server = Server::new(move |_| {
            let code = format!("com.amazonaws.cloudwatch#{code}");
            (status, map([("__type", text(&code)), ("message", text("arn:aws:iam::111111111111:role/secret"))]))
        });
        let error = server.reader().list("us-east-1", &LISTING, None).await.unwrap_err();
        assert_eq!((error.kind(), server.asked().len()), (expected, calls), "{code}");
        assert_eq!(error.to_string(), format!("cloudwatch list: AWS answers {code} (HTTP {status})"));
    }
}

#[tokio::test]
async fn a_call_that_was_throttled_succeeds_when_tried_again() {
    let calls = Mutex::new(0);
    let server = Server::new(move |_| {
        *calls.lock().unwrap() += 1;
        match *calls.lock().unwrap() {
            1 => (400, map([("__type", text("com.amazonaws.cloudwatch#Throttling"))])),
            _ => (200, map([("Metrics", list([cpu("i-1")]))])),
        }
    });
    let page = server.reader().list("us-east-1", &LISTING, None).await.unwrap();
    assert_eq!(page.metrics, [metric_of("i-1", None)]);
}

/// The whole flow over the protocol: what CloudWatch answers lies in the log.
#[tokio::test]
async fn the_flow_reads_over_the_wire() {
    let server = Server::new(|asked| {
        if asked.operation == "ListMetrics" {
            return (200, map([("Metrics", list([cpu("i-1"), cpu("i-2")]))]));
        }
        let questions = field(&asked.content, "MetricDataQueries").and_then(Value::as_array).unwrap();
        let results = questions.iter().map(|question| {
            map([
                ("Id", field(question, "Id").unwrap().clone()),
                ("StatusCode", text("Complete")),
                ("Timestamps", list([time(START), time(START + 5 * MINUTE)])),
                ("Values", list([Value::Float(1.0), Value::Float(2.0)])),
            ])
        });
        (200, map([("MetricDataResults", list(results))]))
    });
    let wal = Arc::new(MemoryWal::default());
    let ports = Ports {
        wal: wal.clone(),
        objects: Arc::new(MemoryObjectStore::default()),
        state: Arc::new(MemoryStateStore::default()),
        topic: Arc::new(MemoryTopic::default()),
        messenger: Arc::new(MemoryMessenger::default()),
    };
    let yaml = "namespaces: [{ namespace: AWS/EC2, metrics: [CPUUtilization], statistics: [Average, Maximum] }]";
    let config = Config::parse(&[("cloudwatch.yml", yaml)]).unwrap();
    let session = (Access::Open, SessionKey::new([7; 32]));
    let app = App::new(ports, Settings::default(), Limits::default(), Stopwatch::stopped(), config, session);
    let now = START + 20 * MINUTE;
    let collected = run(&app, &server.reader(), now).await.unwrap();
    assert_eq!((collected.questions, collected.pages, collected.samples), (4, 1, 4 * 2 + 3));
    let entries = wal.read(Shard::default(), now.minute()..now.minute() + 1).await.unwrap().entries;
    assert_eq!(entries.len(), 1, "one append a unit");
    run(&app, &server.reader(), now).await.unwrap();
    assert_eq!(server.asked().len(), 2, "the second trigger of a minute asks nothing");
}

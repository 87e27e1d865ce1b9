use app::cost::{Door, Item};
use app::faults::{Fault, FaultPlan, Faulty};
use app::memory::{MemoryMessenger, MemoryObjectStore, MemoryStateStore, MemoryTopic, MemoryWal};
use app::ports::StateStore;
use model::ErrorKind;
use serde_json::json;
use std::collections::BTreeMap;

use super::*;

type Handler = fn(Arc<App>, Invocation) -> futures::future::BoxFuture<'static, Result<Outcome, FunctionError>>;

fn environment() -> Environment {
    let variables = BTreeMap::from([
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_REGION", "ap-northeast-1"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("MIHARI_TABLE", "table"),
        ("MIHARI_BUCKET", "bucket"),
        ("MIHARI_EXTERNAL_URL", "https://m.example.com"),
    ]);
    let get = |name: &str| variables.get(name).map(|&value| value.to_owned());
    Environment::read(&get, SharedTimeSource::new(SystemTimeSource::new())).unwrap()
}

fn ports() -> Ports {
    Ports {
        wal: Arc::new(MemoryWal::default()),
        objects: Arc::new(MemoryObjectStore::default()),
        state: Arc::new(MemoryStateStore::default()),
        topic: Arc::new(MemoryTopic::default()),
        messenger: Arc::new(MemoryMessenger::default()),
    }
}

fn function(needs: Needs, ports: Ports, handler: Handler) -> Function<Handler> {
    let environment = environment();
    let clients = Clients::new(environment.aws.clone());
    Function::new("test", needs, Host { environment, clients, stopwatch: stopwatch() }, ports, handler)
}

fn event(value: &serde_json::Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

fn obedient(
    app: Arc<App>,
    invocation: Invocation,
) -> futures::future::BoxFuture<'static, Result<Outcome, FunctionError>> {
    Box::pin(async move {
        assert_eq!(app.access(), Access::Tokens);
        if invocation.event.get() == "\"panic\"" {
            panic!("the index is {}", invocation.event.get().len());
        }
        if invocation.event.get() == "\"fail\"" {
            return Err(FunctionError::Behind { minutes: 11 });
        }
        Ok(Outcome { answer: invocation.event, door: Door::Schedule, billed: vec![(Item::CloudwatchMetric, 2)] })
    })
}

#[tokio::test]
async fn a_panic_and_a_failure_end_one_invocation_each() {
    let function = function(Needs::ALL, ports(), obedient);
    function.warm_up().await;
    let failed = function.invoke(event(&json!("panic"))).await.unwrap_err();
    assert_eq!(
        (failed.error_type.as_str(), failed.error_message.as_str()),
        ("Panicked", "the handler panicked: the index is 7")
    );
    let failed = function.invoke(event(&json!("fail"))).await.unwrap_err();
    assert_eq!(failed.error_type, "WatermarkBehind");
    assert!(failed.error_message.contains("11 minutes behind"), "{failed:?}");
    let answer = function.invoke(event(&json!({"a": 1}))).await.unwrap();
    assert_eq!(answer.get(), "{\"a\":1}");
}

#[tokio::test]
async fn invocations_stand_in_the_ledger() {
    let function = function(Needs::NOTHING, ports(), obedient);
    for _ in 0..3 {
        function.invoke(event(&json!(1))).await.unwrap();
    }
    let usage = function.ledger.usage();
    assert_eq!(usage.amount(Item::FunctionRequest), 3);
    assert_eq!(usage.amount(Item::Schedule), 3);
    assert_eq!(usage.amount(Item::CloudwatchMetric), 6);
    assert!(usage.amount(Item::FunctionMemoryTime) >= 3 * 512);
    assert!(usage.amount(Item::TableWrite) >= 1, "the usage itself is stored");
}

#[tokio::test]
async fn a_start_without_a_table_is_made_up_for() {
    let refused = Fault::ErrorBefore(ErrorKind::Unavailable);
    let plan = FaultPlan::script((0..3).map(|call| ("state get", call, refused)));
    let inner: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let state: Arc<dyn StateStore> = Arc::new(Faulty::new(inner, plan));
    let function = function(Needs::ALL, Ports { state, ..ports() }, obedient);
    function.warm_up().await;
    for _ in 1..3 {
        let failed = function.invoke(event(&json!(1))).await.unwrap_err();
        assert_eq!(failed.error_type, "FlowFailed");
    }
    assert_eq!(function.invoke(event(&json!(1))).await.unwrap().get(), "1");
}

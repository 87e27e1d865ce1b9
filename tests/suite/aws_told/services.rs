//! SNS, SES, the Parameter Store, a webhook and Slack's place for files on one port, as far as our adapters use them. What AWS documents as a
//! limit is refused here, and every third message of a batch is left out the first time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use app::ports::Message;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_128;

/// The one topic.
pub(super) const TOPIC: &str = "arn:aws:sns:ap-northeast-1:123456789012:mihari-alerts";

/// The queue behind it.
pub(super) const QUEUE: &str = "https://sqs.ap-northeast-1.amazonaws.com/123456789012/mihari-alerts";

/// Most bytes of a batch or a message with its attributes.
const BATCH_BYTES_MAX: usize = 262_144;

/// A mail as SES took it.
#[derive(Clone, Debug)]
pub(super) struct SentMail {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) raw: String,
}

/// A text as SNS took it, for a telephone or a topic.
#[derive(Clone, Debug)]
pub(super) struct SentText {
    pub(super) to: String,
    pub(super) subject: Option<String>,
    pub(super) text: String,
    pub(super) attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Book {
    /// Records of the queue behind the topic, as a function gets them.
    queue: Vec<Value>,
    left_out_once: BTreeSet<String>,
    entries: usize,
    refuses_entries: bool,
    hook_is_closed: bool,
    posted: BTreeSet<String>,
    mails: Vec<SentMail>,
    texts: Vec<SentText>,
    parameters: BTreeMap<String, String>,
    calls: Vec<String>,
    /// The delays of what was put into the queue itself, in seconds.
    delays: Vec<u64>,
    /// The queue does not answer so many times.
    queue_is_out: usize,
    /// What CloudWatch says was spent on text messages this month, in dollars.
    spent: f64,
}

/// The services, as long as the test runs.
#[derive(Clone, Debug)]
pub(super) struct Services {
    /// Where they listen.
    pub(super) endpoint: String,
    book: Arc<Mutex<Book>>,
}

impl Services {
    pub(super) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound address"));
        let services = Self { endpoint, book: Arc::default() };
        let router = Router::new().fallback(answer).with_state(services.clone());
        let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
        tokio::spawn(async move { axum::serve(listener, router).await });
        services
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nothing panics while it holds the lock")
    }

    /// Takes the messages that wait in the queue, read as the function reads them.
    pub(super) fn queued_messages(&self) -> Vec<Message> {
        let records = std::mem::take(&mut self.book().queue);
        let event = serde_json::value::to_raw_value(&json!({ "Records": records })).expect("JSON");
        let batch = aws::queue::decode(&event).expect("an event of the queue");
        assert!(batch.unreadable().is_empty(), "{batch:?}");
        batch.messages
    }

    /// The keys that destinations have received, among those that the contract uses.
    pub(super) fn idempotency_keys(&self) -> BTreeSet<String> {
        let book = self.book();
        let is_mailed = |key: &str| {
            let id = format!("{:032x}", xxh3_128(key.as_bytes()));
            book.mails.iter().any(|mail| mail.raw.contains(&format!("Message-ID: <{id}@")))
        };
        let mailed = (0..10).map(|number| format!("key-{number}")).filter(|key| is_mailed(key));
        book.posted.iter().cloned().chain(mailed).collect()
    }

    pub(super) fn mails(&self) -> Vec<SentMail> {
        self.book().mails.clone()
    }

    pub(super) fn texts(&self) -> Vec<SentText> {
        self.book().texts.clone()
    }

    pub(super) fn set_parameter(&self, name: &str, value: &str) {
        self.book().parameters.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn refuse_all_entries(&self) {
        self.book().refuses_entries = true;
    }

    /// So much was spent on text messages this month; one dollar may be.
    pub(super) fn spend(&self, dollars: f64) {
        self.book().spent = dollars;
    }

    /// The delays of what was put into the queue itself, in seconds.
    pub(super) fn delays(&self) -> Vec<u64> {
        self.book().delays.clone()
    }

    /// The queue does not answer so many times.
    pub(super) fn queue_is_out(&self, times: usize) {
        self.book().queue_is_out = times;
    }

    /// From now on the webhook at `/hook` is gone.
    pub(super) fn close_hook(&self) {
        self.book().hook_is_closed = true;
    }

    /// How often an operation was called.
    pub(super) fn calls(&self, operation: &str) -> usize {
        self.book().calls.iter().filter(|call| *call == operation).count()
    }
}

async fn answer(State(services): State<Services>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let mut book = services.book();
    let target = head.headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or("");
    match head.uri.path() {
        "/hook" | "/new-hook" => {
            if head.uri.path() == "/hook" && book.hook_is_closed {
                return StatusCode::GONE.into_response();
            }
            let key = head.headers["idempotency-key"].to_str().expect("a key").to_owned();
            book.posted.insert(key);
            StatusCode::OK.into_response()
        }
        "/api/files.getUploadURLExternal" | "/api/files.completeUploadExternal" | "/upload" => {
            let text = |name: &str| head.headers[name].to_str().expect("a text").to_owned();
            book.posted.insert(text("idempotency-key"));
            let answer = json!({"ok": true, "upload_url": format!("http://{}/upload", text("host")), "file_id": "F1"});
            ([("content-type", "application/json")], answer.to_string()).into_response()
        }
        "/v2/email/outbound-emails" => send_email(&mut book, &serde_json::from_slice(&body).expect("JSON")),
        "/" if target == "AmazonSQS.SendMessage" => {
            let header = |name: &str| head.headers[name].to_str().expect("a text").to_owned();
            assert_eq!(header("content-type"), "application/x-amz-json-1.0");
            let signature = header("authorization");
            assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{signature}");
            assert!(signature.contains("/ap-northeast-1/sqs/aws4_request"), "{signature}");
            assert!(signature.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-target,"), "{signature}");
            send_message(&mut book, &serde_json::from_slice(&body).expect("JSON"))
        }
        "/" if target == "AmazonSSM.GetParameter" => {
            get_parameter(&mut book, &serde_json::from_slice(&body).expect("JSON"))
        }
        path if path.ends_with("/operation/GetMetricStatistics") => spent(book.spent),
        "/" => sns(&mut book, &url::form_urlencoded::parse(&body).into_owned().collect()),
        other => panic!("nobody asks for {other}"),
    }
}

type Form = BTreeMap<String, String>;

fn sns(book: &mut Book, form: &Form) -> Response {
    let action = form["Action"].as_str();
    book.calls.push(action.to_owned());
    match action {
        "PublishBatch" => publish_batch(book, form),
        "Publish" => publish(book, form),
        "CheckIfPhoneNumberIsOptedOut" => {
            let opted_out = form["phoneNumber"].ends_with("000000000");
            done(action, &format!("<isOptedOut>{opted_out}</isOptedOut>"))
        }
        "GetSMSSandboxAccountStatus" => done(action, "<IsInSandbox>true</IsInSandbox>"),
        "ListSMSSandboxPhoneNumbers" => {
            let number = |number: &str, status: &str| {
                format!("<member><PhoneNumber>{number}</PhoneNumber><Status>{status}</Status></member>")
            };
            let numbers = number("+819012345678", "Verified") + &number("+819000000001", "Pending");
            done(action, &format!("<PhoneNumbers>{numbers}</PhoneNumbers>"))
        }
        "GetSMSAttributes" => {
            let entry = "<entry><key>MonthlySpendLimit</key><value>1</value></entry>";
            done(action, &format!("<attributes>{entry}</attributes>"))
        }
        other => panic!("nobody asks SNS for {other}"),
    }
}

/// One data point, in CBOR as CloudWatch writes it.
fn spent(dollars: f64) -> Response {
    let text = |text: &str| [&[0x60 + u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    let number = |number: f64| [&[0xfb], &number.to_be_bytes()[..]].concat();
    let time = [vec![0xc1], number(1_795_000_000.0)].concat();
    let point = [vec![0xa2], text("Timestamp"), time, text("Maximum"), number(dollars)].concat();
    let body = [vec![0xa1], text("Datapoints"), vec![0x81], point].concat();
    ([("content-type", "application/cbor"), ("smithy-protocol", "rpc-v2-cbor")], body).into_response()
}

/// The entries of a list such as `PublishBatchRequestEntries.member.1.Id`, by what follows the number.
fn members(form: &Form, list: &str) -> Vec<Form> {
    let mut found: BTreeMap<usize, Form> = BTreeMap::new();
    for (name, value) in form {
        let rest = name.strip_prefix(list).and_then(|rest| rest.strip_prefix('.'));
        if let Some((number, field)) = rest.and_then(|rest| rest.split_once('.')) {
            let number = number.parse().expect("a number");
            found.entry(number).or_default().insert(field.to_owned(), value.clone());
        }
    }
    found.into_values().collect()
}

fn attributes(form: &Form) -> Form {
    let entry = |entry: Form| (entry["Name"].clone(), entry["Value.StringValue"].clone());
    members(form, "MessageAttributes.entry").into_iter().map(entry).collect()
}

/// What counts towards the limits.
fn size(text: &str, attributes: &Form) -> usize {
    text.len() + attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len()).sum::<usize>()
}

fn publish_batch(book: &mut Book, form: &Form) -> Response {
    let entries = members(form, "PublishBatchRequestEntries.member");
    let ids: BTreeSet<&String> = entries.iter().map(|entry| &entry["Id"]).collect();
    let bytes: usize = entries.iter().map(|entry| size(&entry["Message"], &attributes(entry))).sum();
    if form["TopicArn"] != TOPIC {
        return refused(StatusCode::NOT_FOUND, "NotFound");
    } else if entries.is_empty() || entries.len() > 10 {
        return refused(StatusCode::BAD_REQUEST, "TooManyEntriesInBatchRequest");
    } else if ids.len() < entries.len() {
        return refused(StatusCode::BAD_REQUEST, "BatchEntryIdsNotDistinct");
    } else if bytes > BATCH_BYTES_MAX {
        return refused(StatusCode::BAD_REQUEST, "BatchRequestTooLong");
    }
    let (mut successful, mut failed) = (String::new(), String::new());
    for entry in entries {
        let (id, text, attributes) = (&entry["Id"], &entry["Message"], attributes(&entry));
        let failure = |code: &str, fault: bool| {
            format!("<member><Id>{id}</Id><Code>{code}</Code><SenderFault>{fault}</SenderFault></member>")
        };
        book.entries += 1;
        let is_carried = text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..));
        if book.refuses_entries || text.is_empty() || !is_carried {
            failed += &failure("InvalidParameter", true);
        } else if book.entries.is_multiple_of(3) && book.left_out_once.insert(attributes["id"].clone()) {
            failed += &failure("InternalError", false);
        } else {
            successful += &format!("<member><Id>{id}</Id><MessageId>m</MessageId></member>");
            let record = record(book.queue.len(), text, &attributes);
            book.queue.push(record);
        }
    }
    done("PublishBatch", &format!("<Failed>{failed}</Failed><Successful>{successful}</Successful>"))
}

fn record(place: usize, text: &str, attributes: &Form) -> Value {
    let attribute = |value: &String| json!({ "stringValue": value, "dataType": "String" });
    let attributes: BTreeMap<&String, Value> =
        attributes.iter().map(|(name, value)| (name, attribute(value))).collect();
    json!({
        "messageId": format!("record-{place}"), "body": text, "messageAttributes": attributes, "eventSource": "aws:sqs"
    })
}

fn send_message(book: &mut Book, request: &Value) -> Response {
    book.calls.push("SendMessage".to_owned());
    if book.queue_is_out > 0 {
        book.queue_is_out -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let attribute = |(name, value): (&String, &Value)| {
        assert_eq!(value["DataType"], "String");
        (name.clone(), value["StringValue"].as_str().expect("a text").to_owned())
    };
    let attributes: Form =
        request["MessageAttributes"].as_object().expect("attributes").iter().map(attribute).collect();
    let text = request["MessageBody"].as_str().expect("a body");
    let delay = request.get("DelaySeconds").map_or(0, |delay| delay.as_u64().expect("whole seconds"));
    if request["QueueUrl"] != QUEUE || delay > 900 || text.is_empty() || size(text, &attributes) > BATCH_BYTES_MAX {
        return StatusCode::BAD_REQUEST.into_response();
    }
    book.delays.push(delay);
    let record = record(book.queue.len(), text, &attributes);
    book.queue.push(record);
    ([("content-type", "application/x-amz-json-1.0")], json!({ "MessageId": "m" }).to_string()).into_response()
}

fn publish(book: &mut Book, form: &Form) -> Response {
    let attributes = attributes(form);
    let subject = form.get("Subject").cloned();
    let to = form.get("PhoneNumber").or_else(|| form.get("TopicArn")).expect("somebody to tell").clone();
    if size(&form["Message"], &attributes) > BATCH_BYTES_MAX || subject.as_ref().is_some_and(|text| !text.is_ascii()) {
        return refused(StatusCode::BAD_REQUEST, "InvalidParameter");
    }
    book.texts.push(SentText { to, subject, text: form["Message"].clone(), attributes });
    done("Publish", "<MessageId>m-1</MessageId>")
}

fn done(action: &str, result: &str) -> Response {
    let xml = format!(
        "<{action}Response xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
    );
    ([("content-type", "text/xml")], xml).into_response()
}

fn refused(status: StatusCode, code: &str) -> Response {
    let xml = format!(
        "<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>as documented</Message></Error><RequestId>r</RequestId></ErrorResponse>"
    );
    (status, [("content-type", "text/xml")], xml).into_response()
}

fn send_email(book: &mut Book, request: &Value) -> Response {
    use base64::Engine as _;
    book.calls.push("SendEmail".to_owned());
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let raw = base64::engine::general_purpose::STANDARD.decode(text(&request["Content"]["Raw"]["Data"]));
    let raw = String::from_utf8(raw.expect("base64")).expect("a mail of text");
    let to: Vec<String> = request["Destination"]["ToAddresses"].as_array().expect("a list").iter().map(text).collect();
    for (mailbox, status, code) in [
        ("unverified@example.com", StatusCode::BAD_REQUEST, "MessageRejected"),
        ("busy@example.com", StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException"),
    ] {
        if to.iter().any(|found| found == mailbox) {
            let message = format!("Email address is not verified: {mailbox}");
            return json_refusal(status, code, &message);
        }
    }
    book.mails.push(SentMail { from: text(&request["FromEmailAddress"]), to, raw });
    axum_json(StatusCode::OK, &json!({ "MessageId": "0106018-example" }))
}

fn get_parameter(book: &mut Book, request: &Value) -> Response {
    book.calls.push("GetParameter".to_owned());
    assert_eq!(request["WithDecryption"], true);
    match book.parameters.get(request["Name"].as_str().expect("a name")) {
        Some(value) => {
            let parameter = json!({ "Name": request["Name"], "Type": "SecureString", "Value": value, "Version": 1 });
            axum_json(StatusCode::OK, &json!({ "Parameter": parameter }))
        }
        None => json_refusal(StatusCode::BAD_REQUEST, "ParameterNotFound", ""),
    }
}

fn json_refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let mut response = axum_json(status, &json!({ "__type": code, "message": message }));
    response.headers_mut().insert("x-amzn-errortype", code.parse().expect("a header"));
    response
}

fn axum_json(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

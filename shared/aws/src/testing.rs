//! A service that answers from a script and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use aws_smithy_async::time::StaticTimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;

use crate::client::{AwsSettings, Clients, Credentials, SharedTimeSource};

/// The clock of all scripts, in microseconds.
pub(crate) const CLOCK_MICROS: u64 = 1_700_000_000_000_000;

/// An answer of the script.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status, headers, body.
    Http(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The connection breaks before there is one.
    Broken,
}

impl Answer {
    /// An answer without headers.
    pub(crate) fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Http(status, Vec::new(), body.into())
    }

    /// An answer of S3 that names a code.
    pub(crate) fn xml(status: u16, code: &str) -> Self {
        Self::of(status, format!("<Error><Code>{code}</Code><Message>as scripted</Message></Error>"))
    }

    /// An answer of DynamoDB that names a code.
    pub(crate) fn json(code: &str) -> Self {
        Self::json_with(code, "as scripted")
    }

    /// The same with a message.
    pub(crate) fn json_with(code: &str, message: &str) -> Self {
        Self::of(400, format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"{message}"}}"#))
    }

    /// The empty answer of a DynamoDB call that did what it should.
    pub(crate) fn done() -> Self {
        Self::of(200, "{}")
    }
}

/// What a service was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    /// The header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// The operation of DynamoDB, or the method and path.
    pub(crate) fn operation(&self) -> String {
        let path = self.url.split('?').next().unwrap_or_default();
        let path = path.split('/').skip(3).collect::<Vec<_>>().join("/");
        match self.header("x-amz-target").rsplit_once('.') {
            Some((_, operation)) => operation.to_owned(),
            None => format!("{} {path}", self.method),
        }
    }

    /// The JSON body.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("DynamoDB is asked in JSON")
    }
}

/// The answers to come; the last one is given again and again.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), asked: Arc::default() }
    }

    /// Clients whose every call goes to the script.
    pub(crate) fn clients(&self) -> Clients {
        let settings = AwsSettings {
            region: "ap-northeast-1".to_owned(),
            endpoint: None,
            credentials: Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"),
            table: "table".to_owned(),
            bucket: "bucket".to_owned(),
            clock: SharedTimeSource::new(StaticTimeSource::new(UNIX_EPOCH + Duration::from_micros(CLOCK_MICROS))),
        };
        Clients::with_http_client(settings, SharedHttpClient::new(self.clone()))
    }

    /// All that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("nothing panics while it holds the lock").clone()
    }

    /// The operations asked for so far.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.asked().iter().map(Asked::operation).collect()
    }

    fn answer(&self) -> Answer {
        let mut answers = self.answers.lock().expect("nothing panics while it holds the lock");
        if answers.len() > 1 {
            return answers.pop_front().expect("there are two");
        }
        answers.front().cloned().expect("a script has an answer")
    }
}

impl HttpClient for Script {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers = request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = request.body().bytes().unwrap_or_default();
        self.asked.lock().expect("nothing panics while it holds the lock").push(Asked {
            method: request.method().to_owned(),
            url: request.uri().to_owned(),
            headers,
            body: String::from_utf8_lossy(body).into_owned(),
        });
        HttpConnectorFuture::ready(match self.answer() {
            Answer::Broken => Err(ConnectorError::io("the connection broke".into())),
            Answer::Http(status, headers, body) => {
                let status = StatusCode::try_from(status).expect("a status");
                let mut response = Response::new(status, SdkBody::from(body));
                headers.into_iter().for_each(|(name, value)| drop(response.headers_mut().insert(name, value)));
                Ok(response)
            }
        })
    }
}

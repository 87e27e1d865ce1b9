//! The operator's door: requests that come by invoking the deployment itself, not through its HTTP front door.
//!
//! On AWS whoever may invoke the `query` function sends it `{"operator": {"path": "/api/v1/query?query=up"}}` and gets
//! an [`OperatorReply`]. The right to invoke is the proof: no token is asked for, since it is by this door that the
//! first token is made. The same router answers, so everything that HTTP can do is there.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{Method, Request, StatusCode};
use model::{TenantId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Reply, refuse, respond};
use crate::App;
use crate::access::{Caller, Proof, Role, Scope};

/// Most bytes of a reply as JSON: what a synchronous invocation of a Lambda function gives back.
pub const REPLY_BYTES_MAX: usize = 6 * 1024 * 1024;

/// The whole event: an operator's request under its name, which tells it from the events of HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorEvent {
    /// The request.
    pub operator: OperatorRequest,
}

/// A request by somebody who may invoke the deployment.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorRequest {
    /// The method; `GET` when it is left out.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query string: `/api/v1/query?query=up`.
    pub path: String,
    /// What the body is; a form when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body: text, or base64 when `is_base64` says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Whether the body is base64.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_base64: bool,
    /// Whose data it is about; the default tenant's when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Who asks, for histories. It is taken as it is told: who invoked the function stands in the account's own log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

fn get() -> String {
    Method::GET.to_string()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl fmt::Debug for OperatorRequest {
    /// Shows method and path; bodies may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorRequest({} {}, {} bytes)", self.method, self.path, self.body.len())
    }
}

/// The answer to an [`OperatorRequest`].
#[derive(Clone, Serialize, Deserialize)]
pub struct OperatorReply {
    /// The status, as in HTTP.
    pub status: u16,
    /// What the body is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Where to go on, for a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// In how many seconds to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The body: text, or base64 when `is_base64` says so.
    pub body: String,
    /// Whether the body is base64.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_base64: bool,
}

impl fmt::Debug for OperatorReply {
    /// Shows the status; the body may hold a new token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorReply({}, {} bytes)", self.status, self.body.len())
    }
}

impl OperatorReply {
    /// The bytes of the body; `None` when it is not the base64 that it says it is.
    pub fn bytes(&self) -> Option<Bytes> {
        if self.is_base64 {
            STANDARD.decode(&self.body).ok().map(Bytes::from)
        } else {
            Some(Bytes::copy_from_slice(self.body.as_bytes()))
        }
    }
}

/// Answers one request of an operator. `random` is 32 fresh random bytes, used where a token is made.
pub async fn handle_operator(app: &App, request: OperatorRequest, random: [u8; 32], now: Timestamp) -> OperatorReply {
    let reply = match open(app, request) {
        Ok((caller, request)) => respond(app, Some(caller), &request, random, now).await,
        Err(reason) => refuse(StatusCode::BAD_REQUEST, &format!("operator request: {reason}")),
    };
    let reply = wrap(reply);
    match size_bytes(&reply) {
        size if size > REPLY_BYTES_MAX => wrap(refuse(
            StatusCode::UNPROCESSABLE_ENTITY,
            &format!(
                "the answer has {size} bytes, over the limit of {REPLY_BYTES_MAX} bytes for what a function gives \
                 back; ask for fewer series, a shorter time or a longer step"
            ),
        )),
        _ => reply,
    }
}

/// Who asks, and for what.
fn open(app: &App, request: OperatorRequest) -> Result<(Caller, Request<Bytes>), String> {
    let tenant = match &request.tenant {
        Some(name) => TenantId::new(name).map_err(|error| error.to_string())?,
        None => app.settings.default_tenant.clone(),
    };
    let caller = Caller {
        tenant,
        name: request.author.unwrap_or_default(),
        role: Role::Ops,
        scopes: Scope::ALL.to_vec(),
        proof: Proof::Operator,
    };
    let body = match request.is_base64 {
        true => STANDARD.decode(&request.body).map_err(|error| format!("the body is no base64: {error}"))?.into(),
        false => Bytes::from(request.body),
    };
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| format!("method {:?} is none", request.method.chars().take(20).collect::<String>()))?;
    if !request.path.starts_with('/') {
        return Err("the path does not start with a slash".to_owned());
    }
    let content_type = request.content_type.as_deref().unwrap_or("application/x-www-form-urlencoded");
    let built = Request::builder().method(method).uri(request.path).header(CONTENT_TYPE, content_type).body(body);
    Ok((caller, built.map_err(|error| error.to_string())?))
}

fn wrap(reply: Reply) -> OperatorReply {
    let text = |name| reply.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let (body, is_base64) = match std::str::from_utf8(reply.body()) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (STANDARD.encode(reply.body()), true),
    };
    OperatorReply {
        status: reply.status().as_u16(),
        content_type: text(CONTENT_TYPE).map(str::to_owned),
        location: text(LOCATION).map(str::to_owned),
        retry_after: text(RETRY_AFTER).and_then(|seconds| seconds.parse().ok()),
        body,
        is_base64,
    }
}

/// The bytes of a reply as JSON; an estimate from above for one that is small anyhow.
fn size_bytes(reply: &OperatorReply) -> usize {
    /// Most bytes that JSON makes of one byte of text: `\u0000`.
    const GROWTH_MAX: usize = 6;
    const HEADERS_BYTES_MAX: usize = 64 << 10;
    let estimate = reply.body.len() * GROWTH_MAX + HEADERS_BYTES_MAX;
    if estimate <= REPLY_BYTES_MAX {
        return estimate;
    }
    serde_json::to_vec(reply).map_or(usize::MAX, |json| json.len())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::faults::FaultPlan;
    use crate::pages::testing::{NOW, World};

    async fn ask(app: &App, request: Value) -> OperatorReply {
        let event: OperatorEvent = serde_json::from_value(json!({ "operator": request })).unwrap();
        let reply = handle_operator(app, event.operator, [9; 32], NOW).await;
        // What goes over the wire reads back.
        serde_json::from_value(serde_json::to_value(reply).unwrap()).unwrap()
    }

    fn body(reply: &OperatorReply) -> Value {
        serde_json::from_str(&reply.body).unwrap_or_else(|_| panic!("{}", reply.body))
    }

    fn closed_app(world: &World) -> App {
        let app = world.app(&[], &FaultPlan::none());
        app.require_tokens();
        app
    }

    #[tokio::test]
    async fn the_right_to_invoke_stands_for_a_token() {
        let world = World::default();
        let app = closed_app(&world);
        world.collect("a", NOW).await;
        let reply = ask(&app, json!({"path": "/api/v1/query?query=node_load1"})).await;
        assert_eq!((reply.status, reply.content_type.as_deref()), (200, Some("application/json")));
        assert_eq!(body(&reply)["data"]["result"][0]["value"][1], "1.5");
        let form = json!({"method": "POST", "path": "/api/v1/query", "body": "query=1%2B1"});
        assert_eq!(body(&ask(&app, form).await)["data"]["result"][1], "2");
        let other = json!({"path": "/api/v1/query?query=node_load1", "tenant": "shop"});
        assert_eq!(body(&ask(&app, other).await)["data"]["result"], json!([]));
        assert_eq!(ask(&app, json!({"path": "/-/ready"})).await.status, 200);
        assert_eq!(ask(&app, json!({"path": "/metrics"})).await.status, 200);
    }

    #[tokio::test]
    async fn the_first_token_is_made_by_this_door() {
        let world = World::default();
        let app = closed_app(&world);
        let path = "/api/mihari/v1/tokens";
        let made = ask(&app, json!({"method": "POST", "path": path, "body": "name=prom&scope=write"})).await;
        assert_eq!(made.status, 201, "{}", made.body);
        assert!(body(&made)["token"].as_str().unwrap().starts_with("mihari_"));
        assert!(!format!("{made:?}").contains("mihari_"), "a token is not for logs");
        let list = ask(&app, json!({"path": path})).await;
        assert_eq!(body(&list)["tokens"][0]["name"], "prom");
        let refused = crate::http::handle(&app, Request::get(path).body(Bytes::new()).unwrap(), [0; 32], NOW).await;
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "HTTP still asks for a token");
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_request_is_said() {
        let world = World::default();
        let app = closed_app(&world);
        let cases = [
            (json!({"path": "api"}), 400, "the path does not start with a slash"),
            (json!({"path": "/ x"}), 400, "operator request: "),
            (json!({"path": "/x", "method": "GE T"}), 400, "GE T\\\" is none"),
            (json!({"path": "/x", "tenant": "a/b"}), 400, "operator request: "),
            (json!({"path": "/x", "body": "!", "is_base64": true}), 400, "the body is no base64"),
            (json!({"path": "/api/v1/nothing"}), 404, "no such path"),
            (json!({"path": "/api/v1/query", "method": "DELETE"}), 405, "this path takes"),
            (json!({"path": "/api/v1/query?query=)"}), 400, "unexpected"),
        ];
        for (request, status, reason) in cases {
            let reply = ask(&app, request.clone()).await;
            assert_eq!(reply.status, status, "{request}: {}", reply.body);
            assert!(reply.body.contains(reason), "{request}: {}", reply.body);
        }
        assert!(serde_json::from_value::<OperatorEvent>(json!({"operator": {"path": "/", "mehtod": "GET"}})).is_err());
    }

    #[test]
    fn bodies_that_are_no_text_travel_as_base64() {
        let reply = wrap(http::Response::new(Bytes::from_static(&[0xff, 0])));
        assert!(reply.is_base64);
        assert_eq!(reply.bytes().unwrap(), Bytes::from_static(&[0xff, 0]));
        let reply = wrap(http::Response::new(Bytes::from_static("見張り".as_bytes())));
        assert_eq!((reply.body.as_str(), reply.is_base64), ("見張り", false));
    }

    #[test]
    fn the_size_of_a_reply_is_that_of_its_json() {
        let quotes = "\"".repeat(REPLY_BYTES_MAX / 2 + 1);
        let reply = wrap(http::Response::new(Bytes::from(quotes)));
        assert!(size_bytes(&reply) > REPLY_BYTES_MAX);
        let reply = wrap(http::Response::new(Bytes::from("a".repeat(REPLY_BYTES_MAX / 2))));
        assert!(size_bytes(&reply) < REPLY_BYTES_MAX);
    }
}

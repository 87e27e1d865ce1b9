//! The configuration of the deployment: what was pushed, and a new push.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{HttpError, Reply, reply};
use crate::access::{Caller, Refusal};
use crate::config::Config;
use crate::config_store::{self, Files};
use crate::{App, AppError};

/// The body of a push.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Push {
    files: Files,
}

/// Gives the configuration, or takes a new one (`{"files": {"rules/a.yml": "groups: ..."}}`: the whole folder).
///
/// It is that of all tenants and names where people are told, so it is for the default tenant's administrators.
pub(super) async fn handle(
    app: &App,
    caller: &Caller,
    request: &Request<Bytes>,
    now: Timestamp,
) -> Result<Reply, HttpError> {
    let default_tenant = &app.settings.default_tenant;
    if caller.tenant != *default_tenant {
        return Err(Refusal::Deployment(default_tenant.clone()).into());
    }
    if *request.method() == Method::POST {
        let push: Push = serde_json::from_slice(request.body())
            .map_err(|error| AppError::Invalid(format!("the body is not {{\"files\": {{name: text}}}}: {error}")))?;
        let answer = pushed(app, push.files, &caller.name, now).await?;
        return Ok(reply::json(StatusCode::CREATED, answer.to_string()));
    }
    let answer = current(app, now).await?;
    Ok(reply::json(StatusCode::OK, answer.to_string()))
}

async fn pushed(app: &App, files: Files, author: &str, now: Timestamp) -> Result<Value, AppError> {
    let unread: Vec<String> = config_store::unread(&files).into_iter().map(str::to_owned).collect();
    let pushed = config_store::push(app, files, author, now).await?;
    Ok(json!({ "hash": pushed.hash, "author": pushed.author, "pushed_ms": pushed.pushed_ms, "unread": unread }))
}

/// What was pushed, with `source`: `pushed`, or `defaults` before the first push, or `folder` where the host reads a
/// folder of its own, whose files are not shown.
async fn current(app: &App, now: Timestamp) -> Result<Value, AppError> {
    let errors = app.config_errors(&app.settings.default_tenant);
    if !app.settings.takes_pushed_config {
        return Ok(json!({ "source": "folder", "files": {}, "errors": errors }));
    }
    let Some(stored) = config_store::load(&app.ports, now).await? else {
        let files: Files =
            Config::default_files().iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
        return Ok(json!({ "source": "defaults", "files": files, "errors": errors }));
    };
    let pushed = stored.pushed;
    Ok(json!({
        "source": "pushed",
        "hash": pushed.hash,
        "author": pushed.author,
        "pushed_ms": pushed.pushed_ms,
        "files": stored.files,
        "errors": errors,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{NewToken, Role, Scope, create};
    use crate::faults::FaultPlan;
    use crate::pages::testing::{NOW, World, tenant};

    const PATH: &str = "/api/mihari/v1/config";

    async fn ask(app: &App, token: Option<&str>, body: Option<&str>) -> (StatusCode, Value) {
        let mut request = if body.is_some() { Request::post(PATH) } else { Request::get(PATH) };
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Bytes::from(body.unwrap_or("").to_owned())).unwrap();
        let reply = crate::http::handle(app, request, [0; 32], NOW).await;
        (reply.status(), serde_json::from_slice(reply.body()).unwrap())
    }

    async fn token(app: &App, name: &str, tenant: &str, role: Role, scopes: &[Scope]) -> String {
        let tenant = model::TenantId::new(tenant).unwrap();
        let token = NewToken { name: name.to_owned(), scopes: scopes.to_vec(), role, tenant };
        let mut random = [0; 32];
        random[..name.len()].copy_from_slice(name.as_bytes());
        create(app.ports.state.as_ref(), token, random, NOW).await.unwrap()
    }

    #[tokio::test]
    async fn a_push_is_read_back_with_its_author() {
        let world = World::default();
        let app = world.app(&[], &FaultPlan::none());
        let (status, before) = ask(&app, None, None).await;
        assert_eq!((status, before["source"].as_str()), (StatusCode::OK, Some("defaults")));
        assert!(before["files"]["rules/application.yml"].as_str().unwrap().contains("groups:"));
        app.require_tokens();
        let admin = token(&app, "aiko", "default", Role::Ops, &[Scope::Admin]).await;
        let body = json!({"files": {"rules/a.yml": "groups: []", "READM.yml": ""}}).to_string();
        let (status, pushed) = ask(&app, Some(&admin), Some(&body)).await;
        assert_eq!(
            (status, &pushed["author"], &pushed["unread"]),
            (StatusCode::CREATED, &json!("aiko"), &json!(["READM.yml"]))
        );
        let (_, after) = ask(&app, Some(&admin), None).await;
        assert_eq!((&after["source"], &after["files"]["rules/a.yml"]), (&json!("pushed"), &json!("groups: []")));
        assert_eq!(after["hash"], pushed["hash"]);
        assert_eq!(app.config().tenants[&tenant()].rule_groups.len(), 0, "it is in force");
    }

    #[tokio::test]
    async fn only_administrators_of_the_deployment_may() {
        let world = World::default();
        let app = world.app(&[], &FaultPlan::none());
        app.require_tokens();
        let body = json!({"files": {"rules/a.yml": "groups: []"}}).to_string();
        let all = [Scope::Write, Scope::Read, Scope::Admin];
        let cases = [
            (None, StatusCode::UNAUTHORIZED),
            (
                Some(token(&app, "reader", "default", Role::Ops, &[Scope::Read, Scope::Write]).await),
                StatusCode::FORBIDDEN,
            ),
            (Some(token(&app, "tech", "default", Role::Tech, &all).await), StatusCode::FORBIDDEN),
            (Some(token(&app, "shop", "shop", Role::Ops, &all).await), StatusCode::FORBIDDEN),
        ];
        for (token, expected) in cases {
            for body in [None, Some(body.as_str())] {
                assert_eq!(ask(&app, token.as_deref(), body).await.0, expected, "{token:?} {body:?}");
            }
        }
        assert_eq!(config_store::load(&app.ports, NOW).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_with_its_place() {
        let world = World::default();
        let app = world.app(&[], &FaultPlan::none());
        let cases = [
            ("", "the body is not {\"files\": {name: text}}: "),
            (r#"{"files": {"rules/a.yml": 1}}"#, "the body is not {\"files\": {name: text}}: "),
            (r#"{"files": {}, "author": "x"}"#, "unknown field `author`"),
            (r#"{"files": {"rules/a.yml": "groups: {}"}}"#, "rules/a.yml:1:"),
        ];
        for (body, expected) in cases {
            let (status, answer) = ask(&app, None, Some(body)).await;
            assert_eq!(status, StatusCode::BAD_REQUEST);
            assert!(answer["error"].as_str().unwrap().contains(expected), "{answer}");
        }
    }
}

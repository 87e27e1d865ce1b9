//! `mihari token`: with the server or stack that is named, else in the data folder, or with the server that runs on it.

use std::process::ExitCode;

use app::access::{self, NewToken, Role, Scope};
use model::TenantId;
use serde_json::{Value, json};

use super::{client, folder, hint, now, print};
use crate::cli::{Place, TokenCommand};
use crate::serve::random;

const PATH: &str = "/api/mihari/v1/tokens";

/// Makes, lists or revokes tokens.
///
/// # Errors
/// When neither the folder nor the server can be asked, or the wish is refused.
pub(crate) async fn token(command: TokenCommand) -> anyhow::Result<ExitCode> {
    let place = match &command {
        TokenCommand::Create { place, .. } | TokenCommand::List { place } | TokenCommand::Revoke { place, .. } => {
            place.clone()
        }
    };
    match folder(&place)? {
        Some(store) => offline(&store, command, &place).await?,
        None => online(command, &place).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn offline(store: &embedded::Store, command: TokenCommand, place: &Place) -> anyhow::Result<()> {
    let state = store.state.as_ref();
    let tenant = place.server.tenant.as_deref().map_or(Ok(TenantId::default_tenant()), TenantId::new)?;
    match command {
        TokenCommand::Create { name, scopes, role, .. } => {
            let token = NewToken { name, scopes: parse_scopes(&scopes)?, role: parse_role(&role)?, tenant };
            let text = access::create(state, token, random()?, now()).await?;
            print_created(&json!({ "token": text }), place)
        }
        TokenCommand::List { .. } => {
            let tokens = access::list(state, now()).await?;
            print_list(&json!({ "tokens": tokens }), place)
        }
        TokenCommand::Revoke { name, .. } => {
            access::revoke(state, &tenant, &name, now()).await?;
            print_revoked(&name, place)
        }
    }
}

async fn online(command: TokenCommand, place: &Place) -> anyhow::Result<()> {
    let client = client(&place.server)?;
    let tenant = place.server.tenant.as_deref().map(|tenant| ("tenant", tenant));
    match command {
        TokenCommand::Create { name, scopes, role, .. } => {
            let mut form = vec![("name", name.as_str()), ("scope", scopes.as_str()), ("role", role.as_str())];
            form.extend(tenant);
            print_created(&client.post(PATH, &form).await?, place)
        }
        TokenCommand::List { .. } => {
            let query: Vec<_> = tenant.into_iter().collect();
            print_list(&client.get(PATH, &query).await?, place)
        }
        TokenCommand::Revoke { name, .. } => {
            let mut query = vec![("name", name.as_str())];
            query.extend(tenant);
            client.delete(PATH, &query).await?;
            print_revoked(&name, place)
        }
    }
}

/// The token alone, so that a script can take it as it is.
fn print_created(answer: &Value, place: &Place) -> anyhow::Result<()> {
    if place.server.json {
        return print(&answer.to_string());
    }
    print(answer["token"].as_str().unwrap_or(""))
}

fn print_list(answer: &Value, place: &Place) -> anyhow::Result<()> {
    if place.server.json {
        return print(&answer.to_string());
    }
    if answer["tokens"].as_array().is_none_or(Vec::is_empty) {
        hint("there is no token yet; `mihari token create` makes one");
    }
    for token in answer["tokens"].as_array().into_iter().flatten() {
        let text = |name: &str| token[name].as_str().unwrap_or("").to_owned();
        let scopes: Vec<_> = token["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        print(&format!("{}\t{}\t{}\t{}", text("tenant"), text("name"), text("role"), scopes.join(",")))?;
    }
    Ok(())
}

fn print_revoked(name: &str, place: &Place) -> anyhow::Result<()> {
    if place.server.json {
        return print(&json!({ "revoked": name }).to_string());
    }
    print(&format!("the token {name:?} is worthless now"))
}

fn parse_scopes(text: &str) -> anyhow::Result<Vec<Scope>> {
    let parse = |name: &str| {
        Scope::from_name(name).ok_or_else(|| anyhow::anyhow!("scope {name:?} is none of write, read, admin"))
    };
    text.split(',').map(str::trim).map(parse).collect()
}

fn parse_role(name: &str) -> anyhow::Result<Role> {
    Role::from_name(name).ok_or_else(|| anyhow::anyhow!("role {name:?} is none of ops, tech, exec"))
}

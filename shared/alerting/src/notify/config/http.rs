//! How a receiver's HTTP server is asked: `http_config`.

use super::fields::{Fields, Read};
use super::{Authorization, Connection, Http, Secret, Tls};

/// Reads `http_config` of a receiver or of `global`; `None` when there is none.
pub(super) fn http_config(of: &mut Fields<'_>) -> Read<Option<Http>> {
    let Some(mut fields) = of.object("http_config", "`http_config`")? else { return Ok(None) };
    let http = inlined(&mut fields)?;
    fields.end()?;
    Ok(Some(http))
}

/// Reads the fields of `http_config` where they stand among others.
pub(super) fn inlined(fields: &mut Fields<'_>) -> Read<Http> {
    let authorization = authorization(fields)?;
    let headers = headers(fields)?;
    // Redirects are followed only where they ask for the same POST again.
    let refuses_redirects = fields.flag("follow_redirects")? == Some(false);
    let connection = Connection { proxy: proxy(fields)?, tls: own_tls(fields)?, refuses_redirects };
    fields.ignore(&["enable_http2"]);
    Ok(Http { authorization, headers, connection })
}

fn authorization(fields: &mut Fields<'_>) -> Read<Option<Authorization>> {
    let basic = fields.object("basic_auth", "`basic_auth`")?;
    let scheme = fields.object("authorization", "`authorization`")?;
    let oauth2 = fields.object("oauth2", "`oauth2`")?;
    let bearer = fields.secret("bearer_token")?;
    let ways = [basic.is_some(), scheme.is_some(), oauth2.is_some(), bearer.is_some()];
    if ways.iter().filter(|&&way| way).count() > 1 {
        return fields.refuse("at most one of basic_auth, authorization, oauth2 and bearer_token may be there");
    }
    if let Some(oauth2) = oauth2 {
        return oauth(oauth2).map(|()| None);
    }
    if let Some(mut basic) = basic {
        basic.unheeded(&["username_ref", "password_ref"]);
        let or_empty = |secret: Option<Secret>| secret.unwrap_or_else(|| Secret::new(""));
        let username = or_empty(basic.secret("username")?);
        let password = or_empty(basic.secret("password")?);
        basic.end()?;
        return Ok(Some(Authorization::Basic { username, password }));
    }
    if let Some(mut fields) = scheme {
        fields.unheeded(&["credentials_ref"]);
        let scheme = fields.text("type")?.map(|scheme| scheme.trim().to_owned()).filter(|scheme| !scheme.is_empty());
        let scheme = scheme.unwrap_or_else(|| "Bearer".to_owned());
        if scheme.eq_ignore_ascii_case("basic") {
            return fields.refuse("the type of `authorization` cannot be basic: use `basic_auth`");
        }
        let credentials = fields.secret("credentials")?.unwrap_or_else(|| Secret::new(""));
        fields.end()?;
        return Ok(Some(Authorization::Scheme { scheme, credentials }));
    }
    Ok(bearer.map(|credentials| Authorization::Scheme { scheme: "Bearer".to_owned(), credentials }))
}

/// OAuth 2 is checked as upstream does, and not done.
fn oauth(mut fields: Fields<'_>) -> Read<()> {
    for needed in ["client_id", "token_url"] {
        if !fields.has(needed) {
            return fields.refuse(format!("`oauth2` has no `{needed}`"));
        }
    }
    fields.secret("client_secret")?;
    fields.secret("client_certificate_key")?;
    unheeded_tls(&mut fields)?;
    proxy(&mut fields)?;
    fields.ignore(&[
        "audience",
        "claims",
        "client_certificate_key_id",
        "client_certificate_key_ref",
        "client_id",
        "client_secret_ref",
        "endpoint_params",
        "grant_type",
        "iss",
        "scopes",
        "signature_algorithm",
        "token_url",
    ]);
    fields.notes.unheeded(fields.place, "`oauth2` is not heeded: requests go out without a token");
    fields.end()
}

fn headers(fields: &mut Fields<'_>) -> Read<Vec<(String, Secret)>> {
    let Some(mut named) = fields.object("http_headers", "`http_headers`")? else { return Ok(Vec::new()) };
    let mut headers = Vec::new();
    for name in named.names() {
        let Some(mut header) = named.object(&name, "a header")? else { continue };
        let plain = header.list("values")?.into_iter().chain(header.list("secrets")?).flatten();
        headers.extend(plain.map(|value| (name.clone(), Secret::new(value))));
        for file in header.list("files")?.unwrap_or_default() {
            headers.push((name.clone(), header.secret_file(header.place, file)?));
        }
        header.end()?;
    }
    Ok(headers)
}

fn proxy(fields: &mut Fields<'_>) -> Read<Option<Secret>> {
    let from_environment = fields.flag("proxy_from_environment")?.unwrap_or(false);
    let (url, no_proxy) = (fields.has("proxy_url"), fields.has("no_proxy"));
    if from_environment && (url || no_proxy) {
        return fields.refuse("with `proxy_from_environment` there can be neither `proxy_url` nor `no_proxy`");
    }
    if no_proxy && !url {
        return fields.refuse("`no_proxy` needs `proxy_url`");
    }
    if fields.has("proxy_connect_header") && !url && !from_environment {
        return fields.refuse("`proxy_connect_header` needs `proxy_url` or `proxy_from_environment`");
    }
    if from_environment {
        fields.notes.unheeded(fields.place, "`proxy_from_environment` is not heeded: requests go out directly");
    }
    fields.unheeded(&["proxy_connect_header"]);
    if no_proxy {
        fields.notes.unheeded(fields.place, "`no_proxy` is not heeded: all requests go through the proxy");
    }
    fields.ignore(&["no_proxy"]);
    let Some(url) = fields.filled_text("proxy_url")? else { return Ok(None) };
    if url.starts_with("http://") || url.starts_with("https://") {
        return Ok(Some(Secret::new(url)));
    }
    fields.notes.unheeded(fields.place, "`proxy_url` is not heeded: only proxies of http and https are spoken to");
    Ok(None)
}

/// Reads the `tls_config` of an HTTP server.
fn own_tls(of: &mut Fields<'_>) -> Read<Tls> {
    let Some(mut fields) = of.object("tls_config", "`tls_config`")? else { return Ok(Tls::default()) };
    fields.unheeded(&["ca_ref", "cert_ref", "key_ref", "max_version", "server_name"]);
    tls(fields)
}

/// Reads the `tls_config` of a server that is never asked, of which nothing is heeded.
fn unheeded_tls(of: &mut Fields<'_>) -> Read<()> {
    let Some(fields) = of.object("tls_config", "`tls_config`")? else { return Ok(()) };
    for name in fields.names().into_iter().filter(|name| fields.has(name)) {
        fields.notes.unheeded(fields.place, format!("`{name}` of `tls_config` is not heeded"));
    }
    tls(fields).map(drop)
}

/// Reads the `tls_config` of a mail server.
pub(super) fn tls_config(of: &mut Fields<'_>, name: &'static str) -> Read<Tls> {
    let Some(mut fields) = of.object(name, "`tls_config`")? else { return Ok(Tls::default()) };
    fields.unheeded(&["ca_ref", "cert_ref", "key_ref", "max_version"]);
    tls(fields)
}

fn tls(mut fields: Fields<'_>) -> Read<Tls> {
    let has = |fields: &Fields<'_>, name: &str| {
        ["", "_file", "_ref"].iter().filter(|end| fields.has(&format!("{name}{end}"))).count()
    };
    for name in ["ca", "cert", "key"] {
        if has(&fields, name) > 1 {
            return fields.refuse(format!("at most one of `{name}`, `{name}_file` and `{name}_ref` may be there"));
        }
    }
    if has(&fields, "cert") != has(&fields, "key") {
        return fields.refuse("a client's certificate and its key belong together");
    }
    fields.ignore(&["ca_ref", "cert_ref", "key_ref", "max_version"]);
    let version = fields.text("min_version")?;
    if !matches!(version.as_deref(), None | Some("" | "TLS10" | "TLS11" | "TLS12" | "TLS13")) {
        return fields.refuse("`min_version` is neither TLS10, TLS11, TLS12 nor TLS13");
    }
    let tls = Tls {
        ca: fields.secret("ca")?,
        cert: fields.secret("cert")?,
        key: fields.secret("key")?,
        server_name: fields.filled_text("server_name")?,
        skips_verification: fields.flag("insecure_skip_verify")?.unwrap_or(false),
        only_1_3: version.as_deref() == Some("TLS13"),
    };
    fields.end()?;
    Ok(tls)
}

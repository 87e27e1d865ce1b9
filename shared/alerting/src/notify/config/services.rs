//! PagerDuty, Opsgenie, Teams, Discord and Telegram, and the services that are read and not delivered to.

use super::fields::{Fields, Read};
use super::http::http_config;
use super::receivers::Global;
use super::{Discord, Http, Opsgenie, PagerDuty, PagerDutyKey, Secret, Target, Teams, Telegram};

fn http(fields: &mut Fields<'_>, global: &Global) -> Read<Http> {
    Ok(http_config(fields)?.unwrap_or_else(|| global.http.clone()))
}

pub(super) fn pagerduty(fields: &mut Fields<'_>, global: &Global) -> Read<Target> {
    const TEXTS: [&str; 8] =
        ["class", "client", "client_url", "component", "description", "group", "severity", "source"];
    let key = match (fields.secret("routing_key")?, fields.secret("service_key")?) {
        // Where both are given, upstream speaks version 1.
        (_, Some(key)) => PagerDutyKey::Service(key),
        (Some(key), None) => PagerDutyKey::Routing(key),
        (None, None) => return fields.refuse("there is neither `routing_key` nor `service_key`"),
    };
    let texts_of = |mut fields: Fields<'_>, names: &[&'static str]| {
        let texts = fields.texts(names)?.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        fields.end()?;
        Ok(texts)
    };
    let images = fields.objects("images", "an image")?.into_iter();
    let images = images.map(|image| texts_of(image, &["src", "alt", "href"])).collect::<Read<_>>()?;
    let links = fields.objects("links", "a link")?.into_iter();
    let links = links.map(|link| texts_of(link, &["href", "text"])).collect::<Read<_>>()?;
    fields.go_duration("timeout")?;
    Ok(Target::PagerDuty(Box::new(PagerDuty {
        url: fields.url("url")?.unwrap_or_else(|| global.pagerduty_url.clone()),
        key,
        texts: fields.texts(&TEXTS)?,
        details: fields.values("details")?,
        images,
        links,
        http: http(fields, global)?,
    })))
}

pub(super) fn opsgenie(fields: &mut Fields<'_>, global: &Global) -> Read<Target> {
    const TEXTS: [&str; 8] = ["actions", "description", "entity", "message", "note", "priority", "source", "tags"];
    let Some(key) = fields.secret("api_key")?.or_else(|| global.opsgenie_key.clone()) else {
        return fields.refuse("there is no `api_key` here and no `opsgenie_api_key` in `global`");
    };
    let mut url = fields.url("api_url")?.unwrap_or_else(|| global.opsgenie_url.clone());
    if !url.ends_with('/') {
        url.push('/');
    }
    let responders = fields.objects("responders", "a responder")?.into_iter().map(responder).collect::<Read<_>>()?;
    fields.unheeded(&["update_alerts"]);
    Ok(Target::Opsgenie(Box::new(Opsgenie {
        url,
        key,
        texts: fields.texts(&TEXTS)?,
        details: fields.map("details")?,
        responders,
        http: http(fields, global)?,
    })))
}

fn responder(mut fields: Fields<'_>) -> Read<std::collections::BTreeMap<String, String>> {
    const TYPES: [&str; 5] = ["team", "teams", "user", "escalation", "schedule"];
    if !["id", "name", "username"].iter().any(|name| fields.has(name)) {
        return fields.refuse("a responder needs `id`, `name` or `username`");
    }
    let texts = fields.texts(&["id", "name", "username", "type"])?;
    let kind = texts.get("type").map(|kind| kind.to_lowercase()).unwrap_or_default();
    if !kind.contains("{{") && !TYPES.contains(&kind.as_str()) {
        return fields.refuse(format!("the type of a responder is one of {}", TYPES.join(", ")));
    }
    fields.end()?;
    Ok(texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), text)).collect())
}

fn webhook_url(fields: &mut Fields<'_>) -> Read<Secret> {
    match fields.secret_url("webhook_url")? {
        Some(url) => Ok(url),
        None => fields.refuse("there is no `webhook_url`"),
    }
}

pub(super) fn teams(fields: &mut Fields<'_>, global: &Global, is_workflow: bool) -> Read<Target> {
    Ok(Target::Teams(Teams {
        url: webhook_url(fields)?,
        is_workflow,
        title: fields.text("title")?,
        summary: if is_workflow { None } else { fields.text("summary")? },
        text: fields.text("text")?,
        http: http(fields, global)?,
    }))
}

pub(super) fn discord(fields: &mut Fields<'_>, global: &Global) -> Read<Target> {
    Ok(Target::Discord(Discord {
        url: webhook_url(fields)?,
        texts: fields.texts(&["avatar_url", "content", "message", "title", "username"])?,
        http: http(fields, global)?,
    }))
}

pub(super) fn telegram(fields: &mut Fields<'_>, global: &Global) -> Read<Target> {
    let Some(token) = fields.secret("bot_token")?.or_else(|| global.telegram_token.clone()) else {
        return fields.refuse("there is no `bot_token` here and no `telegram_bot_token` in `global`");
    };
    let (chat, file) = (fields.number("chat_id")?, fields.filled("chat_id_file")?);
    let chat = match (chat, file) {
        (Some(chat), None) => Secret::new(chat.to_string()),
        (None, Some((place, file))) => fields.secret_file(place, file)?,
        (None, None) => return fields.refuse("there is no `chat_id`"),
        (Some(_), Some(_)) => return fields.refuse("there can be `chat_id` or `chat_id_file`, not both"),
    };
    let parse_mode = fields.text("parse_mode")?.unwrap_or_else(|| "HTML".to_owned());
    if !matches!(parse_mode.as_str(), "" | "HTML" | "Markdown" | "MarkdownV2") {
        return fields.refuse("`parse_mode` is neither HTML, Markdown, MarkdownV2 nor empty");
    }
    Ok(Target::Telegram(Telegram {
        url: fields.url("api_url")?.unwrap_or_else(|| global.telegram_url.clone()).trim_end_matches('/').to_owned(),
        token,
        chat,
        thread: fields.number("message_thread_id")?,
        message: fields.text("message")?,
        parse_mode,
        is_silent: fields.flag("disable_notifications")?.unwrap_or(false),
        http: http(fields, global)?,
    }))
}

/// A service that is read as strictly as upstream does, and not delivered to.
pub(super) fn undelivered(kind: &'static str, fields: &mut Fields<'_>, global: &Global) -> Read<Target> {
    match kind {
        "incidentio" => incidentio(fields)?,
        "jira" => jira(fields, global)?,
        "mattermost" => mattermost(fields, global)?,
        "pushover" => pushover(fields)?,
        "rocketchat" => rocketchat(fields, global)?,
        "victorops" => victorops(fields, global)?,
        "webex" => webex(fields)?,
        _ => wechat(fields, global)?,
    }
    Ok(Target::Undelivered(kind))
}

fn needs(fields: &Fields<'_>, is_there: bool, name: &str) -> Read<()> {
    if is_there { Ok(()) } else { fields.refuse(format!("there is no `{name}`")) }
}

fn inherited(global: &Global, name: &str) -> bool {
    global.given.get(name).copied().unwrap_or(false)
}

fn incidentio(fields: &mut Fields<'_>) -> Read<()> {
    let url = fields.secret_url("url")?.is_some();
    needs(fields, url, "url")?;
    let token = fields.secret("alert_source_token")?.is_some();
    let http = http_config(fields)?;
    let is_authorized = http.as_ref().is_some_and(|http| http.authorization.is_some());
    if token && is_authorized {
        return fields.refuse("`alert_source_token` is an authorization already: `http_config` cannot have another");
    }
    needs(fields, http.is_none() || token || is_authorized, "alert_source_token")?;
    fields.count("max_alerts")?;
    fields.go_duration("timeout").map(drop)
}

fn jira(fields: &mut Fields<'_>, global: &Global) -> Read<()> {
    http_config(fields)?;
    let url = fields.url("api_url")?.is_some() || inherited(global, "jira_api_url");
    needs(fields, url, "api_url")?;
    for name in ["project", "issue_type"] {
        let is_there = fields.filled(name)?.is_some();
        needs(fields, is_there, name)?;
    }
    let kind = fields.text("api_type")?;
    if !matches!(kind.as_deref(), None | Some("auto" | "cloud" | "datacenter")) {
        return fields.refuse("`api_type` is neither auto, cloud nor datacenter");
    }
    fields.duration("reopen_duration", std::time::Duration::ZERO)?;
    fields.list("labels")?;
    fields.values("fields")?;
    fields.ignore(&["summary", "description"]);
    fields.texts(&["priority", "reopen_transition", "resolve_transition", "wont_fix_resolution"]).map(drop)
}

fn mattermost(fields: &mut Fields<'_>, global: &Global) -> Read<()> {
    http_config(fields)?;
    let url = fields.secret_url("webhook_url")?.is_some() || inherited(global, "mattermost_webhook_url");
    needs(fields, url, "webhook_url")?;
    for mut field in fields.objects("fields", "a field")? {
        for name in ["title", "value"] {
            let is_there = field.filled(name)?.is_some();
            needs(&field, is_there, name)?;
        }
        field.flag("short")?;
        field.end()?;
    }
    fields.ignore(&["attachments", "props", "priority"]);
    let texts = [
        "author_icon",
        "author_link",
        "author_name",
        "channel",
        "color",
        "fallback",
        "footer",
        "footer_icon",
        "icon_emoji",
        "icon_url",
        "image_url",
        "pretext",
        "text",
        "thumb_url",
        "title",
        "title_link",
        "type",
        "username",
    ];
    fields.texts(&texts).map(drop)
}

fn pushover(fields: &mut Fields<'_>) -> Read<()> {
    http_config(fields)?;
    for name in ["user_key", "token"] {
        let is_there = fields.secret(name)?.is_some();
        needs(fields, is_there, name)?;
    }
    for name in ["retry", "expire", "ttl"] {
        fields.go_duration(name)?;
    }
    if fields.flag("html")?.unwrap_or(false) & fields.flag("monospace")?.unwrap_or(false) {
        return fields.refuse("there can be `html` or `monospace`, not both");
    }
    fields.texts(&["title", "message", "url", "url_title", "device", "sound", "priority"]).map(drop)
}

fn rocketchat(fields: &mut Fields<'_>, global: &Global) -> Read<()> {
    http_config(fields)?;
    fields.url("api_url")?;
    for (name, global_name) in [("token_id", "rocketchat_token_id"), ("token", "rocketchat_token")] {
        let is_there = fields.secret(name)?.is_some() || inherited(global, global_name);
        needs(fields, is_there, name)?;
    }
    for name in ["short_fields", "link_names"] {
        fields.flag(name)?;
    }
    fields.objects("fields", "a field")?;
    fields.objects("actions", "an action")?;
    let texts = ["channel", "color", "title", "title_link", "text", "emoji", "icon_url", "image_url", "thumb_url"];
    fields.texts(&texts).map(drop)
}

fn victorops(fields: &mut Fields<'_>, global: &Global) -> Read<()> {
    http_config(fields)?;
    fields.url("api_url")?;
    let key = fields.secret("api_key")?.is_some() || inherited(global, "victorops_api_key");
    needs(fields, key, "api_key")?;
    let routing = fields.filled("routing_key")?.is_some();
    needs(fields, routing, "routing_key")?;
    let fixed = [
        "routing_key",
        "message_type",
        "state_message",
        "entity_display_name",
        "monitoring_tool",
        "entity_id",
        "entity_state",
    ];
    let custom = fields.map("custom_fields")?;
    if let Some(name) = fixed.iter().find(|name| custom.contains_key(**name)) {
        return fields.refuse(format!("`{name}` cannot be a custom field"));
    }
    fields.texts(&["message_type", "state_message", "entity_display_name", "monitoring_tool"]).map(drop)
}

fn webex(fields: &mut Fields<'_>) -> Read<()> {
    fields.url("api_url")?;
    let room = fields.filled("room_id")?.is_some();
    needs(fields, room, "room_id")?;
    let http = http_config(fields)?;
    let is_authorized = http.is_some_and(|http| http.authorization.is_some());
    needs(fields, is_authorized, "http_config.authorization")?;
    fields.text("message").map(drop)
}

fn wechat(fields: &mut Fields<'_>, global: &Global) -> Read<()> {
    http_config(fields)?;
    fields.url("api_url")?;
    let secret = fields.secret("api_secret")?.is_some() || inherited(global, "wechat_api_secret");
    needs(fields, secret, "api_secret")?;
    let corp = fields.filled("corp_id")?.is_some() || inherited(global, "wechat_api_corp_id");
    needs(fields, corp, "corp_id")?;
    let kind = fields.text("message_type")?;
    if !matches!(kind.as_deref(), None | Some("" | "text" | "markdown")) {
        return fields.refuse("`message_type` is neither text nor markdown");
    }
    fields.texts(&["message", "to_user", "to_party", "to_tag", "agent_id"]).map(drop)
}

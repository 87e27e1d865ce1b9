//! Slack, mail, webhooks and Amazon SNS, and what `global` says about all receivers.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Language;
use serde_saphyr::Location;

use super::fields::{Fields, Read};
use super::http::{http_config, tls_config};
use super::{
    Email, Http, MailSender, Secret, Slack, SlackDoor, SlackField, SlackLook, Smtp, Sns, SnsTarget, Target, Thread,
    Tls, Webhook, is_mailbox,
};

/// The mail server that stands for the outbox folder. `.invalid` is reserved: no such host can ever exist (RFC 2606).
const OUTBOX: &str = "outbox.invalid:25";
/// Where the web API of Slack posts messages.
const SLACK_API: &str = "https://slack.com/api/chat.postMessage";

/// What receivers inherit from `global`.
pub(super) struct Global {
    pub(super) resolve_timeout: Duration,
    pub(super) http: Http,
    from: Option<(Location, String)>,
    /// The server; `Some(None)` is the outbox.
    smarthost: Option<Option<String>>,
    smtp: Smtp,
    slack_url: Option<Secret>,
    slack_token: Option<Secret>,
    slack_api: String,
    pub(super) pagerduty_url: String,
    pub(super) opsgenie_url: String,
    pub(super) opsgenie_key: Option<Secret>,
    pub(super) telegram_url: String,
    pub(super) telegram_token: Option<Secret>,
    /// Settings of services that are not delivered to, by their names: `true` where they are given.
    pub(super) given: BTreeMap<&'static str, bool>,
}

impl Global {
    pub(super) fn read(mut fields: Fields<'_>) -> Read<Self> {
        let http = http_config(&mut fields)?.unwrap_or_default();
        let (slack_url, slack_token) = (fields.secret_url("slack_api_url")?, fields.secret("slack_app_token")?);
        let slack_api = fields.url("slack_app_url")?.unwrap_or_else(|| SLACK_API.to_owned());
        if slack_token.is_some() && slack_url.as_ref().is_some_and(|url| *url != Secret::new(slack_api.as_str())) {
            return fields.refuse("there can be `slack_app_token` or `slack_api_url`, not both");
        }
        let or = |url: Option<String>, default: &str| url.unwrap_or_else(|| default.to_owned());
        let global = Self {
            resolve_timeout: fields.duration("resolve_timeout", Duration::from_secs(300))?,
            http,
            from: fields.filled("smtp_from")?,
            smarthost: smarthost(&mut fields, "smtp_smarthost")?,
            smtp: smtp(&mut fields, "smtp_")?,
            slack_url,
            slack_token,
            slack_api,
            pagerduty_url: or(fields.url("pagerduty_url")?, "https://events.pagerduty.com/v2/enqueue"),
            opsgenie_url: or(fields.url("opsgenie_api_url")?, "https://api.opsgenie.com/"),
            opsgenie_key: fields.secret("opsgenie_api_key")?,
            telegram_url: or(fields.url("telegram_api_url")?, "https://api.telegram.org"),
            telegram_token: fields.secret("telegram_bot_token")?,
            given: given(&mut fields)?,
        };
        fields.end()?;
        Ok(global)
    }

    /// Who mails are from that no receiver sends.
    pub(super) fn mail_sender(&self, fields: &Fields<'_>) -> Read<Option<MailSender>> {
        let Some((place, from)) = &self.from else { return Ok(None) };
        let from = mailboxes(fields, *place, from)?.join(", ");
        Ok(Some(MailSender { from, smarthost: self.smarthost.clone().flatten(), smtp: self.smtp.clone() }))
    }
}

/// What `global` says about services that are not delivered to, checked as upstream does.
fn given(fields: &mut Fields<'_>) -> Read<BTreeMap<&'static str, bool>> {
    let mut given = BTreeMap::new();
    for name in ["jira_api_url", "rocketchat_api_url", "victorops_api_url", "webex_api_url", "wechat_api_url"] {
        given.insert(name, fields.url(name)?.is_some());
    }
    for name in ["rocketchat_token", "rocketchat_token_id", "victorops_api_key", "wechat_api_secret"] {
        given.insert(name, fields.secret(name)?.is_some());
    }
    given.insert("mattermost_webhook_url", fields.secret_url("mattermost_webhook_url")?.is_some());
    given.insert("wechat_api_corp_id", fields.filled("wechat_api_corp_id")?.is_some());
    Ok(given)
}

/// How to speak with a mail server; the names of the fields start with `smtp_` in `global`.
fn smtp(fields: &mut Fields<'_>, prefix: &str) -> Read<Smtp> {
    let name = |name: &str| format!("{prefix}{name}");
    let tls = tls_config(fields, if prefix.is_empty() { "tls_config" } else { "smtp_tls_config" })?;
    let smtp = Smtp {
        hello: fields.filled_text(&name("hello"))?,
        username: fields.filled_text(&name("auth_username"))?,
        password: fields.secret(&name("auth_password"))?,
        require_tls: fields.flag(&name("require_tls"))?,
        implicit_tls: fields.flag(&name("force_implicit_tls"))?,
        tls,
    };
    if fields.secret(&name("auth_secret"))?.is_some() {
        fields.notes.unheeded(fields.place, format!("`{}` is not heeded: no CRAM-MD5", name("auth_secret")));
    }
    fields.unheeded(&[&name("auth_identity")]);
    Ok(smtp)
}

fn smarthost(fields: &mut Fields<'_>, name: &str) -> Read<Option<Option<String>>> {
    let Some((place, text)) = fields.filled(name)? else { return Ok(None) };
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) if text == OUTBOX => Ok(Some(None)),
        Some(Ok(_)) => Ok(Some(Some(text))),
        Some(Err(_)) | None => fields.notes.refuse(place, format!("{text:?} is not host:port")),
    }
}

/// Addresses with commas between them; a template is known only when it is expanded.
fn mailboxes(fields: &Fields<'_>, place: Location, text: &str) -> Read<Vec<String>> {
    if text.contains("{{") {
        return Ok(vec![text.to_owned()]);
    }
    let boxes: Vec<String> = text.split(',').map(|one| one.trim().to_owned()).collect();
    match boxes.iter().find(|one| !is_mailbox(one)) {
        Some(bad) => fields.notes.refuse(place, format!("{bad:?} is not a mail address")),
        None => Ok(boxes),
    }
}

pub(super) fn slack(fields: &mut Fields<'_>, global: &Global) -> Read<Target> {
    const TEXTS: [&str; 13] = [
        "callback_id",
        "color",
        "fallback",
        "footer",
        "icon_emoji",
        "icon_url",
        "image_url",
        "pretext",
        "text",
        "thumb_url",
        "title",
        "title_link",
        "username",
    ];
    let http = http_config(fields)?;
    let door = slack_door(fields, http.as_ref(), global)?;
    let update = fields.flag("update_message")?.unwrap_or(false);
    if update && matches!(door, SlackDoor::Webhook(_)) {
        return fields.refuse("`update_message` needs the web API: an `app_token`, or its URL as `api_url`");
    }
    let short = fields.flag("short_fields")?.unwrap_or(false);
    let look = SlackLook {
        message_text: fields.text("message_text")?,
        fields: slack_fields(fields, short)?,
        actions: slack_actions(fields)?,
        mrkdwn_in: fields.list("mrkdwn_in")?,
        link_names: fields.flag("link_names")?.unwrap_or(false),
        texts: fields.texts(&TEXTS)?,
    };
    fields.go_duration("timeout")?;
    let channel = fields.text("channel")?.unwrap_or_default();
    let http = http.unwrap_or_else(|| global.http.clone());
    Ok(Target::Slack(Box::new(Slack { door, channel, look, update, http })))
}

/// How the messages get in: what the receiver says itself comes before `global`, a token before a webhook.
fn slack_door(fields: &mut Fields<'_>, http: Option<&Http>, global: &Global) -> Read<SlackDoor> {
    let (own_url, own_token) = (fields.secret_url("api_url")?, fields.secret("app_token")?);
    let api = fields.url("app_url")?.unwrap_or_else(|| global.slack_api.clone());
    if own_url.is_some() && own_token.is_some() {
        return fields.refuse("there can be `api_url` or `app_token`, not both");
    }
    let is_authorized = http.is_some_and(|http| http.authorization.is_some());
    let inherits = own_url.is_none() && !is_authorized;
    let token = own_token.or_else(|| global.slack_token.clone().filter(|_| inherits));
    match (token, own_url.or_else(|| global.slack_url.clone())) {
        (Some(_), _) if is_authorized => {
            fields.refuse("`app_token` is an authorization already: `http_config` cannot have another")
        }
        (Some(token), _) => Ok(SlackDoor::WebApi { url: api, token: Some(token) }),
        (None, Some(url)) if url == Secret::new(api.as_str()) => Ok(SlackDoor::WebApi { url: api, token: None }),
        (None, Some(url)) => Ok(SlackDoor::Webhook(url)),
        (None, None) => fields.refuse("there is no `api_url` here and no `slack_api_url` in `global`"),
    }
}

fn slack_fields(fields: &mut Fields<'_>, all_short: bool) -> Read<Vec<SlackField>> {
    let read = |mut field: Fields<'_>| {
        let (Some(title), Some(value)) = (field.filled_text("title")?, field.filled_text("value")?) else {
            return field.refuse("a field needs `title` and `value`");
        };
        let short = field.flag("short")?.unwrap_or(all_short);
        field.end()?;
        Ok(SlackField { title, value, short })
    };
    fields.objects("fields", "a field")?.into_iter().map(read).collect()
}

fn slack_actions(fields: &mut Fields<'_>) -> Read<Vec<serde_json::Value>> {
    fields.objects("actions", "an action")?.into_iter().map(slack_action).collect()
}

fn slack_action(mut action: Fields<'_>) -> Read<serde_json::Value> {
    let mut texts = action.texts(&["type", "text", "url", "style", "name", "value"])?;
    texts.retain(|_, text| !text.is_empty());
    for needed in ["type", "text"] {
        if !texts.contains_key(needed) {
            return action.refuse(format!("an action needs `{needed}`"));
        }
    }
    let confirm = action.object("confirm", "`confirm`")?;
    let mut value = serde_json::Map::new();
    if let Some(mut confirm) = confirm {
        let texts = confirm.texts(&["text", "title", "ok_text", "dismiss_text"])?;
        if texts.get("text").is_none_or(String::is_empty) {
            return confirm.refuse("`confirm` needs `text`");
        }
        confirm.end()?;
        value.insert("confirm".to_owned(), texts.into_iter().map(|(name, text)| (name.to_owned(), text)).collect());
    }
    match (texts.contains_key("url"), texts.contains_key("name")) {
        (true, _) => {
            // A link does nothing else.
            texts.retain(|name, _| !matches!(*name, "name" | "value"));
            value.clear();
        }
        (false, true) => {}
        (false, false) => return action.refuse("an action needs `url` or `name`"),
    }
    action.end()?;
    value.extend(texts.into_iter().map(|(name, text)| (name.to_owned(), text.into())));
    Ok(serde_json::Value::Object(value))
}

pub(super) fn webhook(fields: &mut Fields<'_>, global: &Global) -> Read<Target> {
    let Some(url) = fields.secret_url("url")? else {
        return fields.refuse("there is no `url`");
    };
    let http = http_config(fields)?.unwrap_or_else(|| global.http.clone());
    let max_alerts = fields.count("max_alerts")?;
    fields.go_duration("timeout")?;
    Ok(Target::Webhook(Webhook { url, max_alerts, payload: fields.value("payload"), http }))
}

pub(super) fn sns(fields: &mut Fields<'_>) -> Read<Target> {
    let phone = fields.filled("phone_number")?;
    let topic = fields.filled("topic_arn")?;
    let device = fields.filled("target_arn")?;
    let to = match (phone, topic, device) {
        (Some((place, number)), None, None) => SnsTarget::Phone(phone_number(fields, place, number)?),
        (None, Some((place, arn)), None) => SnsTarget::Topic(topic_arn(fields, place, arn)?),
        (None, None, Some((_, arn))) => SnsTarget::Device(arn),
        (None, None, None) => return fields.refuse("there is neither `phone_number`, `topic_arn` nor `target_arn`"),
        (Some(_), Some((place, _)), _) | (Some(_), _, Some((place, _))) | (_, Some((place, _)), Some(_)) => {
            return fields.notes.refuse(place, "there is another destination already: make two of them");
        }
    };
    if matches!(to, SnsTarget::Device(_)) {
        fields.notes.unheeded(fields.place, "`target_arn` is one device of a mobile app, which is not delivered to");
    }
    sigv4(fields)?;
    http_config(fields)?;
    fields.unheeded(&["api_url"]);
    fields.ignore(&["use_aws_http_client"]);
    let (subject, message) = (fields.text("subject")?, fields.text("message")?);
    Ok(Target::Sns(Sns { to, subject, message, attributes: fields.map("attributes")? }))
}

/// How to sign requests to AWS: checked, but the deployment's own region and rights count.
fn sigv4(of: &mut Fields<'_>) -> Read<()> {
    let Some(mut fields) = of.object("sigv4", "`sigv4`")? else { return Ok(()) };
    if fields.has("access_key") != fields.has("secret_key") {
        return fields.refuse("`access_key` and `secret_key` belong together");
    }
    if fields.has("external_id") && !fields.has("role_arn") {
        return fields.refuse("`external_id` needs `role_arn`");
    }
    fields.unheeded(&["access_key", "secret_key", "profile", "role_arn", "external_id", "service_name"]);
    fields.ignore(&["region", "use_fips_sts_endpoint"]);
    fields.end()
}

fn phone_number(fields: &Fields<'_>, place: Location, number: String) -> Read<String> {
    let digits = number.strip_prefix('+').unwrap_or("");
    let is_number = (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if is_number || number.contains("{{") {
        return Ok(number);
    }
    // The number is not repeated: it is somebody's.
    fields.notes.refuse(place, "this is not a telephone number like +819012345678, with the country's code")
}

fn topic_arn(fields: &Fields<'_>, place: Location, arn: String) -> Read<String> {
    let parts: Vec<&str> = arn.split(':').collect();
    let is_topic = matches!(parts[..], ["arn", partition, "sns", region, account, name]
        if partition.starts_with("aws") && ![region, account, name].contains(&""));
    if is_topic || arn.contains("{{") {
        return Ok(arn);
    }
    fields.notes.refuse(place, format!("{arn:?} is not a topic like arn:aws:sns:us-east-1:123456789012:name"))
}

/// A mail, and the language of its recipient where a header says it.
pub(super) fn email(fields: &mut Fields<'_>, global: &Global) -> Read<(Target, Option<Language>)> {
    let Some((to_place, to)) = fields.filled("to")? else {
        return fields.refuse("there is no `to`");
    };
    let Some((from_place, from)) = fields.filled("from")?.or_else(|| global.from.clone()) else {
        return fields.refuse("there is no `from` here and no `smtp_from` in `global`");
    };
    let (from, to) = (mailboxes(fields, from_place, &from)?, mailboxes(fields, to_place, &to)?);
    let smarthost = smarthost(fields, "smarthost")?.or_else(|| global.smarthost.clone()).flatten();
    let own = smtp(fields, "")?;
    let has_password = own.password.is_some();
    let smtp = Smtp {
        hello: own.hello.or_else(|| global.smtp.hello.clone()),
        username: own.username.or_else(|| global.smtp.username.clone()),
        password: if has_password { own.password } else { global.smtp.password.clone() },
        require_tls: own.require_tls.or(global.smtp.require_tls),
        implicit_tls: own.implicit_tls.or(global.smtp.implicit_tls),
        tls: if own.tls == Tls::default() { global.smtp.tls.clone() } else { own.tls },
    };
    if smarthost.is_none() && smtp != Smtp::default() {
        let what = "without a `smarthost` mails go to the outbox folder, on AWS to SES: how to speak with a mail \
                    server is not heeded";
        fields.notes.unheeded(fields.place, what);
    }
    let (headers, language) = mail_headers(fields)?;
    let thread = threading(fields, &headers)?;
    let (html, text) = (fields.text("html")?, fields.text("text")?);
    let email = Email { from: from.join(", "), to, smarthost, smtp, headers, html, text, thread };
    Ok((Target::Email(Box::new(email)), language))
}

/// Headers that say how a mail is put together.
const OWN_HEADERS: [&str; 5] = ["Bcc", "Content-Transfer-Encoding", "Content-Type", "Message-Id", "Mime-Version"];

/// The headers under their usual spelling; `Content-Language` chooses the words of the house.
fn mail_headers(fields: &mut Fields<'_>) -> Read<(BTreeMap<String, String>, Option<Language>)> {
    let mut headers = BTreeMap::new();
    for (name, value) in fields.map("headers")? {
        let usual = canonical(&name);
        if OWN_HEADERS.contains(&usual.as_str()) {
            fields.notes.unheeded(fields.place, format!("the header `{usual}` is not heeded: every mail has its own"));
            continue;
        }
        if headers.insert(usual.clone(), value).is_some() {
            return fields.refuse(format!("header `{usual}` is there twice"));
        }
    }
    let language = match headers.get("Content-Language").map(String::as_str) {
        Some("ja") => Some(Language::Japanese),
        Some("en") => Some(Language::English),
        Some(_) | None => None,
    };
    Ok((headers, language))
}

/// A header's name with capitals at the start of its words.
fn canonical(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_ascii_uppercase().to_string() + &letters.as_str().to_ascii_lowercase()
        })
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

fn threading(fields: &mut Fields<'_>, headers: &BTreeMap<String, String>) -> Read<Option<Thread>> {
    let is_given = |name: &&str| headers.contains_key(*name);
    let Some(mut fields) = fields.object("threading", "`threading`")? else {
        // Without a word from the file, mails about a group are a thread: headers alone, which break nothing.
        return Ok(["References", "In-Reply-To"].iter().all(|name| !is_given(name)).then_some(Thread::Group));
    };
    let enabled = fields.flag("enabled")?.unwrap_or(false);
    let by_date = fields.text("thread_by_date")?.unwrap_or_default();
    if enabled && let Some(name) = ["References", "In-Reply-To"].iter().find(|name| is_given(name)) {
        return fields.refuse(format!("`threading` writes the header `{name}`, which is given as well"));
    }
    let thread = match by_date.as_str() {
        "daily" => Thread::Day,
        "none" => Thread::Group,
        _ if !enabled => Thread::Group,
        _ => return fields.refuse("`thread_by_date` is neither none nor daily"),
    };
    fields.end()?;
    Ok(enabled.then_some(thread))
}

//! A message of Slack in a receiver's own words: an attachment, as Alertmanager sends it.

use alerting::notify::Slack;
use serde_json::{Map, Value, json};

use super::{cut, own, put};

const TITLE_CHARS_MAX: usize = 1024;
/// Which texts are in Slack's markup, where the file does not say.
const MARKED_UP: [&str; 3] = ["fallback", "pretext", "text"];

/// The body of a message whose house form is given. What the receiver says itself takes its place, but for the buttons;
/// a receiver that says nothing may still choose name, icon and colour.
pub(in crate::notify) fn slack(slack: &Slack, house: &str) -> Value {
    let look = &slack.look;
    let mut body: Value = serde_json::from_str(house).expect("the house writes JSON");
    if look.says_something() {
        let buttons = buttons(&body["attachments"]);
        body["attachments"] = [Some(attachment(slack)), buttons].into_iter().flatten().collect();
    } else if let Some(colour) = own(&look.texts, "color").filter(|colour| !colour.is_empty()) {
        body["attachments"][0]["color"] = colour.into();
    }
    let document = body.as_object_mut().expect("the house writes an object");
    if look.says_something() {
        document.remove("text");
        put(document, "text", look.message_text.as_deref());
    }
    for name in ["username", "icon_emoji", "icon_url"] {
        put(document, name, own(&look.texts, name));
    }
    if look.link_names {
        document.insert("link_names".to_owned(), true.into());
    }
    body
}

fn attachment(slack: &Slack) -> Value {
    let look = &slack.look;
    let mut attachment = Map::new();
    let title = own(&look.texts, "title").map(|title| cut(title, TITLE_CHARS_MAX));
    put(&mut attachment, "title", title.as_deref());
    for name in
        ["callback_id", "color", "fallback", "footer", "image_url", "pretext", "text", "thumb_url", "title_link"]
    {
        put(&mut attachment, name, own(&look.texts, name));
    }
    let field = |field: &alerting::notify::SlackField| json!({ "title": field.title, "value": field.value, "short": field.short });
    if !look.fields.is_empty() {
        attachment.insert("fields".to_owned(), look.fields.iter().map(field).collect());
    }
    if !look.actions.is_empty() {
        attachment.insert("actions".to_owned(), look.actions.clone().into());
    }
    let marked_up = look.mrkdwn_in.clone().unwrap_or_else(|| MARKED_UP.map(str::to_owned).to_vec());
    attachment.insert("mrkdwn_in".to_owned(), marked_up.into());
    Value::Object(attachment)
}

/// The part of the house's message with which people answer.
fn buttons(attachments: &Value) -> Option<Value> {
    let house = attachments.get(0)?;
    let blocks = house["blocks"].as_array()?.iter().filter(|block| block["type"] == "actions");
    let blocks: Vec<Value> = blocks.cloned().collect();
    (!blocks.is_empty()).then(|| json!({ "color": house["color"], "blocks": blocks }))
}

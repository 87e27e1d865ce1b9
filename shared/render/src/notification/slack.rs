//! The body of a Slack message: blocks with mrkdwn, a fallback text, a bar in the colour of the severity.

use serde_json::{Value, json};

use super::{Item, Kind, Message, Writer, cut, distinguishing, words};

/// Most alerts of a message; the rest is counted.
const ALERTS_MAX: usize = 10;
/// Most characters of a block's text, as Slack takes it.
const BLOCK_CHARS_MAX: usize = 3000;

impl Writer<'_> {
    /// The body for an incoming webhook of Slack; an empty channel leaves the choice to the webhook.
    pub fn slack(&self, message: &Message, channel: &str) -> String {
        let subject = self.subject(message);
        let link = format!("{}/alerts", message.external_url);
        let mut blocks = vec![section(&format!("*<{link}|{}>*\n{}", escaped(&subject), self.counts(message)))];
        for alert in message.alerts.iter().take(ALERTS_MAX) {
            blocks.push(section(&self.slack_alert(alert)));
        }
        if message.alerts.len() > ALERTS_MAX {
            blocks.push(section(&words::more(self.language, message.alerts.len() - ALERTS_MAX)));
        }
        let reason = words::reason(self.language, &message.reason);
        blocks.push(context(&format!(
            "{}: {} · <{link}|{}>",
            words::why(self.language),
            escaped(reason),
            words::all_alerts(self.language)
        )));
        if let Some(value) = message.buttons.as_ref().filter(|_| message.kind() != Kind::Resolved) {
            let button = |action: &str| {
                let text = words::button(self.language, action);
                json!({"type": "button", "action_id": action, "value": value,
                    "text": {"type": "plain_text", "text": text}})
            };
            let buttons: Vec<Value> = ["ack", "silence", "escalate"].map(button).to_vec();
            blocks.push(json!({"type": "actions", "elements": buttons}));
        }
        let mut body = json!({
            "text": escaped(&self.fallback(message, &subject)),
            "attachments": [{"color": message.kind().colour(), "blocks": blocks}],
        });
        if !channel.is_empty() {
            body["channel"] = Value::from(channel);
        }
        body.to_string()
    }

    /// The text that answers a message of Slack which was changed: what is new, in two lines.
    pub fn slack_answer(&self, message: &Message) -> String {
        let subject = self.subject(message);
        let reason = words::reason(self.language, &message.reason);
        format!("*{}*\n{} · {}", escaped(&subject), self.counts(message), escaped(reason))
    }

    /// What stands in a list of messages and is read aloud: subject and first description.
    fn fallback(&self, message: &Message, subject: &str) -> String {
        let description = message.alerts.first().and_then(|alert| {
            alert.annotation("description", self.language).or_else(|| alert.annotation("summary", self.language))
        });
        cut(&description.map_or_else(|| subject.to_owned(), |text| format!("{subject}: {text}")), 300)
    }

    fn slack_alert(&self, alert: &Item) -> String {
        let line = |(label, value): (String, String)| match label.is_empty() {
            true => escaped(&value),
            false => format!("*{}:* {}", escaped(&label), escaped(&value)),
        };
        let mut lines: Vec<String> = self.lines(alert).into_iter().map(line).collect();
        let labels: Vec<String> =
            distinguishing(&alert.labels).map(|(name, value)| format!("{name}={value}")).collect();
        if !labels.is_empty() {
            lines.push(format!("*{}:* {}", words::labels(self.language), escaped(&labels.join(", "))));
        }
        let links = [
            (words::graph(self.language), Some(alert.generator_url.as_str())),
            (words::runbook(self.language), alert.annotation("runbook_url", self.language)),
        ];
        let links = links.into_iter().filter_map(|(word, url)| Some((word, url.filter(|url| is_link(url))?)));
        let links: Vec<String> = links.map(|(word, url)| format!("<{}|{word}>", escaped(url))).collect();
        if !links.is_empty() {
            lines.push(links.join(" · "));
        }
        lines.join("\n")
    }
}

/// Whether a text can be a link: nothing but http and https, nothing that would end it early.
pub(super) fn is_link(url: &str) -> bool {
    let scheme = url.starts_with("http://") || url.starts_with("https://");
    scheme && !url.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '|'))
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": cut(text, BLOCK_CHARS_MAX)}})
}

fn context(text: &str) -> Value {
    json!({"type": "context", "elements": [{"type": "mrkdwn", "text": cut(text, BLOCK_CHARS_MAX)}]})
}

/// The three characters that mean something to Slack's parser, so that no value can mention a person or a channel.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

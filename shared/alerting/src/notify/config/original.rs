//! The configuration file as it may be shown: the same YAML with every secret replaced.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// What stands in the place of a secret; Alertmanager's tools know it.
const SECRET: &str = "<secret>";

/// Fields that hold a secret wherever they stand.
const SECRETS: [&str; 27] = [
    "alert_source_token",
    "api_key",
    "api_secret",
    "app_token",
    "auth_password",
    "auth_secret",
    "bearer_token",
    "bot_token",
    "client_certificate_key",
    "client_secret",
    "credentials",
    "key",
    "mattermost_webhook_url",
    "opsgenie_api_key",
    "password",
    "rocketchat_token",
    "rocketchat_token_id",
    "secret_key",
    "service_key",
    "slack_api_url",
    "slack_app_token",
    "smtp_auth_password",
    "smtp_auth_secret",
    "telegram_bot_token",
    "victorops_api_key",
    "webhook_url",
    "wechat_api_secret",
];
/// Fields that hold one only below others.
const SECRETS_BELOW: [(&str, &str); 9] = [
    ("pagerduty_configs", "routing_key"),
    ("proxy_connect_header", "*"),
    ("http_headers", "secrets"),
    ("pushover_configs", "token"),
    ("pushover_configs", "user_key"),
    ("rocketchat_configs", "token"),
    ("rocketchat_configs", "token_id"),
    ("slack_configs", "api_url"),
    ("webhook_configs", "url"),
];

/// YAML with its order kept.
enum Node {
    Null,
    Plain(String),
    Text(String),
    List(Vec<Self>),
    Mapping(Vec<(String, Self)>),
}

/// Writes a file again without its secrets and comments; the empty text when it is no YAML.
pub(super) fn shown(yaml: &str) -> String {
    let Ok(mut node) = serde_saphyr::from_str::<Node>(yaml) else { return String::new() };
    node.redact(&mut Vec::new());
    let mut text = String::new();
    node.write(0, &mut text);
    text
}

impl Node {
    fn redact(&mut self, path: &mut Vec<String>) {
        match self {
            Self::Mapping(pairs) => {
                for (name, value) in pairs {
                    path.push(name.clone());
                    if is_secret(path) {
                        value.hide();
                    } else {
                        value.redact(path);
                    }
                    path.pop();
                }
            }
            Self::List(items) => items.iter_mut().for_each(|item| item.redact(path)),
            Self::Text(text) if path.last().is_some_and(|name| name == "proxy_url") && text.contains('@') => {
                *text = SECRET.to_owned();
            }
            Self::Null | Self::Plain(_) | Self::Text(_) => {}
        }
    }

    /// Hides every text below.
    fn hide(&mut self) {
        match self {
            Self::Null => {}
            Self::Text(text) if text.is_empty() => {}
            Self::Plain(_) | Self::Text(_) => *self = Self::Text(SECRET.to_owned()),
            Self::List(items) => items.iter_mut().for_each(Self::hide),
            Self::Mapping(pairs) => pairs.iter_mut().for_each(|(_, value)| value.hide()),
        }
    }

    fn write(&self, indent: usize, text: &mut String) {
        let spaces = " ".repeat(indent);
        match self {
            Self::Mapping(pairs) if !pairs.is_empty() => {
                for (name, value) in pairs {
                    text.extend([spaces.as_str(), &scalar(name), ":"]);
                    value.write_below(indent, text);
                }
            }
            Self::List(items) if !items.is_empty() => {
                for item in items {
                    text.extend([spaces.as_str(), "-"]);
                    item.write_below(indent, text);
                }
            }
            Self::Null | Self::Plain(_) | Self::Text(_) | Self::List(_) | Self::Mapping(_) => {
                text.extend([spaces.as_str(), &self.line(), "\n"]);
            }
        }
    }

    /// What stands behind a name or a dash.
    fn write_below(&self, indent: usize, text: &mut String) {
        let is_nested = match self {
            Self::Mapping(pairs) => !pairs.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Null | Self::Plain(_) | Self::Text(_) => false,
        };
        if is_nested {
            text.push('\n');
            self.write(indent + 2, text);
        } else {
            text.extend([" ", &self.line(), "\n"]);
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Plain(plain) => plain.clone(),
            Self::Text(text) => scalar(text),
            Self::List(_) => "[]".to_owned(),
            Self::Mapping(_) => "{}".to_owned(),
        }
    }
}

fn is_secret(path: &[String]) -> bool {
    let Some((name, above)) = path.split_last() else { return false };
    let below = |holder: &str| above.iter().any(|one| one == holder);
    // The header of a mail or a group may be called as a secret is.
    let is_free = above.last().is_some_and(|one| matches!(one.as_str(), "headers" | "labels" | "details" | "match"));
    !is_free && SECRETS.contains(&name.as_str())
        || SECRETS_BELOW.iter().any(|(holder, field)| below(holder) && (*field == "*" || field == name))
}

/// A text in one line: plain where nothing can be misunderstood, else in double quotes.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { serde_json::to_string(text).expect("a text becomes JSON") }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Node, A::Error> {
        let mut mapping = Vec::new();
        while let Some((name, value)) = pairs.next_entry::<String, Node>()? {
            mapping.push((name, value));
        }
        Ok(Node::Mapping(mapping))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays_and_the_secrets_go() {
        let yaml = "
# a comment
route: {receiver: r, group_by: ['...'], routes: []}
global:
  slack_api_url: https://hooks.example.com/geheim
  slack_api_url_file: ''
  resolve_timeout: 5m
receivers:
- name: r
  webhook_configs: [{url: 'http://geheim', max_alerts: 3}]
  slack_configs: [{api_url: 'http://geheim', title: \"a: 'b'\\n\"}]
  pagerduty_configs:
  - routing_key: geheim
    details: {key: shown, x: null}
    http_config:
      authorization: {credentials: geheim}
      http_headers: {X: {secrets: [geheim], values: [shown]}}
      proxy_url: http://u:geheim@p
  victorops_configs: [{routing_key: shown, api_key: geheim}]
";
        insta::assert_snapshot!(shown(yaml), @r#"
        route:
          receiver: r
          group_by:
            - "..."
          routes: []
        global:
          slack_api_url: "<secret>"
          slack_api_url_file: ""
          resolve_timeout: "5m"
        receivers:
          -
            name: r
            webhook_configs:
              -
                url: "<secret>"
                max_alerts: 3
            slack_configs:
              -
                api_url: "<secret>"
                title: "a: 'b'\n"
            pagerduty_configs:
              -
                routing_key: "<secret>"
                details:
                  key: shown
                  x: null
                http_config:
                  authorization:
                    credentials: "<secret>"
                  http_headers:
                    X:
                      secrets:
                        - "<secret>"
                      values:
                        - shown
                  proxy_url: "<secret>"
            victorops_configs:
              -
                routing_key: shown
                api_key: "<secret>"
        "#);
    }
}

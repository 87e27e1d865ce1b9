//! What a template computes with.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::tz::TimeZone;

use super::{methods, print};

/// What a list holds, which decides its methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Items {
    Any,
    Texts,
    /// Names and values of labels, in order.
    Pairs,
    /// Alerts of a notification.
    Alerts,
}

/// What a text is safe as, so that nothing of it is escaped there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safe {
    Html,
    Url,
}

/// A value of the template language.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing at all: a missing field of nothing.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    /// Text to text; what is missing is the empty text.
    Texts(Rc<BTreeMap<String, String>>),
    /// Named values; what is missing is nothing.
    Map(Rc<BTreeMap<String, Value>>),
    /// Fixed fields; a field that is missing is an error.
    Record(&'static str, Rc<BTreeMap<&'static str, Value>>),
    /// Labels or annotations of a notification: as `Texts`, and with methods.
    Pairs(Rc<BTreeMap<String, String>>),
    List(Items, Rc<Vec<Value>>),
    /// Seconds since the epoch, and the zone in which it is shown.
    Time(f64, TimeZone),
    /// A text that somebody vouches for.
    Safe(Safe, Rc<str>),
    /// Seconds.
    Duration(f64),
}

impl Value {
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(Rc::from(text.as_ref()))
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Items::Any, Rc::new(items))
    }

    pub(super) fn texts(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self::List(Items::Texts, Rc::new(texts.into_iter().map(Self::text).collect()))
    }

    /// A time, shown in UTC.
    pub(super) const fn time(seconds: f64) -> Self {
        Self::Time(seconds, TimeZone::UTC)
    }

    /// What Go calls the type, for messages.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Texts(_) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Record(name, _) => name,
            Self::Pairs(_) => "template.KV",
            Self::List(Items::Any, _) => "[]interface {}",
            Self::List(Items::Texts, _) => "[]string",
            Self::List(Items::Pairs, _) => "template.Pairs",
            Self::List(Items::Alerts, _) => "template.Alerts",
            Self::Time(..) => "time.Time",
            Self::Safe(Safe::Html, _) => "template.HTML",
            Self::Safe(Safe::Url, _) => "template.URL",
            Self::Duration(_) => "time.Duration",
        }
    }

    /// Whether it counts as true: not zero and not empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) | Self::Duration(value) => *value != 0.0,
            Self::Text(text) | Self::Safe(_, text) => !text.is_empty(),
            Self::Texts(map) | Self::Pairs(map) => !map.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Record(..) | Self::Time(..) => true,
            Self::List(_, items) => !items.is_empty(),
        }
    }

    /// A field of it.
    pub(super) fn field(&self, name: &str) -> Result<Self, String> {
        match self {
            Self::Nil => Ok(Self::Nil),
            Self::Texts(map) => Ok(Self::text(map.get(name).map_or("", String::as_str))),
            Self::Map(map) => Ok(map.get(name).cloned().unwrap_or(Self::Nil)),
            Self::Record(_, fields) => fields.get(name).cloned().ok_or_else(|| self.no_field(name)),
            Self::Pairs(map) => {
                let label = || Ok(Self::text(map.get(name).map_or("", String::as_str)));
                methods::call(self, name, &[]).unwrap_or_else(label)
            }
            Self::Time(..) | Self::Duration(_) | Self::List(..) => {
                methods::call(self, name, &[]).unwrap_or_else(|| Err(self.no_field(name)))
            }
            Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Text(_) | Self::Safe(..) => Err(self.no_field(name)),
        }
    }

    fn no_field(&self, name: &str) -> String {
        format!("can't evaluate field {name} in type {}", self.type_name())
    }

    /// How an action prints it.
    pub(super) fn printed(&self) -> String {
        if *self == Self::Nil { "<no value>".to_owned() } else { print::plain(self) }
    }
}

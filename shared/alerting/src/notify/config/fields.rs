//! A mapping of the file whose fields are taken one after the other; whatever is left is refused.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use super::Secret;
use crate::ConfigError;

/// A mapping as YAML gives it.
pub(super) type Mapping = BTreeMap<String, Spanned<Value>>;

pub(super) type Read<T> = Result<T, ConfigError>;

/// What the whole file has in common while it is read.
#[derive(Debug)]
pub(super) struct Notes<'a> {
    pub(super) file: &'a str,
    /// What is asked for and not done.
    pub(super) unheeded: RefCell<Vec<String>>,
}

impl Notes<'_> {
    pub(super) fn refuse<T>(&self, location: Location, reason: impl std::fmt::Display) -> Read<T> {
        Err(ConfigError::at(self.file, location, reason))
    }

    pub(super) fn unheeded(&self, location: Location, what: impl std::fmt::Display) {
        let note = ConfigError::at(self.file, location, what).to_string();
        self.unheeded.borrow_mut().push(note);
    }
}

/// The fields of one mapping.
pub(super) struct Fields<'a> {
    pub(super) notes: &'a Notes<'a>,
    /// Where the mapping starts.
    pub(super) place: Location,
    /// What has these fields, for messages.
    what: &'static str,
    left: BTreeMap<String, (Location, Value)>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(notes: &'a Notes<'a>, what: &'static str, place: Location, mapping: Mapping) -> Self {
        let left = mapping.into_iter().map(|(name, value)| (name, (value.referenced, value.value))).collect();
        Self { notes, place, what, left }
    }

    /// A mapping inside of another; it has the place of the field that holds it.
    fn inner(&self, what: &'static str, place: Location, mapping: serde_json::Map<String, Value>) -> Self {
        let left = mapping.into_iter().map(|(name, value)| (name, (place, value))).collect();
        Self { notes: self.notes, place, what, left }
    }

    /// Refuses what nobody took.
    pub(super) fn end(self) -> Read<()> {
        match self.left.first_key_value() {
            Some((name, (place, _))) => self.notes.refuse(*place, format!("{} has no field `{name}`", self.what)),
            None => Ok(()),
        }
    }

    pub(super) fn refuse<T>(&self, reason: impl std::fmt::Display) -> Read<T> {
        self.notes.refuse(self.place, reason)
    }

    /// A value; `null` is as good as none.
    fn take(&mut self, name: &str) -> Option<(Location, Value)> {
        self.left.remove(name).filter(|(_, value)| !value.is_null())
    }

    /// The names of the fields that nobody took yet.
    pub(super) fn names(&self) -> Vec<String> {
        self.left.keys().cloned().collect()
    }

    /// Whether a field is there, and is neither null nor empty.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|(_, value)| !value.is_null() && value.as_str() != Some(""))
    }

    /// A text with its place; numbers and booleans are texts, too.
    pub(super) fn placed(&mut self, name: &str) -> Read<Option<(Location, String)>> {
        match self.take(name) {
            None => Ok(None),
            Some((place, Value::String(text))) => Ok(Some((place, text))),
            Some((place, value @ (Value::Number(_) | Value::Bool(_)))) => Ok(Some((place, value.to_string()))),
            Some((place, _)) => self.notes.refuse(place, format!("`{name}` is not a text")),
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Read<Option<String>> {
        Ok(self.placed(name)?.map(|(_, text)| text))
    }

    /// A text with its place that is not empty.
    pub(super) fn filled(&mut self, name: &str) -> Read<Option<(Location, String)>> {
        Ok(self.placed(name)?.filter(|(_, text)| !text.is_empty()))
    }

    pub(super) fn filled_text(&mut self, name: &str) -> Read<Option<String>> {
        Ok(self.filled(name)?.map(|(_, text)| text))
    }

    /// Those of the texts that are there.
    pub(super) fn texts(&mut self, names: &[&'static str]) -> Read<BTreeMap<&'static str, String>> {
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(text) = self.text(name)? {
                found.insert(*name, text);
            }
        }
        Ok(found)
    }

    pub(super) fn flag(&mut self, name: &str) -> Read<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some((_, Value::Bool(flag))) => Ok(Some(flag)),
            Some((place, _)) => self.notes.refuse(place, format!("`{name}` is neither true nor false")),
        }
    }

    pub(super) fn count(&mut self, name: &str) -> Read<usize> {
        let Some((place, value)) = self.take(name) else { return Ok(0) };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.map_or_else(|| self.notes.refuse(place, format!("`{name}` is not a number, 0 or more")), Ok)
    }

    /// A whole number; `None` for 0.
    pub(super) fn number(&mut self, name: &str) -> Read<Option<i64>> {
        let Some((place, value)) = self.take(name) else { return Ok(None) };
        let number = value.as_i64();
        number.map_or_else(
            || self.notes.refuse(place, format!("`{name}` is not a whole number")),
            |number| Ok(Some(number).filter(|&number| number != 0)),
        )
    }

    /// A duration as Go writes it: `1m30s`, `1.5h`, `250ms`.
    pub(super) fn go_duration(&mut self, name: &str) -> Read<Option<Duration>> {
        let Some((place, text)) = self.placed(name)? else { return Ok(None) };
        match go_duration(&text) {
            Some(duration) => Ok(Some(duration)),
            None => self.notes.refuse(place, format!("{text:?} is not a duration such as 10s or 1m30s")),
        }
    }

    /// A duration as Prometheus writes it.
    pub(super) fn duration(&mut self, name: &str, default: Duration) -> Read<Duration> {
        let Some((place, text)) = self.placed(name)? else { return Ok(default) };
        model::duration::parse(&text).or_else(|error| self.notes.refuse(place, error))
    }

    /// A mapping below a field.
    pub(super) fn object(&mut self, name: &str, what: &'static str) -> Read<Option<Self>> {
        match self.take(name) {
            None => Ok(None),
            Some((place, Value::Object(mapping))) => Ok(Some(self.inner(what, place, mapping))),
            Some((place, _)) => self.notes.refuse(place, format!("`{name}` is not a mapping")),
        }
    }

    /// Mappings in a list below a field.
    pub(super) fn objects(&mut self, name: &str, what: &'static str) -> Read<Vec<Self>> {
        let (place, items) = match self.take(name) {
            None => return Ok(Vec::new()),
            Some((place, Value::Array(items))) => (place, items),
            Some((place, _)) => return self.notes.refuse(place, format!("`{name}` is not a list")),
        };
        let item = |value| match value {
            Value::Object(mapping) => Ok(self.inner(what, place, mapping)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.notes.refuse(place, format!("an item of `{name}` is not a mapping"))
            }
        };
        items.into_iter().map(item).collect()
    }

    /// Texts in a list below a field.
    pub(super) fn list(&mut self, name: &str) -> Read<Option<Vec<String>>> {
        let (place, items) = match self.take(name) {
            None => return Ok(None),
            Some((place, Value::Array(items))) => (place, items),
            Some((place, _)) => return self.notes.refuse(place, format!("`{name}` is not a list")),
        };
        let item = |value| {
            text_of(value).map_or_else(|| self.notes.refuse(place, format!("an item of `{name}` is not a text")), Ok)
        };
        items.into_iter().map(item).collect::<Read<_>>().map(Some)
    }

    /// Texts by name below a field.
    pub(super) fn map(&mut self, name: &str) -> Read<BTreeMap<String, String>> {
        let Some((place, mapping)) = self.mapping(name)? else { return Ok(BTreeMap::new()) };
        let pair = |(key, value): (String, Value)| match text_of(value) {
            Some(text) => Ok((key, text)),
            None => self.notes.refuse(place, format!("`{key}` of `{name}` is not a text")),
        };
        mapping.into_iter().map(pair).collect()
    }

    /// Whatever stands below a field, by name.
    pub(super) fn values(&mut self, name: &str) -> Read<BTreeMap<String, Value>> {
        Ok(self.mapping(name)?.map(|(_, mapping)| mapping.into_iter().collect()).unwrap_or_default())
    }

    fn mapping(&mut self, name: &str) -> Read<Option<(Location, serde_json::Map<String, Value>)>> {
        match self.take(name) {
            None => Ok(None),
            Some((place, Value::Object(mapping))) => Ok(Some((place, mapping))),
            Some((place, _)) => self.notes.refuse(place, format!("`{name}` is not a mapping")),
        }
    }

    /// Whatever stands in a field.
    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        self.take(name).map(|(_, value)| value)
    }

    /// A URL that is no secret.
    pub(super) fn url(&mut self, name: &str) -> Read<Option<String>> {
        match self.placed(name)? {
            Some((place, url)) => self.checked_url(place, url).map(Some),
            None => Ok(None),
        }
    }

    /// A secret that stands in the file, or in another that is named in `<name>_file`; only one of them may be there.
    pub(super) fn secret(&mut self, name: &str) -> Read<Option<Secret>> {
        let inline = self.filled(name)?;
        let file = self.filled(&format!("{name}_file"))?;
        match (inline, file) {
            (None, None) => Ok(None),
            (Some((_, text)), None) => Ok(Some(Secret::new(text))),
            (None, Some((place, file))) => self.secret_file(place, file).map(Some),
            (Some(_), Some((place, _))) => {
                self.notes.refuse(place, format!("`{name}` itself stands beside it: leave one out"))
            }
        }
    }

    /// As [`Fields::secret`], and it is a URL.
    pub(super) fn secret_url(&mut self, name: &str) -> Read<Option<Secret>> {
        let place = self.left.get(name).map_or(self.place, |(place, _)| *place);
        let is_there = self.left.get(name).is_some_and(|(_, value)| !value.is_null());
        let secret = self.secret(name)?;
        match &secret {
            // A URL that is a template is known only when it is expanded.
            Some(Secret::Inline(url)) if !url.contains("{{") => {
                self.checked_url(place, url.clone())?;
            }
            None if is_there => {
                self.checked_url(place, String::new())?;
            }
            Some(Secret::Inline(_) | Secret::File(_)) | None => {}
        }
        Ok(secret)
    }

    fn checked_url(&self, place: Location, url: String) -> Read<String> {
        let rest = ["https://", "http://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        match rest {
            Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(url),
            // The text is not repeated: it may hold a secret.
            Some(_) | None => self.notes.refuse(place, "this is not a URL with http:// or https:// and a host"),
        }
    }

    /// Where a secret is kept. A path counts from the root: a configuration that was pushed lies in no folder.
    pub(super) fn secret_file(&self, place: Location, file: String) -> Read<Secret> {
        let path = file.strip_prefix("ssm:").unwrap_or(&file);
        if path.len() > 1 && path.starts_with('/') && !path.contains(char::is_control) {
            return Ok(Secret::File(file));
        }
        let reason = format!("{file:?} is neither a path from the root nor ssm:/name of a parameter");
        self.notes.refuse(place, reason)
    }

    /// Says of those of the fields that are there that they are not heeded, and takes them.
    pub(super) fn unheeded(&mut self, names: &[&str]) {
        for name in names {
            let set = |value: &Value| !matches!(value, Value::Bool(false)) && value.as_str() != Some("");
            if let Some((place, _)) = self.take(name).filter(|(_, value)| set(value)) {
                self.notes.unheeded(place, format!("`{name}` of {} is not heeded", self.what));
            }
        }
    }

    /// Takes fields that make no difference here.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        for name in names {
            self.left.remove(*name);
        }
    }
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Null => Some(String::new()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads a duration as Go does (`time.ParseDuration`); none below zero.
fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() || seconds == 0.0 && rest.len() == text.len() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|&end| end > 0)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let cases = [
            ("10s", Some(10_000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            ("250ms", Some(250)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("1d", None),
            ("s", None),
            ("-1s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(go_duration(text), expected.map(Duration::from_millis), "{text}");
        }
    }
}

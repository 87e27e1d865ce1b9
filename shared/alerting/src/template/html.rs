//! Escaping by place: what a template of HTML prints is escaped as the text around it asks for.
//!
//! [`Html`] follows the text of the template while it is printed. What an action gives never changes the place, since it
//! is escaped for it; only what is marked as safe is printed as it is. Comments are left out.

use super::print;
use super::value::{Safe, Value};

/// What stands where nothing safe can be printed.
const UNSAFE: &str = "ZgotmplZ";

/// Where the printed text has got to.
#[derive(Clone, Debug, Default)]
pub(super) struct Html {
    place: Place,
    /// The name of the element whose tag is open, in lower case.
    element: String,
    /// The name of the attribute whose value is open, in lower case.
    attribute: String,
    /// The value of the attribute so far: what a URL allows depends on it.
    value: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    Comment,
    /// After `<`, in the name.
    TagName,
    /// In a tag, outside of its attributes.
    Tag,
    AttributeName,
    /// After `=`.
    BeforeValue,
    Value(Quote),
    /// Inside of an element whose content is no markup, such as `script`.
    Raw,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quote {
    None,
    Single,
    Double,
}

impl Html {
    /// Follows a text of the template; gives what is to be printed of it.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut printed = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if self.place == Place::Comment {
                let Some(end) = rest.find("-->") else { return printed };
                self.place = Place::Text;
                rest = &rest[end + 3..];
                continue;
            }
            if self.place == Place::Text && rest.starts_with("<!--") {
                self.place = Place::Comment;
                continue;
            }
            self.step(c, rest);
            printed.push(c);
            rest = &rest[c.len_utf8()..];
        }
        printed
    }

    /// One character of the template; `rest` starts with it.
    fn step(&mut self, c: char, rest: &str) {
        match self.place {
            Place::Text if c == '<' && rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') => {
                self.element.clear();
                self.place = Place::TagName;
            }
            Place::TagName if c == '>' => self.close_tag(),
            Place::TagName if c.is_whitespace() => self.place = Place::Tag,
            Place::TagName => self.element.push(c.to_ascii_lowercase()),
            Place::Tag | Place::AttributeName if c == '>' => self.close_tag(),
            Place::AttributeName if c == '=' => {
                self.value.clear();
                self.place = Place::BeforeValue;
            }
            Place::AttributeName if c.is_whitespace() => self.place = Place::Tag,
            Place::AttributeName => self.attribute.push(c.to_ascii_lowercase()),
            // `name = "value"`: the spaces do not end it.
            Place::Tag if c == '=' && !self.attribute.is_empty() => {
                self.value.clear();
                self.place = Place::BeforeValue;
            }
            Place::Tag if !c.is_whitespace() && c != '/' => {
                self.attribute = c.to_ascii_lowercase().to_string();
                self.place = Place::AttributeName;
            }
            Place::BeforeValue if c == '"' => self.place = Place::Value(Quote::Double),
            Place::BeforeValue if c == '\'' => self.place = Place::Value(Quote::Single),
            Place::BeforeValue if c == '>' => self.close_tag(),
            Place::BeforeValue if !c.is_whitespace() => {
                self.value.push(c);
                self.place = Place::Value(Quote::None);
            }
            Place::Value(Quote::Double) if c == '"' => self.end_value(),
            Place::Value(Quote::Single) if c == '\'' => self.end_value(),
            Place::Value(Quote::None) if c.is_whitespace() => self.end_value(),
            Place::Value(Quote::None) if c == '>' => self.close_tag(),
            Place::Value(_) => self.value.push(c),
            Place::Raw if rest.starts_with("</") && is_name(&rest[2..], &self.element) => {
                self.element.clear();
                self.place = Place::TagName;
            }
            Place::Text | Place::Comment | Place::Tag | Place::BeforeValue | Place::Raw => {}
        }
    }

    fn end_value(&mut self) {
        self.attribute.clear();
        self.place = Place::Tag;
    }

    fn close_tag(&mut self) {
        self.attribute.clear();
        let is_raw = matches!(self.element.as_str(), "script" | "style" | "textarea" | "title");
        self.place = if is_raw { Place::Raw } else { Place::Text };
    }

    /// What an action prints here.
    pub(super) fn value(&mut self, value: &Value) -> String {
        if *value == Value::Nil {
            return String::new();
        }
        let plain = print::plain(value);
        if self.place == Place::BeforeValue {
            self.place = Place::Value(Quote::None);
        }
        match (&self.place, value) {
            (Place::Comment, _) => String::new(),
            (Place::Text, Value::Safe(Safe::Html, _)) => plain,
            (Place::Text, _) => escaped(&plain),
            (Place::Raw, _) => match self.element.as_str() {
                "script" => script(value),
                "style" => style(&plain),
                _ => escaped(&plain),
            },
            (Place::Value(quote), _) => {
                let quote = *quote;
                let text = self.attribute_value(value, &plain);
                self.value.push_str(&text);
                if quote == Quote::None { unquoted(&text) } else { escaped(&text) }
            }
            (Place::TagName | Place::Tag | Place::AttributeName | Place::BeforeValue, _) => {
                let is_name = !plain.is_empty() && plain.chars().all(|c| c.is_ascii_alphanumeric());
                if is_name { plain } else { UNSAFE.to_owned() }
            }
        }
    }

    /// What the attribute that is open allows.
    fn attribute_value(&self, value: &Value, plain: &str) -> String {
        const URLS: [&str; 12] = [
            "action",
            "background",
            "cite",
            "data",
            "formaction",
            "href",
            "longdesc",
            "manifest",
            "poster",
            "profile",
            "src",
            "usemap",
        ];
        if self.attribute.starts_with("on") {
            return script(value);
        }
        if self.attribute == "style" {
            return style(plain);
        }
        let name = self.attribute.rsplit(':').next().unwrap_or("");
        if !URLS.contains(&name) {
            return plain.to_owned();
        }
        let is_url = matches!(value, Value::Safe(Safe::Url, _));
        if self.value.contains(['?', '#']) {
            return url(plain, if is_url { Url::Whole } else { Url::Part });
        }
        if self.value.trim().is_empty() && !is_url && !is_harmless(plain) {
            return format!("#{UNSAFE}");
        }
        url(plain, Url::Whole)
    }
}

fn is_name(text: &str, name: &str) -> bool {
    text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Whether a URL leads nowhere but to pages and mailboxes: nothing that a browser would run.
fn is_harmless(url: &str) -> bool {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| !scheme.contains('/'));
    scheme.is_none_or(|scheme| ["http", "https", "mailto"].iter().any(|one| scheme.eq_ignore_ascii_case(one)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Url {
    /// What separates the parts of a URL stays, and what is escaped already.
    Whole,
    /// Everything but plain characters is escaped.
    Part,
}

fn url(text: &str, form: Url) -> String {
    let mut written = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let is_escape = || {
            let digits = text.as_bytes().get(at + 1..at + 3);
            byte == b'%' && digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        let separates = b"!#$&*+,/:;=?@[]".contains(&byte) || is_escape();
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || form == Url::Whole && separates {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02x}"));
        }
    }
    written
}

/// A value in a script: a literal.
fn script(value: &Value) -> String {
    super::json::written(value).unwrap_or_else(|_| "null".to_owned())
}

/// A value in a style sheet: nothing that could end it or load something.
fn style(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || " #.,%_-+!".contains(c)) && !text.contains("--");
    if is_plain { text.to_owned() } else { UNSAFE.to_owned() }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.push('\u{fffd}'),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' | '\'' | '+' => escaped.push_str(&format!("&#{};", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A value of an attribute without quotes around it: white space would end it.
fn unquoted(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' | '\'' | '+' | '=' | '`' | ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' => {
                escaped.push_str(&format!("&#{};", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value in the place of `@`.
    fn check(template: &str, value: &Value, expected: &str) {
        let mut html = Html::default();
        let mut printed = String::new();
        for (index, text) in template.split('@').enumerate() {
            if index > 0 {
                printed += &html.value(value);
            }
            printed += &html.text(text);
        }
        assert_eq!(printed, expected, "{template}");
    }

    #[test]
    fn a_value_is_escaped_as_its_place_asks_for() {
        let markup = Value::text("<b>\"1 + 1\"&'x'</b>");
        check("<p>@</p>", &markup, "<p>&lt;b&gt;&#34;1 &#43; 1&#34;&amp;&#39;x&#39;&lt;/b&gt;</p>");
        check("<p title='@'>", &markup, "<p title='&lt;b&gt;&#34;1 &#43; 1&#34;&amp;&#39;x&#39;&lt;/b&gt;'>");
        check("<p title=@>", &Value::text("a b"), "<p title=a&#32;b>");
        check("<title>@</title><b>@</b>", &Value::text("<"), "<title>&lt;</title><b>&lt;</b>");
        check("<!-- @ --><p>", &markup, "<p>");
        check("1 < 2 @", &Value::text("<"), "1 < 2 &lt;");
        check("<p @>", &Value::text("a b"), "<p ZgotmplZ>");
        check("<p>@</p>", &Value::Nil, "<p></p>");
        check("<p>@</p>", &Value::Safe(Safe::Html, "<b>x</b>".into()), "<p><b>x</b></p>");
        check("<p title=\"@\">", &Value::Safe(Safe::Html, "\">".into()), "<p title=\"&#34;&gt;\">");
    }

    #[test]
    fn links_lead_nowhere_that_a_browser_would_run() {
        let to = |url: &str| Value::text(url);
        check("<a href=\"@\">", &to("https://a/b?c=d e&f=g"), "<a href=\"https://a/b?c=d%20e&amp;f=g\">");
        check("<a href = \"@\">", &to("javascript:alert(1)"), "<a href = \"#ZgotmplZ\">");
        check("<a href=\"/s?q=@\">", &to("a/b c&d"), "<a href=\"/s?q=a%2fb%20c%26d\">");
        check("<a href=\"/s?@\">", &Value::Safe(Safe::Url, "q=test%20foo".into()), "<a href=\"/s?q=test%20foo\">");
        check("<a href=\"@/x\">", &to("http://a"), "<a href=\"http://a/x\">");
        check("<a onclick=\"f(@)\">", &to("\"); g("), "<a onclick=\"f(&#34;\\&#34;); g(&#34;)\">");
        check("<p style=\"color: @\">", &to("#e6522c"), "<p style=\"color: #e6522c\">");
        check("<p style=\"color: @\">", &to("url(x)"), "<p style=\"color: ZgotmplZ\">");
        check("<script>var x = @;</script>", &to("</script>"), "<script>var x = \"\\u003c/script\\u003e\";</script>");
    }
}

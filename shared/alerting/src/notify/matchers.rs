//! Alertmanager's text form of label matchers, in its new notation and the classic one.

use model::{MatchOp, Matcher};

/// Why a text is no list of matchers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid matchers {text:?}: {reason}")]
pub struct MatchersError {
    text: String,
    reason: String,
}

/// How matchers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// With UTF-8 names and Go's escapes.
    Utf8,
    /// With plain names and few escapes.
    Classic,
}

/// Reads matchers such as `severity="critical"` or `{team=~"a|b", env!=test}`.
///
/// Both notations are tried. What only one of them reads means what that one says; where they disagree, as about
/// `"\t"`, the classic one counts, as in Alertmanager (`matcher/compat`).
///
/// # Errors
/// When neither notation reads it, or a regular expression is invalid.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, MatchersError> {
    let parts = match (Tokens::new(text).matchers(), classic(text)) {
        (Ok(_), Ok(parts)) | (Ok(parts), Err(_)) | (Err(_), Ok(parts)) => parts,
        (Err(reason), Err(_)) => return Err(MatchersError { text: text.to_owned(), reason }),
    };
    compiled(text, &parts)
}

impl Notation {
    /// Reads matchers in this notation alone.
    ///
    /// # Errors
    /// When it does not read them, or a regular expression is invalid.
    pub fn parse(self, text: &str) -> Result<Vec<Matcher>, MatchersError> {
        let parts = match self {
            Self::Utf8 => Tokens::new(text).matchers(),
            Self::Classic => classic(text),
        };
        compiled(text, &parts.map_err(|reason| MatchersError { text: text.to_owned(), reason })?)
    }
}

fn compiled(text: &str, parts: &[Part]) -> Result<Vec<Matcher>, MatchersError> {
    let failed = |reason: String| MatchersError { text: text.to_owned(), reason };
    let build = |(name, op, value): &Part| Matcher::new(name, *op, value).map_err(|error| failed(error.to_string()));
    parts.iter().map(build).collect()
}

/// One matcher before its pattern is compiled.
type Part = (String, MatchOp, String);

/// Reads the notation with UTF-8 names, character by character.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.trim() }
    }

    fn matchers(mut self) -> Result<Vec<Part>, String> {
        let braces = self.take("{");
        let mut parts = Vec::new();
        loop {
            if self.at_end(braces)? {
                return Ok(parts);
            }
            parts.push((self.word("a label name")?, self.operator()?, self.word("a label value")?));
            if !self.take(",") {
                return if self.at_end(braces)? { Ok(parts) } else { Err(self.unexpected("a comma or the end")) };
            }
        }
    }

    /// Whether the list ends here: at its closing brace with nothing after it, or at the end of the text.
    fn at_end(&mut self, braces: bool) -> Result<bool, String> {
        let closed = braces && self.take("}");
        match (closed, self.rest.is_empty()) {
            (true, true) => Ok(true),
            (true, false) => Err(self.unexpected("the end")),
            (false, true) if braces => Err("the closing brace is missing".to_owned()),
            (false, empty) => Ok(empty),
        }
    }

    fn take(&mut self, piece: &str) -> bool {
        match self.rest.strip_prefix(piece) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn operator(&mut self) -> Result<MatchOp, String> {
        let operators =
            [("=~", MatchOp::Regex), ("!~", MatchOp::NotRegex), ("!=", MatchOp::NotEqual), ("=", MatchOp::Equal)];
        let found = operators.into_iter().find(|(text, _)| self.take(text));
        found.map(|(_, op)| op).ok_or_else(|| self.unexpected("one of = != =~ !~"))
    }

    /// A name or value, quoted or not.
    fn word(&mut self, expected: &str) -> Result<String, String> {
        if self.rest.starts_with('"') {
            let (word, rest) = unquote(self.rest).ok_or_else(|| format!("{} is not a quoted text", self.rest))?;
            self.rest = rest.trim_start();
            return Ok(word);
        }
        let reserved = |c: char| c.is_whitespace() || "{}!=~,\\\"'`".contains(c);
        let end = self.rest.find(reserved).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.unexpected(expected));
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        Ok(word.to_owned())
    }

    fn unexpected(&self, expected: &str) -> String {
        match self.rest.chars().next() {
            Some(found) => format!("found {found:?} where {expected} should be"),
            None => format!("it ends where {expected} should be"),
        }
    }
}

/// Reads a text in double quotes with Go's escapes; gives it and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut bytes = Vec::new();
    let mut chars = text.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => return Some((String::from_utf8(bytes).ok()?, chars.as_str())),
            '\n' => return None,
            '\\' => unescape(&mut chars, &mut bytes)?,
            plain => push_char(&mut bytes, plain),
        }
    }
}

fn unescape(chars: &mut std::str::Chars<'_>, bytes: &mut Vec<u8>) -> Option<()> {
    match chars.next()? {
        'a' => bytes.push(0x07),
        'b' => bytes.push(0x08),
        'f' => bytes.push(0x0c),
        'n' => bytes.push(b'\n'),
        'r' => bytes.push(b'\r'),
        't' => bytes.push(b'\t'),
        'v' => bytes.push(0x0b),
        '\\' => bytes.push(b'\\'),
        '"' => bytes.push(b'"'),
        'x' => bytes.push(u8::try_from(digits(chars, 2, 16)?).ok()?),
        'u' => push_char(bytes, char::from_u32(digits(chars, 4, 16)?)?),
        'U' => push_char(bytes, char::from_u32(digits(chars, 8, 16)?)?),
        first @ '0'..='7' => {
            let value = first.to_digit(8)? * 64 + digits(chars, 2, 8)?;
            bytes.push(u8::try_from(value).ok()?);
        }
        _ => return None,
    }
    Some(())
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    (0..count).try_fold(0_u32, |value, _| value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?))
}

fn push_char(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Reads the classic notation: plain names, values that may hold almost anything without quotes.
fn classic(text: &str) -> Result<Vec<Part>, String> {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let mut pieces = split_at_commas(inner);
    if pieces.last().is_some_and(|last| last.trim().is_empty()) {
        pieces.pop();
    }
    pieces.into_iter().map(classic_matcher).collect()
}

/// Splits at the commas outside of double quotes.
fn split_at_commas(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let mut pieces = Vec::new();
    for (index, c) in text.char_indices() {
        match c {
            ',' if !quoted => {
                pieces.push(&text[start..index]);
                start = index + 1;
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            '\\' => {
                escaped = !escaped;
                continue;
            }
            _ => {}
        }
        escaped = false;
    }
    pieces.push(&text[start..]);
    pieces
}

fn classic_matcher(text: &str) -> Result<Part, String> {
    let text = text.trim();
    let bad = || format!("{text:?} is not of the form name=value");
    let name_char = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let name_end = text.find(|c| !name_char(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(name_end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let mut tokens = Tokens { rest: rest.trim_start() };
    let op = tokens.operator().map_err(|_| bad())?;
    Ok((name.to_owned(), op, classic_value(tokens.rest)?))
}

/// A value in which only `\n`, `\"` and `\\` are escapes; quotes stand at both ends or nowhere.
fn classic_value(text: &str) -> Result<String, String> {
    let unbalanced = || format!("{text} holds a double quote that is not escaped");
    let quoted = text.starts_with('"');
    let mut chars = text.strip_prefix('"').unwrap_or(text).chars().peekable();
    let mut value = String::new();
    let mut closed = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(escaped @ ('"' | '\\')) => value.push(escaped),
                Some(other) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            '"' if quoted && chars.peek().is_none() => closed = true,
            '"' => return Err(unbalanced()),
            plain => value.push(plain),
        }
    }
    if quoted && !closed { Err(unbalanced()) } else { Ok(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&[&str]>) {
        let read = parse_matchers(text).map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
        match expected {
            Some(expected) => assert_eq!(
                read.as_deref(),
                Ok(&expected.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            ),
            None => assert_eq!(read.ok(), None, "{text}"),
        }
    }

    #[test]
    fn both_notations_are_read() {
        check("", Some(&[]));
        check("{foo=bar}", Some(&[r#"foo="bar""#]));
        check(r#" severity = "critical" "#, Some(&[r#"severity="critical""#]));
        check(r#"{foo!~[a-z]+, "a b"="c",}"#, Some(&[r#"foo!~"[a-z]+""#, r#"a b="c""#]));
        check(r#"{"foo"="\xf0\x9f\x99\x82\u00e9\101"}"#, Some(&[r#"foo="🙂éA""#]));
        // Both read it, and disagree.
        check(r#"foo="\t\"""#, Some(&[r#"foo="\\t\"""#]));
        check("サービス=見張り", Some(&[r#"サービス="見張り""#]));
        // Only the classic notation reads these.
        check("tricky=~~~", Some(&[r#"tricky=~"~~""#]));
        check("{foo=bar}},}", Some(&[r#"foo="bar}}""#]));
        check(r#"{"foo"=~"\\d+"}"#, Some(&[r#"foo=~"\\d+""#]));
        check(r#"contains_comma !~ "foo,bar" , "#, Some(&[r#"contains_comma!~"foo,bar""#]));
    }

    #[test]
    fn what_neither_notation_reads_is_refused() {
        let refused = [
            ",",
            r#"{foo=:"bar"}"#,
            r#"{"foo"=~"\d+"}"#,
            r#"{"foo"="\xf0\x9f"}"#,
            r#"job="value"#,
            "{,}",
            r#"{invalid-name = "valid label" x}"#,
            r#""{foo=\"bar""#,
            "{{foo=",
            "foo=~(",
            "severity",
        ];
        for text in refused {
            check(text, None);
        }
    }

    #[test]
    fn the_reason_names_the_place() {
        let error = parse_matchers("severity").unwrap_err().to_string();
        assert_eq!(error, r#"invalid matchers "severity": it ends where one of = != =~ !~ should be"#);
        let error = parse_matchers("a=~(").unwrap_err().to_string();
        assert!(error.starts_with(r#"invalid matchers "a=~(": invalid regular expression"#), "{error}");
    }
}

//! Cuts a text into tokens.

use crate::error::ParseError;
use crate::quote::{quote, unescape};

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind {
    /// The end of the text.
    End,
    /// A name or a keyword; the parser decides.
    Name,
    /// A number.
    Number(f64),
    /// A duration, in milliseconds.
    Duration(i64),
    /// A quoted text, without quotes and escapes.
    Text(Vec<u8>),
    /// An operator or a bracket.
    Symbol(&'static str),
}

/// A piece of the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Where in an expression the lexer is, which decides what it takes for a name and how it words errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Anywhere else.
    Expression,
    /// Between braces.
    Braces,
    /// Between brackets.
    Brackets,
}

/// Symbols of which none is the beginning of a later one.
const SYMBOLS: [&str; 26] = [
    "==", "=~", "!=", "!~", "<=", ">=", "</", ">/", "<", ">", "=", "+", "-", "*", "/", "%", "^", "@", "(", ")", "{",
    "}", "[", "]", ",", ":",
];

/// Symbols that may stand between braces.
const BRACE_SYMBOLS: [&str; 7] = ["=~", "!~", "!=", "=", ",", "{", "}"];

/// The token that starts at `offset` or behind the blanks and comments there.
pub(crate) fn lex(text: &str, offset: usize, mode: Mode) -> Result<Token, ParseError> {
    let start = skip_blanks(text, offset);
    let rest = &text[start..];
    let Some(first) = rest.chars().next() else {
        return match mode {
            Mode::Braces => Err(ParseError::at(text, start, "unexpected end of input inside braces")),
            Mode::Brackets => Err(ParseError::at(text, start, "unexpected end of input in duration expression")),
            Mode::Expression => Ok(Token { kind: TokenKind::End, start, end: start }),
        };
    };
    let next_is_digit = rest[first.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
    if mode != Mode::Braces && (first.is_ascii_digit() || (first == '.' && next_is_digit)) {
        return lex_number(text, start, mode);
    }
    if matches!(first, '"' | '\'' | '`') {
        if mode == Mode::Brackets {
            return Err(ParseError::at(text, start, format!("unexpected character in duration expression: '{first}'")));
        }
        return lex_text(text, start, first);
    }
    let colon_is_name = mode == Mode::Expression;
    if first.is_ascii_alphabetic() || first == '_' || (first == ':' && colon_is_name) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || (c == ':' && colon_is_name);
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        return Ok(Token { kind: TokenKind::Name, start, end: start + length });
    }
    lex_symbol(text, start, mode)
}

fn skip_blanks(text: &str, offset: usize) -> usize {
    let mut rest = &text[offset..];
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r']);
        if !rest.starts_with('#') {
            return text.len() - rest.len();
        }
        rest = rest.find('\n').map_or("", |end| &rest[end..]);
    }
}

fn lex_symbol(text: &str, start: usize, mode: Mode) -> Result<Token, ParseError> {
    let rest = &text[start..];
    let symbols: &[&'static str] = if mode == Mode::Braces { &BRACE_SYMBOLS } else { &SYMBOLS };
    let found = symbols.iter().copied().find(|symbol| rest.starts_with(symbol));
    let first = rest.chars().next().unwrap_or(' ');
    let message = match (mode, found) {
        (Mode::Expression, Some(symbol @ ("=~" | "!~"))) => {
            format!("unexpected character after '{}': '~'", &symbol[..1])
        }
        (_, Some(symbol)) => {
            return Ok(Token { kind: TokenKind::Symbol(symbol), start, end: start + symbol.len() });
        }
        (Mode::Braces, None) => format!("unexpected character inside braces: '{first}'"),
        (Mode::Brackets, None) => format!("unexpected character in duration expression: '{first}'"),
        (Mode::Expression, None) if first == '!' => {
            let after = rest[1..].chars().next().map_or("EOF".to_owned(), |c| format!("'{c}'"));
            format!("unexpected character after '!': {after}")
        }
        (Mode::Expression, None) => format!("unexpected character: '{first}'"),
    };
    Err(ParseError::at(text, start, message))
}

fn lex_text(text: &str, start: usize, quote_char: char) -> Result<Token, ParseError> {
    let inside = &text[start + 1..];
    if quote_char == '`' {
        let length = inside.find('`').ok_or_else(|| ParseError::at(text, start, "unterminated raw string"))?;
        let kind = TokenKind::Text(inside.as_bytes()[..length].to_vec());
        return Ok(Token { kind, start, end: start + length + 2 });
    }
    let mut escaped = false;
    for (length, c) in inside.char_indices() {
        if c == quote_char && !escaped {
            let bytes = unescape(&inside[..length], quote_char)
                .map_err(|(offset, message)| ParseError::at(text, start + 1 + offset, message))?;
            return Ok(Token { kind: TokenKind::Text(bytes), start, end: start + length + 2 });
        }
        if c == '\n' {
            break;
        }
        escaped = c == '\\' && !escaped;
    }
    Err(ParseError::at(text, start, "unterminated quoted string"))
}

/// A number or a duration: they start alike.
fn lex_number(text: &str, start: usize, mode: Mode) -> Result<Token, ParseError> {
    let rest = &text[start..];
    let length = number_length(rest);
    let followed_by_name =
        |length: usize| rest[length..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    if !followed_by_name(length) {
        let written = &rest[..length];
        let value = read_number(written)
            .ok_or_else(|| ParseError::at(text, start, format!("error parsing number: {}", quote(written))))?;
        return Ok(Token { kind: TokenKind::Number(value), start, end: start + length });
    }
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let written = &rest[..length];
    let looks_like_duration = written.ends_with(|c: char| c.is_ascii_alphabetic()) && !followed_by_name(length);
    let bad = |message: String| Err(ParseError::at(text, start, message));
    if !looks_like_duration {
        let shown = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
        return bad(format!("bad number or duration syntax: {}", quote(&rest[..shown])));
    }
    match read_duration(written) {
        Ok(millis) => Ok(Token { kind: TokenKind::Duration(millis), start, end: start + length }),
        Err(_) if mode == Mode::Expression && bad_unit_end(written) < length => {
            bad(format!("bad number or duration syntax: {}", quote(&written[..bad_unit_end(written)])))
        }
        Err(message) => bad(message),
    }
}

/// One past the first character that is no part of a duration.
fn bad_unit_end(written: &str) -> usize {
    let is_part = |c: char| c.is_ascii_digit() || "smhdwy".contains(c);
    written.find(|c| !is_part(c)).map_or(written.len(), |index| index + 1)
}

fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let run = |from: usize, allowed: fn(&u8) -> bool| {
        from + bytes[from..].iter().take_while(|byte| allowed(byte) || **byte == b'_').count()
    };
    if bytes.len() > 2 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X') {
        return run(2, u8::is_ascii_hexdigit);
    }
    let mut length = run(0, u8::is_ascii_digit);
    if bytes.get(length) == Some(&b'.') {
        length = run(length + 1, u8::is_ascii_digit);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let end = run(length + 1 + sign, u8::is_ascii_digit);
        if end > length + 1 + sign {
            return end;
        }
    }
    length
}

/// Numbers as they are written: decimal, with an exponent, hexadecimal (`0x`) or octal (a leading `0`).
pub(crate) fn read_number(written: &str) -> Option<f64> {
    let plain = written.replace('_', "");
    #[expect(clippy::cast_precision_loss, reason = "a literal is the nearest number there is")]
    let whole = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(|value| value as f64);
    if let Some(digits) = plain.strip_prefix("0x").or(plain.strip_prefix("0X")) {
        return whole(digits, 16);
    }
    let is_octal = plain.len() > 1 && plain.starts_with('0') && plain.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    if is_octal { whole(&plain, 8) } else { plain.parse().ok() }
}

/// Milliseconds of a duration.
fn read_duration(written: &str) -> Result<i64, String> {
    if let Ok(duration) = model::duration::parse(written) {
        return i64::try_from(duration.as_millis()).map_err(|_| "duration out of range".to_owned());
    }
    let mut rest = written;
    while !rest.is_empty() {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let length = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..length];
        if !matches!(unit, "ms" | "s" | "m" | "h" | "d" | "w" | "y") {
            return Err(format!("unknown unit {} in duration {}", quote(unit), quote(written)));
        }
        rest = &rest[length..];
    }
    Err(format!("not a valid duration string: {}", quote(written)))
}

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
        (Mode::Braces, Some("{")) => "unexpected left brace '{'".to_owned(),
        (Mode::Expression, Some("}")) => "unexpected character: '}'".to_owned(),
        (Mode::Expression, Some(symbol @ ("=~" | "!~"))) => {
            format!("unexpected character after '{}': '~'", &symbol[..1])
        }
        (_, Some(symbol)) => {
            return Ok(Token { kind: TokenKind::Symbol(symbol), start, end: start + symbol.len() });
        }
        (Mode::Braces, None) if first == '!' => {
            let after = rest[1..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
            format!("unexpected character after '!' inside braces: '{after}'")
        }
        (Mode::Braces, None) => format!("unexpected character inside braces: '{first}'"),
        (Mode::Brackets, None) => format!("unexpected character in duration expression: '{first}'"),
        (Mode::Expression, None) if first == '!' => {
            // Prometheus shows the end of the text as a character, too.
            let after = rest[1..].chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
            format!("unexpected character after '!': '{after}'")
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
            let bytes =
                unescape(&inside[..length], quote_char).map_err(|(_, message)| ParseError::at(text, start, message))?;
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
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_misplaced = ["__", "_e", "_E", "_.", "._"].iter().any(|pair| rest[..length].contains(pair));
    let bad = |message: String| Err(ParseError::at(text, start, message));
    if !rest[length..].starts_with(|c| is_word(c) || c == '.') && !rest[..length].ends_with('_') && !is_misplaced {
        let written = &rest[..length];
        return match read_number(written) {
            Some(value) if value.is_infinite() => {
                // Worded as the number parser of Prometheus words it.
                bad(format!("error parsing number: strconv.ParseFloat: parsing {}: value out of range", quote(written)))
            }
            Some(value) => Ok(Token { kind: TokenKind::Number(value), start, end: start + length }),
            None => {
                bad(format!("error parsing number: strconv.ParseFloat: parsing {}: invalid syntax", quote(written)))
            }
        };
    }
    let (end, is_duration) = duration_end(rest, length);
    let written = &rest[..end];
    if is_duration {
        return match read_duration(written) {
            Ok(millis) => Ok(Token { kind: TokenKind::Duration(millis), start, end: start + end }),
            Err(message) => bad(message),
        };
    }
    // Between brackets whole words are named.
    let word = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    if mode == Mode::Brackets
        && rest[..word].ends_with(|c: char| c.is_ascii_alphabetic())
        && let Err(message) = read_duration(&rest[..word])
    {
        return bad(message);
    }
    bad(format!("bad number or duration syntax: {}", quote(written)))
}

/// How far a text that begins with digits may be a duration, and whether it is one to that end: units between numbers,
/// and no letter behind them. What fails is counted too.
fn duration_end(rest: &str, number: usize) -> (usize, bool) {
    let bytes = rest.as_bytes();
    let is_unit = |at: usize| bytes.get(at).is_some_and(|byte| b"smhdwy".contains(byte));
    let mut end = number;
    loop {
        let behind = |at: usize| rest[at..].chars().next().map_or(0, char::len_utf8);
        if !is_unit(end) {
            // The exponent of a number that has none, or a point too many, is named too.
            let named = if bytes.get(end).is_some_and(|byte| b".eE".contains(byte)) { behind(end) } else { 0 };
            return (end + named, false);
        }
        end += 1 + usize::from(bytes.get(end + 1) == Some(&b's'));
        let digits = bytes[end..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            let continues = rest[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            return (if continues { end + behind(end) } else { end }, !continues);
        }
        end += digits;
    }
}

fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let run = |from: usize, allowed: fn(&u8) -> bool| {
        from + bytes[from..].iter().take_while(|byte| allowed(byte) || **byte == b'_').count()
    };
    if bytes.len() > 1 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X') {
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
    /// As many nanoseconds as 63 bits can count.
    const MILLIS_MAX: i64 = i64::MAX / 1_000_000;
    if let Ok(duration) = model::duration::parse(written) {
        let millis = i64::try_from(duration.as_millis()).ok().filter(|millis| *millis <= MILLIS_MAX);
        return millis.ok_or_else(|| "duration out of range".to_owned());
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

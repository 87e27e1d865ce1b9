//! Quoted texts, as they are written in expressions and messages.

use std::fmt::Write;

/// Puts a text in double quotes, escaping what would not be read back or seen.
pub(crate) fn quote(text: &str) -> String {
    quote_bytes(text.as_bytes())
}

/// The same for bytes that may not be UTF-8.
pub(crate) fn quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_escaped(&mut quoted, c));
        for byte in chunk.invalid() {
            write!(quoted, "\\x{byte:02x}").expect("writing to a string cannot fail");
        }
    }
    quoted.push('"');
    quoted
}

fn push_escaped(quoted: &mut String, c: char) {
    match c {
        '"' => quoted.push_str("\\\""),
        '\\' => quoted.push_str("\\\\"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\u{7}' => quoted.push_str("\\a"),
        '\u{8}' => quoted.push_str("\\b"),
        '\u{b}' => quoted.push_str("\\v"),
        '\u{c}' => quoted.push_str("\\f"),
        c if c.is_ascii_control() => {
            write!(quoted, "\\x{:02x}", u32::from(c)).expect("writing to a string cannot fail");
        }
        c if c.is_control() => {
            write!(quoted, "\\u{:04x}", u32::from(c)).expect("writing to a string cannot fail");
        }
        c => quoted.push(c),
    }
}

/// Reads the text between quotes (the quotes excluded), which may hold escapes.
///
/// # Errors
/// When an escape is none: its byte offset and what was wrong.
pub(crate) fn unescape(text: &str, quote: char) -> Result<Vec<u8>, (usize, String)> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let offset = text.len() - rest.len();
        rest = &rest[c.len_utf8()..];
        if c == '\\' {
            rest = unescape_one(rest, quote, &mut bytes).map_err(|message| (offset, message))?;
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(bytes)
}

/// Reads what follows a backslash and gives back what follows that.
fn unescape_one<'a>(rest: &'a str, quote: char, bytes: &mut Vec<u8>) -> Result<&'a str, String> {
    let Some(c) = rest.chars().next() else { return Err("escape sequence not terminated".to_owned()) };
    let after = &rest[c.len_utf8()..];
    let simple = match c {
        'a' => Some(7),
        'b' => Some(8),
        'f' => Some(12),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(11),
        '\\' => Some(b'\\'),
        c if c == quote => u8::try_from(u32::from(c)).ok(),
        _ => None,
    };
    if let Some(byte) = simple {
        bytes.push(byte);
        return Ok(after);
    }
    let (digits, radix, from) = match c {
        'x' => (2, 16, after),
        'u' => (4, 16, after),
        'U' => (8, 16, after),
        '0'..='7' => (3, 8, rest),
        _ => return Err(format!("unknown escape sequence U+{:04X} '{c}'", u32::from(c))),
    };
    let number = from.get(..digits).and_then(|text| u32::from_str_radix(text, radix).ok());
    let number = number.filter(|_| !from.starts_with('+'));
    let number = number.ok_or_else(|| "illegal character in escape sequence".to_owned())?;
    if matches!(c, 'u' | 'U') {
        let scalar = char::from_u32(number).ok_or("escape sequence is an invalid Unicode code point")?;
        bytes.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        bytes.push(u8::try_from(number).map_err(|_| "octal escape value > 255")?);
    }
    Ok(&from[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_written() {
        let cases: [(&str, &[u8], &str); 5] = [
            ("plain ☺", "plain ☺".as_bytes(), r#""plain ☺""#),
            (r#"\a\b\f\n\r\t\v\\\""#, b"\x07\x08\x0c\n\r\t\x0b\\\"", r#""\a\b\f\n\r\t\v\\\"""#),
            (r"\xFF\377", b"\xff\xff", r#""\xff\xff""#),
            (r"\u1234\U00010111", "\u{1234}\u{10111}".as_bytes(), "\"\u{1234}\u{10111}\""),
            (r"\x00", b"\0", r#""\x00""#),
        ];
        for (text, bytes, quoted) in cases {
            assert_eq!(unescape(text, '"').unwrap(), bytes, "{text}");
            assert_eq!(quote_bytes(bytes), quoted);
        }
        assert_eq!(unescape(r"ab\c", '"').unwrap_err(), (2, "unknown escape sequence U+0063 'c'".to_owned()));
        for bad in [r"\", r"\x1", r"\u12", r"\777", r"\UFFFFFFFF", r"\x+1"] {
            assert!(unescape(bad, '"').is_err(), "{bad}");
        }
    }
}

//! From the text of a template to tokens.

use super::TemplateError;

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Text outside of actions, trimmed where the actions beside it ask for it.
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// A name without a dot: a function or a keyword.
    Word(String),
    /// `.Name`
    Field(String),
    /// `$name` or `$`
    Variable(String),
    /// `.` alone
    Dot,
    /// A quoted text, unquoted.
    Quoted(String),
    /// A whole number or a character.
    Int(i64),
    /// A number with a fraction, an exponent, or beyond 64 bits.
    Float(f64),
    /// `|`
    Pipe,
    /// `,`
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
    /// `(`
    OpenParen,
    /// `)`
    CloseParen,
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// What it is.
    pub(super) kind: Kind,
    /// The byte it starts at.
    pub(super) offset: usize,
    /// Whether white space stands before it, which separates operands.
    pub(super) spaced: bool,
}

/// Cuts a template into tokens.
pub(super) fn lex(source: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { source, offset: 0, tokens: Vec::new(), depth: 0 };
    lexer.text(false)?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    offset: usize,
    tokens: Vec<Token>,
    /// How many parentheses are open.
    depth: usize,
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.offset..]
    }

    fn fail<T>(&self, offset: usize, reason: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError::at(self.source, offset, reason))
    }

    fn push(&mut self, kind: Kind, offset: usize, spaced: bool) {
        self.tokens.push(Token { kind, offset, spaced });
    }

    /// Text and actions in turn, to the end.
    fn text(&mut self, trim_first: bool) -> Result<(), TemplateError> {
        let mut trim_start = trim_first;
        loop {
            let start = self.offset;
            let found = self.rest().find(OPEN);
            let end = found.map_or(self.source.len(), |at| start + at);
            let after_open = &self.source[(end + OPEN.len()).min(self.source.len())..];
            let trim_end = found.is_some() && starts_trim(after_open);
            let mut text = &self.source[start..end];
            text = if trim_start { text.trim_start() } else { text };
            text = if trim_end { text.trim_end() } else { text };
            if !text.is_empty() {
                self.push(Kind::Text(text.to_owned()), start, false);
            }
            if found.is_none() {
                return Ok(());
            }
            self.offset = end + OPEN.len() + if trim_end { 1 } else { 0 };
            trim_start = self.action(end)?;
        }
    }

    /// One action after its `{{`; says whether the text behind it is trimmed.
    fn action(&mut self, open: usize) -> Result<bool, TemplateError> {
        let body = self.rest().trim_start();
        if body.starts_with("/*") {
            return self.comment(open);
        }
        self.push(Kind::Open, open, false);
        self.depth = 0;
        loop {
            let before = self.offset;
            self.offset += self.rest().len() - self.rest().trim_start().len();
            let spaced = self.offset > before;
            let rest = self.rest();
            if rest.is_empty() {
                return self.fail(open, "unclosed action");
            }
            let trims = spaced && rest.starts_with('-') && rest[1..].starts_with(CLOSE);
            if trims || rest.starts_with(CLOSE) {
                if self.depth > 0 {
                    return self.fail(self.offset, "unclosed left parenthesis");
                }
                self.push(Kind::Close, self.offset, spaced);
                self.offset += CLOSE.len() + usize::from(trims);
                return Ok(trims);
            }
            self.token(spaced)?;
        }
    }

    fn comment(&mut self, open: usize) -> Result<bool, TemplateError> {
        let Some(end) = self.rest().find("*/") else {
            return self.fail(open, "unclosed comment");
        };
        self.offset += end + 2;
        let rest = self.rest();
        let trimmed = rest.trim_start();
        let trims = trimmed.len() < rest.len() && trimmed.starts_with('-') && trimmed[1..].starts_with(CLOSE);
        if trims {
            self.offset += rest.len() - trimmed.len() + 1 + CLOSE.len();
        } else if rest.starts_with(CLOSE) {
            self.offset += CLOSE.len();
        } else {
            return self.fail(open, "comment ends before closing delimiter");
        }
        Ok(trims)
    }

    fn token(&mut self, spaced: bool) -> Result<(), TemplateError> {
        let offset = self.offset;
        let rest = self.rest();
        let first = rest.chars().next().expect("the caller saw that there is more");
        let second = rest[first.len_utf8()..].chars().next();
        let (kind, length) = match first {
            '|' => (Kind::Pipe, 1),
            ',' => (Kind::Comma, 1),
            '=' => (Kind::Assign, 1),
            ':' if second == Some('=') => (Kind::Declare, 2),
            '(' => {
                self.depth += 1;
                (Kind::OpenParen, 1)
            }
            ')' if self.depth > 0 => {
                self.depth -= 1;
                (Kind::CloseParen, 1)
            }
            ')' => return self.fail(offset, "unexpected right parenthesis"),
            '"' | '`' | '\'' => quoted(rest).ok_or_else(|| {
                let what = if first == '\'' { "character constant" } else { "quoted string" };
                TemplateError::at(self.source, offset, format!("unterminated or malformed {what}"))
            })?,
            '$' => {
                let name = word(&rest[1..]);
                (Kind::Variable(name.to_owned()), 1 + name.len())
            }
            '.' if second.is_some_and(is_word_start) => {
                let name = word(&rest[1..]);
                (Kind::Field(name.to_owned()), 1 + name.len())
            }
            '.' if !second.is_some_and(|c| c.is_ascii_digit()) => (Kind::Dot, 1),
            '+' | '-' | '.' | '0'..='9' => {
                let text = number_text(rest);
                let kind = number(text)
                    .ok_or_else(|| TemplateError::at(self.source, offset, format!("bad number syntax: {text:?}")))?;
                (kind, text.len())
            }
            c if is_word_start(c) => {
                let name = word(rest);
                (Kind::Word(name.to_owned()), name.len())
            }
            c => return self.fail(offset, format!("unexpected {c:?} in an action")),
        };
        self.offset += length;
        self.push(kind, offset, spaced);
        Ok(())
    }
}

/// Whether what follows `{{` is the marker that trims the text before it: `-` and white space.
fn starts_trim(after_open: &str) -> bool {
    after_open.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_whitespace))
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// The letters, digits and underscores at the start.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len());
    &text[..end]
}

/// The characters that may belong to a number: a sign only at the start or behind an exponent.
fn number_text(text: &str) -> &str {
    let mut previous = ' ';
    let hex = text.trim_start_matches(['+', '-']).starts_with(['0']) && text.contains(['x', 'X']);
    let end = text.char_indices().find(|&(at, c)| {
        let sign = (c == '+' || c == '-') && (at == 0 || (!hex && matches!(previous, 'e' | 'E')));
        let part = sign || c.is_alphanumeric() || c == '.' || c == '_';
        previous = c;
        !part
    });
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

/// Reads a Go number: decimal, 0x, 0o, 0b, underscores between digits, fractions, exponents.
fn number(text: &str) -> Option<Kind> {
    let plain: String = text.chars().filter(|&c| c != '_').collect();
    let (negative, digits) = match plain.strip_prefix(['+', '-']) {
        Some(rest) => (plain.starts_with('-'), rest),
        None => (false, plain.as_str()),
    };
    let lower = digits.to_ascii_lowercase();
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find(|(prefix, _)| lower.starts_with(prefix));
    if let Some((prefix, radix)) = radix {
        let value = i64::from_str_radix(lower.strip_prefix(prefix)?, radix).ok()?;
        return Some(Kind::Int(if negative { -value } else { value }));
    }
    if lower.bytes().all(|b| b.is_ascii_digit()) && !lower.is_empty() {
        if lower.len() > 1 && lower.starts_with('0') {
            return i64::from_str_radix(&lower, 8).ok().map(|value| Kind::Int(if negative { -value } else { value }));
        }
        if let Ok(value) = plain.trim_start_matches('+').parse::<i64>() {
            return Some(Kind::Int(value));
        }
    }
    let numeric = lower.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-'));
    numeric.then(|| plain.parse::<f64>().ok()).flatten().map(Kind::Float)
}

/// A quoted text or character at the start, unquoted, and its length with the quotes.
fn quoted(text: &str) -> Option<(Kind, usize)> {
    let quote = text.chars().next()?;
    if quote == '`' {
        let end = text[1..].find('`')? + 1;
        return Some((Kind::Quoted(text[1..end].replace('\r', "")), end + 1));
    }
    let mut bytes = Vec::new();
    let mut characters = text.char_indices().skip(1);
    loop {
        let (at, c) = characters.next()?;
        match c {
            '\n' => return None,
            c if c == quote => {
                let text = String::from_utf8(bytes).ok()?;
                if quote == '"' {
                    return Some((Kind::Quoted(text), at + 1));
                }
                let mut one = text.chars();
                let kind = Kind::Int(i64::from(u32::from(one.next()?)));
                return one.next().is_none().then_some((kind, at + 1));
            }
            '\\' => escape(&mut characters, quote, &mut bytes)?,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// One escape of Go's quoted texts, after its backslash.
fn escape(rest: &mut impl Iterator<Item = (usize, char)>, quote: char, bytes: &mut Vec<u8>) -> Option<()> {
    let (_, c) = rest.next()?;
    let simple = [('a', 7), ('b', 8), ('f', 12), ('n', b'\n'), ('r', b'\r'), ('t', b'\t'), ('v', 11), ('\\', b'\\')];
    if let Some((_, byte)) = simple.iter().find(|(name, _)| *name == c) {
        bytes.push(*byte);
        return Some(());
    }
    let mut digits = |count: usize, radix: u32, first: u32| {
        (0..count).try_fold(first, |value, _| Some(value * radix + rest.next()?.1.to_digit(radix)?))
    };
    match c {
        c if c == quote => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        'x' => bytes.push(u8::try_from(digits(2, 16, 0)?).ok()?),
        'u' | 'U' => {
            let scalar = char::from_u32(digits(if c == 'u' { 4 } else { 8 }, 16, 0)?)?;
            bytes.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
        }
        '0'..='7' => bytes.push(u8::try_from(digits(2, 8, c.to_digit(8)?)?).ok()?),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expected: &[Kind]) {
        let kinds: Vec<Kind> = lex(source).unwrap().into_iter().map(|token| token.kind).collect();
        assert_eq!(kinds, expected, "{source}");
    }

    fn text(text: &str) -> Kind {
        Kind::Text(text.to_owned())
    }

    #[test]
    fn actions_and_text_in_turn() {
        let variable = Kind::Variable("value".to_owned());
        check("a {{ $value }} b", &[text("a "), Kind::Open, variable.clone(), Kind::Close, text(" b")]);
        check("a {{- $value -}} b", &[text("a"), Kind::Open, variable, Kind::Close, text("b")]);
        check("a {{/* note */}}b", &[text("a "), text("b")]);
        check("a {{- /* note */ -}} b", &[text("a"), text("b")]);
    }

    #[test]
    fn numbers_and_texts_as_go_reads_them() {
        let cases = [
            ("1", Kind::Int(1)),
            ("-3", Kind::Int(-3)),
            ("0x1F", Kind::Int(31)),
            ("017", Kind::Int(15)),
            ("1_000", Kind::Int(1000)),
            ("1.5e3", Kind::Float(1500.0)),
            (".5", Kind::Float(0.5)),
            ("'a'", Kind::Int(97)),
            (r#""a\"\n\u00e9\x41""#, Kind::Quoted("a\"\né\u{41}".to_owned())),
            (r"`a\n`", Kind::Quoted(r"a\n".to_owned())),
        ];
        for (source, kind) in cases {
            check(&format!("{{{{ {source} }}}}"), &[Kind::Open, kind, Kind::Close]);
        }
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        let cases = [
            ("{{", "1: unclosed action"),
            ("a\n{{ ( }}", "2: unclosed left parenthesis"),
            ("{{ \"abc }}", "1: unterminated or malformed quoted string"),
            ("{{ 1x2 }}", "1: bad number syntax: \"1x2\""),
            ("{{ ; }}", "1: unexpected ';' in an action"),
            ("{{/* x }}", "1: unclosed comment"),
        ];
        for (source, message) in cases {
            assert_eq!(lex(source).unwrap_err().to_string(), message, "{source}");
        }
    }
}

//! Regular expressions as those write them who come from Prometheus and Alertmanager: in RE2's syntax, of Go.
//!
//! Read [`whole`] and [`anywhere`] first. What the crate `regex` reads is close to RE2's syntax, but not the same, and
//! some texts mean something else there: `\w` and `\d` know more than ASCII, `[a&&b]` and `[[a]b]` are sets of sets,
//! `\<` begins a word, `(?x)` ignores blanks. So each text is read by the rules of RE2 first, refused in the words of
//! Go's package `regexp/syntax` if it is none, and written again in the notation of the crate. Source of the rules:
//! <https://github.com/google/re2/wiki/Syntax>.
//!
//! Invariant: what is written out means the same, and groups keep their numbers.

mod class;

use std::iter::Peekable;
use std::str::CharIndices;

use regex::{Regex, RegexBuilder};

/// Most bytes of a compiled regular expression.
pub const PATTERN_BYTES_MAX: usize = 10 << 20;

/// The most often that something may be repeated, also as the product of what is nested.
const REPEAT_MAX: u32 = 1_000;

/// Why a text is no regular expression, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {reason}")]
pub struct PatternError {
    reason: String,
}

impl PatternError {
    fn new(what: &str, of: &str) -> Self {
        Self { reason: format!("{what}: `{of}`") }
    }

    /// What is wrong, and with which part of it.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// An expression that the whole of a text must match, where `.` is any character; it may have so many bytes when compiled.
///
/// # Errors
/// When it cannot be read, or is larger.
pub fn whole(pattern: &str, bytes_max: usize) -> Result<Regex, PatternError> {
    compile(pattern, |translated| format!("^(?s:{translated})$"), bytes_max)
}

/// An expression that any part of a text may match; it may have so many bytes when compiled.
///
/// # Errors
/// When it cannot be read, or is larger.
pub fn anywhere(pattern: &str, bytes_max: usize) -> Result<Regex, PatternError> {
    compile(pattern, |translated| translated, bytes_max)
}

fn compile(pattern: &str, framed: fn(String) -> String, bytes_max: usize) -> Result<Regex, PatternError> {
    let text = framed(Reader::new(pattern).translate()?);
    RegexBuilder::new(&text).size_limit(bytes_max).build().map_err(|error| {
        let said = error.to_string();
        let reason = said.lines().last().unwrap_or("").trim().trim_start_matches("error: ");
        PatternError::new(reason, pattern)
    })
}

type Read<T> = Result<T, PatternError>;

/// A group that is being read, or the whole.
struct Group {
    /// Whether something stands before the next character that can be repeated.
    has_operand: bool,
    /// How often what stands before is repeated within itself.
    operand: u32,
    /// The same for whatever of the group is repeated most.
    most: u32,
}

impl Group {
    const fn new() -> Self {
        Self { has_operand: false, operand: 1, most: 1 }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    out: String,
    groups: Vec<Group>,
    names: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0, out: String::with_capacity(text.len() + 8), groups: vec![Group::new()], names: Vec::new() }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn next(&mut self) -> Option<char> {
        let found = self.rest().chars().next()?;
        self.at += found.len_utf8();
        Some(found)
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the whole is never closed")
    }

    /// Something that can be repeated was written out.
    fn operand(&mut self, repeated: u32) {
        let group = self.group();
        (group.has_operand, group.operand) = (true, repeated);
        group.most = group.most.max(repeated);
    }

    fn literal(&mut self, found: char) {
        let mut buffer = [0; 4];
        self.out.push_str(&regex::escape(found.encode_utf8(&mut buffer)));
        self.operand(1);
    }

    /// The expression in the notation of the crate.
    fn translate(mut self) -> Read<String> {
        // Where the operator of a repetition begins that stands right before.
        let mut repetition = None;
        while let Some(found) = self.rest().chars().next() {
            let start = self.at;
            let before = repetition.take();
            match found {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.take('|');
                    self.group().has_operand = false;
                }
                '^' | '$' | '.' => {
                    self.take(found);
                    self.operand(1);
                }
                '[' => {
                    self.class()?;
                    self.operand(1);
                }
                '*' | '+' | '?' | '{' => repetition = self.repetition(found, before.unwrap_or(start))?,
                '\\' => self.escape()?,
                other => {
                    self.at += other.len_utf8();
                    self.literal(other);
                }
            }
        }
        if self.groups.len() > 1 {
            return Err(PatternError::new("missing closing )", self.text));
        }
        Ok(self.out)
    }

    /// Takes a character over as it is.
    fn take(&mut self, found: char) {
        self.at += found.len_utf8();
        self.out.push(found);
    }

    fn close(&mut self) -> Read<()> {
        let closed = self.groups.pop().expect("the whole is never closed");
        if self.groups.is_empty() {
            return Err(PatternError::new("unexpected )", self.text));
        }
        self.take(')');
        self.operand(closed.most);
        Ok(())
    }

    fn open(&mut self) -> Read<()> {
        let rest = self.rest();
        let is_named = |head: &str| rest.len() > head.len() && rest.starts_with(head);
        if is_named("(?P<") || is_named("(?<") {
            return self.named();
        }
        if rest.starts_with("(?") {
            return self.flags();
        }
        self.take('(');
        self.groups.push(Group::new());
        Ok(())
    }

    /// `(?P<name>` or `(?<name>`. A name that the crate does not read goes; its group stays.
    fn named(&mut self) -> Read<()> {
        let rest = self.rest();
        let refused = |part| PatternError::new("invalid named capture", part);
        let end = rest.find('>').ok_or_else(|| refused(rest))?;
        let (head, start) = (&rest[..=end], rest.find('<').expect("it begins with one") + 1);
        let name = &rest[start..end];
        let is_word = |found: char| found.is_ascii_alphanumeric() || found == '_';
        if name.is_empty() || !name.chars().all(is_word) {
            return Err(refused(head));
        }
        self.at += head.len();
        if name.starts_with(|first: char| first.is_ascii_digit()) || self.names.contains(&name) {
            self.out.push('(');
        } else {
            self.out.push_str("(?P<");
            self.out.push_str(name);
            self.out.push('>');
            self.names.push(name);
        }
        self.groups.push(Group::new());
        Ok(())
    }

    /// `(?i)` to the end of the group, or `(?i:` for a group of its own.
    fn flags(&mut self) -> Read<()> {
        let start = self.at;
        self.at += 2;
        let (mut on, mut off) = (String::new(), String::new());
        let (mut is_negated, mut has_flag) = (false, false);
        loop {
            let found = self.next();
            match found {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => {
                    has_flag = true;
                    let (to, from) = if is_negated { (&mut off, &mut on) } else { (&mut on, &mut off) };
                    from.retain(|one| one != flag);
                    if !to.contains(flag) {
                        to.push(flag);
                    }
                }
                Some('-') if !is_negated => (is_negated, has_flag) = (true, false),
                Some(end @ (':' | ')')) if has_flag || !is_negated => {
                    let minus = if off.is_empty() { "" } else { "-" };
                    if end == ':' {
                        self.groups.push(Group::new());
                    }
                    if end == ':' || !(on.is_empty() && off.is_empty()) {
                        self.out.push_str(&format!("(?{on}{minus}{off}{end}"));
                    }
                    return Ok(());
                }
                _ => {
                    let part = &self.text[start..self.at];
                    return Err(PatternError::new("invalid or unsupported Perl syntax", part));
                }
            }
        }
    }

    /// `*`, `+`, `?` or `{n,m}`, perhaps with a `?` behind; a `{` that is none stands for itself. `first` is where the
    /// operator begins that stands right before, otherwise this one. Gives where this one begins.
    fn repetition(&mut self, operator: char, first: usize) -> Read<Option<usize>> {
        let start = self.at;
        let mut times = (0, Some(1));
        if operator == '{' {
            let Some((length, found)) = counts(self.rest()) else {
                self.at += 1;
                self.literal('{');
                return Ok(None);
            };
            self.at += length;
            let (least, most) = found;
            if least > REPEAT_MAX || most.is_some_and(|most| most > REPEAT_MAX || least > most) {
                return Err(PatternError::new("invalid repeat count", &self.text[start..self.at]));
            }
            times = found;
        } else {
            self.at += 1;
        }
        if self.rest().starts_with('?') {
            self.at += 1;
        }
        let written = &self.text[start..self.at];
        if first < start {
            return Err(PatternError::new("invalid nested repetition operator", &self.text[first..self.at]));
        }
        if !self.group().has_operand {
            return Err(PatternError::new("missing argument to repetition operator", written));
        }
        let most = times.1.unwrap_or(times.0);
        let repeated = if most == 0 { 1 } else { self.group().operand.saturating_mul(most) };
        if most >= 2 && repeated > REPEAT_MAX {
            return Err(PatternError::new("invalid repeat count", written));
        }
        self.out.push_str(written);
        self.operand(repeated);
        Ok(Some(start))
    }

    fn escape(&mut self) -> Read<()> {
        let rest = self.rest();
        match rest.chars().nth(1) {
            Some(found @ ('A' | 'z')) => self.replace(2, &format!("\\{found}")),
            Some(found @ ('b' | 'B')) => self.replace(2, &format!("(?-u:\\{found})")),
            Some('Q') => {
                let quoted = &rest[2..];
                let end = quoted.find("\\E");
                let before = self.at + 2 + end.map_or(quoted.len(), |end| end + 2);
                quoted[..end.unwrap_or(quoted.len())].chars().for_each(|found| self.literal(found));
                self.at = before;
            }
            Some('p' | 'P') => {
                let written = self.property()?;
                self.out.push_str(&written);
                self.operand(1);
            }
            Some(found) if class::perl(found).is_some() => {
                let (is_negated, members) = class::perl(found).expect("it was just found");
                let sign = if is_negated { "^" } else { "" };
                self.replace(2, &format!("[{sign}{members}]"));
            }
            _ => {
                let found = self.escaped()?;
                self.literal(found);
            }
        }
        Ok(())
    }

    /// Writes something that can be repeated instead of so many bytes.
    fn replace(&mut self, length: usize, written: &str) {
        self.at += length;
        self.out.push_str(written);
        self.operand(1);
    }

    /// The character that a `\` and what follows stand for.
    fn escaped(&mut self) -> Read<char> {
        let start = self.at;
        self.at += 1;
        let Some(found) = self.next() else {
            return Err(PatternError::new("trailing backslash at end of expression", ""));
        };
        let code = match found {
            '1'..='7' if !self.rest().starts_with(|next: char| ('0'..='7').contains(&next)) => None,
            '0'..='7' => {
                self.at -= 1;
                let digits = self.rest().bytes().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).count();
                let code = u32::from_str_radix(&self.rest()[..digits], 8).ok();
                self.at += digits;
                code
            }
            'x' => self.hexadecimal(),
            'a' => Some(7),
            'f' => Some(12),
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => Some(u32::from(other)),
            _ => None,
        };
        let refused = || PatternError::new("invalid escape sequence", &self.text[start..self.at]);
        code.and_then(char::from_u32).ok_or_else(refused)
    }

    /// Two digits, or any number of them in braces.
    fn hexadecimal(&mut self) -> Option<u32> {
        let is_braced = self.rest().starts_with('{');
        let mut code = 0u32;
        self.at += usize::from(is_braced);
        for index in 0.. {
            if index == 2 && !is_braced {
                break;
            }
            let found = self.next()?;
            if is_braced && found == '}' && index > 0 {
                break;
            }
            code = code.checked_mul(16)?.checked_add(found.to_digit(16)?)?;
        }
        Some(code)
    }

    /// `\pN`, `\p{Name}` or `\p{^Name}`, written again.
    fn property(&mut self) -> Read<String> {
        let rest = self.rest();
        let refused = |part: &str| PatternError::new("invalid character class range", part);
        let mut letters = rest.chars().skip(1);
        let (sign, first) = (letters.next(), letters.next());
        let length = match first {
            None => return Err(refused(rest)),
            Some('{') => rest.find('}').ok_or_else(|| refused(rest))? + 1,
            Some(other) => 2 + other.len_utf8(),
        };
        let written = &rest[..length];
        let name = written[2..].trim_start_matches('{').trim_end_matches('}');
        let (is_turned, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
        let sign = if (sign == Some('P')) == is_turned { 'p' } else { 'P' };
        let found = format!("\\{sign}{{{name}}}");
        let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if !is_name || Regex::new(&found).is_err() {
            return Err(refused(written));
        }
        self.at += length;
        Ok(found)
    }
}

/// How often, of a text that begins with `{n}`, `{n,}` or `{n,m}`: its length, the least and the most, if there is one.
fn counts(text: &str) -> Option<(usize, (u32, Option<u32>))> {
    let mut letters = text.char_indices().peekable();
    letters.next();
    let least = number(&mut letters)?;
    let most = match letters.next()? {
        (_, '}') => return Some((text.find('}')? + 1, (least, Some(least)))),
        (_, ',') if letters.next_if(|(_, letter)| *letter == '}').is_some() => None,
        (_, ',') => {
            let most = number(&mut letters)?;
            letters.next().filter(|(_, letter)| *letter == '}')?;
            Some(most)
        }
        _ => return None,
    };
    Some((text.find('}')? + 1, (least, most)))
}

/// A number without zeros before it; as large as can be when there are many digits.
fn number(letters: &mut Peekable<CharIndices<'_>>) -> Option<u32> {
    let mut digits = String::new();
    while let Some((_, digit)) = letters.next_if(|(_, letter)| letter.is_ascii_digit()) {
        digits.push(digit);
    }
    let is_plain = !digits.is_empty() && (digits.len() == 1 || !digits.starts_with('0'));
    is_plain.then(|| digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;

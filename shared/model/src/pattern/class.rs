//! Sets of characters: `[a-z]`, `[[:alpha:]_]`, `\d`.

use super::{PatternError, Read, Reader};

/// The names that may stand in `[:name:]`.
const NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// What stands behind a `\` for a set of ASCII characters: whether all others are meant, and the set.
pub(super) const fn perl(letter: char) -> Option<(bool, &'static str)> {
    let members = match letter {
        'd' | 'D' => "0-9",
        's' | 'S' => r"\t\n\x0C\r\x20",
        'w' | 'W' => "0-9A-Za-z_",
        _ => return None,
    };
    Some((letter.is_ascii_uppercase(), members))
}

impl Reader<'_> {
    /// A set in brackets.
    pub(super) fn class(&mut self) -> Read<()> {
        let whole = self.rest();
        self.take('[');
        if self.rest().starts_with('^') {
            self.take('^');
        }
        let mut is_first = true;
        while is_first || !self.rest().starts_with(']') {
            is_first = false;
            if !self.named_set()? && !self.escaped_set()? {
                self.range(whole)?;
            }
        }
        self.take(']');
        Ok(())
    }

    /// `[:alpha:]` or `[:^alpha:]`.
    fn named_set(&mut self) -> Read<bool> {
        let rest = self.rest();
        let Some(end) = rest.strip_prefix("[:").and_then(|rest| rest.find(":]")) else { return Ok(false) };
        let written = &rest[..end + 4];
        let name = &rest[2..end + 2];
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(PatternError::new("invalid character class range", written));
        }
        self.at += written.len();
        self.out.push_str(written);
        Ok(true)
    }

    /// `\d`, `\pL` and their like.
    fn escaped_set(&mut self) -> Read<bool> {
        let Some(letter) = self.rest().strip_prefix('\\').and_then(|rest| rest.chars().next()) else {
            return Ok(false);
        };
        if matches!(letter, 'p' | 'P') {
            let written = self.property()?;
            self.out.push_str(&written);
            return Ok(true);
        }
        let Some((is_negated, members)) = perl(letter) else { return Ok(false) };
        self.at += 2;
        self.out.push_str(&if is_negated { format!("[^{members}]") } else { members.to_owned() });
        Ok(true)
    }

    /// One character, or two with a `-` between them.
    fn range(&mut self, whole: &str) -> Read<()> {
        let start = self.at;
        let low = self.member(whole)?;
        let mut ahead = self.rest().chars();
        let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']');
        self.push_member(low);
        if is_range {
            self.at += 1;
            let high = self.member(whole)?;
            if high < low {
                return Err(PatternError::new("invalid character class range", &self.text[start..self.at]));
            }
            self.out.push('-');
            self.push_member(high);
        }
        Ok(())
    }

    fn member(&mut self, whole: &str) -> Read<char> {
        if self.rest().starts_with('\\') {
            return self.escaped();
        }
        self.next().ok_or_else(|| PatternError::new("missing closing ]", whole))
    }

    /// Writes a member so that it means nothing else.
    fn push_member(&mut self, member: char) {
        if member.is_ascii_alphanumeric() || !member.is_ascii() {
            self.out.push(member);
        } else {
            self.out.push_str(&format!("\\x{{{:x}}}", u32::from(member)));
        }
    }
}

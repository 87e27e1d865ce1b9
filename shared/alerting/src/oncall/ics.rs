//! A rota as a calendar file (RFC 5545), for the calendars that people look at.

use std::fmt::Write as _;

use model::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{OnCall, Shift};

/// Most bytes of a line, without its end.
const LINE_BYTES_MAX: usize = 75;

/// The shifts of a rota, an event each. An event keeps its identity as long as its rota, person and start are the same.
pub fn calendar(on_call: &OnCall, rota: &str, shifts: &[Shift], now: Timestamp) -> String {
    let mut lines = Lines(String::new());
    lines.push("BEGIN:VCALENDAR");
    lines.push("VERSION:2.0");
    lines.push("PRODID:-//Mihari//On-call//EN");
    lines.push("METHOD:PUBLISH");
    lines.push(&format!("X-WR-CALNAME:{}", escaped(rota)));
    for shift in shifts {
        let name = on_call.people.get(&shift.person).map_or(shift.person.as_str(), |person| &person.name);
        lines.push("BEGIN:VEVENT");
        lines.push(&format!("UID:{}@mihari", identity(rota, shift)));
        lines.push(&format!("DTSTAMP:{}", utc(now)));
        lines.push(&format!("DTSTART:{}", utc(shift.from)));
        lines.push(&format!("DTEND:{}", utc(shift.until)));
        lines.push(&format!("SUMMARY:{}", escaped(&format!("{name} ({rota})"))));
        lines.push("TRANSP:TRANSPARENT");
        lines.push("END:VEVENT");
    }
    lines.push("END:VCALENDAR");
    lines.0
}

struct Lines(String);

impl Lines {
    /// Adds a line, folded where it is too long, never inside of a character.
    fn push(&mut self, line: &str) {
        let mut room = LINE_BYTES_MAX;
        for c in line.chars() {
            if c.len_utf8() > room {
                self.0.push_str("\r\n ");
                room = LINE_BYTES_MAX - 1;
            }
            self.0.push(c);
            room -= c.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

/// A text value: what has a meaning is escaped, other control characters are gone.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,").replace('\n', "\\n");
    text.chars().filter(|c| !c.is_control()).collect()
}

fn utc(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn identity(rota: &str, shift: &Shift) -> String {
    let text = format!("{rota}\0{}\0{}", shift.person, shift.from.as_millis());
    Sha256::digest(text.as_bytes()).iter().take(16).fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a text cannot fail");
        hex
    })
}

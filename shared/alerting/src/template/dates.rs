//! Dates in the layouts of Go: `2006-01-02 15:04:05`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::value::Value;
use super::{humanize, print};

/// A time as Go prints it: `2015-06-23 13:19:44.128 +0000 UTC`.
pub(super) fn shown(seconds: f64, zone: &TimeZone) -> Result<String, String> {
    if !seconds.is_finite() {
        return humanize::timestamp(seconds);
    }
    Ok(format(&zoned(seconds, zone)?, "2006-01-02 15:04:05.999999999 -0700 MST"))
}

/// A time in Go's form of a layout.
pub(super) fn formatted(seconds: f64, zone: &TimeZone, layout: &str) -> Result<String, String> {
    Ok(format(&zoned(seconds, zone)?, layout))
}

/// A time as it stands in JSON (RFC 3339).
pub(super) fn rfc3339(seconds: f64, zone: &TimeZone) -> Result<String, String> {
    formatted(seconds, zone, "2006-01-02T15:04:05.999999999Z07:00")
}

/// A moment in a zone.
pub(super) fn zoned(seconds: f64, zone: &TimeZone) -> Result<jiff::Zoned, String> {
    let out_of_range = || format!("{} is out of the range of times", print::plain(&Value::Float(seconds)));
    if !seconds.is_finite() || seconds.abs() > 2e11 {
        return Err(out_of_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "the check above leaves microseconds that fit")]
    let time = Timestamp::from_microsecond((seconds * 1e6).round() as i64).map_err(|_| out_of_range())?;
    Ok(time.to_zoned(zone.clone()))
}

/// The pieces of a layout and what each stands for, in the form of `strftime`; of two that begin alike the longer one
/// comes first.
const PIECES: [(&str, &str); 28] = [
    ("January", "%B"),
    ("Jan", "%b"),
    ("Monday", "%A"),
    ("Mon", "%a"),
    ("MST", "%Z"),
    ("2006", "%Y"),
    ("-07:00:00", "%::z"),
    ("-070000", "%z00"),
    ("-07:00", "%:z"),
    ("-0700", "%z"),
    ("-07", "%z"),
    ("002", "%j"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("__2", "%_3j"),
    ("_2", "%_d"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
    ("4", "%-M"),
    ("5", "%-S"),
];

/// Those that print `Z` for UTC.
const ZULU: [(&str, &str); 5] =
    [("Z07:00:00", "%::z"), ("Z070000", "%z00"), ("Z07:00", "%:z"), ("Z0700", "%z"), ("Z07", "%z")];

/// A date in Go's form of a layout.
pub(super) fn format(date: &jiff::Zoned, layout: &str) -> String {
    let mut text = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((digits, drops_zeros)) = fraction(rest) {
            let all = format!("{:09}", date.subsec_nanosecond());
            let shown = &all[..digits.min(9)];
            let shown = if drops_zeros { shown.trim_end_matches('0') } else { shown };
            if !shown.is_empty() {
                text.push(c);
                text.push_str(shown);
            }
            rest = &rest[1 + digits..];
            continue;
        }
        // Zero is Z, another offset stands there in figures.
        if let Some((piece, form)) = ZULU.iter().find(|(piece, _)| rest.starts_with(piece)) {
            let is_utc = date.offset().is_zero();
            text.push_str(&if is_utc { "Z".to_owned() } else { date.strftime(form).to_string() });
            rest = &rest[piece.len()..];
            continue;
        }
        let piece = PIECES.iter().find(|(piece, _)| rest.starts_with(piece));
        match piece {
            Some((piece, form)) => {
                text.push_str(&date.strftime(form).to_string());
                rest = &rest[piece.len()..];
            }
            None => {
                text.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    text
}

/// Digits of a fraction of a second at the start: `.000` keeps zeros, `.999` drops those at the end.
fn fraction(layout: &str) -> Option<(usize, bool)> {
    let digits = layout.strip_prefix(['.', ','])?;
    let kind = digits.chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
    let count = digits.chars().take_while(|digit| *digit == kind).count();
    let ends = !digits[count..].starts_with(|c: char| c.is_ascii_digit());
    ends.then_some((count, kind == '9'))
}

/// What was read of a date so far.
struct Reading<'a> {
    rest: &'a str,
    date: [i16; 3],
    /// Hour, minute, second, nanosecond.
    time: [i64; 4],
    is_afternoon: Option<bool>,
    day_of_year: Option<i64>,
    offset_seconds: i64,
}

/// Seconds since the epoch of a text in a layout of Go.
///
/// # Errors
/// When the text does not have the layout, in the words of Go, or is no date.
pub(super) fn parsed(layout: &str, text: &str) -> Result<f64, String> {
    let mut reading =
        Reading { rest: text, date: [0, 1, 1], time: [0; 4], is_afternoon: None, day_of_year: None, offset_seconds: 0 };
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        let fraction_length = fraction(rest).map(|(digits, _)| 1 + digits);
        let named = ZULU.iter().chain(&PIECES).map(|(piece, _)| *piece).find(|piece| rest.starts_with(piece));
        let length = fraction_length.or(named.map(str::len)).unwrap_or(c.len_utf8());
        let (piece, after) = rest.split_at(length);
        let before = reading.rest;
        let read = match (fraction_length, named) {
            (Some(_), _) => reading.fraction(),
            (None, Some(piece)) => reading.piece(piece),
            (None, None) => reading.rest.strip_prefix(c).map(|rest| reading.rest = rest),
        };
        if read.is_none() {
            return Err(format!("parsing time {text:?} as {layout:?}: cannot parse {before:?} as {piece:?}"));
        }
        rest = after;
    }
    if !reading.rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {:?}", reading.rest));
    }
    reading.seconds().ok_or_else(|| format!("parsing time {text:?}: out of range"))
}

impl Reading<'_> {
    /// A number of at most so many digits.
    fn digits(&mut self, least: usize, most: usize) -> Option<i64> {
        let count = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        if count < least { None } else { digits.parse().ok() }
    }

    fn letters(&mut self) -> &str {
        let count = self.rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest.len());
        let (letters, rest) = self.rest.split_at(count);
        self.rest = rest;
        letters
    }

    /// The digits behind a point, which stand for a part of a second.
    fn fraction(&mut self) -> Option<()> {
        let Some(rest) = self.rest.strip_prefix(['.', ',']) else { return Some(()) };
        self.rest = rest;
        let count = rest.bytes().take_while(u8::is_ascii_digit).count();
        let digits = self.digits(1, count)?;
        let scale = u32::try_from(count).ok().filter(|&count| count <= 9)?;
        self.time[3] = digits * 10_i64.pow(9 - scale);
        Some(())
    }

    fn piece(&mut self, piece: &str) -> Option<()> {
        let small = |number: i64| i16::try_from(number).ok();
        match piece {
            "2006" => self.date[0] = small(self.digits(4, 4)?)?,
            "06" => {
                let year = small(self.digits(2, 2)?)?;
                self.date[0] = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            "01" => self.date[1] = small(self.digits(2, 2)?)?,
            "1" => self.date[1] = small(self.digits(1, 2)?)?,
            "02" => self.date[2] = small(self.digits(2, 2)?)?,
            "2" => self.date[2] = small(self.digits(1, 2)?)?,
            "_2" => {
                self.rest = self.rest.trim_start_matches(' ');
                self.date[2] = small(self.digits(1, 2)?)?;
            }
            "002" => self.day_of_year = Some(self.digits(3, 3)?),
            "__2" => {
                self.rest = self.rest.trim_start_matches(' ');
                self.day_of_year = Some(self.digits(1, 3)?);
            }
            "15" | "03" => self.time[0] = self.digits(2, 2)?,
            "3" => self.time[0] = self.digits(1, 2)?,
            "04" => self.time[1] = self.digits(2, 2)?,
            "4" => self.time[1] = self.digits(1, 2)?,
            "05" | "5" => {
                self.time[2] = self.digits(piece.len(), 2)?;
                // A fraction may stand there without being in the layout.
                self.fraction()?;
            }
            "January" | "Jan" => {
                let name = self.letters();
                let is_it = |month: &str| name == month || piece == "Jan" && name == &month[..3];
                self.date[1] = small(1 + i64::try_from(MONTHS.iter().position(|month| is_it(month))?).ok()?)?;
            }
            "Monday" | "Mon" | "MST" => drop(Some(self.letters()).filter(|name| name.len() >= 3)?),
            "PM" | "pm" => match self.letters() {
                "PM" | "pm" => self.is_afternoon = Some(true),
                "AM" | "am" => self.is_afternoon = Some(false),
                _ => return None,
            },
            zone => self.zone(zone)?,
        }
        Some(())
    }

    /// An offset from UTC in figures, or `Z` where the layout allows it.
    fn zone(&mut self, piece: &str) -> Option<()> {
        if let Some(rest) = self.rest.strip_prefix('Z').filter(|_| piece.starts_with('Z')) {
            self.rest = rest;
            return Some(());
        }
        let sign = if self.rest.starts_with('-') { -1 } else { 1 };
        self.rest = self.rest.strip_prefix(['+', '-'])?;
        let mut parts = [self.digits(2, 2)?, 0, 0];
        let more = (piece.bytes().filter(u8::is_ascii_digit).count() / 2).saturating_sub(1);
        for part in parts.iter_mut().skip(1).take(more) {
            if piece.contains(':') {
                self.rest = self.rest.strip_prefix(':')?;
            }
            *part = self.digits(2, 2)?;
        }
        self.offset_seconds = sign * (parts[0] * 3600 + parts[1] * 60 + parts[2]);
        Some(())
    }

    fn seconds(&self) -> Option<f64> {
        let [year, month, day] = self.date;
        let date = jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        let date = match self.day_of_year {
            Some(day) => date.first_of_year().checked_add(jiff::Span::new().try_days(day - 1).ok()?).ok()?,
            None => date,
        };
        let [hour, minute, second, nanos] = self.time;
        let hour = match self.is_afternoon {
            Some(true) if hour < 12 => hour + 12,
            Some(false) if hour == 12 => 0,
            Some(_) | None => hour,
        };
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
        let seconds = midnight + hour * 3600 + minute * 60 + second - self.offset_seconds;
        #[expect(clippy::cast_precision_loss, reason = "times of people have microseconds at most")]
        Some(seconds as f64 + nanos as f64 / 1e9)
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_those_of_go() {
        let date = zoned(1_435_065_584.128, &TimeZone::UTC).unwrap();
        let cases = [
            ("2006-01-02 15:04:05", "2015-06-23 13:19:44"),
            ("Mon, 02 Jan 2006 15:04:05 MST", "Tue, 23 Jun 2015 13:19:44 UTC"),
            ("Monday January 2 3:04PM", "Tuesday June 23 1:19PM"),
            ("2006-01-02T15:04:05.000Z07:00", "2015-06-23T13:19:44.128Z"),
            ("15:04:05.999999 -0700", "13:19:44.128 +0000"),
            ("06/1/_2 pm", "15/6/23 pm"),
            ("年2006 見張り", "年2015 見張り"),
        ];
        for (layout, expected) in cases {
            assert_eq!(format(&date, layout), expected, "{layout}");
        }
    }

    #[test]
    fn dates_are_read_as_they_are_written() {
        let seconds = 1_435_065_584.5;
        for layout in [
            "2006-01-02T15:04:05.999Z07:00",
            "Monday, January _2 2006 3:04:05.0PM -0700",
            "02.01.06 15:04:05,000 MST",
            "2006 002 15:04:05.000",
        ] {
            let date = zoned(seconds, &TimeZone::get("Asia/Tokyo").unwrap()).unwrap();
            let date = if layout.contains("07") { date } else { date.with_time_zone(TimeZone::UTC) };
            let text = format(&date, layout);
            assert_eq!(parsed(layout, &text), Ok(seconds), "{text}");
        }
        let problem = "parsing time \"x\" as \"2006\": cannot parse \"x\" as \"2006\"";
        assert_eq!(parsed("2006", "x").unwrap_err(), problem);
        for (layout, text) in [("2006-01-02", "2015-02-30"), ("15:04", "25:00"), ("2006", "2015x")] {
            assert!(parsed(layout, text).is_err(), "{text}");
        }
    }
}

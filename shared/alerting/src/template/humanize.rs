//! Numbers for people.

use jiff::Timestamp;

use super::print::general;

/// Four digits and a decimal prefix: `1.235M`, `120m`.
pub(super) fn humanize(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return four_digits(number);
    }
    let large = ["", "k", "M", "G", "T", "P", "E", "Z", "Y"];
    let small = ["", "m", "u", "n", "p", "f", "a", "z", "y"];
    let mut scaled = number;
    let mut step = 0;
    if number.abs() >= 1.0 {
        while scaled.abs() >= 1000.0 && step < large.len() - 1 {
            scaled /= 1000.0;
            step += 1;
        }
        return format!("{}{}", four_digits(scaled), large[step]);
    }
    while scaled.abs() < 1.0 && step < small.len() - 1 {
        scaled *= 1000.0;
        step += 1;
    }
    format!("{}{}", four_digits(scaled), small[step])
}

/// Four digits and a binary prefix: `1.177Mi`; plain below one.
pub(super) fn humanize_1024(number: f64) -> String {
    let prefixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"];
    let mut scaled = number;
    let mut step = 0;
    while number.is_finite() && scaled.abs() >= 1024.0 && step < prefixes.len() - 1 {
        scaled /= 1024.0;
        step += 1;
    }
    format!("{}{}", four_digits(scaled), prefixes[step])
}

/// A ratio as a percentage with four digits: `12.35%`.
pub(super) fn percentage(ratio: f64) -> String {
    format!("{}%", four_digits(ratio * 100.0))
}

/// Seconds as days, hours, minutes and seconds, or with a decimal prefix below a minute.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return four_digits(seconds);
    }
    if seconds == 0.0 {
        return "0s".to_owned();
    }
    if seconds.abs() < 1.0 {
        return format!("{}s", humanize(seconds));
    }
    if seconds.abs() < 60.0 {
        return format!("{}s", four_digits(seconds));
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float beyond u64 saturates")]
    let whole = seconds.abs() as u64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours) {
        (0, 0) => format!("{sign}{minutes}m {rest}s"),
        (0, _) => format!("{sign}{hours}h {minutes}m {rest}s"),
        _ => format!("{sign}{days}d {hours}h {minutes}m {rest}s"),
    }
}

/// Seconds since the epoch as a date and time in UTC, with as many digits of the second as it has.
pub(super) fn timestamp(seconds: f64) -> Result<String, String> {
    if !seconds.is_finite() {
        return Ok(four_digits(seconds));
    }
    let out_of_range = || {
        format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            general(seconds, None, 'e')
        )
    };
    if seconds.abs() > 9_223_372_036.854_775 {
        return Err(out_of_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "the check above leaves milliseconds that fit")]
    let millis = (seconds * 1000.0).round() as i64;
    let time = Timestamp::from_millisecond(millis).map_err(|_| out_of_range())?;
    let fraction = millis.rem_euclid(1000);
    let digits = if fraction == 0 { String::new() } else { format!(".{fraction:03}") };
    let digits = digits.trim_end_matches('0');
    Ok(format!("{}{digits} +0000 UTC", time.strftime("%Y-%m-%d %H:%M:%S")))
}

fn four_digits(number: f64) -> String {
    general(number, Some(4), 'e')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(humanize(1_234_567.0), "1.235M");
        assert_eq!(humanize(0.12), "120m");
        assert_eq!(humanize_1024(1_234_567.0), "1.177Mi");
        assert_eq!(percentage(0.123_456_7), "12.35%");
        assert_eq!([f64::INFINITY, f64::NAN].map(percentage), ["+Inf%", "NaN%"]);
        assert_eq!(duration(-(86_400.0 * 2.0 + 3600.0 * 3.0 + 245.0)), "-2d 3h 4m 5s");
        assert_eq!(timestamp(1_435_065_584.128).unwrap(), "2015-06-23 13:19:44.128 +0000 UTC");
        assert!(timestamp(1e19).is_err());
    }
}

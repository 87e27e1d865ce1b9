//! Parts of dates, in UTC.

#![expect(clippy::wildcard_enum_match_arm, reason = "a few of all functions are about dates")]

use crate::functions::FunctionId;

/// The part of a date that a function gives for seconds since the epoch.
pub(super) fn part(id: FunctionId) -> Option<fn(f64) -> f64> {
    Some(match id {
        FunctionId::Minute => |seconds| of(seconds, |date| date.second_of_day / 60 % 60),
        FunctionId::Hour => |seconds| of(seconds, |date| date.second_of_day / 3600),
        // The epoch was a Thursday.
        FunctionId::DayOfWeek => |seconds| of(seconds, |date| (date.days + 4).rem_euclid(7)),
        FunctionId::DayOfMonth => |seconds| of(seconds, |date| date.day),
        FunctionId::DayOfYear => |seconds| of(seconds, |date| date.days - days_from_civil(date.year, 1, 1) + 1),
        FunctionId::DaysInMonth => |seconds| of(seconds, days_in_month),
        FunctionId::Month => |seconds| of(seconds, |date| date.month),
        FunctionId::Year => |seconds| of(seconds, |date| date.year),
        _ => return None,
    })
}

/// A date of the proleptic Gregorian calendar.
struct Date {
    /// Days since the epoch.
    days: i64,
    second_of_day: i64,
    year: i64,
    month: i64,
    day: i64,
}

/// What is no number and what is beyond all numbers of seconds is the least of them, as Prometheus has it on most
/// machines; years before its calendar begins are those 2^64 seconds later.
#[expect(clippy::cast_possible_truncation, reason = "a number beyond the range was taken care of")]
#[expect(clippy::cast_precision_loss, reason = "parts of dates are small")]
fn of(seconds: f64, part: fn(Date) -> i64) -> f64 {
    /// The first second of the year -292277022399.
    const FIRST: i128 = -9_223_372_028_715_321_600;
    let within = (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&seconds);
    let seconds = i128::from(if within { seconds as i64 } else { i64::MIN });
    let seconds = if seconds < FIRST { seconds + (1 << 64) } else { seconds };
    let days = i64::try_from(seconds.div_euclid(86_400)).expect("2^64 seconds are fewer than 2^63 days");
    let second_of_day = i64::try_from(seconds.rem_euclid(86_400)).expect("a day has few seconds");
    let (year, month, day) = civil_from_days(days);
    part(Date { days, second_of_day, year, month, day }) as f64
}

fn days_in_month(date: Date) -> i64 {
    let next = if date.month == 12 { (date.year + 1, 1) } else { (date.year, date.month + 1) };
    days_from_civil(next.0, next.1, 1) - days_from_civil(date.year, date.month, 1)
}

/// Days since the epoch of a date; years are counted from March, so that the leap day ends them.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of days since the epoch: the inverse of [`days_from_civil`].
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_taken_apart() {
        // Seconds since the epoch, then year, month, day, day of year, day of week, days in month, hour, minute.
        let cases = [
            (0.0, [1970, 1, 1, 1, 4, 31, 0, 0]),
            (1_230_767_999.0, [2008, 12, 31, 366, 3, 31, 23, 59]),
            (1_456_790_399.0, [2016, 2, 29, 60, 1, 29, 23, 59]),
            (951_782_400.0, [2000, 2, 29, 60, 2, 29, 0, 0]),
            (-1.0, [1969, 12, 31, 365, 3, 31, 23, 59]),
            (4_107_542_400.0, [2100, 3, 1, 60, 1, 31, 0, 0]),
            (1e17, [3_168_875_820, 9, 6, 250, 3, 30, 9, 46]),
            (f64::NAN, [292_277_026_596, 12, 4, 339, 0, 31, 15, 30]),
        ];
        let parts = [
            FunctionId::Year,
            FunctionId::Month,
            FunctionId::DayOfMonth,
            FunctionId::DayOfYear,
            FunctionId::DayOfWeek,
            FunctionId::DaysInMonth,
            FunctionId::Hour,
            FunctionId::Minute,
        ];
        for (seconds, expected) in cases {
            let found = parts.map(|id| part(id).unwrap()(seconds).to_string());
            assert_eq!(found, expected.map(|part: i64| part.to_string()), "{seconds}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_reads_back() {
        for days in -200_000..200_000 {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}

//! Moments as text: RFC 3339 and what is near it.

const DAY_S: u64 = 86_400;

/// The last moment that is taken, in microseconds since 1970: nanoseconds up to it fit into 64 bits, in the year 2262.
pub(super) const US_MAX: u64 = i64::MAX.unsigned_abs() / 1000;

/// Writes microseconds since 1970 as `2026-11-21T16:14:08.000123Z`.
pub(super) fn to_text(us: u64) -> String {
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    let (day, second) = (seconds / DAY_S, seconds % DAY_S);
    let (year, month, day) = civil(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// Reads a date and a time of day since 1970, in microseconds; without an offset it is UTC.
///
/// Shape: `YYYY-MM-DD`, `T` or a space, `HH:MM:SS`, up to nine digits of a fraction, and `Z`, `±HH:MM`, `±HHMM` or nothing.
pub(super) fn from_text(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = rest.split_at_checked(8)?;
    let end = rest
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (fraction, offset) = rest.split_at_checked(end)?;
    let seconds = day_of(date)?.checked_mul(DAY_S)?.checked_add(second_of(time)?)?;
    let seconds = seconds.checked_sub_signed(offset_s(offset)?)?;
    let us = seconds.checked_mul(1_000_000)?.checked_add(fraction_us(fraction)?)?;
    (us <= US_MAX).then_some(us)
}

fn day_of(date: &str) -> Option<u64> {
    let mut parts = date.split('-');
    let (year, month, day) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let plausible = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day) && parts.next().is_none();
    let days = plausible.then(|| days(year, month, day))?;
    // 30 February is another day, and so none.
    (civil(days) == (year, month, day)).then_some(days)
}

fn second_of(time: &str) -> Option<u64> {
    let mut parts = time.split(':');
    let (hour, minute, second) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    // 60 = a leap second.
    let plausible = hour < 24 && minute < 60 && second <= 60 && parts.next().is_none();
    plausible.then_some(hour * 3600 + minute * 60 + second)
}

fn fraction_us(fraction: &str) -> Option<u64> {
    if fraction.is_empty() {
        return Some(0);
    }
    let digits = fraction.strip_prefix('.')?;
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    number(format!("{digits:0<6}").get(..6)?)
}

fn offset_s(offset: &str) -> Option<i64> {
    let sign = match offset.bytes().next() {
        None | Some(b'Z' | b'z') => return (offset.len() <= 1).then_some(0),
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    let digits: String = offset.chars().skip(1).filter(|c| *c != ':').collect();
    let (hour, minute) = digits.split_at_checked(2)?;
    let seconds = number(hour)?
        .checked_mul(3600)?
        .checked_add(number(minute)?.checked_mul(60)?)?;
    i64::try_from(seconds).ok().map(|seconds| sign * seconds)
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.len() <= 6 && digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Counts days since 1970-01-01; years begin in March, so that the leap day is the last.
///
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).saturating_sub(719_468)
}

/// Turns days since 1970-01-01 into year, month and day: the inverse of [`days`].
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, want: Option<u64>) {
        assert_eq!(from_text(text), want, "{text}");
    }

    #[test]
    fn moments_read_as_others_write_them() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2026-11-21T16:14:08.5Z", Some(1_795_277_648_500_000));
        check("2025-05-21 10:01:02.123456", Some(1_747_821_662_123_456));
        check("2025-05-21 10:01:02", Some(1_747_821_662_000_000));
        check("2025-05-21T12:01:02.123456789+02:00", Some(1_747_821_662_123_456));
        check("2025-05-21T08:01:02-0200", Some(1_747_821_662_000_000));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000));
        check("2262-04-11T23:47:16.854775Z", Some(US_MAX));
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "yesterday",
            "2025-02-29T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T00:00:00.Z",
            "2025-01-01T00:00:00.1.2Z",
            "2025-01-01T00:00:00+",
            "2025-01-01T00:00:00Zulu",
            "1969-12-31T23:59:59Z",
            "2262-04-11T23:47:16.854776Z",
            "2025-01-01é00:00:00",
        ] {
            check(text, None);
        }
    }

    proptest::proptest! {
        #[test]
        fn every_moment_reads_back(us in 0..=US_MAX) {
            proptest::prop_assert_eq!(from_text(&to_text(us)), Some(us));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String) {
            let _any = from_text(&text);
        }
    }
}

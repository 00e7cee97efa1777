//! Times of cases: RFC 3339 in UTC, to the millisecond.

use quotum_limit::LogTime;

/// Reads `2026-01-05T10:00:00Z` or `2026-01-05T10:00:00.999Z`; `None` for anything else. Further
/// digits of the fraction are cut off. There are no leap seconds.
pub(super) fn instant(text: &str) -> Option<LogTime> {
    let bytes = text.as_bytes();
    let (head, tail) = (bytes.get(..19)?, bytes.get(19..)?);
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators
        .iter()
        .any(|(at, separator)| head[*at] != *separator)
    {
        return None;
    }
    let part = |from: usize, to: usize| number(&head[from..to]);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let ms = match tail {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if !digits.is_empty() => {
            number(digits)?;
            (0..3).fold(0, |ms, at| {
                ms * 10 + digits.get(at).map_or(0, |d| u64::from(d - b'0'))
            })
        }
        _ => return None,
    };
    let seconds = ((days(year, month, day)? * 24 + hour) * 60 + minute) * 60 + second;
    Some(LogTime::from_ms(seconds * 1_000 + ms))
}

/// Days from 1970-01-01 to a date that exists.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let february = if leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let index = usize::try_from(month.checked_sub(1)?).ok()?;
    if year < 1970 || !(1..=*lengths.get(index)?).contains(&day) {
        return None;
    }
    let years: u64 = (1970..year)
        .map(|year| if leap(year) { 366 } else { 365 })
        .sum();
    Some(years + lengths[..index].iter().sum::<u64>() + day - 1)
}

fn number(digits: &[u8]) -> Option<u64> {
    let plain = digits.len() <= 9 && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| {
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_millisecond() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-31T23:59:58.999Z", 1_769_903_998_999),
            ("2026-01-31T23:59:59.5Z", 1_769_903_999_500),
            ("2028-02-29T12:00:00Z", 1_835_438_400_000),
            ("2100-03-01T00:00:00.0009Z", 4_107_542_400_000),
        ] {
            assert_eq!(instant(text), Some(LogTime::from_ms(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_in_utc_is_refused() {
        for text in [
            "",
            "2026-01-05",
            "2026-01-05T10:00:00",
            "2026-01-05T10:00:00+00:00",
            "2026-01-05 10:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-05T24:00:00Z",
            "2026-01-05T10:60:00Z",
            "2026-01-05T10:00:60Z",
            "2026-01-05T10:00:00.Z",
            "2026-01-05T10:00:00.1234567890Z",
            "1969-12-31T23:59:59Z",
            "２026-01-05T10:00:00Z",
        ] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}

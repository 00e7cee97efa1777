//! Windows: how log time is cut into the intervals over which units are counted.
//!
//! Calendar windows start on UTC boundaries, weeks on Monday; durations start at multiples of
//! themselves since the Unix epoch. Leap seconds do not exist in log time.

use std::fmt;
use std::str::FromStr;

use crate::limits::{WINDOW_MS_MAX, WINDOW_MS_MIN};

#[cfg(test)]
mod tests;

/// Log time: milliseconds since the Unix epoch, as stamped by leaders. Never a reading of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LogTime {
    pub ms: u64,
}

/// How a limit cuts time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    Second,
    Minute,
    Hour,
    Day,
    /// Monday 00:00 UTC to the next.
    Week,
    /// The first of a month 00:00 UTC to the first of the next.
    Month,
    /// Multiples of `ms` since the epoch. Never equal to one of the windows above: see
    /// [`Window::duration`].
    Duration {
        ms: u64,
    },
}

/// The interval `[start, end)` of log time that contains a given instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    pub start: LogTime,
    pub end: LogTime,
}

/// Why a text or a number is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error(
        "unknown window {0:?}: use second, minute, hour, day, week, month, or a duration such as \
         \"90s\", \"10m\", \"6h\", \"2d\""
    )]
    Unknown(String),
    #[error("a window lasts from 1 second to 366 days")]
    OutOfRange,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// 1970-01-01 was a Thursday: Monday is three days before it.
const MONDAY_OFFSET: u64 = 3 * DAY;

// === impl LogTime ===

impl LogTime {
    pub const ZERO: Self = Self { ms: 0 };

    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// Milliseconds from `earlier` to `self`, 0 if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.ms.saturating_sub(earlier.ms)
    }

    pub fn plus_ms(self, ms: u64) -> Self {
        Self {
            ms: self.ms.saturating_add(ms),
        }
    }
}

// === impl Window ===

impl Window {
    /// The window of `ms` milliseconds. A length that has a name and the same boundaries becomes
    /// that window, so that `"60s"` and `"minute"` are one counter.
    pub fn duration(ms: u64) -> Result<Self, WindowError> {
        match ms {
            SECOND => Ok(Self::Second),
            MINUTE => Ok(Self::Minute),
            HOUR => Ok(Self::Hour),
            DAY => Ok(Self::Day),
            _ if (WINDOW_MS_MIN..=WINDOW_MS_MAX).contains(&ms) => Ok(Self::Duration { ms }),
            _ => Err(WindowError::OutOfRange),
        }
    }

    /// The interval of this window that contains `at`.
    pub fn interval(self, at: LogTime) -> Interval {
        let (start, end) = match self {
            Self::Month => month(at.ms),
            Self::Week => {
                let start = (at.ms.saturating_add(MONDAY_OFFSET) / WEEK * WEEK)
                    .saturating_sub(MONDAY_OFFSET);
                let end = (at.ms.saturating_add(MONDAY_OFFSET) / WEEK + 1).saturating_mul(WEEK);
                (start, end.saturating_sub(MONDAY_OFFSET))
            }
            other => {
                let length = other.length_ms();
                let start = at.ms / length * length;
                (start, start.saturating_add(length))
            }
        };
        Interval {
            start: LogTime::from_ms(start),
            end: LogTime::from_ms(end),
        }
    }

    /// The nominal length in milliseconds; a month counts 30 days.
    pub fn length_ms(self) -> u64 {
        match self {
            Self::Second => SECOND,
            Self::Minute => MINUTE,
            Self::Hour => HOUR,
            Self::Day => DAY,
            Self::Week => WEEK,
            Self::Month => 30 * DAY,
            Self::Duration { ms } => ms,
        }
    }

    /// The length of a window that slides: a month counts 31 days, so that no calendar month holds
    /// more than its `max`.
    pub fn sliding_ms(self) -> u64 {
        match self {
            Self::Month => 31 * DAY,
            other => other.length_ms(),
        }
    }

    /// One number for the wire and the log: 1 to 6 for the named windows, the milliseconds of any
    /// other. No duration is that short.
    pub fn code(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 2,
            Self::Hour => 3,
            Self::Day => 4,
            Self::Week => 5,
            Self::Month => 6,
            Self::Duration { ms } => ms,
        }
    }

    /// The inverse of [`Window::code`]. A length that has a name is refused under another code:
    /// every window has exactly one.
    pub fn from_code(code: u64) -> Result<Self, WindowError> {
        match code {
            1 => Ok(Self::Second),
            2 => Ok(Self::Minute),
            3 => Ok(Self::Hour),
            4 => Ok(Self::Day),
            5 => Ok(Self::Week),
            6 => Ok(Self::Month),
            ms => match Self::duration(ms)? {
                window @ Self::Duration { .. } => Ok(window),
                _ => Err(WindowError::OutOfRange),
            },
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Second => f.write_str("second"),
            Self::Minute => f.write_str("minute"),
            Self::Hour => f.write_str("hour"),
            Self::Day => f.write_str("day"),
            Self::Week => f.write_str("week"),
            Self::Month => f.write_str("month"),
            Self::Duration { ms } if ms % DAY == 0 => write!(f, "{}d", ms / DAY),
            Self::Duration { ms } if ms % HOUR == 0 => write!(f, "{}h", ms / HOUR),
            Self::Duration { ms } if ms % MINUTE == 0 => write!(f, "{}m", ms / MINUTE),
            Self::Duration { ms } if ms % SECOND == 0 => write!(f, "{}s", ms / SECOND),
            Self::Duration { ms } => write!(f, "{ms}ms"),
        }
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let unknown = || WindowError::Unknown(text.chars().take(32).collect());
        Ok(match text {
            "second" => Self::Second,
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            _ => {
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                let (number, unit) = text.split_at(digits);
                let unit = match unit {
                    "ms" => 1,
                    "s" => SECOND,
                    "m" => MINUTE,
                    "h" => HOUR,
                    "d" => DAY,
                    _ => return Err(unknown()),
                };
                if number.is_empty() || number.starts_with('0') {
                    return Err(unknown());
                }
                let number: u64 = number.parse().map_err(|_| WindowError::OutOfRange)?;
                Self::duration(number.checked_mul(unit).ok_or(WindowError::OutOfRange)?)?
            }
        })
    }
}

/// The month that contains `ms`, by the civil calendar of days since the epoch.
fn month(ms: u64) -> (u64, u64) {
    let (year, month) = civil_month(ms / DAY);
    let (next_year, next_month) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    (
        days_to_month(year, month).saturating_mul(DAY),
        days_to_month(next_year, next_month).saturating_mul(DAY),
    )
}

/// Year and month (1 to 12) of a day since 1970-01-01 in the proleptic Gregorian calendar:
/// 400 years have 146,097 days; years are counted from March, so that the leap day is the last.
fn civil_month(day: u64) -> (u64, u64) {
    let day = day + 719_468; // from 0000-03-01
    let era = day / 146_097;
    let day_of_era = day % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month)
}

/// Days from 1970-01-01 to the first of a month: the inverse of [`civil_month`].
fn days_to_month(year: u64, month: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let era = year / 400;
    let year_of_era = year % 400;
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * march_month + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

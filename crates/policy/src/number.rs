//! Exact decimal numbers: the value that a JSON number spells, never rounded.
//!
//! Promises: comparison by value (5 = 5.0 = 5e0) in time and memory proportional to the text,
//! whatever the exponent. Does no arithmetic.

use std::borrow::Cow;
use std::cmp::Ordering;

use quotum_limit::limits::UNITS_MAX;

use crate::limits::EXPONENT_DIGITS_MAX;

#[cfg(test)]
mod tests;

/// A number in normal form, `± 0.digits × 10^magnitude`: equal values have equal fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal<'a> {
    negative: bool,
    /// Where the point stands, counted from the first digit. 0 for zero.
    magnitude: i64,
    /// Without leading and trailing zeros; empty for zero.
    digits: Cow<'a, str>,
}

/// So many digits a double always keeps, where it is not close to zero.
const DOUBLE_DIGITS: usize = 15;
/// See [`DOUBLE_DIGITS`]: smaller numbers than 10 to the minus this are close to zero.
const DOUBLE_MAGNITUDE: i64 = 290;

/// Why a text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    #[error("this is not a number as JSON writes it")]
    Malformed,
    #[error("the exponent of a number has at most {EXPONENT_DIGITS_MAX} digits")]
    Exponent,
}

// === impl Decimal ===

impl<'a> Decimal<'a> {
    /// Reads a number of the JSON grammar: all of `text`, nothing around it.
    pub fn parse(text: &'a str) -> Result<Self, NumberError> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], exponent(&rest[at + 1..])),
            None => (rest, Ok(0)),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return Err(NumberError::Malformed),
            None => (mantissa, ""),
        };
        if !is_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(NumberError::Malformed);
        }
        let (whole, fraction) = (
            whole.trim_start_matches('0'),
            fraction.trim_end_matches('0'),
        );
        if whole.is_empty() && fraction.is_empty() {
            // Zero is zero under any exponent, but a malformed one is still malformed.
            return match exponent {
                Err(NumberError::Malformed) => Err(NumberError::Malformed),
                _ => Ok(Self {
                    negative: false,
                    magnitude: 0,
                    digits: Cow::Borrowed(""),
                }),
            };
        }
        let (digits, point) = normal(whole, fraction);
        Ok(Self {
            negative,
            magnitude: point + exponent?,
            digits,
        })
    }

    /// The value as a number of units: whole, from 0 to 2^53. `None` for any other value.
    pub fn units(&self) -> Option<u64> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let length = usize::try_from(self.magnitude).ok()?;
        // 2^53 has 16 digits; fewer digits before the point than there are: a fraction.
        if self.negative || length > 16 || length < self.digits.len() {
            return None;
        }
        let digits: u64 = self.digits.parse().ok()?;
        let zeros = u32::try_from(length - self.digits.len()).ok()?;
        let units = digits.checked_mul(10_u64.checked_pow(zeros)?)?;
        (units <= UNITS_MAX).then_some(units)
    }

    /// The number that a program has which reads this one as a double; `None` if that is this one, as
    /// for every fraction that a double has ever written. Whole numbers of 64 bits are left alone:
    /// there are programs enough that keep them exactly, and few that keep larger ones.
    pub(crate) fn as_double(&self) -> Option<Decimal<'static>> {
        let kept = self.digits.len() <= DOUBLE_DIGITS && self.magnitude > -DOUBLE_MAGNITUDE;
        if kept || self.is_word() {
            return None;
        }
        let sign = if self.negative { "-" } else { "" };
        let text = format!("{sign}0.{}e{}", self.digits, self.magnitude);
        let double = text.parse::<f64>().ok()?;
        // A whole double is its value; of a fraction it is the shortest number that stands for it.
        let spelled = match double.fract() == 0.0 {
            true => format!("{double:.0}"),
            false => format!("{double:e}"),
        };
        let rounded = Decimal::parse(&spelled).ok()?.into_owned();
        (rounded != *self).then_some(rounded)
    }

    /// Whether it is a whole number of 64 bits, with a sign or without.
    fn is_word(&self) -> bool {
        let Ok(length) = usize::try_from(self.magnitude) else {
            return false;
        };
        // 2^64 has 20 digits.
        if length > 20 || length < self.digits.len() {
            return false;
        }
        let sign = if self.negative { "-" } else { "" };
        let text = format!("{sign}{:0<length$}", self.digits);
        text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok()
    }

    /// The same number without the text that it was read from.
    pub fn into_owned(self) -> Decimal<'static> {
        Decimal {
            digits: Cow::Owned(self.digits.into_owned()),
            ..self
        }
    }

    fn cmp_absolute(&self, other: &Decimal<'_>) -> Ordering {
        // Zero has no digits and is below every other number; without trailing zeros the order of
        // equally placed digits is the order of their texts.
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (false, false) => self
                .magnitude
                .cmp(&other.magnitude)
                .then_with(|| self.digits.cmp(&other.digits)),
            (own, others) => others.cmp(&own),
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_absolute(other),
            (true, true) => other.cmp_absolute(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

/// The significant digits of `whole.fraction`, not both empty, and where their point stands.
/// `whole` has no leading and `fraction` no trailing zeros.
fn normal<'a>(whole: &'a str, fraction: &'a str) -> (Cow<'a, str>, i64) {
    if fraction.is_empty() {
        (
            Cow::Borrowed(whole.trim_end_matches('0')),
            whole.len() as i64,
        )
    } else if whole.is_empty() {
        let digits = fraction.trim_start_matches('0');
        (
            Cow::Borrowed(digits),
            digits.len() as i64 - fraction.len() as i64,
        )
    } else {
        (Cow::Owned([whole, fraction].concat()), whole.len() as i64)
    }
}

fn exponent(text: &str) -> Result<i64, NumberError> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if !is_digits(digits) {
        return Err(NumberError::Malformed);
    }
    match digits.trim_start_matches('0') {
        "" => Ok(0),
        digits if digits.len() > EXPONENT_DIGITS_MAX => Err(NumberError::Exponent),
        digits => digits
            .parse::<i64>()
            .map(|n| sign * n)
            .map_err(|_| NumberError::Exponent),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

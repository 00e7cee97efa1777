//! Durations as operators write them: `45s`, `90m`, `12h`, `30d`, `2w`.

#[cfg(test)]
mod tests;

const UNITS: [(char, u64); 5] = [
    ('s', 1_000),
    ('m', 60_000),
    ('h', 3_600_000),
    ('d', 86_400_000),
    ('w', 604_800_000),
];

/// The milliseconds of a duration.
pub(crate) fn parse_ms(text: &str) -> Result<u64, String> {
    let expected = || format!("{text:?} is no duration: write a number and s, m, h, d or w");
    let unit = text.chars().next_back().ok_or_else(expected)?;
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, unit_ms) = known.ok_or_else(expected)?;
    let digits = &text[..text.len() - unit.len_utf8()];
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = match is_number {
        true => digits.parse().map_err(|_| expected())?,
        false => return Err(expected()),
    };
    let ms = number.checked_mul(*unit_ms).ok_or_else(expected)?;
    match ms {
        0 => Err(format!("{text:?} is no time at all")),
        ms => Ok(ms),
    }
}

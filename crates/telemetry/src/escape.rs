//! Escaping: no line of a log or a record can be made to look like two, or like another.

use std::fmt::Write;

#[cfg(test)]
mod tests;

/// Whether a character is written as `\uXXXX`: controls, line separators, and the invisible ones
/// that change the order or the look of the text around them.
pub(crate) fn is_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Appends `text` to `line`, escaping as JSON does: what is inside a JSON string stays the same
/// string.
pub(crate) fn escape_into(line: &mut String, text: &str) {
    let mut units = [0; 2];
    for c in text.chars() {
        if is_escaped(c) {
            for unit in c.encode_utf16(&mut units) {
                write!(line, "\\u{unit:04x}").expect("writing to a string does not fail");
            }
        } else {
            line.push(c);
        }
    }
}

//! Formats text and numbers: truncation, terminal safety, plurals.

use std::io::{self, IsTerminal as _};

use longshore_protocol::encryption::describe_encrypted;

/// Maximum characters of a short text in a cell.
const CELL: usize = 60;

/// A whole number with thousands separators: `1,234`.
pub(crate) fn grouped(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 job`, `2 jobs`.
pub(crate) fn counted(number: impl TryInto<u64>, one: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(number))
}

/// At most `longest` characters of a text, on one line.
pub(crate) fn one_line(text: &str, longest: usize) -> String {
    cut(
        text.trim(),
        longest,
        |c| if c.is_control() { ' ' } else { c },
    )
}

/// At most `longest` characters of a text with its line breaks, safe for a terminal.
pub(crate) fn excerpt(text: &str, longest: usize) -> String {
    printable(&cut(text, longest, |c| c))
}

fn cut(text: &str, longest: usize, map: impl FnMut(char) -> char) -> String {
    // Before it is cut: the name of the key is what is worth reading.
    let text = describe_encrypted(text);
    let mut chars = text.chars();
    let mut start: String = chars.by_ref().take(longest).map(map).collect();
    if chars.next().is_some() {
        start.push('…');
    }
    start
}

/// Replaces control characters if stdout is a terminal, so that the text of others cannot control it. Files and
/// pipes get the text unchanged.
pub(crate) fn printable(text: &str) -> String {
    if io::stdout().is_terminal() {
        without_control_characters(text)
    } else {
        text.to_owned()
    }
}

/// Replaces control characters but line breaks and tabs.
pub(crate) fn without_control_characters(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// A short text, or a dash for none.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.map_or_else(|| "-".to_owned(), |text| one_line(text, CELL))
}

/// Lines of names and values, with the values aligned.
pub(crate) fn labelled(lines: &[(&str, String)], width: usize) -> String {
    let lines: Vec<String> = lines
        .iter()
        .map(|(name, value)| format!("{name:<width$} {value}"))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(7_u64), "7");
        assert_eq!(grouped(1_234_567_u64), "1,234,567");
        assert_eq!(counted(1, "job"), "1 job");
        assert_eq!(counted(1234, "dead letter"), "1,234 dead letters");
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(one_line("a\nb\u{1b}[31mc", 5), "a b […");
        assert_eq!(
            without_control_characters("a\n\u{1b}]0;x\u{7}"),
            "a\n\u{fffd}]0;x\u{fffd}"
        );
    }
}

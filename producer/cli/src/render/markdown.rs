//! Markdown around texts of others, which cannot leave the place that they are given.

use super::text::{one_line, without_control_characters};

/// The most characters of a text within a line.
const LINE: usize = 400;

/// A text as part of a line: on one line, without any markup.
pub(crate) fn inline(text: &str) -> String {
    let line = one_line(text, LINE);
    let mut escaped = String::with_capacity(line.len());
    let mut before = None;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let has_meaning = match c {
            // Within a word it has none.
            '_' => !(is_word(before) && is_word(chars.peek().copied())),
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '&' | '|' | '~' => true,
            _ => false,
        };
        if has_meaning {
            escaped.push('\\');
        }
        escaped.push(c);
        before = Some(c);
    }
    escaped
}

/// A text on one line as code.
pub(crate) fn code(text: &str) -> String {
    let line = one_line(text, LINE);
    let fence = "`".repeat(longest_run(&line) + 1);
    // A space that only keeps the text off the fence is not shown.
    let space = if line.starts_with('`') || line.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{space}{line}{space}{fence}")
}

/// A text as a block of its own, with a fence longer than any run of backticks in it. Each line begins with `indent`
/// spaces.
pub(crate) fn block(text: &str, indent: usize) -> String {
    let text = without_control_characters(&text.replace("\r\n", "\n"));
    let fence = "`".repeat((longest_run(&text) + 1).max(3));
    let lines = [format!("{fence}text").as_str()]
        .into_iter()
        .chain(text.lines())
        .chain([fence.as_str()])
        .map(|line| format!("{:indent$}{line}", ""))
        .collect::<Vec<_>>();
    lines.join("\n")
}

/// The length of the longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_within_a_line_has_no_markup() {
        assert_eq!(
            inline("gpt-4o_mini of snake_case"),
            "gpt-4o_mini of snake_case"
        );
        assert_eq!(
            inline("_a_ **b** [c](d) <e> &amp; `f` | \\ ~~g~~\n# h\u{1b}[0m"),
            r"\_a\_ \*\*b\*\* \[c\](d) \<e\> \&amp; \`f\` \| \\ \~\~g\~\~ # h \[0m"
        );
    }

    #[test]
    fn code_is_fenced_by_more_backticks_than_it_has() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a``b"), "```a``b```");
        assert_eq!(code("`a"), "`` `a ``");
    }

    #[test]
    fn no_line_ends_a_block_early() {
        let text = "one\r\n```\n````rust\nx\u{1b}[2J\n\n</details>";
        assert_eq!(
            block(text, 2),
            "  `````text\n  one\n  ```\n  ````rust\n  x\u{fffd}[2J\n  \n  </details>\n  `````"
        );
    }
}

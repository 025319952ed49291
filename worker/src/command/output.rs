//! What a command prints: its head and its tail, and the lines that match `warnings`.

use std::collections::VecDeque;

use longshore_policy::gates::Pattern;

/// How much of the begin and of the end is kept, in bytes.
const KEPT: usize = 16 << 10;

/// How much of a line is compared with `warnings`, in bytes.
const LONGEST_LINE: usize = 8 << 10;

/// The output of a command so far.
#[derive(Debug)]
pub(crate) struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    bytes: u64,
    pattern: Option<Pattern>,
    /// The line that has not ended.
    line: Vec<u8>,
    warnings: u64,
}

impl Output {
    pub(super) fn new(pattern: Option<Pattern>) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            bytes: 0,
            pattern,
            line: Vec::new(),
            warnings: 0,
        }
    }

    pub(super) fn push(&mut self, printed: &[u8]) {
        let length = u64::try_from(printed.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        self.scan(printed);
        let room = KEPT.saturating_sub(self.head.len()).min(printed.len());
        let (first, rest) = printed.split_at_checked(room).unwrap_or((printed, &[]));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let surplus = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..surplus);
    }

    /// All that was printed, also what is not kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The lines that match so far.
    pub(crate) fn warnings(&self) -> u64 {
        self.warnings
    }

    /// Takes the last line into account, which may have no end.
    pub(super) fn end(&mut self) {
        self.end_line();
    }

    /// The text that is kept. Postgres stores no null characters.
    pub(crate) fn text(&self) -> String {
        let kept = u64::try_from(self.head.len() + self.tail.len()).unwrap_or(u64::MAX);
        let left_out = self.bytes.saturating_sub(kept);
        let mut bytes = self.head.clone();
        if left_out > 0 {
            bytes.extend_from_slice(format!("\n… {left_out} bytes left out …\n").as_bytes());
        }
        bytes.extend(&self.tail);
        String::from_utf8_lossy(&bytes).replace('\0', "\u{FFFD}")
    }

    fn scan(&mut self, printed: &[u8]) {
        if self.pattern.is_none() {
            return;
        }
        for part in printed.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST_LINE.saturating_sub(self.line.len());
            self.line.extend(part.iter().take(room));
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        if let Some(pattern) = &self.pattern {
            let line = String::from_utf8_lossy(&self.line);
            let is_warning =
                !line.is_empty() && pattern.matches(line.trim_end_matches(['\r', '\n']));
            self.warnings += u64::from(is_warning);
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_output_is_kept_whole() {
        let mut output = Output::new(None);
        output.push(b"one\n");
        output.push("zwölf\0".as_bytes());
        output.end();
        assert_eq!(output.text(), "one\nzwölf\u{FFFD}");
        assert_eq!(output.bytes(), 11);
    }

    #[test]
    fn of_a_long_output_head_and_tail_are_kept() {
        let mut output = Output::new(None);
        for number in 0..20_000 {
            output.push(format!("{number}\n").as_bytes());
        }
        let text = output.text();
        assert!(text.starts_with("0\n1\n2\n"));
        assert!(text.ends_with("19998\n19999\n"));
        let left_out = output.bytes() - 2 * u64::try_from(KEPT).unwrap();
        assert!(text.contains(&format!("\n… {left_out} bytes left out …\n")));
        assert!(text.len() < 2 * KEPT + 100);
    }

    #[test]
    fn warnings_are_counted_across_reads() {
        let mut output = Output::new(Some(Pattern::parse("^warning:").unwrap()));
        for part in [
            "war",
            "ning: a\nfine\nno warning: b\r\nwarning: c\r\n",
            "\nwarn",
            "ing: d",
        ] {
            output.push(part.as_bytes());
        }
        output.end();
        assert_eq!(output.warnings(), 3);
    }
}

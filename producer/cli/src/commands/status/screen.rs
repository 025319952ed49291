//! Shows the status again and again: in place on a terminal, else one report after the other.

use std::io::{self, IsTerminal as _};

use super::report::Report;
use crate::output::{self, Format};

/// Where the reports of `--watch` go.
pub(super) struct Screen {
    format: Format,
    is_terminal: bool,
}

impl Screen {
    pub(super) fn new(format: Format) -> Self {
        Self {
            format,
            is_terminal: io::stdout().is_terminal(),
        }
    }

    pub(super) fn show(&self, report: &Report) {
        match self.format {
            Format::Json => output::json_line(report),
            Format::Text if self.is_terminal => output::line(in_place(&report.to_string())),
            Format::Text => output::line(format_args!("{report}\n")),
        }
    }
}

/// The text, written over what is on the terminal. Clearing it first would flicker.
fn in_place(text: &str) -> String {
    const HOME: &str = "\x1b[H";
    const CLEAR_LINE: &str = "\x1b[K";
    const CLEAR_BELOW: &str = "\x1b[J";
    let text = text.replace('\n', &format!("{CLEAR_LINE}\n"));
    format!("{HOME}{text}{CLEAR_LINE}\n{CLEAR_BELOW}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_replaces_the_one_before() {
        assert_eq!(in_place("a\nb"), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
    }
}

//! What a call of a tool answers.

/// The longest result of a call, in bytes.
const LONGEST: usize = 64 << 10;

/// The characters of arguments and errors that the record of a call keeps.
const HEAD: usize = 500;

/// What a call answered: a text for the model and, if it failed, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) text: String,
    pub(super) error: Option<String>,
}

impl Answered {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            error: None,
        }
    }

    /// The model reads the error.
    pub(super) fn failed(error: impl Into<String>) -> Self {
        let error = error.into();
        Self {
            text: format!("Error: {error}"),
            error: Some(error),
        }
    }

    /// The text as the conversation keeps it, at most so many bytes of it.
    pub(super) fn result(&self, room: usize) -> String {
        let text = self.text.replace('\0', "\u{FFFD}");
        let most = room.min(LONGEST);
        if text.len() <= most {
            return text;
        }
        let kept = text
            .get(..text.floor_char_boundary(most))
            .unwrap_or_default();
        let left_out = text.len() - kept.len();
        format!("{kept}\n… {left_out} bytes left out: ask for less at once …")
    }
}

impl From<Result<String, String>> for Answered {
    fn from(result: Result<String, String>) -> Self {
        match result {
            Ok(text) => Self::ok(text),
            Err(error) => Self::failed(error),
        }
    }
}

/// The head of a text for the record of a call. Postgres stores no null characters.
pub(super) fn head(text: &str) -> String {
    let mut head: String = text.chars().take(HEAD).collect();
    if head.len() < text.len() {
        head.push('…');
    }
    head.replace('\0', "\u{FFFD}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_result_is_cut_with_a_note() {
        let long = Answered::ok("ä".repeat(40_000));
        let result = long.result(usize::MAX);
        assert!(result.starts_with('ä'));
        assert!(
            result.ends_with("\n… 14464 bytes left out: ask for less at once …"),
            "{}",
            result.len()
        );
        assert!(Answered::ok("äb").result(1).starts_with("\n… 3 bytes"));
        assert_eq!(Answered::failed("no\0").result(100), "Error: no\u{FFFD}");
    }

    #[test]
    fn the_record_keeps_heads() {
        assert_eq!(head(&"x".repeat(501)), format!("{}…", "x".repeat(500)));
        assert_eq!(head("short"), "short");
    }
}

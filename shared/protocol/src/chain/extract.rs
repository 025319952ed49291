//! What a step takes out of its answer: code, JSON or a diff.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    code::{CodeBlock, code_blocks},
    template::json_of,
};
use crate::envelope::{
    MalformedCode,
    fields::{Input, Read},
};

string_enum! {
    /// The part of an answer that a step asks for.
    Extract {
        /// The fenced blocks, each with its language and the name of its file.
        Code = "code",
        /// The JSON value that the answer is or contains.
        Json = "json",
        /// The unified diff.
        Diff = "diff",
    }
}

/// The part that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extracted {
    Code(Vec<CodeBlock>),
    Json(Value),
    Diff(String),
}

impl Extract {
    /// Finds the part in an answer, or says what is missing.
    pub fn find(self, answer: &str) -> Result<Extracted, String> {
        match self {
            Self::Code => match code_blocks(answer) {
                blocks if blocks.is_empty() => {
                    Err("expected code in fenced blocks, but there is none".to_owned())
                }
                blocks => Ok(Extracted::Code(blocks)),
            },
            Self::Json => json_of(answer)
                .map(Extracted::Json)
                .map_err(|error| format!("expected JSON: {error}")),
            Self::Diff => diff_of(answer)
                .map(Extracted::Diff)
                .ok_or_else(|| "expected a unified diff, but there is none".to_owned()),
        }
    }
}

/// The unified diff of an answer: all its fenced blocks that are diffs, or else the answer from its first header on.
pub(super) fn diff_of(answer: &str) -> Option<String> {
    let blocks = code_blocks(answer).into_iter();
    let diffs: Vec<String> = blocks
        .filter(|block| is_diff(&block.code))
        .map(|block| with_line_end(block.code))
        .collect();
    if !diffs.is_empty() {
        return Some(diffs.concat());
    }
    let start = line_starts(answer)
        .find(|rest| rest.starts_with("diff --git ") || begins_with_header(rest))?;
    is_diff(start).then(|| with_line_end(start.to_owned()))
}

/// `git apply` refuses a diff whose last line has no end.
fn with_line_end(mut diff: String) -> String {
    if !diff.ends_with('\n') {
        diff.push('\n');
    }
    diff
}

/// The text from each of its lines on.
fn line_starts(text: &str) -> impl Iterator<Item = &str> {
    let ends = text.match_indices('\n').map(|(end, _)| end + 1);
    std::iter::once(0)
        .chain(ends)
        .filter_map(|start| text.get(start..))
}

fn begins_with_header(text: &str) -> bool {
    let mut lines = text.lines();
    let mut next_is = |prefix| lines.next().is_some_and(|line| line.starts_with(prefix));
    next_is("--- ") && next_is("+++ ")
}

/// Whether a text is a diff: a header of two files, followed by a hunk.
fn is_diff(text: &str) -> bool {
    let mut starts = line_starts(text);
    starts.any(begins_with_header) && starts.any(|rest| rest.starts_with("@@"))
}

/// Reads the field `extract`.
pub(super) fn extract(input: Input<'_>) -> Read<Extract> {
    const EXPECTED: &str = "code, json or diff";
    Extract::from_name(&input.text(EXPECTED)?)
        .ok_or_else(|| input.is_not(MalformedCode::BadValue, EXPECTED))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DIFF: &str = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n";

    #[test]
    fn diffs_are_found_in_fences_and_without() {
        for answer in [
            DIFF.to_owned(),
            format!("Here it is:\n\n{DIFF}"),
            format!("```diff\n{DIFF}```\nDone."),
            format!("```patch\n{DIFF}```"),
            format!("```\n{DIFF}```"),
            DIFF.trim_end().to_owned(),
        ] {
            assert_eq!(diff_of(&answer).as_deref(), Some(DIFF), "{answer}");
        }
        let two = format!("```diff\n{DIFF}```\nand\n```diff\n{DIFF}```\n");
        assert_eq!(diff_of(&two), Some(format!("{DIFF}{DIFF}")));
        let git = format!("diff --git a/x.py b/x.py\n{DIFF}");
        assert_eq!(diff_of(&format!("So:\n{git}")), Some(git));
    }

    #[test]
    fn what_only_looks_like_a_diff_is_none() {
        for answer in [
            "no diff",
            "--- a\n+++ b\n",
            "--- a title\n@@ here",
            "```\nx = 1\n```",
        ] {
            assert_eq!(diff_of(answer), None, "{answer}");
            let missing = Extract::Diff.find(answer).unwrap_err();
            assert_eq!(missing, "expected a unified diff, but there is none");
        }
    }

    #[test]
    fn json_is_found_among_words() {
        let value = json!({"a": [1]});
        for answer in [
            r#"{"a": [1]}"#,
            "```json\n{\"a\": [1]}\n```",
            "Here it is: {\"a\": [1]} - as you asked {for}.",
            "See {this} [1]: {\"a\": [1]} or [2]",
        ] {
            let found = Extract::Json.find(answer);
            assert_eq!(found, Ok(Extracted::Json(value.clone())), "{answer}");
        }
        let missing = Extract::Json.find("only {words}").unwrap_err();
        assert_eq!(missing, "expected JSON: expected value at line 1 column 1");
    }

    #[test]
    fn code_must_be_fenced() {
        let missing = Extract::Code.find("x = 1").unwrap_err();
        assert_eq!(missing, "expected code in fenced blocks, but there is none");
        let found = Extract::Code.find("```python app.py\nx = 1\n```").unwrap();
        let shown = serde_json::to_value(found).unwrap();
        assert_eq!(
            shown,
            json!({"code": [{"language": "python", "file": "app.py", "code": "x = 1\n"}]})
        );
    }
}

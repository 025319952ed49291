//! Code in the answers of models: fenced blocks with their language and the name of their file.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use serde::{Deserialize, Serialize};

/// A fenced block of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeBlock {
    /// The first word behind the fence, in lower case; absent if there is none.
    pub language: Option<String>,
    /// The name of the file, if the answer says one.
    pub file: Option<String>,
    pub code: String,
}

/// The fenced blocks of an answer, in order. The name of a file is found where models write it: behind the fence
/// (`python:app.py`, `python file=app.py`, `python title="app.py"`), alone in the line above (`**app.py**`, `` `app.py` ``,
/// `### app.py`, `File: app.py`), or in a comment that is the first line of the code (`# app.py`, `// file: app.js`).
pub fn code_blocks(answer: &str) -> Vec<CodeBlock> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize, String)> = None;
    for (event, range) in Parser::new(answer).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                open = Some((info.into_string(), range.start, String::new()));
            }
            Event::Text(text) => {
                if let Some((_, _, code)) = &mut open {
                    code.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Some((info, start, code)) = open.take() {
                    let before = answer.get(..start).unwrap_or_default();
                    blocks.push(block(&info, before, code));
                }
            }
            _ => {}
        }
    }
    blocks
}

fn block(info: &str, before: &str, code: String) -> CodeBlock {
    let (first, rest) = info
        .trim()
        .split_once(char::is_whitespace)
        .unwrap_or((info.trim(), ""));
    let (language, path) = first.split_once(':').unwrap_or((first, ""));
    // A file in the place of the language: ```app.py
    let is_path = language.contains(['.', '/']);
    let language = Some(language).filter(|word| !word.is_empty() && !is_path);
    let file = Some(if is_path { first } else { path })
        .filter(|path| is_file_name(path))
        .map(str::to_owned)
        .or_else(|| file_of_attributes(rest))
        .or_else(|| file_above(before))
        .or_else(|| file_of_comment(&code));
    CodeBlock {
        language: language.map(str::to_lowercase),
        file,
        code,
    }
}

/// The file in `file=app.py`, `filename="app.py"`, `title='app.py'`, `path=app.py`, or a name alone.
fn file_of_attributes(attributes: &str) -> Option<String> {
    const NAMES: &[&str] = &["file", "filename", "title", "path"];
    attributes.split_whitespace().find_map(|word| {
        let value = match word.trim_matches(['{', '}']).split_once('=') {
            Some((name, value)) if NAMES.contains(&name) => value,
            Some(_) => return None,
            None => word,
        };
        let value = value.trim_matches(['"', '\'']);
        is_file_name(value).then(|| value.to_owned())
    })
}

/// The file that the last line before the fence consists of.
fn file_above(before: &str) -> Option<String> {
    let line = before.lines().rev().find(|line| !line.trim().is_empty())?;
    let line = line.trim().trim_start_matches('#').trim();
    let line = after_label(line).trim_matches(['*', '`', ':', ' ']);
    is_file_name(line).then(|| line.to_owned())
}

/// The file that a comment in the first line of the code consists of.
fn file_of_comment(code: &str) -> Option<String> {
    const COMMENTS: &[&str] = &["#", "//", "--", "<!--", "/*", ";"];
    let line = code.lines().next()?.trim();
    let text = COMMENTS.iter().find_map(|sign| line.strip_prefix(sign))?;
    let text = text.trim_end_matches("-->").trim_end_matches("*/").trim();
    let name = after_label(text);
    is_file_name(name).then(|| name.to_owned())
}

/// The text behind `File:`, `filename:` or `path:`.
fn after_label(text: &str) -> &str {
    const LABELS: &[&str] = &["file", "filename", "path"];
    match text.split_once(':') {
        Some((label, name))
            if LABELS.contains(&label.trim().trim_matches('*').to_lowercase().as_str()) =>
        {
            name.trim()
        }
        _ => text,
    }
}

/// Whether a word looks like the path of a file: with an extension, without spaces.
fn is_file_name(word: &str) -> bool {
    const LONGEST: usize = 200;
    let allowed = |c: char| c.is_alphanumeric() || "._-/@+".contains(c);
    let extension = word.rsplit_once('.');
    word.len() <= LONGEST
        && word.chars().all(allowed)
        && extension.is_some_and(|(stem, extension)| {
            !stem.is_empty() && (1..=10).contains(&extension.len()) && !extension.contains('/')
        })
        && word.chars().any(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(answer: &str) -> Vec<(Option<String>, Option<String>, String)> {
        let blocks = code_blocks(answer).into_iter();
        blocks
            .map(|block| (block.language, block.file, block.code))
            .collect()
    }

    fn one(
        language: Option<&str>,
        file: Option<&str>,
        code: &str,
    ) -> Vec<(Option<String>, Option<String>, String)> {
        vec![(
            language.map(str::to_owned),
            file.map(str::to_owned),
            code.to_owned(),
        )]
    }

    #[test]
    fn blocks_have_their_language_and_their_file() {
        for (answer, language, file) in [
            ("```\nx = 1\n```", None, None),
            ("Here:\n```Python\nx = 1\n```\nDone.", Some("python"), None),
            ("~~~python\nx = 1\n~~~", Some("python"), None),
            (
                "```python:src/app.py\nx = 1\n```",
                Some("python"),
                Some("src/app.py"),
            ),
            (
                "```python file=app.py\nx = 1\n```",
                Some("python"),
                Some("app.py"),
            ),
            (
                "```python title=\"app.py\"\nx = 1\n```",
                Some("python"),
                Some("app.py"),
            ),
            (
                "```python {filename=app.py}\nx = 1\n```",
                Some("python"),
                Some("app.py"),
            ),
            (
                "```python app.py\nx = 1\n```",
                Some("python"),
                Some("app.py"),
            ),
            ("```src/app.py\nx = 1\n```", None, Some("src/app.py")),
            (
                "**app.py**\n```python\nx = 1\n```",
                Some("python"),
                Some("app.py"),
            ),
            (
                "### `src/app.py`\n\n```python\nx = 1\n```",
                Some("python"),
                Some("src/app.py"),
            ),
            (
                "File: app.py\n```python\nx = 1\n```",
                Some("python"),
                Some("app.py"),
            ),
            (
                "src/app.py\n```python\nx = 1\n```",
                Some("python"),
                Some("src/app.py"),
            ),
            (
                "This changes version 1.2.\n```python\nx = 1\n```",
                Some("python"),
                None,
            ),
            (
                "1. First\n   ```python\n   x = 1\n   ```",
                Some("python"),
                None,
            ),
        ] {
            assert_eq!(found(answer), one(language, file, "x = 1\n"), "{answer}");
        }
    }

    #[test]
    fn the_first_comment_may_name_the_file() {
        for (sign, code) in [
            ("python", "# app.py\nx = 1\n"),
            ("js", "// file: app.py\nx = 1\n"),
            ("html", "<!-- app.py -->\nx = 1\n"),
            ("css", "/* app.py */\nx = 1\n"),
        ] {
            let answer = format!("```{sign}\n{code}```");
            assert_eq!(found(&answer), one(Some(sign), Some("app.py"), code));
        }
        let code = "# version 1.2 is needed\nx = 1\n";
        assert_eq!(found(&format!("```\n{code}```")), one(None, None, code));
    }

    #[test]
    fn fences_inside_longer_fences_are_code() {
        let answer = "````markdown\n```python\nx = 1\n```\n````";
        assert_eq!(
            found(answer),
            one(Some("markdown"), None, "```python\nx = 1\n```\n")
        );
        assert_eq!(found("no code, only `words`"), []);
        assert_eq!(
            found("```python\nnever closed"),
            one(Some("python"), None, "never closed")
        );
    }
}

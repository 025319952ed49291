//! The code blocks of a document.

use std::{fs, ops::Range};

use anyhow::bail;
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use super::checks::repository;

/// A code block.
pub(crate) struct Block {
    pub(crate) document: &'static str,
    /// The line on which it begins, counted from 1.
    pub(super) line: usize,
    /// Empty for an indented block.
    pub(crate) language: String,
    pub(crate) text: String,
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lines for a shell or for Redis.
    Commands,
    Json,
    Yaml,
    Sql,
    /// A program, whose tests are in the module `clients`.
    Program,
    /// What a program prints, or a drawing: nothing to run.
    Output,
}

impl Block {
    /// The file that it is, if its first line is a comment with a path.
    pub(crate) fn file(&self) -> Option<&str> {
        let name = self.text.lines().next()?.strip_prefix("# ")?;
        (name.contains('.') && !name.contains(' ')).then_some(name)
    }

    /// Its kind, by its language.
    pub(super) fn kind(&self) -> anyhow::Result<Kind> {
        Ok(match self.language.as_str() {
            // Only commands are indented.
            "sh" | "" => Kind::Commands,
            "json" => Kind::Json,
            "yaml" => Kind::Yaml,
            "sql" => Kind::Sql,
            "bash" | "python" | "typescript" | "go" | "ruby" | "rust" => Kind::Program,
            "text" => Kind::Output,
            other => bail!(
                "no test runs blocks in {other}: add the language to tests/it/docs/blocks.rs, or \
                 list the block in NOT_RUN of tests/it/docs.rs with the reason"
            ),
        })
    }
}

/// All blocks of a document, in order.
pub(crate) fn blocks(document: &'static str) -> Vec<Block> {
    let text = fs::read_to_string(repository().join(document)).unwrap();
    let line = |range: Range<usize>| {
        let before = text.bytes().take(range.start);
        before.filter(|byte| *byte == b'\n').count() + 1
    };
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (event, range) in Parser::new(&text).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    CodeBlockKind::Fenced(language) => language.into_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                is_inside = true;
                blocks.push(Block {
                    document,
                    line: line(range),
                    language,
                    text: String::new(),
                });
            }
            Event::Text(text) if is_inside => blocks.last_mut().unwrap().text.push_str(&text),
            Event::End(TagEnd::CodeBlock) => is_inside = false,
            _ => {}
        }
    }
    assert!(!blocks.is_empty(), "{document}");
    blocks
}

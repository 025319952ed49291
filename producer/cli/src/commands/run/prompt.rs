//! The prompt of a task: its goal, repository, constraints and context files.

use std::fmt::Write as _;

use super::context::ContextFile;

/// The prompt of a task.
pub(super) fn compose_prompt(
    goal: &str,
    repo: Option<&str>,
    constraints: &[String],
    files: &[ContextFile],
) -> String {
    // Writing to a string does not fail.
    let mut text = goal.trim().to_owned();
    if let Some(repo) = repo {
        let _written = write!(text, "\n\nRepository: {repo}");
    }
    if !constraints.is_empty() {
        text.push_str("\n\nConstraints:");
        for constraint in constraints {
            let _written = write!(text, "\n- {constraint}");
        }
    }
    if !files.is_empty() {
        text.push_str("\n\nFiles:");
        for file in files {
            let fence = fence(&file.text);
            let end = if file.text.ends_with('\n') { "" } else { "\n" };
            let _written = write!(
                text,
                "\n\n{}\n{fence}\n{}{end}{fence}",
                file.path, file.text
            );
        }
    }
    text
}

/// A code fence that is longer than any in the text.
fn fence(text: &str) -> String {
    let longest = text
        .split(|c| c != '`')
        .map(str::len)
        .max()
        .unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}

/// A template that renders to this text.
pub(super) fn to_template_literal(text: &str) -> String {
    if !text.contains("{{") && !text.contains("{%") {
        return text.to_owned();
    }
    let mut literal = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        literal.push_str(before);
        let opens = ["{{", "{%", "{#"]
            .into_iter()
            .find(|open| from.starts_with(open));
        if let Some(open) = opens {
            let _written = write!(literal, "{{{{ '{open}' }}}}");
            rest = from.get(open.len()..).unwrap_or_default();
        } else {
            literal.push('{');
            rest = from.get(1..).unwrap_or_default();
        }
    }
    literal.push_str(rest);
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_composed_from_the_task() {
        let file = |path: &str, text: &str| ContextFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        let files = [
            file("src/lib.rs", "fn a() {}\n"),
            file("README.md", "Use:\n```\na\n```"),
        ];
        let constraints = ["ZERO-WARNINGS".to_owned(), "Follow the style".to_owned()];
        insta::assert_snapshot!(compose_prompt(" Add docs\n", Some("acme/app"), &constraints, &files), @"
        Add docs

        Repository: acme/app

        Constraints:
        - ZERO-WARNINGS
        - Follow the style

        Files:

        src/lib.rs
        ```
        fn a() {}
        ```

        README.md
        ````
        Use:
        ```
        a
        ```
        ````
        ");
        assert_eq!(compose_prompt("Add docs", None, &[], &[]), "Add docs");
    }

    #[test]
    fn braces_are_escaped() {
        assert_eq!(to_template_literal("a { b {# c"), "a { b {# c");
        assert_eq!(
            to_template_literal("${{ x }} {% if %} {# no #} {"),
            "${{ '{{' }} x }} {{ '{%' }} if %} {{ '{#' }} no #} {"
        );
        assert_eq!(to_template_literal("{{{"), "{{ '{{' }}{");
    }
}

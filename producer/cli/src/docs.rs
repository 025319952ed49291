//! The help blocks of docs/COMMANDS.md, which `make docs` writes.

use std::{collections::BTreeMap, fs, path::Path};

use clap::{Command, CommandFactory as _};

/// Columns of the help texts; clap uses the same number when stdout is not a terminal.
const WIDTH: usize = 100;

/// Programs whose blocks are compared by the end-to-end tests, which run them.
const OTHER_PROGRAMS: [&str; 2] = ["longshore-worker", "longshore-scheduler"];

const BLOCK_END: &str = "<!-- end -->";

#[test]
fn docs_show_the_help_of_every_command() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/COMMANDS.md");
    let document = fs::read_to_string(&path).unwrap();
    let mut root = crate::Arguments::command().term_width(WIDTH);
    root.build();
    let mut helps = BTreeMap::new();
    collect_helps(&root, &root, &["longshore"], &mut helps);
    let (updated, mut problems) = update_blocks(&document, helps);
    if std::env::var_os("LONGSHORE_UPDATE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&path, updated).unwrap();
    } else if updated != document {
        problems.push("help texts differ from docs/COMMANDS.md: run `make docs`".to_owned());
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What `--help` prints for `command` and for its subcommands, by full command name.
fn collect_helps(
    root: &Command,
    command: &Command,
    path: &[&str],
    helps: &mut BTreeMap<String, String>,
) {
    // Parsed, not rendered: clap itself chooses between the short and the long form.
    let asked = path.iter().copied().chain(["--help"]);
    let help = root.clone().try_get_matches_from(asked).unwrap_err();
    let help = help.render().to_string();
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    helps.insert(path.join(" "), lines.join("\n"));
    for subcommand in command.get_subcommands() {
        if subcommand.get_name() != "help" && !subcommand.is_hide_set() {
            let path = [path, &[subcommand.get_name()]].concat();
            collect_helps(root, subcommand, &path, helps);
        }
    }
}

/// The document with the given help in each block, and the blocks that are unknown, missing or not closed.
fn update_blocks(document: &str, mut helps: BTreeMap<String, String>) -> (String, Vec<String>) {
    let (mut updated, mut problems) = (String::new(), Vec::new());
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        updated.push_str(line);
        updated.push('\n');
        let Some(name) = block_command(line) else {
            continue;
        };
        if OTHER_PROGRAMS.contains(&name) {
            continue;
        }
        match helps.remove(name) {
            Some(help) => {
                for part in ["```text\n", &help, "\n```\n", BLOCK_END, "\n"] {
                    updated.push_str(part);
                }
                if !lines.any(|line| line == BLOCK_END) {
                    problems.push(format!("no `{BLOCK_END}` after `{line}`"));
                }
            }
            None => problems.push(format!("`{line}`: unknown command, or a second block")),
        }
    }
    let missing = helps.keys();
    problems.extend(missing.map(|name| {
        format!("docs/COMMANDS.md lacks the lines `<!-- help: {name} -->` and `{BLOCK_END}`")
    }));
    (updated, problems)
}

/// The command whose help begins after this line.
fn block_command(line: &str) -> Option<&str> {
    line.strip_prefix("<!-- help: ")?.strip_suffix(" -->")
}

#[test]
fn docs_check_reports_unknown_and_missing_commands() {
    let helps = BTreeMap::from([
        ("longshore a".to_owned(), "new".to_owned()),
        ("longshore b".to_owned(), "help".to_owned()),
    ]);
    let document = "<!-- help: longshore a -->\nold\n<!-- end -->\n\n<!-- help: longshore c -->\n";
    let (updated, problems) = update_blocks(document, helps);
    assert_eq!(
        updated,
        "<!-- help: longshore a -->\n```text\nnew\n```\n<!-- end -->\n\n<!-- help: longshore c -->\n"
    );
    assert_eq!(
        problems,
        [
            "`<!-- help: longshore c -->`: unknown command, or a second block",
            "docs/COMMANDS.md lacks the lines `<!-- help: longshore b -->` and `<!-- end -->`",
        ]
    );
}

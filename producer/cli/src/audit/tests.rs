use std::collections::BTreeSet;

use clap::{Command, CommandFactory as _};

use super::*;
use crate::Arguments;

/// Commands that enqueue: what they enqueue is in the ledger.
const ENQUEUING: [&str; 4] = ["batch", "chain run", "run", "submit"];

/// Commands that change nothing that others see.
const READING: [&str; 43] = [
    "audit",
    "batch list",
    "batch show",
    "batch wait",
    "chain graph",
    "chain list",
    "chain log",
    "chain show",
    "chain wait",
    "completions",
    "config diff",
    "config show",
    "config validate",
    "costs",
    "cron list",
    "dev",
    "dlq list",
    "dlq show",
    "doctor",
    "failures",
    "jobs list",
    "jobs log",
    "jobs show",
    "jobs tail",
    "jobs wait",
    "jobs why",
    "man",
    "models cheapest",
    "models import",
    "models list",
    "queues",
    "quota",
    "recipes explain",
    "recipes list",
    "recipes show",
    "reconcile",
    "review list",
    "review show",
    "route",
    "show",
    "status",
    "workers",
    "workers show",
];

/// The commands that can be run, by their words.
fn commands(command: &Command, words: &[&str], found: &mut BTreeSet<String>) {
    let inner = command
        .get_subcommands()
        .filter(|inner| inner.get_name() != "help");
    for command in inner {
        let words = [words, &[command.get_name()]].concat();
        if !command.has_subcommands() || !command.is_subcommand_required_set() {
            found.insert(words.join(" "));
        }
        commands(command, &words, found);
    }
}

#[test]
fn every_command_is_known_to_change_something_or_not() {
    let mut root = Arguments::command();
    root.build();
    let mut found = BTreeSet::new();
    commands(&root, &[], &mut found);
    let known: Vec<&str> = AUDITED
        .iter()
        .chain(&ENQUEUING)
        .chain(&READING)
        .copied()
        .collect();
    let known: BTreeSet<String> = known.into_iter().map(str::to_owned).collect();
    let missing: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "add to AUDITED (with a case in tests/it/audit.rs), ENQUEUING or READING: {missing:?}; remove: {gone:?}"
    );
}

#[test]
fn every_audited_command_has_an_end_to_end_test() {
    let tests = include_str!("../../../../tests/it/audit.rs");
    let acts = tests.split_once("const ACTS").unwrap().1;
    let acts = acts.split_once("];").unwrap().0;
    for command in AUDITED {
        let is_tested = [" ", "\""]
            .iter()
            .any(|end| acts.contains(&format!("\"{command}{end}")));
        assert!(is_tested, "tests/it/audit.rs has no case of `{command}`");
    }
}

fn described(line: &str) -> Option<(String, String)> {
    let mut root = Arguments::command();
    root.build();
    let words = std::iter::once("longshore").chain(line.split(' '));
    let matches = root.clone().try_get_matches_from(words).unwrap();
    audited_command(&matches, &root)
}

#[test]
fn filters_and_ids_are_recorded_but_no_content() {
    for (line, command, what) in [
        ("jobs cancel a b --format json", "jobs cancel", "a b"),
        (
            "jobs cancel --all --tenant acme --yes",
            "jobs cancel",
            "--all --tenant acme",
        ),
        (
            "dlq edit x --set prompt=secret --set timeout=5",
            "dlq edit",
            "x --set prompt=… timeout=…",
        ),
        (
            "cron add nightly --every 1d -p secret",
            "cron add",
            "nightly --every 1d --prompt …",
        ),
        (
            "pause provider gemini --for 1h --reason outage",
            "pause",
            "provider gemini --reason outage --for 1h",
        ),
    ] {
        assert_eq!(
            described(line),
            Some((command.to_owned(), what.to_owned())),
            "{line}"
        );
    }
}

#[test]
fn what_only_asks_is_not_audited() {
    for line in [
        "jobs list",
        "jobs cancel --all --dry-run",
        "migrate --check",
        "submit -p x",
    ] {
        assert_eq!(described(line), None, "{line}");
    }
}

#[test]
fn an_act_that_changed_anything_was_done() {
    let failed = || Err(CommandError::Input("no such queue\nadvice".to_owned()));
    for (ended, affected, expected) in [
        (Ok(Exit::Success), 0, ActOutcome::Done),
        (Ok(Exit::Failure), 0, ActOutcome::Failed),
        (Ok(Exit::Failure), 2, ActOutcome::Done),
        (Ok(Exit::Refused), 0, ActOutcome::Refused),
        (failed(), 2, ActOutcome::Failed),
    ] {
        assert_eq!(outcome(&ended, affected).0, expected, "{ended:?}");
    }
    assert_eq!(outcome(&failed(), 0).1.as_deref(), Some("no such queue"));
}

#[test]
fn a_program_names_the_person_that_it_acts_for() {
    let named = Environment::from_pairs([(ACTOR, " ann (via chat) ")]);
    assert_eq!(actor(&named), "ann (via chat)");
    let user = actor(&Environment::from_pairs([(ACTOR, " ")]));
    assert!(user.contains('@'), "{user}");
}

//! Every command that prints JSON prints what `docs/commands.schema.json` describes. `Stack::longshore` compares them.

use std::collections::{BTreeMap, BTreeSet};

use longshore_tests::stack::{Options, Stack, expect_success};
use serde_json::json;

/// The commands, in an order in which each finds what it shows. `FILE` is replaced by a file's path.
const COMMANDS: &[&str] = &[
    "submit -p x --id done --set temperature=0.5 --metadata {\"a\":1}",
    "submit -p [[status=400]] --id dead --no-fallback",
    "submit -p x --id detached --detach",
    "submit -p x --id later --delay 3600 --detach --tenant acme",
    "batch tasks.jsonl --id bundle",
    "batch tasks.jsonl --id bundle --detach",
    "batch wait bundle",
    "batch show bundle",
    "batch list",
    "batch retry bundle",
    "batch cancel bundle",
    "run --tasks tasks.yaml",
    "run --tasks tasks.yaml --dry-run",
    "chain run asking.json --id asking --detach",
    "chain run chain.json --id linked",
    "chain run chain.json --id detached-chain --detach",
    "chain run failing.json --id failing",
    "chain show linked",
    "chain show failing",
    "chain log linked",
    "chain log failing",
    "chain list",
    "chain wait failing",
    "chain retry failing",
    "chain cancel failing",
    "jobs list",
    "jobs show done",
    "jobs show dead",
    "jobs show later",
    "jobs log done",
    "jobs log dead",
    "jobs log later",
    "jobs why done",
    "jobs why later",
    "jobs wait done",
    "jobs wait later --timeout 1",
    "jobs cancel later nobody",
    "jobs cancel --all --tenant nobody --dry-run",
    "jobs run-now later",
    "jobs bump later nobody",
    "jobs run-now --all --tenant nobody --dry-run",
    "show linked",
    "show bundle",
    "show done",
    "status",
    "failures",
    "failures --by queue,tenant",
    "quota",
    "costs",
    "costs --all --by tenant --by day --by chain --by queue",
    "costs --since 1h --tenant acme",
    "costs --chain-id linked",
    "cron list",
    "dlq list",
    "dlq list --group-by reason,platform",
    "dlq show dead",
    "route -p x --risk high",
    "route -p x --explain",
    "recipes list",
    "recipes show medium",
    "recipes explain medium",
    "queues --wide",
    "queues move default bulk --yes",
    "queues purge default --yes",
    "workers",
    "pause queue bulk --for 1h --reason tests",
    "resume queue bulk",
    "queues --wide",
    "reconcile",
    "audit",
    "models list",
    "config show",
    "config show --origin",
    "config validate",
    "config validate wrong.yaml",
    "config diff other.yaml",
    "doctor",
    "review list",
    "review list --state all",
    "review show asking/b",
    "review edit asking/b --file chain.json",
    "review approve asking/b nobody",
    "review reject asking/b",
];

/// Commands that print JSON, and are tested elsewhere or print no document of ours.
const ELSEWHERE: &[(&str, &str)] = &[
    ("chain graph", "its formats are Mermaid and dot"),
    ("jobs tail", "runs until it is interrupted: see `on_call`"),
    (
        "workers show",
        "needs the id of a worker: at the end of the test",
    ),
];

async fn stack() -> Stack {
    let stack = Stack::start(Options::default()).await.unwrap();
    let step =
        |name: &str, prompt: &str| json!({"name": name, "prompt": prompt, "fallback": false});
    let chain = json!({"name": "two", "metadata": {"of": "tests"}, "steps": [
        step("a", "[[echo=[1, 2]]]"),
        {"name": "b", "needs": ["a"], "foreach": "steps.a.json", "prompt": "{{ item }}"},
    ]});
    let asking = json!({"id": "asking", "steps": [
        step("a", "[[echo=text]]"),
        {"name": "b", "needs": ["a"],
         "person": {"question": "Publish?", "artefact": "{{ steps.a.output }}", "deadline": "1h", "default": "reject"}},
    ]});
    let failing = json!({"steps": [step("a", "[[status=400]]"), step("b", "y")]});
    for (name, text) in [
        ("chain.json", chain.to_string()),
        ("failing.json", failing.to_string()),
        ("asking.json", asking.to_string()),
        (
            "tasks.jsonl",
            "{\"prompt\":\"x\"}\n{\"prompt\":\"[[status=400]]\",\"fallback\":false}\n".to_owned(),
        ),
        (
            "tasks.yaml",
            "tasks:\n  - {id: T-1, goal: Say hello., repo: acme/app}\n".to_owned(),
        ),
        ("wrong.yaml", "retry: {max_retries: many}\n".to_owned()),
        ("other.yaml", "retry: {max_retries: 7}\n".to_owned()),
    ] {
        stack.write(name, &text).unwrap();
    }
    stack
}

/// The help of every command with `--format`, by its words, as docs/COMMANDS.md has it.
fn commands_with_json() -> BTreeMap<String, String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/COMMANDS.md");
    let document = std::fs::read_to_string(path).unwrap();
    let blocks = document.split("<!-- help: longshore ").skip(1);
    let helps = blocks.filter_map(|block| {
        let (command, help) = block.split_once(" -->\n```text\n")?;
        let (help, _) = help.split_once("<!-- end -->")?;
        Some((command.to_owned(), help.to_owned()))
    });
    helps
        .filter(|(_, help)| help.contains("--format <FORMAT>"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_prints_json_fits_its_schema() {
    let stack = stack().await;
    let (_worker, _scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    let cron = ["cron", "add", "nightly", "--schedule", "@daily", "-p", "x"];
    expect_success(stack.longshore(&cron).await.unwrap());
    let helps = commands_with_json();
    let mut left: BTreeSet<&str> = helps.keys().map(String::as_str).collect();
    for (command, _) in ELSEWHERE {
        assert!(left.remove(command), "{command}");
    }
    for line in COMMANDS {
        let words: Vec<&str> = line.split(' ').collect();
        let two = words[..words.len().min(2)].join(" ");
        let command = [two.as_str(), words[0]]
            .into_iter()
            .find(|command| helps.contains_key(*command))
            .unwrap_or_else(|| panic!("{line} has no --format"));
        left.remove(command);
        let has_lines = helps[command].contains("- jsonl: JSON Lines");
        for format in ["json", "jsonl"]
            .into_iter()
            .take(1 + usize::from(has_lines))
        {
            let ran = stack
                .longshore(&[&words[..], &["--format", format]].concat())
                .await
                .unwrap();
            assert!(!ran.stdout.is_empty(), "{line}: {ran:?}");
        }
    }
    assert!(left.is_empty(), "add to COMMANDS or ELSEWHERE: {left:?}");
    let workers = stack.broker.workers().list().await.unwrap();
    let worker = workers.first().unwrap().worker.as_str();
    let show = ["workers", "show", worker, "--format", "json"];
    expect_success(stack.longshore(&show).await.unwrap());
}

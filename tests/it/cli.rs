//! The `longshore` command: output, texts, exit codes, invalid input.

use std::time::{Duration, Instant};

use longshore_protocol::{money::Usd, state::JobState};
use longshore_tests::stack::{Launcher, Options, Ran, Stack, expect_success};
use serde_json::Value;

async fn stack() -> Stack {
    Stack::start(Options::default()).await.unwrap()
}

fn refused(ran: &Ran) -> &str {
    assert_eq!(ran.code, Some(2), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout, "", "nothing but the error");
    &ran.stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn submit_wait_prints_the_answer_and_the_cost() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let text = expect_success(
        stack
            .longshore(&[
                "submit",
                "-p",
                "[[echo=Red, yellow, blue.]]",
                "--platform",
                "gemini",
                "-o",
                "out/answer.json",
            ])
            .await
            .unwrap(),
    );
    for part in [
        "Task ID: ",
        "Platform: gemini\n",
        "Success: True\n",
        "Cost: $",
        "--- Output ---\nRed, yellow, blue.",
        "Result saved to: out/answer.json",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let saved: Value = serde_json::from_str(
        &std::fs::read_to_string(stack.dir().join("out/answer.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(saved["output"], "Red, yellow, blue.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_task_is_exit_code_1() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let ran = stack
        .longshore(&["submit", "-p", "[[status=400]]"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stdout.contains("Success: False"), "{}", ran.stdout);
}

/// The exit codes that docs/COMMANDS.md names, and those of the orchestrators that Longshore replaces.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_exit_codes() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let (good, bad) = (
        r#"[{"prompt":"x"}]"#,
        r#"[{"prompt":"x"},{"prompt":"[[status=400]]"}]"#,
    );
    stack.write("good.json", good).unwrap();
    stack.write("bad.json", bad).unwrap();
    stack
        .write("wrong.yaml", "retry: { max_retry: 1 }\n")
        .unwrap();
    let submit = |prompt: &'static str| vec!["submit", "-p", prompt];
    for (arguments, code, meaning) in [
        (submit("x"), 0, "the task completed"),
        (vec!["batch", "good.json"], 0, "all tasks completed"),
        (submit("[[status=400]]"), 1, "the task failed"),
        (vec!["batch", "bad.json"], 1, "one of two tasks failed"),
        (vec!["show", "nobody"], 1, "there is no such job"),
        (vec!["submit"], 2, "an argument is missing"),
        (
            vec!["submit", "-p", "x", "--timeout", "soon"],
            2,
            "an argument is wrong",
        ),
        (vec!["batch", "none.json"], 2, "the file is missing"),
        (
            vec!["config", "validate", "wrong.yaml"],
            2,
            "the configuration is wrong",
        ),
    ] {
        let ran = stack.longshore(&arguments).await.unwrap();
        assert_eq!(ran.code, Some(code), "{meaning}: {arguments:?}: {ran:?}");
    }
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_invalid_task_of_a_hundred_prevents_all_from_being_enqueued() {
    let stack = stack().await;
    let tasks: Vec<String> = (0..100)
        .map(|at| {
            if at == 57 {
                r#"{"prompt":"x","timeout":"soon"}"#.to_owned()
            } else {
                format!(r#"{{"prompt":"task {at}"}}"#)
            }
        })
        .collect();
    let file = stack.dir().join("batch.json");
    std::fs::write(&file, format!("[{}]", tasks.join(","))).unwrap();
    let ran = stack
        .longshore(&["batch", "--input", "batch.json"])
        .await
        .unwrap();
    let error = refused(&ran);
    assert!(
        error.contains("57") && error.contains("`timeout`") && error.contains("soon"),
        "{error}"
    );
    let depth = stack
        .broker
        .queues()
        .depth(&longshore_protocol::id::QueueName::default())
        .await
        .unwrap();
    assert_eq!(depth.available, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_limits_a_batch_across_workers() {
    let stack = Stack::start(Options {
        latency: Duration::from_millis(100),
        ..Options::default()
    })
    .await
    .unwrap();
    let _workers = [stack.worker().unwrap(), stack.worker().unwrap()];
    let tasks: Vec<Value> = (0..30)
        .map(|at| serde_json::json!({"prompt": format!("task {at}"), "metadata": {"at": at}}))
        .collect();
    std::fs::write(
        stack.dir().join("batch.json"),
        serde_json::to_string(&tasks).unwrap(),
    )
    .unwrap();
    let text = expect_success(
        stack
            .longshore(&[
                "batch",
                "batch.json",
                "--parallel",
                "3",
                "--output",
                "results.json",
            ])
            .await
            .unwrap(),
    );
    assert!(
        text.starts_with("Loaded 30 tasks from batch.json\n"),
        "{text}"
    );
    assert!(
        text.contains("=== Batch Complete ===") && text.contains("Success Rate: 100.0%"),
        "{text}"
    );
    assert_eq!(stack.simulator.stats().peak_in_flight, 3);
    let results: Value =
        serde_json::from_str(&std::fs::read_to_string(stack.dir().join("results.json")).unwrap())
            .unwrap();
    assert_eq!(results["total_tasks"], 30);
    for (at, result) in results["results"].as_array().unwrap().iter().enumerate() {
        assert_eq!(result["metadata"]["at"], at, "in the order of the file");
    }
    let books = stack.books().await.unwrap();
    books.balance();
    let costs: Value = serde_json::from_str(&expect_success(
        stack
            .longshore(&["costs", "--format", "json"])
            .await
            .unwrap(),
    ))
    .unwrap();
    let printed = costs["total_cost"].to_string();
    assert_eq!(
        printed.trim_matches('"').parse::<Usd>().unwrap(),
        stack.simulator.total_usd().parse::<Usd>().unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_shown_edited_and_replayed_with_its_id() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let id = stack
        .xadd(&[("job", r#"{"prompt":"hello","timeout":"soon"}"#)])
        .await
        .unwrap();
    assert_eq!(stack.outcome(&id).await.unwrap().state, JobState::Discarded);

    let list = expect_success(stack.longshore(&["dlq", "list"]).await.unwrap());
    assert!(
        list.contains(id.as_str()) && list.contains("bad_value"),
        "{list}"
    );
    let shown = expect_success(
        stack
            .longshore(&["dlq", "show", id.as_str()])
            .await
            .unwrap(),
    );
    assert!(
        shown.contains("`timeout`") && shown.contains("soon"),
        "{shown}"
    );
    let still_bad = stack
        .longshore(&["dlq", "edit", id.as_str(), "--set", "timeout=-1"])
        .await
        .unwrap();
    assert!(refused(&still_bad).contains("`timeout`"));
    expect_success(
        stack
            .longshore(&["dlq", "edit", id.as_str(), "--set", "timeout=60"])
            .await
            .unwrap(),
    );
    expect_success(
        stack
            .longshore(&["dlq", "replay", id.as_str()])
            .await
            .unwrap(),
    );

    let outcome = stack.outcome(&id).await.unwrap();
    assert!(outcome.success, "{outcome:?}");
    assert_eq!(outcome.id, id);
    assert_eq!(stack.broker.dead_letters().count().await.unwrap(), 0);
    stack.books().await.unwrap().balance();
    let story = expect_success(
        stack
            .longshore(&["jobs", "show", id.as_str()])
            .await
            .unwrap(),
    );
    assert!(story.contains("completed"), "{story}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_replay_asks_first_keeps_history_and_resets_attempts() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let mut ids = Vec::new();
    for at in 0..40 {
        let kind = if at % 2 == 0 { "research" } else { "testing" };
        // An error of the request, not of the provider: those would open the circuit and park the rest.
        let job =
            format!(r#"{{"prompt":"[[fail_first=1:400]] {at}","type":"{kind}","fallback":false}}"#);
        ids.push(stack.xadd(&[("job", &job)]).await.unwrap());
    }
    let first = stack.outcomes(&ids).await.unwrap();
    assert!(
        first
            .iter()
            .all(|outcome| outcome.state == JobState::Discarded)
    );

    let filter = ["dlq", "replay", "--all", "--type", "research"];
    let unasked = stack.longshore(&filter).await.unwrap();
    assert!(refused(&unasked).contains("--yes"), "{}", unasked.stderr);
    let dry = expect_success(
        stack
            .longshore(&[&filter[..], &["--dry-run"]].concat())
            .await
            .unwrap(),
    );
    assert!(dry.contains("20"), "{dry}");
    assert_eq!(
        stack.broker.dead_letters().count().await.unwrap(),
        40,
        "a dry run changes nothing"
    );
    expect_success(
        stack
            .longshore(&[&filter[..], &["--yes"]].concat())
            .await
            .unwrap(),
    );

    let even: Vec<_> = ids.iter().step_by(2).cloned().collect();
    for outcome in stack.outcomes(&even).await.unwrap() {
        assert!(outcome.success, "{outcome:?}");
        assert_eq!(outcome.attempts, 2, "the first attempt is still counted");
    }
    assert_eq!(
        stack.broker.dead_letters().count().await.unwrap(),
        20,
        "the others stay"
    );
    let books = stack.books().await.unwrap();
    books.balance();
    expect_success(
        stack
            .longshore(&["dlq", "purge", "--all", "--yes"])
            .await
            .unwrap(),
    );
    assert_eq!(stack.broker.dead_letters().count().await.unwrap(), 0);
    let dead_letters = stack
        .ledger
        .job(&ids[1])
        .await
        .unwrap()
        .unwrap()
        .dead_letters;
    assert!(
        dead_letters[0].letter.is_some(),
        "the purged dead letter is archived"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_explained_cancelled_and_awaited() {
    let stack = stack().await;
    let delayed = stack
        .xadd(&[("prompt", "later"), ("delay", "3600")])
        .await
        .unwrap();
    let unknown = stack.longshore(&["jobs", "show", "nobody"]).await.unwrap();
    assert_eq!(unknown.code, Some(1), "{}", unknown.stderr);
    let why = expect_success(
        stack
            .longshore(&["jobs", "why", delayed.as_str()])
            .await
            .unwrap(),
    );
    assert!(
        why.contains("no worker") || why.contains("No worker"),
        "{why}"
    );
    let _worker = stack.worker().unwrap();
    longshore_tests::stack::eventually("it waits", || async {
        let why = expect_success(stack.longshore(&["jobs", "why", delayed.as_str()]).await?);
        anyhow::ensure!(why.contains("time"), "{why}");
        Ok(())
    })
    .await
    .unwrap();
    expect_success(
        stack
            .longshore(&["jobs", "cancel", delayed.as_str()])
            .await
            .unwrap(),
    );
    let waited = stack
        .longshore(&["jobs", "wait", delayed.as_str()])
        .await
        .unwrap();
    assert_eq!(
        waited.code,
        Some(1),
        "a cancelled job is no success: {}",
        waited.stdout
    );
    let queues = expect_success(stack.longshore(&["queues"]).await.unwrap());
    assert!(queues.contains("default"), "{queues}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_reports_a_healthy_stack_as_healthy() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    longshore_tests::stack::eventually("all checks pass", || async {
        let ran = stack.longshore(&["doctor"]).await?;
        anyhow::ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
        Ok(())
    })
    .await
    .unwrap();
    let status = expect_success(
        stack
            .longshore(&["status", "--format", "json"])
            .await
            .unwrap(),
    );
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(
        status["adapters"]["openai"]["is_implemented"], true,
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_is_named_without_its_password() {
    let stack = stack().await;
    let mut command = tokio::process::Command::from(stack.command("longshore").unwrap());
    let output = command
        .env("REDIS_URL", "redis://user:hunter2@127.0.0.1:1")
        .args(["submit", "-p", "x"])
        .output()
        .await
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("127.0.0.1:1") && !error.contains("hunter2"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_read_from_stdin() {
    let stack = stack().await;
    stack
        .write("stdin.yaml", "retry: {max_retry: 3}\n")
        .unwrap();
    for words in [
        ["config", "validate", "-"],
        ["config", "diff", "-"],
        ["config", "push", "-"],
    ] {
        let mut command = tokio::process::Command::from(stack.command("longshore").unwrap());
        let file = std::fs::File::open(stack.dir().join("stdin.yaml")).unwrap();
        let output = command.args(words).stdin(file).output().await.unwrap();
        let text = [output.stdout.clone(), output.stderr.clone()].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {output:?}");
        let problem = "stdin:1: `retry.max_retry` is not a setting; did you mean `max_retries`?";
        assert!(text.contains(problem), "{words:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_has_the_help_of_every_command() {
    let stack = stack().await;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/COMMANDS.md");
    let document = std::fs::read_to_string(path).unwrap();
    let blocks: Vec<(&str, &str)> = document
        .split("<!-- help: ")
        .skip(1)
        .map(|block| {
            let (command, rest) = block.split_once(" -->\n```text\n").unwrap();
            let (help, _) = rest.split_once("\n```\n<!-- end -->\n").unwrap();
            (command, help)
        })
        .collect();
    assert_eq!(blocks.len(), 82, "{blocks:?}");
    for (command, documented) in blocks {
        let (program, arguments) = command.split_once(' ').unwrap_or((command, ""));
        let mut process = tokio::process::Command::from(stack.command(program).unwrap());
        process.args(arguments.split_whitespace()).arg("--help");
        // The width of a terminal would change the text.
        process.stdin(std::process::Stdio::null());
        let output = process.output().await.unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        let help: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        assert_eq!(
            documented,
            help.join("\n"),
            "docs/COMMANDS.md differs from `{command} --help`: run `make docs`, or paste the help of a worker or \
             scheduler"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_shown_whatever_it_names_and_the_right_command_is_named() {
    let stack = stack().await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let chain = r#"{"id":"c-1","steps":[{"name":"a","prompt":"one"}]}"#;
    stack.write("chain.json", chain).unwrap();
    stack.write("tasks.jsonl", "{\"prompt\":\"x\"}\n").unwrap();
    let run = async |arguments: &[&str]| stack.longshore(arguments).await.unwrap();
    expect_success(run(&["chain", "run", "chain.json"]).await);
    expect_success(run(&["batch", "tasks.jsonl", "--id", "b-1"]).await);

    for (id, kind) in [("c-1", "chain"), ("b-1", "batch")] {
        for (command, verb) in [
            ("show", "show"),
            ("why", "show"),
            ("wait", "wait"),
            ("cancel", "cancel"),
        ] {
            let ran = run(&["jobs", command, id]).await;
            let said = format!("`{id}` is a {kind}, not a job; try `longshore {kind} {verb} {id}`");
            assert!(ran.code == Some(2) && ran.stderr.contains(&said), "{ran:?}");
        }
    }
    for (id, shown) in [
        ("c-1", "Chain c-1: completed, 1 of 1 step"),
        ("c-1/a", "State"),
        ("b-1", "Batch: b-1"),
        ("b-1/task/0", "State"),
    ] {
        let text = expect_success(run(&["show", id]).await);
        assert!(text.contains(shown), "{text}");
    }
    let unknown = run(&["show", "nothing"]).await;
    assert!(unknown.stderr.contains("no job `nothing`"), "{unknown:?}");

    let listed = expect_success(run(&["batch", "list"]).await);
    assert!(
        listed.contains("b-1") && !listed.contains("c-1"),
        "{listed}"
    );
    let ended = run(&["batch", "cancel", "b-1"]).await;
    assert!(
        ended.stdout.contains("b-1: already ended: completed"),
        "{ended:?}"
    );
    let retried = run(&["batch", "retry", "b-1"]).await;
    assert!(retried.stdout.contains("nothing failed"), "{retried:?}");
    let unknown = run(&["batch", "cancel", "b-2"]).await;
    assert!(unknown.stderr.contains("no batch `b-2`"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_format_of_the_result() {
    let stack = stack().await;
    for (arguments, code, message) in [
        (&["jobs", "show", "nobody"][..], 1, "no job `nobody`"),
        (&["workers", "show", "nobody"], 1, "no worker `nobody`; "),
    ] {
        let ran = stack.longshore(arguments).await.unwrap();
        assert!(ran.stderr.starts_with("Error: "), "{ran:?}");
        let json = [arguments, &["--format", "json"]].concat();
        let ran = stack.longshore(&json).await.unwrap();
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{ran:?}");
        let error: Value = serde_json::from_str(ran.stderr.trim()).unwrap();
        let error = error["error"].as_str().unwrap();
        assert!(error.starts_with(message), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_model_is_refused_with_the_name_that_was_meant() {
    let stack = stack().await;
    let ran = stack
        .longshore(&["submit", "-p", "hello", "--model", "gpt4o"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let said = "--model: model `gpt4o` is not in the catalog; did you mean `gpt-4o`?";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert_eq!(
        stack.depth().await.unwrap().available,
        0,
        "nothing was enqueued"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_checked_before_services_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = [
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("DATABASE_URL", "postgres://127.0.0.1:1/none"),
    ];
    let launcher = Launcher::new(dir.path(), &nowhere);
    for (command, expected) in [
        ("pause provider nowhere", "no provider `nowhere`"),
        ("resume type a|b", "type `a|b` is not valid"),
        (
            "jobs cancel inv-1 --type x",
            "filters and --dry-run require --all",
        ),
        ("jobs cancel --all", "needs confirmation"),
        ("dlq purge inv-1 --reason x", "filters require --all"),
        ("dlq replay --all", "needs confirmation"),
        (
            "dlq replay --continue 1 --reason x",
            "remove the filter options",
        ),
        ("dlq edit inv-1 --file missing.json", "missing.json"),
        ("chain run missing.json", "missing.json"),
    ] {
        let words: Vec<&str> = command.split_whitespace().collect();
        let ran = launcher.longshore(&words).await.unwrap();
        let error = refused(&ran);
        assert!(error.contains(expected), "{command}: {error}");
        assert!(!error.contains("127.0.0.1:1"), "{command}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_refuse_are_reported_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = [
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("DATABASE_URL", "postgres://127.0.0.1:1/none"),
    ];
    let launcher = Launcher::new(dir.path(), &nowhere);
    for (command, server) in [
        ("costs", "Postgres"),
        ("migrate", "Postgres"),
        ("queues", "Redis"),
    ] {
        let began = Instant::now();
        let ran = launcher.longshore(&[command]).await.unwrap();
        let error = refused(&ran);
        assert!(
            error.contains(&format!("{server} at 127.0.0.1:1")),
            "{command}: {error}"
        );
        // The pool of connections to Postgres alone would try for 5 s.
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{command}: {error}"
        );
    }
}

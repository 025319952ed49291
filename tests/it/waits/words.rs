//! The words for what is waited for.

use std::collections::BTreeSet;

use longshore_simulator::Faults;
use longshore_tests::stack::{eventually, prompts};
use serde_json::Value;

use super::{FAST_RETRY, Running, limited, painted, run, stack};

/// Ends the refusals of a provider, and the hold of its account.
async fn let_through(stack: &longshore_tests::stack::Stack, provider: &str) {
    let faults = Faults::default();
    stack.simulator.set_faults(Some(provider), faults).unwrap();
    run(stack, &format!("resume provider {provider} --now")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_named_with_the_time_of_the_retry_and_the_remedy() {
    let stack = stack("{}", "").await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    stack.simulator.set_faults(Some("a"), limited()).unwrap();
    let submit = Running::start(
        &stack,
        &["submit", "-p", "Hello", "--platform", "a", "--no-fallback"],
    );
    submit.says("Rate limited by a. Retrying in 5h (").await;
    submit.says("; account a on hold until ").await;
    submit
        .says("; `longshore resume provider a --now` ends the hold\n")
        .await;
    let_through(&stack, "a").await;
    let ran = submit.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines = ran.stderr.matches("Rate limited by a. ").count();
    assert_eq!(lines, 1, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_its_recipe_says_so() {
    let stack = stack("{}", "").await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let submit = Running::start(
        &stack,
        &["submit", "-p", "[[hold]] Hello", "--recipe", "simple"],
    );
    submit
        .says("Waiting for its recipe, round 1: `longshore chain show ")
        .await;
    stack.simulator.release();
    let ran = submit.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains("No platform"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_names_the_platform_that_is_not_available_and_why() {
    let stack = stack("{}", FAST_RETRY).await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let down = Faults {
        rate_503: 1.0,
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("a"), down).unwrap();
    let submit = Running::start(&stack, &["submit", "-p", "[[hold]] Hello"]);
    submit
        .says("Platform a not available. Routing to fallback. Running on b gpt-4o, attempt 3, for ")
        .await;
    submit.says("; a: ").await;
    submit.says("(HTTP 503)").await;
    stack.simulator.release();
    let ran = submit.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exhausted_platforms_are_listed_as_json_under_format_json() {
    let stack = stack("{}", FAST_RETRY).await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    stack.simulator.set_faults(None, limited()).unwrap();
    let submit = Running::start(&stack, &["submit", "-p", "Hello", "--format", "json"]);
    submit
        .says(r#"{"waiting":"All platforms exhausted. Tried: a, b. Retrying in 5h ("#)
        .await;
    let_through(&stack, "a").await;
    let ran = submit.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in ran.stderr.lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        assert!(message["waiting"].is_string(), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_paused_or_that_nobody_reads_is_named() {
    let stack = stack("{}", "").await;
    run(&stack, "pause queue default --reason quiet").await;
    let submit = Running::start(&stack, &["submit", "-p", "[[hold]] Hello"]);
    submit
        .says("Paused: queue default; queue default has been paused for ")
        .await;
    submit
        .says(": quiet; to end it: `longshore resume queue default`\n")
        .await;
    run(&stack, "resume queue default").await;
    submit
        .says("No worker is running; the job waits. Ctrl-C leaves it in the queue: `longshore jobs show ")
        .await;
    let _worker = stack.worker().unwrap();
    submit.says("Running on a gpt-4o-mini, for ").await;
    stack.simulator.release();
    let ran = submit.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 3, "a line each: {}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_task_in_a_queue_that_was_never_read_is_warned_of_first() {
    let stack = stack("{}", "").await;
    let _worker = stack.worker().unwrap();
    run(&stack, "submit -p Hello").await;
    let chain = r#"{"steps": [{"name": "one", "prompt": "x"}]}"#;
    stack.write("chain.json", chain).unwrap();
    stack.write("tasks.jsonl", r#"{"prompt": "x"}"#).unwrap();
    for command in ["submit -p x", "chain run chain.json", "batch tasks.jsonl"] {
        let detach = |queue: &str| format!("{command} --detach --queue {queue}");
        let words = detach("defualt");
        let words: Vec<&str> = words.split_whitespace().collect();
        let ran = stack.longshore(&words).await.unwrap();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let warning = "Warning: No running worker pulls from queue `defualt` (did you mean `default`?); what you enqueue \
            waits there\n";
        assert!(ran.stderr.contains(warning), "{ran:?}");
        let words = detach("default");
        let words: Vec<&str> = words.split_whitespace().collect();
        let ran = stack.longshore(&words).await.unwrap();
        assert!(!ran.stderr.contains("Warning"), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_says_what_its_steps_wait_for() {
    let stack = stack("{}", "").await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    stack.simulator.set_faults(Some("a"), limited()).unwrap();
    let step = |name: &str| {
        format!(r#"{{"name": "{name}", "prompt": "x", "platform": "a", "fallback": false}}"#)
    };
    let chain = format!(r#"{{"steps": [{}, {}]}}"#, step("one"), step("two"));
    stack.write("chain.json", &chain).unwrap();
    let chain = Running::start(&stack, &["chain", "run", "chain.json", "--id", "held"]);
    chain
        .says("2 jobs wait for account a, on hold until ")
        .await;
    chain
        .says("; `longshore resume provider a --now` ends the hold\n")
        .await;
    let shown = Running::on_terminal(&stack, "chain wait held");
    eventually("the line below the tree", || async {
        let shown = shown.stdout();
        anyhow::ensure!(shown.contains("2 jobs wait for account a"), "{shown}");
        anyhow::ensure!(shown.contains("ends the hold"), "{shown}");
        Ok(())
    })
    .await
    .unwrap();
    let_through(&stack, "a").await;
    for command in [chain, shown] {
        let ran = command.end().await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_names_the_pause_of_its_queue() {
    let stack = stack("{}", "").await;
    let _worker = stack.worker().unwrap();
    let chain = r#"{"steps": [{"name": "one", "prompt": "[[hold]] x"}, {"name": "two", "prompt": "x", "needs": ["one"]}]}"#;
    stack.write("chain.json", chain).unwrap();
    let chain = Running::start(&stack, &["chain", "run", "chain.json"]);
    stack.wait_for_calls(1).await.unwrap();
    run(&stack, "pause queue default").await;
    chain.says("Paused: queue default; ").await;
    run(&stack, "resume queue default").await;
    stack.simulator.release();
    let ran = chain.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_ahead_in_the_queue_are_counted() {
    let mut stack = stack("{}", "").await;
    stack.set_env("LONGSHORE_CONCURRENCY", "1");
    let _worker = stack.worker().unwrap();
    let held = r#"{"prompt":"[[hold]] first"}"#.to_owned();
    stack.enqueue(&[held]).await.unwrap();
    stack.wait_for_calls(1).await.unwrap();
    stack.enqueue(&prompts(2)).await.unwrap();
    let submit = Running::start(&stack, &["submit", "-p", "Hello"]);
    submit
        .says("Waiting in queue default, at most 2 jobs ahead\n")
        .await;
    stack.simulator.release();
    let ran = submit.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_reached_is_named_until_it_has_room() {
    let stack = stack("{requests_per_day: 1}", "").await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    run(&stack, "submit -p Hello --platform a --no-fallback").await;
    let submit = Running::start(
        &stack,
        &["submit", "-p", "Hello", "--platform", "a", "--no-fallback"],
    );
    submit
        .says("Reached a's requests a day, next in line; expected in ")
        .await;
    submit
        .says("no other platform is tried because its `fallback` is false; ")
        .await;
    submit.says("`longshore quota` shows the limits").await;
    submit.interrupt();
    let ran = submit.end().await;
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.stderr.contains("Stopped waiting. "), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_time_is_named_with_the_command_that_runs_the_job_now() {
    let stack = stack("{}", "").await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let arguments = ["submit", "-p", "Hello", "--delay", "7200", "--id", "later"];
    let submit = Running::start(&stack, &arguments);
    submit.says("Waiting for its start time, in 1h (").await;
    submit
        .says("; `longshore jobs run-now later` runs it now\n")
        .await;
    run(&stack, "jobs run-now later").await;
    let ran = submit.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_a_worker_waits_for_is_named_by_submit_and_jobs_why() {
    let retry = "retry: {max_retries: 1, base_delay: 9s, max_delay: 9s, jitter: 0s}";
    let stack = stack("{}", retry).await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let arguments = [
        "submit",
        "-p",
        "[[fail_first=1:503]] Hello",
        "--platform",
        "a",
        "--no-fallback",
        "--id",
        "retried",
    ];
    let submit = Running::start(&stack, &arguments);
    submit
        .says("Attempt 1 failed (a: overloaded). Retrying in ")
        .await;
    submit.says("...; a: Down or overloaded (HTTP 503)").await;
    let why = run(&stack, "jobs why retried").await;
    assert!(
        why.starts_with("retried: Attempt 1 failed (a: overloaded). Retrying in ")
            && why.contains("; a: Down or overloaded (HTTP 503)"),
        "{why}"
    );
    let ran = submit.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_the_line_changes_and_fits() {
    let stack = stack("{}", "").await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let submit = Running::on_terminal(
        &stack,
        "submit -p '[[fail_first=1:429]] [[retry_after=12]] Hello' --platform a --no-fallback",
    );
    let ran = submit.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines = painted(&ran.stdout);
    let retries: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line.split("Rate limited by a. Retrying in ").nth(1))
        .collect();
    assert!(retries.len() > 1, "it counts down: {lines:#?}");
    let progress = lines.iter().filter(|line| line.contains("Retrying in"));
    for line in progress {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let remedy = "`longshore resume provider a --now` ends the hold";
    let remedies = lines.iter().filter(|line| line.contains(remedy));
    assert_eq!(remedies.count(), 1, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_wait_says_what_a_single_job_waits_for() {
    let stack = stack("{}", "").await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    run(&stack, "submit -p Hello --delay 7200 --id later --detach").await;
    let wait = Running::start(&stack, &["jobs", "wait", "later"]);
    wait.says("Waiting for its start time, in 1h (").await;
    run(&stack, "jobs run-now later").await;
    let ran = wait.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

fn tasks(count: usize) -> String {
    let task = |at| format!("{{\"prompt\":\"task {at}\",\"platform\":\"a\"}}\n");
    (0..count).map(task).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_says_what_its_tasks_wait_for() {
    let stack = stack("{}", FAST_RETRY).await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    stack.write("tasks.jsonl", &tasks(12)).unwrap();
    stack.simulator.set_faults(Some("a"), limited()).unwrap();
    let batch = Running::start(&stack, &["batch", "tasks.jsonl", "--id", "b"]);
    batch
        .says("5 tasks wait for account a, on hold until ")
        .await;
    batch
        .says("; 7 not started; account a on hold until ")
        .await;
    batch
        .says("; `longshore resume provider a --now` ends the hold\n")
        .await;
    let shown = run(&stack, "batch show b").await;
    let now = "\nNow: 5 tasks wait for account a, on hold until ";
    assert!(shown.contains(now), "{shown}");
    let_through(&stack, "a").await;
    let ran = batch.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("Success: 12"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_the_bar_knows_when_the_tasks_continue() {
    let stack = stack("{}", FAST_RETRY).await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    stack.write("tasks.jsonl", &tasks(12)).unwrap();
    stack.simulator.set_faults(Some("a"), limited()).unwrap();
    let batch = Running::on_terminal(&stack, "batch tasks.jsonl --id b");
    longshore_tests::stack::eventually("the bar is there", || async {
        let lines = painted(&batch.stdout());
        let shows = |text: &str| lines.iter().any(|line| line.contains(text));
        anyhow::ensure!(
            shows("0/12 done, 0 failed, $0.0000, at least 5h left")
                && shows("5 tasks wait for account a, on hold until "),
            "{lines:#?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    let_through(&stack, "a").await;
    let ran = batch.end().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // The bar fills its line, so what the tasks wait for follows without a line break.
    for line in painted(&ran.stdout) {
        let wait = line.find("5 tasks wait for ").unwrap_or(line.len());
        let (bar, wait) = line.split_at(wait);
        let fit = bar.chars().count() <= 80 && wait.chars().count() <= 80;
        assert!(fit || !line.contains("/12 done"), "{line}");
    }
}

//! What an on-call engineer types: from `status` to the cause and the remedy.

use anyhow::ensure;
use longshore_local::{ChildProcess, Signal};
use longshore_protocol::{
    id::{JobId, QueueName},
    state::JobState,
};
use longshore_simulator::Faults;
use longshore_tests::stack::{Options, Stack, eventually, expect_success, prompts};
use serde_json::{Value, json};

use crate::simulated::{Model, SimulatedProvider, config_yaml};

/// A stack whose providers are `a`, the cheaper one, and `b`.
async fn stack() -> Stack {
    let stack = Stack::start(Options::default()).await.unwrap();
    let providers = [
        SimulatedProvider::unlimited("a", Model::Cheap),
        SimulatedProvider::unlimited("b", Model::Dear),
    ];
    let retry = "retry: {max_retries: 1, base_delay: 10ms, max_delay: 20ms, jitter: 0ms}";
    stack
        .config_yaml(&config_yaml(&stack, &providers, retry))
        .unwrap();
    stack
}

/// What a command prints; it must succeed.
async fn printed(stack: &Stack, command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let words = words.strip_prefix(&["longshore"]).unwrap_or(&words);
    expect_success(stack.longshore(words).await.unwrap())
}

async fn printed_json(stack: &Stack, command: &str) -> Value {
    let text = printed(stack, &format!("{command} --format json")).await;
    serde_json::from_str(&text).unwrap()
}

/// Starts a command that prints until it is interrupted.
fn start(stack: &Stack, command: &str) -> ChildProcess {
    let mut longshore = stack.command("longshore").unwrap();
    longshore.args(command.split_whitespace());
    let name = command.split_whitespace().next().unwrap();
    let log = stack.dir().join(format!("{name}.out"));
    ChildProcess::spawn("longshore", longshore, &log).unwrap()
}

/// The complete lines that it has printed so far.
fn json_lines(command: &ChildProcess) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(command.log())?;
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    Ok(complete
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_listed_with_counts_an_example_and_what_to_type_next() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let job = |markers: &str, n: usize| {
        json!({
            "prompt": format!("{markers} {n}"), "type": "summary", "platform": "a",
            "fallback": false,
        })
        .to_string()
    };
    let mut jobs: Vec<String> = (0..3).map(|n| job("[[status=503]]", n)).collect();
    jobs.push(job("[[fail_first=1:500]]", 0));
    jobs.extend((0..4).map(|n| job("fine", n)));
    jobs.push(json!({"prompt": "x", "retry": "unknown"}).to_string());
    let ids = stack.enqueue(&jobs).await.unwrap();
    let outcomes = stack.outcomes(&ids).await.unwrap();
    let dead = outcomes
        .iter()
        .filter(|outcome| outcome.state == JobState::Discarded);
    let dead = dead.count() as u64;
    stack.recorded().await.unwrap();

    let report = printed_json(&stack, "failures").await;
    // Of the three jobs, each was tried twice; the fourth once.
    assert_eq!(report["failed_attempts"], 7, "{report:#}");
    assert_eq!(dead, 4);
    assert_eq!(report["discarded_jobs"], dead, "{report:#}");
    assert_eq!(report["dead_letters"], dead, "{report:#}");
    let largest = &report["groups"][0];
    assert_eq!(
        (
            &largest["error_class"],
            &largest["platform"],
            &largest["model"],
            &largest["task_type"]
        ),
        (
            &json!("overloaded"),
            &json!("a"),
            &json!("gpt-4o-mini"),
            &json!("summary")
        ),
        "{report:#}"
    );
    assert_eq!(largest["failed_attempts"], 7, "{report:#}");
    assert_eq!(largest["discarded_jobs"], 3, "{report:#}");

    let text = printed(&stack, "failures --by class --since 2h").await;
    assert!(text.contains("\noverloaded\n"), "{text}");
    let next = text.lines().find_map(|line| line.strip_prefix("Next: "));
    let shown = printed(&stack, next.unwrap()).await;
    assert!(shown.contains("HTTP 50"), "{shown}");
    let dlq = text.lines().last().unwrap();
    let (dlq, _count) = dlq.trim().split_once("  ").unwrap();
    let groups = printed(&stack, dlq).await;
    assert!(groups.contains("overloaded"), "{groups}");
    let next = groups.lines().find_map(|line| line.strip_prefix("Next: "));
    assert!(printed(&stack, next.unwrap()).await.contains("HTTP 503"));
    let counts = printed_json(&stack, "dlq list --group-by reason,platform").await;
    let largest = &counts["groups"][0];
    assert_eq!(
        (&largest["reason"], &largest["platform"], &largest["count"]),
        (&json!("overloaded"), &json!("a"), &json!(3)),
        "{counts:#}"
    );

    let found = ["dlq", "list", "--error", "http 503", "--format", "json"];
    let found = expect_success(stack.longshore(&found).await.unwrap());
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["letters"].as_array().unwrap().len(), 3, "{found:#}");
    let purge = [
        "dlq",
        "purge",
        "--all",
        "--yes",
        "--error",
        "unknown retry policy",
    ];
    expect_success(stack.longshore(&purge).await.unwrap());
    assert_eq!(stack.broker.dead_letters().count().await.unwrap(), 3);

    let filters =
        "--since 1h --model gpt-4o-mini --error-class overloaded --error all --state discarded";
    let listed = printed_json(&stack, &format!("jobs list {filters}")).await;
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed:#}");
    let none = printed_json(&stack, &format!("jobs list {filters} --metadata a=b")).await;
    assert_eq!(none, json!([]));

    let none = printed(&stack, "failures --platform b").await;
    assert!(none.starts_with("Nothing failed since "), "{none}");
}

/// The lines of `status` about a platform: its state, and the command below it.
async fn shown_by_status(stack: &Stack, platform: &str) -> (String, String) {
    let status = printed(stack, "status").await;
    let mut lines = status.lines();
    let name = format!("] {platform}: ");
    let state = lines.find(|line| line.contains(&name)).unwrap();
    let command = lines.next().unwrap();
    (state.trim().to_owned(), command.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_ended_is_found_and_released_with_what_status_prints() {
    let stack = stack().await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let quota_ended = Faults {
        rate_429: 1.0,
        retry_after_s: Some(6.0 * 3600.0),
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("a"), quota_ended).unwrap();
    let job = json!({"prompt": "night run", "platform": "a", "fallback": false}).to_string();
    let jobs = stack.enqueue(&vec![job; 50]).await.unwrap();
    eventually("the jobs pile up", || async {
        let depth = stack.depth().await?;
        ensure!(depth.available + depth.running == 0, "{depth:?}");
        Ok(())
    })
    .await
    .unwrap();
    // The provider has capacity again, but its word still holds.
    stack
        .simulator
        .set_faults(Some("a"), Faults::default())
        .unwrap();

    let (state, remedy) = shown_by_status(&stack, "a").await;
    assert!(
        state.starts_with("[WAIT] a: account a on hold until "),
        "{state}"
    );
    assert!(state.contains("Rate limited"), "{state}");
    assert_eq!(remedy, "longshore resume provider a --now");
    printed(&stack, &remedy).await;
    stack.successes(&jobs).await.unwrap();
    let status = printed(&stack, "status").await;
    assert!(status.contains("[OK] a: ready"), "{status}");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_circuit_leads_to_the_failures_and_to_a_failed_job() {
    let stack = stack().await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let down = Faults {
        rate_503: 1.0,
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("a"), down).unwrap();
    let jobs = stack.enqueue(&prompts(50)).await.unwrap();
    stack.successes(&jobs).await.unwrap();
    stack.recorded().await.unwrap();

    let (state, failures) = shown_by_status(&stack, "a").await;
    assert!(
        state.starts_with("[DOWN] a: circuit open since "),
        "{state}"
    );
    assert!(state.contains(" (gpt-4o-mini: overloaded); "), "{state}");
    let failures = printed(&stack, &failures).await;
    let next = failures
        .lines()
        .find_map(|line| line.strip_prefix("Next: "));
    let job = printed(&stack, next.unwrap()).await;
    assert!(job.contains("HTTP 503"), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_printed_again_and_again_until_interrupted() {
    let stack = stack().await;
    let mut watch = start(&stack, "status --watch --format json");
    let reports = eventually("the status is printed twice", || async {
        let reports = json_lines(&watch)?;
        ensure!(reports.len() >= 2, "{reports:?}");
        Ok(reports)
    })
    .await
    .unwrap();
    for report in reports {
        assert_eq!(report["adapters"]["a"]["status"], "ready", "{report:#}");
    }
    watch.signal(Signal::SIGINT).unwrap();
    assert_eq!(watch.wait().await.unwrap().code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_prints_ends_and_failures_as_they_happen() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let before = stack.enqueue(&prompts(1)).await.unwrap();
    stack.successes(&before).await.unwrap();
    let mut tail = start(&stack, "jobs tail --format json --type night");
    let job = |prompt: &str| {
        json!({"prompt": prompt, "type": "night", "platform": "a", "fallback": false}).to_string()
    };
    // From when on it reads cannot be seen from outside.
    eventually("the tail prints", || async {
        let probe = stack.enqueue(&[job("probe")]).await?;
        stack.successes(&probe).await?;
        ensure!(!json_lines(&tail)?.is_empty());
        Ok(())
    })
    .await
    .unwrap();
    let jobs = [job("[[fail_first=1:503]]"), job("[[status=400]]")];
    let ids = stack.enqueue(&jobs).await.unwrap();
    stack.enqueue(&prompts(1)).await.unwrap();
    stack.outcomes(&ids).await.unwrap();
    let states = |id: &JobId| {
        let lines = json_lines(&tail)?;
        let of_job = lines.iter().filter(|line| line["id"] == id.as_str());
        let states = of_job.map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {}",
                text("state"),
                text("platform"),
                text("error_class")
            )
        });
        anyhow::Ok(states.collect::<Vec<_>>())
    };
    let (retried, dead) = (ids.first().unwrap(), ids.last().unwrap());
    eventually("all ends are printed", || async {
        let (retried, dead) = (states(retried)?, states(dead)?);
        ensure!(
            retried == ["retryable a overloaded", "completed a -"],
            "{retried:?}"
        );
        ensure!(dead == ["discarded a bad_request"], "{dead:?}");
        Ok(())
    })
    .await
    .unwrap();
    let all = json_lines(&tail).unwrap();
    assert!(all.iter().all(|line| line["type"] == "night"), "{all:#?}");
    tail.signal(Signal::SIGINT).unwrap();
    assert_eq!(tail.wait().await.unwrap().code(), Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_sees_what_keeps_jobs_waiting_with_a_remedy_for_each() {
    let stack = stack().await;
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let down = Faults {
        rate_503: 1.0,
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("a"), down).unwrap();
    let jobs = stack.enqueue(&prompts(50)).await.unwrap();
    stack.successes(&jobs).await.unwrap();
    let doomed = json!({"prompt": "x", "retry": "unknown"}).to_string();
    let doomed = stack.enqueue(&[doomed]).await.unwrap();
    stack.outcomes(&doomed).await.unwrap();
    let bulk = QueueName::parse("bulk").unwrap();
    let queues = stack.broker.queues();
    queues.enqueue_all(&bulk, &prompts(3)).await.unwrap();
    let used = stack.broker.server().memory().await.unwrap().used;
    let () = redis::cmd("CONFIG")
        .arg("SET")
        .arg("maxmemory")
        .arg(used + used / 20)
        .query_async(&mut stack.connection().await.unwrap())
        .await
        .unwrap();
    for (finding, remedy) in [
        ("[!!] memory: ", "raise maxmemory"),
        (
            "[!!] circuits: that of a/gpt-4o-mini is open since ",
            "`longshore failures --platform a`",
        ),
        (
            "[!!] queues: no worker reads queue `bulk`; jobs that wait in it: 3",
            "`longshore jobs cancel --all --queue bulk`",
        ),
        (
            "[--] dead letters: 1, 1 in the last hour",
            "`longshore dlq list --since 1h`",
        ),
    ] {
        eventually("the finding is there", || async {
            let ran = stack.longshore(&["doctor"]).await?;
            let mut lines = ran.stdout.lines();
            let found = lines.any(|line| line.starts_with(finding));
            ensure!(found, "{finding}: {}", ran.stdout);
            let advice = lines.next().unwrap_or_default();
            ensure!(advice.contains(remedy), "{finding}: {advice}");
            Ok(())
        })
        .await
        .unwrap();
    }
}

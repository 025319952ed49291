//! Dead letters replayed in bulk and by rules, end to end. What depends on their number has a short form and
//! a full one (`LONGSHORE_TEST_FULL=1`); figures are printed with `--nocapture`.

use std::{collections::BTreeSet, process::Stdio, time::Instant};

use anyhow::ensure;
use longshore_local::{ChildProcess, Signal};
use longshore_protocol::{
    dead_letter::{DeadLetterFilter, DeadLetterOrder, DeadLetterQuery},
    id::QueueName,
};
use longshore_simulator::{Dialect, Faults};
use longshore_tests::{
    dead_letters,
    stack::{Options, Stack, eventually, expect_success},
};
use redis::AsyncCommands as _;
use tokio::io::AsyncReadExt as _;

use crate::machine::{print_figures, size};

async fn stack() -> Stack {
    Stack::start(Options::default()).await.unwrap()
}

async fn write_dead_letters(stack: &Stack, count: usize) {
    let mut connection = stack.connection().await.unwrap();
    dead_letters::write(&stack.broker, &mut connection, count)
        .await
        .unwrap();
}

/// The messages in the default queue.
async fn queued(stack: &Stack) -> Vec<String> {
    let key = stack.broker.keys().queue(&QueueName::default());
    let mut connection = stack.connection().await.unwrap();
    let entries: redis::streams::StreamRangeReply = connection.xrange_all(key).await.unwrap();
    let jobs = entries.ids.iter().map(|entry| entry.get("job").unwrap());
    jobs.collect()
}

/// The id of the bulk replay that a command printed.
fn bulk_id(output: &str) -> String {
    let id = output
        .split("--continue ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    id.expect(output).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_bulk_replay_continues_where_it_stopped() {
    let stack = stack().await;
    write_dead_letters(&stack, 3000).await;
    let mut command = tokio::process::Command::from(stack.command("longshore").unwrap());
    let mut doomed = command
        .args(["dlq", "replay", "--all", "--yes", "--rate", "1000"])
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    eventually("some are replayed", || async {
        let dead = stack.broker.dead_letters().count().await?;
        ensure!(dead < 2800, "{dead} are dead");
        Ok(())
    })
    .await
    .unwrap();
    doomed.kill().await.unwrap();
    let mut output = String::new();
    let mut stderr = doomed.stderr.take().unwrap();
    stderr.read_to_string(&mut output).await.unwrap();
    let left = stack.broker.dead_letters().count().await.unwrap();
    assert!((1..2800).contains(&left), "{left} are left");

    // Jobs that fail after the replay began are not part of it.
    let mut connection = stack.connection().await.unwrap();
    let now = stack.broker.server().time_ms().await.unwrap();
    let died = chrono::DateTime::from_timestamp_millis(now).unwrap();
    let late = dead_letters::dead_letter(9999, died).unwrap();
    let mut pipe = redis::pipe();
    dead_letters::add(&mut pipe, stack.broker.keys(), &late, now).unwrap();
    let () = pipe.query_async(&mut connection).await.unwrap();

    let id = bulk_id(&output);
    let go_on = ["dlq", "replay", "--continue", &id];
    let printed = expect_success(stack.longshore(&go_on).await.unwrap());
    assert!(printed.contains("3,000 dead letters replayed"), "{printed}");
    let queued = queued(&stack).await;
    let once: BTreeSet<&String> = queued.iter().collect();
    assert_eq!((queued.len(), once.len()), (3000, 3000), "each once");
    assert_eq!(stack.broker.dead_letters().count().await.unwrap(), 1);

    let ended = stack.longshore(&go_on).await.unwrap();
    assert_eq!(ended.code, Some(2), "{}", ended.stdout);
    assert!(
        ended.stderr.contains("no interrupted replay"),
        "{}",
        ended.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_bulk_replay_prints_how_to_continue() {
    let stack = stack().await;
    write_dead_letters(&stack, 500).await;
    let mut command = stack.command("longshore").unwrap();
    command.args(["dlq", "replay", "--all", "--yes", "--rate", "50/s"]);
    let log = stack.dir().join("replay.log");
    let mut running = ChildProcess::spawn("longshore", command, &log).unwrap();
    eventually("some are replayed", || async {
        ensure!(stack.broker.dead_letters().count().await? < 495);
        Ok(())
    })
    .await
    .unwrap();
    running.signal(Signal::SIGINT).unwrap();
    let status = running.wait().await.unwrap();
    let output = std::fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(130), "{output}");
    assert!(output.contains("Interrupted: "), "{output}");
    let printed = expect_success(
        stack
            .longshore(&["dlq", "replay", "--continue", &bulk_id(&output)])
            .await
            .unwrap(),
    );
    assert!(printed.contains("500 dead letters replayed"), "{printed}");
    assert_eq!(queued(&stack).await.len(), 500);
}

/// One provider that fails quickly, and a rule that replays its dead letters.
fn config(stack: &Stack) -> String {
    let url = stack.simulator.base_url("a", Dialect::Openai);
    format!(
        r#"
retry: {{max_retries: 0}}
circuit: {{min_calls: 2, cooldown: 300ms, max_cooldown: 1s}}
dead_letters:
  replay:
    - name: a-is-back
      reasons: [overloaded, internal]
      platform: a
      per_minute: 600
      at_most: 100
    - name: never
      reasons: [overloaded, internal]
      when: after 30d
providers:
  a:
    dialect: openai
    base_url: {url}
    api_key: simulated
    default_model: gpt-4o-mini
models:
  - {{provider: a, model: gpt-4o-mini, tier: standard, context_window: 8192, max_output_tokens: 1024, input_per_million: "0.15", cached_per_million: "0.075", output_per_million: "0.6"}}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_replays_dead_letters_once_their_provider_is_healthy() {
    let stack = stack().await;
    stack.config_yaml(&config(&stack)).unwrap();
    let down = Faults {
        rate_503: 1.0,
        ..Faults::default()
    };
    stack.simulator.set_faults(Some("a"), down).unwrap();
    let _worker = stack.worker().unwrap();
    let jobs: Vec<String> = (0..10)
        .map(|at| format!(r#"{{"prompt":"job {at}","platform":"a","fallback":false}}"#))
        .collect();
    let ids = stack.enqueue(&jobs).await.unwrap();
    let malformed = stack.xadd(&[("type", "research")]).await.unwrap();
    eventually("all are dead", || async {
        let dead = stack.broker.dead_letters().count().await?;
        ensure!(dead == 11, "{dead} are");
        Ok(())
    })
    .await
    .unwrap();
    let _scheduler = stack.scheduler().unwrap();
    eventually("one tries whether it is up", || async {
        let letters = dead_letters::list(&stack.broker).await?;
        let tried = letters
            .iter()
            .map(|(_, dead_letter, _)| dead_letter.checkpoint.replays)
            .max();
        ensure!(tried.unwrap_or_default() > 0, "none was replayed");
        Ok(())
    })
    .await
    .unwrap();
    stack
        .simulator
        .set_faults(Some("a"), Faults::default())
        .unwrap();
    eventually("all are answered", || async {
        let outcomes = stack.broker.jobs().outcomes(&ids).await?;
        let well = outcomes.iter().flatten().filter(|one| one.success).count();
        ensure!(well == 10, "{well} are");
        Ok(())
    })
    .await
    .unwrap();
    let left = dead_letters::list(&stack.broker).await.unwrap();
    let left: Vec<_> = left
        .iter()
        .map(|(_, dead_letter, _)| &dead_letter.record.id)
        .collect();
    assert_eq!(left, [&malformed], "what is malformed stays");
    stack.books().await.unwrap().balance();
    let story = stack.ledger.job(&ids[0]).await.unwrap().unwrap();
    let ends: Vec<_> = story
        .dead_letters
        .iter()
        .map(|row| row.resolution)
        .collect();
    assert!(
        !ends.is_empty() && ends.iter().all(Option::is_some),
        "{ends:?}"
    );
}

fn print_rate(what: &str, count: usize, began: Instant) {
    let took = began.elapsed();
    let rate = f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64();
    print_figures(&format!("{what}: {took:.2?} ({rate:.0}/s)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_dead_letters_are_listed_replayed_and_purged_into_the_archive() {
    let count = size(5_000, 200_000);
    let stack = stack().await;
    stack.ledger.migrate().await.unwrap();
    write_dead_letters(&stack, count).await;

    let newest = DeadLetterQuery {
        filter: DeadLetterFilter::default(),
        span: 0..=i64::MAX,
        order: DeadLetterOrder::NewestFirst,
        after: None,
    };
    let began = Instant::now();
    let page = stack
        .broker
        .dead_letters()
        .record_page(&newest, 51)
        .await
        .unwrap();
    print_rate("the first page, in the library", page.found.len(), began);
    let began = Instant::now();
    let listed = expect_success(
        stack
            .longshore(&["dlq", "list", "--format", "json"])
            .await
            .unwrap(),
    );
    print_rate("`dlq list`", 50, began);
    let mut listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let letters = listed["letters"].as_array().unwrap();
        assert_eq!(letters.len(), 50);
        seen.extend(letters.iter().map(|one| one["id"].to_string()));
        let next = listed["next"].as_str().unwrap();
        let began = Instant::now();
        let page = stack
            .longshore(&[
                "dlq", "list", "--type", "testing", "--after", next, "--format", "json",
            ])
            .await;
        print_rate("`dlq list --type`, another page", 50, began);
        listed = serde_json::from_str(&expect_success(page.unwrap())).unwrap();
    }
    assert_eq!(seen.len(), 150, "no dead letter is on two pages");

    let began = Instant::now();
    let replay = ["dlq", "replay", "--all", "--type", "research", "--yes"];
    let printed = expect_success(stack.longshore(&replay).await.unwrap());
    print_rate("`dlq replay` of half", count / 2, began);
    assert!(printed.ends_with("dead letters replayed\n"), "{printed}");
    let left = u64::try_from(count / 2).unwrap();
    assert_eq!(stack.broker.dead_letters().count().await.unwrap(), left);
    let key = stack.broker.keys().queue(&QueueName::default());
    let queued: usize = stack.connection().await.unwrap().xlen(key).await.unwrap();
    assert_eq!(queued, count / 2);

    let began = Instant::now();
    expect_success(
        stack
            .longshore(&["dlq", "purge", "--all", "--yes"])
            .await
            .unwrap(),
    );
    print_rate("`dlq purge` of the rest", count / 2, began);
    assert_eq!(stack.broker.dead_letters().count().await.unwrap(), 0);
    let pool = sqlx::PgPool::connect(&stack.database_url).await.unwrap();
    let archived: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM dead_letters JOIN dead_letter_ends USING (id, at) \
         WHERE letter IS NOT NULL AND resolution = 'purged'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(
        u64::try_from(archived).unwrap(),
        left,
        "all are archived whole"
    );
}

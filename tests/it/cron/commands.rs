//! `longshore cron` and the section `cron:` of the configuration.

use anyhow::ensure;
use longshore_tests::stack::{Options, Ran, Stack, eventually, expect_success};
use serde_json::Value;

use super::{cron_state, queued, tick_of};

async fn stack() -> Stack {
    Stack::start(Options::default()).await.unwrap()
}

fn failed(ran: &Ran, code: i32) -> &str {
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stdout, "", "nothing but the error");
    &ran.stderr
}

async fn list(stack: &Stack) -> Vec<Value> {
    let text = expect_success(
        stack
            .longshore(&["cron", "list", "--format", "json"])
            .await
            .unwrap(),
    );
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recurring_job_is_paused_resumed_and_removed() {
    let stack = stack().await;
    let cron = async |words: &[&str]| {
        let words = [&["cron"], words].concat();
        stack.longshore(&words).await.unwrap()
    };
    let empty = expect_success(cron(&["list"]).await);
    assert!(empty.contains("No recurring jobs"), "{empty}");
    let schedule = ["--schedule", "0 3 * * *", "--timezone", "Europe/Berlin"];
    let nightly = [&["add", "nightly"], &schedule[..], &["-p", "Report."]].concat();
    let added = expect_success(cron(&nightly).await);
    assert!(
        added.starts_with("nightly: 0 3 * * * (Europe/Berlin), first at 20"),
        "{added}"
    );
    let twice = cron(&nightly).await;
    let error = failed(&twice, 2);
    assert!(
        error.contains("recurring job `nightly` already exists"),
        "{error}"
    );

    let job = r#"{"prompt":"[[echo=new]]","type":"research","metadata":{"a":1}}"#;
    std::fs::write(stack.dir().join("job.json"), job).unwrap();
    let poll = [
        "add", "poll", "--every", "1s", "--job", "job.json", "--missed", "skip",
    ];
    expect_success(cron(&poll).await);
    let _scheduler = stack.scheduler().unwrap();
    let _worker = stack.worker().unwrap();
    let last = eventually("it ticks", || async {
        let last = cron_state(&stack, "poll").await?.last;
        last.ok_or_else(|| anyhow::anyhow!("not yet"))
    })
    .await
    .unwrap();
    let id = format!(
        "cron:poll:{}",
        last.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    );
    let id = longshore_protocol::id::JobId::parse(&id).unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert!(outcome.success, "{outcome:?}");

    assert_eq!(
        expect_success(cron(&["pause", "poll"]).await),
        "poll is paused\n"
    );
    assert_eq!(
        expect_success(cron(&["pause", "poll"]).await),
        "poll is already paused\n"
    );
    let ran = cron_state(&stack, "poll").await.unwrap().ran;
    let asked = expect_success(cron(&["run", "poll"]).await);
    let id = asked.trim().strip_prefix("Task ID: ").unwrap();
    assert!(id.starts_with("cron:poll:run:"), "{id}");
    let id = longshore_protocol::id::JobId::parse(id).unwrap();
    assert!(
        stack.outcome(&id).await.unwrap().success,
        "also while it is paused"
    );
    let rests = cron_state(&stack, "poll").await.unwrap();
    assert_eq!((rests.next, rests.ran), (None, ran));

    let text = expect_success(cron(&["list"]).await);
    assert!(
        text.contains("every 1s") && text.contains("paused"),
        "{text}"
    );
    let listed = list(&stack).await;
    assert_eq!(listed[0]["name"], "nightly");
    assert_eq!(listed[0]["timezone"], "Europe/Berlin");
    assert_eq!(listed[1]["job"]["metadata"]["a"], 1);
    assert_eq!(listed[1]["source"], "command");

    assert!(
        expect_success(cron(&["resume", "poll"]).await).starts_with("poll is resumed, next at ")
    );
    eventually("it runs again", || async {
        let now = cron_state(&stack, "poll").await?;
        ensure!(now.ran > ran && now.skipped == rests.skipped, "{now:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(
        expect_success(cron(&["remove", "poll"]).await),
        "poll is removed\n"
    );
    for action in ["pause", "resume", "remove", "run"] {
        let gone = cron(&[action, "poll"]).await;
        let error = failed(&gone, 1);
        assert!(error.contains("no recurring job `poll`"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_recurring_job_is_rejected() {
    let stack = stack().await;
    std::fs::write(
        stack.dir().join("bad.json"),
        r#"{"prompt":"x","timeout":"soon"}"#,
    )
    .unwrap();
    for (words, part) in [
        (
            &["--schedule", "0 3 * *", "-p", "x"][..],
            "--schedule: expected minute, hour",
        ),
        (
            &["--schedule", "@daily", "--timezone", "Mars", "-p", "x"],
            "--timezone: expected a time zone",
        ),
        (
            &["--every", "0s", "-p", "x"],
            "--every: expected a time from 1s",
        ),
        (
            &["--every", "5s", "--missed", "never", "-p", "x"],
            "--missed: expected one of skip, once, all",
        ),
        (
            &["--every", "5s", "--job", "bad.json"],
            "--job: `timeout`: ",
        ),
        (
            &["--every", "5s", "--job", "none.json"],
            "--job none.json: ",
        ),
        (&["--every", "5s", "-p", ""], "--job: `prompt`: "),
        (&["--every", "5s"], "--prompt"),
        (&["-p", "x"], "--schedule"),
    ] {
        let words = [&["cron", "add", "bad"], words].concat();
        let ran = stack.longshore(&words).await.unwrap();
        let error = failed(&ran, 2);
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    let name = stack
        .longshore(&["cron", "add", "two words", "--every", "5s", "-p", "x"])
        .await
        .unwrap();
    assert!(failed(&name, 2).contains("two words"));
    assert_eq!(list(&stack).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn recurring_jobs_of_the_configuration_follow_its_changes() {
    let stack = stack().await;
    let config = |entries: &str| stack.config_yaml(&format!("cron:\n{entries}")).unwrap();
    config("  - { name: ours, every: 1s, queue: ticks, job: { prompt: One } }\n");
    expect_success(
        stack
            .longshore(&["cron", "add", "mine", "--every", "1d", "-p", "x"])
            .await
            .unwrap(),
    );
    let taken = stack
        .longshore(&["cron", "add", "ours", "--every", "1d", "-p", "x"])
        .await
        .unwrap();
    assert!(failed(&taken, 2).contains("recurring job `ours` already exists in the configuration"));
    let _schedulers = [stack.scheduler().unwrap(), stack.scheduler().unwrap()];
    eventually("it ticks", || async {
        ensure!(cron_state(&stack, "ours").await?.ran > 1, "not yet");
        Ok(())
    })
    .await
    .unwrap();
    let kept = stack.longshore(&["cron", "remove", "ours"]).await.unwrap();
    assert!(failed(&kept, 2).contains("is defined in the configuration"));

    config("  - { name: ours, every: 1s, queue: ticks, job: { prompt: Two } }\n");
    eventually("its job changes", || async {
        let messages = queued(&stack, "ticks").await;
        ensure!(messages.last().unwrap().1["prompt"] == "Two", "not yet");
        Ok(())
    })
    .await
    .unwrap();
    let ticks: Vec<_> = queued(&stack, "ticks").await;
    let apart = ticks
        .windows(2)
        .map(|two| tick_of(&two[1].1) - tick_of(&two[0].1));
    for apart in apart {
        assert!(
            apart.num_seconds() >= 1,
            "a change makes no tick come twice"
        );
    }
    config("  []\n");
    eventually("it is removed", || async {
        let names: Vec<Value> = list(&stack)
            .await
            .iter()
            .map(|one| one["name"].clone())
            .collect();
        ensure!(names == ["mine"], "{names:?}");
        Ok(())
    })
    .await
    .unwrap();
}

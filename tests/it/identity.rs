//! Duplicate jobs, unique keys, concurrency keys, and cancelling.

use std::time::Duration;

use anyhow::bail;
use longshore_protocol::{
    id::{JobId, ReaderName},
    reply::ReplyTo,
    state::JobState,
};
use longshore_tests::stack::{Options, Stack, eventually};

async fn stack(latency: Duration) -> Stack {
    Stack::start(Options {
        latency,
        ..Options::default()
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_the_same_content_is_one_job() {
    let stack = stack(Duration::ZERO).await;
    let _worker = stack.worker().unwrap();
    let id = JobId::parse("invoice-17").unwrap();
    let mut last = id.clone();
    for message in [
        r#"{"id":"invoice-17","prompt":"pay","type":"research","reply":true}"#,
        r#"{"type":"research","prompt":"pay","id":"invoice-17","reply":true,"v":1}"#,
    ] {
        last = stack.xadd(&[("job", message)]).await.unwrap();
        let outcome = stack
            .broker
            .jobs()
            .wait_for_reply(&ReplyTo::Anyone, &id, Duration::from_secs(20))
            .await
            .unwrap();
        assert!(
            outcome.is_some_and(|outcome| outcome.success),
            "each producer gets the outcome"
        );
    }
    assert_eq!(stack.simulator.stats().requests, 1, "it ran once");
    stack.recorded().await.unwrap();
    let history = stack.ledger.job(&id).await.unwrap().unwrap();
    assert_eq!(history.dropped.len(), 1, "the drop is on record");
    let shown = stack.longshore(&["jobs", "show", last.as_str()]).await;
    let shown = shown.unwrap();
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.stdout.contains("invoice-17"), "{}", shown.stdout);
    let note = format!("Message {last} was dropped as a duplicate of job invoice-17.");
    assert!(shown.stderr.contains(&note), "{}", shown.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_producer_of_the_same_job_gets_its_outcome() {
    let stack = stack(Duration::from_millis(500)).await;
    let _worker = stack.worker().unwrap();
    let id = JobId::parse("shared-1").unwrap();
    for _ in 0..3 {
        stack
            .xadd(&[("id", "shared-1"), ("prompt", "once"), ("reply", "true")])
            .await
            .unwrap();
    }
    for _ in 0..3 {
        let outcome = stack
            .broker
            .jobs()
            .wait_for_reply(&ReplyTo::Anyone, &id, Duration::from_secs(20))
            .await
            .unwrap();
        assert!(outcome.is_some_and(|outcome| outcome.success));
    }
    assert_eq!(stack.simulator.stats().requests, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reader_of_the_same_job_or_chain_gets_a_reply_of_its_own() {
    let stack = stack(Duration::from_millis(500)).await;
    let _worker = stack.worker().unwrap();
    let reader = |name| ReplyTo::Reader(ReaderName::parse(name).unwrap());
    let asked = [
        ("@alice", reader("alice")),
        ("true", ReplyTo::Anyone),
        ("@bob", reader("bob")),
        ("@bob", reader("bob")),
    ];
    for id in ["shared-2", "report-2"] {
        let send = async |reply: &str| {
            let chain = format!(
                r#"{{"id":"report-2","reply":{},"steps":[{{"name":"a","prompt":"p"}}]}}"#,
                if reply == "true" {
                    reply.to_owned()
                } else {
                    format!("\"{reply}\"")
                }
            );
            let job = [("id", id), ("prompt", "once"), ("reply", reply)];
            let message = if id == "report-2" {
                &[("chain", chain.as_str())][..]
            } else {
                &job
            };
            stack.xadd(message).await.unwrap();
        };
        let taken = async |to: &ReplyTo| {
            let list = stack.broker.keys().reply(to, &JobId::parse(id).unwrap());
            let popped: Option<(String, String)> = redis::cmd("BLPOP")
                .arg(list)
                .arg(20)
                .query_async(&mut stack.connection().await.unwrap())
                .await
                .unwrap();
            let (_, outcome) = popped.unwrap();
            assert!(outcome.contains(r#""success":true"#), "{to} {outcome}");
        };
        for (reply, _) in &asked {
            send(reply).await;
        }
        for (_, to) in &asked {
            taken(to).await;
        }
        // The job has ended.
        send("@carol").await;
        taken(&reader("carol")).await;
        let replies = format!("{}:repl*{id}", stack.broker.keys().prefix());
        let left: Vec<String> = redis::cmd("KEYS")
            .arg(replies)
            .query_async(&mut stack.connection().await.unwrap())
            .await
            .unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(stack.simulator.stats().requests, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_a_job_that_succeeded_at_once_learns_that_its_outcome_has_expired() {
    let stack = stack(Duration::ZERO).await;
    let _worker = stack.worker().unwrap();
    let id = JobId::parse("once-1").unwrap();
    let jobs = stack.broker.jobs();
    let fields = [("id", "once-1"), ("prompt", "p"), ("reply", "true")];
    for expected in [None, Some("result_expired")] {
        stack.xadd(&fields).await.unwrap();
        let reply = jobs.wait_for_reply(&ReplyTo::Anyone, &id, Duration::from_secs(20));
        let outcome = reply.await.unwrap().unwrap();
        assert_eq!(outcome.state, JobState::Completed);
        assert_eq!(outcome.error_class.as_deref(), expected);
        redis::cmd("DEL")
            .arg(stack.broker.keys().result(&id))
            .query_async::<()>(&mut stack.connection().await.unwrap())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_different_content_is_a_conflict() {
    let stack = stack(Duration::ZERO).await;
    let _worker = stack.worker().unwrap();
    let id = JobId::parse("invoice-18").unwrap();
    stack
        .xadd(&[("id", "invoice-18"), ("prompt", "pay")])
        .await
        .unwrap();
    let first = stack.outcome(&id).await.unwrap();
    let entry_id = stack
        .xadd(&[("id", "invoice-18"), ("prompt", "do not pay")])
        .await
        .unwrap();
    let dead_letter = eventually("a dead letter", || async {
        match stack
            .broker
            .dead_letters()
            .newest(entry_id.as_str())
            .await?
        {
            Some((_, dead_letter, _)) => Ok(dead_letter),
            None => bail!("none yet"),
        }
    })
    .await
    .unwrap();
    assert_eq!(dead_letter.record.reason, "id_conflict");
    let refused = stack.outcome(&entry_id).await.unwrap();
    assert_eq!(refused.error_class.as_deref(), Some("id_conflict"));
    assert_eq!(
        stack.outcome(&id).await.unwrap(),
        first,
        "the first job is as it was"
    );
    stack.recorded().await.unwrap();
    let job = stack.ledger.job(&id).await.unwrap().unwrap();
    assert_eq!(job.row.job.state, JobState::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_key_admits_one_job() {
    let stack = stack(Duration::ZERO).await;
    let _worker = stack.worker().unwrap();
    let first = stack
        .xadd(&[
            ("prompt", "a"),
            ("unique_key", "daily"),
            ("unique_for", "60"),
        ])
        .await
        .unwrap();
    assert!(stack.outcome(&first).await.unwrap().success);
    let second = stack
        .xadd(&[
            ("prompt", "b"),
            ("unique_key", "daily"),
            ("unique_for", "60"),
        ])
        .await
        .unwrap();
    let outcome = stack.outcome(&second).await.unwrap();
    assert_eq!(outcome.state, JobState::Cancelled);
    assert_eq!(outcome.error_class.as_deref(), Some("duplicate"));
    assert!(
        outcome.error.unwrap().contains(first.as_str()),
        "it says which job has the key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_concurrency_key_holds_across_workers() {
    let stack = stack(Duration::from_millis(100)).await;
    let _workers = [
        stack.worker().unwrap(),
        stack.worker().unwrap(),
        stack.worker().unwrap(),
    ];
    let jobs: Vec<String> = (0..60)
        .map(|at| {
            format!(r#"{{"prompt":"job {at}","concurrency_key":"tenant a","concurrency_limit":4}}"#)
        })
        .collect();
    let ids = stack.enqueue(&jobs).await.unwrap();
    stack.successes(&ids).await.unwrap();
    let peak = stack.simulator.stats().peak_in_flight;
    assert_eq!(peak, 4, "four at once, and no fewer");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_call_is_cancelled_and_its_cost_recorded() {
    let stack = stack(Duration::from_secs(30)).await;
    let _worker = stack.worker().unwrap();
    let id = stack.xadd(&[("prompt", "long")]).await.unwrap();
    eventually("the call is in flight", || async {
        if stack.simulator.stats().in_flight == 0 {
            bail!("not yet");
        }
        Ok(())
    })
    .await
    .unwrap();
    assert!(stack.broker.jobs().cancel(&id, None).await.unwrap());
    let outcome = stack.outcome(&id).await.unwrap();
    assert_eq!(outcome.state, JobState::Cancelled);
    assert!(outcome.duration_ms < 10_000);
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 1);
    assert!(
        books.ledger[0].cost_usd.is_none(),
        "only the provider knows what it cost"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_and_delayed_jobs_are_cancelled_without_a_call() {
    let stack = stack(Duration::ZERO).await;
    let queued = stack.xadd(&[("prompt", "never")]).await.unwrap();
    assert!(stack.broker.jobs().cancel(&queued, None).await.unwrap());
    let worker = stack.worker().unwrap();
    assert_eq!(
        stack.outcome(&queued).await.unwrap().state,
        JobState::Cancelled
    );
    let delayed = stack
        .xadd(&[("prompt", "never"), ("delay", "3600")])
        .await
        .unwrap();
    eventually("it waits", || async {
        match stack.broker.lanes().parked_job(&delayed).await? {
            Some(_) => Ok(()),
            None => bail!("not in a lane"),
        }
    })
    .await
    .unwrap();
    assert!(stack.broker.jobs().cancel(&delayed, None).await.unwrap());
    assert_eq!(
        stack.outcome(&delayed).await.unwrap().state,
        JobState::Cancelled
    );
    assert_eq!(stack.simulator.stats().requests, 0);
    assert!(
        !stack.broker.jobs().cancel(&delayed, None).await.unwrap(),
        "it has ended already"
    );
    worker.shut_down().await.unwrap();
}

//! Invalid messages become dead letters and affect no other job.

use std::time::Duration;

use anyhow::bail;
use longshore_broker::Broker;
use longshore_protocol::{
    envelope::RawMessage,
    id::{EntryId, JobId, QueueName},
    reply::ReplyTo,
};
use longshore_tests::{
    dead_letters,
    stack::{Options, Stack, eventually},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// An invalid message, and the expected reason of its dead letter.
fn bad(at: usize, chance: &mut StdRng) -> (Vec<u8>, &'static str) {
    match at % 10 {
        0 => {
            let mut bytes = vec![0xff];
            bytes.extend((0..chance.random_range(0..200)).map(|_| chance.random::<u8>()));
            (bytes, "not_utf8")
        }
        1 => (b"{\"prompt\": \"open".to_vec(), "not_json"),
        2 => (b"[1,2,3]".to_vec(), "not_an_object"),
        3 => (b"{\"type\":\"research\"}".to_vec(), "no_prompt"),
        4 => (b"{\"prompt\": 17}".to_vec(), "wrong_type"),
        5 => (
            b"{\"prompt\":\"x\",\"timeout\":-5}".to_vec(),
            "out_of_range",
        ),
        6 => (
            format!(
                "{{\"prompt\":\"x\",\"metadata\":{}{}}}",
                "[".repeat(500),
                "]".repeat(500)
            )
            .into_bytes(),
            "too_deep",
        ),
        7 => (
            b"{\"prompt\":\"x\",\"traceparent\":\"zz\"}".to_vec(),
            "bad_value",
        ),
        8 if at % 50 == 8 => {
            let mut text = b"{\"prompt\":\"".to_vec();
            text.resize(5_000_000, b'x');
            text.extend(b"\"}");
            (text, "too_large")
        }
        8 => (b"{\"prompt\":\"x\",\"chain\":{}}".to_vec(), "unsupported"),
        _ => (
            b"{\"prompt\":\"x\",\"id\":\"1795232878059-0\"}".to_vec(),
            "reserved_id",
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_invalid_messages_do_not_affect_a_thousand_valid_ones() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let mut worker = stack.worker().unwrap();
    let mut chance = StdRng::seed_from_u64(7);
    let queue = stack.broker.keys().queue(&QueueName::default());
    let mut connection = stack.connection().await.unwrap();
    let mut good = Vec::new();
    let mut expected = std::collections::BTreeMap::new();
    for at in 0..1000 {
        let prompt = format!(r#"{{"prompt":"good {at}"}}"#);
        let id: String = redis::cmd("XADD")
            .arg(&queue)
            .arg("*")
            .arg("job")
            .arg(prompt)
            .query_async(&mut connection)
            .await
            .unwrap();
        good.push(longshore_protocol::id::JobId::parse(&id).unwrap());
        let (message, reason) = bad(at, &mut chance);
        let id: String = redis::cmd("XADD")
            .arg(&queue)
            .arg("*")
            .arg("job")
            .arg(&message)
            .query_async(&mut connection)
            .await
            .unwrap();
        expected.insert(id, (reason, message));
    }
    let outcomes = stack.outcomes(&good).await.unwrap();
    assert!(
        outcomes.iter().all(|outcome| outcome.success),
        "1,000 answers"
    );
    eventually("all invalid messages are dead letters", || async {
        match stack.broker.dead_letters().count().await? {
            1000 => Ok(()),
            dead => bail!("{dead}"),
        }
    })
    .await
    .unwrap();
    check_dead_letters(&stack.broker, &expected).await;
    assert!(
        worker.try_wait().unwrap().is_none(),
        "the worker still runs"
    );
    stack.books().await.unwrap().balance();
}

async fn check_dead_letters(
    broker: &Broker,
    expected: &std::collections::BTreeMap<String, (&'static str, Vec<u8>)>,
) {
    let dead_letters = dead_letters::list(broker).await.unwrap();
    assert_eq!(dead_letters.len(), 1000);
    for (_, dead_letter, _) in &dead_letters {
        let (reason, message) = &expected[dead_letter.record.id.as_str()];
        assert_eq!(
            dead_letter.record.reason, *reason,
            "{}",
            dead_letter.record.error
        );
        assert!(!dead_letter.record.error.is_empty());
        match dead_letter.message.fields() {
            Some(fields) => assert_eq!(
                fields,
                [(b"job".to_vec(), message.clone())],
                "raw bytes are kept"
            ),
            None => assert_eq!(*reason, "too_large"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_newer_version_is_parked() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let newer = stack
        .xadd(&[("job", r#"{"v":2,"prompt":"from the future"}"#)])
        .await
        .unwrap();
    let waiting = eventually("it waits", || async {
        match stack.broker.lanes().parked_job(&newer).await? {
            Some(waiting) => Ok(waiting),
            None => bail!("not in a lane"),
        }
    })
    .await
    .unwrap();
    assert_eq!(waiting.lane, "version");
    assert_eq!(stack.simulator.stats().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_a_forged_internal_field_is_rejected() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let forged = stack
        .xadd(&[("_checkpoint", "1"), ("prompt", "hello")])
        .await
        .unwrap();
    let outcome = stack.outcome(&forged).await.unwrap();
    assert_eq!(
        outcome.error_class.as_deref(),
        Some("reserved_field"),
        "{outcome:?}"
    );
}

/// A producer that may only `XADD` sends this while all slots are in use and tenants share them.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_thousands_of_fields_harms_no_other_tenant() {
    let stack = Stack::start(Options {
        latency: Duration::from_millis(100),
        env: vec![("LONGSHORE_CONCURRENCY".to_owned(), "2".to_owned())],
    })
    .await
    .unwrap();
    let _worker = stack.worker().unwrap();
    let job = |at: usize| format!(r#"{{"prompt":"job {at}","tenant":"t{}"}}"#, at % 3);
    let mut ids = stack
        .enqueue(&(0..30).map(job).collect::<Vec<_>>())
        .await
        .unwrap();
    let oversized = RawMessage {
        fields: vec![(b"f".to_vec(), b"v".to_vec()); 4_100],
    };
    let queue = QueueName::default();
    let oversized = stack
        .broker
        .queues()
        .enqueue(&queue, &oversized)
        .await
        .unwrap();
    let chain = r#"{"tenant":"t1","steps":[{"name":"a","prompt":"one"}]}"#;
    let chain = stack.xadd(&[("chain", chain)]).await.unwrap();
    ids.extend(
        stack
            .enqueue(&(30..60).map(job).collect::<Vec<_>>())
            .await
            .unwrap(),
    );
    stack.successes(&ids).await.unwrap();
    // The chain is known by its receipt, although it waited for its tenant's turn.
    let chain = eventually("the chain ends", || async {
        let key = format!("{}:result:{chain}", stack.broker.keys().prefix());
        let outcome: Option<String> = redis::cmd("GET")
            .arg(key)
            .query_async(&mut stack.connection().await?)
            .await?;
        outcome.ok_or_else(|| anyhow::anyhow!("it runs"))
    })
    .await
    .unwrap();
    assert!(chain.contains(r#""state":"completed""#), "{chain}");
    assert_eq!(
        stack.simulator.stats().requests,
        61,
        "each job is called once"
    );
    let dead = dead_letters::list(&stack.broker).await.unwrap();
    let dead: Vec<_> = dead.iter().map(|(_, letter, _)| &letter.record).collect();
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0].reason, "too_large");
    assert_eq!(dead[0].id.as_str(), oversized.as_str());
}

/// Whoever waits for the reply of a message that never becomes a job learns why, at the id of the receipt.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_is_answered_under_its_receipt() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let first = [("id", "invoice-9"), ("prompt", "pay")];
    stack.xadd(&first).await.unwrap();
    let own_id = JobId::parse("invoice-9").unwrap();
    let first = stack.outcome(&own_id).await.unwrap();
    let too_large = format!(r#"{{"reply":true,"prompt":"{}"}}"#, "x".repeat(2_000_000));
    let too_deep = format!(
        r#"{{"reply":true,"metadata":{}{}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let refused: [(&[(&str, &str)], &str); 8] = [
        (
            &[
                ("reply", "true"),
                ("id", "mine"),
                ("prompt", "x"),
                ("temperature", "hot"),
            ],
            "bad_value",
        ),
        (&[("reply", "1"), ("_checkpoint", "1")], "reserved_field"),
        (
            &[("job", r#"{"reply":true,"id":"mine","prompt":17}"#)],
            "wrong_type",
        ),
        (&[("job", &too_large)], "too_large"),
        (&[("job", &too_deep)], "too_deep"),
        (
            &[("reply", "true"), ("id", "invoice-9"), ("prompt", "keep")],
            "id_conflict",
        ),
        (&[("chain", r#"{"reply":true,"steps":[]}"#)], "bad_chain"),
        (
            &[("chain", r#"{"reply":true,"id":"nightly"}"#)],
            "bad_chain",
        ),
    ];
    for (fields, code) in refused {
        let named = fields
            .iter()
            .find_map(|(name, value)| ReplyTo::parse_reader(value).filter(|_| *name == "reply"));
        let reader = named.unwrap_or(ReplyTo::Anyone);
        let receipt = stack.xadd(fields).await.unwrap();
        let reply = stack
            .broker
            .jobs()
            .wait_for_reply(&reader, &receipt, Duration::from_secs(20));
        let reply = reply
            .await
            .unwrap()
            .unwrap_or_else(|| panic!("no reply: {code}"));
        assert_eq!(
            (&reply.id, reply.success, reply.error_class.as_deref()),
            (&receipt, false, Some(code))
        );
    }
    assert_eq!(
        stack.outcome(&own_id).await.unwrap(),
        first,
        "its outcome is its own"
    );
    let mine = [JobId::parse("mine").unwrap()];
    assert_eq!(
        stack.broker.jobs().outcomes(&mine).await.unwrap(),
        [None],
        "a refused message claims no id"
    );
}

/// `XADD` takes any id that is higher than the last, and all later ids of the stream follow it.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_id_in_the_far_future_delays_no_job() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let (_scheduler, _worker) = (stack.scheduler().unwrap(), stack.worker().unwrap());
    let queue = stack.broker.keys().queue(&QueueName::default());
    let mut ids = Vec::new();
    // The second is the latest time that a date can express.
    for entry in ["8000000000000000-0", "8210266876799999-0"] {
        let job = r#"{"prompt":"hello","delay":0.5,"deadline":60}"#;
        let id: String = redis::cmd("XADD")
            .arg(&[&queue, entry, "job", job])
            .query_async(&mut stack.connection().await.unwrap())
            .await
            .unwrap();
        ids.push(JobId::from_entry(&EntryId::from_stored(&id)));
    }
    ids.push(
        stack
            .xadd(&[("prompt", "later"), ("delay", "0.5")])
            .await
            .unwrap(),
    );
    for outcome in stack.successes(&ids).await.unwrap() {
        assert!(outcome.queued_ms < 60_000, "{outcome:?}");
    }
    let doctor = stack.longshore(&["doctor"]).await.unwrap();
    let problem = "[!!] entry ids: the last one of queue `default` is 8210266876799999-1";
    assert!(doctor.stdout.contains(problem), "{}", doctor.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_is_too_long_for_every_model_says_so() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let id = stack
        .xadd(&[("prompt", "[[context]] hello")])
        .await
        .unwrap();
    let outcome = stack.outcome(&id).await.unwrap();
    assert_eq!(
        outcome.error_class.as_deref(),
        Some("context_too_long"),
        "{outcome:?}"
    );
}

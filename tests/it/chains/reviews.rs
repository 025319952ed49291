//! Steps that ask a person, and what people decide.

use chrono::DateTime;
use longshore_broker::Decided;
use longshore_protocol::{
    id::JobId,
    review::{Decision, Review, ReviewState},
};
use longshore_tests::stack::{Options, Stack, eventually, expect_success};
use serde_json::{Value, json};

use super::{begin, outcome};
use crate::{
    secrets::{postgres_content, redis_content},
    webhook_receiver::{SECRET, WebhookReceiver},
};

async fn stack() -> Stack {
    Stack::start(Options::default()).await.unwrap()
}

/// A chain that asks whether its draft may be published, and publishes it.
fn publish(id: &str, person: &Value, on_failure: &str) -> Value {
    json!({"id": id, "steps": [
        {"name": "draft", "prompt": "[[echo=first text]]"},
        {"name": "ask", "needs": ["draft"], "person": person, "on_failure": on_failure},
        {"name": "publish", "needs": ["ask"], "when": "steps.ask.ok",
         "prompt": "[[echo=published {{ steps.ask.output }} by {{ steps.ask.review.by }}]]"},
    ]})
}

fn question() -> Value {
    json!({"question": "Publish {{ steps.draft.output }}?", "artefact": "{{ steps.draft.output }}", "asks": "editors"})
}

/// Waits until this many reviews are open.
async fn open(stack: &Stack, count: usize) -> Vec<Review> {
    eventually("people are asked", || async {
        let open = stack.broker.reviews().open().await?;
        anyhow::ensure!(open.len() == count, "{open:?}");
        Ok(open)
    })
    .await
    .unwrap()
}

fn decision(state: ReviewState, text: Option<&str>) -> Decision {
    Decision {
        state,
        by: "ada".to_owned(),
        comment: Some("because".to_owned()),
        at: DateTime::UNIX_EPOCH,
        text: text.map(str::to_owned),
    }
}

async fn decide(stack: &Stack, review: &Review, decision: &Decision) {
    let decided = stack.broker.reviews().decide(review, decision).await;
    assert_eq!(decided.unwrap(), Decided::Yes);
}

async fn step(stack: &Stack, job: &str) -> Value {
    let outcome = stack.outcome(&JobId::parse(job).unwrap()).await.unwrap();
    serde_json::to_value(outcome).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_edited_or_rejected_artefact_is_what_the_next_step_reads() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    for (id, state, text, output) in [
        ("approved", ReviewState::Approved, None, json!("first text")),
        (
            "edited",
            ReviewState::Edited,
            Some("better"),
            json!("better"),
        ),
        ("rejected", ReviewState::Rejected, None, Value::Null),
    ] {
        let chain = begin(&stack, &publish(id, &question(), "continue")).await;
        let review = open(&stack, 1).await.remove(0);
        assert_eq!(review.id.as_str(), format!("{id}/ask"));
        assert_eq!(review.question, "Publish first text?");
        assert_eq!(review.artefact.as_deref(), Some("first text"));
        decide(&stack, &review, &decision(state, text)).await;
        let ended = outcome(&stack, &chain).await;
        assert_eq!(ended["state"], "completed", "{ended}");
        let asked = step(&stack, &format!("{id}/ask")).await;
        assert_eq!(asked["output"], output, "{asked}");
        assert_eq!(
            (&asked["attempts"], &asked["cost_usd"]),
            (&json!(0), &json!("0"))
        );
        let review = &asked["review"];
        assert_eq!(
            (&review["by"], &review["comment"], &review["edited"]),
            (&json!("ada"), &json!("because"), &json!(text.is_some()))
        );
        if state == ReviewState::Rejected {
            assert_eq!(review["decision"], "rejected");
            assert_eq!(
                (&asked["error_class"], &asked["error"]),
                (&json!("rejected"), &json!("because"))
            );
        } else {
            let published = step(&stack, &format!("{id}/publish")).await;
            let output = output.as_str().unwrap();
            assert_eq!(published["output"], format!("published {output} by ada"));
        }
    }
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_step_fails_its_chain_and_asks_again_when_it_is_replayed() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let chain = begin(&stack, &publish("no", &question(), "fail")).await;
    let first = open(&stack, 1).await.remove(0);
    decide(&stack, &first, &decision(ReviewState::Rejected, None)).await;
    assert_eq!(outcome(&stack, &chain).await["state"], "failed");
    let ran = stack.longshore(&["chain", "retry", "no"]).await.unwrap();
    expect_success(ran);
    let second = open(&stack, 1).await.remove(0);
    assert!(second.asked_at > first.asked_at);
    decide(&stack, &second, &decision(ReviewState::Approved, None)).await;
    eventually("the chain completes", || async {
        let ended = stack.broker.chains().outcome(&chain).await?;
        anyhow::ensure!(ended.is_some_and(|ended| ended.success));
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_decides_at_the_deadline() {
    let stack = stack().await;
    let (_worker, _scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    for (default, state) in [("approve", "completed"), ("reject", "failed")] {
        let mut person = question();
        person["deadline"] = json!(1);
        person["default"] = json!(default);
        let chain = begin(&stack, &publish(default, &person, "fail")).await;
        let ended = outcome(&stack, &chain).await;
        assert_eq!(ended["state"], state, "{ended}");
        let asked = step(&stack, &format!("{default}/ask")).await;
        assert_eq!(asked["review"]["by"], "deadline", "{asked}");
        assert!(asked["review"]["waited_ms"].as_u64().unwrap() >= 1000);
    }
    open(&stack, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_chain_withdraws_what_it_asks() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let chain = begin(&stack, &publish("gone", &question(), "fail")).await;
    open(&stack, 1).await;
    let ran = stack.longshore(&["chain", "cancel", "gone"]).await.unwrap();
    expect_success(ran);
    assert_eq!(outcome(&stack, &chain).await["state"], "cancelled");
    open(&stack, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_of_a_list_asks() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "items", "steps": [
            {"name": "ask", "foreach": "['a', 'b', 'c']", "min_success": 2,
             "person": {"question": "Keep {{ item }}?", "artefact": "text {{ index }}"}},
            {"name": "all", "gather": "ask",
             "prompt": "[[echo={% for one in gathered %}{{ one.output }} by {{ one.review.by }};{% endfor %}]]"},
        ]}),
    )
    .await;
    let reviews = open(&stack, 3).await;
    for review in &reviews {
        let state = if review.question == "Keep b?" {
            ReviewState::Rejected
        } else {
            ReviewState::Approved
        };
        decide(&stack, review, &decision(state, None)).await;
    }
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["output"], "text 0 by ada;text 2 by ada;", "{ended}");
}

/// What `review list` knows of the reviews that ended or are open, once the ledger has it.
async fn listed(stack: &Stack, count: usize) -> Vec<Value> {
    eventually("the ledger has the reviews", || async {
        let list = ["review", "list", "--state", "all", "--format", "json"];
        let rows: Vec<Value> =
            serde_json::from_str(&expect_success(stack.longshore(&list).await?))?;
        let ended = rows.iter().filter(|row| row["state"] != "awaiting").count();
        anyhow::ensure!(ended == count, "{rows:?}");
        Ok(rows)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_people_press_at_once_and_one_decides() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let chain = begin(&stack, &publish("press", &question(), "continue")).await;
    open(&stack, 1).await;
    let people: Vec<(String, &str)> = (0..10)
        .map(|at| {
            (
                format!("p{at}"),
                if at % 2 == 0 { "approve" } else { "reject" },
            )
        })
        .collect();
    let pressed = people.iter().map(|(name, act)| {
        let (stack, act) = (&stack, *act);
        async move {
            let words = [
                "review",
                act,
                "press/ask",
                "--by",
                name,
                "--comment",
                "mine",
            ];
            stack.longshore(&words).await.unwrap()
        }
    });
    let ran = futures::future::join_all(pressed).await;
    let won: Vec<usize> = (0..10).filter(|at| ran[*at].code == Some(0)).collect();
    assert_eq!(won.len(), 1, "{ran:?}");
    let (winner, act) = &people[won[0]];
    for (at, lost) in ran.iter().enumerate().filter(|(at, _)| *at != won[0]) {
        assert_eq!(lost.code, Some(1), "{at}");
        assert!(lost.stderr.contains(&format!("by {winner}")), "{lost:?}");
    }
    assert_eq!(outcome(&stack, &chain).await["state"], "completed");
    let asked = step(&stack, "press/ask").await;
    assert_eq!(asked["review"]["by"], json!(winner));
    // Whoever repeats a decision hears that it counts.
    let again = ["review", act, "press/ask", "--by", winner];
    let again = expect_success(stack.longshore(&again).await.unwrap());
    assert!(again.contains("already"), "{again}");
    let rows = listed(&stack, 1).await;
    assert_eq!((rows.len(), &rows[0]["decided_by"]), (1, &json!(winner)));
    let audit = expect_success(stack.longshore(&["audit"]).await.unwrap());
    assert!(
        audit.contains("review approve") && !audit.contains("mine"),
        "{audit}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_twice_when_workers_and_schedulers_are_killed() {
    let receiver = WebhookReceiver::start().await;
    let stack = Stack::start(Options {
        env: vec![("WEBHOOK_SECRET".to_owned(), format!("whsec_{SECRET}"))],
        ..Options::default()
    })
    .await
    .unwrap();
    let hook = &receiver.url;
    stack
        .config_yaml(&format!(
            "simulator_url: {}\nwebhooks: {{hosts: [\"{hook}\"], secret: \"${{WEBHOOK_SECRET}}\"}}\n\
             alerts: {{webhook: \"{hook}/alerts\"}}\n",
            stack.simulator.url()
        ))
        .unwrap();
    let (mut worker, mut scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    let mut person = question();
    person["deadline"] = json!("1h");
    person["default"] = json!("reject");
    let chain = begin(&stack, &publish("killed", &person, "fail")).await;
    let review = open(&stack, 1).await.remove(0);
    eventually("the alert arrives", || async {
        anyhow::ensure!(receiver.received.lock().unwrap().len() == 1);
        Ok(())
    })
    .await
    .unwrap();
    worker.kill().unwrap();
    scheduler.kill().unwrap();
    // Between question and decision, and after it, others take over.
    let (mut worker, _scheduler) = (stack.worker().unwrap(), stack.scheduler().unwrap());
    stack
        .longshore(&["jobs", "run-now", "killed/ask"])
        .await
        .unwrap();
    assert_eq!(open(&stack, 1).await, [review]);
    worker.kill().unwrap();
    let approve = ["review", "approve", "killed/ask", "--by", "ada"];
    expect_success(stack.longshore(&approve).await.unwrap());
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["output"], "published first text by ada", "{ended}");
    let rows = listed(&stack, 1).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    let received = receiver.received.lock().unwrap().clone();
    assert_eq!(received.len(), 1, "{received:?}");
    let data = &received[0].1["data"];
    assert_eq!(received[0].1["type"], "review.asked");
    assert_eq!(
        (&data["id"], &data["question"], &data["asks"]),
        (
            &json!("killed/ask"),
            &json!("Publish first text?"),
            &json!("editors")
        )
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_say_who_is_waited_for() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    begin(&stack, &publish("why", &question(), "fail")).await;
    open(&stack, 1).await;
    let cli = async |words: &[&str]| expect_success(stack.longshore(words).await.unwrap());
    let waits =
        "waits for a person (editors): Publish first text? (`longshore review show why/ask`)";
    let why = cli(&["jobs", "why", "why/ask"]).await;
    assert!(why.contains(waits), "{why}");
    let shown = cli(&["jobs", "show", "why/ask"]).await;
    assert!(shown.contains("waits for a person"), "{shown}");
    let shown = cli(&["review", "show", "why/ask"]).await;
    for part in [
        "Publish first text?",
        "--- artefact",
        "--- draft (",
        "editors",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let unknown = stack
        .longshore(&["review", "approve", "nobody"])
        .await
        .unwrap();
    assert_eq!(unknown.code, Some(1));
    assert!(
        unknown.stderr.contains("1 open review: why/ask"),
        "{unknown:?}"
    );
    cli(&["review", "reject", "why/ask", "--comment", "no"]).await;
    eventually("the chain fails", || async {
        let show = ["chain", "log", "why"];
        let log = expect_success(stack.longshore(&show).await?);
        anyhow::ensure!(log.contains("Asks editors"), "{log}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_asks_and_nothing_readable_is_stored_with_keys() {
    let mut stack = stack().await;
    stack.set_env(
        "LONGSHORE_KEY_1",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    );
    stack
        .config_yaml(&format!(
            r#"simulator_url: {}
encryption: {{keys: {{k1: "${{LONGSHORE_KEY_1}}"}}, current: k1}}
recipes:
  approved:
    parameters: {{ wait: 1h }}
    answer: ask
    steps:
      - name: draft
        prompt: "{{{{ job.prompt }}}}"
      - name: ask
        needs: [draft]
        person:
          question: "Publish {{{{ steps.draft.output }}}}, asked as {{{{ job.metadata.name }}}}?"
          artefact: "{{{{ steps.draft.output }}}}"
          deadline: "{{{{ parameters.wait }}}}"
          default: reject
"#,
            stack.simulator.url()
        ))
        .unwrap();
    let _worker = stack.worker().unwrap();
    let job = json!({"recipe": "approved", "prompt": "[[echo=quokka]]", "metadata": {"name": "zephyr"}, "reply": true});
    let job = stack.xadd(&[("job", &job.to_string())]).await.unwrap();
    let rows: Vec<Value> = eventually("somebody is asked", || async {
        let list = ["review", "list", "--format", "json"];
        let rows: Vec<Value> =
            serde_json::from_str(&expect_success(stack.longshore(&list).await?))?;
        anyhow::ensure!(rows.len() == 1);
        Ok(rows)
    })
    .await
    .unwrap();
    assert_eq!(rows[0]["question"], "Publish quokka, asked as zephyr?");
    assert!(rows[0]["deadline"].is_string(), "{rows:?}");
    stack.recorded().await.unwrap();
    for content in [redis_content(&stack).await, postgres_content(&stack).await] {
        for word in ["quokka", "zephyr"] {
            assert!(!content.contains(word), "{word}");
        }
    }
    let id = rows[0]["id"].as_str().unwrap();
    let approve = ["review", "approve", id, "--comment", "zephyr"];
    expect_success(stack.longshore(&approve).await.unwrap());
    let wait = ["jobs", "wait", job.as_str(), "--format", "json"];
    let ended = expect_success(stack.longshore(&wait).await.unwrap());
    assert!(ended.contains("quokka"), "{ended}");
    let rows = listed(&stack, 1).await;
    assert_eq!(rows[0]["comment"], "zephyr");
    assert!(!postgres_content(&stack).await.contains("zephyr"));
}

//! The log of a job and of a chain: everything that happened, in order of time.

use longshore_protocol::id::JobId;
use longshore_tests::stack::{Options, Stack, eventually, expect_success};
use serde_json::{Value, json};

use crate::simulated::{Model, SimulatedProvider, config_yaml};

/// The parts are in the text, in this order.
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let found = rest.split_once(part);
        assert!(found.is_some(), "no {part:?} (in this place) in {text}");
        rest = found.map_or("", |(_, after)| after);
    }
}

async fn log(stack: &Stack, kind: &str, id: &str) -> String {
    stack.recorded().await.unwrap();
    expect_success(stack.longshore(&[kind, "log", id]).await.unwrap())
}

async fn document(stack: &Stack, kind: &str, id: &str) -> Value {
    let arguments = [kind, "log", id, "--format", "json"];
    let text = expect_success(stack.longshore(&arguments).await.unwrap());
    serde_json::from_str(&text).unwrap()
}

fn events(job: &Value) -> Vec<&str> {
    let events = job["events"].as_array().unwrap().iter();
    events
        .map(|event| event["event"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_fallback_has_each_attempt_with_its_reason() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let providers = [
        SimulatedProvider::unlimited("a", Model::Cheap),
        SimulatedProvider::unlimited("b", Model::Dear),
    ];
    let yaml = config_yaml(&stack, &providers, "retry: {base_delay: 10ms, jitter: 0ms}");
    stack.config_yaml(&yaml).unwrap();
    let _worker = stack.worker().unwrap();
    let prompt = "[[fail_first=1:400]] [[echo=```\n# Berlin]]";
    let job = json!({"id": "inv-42", "prompt": prompt, "tenant": "acme"});
    stack.enqueue(&[job.to_string()]).await.unwrap();
    let outcome = stack.outcome(&JobId::parse("inv-42").unwrap()).await;
    assert_eq!(outcome.unwrap().attempts, 2);
    let text = log(&stack, "jobs", "inv-42").await;
    in_order(
        &text,
        &[
            "# Job `inv-42`\n",
            "- State: completed\n",
            "- Tenant: acme\n",
            "## Log\n",
            "**Enqueued**: a job of type ",
            "    ````text\n    [[fail_first=1:400]]",
            "**Attempt**: number 1 on a (gpt-4o-mini): failed after ",
            "  - Chosen: ",
            "  - Error class ",
            ", HTTP 400\n",
            "**Attempt**: number 2 on b (gpt-4o): completed after ",
            "  - Fallback from a, after a wait of ",
            "**Ended**: completed after 2 attempts, total cost $",
            "    ````text\n    ```\n    # Berlin\n    ````",
        ],
    );
    let document = document(&stack, "jobs", "inv-42").await;
    assert_eq!(
        events(&document),
        ["enqueued", "attempt", "attempt", "ended"]
    );
    assert_eq!(document["record"]["history"][0]["status"], 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_has_its_steps_in_order_the_skipped_ones_with_the_reason() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let step = |name: &str, rest: Value| {
        let mut step = json!({"name": name, "prompt": "[[echo=no]]", "fallback": false});
        let members = step.as_object_mut().unwrap();
        members.extend(rest.as_object().unwrap().clone());
        step
    };
    let chain = json!({"id": "linked", "name": "weekly", "steps": [
        step("first", json!({})),
        step("never", json!({"needs": ["first"], "when": "steps.first.output == 'yes'"})),
        step("broken", json!({"needs": ["first"], "prompt": "[[status=400]]"})),
        step("after", json!({"needs": ["broken"]})),
    ]});
    stack.write("chain.json", &chain.to_string()).unwrap();
    let ran = stack
        .longshore(&["chain", "run", "chain.json"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let text = log(&stack, "chain", "linked").await;
    in_order(
        &text,
        &[
            "# Chain `linked`\n\n- Name: weekly\n- State: failed\n",
            "- Steps: 4; 1 completed, 1 failed, 2 skipped, 0 cancelled\n",
            "## Step `first`: completed\n",
            "### Job `linked/first`\n",
            "**Ended**: completed after 1 attempt, total cost $",
            "## Step `never`: skipped\n\n- Needs: `first`\n- Runs when: `steps.first.output == 'yes'`\n\
             - Skipped: its condition was false\n",
            "## Step `broken`: failed\n",
            "**Attempt**: number 1 on ",
            "): failed after ",
            "**Ended**: discarded after 1 attempt",
            "## Step `after`: skipped\n\n- Needs: `broken`\n- Skipped: `broken` was not successful",
        ],
    );
    let document = document(&stack, "chain", "linked").await;
    let jobs = document["jobs"].as_array().unwrap();
    let broken = jobs
        .iter()
        .find(|job| job["id"] == "linked/broken")
        .unwrap();
    let seen = events(broken);
    assert!(
        seen.contains(&"attempt") && seen.contains(&"dead_letter"),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_dead_letter_has_both_of_its_lives() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let submit = [
        "submit",
        "-p",
        "[[status=400]]",
        "--id",
        "twice",
        "--no-fallback",
    ];
    stack.longshore(&submit).await.unwrap();
    expect_success(stack.longshore(&["dlq", "replay", "twice"]).await.unwrap());
    let job = JobId::parse("twice").unwrap();
    eventually("it has failed again", || async {
        let outcome = stack.outcome(&job).await?;
        anyhow::ensure!(outcome.attempts == 2, "{outcome:?}");
        Ok(())
    })
    .await
    .unwrap();
    let text = log(&stack, "jobs", "twice").await;
    in_order(
        &text,
        &[
            "**Attempt**: number 1 on ",
            "**Dead letter**: ",
            "**Dead letter replayed**: ",
            "**Attempt**: number 2 on ",
            "  - Retry, after a wait of ",
            "**Dead letter**: ",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_id_is_the_error_of_show() {
    let stack = Stack::start(Options::default()).await.unwrap();
    for kind in ["jobs", "chain"] {
        let shown = stack.longshore(&[kind, "show", "nobody"]).await.unwrap();
        let logged = stack.longshore(&[kind, "log", "nobody"]).await.unwrap();
        assert_eq!(logged.code, Some(1), "{}", logged.stderr);
        assert_eq!((logged.stderr, logged.stdout), (shown.stderr, shown.stdout));
    }
}

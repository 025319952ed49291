//! Steps that ask several models at once, merges of their answers, and steps that another model must do.

use std::fmt::Write as _;

use longshore_protocol::id::JobId;
use longshore_simulator::{Dialect, Faults};
use longshore_tests::stack::{Options, Stack};
use serde_json::{Value, json};

use super::{begin, outcome};

/// A stack with three platforms, cheapest first.
pub(super) async fn three_platforms() -> Stack {
    three_platforms_with("").await
}

/// The same, with more configuration.
pub(super) async fn three_platforms_with(more: &str) -> Stack {
    platforms_with(3, more).await
}

/// A stack with the first of four platforms and more configuration.
pub(super) async fn platforms_with(count: usize, more: &str) -> Stack {
    platforms_of_tiers(["standard"; 4].get(..count).unwrap(), more).await
}

/// A stack with a platform of each of these tiers, and more configuration.
pub(super) async fn platforms_of_tiers(tiers: &[&str], more: &str) -> Stack {
    let stack = Stack::start(Options::default()).await.unwrap();
    let (mut providers, mut models) = (String::new(), String::new());
    for ((name, model, (input, output)), tier) in [
        ("small", "gpt-4o-mini", ("0.15", "0.60")),
        ("medium", "gpt-4.1-mini", ("0.40", "1.60")),
        ("large", "gpt-4o", ("2.5", "10")),
        ("huge", "gpt-4.1", ("2", "8")),
    ]
    .into_iter()
    .zip(tiers)
    {
        let url = stack.simulator.base_url(name, Dialect::Openai);
        writeln!(
            providers,
            "  {name}: {{dialect: openai, base_url: \"{url}\", api_key: k, default_model: {model}}}"
        )
        .unwrap();
        writeln!(
            models,
            "  - {{provider: {name}, model: {model}, tier: {tier}, context_window: 128000, \
             max_output_tokens: 16384, input_per_million: \"{input}\", output_per_million: \"{output}\"}}"
        )
        .unwrap();
    }
    let keywords = "routing:\n  keywords:\n    - {category: colours, words: [paint], platforms: [large, small]}\n";
    stack
        .config_yaml(&format!(
            "providers:\n{providers}models:\n{models}{keywords}{more}"
        ))
        .unwrap();
    stack
}

pub(super) fn fail(stack: &Stack, platform: &str) {
    let fails = Faults {
        rate_500: 1.0,
        ..Faults::default()
    };
    stack.simulator.set_faults(Some(platform), fails).unwrap();
}

/// The outcome of a step's job.
async fn step(stack: &Stack, job: &str) -> Value {
    let outcome = stack.outcome(&JobId::parse(job).unwrap()).await.unwrap();
    serde_json::to_value(outcome).unwrap()
}

/// The platforms of the merged answers, each with whether it succeeded.
fn platforms(outcome: &Value) -> Vec<(String, bool)> {
    let answers = outcome.pointer("/merged/answers").unwrap();
    let platform = |answer: &Value| answer["platform"].as_str().unwrap().to_owned();
    let answers = answers.as_array().unwrap().iter();
    answers
        .map(|answer| (platform(answer), answer["success"] == true))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_outlives_a_model_that_fails() {
    let stack = three_platforms().await;
    fail(&stack, "small");
    let chain = begin(
        &stack,
        &json!({"id": "vote", "steps": [
            {"name": "label", "models": "all", "merge": "vote", "retry": {"max_retries": 0}, "prompt": "[[echo=Spam.]]"},
            {"name": "next", "needs": ["label"],
             "prompt": "[[echo={{ steps.label.output }} {{ steps.label.answers | length }} {{ steps.label_models.outputs | length }}]]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    let label = step(&stack, "vote/label").await;
    assert_eq!(
        (
            &label["output"],
            &label["attempts"],
            &label["merged"]["agreed"]
        ),
        (&json!("Spam."), &json!(0), &json!(2))
    );
    assert_eq!(label["merged"]["explanation"], "2 of 2 answers agree");
    let asked = [("small", false), ("medium", true), ("large", true)];
    assert_eq!(
        platforms(&label),
        asked.map(|(name, ok)| (name.to_owned(), ok))
    );
    let failed = &label["merged"]["answers"][0];
    assert_eq!(
        (&failed["error_class"], &failed["output"]),
        (&json!("overloaded"), &Value::Null)
    );
    assert_eq!(step(&stack, "vote/next").await["output"], "Spam. 3 2");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_cancels_the_other_calls() {
    let stack = three_platforms().await;
    for slow in ["small", "large"] {
        let hangs = Faults {
            latency_ms: Some(600_000),
            ..Faults::default()
        };
        stack.simulator.set_faults(Some(slow), hangs).unwrap();
    }
    let chain = begin(
        &stack,
        &json!({"id": "race", "steps": [
            {"name": "quick", "models": 3, "merge": "first", "prompt": "[[echo=done]]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(
        (&ended["state"], &ended["output"], &ended["platform"]),
        (&json!("completed"), &json!("done"), &json!("medium")),
        "{ended}"
    );
    assert_eq!(
        (
            &ended["completed"],
            &ended["cancelled"],
            &ended["failed"],
            &ended["errors"]
        ),
        (&json!(2), &json!(2), &json!(0), &json!([]))
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_judges_or_combines_the_answers() {
    let stack = three_platforms().await;
    let chain = begin(
        &stack,
        &json!({"id": "judged", "steps": [
            {"name": "best", "models": ["large", "small"], "prompt": "Name a colour.",
             "merge": {"by": "best_of", "rubric": "Short. [[echo={\"best\": 2, \"scores\": [3, 9], \"reason\": \"short\"}]]",
                       "judge": {"platform": "medium"}}},
            {"name": "text", "models": {"category": "colours"}, "prompt": "Name a paint.",
             "merge": {"by": "synthesize", "instructions": "[[echo=both]]", "judge": {"model": "gpt-4.1-mini"}}},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    let best = step(&stack, "judged/best").await;
    let answers = &best["merged"]["answers"];
    assert_eq!(best["output"], answers[1]["output"]);
    assert_eq!(answers[1]["platform"], "small");
    assert_eq!(
        (
            &best["merged"]["chosen"],
            &best["merged"]["explanation"],
            &best["platform"]
        ),
        (&json!(1), &json!("scores [3,9]: short"), &json!("medium"))
    );
    let text = step(&stack, "judged/text").await;
    assert_eq!(
        (&text["output"], &text["merged"]["chosen"]),
        (&json!("both"), &Value::Null)
    );
    let asked = [("large", true), ("small", true)];
    assert_eq!(
        platforms(&text),
        asked.map(|(name, ok)| (name.to_owned(), ok))
    );
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(
        books.invoice.len(),
        6,
        "two answers and one judge for each step"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_reviews_or_the_step_says_that_there_is_none() {
    let stack = three_platforms().await;
    let chain = begin(
        &stack,
        &json!({"id": "review", "steps": [
            {"name": "draft", "prompt": "Write a text."},
            {"name": "check", "needs": ["draft"], "not_by": "draft", "prompt": "Check: {{ steps.draft.output }}"},
            {"name": "again", "needs": ["check"], "not_by": {"model": ["draft", "check"]}, "prompt": "Check once more."},
            {"name": "none", "needs": ["again"], "not_by": ["draft", "check", "again"], "on_failure": "continue", "prompt": "Check."},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    for (job, platform) in [("draft", "small"), ("check", "medium"), ("again", "large")] {
        let done = step(&stack, &format!("review/{job}")).await;
        assert_eq!(done["platform"], platform);
    }
    let none = step(&stack, "review/none").await;
    assert_eq!(none["error_class"], "no_other_model");
    assert_eq!(
        none["error"],
        "no other platform can answer: `not_by` leaves out large/gpt-4o, medium/gpt-4.1-mini, small/gpt-4o-mini"
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_models_or_answers_are_an_error_by_name() {
    let stack = three_platforms().await;
    fail(&stack, "small");
    let chain = begin(
        &stack,
        &json!({"id": "few", "steps": [
            {"name": "four", "models": 4, "on_failure": "continue", "prompt": "x"},
            {"name": "unknown", "models": {"category": "music"}, "on_failure": "continue", "prompt": "x"},
            {"name": "code", "models": ["medium", "small"], "merge": "code", "on_failure": "continue",
             "retry": {"max_retries": 0}, "prompt": "[[echo=no code]]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    let mut errors = Vec::new();
    for job in ["few/four", "few/unknown", "few/code"] {
        errors.push(
            step(&stack, job).await["error"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    insta::assert_snapshot!(errors.join("\n"), @r"
    the step asks 4 models of different platforms, but only 3 can answer: small/gpt-4o-mini, medium/gpt-4.1-mini, large/gpt-4o
    there is no category `music`; expected auto or one of frontend, backend, devops, scripts, data, architecture, colours
    step `code`: no answer has a block of code; gpt-4o-mini: small: Down or overloaded (HTTP 500). The server had an error while processing your request. Sorry about that!. No other platform was tried, because `fallback` is false
    ");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_changes_nothing_about_a_merge() {
    let mut stack = three_platforms().await;
    stack.set_env("LONGSHORE_CONCURRENCY", "20");
    let slow = Faults {
        latency_ms: Some(150),
        jitter_ms: Some(300),
        ..Faults::default()
    };
    stack.simulator.set_faults(None, slow).unwrap();
    let mut chains = Vec::new();
    for number in 0..30 {
        let merge = match number % 3 {
            0 => "vote",
            1 => "first",
            _ => "longest",
        };
        chains.push(
            begin(
                &stack,
                &json!({"id": format!("kill-{number}"), "steps": [
                    {"name": "ask", "models": 3, "merge": merge, "prompt": format!("[[echo=answer {number}]]")},
                    {"name": "end", "needs": ["ask"], "not_by": {"model": "ask_models"}, "on_failure": "continue",
                     "prompt": "x"},
                ]}),
            )
            .await,
        );
    }
    let _scheduler = stack.scheduler().unwrap();
    let mut worker = stack.worker().unwrap();
    // With a third kill, a job may have seen three.
    for _ in 0..2 {
        stack.wait_for_calls(15).await.unwrap();
        // It is killed when it is dropped.
        drop(worker);
        worker = stack.worker().unwrap();
    }
    for (number, chain) in chains.iter().enumerate() {
        let ended = outcome(&stack, chain).await;
        assert_eq!(ended["state"], "completed", "{ended}");
        let ask = step(&stack, &format!("kill-{number}/ask")).await;
        assert_eq!(ask["output"], format!("answer {number}"));
    }
    stack.books().await.unwrap().balance();
}

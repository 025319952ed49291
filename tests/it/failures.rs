//! What follows an answer that cannot be used, and a request that a platform rejects.

use std::collections::BTreeSet;

use longshore_protocol::state::JobState;
use longshore_tests::stack::{Options, Stack};
use serde_json::{Value, json};

use crate::simulated::{Model, SimulatedProvider, config_yaml, outcome};

const QUICK: &str = "retry: {base_delay: 10ms, max_delay: 20ms, jitter: 0ms}";

/// Three platforms and a worker.
async fn three(rest: &str) -> Stack {
    let stack = Stack::start(Options::default()).await.unwrap();
    let providers = [
        SimulatedProvider::unlimited("a", Model::Cheap),
        // Of equal prices, the later comes first.
        SimulatedProvider::unlimited("c", Model::Dear),
        SimulatedProvider::unlimited("b", Model::Dear),
    ];
    let yaml = config_yaml(&stack, &providers, rest);
    stack.config_yaml(&yaml).unwrap();
    stack
}

/// A job whose answer must be an object with a number.
fn structured(answer: &str) -> Value {
    let schema = json!({"type": "object", "required": ["score"], "properties": {"score": {"type": "number"}}});
    json!({
        "prompt": format!("[[echo={answer}]]"),
        "response_format": {"type": "json_schema", "json_schema": {"name": "score", "schema": schema}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_one_platform_rejects_goes_to_the_next() {
    let stack = three(QUICK).await;
    let _worker = stack.worker().unwrap();
    for status in [400, 404, 405, 413, 422] {
        let prompt = format!("[[fail_first=1:{status}]] once");
        let outcome = outcome(&stack, &json!({"prompt": prompt})).await;
        assert_eq!(outcome.state, JobState::Completed, "{status}: {outcome:?}");
        assert_eq!(outcome.platform.as_deref(), Some("b"), "{status}");
        assert_eq!(outcome.attempts, 2, "{status}");
    }
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_the_wrong_form_is_asked_for_once_more_with_its_fault() {
    let stack = three(QUICK).await;
    let _worker = stack.worker().unwrap();
    let outcome = outcome(&stack, &structured(r#"{"points": 3}"#)).await;
    assert_eq!(outcome.state, JobState::Discarded, "{outcome:?}");
    assert_eq!(outcome.error_class.as_deref(), Some("bad_output"));
    let books = stack.books().await.unwrap();
    books.balance();
    let [first, second] = &*books.invoice else {
        panic!("{} calls were billed", books.invoice.len());
    };
    assert_eq!((&*first.provider, &*second.provider), ("a", "a"));
    assert!(
        second.input_tokens > first.input_tokens + 20,
        "the second call says what was wrong: {first:?}, {second:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_answers_cut_off_are_tried_on_one_other_model() {
    let stack = three(QUICK).await;
    let _worker = stack.worker().unwrap();
    let mut cut_off = structured(r#"{"score": 3}"#);
    cut_off["max_tokens"] = json!(1);
    let no_text = json!({"prompt": "[[echo=          ]]", "max_tokens": 1});
    for (job, class) in [
        (json!({"prompt": "[[refuse]] hello"}), "refused"),
        (cut_off, "bad_output"),
        (no_text, "bad_output"),
    ] {
        let outcome = outcome(&stack, &job).await;
        assert_eq!(outcome.error_class.as_deref(), Some(class), "{outcome:?}");
        assert_eq!(outcome.attempts, 2, "{outcome:?}");
    }
    let books = stack.books().await.unwrap();
    books.balance();
    let providers: BTreeSet<&str> = books.invoice.iter().map(|bill| &*bill.provider).collect();
    assert_eq!(providers, BTreeSet::from(["a", "b"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cut_off_before_any_text_is_asked_for_once_more_with_a_larger_limit() {
    let stack = three(QUICK).await;
    let _worker = stack.worker().unwrap();
    // A token has four characters.
    let late = json!({"prompt": "[[echo=    late]] x", "max_tokens": 1, "platform": "c"});
    let mended = outcome(&stack, &late).await;
    assert_eq!(mended.state, JobState::Completed, "{mended:?}");
    assert_eq!(mended.platform.as_deref(), Some("c"));
    assert_eq!(mended.attempts, 2);
    let raised =
        "`max_tokens` was raised to 2: an answer reached the limit before it could be used";
    assert_eq!(mended.warnings, [raised]);

    let never = json!({"prompt": "[[echo=            ]] x", "max_tokens": 1, "platform": "c"});
    let hopeless = outcome(&stack, &never).await;
    assert_eq!(hopeless.attempts, 2, "{hopeless:?}");
    let error = hopeless.error.unwrap();
    assert!(
        error.ends_with("Tried: c, with `max_tokens` raised to 2"),
        "{error}"
    );
    let books = stack.books().await.unwrap();
    books.balance();
    let tokens: Vec<u64> = books
        .invoice
        .iter()
        .map(|bill| bill.output_tokens.into())
        .collect();
    assert_eq!(tokens, [1, 2, 1, 2]);
    assert!(books.invoice.iter().all(|bill| bill.provider == "c"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_limit_has_to_be_paid_for() {
    let stack = three(QUICK).await;
    let _worker = stack.worker().unwrap();
    // The first call costs up to $0.0101, and cost $0.01; what is left does not pay for more than 1,000 tokens.
    let dear = json!({
        "prompt": "[[tokens=1,1000]] [[length]] [[echo=    ]]",
        "max_tokens": 1000, "platform": "c", "fallback": false, "max_cost_usd": "0.015",
    });
    let ended = outcome(&stack, &dear).await;
    assert_eq!(ended.state, JobState::Discarded, "{ended:?}");
    assert_eq!(ended.attempts, 1, "{ended:?}");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_repairs_a_job_ends_with_the_first_answer_that_cannot_be_used() {
    let rest = "retry: {max_repairs: 0}";
    let stack = three(rest).await;
    let _worker = stack.worker().unwrap();
    for job in [structured("none"), json!({"prompt": "[[refuse]] hello"})] {
        let outcome = outcome(&stack, &job).await;
        assert_eq!(
            (outcome.state, outcome.attempts),
            (JobState::Discarded, 1),
            "{outcome:?}"
        );
    }
    stack.books().await.unwrap().balance();
}

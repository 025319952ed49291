//! The shortest path: one Redis command in, an answer and a recorded cost out.

use longshore_protocol::{money::Usd, state::JobState};
use longshore_tests::stack::{Options, Stack};

#[tokio::test(flavor = "multi_thread")]
async fn one_xadd_gives_an_answer_and_a_recorded_cost() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let id = stack
        .xadd(&[("job", r#"{"prompt":"hello"}"#)])
        .await
        .unwrap();

    let outcome = stack.outcome(&id).await.unwrap();
    assert_eq!(outcome.state, JobState::Completed, "{outcome:?}");
    assert!(
        outcome
            .output
            .as_ref()
            .is_some_and(|output| output.contains("hello")),
        "{outcome:?}"
    );

    stack.books().await.unwrap().balance();
    let history = stack.ledger.job(&id).await.unwrap().expect("a row in jobs");
    assert_eq!(history.row.job.state, JobState::Completed);
    let [attempt] = history.history.as_slice() else {
        panic!("one attempt, not {:?}", history.history)
    };
    assert!(attempt.usage.input > 0 && attempt.usage.output > 0);
    assert_eq!(Some(outcome.cost_usd), attempt.cost_usd);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_usage_or_with_an_impossible_one_is_charged_by_our_own_count() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    for reported in ["0,0", "4294967295,7", "7,4294967295"] {
        let prompt = format!("[[tokens={reported}]] Say hello.");
        let id = stack
            .xadd(&[("prompt", &prompt), ("platform", "openai")])
            .await
            .unwrap();
        let outcome = stack.outcome(&id).await.unwrap();
        assert!(outcome.success, "{outcome:?}");
        assert!(outcome.cost_estimated, "{outcome:?}");
        assert!(outcome.cost_usd > Usd::ZERO, "{outcome:?}");
        for tokens in [outcome.input_tokens, outcome.output_tokens] {
            assert!((1..1000).contains(&tokens), "{outcome:?}");
        }
        stack.recorded().await.unwrap();
        let recorded = stack.ledger.job(&id).await.unwrap().unwrap();
        assert!(recorded.history[0].usage_estimated);
        assert_eq!(recorded.history[0].cost_usd, Some(outcome.cost_usd));
    }
}

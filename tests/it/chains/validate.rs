//! Steps that check the answer of another step, and steps that ask for a part of their answer.

use std::path::Path;

use longshore_protocol::id::JobId;
use longshore_simulator::Script;
use longshore_tests::stack::Stack;
use serde_json::{Value, json};

use super::{
    begin,
    models::{three_platforms, three_platforms_with},
    outcome,
};

async fn step(stack: &Stack, job: &str) -> Value {
    let outcome = stack.outcome(&JobId::parse(job).unwrap()).await.unwrap();
    serde_json::to_value(outcome).unwrap()
}

fn script(stack: &Stack, rules: &str) {
    let script = Script::read(Path::new("script.yaml"), rules).unwrap();
    stack.simulator.set_script(script);
}

/// The calls of each rule, in order.
fn calls(stack: &Stack) -> Vec<u64> {
    let report = stack.simulator.script();
    report.rules.iter().map(|rule| rule.calls).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_checked_before_a_model_is_asked() {
    let stack = three_platforms().await;
    let chain = begin(
        &stack,
        &json!({"id": "rules", "steps": [
            {"name": "draft", "prompt": "[[echo={\"city\": \"Lima\"}]]"},
            {"name": "good", "validate": {"of": "draft", "checks": [
                {"json_schema": {"type": "object", "required": ["city"]}}, {"matches": "Lima"}, {"not_matches": "TODO"},
                {"min_length": 5}, {"max_length": 100}]}},
            {"name": "bad", "prompt": "Name a city.", "validate": {"of": "draft", "checks": [
                {"json_schema": {"type": "object", "required": ["country"]}}, {"matches": "Quito"}, {"not_matches": "L.ma"},
                {"min_length": 500}, {"max_length": 2}]}},
            {"name": "after", "needs": ["good", "bad"], "when": "steps.good.validation.verdict == 'approve'",
             "prompt": "[[echo={{ steps.bad.validation.verdict }}: {{ steps.bad.validation.reasons | join('; ') }}]]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(
        (&ended["state"], &ended["attempts"]),
        (&json!("completed"), &json!(2)),
        "{ended}"
    );
    let good = step(&stack, "rules/good").await;
    assert_eq!(
        good["validation"],
        json!({"verdict": "approve", "score": null, "reasons": [], "needs_human_review": false})
    );
    let verdict: Value = serde_json::from_str(good["output"].as_str().unwrap()).unwrap();
    assert_eq!(verdict, good["validation"]);
    insta::assert_snapshot!(ended["output"].as_str().unwrap(), @r#"reject: it does not match the schema: "country" is a required property; it does not match `Quito`; it matches `L.ma` in line 1; it has 16 characters; expected at least 500; it has 16 characters; expected at most 2"#);
    stack.books().await.unwrap().balance();
}

/// A chain whose draft a model checks.
fn checked(id: &str) -> Value {
    json!({"id": id, "steps": [
        {"name": "draft", "prompt": "Write a text."},
        {"name": "check", "not_by": "draft", "prompt": "Write a text.",
         "validate": {"of": "draft", "rubric": "Short."}, "retry": {"max_retries": 1}},
    ]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_that_answers_nonsense_is_asked_once_more() {
    let stack = three_platforms().await;
    script(
        &stack,
        r#"
rules:
  - name: check
    when: {prompt_contains: "<answer>"}
    then:
      - {answer: "It is fine.", times: 1}
      - {answer: '{"verdict": "needs_revision", "score": 6.5, "reasons": ["too long"], "needs_human_review": false}', times: 1}
      - {answer: "It is fine."}
"#,
    );
    let _worker = stack.worker().unwrap();
    let chain = begin(&stack, &checked("once")).await;
    assert_eq!(outcome(&stack, &chain).await["state"], "completed");
    let once = step(&stack, "once/check").await;
    assert_eq!(
        once["validation"],
        json!({"verdict": "needs_revision", "score": 6.5, "reasons": ["too long"], "needs_human_review": false})
    );
    assert_eq!(once["platform"], "medium", "`small` wrote the draft");
    let chain = begin(&stack, &checked("never")).await;
    assert_eq!(outcome(&stack, &chain).await["state"], "completed");
    let never = step(&stack, "never/check").await;
    assert_eq!(
        (
            &never["validation"]["verdict"],
            &never["validation"]["needs_human_review"],
            &never["attempts"]
        ),
        (&json!("needs_revision"), &json!(true), &json!(2)),
        "{never}"
    );
    assert_eq!(calls(&stack), [4]);
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn validators_that_disagree_ask_for_a_person() {
    let stack = three_platforms().await;
    script(
        &stack,
        r#"
rules:
  - name: yes
    when: {prompt_contains: "<answer>", provider: medium}
    then: [{answer: '{"verdict": "approve", "score": 9, "reasons": [], "needs_human_review": false}'}]
  - name: no
    when: {prompt_contains: "<answer>", provider: large}
    then: [{answer: '{"verdict": "reject", "score": 2, "reasons": ["wrong"], "needs_human_review": false}'}]
"#,
    );
    let chain = begin(
        &stack,
        &json!({"id": "two", "steps": [
            {"name": "draft", "prompt": "Write a text."},
            {"name": "check", "models": 2, "not_by": "draft", "prompt": "Write a text.", "validate": {"of": "draft"}},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    let check = step(&stack, "two/check").await;
    assert_eq!(
        check["validation"],
        json!({"verdict": "needs_revision", "score": 5.5, "reasons": ["gpt-4o: wrong"], "needs_human_review": true})
    );
    assert_eq!(check["merged"]["by"], "verdicts");
    stack.books().await.unwrap().balance();
}

/// A recipe that writes again, with the reasons of the last round, until the check approves.
const REVISED: &str = r#"
recipes:
  written:
    answer: draft
    steps:
      - name: draft
        prompt: "Write.{% if last %} Mind: {{ last.check.validation.reasons | join(', ') }}{% endif %}"
      - name: check
        prompt: "{{ job.prompt }}"
        on_failure: continue
        validate: { of: draft, rubric: "{{ job.metadata.rubric }}" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_writes_again_until_the_check_approves() {
    let stack = three_platforms_with(REVISED).await;
    script(
        &stack,
        r#"
rules:
  - name: check
    when: {prompt_contains: "<answer>"}
    then:
      - {answer: '{"verdict": "reject", "score": 1, "reasons": ["no title"], "needs_human_review": false}', times: 1}
      - {answer: '{"verdict": "needs_revision", "score": 5, "reasons": ["no end"], "needs_human_review": false}', times: 1}
      - {answer: '{"verdict": "approve", "score": 9, "reasons": [], "needs_human_review": false}'}
  - {name: title, when: {prompt_contains: "Mind: no title"}, then: [{answer: second}]}
  - {name: end, when: {prompt_contains: "Mind: no end"}, then: [{answer: third}]}
"#,
    );
    let job = json!({"id": "text", "recipe": "written", "prompt": "Write a text.", "metadata": {"rubric": "Short."},
        "repeat": {"until": "steps.check.validation.verdict == 'approve'", "at_most": 3}});
    stack.xadd(&[("job", &job.to_string())]).await.unwrap();
    let _worker = stack.worker().unwrap();
    let ended = step(&stack, "text").await;
    assert_eq!(
        (
            &ended["output"],
            &ended["recipe"]["rounds"],
            &ended["attempts"]
        ),
        (&json!("third"), &json!(3), &json!(6)),
        "{ended}"
    );
    assert_eq!(
        ended["validation"],
        json!({"verdict": "approve", "score": 9.0, "reasons": [], "needs_human_review": false})
    );
    assert_eq!(calls(&stack), [3, 1, 1]);
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_whose_check_fails_asks_for_a_person() {
    let stack = three_platforms_with(REVISED).await;
    script(
        &stack,
        r#"rules: [{name: check, when: {prompt_contains: "<answer>"}, then: [{status: 400}]}]"#,
    );
    let job = json!({"id": "text", "recipe": "written", "prompt": "Write a text.", "metadata": {"rubric": "Short."}});
    stack.xadd(&[("job", &job.to_string())]).await.unwrap();
    let _worker = stack.worker().unwrap();
    let ended = step(&stack, "text").await;
    assert_eq!(ended["state"], "completed", "{ended}");
    let validation = &ended["validation"];
    assert_eq!(validation["needs_human_review"], true, "{ended}");
    let reason = validation["reasons"][0].as_str().unwrap();
    assert!(
        reason.starts_with("the answer was not checked: "),
        "{reason}"
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_the_part_that_is_asked_for_is_asked_for_again() {
    let stack = three_platforms().await;
    script(
        &stack,
        r#"
rules:
  - name: code
    when: {prompt_contains: "Write code."}
    then:
      - {answer: "Here you are.", times: 1}
      - {answer: "```python app.py\nx = 1\n```"}
  - {name: diff, when: {prompt_contains: "Write a diff."}, then: [{answer: "So:\n--- a\n+++ b\n@@ -1 +1 @@\n-1\n+2"}]}
  - {name: json, when: {prompt_contains: "Write JSON."}, then: [{answer: "It is {\"a\": [1]}."}]}
"#,
    );
    let chain = begin(
        &stack,
        &json!({"id": "parts", "steps": [
            {"name": "code", "extract": "code", "prompt": "Write code."},
            {"name": "diff", "extract": "diff", "prompt": "Write a diff."},
            {"name": "json", "models": 2, "merge": "vote", "extract": "json", "prompt": "Write JSON."},
            {"name": "all", "needs": ["code", "diff", "json"],
             "prompt": "[[echo={{ steps.code.blocks[0].file }} {{ steps.diff.diff | length }} {{ steps.json.json.a[0] }}]]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["output"], "app.py 30 1", "{ended}");
    let code = step(&stack, "parts/code").await;
    assert_eq!(code["attempts"], 2);
    assert_eq!(
        code["extracted"],
        json!({"code": [{"language": "python", "file": "app.py", "code": "x = 1\n"}]})
    );
    let diff = step(&stack, "parts/diff").await;
    assert_eq!(
        diff["extracted"],
        json!({"diff": "--- a\n+++ b\n@@ -1 +1 @@\n-1\n+2\n"})
    );
    let merged = step(&stack, "parts/json").await;
    assert_eq!(merged["extracted"], json!({"json": {"a": [1]}}));
    stack.books().await.unwrap().balance();
}

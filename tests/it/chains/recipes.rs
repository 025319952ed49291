//! Jobs that recipes answer: one Redis command in, one outcome under the job's id, and every call of the recipe in the
//! books.

use std::path::Path;

use longshore_broker::Decided;
use longshore_protocol::{
    chain::ChainId,
    id::JobId,
    review::{Decision, ReviewState},
};
use longshore_simulator::{Faults, Script};
use longshore_tests::stack::{Stack, eventually};
use serde_json::{Value, json};

use super::models::{fail, platforms_of_tiers, platforms_with, three_platforms_with};

/// Recipes whose models say what their prompts ask them to say.
const RECIPES: &str = r#"
recipes:
  greet:
    parameters: { greeting: Hello, models: 1, note: null }
    answer: greeting
    steps:
      - name: name
        prompt: "{{ job.prompt }}"
        platform: "{{ parameters.note }}"
        models: "{{ parameters.models }}"
        merge: longest
      - { name: greeting, needs: [name], prompt: "[[echo={{ parameters.greeting }} {{ steps.name.output }} ({{ round }})]]" }
      - { name: after, needs: [greeting], prompt: "[[echo=after]]" }
  twice:
    steps:
      - { name: one, prompt: "[[echo={{ job.prompt }}]]", recipe: greet, parameters: { greeting: "{{ job.metadata.greeting }}" } }
      - { name: two, needs: [one], prompt: "[[echo=you]]", recipe: greet, parameters: { greeting: "{{ steps.one.output }}" } }
  count:
    steps:
      - { name: draft, prompt: "[[echo={{ round }}]]" }
      - { name: review, needs: [draft], prompt: "[[echo={% if last %}after {{ last.draft.output }}{% else %}first{% endif %}]]" }
  checked:
    answer: draft
    steps:
      - { name: draft, prompt: "[[echo={{ job.prompt }} {{ round }}]]" }
      - { name: check, models: 2, prompt: x, validate: { of: draft, rubric: "[[echo={{ job.metadata.verdict }}]]" } }
  two_steps:
    answer: second
    steps:
      - { name: first, prompt: "[[echo=one]]" }
      - { name: second, needs: [first], platform: large, fallback: false, retry: { max_retries: 0 }, prompt: "[[echo=two]]" }
"#;

/// Enqueues a job in JSON form.
async fn enqueue(stack: &Stack, job: &Value) -> JobId {
    let receipt = stack.xadd(&[("job", &job.to_string())]).await.unwrap();
    match job["id"].as_str() {
        Some(id) => JobId::parse(id).unwrap(),
        None => receipt,
    }
}

async fn outcome(stack: &Stack, job: &JobId) -> Value {
    serde_json::to_value(stack.outcome(job).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_answers_the_job_under_its_own_id() {
    let stack = three_platforms_with(RECIPES).await;
    let job = json!({"id": "hi", "recipe": "greet", "prompt": "[[echo=Ada]]", "metadata": {"a": 1}, "keep_result": true,
        "parameters": {"greeting": "Hi", "models": ["small", "large"]}});
    let job = enqueue(&stack, &job).await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &job).await;
    assert_eq!(
        (&ended["state"], &ended["output"], &ended["metadata"]),
        (&json!("completed"), &json!("Hi Ada (1)"), &json!({"a": 1})),
        "{ended}"
    );
    assert_eq!(
        ended["attempts"], 4,
        "two names, a greeting, and what follows"
    );
    assert_eq!(
        (&ended["recipe"]["name"], &ended["recipe"]["rounds"]),
        (&json!("greet"), &json!(1))
    );
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.invoice.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn shipped_recipes_answer_with_every_model_in_the_outcome() {
    let stack = platforms_with(4, "").await;
    let verdict = r#"
rules:
  - name: check
    when: {prompt_contains: "<answer>\n"}
    then: [{answer: '{"verdict": "approve", "score": 9, "reasons": [], "needs_human_review": false}'}]
"#;
    let verdict = Script::read(Path::new("script.yaml"), verdict).unwrap();
    stack.simulator.set_script(verdict);
    let _worker = stack.worker().unwrap();
    for (recipe, answers, merges, validators) in [
        ("simple", 1, 0, 0),
        ("medium", 2, 1, 1),
        ("complex", 2, 1, 2),
        ("architectural", 4, 1, 0),
    ] {
        let job = json!({"recipe": recipe, "prompt": "Name a colour.", "keep_result": true});
        let job = enqueue(&stack, &job).await;
        let ended = outcome(&stack, &job).await;
        assert_eq!(ended["state"], "completed", "{recipe}: {ended}");
        assert_eq!(
            ended["attempts"],
            answers + merges + validators,
            "{recipe}: {ended}"
        );
        let merged = ended.pointer("/merged/answers").unwrap();
        assert_eq!(merged.as_array().unwrap().len(), answers, "{recipe}");
        let approved =
            json!({"verdict": "approve", "score": 9.0, "reasons": [], "needs_human_review": false});
        assert_eq!(
            ended.get("validation"),
            (validators > 0).then_some(&approved),
            "{recipe}"
        );
    }
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.invoice.len(), 15);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_review_does_not_approve_goes_to_a_more_capable_model() {
    let tiers = ["fast", "standard", "advanced", "advanced"];
    let stack = platforms_of_tiers(&tiers, "cto_model: gpt-4.1\n").await;
    let rules = r#"
rules:
  - name: classify
    when: {prompt_contains: "Classify this task."}
    then: [{answer: '{"category": "writing", "level": 0, "reason": "short"}'}]
  - {name: second, when: {prompt_contains: "Why it was not approved: too short"}, then: [{answer: second}]}
  - {name: third, when: {prompt_contains: "Why it was not approved: no rhyme"}, then: [{answer: third}]}
  - name: review of the first
    when: {prompt_contains: "<answer>\nfirst"}
    then: [{answer: '{"verdict": "reject", "score": 1, "reasons": ["too short"], "needs_human_review": false}'}]
  - name: review of the second
    when: {prompt_contains: "<answer>\nsecond"}
    then: [{answer: '{"verdict": "needs_revision", "score": 5, "reasons": ["no rhyme"], "needs_human_review": false}'}]
  - name: review of the third
    when: {prompt_contains: "<answer>\nthird"}
    then: [{answer: '{"verdict": "approve", "score": 9, "reasons": [], "needs_human_review": false}'}]
  - {name: first, when: {prompt_contains: "Write a poem."}, then: [{answer: first}]}
"#;
    let script = Script::read(Path::new("script.yaml"), rules).unwrap();
    stack.simulator.set_script(script);
    let job = json!({"id": "poem", "recipe": "classify-route-review", "prompt": "Write a poem."});
    let job = enqueue(&stack, &job).await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &job).await;
    assert_eq!(
        (&ended["output"], &ended["model"], &ended["attempts"]),
        (&json!("third"), &json!("gpt-4.1"), &json!(7)),
        "{ended}: one classification, three answers, three reviews"
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_reviewed_and_done_and_a_person_decides_what_fails_three_times() {
    let stack = platforms_with(3, "").await;
    let rules = r#"
rules:
  - name: second plan
    when: {prompt_contains: "It must change: one step only"}
    then: [{answer: '{"steps": [{"title": "good", "work": "easy"}, {"title": "bad", "work": "hard"}]}'}]
  - name: review of the plan
    when: {prompt_contains: ["Plan this task", "<answer>"]}
    then:
      - {answer: '{"verdict": "needs_revision", "score": 3, "reasons": ["one step only"], "needs_human_review": false}', times: 1}
      - {answer: '{"verdict": "approve", "score": 8, "reasons": [], "needs_human_review": false}'}
  - {name: plan, when: {prompt_contains: "Plan this task"}, then: [{answer: '{"steps": [{"title": "good", "work": "all"}]}'}]}
  - name: review of the good step
    when: {prompt_contains: ["nothing else: good", "<task>"]}
    then: [{answer: '{"verdict": "approve", "score": 9, "reasons": [], "needs_human_review": false}'}]
  - name: review of the bad step
    when: {prompt_contains: ["nothing else: bad", "<task>"]}
    then: [{answer: '{"verdict": "reject", "score": 1, "reasons": ["wrong"], "needs_human_review": false}'}]
  - {name: good step, when: {prompt_contains: "nothing else: good"}, then: [{answer: good work}]}
  - {name: bad step, when: {prompt_contains: "nothing else: bad"}, then: [{answer: bad work}]}
  - {name: result, when: {prompt_contains: ["good work", "mended work"]}, then: [{answer: all of it}]}
"#;
    let script = Script::read(Path::new("script.yaml"), rules).unwrap();
    stack.simulator.set_script(script);
    let job =
        json!({"id": "task", "recipe": "plan-review-implement-review", "prompt": "Do something."});
    let job = enqueue(&stack, &job).await;
    let _worker = stack.worker().unwrap();
    let review = eventually("a person is asked", || async {
        let mut open = stack.broker.reviews().open().await?;
        open.pop().ok_or_else(|| anyhow::anyhow!("nobody is asked"))
    })
    .await
    .unwrap();
    assert_eq!(review.artefact.as_deref(), Some("bad work"));
    let mended = Decision {
        state: ReviewState::Edited,
        by: "ada".to_owned(),
        comment: None,
        at: review.asked_at,
        text: Some("mended work".to_owned()),
    };
    let decided = stack.broker.reviews().decide(&review, &mended).await;
    assert_eq!(decided.unwrap(), Decided::Yes);
    let ended = outcome(&stack, &job).await;
    assert_eq!(
        (&ended["state"], &ended["output"]),
        (&json!("completed"), &json!("all of it")),
        "{ended}"
    );
    let report = stack.simulator.script();
    let calls: Vec<u64> = report.rules.iter().map(|rule| rule.calls).collect();
    assert_eq!(calls, [1, 2, 1, 1, 3, 1, 3, 1]);
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn recipes_call_recipes() {
    let stack = three_platforms_with(RECIPES).await;
    let job = json!({"recipe": "twice", "prompt": "Ada", "metadata": {"greeting": "Dear"}, "max_cost_usd": "1"});
    let job = enqueue(&stack, &job).await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &job).await;
    assert_eq!(
        (&ended["output"], &ended["attempts"]),
        (&json!("Dear Ada (1) you (1)"), &json!(6)),
        "{ended}"
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_repeats_until_its_condition_holds() {
    let stack = three_platforms_with(RECIPES).await;
    let repeat = |until: &str| json!({"recipe": "count", "prompt": "x", "repeat": {"until": until, "at_most": 3}});
    let third = enqueue(&stack, &repeat("steps.review.output == 'after 2'")).await;
    let never = enqueue(&stack, &repeat("steps.review.output == 'never'")).await;
    let unknown = enqueue(&stack, &repeat("steps.reviews.ok")).await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &third).await;
    assert_eq!(
        (
            &ended["output"],
            &ended["attempts"],
            &ended["recipe"]["rounds"]
        ),
        (&json!("after 2"), &json!(6), &json!(3)),
        "{ended}"
    );
    let ended = outcome(&stack, &never).await;
    assert_eq!(
        (&ended["error_class"], &ended["output"], &ended["attempts"]),
        (&json!("repeat_exhausted"), &json!("after 2"), &json!(6)),
        "{ended}"
    );
    let ended = outcome(&stack, &unknown).await;
    assert_eq!(
        (&ended["error_class"], &ended["error"]),
        (
            &json!("bad_recipe"),
            &json!(
                "`repeat`: `until`: recipe `count` has no step `reviews`; expected one of draft, review"
            )
        )
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_batch_may_name_recipes() {
    let stack = three_platforms_with(RECIPES).await;
    let tasks = [
        json!({"prompt": "[[echo=Ada]]", "recipe": "greet"}),
        json!({"prompt": "[[echo=plain]]"}),
        json!({"prompt": "x", "recipe": "count", "repeat": {"until": "round == 2", "at_most": 2}}),
    ];
    stack
        .write("tasks.json", &json!(tasks).to_string())
        .unwrap();
    let _worker = stack.worker().unwrap();
    let arguments = [
        "batch",
        "tasks.json",
        "--id",
        "mixed",
        "--output",
        "out.json",
    ];
    let ran = stack.longshore(&arguments).await.unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let results = std::fs::read_to_string(stack.dir().join("out.json")).unwrap();
    for expected in ["Hello Ada (1)", "plain", "after 1"] {
        assert!(results.contains(expected), "{results}");
    }
    let batch = ChainId::parse("mixed").unwrap();
    let batch = stack
        .broker
        .chains()
        .outcome(&batch)
        .await
        .unwrap()
        .unwrap();
    let books = stack.books().await.unwrap();
    books.balance();
    // Three calls, one, and two rounds of two.
    assert_eq!((books.invoice.len(), batch.attempts), (8, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_project_may_name_recipes() {
    let stack = three_platforms_with(RECIPES).await;
    let tasks = "tasks:\n  - { id: one, goal: '[[echo=Ada]]', recipe: greet }\n  - { id: two, goal: '[[echo=x]]' }\n";
    stack.write("tasks.yaml", tasks).unwrap();
    let _worker = stack.worker().unwrap();
    let ran = stack
        .longshore(&["run", "--tasks", "tasks.yaml"])
        .await
        .unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.invoice.len(), 4, "three calls of the recipe, and one");
    stack
        .write("tasks.yaml", &tasks.replace("greet", "gret"))
        .unwrap();
    let ran = stack
        .longshore(&["run", "--tasks", "tasks.yaml"])
        .await
        .unwrap();
    assert!(ran.stderr.contains("did you mean `greet`?"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_decides_how_often_a_recipe_repeats() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    let tested = r#"
  tested:
    answer: code
    steps:
      - { name: code, prompt: "[[echo=round {{ round }}{% if last %} after {{ last.test.gate.exit_code }}{% endif %}]]" }
      - { name: test, needs: [code], gate: third_time, on_failure: continue }
"#;
    let gates = format!(
        "capabilities: [gates]\ngates:\n  third_time: {{ command: [sh, -c, 'echo x >> runs; test $(wc -l < runs) -ge 3'], working_dir: {path} }}\n"
    );
    let stack = three_platforms_with(&format!("{RECIPES}{tested}{gates}")).await;
    let job = json!({"recipe": "tested", "prompt": "x", "repeat": {"until": "steps.test.ok", "at_most": 5}});
    let job = enqueue(&stack, &job).await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &job).await;
    assert_eq!(
        (
            &ended["output"],
            &ended["recipe"]["rounds"],
            &ended["attempts"]
        ),
        (&json!("round 3 after 1"), &json!(3), &json!(3)),
        "{ended}"
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let stack = three_platforms_with(RECIPES).await;
    let mut errors = Vec::new();
    let _worker = stack.worker().unwrap();
    for job in [
        json!({"recipe": "medum", "prompt": "x"}),
        json!({"recipe": "greet", "prompt": "x", "parameters": {"greetin": "x", "models": "all"}}),
        json!({"recipe": "greet", "prompt": "x", "parameters": {"models": 99}}),
        json!({"recipe": "greet", "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]}),
    ] {
        let job = enqueue(&stack, &job).await;
        let ended = outcome(&stack, &job).await;
        assert_eq!(ended["error_class"], "bad_recipe");
        errors.push(ended["error"].as_str().unwrap().to_owned());
    }
    insta::assert_snapshot!(errors.join("\n"), @r"
    there is no recipe `medum`; did you mean `medium`?; known: architectural, checked, classify-route-review, complex, count, greet, implement-and-review, implement-step, medium, plan-and-review, plan-review-implement-review, simple, twice, two_steps, work-and-review
    recipe `greet`: it has no parameter `greetin`; did you mean `greeting`?
    recipe `greet`: step `name`: field `models`: expected a whole number from 1 to 16, but got 99
    a recipe reads texts only: leave images, files, sound and calls of tools out
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_cost_more_than_the_job_may_is_refused_before_any_call() {
    let per_item = r#"
  listed:
    steps:
      - { name: each, foreach: job.metadata.list, prompt: "[[echo={{ item }}]]" }
  around:
    steps: [{ name: inner, prompt: x, recipe: count, repeat: { until: round == 2, at_most: 2 } }]
  capped: { max_cost_usd: "0.01", steps: [{ name: one, foreach: job.metadata.list, prompt: "[[echo={{ item }}]]" }] }
"#;
    let stack = three_platforms_with(&format!("{RECIPES}{per_item}")).await;
    let _worker = stack.worker().unwrap();
    // The cheapest model answers 16,384 tokens at $0.60 per million at most: $0.00983 a call.
    for (job, at_most) in [
        (json!({"recipe": "count"}), "0.0196"),
        (
            json!({"recipe": "count", "repeat": {"until": "round == 2", "at_most": 3}}),
            "0.0639",
        ),
        (json!({"recipe": "around"}), "0.041"),
        (
            json!({"recipe": "capped", "metadata": {"list": [1]}}),
            "0.01",
        ),
    ] {
        let mut job = job;
        job["prompt"] = json!("x");
        job["max_cost_usd"] = json!("0.001");
        let id = enqueue(&stack, &job).await;
        let ended = outcome(&stack, &id).await;
        assert_eq!(ended["error_class"], "budget_exceeded", "{ended}");
        let error = ended["error"].as_str().unwrap();
        let sums = format!("may cost ${at_most}");
        assert!(
            error.contains(&sums) && error.contains("the job may cost $0.001"),
            "{error}"
        );
    }
    assert_eq!(stack.books().await.unwrap().invoice.len(), 0, "no call");
    // How many items there are is known only when it runs.
    for job in [
        json!({"recipe": "listed", "prompt": "x", "max_cost_usd": "0.03", "metadata": {"list": [1, 2]}}),
        json!({"recipe": "count", "prompt": "x", "max_cost_usd": "0.02"}),
        json!({"recipe": "medium", "prompt": "[[echo=x]]", "max_cost_usd": "0.02", "parameters": {"max_tokens": 100}}),
    ] {
        let id = enqueue(&stack, &job).await;
        let ended = outcome(&stack, &id).await;
        assert_eq!(ended["state"], "completed", "{ended}");
    }
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_not_start_with_recipes_that_name_nothing_known() {
    let wrong = r"
recipes:
  wrong:
    steps:
      - { name: a, prompt: x, model: gpt-4o-mni }
      - { name: b, gate: tests }
      - { name: c, prompt: x, tools: [deploy] }
";
    let stack = three_platforms_with(wrong).await;
    for program in ["config", "status"] {
        let arguments = [program, "validate"];
        let arguments = if program == "config" {
            &arguments[..]
        } else {
            &arguments[..1]
        };
        let ran = stack.longshore(arguments).await.unwrap();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        for fault in [
            "step `a`: model `gpt-4o-mni` is not in the catalog; did you mean `gpt-4o-mini`?",
            "step `b`: there is no gate `tests`; add it under `gates`",
            "step `c`: there is no tool `deploy`; add it under `tools`",
        ] {
            assert!(said.contains(fault), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_runs_only_what_failed() {
    let stack = three_platforms_with(RECIPES).await;
    fail(&stack, "large");
    let job = enqueue(
        &stack,
        &json!({"id": "again", "recipe": "two_steps", "prompt": "x"}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &job).await;
    assert_eq!(ended["error_class"], "recipe_failed", "{ended}");
    stack
        .simulator
        .set_faults(Some("large"), Faults::default())
        .unwrap();
    let replayed = stack.longshore(&["dlq", "replay", "again"]).await.unwrap();
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let ended = eventually("the job completes", || async {
        let outcome = outcome(&stack, &job).await;
        anyhow::ensure!(outcome["state"] == "completed", "{outcome}");
        Ok(outcome)
    })
    .await
    .unwrap();
    assert_eq!(ended["output"], "two");
    let books = stack.books().await.unwrap();
    books.balance();
    let answered = books.invoice.len();
    assert_eq!(answered, 2, "the first step ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_stops_its_recipe() {
    let stack = three_platforms_with(RECIPES).await;
    let hangs = Faults {
        latency_ms: Some(600_000),
        ..Faults::default()
    };
    stack.simulator.set_faults(None, hangs).unwrap();
    let job = enqueue(
        &stack,
        &json!({"id": "stop", "recipe": "twice", "prompt": "x", "metadata": {"greeting": "x"}}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    stack.wait_for_calls(1).await.unwrap();
    let why = stack.longshore(&["jobs", "why", "stop"]).await.unwrap();
    assert!(
        why.stdout
            .contains("waiting for its recipe, round 1: `longshore chain show "),
        "{why:?}"
    );
    let command = why.stdout.split('`').nth(1).unwrap();
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let shown = stack.longshore(&arguments).await.unwrap();
    assert!(shown.stdout.contains("running"), "{shown:?}");
    stack.longshore(&["jobs", "cancel", "stop"]).await.unwrap();
    let ended = outcome(&stack, &job).await;
    assert_eq!(ended["state"], "cancelled", "{ended}");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_and_schedulers_change_nothing_about_recipes() {
    let mut stack = three_platforms_with(RECIPES).await;
    stack.set_env("LONGSHORE_CONCURRENCY", "20");
    let slow = Faults {
        latency_ms: Some(100),
        jitter_ms: Some(200),
        ..Faults::default()
    };
    stack.simulator.set_faults(None, slow).unwrap();
    let mut jobs = Vec::new();
    for number in 0..20 {
        let job = match number % 3 {
            0 => {
                json!({"recipe": "twice", "prompt": format!("{number}"), "metadata": {"greeting": "Dear"}})
            }
            1 => {
                json!({"recipe": "count", "prompt": "x", "repeat": {"until": "round == 2", "at_most": 3}})
            }
            _ => {
                let verdict = r#"{"verdict": "approve", "score": 9, "reasons": [], "needs_human_review": false}"#;
                let until = "round == 2 and steps.check.validation.verdict == 'approve'";
                json!({"recipe": "checked", "prompt": format!("{number}"), "metadata": {"verdict": verdict},
                    "repeat": {"until": until, "at_most": 2}})
            }
        };
        jobs.push(enqueue(&stack, &job).await);
    }
    let mut scheduler = stack.scheduler().unwrap();
    let mut worker = stack.worker().unwrap();
    // With a third kill, a job may have seen three.
    for _ in 0..2 {
        stack.wait_for_calls(10).await.unwrap();
        // They are killed when they are dropped.
        drop((worker, scheduler));
        scheduler = stack.scheduler().unwrap();
        worker = stack.worker().unwrap();
    }
    for (number, job) in jobs.iter().enumerate() {
        let ended = outcome(&stack, job).await;
        let expected = match number % 3 {
            0 => format!("Dear {number} (1) you (1)"),
            1 => "after 1".to_owned(),
            _ => format!("{number} 2"),
        };
        assert_eq!(ended["output"], expected, "{ended}");
    }
    stack.books().await.unwrap().balance();
}

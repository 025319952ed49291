//! Chains on the command line: run, shown, cancelled, resumed; and the tasks file of a project.

use longshore_protocol::{chain::ChainId, event::DeadLetterResolution, id::JobId};
use longshore_tests::stack::{Options, Ran, Stack, eventually};
use serde_json::Value;

async fn stack() -> Stack {
    Stack::start(Options::default()).await.unwrap()
}

async fn run(stack: &Stack, arguments: &[&str]) -> Ran {
    stack.longshore(arguments).await.unwrap()
}

fn ended(ran: Ran, code: i32) -> String {
    assert_eq!(ran.code, Some(code), "{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

async fn json(stack: &Stack, arguments: &[&str]) -> Value {
    let text = ended(run(stack, arguments).await, 0);
    serde_json::from_str(&text).unwrap()
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

const REPORT: &str = r#"
name: weekly report
steps:
  - name: research
    platform: gemini
    prompt: '[[echo={"cities":["Oslo","Rome","Lima"]}]]'
  - name: each
    needs: [research]
    foreach: steps.research.json.cities
    prompt: "[[echo=About {{ item }}.]]"
  - name: merge
    gather: each
    prompt: "[[echo={% for one in gathered %}{{ one.output }} {% endfor %}End.]]"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_run_shown_and_listed_with_its_costs() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    stack.write("report.yaml", REPORT).unwrap();
    let ran = run(
        &stack,
        &[
            "chain",
            "run",
            "report.yaml",
            "--id",
            "report-7",
            "-o",
            "out.json",
        ],
    )
    .await;
    contains(
        &ran.stderr,
        &[
            "Chain: report-7",
            "research: completed",
            "each: completed 3/3",
        ],
    );
    let text = ended(ran, 0);
    contains(
        &text,
        &[
            "weekly report (report-7): completed, 3 of 3 steps",
            "└─ ✓ research",
            "   └─ ✓ each",
            "      └─ ✓ merge",
            "completed 3/3",
            "--- merge ---\nAbout Oslo. About Rome. About Lima. End.",
        ],
    );
    let saved = std::fs::read_to_string(stack.dir().join("out.json")).unwrap();
    let saved: Value = serde_json::from_str(&saved).unwrap();
    assert_eq!(saved["success"], true);
    assert_eq!(
        saved["outputs"]["merge"],
        "About Oslo. About Rome. About Lima. End."
    );

    stack.recorded().await.unwrap();
    let shown = json(&stack, &["chain", "show", "report-7", "--format", "json"]).await;
    let steps = shown["steps"].as_array().unwrap();
    let attempts: Vec<_> = steps
        .iter()
        .map(|step| step["attempts"].as_u64().unwrap())
        .collect();
    assert_eq!(attempts, [1, 3, 1], "{shown}");
    let costs = json(
        &stack,
        &["costs", "--chain-id", "report-7", "--format", "json"],
    )
    .await;
    assert_eq!(costs["total_cost"], shown["total_cost"]);
    let steps = costs["steps"].as_array().unwrap().iter();
    let steps: Vec<_> = steps.map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["research", "each", "merge"], "{costs}");

    let listed = json(
        &stack,
        &["chain", "list", "--state", "completed", "--format", "json"],
    )
    .await;
    assert_eq!(listed[0]["chain_id"], "report-7");
    assert_eq!(listed[0]["total_cost"], shown["total_cost"]);
    contains(
        &ended(run(&stack, &["chain", "list"]).await, 0),
        &["report-7  completed  chain      3"],
    );
    assert_eq!(
        ended(
            run(&stack, &["chain", "list", "--state", "failed"]).await,
            0
        ),
        "No chains found.\n"
    );
    let drawn = ended(run(&stack, &["chain", "graph", "report-7"]).await, 0);
    contains(&drawn, &["flowchart TD", "s_each"]);
    assert_eq!(
        drawn,
        ended(run(&stack, &["chain", "graph", "report.yaml"]).await, 0)
    );

    // The same file is the same chain; other content is a conflict.
    let again = run(&stack, &["chain", "run", "report.yaml", "--id", "report-7"]).await;
    contains(&again.stderr, &["was started before"]);
    contains(&ended(again, 0), &["--- merge ---\nAbout Oslo."]);
    stack
        .write("other.yaml", &REPORT.replace("Lima", "Kyiv"))
        .unwrap();
    let other = run(&stack, &["chain", "run", "other.yaml", "--id", "report-7"]).await;
    contains(&other.stderr, &["id `report-7` belongs to another chain"]);
    assert_eq!(other.code, Some(2));

    // Once Redis has expired it, the ledger has it.
    let mut connection = stack.connection().await.unwrap();
    let _: () = redis::cmd("FLUSHALL")
        .query_async(&mut connection)
        .await
        .unwrap();
    let text = ended(run(&stack, &["chain", "show", "report-7"]).await, 0);
    contains(
        &text,
        &[
            "weekly report (report-7): completed",
            "✓ research",
            "✓ each",
            "✓ merge",
        ],
    );
    let listed = json(&stack, &["chain", "list", "--format", "json"]).await;
    assert_eq!(listed[0]["chain_id"], "report-7");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_chain_is_resumed_at_the_failed_step() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let document = r#"{"id": "mends", "steps": [
        {"name": "first", "prompt": "[[echo=one]]"},
        {"name": "second", "needs": ["first"], "platform": "gemini", "fallback": false, "prompt": "[[fail_first=1:400]] {{ steps.first.output }}"},
        {"name": "third", "needs": ["second"], "prompt": "[[echo=three]]"}]}"#;
    stack.write("chain.json", document).unwrap();
    let text = ended(run(&stack, &["chain", "run", "chain.json"]).await, 1);
    contains(
        &text,
        &[
            "Chain mends: failed, 3 of 3 steps",
            "✗ second",
            "mends/second: ",
            "– third",
            "skipped",
            "longshore chain retry mends",
        ],
    );
    let attempts = stack.simulator.stats().requests;
    contains(
        &ended(run(&stack, &["chain", "retry", "mends"]).await, 0),
        &["mends: retrying 1 failed step or item"],
    );
    let text = ended(run(&stack, &["chain", "wait", "mends"]).await, 0);
    contains(
        &text,
        &[
            "Chain mends: completed, 3 of 3 steps",
            "--- third ---\nthree",
        ],
    );
    assert_eq!(
        stack.simulator.stats().requests,
        attempts + 2,
        "what was paid for is kept"
    );
    contains(
        &ended(run(&stack, &["chain", "retry", "mends"]).await, 1),
        &["nothing failed, so there is nothing to retry"],
    );
    stack.recorded().await.unwrap();
    let dead_letters = json(&stack, &["dlq", "list", "--format", "json"]).await;
    assert_eq!(dead_letters["total"], 0);
    let second = JobId::parse("mends/second").unwrap();
    let history = stack.ledger.job(&second).await.unwrap().unwrap();
    let ends: Vec<_> = history
        .dead_letters
        .iter()
        .map(|row| row.resolution)
        .collect();
    assert_eq!(ends, [Some(DeadLetterResolution::Replayed)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_is_stopped() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let document = r#"{"steps": [{"name": "hangs", "prompt": "[[hang]]"}, {"name": "after", "needs": ["hangs"], "prompt": "x"}]}"#;
    stack.write("chain.json", document).unwrap();
    let begun = json(
        &stack,
        &["chain", "run", "chain.json", "--detach", "--format", "json"],
    )
    .await;
    let id = begun["chain_id"].as_str().unwrap().to_owned();
    let chain = ChainId::parse(&id).unwrap();
    eventually("the first step runs", || async {
        let view = stack.broker.chains().get(&chain).await?;
        let calls = stack.simulator.stats().requests;
        anyhow::ensure!(view.is_some() && calls > 0, "{view:?}, {calls} calls");
        Ok(())
    })
    .await
    .unwrap();
    contains(
        &ended(run(&stack, &["chain", "show", &id]).await, 0),
        &["running, 0 of 2 steps", "● hangs", "· after"],
    );
    let waited = run(&stack, &["chain", "wait", &id, "--timeout", "0"]).await;
    contains(&waited.stderr, &["has not ended and keeps running"]);
    ended(waited, 1);
    contains(
        &ended(run(&stack, &["chain", "cancel", &id]).await, 0),
        &["cancellation requested"],
    );
    contains(
        &ended(run(&stack, &["chain", "wait", &id]).await, 1),
        &["cancelled", "■ hangs", "– after"],
    );
    contains(
        &ended(run(&stack, &["chain", "cancel", &id]).await, 1),
        &["already ended: cancelled"],
    );
    for command in ["cancel", "retry", "show", "wait"] {
        let unknown = run(&stack, &["chain", command, "none"]).await;
        contains(&unknown.stderr, &["no chain `none`"]);
        assert_eq!(unknown.code, Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_chain_is_not_enqueued() {
    let stack = stack().await;
    let document = r#"{"steps": [
        {"name": "a", "needs": ["b"], "prompt": "x"},
        {"name": "b", "needs": ["a", "c"], "prompt": "{{ steps.z.output }}"}]}"#;
    stack.write("chain.json", document).unwrap();
    let ran = run(&stack, &["chain", "run", "chain.json"]).await;
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(2), ""),
        "{}",
        ran.stderr
    );
    contains(&ran.stderr, &["chain.json: ", "a → b → a", "`c`", "`z`"]);
    let depth = stack.depth().await.unwrap();
    assert_eq!(depth.available, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_file_of_a_project_is_run() {
    let stack = stack().await;
    let _worker = stack.worker().unwrap();
    let tasks = r#"
tasks:
  - id: MY-TASK-001
    goal: "[[echo=Documented.]] Add docstrings"
    risk: low
    area: docs
    repo: acme/app
    context_files: [src/a.rs]
    constraints: [ZERO-WARNINGS]
  - id: MY-TASK-002
    goal: "[[echo=Faster.]] Make it faster"
    risk: high
    area: core
"#;
    stack
        .write("project/.orchestrator/tasks.yaml", tasks)
        .unwrap();
    stack
        .write("project/src/a.rs", "fn a() { format!(\"{{}}\"); }\n")
        .unwrap();
    let dry = json(
        &stack,
        &[
            "run",
            "--working-dir",
            "project",
            "--dry-run",
            "--format",
            "json",
        ],
    )
    .await;
    assert_eq!(dry["steps"].as_array().unwrap().len(), 2);
    let text = ended(run(&stack, &["run", "--working-dir", "project"]).await, 0);
    contains(
        &text,
        &[
            "Loaded 2 tasks from project/.orchestrator/tasks.yaml",
            "completed, 2 of 2 steps",
            "--- MY_TASK_001 ---\nDocumented.",
            "--- MY_TASK_002 ---\nFaster.",
        ],
    );
    let one = run(
        &stack,
        &[
            "run",
            "--tasks",
            "project/.orchestrator/tasks.yaml",
            "--working-dir",
            "project",
            "--task-id",
            "MY-TASK-002",
        ],
    )
    .await;
    contains(&ended(one, 0), &["Loaded 1 task ", "1 of 1 step"]);
    // The prompt of the first task names the file that it reads, braces included.
    stack.recorded().await.unwrap();
    let jobs = json(
        &stack,
        &[
            "jobs",
            "list",
            "--type",
            "documentation",
            "--format",
            "json",
        ],
    )
    .await;
    assert_eq!(jobs[0]["metadata"]["task_id"], "MY-TASK-001");
    stack
        .write(
            "project/.orchestrator/tasks.yaml",
            "tasks:\n  - id: a\n    goal: x\n    context_files: [../secret]\n  - id: b\n",
        )
        .unwrap();
    let wrong = run(&stack, &["run", "--working-dir", "project"]).await;
    assert_eq!(wrong.code, Some(2));
    contains(
        &wrong.stderr,
        &[
            "tasks.yaml:4: task `a`: ",
            "tasks.yaml:5: task `b`: expected `goal`",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_a_chain_runs_to_its_end() {
    let stack = Stack::start(Options::default()).await.unwrap();
    let _worker = stack.worker().unwrap();
    let examples =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/chains");
    let mut ran = 0;
    for example in std::fs::read_dir(examples).unwrap() {
        let path = example.unwrap().path();
        let run = stack
            .longshore(&["chain", "run", path.to_str().unwrap()])
            .await
            .unwrap();
        assert_eq!(run.code, Some(0), "{}: {run:?}", path.display());
        ran += 1;
    }
    assert!(ran >= 4, "{ran} examples");
}

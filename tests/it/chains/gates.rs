//! Steps that run a gate: commands of the configuration, their ends, and who runs them.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use longshore_protocol::id::JobId;
use longshore_tests::stack::{Options, Stack, eventually};
use nix::{sys::signal::kill, unistd::Pid};
use serde_json::{Value, json};

use super::{begin, outcome};

/// Starts a child in the group and one that leaves it, writes the ids of all three, and waits.
const FORKS: &str = "sleep 600 & echo $! >> pids; setsid sleep 600 & echo $! >> pids; echo $$ >> pids; \
                     echo started; echo written > ready; wait";

/// A stack whose workers run these gates, if they have the capability. The commands are scripts of `sh`.
async fn stack(gates: &[(&str, &str, &str)]) -> Stack {
    let stack = Stack::start(Options::default()).await.unwrap();
    let launcher = stack.launcher();
    let mut yaml = format!("simulator_url: {}\ngates:\n", stack.simulator.url());
    for (name, script, settings) in gates {
        let (script, dir) = (json!(script), json!(launcher.dir()));
        writeln!(
            yaml,
            "  {name}: {{command: [sh, -c, {script}], working_dir: {dir}, {settings}}}"
        )
        .unwrap();
    }
    stack.config_yaml(&yaml).unwrap();
    stack
}

async fn gate_stack(gates: &[(&str, &str, &str)]) -> Stack {
    let mut stack = stack(gates).await;
    stack.set_env("LONGSHORE_CAPABILITIES", "gates");
    stack
}

async fn step(stack: &Stack, job: &str) -> Value {
    let outcome = stack.outcome(&JobId::parse(job).unwrap()).await.unwrap();
    serde_json::to_value(outcome).unwrap()
}

/// A chain of one gate, and its outcome.
async fn run(stack: &Stack, gate: &str) -> Value {
    begin(
        stack,
        &json!({"id": gate, "steps": [{"name": "check", "gate": gate}]}),
    )
    .await;
    step(stack, &format!("{gate}/check")).await
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie is a process that has ended.
    kill(Pid::from_raw(pid), None).is_ok() && !stat.contains(") Z ")
}

/// The processes of [`FORKS`], once they run.
async fn pids(dir: &Path) -> Vec<i32> {
    eventually("the command has started", || async {
        fs::read_to_string(dir.join("ready")).context("not yet")
    })
    .await
    .unwrap();
    let text = fs::read_to_string(dir.join("pids")).unwrap();
    text.lines().map(|pid| pid.parse().unwrap()).collect()
}

async fn all_end(pids: &[i32]) {
    eventually("all processes end", || async {
        let alive: Vec<&i32> = pids.iter().filter(|pid| is_alive(**pid)).collect();
        anyhow::ensure!(alive.is_empty(), "{alive:?} live");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_passes_or_fails_and_the_next_step_reads_its_output() {
    let stack = gate_stack(&[
        ("good", "echo out; echo err >&2; echo again", ""),
        ("bad", "echo broken; exit 3", ""),
    ])
    .await;
    let chain = begin(
        &stack,
        &json!({"id": "both", "steps": [
            {"name": "write", "prompt": "[[echo=code]]"},
            {"name": "good", "gate": "good", "needs": ["write"]},
            {"name": "bad", "gate": "bad", "needs": ["good"], "on_failure": "continue"},
            {"name": "fix", "needs": ["bad"], "when": "not steps.bad.ok",
             "prompt": "[[echo={{ steps.bad.gate.exit_code }} {{ steps.bad.output | trim }} {{ steps.good.gate.reason }}]]"},
            {"name": "not", "gate": "good", "needs": ["bad"], "when": "steps.bad.ok"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["state"], "completed", "{ended}");
    let good = step(&stack, "both/good").await;
    assert_eq!(good["output"], "out\nerr\nagain\n");
    assert_eq!(
        (&good["success"], &good["attempts"], &good["cost_usd"]),
        (&json!(true), &json!(0), &json!("0"))
    );
    let gate = &good["gate"];
    assert_eq!(
        (
            &gate["gate"],
            &gate["exit_code"],
            &gate["reason"],
            &gate["output_bytes"]
        ),
        (&json!("good"), &json!(0), &Value::Null, &json!(14))
    );
    let bad = step(&stack, "both/bad").await;
    assert_eq!(
        (&bad["error_class"], &bad["error"], &bad["output"]),
        (
            &json!("gate_failed"),
            &json!("gate `bad` failed: exit code 3; last line: broken"),
            &json!("broken\n")
        )
    );
    assert_eq!(step(&stack, "both/fix").await["output"], "3 broken None");
    assert_eq!(step(&stack, "both/not").await["error_class"], "skipped");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_list_run_as_gates() {
    let stack = gate_stack(&[("good", "echo fine", "")]).await;
    let chain = begin(
        &stack,
        &json!({"id": "items", "steps": [
            {"name": "list", "prompt": "[[echo=[1,2,3]]]"},
            {"name": "each", "gate": "good", "needs": ["list"], "foreach": "[1, 2, 3]"},
        ]}),
    )
    .await;
    let _worker = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(
        ended["outputs"]["each"],
        json!(["fine\n", "fine\n", "fine\n"]),
        "{ended}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_kills_all_processes_of_the_command() {
    let stack = gate_stack(&[("slow", FORKS, "timeout: 2s")]).await;
    let _worker = stack.worker().unwrap();
    let ended = run(&stack, "slow").await;
    assert_eq!(
        (&ended["gate"]["reason"], &ended["gate"]["exit_code"]),
        (&json!("timeout"), &Value::Null),
        "{ended}"
    );
    assert_eq!(ended["output"], "started\n");
    all_end(&pids(stack.launcher().dir()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_warnings_and_missing_programs_fail() {
    let stack = gate_stack(&[
        ("flood", "yes", "max_output: 64KiB"),
        (
            "warned",
            "echo 'warning: unused'; echo done",
            "warnings: '^warning'",
        ),
        ("killed", "kill -9 $$", ""),
        ("missing", "no-such-program", ""),
        ("left", "sleep 600 & echo $! > pids; echo > ready", ""),
    ])
    .await;
    let _worker = stack.worker().unwrap();
    for (gate, reason, code, warnings) in [
        ("flood", json!("output"), Value::Null, 0),
        ("warned", json!("warnings"), json!(0), 1),
        ("killed", json!("signal"), Value::Null, 0),
        ("missing", Value::Null, json!(127), 0),
        ("left", Value::Null, json!(0), 0),
    ] {
        let ended = run(&stack, gate).await;
        let gate = &ended["gate"];
        assert_eq!(
            (&gate["reason"], &gate["exit_code"], &gate["warnings"]),
            (&reason, &code, &json!(warnings)),
            "{ended}"
        );
    }
    // What a command that passed left behind.
    all_end(&pids(stack.launcher().dir()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_worker_with_the_capability_runs_gates() {
    let mut stack = stack(&[("good", "echo fine", "")]).await;
    let chain = begin(
        &stack,
        &json!({"id": "left", "steps": [
            {"name": "write", "prompt": "[[echo=code]]"},
            {"name": "check", "gate": "good", "needs": ["write"]},
        ]}),
    )
    .await;
    let _without = stack.worker().unwrap();
    eventually("the gate waits in its queue", || async {
        let view = stack.broker.chains().get(&chain).await?;
        let view = view.context("no chain")?;
        anyhow::ensure!(view.tally.completed == 1 && view.in_flight == 1, "{view:?}");
        Ok(())
    })
    .await
    .unwrap();
    stack.set_env("LONGSHORE_CAPABILITIES", "gates");
    let _with = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["output"], "fine\n", "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_gate_is_a_dead_letter_that_names_the_known() {
    let stack = gate_stack(&[("good", "true", ""), ("other", "true", "")]).await;
    let _worker = stack.worker().unwrap();
    let ended = run(&stack, "goood").await;
    assert_eq!(
        (&ended["error_class"], &ended["error"]),
        (
            &json!("unknown_gate"),
            &json!("there is no gate `goood`; expected one of good, other")
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_sees_no_keys() {
    let mut stack = gate_stack(&[("env", "env | sed 's/=.*//'", "env: {OWN: x}")]).await;
    stack.set_env("OPENAI_API_KEY", "sk-secret");
    let _worker = stack.worker().unwrap();
    let ended = run(&stack, "env").await;
    let names = ended["output"].as_str().unwrap().lines();
    // The shell adds these itself.
    let names: Vec<&str> = names
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
        .collect();
    let allowed = ["PATH", "HOME", "LANG", "TMPDIR", "OWN"];
    assert!(names.contains(&"OWN"), "{ended}");
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_chain_kills_its_gate() {
    let stack = gate_stack(&[("slow", FORKS, "")]).await;
    let _worker = stack.worker().unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "stopped", "steps": [{"name": "check", "gate": "slow"}]}),
    )
    .await;
    let pids = pids(stack.launcher().dir()).await;
    stack.broker.chains().cancel(&chain).await.unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["state"], "cancelled", "{ended}");
    all_end(&pids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_death_of_the_worker_ends_the_command_and_another_worker_runs_it() {
    let once = format!("if [ -e ready ]; then echo second; exit 0; fi; {FORKS}");
    let mut stack = gate_stack(&[("slow", &once, "")]).await;
    stack.set_env("LONGSHORE_LIVENESS_HEARTBEAT_EVERY", "500ms");
    stack.set_env("LONGSHORE_LIVENESS_HEARTBEAT_TTL", "2s");
    let mut worker = stack.worker().unwrap();
    let chain = begin(
        &stack,
        &json!({"id": "killed", "steps": [{"name": "check", "gate": "slow"}]}),
    )
    .await;
    let pids = pids(stack.launcher().dir()).await;
    worker.kill().unwrap();
    all_end(&pids).await;
    let _scheduler = stack.scheduler().unwrap();
    let _other = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["output"], "second\n", "{ended}");
}

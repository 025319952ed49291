//! Tools that the worker runs: rounds of calls, their errors, what a killed worker leaves, and what the rounds cost.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri, header},
    routing::any,
};
use longshore_broker::task;
use longshore_protocol::{chain::ChainId, id::JobId};
use longshore_simulator::Script;
use longshore_tests::stack::{Options, Stack, eventually, expect_success};
use serde_json::{Value, json};

use super::{begin, outcome};
use crate::secrets::{postgres_content, redis_content};

/// The model of all calls; the script says what it answers.
const MODEL: &str = "gpt-4o-mini";

/// The check of the workspace, which counts how often it runs.
const CHECK: &str =
    "echo run >> runs; grep -q right answer.txt || { echo 'the answer is wrong'; exit 1; }";

/// Runs once in full: waits until it is killed, the first time.
const SLOW: &str =
    "echo run >> runs; if [ $(wc -l < runs) = 1 ]; then echo > started; sleep 600; fi";

/// A stack with the workspace `app`, tools, and a script of answers, one for each call.
async fn stack(tools: &Value, answers: &Value) -> Stack {
    configured("", tools, answers).await
}

async fn configured(more: &str, tools: &Value, answers: &Value) -> Stack {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let app = stack.dir().join("app");
    fs::create_dir_all(app.join(".git")).unwrap();
    fs::write(app.join("answer.txt"), "It is wrong.\n").unwrap();
    fs::write(app.join("check.sh"), CHECK).unwrap();
    fs::write(app.join("slow.sh"), SLOW).unwrap();
    fs::write(app.join("large.txt"), "x".repeat(2000)).unwrap();
    fs::write(stack.dir().join("secret.txt"), "hunter2").unwrap();
    std::os::unix::fs::symlink("../secret.txt", app.join("link.txt")).unwrap();
    let workspaces = json!({"app": {
        "directory": app, "max_file_bytes": "1KiB", "timeout": "5s",
        "run": [["sh", "check.sh"], ["sh", "slow.sh"], ["sleep", "60"]],
    }});
    let url = stack.simulator.url();
    let yaml = format!("simulator_url: {url}\nworkspaces: {workspaces}\ntools: {tools}\n{more}");
    stack.config_yaml(&yaml).unwrap();
    stack.set_env("LONGSHORE_CAPABILITIES", "tools");
    let script = json!({"unmatched": "refuse", "rules": [{"then": answers}]}).to_string();
    let script = Script::read(Path::new("script.yaml"), &script).unwrap();
    stack.simulator.set_script(script);
    stack
}

/// An answer that calls these tools.
fn calling(calls: &[(&str, Value)]) -> Value {
    let call = |(name, arguments): &(&str, Value)| json!({"name": name, "arguments": arguments});
    json!({"times": 1, "tool_calls": calls.iter().map(call).collect::<Vec<_>>()})
}

/// A chain of one step with tools, and its outcome.
async fn run(stack: &Stack, more: Value) -> Value {
    begin(stack, &chain(&more)).await;
    step(stack).await
}

fn chain(more: &Value) -> Value {
    let mut step = json!({"name": "fix", "prompt": "Make the check pass.", "model": MODEL, "workspace": "app",
        "tools": ["read_file", "list_files", "search", "edit_file", "run"]});
    let fields = step.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    json!({"id": "work", "steps": [step]})
}

async fn step(stack: &Stack) -> Value {
    let outcome = stack.outcome(&JobId::parse("work/fix").unwrap()).await;
    serde_json::to_value(outcome.unwrap()).unwrap()
}

/// Tool and error of each call.
fn calls(outcome: &Value) -> Vec<(String, Option<String>)> {
    let calls = outcome.pointer("/tools/calls").unwrap().as_array().unwrap();
    calls
        .iter()
        .map(|call| {
            assert_eq!(call["ok"], call.get("error").is_none(), "{call}");
            let error = call
                .get("error")
                .map(|error| error.as_str().unwrap().to_owned());
            (call["tool"].as_str().unwrap().to_owned(), error)
        })
        .collect()
}

/// The messages of the last call.
fn messages(stack: &Stack) -> Vec<Value> {
    let requests = stack.simulator.requests();
    let body = &requests.last().unwrap().body;
    body["messages"].as_array().unwrap().clone()
}

/// What the tools answered in the last call, in order.
fn results(stack: &Stack) -> Vec<String> {
    let messages = messages(stack).into_iter();
    let results = messages.filter(|message| message["role"] == "tool");
    results
        .map(|result| {
            let content = result.get("content").unwrap();
            content.as_str().unwrap().to_owned()
        })
        .collect()
}

/// Waits until the simulator has so many calls.
async fn requests(stack: &Stack, count: usize) {
    eventually("the model is called", || async {
        let made = stack.simulator.requests().len();
        anyhow::ensure!(made == count, "{made} calls");
        Ok(())
    })
    .await
    .unwrap();
}

fn runs(stack: &Stack) -> usize {
    let runs = fs::read_to_string(stack.dir().join("app/runs")).unwrap_or_default();
    runs.lines().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_edits_a_file_and_runs_a_command_until_it_passes() {
    let check = || ("run", json!({"command": ["sh", "check.sh"]}));
    let answers = json!([
        calling(&[check()]),
        calling(&[
            ("list_files", json!({"glob": "*.txt"})),
            ("search", json!({"pattern": "wron."})),
            ("read_file", json!({"path": "answer.txt"})),
            (
                "edit_file",
                json!({"path": "answer.txt", "old": "wrong", "new": "right"})
            ),
        ]),
        calling(&[check()]),
        {"answer": "It passes."},
    ]);
    let stack = stack(&json!({}), &answers).await;
    let _worker = stack.worker().unwrap();
    let ended = run(&stack, json!({"max_rounds": 5})).await;
    assert_eq!(
        (
            &ended["output"],
            &ended["attempts"],
            &ended["tools"]["rounds"]
        ),
        (&json!("It passes."), &json!(4), &json!(3)),
        "{ended}"
    );
    assert!(
        ended.get("tool_calls").is_none() && ended.get("warnings").is_none(),
        "{ended}"
    );
    let failed = Some("exit code 1".to_owned());
    let named = |tool: &str| (tool.to_owned(), None);
    assert_eq!(
        calls(&ended),
        [
            ("run".to_owned(), failed),
            named("list_files"),
            named("search"),
            named("read_file"),
            named("edit_file"),
            named("run"),
        ]
    );
    assert_eq!(
        results(&stack),
        [
            "Error: exit code 1\nthe answer is wrong\n",
            "answer.txt\nlarge.txt",
            "answer.txt:1: It is wrong.\ncheck.sh:1: echo run >> runs; grep -q right answer.txt || { echo 'the answer is wrong'; exit 1; }",
            "It is wrong.\n",
            "changed `answer.txt`",
            "exit code 0\n",
        ]
    );
    let roles: Vec<Value> = messages(&stack)
        .iter()
        .map(|one| one["role"].clone())
        .collect();
    let round = |results: usize| [vec!["assistant"], vec!["tool"; results]].concat();
    assert_eq!(
        json!(roles),
        json!([vec!["user"], round(1), round(4), round(1)].concat())
    );
    stack.recorded().await.unwrap();
    let log = stack.longshore(&["chain", "log", "work"]).await.unwrap();
    let log = expect_success(log);
    for line in [
        "- Tools: read_file, list_files, search, edit_file, run in workspace app",
        "  - Next round, after a wait of",
        "  - Round 1, tool run: failed: exit code 1, after",
        "answer.txt",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_error_is_answered_to_the_model() {
    let tools = json!({
        "lookup": {
            "description": "Looks up.", "command": ["sh", "-c", "echo no such ticket >&2; exit 4"],
            "parameters": {"type": "object", "required": ["number"], "properties": {"number": {"type": "integer"}}},
        },
        "slow": {"description": "Waits.", "command": ["sleep", "600"], "timeout": "1s"},
    });
    let read = |path: &str| ("read_file", json!({"path": path}));
    let answers = json!([
        calling(&[
            read("../secret.txt"),
            read("link.txt"),
            read("/etc/hostname"),
            read("large.txt"),
            read("nowhere"),
            ("read_file", json!({"file": "x"})),
            ("edit_file", json!({"path": ".git/hooks/pre-commit", "old": "", "new": "x"})),
            ("run", json!({"command": ["sh", "-c", "cat ../secret.txt"]})),
            ("lookup", json!({"number": "seven"})),
            ("lookup", json!({"number": 7})),
            ("slow", json!({})),
        ]),
        {"answer": "Nothing works."},
    ]);
    let stack = stack(&tools, &answers).await;
    let _worker = stack.worker().unwrap();
    let names = json!(["read_file", "edit_file", "run", "lookup", "slow"]);
    let ended = run(&stack, json!({"tools": names})).await;
    assert_eq!(ended["output"], "Nothing works.", "{ended}");
    let errors: Vec<String> = calls(&ended)
        .into_iter()
        .map(|(_, error)| error.unwrap())
        .collect();
    assert_eq!(
        errors,
        [
            "`../secret.txt`: a path led outside of the filesystem",
            "`link.txt`: a path led outside of the filesystem",
            "`/etc/hostname` is absolute; expected a path relative to the workspace",
            "`large.txt` has 2000 bytes; at most 1024 are allowed",
            "`nowhere`: No such file or directory (os error 2)",
            "wrong arguments: unknown field `file`, expected one of `path`, `offset`, `lines` at line 1 column 7",
            "`.git/hooks/pre-commit`: nothing in `.git` is changed",
            r#"this command is not allowed; allowed are exactly: ["sh","check.sh"], ["sh","slow.sh"], ["sleep","60"]"#,
            "wrong arguments: /number: value is not of type \"integer\"",
            "exit code 4",
            "killed after 1 s",
        ]
    );
    let read = results(&stack);
    assert_eq!(read[9], "Error: exit code 4\nno such ticket\n");
    for (result, error) in read.iter().zip(&errors) {
        assert!(result.starts_with(&format!("Error: {error}")), "{result}");
    }
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_and_requests_get_the_arguments_and_nothing_else() {
    let server = Server::start().await;
    let tools = json!({
        "lookup": {"description": "Looks up.", "command": ["sh", "-c", "cat; echo; env | sort"],
            "parameters": {"type": "object"}, "env": {"TICKETS": "${TICKETS_KEY}"}},
        "ask": {"description": "Asks.", "parameters": {"type": "object"},
            "http": {"url": format!("{}/ask", server.url), "headers": {"x-key": "${TICKETS_KEY}"}}},
        "find": {"description": "Finds.", "parameters": {"type": "object"},
            "http": {"method": "GET", "url": format!("{}/find?fixed=1", server.url)}},
        "moved": {"description": "Moves.", "http": {"url": format!("{}/moved", server.url)}},
    });
    let answers = json!([
        calling(&[
            ("lookup", json!({"number": 7, "url": "http://elsewhere/"})),
            ("ask", json!({"number": 7})),
            ("find", json!({"city": "Köln", "fixed": 2})),
            ("moved", json!({})),
        ]),
        {"answer": "Found."},
    ]);
    let mut stack = stack(&tools, &answers).await;
    stack.set_env("TICKETS_KEY", "hunter2");
    stack.set_env("OPENAI_API_KEY", "sk-secret");
    let _worker = stack.worker().unwrap();
    let names = json!(["lookup", "ask", "find", "moved"]);
    let ended = run(&stack, json!({"tools": names, "workspace": null})).await;
    assert_eq!(ended["output"], "Found.", "{ended}");
    let read = results(&stack);
    assert!(
        read[0].starts_with("{\"number\":7,\"url\":\"http://elsewhere/\"}\n"),
        "{}",
        read[0]
    );
    assert!(
        read[0].contains("\nTICKETS=hunter2\n") && !read[0].contains("sk-secret"),
        "{}",
        read[0]
    );
    assert_eq!(read[1], r#"/ask hunter2 {"number":7}"#);
    assert_eq!(read[2], "/find?fixed=1&city=K%C3%B6ln - ");
    assert!(read[3].starts_with("Error: status 302"), "{}", read[3]);
    let config = stack.longshore(&["config", "show"]).await.unwrap();
    let config = expect_success(config);
    assert!(
        config.contains("tools.ask") && !config.contains("hunter2"),
        "{config}"
    );
}

/// A server that says what it was asked.
struct Server {
    url: String,
}

impl Server {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new()
            .route(
                "/moved",
                any(|| async { (StatusCode::FOUND, [(header::LOCATION, "/ask")]) }),
            )
            .route("/{*path}", any(repeat));
        task::spawn("server of tools", async move {
            axum::serve(listener, app).await.unwrap();
        });
        Self { url }
    }
}

async fn repeat(uri: Uri, headers: HeaderMap, body: Bytes) -> String {
    let key = headers
        .get("x-key")
        .map_or("-", |key| key.to_str().unwrap());
    format!("{uri} {key} {}", String::from_utf8_lossy(&body))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_round_the_model_answers_without_tools() {
    let read = || calling(&[("read_file", json!({"path": "answer.txt"}))]);
    let answers = json!([read(), read(), {"answer": "I give up."}]);
    let stack = stack(&json!({}), &answers).await;
    let _worker = stack.worker().unwrap();
    let ended = run(&stack, json!({"max_rounds": 2})).await;
    assert_eq!(
        (
            &ended["output"],
            &ended["tools"]["rounds"],
            &ended["warnings"]
        ),
        (
            &json!("I give up."),
            &json!(2),
            &json!(["all rounds of tools were used up: the last call had to answer without them"])
        ),
        "{ended}"
    );
    let requests = stack.simulator.requests();
    let choices: Vec<&Value> = requests
        .iter()
        .map(|one| &one.body["tool_choice"])
        .collect();
    assert_eq!(choices, [&Value::Null, &Value::Null, &json!("none")]);
    let last = messages(&stack).pop().unwrap();
    assert_eq!(
        last["content"],
        "No further tools can be called. Answer now, with what you know from the results so far."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_bounds_all_rounds() {
    let mut answer = calling(&[("read_file", json!({"path": "answer.txt"}))]);
    answer["times"] = json!(50);
    // $0.0006 each.
    answer["usage"] = json!({"input": 0, "output": 1000});
    let stack = stack(&json!({}), &json!([answer])).await;
    let _worker = stack.worker().unwrap();
    let ended = run(&stack, json!({"max_cost_usd": "0.002", "max_tokens": 1000})).await;
    assert_eq!(
        (
            &ended["error_class"],
            &ended["attempts"],
            &ended["tools"]["rounds"]
        ),
        (&json!("budget_exceeded"), &json!(2), &json!(2)),
        "{ended}"
    );
    let books = stack.books().await.unwrap();
    books.balance();
    assert_eq!(books.ledger.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_call_is_repeated_with_the_conversation() {
    let answers = json!([
        calling(&[("read_file", json!({"path": "answer.txt"}))]),
        {"times": 2, "status": 503},
        {"times": 1, "answer": "no JSON"},
        {"answer": "{\"wrong\": true}"},
    ]);
    let more = "retry: {base_delay: 10ms, max_delay: 10ms, jitter: 0s}\n";
    let stack = configured(more, &json!({}), &answers).await;
    let _worker = stack.worker().unwrap();
    let ended = run(&stack, json!({"response_format": {"type": "json_object"}})).await;
    assert_eq!(
        (
            &ended["output"],
            &ended["attempts"],
            &ended["tools"]["rounds"]
        ),
        (&json!("{\"wrong\": true}"), &json!(5), &json!(1)),
        "{ended}"
    );
    assert_eq!(results(&stack), ["It is wrong.\n"]);
    let last = messages(&stack).pop().unwrap();
    let words = last["content"].as_str().unwrap();
    assert!(
        words.starts_with("A previous attempt ended with this error"),
        "{words}"
    );
    assert_eq!(runs(&stack), 0);
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_leaves_its_conversation_and_no_command_runs_twice() {
    let answers = json!([
        calling(&[
            ("edit_file", json!({"path": "new.txt", "old": "", "new": "once"})),
            ("read_file", json!({"path": "new.txt"})),
            ("run", json!({"command": ["sh", "slow.sh"]})),
            ("edit_file", json!({"path": "new.txt", "old": "once", "new": "twice"})),
        ]),
        {"answer": "Done."},
    ]);
    let mut stack = stack(&json!({}), &answers).await;
    stack.set_env("LONGSHORE_LIVENESS_HEARTBEAT_EVERY", "500ms");
    stack.set_env("LONGSHORE_LIVENESS_HEARTBEAT_TTL", "2s");
    let mut worker = stack.worker().unwrap();
    begin(&stack, &chain(&json!({}))).await;
    let started = stack.dir().join("app/started");
    eventually("the command has started", || async {
        fs::metadata(&started).context("not yet")
    })
    .await
    .unwrap();
    worker.kill().unwrap();
    let _scheduler = stack.scheduler().unwrap();
    let _other = stack.worker().unwrap();
    let ended = step(&stack).await;
    assert_eq!(
        (&ended["output"], &ended["attempts"]),
        (&json!("Done."), &json!(2)),
        "{ended}"
    );
    assert_eq!(runs(&stack), 1);
    let interrupted = ended["tools"]["calls"].as_array().unwrap().iter();
    let interrupted: Vec<bool> = interrupted
        .map(|call| call.get("interrupted").is_some())
        .collect();
    assert_eq!(interrupted, [false, false, true, false], "{ended}");
    let read = results(&stack);
    assert!(
        read[2].contains("this call was interrupted; it may have taken effect"),
        "{}",
        read[2]
    );
    assert_eq!(
        [&read[0], &read[1], &read[3]],
        ["created `new.txt`", "once", "changed `new.txt`"]
    );
    let text = fs::read_to_string(stack.dir().join("app/new.txt")).unwrap();
    assert_eq!(text, "twice");
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_hands_the_conversation_to_the_next() {
    let answers = json!([
        calling(&[("read_file", json!({"path": "answer.txt"}))]),
        {"times": 1, "hold": true, "answer": "Never read."},
        {"answer": "Done."},
    ]);
    let stack = configured("grace: 1s\n", &json!({}), &answers).await;
    let worker = stack.worker().unwrap();
    begin(&stack, &chain(&json!({}))).await;
    requests(&stack, 2).await;
    worker.shut_down().await.unwrap();
    let _other = stack.worker().unwrap();
    let ended = step(&stack).await;
    assert_eq!(
        (&ended["output"], &ended["tools"]["rounds"]),
        (&json!("Done."), &json!(1)),
        "{ended}"
    );
    assert_eq!(results(&stack), ["It is wrong.\n"]);
    stack.simulator.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conversation_is_encrypted_at_rest() {
    let answers = json!([
        calling(&[
            ("edit_file", json!({"path": "quokka.txt", "old": "", "new": "xylophone"})),
            ("read_file", json!({"path": "quokka.txt"})),
            ("read_file", json!({"path": "zephyr"})),
        ]),
        {"times": 1, "hold": true, "answer": "quokka"},
    ]);
    let more = "encryption: {keys: {k1: \"${LONGSHORE_KEY_1}\"}, current: k1}\n";
    let mut stack = configured(more, &json!({}), &answers).await;
    stack.set_env(
        "LONGSHORE_KEY_1",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    );
    let cli = stack.launcher();
    fs::write(
        stack.dir().join("chain.json"),
        chain(&json!({"prompt": "xylophone"})).to_string(),
    )
    .unwrap();
    let _worker = stack.worker().unwrap();
    expect_success(
        cli.longshore(&["chain", "run", "chain.json", "--detach"])
            .await
            .unwrap(),
    );
    requests(&stack, 2).await;
    let hidden = async |place: &str| {
        stack.recorded().await.unwrap();
        for (store, content) in [
            ("Redis", redis_content(&stack).await),
            ("Postgres", postgres_content(&stack).await),
        ] {
            for word in ["xylophone", "quokka", "zephyr"] {
                assert!(
                    !content.contains(word),
                    "{place}: {word} is readable in {store}"
                );
            }
        }
    };
    hidden("between two calls").await;
    assert!(
        redis_content(&stack)
            .await
            .contains("\"results\":[\"enc:v1:k1:")
    );
    stack.simulator.release();
    let chain = ChainId::parse("work").unwrap();
    assert_eq!(outcome(&stack, &chain).await["state"], "completed");
    hidden("at the end").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_worker_with_the_capability_runs_tools() {
    let answers = json!([{"answer": "No tool needed."}]);
    let mut stack = stack(&json!({}), &answers).await;
    stack.set_env("LONGSHORE_CAPABILITIES", "");
    let without = stack.worker().unwrap();
    let chain = begin(&stack, &chain(&json!({}))).await;
    eventually("the step waits in its queue", || async {
        let view = stack.broker.chains().get(&chain).await?;
        anyhow::ensure!(view.context("no chain")?.in_flight == 1);
        Ok(())
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stack.simulator.requests().len(), 0);
    without.shut_down().await.unwrap();
    stack.set_env("LONGSHORE_CAPABILITIES", "tools");
    let _with = stack.worker().unwrap();
    let ended = outcome(&stack, &chain).await;
    assert_eq!(ended["output"], "No tool needed.", "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_lacks_is_a_dead_letter_that_names_the_known() {
    let tools = json!({"lookup": {"description": "Looks up.", "command": ["true"]}});
    let stack = stack(&tools, &json!([{"answer": "x"}])).await;
    let _worker = stack.worker().unwrap();
    let document = json!({"id": "both", "steps": [
        {"name": "tool", "prompt": "p", "tools": ["lokup"]},
        {"name": "place", "prompt": "p", "tools": ["run"], "workspace": "ap", "needs": []},
    ], "fail_fast": false});
    begin(&stack, &document).await;
    for (step, class, error) in [
        (
            "tool",
            "unknown_tool",
            "there is no tool `lokup`; did you mean `lookup`?",
        ),
        (
            "place",
            "unknown_workspace",
            "there is no workspace `ap`; did you mean `app`?",
        ),
    ] {
        let id = JobId::parse(&format!("both/{step}")).unwrap();
        let ended = stack.outcome(&id).await.unwrap();
        assert_eq!(ended.error_class.as_deref(), Some(class));
        assert_eq!(ended.error.as_deref(), Some(error));
    }
}

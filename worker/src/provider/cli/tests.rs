//! Tests with shell scripts as tools.

mod outputs;

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use longshore_config::Config;
use longshore_policy::catalog::{Catalog, ProviderEntry};
use longshore_protocol::call::{Call, CallCost, CallError, ChatMessage, ErrorClass, Role, Usage};
use longshore_settings::Environment;
use nix::{sys::signal::kill, unistd::Pid};
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;

use super::CliProvider;
use crate::provider::{Provider, tests::call};

/// A script as a program, in a directory that is deleted with it.
struct Fake {
    directory: TempDir,
    program: PathBuf,
}

fn fake(name: &str, script: &str) -> Fake {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join(name);
    // Another process writes it: a file that is open for writing cannot be run, and a process that another
    // test starts could inherit the open file.
    let mut writer = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(&program)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    write!(input, "#!/bin/sh\n{script}\n").unwrap();
    drop(input);
    assert!(writer.wait().unwrap().success());
    Fake { directory, program }
}

fn catalog() -> Catalog {
    let env = Environment::from_pairs([("PATH", "/usr/bin:/bin"), ("HOME", "/nowhere")]);
    Config::load(&env).unwrap().catalog
}

fn entry(fake: &Fake, args: &[&str]) -> ProviderEntry {
    let mut entry = catalog().platform("claude-cli").unwrap().clone();
    entry.command = std::iter::once(fake.program.to_str().unwrap())
        .chain(args.iter().copied())
        .map(str::to_owned)
        .collect();
    entry
}

fn tool(fake: &Fake, args: &[&str]) -> CliProvider {
    CliProvider::new(&entry(fake, args))
}

fn asking(prompt: &str) -> Call {
    Call {
        messages: vec![ChatMessage::new(Role::User, prompt)],
        timeout: Duration::from_mins(1),
        ..call()
    }
}

async fn fails(fake: &Fake, args: &[&str], call: &Call) -> CallError {
    tool(fake, args).call(call).await.unwrap_err()
}

const TRICKY: &str = "it's \"$(touch owned)\" `id` {model} ;\n--help \\ $HOME | cat &";

#[tokio::test]
async fn a_prompt_is_never_interpreted() {
    let through_input = fake("ask", "cat");
    let answer = tool(&through_input, &["-x"]).call(&asking(TRICKY)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.output, TRICKY);
    let tokens = u64::try_from(TRICKY.len().div_ceil(4)).unwrap();
    let estimate = Usage {
        input: tokens,
        output: tokens,
        ..Usage::default()
    };
    assert_eq!(answer.usage, estimate);

    let as_argument = fake("ask", r#"printf '%s\n' "$#" "$1" "$2"; cat; pwd; ls -A"#);
    let args = ["--model={model}", "--prompt={prompt}"];
    let answer = tool(&as_argument, &args).call(&asking(TRICKY)).await;
    let output = answer.unwrap().output;
    let arguments = format!("2\n--model=some-model\n--prompt={TRICKY}\n");
    let directory = output.strip_prefix(&arguments).unwrap();
    // One line: the directory is empty. It is deleted afterwards.
    assert_eq!(directory.lines().count(), 1);
    assert!(!PathBuf::from(directory).exists(), "{directory}");
}

#[tokio::test]
async fn a_long_prompt_is_passed_on_standard_input() {
    let long = "x".repeat(4 << 20);
    let echo = fake("ask", "cat");
    let answer = tool(&echo, &[]).call(&asking(&long)).await.unwrap();
    assert_eq!(answer.output.len(), long.len());
    let deaf = fake("ask", "echo hello");
    let answer = tool(&deaf, &[]).call(&asking(&long)).await.unwrap();
    assert_eq!(answer.output, "hello");
    let error = fails(&deaf, &["{prompt}"], &asking(&long)).await;
    assert_eq!(error.class, ErrorClass::ContextTooLong, "{error}");
}

#[tokio::test]
async fn a_tool_sees_only_the_given_environment() {
    let spy = fake(
        "ask",
        "env | sed 's/=.*//' | sort | tr '\\n' ' '; echo \"$TERM $ASK_TOKEN\"",
    );
    let mut entry = entry(&spy, &[]);
    let token = ("ASK_TOKEN".to_owned(), SecretString::from("token-1"));
    entry.env.push(token);
    let answer = CliProvider::new(&entry).call(&asking("x")).await.unwrap();
    // The shell adds these variables itself.
    let output = answer.output.replace("OLDPWD ", "").replace("SHLVL ", "");
    assert_eq!(
        output.replace("PWD ", "").replace("_ ", ""),
        "ASK_TOKEN HOME PATH TERM dumb token-1"
    );
}

#[tokio::test]
async fn errors_contain_no_secrets_and_no_prompt() {
    let leak = fake(
        "ask",
        "echo \"bad token $ASK_TOKEN for: $(cat)\" >&2; exit 3",
    );
    let mut entry = entry(&leak, &[]);
    let token = SecretString::from("token-of-some-length");
    entry.env.push(("ASK_TOKEN".to_owned(), token));
    let prompt = "What is the capital of Norway?";
    let error = CliProvider::new(&entry).call(&asking(prompt)).await;
    assert_eq!(
        error.unwrap_err().message,
        "claude-cli: Down or overloaded. bad token *** for: [prompt]"
    );
}

fn alive(pid: &str) -> bool {
    let pid = Pid::from_raw(pid.trim().parse().unwrap());
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie is a process that has ended.
    kill(pid, None).is_ok() && !state.contains(") Z ")
}

/// The process id of the tool's child, once it is written: the file is there, and empty, before that.
async fn child_of(fake: &Fake) -> String {
    let file = fake.directory.path().join("pid");
    loop {
        match fs::read_to_string(&file) {
            Ok(pid) if pid.ends_with('\n') => return pid,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn assert_child_is_killed(fake: &Fake) {
    let pid = child_of(fake).await;
    let end = Instant::now() + Duration::from_secs(20);
    while alive(&pid) {
        assert!(Instant::now() < end, "process {pid} still runs");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A tool with a child that outlives it. The child's process id is in the file `pid`.
fn with_child(end: &str) -> Fake {
    fake(
        "ask",
        &format!("sleep 600 & echo $! > \"$(dirname \"$0\")/pid\"; {end}"),
    )
}

#[tokio::test]
async fn a_timeout_kills_the_tool_and_its_children() {
    let slow = with_child("wait");
    let mut call = asking("x");
    call.timeout = Duration::from_millis(500);
    let error = fails(&slow, &[], &call).await;
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::Timeout, CallCost::Unknown)
    );
    assert_eq!(
        error.message,
        "claude-cli: No answer in time. killed after 0.5 s"
    );
    assert_child_is_killed(&slow).await;
}

#[tokio::test]
async fn a_dropped_call_kills_the_tool_and_its_children() {
    let slow = with_child("wait");
    let provider = tool(&slow, &[]);
    let call = asking("x");
    tokio::select! {
        _ = provider.call(&call) => panic!("it never ends"),
        _ = child_of(&slow) => {}
    }
    assert_child_is_killed(&slow).await;
}

#[tokio::test]
async fn children_that_outlive_the_tool_do_not_delay_the_answer() {
    let careless = with_child("echo done");
    let answer = tool(&careless, &[]).call(&asking("x")).await.unwrap();
    assert_eq!(answer.output, "done");
    assert_child_is_killed(&careless).await;
}

#[tokio::test]
async fn endless_output_is_an_error() {
    let endless = fake("ask", "yes");
    let error = fails(&endless, &[], &asking("x")).await;
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::BadOutput, CallCost::Unknown)
    );
    assert!(error.message.contains("longer than 32 MiB"), "{error}");
    // Stderr is read to the end, and only its end is kept.
    let loud = fake(
        "ask",
        "yes | head -c 3000000 >&2; echo 'too many requests' >&2; exit 1",
    );
    let error = fails(&loud, &[], &asking("x")).await;
    assert_eq!(error.class, ErrorClass::RateLimited, "{error}");
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let mut gone = fake("ask", "");
    gone.program = PathBuf::from("longshore-no-such-program");
    let error = fails(&gone, &[], &asking("x")).await;
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::Auth, CallCost::Nothing)
    );
    assert_eq!(
        error.message,
        "claude-cli: Cannot be used. the program `longshore-no-such-program` is not installed, or not on PATH"
    );
}

#[test]
fn a_conversation_becomes_one_prompt() {
    let mut call = asking("Bye");
    call.system = Some("Be brief.".to_owned());
    assert_eq!(super::prompt::prompt_text(&call), "Be brief.\n\nBye");
    let message = |role, content: &str| ChatMessage::new(role, content);
    call.messages = vec![
        message(Role::User, "Hi"),
        message(Role::Assistant, "Hello"),
        message(Role::User, "Bye"),
    ];
    call.params.response_format =
        Some(json!({"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}));
    insta::assert_snapshot!(super::prompt::prompt_text(&call));
}

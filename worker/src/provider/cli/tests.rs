//! Tools, played by small shell scripts.

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
use longshore_protocol::call::{Call, CallError, ErrorClass, Message, Role, Spend, Usage};
use longshore_settings::Environment;
use nix::{sys::signal::kill, unistd::Pid};
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;

use super::CliProvider;
use crate::provider::{Provider, tests::call};

/// A program that is a script, in a directory that lives as long as it.
struct Fake {
    directory: TempDir,
    program: PathBuf,
}

fn fake(name: &str, script: &str) -> Fake {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join(name);
    // Written by another process: a program that is open for writing here cannot be run, and what
    // the other tests start may hold it open for a moment.
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
        messages: vec![Message {
            role: Role::User,
            content: prompt.to_owned(),
            extra: serde_json::Map::new(),
        }],
        timeout: Duration::from_mins(1),
        ..call()
    }
}

async fn fails(fake: &Fake, args: &[&str], call: &Call) -> CallError {
    tool(fake, args).call(call).await.unwrap_err()
}

const TRICKY: &str = "it's \"$(touch owned)\" `id` {model} ;\n--help \\ $HOME | cat &";

#[tokio::test]
async fn a_prompt_is_never_understood() {
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
    let said = format!("2\n--model=some-model\n--prompt={TRICKY}\n");
    let directory = output.strip_prefix(&said).unwrap();
    // One line: the directory is empty, and it is gone.
    assert_eq!(directory.lines().count(), 1);
    assert!(!PathBuf::from(directory).exists(), "{directory}");
}

#[tokio::test]
async fn a_long_prompt_goes_through_standard_input() {
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
async fn a_tool_sees_only_what_it_was_given() {
    let spy = fake(
        "ask",
        "env | sed 's/=.*//' | sort | tr '\\n' ' '; echo \"$TERM $ASK_TOKEN\"",
    );
    let mut entry = entry(&spy, &[]);
    let token = ("ASK_TOKEN".to_owned(), SecretString::from("token-1"));
    entry.env.push(token);
    let answer = CliProvider::new(&entry).call(&asking("x")).await.unwrap();
    // The shell adds where it is.
    let output = answer.output.replace("OLDPWD ", "").replace("SHLVL ", "");
    assert_eq!(
        output.replace("PWD ", "").replace("_ ", ""),
        "ASK_TOKEN HOME PATH TERM dumb token-1"
    );
}

#[tokio::test]
async fn its_secrets_and_the_prompt_stay_out_of_errors() {
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
    // A zombie is dead, if unburied.
    kill(pid, None).is_ok() && !state.contains(") Z ")
}

async fn dies(fake: &Fake) {
    let file = fake.directory.path().join("pid");
    let pid = loop {
        match fs::read_to_string(&file) {
            Ok(pid) if pid.ends_with('\n') => break pid,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let end = Instant::now() + Duration::from_secs(20);
    while alive(&pid) {
        assert!(Instant::now() < end, "{pid} lives on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A tool with a child that outlives it, and tells that child's number.
fn with_child(end: &str) -> Fake {
    fake(
        "ask",
        &format!("sleep 600 & echo $! > \"$(dirname \"$0\")/pid\"; {end}"),
    )
}

#[tokio::test]
async fn it_dies_with_its_children_at_the_timeout() {
    let slow = with_child("wait");
    let mut call = asking("x");
    call.timeout = Duration::from_millis(500);
    let error = fails(&slow, &[], &call).await;
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::Timeout, Spend::Unknown)
    );
    assert_eq!(
        error.message,
        "claude-cli: No answer in time. killed after 0.5 s"
    );
    dies(&slow).await;
}

#[tokio::test]
async fn it_dies_with_its_children_when_nobody_waits_any_more() {
    let slow = with_child("wait");
    let provider = tool(&slow, &[]);
    let call = asking("x");
    tokio::select! {
        _ = provider.call(&call) => panic!("it never ends"),
        () = async {
            while !slow.directory.path().join("pid").exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } => {}
    }
    dies(&slow).await;
}

#[tokio::test]
async fn children_that_it_leaves_behind_hold_nobody_up() {
    let careless = with_child("echo done");
    let answer = tool(&careless, &[]).call(&asking("x")).await.unwrap();
    assert_eq!(answer.output, "done");
    dies(&careless).await;
}

#[tokio::test]
async fn endless_output_is_cut() {
    let endless = fake("ask", "yes");
    let error = fails(&endless, &[], &asking("x")).await;
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::BadOutput, Spend::Unknown)
    );
    assert!(error.message.contains("longer than 32 MiB"), "{error}");
    // Complaints are read to the end, and only the end is kept.
    let loud = fake(
        "ask",
        "yes | head -c 3000000 >&2; echo 'too many requests' >&2; exit 1",
    );
    let error = fails(&loud, &[], &asking("x")).await;
    assert_eq!(error.class, ErrorClass::RateLimited, "{error}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_told() {
    let mut gone = fake("ask", "");
    gone.program = PathBuf::from("longshore-no-such-program");
    let error = fails(&gone, &[], &asking("x")).await;
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::Auth, Spend::Nothing)
    );
    assert_eq!(
        error.message,
        "claude-cli: Cannot be used. the program `longshore-no-such-program` is not installed, or not on PATH"
    );
}

#[test]
fn a_conversation_becomes_one_text() {
    let mut call = asking("Bye");
    call.system = Some("Be brief.".to_owned());
    assert_eq!(super::prompt::whole(&call), "Be brief.\n\nBye");
    let said = |role, content: &str| Message {
        role,
        content: content.to_owned(),
        extra: serde_json::Map::new(),
    };
    call.messages = vec![
        said(Role::User, "Hi"),
        said(Role::Assistant, "Hello"),
        said(Role::User, "Bye"),
    ];
    call.response_format =
        Some(json!({"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}));
    insta::assert_snapshot!(super::prompt::whole(&call));
}

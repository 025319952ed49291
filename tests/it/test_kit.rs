//! The simulator as a test kit: scripts before real workers in every dialect, and `docs/TESTING.md` as a CI runs it.

use std::{collections::BTreeMap, fs, path::Path};

use longshore_protocol::{outcome::Outcome, state::JobState};
use longshore_settings::{Booleans, yaml};
use longshore_simulator::Script;
use longshore_tests::stack::{Launcher, Options, Process, Ran, Stack};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    dev,
    docs::blocks::{Block, blocks},
};

/// The page of the test kit.
pub(crate) const PAGE: &str = "docs/TESTING.md";

/// One platform for each dialect.
const PLATFORMS: [&str; 3] = ["openai", "anthropic", "gemini"];

/// Whether a block of a document is a file that a test of this module runs.
pub(crate) fn has_a_test(block: &Block) -> bool {
    block.document == PAGE && block.file().is_some()
}

/// A stack with a script, and its worker and scheduler.
async fn scripted(script: &str) -> (Stack, [Process; 2]) {
    let stack = Stack::start(Options::default()).await.unwrap();
    let script = Script::read(Path::new("script.yaml"), script).unwrap();
    stack.simulator.set_script(script);
    let processes = [stack.worker().unwrap(), stack.scheduler().unwrap()];
    (stack, processes)
}

/// The outcomes of a job with this prompt and `rest` on each platform; the prompt names it, so that prompts differ.
async fn on_each(stack: &Stack, prompt: &str, rest: Value) -> Vec<Outcome> {
    let jobs = PLATFORMS.map(|platform| {
        let own = json!({"prompt": format!("{prompt} On {platform}."), "platform": platform, "fallback": false});
        let (own, rest) = (own.as_object().unwrap(), rest.as_object().unwrap());
        let fields: serde_json::Map<_, _> = own.clone().into_iter().chain(rest.clone()).collect();
        Value::Object(fields).to_string()
    });
    let ids = stack.enqueue(&jobs).await.unwrap();
    stack.outcomes(&ids).await.unwrap()
}

/// How often each rule decided.
fn calls(stack: &Stack) -> BTreeMap<String, u64> {
    let report = stack.simulator.script();
    assert_eq!(report.unmatched.prompts, Vec::<String>::new());
    let rules = report.rules.into_iter();
    rules.map(|rule| (rule.name, rule.calls)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_recovers_from_the_faults_of_a_script_in_every_dialect() {
    let (stack, _processes) = scripted(
        "
unmatched: refuse
rules:
  - name: limited
    when: {prompt_contains: Limited.}
    per_prompt: true
    then:
      - {status: 429, retry_after: 100ms, times: 2}
      - {answer: through, usage: {input: 1000, output: 100, cached: 10, reasoning: 20}}
  - name: unwell
    when: {prompt_contains: Unwell.}
    per_prompt: true
    then:
      - {status: 500, times: 1}
      - {fault: drop, times: 1}
      - {answer: through}
  - name: unreadable
    when: {prompt_contains: Unreadable.}
    per_prompt: true
    then:
      - {fault: garbage, times: 1}
      - {fault: empty, times: 1}
      - {answer: through}
  - name: silent
    when: {prompt_contains: Silent.}
    per_prompt: true
    then:
      - {fault: hang, times: 1}
      - {answer: through, latency: 50ms}
",
    )
    .await;
    let limited = on_each(&stack, "Limited.", json!({})).await;
    for outcome in &limited {
        let counts = (
            outcome.input_tokens,
            outcome.output_tokens,
            outcome.cached_tokens,
            outcome.reasoning_tokens,
        );
        assert_eq!(
            (outcome.attempts, counts),
            (3, (1000, 100, 10, 20)),
            "{outcome:?}"
        );
    }
    let unwell = on_each(&stack, "Unwell.", json!({})).await;
    let unreadable = on_each(&stack, "Unreadable.", json!({})).await;
    let silent = on_each(&stack, "Silent.", json!({"timeout": 1})).await;
    for outcome in limited
        .iter()
        .chain(&unwell)
        .chain(&unreadable)
        .chain(&silent)
    {
        assert_eq!(outcome.output.as_deref(), Some("through"), "{outcome:?}");
    }
    let expected = [
        ("limited", 9),
        ("silent", 6),
        ("unreadable", 9),
        ("unwell", 9),
    ];
    assert_eq!(
        calls(&stack),
        expected
            .map(|(name, calls)| (name.to_owned(), calls))
            .into()
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_fails_for_the_reason_that_the_script_gives_in_every_dialect() {
    let (stack, _processes) = scripted(
        "
rules:
  - {name: refused, when: {prompt_contains: Refused.}, then: {fault: refuse}}
  - {name: filtered, when: {prompt_contains: Filtered.}, then: {fault: refuse_prompt}}
  - {name: long, when: {prompt_contains: Long.}, then: {fault: context}}
  - {name: forbidden, when: {prompt_contains: Forbidden.}, then: {status: 403}}
  - {name: rejected, when: {prompt_contains: Rejected.}, then: {status: 422}}
",
    )
    .await;
    for (prompt, class) in [
        ("Refused.", "refused"),
        ("Filtered.", "refused"),
        ("Long.", "context_too_long"),
        ("Forbidden.", "auth"),
        ("Rejected.", "bad_request"),
    ] {
        for outcome in on_each(&stack, prompt, json!({})).await {
            assert_eq!(outcome.state, JobState::Discarded, "{outcome:?}");
            assert_eq!(outcome.error_class.as_deref(), Some(class), "{outcome:?}");
        }
    }
    assert!(calls(&stack).values().all(|calls| *calls >= 3));
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_answers_with_json_and_with_tools_in_every_dialect() {
    let (stack, _processes) = scripted(
        "
unmatched: refuse
rules:
  - name: grade
    when: {json: true}
    then: {answer: {score: 7}}
  - name: look up
    when: {tool: weather}
    then:
      tool_calls:
        - {name: weather, arguments: {city: Oslo}}
        - {name: weather, arguments: {city: Rome}}
",
    )
    .await;
    let schema = json!({"type": "object", "properties": {"score": {"type": "integer"}},
        "required": ["score"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "grade", "schema": schema}});
    let grade = json!({"response_format": format});
    for outcome in on_each(&stack, "Grade it.", grade).await {
        assert_eq!(
            outcome.output.as_deref(),
            Some(r#"{"score":7}"#),
            "{outcome:?}"
        );
    }
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let tool =
        json!({"type": "function", "function": {"name": "weather", "parameters": parameters}});
    for outcome in on_each(&stack, "Warmer?", json!({"tools": [tool]})).await {
        let calls = serde_json::to_value(&outcome.tool_calls).unwrap();
        let calls = calls.as_array().unwrap().iter();
        let cities: Vec<Value> = calls
            .map(|call| {
                let arguments = call["function"]["arguments"].as_str().unwrap();
                serde_json::from_str::<Value>(arguments).unwrap()["city"].clone()
            })
            .collect();
        assert_eq!(cities, ["Oslo", "Rome"], "{outcome:?}");
    }
    assert_eq!(
        calls(&stack),
        [("grade".to_owned(), 3), ("look up".to_owned(), 3)].into()
    );
    stack.books().await.unwrap().balance();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_rule_fails_its_job_at_once() {
    let (stack, _processes) = scripted("unmatched: refuse").await;
    for outcome in on_each(&stack, "Nobody expects this.", json!({})).await {
        assert_eq!(
            (outcome.attempts, outcome.state),
            (1, JobState::Discarded),
            "{outcome:?}"
        );
        let error = outcome.error.unwrap_or_default();
        assert!(
            error.contains("script has no rule for this call"),
            "{error}"
        );
    }
    let unmatched = stack.simulator.script().unmatched;
    assert_eq!(unmatched.calls, 3);
    assert!(
        unmatched.prompts[0].starts_with("Nobody expects this."),
        "{unmatched:?}"
    );
    assert_eq!(stack.simulator.invoice(), []);
}

/// A directory with the files of the page.
async fn project() -> TempDir {
    let dir = dev::directory().await;
    for block in blocks(PAGE) {
        if let Some(file) = block.file() {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &block.text).unwrap();
        }
    }
    dir
}

/// The command of the page that runs the test of the page.
fn command() -> String {
    let commands = blocks(PAGE).into_iter().map(|block| block.text);
    let mut commands = commands.filter(|text| text.starts_with("longshore dev"));
    commands.next().unwrap().trim().to_owned()
}

/// Runs the command of the page in a directory.
async fn run_page(dir: &Path) -> Ran {
    let command = shlex::split(&command()).unwrap();
    let words: Vec<&str> = command.iter().skip(1).map(String::as_str).collect();
    let longshore = Launcher::new(dir, &[]).command("longshore").unwrap();
    let programs = Path::new(longshore.get_program()).parent().unwrap();
    let path = std::env::vars().find(|(name, _)| name == "PATH").unwrap().1;
    let path = format!("{}:{path}", programs.display());
    Launcher::new(dir, &[("PATH", path.as_str())])
        .longshore(&words)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_of_the_page_passes_and_can_fail() {
    let dir = project().await;
    let ran = run_page(dir.path()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");

    // A call that the script does not know, an answer of another price, and a script that is wrong.
    let script = dir.path().join("script.yaml");
    let right = fs::read_to_string(&script).unwrap();
    for (found, instead, said) in [
        ("Summarize", "Translate", "CalledProcessError"),
        ("output: 100", "output: 101", "AssertionError"),
        (
            "prompt_contains",
            "prompt_contain",
            "script.yaml:5: `rules.when.prompt_contain` is not a field; did you mean `prompt_contains`?",
        ),
    ] {
        fs::write(&script, right.replace(found, instead)).unwrap();
        let ran = run_page(dir.path()).await;
        assert!(![None, Some(0)].contains(&ran.code), "{instead}: {ran:?}");
        assert!(ran.stderr.contains(said), "{instead}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workflow_of_the_page_runs_its_test() {
    let dir = project().await;
    let file = Path::new(".github/workflows/test.yml");
    let text = fs::read_to_string(dir.path().join(file)).unwrap();
    let workflow = yaml::load(file, &text, Booleans::Strict).unwrap();
    let workflow = serde_json::to_value(workflow).unwrap();
    assert_eq!(workflow["on"], "push");
    let steps = workflow["jobs"]["test"]["steps"].as_array().unwrap();
    let known = ["name", "uses", "with", "env", "if", "run"];
    for step in steps {
        let step = step.as_object().unwrap();
        assert!(
            step.keys().all(|key| known.contains(&key.as_str())),
            "{step:?}"
        );
        assert!(
            step.contains_key("uses") != step.contains_key("run"),
            "{step:?}"
        );
    }
    let runs = |command: &str| steps.iter().any(|step| step["run"] == command);
    assert!(runs(&command()), "no step runs {}", command());

    // The archive of a release has its programs in `FOLDER/bin`.
    let release = dir.path().join("longshore-0.0.0/bin");
    fs::create_dir_all(&release).unwrap();
    fs::write(release.join("longshore"), "").unwrap();
    let archive = dir.path().join("longshore.tar.gz");
    let shell = |line: &str| {
        let mut bash = std::process::Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", line])
            .current_dir(dir.path());
        bash.env("HOME", dir.path())
            .env("GITHUB_PATH", dir.path().join("path"))
            .env(
                "LONGSHORE_ARCHIVE_URL",
                format!("file://{}", archive.display()),
            );
        let output = bash.output().unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
    };
    shell("tar --create --gzip --file longshore.tar.gz longshore-0.0.0");
    let install = steps
        .iter()
        .find(|step| step["name"] == "Install Longshore")
        .unwrap();
    shell(install["run"].as_str().unwrap());
    let path = fs::read_to_string(dir.path().join("path")).unwrap();
    assert!(Path::new(path.trim()).join("longshore").is_file(), "{path}");
}

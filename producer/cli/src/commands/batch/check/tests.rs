use insta::assert_snapshot;
use longshore_client::StoredTask;
use longshore_config::Config;
use longshore_settings::Environment;

use super::*;

fn check(text: &str, fallback: bool) -> Result<BatchTasks, String> {
    let config = Config::load(&Environment::from_pairs([("X", "y")])).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks");
    std::fs::write(&path, text).unwrap();
    let rules = Rules {
        limits: &MessageLimits::default(),
        catalog: &config.catalog,
        fallback,
    };
    let source = Source::from_path(Some(path.clone()));
    check_tasks(&source, &Form::List, &rules).map_err(|error| {
        let name = format!("{}: ", path.display());
        error.to_string().replace(&name, "")
    })
}

fn stored(tasks: &BatchTasks) -> Vec<StoredTask> {
    let mut reader = tasks.reader().unwrap();
    std::iter::from_fn(|| reader.next_task().unwrap()).collect()
}

#[test]
fn tasks_are_stored_as_written() {
    let text = r#"[{"prompt": "a", "metadata": {"n": 0.10}, "later": 1}, {"prompt": "b", "fallback": true, "id": "x-1"},
        {"prompt": "c", "unique_key": "k"}]"#;
    let kept = stored(&check(text, false).unwrap());
    let messages: Vec<&str> = kept.iter().map(|kept| kept.message.as_str()).collect();
    assert_snapshot!(messages.join("\n"), @r#"
    {"fallback":false,"later":1,"metadata":{"n": 0.10},"prompt":"a"}
    {"fallback":true,"id":"x-1","prompt":"b"}
    {"fallback":false,"prompt":"c","unique_key":"k"}
    "#);
    let identified: Vec<bool> = kept.iter().map(|kept| kept.identified).collect();
    assert_eq!(identified, [false, true, true]);
    assert_eq!(
        kept[1].own_id.as_ref().map(ToString::to_string).as_deref(),
        Some("x-1")
    );
    let free = check(text, true).unwrap();
    assert!(!stored(&free)[0].message.contains("fallback"));
}

#[test]
fn all_faults_are_reported_at_once() {
    let text = r#"[
        {"prompt": "fine"},
        {"prompt": "x", "timeout": "soon", "max_tokens": 0, "platform": "opnai", "temperature": "hot"},
        {"type": "research"},
        "just text",
        {"prompt": "x", "platform": "skynet"},
        {"prompt": "x", "id": "one"},
        {"prompt": "y", "id": "one"},
        {"prompt": "x", "prompt": "y", "seed": "x"},
        {"prompt": "x", "_checkpoint": 1}
    ] []"#;
    assert_snapshot!(check(text, false).unwrap_err(), @r#"
    task 2 (index 1): field `max_tokens`: expected a whole number from 1 to 10000000, but got 0
    task 2 (index 1): field `temperature`: expected a number from 0 to 2, but got "hot"
    task 2 (index 1): field `timeout`: expected seconds, a number over 0 and up to 86400, but got "soon"
    task 2 (index 1): field `platform`: platform `opnai` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
    task 3 (index 2): field `prompt`: expected `prompt`, or `messages`, but got neither
    task 4 (index 3): expected an object: {"prompt": "…"}
    task 5 (index 4): field `platform`: platform `skynet` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
    task 7 (index 6): field `id`: task 6 has the same id
    task 8 (index 7): field `prompt`: expected it once, but got it more often
    task 8 (index 7): field `seed`: expected a whole number from -9007199254740991 to 9007199254740991, but got "x"
    task 9 (index 8): field `_checkpoint`: names that begin with `_` are reserved for the server
    not JSON: trailing characters at line 11 column 7
    "#);
}

#[test]
fn only_the_first_faults_are_listed() {
    let text = format!("[{}]", vec!["1"; 200].join(","));
    let wrong = check(&text, false).unwrap_err();
    assert_eq!(wrong.lines().count(), 51);
    assert!(
        wrong.ends_with(
            "task 50 (index 49): expected an object: {\"prompt\": \"…\"}\n… and 150 more"
        ),
        "{wrong}"
    );
}

//! Valid and invalid files of tasks.

use insta::assert_snapshot;
use longshore_client::{Chain, MessageLimits};
use longshore_settings::Environment;

use super::*;

fn read(text: &str, only: Option<&str>) -> Result<Vec<Task>, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("src")).unwrap();
    std::fs::write(
        directory.path().join("src/a.rs"),
        "fn a() { let x = \"{{ }}\"; }\n",
    )
    .unwrap();
    for name in ["b", "c", "d", "e", "f"] {
        std::fs::write(directory.path().join(name), name.repeat(250_000)).unwrap();
    }
    let config = Config::load(&Environment::from_pairs([("X", "y")])).unwrap();
    let path = Path::new("tasks.yaml");
    parse_tasks(path, text, directory.path(), only, &config)
        .map_err(|problems| problems.to_string())
}

const VALID: &str = r#"tasks:
  - id: MY-TASK-001
    goal: "Add docstrings to ContextBuilder class"
    risk: low
    area: docs
    repo: acme/app
    context_files:
      - src/a.rs
    constraints:
      - ZERO-WARNINGS
      - Follow Google docstring format
  - id: MY-TASK-002
    goal: Make it faster
    risk: high
    area: core
    complexity: complex
"#;

#[test]
fn a_file_becomes_a_chain_of_steps() {
    let tasks = read(VALID, None).unwrap();
    let text = super::super::document::chain_json(Path::new("x/tasks.yaml"), &tasks);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_snapshot!(serde_json::to_string_pretty(&document).unwrap(), @r#"
    {
      "name": "tasks.yaml",
      "steps": [
        {
          "area": "docs",
          "metadata": {
            "repo": "acme/app",
            "task_id": "MY-TASK-001"
          },
          "name": "MY_TASK_001",
          "prompt": "Add docstrings to ContextBuilder class\n\nRepository: acme/app\n\nConstraints:\n- ZERO-WARNINGS\n- Follow Google docstring format\n\nFiles:\n\nsrc/a.rs\n```\nfn a() { let x = \"{{ '{{' }} }}\"; }\n```",
          "risk": "low",
          "type": "documentation"
        },
        {
          "area": "core",
          "complexity": "complex",
          "metadata": {
            "task_id": "MY-TASK-002"
          },
          "name": "MY_TASK_002",
          "prompt": "Make it faster",
          "risk": "high"
        }
      ]
    }
    "#);
    Chain::from_json(text, &MessageLimits::default()).unwrap();
    assert_snapshot!(super::super::task_table(&tasks, crate::render::table::Width::of(80)), @"
    TASK                STEP  TYPE           RISK  AREA  FILES  BYTES  GOAL
    MY-TASK-001  MY_TASK_001  documentation  low   docs      1     28  Add docstrings to C…
    MY-TASK-002  MY_TASK_002  -              high  core      0      0  Make it faster
    ");
    assert_snapshot!(super::super::task_table(&tasks, crate::render::table::Width::of(140)), @"
    TASK                STEP  TYPE           RISK  AREA  FILES  BYTES  GOAL
    MY-TASK-001  MY_TASK_001  documentation  low   docs      1     28  Add docstrings to ContextBuilder class
    MY-TASK-002  MY_TASK_002  -              high  core      0      0  Make it faster
    ");
}

#[test]
fn one_task_can_be_selected() {
    let ids = |only| -> Vec<String> {
        let tasks = read(VALID, Some(only)).unwrap();
        tasks.into_iter().map(|task| task.id).collect()
    };
    assert_eq!(ids("MY-TASK-002"), ["MY-TASK-002"]);
    assert_eq!(
        read(VALID, Some("OTHER")).unwrap_err(),
        "tasks.yaml: no task `OTHER`; expected one of MY-TASK-001, MY-TASK-002"
    );
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = "tasks:
  - goal: no id
  - id: one
    goal: ''
    context_files:
      - ../secret
      - none
  - id: two
    goal: x
    risk: two words
    platform: skynet
  - id: two
    goal: the id is taken
  - id: three
    goal: too much
    context_files: [b, c, d, e, f]
  - id: four
    gaol: misspelt
    constraints: none
    max_tokens: many
    complexity: { very: much }
    area: \"\\u0007\"
    note: unknown
  - just text
  - id: [5]
    id: six
    goal: Both wrong
    platform: [a]
    context_files: { b: c }
    max_tokens: [1]
job: []
";
    assert_snapshot!(read(text, None).unwrap_err(), @r#"
    tasks.yaml:2: task `?`: expected `id`, a text of 1 to 200 characters
    tasks.yaml:4: task `one`: expected `goal`, a text that describes the task
    tasks.yaml:6: task `one`: context_files: expected a relative path in the working directory, without `..`, but got `../secret`
    tasks.yaml:7: task `one`: context_files: `none` cannot be read: No such file or directory (os error 2)
    tasks.yaml:11: task `two`: field `platform`: platform `skynet` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
    tasks.yaml:12: task `two`: duplicate id, first used on line 8
    tasks.yaml:14: task `three`: expected a message of at most 1048576 bytes, but got 1250150
    tasks.yaml:16: task `three`: context_files: expected at most 1,048,576 bytes in all, but got 1,250,000
    tasks.yaml:18: `tasks.gaol` is not a field; did you mean `goal`?
    tasks.yaml:19: `tasks.constraints` is a single value; expected a list: [one, another], or lines `- one` under it, indented
    tasks.yaml:20: task `four`: field `max_tokens`: expected a whole number from 1 to 10000000, but got `many`
    tasks.yaml:21: `tasks.complexity` is a map; expected a single value
    tasks.yaml:22: task `four`: field `area`: expected text of 1 to 64 characters without control characters, but got "\u0007"
    tasks.yaml:23: `tasks.note` is not a field; expected one of id, goal, type, risk, area, complexity, platform, recipe, max_tokens, repo, context_files, constraints
    tasks.yaml:24: entry 7 of `tasks` is a single value; expected a map: lines `name: value` under it, indented
    tasks.yaml:25: `tasks.id` is a list; expected a single value
    tasks.yaml:26: `tasks.id` is set twice, first on line 25; remove one
    tasks.yaml:28: `tasks.platform` is a list; expected a single value
    tasks.yaml:29: `tasks.context_files` is a map; expected a list: [one, another], or lines `- one` under it, indented
    tasks.yaml:30: `tasks.max_tokens` is a list; expected a single value
    tasks.yaml:31: `job` is not a field; expected `tasks`
    "#);
}

#[test]
fn invalid_files_are_reported() {
    let texts = [
        "",
        "tasks: []",
        "tasks:\n  - id: a\n    gaol: x\n",
        "tasks:\n  - just text\n",
        "tasks:\n  - id: [\n",
        "jobs: []\n",
    ];
    let wrong = texts.map(|text| read(text, None).unwrap_err());
    assert_snapshot!(wrong.join("\n"), @"
    tasks.yaml: expected `tasks`, a list of at least one task
    tasks.yaml: expected `tasks`, a list of at least one task
    tasks.yaml:3: `tasks.gaol` is not a field; did you mean `goal`?
    tasks.yaml:2: entry 1 of `tasks` is a single value; expected a map: lines `name: value` under it, indented
    tasks.yaml:2: this is not YAML, in or after `id`: unclosed bracket '['; expected `name: value`, with quotes around a value that contains any of : # { } [ ] , & * ? | > @ `
    tasks.yaml:1: `jobs` is not a field; expected `tasks`
    ");
}

#[test]
fn step_names_come_from_task_ids() {
    let mut taken = HashSet::new();
    let ids = ["MY-TASK-001", "MY_TASK_001", "7", "on_complete", "ä b"];
    let names = ids.map(|id| step_name(id, &mut taken).unwrap().to_string());
    assert_eq!(
        names,
        ["MY_TASK_001", "MY_TASK_001_2", "_7", "on_complete_2", "__b"]
    );
    let long = step_name(&"x".repeat(200), &mut taken).unwrap();
    assert_eq!(long.as_str().len(), LONGEST_STEP_NAME);
}

#[test]
fn max_tokens_limits_the_answer_of_a_task() {
    let file = |tokens: &str| format!("tasks:\n  - id: a\n    goal: g\n    max_tokens: {tokens}\n");
    let tasks = read(&file("400"), None).unwrap();
    assert!(tasks[0].job.to_json().contains(r#""max_tokens":400"#));
    for tokens in ["0", "many"] {
        let wrong = read(&file(tokens), None).unwrap_err();
        assert!(
            wrong
                .starts_with("tasks.yaml:4: task `a`: field `max_tokens`: expected a whole number"),
            "{wrong}"
        );
    }
}

//! `longshore route`: which platforms would answer a task, and why. Needs no provider, Redis or Postgres.

mod report;

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use longshore_client::Job;
use longshore_config::Config;
use longshore_policy::routing::Router;
use longshore_protocol::clock::local_time;

use self::report::{Report, RoutedTask};
use crate::{
    error::{CommandError, Exit},
    input::Source,
    options::{self, check_platform},
    output::TableOutput,
    session::Session,
};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("task").required(true).args(["file", "prompt"]))]
pub(crate) struct Arguments {
    /// JSON file with a task or a list of tasks; `-` reads stdin
    file: Option<PathBuf>,
    /// Show every step of the decision, and the possible cost of each candidate
    #[arg(long)]
    explain: bool,
    /// Prompt, instead of a file
    #[arg(long, short, allow_hyphen_values = true)]
    prompt: Option<String>,
    /// Job type
    #[arg(long = "type", short = 't', value_name = "TYPE", requires = "prompt")]
    task_type: Option<String>,
    /// Preferred platform
    #[arg(long, requires = "prompt")]
    platform: Option<String>,
    /// Pinned model
    #[arg(long, requires = "prompt")]
    model: Option<String>,
    /// Harm that a wrong answer would do: low, medium, high
    #[arg(long, requires = "prompt")]
    risk: Option<String>,
    /// Area of the task, for example core, api, docs
    #[arg(long, requires = "prompt")]
    area: Option<String>,
    /// Difficulty: simple, medium, complex
    #[arg(long, requires = "prompt")]
    complexity: Option<String>,
    #[command(flatten)]
    output: TableOutput,
}

/// Exit code 1 if a task has no candidate.
pub(crate) fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let (output, explain) = (arguments.output, arguments.explain);
    let report = report(arguments, &session.config, local_time())?;
    output.print_with(&report.to_json(explain), |width| {
        report.to_text(explain, width)
    });
    Ok(Exit::success_if(report.all_routed()))
}

fn report(
    arguments: Arguments,
    config: &Config,
    now: DateTime<Utc>,
) -> Result<Report, CommandError> {
    let router = Router::new(&config.catalog, &config.routing, now.date_naive());
    let mut tasks = Vec::new();
    for job in read_jobs(arguments, config)? {
        let envelope = job
            .check(&config.limits)
            .map_err(|wrong| CommandError::Input(wrong.to_string()))?;
        tasks.push(RoutedTask::new(&envelope, &router, &config.routing, now));
    }
    Ok(Report { tasks })
}

fn read_jobs(arguments: Arguments, config: &Config) -> Result<Vec<Job>, CommandError> {
    let Some(prompt) = &arguments.prompt else {
        return Source::from_path(arguments.file).task_or_tasks(&config.limits, &config.catalog);
    };
    let job = Job::prompt(prompt);
    let job = options::with_fields(
        job,
        [
            ("type", &arguments.task_type),
            ("platform", &arguments.platform),
            ("model", &arguments.model),
            ("risk", &arguments.risk),
            ("area", &arguments.area),
            ("complexity", &arguments.complexity),
        ],
    );
    if let Some(name) = &arguments.platform {
        check_platform(name, &config.catalog)
            .map_err(|error| CommandError::Input(format!("--platform: {error}")))?;
    }
    options::check_job(&job, &config.limits)?;
    Ok(vec![job])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;
    use insta::assert_snapshot;
    use longshore_settings::Environment;
    use serde_json::json;

    use super::*;
    use crate::render::table::Width;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn routed(options: &[&str]) -> Result<Report, String> {
        let command_line = ["route"].iter().chain(options);
        let program = Program::try_parse_from(command_line).map_err(|error| error.to_string())?;
        let env = Environment::from_pairs([("OPENAI_API_KEY", "x"), ("ANTHROPIC_API_KEY", "x")]);
        let config = Config::from_yaml(&env, Path::new("longshore.yaml"), "").unwrap();
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        report(program.arguments, &config, now).map_err(|error| error.to_string())
    }

    #[test]
    fn candidates_are_listed_in_order() {
        let report = routed(&["-p", "Hi"]).unwrap();
        assert!(report.all_routed());
        assert_snapshot!(report.to_text(false, Width::of(80)), @"
        #  PLATFORM   MODEL
        1  openai     gpt-4o-mini
        2  anthropic  claude-haiku-4-5
        ");
        assert_snapshot!(report.to_text(false, Width::of(140)), @r#"
        #  PLATFORM   MODEL
        1  openai     gpt-4o-mini
        2  anthropic  claude-haiku-4-5
        "#);
    }

    #[test]
    fn explain_shows_every_step_and_the_possible_costs() {
        let options = [
            "--explain",
            "-p",
            "Prove it.",
            "--risk",
            "medium",
            "--area",
            "tests",
            "--platform",
            "chatgpt",
        ];
        let report = routed(&options).unwrap();
        assert_snapshot!(report.to_text(true, Width::of(80)), @"
        #  PLATFORM   MODEL                ABOUT  AT MOST  WHY
        1  openai     gpt-6.1-terra      $0.0025  $0.6400  platform hinted by the job
        2  anthropic  claude-sonnet-5-5  $0.0050  $1.2801  cheapest of tier standard or
                                                           above, for its risk and
                                                           complexity
        (--wide also shows TIER, BILLING)

        STEP               OUTCOME
        pin                -
        hint               openai/gpt-6.1-terra first
        rule               `medium-risk tests and services` matches no available model:
                           model `gemini-2.5-pro` has no provider: platform `gemini` is
                           off: GOOGLE_API_KEY is not set; platform `gemini-cli` is off:
                           on only if `providers.gemini-cli.enabled` is true in
                           longshore.yaml
        tier               at least standard: openai/gpt-6.1-terra,
                           anthropic/claude-sonnet-5-5
        keywords           -
        cost               -
        prefer_local       -
        fallback_provider  -
        max_cost           -
        needs              -
        fallback           -
        escalation         -

        Prompt: about 8 tokens, at most 13
        ");
        assert_snapshot!(report.to_text(true, Width::of(140)), @"
        #  PLATFORM   MODEL              TIER      BILLING    ABOUT  AT MOST  WHY
        1  openai     gpt-6.1-terra      standard  paid     $0.0025  $0.6400  platform hinted by the job
        2  anthropic  claude-sonnet-5-5  standard  paid     $0.0050  $1.2801  cheapest of tier standard or above, for its risk and complexity

        STEP               OUTCOME
        pin                -
        hint               openai/gpt-6.1-terra first
        rule               `medium-risk tests and services` matches no available model: model `gemini-2.5-pro` has no provider: platform `gemini` is
                           off: GOOGLE_API_KEY is not set; platform `gemini-cli` is off: on only if `providers.gemini-cli.enabled` is true in
                           longshore.yaml
        tier               at least standard: openai/gpt-6.1-terra, anthropic/claude-sonnet-5-5
        keywords           -
        cost               -
        prefer_local       -
        fallback_provider  -
        max_cost           -
        needs              -
        fallback           -
        escalation         -

        Prompt: about 8 tokens, at most 13
        ");
        let json = serde_json::to_string_pretty(&report.to_json(true)).unwrap();
        assert_snapshot!(json, @r#"
        {
          "tasks": [
            {
              "candidates": [
                {
                  "about_usd": "0.002508",
                  "at_most_usd": "0.64001625",
                  "billing": "paid",
                  "model": "gpt-6.1-terra",
                  "platform": "openai",
                  "reason": "platform hinted by the job",
                  "tier": "standard"
                },
                {
                  "about_usd": "0.005016",
                  "at_most_usd": "1.280052",
                  "billing": "paid",
                  "model": "claude-sonnet-5-5",
                  "platform": "anthropic",
                  "reason": "cheapest of tier standard or above, for its risk and complexity",
                  "tier": "standard"
                }
              ],
              "error": null,
              "prompt": "Prove it.",
              "prompt_tokens": {
                "about": 8,
                "at_most": 13
              },
              "steps": [
                {
                  "outcome": "openai/gpt-6.1-terra first",
                  "step": "hint"
                },
                {
                  "outcome": "`medium-risk tests and services` matches no available model: model `gemini-2.5-pro` has no provider: platform `gemini` is off: GOOGLE_API_KEY is not set; platform `gemini-cli` is off: on only if `providers.gemini-cli.enabled` is true in longshore.yaml",
                  "step": "rule"
                },
                {
                  "outcome": "at least standard: openai/gpt-6.1-terra, anthropic/claude-sonnet-5-5",
                  "step": "tier"
                }
              ]
            }
          ]
        }
        "#);
        let plain = serde_json::to_string(&report.to_json(false)).unwrap();
        assert_snapshot!(plain, @r#"{"tasks":[{"candidates":[{"model":"gpt-6.1-terra","platform":"openai"},{"model":"claude-sonnet-5-5","platform":"anthropic"}],"prompt":"Prove it."}]}"#);
    }

    #[test]
    fn explain_shows_what_a_job_may_cost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("task.json");
        let capped = |cap: &str| {
            let task = json!({"prompt": "a", "risk": "medium", "max_cost_usd": cap});
            std::fs::write(&path, task.to_string()).unwrap();
            let report = routed(&["--explain", path.to_str().unwrap()]).unwrap();
            let text = report.to_text(true, Width::UNLIMITED);
            let shown =
                |line: &&str| line.starts_with(['1', '2', 'N']) || line.contains("max_cost");
            text.lines().filter(shown).collect::<Vec<_>>().join("\n")
        };
        assert_snapshot!(["0.1", "0.03", "0.001"].map(capped).join("\n"), @r"
        1  openai     gpt-6.1-terra      standard  paid     $0.0025  $0.1000  cheapest of tier standard or above, for its risk and complexity; answer limited to 19,998 tokens by its cost
        2  anthropic  claude-sonnet-5-5  standard  paid     $0.0050  $0.1000  cheapest of tier standard or above, for its risk and complexity; answer limited to 9,998 tokens by its cost
        max_cost           -
        1  openai    gpt-6.1-terra  standard  paid     $0.0025  $0.0300  cheapest of tier standard or above, for its risk and complexity; answer limited to 5,998 tokens by its cost
        max_cost           without anthropic/claude-sonnet-5-5: it could cost $1.28002, and max_cost_usd allows $0.03
        No platform: openai/gpt-6.1-terra: it could cost $0.64000625, and max_cost_usd allows $0.001; anthropic/claude-sonnet-5-5: it could cost $1.28002, and max_cost_usd allows $0.001
        ");
    }

    #[test]
    fn a_file_has_one_task_or_many() {
        let directory = tempfile::tempdir().unwrap();
        let written = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let one = written("one.json", r#"{"prompt": "a", "model": "gpt-4o"}"#);
        assert_snapshot!(routed(&[&one]).unwrap().to_text(false, Width::UNLIMITED), @r#"
        #  PLATFORM  MODEL
        1  openai    gpt-4o
        "#);
        let many = written(
            "many.json",
            r#"[{"prompt": "a bash script"}, {"prompt": "b", "model": "gpt-9000"}]"#,
        );
        let report = routed(&[&many]).unwrap();
        assert!(!report.all_routed());
        assert_snapshot!(report.to_text(false, Width::UNLIMITED), @r#"
        Task 1: a bash script
        #  PLATFORM   MODEL
        1  openai     gpt-4o-mini
        2  anthropic  claude-haiku-4-5

        Task 2: b
        No platform: model `gpt-9000` is not in the catalog; add it under `models:` in longshore.yaml, with its prices
        "#);
        let wrong = written("wrong.json", r#"{"prompt": "a", "timeout": "soon"}"#);
        let wrong = routed(&[&wrong]).unwrap_err();
        assert!(
            wrong.contains("wrong.json: task 1 (index 0): field `timeout`"),
            "{wrong}"
        );
    }

    #[test]
    fn errors_name_the_option() {
        let wrong = [
            routed(&["-p", "x", "--platform", "skynet"]).unwrap_err(),
            routed(&["-p", "x", "--type", "two words"]).unwrap_err(),
            routed(&["-p", "x", "--risk", ""]).unwrap_err(),
        ];
        assert_snapshot!(wrong.join("\n"), @r#"
        --platform: platform `skynet` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
        --type: expected text of 1 to 200 characters of [A-Za-z0-9._:/-], but got "two words"
        --risk: expected text of 1 to 64 characters without control characters, but got ""
        "#);
        for options in [
            &[][..],
            &["-p", "x", "task.json"],
            &["task.json", "--risk", "low"],
        ] {
            assert!(routed(options).is_err(), "{options:?}");
        }
    }
}

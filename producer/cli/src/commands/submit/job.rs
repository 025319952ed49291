//! Builds a job from the options.

use longshore_client::Job;
use longshore_config::Config;
use longshore_policy::catalog::Catalog;
use longshore_protocol::envelope::{Envelope, FIELDS, MessageLimits};
use serde_json::{Map, Value, json};

use super::Arguments;
use crate::{
    error::CommandError,
    input::unknown_field,
    options::{self, Assignment, check_platform},
    output,
};

/// The job that the options describe. Errors name the option; all of them are reported at once.
pub(super) fn from_arguments(
    arguments: &Arguments,
    catalog: &Catalog,
    limits: &MessageLimits,
) -> Result<Job, CommandError> {
    let mut problems = Vec::new();
    if let Some(name) = &arguments.platform
        && let Err(error) = check_platform(name, catalog)
    {
        problems.push(format!("--platform: {error}"));
    }
    // `reply` also with `--detach`: a later `submit --id` without it is then the same job, and gets its answer.
    let job = Job::prompt(&arguments.prompt).task_type(&arguments.task_type);
    // The timeout is that of one call, which a recipe decides.
    let job = match &arguments.recipe {
        Some(name) => job.recipe(name).parameters(parameters(arguments)),
        None => job.timeout(arguments.timeout),
    };
    let job = match &arguments.reply_to {
        Some(reader) => job.reply_to(reader),
        None => job.reply(true),
    };
    let mut job = options::with_fields(
        job,
        [
            ("platform", &arguments.platform),
            ("model", &arguments.model),
            ("chain_id", &arguments.chain_id),
            ("id", &arguments.id),
            ("system", &arguments.system),
            ("tenant", &arguments.tenant),
            ("risk", &arguments.risk),
            ("area", &arguments.area),
            ("complexity", &arguments.complexity),
            ("max_cost_usd", &arguments.max_cost_usd),
        ],
    );
    if let Some(tokens) = arguments.max_tokens {
        job = job.max_tokens(tokens);
    }
    if let Some(delay) = arguments.delay {
        job = job.delay(delay);
    }
    match arguments.metadata.as_deref().map(parse_metadata) {
        Some(Ok(metadata)) => job = job.with("metadata", metadata),
        Some(Err(error)) => problems.push(format!("--metadata: {error}")),
        None => {}
    }
    if arguments.no_fallback {
        job = job.fallback(false);
    }
    for Assignment { field, value } in &arguments.set {
        let value: Value = serde_json::from_str(value.get()).unwrap_or_default();
        job = job.with(field, value);
    }
    if let Err(error) = options::check_job(&job, limits) {
        problems.push(name_set_fields(&error.to_string(), &arguments.set));
    }
    if problems.is_empty() {
        Ok(job)
    } else {
        Err(CommandError::Input(problems.join("\n")))
    }
}

/// The parameters of the recipe.
fn parameters(arguments: &Arguments) -> Map<String, Value> {
    let mut parameters = options::object(&arguments.parameters);
    if !arguments.models.is_empty() {
        parameters.insert("models".to_owned(), json!(arguments.models));
    }
    parameters
}

/// What this configuration knows of the job's recipe. One that it does not have may be in that of the workers.
pub(super) fn check_recipe(envelope: &Envelope, config: &Config) -> Result<(), CommandError> {
    let Some(call) = &envelope.recipe else {
        return Ok(());
    };
    match config.recipes.find(&call.name) {
        Ok(recipe) => {
            let example = recipe.example(&call.parameters, 1, &config.limits);
            let checked = example.map_err(|error| CommandError::Input(error.to_string()));
            checked.map(|_| ())
        }
        Err(unknown) => {
            output::warning(format_args!("{unknown}; the workers may have it"));
            Ok(())
        }
    }
}

fn parse_metadata(text: &str) -> Result<Value, String> {
    const EXPECTED: &str = r#"expected a JSON object, such as '{"asset_id": 1}'"#;
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(Value::Object(members)),
        Ok(other) => Err(format!("{EXPECTED}, but got {other}")),
        Err(error) => Err(format!("{EXPECTED}: {error}")),
    }
}

/// The fields that have options of their own, with these.
const WITH_OPTION: &[(&str, &str)] = &[
    ("prompt", "--prompt"),
    ("type", "--type"),
    ("platform", "--platform"),
    ("model", "--model"),
    ("risk", "--risk"),
    ("area", "--area"),
    ("complexity", "--complexity"),
    ("max_cost_usd", "--max-cost-usd"),
    ("chain_id", "--chain-id"),
    ("timeout", "--timeout"),
    ("id", "--id"),
    ("max_tokens", "--max-tokens"),
    ("system", "--system"),
    ("delay", "--delay"),
    ("tenant", "--tenant"),
    ("metadata", "--metadata"),
    ("fallback", "--no-fallback"),
    ("reply", "--reply-to"),
    ("recipe", "--recipe"),
    ("parameters", "--parameter"),
];

/// Parses `--set`: a field that the protocol knows and that has no option of its own.
pub(super) fn other_field(text: &str) -> Result<Assignment, String> {
    let assignment = Assignment::parse(text)?;
    let field = assignment.field.as_str();
    if let Some((_, option)) = WITH_OPTION.iter().find(|(name, _)| *name == field) {
        return Err(format!(
            "field `{field}` has an option of its own: {option}"
        ));
    }
    if !FIELDS.contains(&field) {
        return Err(unknown_field(field, FIELDS));
    }
    Ok(assignment)
}

/// The errors, with `--set` before the fields that it gave: they have no options of their own.
fn name_set_fields(errors: &str, set: &[Assignment]) -> String {
    let lines = errors.lines().map(|line| {
        let given = set.iter().find_map(|Assignment { field, .. }| {
            let rest = line.strip_prefix(&format!("--{}:", field.replace('_', "-")))?;
            Some(format!("--set {field}:{rest}"))
        });
        given.unwrap_or_else(|| line.to_owned())
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use insta::assert_snapshot;
    use longshore_settings::Environment;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn built(options: &[&str]) -> Result<Job, CommandError> {
        let command_line = ["submit"].iter().chain(options);
        let program = Program::try_parse_from(command_line).unwrap();
        let config = Config::load(&Environment::from_pairs([("X", "y")])).unwrap();
        from_arguments(
            &program.arguments,
            &config.catalog,
            &MessageLimits::default(),
        )
    }

    fn refused(options: &[&str]) -> String {
        built(options).unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        assert_snapshot!(built(&["-p", "Hi"]).unwrap().to_json(), @r#"{"prompt":"Hi","reply":true,"timeout":300,"type":"code_generation"}"#);
    }

    #[test]
    fn every_option_sets_its_field() {
        let job = built(&[
            "--prompt",
            "- a list",
            "-t",
            "research",
            "--platform",
            "ChatGPT",
            "--model",
            "gpt-4o-mini",
            "--chain-id",
            "c1",
            "--timeout",
            "1.5",
            "--id",
            "inv-42",
            "--max-tokens",
            "20",
            "--system",
            "Brief.",
            "--delay",
            "60",
            "--tenant",
            "acme",
            "--metadata",
            "{\"a\": [1]}",
            "--risk",
            "low",
            "--area",
            "docs",
            "--complexity",
            "simple",
            "--max-cost-usd",
            "0.05",
            "--set",
            "temperature=0.5",
            "--set",
            "unique_key=k",
            "--no-fallback",
        ]);
        assert_snapshot!(job.unwrap().to_json(), @r#"{"area":"docs","chain_id":"c1","complexity":"simple","delay":60,"fallback":false,"id":"inv-42","max_cost_usd":"0.05","max_tokens":20,"metadata":{"a":[1]},"model":"gpt-4o-mini","platform":"ChatGPT","prompt":"- a list","reply":true,"risk":"low","system":"Brief.","temperature":0.5,"tenant":"acme","timeout":1.5,"type":"research","unique_key":"k"}"#);
    }

    #[test]
    fn set_takes_the_fields_without_an_option() {
        let wrong = ["temprature=1", "max_tokens=5", "temperature"];
        let wrong = wrong.map(|text| other_field(text).unwrap_err());
        assert_snapshot!(wrong.join("\n"), @"
        unknown field `temprature`; did you mean `temperature`?
        field `max_tokens` has an option of its own: --max-tokens
        expected FIELD=VALUE, such as timeout=60, but got `temperature`
        ");
        for (field, _) in WITH_OPTION {
            assert!(FIELDS.contains(field), "{field}");
        }
    }

    #[test]
    fn errors_name_the_option() {
        let wrong = [
            refused(&["-p", ""]),
            refused(&["-p", "x", "--type", "two words"]),
            refused(&["-p", "x", "--platform", "skynet"]),
            refused(&["-p", "x", "--timeout", "0"]),
            refused(&["-p", "x", "--timeout", "90000"]),
            refused(&["-p", "x", "--max-tokens", "0"]),
            refused(&["-p", "x", "--id", "1-2"]),
            refused(&["-p", "x", "--chain-id", ""]),
            refused(&["-p", "x", "--max-cost-usd", "5 cents"]),
            refused(&["-p", "x", "--set", "temperature=hot"]),
            refused(&["-p", "x", "--metadata", "{"]),
            refused(&["-p", "x", "--metadata", "[1]"]),
            refused(&[
                "-p",
                "",
                "--platform",
                "skynet",
                "--metadata",
                "7",
                "--set",
                "temperature=9",
            ]),
            refused(&["-p", &"x".repeat(1 << 20)]),
        ];
        assert_snapshot!(wrong.join("\n"), @r#"
        --prompt: expected text that is not empty, but got ""
        --type: expected text of 1 to 200 characters of [A-Za-z0-9._:/-], but got "two words"
        --platform: platform `skynet` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
        --timeout: expected seconds, a number over 0 and up to 86400, but got 0
        --timeout: expected seconds, a number over 0 and up to 86400, but got 90000
        --max-tokens: expected a whole number from 1 to 10000000, but got 0
        --id: expected an id that is not of the server's own form (1795232878059-0, queue:1795232878059-0), but got "1-2"
        --chain-id: expected text of 1 to 200 characters without control characters, but got ""
        --max-cost-usd: expected US dollars over 0 as decimal text, such as "0.05", but got "5 cents"
        --set temperature: expected a number from 0 to 2, but got "hot"
        --metadata: expected a JSON object, such as '{"asset_id": 1}': EOF while parsing an object at line 1 column 1
        --metadata: expected a JSON object, such as '{"asset_id": 1}', but got [1]
        --platform: platform `skynet` is not known; expected one of openai, anthropic, gemini, deepseek, xai, moonshot, zhipu, minimax, openrouter, ollama, claude-cli, codex-cli, gemini-cli (or claude_code, chatgpt)
        --metadata: expected a JSON object, such as '{"asset_id": 1}', but got 7
        --prompt: expected text that is not empty, but got ""
        --set temperature: expected a number from 0 to 2, but got 9
        expected a message of at most 1048576 bytes, but got 1048644
        "#);
    }
}

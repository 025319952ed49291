//! `longshore cron add`.

use std::path::PathBuf;

use longshore_broker::NextTick;
use longshore_policy::cron::{CronDefinition, CronDefinitionText, CronFaults, CronJob, Source};
use longshore_protocol::id::{CronName, DEFAULT_QUEUE};
use serde_json::{Map, Value};

use super::require_unchanged;
use crate::{
    audit,
    error::{CommandError, Exit},
    input::{read_prompt, read_stdin},
    output,
    render::time::{from_unix_ms, timestamp},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Name: 1 to 64 characters of [A-Za-z0-9._-]
    #[arg(value_parser = CronName::parse)]
    name: CronName,
    /// Cron expression (minute, hour, day, month, weekday), or @daily and similar: "0 3 * * *"
    #[arg(
        long,
        value_name = "CRON",
        required_unless_present = "every",
        conflicts_with = "every"
    )]
    schedule: Option<String>,
    /// Interval instead of a schedule: 30s, 10m, 1d
    #[arg(long, value_name = "TIME")]
    every: Option<String>,
    /// Time zone of the schedule [default: UTC]
    #[arg(long, value_name = "ZONE", conflicts_with = "every")]
    timezone: Option<String>,
    /// What to do with ticks missed while no scheduler ran: skip, once (one run for all), all
    #[arg(long, value_name = "WORD", default_value = "once")]
    missed: String,
    /// Queue
    #[arg(long, value_name = "NAME", default_value = DEFAULT_QUEUE)]
    queue: String,
    /// Prompt; `-` reads it from stdin
    #[arg(
        long,
        short,
        required_unless_present = "job",
        conflicts_with = "job",
        allow_hyphen_values = true
    )]
    prompt: Option<String>,
    /// File with the job as JSON, without `id`; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    job: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let name = &arguments.name;
    let limits = &session.config.limits;
    let definition = CronDefinition::read_checked(&written(&arguments)?, name, limits)
        .map_err(|wrong| option_error(&wrong))?;
    let broker = session.broker().await?;
    let is_configured = session.fleet_config(&broker).await?.cron.contains_key(name);
    if is_configured {
        return Err(CommandError::Input(format!(
            "recurring job `{name}` already exists in the configuration; change it there, or choose another name"
        )));
    }
    if broker.cron().record(name).await?.is_some() {
        return Err(CommandError::Input(format!(
            "recurring job `{name}` already exists; choose another name, or remove it with \
             `longshore cron remove {name}`"
        )));
    }
    let now = from_unix_ms(broker.server().time_ms().await?);
    let first = definition.timing.next_after(now);
    let entry = CronJob {
        source: Source::Command,
        paused: false,
        definition,
    };
    let next = first.map_or(NextTick::Never, NextTick::At);
    let put = broker.cron().put(None, name, None, Some(&entry), next);
    require_unchanged(name, put.await?)?;
    audit::add_affected(1);
    let first = first.map_or_else(|| "never".to_owned(), timestamp);
    output::line(format_args!(
        "{name}: {}, first at {first}",
        entry.definition.timing
    ));
    Ok(Exit::Success)
}

fn written(arguments: &Arguments) -> Result<CronDefinitionText, CommandError> {
    let job = match (&arguments.job, arguments.prompt.clone()) {
        (Some(path), _) => {
            let what = format!("--job {}", path.display());
            let text = if path.as_os_str() == "-" {
                read_stdin("--job")?
            } else {
                std::fs::read_to_string(path).map_err(CommandError::io(what.clone()))?
            };
            serde_json::from_str(&text).map_err(|error| {
                CommandError::Input(format!(
                    "{what}: expected a JSON object, such as {{\"prompt\": \"Hello\"}}: {error}"
                ))
            })?
        }
        (None, prompt) => prompt_fields(read_prompt(prompt.unwrap_or_default())?),
    };
    Ok(CronDefinitionText {
        schedule: arguments.schedule.clone(),
        every: arguments.every.clone(),
        timezone: arguments.timezone.clone(),
        missed: Some(arguments.missed.clone()),
        queue: Some(arguments.queue.clone()),
        job,
    })
}

fn prompt_fields(prompt: String) -> Map<String, Value> {
    Map::from_iter([("prompt".to_owned(), Value::String(prompt))])
}

/// All errors, each with the option that it is about.
fn option_error(wrong: &CronFaults) -> CommandError {
    let faults = wrong.0.iter();
    let lines: Vec<String> = faults
        .map(|fault| format!("--{}: {}", fault.field, fault.message))
        .collect();
    CommandError::Input(lines.join("\n"))
}

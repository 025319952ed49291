//! `longshore submit`: submits one task and waits for its answer.

mod answer;
mod job;
mod wait;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use longshore_client::{Client, Receipt};
use longshore_protocol::{
    envelope::{DEFAULT_TYPE, Envelope},
    id::{DEFAULT_QUEUE, ReaderName},
};
use serde_json::json;

use self::{
    answer::Answer,
    wait::{Waited, wait},
};
use crate::{
    error::{CommandError, Exit},
    input::read_prompt,
    options::{self, Assignment},
    output::{self, Format},
    result_file::OutputFile,
    session::Session,
    waiting::warn_if_unread,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Prompt; `-` reads it from stdin
    #[arg(long, short, allow_hyphen_values = true)]
    prompt: String,
    #[arg(
        long = "type",
        short = 't',
        value_name = "TYPE",
        default_value = DEFAULT_TYPE,
        help = "Job type: code_generation, research, data_analysis, refactoring, documentation, code_review, sql_db_work, testing, debugging, planning, review, or any other name that the configuration routes"
    )]
    task_type: String,
    #[arg(
        long,
        help = "Preferred platform: claude_code, chatgpt, gemini, or any other in the configuration [default: the cheapest suitable one]"
    )]
    platform: Option<String>,
    /// Model that must answer the task
    #[arg(long)]
    model: Option<String>,
    /// Harm that a wrong answer would do: low, medium, high
    #[arg(long)]
    risk: Option<String>,
    /// Area of the task, for example core, api, docs
    #[arg(long)]
    area: Option<String>,
    /// Difficulty: simple, medium, complex
    #[arg(long)]
    complexity: Option<String>,
    /// Maximum cost of the task in dollars, all attempts together
    #[arg(long = "max-cost-usd", value_name = "USD")]
    max_cost_usd: Option<String>,
    /// Chain under which the cost is summed
    #[arg(long, value_name = "ID")]
    chain_id: Option<String>,
    /// Time limit of one attempt
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = options::seconds, allow_hyphen_values = true)]
    timeout: Duration,
    /// Write the result as JSON to this file
    #[arg(long, short, value_name = "FILE", conflicts_with = "detach")]
    output: Option<PathBuf>,
    /// Recipe that answers the task: simple, medium, complex, architectural, or any other in the configuration
    #[arg(
        long,
        visible_alias = "mode",
        value_name = "NAME",
        conflicts_with = "timeout"
    )]
    recipe: Option<String>,
    /// Value of a parameter of the recipe; VALUE is parsed as JSON, else taken as text; may be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE", requires = "recipe", value_parser = Assignment::parse)]
    parameters: Vec<Assignment>,
    /// Platforms or models that the recipe asks: its parameter `models`
    #[arg(long, value_name = "NAME", num_args = 1.., requires = "recipe")]
    models: Vec<String>,
    /// Queue
    #[arg(long, value_name = "NAME", default_value = DEFAULT_QUEUE)]
    queue: String,
    /// Id of the task; submitting the same task twice with one id runs it once
    #[arg(long)]
    id: Option<String>,
    /// Maximum tokens of the answer
    #[arg(long, value_name = "TOKENS")]
    max_tokens: Option<u32>,
    /// System instructions
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// Delay before the task may start
    #[arg(long, value_name = "SECONDS", value_parser = options::seconds, allow_hyphen_values = true)]
    delay: Option<Duration>,
    /// Tenant of the task
    #[arg(long)]
    tenant: Option<String>,
    /// JSON object that is returned with the result
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Any other field of a job (docs/PROTOCOL.md), such as temperature=0 or deadline=3600; VALUE is parsed as JSON,
    /// else taken as text; may be repeated
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = job::other_field)]
    set: Vec<Assignment>,
    /// Do not fall back to other platforms
    #[arg(long)]
    no_fallback: bool,
    /// Do not wait for the answer
    #[arg(long)]
    detach: bool,
    /// Push the answer to the replies of this reader alone
    #[arg(long, value_name = "NAME", requires = "detach", value_parser = ReaderName::parse)]
    reply_to: Option<ReaderName>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) async fn run(mut arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    // All arguments are checked before anything is changed.
    let limits = session.config.limits;
    let queue = options::queue(&arguments.queue)?;
    arguments.prompt = read_prompt(arguments.prompt)?;
    let job = job::from_arguments(&arguments, &session.config.catalog, &limits)?;
    let file = arguments
        .output
        .as_deref()
        .map(OutputFile::open)
        .transpose()?;

    let client = session.client().await?.queue(queue);
    let envelope = options::check_job(&job, &limits)?;
    job::check_recipe(&envelope, &session.config)?;
    check_names(&arguments, &envelope, &client, session).await?;
    if arguments.detach {
        warn_if_unread(client.broker(), client.queue_name()).await;
    }
    let receipt = client.enqueue(&job).await?;
    if arguments.detach {
        print_receipt(&receipt, arguments.format);
        return Ok(Exit::Success);
    }
    let answer = match wait(&client, &receipt).await? {
        Waited::Ended(outcome) => Answer::from(*outcome),
        Waited::Refused { code, error } => Answer::refused(&receipt.id, &code, error),
        Waited::Interrupted => {
            output::note(format_args!(
                "Stopped waiting. The job continues: `longshore jobs show {}`",
                receipt.id
            ));
            return Ok(Exit::Interrupted);
        }
    };
    let saved = file.as_ref().map(|file| file.path().to_owned());
    if let Some(file) = file {
        file.write(&answer)?;
    }
    match arguments.format {
        Format::Text => output::line(answer.to_text(saved.as_deref())),
        Format::Json => {
            output::json(&answer);
            if let Some(saved) = saved {
                output::note(format_args!("Result saved to: {}", saved.display()));
            }
        }
    }
    Ok(Exit::success_if(answer.is_success()))
}

/// Fails for names that the services' configuration does not know, and warns of those that are probably mistyped.
async fn check_names(
    arguments: &Arguments,
    envelope: &Envelope,
    client: &Client,
    session: &Session,
) -> Result<(), CommandError> {
    let routing = &envelope.routing;
    let is_plain = arguments.model.is_none()
        && routing.risk.is_none()
        && routing.complexity.is_none()
        && envelope.task_type == DEFAULT_TYPE;
    if is_plain {
        return Ok(());
    }
    // A pushed configuration may have models and words that the local one lacks.
    let config = session.fleet_config_or_own(client.broker()).await?;
    if let Some(model) = &arguments.model {
        let found = config.catalog.require_model(model);
        found.map_err(|error| CommandError::Input(format!("--model: {error}")))?;
    }
    let words = config.routing.check_words(&envelope.routing);
    words.map_err(|error| CommandError::Input(error.to_string()))?;
    if let Some(near) = config.routing.suggest_type(&envelope.task_type) {
        output::warning(format_args!(
            "no rule names the type `{}`; did you mean `{near}`?",
            envelope.task_type
        ));
    }
    Ok(())
}

fn print_receipt(receipt: &Receipt, format: Format) {
    let id = &receipt.id;
    // `task_id` is the old name.
    format.print_with(&json!({"id": id, "task_id": id}), || {
        format!(
            "Task ID: {id}\n\nShow it with `longshore jobs show {id}`, wait for it with `longshore jobs wait {id}`"
        )
    });
}

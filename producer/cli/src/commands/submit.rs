//! `longshore submit`: one task, and its answer.

mod answer;
mod job;
mod wait;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use longshore_client::Receipt;
use longshore_shared::{envelope::DEFAULT_TYPE, id::DEFAULT_QUEUE};
use serde_json::json;

use self::{
    answer::Answer,
    wait::{Waited, wait},
};

use crate::{
    error::{CommandError, Exit},
    input::read_prompt,
    options,
    output::{self, Format},
    result_file::OutputFile,
    session::Session,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to ask; `-` reads it from stdin
    #[arg(long, short, allow_hyphen_values = true)]
    prompt: String,
    /// Task type: `code_generation`, `research`, `data_analysis`, `refactoring`, `documentation`,
    /// `code_review`, `sql_db_work`, `testing`, `debugging`, `planning`, or any other that is routed
    #[arg(
        long = "type",
        short = 't',
        value_name = "TYPE",
        default_value = DEFAULT_TYPE,
        // Without the quotes of the comment.
        help = "Task type: code_generation, research, data_analysis, refactoring, documentation, code_review, \
                sql_db_work, testing, debugging, planning, or any other name that the configuration routes"
    )]
    task_type: String,
    /// The platform to ask first.
    #[arg(
        long,
        help = "The platform to ask first: claude_code, chatgpt, gemini, or any other of the configuration [default: \
                the cheapest that fits]"
    )]
    platform: Option<String>,
    /// The model to ask, and no other on its platform
    #[arg(long)]
    model: Option<String>,
    /// The chain of tasks that the cost belongs to
    #[arg(long, value_name = "ID")]
    chain_id: Option<String>,
    /// Seconds that one attempt may take
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = options::seconds, allow_hyphen_values = true)]
    timeout: Duration,
    /// Write the result as JSON to this file
    #[arg(long, short, value_name = "FILE", conflicts_with = "detach")]
    output: Option<PathBuf>,
    /// The queue
    #[arg(long, value_name = "NAME", default_value = DEFAULT_QUEUE)]
    queue: String,
    /// An id of your own: the same task submitted twice with it runs once
    #[arg(long)]
    id: Option<String>,
    /// The most tokens of the answer
    #[arg(long, value_name = "TOKENS")]
    max_tokens: Option<u32>,
    /// Instructions before the prompt
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,
    /// Seconds before the task may start
    #[arg(long, value_name = "SECONDS", value_parser = options::seconds, allow_hyphen_values = true)]
    delay: Option<Duration>,
    /// Whose task it is
    #[arg(long)]
    tenant: Option<String>,
    /// A JSON object that comes back with the result
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Try no other platform when the first fails
    #[arg(long)]
    no_fallback: bool,
    /// Do not wait for the answer
    #[arg(long)]
    detach: bool,
    /// Text for people, JSON for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) async fn run(mut arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    // All arguments are checked before anything is touched.
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
    let receipt = client.enqueue(&job).await?;
    if arguments.detach {
        print_receipt(&receipt, arguments.format);
        return Ok(Exit::Success);
    }
    let answer = match wait(&client, &receipt).await? {
        Waited::Ended(outcome) => Answer::from_outcome(*outcome),
        Waited::Refused(reason) => Answer::refused(&receipt.id, reason),
        Waited::Interrupted => {
            output::note(format_args!(
                "Stopped waiting. The job goes on without you: `longshore jobs show {}`",
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
    Ok(Exit::success_if(answer.success))
}

fn print_receipt(receipt: &Receipt, format: Format) {
    let id = &receipt.id;
    format.print_with(&json!({"task_id": id}), || {
        format!(
            "Task ID: {id}\n\nFollow it with `longshore jobs show {id}`, wait for it with `longshore jobs wait {id}`"
        )
    });
}

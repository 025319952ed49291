//! `longshore batch`: many tasks out of a file, and their answers.

mod bar;
mod collect;
pub(super) mod forecast;
pub(super) mod input;
mod past;
mod place;
mod put;
mod report;
mod results;
mod show;
mod spool;
mod survey;
mod wait;

use std::path::PathBuf;

use chrono::Utc;
use clap::{Args, Subcommand};
use longshore_shared::{
    broker::{BatchPlan, BatchReport, Broker, BrokerError},
    chain::{ChainId, ChainState},
    config::Config,
};
use serde_json::json;
use uuid::Uuid;

use self::{
    forecast::Forecast,
    input::{Columns, Form, InputFormat, Source},
    put::Putting,
    report::tasks,
    spool::Spool,
    survey::{Rules, survey},
};
use super::submit::queue;
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Options of `batch`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    submit: Submit,
}

/// What to do with a batch that is there.
#[derive(Debug, Subcommand)]
enum Action {
    /// Wait for a batch that was put in before, and write its results
    Wait(wait::Arguments),
    /// Show how far a batch is
    Show(show::Arguments),
}

/// Options of a batch that is to be put in.
#[derive(Debug, Args)]
struct Submit {
    /// File of tasks: a JSON list, JSON Lines or CSV; `-` reads stdin
    #[arg(
        value_name = "INPUT",
        required_unless_present = "input",
        conflicts_with = "input"
    )]
    file: Option<PathBuf>,
    /// The same, as an option
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,
    /// In which form the tasks stand there [default: by the file's name, else json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    input_format: Option<InputFormat>,
    /// CSV: the prompt, with the columns as variables, such as 'Summarise {{ title }}: {{ body }}'
    #[arg(long, value_name = "TEMPLATE")]
    prompt: Option<String>,
    /// CSV: columns that are fields of the task by their names, such as id,tenant,model
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    fields: Vec<String>,
    /// Write the results as JSON to this file, or to a new file in this folder
    #[arg(long, short, value_name = "FILE|DIR/", conflicts_with = "detach")]
    output: Option<PathBuf>,
    /// The most tasks at work at once, whatever the number of workers
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    parallel: u32,
    /// Try other platforms when one fails
    #[arg(long)]
    fallback: bool,
    /// The queue
    #[arg(long, value_name = "NAME", default_value = longshore_shared::id::DEFAULT_QUEUE)]
    queue: String,
    /// An id of your own: the same command again puts in what is missing, each task once [default:
    /// a new one]
    #[arg(long, visible_alias = "chain-id", value_name = "ID", value_parser = ChainId::parse)]
    id: Option<ChainId>,
    /// Do not wait for the answers
    #[arg(long)]
    detach: bool,
    /// Do not ask, even if the batch would use up most of a quota or budget
    #[arg(long, short)]
    yes: bool,
    /// Text for people, JSON for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    match arguments.action {
        Some(Action::Wait(arguments)) => wait::run(arguments, session).await,
        Some(Action::Show(arguments)) => show::run(arguments, session).await,
        None => submit(arguments.submit, session).await,
    }
}

async fn submit(arguments: Submit, session: &Session) -> Result<Done, CommandError> {
    let source = Source::of(arguments.input.or(arguments.file));
    let format = arguments.input_format.unwrap_or_else(|| source.format());
    let plan = BatchPlan {
        id: arguments.id.map_or_else(fresh, Ok)?,
        name: source.name(),
        queue: queue(&arguments.queue)?,
        parallel: arguments.parallel,
    };
    let form = form(format, arguments.prompt, arguments.fields)?;
    let file = wait::opened(arguments.output)?;
    let broker = session.broker().await?;
    let before = broker.batch(&plan.id).await?;
    if let Some(report) = &before {
        put::check_kind(&plan.id, report)?;
    }
    let already = before.as_ref().map_or(0, |report| report.lines);
    let config = limited(session, &broker).await?;
    let mut forecast = Forecast::new(&config, Utc::now(), plan.id.clone());
    let rules = Rules {
        limits: &session.config.limits,
        catalog: &session.config.catalog,
        fallback: arguments.fallback,
    };
    // Nothing is put in before all of it is known to be right.
    let spool =
        tokio::task::block_in_place(|| survey(&source, &form, &rules, &mut forecast, already))?;
    let alert = config.alerts.at.last().copied();
    if !forecast::allows(&forecast, alert, arguments.yes, &broker).await? {
        output::note("Nothing was put in.");
        return Ok(Done::Failure);
    }
    let loaded = format!("Loaded {} from {source}", tasks(spool.count.into()));
    match arguments.format {
        Format::Text => output::line(loaded),
        Format::Json => output::note(loaded),
    }
    tell_what_is_there(&plan.id, before.as_ref());
    let putting = Putting {
        broker: &broker,
        plan: &plan,
        spool: &spool,
    };
    putting.run().await?;
    if arguments.detach {
        tell_where_it_is(&plan.id, &spool, arguments.format);
        return Ok(Done::Success);
    }
    output::note(format_args!("Batch: {}", plan.id));
    wait::wait(&plan.id, file, arguments.format, session, &broker).await
}

/// A new id.
fn fresh() -> Result<ChainId, CommandError> {
    let id = format!("batch_{}", Uuid::now_v7());
    ChainId::parse(&id).map_err(|error| CommandError::Input(error.to_string()))
}

fn form(
    format: InputFormat,
    prompt: Option<String>,
    fields: Vec<String>,
) -> Result<Form, CommandError> {
    let for_tables = |option: &str| {
        CommandError::Input(format!(
            "{option}: only for CSV (--input-format csv); tasks of JSON have fields of their own"
        ))
    };
    match format {
        InputFormat::Csv => Ok(Form::Table(Columns { prompt, fields })),
        _ if prompt.is_some() => Err(for_tables("--prompt")),
        _ if !fields.is_empty() => Err(for_tables("--fields")),
        InputFormat::Json => Ok(Form::List),
        InputFormat::Jsonl => Ok(Form::Lines),
    }
}

/// The configuration that says what is limited.
pub(super) async fn limited(session: &Session, broker: &Broker) -> Result<Config, CommandError> {
    match session.fleet_config(broker).await {
        // A producer's user may not be allowed to read it.
        Err(CommandError::Broker(error @ BrokerError::Command { .. })) => {
            output::note(format_args!(
                "Warning: what is pushed for the fleet was not looked at: {error}"
            ));
            Ok(session.config.clone())
        }
        config => config,
    }
}

/// Of a batch that was begun before.
fn tell_what_is_there(id: &ChainId, before: Option<&BatchReport>) {
    match before {
        Some(report) if report.state == ChainState::Open => output::note(format_args!(
            "Batch {id} was begun before: the first {} are in.",
            tasks(report.lines)
        )),
        Some(_) => output::note(format_args!("Batch {id} is in already.")),
        None => {}
    }
}

fn tell_where_it_is(id: &ChainId, spool: &Spool, format: Format) {
    match format {
        Format::Text => output::line(format_args!(
            "Batch: {id}\n\nThe tasks run without you. How far they are: `longshore batch show {id}`; their answers: \
             `longshore batch wait {id}`; their cost: `longshore costs --chain-id {id}`"
        )),
        Format::Json => output::json(&json!({"chain_id": id, "total_tasks": spool.count})),
    }
}

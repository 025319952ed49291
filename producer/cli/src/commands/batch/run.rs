//! `longshore batch FILE`: enqueues the tasks of a file and waits for their results.

use std::{path::PathBuf, time::Duration};

use longshore_broker::Broker;
use longshore_client::{
    BatchPlan, BatchReport, BatchTasks, ChainId, ChainState, Client, MessageLimits,
};
use longshore_protocol::{
    clock::local_time,
    envelope::{RawMessage, parse},
    id::DEFAULT_QUEUE,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    check::{Rules, check_tasks},
    destination, task_count, wait,
};
use crate::{
    error::{CommandError, Exit},
    forecast::{self, Forecast},
    input::{Columns, Form, InputFormat, Source},
    options,
    output::{self, Format, ListFormat},
    session::Session,
    waiting::{Outage, warn_if_unread},
};

/// The pause before a failed call to Redis is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
#[group(id = "batch_run")]
pub(super) struct Arguments {
    /// File of tasks: JSON list, JSON Lines or CSV; `-` reads stdin
    #[arg(
        value_name = "INPUT",
        required_unless_present = "input",
        conflicts_with = "input"
    )]
    file: Option<PathBuf>,
    /// Same as the argument INPUT
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Format of the file [default: from the file name, else json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    input_format: Option<InputFormat>,
    /// CSV: template of the prompt with columns as variables, for example 'Summarise {{ title }}:
    /// {{ body }}'
    #[arg(long, value_name = "TEMPLATE")]
    prompt: Option<String>,
    /// CSV: columns that become fields of the task, for example id,tenant,model
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    fields: Vec<String>,
    #[command(flatten)]
    output: destination::Options,
    /// Maximum tasks in flight at once, over all workers
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    parallel: u32,
    /// End the batch when a task fails: cancel the running tasks, start no more
    #[arg(long)]
    fail_fast: bool,
    /// Fall back to other platforms when one fails
    #[arg(long)]
    fallback: bool,
    /// Queue
    #[arg(long, value_name = "NAME", default_value = DEFAULT_QUEUE)]
    queue: String,
    /// Id of the batch; repeating the command with it continues the batch, each task once [default:
    /// a new one]
    #[arg(long, visible_alias = "chain-id", value_name = "ID", value_parser = ChainId::parse)]
    id: Option<ChainId>,
    /// Do not wait for the answers
    #[arg(long, conflicts_with = "output")]
    detach: bool,
    /// Do not ask for confirmation if the batch would use most of a quota or budget
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let source = Source::from_path(arguments.input.or(arguments.file));
    let format = arguments.input_format.unwrap_or_else(|| source.format());
    let plan = BatchPlan {
        id: arguments.id.map_or_else(new_batch_id, Ok)?,
        name: source.name(),
        queue: options::queue(&arguments.queue)?,
        parallel: arguments.parallel,
        fail_fast: arguments.fail_fast,
    };
    let form = input_form(format, arguments.prompt, arguments.fields)?;
    let list_format = arguments.output.format;
    let destination = arguments.output.open()?;
    let rules = Rules {
        limits: &session.config.limits,
        catalog: &session.config.catalog,
        fallback: arguments.fallback,
    };
    // Check all tasks before anything else can fail.
    let tasks = tokio::task::block_in_place(|| check_tasks(&source, &form, &rules))?;
    let broker = session.broker().await?;
    let client = session.client_over(broker.clone());
    let before = client.batch(&plan.id).await?;
    let enqueued = before.as_ref().map_or(0, |report| report.lines);
    if !may_enqueue(&plan.id, &tasks, enqueued, arguments.yes, &broker, session).await? {
        output::note("Nothing was enqueued.");
        return Ok(Exit::Failure);
    }
    let count = task_count(tasks.count().into());
    Format::from(list_format).announce(format_args!("Loaded {count} from {source}"));
    note_earlier_run(&plan.id, before.as_ref());
    if arguments.detach {
        warn_if_unread(&broker, &plan.queue).await;
    }
    enqueue(&client, &plan, &tasks).await?;
    if arguments.detach {
        print_detached(&plan.id, &tasks, list_format);
        return Ok(Exit::Success);
    }
    output::note(format_args!("Batch: {}", plan.id));
    wait::wait(&plan.id, destination, session, &client).await
}

/// Whether the tasks after the first `enqueued` may use what they would use of quotas and budgets.
async fn may_enqueue(
    id: &ChainId,
    tasks: &BatchTasks,
    enqueued: u64,
    yes: bool,
    broker: &Broker,
    session: &Session,
) -> Result<bool, CommandError> {
    let config = session.fleet_config_or_own(broker).await?;
    let mut forecast = Forecast::new(&config, local_time(), id.clone());
    if forecast.has_limits() {
        forecast.read_lengths(session).await;
        tokio::task::block_in_place(|| {
            forecast_tasks(&mut forecast, tasks, enqueued, &session.config.limits)
        })?;
    }
    let alert = config.alerts.at.last().copied();
    forecast::may_enqueue(&forecast, alert, yes, broker).await
}

fn forecast_tasks(
    forecast: &mut Forecast,
    tasks: &BatchTasks,
    enqueued: u64,
    limits: &MessageLimits,
) -> Result<(), CommandError> {
    let mut reader = tasks.reader()?;
    let mut index = 0;
    while let Some(task) = reader.next_task()? {
        if index >= enqueued {
            let message = RawMessage {
                fields: vec![(b"job".to_vec(), task.message.into_bytes())],
            };
            // Every task was checked before.
            if let Ok(parsed) = parse(&message, limits) {
                forecast.add(&parsed.envelope);
            }
        }
        index += 1;
    }
    Ok(())
}

/// Enqueues all tasks, retrying while Redis is unreachable.
async fn enqueue(
    client: &Client,
    plan: &BatchPlan,
    tasks: &BatchTasks,
) -> Result<(), CommandError> {
    let mut outage = Outage::default();
    loop {
        let enqueued = client.enqueue_batch(plan, tasks).await;
        let enqueued = outage.tolerate(enqueued.map_err(CommandError::from), |text| {
            output::note(text);
        });
        if enqueued?.is_some() {
            return Ok(());
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn new_batch_id() -> Result<ChainId, CommandError> {
    let id = format!("batch_{}", Uuid::now_v7());
    ChainId::parse(&id).map_err(|error| CommandError::Input(error.to_string()))
}

fn input_form(
    format: InputFormat,
    prompt: Option<String>,
    fields: Vec<String>,
) -> Result<Form, CommandError> {
    let only_for_csv = |option: &str| {
        CommandError::Input(format!(
            "{option} requires CSV input (--input-format csv); JSON tasks have their own fields"
        ))
    };
    match format {
        InputFormat::Csv => Ok(Form::Table(Columns { prompt, fields })),
        _ if prompt.is_some() => Err(only_for_csv("--prompt")),
        _ if !fields.is_empty() => Err(only_for_csv("--fields")),
        InputFormat::Json => Ok(Form::List),
        InputFormat::Jsonl => Ok(Form::Lines),
    }
}

/// Reports the tasks that an earlier run of the same command enqueued.
fn note_earlier_run(id: &ChainId, before: Option<&BatchReport>) {
    match before {
        Some(report) if report.state == ChainState::Open => output::note(format_args!(
            "Batch {id} was started before; its first {} are already enqueued.",
            task_count(report.lines)
        )),
        Some(_) => output::note(format_args!("Batch {id} is already enqueued.")),
        None => {}
    }
}

fn print_detached(id: &ChainId, tasks: &BatchTasks, format: ListFormat) {
    // `chain_id` is the old name.
    let document = json!({"id": id, "chain_id": id, "total_tasks": tasks.count()});
    match format {
        ListFormat::Text => output::line(format_args!(
            "Batch: {id}\n\nThe tasks run in the background. Progress: `longshore batch show {id}`; results: `longshore batch \
             wait {id}`; cost: `longshore costs --chain-id {id}`"
        )),
        ListFormat::Json => output::json(&document),
        ListFormat::Jsonl => output::json_line(&document),
    }
}

//! `longshore run`: runs the tasks of a tasks.yaml, each with its context files.

mod context;
mod document;
mod file;
mod prompt;

use std::path::{Path, PathBuf};

use longshore_client::ChainId;
use longshore_protocol::{clock::local_time, id::DEFAULT_QUEUE};
use serde_json::Value;

use self::file::Task;
use super::chain;
use crate::{
    error::{CommandError, Exit},
    forecast::{self, Forecast},
    input::read_text,
    options,
    output::{self, Format},
    render::{
        table::{Table, Width, cut, whole},
        text::{counted, grouped, one_line, or_dash},
    },
    result_file::OutputFile,
    session::Session,
};

/// The default file of tasks in the working directory.
const TASKS_FILE: &str = ".orchestrator/tasks.yaml";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(
        long,
        value_name = "FILE",
        help = "File of tasks [default: LONGSHORE_TASKS_FILE, or .orchestrator/tasks.yaml in the working directory]"
    )]
    tasks: Option<PathBuf>,
    /// Run only this task
    #[arg(long, value_name = "ID")]
    task_id: Option<String>,
    #[arg(
        long,
        value_name = "DIR",
        help = "Directory of the files that tasks read [default: LONGSHORE_WORKING_DIR, or the current directory]"
    )]
    working_dir: Option<PathBuf>,
    /// Queue
    #[arg(long, value_name = "NAME", default_value = DEFAULT_QUEUE)]
    queue: String,
    /// Show the jobs without enqueueing them
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation if the tasks would use most of a quota or budget
    #[arg(long, short)]
    yes: bool,
    /// Write the result as JSON to this file
    #[arg(long, short, value_name = "FILE", conflicts_with = "dry_run")]
    output: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let queue = options::queue(&arguments.queue)?;
    let variable = |name| session.environment.get(name).map(PathBuf::from);
    let folder = arguments
        .working_dir
        .or_else(|| variable("LONGSHORE_WORKING_DIR"))
        .unwrap_or_else(|| ".".into());
    let named = arguments.tasks.or_else(|| variable("LONGSHORE_TASKS_FILE"));
    let path = match named {
        Some(path) => path,
        None => default_tasks(&folder)?,
    };
    let tasks = load_tasks(&path, &folder, arguments.task_id.as_deref(), session)?;
    let text = document::chain_json(&path, &tasks);
    if arguments.dry_run {
        print_dry_run(&tasks, &text, arguments.format);
        return Ok(Exit::Success);
    }
    let file = arguments
        .output
        .as_deref()
        .map(OutputFile::open)
        .transpose()?;
    let broker = session.broker().await?;
    let jobs: Vec<_> = tasks.into_iter().map(|task| task.job).collect();
    let config = session.fleet_config_or_own(&broker).await?;
    let mut forecast = Forecast::new(&config, local_time(), ChainId::fresh());
    forecast.read_lengths(session).await;
    for job in &jobs {
        // Every job was checked when the file was read.
        if let Ok(envelope) = job.check(&session.config.limits) {
            forecast.add(&envelope);
        }
    }
    let alert = config.alerts.at.last().copied();
    if !forecast::may_enqueue(&forecast, alert, arguments.yes, &broker).await? {
        output::note("Nothing was enqueued.");
        return Ok(Exit::Failure);
    }
    arguments.format.announce(format_args!(
        "Loaded {} from {}",
        counted(jobs.len(), "task"),
        path.display()
    ));
    let client = session.client_over(broker).queue(queue);
    chain::enqueue_and_wait(text, client, session, file, arguments.format).await
}

/// The file of tasks in a directory.
fn default_tasks(folder: &Path) -> Result<PathBuf, CommandError> {
    let path = folder.join(TASKS_FILE);
    if path.exists() {
        return Ok(path);
    }
    // `./` would say nothing.
    let shown = path.strip_prefix(".").unwrap_or(&path).display();
    Err(CommandError::Input(format!(
        "there is no tasks file at {shown}; name one with --tasks FILE"
    )))
}

/// Loads the tasks of the file. The error lists all problems.
fn load_tasks(
    path: &Path,
    folder: &Path,
    only: Option<&str>,
    session: &Session,
) -> Result<Vec<Task>, CommandError> {
    let text = read_text(path)?;
    let tasks = file::parse_tasks(path, &text, folder, only, &session.config);
    tasks.map_err(|problems| CommandError::Input(problems.to_string()))
}

fn print_dry_run(tasks: &[Task], json: &str, format: Format) {
    let document: Value = serde_json::from_str(json).unwrap_or_default();
    format.print_with(&document, || task_table(tasks, Width::of_terminal()));
}

fn task_table(tasks: &[Task], width: Width) -> String {
    let mut table = Table::new([
        whole("TASK"),
        whole("STEP").right(),
        whole("TYPE"),
        whole("RISK"),
        whole("AREA"),
        whole("FILES").right(),
        whole("BYTES").right(),
        cut("GOAL"),
    ]);
    for task in tasks {
        table.add_row([
            task.id.clone(),
            task.step.to_string(),
            or_dash(task.kind.as_deref()),
            or_dash(task.risk.as_deref()),
            or_dash(task.area.as_deref()),
            grouped(task.files as u64),
            grouped(task.bytes as u64),
            one_line(&task.goal, 60),
        ]);
    }
    table.fitted(width)
}

//! `longshore run`: the tasks of a project's file, each with what it needs to know of the project.

mod context;
mod document;
mod file;
mod prompt;

use std::path::{Path, PathBuf};

use longshore_shared::{chain::ChainId, config::Environment};
use serde_json::json;

use self::file::Task;
use super::{
    batch::{
        self,
        forecast::{self, Forecast},
    },
    chain,
    submit::{queue, save::OutputFile},
    words::{count, drawn, head, many, or_dash, table},
};
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Where the tasks are, if nothing else is said; in the working directory.
const TASKS_FILE: &str = ".orchestrator/tasks.yaml";

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file of tasks [default: `LONGSHORE_TASKS_FILE`, or .orchestrator/tasks.yaml in the working directory]
    #[arg(
        long,
        value_name = "FILE",
        // Without the quotes of the comment.
        help = "The file of tasks [default: LONGSHORE_TASKS_FILE, or .orchestrator/tasks.yaml in the working directory]"
    )]
    tasks: Option<PathBuf>,
    /// Only this task
    #[arg(long, value_name = "ID")]
    task_id: Option<String>,
    /// Where the files of the tasks are read from
    #[arg(
        long,
        value_name = "DIR",
        help = "Where the files of the tasks are read from [default: LONGSHORE_WORKING_DIR, or the current directory]"
    )]
    working_dir: Option<PathBuf>,
    /// The queue
    #[arg(long, value_name = "NAME", default_value = longshore_shared::id::DEFAULT_QUEUE)]
    queue: String,
    /// Show what would be put in, and put in nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask, even if the tasks would use up most of a quota or budget
    #[arg(long, short)]
    yes: bool,
    /// Write the result as JSON to this file
    #[arg(long, short, value_name = "FILE", conflicts_with = "dry_run")]
    output: Option<PathBuf>,
    /// Text for people, JSON for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Reads, checks, puts in and waits.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let queue = queue(&arguments.queue)?;
    let env = Environment::read()?;
    let of_env = |name| {
        env.get(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = arguments
        .working_dir
        .or_else(|| of_env("LONGSHORE_WORKING_DIR"))
        .unwrap_or_else(|| ".".into());
    let path = arguments
        .tasks
        .or_else(|| of_env("LONGSHORE_TASKS_FILE"))
        .unwrap_or_else(|| folder.join(TASKS_FILE));
    let tasks = load(&path, &folder, arguments.task_id.as_deref(), session)?;
    let text = document::of(&path, &tasks);
    if arguments.dry_run {
        show(&tasks, &text, arguments.format);
        return Ok(Done::Success);
    }
    let file = arguments
        .output
        .as_deref()
        .map(OutputFile::open)
        .transpose()?;
    let broker = session.broker().await?;
    let jobs: Vec<_> = tasks.into_iter().map(|task| task.job).collect();
    let config = batch::limited(session, &broker).await?;
    let mut forecast = Forecast::new(&config, chrono::Utc::now(), ChainId::fresh());
    for job in &jobs {
        // Each was checked when its file was read.
        if let Ok(envelope) = job.check(&session.config.limits) {
            forecast.add(&envelope);
        }
    }
    let alert = config.alerts.at.last().copied();
    if !forecast::allows(&forecast, alert, arguments.yes, &broker).await? {
        output::note("Nothing was put in.");
        return Ok(Done::Failure);
    }
    let loaded = format!(
        "Loaded {} from {}",
        many(jobs.len(), "task"),
        path.display()
    );
    match arguments.format {
        Format::Text => output::line(loaded),
        Format::Json => output::note(loaded),
    }
    chain::put_in_and_wait(text, &queue, broker, session, file, arguments.format).await
}

/// The tasks, every one of them right; or all that is wrong, in words.
fn load(
    path: &Path,
    folder: &Path,
    only: Option<&str>,
    session: &Session,
) -> Result<Vec<Task>, CommandError> {
    let text = std::fs::read_to_string(path).map_err(|source| CommandError::Io {
        what: format!("{} cannot be read", path.display()),
        source,
    })?;
    let tasks = file::tasks(&text, folder, only, &session.config);
    tasks.map_err(|faults| {
        let lines: Vec<String> = faults
            .into_iter()
            .map(|fault| format!("{}:{fault}", path.display()))
            .collect();
        CommandError::Input(lines.join("\n"))
    })
}

fn show(tasks: &[Task], text: &str, format: Format) {
    match format {
        Format::Text => output::line(overview(tasks)),
        Format::Json => {
            let document: serde_json::Value = serde_json::from_str(text).unwrap_or(json!(null));
            output::json(&document);
        }
    }
}

fn overview(tasks: &[Task]) -> String {
    let mut lines = table([
        "TASK", "STEP", "TYPE", "RISK", "AREA", "FILES", "BYTES", "GOAL",
    ]);
    for task in tasks {
        lines.add_row([
            task.id.clone(),
            task.step.to_string(),
            or_dash(task.kind.as_deref()),
            or_dash(task.risk.as_deref()),
            or_dash(task.area.as_deref()),
            count(task.files as u64),
            count(task.bytes as u64),
            head(&task.goal, 60),
        ]);
    }
    drawn(&lines)
}

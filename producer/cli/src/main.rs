//! The `longshore` command.

mod audit;
mod commands;
mod confirm;
#[cfg(test)]
mod docs;
mod documents;
mod editor;
mod environment;
mod error;
mod faults;
mod forecast;
mod input;
mod options;
mod output;
mod render;
mod result_document;
mod result_file;
mod session;
mod waiting;
mod why;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use longshore_service::version::VERSION;

use crate::{audit::Act, commands::Command, error::CommandError};

/// A durable job queue for LLM work: enqueue prompts, get answers and their exact cost.
///
/// Exit codes: 0 success; 1 a task failed, or the requested item does not exist; 2 invalid arguments or
/// configuration, or a service that cannot be reached; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "longshore", version = VERSION.as_str(), arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let mut root = Arguments::command();
    let matches = root.get_matches_mut();
    output::use_format_of(&matches);
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(CommandError::io("the async runtime does not start"));
    error::exit_code(runtime.and_then(|runtime| {
        runtime.block_on(async {
            let act = Act::begin(&matches, &root).await;
            let ended = Box::pin(commands::run(arguments.command)).await;
            if let Some(act) = act {
                act.end(&ended).await;
            }
            ended
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_all_commands_are_consistent() {
        Arguments::command().debug_assert();
    }
}

//! The `longshore` command.

mod commands;
mod confirm;
mod error;
mod forecast;
mod input;
mod options;
mod output;
mod render;
mod result_file;
mod session;
mod waiting;

use std::process::ExitCode;

use clap::Parser;

use crate::{commands::Command, error::CommandError};

/// A durable job queue for LLM work: put prompts in, get answers and their exact cost out.
///
/// Exit codes: 0 success, 1 a task failed, 2 bad arguments, configuration, or a service that cannot be
/// reached.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(CommandError::io("the runtime cannot start"));
    error::exit_code(runtime.and_then(|runtime| runtime.block_on(commands::run(arguments.command))))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_options_of_all_commands_are_consistent() {
        Arguments::command().debug_assert();
    }
}

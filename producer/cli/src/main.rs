//! The `longshore` command.

mod commands;
mod error;
mod output;
mod session;

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

/// The command could not do its work.
const EXIT_UNABLE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let ran = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(arguments.command)),
        Err(source) => Err(CommandError::Io {
            what: "the runtime cannot start".to_owned(),
            source,
        }),
    };
    match ran {
        Ok(done) => done.into(),
        Err(error) => {
            output::complain(&error);
            ExitCode::from(EXIT_UNABLE)
        }
    }
}

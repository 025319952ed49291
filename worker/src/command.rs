//! Commands of the worker's configuration: those of gates and of tools.
//!
//! The worker starts `longshore-worker command-supervisor`, which starts the command and kills all that is left of it
//! when the command ends, when the worker says so, and when the worker dies.

mod output;
mod process;
mod supervisor;

use std::process::ExitCode;

pub(crate) use self::process::{Finished, Process, Program, Stop};

/// Runs the command of this program that only a worker starts, if the arguments name one.
pub fn run_internal_command() -> Option<ExitCode> {
    supervisor::run_internal_command()
}

//! What can go wrong with a command, and the exit code that tells it.

use std::{io, process::ExitCode};

use longshore_shared::{
    archive::ArchiveError, broker::BrokerError, config::ConfigError, ledger::LedgerError,
};

/// How a command that ran to its end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// All is well.
    Success,
    /// A task failed, or what was asked for is not there.
    Failure,
    /// The user stopped waiting; the work goes on.
    Interrupted,
    /// A program that was run for the user ended with this code.
    Code(u8),
}

impl From<Done> for ExitCode {
    fn from(done: Done) -> Self {
        match done {
            Done::Success => Self::SUCCESS,
            Done::Failure => Self::from(1),
            // What a shell reports for a program that Ctrl-C ended.
            Done::Interrupted => Self::from(130),
            Done::Code(code) => Self::from(code),
        }
    }
}

/// Why a command did not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The configuration.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// An argument or an input file.
    #[error("{0}")]
    Input(String),
    /// Redis.
    #[error(
        "{0}\nStart one with `longshore dev`, or set REDIS_URL; `longshore doctor` tells more."
    )]
    Broker(#[from] BrokerError),
    /// Postgres.
    #[error(
        "{0}\nStart one with `longshore dev`, or set DATABASE_URL; `longshore doctor` tells more."
    )]
    Ledger(#[from] LedgerError),
    /// Dead letters that cannot leave.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// The local stack.
    #[error("{0}")]
    Local(#[from] longshore_local::LocalError),
    /// A file or a process.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, and on which path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

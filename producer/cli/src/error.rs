//! How a command ends: exit codes and errors.

use std::{env, io, process::ExitCode};

use longshore_broker::BrokerError;
use longshore_client::ClientError;
use longshore_ledger::LedgerError;
use longshore_local::LocalError;
use longshore_service::archive::ArchiveError;
use longshore_settings::ConfigError;

use crate::{output, render::text::grouped};

/// The exit code of a command that could not run.
const EXIT_ERROR: u8 = 2;

/// The exit code that shells use for a program ended by Ctrl-C.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// The result of a command that ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Success,
    /// A job failed, or the requested item does not exist: exit code 1.
    Failure,
    /// The user was asked for confirmation and said no: exit code 1.
    Refused,
    /// The user stopped waiting; the work continues.
    Interrupted,
    /// The exit code of a program that was run for the user.
    Code(u8),
}

impl Exit {
    pub(crate) fn success_if(success: bool) -> Self {
        if success {
            Self::Success
        } else {
            Self::Failure
        }
    }
}

/// Why a command did not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// An argument or an input file is wrong.
    #[error("{0}")]
    Input(String),
    #[error(
        "{0}\nStart one with `longshore dev` (commands in its directory find it), or set REDIS_URL; run `longshore doctor` for details."
    )]
    Broker(#[from] BrokerError),
    #[error(
        "{0}\nStart one with `longshore dev` (commands in its directory find it), or set DATABASE_URL; run `longshore doctor` for details."
    )]
    Ledger(#[from] LedgerError),
    /// Dead letters cannot be archived, so they cannot be removed.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// A server of `longshore dev`.
    #[error("{0}")]
    Local(#[from] LocalError),
    /// A file or a process.
    #[error("{what}: {source}")]
    Io {
        /// What failed, on which path.
        what: String,
        source: io::Error,
    },
}

impl CommandError {
    /// For `map_err`: what failed, on which path.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// For `map_err`: a temporary file that holds `content` cannot be used.
    pub(crate) fn temporary_file(content: &str) -> impl FnOnce(io::Error) -> Self {
        Self::io(format!(
            "cannot store the {content} in a temporary file in {} (see TMPDIR)",
            env::temp_dir().display()
        ))
    }

    /// The first line of the message, without the advice that follows.
    pub(crate) fn first_line(&self) -> String {
        let text = self.to_string();
        text.lines().next().unwrap_or_default().to_owned()
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Broker(error) => Self::Broker(error),
            ClientError::TemporaryFile(source) => Self::temporary_file("tasks")(source),
            ClientError::ChainIdTaken { ref id } => {
                Self::Input(format!("{error}; show it with `longshore chain show {id}`"))
            }
            ClientError::NotABatch { id } => Self::Input(format!(
                "`{id}` is a chain, not a batch; see `longshore chain show {id}`, or use another --id"
            )),
            ClientError::OtherTasks { id, enqueued } => Self::Input(format!(
                "batch `{id}` was started with other tasks: the {} stored tasks differ from the first tasks of this input; \
                 use another --id, or the original file and options",
                grouped(enqueued)
            )),
            ClientError::BatchCancelled { id, enqueued } => Self::Input(format!(
                "batch `{id}` was cancelled after {} of its tasks were stored; use another --id",
                grouped(enqueued)
            )),
            other => Self::Input(other.to_string()),
        }
    }
}

/// Prints the error, if any, and returns the exit code.
pub(crate) fn exit_code(ended: Result<Exit, CommandError>) -> ExitCode {
    match ended {
        Ok(Exit::Success) => ExitCode::SUCCESS,
        Ok(Exit::Failure | Exit::Refused) => ExitCode::from(1),
        Ok(Exit::Interrupted) => ExitCode::from(EXIT_INTERRUPTED),
        Ok(Exit::Code(code)) => ExitCode::from(code),
        Err(error) => {
            output::error(&error);
            ExitCode::from(EXIT_ERROR)
        }
    }
}

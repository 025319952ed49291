//! What can go wrong with a local service, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why a local Redis or Postgres is not there.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file, directory or process could not be used.
    #[error("could not {doing} {path}: {source}")]
    Io {
        /// What was being done, as a verb: "create", "read".
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A program that the caller named is not usable.
    #[error("{path} cannot be used: {reason}; name another one, or none to have it looked for")]
    Unusable {
        /// What was named.
        path: PathBuf,
        /// Why it is refused.
        reason: String,
    },

    /// Nothing installed, and nothing could be fetched.
    #[error(
        "{what} is not installed and could not be fetched: {tried}. \
         Install it (`{advice}`), or what fetches it (`apt install curl unzip`), \
         and run this again"
    )]
    NotFetched {
        /// The package that was wanted.
        what: &'static str,
        /// Each way that was tried, and how it failed.
        tried: String,
        /// The command that installs it.
        advice: &'static str,
    },

    /// A set-up step, such as `initdb`, failed.
    #[error("{step} failed in {dir}: {output}")]
    SetUp {
        /// The step.
        step: &'static str,
        /// Where.
        dir: PathBuf,
        /// What it printed.
        output: String,
    },

    /// The process ended when it should have stayed.
    #[error("{name} ended with {status}; {log} ends:\n{tail}")]
    Exited {
        /// The process.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },

    /// The process runs but does not answer.
    #[error("{name} did not answer within {waited:?}; {log} ends:\n{tail}")]
    NotReady {
        /// The process.
        name: String,
        /// How long it was given.
        waited: Duration,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },

    /// Somebody else runs a service in this directory.
    #[error(
        "{name} in {dir} is in use by another running program; \
         stop that one, or use another directory"
    )]
    Busy {
        /// The service.
        name: &'static str,
        /// Its directory.
        dir: PathBuf,
    },

    /// The data were written by another major version.
    #[error(
        "{dir} was made by Postgres {data} and the one found is Postgres {server}; \
         delete the directory to start afresh, or name the Postgres that made it \
         (LONGSHORE_POSTGRES_BIN)"
    )]
    DataVersion {
        /// The data directory.
        dir: PathBuf,
        /// The version that made it.
        data: String,
        /// The version at hand.
        server: u32,
    },

    /// The data are there and their password is not.
    #[error("{dir} has data but {password} is missing; delete the directory to start afresh")]
    NoPassword {
        /// The data directory.
        dir: PathBuf,
        /// Where the password should be.
        password: PathBuf,
    },

    /// A directory in a shared place is not ours.
    #[error("{path} must be a directory that only this user can write; remove it")]
    Untrusted {
        /// The directory.
        path: PathBuf,
    },

    /// No free port on loopback.
    #[error("found no unused port on 127.0.0.1: {source}")]
    NoPort {
        /// What the system said last.
        source: io::Error,
    },
}

/// Says what was being done to which path when the system refused.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, LocalError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, LocalError> {
        self.map_err(|source| LocalError::Io {
            doing,
            path: path.to_owned(),
            source,
        })
    }
}

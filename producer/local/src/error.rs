//! Errors of local services.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why a local Redis or Postgres does not run.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file, directory or process could not be used.
    #[error("could not {doing} {path}: {source}")]
    Io {
        /// The failed action, as a verb: "create", "read".
        doing: &'static str,
        /// The file, directory or process.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },

    /// A program that the caller named is not usable.
    #[error("cannot use {path}: {reason}; set another path, or unset it to search for one")]
    Unusable {
        /// The path that the caller named.
        path: PathBuf,
        /// Why it is not usable.
        reason: String,
    },

    /// A server is not installed, and the download failed.
    #[error(
        "{what} is not installed and could not be downloaded: {tried}. \
         Install it (`{advice}`), or install download tools (`apt install curl unzip`), \
         and try again"
    )]
    NotFetched {
        /// The package.
        what: &'static str,
        /// Each method that was tried, with its error.
        tried: String,
        /// The command that installs it.
        advice: &'static str,
    },

    /// A setup step, such as `initdb`, failed.
    #[error("{step} failed in {dir}: {output}")]
    SetUp {
        /// The step.
        step: &'static str,
        /// The directory.
        dir: PathBuf,
        /// Its output.
        output: String,
    },

    /// The process exited unexpectedly.
    #[error("{name} exited with {status}; the end of {log}:\n{tail}")]
    Exited {
        /// The process.
        name: String,
        /// Its exit status.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// The process runs but does not answer.
    #[error("{name} did not answer within {waited:?}; the end of {log}:\n{tail}")]
    NotReady {
        /// The process.
        name: String,
        /// How long the caller waited.
        waited: Duration,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// Another program runs a service in this directory.
    #[error(
        "{name} in {dir} is in use by another running program; \
         stop it, or use another directory"
    )]
    Busy {
        /// The service.
        name: &'static str,
        /// Its directory.
        dir: PathBuf,
    },

    /// The data belong to another major version.
    #[error(
        "{dir} belongs to Postgres {data}, but Postgres {server} was found; \
         delete the directory to start over, or set LONGSHORE_POSTGRES_BIN to the directory of \
         Postgres {data}"
    )]
    DataVersion {
        /// The data directory.
        dir: PathBuf,
        /// The version of the data.
        data: String,
        /// The version that was found.
        server: u32,
    },

    /// The data exist, but their password does not.
    #[error("{dir} has data but {password} is missing; delete the directory to start over")]
    NoPassword {
        /// The data directory.
        dir: PathBuf,
        /// The expected file with the password.
        password: PathBuf,
    },

    /// A directory in a shared location belongs to someone else.
    #[error("{path} must be a directory that only this user can write; remove it")]
    Untrusted {
        /// The directory.
        path: PathBuf,
    },

    /// The port that the caller named is taken.
    #[error(
        "port {port} on 127.0.0.1 is in use by another program; stop it, or choose another port"
    )]
    PortInUse {
        /// The port.
        port: u16,
    },

    /// The server that wrote the data is gone, and the one that was found cannot read them.
    #[error(
        "{dir} was written by {written_by}, which is gone, and {found} does not start with it; \
         install the former, set LONGSHORE_REDIS_SERVER to its path, or delete the directory to start over. \
         The end of {log}:\n{tail}"
    )]
    UnreadableData {
        /// The data directory.
        dir: PathBuf,
        /// The version of the server that wrote the data.
        written_by: String,
        /// The version of the server that was found.
        found: String,
        /// The log file of the latter.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// There is no free port on loopback.
    #[error("found no unused port on 127.0.0.1: {source}")]
    NoPort {
        /// The last error of the system.
        source: io::Error,
    },
}

/// Adds the action and the path to an error.
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

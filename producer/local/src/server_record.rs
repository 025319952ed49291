//! Which server wrote the data of a directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Doing, LocalError};

/// The file in the directory of the services: the path of the server, and what it prints as its version.
const FILE: &str = "redis.server";

/// The server that wrote the data, if there are data and it is known.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ServerRecord {
    path: Option<PathBuf>,
    version: String,
}

impl ServerRecord {
    pub(super) fn read(dir: &Path, data: &Path) -> Self {
        let has_data = fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_some());
        let text = fs::read_to_string(dir.join(FILE)).unwrap_or_default();
        match text.trim_end().split_once('\n') {
            Some((path, version)) if has_data => Self {
                path: Some(path.into()),
                version: version.to_owned(),
            },
            _ => Self::default(),
        }
    }

    /// Records the server that runs.
    pub(super) fn write(dir: &Path, server: &Path) -> Result<(), LocalError> {
        let file = dir.join(FILE);
        let text = format!("{}\n{}\n", server.display(), version_of(server));
        fs::write(&file, text).doing("write", &file)
    }

    /// The server to start: the one that wrote the data, if it is still there, else the one that was found.
    pub(super) fn choose(&self, found: &Path) -> PathBuf {
        let Some(path) = &self.path else {
            return found.to_owned();
        };
        if path == found || version_of(path) != self.version {
            return found.to_owned();
        }
        tracing::info!(
            server = %path.display(),
            instead_of = %found.display(),
            "starting the server that wrote the data"
        );
        path.clone()
    }

    /// Says that the data are of another server if it did not start for that reason, as far as can be known.
    pub(super) fn explain(&self, error: LocalError, server: &Path, data: &Path) -> LocalError {
        let found = version_of(server);
        match error {
            LocalError::Exited { log, tail, .. }
                if self.path.is_some() && found != self.version =>
            {
                LocalError::UnreadableData {
                    dir: data.to_owned(),
                    written_by: self.version.clone(),
                    found,
                    log,
                    tail,
                }
            }
            other => other,
        }
    }
}

/// Product and version, such as `Valkey server v=9.1.2`; empty if the program does not run.
fn version_of(server: &Path) -> String {
    let output = Command::new(server).arg("--version").output();
    let text = output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    let words: Vec<&str> = text.split_whitespace().take(3).collect();
    words.join(" ")
}

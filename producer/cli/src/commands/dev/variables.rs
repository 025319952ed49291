//! Environment variables with the addresses of the services.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use longshore_settings::{ConfigError, Environment};

use crate::error::CommandError;

/// The variables that name Redis and Postgres.
pub(super) const ADDRESSES: [&str; 4] = [
    "REDIS_URL",
    "DATABASE_URL",
    "LONGSHORE_REDIS_URL",
    "LONGSHORE_DATABASE_URL",
];

/// The variable that names the simulator.
pub(super) const SIMULATOR: &str = "LONGSHORE_SIMULATOR_URL";

/// The file in the directory of the services.
const FILE: &str = "env";

/// Names and values.
pub(super) type Variables = Vec<(&'static str, String)>;

/// `DIR/env`, which a shell can source; removed on drop.
#[derive(Debug)]
pub(super) struct VariablesFile {
    path: PathBuf,
}

impl VariablesFile {
    /// Writes the file atomically, readable only by its owner, because it contains the password.
    pub(super) fn write(dir: &Path, variables: &Variables) -> Result<Self, CommandError> {
        let path = dir.join(FILE);
        let wrong = || CommandError::io(format!("cannot write {}", path.display()));
        // Of mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(wrong())?;
        file.write_all(render(variables).as_bytes())
            .map_err(wrong())?;
        file.persist(&path).map_err(|error| wrong()(error.error))?;
        Ok(Self { path })
    }

    /// The variables of the services in `dir`; none unless they run and are ready.
    pub(super) fn read(dir: &Path) -> Result<Option<Environment>, ConfigError> {
        let variables = Environment::from_file(&dir.join(FILE))?;
        let are_ready = variables.names().next().is_some();
        Ok(are_ready.then_some(variables))
    }

    /// Removes the file of a killed run.
    pub(super) fn remove_stale(dir: &Path) {
        // Usually there is no such file.
        fs::remove_file(dir.join(FILE)).ok();
    }
}

impl Drop for VariablesFile {
    fn drop(&mut self) {
        // The directory may have been removed.
        fs::remove_file(&self.path).ok();
    }
}

fn render(variables: &Variables) -> String {
    let mut text =
        String::from("# Addresses of the running `longshore dev`; removed when it stops.\n");
    for (name, value) in variables {
        // Writing to a string does not fail.
        writeln!(text, "{name}={}", quoted(value)).ok();
    }
    text
}

/// Quotes a value for a shell.
pub(super) fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_shell_reads_the_exact_values() {
        let value = "it's $HOME; `x` \"y\" \\ & z";
        let variables = vec![
            ("PLAIN", "redis://127.0.0.1:1".to_owned()),
            ("ODD", value.to_owned()),
        ];
        let dir = tempfile::tempdir().unwrap();
        let file = VariablesFile::write(dir.path(), &variables).unwrap();
        let path = dir.path().join("env");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let output = std::process::Command::new("sh")
            .args(["-c", "set -a; . \"$0\"; printf '%s|%s' \"$PLAIN\" \"$ODD\""])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            format!("redis://127.0.0.1:1|{value}")
        );
        drop(file);
        assert!(!path.exists());
    }
}

//! Runs a worker, the scheduler or the simulator as a child process.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use longshore_local::{ChildProcess, LocalError, Port, rotate_log};
use tokio::time::{Instant, sleep};

use super::{backoff::Backoff, http, variables::Variables};
use crate::{error::CommandError, output};

const READY_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// Another process may take a free port before the child does.
const PORT_TRIES: usize = 5;

/// How a program reports that it is ready.
#[derive(Debug, Clone)]
pub(super) enum Ready {
    /// `GET /ready` returns 200.
    Http,
    /// It creates this file.
    File(PathBuf),
}

/// The file of a program, and its arguments besides those of every program.
#[derive(Debug, Clone)]
pub(super) struct Executable {
    pub(super) binary: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

impl From<PathBuf> for Executable {
    fn from(binary: PathBuf) -> Self {
        Self {
            binary,
            arguments: Vec::new(),
        }
    }
}

/// A program and its current process.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    executable: Executable,
    variables: Variables,
    log: PathBuf,
    ready: Ready,
    port: u16,
    child: ChildProcess,
    backoff: Backoff,
}

/// The directory of this program, which also contains the others.
pub(super) fn program_directory() -> Result<PathBuf, CommandError> {
    let own = std::env::current_exe()
        .map_err(CommandError::io("cannot find the path of this program"))?;
    Ok(own
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_owned))
}

/// The path of the program; the error says how to build it.
pub(super) fn find_program(directory: &Path, name: &str) -> Result<PathBuf, CommandError> {
    let binary = directory.join(name);
    if binary.is_file() {
        return Ok(binary);
    }
    let remedy = match directory.file_name().and_then(OsStr::to_str) {
        Some("debug") => "build it with `make build`",
        Some("dist") => "build it with `make dist`",
        Some("release") => "build it with `cargo build --release --bins --workspace`",
        _ => "install it there",
    };
    Err(CommandError::Input(format!(
        "{name} is missing in {}, the directory of this longshore; {remedy}",
        directory.display()
    )))
}

impl Program {
    /// Starts the program and waits until it is ready. Its log is `dir/NAME.log`; the previous log is kept.
    pub(super) async fn start(
        name: &str,
        executable: impl Into<Executable>,
        dir: &Path,
        variables: Variables,
        ready: Ready,
        wanted: Port,
    ) -> Result<Self, CommandError> {
        let executable = executable.into();
        let log = rotate_log(dir, name)?;
        let mut tries = 1;
        loop {
            let port = wanted.pick()?;
            let child = spawn(name, &executable, &variables, &ready, &log, port)?;
            let mut program = Self {
                name: name.to_owned(),
                executable: executable.clone(),
                variables: variables.clone(),
                log: log.clone(),
                ready: ready.clone(),
                port,
                child,
                backoff: Backoff::new(),
            };
            match program.wait_until_ready().await {
                Ok(()) => return Ok(program),
                Err(LocalError::Exited { tail, .. })
                    if wanted.is_replaceable()
                        && tries < PORT_TRIES
                        && tail.contains("Address already in use") =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The port at which it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The URL at which it listens.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    async fn wait_until_ready(&mut self) -> Result<(), LocalError> {
        let until = Instant::now() + READY_LIMIT;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.child.exited(status));
            }
            let ready = match &self.ready {
                Ready::Http => http::is_ok(self.port, "/ready").await,
                Ready::File(path) => path.exists(),
            };
            if ready {
                return Ok(());
            }
            sleep(POLL).await;
        }
        Err(self.child.not_ready(READY_LIMIT))
    }

    /// Restarts the process after a delay if it has exited.
    pub(super) fn restart_if_dead(&mut self) {
        if self.backoff.take_due() {
            let spawned = spawn(
                &self.name,
                &self.executable,
                &self.variables,
                &self.ready,
                &self.log,
                self.port,
            );
            match spawned {
                Ok(child) => {
                    self.child = child;
                    output::note(format_args!("Restarted the {}.", self.name));
                }
                Err(error) => {
                    let delay = self.backoff.failed();
                    output::note(format_args!(
                        "The {} failed to start: {error}; retrying in {delay:?}.",
                        self.name
                    ));
                }
            }
        } else if !self.backoff.is_waiting()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            let delay = self.backoff.failed();
            output::note(format_args!(
                "The {} exited ({status}); restarting it in {delay:?}. Its log: {}",
                self.name,
                self.log.display()
            ));
        }
    }

    /// Asks it to stop, and kills it after `grace`.
    pub(super) async fn stop(&mut self, grace: Duration) {
        if let Err(error) = self.child.stop(grace).await {
            output::note(format_args!("Cannot stop the {}: {error}", self.name));
        }
    }

    /// Kills it.
    pub(super) fn kill(&mut self) {
        if let Err(error) = self.child.kill() {
            output::note(format_args!("Cannot kill the {}: {error}", self.name));
        }
    }
}

fn spawn(
    name: &str,
    executable: &Executable,
    variables: &Variables,
    ready: &Ready,
    log: &Path,
    port: u16,
) -> Result<ChildProcess, LocalError> {
    let mut command = Command::new(&executable.binary);
    command
        .args(&executable.arguments)
        .arg("--listen")
        .arg(format!("127.0.0.1:{port}"))
        .envs(variables.iter().map(|(name, value)| (name, value)));
    if let Ready::File(path) = ready {
        // The file of an earlier process would report this one as ready too early.
        fs::remove_file(path).ok();
        command.args([OsString::from("--write-url"), path.clone().into_os_string()]);
    }
    ChildProcess::spawn(name, command, log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_reported_with_its_build_command() {
        for (directory, remedy) in [
            ("/x/target/debug", "build it with `make build`"),
            ("/x/target/dist", "build it with `make dist`"),
            (
                "/x/target/release",
                "build it with `cargo build --release --bins --workspace`",
            ),
            ("/opt/longshore", "install it there"),
        ] {
            let error = find_program(Path::new(directory), "longshore-worker").unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "longshore-worker is missing in {directory}, the directory of this longshore; {remedy}"
                )
            );
        }
    }

    #[tokio::test]
    async fn a_program_that_exits_is_restarted() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        // Its arguments: `--listen`, the address, `--write-url`, the file.
        fs::write(
            &script,
            "#!/bin/sh\necho started; echo url > \"$4\"; exec sleep 600\n",
        )
        .unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&script, mode).unwrap();
        let ready = Ready::File(dir.path().join("url"));
        let mut program = Program::start("thing", script, dir.path(), Vec::new(), ready, Port::Any)
            .await
            .unwrap();
        let first = program.child.pid();
        program.child.kill().unwrap();
        while program.child.pid() == first {
            program.restart_if_dead();
            sleep(POLL).await;
        }
        program.wait_until_ready().await.unwrap();
        program.stop(Duration::from_secs(5)).await;
        assert_eq!(
            fs::read_to_string(dir.path().join("thing.log")).unwrap(),
            "started\nstarted\n"
        );
    }
}

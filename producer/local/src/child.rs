//! A supervised child process: it logs to a file and stops with its owner.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal;
use tokio::time::sleep;

pub use nix::sys::signal::Signal;

use super::error::{Doing, LocalError};
use super::process::to_pid;

const POLL: Duration = Duration::from_millis(10);
const TAIL_LINES: usize = 20;
const TAIL_BYTES: u64 = 16 * 1024;

/// How long a dropped child may take to stop before it is killed.
const DROP_GRACE: Duration = Duration::from_secs(5);

/// A child process in its own process group, so that Ctrl-C in the terminal reaches only its owner, which then
/// stops the children in order.
///
/// The child stops when this is dropped. If the owner is killed, a watchdog stops the child.
#[derive(Debug)]
pub struct ChildProcess {
    name: String,
    child: Child,
    watchdog: Option<Watchdog>,
    stop_signal: Signal,
    log: PathBuf,
    log_start: u64,
}

impl ChildProcess {
    /// Starts `command` with both of its outputs appended to the file `log`.
    /// SIGTERM stops it.
    pub fn spawn(name: &str, command: Command, log: &Path) -> Result<Self, LocalError> {
        Self::spawn_stopping_with(name, command, log, Signal::SIGTERM)
    }

    /// Like [`ChildProcess::spawn`], for a program that another signal stops in order.
    pub fn spawn_stopping_with(
        name: &str,
        mut command: Command,
        log: &Path,
        stop_signal: Signal,
    ) -> Result<Self, LocalError> {
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .doing("open", log)?;
        let log_start = out.metadata().doing("read", log)?.len();
        let err = out.try_clone().doing("open", log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .doing("start", Path::new(command.get_program()))?;
        let watchdog = Watchdog::spawn(child.id(), stop_signal)
            .inspect_err(|error| {
                tracing::warn!(%error, child = name, "watchdog not started: the child survives a kill -9 of its owner");
            })
            .ok();
        Ok(Self {
            name: name.to_owned(),
            child,
            watchdog,
            stop_signal,
            log: log.to_owned(),
            log_start,
        })
    }

    /// The name that errors use.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, which is also the id of its process group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends a signal to the process, unless it has exited.
    pub fn signal(&mut self, signal: Signal) -> Result<(), LocalError> {
        if self.try_wait()?.is_some() {
            return Ok(());
        }
        // Not yet waited for, so the pid is still this child's.
        signal::kill(to_pid(self.pid()), signal)
            .map_err(io::Error::from)
            .doing("signal", Path::new(&self.name))
    }

    /// The exit status, or `None` while it runs.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, LocalError> {
        let status = self
            .child
            .try_wait()
            .doing("wait for", Path::new(&self.name))?;
        if status.is_some() {
            self.watchdog = None;
        }
        Ok(status)
    }

    /// Waits until it exits.
    pub async fn wait(&mut self) -> Result<ExitStatus, LocalError> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            sleep(POLL).await;
        }
    }

    /// Sends the stop signal, waits up to `grace`, then kills it.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus, LocalError> {
        self.signal(self.stop_signal)?;
        if let Ok(ended) = tokio::time::timeout(grace, self.wait()).await {
            return ended;
        }
        tracing::warn!(child = %self.name, ?grace, "child did not stop within its grace period; killing it");
        self.kill()
    }

    /// Kills its process group with SIGKILL. The process is gone when this returns.
    pub fn kill(&mut self) -> Result<ExitStatus, LocalError> {
        if let Some(status) = self.try_wait()? {
            return Ok(status);
        }
        signal::killpg(to_pid(self.pid()), Signal::SIGKILL)
            .map_err(io::Error::from)
            .doing("kill", Path::new(&self.name))?;
        let status = self.child.wait().doing("wait for", Path::new(&self.name))?;
        self.watchdog = None;
        Ok(status)
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        self.read_tail().unwrap_or_else(|error| error.to_string())
    }

    fn read_tail(&self) -> io::Result<String> {
        let mut file = File::open(&self.log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(
            self.log_start.max(length.saturating_sub(TAIL_BYTES)),
        ))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<&str> = text.lines().rev().take(TAIL_LINES).collect();
        lines.reverse();
        Ok(lines.join("\n"))
    }

    /// The error for an unexpected exit.
    pub fn exited(&self, status: ExitStatus) -> LocalError {
        LocalError::Exited {
            name: self.name.clone(),
            status,
            log: self.log.clone(),
            tail: self.log_tail(),
        }
    }

    /// The error for a process that did not become ready in time.
    pub fn not_ready(&self, waited: Duration) -> LocalError {
        LocalError::NotReady {
            name: self.name.clone(),
            waited,
            log: self.log.clone(),
            tail: self.log_tail(),
        }
    }

    /// Stops it without a runtime, as drop does, for owners that clean up afterwards.
    pub(super) fn stop_blocking(&mut self) -> Result<ExitStatus, LocalError> {
        self.signal(self.stop_signal)?;
        let until = Instant::now() + DROP_GRACE;
        while Instant::now() < until {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        self.kill()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        if let Err(error) = self.stop_blocking() {
            tracing::warn!(%error, child = %self.name, "child not stopped");
        }
    }
}

/// A shell that reads from a pipe whose other end only this process holds. When this process dies for any
/// reason, the read ends and the shell stops the child.
#[derive(Debug)]
struct Watchdog {
    shell: Child,
}

impl Watchdog {
    const SCRIPT: &str = "
        read _
        kill -s \"$1\" \"$2\" || exit 0
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            sleep 0.5
            kill -0 \"$2\" || exit 0
        done
        kill -s KILL \"$2\"
    ";

    fn spawn(pid: u32, stop_signal: Signal) -> io::Result<Self> {
        let name = stop_signal.as_str();
        let shell = Command::new("/bin/sh")
            .args(["-c", Self::SCRIPT, "longshore-watchdog"])
            .arg(name.strip_prefix("SIG").unwrap_or(name))
            .arg(pid.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { shell })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Killed before its pipe closes, so that it never signals a reused pid. This fails only if the shell
        // has exited already.
        self.shell.kill().ok();
        self.shell.wait().ok();
    }
}

//! Runs a program to its end, and kills whatever is left of it.

use std::{
    io,
    process::{ExitStatus, Stdio},
};

use longshore_protocol::call::{CallCost, CallError, ErrorClass};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};

/// The longest output that is read, in bytes.
const LONGEST_STDOUT: usize = 32 << 20;
/// How much of the end of stderr is kept, in bytes: enough for the error.
const LONGEST_STDERR: usize = 64 << 10;

/// A program to run.
pub(super) struct ToolProcess<'a> {
    pub(super) program: &'a str,
    pub(super) args: Vec<String>,
    /// Its whole environment.
    pub(super) env: &'a [(String, SecretString)],
    /// Its standard input; `None` is an empty one.
    pub(super) stdin: Option<&'a [u8]>,
}

/// How a program ended, and what it printed.
pub(super) struct FinishedProcess {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// The process group of a program. When dropped, all processes in it are killed.
struct ProcessGroup(Pid);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // Usually the group is empty. Its id is not reused while a process in it lives.
        killpg(self.0, Signal::SIGKILL).ok();
    }
}

impl ToolProcess<'_> {
    /// Runs the program in an empty directory, which is then deleted. Kills its other processes when it has
    /// ended, and all of them when the future is dropped.
    pub(super) async fn run(self) -> Result<FinishedProcess, CallError> {
        let directory = tempfile::tempdir().map_err(|error| self.start_error(&error))?;
        let mut child = Command::new(self.program)
            .args(&self.args)
            .env_clear()
            .envs(
                self.env
                    .iter()
                    .map(|(name, value)| (name, value.expose_secret())),
            )
            .current_dir(directory.path())
            .stdin(self.stdin.map_or_else(Stdio::null, |_| Stdio::piped()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.start_error(&error))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let group = group.map(|id| ProcessGroup(Pid::from_raw(id)));
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let (Some(mut stdin), Some(input)) = (stdin, self.stdin) {
                // The program may read only a part of it, or nothing.
                stdin.write_all(input).await.ok();
            }
            Ok(())
        };
        let ((), stdout, stderr, status) = tokio::try_join!(
            feed,
            read_all(stdout),
            read_tail(stderr),
            wait_for_end(&mut child, group),
        )?;
        Ok(FinishedProcess {
            status,
            stdout,
            stderr,
        })
    }

    fn start_error(&self, error: &io::Error) -> CallError {
        let program = self.program;
        match error.kind() {
            io::ErrorKind::NotFound => CallError::new(
                ErrorClass::Auth,
                format!("the program `{program}` is not installed, or not on PATH"),
            ),
            io::ErrorKind::PermissionDenied => CallError::new(
                ErrorClass::Auth,
                format!("no permission to run the program `{program}`"),
            ),
            io::ErrorKind::ArgumentListTooLong => CallError::new(
                ErrorClass::ContextTooLong,
                format!("the prompt is too long for an argument of `{program}`"),
            ),
            io::ErrorKind::InvalidInput => CallError::new(
                ErrorClass::Refused,
                format!(
                    "the prompt contains a null character, which an argument of `{program}` cannot"
                ),
            ),
            _ => CallError::new(
                ErrorClass::Overloaded,
                format!("cannot start `{program}`: {error}"),
            ),
        }
    }
}

/// Waits for the program to end, and kills the rest of its group, which could keep its outputs open.
async fn wait_for_end(
    child: &mut Child,
    group: Option<ProcessGroup>,
) -> Result<ExitStatus, CallError> {
    let status = child.wait().await.map_err(|error| output_error(&error));
    drop(group);
    status
}

async fn read_all(output: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, CallError> {
    let mut text = Vec::new();
    if let Some(output) = output {
        let limit = u64::try_from(LONGEST_STDOUT).unwrap_or(u64::MAX);
        let mut output = output.take(limit + 1);
        output
            .read_to_end(&mut text)
            .await
            .map_err(|error| output_error(&error))?;
    }
    if text.len() > LONGEST_STDOUT {
        let message = format!("its output is longer than {} MiB", LONGEST_STDOUT >> 20);
        return Err(CallError::new(ErrorClass::BadOutput, message).spend(CallCost::Unknown));
    }
    Ok(text)
}

/// Reads everything, so that the program is never blocked, and keeps the end.
async fn read_tail(output: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, CallError> {
    let mut text = Vec::new();
    let Some(mut output) = output else {
        return Ok(text);
    };
    while output
        .read_buf(&mut text)
        .await
        .map_err(|error| output_error(&error))?
        > 0
    {
        if text.len() > 2 * LONGEST_STDERR {
            text.drain(..text.len() - LONGEST_STDERR);
        }
    }
    Ok(text)
}

fn output_error(error: &io::Error) -> CallError {
    let message = format!("cannot read the output of the program: {error}");
    CallError::new(ErrorClass::Overloaded, message).spend(CallCost::Unknown)
}

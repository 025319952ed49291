//! Runs a program to its end, and leaves nothing of it behind.

use std::{
    io,
    process::{ExitStatus, Stdio},
};

use longshore_protocol::call::{CallError, ErrorClass, Spend};
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
const LONGEST_OUTPUT: usize = 32 << 20;
/// As much of the end of its complaints as can hold what went wrong.
const LONGEST_TROUBLE: usize = 64 << 10;

/// A program to run.
pub(super) struct Run<'a> {
    pub(super) program: &'a str,
    pub(super) args: Vec<String>,
    /// All that it sees of the environment.
    pub(super) env: &'a [(String, SecretString)],
    /// Absent: there is nothing to read.
    pub(super) stdin: Option<&'a [u8]>,
}

/// How it ended, and what it said.
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// The processes that a program started, as far as they stay in its group. Dropped, all are killed.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Nobody is left of most. The number cannot be another's while one of them lives.
        killpg(self.0, Signal::SIGKILL).ok();
    }
}

impl Run<'_> {
    /// Runs it in an empty directory, which is gone afterwards. What still runs when the program
    /// has ended, or when this is dropped, is killed.
    pub(super) async fn finish(self) -> Result<Finished, CallError> {
        let directory = tempfile::tempdir().map_err(|error| self.not_started(&error))?;
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
            .map_err(|error| self.not_started(&error))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok());
        let group = group.map(|id| Group(Pid::from_raw(id)));
        let (input, out, trouble) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let (Some(mut input), Some(text)) = (input, self.stdin) {
                // It need not read all, or anything.
                input.write_all(text).await.ok();
            }
            Ok(())
        };
        let ((), stdout, stderr, status) =
            tokio::try_join!(feed, read(out), read_end(trouble), end(&mut child, group),)?;
        Ok(Finished {
            status,
            stdout,
            stderr,
        })
    }

    fn not_started(&self, error: &io::Error) -> CallError {
        let program = self.program;
        match error.kind() {
            io::ErrorKind::NotFound => CallError::new(
                ErrorClass::Auth,
                format!("the program `{program}` is not installed, or not on PATH"),
            ),
            io::ErrorKind::PermissionDenied => CallError::new(
                ErrorClass::Auth,
                format!("the program `{program}` may not be run"),
            ),
            io::ErrorKind::ArgumentListTooLong => CallError::new(
                ErrorClass::ContextTooLong,
                format!("`{program}` takes no prompt of this length as an argument"),
            ),
            io::ErrorKind::InvalidInput => CallError::new(
                ErrorClass::Refused,
                format!("`{program}` takes no prompt with a null character as an argument"),
            ),
            _ => CallError::new(
                ErrorClass::Overloaded,
                format!("`{program}` could not be started: {error}"),
            ),
        }
    }
}

/// Waits for the program's end. Then the rest of its group ends, too: nobody else holds its outputs
/// open.
async fn end(child: &mut Child, group: Option<Group>) -> Result<ExitStatus, CallError> {
    let status = child.wait().await.map_err(|error| broken(&error));
    drop(group);
    status
}

async fn read(output: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, CallError> {
    let mut text = Vec::new();
    if let Some(output) = output {
        let limit = u64::try_from(LONGEST_OUTPUT).unwrap_or(u64::MAX);
        let mut output = output.take(limit + 1);
        output
            .read_to_end(&mut text)
            .await
            .map_err(|error| broken(&error))?;
    }
    if text.len() > LONGEST_OUTPUT {
        let said = format!("its output is longer than {} MiB", LONGEST_OUTPUT >> 20);
        return Err(CallError::new(ErrorClass::BadOutput, said).spend(Spend::Unknown));
    }
    Ok(text)
}

/// Reads all, so that the program need not wait, and keeps the end.
async fn read_end(output: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, CallError> {
    let mut text = Vec::new();
    let Some(mut output) = output else {
        return Ok(text);
    };
    while output
        .read_buf(&mut text)
        .await
        .map_err(|error| broken(&error))?
        > 0
    {
        if text.len() > 2 * LONGEST_TROUBLE {
            text.drain(..text.len() - LONGEST_TROUBLE);
        }
    }
    Ok(text)
}

fn broken(error: &io::Error) -> CallError {
    let said = format!("its output could not be read: {error}");
    CallError::new(ErrorClass::Overloaded, said).spend(Spend::Unknown)
}

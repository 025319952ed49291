//! Runs the user's command next to the services, and receives stop signals.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
};

use longshore_local::Signal;
use nix::{sys::signal::kill, unistd::Pid};
use tokio::{
    process::{Child, Command},
    signal::unix::{self, SignalKind, signal},
};

use super::variables::Variables;
use crate::error::{CommandError, Exit};

/// The signals that request a stop.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
}

impl Signals {
    /// Installs the handlers; from then on the signals do not end the process.
    pub(super) fn listen() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(CommandError::io("cannot listen for signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.hangup.recv() => Signal::SIGHUP,
        }
    }
}

/// Runs the command to completion, with the addresses in its environment.
pub(super) async fn run(
    command: &[OsString],
    variables: &Variables,
    signals: &mut Signals,
) -> Result<Exit, CommandError> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(Exit::Success);
    };
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .kill_on_drop(true)
        .spawn()
        .map_err(CommandError::io(format!(
            "cannot run `{}`",
            program.to_string_lossy()
        )))?;
    let mut stopping = false;
    loop {
        let signal = tokio::select! {
            status = child.wait() => {
                return Ok(exit_from_status(status.map_err(CommandError::io("cannot wait for the command"))?));
            }
            signal = signals.next() => signal,
        };
        if stopping {
            child
                .start_kill()
                .map_err(CommandError::io("cannot kill the command"))?;
        } else {
            forward_signal(&child, signal);
        }
        stopping = true;
    }
}

/// Forwards a signal, except for Ctrl-C, which the terminal sends to both processes.
fn forward_signal(child: &Child, signal: Signal) {
    let by_terminal = signal == Signal::SIGINT && io::stdin().is_terminal();
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let (Some(pid), false) = (pid, by_terminal) {
        // The child may have exited already.
        kill(Pid::from_raw(pid), signal).ok();
    }
}

/// The exit code as a shell reports it.
fn exit_from_status(status: ExitStatus) -> Exit {
    if status.success() {
        return Exit::Success;
    }
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    Exit::Code(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str) -> Exit {
        let command = ["sh", "-c", script].map(OsString::from);
        let variables = vec![("LONGSHORE_WORKER_URL", "there".to_owned())];
        run(&command, &variables, &mut Signals::listen().unwrap())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_command_gets_the_addresses_and_returns_its_exit_code() {
        assert_eq!(
            sh("test \"$LONGSHORE_WORKER_URL\" = there").await,
            Exit::Success
        );
        assert_eq!(sh("exit 7").await, Exit::Code(7));
        assert_eq!(sh("kill -TERM $$").await, Exit::Code(143));
    }

    #[tokio::test]
    async fn a_missing_command_is_named() {
        let command = [OsString::from("/no/such/program")];
        let error = run(&command, &Vec::new(), &mut Signals::listen().unwrap())
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot run `/no/such/program`: "),
            "{error}"
        );
    }
}

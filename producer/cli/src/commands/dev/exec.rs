//! A command of the user's, run beside the stack.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
};

use longshore_local::Signal;
use nix::{sys::signal::kill, unistd::Pid};
use tokio::process::{Child, Command};

use super::{io_error, signals::Signals, variables::Variables};
use crate::error::{CommandError, Done};

/// Runs the command to its end, with the addresses in its environment.
pub(super) async fn run(
    command: &[OsString],
    variables: &Variables,
    signals: &mut Signals,
) -> Result<Done, CommandError> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(Done::Success);
    };
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .kill_on_drop(true)
        .spawn()
        .map_err(io_error(format!(
            "cannot run `{}`",
            program.to_string_lossy()
        )))?;
    let mut asked = false;
    loop {
        let signal = tokio::select! {
            status = child.wait() => {
                return Ok(done(status.map_err(io_error("cannot wait for the command"))?));
            }
            signal = signals.next() => signal,
        };
        if asked {
            child
                .start_kill()
                .map_err(io_error("cannot kill the command"))?;
        } else {
            pass_on(&child, signal);
        }
        asked = true;
    }
}

/// Passes a signal on, except a Ctrl-C, which the terminal gives to both by itself.
fn pass_on(child: &Child, signal: Signal) {
    let by_terminal = signal == Signal::SIGINT && io::stdin().is_terminal();
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let (Some(pid), false) = (pid, by_terminal) {
        // It may have ended by itself in the meantime.
        kill(Pid::from_raw(pid), signal).ok();
    }
}

/// The code as a shell would give it.
fn done(status: ExitStatus) -> Done {
    if status.success() {
        return Done::Success;
    }
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    Done::Code(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str) -> Done {
        let command = ["sh", "-c", script].map(OsString::from);
        let variables = vec![("LONGSHORE_WORKER_URL", "there".to_owned())];
        run(&command, &variables, &mut Signals::listen().unwrap())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_command_gets_the_addresses_and_gives_the_code() {
        assert_eq!(
            sh("test \"$LONGSHORE_WORKER_URL\" = there").await,
            Done::Success
        );
        assert_eq!(sh("exit 7").await, Done::Code(7));
        assert_eq!(sh("kill -TERM $$").await, Done::Code(143));
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_named() {
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

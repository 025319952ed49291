//! The worker's side of a running gate: starts the supervisor, reads the output, and stops it.

use std::{env, ffi::OsString, io, os::fd::OwnedFd, path::PathBuf, pin::pin, time::Duration};

use longshore_policy::gates::Gate;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixStream, unix::pipe},
    process::{Child, Command},
};

use super::{
    output::Output,
    supervisor::{NO_LIMIT, SUPERVISOR},
};

/// The variables of the worker that every gate gets. The others hold keys.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR"];

/// How long the processes of a gate may take to end once they are killed. Only one in the kernel takes so long.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

const READ_BYTES: usize = 64 << 10;

/// Why a gate is stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Timeout,
    Output,
    Cancelled,
    HandedBack,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(i32),
    Killed,
}

/// A gate that has ended.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) ended: Ended,
    pub(super) stopped: Option<Stop>,
    pub(super) output: Output,
}

/// A gate that runs. When dropped, its processes are killed: the supervisor sees the end of the lifeline.
pub(super) struct GateProcess {
    supervisor: Child,
    /// Its end stops the gate; the supervisor reports the end of the command on it.
    lifeline: UnixStream,
    printed: pipe::Receiver,
}

impl GateProcess {
    pub(super) fn start(gate: &Gate) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // One pipe for both outputs keeps their order.
        let (printed, stdout) = io::pipe()?;
        let stderr = stdout.try_clone()?;
        let memory = gate.max_memory;
        let memory = memory.map_or_else(|| NO_LIMIT.to_owned(), |most| most.to_string());
        let supervisor = Command::new(own_program()?)
            .arg(SUPERVISOR)
            .arg(&gate.working_dir)
            .arg(memory)
            .args(&gate.command)
            .env_clear()
            .envs(inherited())
            .envs(&gate.env)
            .stdin(OwnedFd::from(theirs))
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()?;
        Ok(Self {
            supervisor,
            lifeline: UnixStream::from_std(ours)?,
            printed: pipe::Receiver::from_owned_fd(printed.into())?,
        })
    }

    /// Reads until all processes have ended. Stops them when `stop` says so, or when they print too much.
    pub(super) async fn finish(
        mut self,
        gate: &Gate,
        stop: impl Future<Output = Stop>,
    ) -> Finished {
        let mut output = Output::new(gate.warnings.clone());
        let most = u64::try_from(gate.max_output).unwrap_or(u64::MAX);
        let mut stop = pin!(stop);
        let mut stopped = None;
        let mut gives_up = pin!(tokio::time::sleep(Duration::ZERO));
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let why = tokio::select! {
                read = self.printed.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(length) => {
                        output.push(buffer.get(..length).unwrap_or_default());
                        if output.bytes() <= most {
                            continue;
                        }
                        Stop::Output
                    }
                },
                why = &mut stop, if stopped.is_none() => why,
                () = &mut gives_up, if stopped.is_some() => break,
            };
            if stopped.is_none() {
                stopped = Some(why);
                gives_up.set(tokio::time::sleep(KILLED_WITHIN));
                // If the supervisor has ended, there is nothing to stop.
                self.lifeline.shutdown().await.ok();
            }
        }
        output.end();
        Finished {
            ended: self.ended(stopped).await,
            stopped,
            output,
        }
    }

    /// How the supervisor says that the command ended.
    async fn ended(mut self, stopped: Option<Stop>) -> Ended {
        if stopped.is_some() {
            return Ended::Killed;
        }
        let mut report = String::new();
        let read = self.lifeline.read_to_string(&mut report).await;
        // Only collects the process: it has reported.
        self.supervisor.wait().await.ok();
        match (read, report.trim().parse()) {
            (Ok(_), Ok(code)) => Ended::Exited(code),
            _ => Ended::Killed,
        }
    }
}

/// This program, also if its file was replaced.
pub(super) fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        env::current_exe()
    }
}

fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    let value = |name: &&'static str| Some((*name, env::var_os(name)?));
    INHERITED.iter().filter_map(value)
}

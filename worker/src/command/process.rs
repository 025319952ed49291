//! The worker's side of a running command: starts the supervisor, reads the output, and stops it.

use std::{
    env,
    ffi::OsString,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    pin::pin,
    time::Duration,
};

use longshore_policy::gates::Pattern;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixStream, unix::pipe},
    process::{Child, Command},
};

use super::{
    output::Output,
    supervisor::{NOTHING, SUPERVISOR},
};

/// The variables of the worker that every command gets. The others hold keys.
const INHERITED: &[&str] = &["PATH", "HOME", "LANG", "TMPDIR"];

/// How long the processes of a command may take to end once they are killed. Only one in the kernel takes so long.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

const READ_BYTES: usize = 64 << 10;

/// A command and the bounds within which it runs.
#[derive(Debug, Clone)]
pub(crate) struct Program<'a> {
    /// The program and its arguments.
    pub(crate) command: &'a [String],
    pub(crate) working_dir: &'a Path,
    /// Its variables beside those that every command gets.
    pub(crate) env: Vec<(&'a str, &'a str)>,
    /// What it reads on its standard input.
    pub(crate) input: Option<Vec<u8>>,
    /// The bytes that it may print.
    pub(crate) max_output: usize,
    /// The bytes of memory that each of its processes may have.
    pub(crate) max_memory: Option<usize>,
    /// The lines of its output to count.
    pub(crate) warnings: Option<Pattern>,
}

/// Why a command is stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Timeout,
    Output,
    Cancelled,
    HandedBack,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i32),
    Killed,
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ended: Ended,
    pub(crate) stopped: Option<Stop>,
    pub(crate) output: Output,
}

impl Finished {
    /// The exit code; `None` if the command was killed.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        match self.ended {
            Ended::Exited(code) if self.stopped.is_none() => Some(code),
            _ => None,
        }
    }
}

/// A command that runs. When dropped, its processes are killed: the supervisor sees the end of the lifeline.
pub(crate) struct Process {
    supervisor: Child,
    /// Its end stops the command; the supervisor reports the end of the command on it.
    lifeline: UnixStream,
    printed: pipe::Receiver,
    input: Vec<u8>,
    max_output: usize,
    warnings: Option<Pattern>,
}

impl Process {
    pub(crate) fn start(program: Program<'_>) -> io::Result<Self> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        // One pipe for both outputs keeps their order.
        let (printed, stdout) = io::pipe()?;
        let stderr = stdout.try_clone()?;
        let number = |number: Option<usize>| {
            number.map_or_else(|| NOTHING.to_owned(), |number| number.to_string())
        };
        let supervisor = Command::new(own_program()?)
            .arg(SUPERVISOR)
            .arg(number(program.input.as_ref().map(Vec::len)))
            .arg(program.working_dir)
            .arg(number(program.max_memory))
            .args(program.command)
            .env_clear()
            .envs(inherited())
            .envs(program.env)
            .stdin(OwnedFd::from(theirs))
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .spawn()?;
        Ok(Self {
            supervisor,
            lifeline: UnixStream::from_std(ours)?,
            printed: pipe::Receiver::from_owned_fd(printed.into())?,
            input: program.input.unwrap_or_default(),
            max_output: program.max_output,
            warnings: program.warnings,
        })
    }

    /// Reads until all processes have ended. Stops them when `stop` says so, or when they print too much.
    pub(crate) async fn finish(mut self, stop: impl Future<Output = Stop>) -> Finished {
        let mut output = Output::new(self.warnings.take());
        let most = u64::try_from(self.max_output).unwrap_or(u64::MAX);
        let input = std::mem::take(&mut self.input);
        let mut left = input.as_slice();
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
                written = self.lifeline.write(left), if !left.is_empty() && stopped.is_none() => {
                    // A supervisor that takes no more has ended.
                    left = written.ok().and_then(|written| left.get(written..)).unwrap_or_default();
                    continue;
                }
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

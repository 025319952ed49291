//! The process between the worker and a command. It outlives neither: it kills all that the command left when the
//! command ends, and everything when the worker closes the lifeline or dies.
//!
//! The worker starts `command-supervisor INPUT DIRECTORY MEMORY PROGRAM ARGUMENT…` and sends the `INPUT` bytes of the
//! command's standard input through the lifeline. The supervisor starts `supervised-command` with the arguments after
//! `INPUT` in a process group of its own, which bounds itself and becomes the command.

use std::{
    collections::{HashMap, HashSet},
    env,
    ffi::OsString,
    fs,
    io::{self, Read as _, Write as _},
    os::unix::process::CommandExt as _,
    process::{ChildStdin, Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill, killpg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, write},
};

use super::process::own_program;

/// The argument that starts a supervisor.
pub(super) const SUPERVISOR: &str = "command-supervisor";

/// The argument that starts what becomes the command.
const COMMAND: &str = "supervised-command";

/// The memory of a command without a limit, and the input of one that reads none.
pub(super) const NOTHING: &str = "-";

/// The exit code of a command that cannot be started, as in shells.
const NOT_STARTED: u8 = 127;

/// Between two looks at what is left of a command.
const PAUSE: Duration = Duration::from_millis(2);

pub(super) fn run_internal_command() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let word = arguments.next()?;
    let arguments: Vec<OsString> = arguments.collect();
    match word.to_str()? {
        SUPERVISOR => Some(supervise(&arguments)),
        COMMAND => Some(become_command(&arguments)),
        _ => None,
    }
}

fn supervise(arguments: &[OsString]) -> ExitCode {
    match start(arguments).and_then(wait_for_end) {
        Ok(Some(code)) => {
            // If the worker is gone, nobody needs the report.
            write(io::stdin(), code.to_string().as_bytes()).ok();
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::FAILURE,
        Err(error) => {
            writeln!(io::stderr(), "command not supervised: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Starts the command, and the thread that kills it at the end of the lifeline.
fn start(arguments: &[OsString]) -> io::Result<Pid> {
    let [input, arguments @ ..] = arguments else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let input: Option<u64> = input.to_str().and_then(|bytes| bytes.parse().ok());
    // What leaves the group of the command becomes a child of this process when its parent ends.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut child = Command::new(own_program()?)
        .arg(COMMAND)
        .args(arguments)
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .process_group(0)
        .spawn()?;
    let command = i32::try_from(child.id()).map_err(io::Error::other)?;
    let command = Pid::from_raw(command);
    let input = child.stdin.take().zip(input);
    thread::Builder::new().spawn(move || {
        if let Some((stdin, bytes)) = input {
            pass_on(stdin, bytes);
        }
        // The worker writes nothing more.
        io::copy(&mut io::stdin(), &mut io::sink()).ok();
        loop {
            kill_all(command);
            thread::sleep(PAUSE);
        }
    })?;
    Ok(command)
}

/// Reads the input of the command, and writes it without waiting: the command may read it late, or never.
fn pass_on(mut stdin: ChildStdin, bytes: u64) {
    let mut input = Vec::new();
    if io::stdin().take(bytes).read_to_end(&mut input).is_ok() {
        // Without this thread, the command reads an empty input.
        thread::Builder::new()
            .spawn(move || stdin.write_all(&input))
            .ok();
    }
}

/// Waits for the end of the command, then kills what is left of it. `None`: a signal ended the command.
fn wait_for_end(command: Pid) -> io::Result<Option<i32>> {
    let code = loop {
        match waitpid(None::<Pid>, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == command => break Some(code),
            Ok(WaitStatus::Signaled(pid, ..)) if pid == command => break None,
            Ok(_) | Err(Errno::EINTR) => {}
            // A signal that has no name here ended it.
            Err(Errno::EINVAL | Errno::ECHILD) => break None,
            Err(error) => return Err(error.into()),
        }
    };
    loop {
        kill_all(command);
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => thread::sleep(PAUSE),
            Err(Errno::ECHILD) => return Ok(code),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Kills the group of the command, and its descendants that left the group.
fn kill_all(command: Pid) {
    killpg(command, Signal::SIGKILL).ok();
    for pid in descendants(Pid::this()) {
        kill(pid, Signal::SIGKILL).ok();
    }
}

/// The descendants of a process, by `/proc`; none where there is no such directory.
fn descendants(of: Pid) -> HashSet<Pid> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(pid) = pid.map(Pid::from_raw) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parent_in(&stat) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = HashSet::new();
    let mut left = vec![of];
    while let Some(parent) = left.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if found.insert(*child) {
                left.push(*child);
            }
        }
    }
    found
}

/// The parent in `PID (NAME) STATE PARENT …`; the name may contain anything.
fn parent_in(stat: &str) -> Option<Pid> {
    let (_, rest) = stat.rsplit_once(')')?;
    let parent = rest.split_whitespace().nth(1)?;
    parent.parse().ok().map(Pid::from_raw)
}

/// Bounds this process, and replaces it by the command.
fn become_command(arguments: &[OsString]) -> ExitCode {
    let [directory, memory, program, arguments @ ..] = arguments else {
        return ExitCode::from(NOT_STARTED);
    };
    // In case the supervisor itself is killed.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).ok();
    let limited = match memory.to_str().and_then(|memory| memory.parse().ok()) {
        Some(most) => rlimit::setrlimit(rlimit::Resource::AS, most, most),
        None => Ok(()),
    };
    let error = match limited {
        Ok(()) => Command::new(program)
            .args(arguments)
            .current_dir(directory)
            .exec(),
        Err(error) => error,
    };
    let (program, directory) = (program.display(), directory.display());
    writeln!(
        io::stderr(),
        "cannot start `{program}` in `{directory}`: {error}"
    )
    .ok();
    ExitCode::from(NOT_STARTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_parentheses() {
        assert_eq!(parent_in("7 (a) b) R 3 7 7 0"), Some(Pid::from_raw(3)));
        assert_eq!(parent_in(""), None);
    }
}

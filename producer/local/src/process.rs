//! Information from the system about processes that may not be our children.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

pub(super) fn to_pid(pid: u32) -> Pid {
    // A pid fits into an i32 on every Unix, and no process has the pid i32::MAX.
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}

/// The start time of the process as an opaque text; `None` if it is gone.
///
/// The system reuses pids; a pid with its start time identifies one process.
pub(super) fn started(pid: u32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let stat = Stat::read(pid)?;
        return (stat.state != "Z").then_some(stat.start);
    }
    let pid = pid.to_string();
    let output = Command::new("ps")
        .args(["-o", "lstart=", "-p", &pid])
        .output()
        .ok()?;
    let start = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!start.is_empty()).then_some(start)
}

/// The running children of `pid`.
pub(super) fn children(pid: u32) -> Vec<u32> {
    if !Path::new("/proc/self/stat").exists() {
        let pid = pid.to_string();
        let output = Command::new("pgrep").args(["-P", &pid]).output();
        return output.map_or_else(
            |_| Vec::new(),
            |output| {
                String::from_utf8_lossy(&output.stdout)
                    .lines()
                    .filter_map(|line| line.trim().parse().ok())
                    .collect()
            },
        );
    }
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|child| Stat::read(*child).is_some_and(|stat| stat.parent == pid))
        .collect()
}

/// Stops the process with this pid and start time: sends `stop_signal`, waits, then kills it.
pub(super) async fn end(pid: u32, start: &str, stop_signal: Signal, grace: Duration) {
    let alive = || started(pid).as_deref() == Some(start);
    for step in [stop_signal, Signal::SIGKILL] {
        if !alive() {
            return;
        }
        // It may exit between the check and the signal.
        signal::kill(to_pid(pid), step).ok();
        let until = Instant::now() + grace;
        while alive() && Instant::now() < until {
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The fields of `/proc/PID/stat` that matter here.
struct Stat {
    state: String,
    parent: u32,
    start: String,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is a name that may hold spaces and brackets.
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.to_owned();
        let parent = fields.next()?.parse().ok()?;
        // Field 22 of the line: 17 lie between it and the parent, field 4.
        let start = fields.nth(17)?.to_owned();
        Some(Self {
            state,
            parent,
            start,
        })
    }
}

//! Resource usage of processes, from Linux.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;

/// The unit of processor time in /proc.
const TICKS_A_SECOND: u64 = 100;

/// The most memory that a process used so far, in MiB.
pub(super) fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .context("a process without VmHWM")?
        .trim()
        .parse()?;
    Ok(super::figure(kib) / 1024.0)
}

/// The processor time of a process so far.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = Stat::read(&Path::new("/proc").join(pid.to_string()))?;
    Ok(ticks(stat.own))
}

/// The same including its children, ended ones as well.
pub(super) fn cpu_of_family(pid: u32) -> anyhow::Result<Duration> {
    let stat = Stat::read(&Path::new("/proc").join(pid.to_string()))?;
    let mut sum = stat.own + stat.ended_children;
    for entry in fs::read_dir("/proc")? {
        // Other processes start and end meanwhile.
        match Stat::read(&entry?.path()) {
            Ok(child) if child.parent == pid => sum += child.own + child.ended_children,
            _ => {}
        }
    }
    Ok(ticks(sum))
}

/// The load average of the last minute: on a busy machine the figures mean little.
pub(super) fn load() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text.split_whitespace().next().context("an empty loadavg")?;
    Ok(first.parse()?)
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * 1000 / TICKS_A_SECOND)
}

struct Stat {
    parent: u32,
    own: u64,
    ended_children: u64,
}

impl Stat {
    fn read(process: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(process.join("stat"))?;
        // The name in brackets may contain anything; the rest is plain.
        let (_, rest) = text.rsplit_once(')').context("stat without a name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |index: usize| fields.get(index).copied().context("stat is too short");
        let time = |index: usize| -> anyhow::Result<u64> { Ok(field(index)?.parse()?) };
        Ok(Self {
            parent: field(1)?.parse()?,
            own: time(11)? + time(12)?,
            ended_children: time(13)? + time(14)?,
        })
    }
}

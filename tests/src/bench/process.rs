//! Resource usage of processes, from Linux.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// The unit of processor time in /proc.
const TICKS_A_SECOND: u64 = 100;

/// The most memory that a process used so far, in MiB.
pub(super) fn peak_mib(pid: u32) -> anyhow::Result<f64> {
    memory_mib(pid, "VmHWM:")
}

/// The memory that a process uses now, in MiB.
pub(super) fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    memory_mib(pid, "VmRSS:")
}

fn memory_mib(pid: u32, field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .with_context(|| format!("a process without {field}"))?
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
    for (_, child) in all()? {
        if child.parent == pid {
            sum += child.own + child.ended_children;
        }
    }
    Ok(ticks(sum))
}

/// What the processes of a group use.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage {
    /// The processor time so far, also of their children that ended.
    pub(super) cpu: Duration,
    /// The most memory of each so far, in MiB. Pages that they share count for each.
    pub(super) peak_mib: f64,
}

/// What the processes of this group use.
pub(super) fn usage_of_group(group: u32) -> anyhow::Result<Usage> {
    let mut ticks_used = 0;
    let mut peak = 0.0;
    for (pid, stat) in all()? {
        if stat.group == group {
            ticks_used += stat.own + stat.ended_children;
            // It may have ended meanwhile.
            peak += peak_mib(pid).unwrap_or_default();
        }
    }
    Ok(Usage {
        cpu: ticks(ticks_used),
        peak_mib: peak,
    })
}

/// All processes.
fn all() -> anyhow::Result<Vec<(u32, Stat)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let pid = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
        // Processes start and end meanwhile.
        if let Some(pid) = pid
            && let Ok(stat) = Stat::read(&entry.path())
        {
            all.push((pid, stat));
        }
    }
    Ok(all)
}

/// A moment, to tell what others used of the machine since then.
#[derive(Debug)]
pub(super) struct Others {
    at: Instant,
    ticks: u64,
}

impl Others {
    pub(super) fn now() -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            ticks: ticks_of_machine()?.saturating_sub(ticks_of_descendants()?),
        })
    }

    /// The share of the machine's processors that other programs used since then.
    pub(super) fn share(&self) -> anyhow::Result<f64> {
        let used = ticks(Self::now()?.ticks.saturating_sub(self.ticks));
        let processors = std::thread::available_parallelism()?.get();
        Ok(used.as_secs_f64() / self.at.elapsed().as_secs_f64() / super::figure(processors))
    }
}

/// The processor time of the machine in programs, and what its host took from it.
fn ticks_of_machine() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("an empty /proc/stat")?;
    let fields: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // user, nice, system, idle, iowait, irq, softirq, steal
    let field = |index: usize| fields.get(index).copied().unwrap_or_default();
    Ok(field(0) + field(1) + field(2) + field(7))
}

/// The processor time of this process and all that it started.
fn ticks_of_descendants() -> anyhow::Result<u64> {
    let all = all()?;
    let mut ours = vec![std::process::id()];
    let mut ticks = 0;
    while let Some(parent) = ours.pop() {
        for (pid, stat) in &all {
            if *pid == parent {
                ticks += stat.own + stat.ended_children;
            }
            if stat.parent == parent {
                ours.push(*pid);
            }
        }
    }
    Ok(ticks)
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
    group: u32,
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
            group: field(2)?.parse()?,
            own: time(11)? + time(12)?,
            ended_children: time(13)? + time(14)?,
        })
    }
}

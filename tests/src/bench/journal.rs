//! The journal of a measurement: a file with a line for each run of a job, `NUMBER ENQUEUED RAN`. Workers in any
//! language append to it with one system call, so that it costs all the same and survives a kill.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use nix::time::{ClockId, clock_gettime};

/// Nanoseconds on the monotonic clock that all processes of this machine share.
pub(super) fn nanoseconds() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    // Every Linux has that clock.
    u64::try_from(time.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

/// A line of the journal.
pub(super) fn line(number: usize, enqueued: u64, ran: u64) -> String {
    format!("{number} {enqueued} {ran}\n")
}

/// Opens a journal for a worker.
pub(super) fn open(file: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(file)
}

/// A run of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) number: usize,
    pub(super) enqueued: u64,
    pub(super) ran: u64,
}

impl Run {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let run = Self {
            number: fields.next()?.parse().ok()?,
            enqueued: fields.next()?.parse().ok()?,
            ran: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(run)
    }

    /// From enqueueing until it ran.
    pub(super) fn delay(&self) -> u64 {
        self.ran.saturating_sub(self.enqueued)
    }
}

/// Reads a journal while it grows.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Option<BufReader<File>>,
    /// The start of a line whose rest is not written yet.
    part: String,
    pub(super) runs: Vec<Run>,
    /// How often each job ran, by its number.
    counts: Vec<usize>,
}

impl Journal {
    /// The journal that workers will write there.
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            part: String::new(),
            runs: Vec::new(),
            counts: Vec::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what was written since the last time.
    pub(super) fn read(&mut self) -> anyhow::Result<&[Run]> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(BufReader::new(file)),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(&[]),
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(file) = &mut self.file {
            while file.read_line(&mut self.part)? > 0 && self.part.ends_with('\n') {
                let run = Run::parse(&self.part)
                    .with_context(|| format!("the journal has {:?}", self.part))?;
                self.part.clear();
                self.runs.push(run);
                if self.counts.len() <= run.number {
                    self.counts.resize(run.number + 1, 0);
                }
                if let Some(count) = self.counts.get_mut(run.number) {
                    *count += 1;
                }
            }
        }
        Ok(&self.runs)
    }

    /// How many jobs ran, and how many of them more than once.
    pub(super) fn jobs(&self) -> (usize, usize) {
        let more_than = |times: usize| self.counts.iter().filter(|count| **count > times).count();
        (more_than(0), more_than(1))
    }
}

/// Delays, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delays {
    pub(super) count: u64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Delays {
    /// Delays of so many nanoseconds each.
    pub(super) fn of(delays: impl IntoIterator<Item = u64>) -> anyhow::Result<Self> {
        let mut histogram: Histogram<u64> = Histogram::new_with_max(60_000_000_000, 3)?;
        for delay in delays {
            histogram.saturating_record(delay);
        }
        let ms = |nanoseconds: u64| Duration::from_nanos(nanoseconds).as_secs_f64() * 1000.0;
        Ok(Self {
            count: histogram.len(),
            p50: ms(histogram.value_at_quantile(0.5)),
            p90: ms(histogram.value_at_quantile(0.9)),
            p99: ms(histogram.value_at_quantile(0.99)),
            max: ms(histogram.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_journal_is_read_while_lines_are_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::at(path.clone());
        assert!(journal.read().unwrap().is_empty());
        let mut file = open(&path).unwrap();
        file.write_all(line(0, 10, 15).as_bytes()).unwrap();
        file.write_all(b"2 20 ").unwrap();
        assert_eq!(journal.read().unwrap().len(), 1);
        file.write_all(b"28\n").unwrap();
        file.write_all(line(0, 10, 30).as_bytes()).unwrap();
        let delays: Vec<u64> = journal.read().unwrap().iter().map(Run::delay).collect();
        assert_eq!(delays, [5, 8, 20]);
        assert_eq!(journal.jobs(), (2, 1));
    }

    #[test]
    fn a_line_of_anything_else_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        open(&path).unwrap().write_all(b"1 2\n").unwrap();
        assert!(Journal::at(path).read().is_err());
    }
}

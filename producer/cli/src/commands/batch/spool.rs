//! Tasks that were found right, in a file that is ours alone: what is put in is what was checked, and it
//! takes no memory.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _},
};

use longshore_client::JobId;
use sha2::{Digest as _, Sha256};

use crate::error::CommandError;

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The id that its producer gave it.
    pub(super) own: Option<JobId>,
    /// Whether it has an id or a key of its own.
    pub(super) identified: bool,
    /// The JSON of its job.
    pub(super) message: String,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Spooler {
    file: BufWriter<File>,
    digest: Digest,
    count: u32,
}

/// A file that is whole.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    /// Its tasks.
    pub(super) count: u32,
    /// Their digest.
    pub(super) digest: String,
}

/// Reads it from the first task.
#[derive(Debug)]
pub(super) struct Records {
    file: BufReader<File>,
    digest: Digest,
    left: u32,
}

/// Of so many messages the same, wherever a part of them ends.
#[derive(Debug, Clone, Default)]
struct Digest {
    state: Sha256,
    any: bool,
}

impl Digest {
    fn add(&mut self, message: &str) {
        // With its length before it, no two lists of messages are the same bytes.
        self.state.update((message.len() as u64).to_le_bytes());
        self.state.update(message);
        self.any = true;
    }

    /// As text; empty of no messages.
    fn text(&self) -> String {
        if self.any {
            format!("{:x}", self.state.clone().finalize())
        } else {
            String::new()
        }
    }
}

fn failed(source: io::Error) -> CommandError {
    CommandError::Io {
        what: format!(
            "the tasks cannot be kept in a temporary file in {} (see TMPDIR)",
            std::env::temp_dir().display()
        ),
        source,
    }
}

impl Spooler {
    pub(super) fn new() -> Result<Self, CommandError> {
        let file = tempfile::tempfile().map_err(failed)?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 16, file),
            digest: Digest::default(),
            count: 0,
        })
    }

    pub(super) fn push(&mut self, record: &Record) -> Result<(), CommandError> {
        self.digest.add(&record.message);
        self.count += 1;
        write(&mut self.file, record).map_err(failed)
    }

    pub(super) fn finish(self) -> Result<Spool, CommandError> {
        let file = self
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        Ok(Spool {
            file,
            count: self.count,
            digest: self.digest.text(),
        })
    }
}

/// Length of the message, whether it has an identity, length of its id; then both.
fn write(file: &mut impl io::Write, record: &Record) -> io::Result<()> {
    let id = record.own.as_ref().map_or("", JobId::as_str);
    let length = u32::try_from(record.message.len()).map_err(io::Error::other)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(&[
        u8::from(record.identified),
        u8::try_from(id.len()).map_err(io::Error::other)?,
    ])?;
    file.write_all(id.as_bytes())?;
    file.write_all(record.message.as_bytes())
}

impl Spool {
    /// Its tasks, from the first. One reader at a time: the place in the file is shared.
    pub(super) fn records(&self) -> Result<Records, CommandError> {
        let mut file = self.file.try_clone().map_err(failed)?;
        file.rewind().map_err(failed)?;
        Ok(Records {
            file: BufReader::with_capacity(1 << 16, file),
            digest: Digest::default(),
            left: self.count,
        })
    }
}

impl Records {
    pub(super) fn next(&mut self) -> Result<Option<Record>, CommandError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let record = read(&mut self.file).map_err(failed)?;
        self.digest.add(&record.message);
        Ok(Some(record))
    }

    /// The digest of what was read so far.
    pub(super) fn digest(&self) -> String {
        self.digest.text()
    }
}

fn read(file: &mut impl io::Read) -> io::Result<Record> {
    let [mut length, mut small] = [[0; 4], [0; 4]];
    file.read_exact(&mut length)?;
    let [identified, id_length, ..] = &mut small;
    file.read_exact(std::slice::from_mut(identified))?;
    file.read_exact(std::slice::from_mut(id_length))?;
    let id = text(file, u32::from(*id_length))?;
    Ok(Record {
        own: JobId::parse(&id).ok(),
        identified: *identified == 1,
        message: text(file, u32::from_le_bytes(length))?,
    })
}

fn text(file: &mut impl io::Read, length: u32) -> io::Result<String> {
    let mut text = String::new();
    file.take(length.into()).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(messages: &[&str]) -> Spool {
        let mut spooler = Spooler::new().unwrap();
        for (at, message) in messages.iter().enumerate() {
            let own = (at % 2 == 1).then(|| JobId::parse(&format!("own-{at}")).unwrap());
            let record = Record {
                identified: own.is_some() || at == 0,
                own,
                message: (*message).to_owned(),
            };
            spooler.push(&record).unwrap();
        }
        spooler.finish().unwrap()
    }

    #[test]
    fn tasks_come_back_as_they_went_as_often_as_asked() {
        let spool = spool(&["{\"a\":\n1}", "ä", ""]);
        for _ in 0..2 {
            let mut records = spool.records().unwrap();
            let mut all = Vec::new();
            while let Some(record) = records.next().unwrap() {
                let own = record.own.map(|id| id.to_string());
                all.push((own, record.identified, record.message));
            }
            assert_eq!(
                all,
                [
                    (None, true, "{\"a\":\n1}".to_owned()),
                    (Some("own-1".to_owned()), true, "ä".to_owned()),
                    (None, false, String::new())
                ]
            );
            assert_eq!(records.digest(), spool.digest);
        }
    }

    #[test]
    fn a_digest_is_that_of_the_tasks_so_far() {
        let long = spool(&["a", "b", "c"]);
        let mut records = long.records().unwrap();
        assert_eq!(records.digest(), "");
        records.next().unwrap();
        assert_eq!(records.digest(), spool(&["a"]).digest);
        records.next().unwrap();
        assert_eq!(records.digest(), spool(&["a", "b"]).digest);
        assert_ne!(records.digest(), spool(&["ab"]).digest);
        assert_ne!(records.digest(), spool(&["b", "a"]).digest);
    }
}

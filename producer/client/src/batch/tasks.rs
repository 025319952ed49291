//! The tasks of a batch in a temporary file: exactly the checked tasks are enqueued, and a million tasks take
//! no memory.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Seek as _},
};

use longshore_protocol::{
    envelope::{Envelope, MessageLimits},
    id::JobId,
};
use sha2::{Digest as _, Sha256};

use crate::{error::ClientError, job::Job};

/// A task as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTask {
    /// The job's own id.
    pub own_id: Option<JobId>,
    /// Whether it has an id or a unique key of its own.
    pub identified: bool,
    /// The JSON of its job.
    pub message: String,
}

/// Collects the tasks of a batch.
#[derive(Debug)]
pub struct BatchWriter {
    file: BufWriter<File>,
    digest: TaskDigest,
    count: u32,
}

/// The tasks of a batch, in order, in a file that is removed on drop.
#[derive(Debug)]
pub struct BatchTasks {
    file: File,
    count: u32,
    digest: String,
}

/// Reads the tasks of a batch from the first.
#[derive(Debug)]
pub struct BatchReader {
    file: BufReader<File>,
    digest: TaskDigest,
    left: u32,
}

/// The digest of a list of messages, however the list is split into parts.
#[derive(Debug, Clone, Default)]
struct TaskDigest {
    state: Sha256,
    any: bool,
}

impl TaskDigest {
    fn add(&mut self, message: &str) {
        // The length before each message keeps different lists from having the same bytes.
        self.state.update((message.len() as u64).to_le_bytes());
        self.state.update(message);
        self.any = true;
    }

    /// In hexadecimal; empty for an empty list.
    fn to_hex(&self) -> String {
        if self.any {
            format!("{:x}", self.state.clone().finalize())
        } else {
            String::new()
        }
    }
}

impl BatchWriter {
    /// Creates the temporary file.
    pub fn new() -> Result<Self, ClientError> {
        let file = tempfile::tempfile().map_err(ClientError::TemporaryFile)?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 16, file),
            digest: TaskDigest::default(),
            count: 0,
        })
    }

    /// Checks a job and adds it as the next task.
    pub fn push(&mut self, job: &Job, limits: &MessageLimits) -> Result<(), ClientError> {
        let envelope = job.check(limits).map_err(|reason| ClientError::Malformed {
            index: usize::try_from(self.count).unwrap_or(usize::MAX),
            reason,
        })?;
        self.push_checked(&envelope, job.to_json())
    }

    /// Adds the JSON of a job that was already checked; `envelope` is the result of the check.
    pub fn push_checked(
        &mut self,
        envelope: &Envelope,
        message: String,
    ) -> Result<(), ClientError> {
        self.push_stored(&StoredTask {
            own_id: envelope.id.clone(),
            identified: envelope.id.is_some() || envelope.unique.is_some(),
            message,
        })
    }

    fn push_stored(&mut self, task: &StoredTask) -> Result<(), ClientError> {
        self.digest.add(&task.message);
        self.count += 1;
        write_task(&mut self.file, task).map_err(ClientError::TemporaryFile)
    }

    /// Ends the list.
    pub fn finish(self) -> Result<BatchTasks, ClientError> {
        let file = self
            .file
            .into_inner()
            .map_err(|error| ClientError::TemporaryFile(error.into_error()))?;
        Ok(BatchTasks {
            file,
            count: self.count,
            digest: self.digest.to_hex(),
        })
    }
}

impl BatchTasks {
    /// The number of tasks.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The digest of all messages.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// A reader from the first task. One at a time: all readers share the file's position.
    pub fn reader(&self) -> Result<BatchReader, ClientError> {
        let mut file = self.file.try_clone().map_err(ClientError::TemporaryFile)?;
        file.rewind().map_err(ClientError::TemporaryFile)?;
        Ok(BatchReader {
            file: BufReader::with_capacity(1 << 16, file),
            digest: TaskDigest::default(),
            left: self.count,
        })
    }
}

impl BatchReader {
    /// The next task; `None` after the last.
    pub fn next_task(&mut self) -> Result<Option<StoredTask>, ClientError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let task = read_task(&mut self.file).map_err(ClientError::TemporaryFile)?;
        self.digest.add(&task.message);
        Ok(Some(task))
    }

    /// The digest of the messages read so far.
    pub(super) fn digest(&self) -> String {
        self.digest.to_hex()
    }
}

/// Layout: length of the message (4 bytes), identified (1), length of the id (1), id, message.
fn write_task(file: &mut impl io::Write, task: &StoredTask) -> io::Result<()> {
    let id = task.own_id.as_ref().map_or("", JobId::as_str);
    let length = u32::try_from(task.message.len()).map_err(io::Error::other)?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(&[
        u8::from(task.identified),
        u8::try_from(id.len()).map_err(io::Error::other)?,
    ])?;
    file.write_all(id.as_bytes())?;
    file.write_all(task.message.as_bytes())
}

fn read_task(file: &mut impl io::Read) -> io::Result<StoredTask> {
    let [mut length, mut small] = [[0; 4], [0; 4]];
    file.read_exact(&mut length)?;
    let [identified, id_length, ..] = &mut small;
    file.read_exact(std::slice::from_mut(identified))?;
    file.read_exact(std::slice::from_mut(id_length))?;
    let id = read_string(file, u32::from(*id_length))?;
    Ok(StoredTask {
        own_id: JobId::parse(&id).ok(),
        identified: *identified == 1,
        message: read_string(file, u32::from_le_bytes(length))?,
    })
}

fn read_string(file: &mut impl io::Read, length: u32) -> io::Result<String> {
    let mut text = String::new();
    file.take(length.into()).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(messages: &[&str]) -> BatchTasks {
        let mut writer = BatchWriter::new().unwrap();
        for (at, message) in messages.iter().enumerate() {
            let own_id = (at % 2 == 1).then(|| JobId::parse(&format!("own-{at}")).unwrap());
            let task = StoredTask {
                identified: own_id.is_some() || at == 0,
                own_id,
                message: (*message).to_owned(),
            };
            writer.push_stored(&task).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn tasks_can_be_read_repeatedly_and_unchanged() {
        let tasks = tasks(&["{\"a\":\n1}", "ä", ""]);
        for _ in 0..2 {
            let mut reader = tasks.reader().unwrap();
            let mut all = Vec::new();
            while let Some(task) = reader.next_task().unwrap() {
                let own = task.own_id.map(|id| id.to_string());
                all.push((own, task.identified, task.message));
            }
            assert_eq!(
                all,
                [
                    (None, true, "{\"a\":\n1}".to_owned()),
                    (Some("own-1".to_owned()), true, "ä".to_owned()),
                    (None, false, String::new())
                ]
            );
            assert_eq!(reader.digest(), tasks.digest);
        }
    }

    #[test]
    fn the_digest_covers_the_tasks_read_so_far() {
        let long = tasks(&["a", "b", "c"]);
        let mut reader = long.reader().unwrap();
        assert_eq!(reader.digest(), "");
        reader.next_task().unwrap();
        assert_eq!(reader.digest(), tasks(&["a"]).digest);
        reader.next_task().unwrap();
        assert_eq!(reader.digest(), tasks(&["a", "b"]).digest);
        assert_ne!(reader.digest(), tasks(&["ab"]).digest);
        assert_ne!(reader.digest(), tasks(&["b", "a"]).digest);
    }
}

//! Allows one `longshore dev` per directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use crate::{error::CommandError, output};

const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// An exclusive lock on a directory. The system releases it when the process ends.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    lock: File,
}

impl DirectoryLock {
    /// Whether a process holds it.
    pub(super) fn is_held(dir: &Path) -> bool {
        let file = File::open(dir.join("dev.lock"));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Fails if another process holds it. `shown` is the directory as the user named it.
    pub(super) fn acquire(dir: &Path, shown: &Path) -> Result<Self, CommandError> {
        let path = dir.join("dev.lock");
        let wrong = || CommandError::io(format!("cannot lock {}", path.display()));
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(wrong())?;
        match try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                // The holder may not have written its pid yet.
                let known = file.read_to_string(&mut pid).is_ok() && !pid.trim().is_empty();
                let who = if known {
                    format!(" (pid {})", pid.trim())
                } else {
                    String::new()
                };
                return Err(CommandError::Input(format!(
                    "longshore dev is already running in {}{who}; stop it first, or use another directory with --dir",
                    shown.display()
                )));
            }
            Err(TryLockError::Error(source)) => return Err(wrong()(source)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(wrong())?;
        Ok(Self { lock: file })
    }
}

/// A command that looks whether the lock is held has it for a moment.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            done => return done,
        }
    }
    file.try_lock()
}

impl Drop for DirectoryLock {
    /// Closing is not enough: a child that is just starting may have inherited the file.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            output::note(format_args!(
                "cannot release the lock of the directory: {error}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let shown = Path::new(".longshore");
        assert!(!DirectoryLock::is_held(dir.path()), "there is no file");
        let first = DirectoryLock::acquire(dir.path(), shown).unwrap();
        assert!(DirectoryLock::is_held(dir.path()));
        let error = DirectoryLock::acquire(dir.path(), shown)
            .unwrap_err()
            .to_string();
        let expected = format!(
            "longshore dev is already running in .longshore (pid {}); stop it first, or use another directory with --dir",
            std::process::id()
        );
        assert_eq!(error, expected);
        drop(first);
        assert!(!DirectoryLock::is_held(dir.path()));
        DirectoryLock::acquire(dir.path(), shown).unwrap();
    }
}

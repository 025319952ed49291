//! One service in one directory: the lock on it, and the leftover process of an earlier run.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::error::{Doing, LocalError};
use super::process;

const CLAIM_TRIES: usize = 20;
const CLAIM_PAUSE: Duration = Duration::from_millis(100);
const STALE_GRACE: Duration = Duration::from_secs(10);

/// The right to run `name` in a directory, held until dropped.
///
/// The system releases the lock when the owner dies. A free lock and a running process therefore mean that the
/// owner was killed and the process is a leftover.
#[derive(Debug)]
pub(super) struct Instance {
    _lock: File,
    pid_file: PathBuf,
}

impl Instance {
    /// Claims the directory and stops the leftover process of a killed owner.
    pub(super) async fn claim(
        dir: &Path,
        name: &'static str,
        stop_signal: Signal,
    ) -> Result<Self, LocalError> {
        fs::create_dir_all(dir).doing("create", dir)?;
        let lock = Self::lock(dir, name).await?;
        let pid_file = dir.join(format!("{name}.pid"));
        if let Ok(text) = fs::read_to_string(&pid_file)
            && let Some((pid, start)) = text.trim().split_once(' ')
            && let Ok(pid) = pid.parse::<u32>()
        {
            if process::started(pid).as_deref() == Some(start) {
                tracing::info!(
                    pid,
                    service = name,
                    "stopping the leftover process of an earlier run"
                );
            }
            process::end(pid, start, stop_signal, STALE_GRACE).await;
        }
        Ok(Self {
            _lock: lock,
            pid_file,
        })
    }

    async fn lock(dir: &Path, name: &'static str) -> Result<File, LocalError> {
        let path = dir.join(format!("{name}.lock"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .doing("open", &path)?;
        // Waits a moment for an owner that is just exiting.
        for _ in 0..CLAIM_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => sleep(CLAIM_PAUSE).await,
                Err(TryLockError::Error(source)) => return Err(source).doing("lock", &path),
            }
        }
        Err(LocalError::Busy {
            name,
            dir: dir.to_owned(),
        })
    }

    /// Records the process that runs here.
    pub(super) fn record(&self, pid: u32) -> Result<(), LocalError> {
        // A process that has exited already needs no cleanup.
        let Some(start) = process::started(pid) else {
            return Ok(());
        };
        fs::write(&self.pid_file, format!("{pid} {start}\n")).doing("write", &self.pid_file)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        match fs::remove_file(&self.pid_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %self.pid_file.display(), "pid file not removed");
            }
            _ => {}
        }
    }
}

//! Worker and scheduler processes of a test.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use longshore_local::ChildProcess;

/// How long an orderly stop may take.
const STOP_GRACE: Duration = Duration::from_secs(30);

/// A worker or scheduler. It is killed when this is dropped: a drain takes a second, and most tests end
/// without anything left to drain.
#[derive(Debug)]
pub struct Process(ChildProcess);

impl Process {
    /// Takes over a child.
    pub fn new(child: ChildProcess) -> Self {
        Self(child)
    }

    /// Asks it to stop, and waits until it has.
    pub async fn shut_down(mut self) -> anyhow::Result<()> {
        let status = self.0.stop(STOP_GRACE).await?;
        anyhow::ensure!(status.success(), "{status}: {}", self.0.log_tail());
        Ok(())
    }
}

impl Deref for Process {
    type Target = ChildProcess;

    fn deref(&self) -> &ChildProcess {
        &self.0
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut ChildProcess {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child's own drop stops whatever could not be killed.
        self.0.kill().ok();
    }
}

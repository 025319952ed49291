//! Follows one job, for the commands that wait for it.

use std::{convert::Infallible, time::Duration};

use longshore_client::{Client, ClientError, JobId, Location};
use longshore_protocol::{clock::local_time, id::EntryId};

use super::status::{job_status, paused_queue};
use crate::{
    render::progress::Progress,
    waiting::{StatusLine, WaitStatus, WorkerCheck},
};

/// The pause between two looks: each is a few commands.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Says what one job waits for.
pub(crate) struct JobWatch<'a> {
    client: &'a Client,
    id: &'a JobId,
    /// Where it was last seen.
    entry_id: EntryId,
    workers: WorkerCheck,
    line: StatusLine,
}

impl<'a> JobWatch<'a> {
    /// `entry_id` is that of its message.
    pub(crate) fn new(client: &'a Client, id: &'a JobId, entry_id: EntryId) -> Self {
        Self {
            client,
            id,
            entry_id,
            workers: WorkerCheck::default(),
            line: StatusLine::default(),
        }
    }

    /// The job was enqueued before, in this entry.
    pub(crate) fn follow(&mut self, entry_id: EntryId) {
        self.entry_id = entry_id;
    }

    /// Says what the job waits for, until this is dropped.
    pub(crate) async fn tell(&mut self, progress: &Progress) -> Infallible {
        loop {
            // The wait itself reports errors of Redis. A user that may not read all of this waits without a word.
            if let Ok(Some(status)) = self.look().await {
                self.line.show(&status, progress);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&mut self) -> Result<Option<WaitStatus>, ClientError> {
        let broker = self.client.broker();
        let found = self.client.locate_near(self.id, &self.entry_id).await?;
        if let Location::Available { entry_id, .. } | Location::Running { entry_id, .. } =
            &found.location
        {
            self.entry_id = entry_id.clone();
        }
        let now = local_time();
        if let Location::Available { queue, .. } = &found.location
            && let Some(missing) = self.workers.missing(broker, queue).await?
        {
            if let Some(paused) = paused_queue(broker, queue, now).await? {
                return Ok(Some(paused));
            }
            let id = self.id;
            let advice = format!(
                "{missing}; the job waits. Ctrl-C leaves it in the queue: `longshore jobs show {id}`"
            );
            let status = WaitStatus::new("no worker", format!("Waiting in queue {queue}"));
            return Ok(Some(status.with_advice(Some(advice))));
        }
        let envelope = found.envelope(self.client.message_limits());
        Ok(job_status(broker, &found, envelope.as_ref(), now).await?)
    }
}

//! Waits for a chain to end.

use std::time::{Duration, Instant};

use longshore_client::{ChainReceipt, ChainSubmission};

use super::{
    live::Live,
    reader::{ChainReader, ChainStatus},
};
use crate::{
    error::CommandError,
    waiting::{EXPLAIN_AFTER, Outage, missing_worker, until_interrupted},
};

/// The pause between two reads.
const PAUSE: Duration = Duration::from_millis(250);

/// How the wait ended.
pub(super) enum WaitEnd {
    Ended(Box<ChainStatus>),
    /// A worker rejected the chain for this reason.
    Refused(String),
    /// Neither Redis nor Postgres knows the chain.
    Unknown,
    TimedOut,
    /// The user pressed Ctrl-C.
    Interrupted,
}

/// Waits for at most `timeout`. `receipt` is that of a chain that a worker may not have read yet.
pub(super) async fn watch_chain(
    reader: &mut ChainReader,
    receipt: Option<ChainReceipt>,
    timeout: Option<Duration>,
) -> Result<WaitEnd, CommandError> {
    let mut watch = Watch {
        reader,
        unread: receipt,
        live: Live::new(),
        outage: Outage::default(),
        explained: false,
        began: Instant::now(),
    };
    if let Some(error) = watch.reader.ledger_error() {
        let warning = format!(
            "Warning: times and costs of steps are unknown; Postgres query failed: {error}"
        );
        watch.live.note(&warning);
    }
    let waited = until_interrupted(Box::pin(watch.run(timeout))).await;
    watch.live.clear();
    waited.unwrap_or(Ok(WaitEnd::Interrupted))
}

struct Watch<'a> {
    reader: &'a mut ChainReader,
    /// The chain's message, until a worker has read it.
    unread: Option<ChainReceipt>,
    live: Live,
    outage: Outage,
    explained: bool,
    began: Instant,
}

impl Watch<'_> {
    async fn run(&mut self, timeout: Option<Duration>) -> Result<WaitEnd, CommandError> {
        loop {
            let checked = self.check().await;
            let waited = self.outage.tolerate(checked, |text| self.live.note(text))?;
            if let Some(waited) = waited.flatten() {
                return Ok(waited);
            }
            let left = timeout.map_or(PAUSE, |timeout| {
                timeout.saturating_sub(self.began.elapsed())
            });
            if left.is_zero() {
                return Ok(WaitEnd::TimedOut);
            }
            tokio::time::sleep(PAUSE.min(left)).await;
        }
    }

    async fn check(&mut self) -> Result<Option<WaitEnd>, CommandError> {
        if let Some(waited) = self.check_message().await? {
            return Ok(Some(waited));
        }
        if self.unread.is_some() {
            return Ok(None);
        }
        let Some(chain) = self.reader.read().await? else {
            return Ok(Some(WaitEnd::Unknown));
        };
        self.live.show(&chain);
        if !chain.state().is_final() {
            return Ok(None);
        }
        let last = self.reader.read_after_end().await?;
        Ok(Some(WaitEnd::Ended(Box::new(last.unwrap_or(chain)))))
    }

    /// Checks whether a worker has read the message.
    async fn check_message(&mut self) -> Result<Option<WaitEnd>, CommandError> {
        let Some(receipt) = &self.unread else {
            return Ok(None);
        };
        let client = self.reader.client();
        match client.chain_submission(receipt).await? {
            ChainSubmission::Refused(reason) => return Ok(Some(WaitEnd::Refused(reason))),
            ChainSubmission::Started => self.unread = None,
            ChainSubmission::Unread => {
                if !self.explained && self.began.elapsed() > EXPLAIN_AFTER {
                    self.explained = true;
                    if let Ok(Some(missing)) = missing_worker(client.broker(), &receipt.queue).await
                    {
                        self.live.note(&format!(
                            "{missing}; the chain waits in the queue. Ctrl-C stops waiting and leaves it there."
                        ));
                    }
                }
            }
        }
        Ok(None)
    }
}

//! Who leads: a lease in Redis, renewed well before it ends.

use std::time::{Duration, Instant};

use longshore_broker::{Broker, BrokerError, LeaderToken};

/// How long a leader that died is waited for. One that is merely slow and is overtaken does no harm: what two
/// must not both do is fenced by the token.
const LEASE: Duration = Duration::from_secs(3);

/// How often a leader renews its lease.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// A standby asks no oftener, however often it is called.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// One scheduler's claim to lead.
pub(crate) struct Claim {
    name: String,
    asked: Option<Instant>,
    token: Option<LeaderToken>,
}

impl Claim {
    /// Nobody leads until the first [`Claim::renew`].
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            asked: None,
            token: None,
        }
    }

    /// The token of this scheduler, if it leads now; asks Redis when it is time to.
    pub(crate) async fn renew(
        &mut self,
        broker: &Broker,
    ) -> Result<Option<LeaderToken>, BrokerError> {
        let since = self.asked.map(|asked| asked.elapsed());
        match (self.token, since) {
            (Some(token), Some(since)) if since < RENEW_EVERY => return Ok(Some(token)),
            (None, Some(since)) => tokio::time::sleep(ASK_EVERY.saturating_sub(since)).await,
            _ => {}
        }
        // Should this fail, the lease may have ended: whoever asks next does not lead.
        let before = self.token.take();
        self.asked = None;
        self.token = broker.leader().acquire(&self.name, LEASE).await?;
        self.asked = Some(Instant::now());
        if self.token != before {
            if let Some(token) = self.token {
                tracing::info!(scheduler = self.name, %token, "leading");
            } else {
                tracing::info!(scheduler = self.name, "standing by");
            }
        }
        Ok(self.token)
    }

    /// Lets another lead at once.
    pub(crate) async fn resign(&mut self, broker: &Broker) {
        if self.token.take().is_none() {
            return;
        }
        if let Err(error) = broker.leader().resign(&self.name).await {
            tracing::warn!("the lease was not given back and ends in {LEASE:?}: {error}");
        }
    }
}

//! Which scheduler leads: a lease in Redis, renewed long before it expires.

use std::time::{Duration, Instant};

use longshore_broker::{Broker, BrokerError, LeaderToken};

/// The time after which another scheduler replaces a dead leader. A leader that is only slow and gets replaced
/// does no harm: the token fences what two schedulers must not both do.
const LEASE: Duration = Duration::from_secs(3);

/// How often the leader renews its lease.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// The shortest time between two requests of a standby for the lease.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The lease as one scheduler sees it.
pub(crate) struct Leadership {
    holder: String,
    asked_at: Option<Instant>,
    token: Option<LeaderToken>,
}

impl Leadership {
    /// A standby until the first [`Leadership::renew`].
    pub(crate) fn new(holder: String) -> Self {
        Self {
            holder,
            asked_at: None,
            token: None,
        }
    }

    /// Acquires or renews the lease if it is time to. Returns the token if this scheduler leads.
    pub(crate) async fn renew(
        &mut self,
        broker: &Broker,
    ) -> Result<Option<LeaderToken>, BrokerError> {
        let since_asked = self.asked_at.map(|asked_at| asked_at.elapsed());
        match (self.token, since_asked) {
            (Some(token), Some(since)) if since < RENEW_EVERY => return Ok(Some(token)),
            (None, Some(since)) => tokio::time::sleep(ASK_EVERY.saturating_sub(since)).await,
            _ => {}
        }
        // If this fails, the lease may have expired: this scheduler does not lead until the next success.
        let before = self.token.take();
        self.asked_at = None;
        self.token = broker.leader().acquire(&self.holder, LEASE).await?;
        self.asked_at = Some(Instant::now());
        if self.token != before {
            if let Some(token) = self.token {
                tracing::info!(scheduler = self.holder, %token, "became the leader");
            } else {
                tracing::info!(scheduler = self.holder, "lost the lease; standing by");
            }
        }
        Ok(self.token)
    }

    /// Releases the lease, so that another scheduler leads at once.
    pub(crate) async fn resign(&mut self, broker: &Broker) {
        if self.token.take().is_none() {
            return;
        }
        match broker.leader().resign(&self.holder).await {
            Ok(()) => tracing::info!(scheduler = self.holder, "resigned as the leader"),
            Err(error) => {
                tracing::warn!("release of the lease failed: {error}; it expires in {LEASE:?}");
            }
        }
    }
}

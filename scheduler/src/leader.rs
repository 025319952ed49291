//! Who leads: a lease in Redis, renewed well before it ends.

use std::time::{Duration, Instant};

use longshore_shared::broker::{Broker, BrokerError};

/// How long a leader that died is waited for.
const LEASE: Duration = Duration::from_secs(8);

/// How often the lease is asked for or renewed.
const EVERY: Duration = Duration::from_secs(2);

/// One scheduler's claim to lead.
pub(crate) struct Claim {
    name: String,
    asked: Option<Instant>,
    leads: bool,
}

impl Claim {
    /// Nobody leads until the first [`Claim::renew`].
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            asked: None,
            leads: false,
        }
    }

    /// Whether this scheduler leads now; asks Redis when it is time to.
    pub(crate) async fn renew(&mut self, broker: &Broker) -> Result<bool, BrokerError> {
        if self.asked.is_some_and(|asked| asked.elapsed() < EVERY) {
            return Ok(self.leads);
        }
        // Should this fail, the lease may have ended: whoever asks next does not lead.
        let led = std::mem::take(&mut self.leads);
        self.asked = None;
        let leads = broker.lead(&self.name, LEASE).await?;
        self.asked = Some(Instant::now());
        self.leads = leads;
        if leads != led {
            tracing::info!(
                scheduler = self.name,
                "{}",
                if leads { "leading" } else { "standing by" }
            );
        }
        Ok(leads)
    }

    /// Lets another lead at once.
    pub(crate) async fn resign(&mut self, broker: &Broker) {
        if !std::mem::take(&mut self.leads) {
            return;
        }
        if let Err(error) = broker.resign(&self.name).await {
            tracing::warn!("the lease was not given back and ends in {LEASE:?}: {error}");
        }
    }
}

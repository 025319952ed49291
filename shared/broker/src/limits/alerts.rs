//! Alerts of windows that fill up, until they are delivered.

use std::time::Duration;

use longshore_protocol::event::AlertRecord;

use crate::{BrokerError, Limits, scripts};

/// What a look for alerts found.
#[derive(Debug, Default)]
pub struct Raised {
    /// Meters that were looked at.
    pub looked: usize,
    /// The alerts that are new.
    pub alerts: Vec<AlertRecord>,
    /// Whether any, new or old, wait to be delivered.
    pub waiting: bool,
}

/// An alert that is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its identity: the same each time.
    pub id: String,
    /// What it says.
    pub alert: AlertRecord,
}

impl Limits<'_> {
    /// Looks at no more than `most` meters of which more is used than before, and raises an alert for each
    /// of these thresholds (percent, ascending) that they have passed; each once in a window.
    pub async fn raise_alerts(self, most: usize, thresholds: &[u8]) -> Result<Raised, BrokerError> {
        let mut call = scripts::RAISE_ALERTS.key(self.broker.keys().alerts_to_check());
        call.arg(self.broker.keys().prefix()).arg(most);
        for threshold in thresholds {
            call.arg(*threshold);
        }
        let (looked, alerts, waiting): (usize, Vec<String>, bool) = self.broker.run(&call).await?;
        let alerts = alerts.iter().map(|alert| self.parse_alert(alert));
        Ok(Raised {
            looked,
            alerts: alerts.collect::<Result<_, _>>()?,
            waiting,
        })
    }

    /// Claims at most `most` alerts that are to be delivered now. Unless they are delivered or delayed
    /// within `lease`, somebody else may claim them.
    pub async fn claim_alerts(
        self,
        most: usize,
        lease: Duration,
    ) -> Result<Vec<Claimed>, BrokerError> {
        let mut call = scripts::CLAIM_ALERTS.key(self.broker.keys().alerts_due());
        call.arg(self.broker.keys().prefix())
            .arg(most)
            .arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let claimed: Vec<(String, String)> = self.broker.run(&call).await?;
        let claimed = claimed.into_iter().map(|(id, alert)| {
            let alert = self.parse_alert(&alert)?;
            Ok(Claimed { id, alert })
        });
        claimed.collect()
    }

    /// Forgets an alert that was delivered, or cannot be.
    pub async fn remove_alert(self, id: &str) -> Result<(), BrokerError> {
        redis::pipe()
            .atomic()
            .hdel(self.broker.keys().alerts(), id)
            .zrem(self.broker.keys().alerts_due(), id)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Delivers an alert at a later time (ms since the epoch), unless it was delivered since.
    pub async fn delay_alert(self, id: &str, at_ms: i64) -> Result<(), BrokerError> {
        redis::cmd("ZADD")
            .arg(self.broker.keys().alerts_due())
            .arg("XX")
            .arg(at_ms)
            .arg(id)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    fn parse_alert(self, text: &str) -> Result<AlertRecord, BrokerError> {
        serde_json::from_str(text)
            .map_err(|error| BrokerError::foreign(self.broker.keys().alerts(), error))
    }
}

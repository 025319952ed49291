//! Alerts of windows that fill up: raised, claimed for delivery, removed.

use std::time::Duration;

use longshore_protocol::{event::AlertRecord, review::ReviewAlert};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{BrokerError, Limits, scripts};

/// The result of checking for alerts.
#[derive(Debug, Default)]
pub struct AlertCheck {
    /// The number of meters that were checked.
    pub scanned: usize,
    /// The new alerts.
    pub alerts: Vec<AlertRecord>,
    /// Whether any alert, new or old, waits for delivery.
    pub waiting: bool,
}

/// An alert that the caller is to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedAlert {
    /// Its id, the same at every delivery.
    pub id: String,
    pub alert: Alert,
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Alert {
    /// A person is asked.
    Review { review: ReviewAlert },
    /// A window passed a threshold.
    Window(AlertRecord),
}

impl Alert {
    /// When it was raised, in ms since 1970.
    pub fn at_ms(&self) -> i64 {
        match self {
            Self::Review { review } => review.asked_at.timestamp_millis(),
            Self::Window(window) => window.at_ms,
        }
    }
}

impl Limits<'_> {
    /// Checks at most `most` meters whose usage has grown, and raises an alert for each of these thresholds
    /// (percent, ascending) that they have passed: once for each window.
    pub async fn raise_alerts(
        self,
        most: usize,
        thresholds: &[u8],
    ) -> Result<AlertCheck, BrokerError> {
        let mut call = scripts::RAISE_ALERTS.key(self.broker.keys().alerts_to_check());
        call.arg(self.broker.keys().prefix()).arg(most);
        for threshold in thresholds {
            call.arg(*threshold);
        }
        let (scanned, alerts, waiting): (usize, Vec<String>, bool) = self.broker.run(&call).await?;
        let alerts = alerts.iter().map(|alert| self.parse_alert(alert));
        Ok(AlertCheck {
            scanned,
            alerts: alerts.collect::<Result<_, _>>()?,
            waiting,
        })
    }

    /// Claims at most `most` alerts that are due. Others may claim them after `lease`, unless they are
    /// removed or delayed before.
    pub async fn claim_alerts(
        self,
        most: usize,
        lease: Duration,
    ) -> Result<Vec<ClaimedAlert>, BrokerError> {
        let mut call = scripts::CLAIM_ALERTS.key(self.broker.keys().alerts_due());
        call.arg(self.broker.keys().prefix())
            .arg(most)
            .arg(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let claimed: Vec<(String, String)> = self.broker.run(&call).await?;
        let claimed = claimed.into_iter().map(|(id, alert)| {
            let alert = match self.parse_alert(&alert)? {
                Alert::Review { review } => Alert::Review {
                    review: self.broker.keyring().opened(review),
                },
                window @ Alert::Window(_) => window,
            };
            Ok(ClaimedAlert { id, alert })
        });
        claimed.collect()
    }

    /// Removes an alert that was delivered, or cannot be.
    pub async fn remove_alert(self, id: &str) -> Result<(), BrokerError> {
        redis::pipe()
            .atomic()
            .hdel(self.broker.keys().alerts(), id)
            .zrem(self.broker.keys().alerts_due(), id)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Delays the delivery of an alert until a time (ms since 1970), unless it was removed.
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

    fn parse_alert<T: DeserializeOwned>(self, text: &str) -> Result<T, BrokerError> {
        serde_json::from_str(text)
            .map_err(|error| BrokerError::foreign(self.broker.keys().alerts(), error))
    }
}

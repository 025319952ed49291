//! Pauses of queues, job types and providers (`pauses.lua`).

use std::{collections::BTreeMap, time::Duration};

use longshore_policy::pause::{Pause, Pauses, Target};
use redis::AsyncCommands as _;

use crate::{BrokerError, PauseControl, scripts};

impl PauseControl<'_> {
    /// Pauses a target for `lasts`, or until it is resumed.
    pub async fn pause(
        self,
        target: &Target,
        lasts: Option<Duration>,
        reason: Option<&str>,
    ) -> Result<Pause, BrokerError> {
        let lasts = lasts.map_or_else(String::new, |lasts| lasts.as_millis().to_string());
        let mut call = scripts::PAUSE.key(self.broker.keys().paused());
        call.arg(self.broker.keys().prefix())
            .arg(target.as_str())
            .arg(lasts)
            .arg(reason.unwrap_or_default());
        let pause: String = self.broker.run(&call).await?;
        serde_json::from_str(&pause)
            .map_err(|error| BrokerError::foreign(self.broker.keys().paused(), error))
    }

    /// Resumes a target; `false` if it was not paused.
    pub async fn resume(self, target: &Target) -> Result<bool, BrokerError> {
        let mut call = scripts::RESUME.key(self.broker.keys().paused());
        call.arg(self.broker.keys().prefix()).arg(target.as_str());
        self.broker.run(&call).await
    }

    /// All pauses.
    pub async fn list(self) -> Result<Pauses, BrokerError> {
        let found: BTreeMap<String, String> = self
            .broker
            .shared()
            .hgetall(self.broker.keys().paused())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let parsed = found.into_iter().map(|(name, text)| {
            serde_json::from_str(&text)
                .map(|pause| (name, pause))
                .map_err(|error| BrokerError::foreign(self.broker.keys().paused(), error))
        });
        Ok(Pauses::from_stored(parsed.collect::<Result<_, _>>()?))
    }

    /// The names of the lanes of paused jobs.
    pub(super) async fn lane_names(self) -> Result<Vec<String>, BrokerError> {
        self.broker
            .shared()
            .smembers(self.broker.keys().paused_lanes())
            .await
            .map_err(|source| self.broker.failed(source))
    }
}

//! The configuration that was pushed for all processes.

use redis::AsyncCommands as _;

use crate::{BrokerError, FleetConfig, scripts};

/// A configuration that was pushed for all processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedConfig {
    /// YAML without secrets.
    pub text: String,
    /// Grows by one with every push, from 1.
    pub version: u64,
    /// When it was pushed, in ms since 1970.
    pub pushed_at: i64,
}

impl FleetConfig<'_> {
    /// Pushes a configuration; returns its version.
    pub async fn push(self, text: &str) -> Result<u64, BrokerError> {
        let mut call = scripts::PUSH_CONFIG.key(self.broker.keys().config());
        call.arg(self.broker.keys().prefix()).arg(text);
        call.invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Removes the pushed configuration: each process uses its own file again. Returns the new version.
    pub async fn remove(self) -> Result<u64, BrokerError> {
        self.push("").await
    }

    /// The version: grows whenever a configuration is pushed or removed; 0 if none ever was.
    pub async fn version(self) -> Result<u64, BrokerError> {
        let version: Option<u64> = self
            .broker
            .shared()
            .hget(self.broker.keys().config(), "version")
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(version.unwrap_or_default())
    }

    /// The pushed configuration, if there is one, and the version.
    pub async fn get(self) -> Result<(u64, Option<PushedConfig>), BrokerError> {
        type Fields = (Option<u64>, Option<String>, Option<i64>);
        let (version, text, pushed_at): Fields = self
            .broker
            .shared()
            .hmget(
                self.broker.keys().config(),
                &["version", "text", "pushed_at"],
            )
            .await
            .map_err(|source| self.broker.failed(source))?;
        let version = version.unwrap_or_default();
        let pushed = text.map(|text| PushedConfig {
            text,
            version,
            pushed_at: pushed_at.unwrap_or_default(),
        });
        Ok((version, pushed))
    }
}

//! The configuration that was pushed for the whole fleet.

use redis::AsyncCommands as _;

use crate::{BrokerError, FleetConfig, scripts};

/// What control messages about it begin with; its version follows.
pub const CONFIG_MESSAGE: &str = "config ";

/// A configuration that was pushed for the whole fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// YAML, without any key or password.
    pub text: String,
    /// Counts up with every push, from 1.
    pub version: u64,
    /// When it was pushed, in ms since the epoch.
    pub pushed_at: i64,
}

impl FleetConfig<'_> {
    /// Gives it to the whole fleet; its version.
    pub async fn push(self, text: &str) -> Result<u64, BrokerError> {
        let mut call = scripts::PUSH_CONFIG.key(self.broker.keys().config());
        call.arg(self.broker.keys().prefix()).arg(text);
        call.invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// Takes it away, so that each process goes by its own file again.
    pub async fn remove(self) -> Result<u64, BrokerError> {
        self.push("").await
    }

    /// Its version: changes whenever one is pushed or taken away; 0 where none ever was.
    pub async fn version(self) -> Result<u64, BrokerError> {
        let version: Option<u64> = self
            .broker
            .shared()
            .hget(self.broker.keys().config(), "version")
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(version.unwrap_or_default())
    }

    /// What is pushed now, if anything is, and the version of that state.
    pub async fn get(self) -> Result<(u64, Option<Pushed>), BrokerError> {
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
        let pushed = text.map(|text| Pushed {
            text,
            version,
            pushed_at: pushed_at.unwrap_or_default(),
        });
        Ok((version, pushed))
    }
}

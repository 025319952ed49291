//! The configuration that was pushed for the whole fleet.

use redis::AsyncCommands as _;

use super::{Broker, BrokerError, scripts};

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

impl Broker {
    /// Gives it to the whole fleet; its version.
    pub async fn push_config(&self, text: &str) -> Result<u64, BrokerError> {
        let mut call = scripts::PUSH_CONFIG.key(self.keys().config());
        call.arg(self.keys().prefix()).arg(text);
        call.invoke_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))
    }

    /// Takes it away, so that each process goes by its own file again.
    pub async fn clear_config(&self) -> Result<u64, BrokerError> {
        self.push_config("").await
    }

    /// Its version: changes whenever one is pushed or taken away; 0 where none ever was.
    pub async fn config_version(&self) -> Result<u64, BrokerError> {
        let version: Option<u64> = self
            .shared()
            .hget(self.keys().config(), "version")
            .await
            .map_err(|source| self.failed(source))?;
        Ok(version.unwrap_or_default())
    }

    /// What is pushed now, if anything is, and the version of that state.
    pub async fn pushed_config(&self) -> Result<(u64, Option<Pushed>), BrokerError> {
        type Fields = (Option<u64>, Option<String>, Option<i64>);
        let (version, text, pushed_at): Fields = self
            .shared()
            .hmget(self.keys().config(), &["version", "text", "pushed_at"])
            .await
            .map_err(|source| self.failed(source))?;
        let version = version.unwrap_or_default();
        let pushed = text.map(|text| Pushed {
            text,
            version,
            pushed_at: pushed_at.unwrap_or_default(),
        });
        Ok((version, pushed))
    }
}

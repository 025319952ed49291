//! What the server is and how it is set up, for those who look after it.

use redis::{AsyncCommands as _, FromRedisValue};

use super::{Broker, BrokerError};

/// What the server is, and how it is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// `Redis` or `Valkey`.
    pub product: String,
    /// Its own version.
    pub version: String,
    /// The version of Redis that it is compatible with; of a Redis, the same.
    pub redis_version: String,
    /// Whether it writes an append-only file; `None` where we may not know.
    pub append_only: Option<bool>,
    /// When it forces that file to disk: `always`, `everysec` or `no`.
    pub append_fsync: Option<String>,
    /// What it does when its memory is full.
    pub maxmemory_policy: Option<String>,
}

impl Broker {
    /// What the server is, as far as it may be known.
    pub async fn server(&self) -> Result<ServerFacts, BrokerError> {
        let mut facts = ServerFacts {
            product: "Redis".to_owned(),
            ..ServerFacts::default()
        };
        let info: String = self.ask(redis::cmd("INFO").arg("server")).await?;
        for (name, value) in info
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'))
        {
            match name {
                "redis_version" => value.clone_into(&mut facts.redis_version),
                "valkey_version" => {
                    "Valkey".clone_into(&mut facts.product);
                    value.clone_into(&mut facts.version);
                }
                _ => {}
            }
        }
        if facts.version.is_empty() {
            facts.version.clone_from(&facts.redis_version);
        }
        facts.append_only = self
            .configured("appendonly")
            .await
            .map(|value| value == "yes");
        facts.append_fsync = self.configured("appendfsync").await;
        facts.maxmemory_policy = self.configured("maxmemory-policy").await;
        Ok(facts)
    }

    /// A setting of the server; `None` where it may not be asked for, as managed servers have it.
    async fn configured(&self, name: &str) -> Option<String> {
        let found: Result<Vec<String>, _> =
            self.ask(redis::cmd("CONFIG").arg("GET").arg(name)).await;
        found.ok()?.into_iter().nth(1)
    }

    /// The scheduler that leads, if any does.
    pub async fn leader(&self) -> Result<Option<String>, BrokerError> {
        self.shared()
            .get(self.keys().leader())
            .await
            .map_err(|source| self.failed(source))
    }

    /// Facts that Postgres refused.
    pub async fn bad_events(&self) -> Result<u64, BrokerError> {
        self.shared()
            .xlen(self.keys().bad_events())
            .await
            .map_err(|source| self.failed(source))
    }

    async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, BrokerError> {
        command
            .query_async(&mut self.shared())
            .await
            .map_err(|source| self.failed(source))
    }
}

//! The Redis server: its clock, version and settings.

use redis::FromRedisValue;

use crate::{BrokerError, Server};

/// The version and settings of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// `Redis` or `Valkey`.
    pub product: String,
    /// The version of the product.
    pub version: String,
    /// The Redis version that it is compatible with.
    pub redis_version: String,
    /// Whether it writes an append-only file; `None` if the setting cannot be read.
    pub append_only: Option<bool>,
    /// When it syncs that file to disk: `always`, `everysec` or `no`.
    pub append_fsync: Option<String>,
    /// What it does when its memory is full.
    pub maxmemory_policy: Option<String>,
}

/// The memory of the server, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerMemory {
    pub used: u64,
    /// `maxmemory`; 0 = no limit.
    pub limit: u64,
}

/// The fields of a reply of `INFO`.
fn info_fields(info: &str) -> impl Iterator<Item = (&str, &str)> {
    info.lines()
        .filter_map(|line| line.trim_end().split_once(':'))
}

impl ServerMemory {
    fn parse(info: &str) -> Option<Self> {
        let figure = |name: &str| {
            let (_, value) = info_fields(info).find(|(field, _)| *field == name)?;
            value.parse().ok()
        };
        Some(Self {
            used: figure("used_memory")?,
            limit: figure("maxmemory")?,
        })
    }
}

impl Server<'_> {
    /// The memory that the server uses, and its limit.
    pub async fn memory(self) -> Result<ServerMemory, BrokerError> {
        let info: String = self.query(redis::cmd("INFO").arg("memory")).await?;
        ServerMemory::parse(&info).ok_or_else(|| BrokerError::foreign("INFO memory", "no figures"))
    }

    /// The id of the server's current run: another one after each restart, and on each server.
    pub async fn run_id(self) -> Result<String, BrokerError> {
        let info: String = self.query(redis::cmd("INFO").arg("server")).await?;
        let mut fields = info_fields(&info);
        fields
            .find_map(|(name, value)| (name == "run_id").then(|| value.to_owned()))
            .ok_or_else(|| BrokerError::foreign("INFO server", "no run_id"))
    }

    /// The server's clock, in ms since 1970.
    pub async fn time_ms(self) -> Result<i64, BrokerError> {
        let (seconds, micros): (i64, i64) = redis::cmd("TIME")
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(seconds * 1000 + micros / 1000)
    }

    /// The version and settings of the server, as far as they can be read.
    pub async fn facts(self) -> Result<ServerFacts, BrokerError> {
        let mut facts = ServerFacts {
            product: "Redis".to_owned(),
            ..ServerFacts::default()
        };
        let info: String = self.query(redis::cmd("INFO").arg("server")).await?;
        for (name, value) in info_fields(&info) {
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
        facts.append_only = self.setting("appendonly").await.map(|value| value == "yes");
        facts.append_fsync = self.setting("appendfsync").await;
        facts.maxmemory_policy = self.setting("maxmemory-policy").await;
        Ok(facts)
    }

    /// A setting of the server; `None` if reading it is not allowed, as on managed servers.
    async fn setting(self, name: &str) -> Option<String> {
        let found: Result<Vec<String>, _> =
            self.query(redis::cmd("CONFIG").arg("GET").arg(name)).await;
        found.ok()?.into_iter().nth(1)
    }

    async fn query<T: FromRedisValue>(self, command: &redis::Cmd) -> Result<T, BrokerError> {
        command
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }
}

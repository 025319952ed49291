//! Jobs a page at a time, for who looks through all of them.

use longshore_protocol::id::JobId;

use super::{Broker, BrokerError};

impl Broker {
    /// A page of the jobs whose outcomes are kept, and where the next begins (0: that was all).
    pub async fn outcome_page(&self, cursor: u64) -> Result<(u64, Vec<JobId>), BrokerError> {
        let prefix = self.keys().result_prefix();
        let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(1000)
            .query_async(&mut self.pooled().await?)
            .await
            .map_err(|source| self.failed(source))?;
        let ids = keys
            .iter()
            .filter_map(|key| key.strip_prefix(&prefix))
            .filter_map(|id| JobId::parse(id).ok());
        Ok((next, ids.collect()))
    }

    /// A page of the ids of jobs that wait in lanes, and where the next begins (0: that was all).
    pub async fn laid_aside_page(&self, cursor: u64) -> Result<(u64, Vec<JobId>), BrokerError> {
        let key = self.keys().parked();
        let (next, rows): (u64, Vec<(String, redis::Value)>) = redis::cmd("HSCAN")
            .arg(&key)
            .arg(cursor)
            .arg("COUNT")
            .arg(200)
            .query_async(&mut self.pooled().await?)
            .await
            .map_err(|source| self.failed(source))?;
        let ids = rows
            .iter()
            .map(|(id, _)| JobId::parse(id).map_err(|error| Self::foreign(&key, error)));
        Ok((next, ids.collect::<Result<_, _>>()?))
    }
}

//! Jobs that wait for their tenants' turns (`park_by_tenant.lua`, `pull_returned.lua`).

use longshore_protocol::id::{JobId, QueueName};
use redis::Value;

use super::{Broker, BrokerError};

/// Where a job stands among its tenant's, and the tenant among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The tenant's jobs before it; `None` when it waits no longer.
    pub ahead: Option<u64>,
    /// Tenants whose turn comes before this one's.
    pub before: u64,
    /// Whose turn is next.
    pub next: Option<String>,
    /// Tenants that wait.
    pub tenants: u64,
    /// The tenant's weight.
    pub weight: u32,
}

impl Broker {
    /// Where a job of a queue stands that was laid aside by tenant.
    pub async fn share(
        &self,
        queue: &QueueName,
        tenant: &str,
        job: &JobId,
    ) -> Result<Share, BrokerError> {
        let order = self.keys().tenants(queue);
        let mut pipe = redis::pipe();
        pipe.cmd("LPOS")
            .arg(self.keys().tenant_lane(queue, tenant))
            .arg(job.as_str());
        pipe.cmd("ZRANK").arg(&order).arg(tenant);
        pipe.cmd("ZRANGE").arg(&order).arg(0).arg(0);
        pipe.cmd("ZCARD").arg(&order);
        pipe.cmd("HGET").arg(format!("{order}:weights")).arg(tenant);
        let (ahead, before, next, tenants, weight): (_, Option<u64>, Vec<String>, _, Option<u32>) =
            pipe.query_async(&mut self.shared())
                .await
                .map_err(|source| self.failed(source))?;
        Ok(Share {
            ahead,
            before: before.unwrap_or(0),
            next: next.into_iter().next(),
            tenants,
            weight: weight.unwrap_or(1),
        })
    }

    /// Jobs in lanes whose messages hold `text`, as far as about `most` bytes of all jobs in lanes tell; and
    /// whether that was all. Who waits for his tenant's turn is known there by his place alone, for nobody
    /// has checked an id of his own.
    pub async fn laid_aside_with(
        &self,
        text: &str,
        most: usize,
    ) -> Result<(Vec<JobId>, bool), BrokerError> {
        let key = self.keys().parked();
        let mut connection = self.pooled().await?;
        let (mut cursor, mut seen, mut found) = (0_u64, 0, Vec::new());
        loop {
            let (next, rows): (u64, Value) = redis::cmd("HSCAN")
                .arg(&key)
                .arg(cursor)
                .arg("COUNT")
                .arg(200)
                .query_async(&mut connection)
                .await
                .map_err(|source| self.failed(source))?;
            let rows: Vec<(String, Vec<u8>)> =
                redis::from_redis_value(rows).map_err(|error| Self::foreign(&key, error))?;
            for (id, record) in rows {
                seen += record.len();
                if holds(&record, text.as_bytes()) {
                    found.push(JobId::parse(&id).map_err(|error| Self::foreign(&key, error))?);
                }
            }
            cursor = next;
            if cursor == 0 || seen >= most {
                return Ok((found, cursor == 0));
            }
        }
    }
}

fn holds(record: &[u8], text: &[u8]) -> bool {
    record.windows(text.len().max(1)).any(|part| part == text)
}

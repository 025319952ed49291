//! Jobs that wait for their tenants' turns (`park_by_tenant.lua`, `pull_returned.lua`).

use longshore_protocol::{
    checkpoint::Resume,
    envelope::RawMessage,
    id::{JobId, QueueName},
};
use redis::Value;

use crate::{BrokerError, Lanes, milliseconds, scripts};

/// A job that waits in a lane.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The queue that it will go to.
    pub queue: QueueName,
    /// What is remembered of it.
    pub resume: Resume,
    /// When it is due, in ms since the epoch, if it waits for a time.
    pub due_ms: Option<i64>,
    /// The lane: `time`, `version`, `key:K`, `quota:METER`, `tenant:QUEUE:TENANT`, `paused:type:NAME` or
    /// `paused:provider:A,B`.
    pub lane: String,
    /// Its message.
    pub message: RawMessage,
}

/// A job's place in a limit's lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Jobs before it.
    pub ahead: Option<u64>,
    /// When its turn is expected, in ms since the epoch, where that can be told.
    pub at_ms: Option<i64>,
}

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

impl Lanes<'_> {
    /// The job, if it waits in a lane.
    pub async fn parked_job(self, job: &JobId) -> Result<Option<Waiting>, BrokerError> {
        let mut call = scripts::PEEK_PARKED.key(self.broker.keys().parked());
        call.arg(self.broker.keys().prefix()).arg(job.as_str());
        let record: Option<Vec<Vec<u8>>> = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let Some(record) = record else {
            return Ok(None);
        };
        let key = self.broker.keys().parked();
        let mut parts = record.into_iter();
        let mut text = || String::from_utf8(parts.next().unwrap_or_default()).unwrap_or_default();
        let (queue, lane, resume, due) = (text(), text(), text(), text());
        let queue = QueueName::parse(&queue).map_err(|error| BrokerError::foreign(&key, error))?;
        let resume =
            serde_json::from_str(&resume).map_err(|error| BrokerError::foreign(&key, error))?;
        let mut fields = Vec::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            fields.push((name, value));
        }
        Ok(Some(Waiting {
            queue,
            resume,
            due_ms: due.parse().ok().map(milliseconds),
            lane,
            message: RawMessage { fields },
        }))
    }

    /// A page of the ids of jobs that wait in lanes, and where the next begins (0: that was all).
    pub async fn parked_page(self, cursor: u64) -> Result<(u64, Vec<JobId>), BrokerError> {
        let key = self.broker.keys().parked();
        let (next, rows): (u64, Vec<(String, redis::Value)>) = redis::cmd("HSCAN")
            .arg(&key)
            .arg(cursor)
            .arg("COUNT")
            .arg(200)
            .query_async(&mut self.broker.pooled().await?)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let ids = rows
            .iter()
            .map(|(id, _)| JobId::parse(id).map_err(|error| BrokerError::foreign(&key, error)));
        Ok((next, ids.collect::<Result<_, _>>()?))
    }

    /// Jobs in lanes whose messages hold `text`, as far as about `most` bytes of all jobs in lanes tell; and
    /// whether that was all. Who waits for his tenant's turn is known there by his place alone, for nobody
    /// has checked an id of his own.
    pub async fn find_parked_containing(
        self,
        text: &str,
        most: usize,
    ) -> Result<(Vec<JobId>, bool), BrokerError> {
        let key = self.broker.keys().parked();
        let mut connection = self.broker.pooled().await?;
        let (mut cursor, mut seen, mut found) = (0_u64, 0, Vec::new());
        loop {
            let (next, rows): (u64, Value) = redis::cmd("HSCAN")
                .arg(&key)
                .arg(cursor)
                .arg("COUNT")
                .arg(200)
                .query_async(&mut connection)
                .await
                .map_err(|source| self.broker.failed(source))?;
            let rows: Vec<(String, Vec<u8>)> =
                redis::from_redis_value(rows).map_err(|error| BrokerError::foreign(&key, error))?;
            for (id, record) in rows {
                seen += record.len();
                if holds(&record, text.as_bytes()) {
                    found.push(
                        JobId::parse(&id).map_err(|error| BrokerError::foreign(&key, error))?,
                    );
                }
            }
            cursor = next;
            if cursor == 0 || seen >= most {
                return Ok((found, cursor == 0));
            }
        }
    }

    /// Where a job of a queue stands that was laid aside by tenant.
    pub async fn tenant_position(
        self,
        queue: &QueueName,
        tenant: &str,
        job: &JobId,
    ) -> Result<Share, BrokerError> {
        let order = self.broker.keys().tenants(queue);
        let mut pipe = redis::pipe();
        pipe.cmd("LPOS")
            .arg(self.broker.keys().tenant_lane(queue, tenant))
            .arg(job.as_str());
        pipe.cmd("ZRANK").arg(&order).arg(tenant);
        pipe.cmd("ZRANGE").arg(&order).arg(0).arg(0);
        pipe.cmd("ZCARD").arg(&order);
        pipe.cmd("HGET").arg(format!("{order}:weights")).arg(tenant);
        let (ahead, before, next, tenants, weight): (_, Option<u64>, Vec<String>, _, Option<u32>) =
            pipe.query_async(&mut self.broker.shared())
                .await
                .map_err(|source| self.broker.failed(source))?;
        Ok(Share {
            ahead,
            before: before.unwrap_or(0),
            next: next.into_iter().next(),
            tenants,
            weight: weight.unwrap_or(1),
        })
    }

    /// A job's place in the lane of a limit.
    pub async fn limit_position(self, meter: &str, job: &JobId) -> Result<Turn, BrokerError> {
        let (ahead, gate, kind, cost): (Option<u64>, Option<f64>, Option<String>, Option<f64>) = {
            let mut pipe = redis::pipe();
            pipe.cmd("LPOS")
                .arg(self.broker.keys().quota_lane(meter))
                .arg(job.as_str());
            pipe.cmd("ZSCORE")
                .arg(self.broker.keys().lanes_due())
                .arg(meter);
            for field in ["kind", "cost"] {
                pipe.cmd("HGET")
                    .arg(self.broker.keys().quota(meter))
                    .arg(field);
            }
            pipe.query_async(&mut self.broker.shared())
                .await
                .map_err(|source| self.broker.failed(source))?
        };
        let before = match (kind.as_deref(), cost, ahead) {
            #[expect(clippy::cast_precision_loss, reason = "a forecast")]
            (Some("r"), Some(cost), Some(ahead)) => cost * ahead as f64 / 1000.0,
            _ => 0.0,
        };
        Ok(Turn {
            ahead,
            at_ms: gate.map(|gate| milliseconds(gate + before)),
        })
    }
}

fn holds(record: &[u8], text: &[u8]) -> bool {
    record.windows(text.len().max(1)).any(|part| part == text)
}

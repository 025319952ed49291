//! Parked jobs, and their positions in the lanes.

use longshore_protocol::{
    checkpoint::Checkpoint,
    encryption::PREFIX,
    envelope::RawMessage,
    id::{EntryId, JobId, QueueName},
};
use redis::Value;

use crate::{BrokerError, Lanes, milliseconds, scripts};

/// How the lane of a tenant begins.
const TENANT_LANE: &[u8] = b"tenant:";

/// A parked job.
#[derive(Debug, Clone)]
pub struct ParkedJob {
    /// The entry that it was parked from.
    pub entry_id: EntryId,
    /// The queue that it is released to.
    pub queue: QueueName,
    /// Its checkpoint.
    pub checkpoint: Checkpoint,
    /// When it is due, in ms since 1970, if it is parked for a time.
    pub due_ms: Option<i64>,
    /// The lane: `time`, `version`, `key:K`, `quota:METER`, `tenant:QUEUE:TENANT`, `paused:type:NAME` or
    /// `paused:provider:A,B`.
    pub lane: String,
    pub message: RawMessage,
}

/// A job's position in the lane of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanePosition {
    /// The number of jobs before it; `None` if it is not in the lane.
    pub ahead: Option<u64>,
    /// When its turn is expected, in ms since 1970, if that can be estimated.
    pub at_ms: Option<i64>,
}

/// A job's position in the lane of its tenant, and the tenant's position in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantPosition {
    /// The tenant's jobs before it; `None` if it is not in the lane.
    pub ahead: Option<u64>,
    /// The tenants whose turn comes before this one's.
    pub before: u64,
    /// The tenant whose turn is next.
    pub next: Option<String>,
    /// The tenants with parked jobs.
    pub tenants: u64,
    pub weight: u32,
}

impl Lanes<'_> {
    /// The job, if it is parked.
    pub async fn parked_job(self, job: &JobId) -> Result<Option<ParkedJob>, BrokerError> {
        let index = self.broker.keys().parked_ids();
        for entry_id in self.broker.indexed_entries(index, job).await? {
            if let Some(parked) = self.parked_entry(&entry_id).await? {
                return Ok(Some(parked));
            }
        }
        Ok(None)
    }

    /// The job that was parked from this entry.
    pub async fn parked_entry(self, entry_id: &EntryId) -> Result<Option<ParkedJob>, BrokerError> {
        let mut call = scripts::PEEK_PARKED.key(self.broker.keys().parked());
        call.arg(self.broker.keys().prefix()).arg(entry_id.as_str());
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
        let (queue, lane, checkpoint, due) = (text(), text(), text(), text());
        let queue = QueueName::parse(&queue).map_err(|error| BrokerError::foreign(&key, error))?;
        let checkpoint =
            serde_json::from_str(&checkpoint).map_err(|error| BrokerError::foreign(&key, error))?;
        let mut fields = Vec::new();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            fields.push((name, value));
        }
        Ok(Some(ParkedJob {
            entry_id: entry_id.clone(),
            queue,
            checkpoint: self.broker.keyring().opened(checkpoint),
            due_ms: due.parse().ok().map(milliseconds),
            lane,
            message: self.broker.opened_message(RawMessage { fields }).0,
        }))
    }

    /// A page of the entry ids of parked jobs, after the cursor of the next page (0 = the end).
    pub async fn parked_page(self, cursor: u64) -> Result<(u64, Vec<EntryId>), BrokerError> {
        let (next, rows): (u64, Vec<(String, redis::Value)>) = redis::cmd("HSCAN")
            .arg(self.broker.keys().parked())
            .arg(cursor)
            .arg("COUNT")
            .arg(200)
            .query_async(&mut self.broker.pooled().await?)
            .await
            .map_err(|source| self.broker.failed(source))?;
        let entry_ids = rows
            .iter()
            .map(|(entry_id, _)| EntryId::from_stored(entry_id));
        Ok((next, entry_ids.collect()))
    }

    /// The entries of parked jobs whose messages contain `text`, among about the first `most` bytes of all parked
    /// jobs; and whether all were searched. Jobs that are parked by tenant are not found by their own ids, and those of
    /// them that are encrypted cannot be searched.
    pub async fn find_parked_containing(
        self,
        text: &str,
        most: usize,
    ) -> Result<(Vec<EntryId>, bool), BrokerError> {
        let key = self.broker.keys().parked();
        let mut connection = self.broker.pooled().await?;
        let (mut cursor, mut seen, mut found) = (0_u64, 0, Vec::new());
        let mut is_readable = true;
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
            for (entry_id, record) in rows {
                seen += record.len();
                if holds(&record, text.as_bytes()) {
                    found.push(EntryId::from_stored(&entry_id));
                } else if holds(&record, TENANT_LANE) && holds(&record, PREFIX.as_bytes()) {
                    is_readable = false;
                }
            }
            cursor = next;
            if cursor == 0 || seen >= most {
                return Ok((found, cursor == 0 && is_readable));
            }
        }
    }

    /// The position of a job that is parked by tenant.
    pub async fn tenant_position(
        self,
        queue: &QueueName,
        tenant: &str,
        entry_id: &EntryId,
    ) -> Result<TenantPosition, BrokerError> {
        let order = self.broker.keys().tenants(queue);
        let mut pipe = redis::pipe();
        pipe.cmd("LPOS")
            .arg(self.broker.keys().tenant_lane(queue, tenant))
            .arg(entry_id.as_str());
        pipe.cmd("ZRANK").arg(&order).arg(tenant);
        pipe.cmd("ZRANGE").arg(&order).arg(0).arg(0);
        pipe.cmd("ZCARD").arg(&order);
        pipe.cmd("HGET").arg(format!("{order}:weights")).arg(tenant);
        let (ahead, before, next, tenants, weight): (_, Option<u64>, Vec<String>, _, Option<u32>) =
            pipe.query_async(&mut self.broker.shared())
                .await
                .map_err(|source| self.broker.failed(source))?;
        Ok(TenantPosition {
            ahead,
            before: before.unwrap_or(0),
            next: next.into_iter().next(),
            tenants,
            weight: weight.unwrap_or(1),
        })
    }

    /// The position of a job in the lane of a limit.
    pub async fn limit_position(
        self,
        meter: &str,
        entry_id: &EntryId,
    ) -> Result<LanePosition, BrokerError> {
        let (ahead, gate, kind, cost): (Option<u64>, Option<f64>, Option<String>, Option<f64>) = {
            let mut pipe = redis::pipe();
            pipe.cmd("LPOS")
                .arg(self.broker.keys().quota_lane(meter))
                .arg(entry_id.as_str());
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
        Ok(LanePosition {
            ahead,
            at_ms: gate.map(|gate| milliseconds(gate + before)),
        })
    }
}

fn holds(record: &[u8], text: &[u8]) -> bool {
    record.windows(text.len().max(1)).any(|part| part == text)
}

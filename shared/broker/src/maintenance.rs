//! Maintenance: the orphan sweep (`sweep_orphans.lua`), and the removal of old cancel requests.

use std::collections::VecDeque;

use longshore_protocol::keys::LEDGER_GROUP;
use redis::{AsyncCommands as _, RedisResult, Value};

use crate::{BrokerError, Maintenance, scripts};

/// Fields of a hash that one call checks; it blocks Redis for well under 10 ms.
const PAGE: usize = 100;

/// Ids of a lane that one call checks.
const LANE_HEAD: usize = 500;

/// The orphans that were removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrphansRemoved {
    /// Entry ids of journaled attempts whose entries are gone or belong to another worker.
    pub journal: Vec<String>,
    /// Slots of limits without a journaled attempt: meter and entry id.
    pub slots: Vec<String>,
    /// Slots of concurrency keys whose entries are gone: key and entry id.
    pub holders: Vec<String>,
    /// Checkpoints and crash counts of entries that are gone.
    pub memory: Vec<String>,
    /// Jobs and chains for whose replies somebody waits, and that are gone.
    pub replies: Vec<String>,
    /// Ids in lanes whose jobs have left them.
    pub lane_ids: usize,
    /// Recorders that are gone.
    pub recorders: usize,
}

/// The progress of a sweep.
#[derive(Debug)]
pub struct OrphanSweep {
    /// The cursor of the scan over all keys, until it ends.
    keys: Option<u64>,
    left: VecDeque<Part>,
}

#[derive(Debug)]
struct Part {
    kind: Kind,
    key: String,
    name: String,
    cursor: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Journal,
    Slots,
    Holders,
    Memory,
    Replies,
    Lane,
}

impl Part {
    fn new(kind: Kind, key: String, name: &str) -> Self {
        Self {
            kind,
            key,
            name: name.to_owned(),
            cursor: 0,
        }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Slots => "slots",
            Self::Holders => "holders",
            Self::Memory => "memory",
            Self::Replies => "replies",
            Self::Lane => "lane",
        }
    }
}

impl OrphansRemoved {
    /// Whether nothing was removed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another result.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.journal.extend(other.journal);
        self.slots.extend(other.slots);
        self.holders.extend(other.holders);
        self.memory.extend(other.memory);
        self.replies.extend(other.replies);
        self.lane_ids += other.lane_ids;
        self.recorders += other.recorders;
        self
    }
}

impl OrphanSweep {
    /// Whether the sweep has ended.
    pub fn is_over(&self) -> bool {
        self.keys.is_none() && self.left.is_empty()
    }
}

impl Maintenance<'_> {
    /// Begins a sweep; removes dead recorders at once.
    pub async fn begin_sweep(self) -> Result<(OrphanSweep, OrphansRemoved), BrokerError> {
        let keys = self.broker.keys();
        let left = [
            (Kind::Journal, keys.inflight()),
            (Kind::Memory, keys.checkpoints()),
            (Kind::Memory, keys.crashes()),
            (Kind::Memory, keys.unbegun()),
            (Kind::Replies, keys.replies_waiting()),
        ];
        let left = left.map(|(kind, key)| Part::new(kind, key, ""));
        let swept = OrphansRemoved {
            recorders: self.remove_dead_recorders().await?,
            ..OrphansRemoved::default()
        };
        let sweeping = OrphanSweep {
            keys: Some(0),
            left: left.into(),
        };
        Ok((sweeping, swept))
    }

    /// Sweeps the next page.
    pub async fn continue_sweep(
        self,
        sweeping: &mut OrphanSweep,
    ) -> Result<OrphansRemoved, BrokerError> {
        let mut swept = OrphansRemoved::default();
        if let Some(cursor) = sweeping.keys {
            let (next, parts) = self.find_parts(cursor).await?;
            sweeping.keys = Some(next).filter(|next| *next != 0);
            sweeping.left.extend(parts);
            return Ok(swept);
        }
        let Some(mut part) = sweeping.left.pop_front() else {
            return Ok(swept);
        };
        if part.kind == Kind::Lane {
            let mut call = scripts::SWEEP_LANE.key(&part.key);
            call.arg(self.broker.keys().prefix()).arg(LANE_HEAD);
            swept.lane_ids = self.broker.run(&call).await?;
            return Ok(swept);
        }
        let (next, entry_ids) = self.entry_ids_page(&part.key, part.cursor).await?;
        if !entry_ids.is_empty() {
            let mut call = scripts::SWEEP_ORPHANS.key(&part.key);
            call.arg(self.broker.keys().prefix())
                .arg(part.kind.word())
                .arg(&part.name)
                .arg(&entry_ids);
            let gone: Vec<String> = self.broker.run(&call).await?;
            let named = |entry_id: &String| format!("{} {entry_id}", part.name);
            match part.kind {
                Kind::Journal => swept.journal = gone,
                Kind::Slots => swept.slots = gone.iter().map(named).collect(),
                Kind::Holders => swept.holders = gone.iter().map(named).collect(),
                Kind::Replies => swept.replies = gone,
                Kind::Memory | Kind::Lane => swept.memory = gone,
            }
        }
        if next != 0 {
            part.cursor = next;
            sweeping.left.push_front(part);
        }
        Ok(swept)
    }

    /// A page of all keys: those to sweep. `SCAN` may return a key twice; it is then swept twice.
    async fn find_parts(self, cursor: u64) -> Result<(u64, Vec<Part>), BrokerError> {
        let keys = self.broker.keys();
        let kinds = [
            (Kind::Slots, keys.slots_prefix()),
            (Kind::Holders, keys.holders_prefix()),
            (Kind::Lane, keys.key_lane_prefix()),
            (Kind::Lane, keys.quota_lane_prefix()),
            (Kind::Lane, keys.tenant_lane_prefix()),
        ];
        // Few other keys match, and no results, which are the most.
        let pattern = format!("{}:[skl]*", keys.prefix());
        let (next, found) = self.broker.scan_page(&pattern, cursor).await?;
        let part = |key: &String| {
            let (kind, name) = kinds
                .iter()
                .find_map(|(kind, prefix)| Some((*kind, key.strip_prefix(prefix)?)))?;
            Some(Part::new(kind, key.clone(), name))
        };
        Ok((next, found.iter().filter_map(part).collect()))
    }

    /// A page of the entry ids in a hash.
    async fn entry_ids_page(
        self,
        key: &str,
        cursor: u64,
    ) -> Result<(u64, Vec<String>), BrokerError> {
        let (next, rows): (u64, Vec<(String, Value)>) = redis::cmd("HSCAN")
            .arg(key)
            .arg(cursor)
            .arg("COUNT")
            .arg(PAGE)
            .query_async(&mut self.broker.pooled().await?)
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok((
            next,
            rows.into_iter().map(|(entry_id, _)| entry_id).collect(),
        ))
    }

    /// Removes the recorders that are gone and have nothing pending.
    async fn remove_dead_recorders(self) -> Result<usize, BrokerError> {
        let events = self.broker.keys().events();
        let info: RedisResult<redis::streams::StreamInfoConsumersReply> =
            redis::AsyncCommands::xinfo_consumers(&mut self.broker.shared(), &events, LEDGER_GROUP)
                .await;
        // Without the group, no recorder ever ran.
        let Some(info) = self.broker.if_present(info)? else {
            return Ok(0);
        };
        let mut forgotten = 0;
        for writer in info.consumers {
            let mut call = scripts::REMOVE_RECORDER.key(&events);
            call.arg(self.broker.keys().prefix())
                .arg(LEDGER_GROUP)
                .arg(writer.name);
            forgotten += self.broker.run::<usize>(&call).await?;
        }
        Ok(forgotten)
    }

    /// Removes cancel requests from before `before_ms` whose jobs never appeared, or whose outcomes have expired.
    pub async fn remove_cancel_requests(self, before_ms: i64) -> Result<usize, BrokerError> {
        self.broker
            .shared()
            .zrembyscore(self.broker.keys().cancelled(), "-inf", before_ms)
            .await
            .map_err(|source| self.broker.failed(source))
    }
}

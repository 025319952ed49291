//! Looking for what nobody holds any more, a page at a time (`sweep_orphans.lua`).

use std::collections::VecDeque;

use longshore_protocol::keys::LEDGER_GROUP;
use redis::{AsyncCommands as _, Value};

use crate::{BrokerError, Maintenance, is_missing, scripts};

/// Entries of a hash that one step looks at; it holds Redis for well under 10 ms.
const PAGE: usize = 100;

/// Ids of a lane that one step looks at.
const LANE_HEAD: usize = 500;

/// What was found that nobody held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Begun attempts whose jobs stand nowhere, or are another's: where.
    pub journal: Vec<String>,
    /// Places of limits that no begun attempt has: the limit and where.
    pub slots: Vec<String>,
    /// Slots of concurrency keys of jobs that stand nowhere: the key and where.
    pub holders: Vec<String>,
    /// What was remembered of jobs that stand nowhere.
    pub memory: Vec<String>,
    /// Ids in lanes whose jobs left them.
    pub lane_ids: usize,
    /// Writers of the record that are gone.
    pub recorders: usize,
}

/// How far a turn has come.
#[derive(Debug)]
pub struct Sweeping {
    /// Where the look through all keys goes on, while it does.
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
            Self::Lane => "lane",
        }
    }
}

impl Swept {
    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.journal.extend(other.journal);
        self.slots.extend(other.slots);
        self.holders.extend(other.holders);
        self.memory.extend(other.memory);
        self.lane_ids += other.lane_ids;
        self.recorders += other.recorders;
        self
    }
}

impl Sweeping {
    /// Whether the turn is over.
    pub fn is_over(&self) -> bool {
        self.keys.is_none() && self.left.is_empty()
    }
}

impl Maintenance<'_> {
    /// Begins a turn; the dead writers of the record are forgotten at once.
    pub async fn begin_sweep(self) -> Result<(Sweeping, Swept), BrokerError> {
        let keys = self.broker.keys();
        let left = [
            (Kind::Journal, keys.inflight()),
            (Kind::Memory, keys.checkpoints()),
            (Kind::Memory, keys.crashes()),
        ];
        let left = left.map(|(kind, key)| Part::new(kind, key, ""));
        let swept = Swept {
            recorders: self.remove_dead_recorders().await?,
            ..Swept::default()
        };
        let sweeping = Sweeping {
            keys: Some(0),
            left: left.into(),
        };
        Ok((sweeping, swept))
    }

    /// Looks at the next page.
    pub async fn continue_sweep(self, sweeping: &mut Sweeping) -> Result<Swept, BrokerError> {
        let mut swept = Swept::default();
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
        let (next, places) = self.entry_ids_page(&part.key, part.cursor).await?;
        if !places.is_empty() {
            let mut call = scripts::SWEEP_ORPHANS.key(&part.key);
            call.arg(self.broker.keys().prefix())
                .arg(part.kind.word())
                .arg(&part.name)
                .arg(&places);
            let gone: Vec<String> = self.broker.run(&call).await?;
            let named = |place: &String| format!("{} {place}", part.name);
            match part.kind {
                Kind::Journal => swept.journal = gone,
                Kind::Slots => swept.slots = gone.iter().map(named).collect(),
                Kind::Holders => swept.holders = gone.iter().map(named).collect(),
                Kind::Memory | Kind::Lane => swept.memory = gone,
            }
        }
        if next != 0 {
            part.cursor = next;
            sweeping.left.push_front(part);
        }
        Ok(swept)
    }

    /// A page of all keys: those whose entries somebody may have left. One found twice is looked at twice.
    async fn find_parts(self, cursor: u64) -> Result<(u64, Vec<Part>), BrokerError> {
        let keys = self.broker.keys();
        let kinds = [
            (Kind::Slots, keys.slots_prefix()),
            (Kind::Holders, keys.holders_prefix()),
            (Kind::Lane, keys.key_lane_prefix()),
            (Kind::Lane, keys.quota_lane_prefix()),
            (Kind::Lane, keys.tenant_lane_prefix()),
        ];
        // Few others begin as these do; above all no outcome.
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

    /// A page of the places that a hash has entries of.
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
        Ok((next, rows.into_iter().map(|(place, _)| place).collect()))
    }

    /// Forgets the writers of the record that are gone and left nothing.
    async fn remove_dead_recorders(self) -> Result<usize, BrokerError> {
        let events = self.broker.keys().events();
        let info: Result<redis::streams::StreamInfoConsumersReply, _> =
            redis::AsyncCommands::xinfo_consumers(&mut self.broker.shared(), &events, LEDGER_GROUP)
                .await;
        let writers = match info {
            Ok(reply) => reply.consumers,
            // Nothing was ever recorded.
            Err(error) if is_missing(&error) => return Ok(0),
            Err(error) => return Err(self.broker.failed(error)),
        };
        let mut forgotten = 0;
        for writer in writers {
            let mut call = scripts::REMOVE_RECORDER.key(&events);
            call.arg(self.broker.keys().prefix())
                .arg(LEDGER_GROUP)
                .arg(writer.name);
            forgotten += self.broker.run::<usize>(&call).await?;
        }
        Ok(forgotten)
    }

    /// Forgets requests to cancel jobs that nobody has seen since `before_ms`: their ids were mistaken, or
    /// their outcomes are gone.
    pub async fn remove_cancel_requests(self, before_ms: i64) -> Result<usize, BrokerError> {
        self.broker
            .shared()
            .zrembyscore(self.broker.keys().cancelled(), "-inf", before_ms)
            .await
            .map_err(|source| self.broker.failed(source))
    }
}

//! Dead letters that go into their queues again: some, in bulk, by a rule.

use std::{ops::RangeInclusive, time::Duration};

use longshore_policy::replay::ReplayRule;
use longshore_protocol::{
    dead_letter::{DeadCursor, DeadFilter, Replaying},
    id::JobId,
};
use redis::AsyncCommands as _;

use crate::{BrokerError, DeadLetters, milliseconds, scripts};

/// How long a bulk replay that is interrupted may be gone on with.
const UNFINISHED: Duration = Duration::from_hours(7 * 24);

/// A bulk replay: what it is to replay, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkReplay {
    /// Its id.
    pub id: String,
    /// Which letters.
    pub filter: DeadFilter,
    /// Those that died in this time (ms, both ends included): not those that die once it has begun, or a
    /// letter that dies again would be replayed for ever.
    pub span: RangeInclusive<i64>,
    /// The last letter that was looked at.
    pub after: Option<DeadCursor>,
    /// How many it has replayed.
    pub replayed: u64,
    /// How many were gone, or others, when their turn came.
    pub gone: u64,
    /// How many cannot be replayed.
    pub skipped: u64,
}

/// A step of a bulk replay.
#[derive(Debug, Clone, Copy)]
pub struct BulkStep<'a> {
    /// The bulk replay's id.
    pub bulk: &'a str,
    /// The last letter that was looked at.
    pub last: &'a DeadCursor,
    /// How many of those looked at cannot be replayed.
    pub skipped: u64,
}

impl DeadLetters<'_> {
    /// Puts letters into their queues again, each with its event for the record; of each, whether it was
    /// still there. A step of a bulk replay is counted together with it.
    pub async fn replay(
        self,
        letters: &[Replaying],
        step: Option<BulkStep<'_>>,
    ) -> Result<Vec<bool>, BrokerError> {
        let mut call = scripts::REPLAY_DEAD_LETTERS.key(self.broker.keys().dead());
        call.arg(self.broker.keys().prefix());
        match step {
            Some(step) => call
                .arg(step.bulk)
                .arg(step.last.died_ms)
                .arg(step.last.id.as_str())
                .arg(step.skipped),
            None => call.arg("").arg("").arg("").arg(0),
        };
        add(&mut call, letters);
        let places: Vec<String> = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(places.iter().map(|place| !place.is_empty()).collect())
    }

    /// Puts letters into their queues again, as many as the rule has room for: how many it replayed, and
    /// how many it may still replay now.
    pub async fn replay_by_rule(
        self,
        rule: &ReplayRule,
        letters: &[Replaying],
    ) -> Result<(usize, usize), BrokerError> {
        let mut call = scripts::REPLAY_BY_RULE.key(self.broker.keys().dead());
        call.arg(self.broker.keys().prefix())
            .arg(&rule.name)
            .arg(rule.per_minute);
        add(&mut call, letters);
        let (room, places): (usize, Vec<String>) = {
            let answer: Vec<redis::Value> = call
                .invoke_async(&mut self.broker.shared())
                .await
                .map_err(|source| self.broker.failed(source))?;
            let mut answer = answer.into_iter().map(redis::from_redis_value::<String>);
            let room = answer.next().and_then(Result::ok);
            let places = answer.collect::<Result<_, _>>();
            (
                room.and_then(|room| room.parse().ok()).unwrap_or_default(),
                places.map_err(|error| BrokerError::foreign(self.broker.keys().dead(), error))?,
            )
        };
        let replayed = places.iter().filter(|place| !place.is_empty()).count();
        Ok((replayed, room))
    }

    /// Remembers a bulk replay, for a week from now on.
    pub async fn begin_bulk_replay(self, bulk: &BulkReplay) -> Result<(), BrokerError> {
        let key = self.bulk_key(&bulk.id);
        let filter = serde_json::to_string(&bulk.filter)
            .map_err(|error| BrokerError::foreign(key.as_str(), error))?;
        let fields = [
            ("filter", filter),
            ("from", bulk.span.start().to_string()),
            ("until", bulk.span.end().to_string()),
        ];
        redis::pipe()
            .atomic()
            .hset_multiple(&key, &fields)
            .expire(
                &key,
                i64::try_from(UNFINISHED.as_secs()).unwrap_or(i64::MAX),
            )
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))
    }

    /// A bulk replay that has not come to its end.
    pub async fn bulk_replay(self, id: &str) -> Result<Option<BulkReplay>, BrokerError> {
        let key = self.bulk_key(id);
        let names = [
            "filter", "from", "until", "died", "id", "replayed", "gone", "skipped",
        ];
        let fields: Vec<Option<String>> = redis::cmd("HMGET")
            .arg(&key)
            .arg(&names)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let field = |name: &str| {
            let at = names.iter().position(|known| *known == name)?;
            fields.get(at)?.as_deref()
        };
        let Some(filter) = field("filter") else {
            return Ok(None);
        };
        let number = |name: &str| field(name).and_then(|text| text.parse::<i64>().ok());
        let count = |name: &str| number(name).and_then(|count| u64::try_from(count).ok());
        let after = match (
            field("died").and_then(|died| died.parse().ok()),
            field("id"),
        ) {
            (Some(died), Some(id)) => Some(DeadCursor {
                died_ms: milliseconds(died),
                id: JobId::parse(id).map_err(|error| BrokerError::foreign(key.as_str(), error))?,
            }),
            _ => None,
        };
        Ok(Some(BulkReplay {
            id: id.to_owned(),
            filter: serde_json::from_str(filter)
                .map_err(|error| BrokerError::foreign(key.as_str(), error))?,
            span: number("from").unwrap_or(0)..=number("until").unwrap_or(0),
            after,
            replayed: count("replayed").unwrap_or_default(),
            gone: count("gone").unwrap_or_default(),
            skipped: count("skipped").unwrap_or_default(),
        }))
    }

    /// The ids of the bulk replays that have not come to their end.
    pub async fn bulk_replay_ids(self) -> Result<Vec<String>, BrokerError> {
        let prefix = self.broker.keys().dead_replay_prefix();
        let keys = self.broker.scan(&format!("{prefix}*")).await?;
        let ids = keys.iter().filter_map(|key| key.strip_prefix(&prefix));
        Ok(ids.map(str::to_owned).collect())
    }

    /// Forgets a bulk replay: it has come to its end.
    pub async fn end_bulk_replay(self, id: &str) -> Result<(), BrokerError> {
        self.broker
            .shared()
            .del(self.bulk_key(id))
            .await
            .map_err(|source| self.broker.failed(source))
    }

    fn bulk_key(self, id: &str) -> String {
        format!("{}{id}", self.broker.keys().dead_replay_prefix())
    }
}

fn add(call: &mut redis::ScriptInvocation<'_>, letters: &[Replaying]) {
    for letter in letters {
        call.arg(letter.id.as_str())
            .arg(letter.died_ms)
            .arg(letter.queue.as_str())
            .arg(&letter.resume)
            .arg(&letter.event)
            .arg(2 * letter.fields.len());
        for (name, value) in &letter.fields {
            call.arg(name).arg(value);
        }
    }
}

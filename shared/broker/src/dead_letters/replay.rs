//! Replay of dead letters: some, in bulk, or by a rule.

use std::{ops::RangeInclusive, time::Duration};

use longshore_policy::replay::ReplayRule;
use longshore_protocol::{
    dead_letter::{DeadLetterCursor, DeadLetterFilter, PreparedReplay},
    id::EntryId,
};
use redis::AsyncCommands as _;

use crate::{BrokerError, DeadLetters, milliseconds, scripts};

/// How long an interrupted bulk replay can be continued.
const UNFINISHED: Duration = Duration::from_hours(7 * 24);

/// A bulk replay and its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkReplay {
    pub id: String,
    /// Which dead letters it replays.
    pub filter: DeadLetterFilter,
    /// The times of death that it covers (ms since 1970, inclusive). Dead letters from after its start are
    /// excluded, because a job that fails again would be replayed forever.
    pub span: RangeInclusive<i64>,
    /// The last dead letter that was scanned.
    pub after: Option<DeadLetterCursor>,
    /// How many were replayed.
    pub replayed: u64,
    /// How many were gone or replaced when they were to be replayed.
    pub gone: u64,
    /// How many cannot be replayed.
    pub skipped: u64,
}

/// The progress that one call adds to a bulk replay.
#[derive(Debug, Clone, Copy)]
pub struct BulkProgress<'a> {
    /// The id of the bulk replay.
    pub bulk: &'a str,
    /// The last dead letter that was scanned.
    pub last: &'a DeadLetterCursor,
    /// How many of those scanned cannot be replayed.
    pub skipped: u64,
}

impl DeadLetters<'_> {
    /// Enqueues dead letters again, each with its event; returns for each whether it still existed. The progress
    /// of a bulk replay is stored in the same step.
    pub async fn replay(
        self,
        letters: &[PreparedReplay],
        step: Option<BulkProgress<'_>>,
    ) -> Result<Vec<bool>, BrokerError> {
        let mut call = scripts::REPLAY_DEAD_LETTERS.key(self.broker.keys().dead());
        call.arg(self.broker.keys().prefix());
        match step {
            Some(step) => call
                .arg(step.bulk)
                .arg(step.last.died_ms)
                .arg(step.last.entry_id.as_str())
                .arg(step.skipped),
            None => call.arg("").arg("").arg("").arg(0),
        };
        add(&mut call, letters);
        let entry_ids: Vec<String> = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(entry_ids
            .iter()
            .map(|entry_id| !entry_id.is_empty())
            .collect())
    }

    /// Enqueues as many of these dead letters as the rule's rate allows. Returns how many were replayed, and how
    /// many more the rule may replay now.
    pub async fn replay_by_rule(
        self,
        rule: &ReplayRule,
        letters: &[PreparedReplay],
    ) -> Result<(usize, usize), BrokerError> {
        let mut call = scripts::REPLAY_BY_RULE.key(self.broker.keys().dead());
        call.arg(self.broker.keys().prefix())
            .arg(&rule.name)
            .arg(rule.per_minute);
        add(&mut call, letters);
        let reply: Vec<String> = self.broker.run(&call).await?;
        parse_rule_reply(&reply)
    }

    /// Stores a bulk replay, for a week.
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

    /// A bulk replay that has not ended.
    pub async fn bulk_replay(self, id: &str) -> Result<Option<BulkReplay>, BrokerError> {
        let key = self.bulk_key(id);
        let names = [
            "filter", "from", "until", "died", "entry_id", "replayed", "gone", "skipped",
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
            field("entry_id"),
        ) {
            (Some(died), Some(entry_id)) => Some(DeadLetterCursor {
                died_ms: milliseconds(died),
                entry_id: EntryId::from_stored(entry_id),
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

    /// The ids of the bulk replays that have not ended.
    pub async fn bulk_replay_ids(self) -> Result<Vec<String>, BrokerError> {
        let prefix = self.broker.keys().dead_replay_prefix();
        let keys = self.broker.scan(&format!("{prefix}*")).await?;
        let ids = keys.iter().filter_map(|key| key.strip_prefix(&prefix));
        Ok(ids.map(str::to_owned).collect())
    }

    /// Deletes a bulk replay that has ended.
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

/// How many dead letters were replayed, and how many more the rule may replay now.
fn parse_rule_reply(reply: &[String]) -> Result<(usize, usize), BrokerError> {
    let unexpected = || BrokerError::unexpected_reply("replay_by_rule", reply.join(" "));
    let (room, entry_ids) = reply.split_first().ok_or_else(unexpected)?;
    let room = room.parse().map_err(|_| unexpected())?;
    let replayed = entry_ids.iter().filter(|id| !id.is_empty()).count();
    Ok((replayed, room))
}

fn add(call: &mut redis::ScriptInvocation<'_>, letters: &[PreparedReplay]) {
    for letter in letters {
        call.arg(letter.entry_id.as_str())
            .arg(letter.id.as_str())
            .arg(letter.died_ms)
            .arg(letter.queue.as_str())
            .arg(letter.checkpoint.as_str())
            .arg(letter.event.as_str())
            .arg(2 * letter.fields.len());
        for (name, value) in &letter.fields {
            call.arg(name).arg(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_of_a_rule_counts_what_was_replayed() {
        let parse = |reply: &[&str]| {
            let reply: Vec<String> = reply.iter().map(|part| (*part).to_owned()).collect();
            parse_rule_reply(&reply).ok()
        };
        assert_eq!(parse(&["0"]), Some((0, 0)));
        assert_eq!(parse(&["3", "1-0", "", "2-0"]), Some((2, 3)));
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&["1-0"]), None);
    }
}

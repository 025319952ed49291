//! Recurring jobs and their ticks.

use chrono::{DateTime, Utc};
use longshore_policy::cron::{CronJob, TickPlan};
use longshore_protocol::{
    id::{CronName, QueueName},
    serialized::Serialized,
};
use redis::AsyncCommands as _;

use crate::{BrokerError, Cron, LeaderToken, milliseconds, scripts};

/// The stored record of a recurring job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronRecord {
    pub name: CronName,
    /// The JSON of the record; two versions of a job differ in it.
    pub json: Serialized<CronJob>,
}

/// A recurring job and the state of its ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronStatus {
    pub record: CronRecord,
    /// The next tick; `None` while the job is paused.
    pub next: Option<DateTime<Utc>>,
    /// The last tick that was enqueued.
    pub last: Option<DateTime<Utc>>,
    /// The number of ticks that were enqueued.
    pub ran: u64,
    /// The number of ticks that were skipped.
    pub skipped: u64,
}

/// What happens to the next tick when a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextTick {
    /// It does not change.
    Kept,
    /// There is none.
    Never,
    /// It is set to this time.
    At(DateTime<Utc>),
}

/// Whether a change to a recurring job was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum CronFence {
    Held,
    /// Nothing changed: the record is another one by now.
    Changed,
    /// Nothing changed: another scheduler leads.
    Deposed,
}

impl CronFence {
    fn from_reply(script: &'static str, reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "ok" => Ok(Self::Held),
            "changed" => Ok(Self::Changed),
            "deposed" => Ok(Self::Deposed),
            other => Err(BrokerError::unexpected_reply(script, other)),
        }
    }
}

impl CronRecord {
    /// Parses the record.
    pub fn entry(&self) -> Result<CronJob, BrokerError> {
        self.json
            .parse()
            .map_err(|error| BrokerError::foreign(format!("cron {}", self.name), error))
    }
}

impl Cron<'_> {
    /// Writes the record of a recurring job if the stored one is still `before`; `after: None` removes it. A
    /// leader passes its token.
    pub async fn put(
        self,
        leader: Option<LeaderToken>,
        name: &CronName,
        before: Option<&CronRecord>,
        after: Option<&CronJob>,
        next: NextTick,
    ) -> Result<CronFence, BrokerError> {
        let after = after.map(Serialized::new).transpose();
        let after =
            after.map_err(|error| BrokerError::foreign(self.broker.keys().cron(), error))?;
        let mut call = scripts::CRON_PUT.key(self.broker.keys().cron());
        call.arg(self.broker.keys().prefix())
            .arg(leader.map(|token| token.to_string()).unwrap_or_default())
            .arg(name.as_str())
            .arg(before.map_or("", |record| record.json.as_str()))
            .arg(Serialized::argument(after.as_ref()))
            .arg(match next {
                NextTick::Kept => String::new(),
                NextTick::Never => "-".to_owned(),
                NextTick::At(tick) => tick.timestamp_millis().to_string(),
            });
        let answer: String = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        CronFence::from_reply("cron_put", &answer)
    }

    /// Advances a recurring job whose next tick is `due`, and enqueues `message`, if there is one.
    pub async fn tick(
        self,
        leader: LeaderToken,
        record: &CronRecord,
        due: DateTime<Utc>,
        step: &TickPlan,
        queue: &QueueName,
        message: Option<&str>,
    ) -> Result<CronFence, BrokerError> {
        let ms = |tick: DateTime<Utc>| tick.timestamp_millis();
        let message = message.map(|job| self.broker.stored_job(job)).transpose()?;
        let mut call = scripts::CRON_TICK.key(self.broker.keys().cron_next());
        call.arg(self.broker.keys().prefix())
            .arg(leader.to_string())
            .arg(record.name.as_str())
            .arg(record.json.as_str())
            .arg(ms(due))
            .arg(
                step.next
                    .map_or_else(|| "-".to_owned(), |tick| ms(tick).to_string()),
            )
            .arg(step.skipped)
            .arg(queue.as_str())
            .arg(step.run.map(ms).unwrap_or_default())
            .arg(message.as_deref().unwrap_or_default());
        let answer: String = call
            .invoke_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        CronFence::from_reply("cron_tick", &answer)
    }

    /// The server's time, and the next ticks of at most `most` recurring jobs, earliest first.
    pub async fn next_ticks(
        self,
        most: usize,
    ) -> Result<(DateTime<Utc>, Vec<(CronName, DateTime<Utc>)>), BrokerError> {
        let last = most.saturating_sub(1);
        let ((seconds, micros), ticks): ((i64, i64), Vec<(String, f64)>) = redis::pipe()
            .cmd("TIME")
            .zrange_withscores(
                self.broker.keys().cron_next(),
                0,
                isize::try_from(last).unwrap_or(isize::MAX),
            )
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let ticks = ticks
            .into_iter()
            .map(|(name, tick)| (CronName::from_stored(&name), moment(milliseconds(tick))));
        Ok((moment(seconds * 1000 + micros / 1000), ticks.collect()))
    }

    /// The record of a recurring job.
    pub async fn record(self, name: &CronName) -> Result<Option<CronRecord>, BrokerError> {
        let text: Option<String> = self
            .broker
            .shared()
            .hget(self.broker.keys().cron(), name.as_str())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(text.map(|text| CronRecord {
            name: name.clone(),
            json: Serialized::from_stored(text),
        }))
    }

    /// All recurring jobs, by name.
    pub async fn list(self) -> Result<Vec<CronStatus>, BrokerError> {
        type Found = (
            Vec<(String, String)>,
            std::collections::HashMap<String, f64>,
            std::collections::HashMap<String, i64>,
        );
        let (mut records, next, state): Found = redis::pipe()
            .hgetall(self.broker.keys().cron())
            .zrange_withscores(self.broker.keys().cron_next(), 0, -1)
            .hgetall(self.broker.keys().cron_state())
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        records.sort();
        let statuses = records.into_iter().map(|(name, text)| {
            let figure = |what: &str| state.get(&format!("{what}:{name}")).copied();
            let count = |what: &str| {
                let figure = figure(what).unwrap_or_default();
                u64::try_from(figure).unwrap_or_default()
            };
            CronStatus {
                next: next.get(&name).map(|tick| moment(milliseconds(*tick))),
                last: figure("last").map(moment),
                ran: count("ran"),
                skipped: count("skipped"),
                record: CronRecord {
                    name: CronName::from_stored(&name),
                    json: Serialized::from_stored(text),
                },
            }
        });
        Ok(statuses.collect())
    }
}

fn moment(ms: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_words;

    #[test]
    fn every_reply_about_recurring_jobs_is_parsed() {
        for script in ["cron_put", "cron_tick"] {
            let cases = [
                ("ok", CronFence::Held),
                ("changed", CronFence::Changed),
                ("deposed", CronFence::Deposed),
            ];
            check_words(script, &cases, |reply| CronFence::from_reply(script, reply));
        }
    }
}

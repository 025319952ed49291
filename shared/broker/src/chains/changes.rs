//! The scripts that change a chain: start, fan out, cancel, retry.

use std::{collections::HashMap, num::NonZeroU32};

use chrono::{DateTime, Utc};
use longshore_protocol::{
    chain::{ChainId, Instance, OnFailure, StepName, StepRef, template::RecipeInputs},
    checkpoint::{Checkpoint, Spent},
    dead_letter::PreparedReplay,
    envelope::{ContentHash, MessageLimits},
    event::{DeadLetterRecord, Event},
    id::{JobId, QueueName},
    reply::ReplyTo,
    serialized::Serialized,
    string_enum,
};
use redis::ScriptInvocation;

use super::{FAILED_PAGE, FailedStep};
use crate::{
    Broker, BrokerError, Chains, Delivery, Fence,
    deliveries::{flag, reply_argument},
    scripts,
};

/// The maximum number of steps or items in one call.
const SENT_TOGETHER: usize = 500;

/// Splits what one call cannot send: what is sent before, and what the last call sends.
fn split_last<T>(all: &[T]) -> (&[T], &[T]) {
    let before = all.len().saturating_sub(1) / SENT_TOGETHER * SENT_TOGETHER;
    all.split_at(before)
}

/// How long prepared steps are kept until their chain starts, in seconds.
const PREPARED_SECONDS: u64 = 3600;

string_enum! {
    /// How a step, or an item of one, ended.
    StepOutcome {
        Completed = "completed",
        /// Its job became a dead letter.
        Failed = "failed",
        /// Its condition was false.
        Skipped = "skipped",
        Cancelled = "cancelled",
    }
}

/// The end of a step, reported when its job is settled.
#[derive(Debug, Clone, Copy)]
pub struct StepEnd<'a> {
    pub step: &'a StepRef,
    pub outcome: StepOutcome,
    pub spent: Spent,
}

/// The numbers of `SPENT` in `lua/include/chains.lua`.
fn spent_argument(spent: Spent) -> String {
    let Spent {
        attempts,
        input_tokens,
        output_tokens,
        cached_tokens,
        reasoning_tokens,
        cost_usd,
        cost_estimated,
    } = spent;
    format!(
        "{} {attempts} {input_tokens} {output_tokens} {cached_tokens} {reasoning_tokens} {}",
        cost_usd.nanos_up(),
        u8::from(cost_estimated)
    )
}

impl StepEnd<'_> {
    pub(crate) fn to_lua_argument(self) -> String {
        format!(
            "{} {} {}",
            format_step(self.step),
            self.outcome,
            spent_argument(self.spent)
        )
    }
}

/// The reply of `chain_start.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StartReply {
    Ended(ChainStarted),
    /// The chain started, and ready steps are left to dispatch.
    DispatchMore,
    PreparationExpired,
}

impl StartReply {
    fn parse(reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "ok" => Ok(Self::Ended(ChainStarted::Yes)),
            "more" => Ok(Self::DispatchMore),
            "gone" => Ok(Self::Ended(ChainStarted::Lost)),
            "duplicate" => Ok(Self::Ended(ChainStarted::Duplicate)),
            "conflict" => Ok(Self::Ended(ChainStarted::Conflict)),
            "again" => Ok(Self::PreparationExpired),
            other => Err(BrokerError::unexpected_reply("chain_start", other)),
        }
    }
}

/// Whether the step fanned out, and whether ready items are left to dispatch.
fn parse_expand_reply(reply: &str) -> Result<(Fence, bool), BrokerError> {
    match reply {
        "ok" => Ok((Fence::Held, false)),
        "more" => Ok((Fence::Held, true)),
        "gone" => Ok((Fence::Lost, false)),
        other => Err(BrokerError::unexpected_reply("chain_expand", other)),
    }
}

/// Whether ready instances are left to dispatch.
fn parse_dispatch_reply(reply: &str) -> Result<bool, BrokerError> {
    match reply {
        "ok" => Ok(false),
        "more" => Ok(true),
        other => Err(BrokerError::unexpected_reply("chain_dispatch", other)),
    }
}

impl ChainCancelled {
    fn from_reply(reply: &str) -> Result<Self, BrokerError> {
        match reply {
            "asked" => Ok(Self::Asked),
            "ended" => Ok(Self::Ended),
            "unknown" => Ok(Self::Unknown),
            other => Err(BrokerError::unexpected_reply("chain_cancel", other)),
        }
    }
}

impl ChainRetried {
    fn from_reply(reply: i64) -> Result<Self, BrokerError> {
        match reply {
            -1 => Ok(Self::Unknown),
            -2 => Ok(Self::Running),
            -3 => Ok(Self::Nothing),
            again => u64::try_from(again)
                .map(Self::Again)
                .map_err(|_| BrokerError::unexpected_reply("chain_retry", again.to_string())),
        }
    }
}

impl Chains<'_> {
    /// Starts a chain and acknowledges its message. The outcome expires like the results of jobs.
    pub async fn start(
        self,
        delivery: &Delivery,
        plan: &ChainPlan<'_>,
    ) -> Result<ChainStarted, BrokerError> {
        let (before, rest) = split_last(plan.steps);
        let prepared_key = if before.is_empty() {
            String::new()
        } else {
            self.broker.keys.prepared_chain(&delivery.entry_id)
        };
        let document = self.broker.stored_chain(plan.document)?;
        loop {
            let prepared = self.prepare_steps(delivery, &prepared_key, before);
            if prepared.await? == Fence::Lost {
                return Ok(ChainStarted::Lost);
            }
            let mut call = scripts::CHAIN_START.key(self.broker.keys.queue(&delivery.queue));
            let steps: Vec<(&StepName, &StepPlan)> = plan
                .steps
                .iter()
                .filter_map(|step| Some((step.name.as_ref()?, step)))
                .collect();
            let (begin, wait): (Vec<_>, Vec<_>) =
                steps.iter().partition(|(_, step)| step.waits_for == 0);
            let last = steps.iter().filter(|(_, step)| step.dependents.is_empty());
            call.arg(self.broker.keys.prefix())
                .arg(delivery.queue.as_str())
                .arg(&delivery.entry)
                .arg(delivery.worker.as_str())
                .arg(plan.id.as_str())
                .arg(plan.hash.as_str())
                .arg(&prepared_key)
                .arg(&*document)
                .arg(plan.name.unwrap_or_default())
                .arg(
                    plan.max_parallel
                        .map_or_else(String::new, |most| most.to_string()),
                )
                .arg(flag(plan.fail_fast, "1"))
                .arg(self.broker.chain_seconds())
                .arg(self.broker.result_seconds())
                .arg(reply_argument(plan.reply))
                .arg(steps.len())
                .arg(join(
                    " ",
                    wait.iter().map(|(name, step)| {
                        format!("{name}={}:{}", step.waits_for, join(",", &step.needs))
                    }),
                ))
                .arg(join(" ", begin.iter().map(|(name, _)| name)))
                .arg(Serialized::argument(plan.drop_event))
                .arg(join(" ", last.map(|(name, _)| name)))
                .arg(plan.metadata.unwrap_or_default())
                .arg(plan.traceparent.unwrap_or_default())
                .arg(Serialized::argument(plan.inputs));
            self.add_steps(&mut call, rest)?;
            let reply: String = self.broker.run(&call).await?;
            match StartReply::parse(&reply)? {
                StartReply::Ended(started) => return Ok(started),
                StartReply::DispatchMore => {
                    self.dispatch_ready(plan.id).await?;
                    return Ok(ChainStarted::Yes);
                }
                // The preparation took so long that its first part has expired.
                StartReply::PreparationExpired => {}
            }
        }
    }

    async fn prepare_steps(
        self,
        delivery: &Delivery,
        key: &str,
        steps: &[StepPlan],
    ) -> Result<Fence, BrokerError> {
        for part in steps.chunks(SENT_TOGETHER) {
            let mut call = scripts::CHAIN_PREPARE.key(self.broker.keys.queue(&delivery.queue));
            call.arg(self.broker.keys.prefix())
                .arg(&delivery.entry)
                .arg(delivery.worker.as_str())
                .arg(key)
                .arg(PREPARED_SECONDS);
            self.add_steps(&mut call, part)?;
            let reply: String = self.broker.run(&call).await?;
            if Fence::from_reply("chain_prepare", &reply)? == Fence::Lost {
                return Ok(Fence::Lost);
            }
        }
        Ok(Fence::Held)
    }

    /// Adds the arguments of steps, as `put_steps` of `lua/include/chains.lua` reads them.
    fn add_steps(
        self,
        call: &mut ScriptInvocation<'_>,
        steps: &[StepPlan],
    ) -> Result<(), BrokerError> {
        for step in steps {
            let dependents: Vec<String> = step
                .dependents
                .iter()
                .map(|(name, strict)| format!("{name}{}", flag(*strict, "!")))
                .collect();
            call.arg(step.name.as_ref().map_or("!", StepName::as_str))
                .arg(self.broker.checkpoint_json(&step.checkpoint)?)
                .arg(&*self.broker.stored_job(&step.message)?)
                .arg(step.on_failure.as_str())
                .arg(
                    step.min_success
                        .map_or_else(String::new, |least| least.to_string()),
                )
                .arg(dependents.join(" "))
                .arg(flag(step.ends_early, "1"))
                .arg(step.queue.as_ref().map_or("", QueueName::as_str));
        }
        Ok(())
    }

    /// Adds the arguments of items with their indexes, as `put_items` of `lua/include/chains.lua` reads them.
    fn add_items(
        self,
        call: &mut ScriptInvocation<'_>,
        step: &StepName,
        items: &[(u32, &Checkpoint)],
    ) -> Result<(), BrokerError> {
        for (index, checkpoint) in items {
            call.arg(Instance::item(step.clone(), *index).to_string())
                .arg(self.broker.checkpoint_json(checkpoint)?);
        }
        Ok(())
    }

    /// Fans a step out into items with these checkpoints, in order.
    pub async fn expand_step(
        self,
        delivery: &Delivery,
        chain: &ChainId,
        step: &StepName,
        checkpoints: &[Checkpoint],
    ) -> Result<Fence, BrokerError> {
        let queue = || self.broker.keys.queue(&delivery.queue);
        let items: Vec<(u32, &Checkpoint)> = (0..).zip(checkpoints).collect();
        let (before, rest) = split_last(&items);
        for part in before.chunks(SENT_TOGETHER) {
            let mut call = scripts::CHAIN_PREPARE_ITEMS.key(queue());
            call.arg(self.broker.keys.prefix())
                .arg(&delivery.entry)
                .arg(delivery.worker.as_str())
                .arg(chain.as_str());
            self.add_items(&mut call, step, part)?;
            let reply: String = self.broker.run(&call).await?;
            if Fence::from_reply("chain_prepare_items", &reply)? == Fence::Lost {
                return Ok(Fence::Lost);
            }
        }
        let mut call = scripts::CHAIN_EXPAND.key(queue());
        call.arg(self.broker.keys.prefix())
            .arg(delivery.queue.as_str())
            .arg(&delivery.entry)
            .arg(delivery.worker.as_str())
            .arg(chain.as_str())
            .arg(step.as_str())
            .arg(checkpoints.len());
        self.add_items(&mut call, step, rest)?;
        let reply: String = self.broker.run(&call).await?;
        let (fence, has_more) = parse_expand_reply(&reply)?;
        if has_more {
            self.dispatch_ready(chain).await?;
        }
        Ok(fence)
    }

    /// Dispatches ready instances until none is left or the chain's limit is reached. Settling a job of the chain
    /// does the same; this only starts wide steps sooner.
    pub(super) async fn dispatch_ready(self, chain: &ChainId) -> Result<(), BrokerError> {
        loop {
            let mut call = scripts::CHAIN_DISPATCH.key(self.broker.keys.chain(chain));
            call.arg(self.broker.keys.prefix()).arg(chain.as_str());
            let reply: String = self.broker.run(&call).await?;
            if !parse_dispatch_reply(&reply)? {
                return Ok(());
            }
        }
    }

    /// Cancels a chain: requests the cancellation of its running jobs and dispatches no more.
    pub async fn cancel(self, chain: &ChainId) -> Result<ChainCancelled, BrokerError> {
        let mut call = scripts::CHAIN_CANCEL.key(self.broker.keys.chain(chain));
        call.arg(self.broker.keys.prefix()).arg(chain.as_str());
        let reply: String = self.broker.run(&call).await?;
        ChainCancelled::from_reply(&reply)
    }

    /// As [`retry`](Self::retry), with the dead letters that Redis has of the chain's jobs.
    pub async fn retry_with_letters(
        self,
        chain: &ChainId,
        limits: &MessageLimits,
        now: DateTime<Utc>,
    ) -> Result<ChainRetry, BrokerError> {
        let failed = self.failed_steps(chain).await?;
        let letters = self.letters_of(chain, &failed, limits, now).await?;
        let result = self.retry(chain, &letters).await?;
        let replayed = letters
            .iter()
            .map(|(record, _)| (record.id.clone(), record.at));
        Ok(ChainRetry {
            result,
            replayed: match result {
                ChainRetried::Again(_) => replayed.collect(),
                _ => Vec::new(),
            },
        })
    }

    /// The dead letters of failed instances, each with its replay if its message was kept in full.
    async fn letters_of(
        self,
        chain: &ChainId,
        failed: &[FailedStep],
        limits: &MessageLimits,
        now: DateTime<Utc>,
    ) -> Result<Vec<(DeadLetterRecord, Option<PreparedReplay>)>, BrokerError> {
        let mut letters = Vec::new();
        for failed in failed {
            let found = self.broker.dead_letters().find(failed.job.as_str()).await?;
            let of_chain = found.into_iter().find(|(_, letter, _)| {
                let step = letter.checkpoint.step.as_ref();
                step.is_some_and(|step| step.chain == *chain)
            });
            if let Some(letter) = of_chain {
                let replay = PreparedReplay::new(&letter, limits, self.broker.keyring(), now);
                letters.push((letter.1.record, replay));
            }
        }
        Ok(letters)
    }

    /// Retries a chain that ended: runs again what ended without success, then what never started. `letters` are
    /// the chain's dead letters, which hold the history of their jobs and may have been edited, each with its replay
    /// if its message was kept in full.
    pub async fn retry(
        self,
        chain: &ChainId,
        letters: &[(DeadLetterRecord, Option<PreparedReplay>)],
    ) -> Result<ChainRetried, BrokerError> {
        let failed = self.failed_steps(chain).await?;
        let letters: HashMap<&JobId, _> = letters
            .iter()
            .map(|(record, replay)| (&record.id, (record, replay.as_ref())))
            .collect();
        // Without failed instances, one page lets run what never started.
        let mut pages: Vec<&[FailedStep]> = failed.chunks(FAILED_PAGE).collect();
        let last = pages.pop().unwrap_or_default();
        let mut again = 0;
        for page in pages {
            match self.retry_page(chain, page, &letters, false).await? {
                ChainRetried::Again(some) => again += some,
                other => return Ok(other),
            }
        }
        match self.retry_page(chain, last, &letters, true).await? {
            ChainRetried::Again(some) => Ok(ChainRetried::Again(again + some)),
            other => Ok(other),
        }
    }

    async fn retry_page(
        self,
        chain: &ChainId,
        page: &[FailedStep],
        letters: &HashMap<&JobId, (&DeadLetterRecord, Option<&PreparedReplay>)>,
        is_last: bool,
    ) -> Result<ChainRetried, BrokerError> {
        let mut call = scripts::CHAIN_RETRY.key(self.broker.keys.chain(chain));
        call.arg(self.broker.keys.prefix())
            .arg(chain.as_str())
            .arg(flag(is_last, "1"));
        for failed in page {
            call.arg(failed.instance.to_string())
                .arg(failed.job.as_str());
            let Some((record, replay)) = letters.get(&failed.job) else {
                call.arg(&["", "", ""]);
                continue;
            };
            let message =
                replay.and_then(|replay| replay.fields.iter().find(|(name, _)| name == b"job"));
            call.arg(record.entry_id.as_str())
                .arg(replay.map_or("", |replay| replay.checkpoint.as_str()))
                .arg(message.map_or(&[][..], |(_, job)| job));
        }
        let reply: i64 = self.broker.run(&call).await?;
        ChainRetried::from_reply(reply)
    }
}

fn join(separator: &str, words: impl IntoIterator<Item = impl ToString>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| word.to_string()).collect();
    words.join(separator)
}

/// `CHAIN INSTANCE`; neither contains a space.
pub(crate) fn format_step(step: &StepRef) -> String {
    format!("{} {}", step.chain, step.instance())
}

/// A job that another job spawns.
#[derive(Debug)]
pub struct SpawnedJob {
    /// Its checkpoint.
    pub checkpoint: Checkpoint,
    /// Its message, as JSON.
    pub message: String,
}

impl SpawnedJob {
    /// The list of [checkpoint, message] that `settle.lua` reads; empty if there are no jobs.
    pub(crate) fn to_lua_argument(jobs: &[Self], broker: &Broker) -> Result<String, BrokerError> {
        if jobs.is_empty() {
            return Ok(String::new());
        }
        let pairs = jobs
            .iter()
            .map(|job| {
                let checkpoint = broker.checkpoint_json(&job.checkpoint)?;
                Ok((checkpoint, broker.stored_job(&job.message)?))
            })
            .collect::<Result<Vec<_>, BrokerError>>()?;
        serde_json::to_string(&pairs)
            .map_err(|error| BrokerError::not_serializable("list of spawned jobs", error))
    }
}

/// A step of a chain that starts.
#[derive(Debug)]
pub struct StepPlan {
    /// Its name; `None` for the job that runs after the chain's end.
    pub name: Option<StepName>,
    /// The checkpoint of its job.
    pub checkpoint: Checkpoint,
    /// The message of its job, as JSON.
    pub message: String,
    /// What happens to the chain when the step fails.
    pub on_failure: OnFailure,
    /// How many of its items must complete; `None` = all.
    pub min_success: Option<u32>,
    /// Whether it ends with the item by which enough have completed; the others are cancelled.
    pub ends_early: bool,
    /// The steps that it needs.
    pub needs: Vec<StepName>,
    /// How many of them it waits for; 0 for the first steps.
    pub waits_for: usize,
    /// The steps that need it, and whether they require that it completes.
    pub dependents: Vec<(StepName, bool)>,
    /// The queue of its jobs; `None` = that of the chain.
    pub queue: Option<QueueName>,
}

/// A chain to start.
#[derive(Debug)]
pub struct ChainPlan<'a> {
    pub id: &'a ChainId,
    /// The hash of its content.
    pub hash: &'a ContentHash,
    /// The document, as its producer wrote it.
    pub document: &'a str,
    /// A name for people.
    pub name: Option<&'a str>,
    /// The maximum number of its jobs in flight.
    pub max_parallel: Option<NonZeroU32>,
    /// Whether the first failure cancels the chain.
    pub fail_fast: bool,
    /// Where the outcome is pushed.
    pub reply: Option<&'a ReplyTo>,
    /// Returned with the outcome, as JSON.
    pub metadata: Option<&'a str>,
    /// The W3C trace context, for its events.
    pub traceparent: Option<&'a str>,
    pub steps: &'a [StepPlan],
    /// The event to record if the message is dropped as a duplicate.
    pub drop_event: Option<&'a Serialized<Event>>,
    /// Of a recipe: what its steps read of the job that it answers. The job's message stays.
    pub inputs: Option<&'a Serialized<RecipeInputs>>,
}

/// Whether a chain started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainStarted {
    Yes,
    /// Another worker holds the message.
    Lost,
    /// The same chain came before; the message was dropped.
    Duplicate,
    /// The id belongs to another chain.
    Conflict,
}

/// The result of a request to cancel a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainCancelled {
    /// The cancellation is requested.
    Asked,
    /// The chain had ended before.
    Ended,
    /// The chain is unknown or expired.
    Unknown,
}

/// The result of a request to retry a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRetry {
    /// How many steps and items run again, or why none does.
    pub result: ChainRetried,
    /// The dead letters that were replayed: job and time of death. The ledger still has them as dead letters.
    pub replayed: Vec<(JobId, DateTime<Utc>)>,
}

/// What a retry of a chain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainRetried {
    /// This many steps and items run again.
    Again(u64),
    /// The chain is unknown or expired.
    Unknown,
    /// The chain has not ended.
    Running,
    /// Nothing in the chain failed.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripts::tests::check_words;

    #[test]
    fn every_reply_about_chains_is_parsed() {
        let cases = [
            ("ok", StartReply::Ended(ChainStarted::Yes)),
            ("more", StartReply::DispatchMore),
            ("gone", StartReply::Ended(ChainStarted::Lost)),
            ("duplicate", StartReply::Ended(ChainStarted::Duplicate)),
            ("conflict", StartReply::Ended(ChainStarted::Conflict)),
            ("again", StartReply::PreparationExpired),
        ];
        check_words("chain_start", &cases, StartReply::parse);
        let cases = [
            ("ok", (Fence::Held, false)),
            ("more", (Fence::Held, true)),
            ("gone", (Fence::Lost, false)),
        ];
        check_words("chain_expand", &cases, parse_expand_reply);
        let cases = [("ok", false), ("more", true)];
        check_words("chain_dispatch", &cases, parse_dispatch_reply);
        let cases = [
            ("asked", ChainCancelled::Asked),
            ("ended", ChainCancelled::Ended),
            ("unknown", ChainCancelled::Unknown),
        ];
        check_words("chain_cancel", &cases, ChainCancelled::from_reply);
    }

    #[test]
    fn every_reply_of_chain_retry_is_parsed() {
        let replies = [-3, -2, -1, 0, 7].map(|reply| ChainRetried::from_reply(reply).unwrap());
        let expected = [
            ChainRetried::Nothing,
            ChainRetried::Running,
            ChainRetried::Unknown,
            ChainRetried::Again(0),
            ChainRetried::Again(7),
        ];
        assert_eq!(replies, expected);
        assert!(ChainRetried::from_reply(-4).is_err());
    }
}

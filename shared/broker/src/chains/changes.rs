//! The atomic steps of a chain's life: begun, fanned out, stopped, gone on with.

use std::num::NonZeroU32;

use longshore_protocol::{
    chain::{ChainId, Instance, OnFailure, StepName, StepRef},
    dead_letter::Replaying,
    envelope::ContentHash,
    money::Usd,
    string_enum,
};
use serde::Serialize;

use crate::{BrokerError, Chains, Fence, Held, deliveries::flag, scripts};

/// Steps or items that are laid down in one call.
const TOGETHER: usize = 500;

/// What is laid down waits so long for its chain to begin, in seconds.
const LAID_DOWN_SECONDS: u64 = 3600;

string_enum! {
    /// How a step, or an item of one, ended.
    StepOutcome {
        /// Answered.
        Completed = "completed",
        /// Given up.
        Failed = "failed",
        /// Its condition did not hold.
        Skipped = "skipped",
        /// Stopped.
        Cancelled = "cancelled",
    }
}

/// The end of a step, told with the end of its job.
#[derive(Debug, Clone, Copy)]
pub struct StepEnd<'a> {
    /// Which.
    pub step: &'a StepRef,
    /// How.
    pub outcome: StepOutcome,
    /// What it cost.
    pub cost: Usd,
}

impl StepEnd<'_> {
    pub(crate) fn to_lua_argument(&self) -> String {
        format!(
            "{} {} {}",
            format_step(self.step),
            self.outcome,
            self.cost.nanos_up()
        )
    }
}

impl Chains<'_> {
    /// Begins a chain, and ends its message. `results_seconds` of the configuration hold for its outcome.
    pub async fn start(self, held: &Held, plan: &ChainPlan<'_>) -> Result<Started, BrokerError> {
        let laid_down = self.broker.keys.prepared_chain(&held.place);
        loop {
            self.prepare_steps(&laid_down, plan.steps).await?;
            let mut call = scripts::CHAIN_START.key(self.broker.keys.queue(&held.queue));
            let (begin, wait): (Vec<_>, Vec<_>) =
                plan.waits.iter().partition(|(_, needs)| *needs == 0);
            let words = |of: &[&(StepName, usize)], form: fn(&(StepName, usize)) -> String| {
                of.iter()
                    .map(|step| form(step))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            call.arg(self.broker.keys.prefix())
                .arg(held.queue.as_str())
                .arg(&held.entry)
                .arg(held.worker.as_str())
                .arg(plan.id.as_str())
                .arg(plan.hash.as_str())
                .arg(&laid_down)
                .arg(plan.document)
                .arg(plan.name.unwrap_or_default())
                .arg(
                    plan.max_parallel
                        .map_or_else(String::new, |most| most.to_string()),
                )
                .arg(flag(plan.fail_fast, "1"))
                .arg(self.broker.chain_seconds())
                .arg(self.broker.result_seconds())
                .arg(flag(plan.reply, "1"))
                .arg(plan.waits.len())
                .arg(words(&wait, |(name, needs)| format!("{name}={needs}")))
                .arg(words(&begin, |(name, _)| name.to_string()))
                .arg(plan.drop_event);
            let answer: String = self.broker.run(&call).await?;
            return Ok(match answer.as_str() {
                "ok" => Started::Yes,
                "more" => {
                    self.dispatch_ready(plan.id).await?;
                    Started::Yes
                }
                "duplicate" => Started::Duplicate,
                "conflict" => Started::Conflict,
                // It took so long that what was laid down is gone.
                "again" => continue,
                _ => Started::Lost,
            });
        }
    }

    async fn prepare_steps(self, key: &str, steps: &[StepPlan]) -> Result<(), BrokerError> {
        for part in steps.chunks(TOGETHER) {
            let mut call = scripts::CHAIN_PREPARE.key(key);
            call.arg(self.broker.keys.prefix()).arg(LAID_DOWN_SECONDS);
            for step in part {
                let dependents: Vec<String> = step
                    .dependents
                    .iter()
                    .map(|(name, strict)| format!("{name}{}", flag(*strict, "!")))
                    .collect();
                call.arg(step.name.as_ref().map_or("!", StepName::as_str))
                    .arg(&step.memory)
                    .arg(&step.message)
                    .arg(step.on_failure.as_str())
                    .arg(
                        step.min_success
                            .map_or_else(String::new, |least| least.to_string()),
                    )
                    .arg(dependents.join(" "));
            }
            let _laid_down: u64 = self.broker.run(&call).await?;
        }
        Ok(())
    }

    /// Fans a step out: `memories` of its items, in their order.
    pub async fn expand_step(
        self,
        held: &Held,
        chain: &ChainId,
        step: &StepName,
        memories: &[String],
    ) -> Result<Fence, BrokerError> {
        let mut index = 0_u32;
        for part in memories.chunks(TOGETHER) {
            let mut call = scripts::CHAIN_PREPARE_ITEMS.key(self.broker.keys.chain(chain));
            call.arg(self.broker.keys.prefix());
            for memory in part {
                call.arg(Instance::item(step.clone(), index).to_string())
                    .arg(memory);
                index = index.saturating_add(1);
            }
            let _laid_down: u64 = self.broker.run(&call).await?;
        }
        let mut call = scripts::CHAIN_EXPAND.key(self.broker.keys.queue(&held.queue));
        call.arg(self.broker.keys.prefix())
            .arg(held.queue.as_str())
            .arg(&held.entry)
            .arg(held.worker.as_str())
            .arg(chain.as_str())
            .arg(step.as_str())
            .arg(memories.len());
        let answer: String = self.broker.run(&call).await?;
        match answer.as_str() {
            "ok" => {}
            "more" => self.dispatch_ready(chain).await?,
            _ => return Ok(Fence::Lost),
        }
        Ok(Fence::Held)
    }

    /// Sends what is ready of a chain until there is no more, or no more room. Whoever ends one of its jobs
    /// does the same: this only makes wide steps begin sooner.
    pub(super) async fn dispatch_ready(self, chain: &ChainId) -> Result<(), BrokerError> {
        loop {
            let mut call = scripts::CHAIN_DISPATCH.key(self.broker.keys.chain(chain));
            call.arg(self.broker.keys.prefix()).arg(chain.as_str());
            let answer: String = self.broker.run(&call).await?;
            if answer != "more" {
                return Ok(());
            }
        }
    }

    /// Stops a chain: what runs is cancelled, and nothing more is started.
    pub async fn cancel(self, chain: &ChainId) -> Result<ChainCancelled, BrokerError> {
        let mut call = scripts::CHAIN_CANCEL.key(self.broker.keys.chain(chain));
        call.arg(self.broker.keys.prefix()).arg(chain.as_str());
        let answer: String = self.broker.run(&call).await?;
        Ok(match answer.as_str() {
            "asked" => ChainCancelled::Asked,
            "ended" => ChainCancelled::Ended,
            _ => ChainCancelled::Unknown,
        })
    }

    /// Lets a chain that ended go on: what ended without success runs again, what never began follows.
    /// `letters` are the dead letters of it, which have a history and may have been edited.
    pub async fn retry(
        self,
        chain: &ChainId,
        letters: &[Replaying],
    ) -> Result<ChainRetried, BrokerError> {
        let mut call = scripts::CHAIN_RETRY.key(self.broker.keys.chain(chain));
        call.arg(self.broker.keys.prefix()).arg(chain.as_str());
        for letter in letters {
            let message = letter.fields.iter().find(|(name, _)| name == b"job");
            call.arg(letter.id.as_str())
                .arg(&letter.resume)
                .arg(message.map_or(&[][..], |(_, job)| job));
        }
        let answer: i64 = self.broker.run(&call).await?;
        Ok(match answer {
            -1 => ChainRetried::Unknown,
            -2 => ChainRetried::Running,
            -3 => ChainRetried::Nothing,
            again => ChainRetried::Again(u64::try_from(again).unwrap_or(0)),
        })
    }
}

/// `CHAIN INSTANCE`; neither has a space.
pub(crate) fn format_step(step: &StepRef) -> String {
    format!("{} {}", step.chain, step.instance())
}

/// A job that another spawns.
#[derive(Debug, Serialize)]
pub struct Child(
    /// Its memory.
    pub String,
    /// Its message.
    pub String,
);

/// A step, as it is laid down.
#[derive(Debug)]
pub struct StepPlan {
    /// Its name; nothing of what follows the chain's end.
    pub name: Option<StepName>,
    /// What is to be remembered of its job.
    pub memory: String,
    /// The message of its job.
    pub message: String,
    /// What follows when it fails.
    pub on_failure: OnFailure,
    /// How many of its items must succeed; all, where nothing is said.
    pub min_success: Option<u32>,
    /// Those that need it, and whether they count completed needs alone.
    pub dependents: Vec<(StepName, bool)>,
}

/// A chain that is to begin.
#[derive(Debug)]
pub struct ChainPlan<'a> {
    /// Its id.
    pub id: &'a ChainId,
    /// What it says.
    pub hash: &'a ContentHash,
    /// The document.
    pub document: &'a str,
    /// Its name for people.
    pub name: Option<&'a str>,
    /// The most of its jobs in flight.
    pub max_parallel: Option<NonZeroU32>,
    /// Whether the first failure stops it.
    pub fail_fast: bool,
    /// Whether its outcome is pushed.
    pub reply: bool,
    /// Its steps.
    pub steps: &'a [StepPlan],
    /// How many of its needs each step waits for; 0 of those that begin.
    pub waits: &'a [(StepName, usize)],
    /// What is recorded if the message is dropped.
    pub drop_event: &'a str,
}

/// Whether a chain began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// It did.
    Yes,
    /// Another worker has the message.
    Lost,
    /// The same chain came before; the message was dropped.
    Duplicate,
    /// Its id is another chain's.
    Conflict,
}

/// What became of the wish to stop a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainCancelled {
    /// It is being stopped.
    Asked,
    /// It had ended before.
    Ended,
    /// Nobody knows it, or no longer.
    Unknown,
}

/// What became of the wish to go on with a chain that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainRetried {
    /// So many steps and items run again.
    Again(u64),
    /// Nobody knows it, or no longer.
    Unknown,
    /// It has not ended.
    Running,
    /// Nothing of it failed.
    Nothing,
}

//! Chains: their state as Redis stores it (see `lua/include/chains.lua`), and the scripts that change it.

mod changes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use longshore_protocol::{
    chain::{
        ChainId, ChainKind, ChainState, Instance, StepName, StepState, template::RecipeInputs,
    },
    event::ChainRecord,
    id::{JobId, QueueName},
    money::Usd,
    outcome::{ChainOutcome, Outcome},
};

pub(crate) use self::changes::format_step;
pub use self::changes::{
    ChainCancelled, ChainPlan, ChainRetried, ChainRetry, ChainStarted, SpawnedJob, StepEnd,
    StepOutcome, StepPlan,
};
use crate::{BrokerError, Chains, scripts};

/// The maximum number of instances, in flight or ready, that a view reads to find their steps.
const INSTANCES_READ: usize = 10_000;

/// `INPUTS` of `lua/include/chains.lua`.
const RECIPE_INPUTS: &str = "~inputs";

/// The maximum number of failed instances in a view.
const FAILED_SHOWN: usize = 100;

/// The record of a chain and its cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainHead {
    pub record: ChainRecord,
    /// The cost of all attempts that are recorded so far.
    pub cost: Usd,
}

/// How many steps and items have ended, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepCounts {
    pub completed: u64,
    pub failed: u64,
    /// Not run, because a condition or a dependency failed.
    pub skipped: u64,
    pub cancelled: u64,
}

/// The most failed instances in one page of a retry.
const FAILED_PAGE: usize = 500;

/// A step or an item that ended without success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedStep {
    pub instance: Instance,
    pub job: JobId,
}

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepView {
    pub state: StepState,
    /// The number of its items, once it has fanned out.
    pub items: Option<u64>,
    pub ended: u64,
    /// Items that completed.
    pub completed: u64,
}

/// The state of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainView {
    pub head: ChainHead,
    /// Instances that have ended.
    pub tally: StepCounts,
    /// Instances that are in flight.
    pub in_flight: u64,
    /// The first instances that ended without success.
    pub failed: Vec<FailedStep>,
    counts: HashMap<StepName, Counts>,
    running: HashSet<StepName>,
    ready: HashSet<StepName>,
}

/// The fields of one step in the chain's hash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    end: Option<StepState>,
    items: Option<u64>,
    ended: u64,
    completed: u64,
}

impl ChainView {
    /// The steps with any stored state, by name.
    pub fn names(&self) -> Vec<&StepName> {
        let mut names: Vec<&StepName> = self.counts.keys().collect();
        names.sort();
        names
    }

    /// The state of a step; a step without stored state is waiting.
    pub fn step(&self, name: &StepName) -> StepView {
        let counts = self.counts.get(name).copied().unwrap_or_default();
        let state = match counts.end {
            Some(end) => end,
            None if self.running.contains(name) || counts.ended > 0 => StepState::Running,
            // A step that was ready when the chain ended never runs.
            None if self.head.record.state.is_final() => StepState::Skipped,
            None if self.ready.contains(name) => StepState::Ready,
            None => StepState::Waiting,
        };
        StepView {
            state,
            items: counts.items,
            ended: counts.ended,
            completed: counts.completed,
        }
    }
}

impl Chains<'_> {
    /// The state of a chain; `None` if it is unknown or expired.
    pub async fn get(self, id: &ChainId) -> Result<Option<ChainView>, BrokerError> {
        let key = self.broker.keys().chain(id);
        let part = |part: &str| format!("{key}:{part}");
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HGETALL").arg(&key);
        pipe.cmd("HLEN").arg(part("running"));
        pipe.cmd("HSCAN")
            .arg(part("running"))
            .arg(0)
            .arg("COUNT")
            .arg(INSTANCES_READ);
        pipe.cmd("LRANGE")
            .arg(part("ready"))
            .arg(0)
            .arg(INSTANCES_READ);
        pipe.cmd("HSCAN")
            .arg(part("failed"))
            .arg(0)
            .arg("COUNT")
            .arg(FAILED_SHOWN);
        let (fields, in_flight, (_, running), ready, (_, lost)): (
            HashMap<String, String>,
            u64,
            Scanned,
            Vec<String>,
            Scanned,
        ) = pipe
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let fields = Fields(fields);
        let running: Vec<String> = running.into_iter().map(|(instance, _)| instance).collect();
        Ok(fields.head(id).map(|head| ChainView {
            head,
            tally: StepCounts {
                completed: fields.number("completed"),
                failed: fields.number("failed"),
                skipped: fields.number("skipped"),
                cancelled: fields.number("cancelled"),
            },
            in_flight,
            failed: failed(lost).into_iter().take(FAILED_SHOWN).collect(),
            counts: fields.counts(),
            running: steps_of(&running),
            ready: steps_of(&ready),
        }))
    }

    /// The jobs of all instances that ended without success.
    pub async fn failed_jobs(self, id: &ChainId) -> Result<Vec<JobId>, BrokerError> {
        let steps = self.failed_steps(id).await?;
        Ok(steps.into_iter().map(|failed| failed.job).collect())
    }

    /// All instances that ended without success, in order. A batch may have a million of them, so they are read in
    /// pages.
    async fn failed_steps(self, id: &ChainId) -> Result<Vec<FailedStep>, BrokerError> {
        let (mut cursor, mut found) = ("0".to_owned(), BTreeMap::new());
        loop {
            let (next, rows): Scanned = redis::cmd("HSCAN")
                .arg(self.broker.keys().chain_failed(id))
                .arg(&cursor)
                .arg("COUNT")
                .arg(FAILED_PAGE)
                .query_async(&mut self.broker.shared())
                .await
                .map_err(|source| self.broker.failed(source))?;
            found.extend(rows);
            if next == "0" {
                return Ok(failed(found));
            }
            cursor = next;
        }
    }

    /// The document of a chain, as its producer wrote it.
    pub async fn document(self, id: &ChainId) -> Result<Option<String>, BrokerError> {
        let stored: Option<String> = redis::cmd("GET")
            .arg(format!("{}:doc", self.broker.keys().chain(id)))
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(stored.map(|stored| self.broker.opened_chain(stored)))
    }

    /// About `count` jobs of a chain or batch that were enqueued and have not ended, and the cursor of the next ones (0 =
    /// the end).
    pub async fn jobs_in_flight(
        self,
        chain: &ChainId,
        cursor: u64,
        count: usize,
    ) -> Result<(u64, Vec<JobId>), BrokerError> {
        let (next, found): (u64, Vec<(String, String)>) = redis::cmd("HSCAN")
            .arg(self.broker.keys().chain_running(chain))
            .arg(cursor)
            .arg("COUNT")
            .arg(count)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let jobs = found.iter().map(|(_, job)| JobId::from_stored(job));
        Ok((next, jobs.collect()))
    }

    /// The queue of a chain or batch; `None` if Redis stores neither.
    pub async fn queue(self, id: &ChainId) -> Result<Option<QueueName>, BrokerError> {
        let queue: Option<String> = redis::cmd("HGET")
            .arg(self.broker.keys().chain(id))
            .arg("queue")
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(queue.map(|queue| QueueName::from_stored(&queue)))
    }

    /// Whether an id is that of a chain or of a batch; `None` if Redis stores neither.
    pub async fn kind(self, id: &ChainId) -> Result<Option<ChainKind>, BrokerError> {
        let kind: Option<String> = redis::cmd("HGET")
            .arg(self.broker.keys().chain(id))
            .arg("kind")
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(kind.and_then(|kind| ChainKind::from_name(&kind)))
    }

    /// The newest chains that Redis still stores: at most `limit` of those that started before `before`
    /// (ms since 1970).
    pub async fn newest(
        self,
        limit: usize,
        before: Option<i64>,
    ) -> Result<Vec<ChainHead>, BrokerError> {
        const FIELDS: [&str; 7] = ["name", "kind", "state", "steps", "begun", "ended", "nanos"];
        let ids: Vec<String> = redis::cmd("ZREVRANGEBYSCORE")
            .arg(self.broker.keys().chains())
            .arg(before.map_or_else(|| "+inf".to_owned(), |before| format!("({before}")))
            .arg("-inf")
            .arg("LIMIT")
            .arg(0)
            .arg(limit)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let ids: Vec<ChainId> = ids.iter().map(|id| ChainId::from_stored(id)).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for id in &ids {
            pipe.cmd("HMGET")
                .arg(self.broker.keys().chain(id))
                .arg(&FIELDS);
        }
        let rows: Vec<Vec<Option<String>>> = pipe
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        let heads = ids.iter().zip(rows).filter_map(|(id, values)| {
            let fields = FIELDS.into_iter().map(str::to_owned).zip(values);
            let given = fields.filter_map(|(name, value)| Some((name, value?)));
            Fields(given.collect()).head(id)
        });
        Ok(heads.collect())
    }

    /// How steps ended (`completed`, `failed`, `skipped`, `cancelled`; `None` while they run), and into how many
    /// items they fanned out.
    pub async fn step_ends(
        self,
        chain: &ChainId,
        steps: &[StepName],
    ) -> Result<Vec<(Option<String>, Option<u32>)>, BrokerError> {
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = redis::cmd("HMGET");
        call.arg(self.broker.keys.chain(chain));
        for step in steps {
            call.arg(format!("s:{step}")).arg(format!("t:{step}"));
        }
        let values: Vec<Option<String>> = call
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(values
            .chunks(2)
            .map(|pair| {
                let value = |at: usize| pair.get(at).cloned().flatten();
                (value(0), value(1).and_then(|total| total.parse().ok()))
            })
            .collect())
    }

    /// The outcomes of instances that the chain keeps.
    pub async fn step_outcomes(
        self,
        chain: &ChainId,
        instances: &[Instance],
    ) -> Result<Vec<Option<Outcome>>, BrokerError> {
        if instances.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = redis::cmd("HMGET");
        call.arg(self.broker.keys.chain_contexts(chain));
        for instance in instances {
            call.arg(instance.to_string());
        }
        let texts: Vec<Option<String>> = call
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        Ok(texts
            .into_iter()
            // Only scripts write this hash; treat a value that is not an outcome as missing.
            .map(|text| {
                let outcome = serde_json::from_str(&text?).ok()?;
                Some(self.broker.keyring().opened(outcome))
            })
            .collect())
    }

    /// What the steps of a recipe read of the job that it answers; `None` if the chain is unknown, or of no recipe.
    pub async fn recipe_inputs(self, chain: &ChainId) -> Result<Option<RecipeInputs>, BrokerError> {
        let key = self.broker.keys.chain_contexts(chain);
        let text: Option<String> = redis::cmd("HGET")
            .arg(&key)
            .arg(RECIPE_INPUTS)
            .query_async(&mut self.broker.shared())
            .await
            .map_err(|source| self.broker.failed(source))?;
        text.map(|text| {
            serde_json::from_str(&text)
                .map(|inputs| self.broker.keyring().opened(inputs))
                .map_err(|error| BrokerError::foreign(key, error))
        })
        .transpose()
    }

    /// The outcome of a chain that ended; `None` if it runs, or is unknown.
    pub async fn outcome(self, chain: &ChainId) -> Result<Option<ChainOutcome>, BrokerError> {
        let outcome = self.read(chain).await?;
        Ok(outcome.filter(|outcome| outcome.state.is_final()))
    }

    /// The outcome of a chain that ended, or what there is of it while it runs; `None` if the chain is unknown.
    pub async fn read(self, chain: &ChainId) -> Result<Option<ChainOutcome>, BrokerError> {
        let key = self.broker.keys.chain(chain);
        let mut call = scripts::READ_CHAIN.key(&key);
        call.arg(self.broker.keys.prefix()).arg(chain.as_str());
        let text: Option<String> = self.broker.run(&call).await?;
        text.map(|text| {
            serde_json::from_str(&text)
                .map(|outcome| self.broker.keyring().opened(outcome))
                .map_err(|error| BrokerError::foreign(key, error))
        })
        .transpose()
    }
}

/// The fields of a chain's hash.
struct Fields(HashMap<String, String>);

impl Fields {
    fn text(&self, name: &str) -> Option<&str> {
        let text = self.0.get(name).map(String::as_str);
        text.filter(|text| !text.is_empty())
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    }

    /// `None` if the chain does not exist.
    fn head(&self, id: &ChainId) -> Option<ChainHead> {
        let ms = |name| i64::try_from(self.number(name)).ok();
        Some(ChainHead {
            record: ChainRecord {
                chain_id: id.clone(),
                name: self.text("name").map(str::to_owned),
                kind: ChainKind::from_name(self.text("kind")?)?,
                state: ChainState::from_name(self.text("state")?)?,
                steps: self.number("steps"),
                begun_ms: ms("begun")?,
                ended_ms: ms("ended").filter(|ended| *ended > 0),
            },
            cost: Usd::from_nanos(self.number("nanos")),
        })
    }

    fn counts(&self) -> HashMap<StepName, Counts> {
        let mut steps: HashMap<StepName, Counts> = HashMap::new();
        for (field, value) in &self.0 {
            let Some((kind, name)) = field.split_once(':') else {
                continue;
            };
            let Ok(name) = StepName::parse(name) else {
                continue;
            };
            let counts = steps.entry(name).or_default();
            let number = value.parse().ok();
            match kind {
                "s" => counts.end = StepState::from_name(value),
                "t" => counts.items = number,
                "d" => counts.ended = number.unwrap_or_default(),
                "o" => counts.completed = number.unwrap_or_default(),
                _ => {}
            }
        }
        steps
    }
}

/// The steps of these instances.
fn steps_of(instances: &[String]) -> HashSet<StepName> {
    let parsed = instances.iter().filter_map(|text| text.parse().ok());
    parsed.map(|instance: Instance| instance.step).collect()
}

/// Parses `failed JOB` and `cancelled JOB` by instance; sorted by instance.
fn failed(rows: impl IntoIterator<Item = (String, String)>) -> Vec<FailedStep> {
    let mut failed: Vec<FailedStep> = rows
        .into_iter()
        .filter_map(|(instance, ended)| {
            let (_, job) = ended.split_once(' ')?;
            Some(FailedStep {
                instance: instance.parse().ok()?,
                job: JobId::from_stored(job),
            })
        })
        .collect();
    failed.sort_by(|one, other| one.instance.cmp(&other.instance));
    failed
}

/// A reply of `HSCAN`: the next cursor and some fields with their values.
type Scanned = (String, Vec<(String, String)>);

//! Reads the status of a chain: from Redis, with times and costs from Postgres, or from Postgres alone after
//! Redis has dropped the chain.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use longshore_client::{ChainId, ChainState, ChainView, Client, JobId, StepName, StepState, Usd};
use longshore_ledger::{ChainJobFilter, ChainRow, Figures, Ledger, StepRow};
use longshore_protocol::{
    chain::{Extract, GateName, MergeOf, Models, NotBy, Validate, WorkspaceName},
    event::ChainRecord,
    state::JobState,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{error::CommandError, render::time::from_unix_ms, session::Session};

/// Failures read of one chain.
const FAILURES: u32 = 20;

/// The pause between two queries to Postgres while the chain runs.
const QUERY_PAUSE: Duration = Duration::from_secs(1);

/// The status of a chain.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ChainStatus {
    pub(super) record: ChainRecord,
    pub(super) cost: Usd,
    /// Attempts of unknown cost.
    pub(super) unknown: u64,
    pub(super) steps: Vec<StepStatus>,
}

/// The status of a step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StepStatus {
    pub(super) name: StepName,
    pub(super) needs: Vec<StepName>,
    /// What its document says of when it runs. Postgres does not have it.
    pub(super) conditions: Conditions,
    pub(super) state: StepState,
    /// The number of items, if it has fanned out.
    pub(super) items: Option<u64>,
    pub(super) ended: u64,
    pub(super) completed: u64,
    pub(super) started: Option<DateTime<Utc>>,
    pub(super) finished: Option<DateTime<Utc>>,
    /// `None` if the Postgres connection failed.
    pub(super) figures: Option<Figures>,
    pub(super) failures: Vec<Failure>,
}

/// When a step runs, and for what.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Conditions {
    /// The condition for running it.
    #[serde(default)]
    pub(super) when: Option<String>,
    /// The list whose items it runs for.
    #[serde(default)]
    pub(super) foreach: Option<String>,
    /// The fanned-out step whose answers it gathers.
    #[serde(default)]
    pub(super) gather: Option<StepName>,
    /// The models that it asks.
    #[serde(default)]
    pub(super) models: Option<Models>,
    /// The answers that it merges, and how.
    #[serde(default)]
    pub(super) merge: Option<MergeOf>,
    /// Who may not answer it.
    #[serde(default)]
    pub(super) not_by: Option<NotBy>,
    /// The gate whose command it runs.
    #[serde(default)]
    pub(super) gate: Option<GateName>,
    /// How it checks the answer of another step.
    #[serde(default)]
    pub(super) validate: Option<Validate>,
    /// The part that it takes out of its answer.
    #[serde(default)]
    pub(super) extract: Option<Extract>,
    /// What it asks a person.
    #[serde(default)]
    pub(super) person: Option<Asked>,
    /// Names or definitions of the tools that its model may call.
    #[serde(default)]
    pub(super) tools: Vec<Value>,
    /// Where tools that it names work.
    #[serde(default)]
    pub(super) workspace: Option<WorkspaceName>,
}

/// What a step asks a person, before its templates are filled in.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Asked {
    pub(super) question: String,
    #[serde(default)]
    pub(super) asks: Option<String>,
}

impl Conditions {
    /// The tools that the worker runs for it, and where; `None` if it names none.
    pub(super) fn tools_of_worker(&self) -> Option<String> {
        let names: Vec<&str> = self.tools.iter().filter_map(Value::as_str).collect();
        if names.is_empty() {
            return None;
        }
        let workspace = self.workspace.as_ref();
        let workspace = workspace.map(|name| format!(" in workspace {name}"));
        Some(names.join(", ") + &workspace.unwrap_or_default())
    }
}

/// Why a step, or an item of one, did not succeed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub(super) job: JobId,
    pub(super) error: String,
}

impl ChainStatus {
    pub(super) fn state(&self) -> ChainState {
        self.record.state
    }

    pub(super) fn begun(&self) -> DateTime<Utc> {
        from_unix_ms(self.record.begun_ms)
    }

    pub(super) fn ended(&self) -> Option<DateTime<Utc>> {
        self.record.ended_ms.map(from_unix_ms)
    }
}

/// The steps of a document in order, with what the tree needs. The document was checked when the chain
/// started, so unreadable parts are left out.
#[derive(Debug, Default, Deserialize)]
struct Outline {
    #[serde(default)]
    steps: Vec<PlannedStep>,
}

#[derive(Debug, Clone, Deserialize)]
struct PlannedStep {
    name: StepName,
    #[serde(default)]
    needs: Vec<StepName>,
    #[serde(flatten)]
    conditions: Conditions,
}

impl PlannedStep {
    fn all_needs(&self) -> Vec<StepName> {
        let mut needs = self.needs.clone();
        let gathered = self.conditions.gather.iter();
        let gathered = gathered.filter(|step| !self.needs.contains(step));
        needs.extend(gathered.cloned());
        needs
    }
}

/// The chain in Postgres.
#[derive(Debug, Default)]
struct Recorded {
    chain: Option<ChainRow>,
    steps: HashMap<StepName, StepRow>,
    failures: Vec<(StepName, Failure)>,
}

/// Reads the status of one chain repeatedly.
pub(super) struct ChainReader {
    client: Client,
    ledger: Result<Ledger, String>,
    id: ChainId,
    outline: Option<Outline>,
    recorded: Recorded,
    queried: Option<Instant>,
}

impl ChainReader {
    pub(super) async fn new(client: Client, session: &Session, id: ChainId) -> Self {
        let ledger = session.ledger().await.map_err(|error| error.first_line());
        Self {
            client,
            ledger,
            id,
            outline: None,
            recorded: Recorded::default(),
            queried: None,
        }
    }

    pub(super) fn id(&self) -> &ChainId {
        &self.id
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Postgres, if it answered.
    pub(super) fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref().ok()
    }

    /// Why the Postgres connection failed: times and costs of steps are unknown.
    pub(super) fn ledger_error(&self) -> Option<&str> {
        self.ledger.as_ref().err().map(String::as_str)
    }

    /// The current status; `None` if neither Redis nor Postgres knows the chain.
    pub(super) async fn read(&mut self) -> Result<Option<ChainStatus>, CommandError> {
        let view = self.client.chain(&self.id).await?;
        if self.queried.is_none_or(|at| at.elapsed() >= QUERY_PAUSE) {
            self.query_ledger().await;
        }
        let Some(view) = view else {
            return Ok(self.status_from_ledger());
        };
        if self.outline.is_none() {
            let document = self.client.broker().chains().document(&self.id).await?;
            let outline = |json: String| serde_json::from_str(&json).unwrap_or_default();
            self.outline = document.map(outline);
        }
        self.read_failures(&view).await?;
        Ok(Some(self.status_from_redis(&view)))
    }

    /// As [`ChainReader::read`], once Postgres has recorded the end, or after a few seconds.
    pub(super) async fn read_after_end(&mut self) -> Result<Option<ChainStatus>, CommandError> {
        const RECORDING_LIMIT: Duration = Duration::from_secs(3);
        const PAUSE: Duration = Duration::from_millis(100);
        let begun = Instant::now();
        loop {
            self.queried = None;
            let chain = self.read().await?;
            let recorded = self.recorded.chain.as_ref();
            let known = recorded.is_some_and(|row| row.chain.state.is_final());
            if known || self.ledger.is_err() || begun.elapsed() > RECORDING_LIMIT {
                return Ok(chain);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Values that cannot be read keep their last state: Redis alone is enough to show a chain.
    async fn query_ledger(&mut self) {
        self.queried = Some(Instant::now());
        let Ok(ledger) = &self.ledger else { return };
        let discarded = ChainJobFilter {
            state: Some(JobState::Discarded),
            limit: Some(FAILURES),
            ..ChainJobFilter::default()
        };
        let id = self.id.as_str();
        let (chain, steps, failed) = tokio::join!(
            ledger.chain(&self.id),
            ledger.chain_steps(id),
            ledger.chain_jobs(id, &discarded),
        );
        if let Ok(chain) = chain {
            self.recorded.chain = chain;
        }
        if let Ok(steps) = steps {
            let named = steps
                .into_iter()
                .filter_map(|row| Some((row.step.clone()?, row)));
            self.recorded.steps = named.collect();
        }
        if let Ok(failed) = failed {
            let failures = failed.into_iter().filter_map(|row| {
                let labels = row.job.labels;
                let step = labels.step?.split('/').next().map(StepName::parse)?.ok()?;
                let failure = Failure {
                    job: labels.job_id,
                    error: row.job.error?,
                };
                Some((step, failure))
            });
            self.recorded.failures = failures.collect();
        }
    }

    /// Adds the failures that Postgres does not have yet, from the outcomes.
    async fn read_failures(&mut self, view: &ChainView) -> Result<(), CommandError> {
        let known = |job: &JobId| {
            self.recorded
                .failures
                .iter()
                .any(|(_, failure)| failure.job == *job)
        };
        let first = view.failed.iter().take(FAILURES as usize);
        let (steps, jobs): (Vec<StepName>, Vec<JobId>) = first
            .filter(|failed| !known(&failed.job))
            .map(|failed| (failed.instance.step.clone(), failed.job.clone()))
            .unzip();
        for (step, outcome) in steps.into_iter().zip(self.client.outcomes(&jobs).await?) {
            let Some(outcome) = outcome else { continue };
            if let Some(error) = outcome.error {
                let job = outcome.id;
                self.recorded.failures.push((step, Failure { job, error }));
            }
        }
        Ok(())
    }

    fn status_from_redis(&self, view: &ChainView) -> ChainStatus {
        // A batch has no document.
        let planned = match &self.outline {
            Some(outline) => outline
                .steps
                .iter()
                .map(|step| (&step.name, step.all_needs(), step.conditions.clone()))
                .collect(),
            None => view
                .names()
                .into_iter()
                .map(|name| (name, Vec::new(), Conditions::default()))
                .collect::<Vec<_>>(),
        };
        let steps = planned.into_iter().map(|(name, needs, conditions)| {
            let progress = view.step(name);
            StepStatus {
                needs,
                conditions,
                state: progress.state,
                items: progress.items,
                ended: progress.ended,
                completed: progress.completed,
                ..self.recorded_step(name)
            }
        });
        let recorded = self.recorded.chain.as_ref();
        ChainStatus {
            record: view.head.record.clone(),
            cost: view.head.cost,
            unknown: recorded.map_or(0, |row| row.figures.unknown_cost_attempts),
            steps: steps.collect(),
        }
    }

    fn status_from_ledger(&self) -> Option<ChainStatus> {
        let row = self.recorded.chain.as_ref()?;
        let mut rows: Vec<&StepRow> = self.recorded.steps.values().collect();
        rows.sort_by_key(|row| (row.started_at, row.step.clone()));
        let steps = rows.into_iter().filter_map(|row| {
            let mut step = self.recorded_step(row.step.as_ref()?);
            step.state = recorded_state(row);
            if row.jobs > 1 {
                step.items = Some(row.jobs);
            }
            step.completed = row.completed;
            step.ended = row.completed + row.failed + row.cancelled;
            Some(step)
        });
        Some(ChainStatus {
            record: row.chain.clone(),
            cost: row.figures.cost_usd,
            unknown: row.figures.unknown_cost_attempts,
            steps: steps.collect(),
        })
    }

    /// A step with its times, figures and failures from Postgres.
    fn recorded_step(&self, name: &StepName) -> StepStatus {
        let row = self.recorded.steps.get(name);
        let failures = self.recorded.failures.iter();
        StepStatus {
            name: name.clone(),
            needs: Vec::new(),
            conditions: Conditions::default(),
            state: StepState::Waiting,
            items: None,
            ended: 0,
            completed: 0,
            started: row.and_then(|row| row.started_at),
            finished: row.and_then(|row| row.finished_at),
            figures: self
                .ledger
                .is_ok()
                .then(|| row.map(|row| row.figures).unwrap_or_default()),
            failures: failures
                .filter(|(step, _)| step == name)
                .map(|(_, failure)| failure.clone())
                .collect(),
        }
    }
}

/// The state of a step that is only in Postgres.
fn recorded_state(row: &StepRow) -> StepState {
    let ended = row.completed + row.failed + row.cancelled;
    if ended < row.jobs {
        StepState::Running
    } else if row.failed > 0 {
        StepState::Failed
    } else if row.cancelled > 0 {
        StepState::Cancelled
    } else {
        StepState::Completed
    }
}

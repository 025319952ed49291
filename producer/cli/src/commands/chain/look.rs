//! A chain as it stands: out of Redis while that knows it, with times and costs out of the record; then out of
//! the record alone.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use longshore_client::Usd;
use longshore_shared::{
    broker::{Broker, ChainView},
    chain::{ChainId, ChainState, StepName, StepState},
    event::ChainRecord,
    id::JobId,
    ledger::{ChainJobFilter, ChainRow, Figures, Ledger, StepRow},
    state::JobState,
};

use super::outline::Outline;
use crate::{
    commands::{jobs::first_line, words::of_ms},
    error::CommandError,
    session::Session,
};

/// Failures that are told of.
const FAILURES: u32 = 20;

/// How often the record is asked while the chain goes on.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A chain as it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chain {
    pub(super) record: ChainRecord,
    pub(super) cost: Usd,
    /// Attempts whose cost only the provider knows.
    pub(super) unknown: u64,
    pub(super) steps: Vec<Step>,
}

/// A step as it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) name: StepName,
    pub(super) needs: Vec<StepName>,
    pub(super) state: StepState,
    /// Its items, of a step that has fanned out.
    pub(super) items: Option<u64>,
    pub(super) ended: u64,
    pub(super) completed: u64,
    pub(super) started: Option<DateTime<Utc>>,
    pub(super) finished: Option<DateTime<Utc>>,
    /// Nothing where the record cannot be asked.
    pub(super) figures: Option<Figures>,
    pub(super) failures: Vec<Failure>,
}

/// Why a step, or an item of one, did not succeed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Failure {
    pub(super) job: JobId,
    pub(super) error: String,
}

impl Chain {
    pub(super) fn state(&self) -> ChainState {
        self.record.state
    }

    pub(super) fn begun(&self) -> DateTime<Utc> {
        of_ms(self.record.begun_ms)
    }

    /// When it ended, or now.
    pub(super) fn until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.record.ended_ms.map_or(now, of_ms)
    }

    /// Steps that no other needs.
    pub(super) fn last_steps(&self) -> Vec<&Step> {
        let needed: std::collections::HashSet<&StepName> =
            self.steps.iter().flat_map(|step| &step.needs).collect();
        let last = |step: &&Step| !needed.contains(&step.name);
        self.steps.iter().filter(last).collect()
    }
}

/// What is recorded of a chain.
#[derive(Debug, Default)]
struct Recorded {
    chain: Option<ChainRow>,
    steps: HashMap<StepName, StepRow>,
    failures: Vec<(StepName, Failure)>,
}

/// Looks at one chain, again and again.
pub(super) struct Looker {
    broker: Broker,
    ledger: Result<Ledger, String>,
    id: ChainId,
    outline: Option<Outline>,
    recorded: Recorded,
    asked: Option<Instant>,
}

impl Looker {
    pub(super) async fn new(broker: Broker, session: &Session, id: ChainId) -> Self {
        let ledger = session.ledger().await.map_err(|error| first_line(&error));
        Self {
            broker,
            ledger,
            id,
            outline: None,
            recorded: Recorded::default(),
            asked: None,
        }
    }

    pub(super) fn id(&self) -> &ChainId {
        &self.id
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Why times and costs of steps are not known.
    pub(super) fn no_record(&self) -> Option<&str> {
        self.ledger.as_ref().err().map(String::as_str)
    }

    /// As it stands now; `None` where nobody knows it.
    pub(super) async fn look(&mut self) -> Result<Option<Chain>, CommandError> {
        let view = self.broker.chain_state(&self.id).await?;
        if self.asked.is_none_or(|at| at.elapsed() >= ASK_AGAIN) {
            self.ask_the_record().await;
        }
        let Some(view) = view else {
            return Ok(self.of_the_record());
        };
        if self.outline.is_none() {
            let document = self.broker.chain_doc(&self.id).await?;
            self.outline = document.as_deref().map(Outline::of);
        }
        self.failures_of(&view).await?;
        Ok(Some(self.of_redis(&view)))
    }

    /// As [`Looker::look`], after the record has had a moment to hear of the end.
    pub(super) async fn look_at_the_end(&mut self) -> Result<Option<Chain>, CommandError> {
        const PATIENCE: Duration = Duration::from_secs(3);
        const PAUSE: Duration = Duration::from_millis(100);
        let begun = Instant::now();
        loop {
            self.asked = None;
            let chain = self.look().await?;
            let recorded = self.recorded.chain.as_ref();
            let known = recorded.is_some_and(|row| row.chain.state.is_final());
            if known || self.ledger.is_err() || begun.elapsed() > PATIENCE {
                return Ok(chain);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What cannot be had is left as it was: Redis alone tells enough to go on.
    async fn ask_the_record(&mut self) {
        self.asked = Some(Instant::now());
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
            let told = failed.into_iter().filter_map(|row| {
                let labels = row.job.labels;
                let step = labels.step?.split('/').next().map(StepName::parse)?.ok()?;
                let failure = Failure {
                    job: labels.job_id,
                    error: row.job.error?,
                };
                Some((step, failure))
            });
            self.recorded.failures = told.collect();
        }
    }

    /// What the record does not say (yet), the outcomes may.
    async fn failures_of(&mut self, view: &ChainView) -> Result<(), CommandError> {
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
        for (step, outcome) in steps.into_iter().zip(self.broker.outcomes(&jobs).await?) {
            let Some(outcome) = outcome else { continue };
            if let Some(error) = outcome.error {
                let job = outcome.id;
                self.recorded.failures.push((step, Failure { job, error }));
            }
        }
        Ok(())
    }

    fn of_redis(&self, view: &ChainView) -> Chain {
        // A batch has no document.
        let planned = match &self.outline {
            Some(outline) => outline
                .steps
                .iter()
                .map(|step| (&step.name, step.needs()))
                .collect(),
            None => view
                .names()
                .into_iter()
                .map(|name| (name, Vec::new()))
                .collect::<Vec<_>>(),
        };
        let steps = planned.into_iter().map(|(name, needs)| {
            let stands = view.step(name);
            Step {
                needs,
                state: stands.state,
                items: stands.items,
                ended: stands.ended,
                completed: stands.completed,
                ..self.step(name)
            }
        });
        let unknown = self.recorded.chain.as_ref();
        Chain {
            record: view.head.record.clone(),
            cost: view.head.cost,
            unknown: unknown.map_or(0, |row| row.figures.unknown_cost_attempts),
            steps: steps.collect(),
        }
    }

    fn of_the_record(&self) -> Option<Chain> {
        let row = self.recorded.chain.as_ref()?;
        let mut rows: Vec<&StepRow> = self.recorded.steps.values().collect();
        rows.sort_by_key(|row| (row.started_at, row.step.clone()));
        let steps = rows.into_iter().filter_map(|row| {
            let mut step = self.step(row.step.as_ref()?);
            step.state = recorded_state(row);
            if row.jobs > 1 {
                step.items = Some(row.jobs);
            }
            step.completed = row.completed;
            step.ended = row.completed + row.failed + row.cancelled;
            Some(step)
        });
        Some(Chain {
            record: row.chain.clone(),
            cost: row.figures.cost_usd,
            unknown: row.figures.unknown_cost_attempts,
            steps: steps.collect(),
        })
    }

    /// What is recorded of a step.
    fn step(&self, name: &StepName) -> Step {
        let row = self.recorded.steps.get(name);
        let failures = self.recorded.failures.iter();
        Step {
            name: name.clone(),
            needs: Vec::new(),
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

/// The state of a step of which only the record tells.
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

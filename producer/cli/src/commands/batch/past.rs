//! Outcomes that Redis no longer keeps, from Postgres.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use longshore_client::{JobId, Outcome, TaskReport};
use longshore_ledger::Ledger;

use super::results::TaskResult;
use crate::{error::CommandError, output, session::Session};

/// The pause between two queries for what Postgres did not have.
const QUERY_PAUSE: Duration = Duration::from_secs(1);

/// What Postgres does not have by then, it will not have: events reach it within moments of the job's end,
/// and Redis keeps the outcome for an hour.
const RECORDING_LIMIT: Duration = Duration::from_mins(1);

/// Outcomes from Postgres, which is connected to when the first is needed.
pub(super) struct RecordedOutcomes<'a> {
    session: &'a Session,
    ledger: Option<Ledger>,
    /// When it did not have everything, or did not answer.
    queried: Option<Instant>,
    /// Since when it answers without everything.
    missing: Option<Instant>,
    is_unreachable: bool,
}

impl<'a> RecordedOutcomes<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        Self {
            session,
            ledger: None,
            queried: None,
            missing: None,
            is_unreachable: false,
        }
    }

    /// The results of ended tasks whose outcomes Redis keeps no longer, as far as they are known. A task with
    /// an id of its own may repeat a job that has not ended: it is left for a later call.
    pub(super) async fn results(&mut self, gone: Vec<(u32, TaskReport)>) -> Vec<TaskResult> {
        if gone.is_empty() || self.queried.is_some_and(|at| at.elapsed() < QUERY_PAUSE) {
            return Vec::new();
        }
        let ids: Vec<JobId> = gone.iter().map(|(_, task)| task.job.clone()).collect();
        let found = match self.outcomes(&ids).await {
            Ok(found) => found,
            Err(error) => {
                self.queried = Some(Instant::now());
                self.missing = None;
                if !self.is_unreachable && gone.iter().any(|(_, task)| !task.own) {
                    self.is_unreachable = true;
                    output::note(format_args!(
                        "{error}\nRedis no longer keeps some of the outcomes. Waiting for the record."
                    ));
                }
                return Vec::new();
            }
        };
        self.is_unreachable = false;
        let mut found: HashMap<JobId, Outcome> = found
            .into_iter()
            .map(|outcome| (outcome.id.clone(), outcome))
            .collect();
        let mut results = Vec::new();
        let mut missing = Vec::new();
        for (index, mut task) in gone {
            task.outcome = found.remove(&task.job);
            // A failed task without an outcome was refused for its id: it will never have one.
            if task.outcome.is_some() || (task.own && task.failed) {
                results.push(TaskResult::from_report(index, task));
            } else {
                missing.push((index, task));
            }
        }
        if missing.is_empty() {
            self.missing = None;
            return results;
        }
        self.queried = Some(Instant::now());
        let since = *self.missing.get_or_insert_with(Instant::now);
        if since.elapsed() > RECORDING_LIMIT {
            let lost = missing.into_iter().filter(|(_, task)| !task.own);
            results.extend(lost.map(|(index, task)| TaskResult::from_report(index, task)));
        }
        results
    }

    async fn outcomes(&mut self, ids: &[JobId]) -> Result<Vec<Outcome>, CommandError> {
        let ledger = match &self.ledger {
            Some(ledger) => ledger,
            None => self.ledger.insert(self.session.ledger().await?),
        };
        Ok(ledger.outcomes(ids).await?)
    }
}

//! Reads outcomes that are no longer in Redis from Postgres.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use longshore_client::{JobId, Outcome, TaskReport};
use longshore_ledger::Ledger;

use super::results::TaskResult;
use crate::{error::CommandError, output, session::Session};

/// The pause before a query for missing outcomes is repeated.
const QUERY_PAUSE: Duration = Duration::from_secs(1);

/// After this time, a missing outcome counts as lost: events reach Postgres within moments of the job's end,
/// and Redis keeps the outcome for an hour.
const RECORDING_LIMIT: Duration = Duration::from_mins(1);

/// Outcomes from Postgres. The first query connects.
pub(super) struct RecordedOutcomes<'a> {
    session: &'a Session,
    ledger: Option<Ledger>,
    /// When the last query failed or did not find everything.
    queried: Option<Instant>,
    /// Since when queries succeed but outcomes are missing.
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

    /// The known results of ended tasks whose outcomes are no longer in Redis. A task with an id of its own may
    /// be the duplicate of a job that has not ended; it is left to a later call.
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
                        "{error}\nSome outcomes are no longer in Redis; waiting for Postgres."
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
            // A failed task without an outcome was rejected for its id and will never have one.
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

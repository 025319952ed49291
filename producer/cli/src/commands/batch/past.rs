//! Outcomes that Redis no longer keeps, out of the record.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use longshore_client::{JobId, Outcome};
use longshore_shared::{
    broker::TaskReport,
    ledger::{Ledger, LedgerError},
};

use super::{collect::ended, results::TaskResult};
use crate::{error::CommandError, output, session::Session};

/// The record is asked so often.
const AGAIN: Duration = Duration::from_secs(1);

/// What the record does not have by then, it will not have: events reach it within moments of their job's end,
/// and Redis keeps the outcome for an hour.
const BEHIND: Duration = Duration::from_mins(1);

/// The record, asked only when something is wanted of it.
pub(super) struct Past<'a> {
    session: &'a Session,
    ledger: Option<Ledger>,
    /// When it did not have what was wanted, or was not there.
    asked: Option<Instant>,
    /// Since when it is asked for what it does not have; nothing while it is away.
    missing: Option<Instant>,
    away: bool,
}

impl<'a> Past<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        Self {
            session,
            ledger: None,
            asked: None,
            missing: None,
            away: false,
        }
    }

    /// The results of tasks that have ended and are gone from Redis, as far as they can be told. One with an
    /// id of its own may be the repetition of a job that has not ended: it will be looked at again.
    pub(super) async fn look(&mut self, gone: Vec<(u32, TaskReport)>) -> Vec<TaskResult> {
        if gone.is_empty() || self.asked.is_some_and(|at| at.elapsed() < AGAIN) {
            return Vec::new();
        }
        let ids: Vec<JobId> = gone.iter().map(|(_, task)| task.job.clone()).collect();
        let found = match self.outcomes(&ids).await {
            Ok(found) => found,
            Err(error) => {
                self.asked = Some(Instant::now());
                self.missing = None;
                if !self.away && gone.iter().any(|(_, task)| !task.own) {
                    self.away = true;
                    output::note(format_args!(
                        "{error}\nRedis no longer keeps some of the outcomes. Waiting for the record."
                    ));
                }
                return Vec::new();
            }
        };
        self.away = false;
        let mut found: HashMap<JobId, Outcome> = found
            .into_iter()
            .map(|outcome| (outcome.id.clone(), outcome))
            .collect();
        let mut results = Vec::new();
        let mut missing = Vec::new();
        for (index, mut task) in gone {
            task.outcome = found.remove(&task.job);
            // One that failed and has no outcome was refused for its id: it will never have one.
            if task.outcome.is_some() || (task.own && task.failed) {
                results.push(ended(index, task));
            } else {
                missing.push((index, task));
            }
        }
        if missing.is_empty() {
            self.missing = None;
            return results;
        }
        self.asked = Some(Instant::now());
        let since = *self.missing.get_or_insert_with(Instant::now);
        if since.elapsed() > BEHIND {
            let lost = missing.into_iter().filter(|(_, task)| !task.own);
            results.extend(lost.map(|(index, task)| ended(index, task)));
        }
        results
    }

    async fn outcomes(&mut self, ids: &[JobId]) -> Result<Vec<Outcome>, CommandError> {
        let ledger = match &self.ledger {
            Some(ledger) => ledger,
            None => self.ledger.insert(self.session.ledger().await?),
        };
        ledger
            .outcomes(ids)
            .await
            .map_err(|error: LedgerError| error.into())
    }
}

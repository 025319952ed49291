//! The attempts of the last seconds, for a Redis that loses them.
//!
//! A Redis that restarts, or a replica that takes over, may lack what it acknowledged last: with an AOF that is synced
//! every second, about a second. The calls of that time are on the provider's invoice. The worker remembers its attempts
//! until they are older than what can be lost, and records them again when it finds another run of the server.
//! Attempts have ids, so an attempt that was not lost is recorded once all the same.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use longshore_broker::{Broker, BrokerError};
use longshore_protocol::{
    event::{AttemptRecord, Event},
    serialized::Serialized,
};

use super::serialize_attempt;

/// How long an attempt is remembered while Redis is up. More than the two seconds that an AOF which is synced every
/// second can lack, and than the usual lag of a replica.
const KEPT: Duration = Duration::from_secs(5);

/// The most attempts that are remembered, about 1 kB each: the oldest go first.
const MOST: usize = 10_000;

/// Attempts that one call records.
const PAGE: usize = 100;

/// The attempts that Redis acknowledged lately, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct RecentAttempts(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    attempts: VecDeque<(Instant, Box<AttemptRecord>)>,
    /// The run of the server that is known to have what came before.
    run: Option<String>,
}

impl RecentAttempts {
    /// Remembers an attempt that Redis has acknowledged now.
    pub(crate) fn remember(&self, attempt: Box<AttemptRecord>) {
        let mut state = self.lock();
        if state.attempts.len() == MOST {
            state.attempts.pop_front();
        }
        state.attempts.push_back((Instant::now(), attempt));
    }

    /// Records the attempts again if the server runs anew since the last call, and forgets old ones if it does not.
    pub(crate) async fn check(&self, broker: &Broker) -> Result<(), BrokerError> {
        let run = broker.server().run_id().await?;
        let Some(attempts) = self.lost_by(&run, Instant::now()) else {
            return Ok(());
        };
        let attempts: Vec<Serialized<Event>> = attempts
            .iter()
            .filter_map(|attempt| serialize_attempt(attempt, broker.keyring()))
            .collect();
        for page in attempts.chunks(PAGE) {
            broker.events().append(page).await?;
        }
        tracing::warn!(
            attempts = attempts.len(),
            "Redis runs anew and may lack its last writes; the attempts of the last seconds are recorded again"
        );
        self.lock().run = Some(run);
        Ok(())
    }

    /// The attempts to record again; `None` if the server did not restart.
    fn lost_by(&self, run: &str, now: Instant) -> Option<Vec<AttemptRecord>> {
        let mut state = self.lock();
        if state.run.as_deref().is_none_or(|known| known == run) {
            state.run.get_or_insert_with(|| run.to_owned());
            while state
                .attempts
                .front()
                .is_some_and(|(ended, _)| now.duration_since(*ended) > KEPT)
            {
                state.attempts.pop_front();
            }
            return None;
        }
        let attempts = state.attempts.iter();
        Some(attempts.map(|(_, attempt)| (**attempt).clone()).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

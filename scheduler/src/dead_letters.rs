//! Dead letters: replays them by the rules of the configuration, and removes them after their retention.
//!
//! Both duties are safe beside another scheduler that does the same.

mod replay_rules;
mod retention;

use std::time::Duration;

use self::replay_rules::ReplayRules;
use crate::duty::{Background, Timer};

/// Replays dead letters by the rules of the configuration, every `interval`.
pub(crate) async fn apply_replay_rules(background: Background, interval: Duration) {
    let (mut rules, mut timer) = (ReplayRules::default(), Timer::every(interval));
    while background.next_run(&mut timer).await {
        let config = background.config.current();
        let replay = rules.apply(&background.broker, &config);
        if let Some(Err(error)) = background.stop.run_until_cancelled(replay).await {
            tracing::warn!("replay rules failed: {error}; retrying in {interval:?}");
        }
    }
}

/// Archives and removes dead letters that are older than their retention or too many, every `interval`.
pub(crate) async fn expire_dead_letters(background: Background, interval: Duration) {
    let mut timer = Timer::every(interval);
    while background.next_run(&mut timer).await {
        let config = background.config.current();
        let expire = retention::expire(&background.broker, &background.ledger, &config.retention);
        match background.stop.run_until_cancelled(expire).await {
            None | Some(Ok(0)) => {}
            Some(Ok(removed)) => {
                tracing::info!(removed, "expired dead letters archived and removed");
            }
            Some(Err(error)) => {
                tracing::warn!(
                    "retention of dead letters failed: {error}; retrying in {interval:?}"
                );
            }
        }
    }
}

//! What is done about dead letters while this scheduler leads: beside its rounds, which must not wait
//! for Postgres or for many letters.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use longshore_broker::Broker;
use longshore_ledger::Ledger;
use longshore_service::live_config::LiveConfig;
use tokio::sync::Notify;

use crate::{replay::Rules, retention};

/// How often dead letters are looked through for those that are past their retention.
const RETENTION_EVERY: Duration = Duration::from_mins(1);

/// Does it at each call of the leader; who is busy when one comes, waits for the next. All of it is safe
/// beside another scheduler that does the same.
pub(crate) async fn keep(config: LiveConfig, broker: Broker, ledger: Ledger, turn: Arc<Notify>) {
    tokio::join!(
        clean(&config, &broker, &ledger, &turn),
        replay(&config, &broker, &turn)
    );
}

async fn clean(config: &LiveConfig, broker: &Broker, ledger: &Ledger, turn: &Notify) {
    let mut cleaned: Option<Instant> = None;
    loop {
        turn.notified().await;
        if cleaned.is_some_and(|at| at.elapsed() < RETENTION_EVERY) {
            continue;
        }
        cleaned = Some(Instant::now());
        match retention::clean_up(broker, ledger, &config.current().retention).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(
                removed,
                "dead letters past their retention are archived and removed"
            ),
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

async fn replay(config: &LiveConfig, broker: &Broker, turn: &Notify) {
    let mut rules = Rules::default();
    loop {
        turn.notified().await;
        if let Err(error) = rules.apply(broker, &config.current()).await {
            tracing::warn!("dead letters are not replayed: {error}");
        }
    }
}

//! Says that the worker lives, from a thread of its own: a busy runtime must not look like a dead one.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use longshore_broker::{BrokerError, Heartbeat, Pulse, WorkerState};
use longshore_protocol::id::host_name;

use crate::deps::Deps;

/// A beating heart; [`Heart::stop`] lets others know at once that the worker is gone.
pub(crate) struct Heart {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Heart {
    /// Beats once before it returns, so that nobody takes a worker's first jobs for a dead one's.
    pub(crate) async fn start(deps: Arc<Deps>) -> Result<Self, BrokerError> {
        let liveness = deps.config.liveness.clone();
        let pulse = Pulse::new(
            &deps.config.redis_url,
            deps.broker.keys(),
            &deps.worker,
            liveness.heartbeat_ttl,
        )?;
        let (stop, stopped) = channel();
        let (begun, first) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let mut pulse = pulse;
            let mut begun = Some(begun);
            let mut heartbeat = describe(&deps);
            loop {
                heartbeat.in_flight = deps.hands.count();
                heartbeat.said_at_ms = deps.clock.now().timestamp_millis();
                if deps.drain.is_cancelled() {
                    heartbeat.state = WorkerState::Draining;
                }
                let wait = match pulse.beat(&heartbeat) {
                    Ok(()) => {
                        deps.health.beat("heartbeat");
                        if let Some(begun) = begun.take() {
                            // Nobody waits for it if the worker was stopped meanwhile.
                            let _sent = begun.send(());
                        }
                        liveness.heartbeat_every
                    }
                    Err(error) => {
                        tracing::warn!("no heartbeat: Redis at {}: {error}", deps.broker.address());
                        deps.health.fail("heartbeat", error.to_string());
                        Duration::from_millis(500)
                    }
                };
                if !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
                    if let Err(error) = pulse.stop() {
                        tracing::warn!("the heartbeat could not be taken back: {error}");
                    }
                    return;
                }
            }
        });
        // The thread beats until it succeeds or is stopped.
        let _begun = first.await;
        Ok(Self { stop, thread })
    }

    /// The last beat.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        let thread = self.thread;
        if tokio::task::spawn_blocking(move || thread.join())
            .await
            .is_err()
        {
            tracing::warn!("the heartbeat's thread did not end well");
        }
    }
}

fn describe(deps: &Deps) -> Heartbeat {
    Heartbeat {
        worker: deps.worker.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at_ms: deps.clock.now().timestamp_millis(),
        queues: deps.config.queues.clone(),
        host: host_name(),
        state: WorkerState::Running,
        said_at_ms: 0,
        in_flight: 0,
        concurrency: deps.config.concurrency,
    }
}

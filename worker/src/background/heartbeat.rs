//! The heartbeat, sent from a thread of its own: a busy runtime must not make a live worker look dead.

use std::{
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
};

use longshore_broker::{BrokerError, Heartbeat, HeartbeatConnection, WorkerState};
use longshore_protocol::id::host_name;
use longshore_service::backoff::Backoff;

use crate::{backoff::HEARTBEAT, context::Context};

/// The running heartbeat. [`HeartbeatThread::stop`] removes it, so that others know at once that the worker
/// has ended.
pub(crate) struct HeartbeatThread {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl HeartbeatThread {
    /// Returns after the first heartbeat, so that no one takes the worker's first jobs for a dead worker's.
    pub(crate) async fn start(context: Arc<Context>) -> Result<Self, BrokerError> {
        let liveness = context.config.liveness.clone();
        let mut pulse = HeartbeatConnection::new(
            &context.config.redis_url,
            context.broker.keys(),
            &context.worker,
            liveness.heartbeat_ttl,
        )?;
        let (stop, stopped) = channel();
        let (first_sent, first) = tokio::sync::oneshot::channel();
        let thread = std::thread::spawn(move || {
            let mut first_sent = Some(first_sent);
            let mut heartbeat = initial_heartbeat(&context);
            let mut backoff = Backoff::new(HEARTBEAT);
            loop {
                heartbeat.in_flight = context.in_flight.count();
                heartbeat.said_at_ms = context.clock.now().timestamp_millis();
                if context.drain.is_cancelled() {
                    heartbeat.state = WorkerState::Draining;
                }
                let wait = match pulse.beat(&heartbeat) {
                    Ok(()) => {
                        backoff.reset();
                        context.health.beat("heartbeat");
                        if let Some(first_sent) = first_sent.take() {
                            // The receiver is gone if the worker was stopped meanwhile.
                            let _sent = first_sent.send(());
                        }
                        liveness.heartbeat_every
                    }
                    Err(error) => {
                        let delay = backoff.next_delay();
                        let redis = context.broker.address();
                        tracing::warn!(
                            "heartbeat failed: {error} (Redis at {redis}); retrying in {delay:.1?}"
                        );
                        context.health.fail("heartbeat", error.to_string());
                        delay
                    }
                };
                if !matches!(stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout)) {
                    if let Err(error) = pulse.stop() {
                        tracing::warn!("heartbeat not removed: {error}; it expires by itself");
                    }
                    return;
                }
            }
        });
        // The thread retries until the first heartbeat succeeds, or until it is stopped.
        let _first = first.await;
        Ok(Self { stop, thread })
    }

    /// Removes the heartbeat and ends the thread.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::warn!("heartbeat thread panicked");
        }
    }
}

fn initial_heartbeat(context: &Context) -> Heartbeat {
    Heartbeat {
        worker: context.worker.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at_ms: context.clock.now().timestamp_millis(),
        queues: context.config.queues.clone(),
        host: host_name(),
        state: WorkerState::Running,
        said_at_ms: 0,
        in_flight: 0,
        concurrency: context.config.concurrency,
    }
}

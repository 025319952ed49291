//! The heartbeat, sent from a thread of its own: a busy runtime must not make a live worker look dead.
//!
//! It has a connection of its own as well, which may work while that of the jobs does not. A worker that cannot settle
//! or begin anything must not hold jobs for ever, so the heartbeat pauses when the jobs' connection is silent for long.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use longshore_broker::{Broker, Heartbeat, HeartbeatConnection, WorkerState, task};
use longshore_config::Liveness;
use longshore_protocol::id::host_name;
use longshore_service::backoff::Backoff;
use tokio::sync::oneshot;

use crate::{backoff::HEARTBEAT, context::Context};

/// The least silence of the jobs' connection that pauses heartbeats: twice the time that the connection needs to
/// replace itself.
const LEAST_SILENCE: Duration = Duration::from_secs(30);

/// How often a silent connection is looked at.
const SILENCE_POLL: Duration = Duration::from_millis(200);

/// The running heartbeat. [`HeartbeatThread::stop`] removes it, so that others know at once that the worker
/// has ended.
pub(crate) struct HeartbeatThread {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    probe: tokio::task::JoinHandle<()>,
}

/// When the connection of the jobs last answered.
#[derive(Clone)]
struct LastAnswer(Arc<Mutex<Instant>>);

impl LastAnswer {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn renew(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn get(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks on the connection of the jobs, from their runtime, whether it answers.
async fn probe(broker: Broker, every: Duration, last_answer: LastAnswer) {
    loop {
        if broker.server().time_ms().await.is_ok() {
            last_answer.renew();
        }
        tokio::time::sleep(every).await;
    }
}

/// The silence of the jobs' connection that pauses heartbeats.
fn longest_silence(liveness: &Liveness) -> Duration {
    (3 * liveness.heartbeat_ttl).max(LEAST_SILENCE)
}

impl HeartbeatThread {
    /// Returns after the first heartbeat, so that no one takes the worker's first jobs for a dead worker's.
    pub(crate) async fn start(context: Arc<Context>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let last_answer = LastAnswer::now();
        let every = context.config.liveness.heartbeat_every;
        let probe = task::spawn(
            "data connection probe",
            probe(context.broker.clone(), every, last_answer.clone()),
        );
        let (stop, stopped) = oneshot::channel();
        let (first_sent, first) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(beat_until_stopped(
                &context,
                &last_answer,
                stopped,
                first_sent,
            ));
        });
        // The thread retries until the first heartbeat succeeds, or until it is stopped.
        let _first = first.await;
        Ok(Self {
            stop,
            thread,
            probe,
        })
    }

    /// Removes the heartbeat and ends the thread.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.probe.abort();
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::warn!("heartbeat thread panicked");
        }
    }
}

/// Sends heartbeats until the sender of `stopped` is dropped. Reports the first one to `first_sent`.
async fn beat_until_stopped(
    context: &Context,
    last_answer: &LastAnswer,
    mut stopped: oneshot::Receiver<()>,
    first_sent: oneshot::Sender<()>,
) {
    let liveness = &context.config.liveness;
    let mut pulse =
        HeartbeatConnection::new(&context.broker, &context.worker, liveness.heartbeat_ttl);
    let mut first_sent = Some(first_sent);
    let mut heartbeat = initial_heartbeat(context);
    let mut backoff = Backoff::new(HEARTBEAT);
    // While Redis answers nobody, the silence of the jobs' connection says nothing about the worker.
    let mut answered_since = Instant::now();
    loop {
        tokio::select! {
            () = pause_while_silent(context, last_answer, answered_since) => {}
            _ = &mut stopped => break,
        }
        heartbeat.in_flight = context.in_flight.count();
        heartbeat.said_at_ms = context.clock.now().timestamp_millis();
        if context.drain.is_cancelled() {
            heartbeat.state = WorkerState::Draining;
        }
        let wait = match pulse.beat(&heartbeat).await {
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
                answered_since = Instant::now();
                let delay = backoff.next_delay();
                let redis = context.broker.address();
                tracing::warn!(
                    "heartbeat failed: {error} (Redis at {redis}); retrying in {delay:.1?}"
                );
                context.health.fail("heartbeat", error.to_string());
                delay
            }
        };
        if tokio::time::timeout(wait, &mut stopped).await.is_ok() {
            break;
        }
    }
    if let Err(error) = pulse.stop().await {
        tracing::warn!("heartbeat not removed: {error}; it expires by itself");
    }
}

/// Returns as soon as the jobs' connection has not been silent for too long since `answered_since`.
async fn pause_while_silent(context: &Context, last_answer: &LastAnswer, answered_since: Instant) {
    let longest = longest_silence(&context.config.liveness);
    let mut is_reported = false;
    loop {
        let silence = last_answer.get().max(answered_since).elapsed();
        if silence <= longest {
            return;
        }
        if !is_reported {
            let text = format!("the connection of the jobs has not answered for {silence:.0?}");
            tracing::warn!("heartbeat paused: {text}; others recover the jobs of this worker");
            context.health.fail("heartbeat", text);
            is_reported = true;
        }
        tokio::time::sleep(SILENCE_POLL).await;
    }
}

fn initial_heartbeat(context: &Context) -> Heartbeat {
    Heartbeat {
        worker: context.worker.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at_ms: context.clock.now().timestamp_millis(),
        queues: context.config.queue_names(),
        host: host_name(),
        state: WorkerState::Running,
        said_at_ms: 0,
        in_flight: 0,
        concurrency: context.config.concurrency,
    }
}

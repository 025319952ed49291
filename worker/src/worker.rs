//! A worker: its parts put together, started, and drained.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use apalis::prelude::{Monitor, WorkerBuilder, WorkerBuilderExt as _};
use apalis_core::{task::Task, worker::ext::parallelize::ParallelizeExt as _};
use longshore_broker::{Broker, BrokerError, task};
use longshore_ledger::Ledger;
use longshore_protocol::id::WorkerId;
use longshore_service::{
    health::HealthState,
    traces::Traces,
    webhook::{WebhookError, Webhooks},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    background::{control_channel, heartbeat::HeartbeatThread, maintenance},
    backoff::retry_until_answered,
    clock::Clock,
    context::{Context, InFlight, PullGate, QueueGates, TenantActivity},
    job::Job,
    log::JobLog,
    pull::{
        backend::{JobReceiver, StreamBackend},
        reader,
    },
    record::{RecentAttempts, recorder},
    route::{
        Availability, account_holds::AccountHolds, circuits::Circuits, pauses::KnownPauses,
        policy::Policies,
    },
    run_job::run_job,
    settle::layer::SettleLayer,
};

/// Why a worker does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Redis cannot be used.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The thread of the heartbeat cannot start.
    #[error("cannot start the heartbeat: {0}")]
    Heartbeat(#[source] io::Error),
    /// Webhooks cannot be sent.
    #[error(transparent)]
    Webhooks(#[from] WebhookError),
    /// The worker ended although it was not stopped.
    #[error("the worker ended unexpectedly: {0}")]
    Ended(String),
}

/// A worker that has not started yet.
pub struct Worker {
    context: Arc<Context>,
    ledger: Option<Ledger>,
}

impl Worker {
    /// Puts a worker together. With a ledger, it also records the events of all workers.
    pub async fn new(
        policies: Policies,
        broker: Broker,
        ledger: Option<Ledger>,
        health: HealthState,
        traces: Traces,
    ) -> Result<Self, WorkerError> {
        let clock = Clock::default();
        retry_until_answered("read server time", || clock.measure(&broker)).await;
        let worker = WorkerId::fresh();
        let config = policies.current().config.clone();
        // Each read needs a slot for every queue.
        let slots = config.concurrency.max(config.queues.len());
        let circuits = Circuits::new(
            broker.clone(),
            clock.clone(),
            worker.clone(),
            config.circuit.clone(),
        );
        let context = Arc::new(Context {
            webhooks: Webhooks::new(policies.live())?,
            policies,
            availability: Availability {
                circuits,
                account_holds: AccountHolds::default(),
                pauses: KnownPauses::default(),
                clock: clock.clone(),
            },
            pull_gate: PullGate::default(),
            queue_gates: QueueGates::default(),
            tenant_activity: TenantActivity::default(),
            worker,
            in_flight: InFlight::default(),
            log: JobLog::default(),
            recent_attempts: RecentAttempts::default(),
            slots: Arc::new(Semaphore::new(slots)),
            suspects: Semaphore::new(1),
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
            broker,
            clock,
            health,
            traces,
            config,
        });
        Ok(Self { context, ledger })
    }

    /// This worker's id.
    pub fn id(&self) -> &WorkerId {
        &self.context.worker
    }

    /// Runs until `stop`. Then stops pulling, lets the calls that have begun finish within the grace period or until
    /// `stop_now`, hands all other jobs back, and records the remaining events.
    pub async fn run(
        self,
        stop: CancellationToken,
        stop_now: CancellationToken,
    ) -> Result<(), WorkerError> {
        let Self { context, ledger } = self;
        let heartbeat = HeartbeatThread::start(context.clone())
            .await
            .map_err(WorkerError::Heartbeat)?;
        let settled = CancellationToken::new();
        let background = Background::start(&context, ledger, &settled);
        let drain = task::spawn("drain", drain_on((stop, stop_now), context.clone()));
        let (sender, receiver) = mpsc::unbounded_channel();
        let reader = task::spawn("reader", reader::run(context.clone(), sender));

        tracing::info!(
            worker = %context.worker,
            redis = context.broker.address(),
            concurrency = context.config.concurrency,
            "worker started"
        );
        // On the runtime's own threads: from another, every hand-over would wake one of them.
        let ran = task::spawn("jobs", run_jobs(context.clone(), receiver, reader))
            .await
            .unwrap_or_else(|error| Err(error.to_string()));

        let was_stopped = context.drain.is_cancelled();
        context.drain.cancel();
        drain.abort();
        // While the recorder still runs.
        maintenance::check_recent_attempts(&context).await;
        context.log.report_left_out();
        settled.cancel();
        background.finish().await;
        heartbeat.stop().await;
        match ran {
            Ok(()) if was_stopped => Ok(()),
            Ok(()) => Err(WorkerError::Ended("its monitor stopped".to_owned())),
            Err(error) => Err(WorkerError::Ended(error)),
        }
    }
}

/// Runs the jobs that the reader sends, until the worker drains.
async fn run_jobs(
    context: Arc<Context>,
    receiver: JobReceiver,
    reader: JoinHandle<()>,
) -> Result<(), String> {
    let drain = context.drain.clone();
    let backend = Mutex::new(Some(StreamBackend::new(context.clone(), receiver)));
    let monitor = Monitor::new().register(move |_restarts| {
        // The monitor builds one worker. Another would get a backend without jobs.
        let backend = backend
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .unwrap_or_else(|| StreamBackend::new(context.clone(), mpsc::unbounded_channel().1));
        let run_context = context.clone();
        let run = move |task: Task<Arc<Job>>| {
            let context = run_context.clone();
            // Boxed, so that the layers and the task move a pointer and not all that a job holds.
            Box::pin(async move { Ok::<_, Infallible>(run_job(task.args.clone(), context).await) })
        };
        WorkerBuilder::new(context.worker.to_string().as_str())
            .backend(backend)
            // Outermost, so that every end of a run, also a panic, is settled, and before the slot is free.
            .layer(SettleLayer::new(context.clone()))
            // A task for each job, so that jobs use all threads of the runtime.
            .parallelize(|job| task::spawn("job", job))
            // A panic becomes an error, which the settle layer turns into a dead letter.
            .catch_panic()
            // Innermost, so that the log lines of a run are in its span.
            .enable_tracing()
            .build(tower::service_fn(run))
    });
    monitor
        .run_with_signal(async move {
            drain.cancelled().await;
            // The last read may still deliver jobs, which the backend then hands back.
            reader.await.map_err(io::Error::other)
        })
        .await
        .map_err(|error| error.to_string())
}

/// The tasks that run beside the jobs.
struct Background {
    tasks: Vec<JoinHandle<()>>,
}

impl Background {
    /// Maintenance and pauses end with the drain; the others when all jobs are settled.
    fn start(context: &Arc<Context>, ledger: Option<Ledger>, settled: &CancellationToken) -> Self {
        let (pauses, control, circuits) = (context.clone(), context.clone(), context.clone());
        let (control_stop, circuits_stop) = (settled.clone(), settled.clone());
        let mut tasks = vec![
            task::spawn("maintenance", maintenance::run(context.clone())),
            task::spawn("pauses", async move {
                let (known, broker) = (&pauses.availability.pauses, &pauses.broker);
                known.follow(broker, &pauses.drain).await;
            }),
            task::spawn("control channel", async move {
                control_channel::listen(&control, &control_stop).await;
            }),
            task::spawn("circuits", async move {
                circuits.availability.circuits.follow(circuits_stop).await;
            }),
        ];
        if let Some(ledger) = ledger {
            let recorder = recorder::run(context.clone(), ledger, settled.clone());
            tasks.push(task::spawn("recorder", recorder));
        }
        Self { tasks }
    }

    /// Waits until all tasks have ended. A panic of one has been logged.
    async fn finish(self) {
        for task in self.tasks {
            let _ended = task.await;
        }
    }
}

/// Drains the worker when `stop` is cancelled, and aborts the drain after the grace period or when `stop_now` is
/// cancelled.
async fn drain_on((stop, stop_now): (CancellationToken, CancellationToken), context: Arc<Context>) {
    stop.cancelled().await;
    let grace = context.config.grace;
    tracing::info!(
        in_flight = context.in_flight.count(),
        ?grace,
        "worker draining: no more jobs are pulled, and no more calls begin"
    );
    context.health.drain();
    context.drain.cancel();
    let why = tokio::select! {
        () = tokio::time::sleep(grace) => "grace period exceeded",
        () = stop_now.cancelled() => "second signal to stop",
    };
    tracing::warn!(
        in_flight = context.in_flight.count(),
        "{why}: running jobs are handed back"
    );
    context.abort.cancel();
}

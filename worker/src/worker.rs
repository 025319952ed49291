//! A worker: its parts put together, started and stopped in order.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use apalis::prelude::{Monitor, WorkerBuilder, WorkerBuilderExt as _};
use apalis_core::{task::Task, worker::ext::parallelize::ParallelizeExt as _};
use longshore_broker::{Broker, BrokerError, CONFIG_MESSAGE};
use longshore_ledger::Ledger;
use longshore_protocol::id::WorkerId;
use longshore_service::{
    health::HealthState,
    webhook::{WebhookError, Webhooks},
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::Accounts,
    backend::StreamBackend,
    circuit::Circuits,
    clock::Clock,
    deps::Deps,
    fairness::Fairness,
    gate::Gate,
    hands::Hands,
    heartbeat::Heart,
    job::Job,
    patience::patiently,
    pauses::{self, KnownPauses},
    policy::Policies,
    reader, recorder,
    run::run,
    upkeep,
};

/// What keeps a worker from starting, or ends it.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Redis is not as it should be.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Webhooks cannot be sent.
    #[error(transparent)]
    Webhooks(#[from] WebhookError),
    /// The worker ended although nobody told it to.
    #[error("the worker ended by itself: {0}")]
    Ended(String),
}

/// A worker that has not started yet.
pub struct Worker {
    deps: Arc<Deps>,
    ledger: Option<Ledger>,
}

impl Worker {
    /// Puts a worker together; with a ledger it also records what any worker did.
    pub async fn new(
        policies: Policies,
        broker: Broker,
        ledger: Option<Ledger>,
        health: HealthState,
    ) -> Result<Self, WorkerError> {
        let clock = Clock::default();
        patiently("tell the time", || clock.measure(&broker)).await;
        let worker = WorkerId::fresh();
        let config = policies.current().config.clone();
        let places = config.concurrency.max(config.queues.len());
        let deps = Arc::new(Deps {
            webhooks: Webhooks::new(policies.live())?,
            policies,
            circuits: Circuits::new(
                broker.clone(),
                clock.clone(),
                worker.clone(),
                config.circuit.clone(),
            ),
            accounts: Accounts::default(),
            pauses: KnownPauses::default(),
            gate: Gate::default(),
            fairness: Fairness::default(),
            worker,
            hands: Hands::default(),
            places: Arc::new(Semaphore::new(places)),
            suspects: Semaphore::new(1),
            drain: CancellationToken::new(),
            abort: CancellationToken::new(),
            broker,
            clock,
            health,
            config,
        });
        Ok(Self { deps, ledger })
    }

    /// Its id.
    pub fn id(&self) -> &WorkerId {
        &self.deps.worker
    }

    /// Runs until `stop`; then pulls no more, lets what runs finish within the grace period, hands the
    /// rest back, and records what is left to record.
    pub async fn run(self, stop: CancellationToken) -> Result<(), WorkerError> {
        let deps = self.deps;
        let heart = Heart::start(deps.clone()).await?;
        let (deliver, deliveries) = mpsc::unbounded_channel();
        let recorded = CancellationToken::new();
        let recorder = self
            .ledger
            .map(|ledger| tokio::spawn(recorder::record(deps.clone(), ledger, recorded.clone())));
        let upkeep = tokio::spawn(upkeep::keep_up(deps.clone()));
        let pauses = tokio::spawn(pauses::follow(deps.clone()));
        let reader = tokio::spawn(reader::read(deps.clone(), deliver));
        let listening = {
            let (deps, done) = (deps.clone(), recorded.clone());
            tokio::spawn(async move {
                let other = |request: &str| {
                    if request.starts_with(CONFIG_MESSAGE) {
                        deps.policies.look();
                    } else if !deps.pauses.obey(request) && !deps.accounts.obey(request) {
                        deps.circuits.obey(request);
                    }
                };
                let begun = || {
                    deps.policies.look();
                    deps.pauses.look();
                    deps.circuits.look_soon();
                };
                deps.hands.listen(&deps.broker, other, begun, done).await;
            })
        };
        let circuits = {
            let (deps, done) = (deps.clone(), recorded.clone());
            tokio::spawn(async move { deps.circuits.follow(done).await })
        };
        let timekeeper = tokio::spawn(drain_in_time(deps.clone(), stop));

        tracing::info!(
            worker = %deps.worker,
            redis = deps.broker.address(),
            concurrency = deps.config.concurrency,
            "pulling"
        );
        // On the runtime's own threads: beside them, every hand-over would wake another.
        let ran = tokio::spawn(work(deps.clone(), deliveries, reader))
            .await
            .unwrap_or_else(|error| Err(error.to_string()));

        let told = deps.drain.is_cancelled();
        deps.drain.cancel();
        timekeeper.abort();
        recorded.cancel();
        ended("upkeep", upkeep.await);
        ended("pauses", pauses.await);
        ended("listener", listening.await);
        ended("circuits", circuits.await);
        if let Some(recorder) = recorder {
            ended("recorder", recorder.await);
        }
        heart.stop().await;
        match ran {
            Ok(()) if told => Ok(()),
            Ok(()) => Err(WorkerError::Ended("its monitor stopped".to_owned())),
            Err(error) => Err(WorkerError::Ended(error)),
        }
    }
}

/// The apalis worker: a spawned task a job, panics caught, spans around it, settled at the last.
async fn work(
    deps: Arc<Deps>,
    deliveries: crate::backend::Deliveries,
    reader: tokio::task::JoinHandle<()>,
) -> Result<(), String> {
    let backend = Mutex::new(Some(StreamBackend::new(deps.clone(), deliveries)));
    let handler_deps = deps.clone();
    let name = deps.worker.to_string();
    let spare = deps.clone();
    let monitor = Monitor::new().register(move |_restarts| {
        // It is asked for one worker; another could only be idle.
        let backend = backend
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .unwrap_or_else(|| StreamBackend::new(spare.clone(), mpsc::unbounded_channel().1));
        let deps = handler_deps.clone();
        WorkerBuilder::new(name.as_str())
            .backend(backend)
            .parallelize(tokio::spawn)
            .catch_panic()
            .enable_tracing()
            .build(tower::service_fn(move |task: Task<Arc<Job>>| {
                let deps = deps.clone();
                async move { Ok::<_, std::convert::Infallible>(run(task.args.clone(), deps).await) }
            }))
    });
    let drain = deps.drain.clone();
    monitor
        .run_with_signal(async move {
            drain.cancelled().await;
            // The reader's last read may still bring jobs; they are handed back, not left behind.
            reader.await.map_err(io::Error::other)
        })
        .await
        .map_err(|error| error.to_string())
}

/// Turns `stop` into a drain, and a drain that takes too long into an abort.
async fn drain_in_time(deps: Arc<Deps>, stop: CancellationToken) {
    stop.cancelled().await;
    let grace = deps.config.grace;
    tracing::info!(
        in_flight = deps.hands.count(),
        ?grace,
        "stopping: no more jobs are pulled"
    );
    deps.health.drain();
    deps.drain.cancel();
    tokio::time::sleep(grace).await;
    tracing::warn!(
        in_flight = deps.hands.count(),
        "the grace period is over: what still runs is handed back"
    );
    deps.abort.cancel();
}

fn ended(part: &str, result: Result<(), tokio::task::JoinError>) {
    if let Err(error) = result {
        tracing::error!("the {part} did not end well: {error}");
    }
}

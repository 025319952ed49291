//! Our apalis backend: hands the reader's jobs to the worker.
//!
//! It never fails and never ends by itself: what goes wrong with Redis is the reader's business, what
//! is wrong with a message is the handler's. Neither may end a worker with jobs in its hands.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use futures::{FutureExt as _, future::BoxFuture};
use longshore_broker::Spent;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::{deps::Deps, job::Job, patience::patiently, settle::SettleLayer};

/// A free place that a job took; it is free again when the last step of the job is done.
pub type Credit = Arc<OwnedSemaphorePermit>;

/// Jobs as the reader delivers them.
pub type Deliveries = mpsc::UnboundedReceiver<(Arc<Job>, OwnedSemaphorePermit)>;

/// The queue of jobs as apalis sees it.
pub struct StreamBackend {
    deps: Arc<Deps>,
    deliveries: Deliveries,
    closing: Option<BoxFuture<'static, ()>>,
}

impl StreamBackend {
    /// Takes jobs from `deliveries`; there are never more than there are free places.
    pub fn new(deps: Arc<Deps>, deliveries: Deliveries) -> Self {
        Self {
            deps,
            deliveries,
            closing: None,
        }
    }

    /// Hands back what was delivered but not begun.
    fn hand_back_rest(&mut self) -> BoxFuture<'static, ()> {
        self.deliveries.close();
        let deps = self.deps.clone();
        let mut rest = Vec::new();
        while let Ok(delivery) = self.deliveries.try_recv() {
            rest.push(delivery);
        }
        async move {
            for (job, place) in rest {
                // Lost or held, the job is no longer ours.
                let _fence = patiently("hand back", || {
                    deps.broker
                        .hand_back(&job.held, None, "", "", Spent::NothingTaken)
                })
                .await;
                deps.hands.let_go(&job);
                drop(place);
            }
        }
        .boxed()
    }
}

impl Backend for StreamBackend {
    type Task = Task<Arc<Job>>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Self::Error>>> {
        match self.deliveries.poll_recv(cx) {
            Poll::Ready(Some((job, place))) => {
                let id = TaskId::String(job.held.place.to_string());
                let credit: Credit = Arc::new(place);
                Poll::Ready(Some(Ok(TaskBuilder::new(job)
                    .task_id(id)
                    .data(credit)
                    .build())))
            }
            // The reader ended; the worker ends when it is told to, not by running dry.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Result<(), Self::Error>> {
        if self.closing.is_none() {
            self.closing = Some(self.hand_back_rest());
        }
        match &mut self.closing {
            Some(closing) => closing.poll_unpin(cx).map(Ok),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl BackendConfig for StreamBackend {
    type Args = Arc<Job>;
    type Id = String;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = SettleLayer;

    fn config(&self) -> &Self::Config {
        &()
    }

    fn middleware(&mut self, _worker: &mut WorkerContext) -> Self::Layer {
        SettleLayer::new(self.deps.clone())
    }
}

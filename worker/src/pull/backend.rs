//! The apalis backend: hands the reader's jobs to the apalis worker.
//!
//! It never fails and never ends by itself: the reader handles failures of Redis, and the stages handle bad
//! messages. Neither may end a worker that has jobs in flight.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context as PollContext, Poll},
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tower::layer::util::Identity;

use super::return_entry;
use crate::{context::Context, job::Job};

/// The slot of a job in flight, free again when the job is settled.
pub(crate) type Slot = Arc<OwnedSemaphorePermit>;

/// Jobs as the reader sends them.
pub(crate) type JobReceiver = mpsc::UnboundedReceiver<(Arc<Job>, OwnedSemaphorePermit)>;

/// The pulled jobs as apalis sees them.
pub(crate) struct StreamBackend {
    context: Arc<Context>,
    jobs: JobReceiver,
    closing: Option<BoxFuture<'static, ()>>,
}

impl StreamBackend {
    pub(crate) fn new(context: Arc<Context>, jobs: JobReceiver) -> Self {
        Self {
            context,
            jobs,
            closing: None,
        }
    }

    /// Hands back the jobs that were pulled but not started.
    fn hand_back_rest(&mut self) -> BoxFuture<'static, ()> {
        self.jobs.close();
        let context = self.context.clone();
        let mut rest = Vec::new();
        while let Ok(job) = self.jobs.try_recv() {
            rest.push(job);
        }
        async move {
            for (job, slot) in rest {
                return_entry(&context, &job.delivery).await;
                context.in_flight.remove(&job);
                drop(slot);
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
        _cx: &mut PollContext<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut PollContext<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Self::Error>>> {
        match self.jobs.poll_recv(cx) {
            Poll::Ready(Some((job, slot))) => {
                let id = TaskId::String(job.delivery.entry_id.to_string());
                let slot: Slot = Arc::new(slot);
                Poll::Ready(Some(Ok(TaskBuilder::new(job)
                    .task_id(id)
                    .data(slot)
                    .build())))
            }
            // The reader ended. The worker still runs until its drain completes.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn poll_close(
        &mut self,
        cx: &mut PollContext<'_>,
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
    type Layer = Identity;

    fn config(&self) -> &Self::Config {
        &()
    }

    fn middleware(&mut self, _worker: &mut WorkerContext) -> Self::Layer {
        // All layers are in the builder's column in `worker.rs`.
        Identity::new()
    }
}

//! The tower layer that settles every job, whatever its run comes to.

use std::{
    sync::Arc,
    task::{Context as PollContext, Poll},
};

use apalis_core::{error::BoxDynError, task::Task};
use futures::{FutureExt as _, future::BoxFuture};
use longshore_protocol::{call::ErrorClass, state::AttemptOutcome};
use tower::{Layer, Service};

use super::settle;
use crate::{
    context::Context,
    disposition::{Discard, Disposition},
    job::Job,
    pull::backend::Slot,
    trace::StageSpan,
};

/// Settles the job with the disposition, the error or the panic of the service that it wraps. The job's slot
/// comes free after that.
#[derive(Clone)]
pub(crate) struct SettleLayer {
    context: Arc<Context>,
}

impl SettleLayer {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }
}

impl<S> Layer<S> for SettleLayer {
    type Service = SettleService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SettleService {
            inner,
            context: self.context.clone(),
        }
    }
}

/// The service of [`SettleLayer`].
#[derive(Clone)]
pub(crate) struct SettleService<S> {
    inner: S,
    context: Arc<Context>,
}

impl<S> Service<Task<Arc<Job>>> for SettleService<S>
where
    S: Service<Task<Arc<Job>>, Response = Disposition>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut PollContext<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Arc<Job>>) -> Self::Future {
        let context = self.context.clone();
        let job = task.args.clone();
        let slot = task.ctx().data().get::<Slot>().cloned();
        let run = self.inner.call(task);
        async move {
            let disposition = match run.await {
                Ok(disposition) => disposition,
                Err(error) => worker_failure(&job, &error.into(), &context),
            };
            // Boxed, so that a job in its call does not hold memory for the settle step.
            let settling = StageSpan::begin("settle", &job, &context);
            Box::pin(settle(&job, disposition, &context)).await;
            StageSpan::end(settling);
            context.in_flight.remove(&job);
            drop(slot);
            Ok(())
        }
        .boxed()
    }
}

/// The disposition of a job whose run panicked, or failed with an error of the worker itself.
fn worker_failure(job: &Job, error: &BoxDynError, context: &Context) -> Disposition {
    let message = format!("worker error while running job {}: {error}", job.id());
    tracing::error!(job_id = %job.id(), "job run failed in the worker: {error}; the job becomes a dead letter");
    let mut progress = job.progress();
    if let Some(attempt) = &mut progress.open_attempt {
        attempt.outcome = AttemptOutcome::Failed;
        attempt.error_class = Some(ErrorClass::Internal);
        attempt.error = Some(message.clone());
        attempt.finished_at = Some(context.clock.now());
    }
    Discard::new(ErrorClass::Internal.as_str(), message).into()
}

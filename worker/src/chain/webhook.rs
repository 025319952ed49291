//! Notifies the webhook of a chain that has ended. The notification is a job, but no model answers it: it
//! survives its worker, it is retried, and it becomes a dead letter if the webhook never accepts it.

use chrono::{DateTime, Utc};
use longshore_protocol::chain::StepRef;
use longshore_service::webhook::WebhookError;

use crate::{
    backoff::{WEBHOOK, retry_until_answered},
    context::Context,
    disposition::{Discard, Disposition, WaitsFor},
    job::Job,
};

/// Why it is given up.
const WEBHOOK_FAILED: &str = "webhook_failed";

/// The key under which the checkpoint counts its attempts.
const ATTEMPTS_KEY: &str = "webhook";

/// The most attempts. With the delays of [`WEBHOOK`], they take about an hour.
const MAX_ATTEMPTS: u32 = 13;

/// A notification to send.
pub(crate) struct Webhook {
    step: Box<StepRef>,
    address: String,
}

impl Webhook {
    /// The notification that the job is to send, if it is such a job.
    pub(crate) fn to_notify(job: &Job) -> Option<Self> {
        let progress = job.progress();
        let step = progress.checkpoint.step.as_ref()?;
        let address = step.webhook.clone()?;
        Some(Self {
            step: step.clone(),
            address,
        })
    }

    /// Sends the notification.
    pub(crate) async fn notify(&self, job: &Job, context: &Context) -> Disposition {
        let chain = &self.step.chain;
        let outcome = retry_until_answered("read chain outcome", || {
            context.broker.chains().outcome(chain)
        })
        .await;
        let ended_at = job.progress().checkpoint.enqueued_at;
        let id = format!("{chain}.{}", ended_at.timestamp_millis());
        let now = context.clock.now();
        let body = serde_json::json!({
            "type": "chain.ended",
            "timestamp": ended_at,
            "data": outcome,
        });
        let sent = match context.policy().config.webhooks.check(&self.address) {
            Ok(url) => {
                let body = body.to_string();
                context.webhooks.post(&url, &id, body.as_bytes(), now).await
            }
            Err(refusal) => Err(refusal.into()),
        };
        match sent {
            Ok(()) => Disposition::Done,
            Err(error) => after_failure(job, &error, now),
        }
    }
}

fn after_failure(job: &Job, error: &WebhookError, now: DateTime<Utc>) -> Disposition {
    let mut progress = job.progress();
    let checkpoint = &mut progress.checkpoint;
    let attempts = checkpoint.tries.entry(ATTEMPTS_KEY.to_owned()).or_default();
    *attempts += 1;
    if !error.is_retryable() || *attempts >= MAX_ATTEMPTS {
        let error = format!("webhook not notified after {attempts} attempts: {error}");
        return Discard::new(WEBHOOK_FAILED, error).into();
    }
    let delay = WEBHOOK.nth_delay(*attempts);
    tracing::warn!(job_id = %checkpoint.id, retry_in = ?delay, "webhook notification failed: {error}; retrying in {delay:?}");
    Disposition::Parked {
        due: now + delay,
        waits_for: WaitsFor::Retry,
    }
}

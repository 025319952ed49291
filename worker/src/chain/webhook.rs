//! The end of a chain, told to its producer's webhook. A job like any other, but that no model answers: it
//! survives its worker, it is tried again, and it is a dead letter when nobody takes it.

use std::time::Duration;

use longshore_protocol::chain::StepRef;
use longshore_service::webhook::WebhookError;

use crate::{
    deps::Deps,
    job::Job,
    patience::patiently,
    verdict::{Discard, Verdict, Wait},
};

/// Why it is given up.
const WEBHOOK_FAILED: &str = "webhook_failed";

/// Under which its tries are counted in the job's memory.
const TRIES: &str = "webhook";

/// Tries in all: with waits that double from 2 s to at most 10 minutes, about an hour.
const MOST_TRIES: u32 = 13;

/// The wait after the first.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The longest.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// Tells a webhook that the chain has ended.
pub(crate) async fn tell(job: &Job, step: &StepRef, address: &str, deps: &Deps) -> Verdict {
    let outcome = patiently("read a chain's outcome", || {
        deps.broker.chain_outcome(&step.chain)
    })
    .await;
    let since = job.progress().resume.enqueued_at;
    let id = format!("{}.{}", step.chain, since.timestamp_millis());
    let now = deps.clock.now();
    let body = serde_json::json!({
        "type": "chain.ended",
        "timestamp": since,
        "data": outcome,
    });
    let told = match deps.policy().config.webhooks.check(address) {
        Ok(url) => {
            let text = body.to_string();
            deps.webhooks.post(&url, &id, text.as_bytes(), now).await
        }
        Err(refusal) => Err(refusal.into()),
    };
    match told {
        Ok(()) => Verdict::Done,
        Err(error) => after(job, &error, now),
    }
}

fn after(job: &Job, error: &WebhookError, now: chrono::DateTime<chrono::Utc>) -> Verdict {
    let mut progress = job.progress();
    let tries = progress.resume.tries.entry(TRIES.to_owned()).or_default();
    *tries += 1;
    if !error.is_retryable() || *tries >= MOST_TRIES {
        let text = format!("the chain's webhook was not told, in {tries} tries: {error}");
        return Discard::new(WEBHOOK_FAILED, text).into();
    }
    let wait = FIRST_WAIT
        .saturating_mul(1 << (*tries - 1).min(16))
        .min(LONGEST_WAIT);
    tracing::warn!(job = %progress.resume.id, "{error}; again in {wait:?}");
    Verdict::Parked {
        due: now + wait,
        until: Wait::Retry,
    }
}

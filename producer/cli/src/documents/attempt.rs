//! An attempt as JSON.

use chrono::{DateTime, Utc};
use longshore_client::Usd;
use longshore_protocol::{
    call::ErrorClass,
    event::{AttemptRecord, DecisionRecord},
    id::{AttemptId, WorkerId},
    state::AttemptOutcome,
};
use serde::Serialize;

/// One call to a provider.
#[derive(Debug, Serialize)]
pub(crate) struct AttemptDocument<'a> {
    attempt_id: AttemptId,
    /// From 1.
    attempt: u32,
    worker: &'a WorkerId,
    platform: &'a str,
    model: &'a str,
    routing_reason: &'a str,
    decision: Option<&'a DecisionRecord>,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    outcome: AttemptOutcome,
    /// Whether another worker had the job, so that the attempt settled nothing.
    duplicate: bool,
    error_class: Option<ErrorClass>,
    error: Option<&'a str>,
    /// The HTTP status.
    status: Option<u16>,
    input_tokens: u64,
    output_tokens: u64,
    cached_tokens: u64,
    cache_write_tokens: u64,
    reasoning_tokens: u64,
    cost_usd: Option<Usd>,
    cost_estimated: bool,
    reserved_usd: Usd,
    reported_cost_usd: Option<Usd>,
    response_id: Option<&'a str>,
    traceparent: Option<&'a str>,
}

impl<'a> AttemptDocument<'a> {
    pub(crate) fn new(attempt: &'a AttemptRecord) -> Self {
        let usage = attempt.usage;
        Self {
            attempt_id: attempt.attempt_id,
            attempt: attempt.attempt,
            worker: &attempt.worker,
            platform: &attempt.platform,
            model: &attempt.model,
            routing_reason: &attempt.routing_reason,
            decision: attempt.decision.as_ref(),
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            outcome: attempt.outcome,
            duplicate: attempt.duplicate,
            error_class: attempt.error_class,
            error: attempt.error.as_deref(),
            status: attempt.status,
            input_tokens: usage.total_input(),
            output_tokens: usage.total_output(),
            cached_tokens: usage.cached,
            cache_write_tokens: usage.cache_write + usage.cache_write_1h,
            reasoning_tokens: usage.reasoning,
            cost_usd: attempt.cost_usd,
            cost_estimated: attempt.usage_estimated,
            reserved_usd: attempt.reserved_usd,
            reported_cost_usd: attempt.reported_cost_usd,
            response_id: attempt.response_id.as_deref(),
            traceparent: attempt.traceparent.as_deref(),
        }
    }
}

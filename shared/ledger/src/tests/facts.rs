//! Sample facts.

use chrono::{DateTime, Utc};
use longshore_protocol::{
    call::{ErrorClass, FinishReason, ToolCall, Usage},
    event::{
        AttemptRecord, DeadLetterRecord, DecisionRecord, DecisionStep, DropRecord, Event,
        JobLabels, JobRecord,
    },
    id::{AttemptId, EntryId, JobId, QueueName, WorkerId},
    state::{AttemptOutcome, JobState},
    tool_rounds::{ToolRecord, ToolsOutcome},
};
use serde_json::json;
use uuid::Uuid;

use crate::EventId;

pub(super) fn version(seq: u64) -> EventId {
    EventId {
        ms: 1_795_232_878_059,
        seq,
    }
}

pub(super) fn event(job: JobRecord) -> Event {
    Event {
        job: Some(Box::new(job)),
        ..Event::default()
    }
}

/// The start of the history plus `seconds`.
pub(super) fn time(seconds: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_232_878 + i64::try_from(seconds).unwrap(), 59_123_000).unwrap()
}

fn labels(id: &str) -> JobLabels {
    JobLabels {
        job_id: JobId::parse(id).unwrap(),
        queue: QueueName::default(),
        task_type: "research".to_owned(),
        tenant: Some("acme".to_owned()),
        chain_id: Some("ch".to_owned()),
        parent_id: None,
        step: Some("each/3".to_owned()),
    }
}

fn tools() -> ToolsOutcome {
    ToolsOutcome {
        rounds: 1,
        calls: vec![ToolRecord {
            round: 1,
            tool: "weather".to_owned(),
            arguments: r#"{"city":"Köln"}"#.to_owned(),
            ok: false,
            error: Some("no such city".to_owned()),
            duration_ms: 3,
            interrupted: true,
        }],
        left_out: 2,
    }
}

/// A job as of second `n`.
pub(super) fn job(id: &str, n: u64, state: JobState) -> JobRecord {
    JobRecord {
        labels: labels(id),
        state,
        enqueued_at: time(n),
        started_at: Some(time(n + 1)),
        finished_at: state.is_final().then(|| time(n + 2)),
        due_at: None,
        platform: Some("openai".to_owned()),
        model: Some("small".to_owned()),
        attempts: 1,
        prompt_head: format!("prompt {n} ✓"),
        output: Some("blue".to_owned()),
        tool_calls: vec![ToolCall::new("call_1", "weather", r#"{"city":"Köln"}"#)],
        finish_reason: Some(FinishReason::ToolCalls),
        error: None,
        error_class: Some("poison".to_owned()),
        metadata: json!({"n": n, "deep": [1.5, {"x": null}]})
            .as_object()
            .cloned(),
        warnings: vec![format!("unknown field `x{n}`")],
        traceparent: Some("00-0-0-00".to_owned()),
        tools: Some(Box::new(tools())),
    }
}

/// Attempt `n` of a job. The cost of a lost attempt is unknown, that of any other is a millionth of a dollar.
pub(super) fn attempt(id: &str, n: u32, outcome: AttemptOutcome) -> AttemptRecord {
    let lost = outcome == AttemptOutcome::Lost;
    AttemptRecord {
        attempt_id: AttemptId(Uuid::from_u128(u128::from(n))),
        labels: Some(labels(id)),
        attempt: n,
        worker: WorkerId::from_stored("host-1"),
        platform: "openai".to_owned(),
        model: "small".to_owned(),
        routing_reason: "cheapest".to_owned(),
        decision: Some(DecisionRecord {
            steps: vec![DecisionStep {
                step: "hint".to_owned(),
                outcome: "openai is first".to_owned(),
            }],
            skipped: Vec::new(),
        }),
        started_at: time(n.into()),
        finished_at: (!lost).then(|| time(u64::from(n) + 1)),
        outcome,
        duplicate: false,
        error_class: (outcome == AttemptOutcome::Failed).then_some(ErrorClass::RateLimited),
        error: None,
        status: Some(529),
        usage: Usage {
            input: 1,
            cached: 2,
            cache_write: 3,
            cache_write_1h: 4,
            output: 5,
            reasoning: 6,
            ..Usage::default()
        },
        usage_estimated: lost,
        cost_usd: (!lost).then(|| "0.000001".parse().unwrap()),
        reserved_usd: "0.25".parse().unwrap(),
        reported_cost_usd: None,
        tokens_estimated: Some(77),
        response_id: Some("r".to_owned()),
        traceparent: None,
    }
}

pub(super) fn dead(id: &str) -> DeadLetterRecord {
    DeadLetterRecord {
        id: JobId::parse(id).unwrap(),
        entry_id: EntryId::from_stored("1-1"),
        queue: QueueName::default(),
        reason: "exhausted".to_owned(),
        error: "All platforms failed.".to_owned(),
        at: time(9),
        task_type: Some("research".to_owned()),
        platform: None,
        tenant: Some("acme".to_owned()),
        chain_id: None,
        attempts: 4,
    }
}

pub(super) fn dropped(entry_id: &str, id: &str) -> DropRecord {
    DropRecord {
        entry_id: EntryId::from_stored(entry_id),
        job_id: JobId::parse(id).unwrap(),
        at: time(5),
    }
}

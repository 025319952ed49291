use chrono::DateTime;
use longshore_client::{EntryId, Location, QueueName};
use longshore_ledger::{DeadLetterRow, JobHistory, JobRow};
use longshore_protocol::event::DeadLetterResolution;
use serde_json::json;

use super::*;
use crate::commands::jobs::details::JobDetails;

/// 2026-11-21T03:47:58.059Z.
const BEGUN: i64 = 1_795_232_878_059;

fn at(ms: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp_millis(BEGUN + ms).unwrap()
}

/// A job that failed on one platform, became a dead letter, was replayed, and completed on another.
pub(in crate::commands) fn example_job(id: &str, step: Option<&str>) -> JobDetails {
    let labels = json!({
        "job_id": id, "queue": "bulk", "task_type": "research", "tenant": "acme *corp*",
        "chain_id": step.map(|_| "report-7"), "step": step,
    });
    let job = json!({
        "labels": labels, "state": "completed", "enqueued_ms": BEGUN, "started_ms": BEGUN + 40,
        "finished_ms": BEGUN + 9_500, "platform": "openai", "model": "gpt-4o-mini", "attempts": 2,
        "prompt_head": "Name a capital.\n```\n# not a heading\n```", "output": "Berlin\n\n## still the answer",
        "finish_reason": "stop", "warnings": ["`top_k` is left out: <openai> does not take it"],
        "metadata": {"of": "tests"},
    });
    let attempt = |number: u32, rest: serde_json::Value| {
        let mut attempt = json!({
            "attempt_id": format!("019e0000-0000-7000-8000-00000000000{number}"), "attempt": number, "worker": "w-1",
            "usage": {"input": 10, "output": 5}, "reserved_usd": "0.25",
        });
        let members = attempt.as_object_mut().unwrap();
        members.extend(rest.as_object().unwrap().clone());
        serde_json::from_value(attempt).unwrap()
    };
    let history = vec![
        attempt(
            1,
            json!({
                "platform": "gemini", "model": "gemini_2.5", "routing_reason": "first of tier standard",
                "started_ms": BEGUN + 40, "finished_ms": BEGUN + 681, "outcome": "failed",
                "error_class": "overloaded", "status": 503, "error": "try later\n````\u{1b}[31m",
                "decision": {
                    "steps": [{"step": "tier", "outcome": "standard, for its risk"}],
                    "skipped": [{"platform": "xai", "model": "grok-4", "why": "its circuit is open"}],
                },
            }),
        ),
        attempt(
            2,
            json!({
                "platform": "openai", "model": "gpt-4o-mini", "routing_reason": "second of tier standard",
                "started_ms": BEGUN + 8_400, "finished_ms": BEGUN + 9_490, "outcome": "completed",
                "cost_usd": "0.0012", "usage_estimated": true,
            }),
        ),
    ];
    let dead = json!({
        "id": id, "place": "bulk:1795232878059-0", "queue": "bulk", "reason": "exhausted",
        "error": "All platforms failed.", "at": at(690), "attempts": 1,
    });
    let record = JobHistory {
        row: JobRow {
            job: serde_json::from_value(job).unwrap(),
            cost_usd: "0.0012".parse().unwrap(),
        },
        history,
        dead_letters: vec![DeadLetterRow {
            dead: serde_json::from_value(dead).unwrap(),
            letter: None,
            archived_at: None,
            resolution: Some(DeadLetterResolution::Replayed),
            gone_at: Some(at(8_000)),
        }],
        dropped: vec![
            serde_json::from_value(
                json!({"place": "bulk:1795232878100-0", "job_id": id, "at": at(41)}),
            )
            .unwrap(),
        ],
    };
    JobDetails {
        id: JobId::parse(id).unwrap(),
        now: Location::Ended,
        why: "not waiting: completed".to_owned(),
        outcome: None,
        record: Some(record),
        record_error: None,
        found: None,
        envelope: None,
    }
}

#[test]
fn the_log_of_a_replayed_job() {
    insta::assert_snapshot!(job_section(&example_job("inv-42", None), 1, at(60_000)));
}

#[test]
fn a_job_without_postgres_says_so() {
    let mut details = example_job("inv-42", None);
    details.now = Location::Available {
        queue: QueueName::default(),
        entry_id: EntryId::parse("1795232878059-0").unwrap(),
        handed_back: false,
    };
    details.why = "available: next in queue default".to_owned();
    details.record = None;
    details.record_error = Some("connection refused".to_owned());
    insta::assert_snapshot!(job_section(&details, 1, at(60_000)));
}

#[test]
fn events_have_the_wait_before_each_attempt() {
    let details = example_job("inv-42", None);
    let document = serde_json::to_value(LogDocument::new(&details)).unwrap();
    let events = document["events"].as_array().unwrap();
    let seen: Vec<(&str, Option<u64>)> = events
        .iter()
        .map(|event| {
            (
                event["event"].as_str().unwrap(),
                event["waited_ms"].as_u64(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("enqueued", None),
            ("attempt", Some(40)),
            ("duplicate_dropped", None),
            ("dead_letter", None),
            ("dead_letter_replayed", None),
            ("attempt", Some(400)),
            ("ended", None),
        ]
    );
}

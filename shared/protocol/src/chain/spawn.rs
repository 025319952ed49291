//! Jobs from a model's answer: the model plans, and Longshore runs the plan.

use serde_json::{Map, Value};

use super::template::json_of;
use crate::{
    call::{ChatMessage, ImageSource, Part},
    envelope::{MessageLimits, RawMessage, parse},
};

/// The most jobs that one answer may spawn.
pub const MAX_SPAWNED: usize = 1_000;

/// Fields that a model may not set: who pays, who gets the outcome, and which jobs are duplicates.
const NOT_FOR_MODELS: &[&str] = &[
    "id",
    "chain_id",
    "parent_id",
    "tenant",
    "reply",
    "keep_result",
    "spawn",
    "unique_key",
    "unique_for",
    "concurrency_key",
    "concurrency_limit",
    "max_cost_usd",
    "metadata",
    "traceparent",
    "provider_options",
    "recipe",
    "parameters",
    "repeat",
];

/// Parses the jobs of an answer: a JSON list of prompts or of objects with the fields of a job. An
/// error names the job and the reason.
pub fn spawned(answer: &str, limits: &MessageLimits) -> Result<Vec<Map<String, Value>>, String> {
    let value = json_of(answer).map_err(|error| format!("it is not JSON: {error}"))?;
    let Value::Array(jobs) = value else {
        return Err("it is not a JSON list of jobs".to_owned());
    };
    if jobs.len() > MAX_SPAWNED {
        let count = jobs.len();
        return Err(format!(
            "it has {count} jobs; at most {MAX_SPAWNED} are allowed"
        ));
    }
    let numbered = (1..).zip(jobs);
    let checked = numbered
        .map(|(number, job)| one(job, limits).map_err(|wrong| format!("job {number}: {wrong}")));
    checked.collect()
}

fn one(job: Value, limits: &MessageLimits) -> Result<Map<String, Value>, String> {
    let job = match job {
        Value::String(prompt) => Map::from_iter([("prompt".to_owned(), Value::String(prompt))]),
        Value::Object(job) => job,
        _ => return Err("expected a prompt, or an object with the fields of a job".to_owned()),
    };
    if let Some(field) = NOT_FOR_MODELS
        .iter()
        .find(|field| job.contains_key(**field))
    {
        return Err(format!("field `{field}` is not for a model to decide"));
    }
    let text = Value::Object(job.clone()).to_string();
    let message = RawMessage {
        fields: vec![(b"job".to_vec(), text.into_bytes())],
    };
    let parsed = parse(&message, limits).map_err(|wrong| wrong.to_string())?;
    // Whoever serves an address reads what the model writes into it.
    let is_address = |part: &Part| {
        matches!(
            part,
            Part::Image {
                source: ImageSource::Url(_),
                ..
            }
        )
    };
    let mut parts = parsed.envelope.messages.iter().flat_map(ChatMessage::parts);
    if parts.any(is_address) {
        return Err("the address of an image is not for a model to decide".to_owned());
    }
    Ok(job)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<usize, String> {
        spawned(answer, &MessageLimits::default()).map(|jobs| jobs.len())
    }

    #[test]
    fn an_answer_is_a_list_of_jobs() {
        assert_eq!(
            read(r#"["one", {"prompt": "two", "type": "research"}]"#),
            Ok(2)
        );
        assert_eq!(read("Here you are:\n```json\n[\"one\"]\n```\n"), Ok(1));
        assert_eq!(read("[]"), Ok(0));
    }

    #[test]
    fn what_is_none_says_why() {
        for (answer, expected) in [
            (
                "nothing",
                "it is not JSON: expected ident at line 1 column 2",
            ),
            ("{}", "it is not a JSON list of jobs"),
            (
                "[1]",
                "job 1: expected a prompt, or an object with the fields of a job",
            ),
            (
                r#"["x", {"prompt": "x", "tenant": "other"}]"#,
                "job 2: field `tenant` is not for a model to decide",
            ),
            (
                r#"[{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://evil.example/?secret"}}]}]}]"#,
                "job 1: the address of an image is not for a model to decide",
            ),
        ] {
            assert_eq!(read(answer).unwrap_err(), expected);
        }
        let many = serde_json::to_string(&vec!["x"; MAX_SPAWNED + 1]).unwrap();
        assert!(read(&many).unwrap_err().starts_with("it has 1001 jobs"));
        assert!(
            read(r#"[{"type": "research"}]"#)
                .unwrap_err()
                .contains("prompt")
        );
    }
}

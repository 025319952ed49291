//! A job's record out of what Redis knows of it.

use longshore_shared::{
    envelope::Envelope,
    event::{JobLabels, JobRecord},
    id::QueueName,
    resume::Resume,
    state::JobState,
};
use serde::Serialize;
use serde_json::Value;

/// A job that has not ended, in the words of the record.
pub(crate) fn of_redis(
    envelope: Option<&Envelope>,
    queue: QueueName,
    state: JobState,
    resume: &Resume,
) -> JobRecord {
    let past = resume.history.last();
    JobRecord {
        labels: JobLabels::new(
            envelope
                .and_then(|envelope| envelope.id.clone())
                .unwrap_or_else(|| resume.id.clone()),
            queue,
            envelope,
        ),
        state,
        enqueued_at: resume.enqueued_at,
        started_at: resume.started_at,
        finished_at: None,
        due_at: None,
        platform: past.map(|past| past.platform.clone()),
        model: past.map(|past| past.model.clone()),
        attempts: resume.attempts,
        prompt_head: envelope.map(Envelope::prompt_head).unwrap_or_default(),
        output: None,
        finish_reason: None,
        error: past.map(|past| past.error.clone()),
        error_class: past.map(|past| past.error_class.to_string()),
        metadata: envelope.and_then(|envelope| envelope.metadata.clone()),
        traceparent: envelope.and_then(|envelope| envelope.traceparent.clone()),
    }
}

/// A document for programs: what is recorded with everything of a job (`labels`) stands beside the rest.
pub(super) fn flat(document: &impl Serialize) -> Value {
    // Our own records always have a JSON form.
    let mut value = serde_json::to_value(document).unwrap_or_default();
    lift_labels(&mut value);
    value
}

fn lift_labels(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(lift_labels),
        Value::Object(fields) => {
            if let Some(Value::Object(labels)) = fields.remove("labels") {
                fields.extend(labels);
            }
            // What is the producer's own stays as it is.
            let ours = fields.iter_mut().filter(|(name, _)| *name != "metadata");
            ours.for_each(|(_, value)| lift_labels(value));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_stand_beside_the_rest_and_metadata_stays() {
        let record = json!([{"labels": {"job_id": "a"}, "state": "completed", "metadata": {"labels": {"b": 1}}}]);
        let expected =
            json!([{"job_id": "a", "state": "completed", "metadata": {"labels": {"b": 1}}}]);
        assert_eq!(flat(&record), expected);
    }
}

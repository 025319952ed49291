//! A job's record for programs.

use serde::Serialize;
use serde_json::Value;

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

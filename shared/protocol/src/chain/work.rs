//! The job of a step: what remains without the fields of the step, and what its texts read.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    StepName, Work,
    faults::{Faults, Location},
    template::{self, Uses},
};
use crate::envelope::{
    MessageLimits, RawMessage,
    fields::{self, Fields, Input},
    message, objects,
};

/// Fields of a job that a step gets from its chain.
const OF_THE_CHAIN: &[&str] = &["id", "chain_id", "parent_id", "reply"];

/// Reads the job of a step, `None` if it is invalid, and what its texts read.
pub(super) fn work(
    members: &mut Fields<'_>,
    location: &Location,
    limits: &MessageLimits,
    faults: &mut Faults,
) -> (Option<Work>, Vec<(String, Uses)>) {
    for name in OF_THE_CHAIN {
        if members.0.remove(name).is_some() {
            faults.add(
                location,
                format!("field `{name}`: comes from the chain: leave it out"),
            );
        }
    }
    let mut uses = Vec::new();
    let mut templated = false;
    for (field, text) in texts(members) {
        if !template::is_template(&text) {
            continue;
        }
        templated = true;
        match template::uses(&text) {
            Ok(found) => uses.push((field, found)),
            Err(wrong) => {
                for wrong in wrong {
                    faults.add(location, format!("{field}: {wrong}"));
                }
            }
        }
    }
    let job = json_of(members);
    let message = RawMessage {
        fields: vec![(b"job".to_vec(), job.clone().into_bytes())],
    };
    let parsed = match crate::envelope::parse_all(&message, limits) {
        Ok(parsed) => parsed,
        Err(wrong) => {
            for wrong in wrong {
                faults.add(location, wrong);
            }
            return (None, uses);
        }
    };
    let work = Work {
        job,
        templated,
        spawns: parsed.envelope.spawn,
        recipe: parsed.envelope.recipe,
        reads: Vec::new(),
        reads_recipe: false,
        reads_last: Vec::new(),
    };
    (Some(work), uses)
}

/// The job of a step that calls no model: of this type, with this text as its prompt, and without any field of a call.
/// `beside` says why a field cannot be there.
pub(super) fn work_without_call(
    (task_type, prompt): (&str, &str),
    members: &mut Fields<'_>,
    location: &Location,
    faults: &mut Faults,
    beside: impl Fn(&str) -> String,
) -> Option<Work> {
    let faults_before = faults.count();
    let metadata = faults.kept(location, members.take("metadata", objects::metadata));
    for (name, _) in members.0.iter() {
        faults.add(location, beside(name));
    }
    if faults.count() > faults_before {
        return None;
    }
    // A job that no model answers still needs a valid message.
    let mut job = Map::new();
    job.insert("type".to_owned(), task_type.into());
    job.insert("prompt".to_owned(), prompt.into());
    if let Some(metadata) = metadata {
        job.insert("metadata".to_owned(), Value::Object(metadata));
    }
    Some(Work {
        job: Value::Object(job).to_string(),
        templated: false,
        spawns: false,
        recipe: None,
        reads: Vec::new(),
        reads_recipe: false,
        reads_last: Vec::new(),
    })
}

/// The texts of a job that may be templates, each with its field for errors. The envelope parser
/// reports fields that cannot be read.
fn texts(members: &Fields<'_>) -> Vec<(String, String)> {
    let text = |name: &str| {
        let text = fields::any_text(*members.0.get(name)?).ok()?;
        Some((format!("field `{name}`"), text))
    };
    let messages = members.0.get("messages").copied();
    let messages = messages.and_then(|input| message::messages(input).ok());
    let messages = (1..).zip(messages.into_iter().flatten());
    let of_messages = messages.flat_map(|(number, message)| {
        let texts: Vec<String> = message.texts().map(str::to_owned).collect();
        let field = format!("field `messages`: message {number}");
        texts.into_iter().map(move |text| (field.clone(), text))
    });
    let own = ["system", "prompt"].into_iter().filter_map(text);
    own.chain(of_messages).chain(parameters(members)).collect()
}

/// The texts among the parameters of a recipe.
fn parameters(members: &Fields<'_>) -> Vec<(String, String)> {
    let given = match members.0.get("parameters") {
        Some(Input::Json(value)) => serde_json::from_str(value.get()).unwrap_or_default(),
        _ => Map::new(),
    };
    let texts = given
        .into_iter()
        .filter_map(|(name, value): (String, Value)| match value {
            Value::String(text) => Some((format!("field `parameters`: `{name}`"), text)),
            _ => None,
        });
    texts.collect()
}

/// The work with all that it reads, by its texts and expressions, and the step that it gathers.
pub(super) fn with_reads(work: Work, uses: &[(String, Uses)], gathered: Option<&StepName>) -> Work {
    let all = || uses.iter().map(|(_, uses)| uses);
    let steps: BTreeSet<_> = all().flat_map(Uses::steps).chain(gathered).collect();
    let last: BTreeSet<_> = all().flat_map(|uses| &uses.last).collect();
    let last: BTreeSet<_> = last.into_iter().map(|(step, _)| step).collect();
    Work {
        reads: steps.into_iter().cloned().collect(),
        reads_recipe: all().any(Uses::of_recipe),
        reads_last: last.into_iter().cloned().collect(),
        ..work
    }
}

/// What an expression reads; `None` if it is invalid.
pub(super) fn of_expression(
    field: &str,
    expression: &str,
    location: &Location,
    faults: &mut Faults,
) -> Option<(String, Uses)> {
    match template::uses_of_expression(expression) {
        Ok(found) => Some((format!("field `{field}`"), found)),
        Err(wrong) => {
            for wrong in wrong {
                faults.add(location, wrong);
            }
            None
        }
    }
}

/// The members as a JSON object, as the producer spelled them.
fn json_of(members: &Fields<'_>) -> String {
    let mut json = String::from("{");
    for (name, value) in members.0.iter() {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&Value::from(name).to_string());
        json.push(':');
        if let Input::Json(value) = value {
            json.push_str(value.get());
        }
    }
    json.push('}');
    json
}

//! The content hash of a message: equal content has an equal hash, whatever form it came in.
//!
//! Absent fields and fields with their default add nothing, so the hash of a message stays the same
//! when a later version adds fields.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value, json};
use sha2::{Digest, Sha256};

use super::{
    DEFAULT_TIMEOUT, DEFAULT_TYPE, Envelope, Limit, NotBefore, Retry, RoutingInputs,
    fields::{Fields, Input},
};
use crate::{
    call::{self, CallParams, Parameter},
    recipe::RecipeCall,
};

/// SHA-256 over the meaning of a message, not its spelling, as 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentHash(String);

impl ContentHash {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash of an envelope without its id, and of the unknown fields next to it.
    pub(super) fn from_envelope(envelope: &Envelope, unknown: &Fields<'_>) -> Self {
        let mut content = Content(Sha256::new());
        content.envelope(envelope);
        content.others(envelope, unknown);
        Self(format!("{:x}", content.0.finalize()))
    }
}

impl ContentHash {
    /// The hash of a JSON value, independent of spelling and order of members.
    pub(crate) fn from_json(value: &Value) -> Self {
        let mut content = Content(Sha256::new());
        content.json(value);
        Self(format!("{:x}", content.0.finalize()))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Feeds the canonical form into the hash: each name and value follows its length or count, so that two
/// different contents never produce the same bytes.
struct Content(Sha256);

impl Content {
    fn word(&mut self, word: &str) {
        self.0.update(format!("{}:", word.len()));
        self.0.update(word);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.word(name);
        self.0.update("s");
        self.word(value);
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn duration(&mut self, name: &str, value: Duration) {
        self.text(name, &value.as_nanos().to_string());
    }

    fn envelope(&mut self, envelope: &Envelope) {
        // Without `..`: whoever adds a field decides here how it counts.
        let Envelope {
            id: _,
            task_type,
            messages,
            system,
            platform,
            model,
            routing:
                RoutingInputs {
                    risk,
                    area,
                    complexity,
                },
            params,
            not_before,
            start_by,
            deadline,
            timeout,
            retry,
            fallback,
            max_cost,
            unique,
            concurrency,
            chain_id,
            parent_id,
            tenant,
            metadata,
            reply,
            keep_result,
            spawn,
            // The job is the same in whichever trace it is asked for.
            traceparent: _,
            recipe,
        } = envelope;
        if task_type != DEFAULT_TYPE {
            self.text("type", task_type);
        }
        for message in messages {
            self.text("role", message.role.as_str());
            match &message.content {
                call::Content::Text(text) => self.text("content", text),
                call::Content::Parts(parts) => {
                    self.word("content");
                    self.json(&json!(parts));
                }
            }
            self.object(&message.other_members());
        }
        for (name, value) in [
            ("system", system),
            ("platform", platform),
            ("model", model),
            ("risk", risk),
            ("area", area),
            ("complexity", complexity),
            ("chain_id", chain_id),
            ("parent_id", parent_id),
            ("tenant", tenant),
        ] {
            self.optional(name, value.as_deref());
        }
        self.first_params(params);
        match *not_before {
            Some(NotBefore::Delay(delay)) => self.duration("delay", delay),
            Some(NotBefore::At(at)) => self.text("run_at", &at.to_rfc3339()),
            None => {}
        }
        for (name, limit) in [("start_by", start_by), ("deadline", deadline)] {
            match *limit {
                Some(Limit::After(after)) => self.duration(name, after),
                Some(Limit::At(at)) => self.text(name, &at.to_rfc3339()),
                None => {}
            }
        }
        if *timeout != DEFAULT_TIMEOUT {
            self.duration("timeout", *timeout);
        }
        self.retry(retry.as_ref());
        if !fallback {
            self.text("fallback", "false");
        }
        if let Some(cost) = max_cost {
            self.text("max_cost_usd", &cost.to_string());
        }
        if let Some(unique) = unique {
            self.text("unique_key", &unique.key);
            self.duration("unique_for", unique.ttl);
        }
        if let Some(concurrency) = concurrency {
            self.text("concurrency_key", &concurrency.key);
            self.text("concurrency_limit", &concurrency.limit.to_string());
        }
        if let Some(metadata) = metadata {
            self.word("metadata");
            self.object(metadata);
        }
        if *spawn {
            self.text("spawn", "true");
        }
        // Whoever asks for it: the job is the same, and each reader gets a reply.
        if reply.is_some() {
            self.text("reply", "true");
        }
        if *keep_result {
            self.text("keep_result", "true");
        }
        if let Some(call) = recipe {
            self.recipe(call);
        }
    }

    fn recipe(&mut self, call: &RecipeCall) {
        self.text("recipe", call.name.as_str());
        self.word("parameters");
        self.object(&call.parameters);
        if let Some(repeat) = &call.repeat {
            self.text("repeat.until", &repeat.until);
            self.text("repeat.at_most", &repeat.at_most.to_string());
        }
    }

    /// The parameters of the first versions.
    fn first_params(&mut self, params: &CallParams) {
        if let Some(tokens) = params.max_tokens {
            self.text("max_tokens", &tokens.to_string());
        }
        if let Some(temperature) = params.temperature {
            self.text("temperature", &plain(temperature));
        }
        if let Some(format) = &params.response_format {
            self.word("response_format");
            self.json(format);
        }
    }

    /// The later parameters and the unknown fields, in alphabetical order. The parameters hash as they do for workers
    /// that do not know them, so that workers of two versions find the same duplicates.
    fn others(&mut self, envelope: &Envelope, unknown: &Fields<'_>) {
        let is_later = |parameter: Parameter| {
            !matches!(
                parameter,
                Parameter::MaxTokens | Parameter::Temperature | Parameter::ResponseFormat
            )
        };
        let later: BTreeMap<&str, Value> = envelope
            .params
            .values()
            .into_iter()
            .filter(|(parameter, _)| is_later(*parameter))
            .map(|(parameter, value)| (parameter.as_str(), value))
            .collect();
        let unknown: BTreeMap<&str, Input<'_>> = unknown
            .0
            .iter()
            .map(|(name, value)| (name, *value))
            .collect();
        let names: BTreeSet<&str> = later.keys().chain(unknown.keys()).copied().collect();
        for name in names {
            // A prefix, so that no unknown field hashes like a known one.
            self.0.update("?");
            match (later.get(name), unknown.get(name)) {
                (Some(value), _) => {
                    self.word(name);
                    self.json(value);
                }
                (None, Some(Input::Text(value))) => self.text(name, value),
                (None, Some(Input::Json(value))) => {
                    self.word(name);
                    match serde_json::from_str(value.get()) {
                        Ok(json) => self.json(&json),
                        Err(_) => self.word(value.get()),
                    }
                }
                (None, None) => {}
            }
        }
    }

    fn retry(&mut self, retry: Option<&Retry>) {
        match retry {
            Some(Retry::Policy(name)) => self.text("retry", name),
            Some(Retry::Custom {
                max_retries,
                base_delay,
                max_delay,
            }) => {
                self.word("retry");
                if let Some(retries) = max_retries {
                    self.text("retry.max_retries", &retries.to_string());
                }
                for (name, delay) in [
                    ("retry.base_delay", base_delay),
                    ("retry.max_delay", max_delay),
                ] {
                    if let Some(delay) = delay {
                        self.duration(name, *delay);
                    }
                }
            }
            None => {}
        }
    }

    /// The parser has limited the depth of the recursion.
    fn json(&mut self, value: &Value) {
        match value {
            Value::Null => self.0.update("n"),
            Value::Bool(true) => self.0.update("t"),
            Value::Bool(false) => self.0.update("f"),
            Value::Number(number) => {
                self.0.update("d");
                self.word(&number_text(number));
            }
            Value::String(text) => {
                self.0.update("s");
                self.word(text);
            }
            Value::Array(values) => {
                self.0.update(format!("a{}:", values.len()));
                for value in values {
                    self.json(value);
                }
            }
            Value::Object(members) => self.object(members),
        }
    }

    fn object(&mut self, members: &Map<String, Value>) {
        // Sorted here because any crate in the build can make the map keep insertion order (a Cargo
        // feature of `serde_json`).
        let mut members: Vec<_> = members.iter().collect();
        members.sort_unstable_by_key(|(name, _)| *name);
        self.0.update(format!("o{}:", members.len()));
        for (name, value) in members {
            self.word(name);
            self.json(value);
        }
    }
}

/// A number without regard to its spelling: 1, 1.0 and 1e0 are equal.
fn number_text(number: &Number) -> String {
    if number.is_f64() {
        number.as_f64().map_or_else(String::new, plain)
    } else {
        number.to_string()
    }
}

fn plain(number: f64) -> String {
    // Zero, because there are two: 0 and -0.
    if number == 0.0 {
        "0".to_owned()
    } else {
        number.to_string()
    }
}

//! A job as its producer writes it.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use longshore_protocol::{
    call::{ChatMessage, ReasoningEffort, ToolChoice},
    envelope::{
        AllMalformed, Envelope, Limit, Malformed, MalformedCode, MessageLimits, RawMessage, Retry,
        parse_all,
    },
    id::ReaderName,
    money::Usd,
    reply::ReplyTo,
};
use serde::{Deserialize, Serialize};
use serde_json::{
    Map, Number, Value, json,
    value::{RawValue, to_raw_value},
};

/// One job: the JSON form of a message (`docs/PROTOCOL.md`), field by field.
///
/// Values keep the digits and the order that the producer wrote. Nothing is checked before
/// [`Job::check`], which every enqueue calls.
///
/// ```
/// use std::time::Duration;
///
/// use longshore_client::{Job, MessageLimits};
///
/// let job = Job::prompt("Summarise the minutes.")
///     .id("minutes-42")
///     .system("Answer in three sentences.")
///     .timeout(Duration::from_secs(60));
/// let envelope = job.check(&MessageLimits::default())?;
/// assert_eq!(envelope.task_type, "code_generation");
/// # Ok::<(), longshore_client::Malformed>(())
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Job(BTreeMap<String, Box<RawValue>>);

macro_rules! text_setters {
    ($($(#[$doc:meta])* $setter:ident = $field:literal;)+) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $setter(self, value: impl Into<String>) -> Self {
            self.with($field, value.into())
        })+
    };
}

impl Job {
    /// A job with a single prompt.
    pub fn prompt(prompt: impl Into<String>) -> Self {
        Self(BTreeMap::new()).with("prompt", prompt.into())
    }

    /// A job that continues a conversation: pairs of role (`system`, `user`, `assistant`) and content.
    pub fn messages<R: Into<String>, C: Into<String>>(
        turns: impl IntoIterator<Item = (R, C)>,
    ) -> Self {
        let turns: Vec<Value> = turns
            .into_iter()
            .map(|(role, content)| json!({"role": role.into(), "content": content.into()}))
            .collect();
        Self(BTreeMap::new()).with("messages", turns)
    }

    /// A job that continues a conversation with parts, calls of tools or their results.
    pub fn conversation(messages: &[ChatMessage]) -> Self {
        Self(BTreeMap::new()).with("messages", json!(messages))
    }

    /// Parses and checks the JSON of a job.
    pub fn from_json(text: &str, limits: &MessageLimits) -> Result<Self, Malformed> {
        parse_all(&job_message(text), limits).map_err(|malformed| malformed.first)?;
        serde_json::from_str(text).map_err(|error| Malformed {
            code: MalformedCode::NotJson,
            field: None,
            message: error.to_string(),
            version: None,
        })
    }

    text_setters! {
        /// An id of your own: a job that is enqueued twice with it runs once.
        id = "id";
        /// The job's type, which routing rules and cost reports use. Default `code_generation`.
        task_type = "type";
        /// Instructions before the prompt.
        system = "system";
        /// The platform to try first.
        platform = "platform";
        /// The only model to use on its platform.
        model = "model";
        /// Routing input: how much harm a wrong answer does.
        risk = "risk";
        /// Routing input: the area that the job belongs to, such as `core`, `api` or `docs`.
        area = "area";
        /// Routing input: how hard the job is.
        complexity = "complexity";
        /// The chain that the job's cost counts for.
        chain_id = "chain_id";
        /// The job that this one came from.
        parent_id = "parent_id";
        /// The tenant that the job belongs to.
        tenant = "tenant";
        /// W3C trace context, continued by the worker.
        traceparent = "traceparent";
        /// The recipe that answers the job, instead of a single model.
        recipe = "recipe";
    }

    /// Values of the recipe's parameters; the others have their defaults.
    #[must_use]
    pub fn parameters(self, values: Map<String, Value>) -> Self {
        if values.is_empty() {
            return self;
        }
        self.with("parameters", Value::Object(values))
    }

    /// Runs the recipe in rounds until the expression holds, `at_most` times.
    #[must_use]
    pub fn repeat(self, until: impl Into<String>, at_most: u32) -> Self {
        let until = until.into();
        self.with("repeat", json!({"until": until, "at_most": at_most}))
    }

    /// The maximum number of tokens of an answer.
    #[must_use]
    pub fn max_tokens(self, tokens: u32) -> Self {
        self.with("max_tokens", tokens)
    }

    /// Sampling temperature, 0 to 2.
    #[must_use]
    pub fn temperature(self, temperature: f64) -> Self {
        self.number("temperature", temperature)
    }

    /// The format of the answer, in the form of OpenAI's `response_format`.
    #[must_use]
    pub fn response_format(self, format: Value) -> Self {
        self.with("response_format", format)
    }

    /// The share of probability that tokens are sampled from, 0 to 1.
    #[must_use]
    pub fn top_p(self, top_p: f64) -> Self {
        self.number("top_p", top_p)
    }

    /// The seed of sampling, for platforms that have one.
    #[must_use]
    pub fn seed(self, seed: i64) -> Self {
        self.with("seed", seed)
    }

    /// Texts at which the answer ends; at most 4.
    #[must_use]
    pub fn stop<S: Into<String>>(self, texts: impl IntoIterator<Item = S>) -> Self {
        let texts: Vec<String> = texts.into_iter().map(Into::into).collect();
        self.with("stop", texts)
    }

    /// How much less likely a token gets each time it appears, -2 to 2.
    #[must_use]
    pub fn frequency_penalty(self, penalty: f64) -> Self {
        self.number("frequency_penalty", penalty)
    }

    /// How much less likely a token gets once it has appeared, -2 to 2.
    #[must_use]
    pub fn presence_penalty(self, penalty: f64) -> Self {
        self.number("presence_penalty", penalty)
    }

    /// Asks for the probabilities of tokens, and of the `top` likeliest at each position.
    #[must_use]
    pub fn logprobs(self, top: u32) -> Self {
        let job = self.with("logprobs", true);
        if top == 0 {
            return job;
        }
        job.with("top_logprobs", top)
    }

    /// How much the model thinks before it answers.
    #[must_use]
    pub fn reasoning_effort(self, effort: ReasoningEffort) -> Self {
        self.with("reasoning_effort", effort.as_str())
    }

    /// The tools that the model may call, in the form of OpenAI's `tools`.
    #[must_use]
    pub fn tools(self, tools: impl IntoIterator<Item = Value>) -> Self {
        self.with("tools", tools.into_iter().collect::<Vec<_>>())
    }

    /// Which tools the model may or must call.
    #[must_use]
    pub fn tool_choice(self, choice: &ToolChoice) -> Self {
        self.with("tool_choice", json!(choice))
    }

    /// Whether the model may call several tools at once.
    #[must_use]
    pub fn parallel_tool_calls(self, parallel: bool) -> Self {
        self.with("parallel_tool_calls", parallel)
    }

    /// Members of the requests of platforms that have no field of their own, by platform.
    #[must_use]
    pub fn provider_options(self, options: Map<String, Value>) -> Self {
        self.with("provider_options", options)
    }

    /// The earliest start, counted from when Redis received the job.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.with("delay", to_seconds(delay))
    }

    /// The earliest start.
    #[must_use]
    pub fn run_at(self, at: DateTime<Utc>) -> Self {
        self.with("run_at", to_rfc3339(at))
    }

    /// The latest start; a job that has not started by then expires.
    #[must_use]
    pub fn start_by(self, limit: Limit) -> Self {
        self.with("start_by", to_time_or_seconds(limit))
    }

    /// The latest end, waiting and retries included.
    #[must_use]
    pub fn deadline(self, limit: Limit) -> Self {
        self.with("deadline", to_time_or_seconds(limit))
    }

    /// The time limit of one attempt. Default 300 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with("timeout", to_seconds(timeout))
    }

    /// How failed attempts are retried.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        match retry {
            Retry::Policy(name) => self.with("retry", name),
            Retry::Custom {
                max_retries,
                base_delay,
                max_delay,
            } => self.with(
                "retry",
                // A null counts as absent.
                json!({
                    "max_retries": max_retries,
                    "base_delay": base_delay.map(to_seconds),
                    "max_delay": max_delay.map(to_seconds),
                }),
            ),
        }
    }

    /// Whether other platforms may be tried. Default `true`.
    #[must_use]
    pub fn fallback(self, fallback: bool) -> Self {
        self.with("fallback", fallback)
    }

    /// The maximum cost of all attempts together.
    #[must_use]
    pub fn max_cost(self, cost: Usd) -> Self {
        self.with("max_cost_usd", cost.to_string())
    }

    /// Drops a second job that is enqueued with this key within `time`.
    #[must_use]
    pub fn unique(self, key: impl Into<String>, time: Duration) -> Self {
        self.with("unique_key", key.into())
            .with("unique_for", to_seconds(time))
    }

    /// The maximum number of jobs with this key in flight at once.
    #[must_use]
    pub fn concurrency(self, key: impl Into<String>, limit: u32) -> Self {
        self.with("concurrency_key", key.into())
            .with("concurrency_limit", limit)
    }

    /// Any object. It is returned with the outcome.
    #[must_use]
    pub fn metadata(self, metadata: Map<String, Value>) -> Self {
        self.with("metadata", metadata)
    }

    /// Whether the outcome is pushed to a waiting client. Default `false`. Includes
    /// [`keep_result`](Self::keep_result).
    #[must_use]
    pub fn reply(self, reply: bool) -> Self {
        self.with("reply", reply)
    }

    /// Pushes the outcome for this reader alone, who takes it with [`Client::take_reply`]. Includes
    /// [`keep_result`](Self::keep_result).
    ///
    /// [`Client::take_reply`]: crate::Client::take_reply
    #[must_use]
    pub fn reply_to(self, reader: &ReaderName) -> Self {
        self.with("reply", ReplyTo::Reader(reader.clone()).to_string())
    }

    /// Whether Redis keeps the outcome for as long as `retention.results` says (an hour). Default `false`: it can
    /// be read for a few minutes (`retention.unrequested_results`).
    #[must_use]
    pub fn keep_result(self, keep: bool) -> Self {
        self.with("keep_result", keep)
    }

    /// Any other field, such as one that only newer workers know.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        // Serializing a `Value` does not fail.
        if let Ok(raw) = to_raw_value(&value.into()) {
            self.0.insert(field.to_owned(), raw);
        }
        self
    }

    fn number(self, field: &str, number: f64) -> Self {
        // JSON has no infinite numbers or NaN; written as a string, they fail the check.
        let value = Number::from_f64(number)
            .map_or_else(|| Value::String(number.to_string()), Value::Number);
        self.with(field, value)
    }

    /// Whether a field has a value.
    pub fn has(&self, field: &str) -> bool {
        self.0.get(field).is_some_and(|value| value.get() != "null")
    }

    /// The job's own id, if it is a string.
    pub fn own_id(&self) -> Option<String> {
        serde_json::from_str(self.0.get("id")?.get()).ok()
    }

    /// The job's JSON, which is the message.
    pub fn to_json(&self) -> String {
        // Serializing a map of raw JSON does not fail; the check would reject empty text.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The job as a worker reads it, or its first fault.
    pub fn check(&self, limits: &MessageLimits) -> Result<Envelope, Malformed> {
        self.check_all(limits).map_err(|malformed| malformed.first)
    }

    /// The job as a worker reads it, or all of its faults.
    pub fn check_all(&self, limits: &MessageLimits) -> Result<Envelope, AllMalformed> {
        parse_all(&job_message(&self.to_json()), limits).map(|parsed| parsed.envelope)
    }
}

/// The stream entry of a job's JSON.
pub(crate) fn job_message(json: &str) -> RawMessage {
    RawMessage {
        fields: vec![(b"job".to_vec(), json.as_bytes().to_vec())],
    }
}

/// Seconds as a number, an integer if whole.
fn to_seconds(duration: Duration) -> Value {
    if duration.subsec_nanos() == 0 {
        Value::from(duration.as_secs())
    } else {
        Value::from(duration.as_secs_f64())
    }
}

fn to_rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn to_time_or_seconds(limit: Limit) -> Value {
    match limit {
        Limit::After(after) => to_seconds(after),
        Limit::At(at) => Value::String(to_rfc3339(at)),
    }
}

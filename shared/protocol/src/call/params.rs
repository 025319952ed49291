//! The parameters of a call: what a job asks of the model besides its prompt.

use serde_json::{Map, Value, json};

use super::{
    message::{ChatMessage, Part},
    tools::{Tool, ToolChoice},
};
use crate::platform::PlatformName;

/// What a job asks of every call besides its prompt.
///
/// Whoever adds a field names it in [`Parameter`] and [`CallParams::values`]; the compiler then asks each service
/// whether it takes it, and a test asks each dialect.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallParams {
    /// The most tokens that the answer may have.
    pub max_tokens: Option<u32>,
    /// Sampling temperature.
    pub temperature: Option<f64>,
    /// The format of the answer, as in OpenAI's `response_format`.
    pub response_format: Option<Value>,
    /// The share of probability that tokens are sampled from.
    pub top_p: Option<f64>,
    /// The seed of sampling.
    pub seed: Option<i64>,
    /// Texts at which the answer ends.
    pub stop: Vec<String>,
    pub frequency_penalty: Option<f64>,
    pub presence_penalty: Option<f64>,
    /// Whether the probabilities of tokens are returned.
    pub logprobs: Option<bool>,
    /// How many of the likeliest tokens are returned at each position.
    pub top_logprobs: Option<u32>,
    pub reasoning_effort: Option<ReasoningEffort>,
    /// The tools that the model may call.
    pub tools: Vec<Tool>,
    pub tool_choice: Option<ToolChoice>,
    /// Whether the model may call several tools at once.
    pub parallel_tool_calls: Option<bool>,
    /// Members of a platform's request that have no name here, by platform.
    pub provider_options: Map<String, Value>,
}

string_enum! {
    /// How much a model thinks before it answers.
    ReasoningEffort {
        None = "none",
        Minimal = "minimal",
        Low = "low",
        Medium = "medium",
        High = "high",
        XHigh = "xhigh",
    }
}

string_enum! {
    /// What a job can ask of a call that not every platform can do.
    Parameter {
        MaxTokens = "max_tokens",
        Temperature = "temperature",
        ResponseFormat = "response_format",
        TopP = "top_p",
        Seed = "seed",
        Stop = "stop",
        FrequencyPenalty = "frequency_penalty",
        PresencePenalty = "presence_penalty",
        Logprobs = "logprobs",
        TopLogprobs = "top_logprobs",
        ReasoningEffort = "reasoning_effort",
        Tools = "tools",
        ToolChoice = "tool_choice",
        ParallelToolCalls = "parallel_tool_calls",
        ProviderOptions = "provider_options",
        /// Messages with calls of tools, and with their results.
        ToolCalls = "tool_calls",
        /// Images in messages.
        Images = "image_url",
        /// Files in messages.
        Files = "file",
        /// Sound in messages.
        Audio = "input_audio",
        /// `strict` of a tool.
        StrictTools = "strict",
        /// `detail` of an image.
        ImageDetail = "detail",
        /// Members of messages that the protocol does not know.
        MessageFields = "other fields of messages",
    }
}

impl CallParams {
    /// The parameters that are set, with their values as in a message.
    pub fn values(&self) -> Vec<(Parameter, Value)> {
        // Without `..`: whoever adds a parameter names it here.
        let Self {
            max_tokens,
            temperature,
            response_format,
            top_p,
            seed,
            stop,
            frequency_penalty,
            presence_penalty,
            logprobs,
            top_logprobs,
            reasoning_effort,
            tools,
            tool_choice,
            parallel_tool_calls,
            provider_options,
        } = self;
        let stop = match stop.as_slice() {
            [] => None,
            [only] => Some(json!(only)),
            several => Some(json!(several)),
        };
        let all = [
            (Parameter::MaxTokens, max_tokens.map(Value::from)),
            (Parameter::Temperature, temperature.map(Value::from)),
            (Parameter::ResponseFormat, response_format.clone()),
            (Parameter::TopP, top_p.map(Value::from)),
            (Parameter::Seed, seed.map(Value::from)),
            (Parameter::Stop, stop),
            (
                Parameter::FrequencyPenalty,
                frequency_penalty.map(Value::from),
            ),
            (
                Parameter::PresencePenalty,
                presence_penalty.map(Value::from),
            ),
            (Parameter::Logprobs, logprobs.map(Value::from)),
            (Parameter::TopLogprobs, top_logprobs.map(Value::from)),
            (
                Parameter::ReasoningEffort,
                reasoning_effort.map(|effort| json!(effort)),
            ),
            (Parameter::Tools, (!tools.is_empty()).then(|| json!(tools))),
            (
                Parameter::ToolChoice,
                tool_choice.as_ref().map(|choice| json!(choice)),
            ),
            (
                Parameter::ParallelToolCalls,
                parallel_tool_calls.map(Value::from),
            ),
            (
                Parameter::ProviderOptions,
                (!provider_options.is_empty()).then(|| json!(provider_options)),
            ),
        ];
        let given = |(parameter, value): (Parameter, Option<Value>)| Some((parameter, value?));
        all.into_iter().filter_map(given).collect()
    }

    /// The options for a platform.
    pub fn options_for(&self, platform: &PlatformName) -> Option<&Map<String, Value>> {
        self.provider_options.get(platform.as_str())?.as_object()
    }

    /// The schema in a `response_format` of type `json_schema`.
    pub fn json_schema(&self) -> Option<&Value> {
        self.response_format
            .as_ref()?
            .pointer("/json_schema/schema")
    }

    /// The type of `response_format`.
    pub fn format_type(&self) -> Option<&str> {
        self.response_format.as_ref()?.get("type")?.as_str()
    }
}

/// Removes parameters from a call.
pub fn leave_out(
    params: &mut CallParams,
    messages: &mut [ChatMessage],
    parameters: impl IntoIterator<Item = Parameter>,
) {
    fn clear<T: Default>(value: &mut T) {
        *value = T::default();
    }
    for parameter in parameters {
        match parameter {
            Parameter::MaxTokens => clear(&mut params.max_tokens),
            Parameter::Temperature => clear(&mut params.temperature),
            Parameter::ResponseFormat => clear(&mut params.response_format),
            Parameter::TopP => clear(&mut params.top_p),
            Parameter::Seed => clear(&mut params.seed),
            Parameter::Stop => clear(&mut params.stop),
            Parameter::FrequencyPenalty => clear(&mut params.frequency_penalty),
            Parameter::PresencePenalty => clear(&mut params.presence_penalty),
            Parameter::Logprobs => clear(&mut params.logprobs),
            Parameter::TopLogprobs => clear(&mut params.top_logprobs),
            Parameter::ReasoningEffort => clear(&mut params.reasoning_effort),
            Parameter::Tools => clear(&mut params.tools),
            Parameter::ToolChoice => clear(&mut params.tool_choice),
            Parameter::ParallelToolCalls => clear(&mut params.parallel_tool_calls),
            Parameter::ProviderOptions => params.provider_options.clear(),
            Parameter::StrictTools => {
                for tool in &mut params.tools {
                    tool.strict = None;
                }
            }
            Parameter::ImageDetail => {
                for part in messages.iter_mut().flat_map(ChatMessage::parts_mut) {
                    if let Part::Image { detail, .. } = part {
                        *detail = None;
                    }
                }
            }
            Parameter::MessageFields => {
                for message in &mut *messages {
                    message.extra.clear();
                }
            }
            // What messages are made of is never left out: routing finds another platform.
            Parameter::ToolCalls | Parameter::Images | Parameter::Files | Parameter::Audio => {}
        }
    }
}

/// Everything that a call asks for beyond text.
pub fn asked_for(params: &CallParams, messages: &[ChatMessage]) -> Vec<Parameter> {
    let mut asked: Vec<Parameter> = params.values().into_iter().map(|(one, _)| one).collect();
    let parts = || messages.iter().flat_map(ChatMessage::parts);
    let in_messages = [
        (
            Parameter::ToolCalls,
            messages
                .iter()
                .any(|one| one.role == super::Role::Tool || !one.tool_calls.is_empty()),
        ),
        (
            Parameter::Images,
            parts().any(|part| matches!(part, Part::Image { .. })),
        ),
        (
            Parameter::Files,
            parts().any(|part| matches!(part, Part::File { .. })),
        ),
        (
            Parameter::Audio,
            parts().any(|part| matches!(part, Part::Audio { .. })),
        ),
        (
            Parameter::StrictTools,
            params.tools.iter().any(|tool| tool.strict == Some(true)),
        ),
        (
            Parameter::ImageDetail,
            parts().any(
                |part| matches!(part, Part::Image { detail: Some(detail), .. } if detail != "auto"),
            ),
        ),
        (
            Parameter::MessageFields,
            messages.iter().any(|one| !one.extra.is_empty()),
        ),
    ];
    asked.extend(
        in_messages
            .into_iter()
            .filter(|(_, is_there)| *is_there)
            .map(|(one, _)| one),
    );
    asked
}

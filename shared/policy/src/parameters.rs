//! Which platform takes which parameter of a call, and what happens to a job whose platform does not take one:
//! routing goes without that platform, or, if the parameter is a hint, the call goes without the parameter and the
//! outcome has a warning. `docs/PROTOCOL.md` has the table.

use std::fmt;

use longshore_protocol::{
    call::{
        CallParams, ChatMessage, ImageSource, Parameter, Part, ReasoningEffort, ToolChoice,
        asked_for,
    },
    envelope::Envelope,
    platform::Capability,
};

use crate::catalog::{Catalog, ModelEntry, ProviderEntry, Service};

/// What a job asks of a call beyond text.
#[derive(Debug)]
pub struct Asked<'a> {
    params: &'a CallParams,
    messages: &'a [ChatMessage],
    all: Vec<Parameter>,
}

/// A parameter that a call goes without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub parameter: Parameter,
    why: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parameter {
            Parameter::MessageFields => write!(f, "{} were left out: {}", self.parameter, self.why),
            parameter => write!(f, "`{parameter}` was left out: {}", self.why),
        }
    }
}

/// Whether a parameter is a wish: a call may go without it.
pub fn is_hint(parameter: Parameter) -> bool {
    match parameter {
        // Of these two, only command-line tools take none.
        Parameter::MaxTokens
        | Parameter::Temperature
        | Parameter::Seed
        | Parameter::Logprobs
        | Parameter::TopLogprobs
        | Parameter::ReasoningEffort
        | Parameter::ParallelToolCalls
        | Parameter::StrictTools
        | Parameter::ImageDetail
        | Parameter::MessageFields => true,
        Parameter::ResponseFormat
        | Parameter::TopP
        | Parameter::Stop
        | Parameter::FrequencyPenalty
        | Parameter::PresencePenalty
        | Parameter::Tools
        | Parameter::ToolChoice
        | Parameter::ProviderOptions
        | Parameter::ToolCalls
        | Parameter::Images
        | Parameter::Files
        | Parameter::Audio => false,
    }
}

impl Service {
    /// Whether the requests of the service have a place for the parameter.
    pub fn takes(self, parameter: Parameter) -> bool {
        use Service as S;
        match parameter {
            // The prompt of a command-line tool describes the format.
            Parameter::ResponseFormat => true,
            Parameter::MaxTokens
            | Parameter::Temperature
            | Parameter::TopP
            | Parameter::Tools
            | Parameter::ToolChoice
            | Parameter::ToolCalls
            | Parameter::ProviderOptions => self != S::Cli,
            Parameter::Stop => !matches!(self, S::MiniMax | S::Cli),
            Parameter::Seed => matches!(
                self,
                S::OpenAi | S::Xai | S::OpenRouter | S::Other | S::Gemini | S::Ollama
            ),
            Parameter::FrequencyPenalty | Parameter::PresencePenalty => {
                !matches!(self, S::Anthropic | S::Zhipu | S::MiniMax | S::Cli)
            }
            Parameter::Logprobs | Parameter::TopLogprobs => !matches!(
                self,
                S::Anthropic | S::Moonshot | S::Zhipu | S::MiniMax | S::Cli
            ),
            Parameter::ReasoningEffort | Parameter::Images => !matches!(self, S::MiniMax | S::Cli),
            Parameter::ParallelToolCalls => matches!(
                self,
                S::OpenAi | S::Xai | S::OpenRouter | S::Other | S::Anthropic
            ),
            Parameter::Files => matches!(
                self,
                S::OpenAi | S::OpenRouter | S::Other | S::Anthropic | S::Gemini
            ),
            Parameter::Audio => {
                matches!(self, S::OpenAi | S::OpenRouter | S::Other | S::Gemini)
            }
            Parameter::StrictTools => !matches!(self, S::Gemini | S::Ollama | S::Cli),
            Parameter::ImageDetail => {
                matches!(self, S::OpenAi | S::Xai | S::OpenRouter | S::Other)
            }
            Parameter::MessageFields => !matches!(self, S::Anthropic | S::Gemini | S::Cli),
        }
    }
}

/// The feature that a model needs for a parameter.
fn feature(parameter: Parameter) -> Option<(Capability, &'static str)> {
    match parameter {
        Parameter::Tools | Parameter::ToolCalls => Some((Capability::Tools, "calls no tools")),
        Parameter::Images => Some((Capability::Vision, "reads no images")),
        Parameter::Audio => Some((Capability::Audio, "hears no sound")),
        Parameter::ReasoningEffort => {
            Some((Capability::Reasoning, "does not think before it answers"))
        }
        _ => None,
    }
}

impl<'a> Asked<'a> {
    /// What a job asks of a call with these messages.
    pub fn new(params: &'a CallParams, messages: &'a [ChatMessage]) -> Self {
        Self {
            params,
            messages,
            all: asked_for(params, messages),
        }
    }

    pub fn of(envelope: &'a Envelope) -> Self {
        Self::new(&envelope.params, &envelope.messages)
    }

    /// Why the platform cannot take the call with this model; `None` if it can.
    pub fn refused_by(&self, provider: &ProviderEntry, model: &ModelEntry) -> Option<String> {
        let binding = self.all.iter().copied().filter(|one| !is_hint(*one));
        let unable = binding.filter_map(|parameter| {
            let why = self.inability(parameter, provider, model)?;
            Some(format!("it does not take `{parameter}`: {why}"))
        });
        let unable: Vec<String> = unable.chain(self.out_of_bounds(provider)).collect();
        (!unable.is_empty()).then(|| unable.join("; "))
    }

    /// The hints that a call of this model goes without.
    pub fn left_out_by(&self, provider: &ProviderEntry, model: &ModelEntry) -> Vec<LeftOut> {
        let hints = self.all.iter().copied().filter(|one| is_hint(*one));
        let left_out = hints.filter_map(|parameter| {
            let why = self
                .inability(parameter, provider, model)
                .or_else(|| self.hindrance(parameter, provider, model))?;
            Some(LeftOut { parameter, why })
        });
        left_out.collect()
    }

    /// What is to be said of a call of this model that is made as it was asked for.
    pub fn remarks(&self, catalog: &Catalog) -> Vec<String> {
        let mut remarks = Vec::new();
        for platform in self.params.provider_options.keys() {
            if catalog
                .providers
                .iter()
                .all(|one| one.name.as_str() != platform)
            {
                remarks.push(format!(
                    "`provider_options.{platform}` has no effect: no platform has this name"
                ));
            }
        }
        if self.all.contains(&Parameter::Audio) {
            remarks.push("sound is booked at the price of text, which may differ".to_owned());
        }
        remarks
    }

    /// Why a parameter cannot be taken, whatever its value.
    fn inability(
        &self,
        parameter: Parameter,
        provider: &ProviderEntry,
        model: &ModelEntry,
    ) -> Option<String> {
        let platform = &provider.name;
        if parameter == Parameter::ProviderOptions && self.params.options_for(platform).is_none() {
            return None;
        }
        if !Service::of(provider).takes(parameter) {
            return Some(format!("platform {platform} has no such parameter"));
        }
        let can = |one| model.untold || model.capabilities.contains(&one);
        let lacks = |(capability, lack)| {
            (!can(capability)).then(|| format!("model {} {lack}", model.model))
        };
        if parameter == Parameter::Files {
            let is_pdf =
                |part: &Part| matches!(part, Part::File { data, .. } if is_pdf(&data.media_type));
            let has_pdf = self.parts().any(is_pdf);
            return lacks((Capability::Files, "reads no PDF files")).filter(|_| has_pdf);
        }
        feature(parameter).and_then(lacks)
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.messages.iter().flat_map(ChatMessage::parts)
    }

    /// Why the value of a binding parameter cannot be taken.
    fn out_of_bounds(&self, provider: &ProviderEntry) -> Option<String> {
        use Service as S;
        let service = Service::of(provider);
        let params = self.params;
        if let Some(temperature) = params.temperature
            && temperature > 1.0
            && matches!(service, S::Anthropic | S::Moonshot | S::Zhipu | S::MiniMax)
        {
            return Some(format!(
                "it takes a `temperature` of 1 at most, not {temperature}"
            ));
        }
        if params.stop.len() > 1 && service == S::Zhipu {
            return Some(format!(
                "it takes one text of `stop`, not {}",
                params.stop.len()
            ));
        }
        let blank = |text: &String| text.trim().is_empty();
        if service == S::Anthropic && params.stop.iter().any(blank) {
            return Some("it takes no `stop` of white space alone".to_owned());
        }
        let is_forced = params
            .tool_choice
            .as_ref()
            .is_some_and(ToolChoice::is_forced);
        if is_forced && matches!(service, S::Moonshot | S::Zhipu | S::MiniMax | S::Ollama) {
            return Some("it takes no `tool_choice` that forces a call".to_owned());
        }
        let is_linked = |part: &Part| {
            matches!(
                part,
                Part::Image {
                    source: ImageSource::Url(_),
                    ..
                }
            )
        };
        if matches!(service, S::Ollama | S::Moonshot) && self.parts().any(is_linked) {
            return Some("it takes `image_url` with data only, not with an address".to_owned());
        }
        if provider.local && self.parts().any(is_linked) {
            return Some(
                "it takes `image_url` with data only: a job chooses no address of this network"
                    .to_owned(),
            );
        }
        let is_other = |part: &Part| match part {
            Part::File { data, .. } => !is_pdf(&data.media_type) && data.media_type != "text/plain",
            _ => false,
        };
        (service == S::Anthropic && self.parts().any(is_other))
            .then(|| "it takes a `file` of application/pdf or text/plain only".to_owned())
    }

    /// Why the value of a hint cannot be taken.
    fn hindrance(
        &self,
        parameter: Parameter,
        provider: &ProviderEntry,
        model: &ModelEntry,
    ) -> Option<String> {
        let service = Service::of(provider);
        let platform = &provider.name;
        match parameter {
            Parameter::Seed if service == Service::Gemini => {
                let seed = self.params.seed?;
                i32::try_from(seed)
                    .err()
                    .map(|_| format!("platform {platform} takes one of 32 bits only"))
            }
            Parameter::TopLogprobs if service == Service::Xai => {
                let many = self.params.top_logprobs? > 8;
                many.then(|| format!("platform {platform} takes 8 at most"))
            }
            Parameter::ReasoningEffort if service == Service::Anthropic => self
                .hinders_thinking(model)
                .map(|what| format!("platform {platform} does not take it with {what}")),
            _ => None,
        }
    }

    /// What Anthropic does not take together with thinking.
    fn hinders_thinking(&self, model: &ModelEntry) -> Option<&'static str> {
        let params = self.params;
        if params.reasoning_effort == Some(ReasoningEffort::None) {
            return None;
        }
        if params
            .temperature
            .is_some_and(|temperature| temperature < 1.0)
        {
            return Some("`temperature`");
        }
        if params.top_p.is_some_and(|top_p| top_p < 0.95) {
            return Some("`top_p`");
        }
        if params
            .tool_choice
            .as_ref()
            .is_some_and(ToolChoice::is_forced)
        {
            return Some("a `tool_choice` that forces a call");
        }
        if !has_thinking_budget(&model.model) {
            return None;
        }
        if self.all.contains(&Parameter::ToolCalls) {
            return Some("earlier calls of tools");
        }
        let is_short = params
            .max_tokens
            .is_some_and(|most| most < 2 * LEAST_THINKING);
        is_short.then_some("so few `max_tokens`")
    }
}

/// The fewest tokens that Anthropic's older models think with.
pub const LEAST_THINKING: u32 = 1024;

/// Whether an Anthropic model takes a budget of thinking tokens; newer models take an effort instead.
pub fn has_thinking_budget(model: &str) -> bool {
    ["claude-3-7", "-4-0", "-4-1", "-4-2025", "-4-5"]
        .iter()
        .any(|part| model.contains(part))
}

fn is_pdf(media_type: &str) -> bool {
    media_type == "application/pdf"
}

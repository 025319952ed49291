//! Chat Completions, as OpenAI and most others speak it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use http::{HeaderName, header};
use longshore_protocol::{
    call::{Answer, Call, CallError, FinishReason, Usage},
    money::Usd,
};
use serde_json::{Value, json};

use super::{
    Dialect, Service, Verdict, answer, count, error, fields, quirks, refused, text, texts, unusable,
};

/// The dialect of OpenAI and of those who took it over.
#[derive(Debug, Clone, Copy)]
pub struct OpenAi(pub Service);

impl Dialect for OpenAi {
    fn path(&self, _model: &str) -> Cow<'static, str> {
        "/chat/completions".into()
    }

    fn key_header(&self) -> (HeaderName, &'static str) {
        (header::AUTHORIZATION, "Bearer ")
    }

    fn encode(&self, call: &Call) -> Value {
        let system = call.system.iter();
        let system = system.map(|text| json!({"role": "system", "content": text}));
        // OpenAI's newer models refuse `max_tokens`; many others know nothing else.
        let limit = match self.0 {
            Service::OpenAi => "max_completion_tokens",
            Service::Xai | Service::OpenRouter | Service::Other => "max_tokens",
        };
        let messages = system.chain(call.messages.iter().map(|message| json!(message)));
        Value::Object(fields([
            ("model", Some(json!(call.model))),
            ("messages", Some(messages.collect())),
            (limit, call.max_tokens.map(Value::from)),
            ("temperature", call.temperature.map(Value::from)),
            ("response_format", call.response_format.clone()),
        ]))
    }

    fn decode(&self, mut body: Value) -> Result<Answer, CallError> {
        quirks::check(&body)?;
        let usage = body
            .get("usage")
            .map(|usage| self.usage(usage))
            .unwrap_or_default();
        let Some(mut choice) = body.pointer_mut("/choices/0").map(Value::take) else {
            return unusable("the answer has no choices", usage);
        };
        // OpenRouter: the provider behind it failed in the middle.
        if error::is_error(&choice) {
            return Err(error::in_band(self, &choice, usage));
        }
        if let Some(refusal) = text(&choice, "/message/refusal") {
            return refused(refusal, usage);
        }
        let finish = match text(&choice, "/finish_reason").unwrap_or_default() {
            filter @ "content_filter" => return refused(filter, usage),
            "stop" => FinishReason::Stop,
            "length" => FinishReason::Length,
            "tool_calls" | "function_call" => FinishReason::ToolCalls,
            _ => FinishReason::Other,
        };
        let output = match choice.pointer_mut("/message/content").map(Value::take) {
            Some(Value::String(whole)) => whole,
            Some(Value::Array(parts)) => texts(&parts),
            _ => String::new(),
        };
        answer(&body, ("/model", "/id"), output, finish, usage)
    }

    fn reported_cost(&self, body: &[u8]) -> Option<Usd> {
        self.0.reported_cost(body)
    }

    fn classify(&self, status: u16, error: &Value, now: DateTime<Utc>) -> Option<Verdict> {
        quirks::zhipu(error, now)
            .or_else(|| quirks::google(status, error, now))
            .or_else(|| quirks::open_router(error, now))
    }
}

impl OpenAi {
    fn usage(self, usage: &Value) -> Usage {
        let [total, prompt, completion] =
            ["/total_tokens", "/prompt_tokens", "/completion_tokens"].map(|at| count(usage, at));
        let cached = quirks::cached(usage);
        let cache_write = count(usage, "/prompt_tokens_details/cache_write_tokens");
        let reasoning = count(usage, "/completion_tokens_details/reasoning_tokens");
        let beside = self.0.thinks_beside(total, prompt, completion, reasoning);
        Usage {
            input: prompt.saturating_sub(cached + cache_write),
            cached,
            cache_write,
            output: completion.saturating_sub(if beside { 0 } else { reasoning }),
            reasoning,
            ..Usage::default()
        }
    }
}

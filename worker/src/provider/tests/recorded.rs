//! Recorded error responses: each file in `recorded/` has those of one provider, and what they mean.

use std::{collections::HashMap, time::Duration};

use http::HeaderMap;
use longshore_policy::catalog::Service;
use longshore_protocol::call::{CallCost, ErrorClass, Remedy, ReportedLimit, ReportedLimits};
use serde::Deserialize;
use serde_json::Value;

use super::PROMPT;
use crate::provider::{
    anthropic::Anthropic, classify::classify_response, dialect::Dialect, gemini::Gemini,
    ollama::Ollama, openai::OpenAi,
};

/// A response, and what it means. An absent field means none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    about: String,
    status: u16,
    #[serde(default)]
    headers: HashMap<String, String>,
    body: Value,
    class: ErrorClass,
    #[serde(default)]
    unknown_cost: bool,
    /// Of a bad request: whether every platform would reject it.
    #[serde(default)]
    fails_everywhere: bool,
    retry_after_ms: Option<u64>,
    #[serde(default)]
    room: Room,
}

/// What remains of a limit, and in how many milliseconds the limit resets.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Room {
    requests: Option<(u64, u64)>,
    tokens: Option<(u64, u64)>,
}

fn check(name: &str, dialect: &dyn Dialect, file: &str) {
    let cases: Vec<Case> = serde_json::from_str(file).unwrap();
    assert!(!cases.is_empty(), "{name}");
    for case in cases {
        let headers: HeaderMap = (&case.headers).try_into().unwrap();
        let error = classify_response(dialect, case.status, &headers, &case.body);
        assert_eq!(error.class, case.class, "{name}: {case:?}");
        let wait = case.retry_after_ms.map(Duration::from_millis);
        assert_eq!(error.retry_after, wait, "{name}: {case:?}");
        let left = |(remaining, millis)| ReportedLimit {
            remaining,
            reset_after: Duration::from_millis(millis),
        };
        let room = ReportedLimits {
            requests: case.room.requests.map(left),
            tokens: case.room.tokens.map(left),
        };
        assert_eq!(error.room, room, "{name}: {case:?}");
        assert_eq!(error.status, Some(case.status));
        let spend = if case.unknown_cost {
            CallCost::Unknown
        } else {
            CallCost::Nothing
        };
        assert_eq!(error.spend, spend, "{name}: {case:?}");
        if error.class == ErrorClass::BadRequest {
            let ends = error.remedy == Remedy::Nothing;
            assert_eq!(ends, case.fails_everywhere, "{name}: {case:?}");
        }
        assert!(!error.message.contains(PROMPT), "{} {error}", case.about);
    }
}

macro_rules! recorded {
    ($($name:ident: $dialect:expr),+ $(,)?) => {
        $(#[test]
        fn $name() {
            let file = include_str!(concat!("recorded/", stringify!($name), ".json"));
            check(stringify!($name), &$dialect, file);
        })+
    };
}

recorded! {
    openai: OpenAi(Service::OpenAi),
    anthropic: Anthropic,
    gemini: Gemini,
    deepseek: OpenAi(Service::Other),
    xai: OpenAi(Service::Xai),
    moonshot: OpenAi(Service::Other),
    zhipu: OpenAi(Service::Other),
    openrouter: OpenAi(Service::OpenRouter),
    minimax: OpenAi(Service::Other),
    compatible: OpenAi(Service::Other),
    ollama: Ollama,
}

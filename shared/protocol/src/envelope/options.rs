//! `provider_options`: members of a platform's request that have no name in the protocol.

use serde_json::{Map, Value};

use super::{
    fields::{Input, Problem, Read, decoded},
    json::Kind,
    malformed::{MalformedCode, shortened},
};
use crate::platform::PlatformName;

/// Members that Longshore writes itself: the job has fields for what they mean.
const OWN: &[&str] = &[
    "model",
    "messages",
    "prompt",
    "system",
    "contents",
    "systeminstruction",
    "generationconfig",
    "stream",
    "maxtokens",
    "maxcompletiontokens",
    "maxoutputtokens",
    "numpredict",
    "temperature",
    "topp",
    "seed",
    "stop",
    "stopsequences",
    "frequencypenalty",
    "presencepenalty",
    "logprobs",
    "responselogprobs",
    "toplogprobs",
    "responseformat",
    "responsemimetype",
    "responseschema",
    "responsejsonschema",
    "format",
    "outputconfig",
    "outputformat",
    "reasoning",
    "reasoningeffort",
    "thinking",
    "thinkingconfig",
    "thinkingbudget",
    "think",
    "effort",
    "tools",
    "toolchoice",
    "toolconfig",
    "functions",
    "functioncall",
    "paralleltoolcalls",
];

/// Members that change what a call is billed in a way that no reservation knows: more answers, other prices, searches.
const BILLED: &[&str] = &[
    "n",
    "bestof",
    "numgenerations",
    "candidatecount",
    "servicetier",
    "speed",
    "inferencegeo",
    "modalities",
    "responsemodalities",
    "audio",
    "prediction",
    "models",
    "route",
    "provider",
    "plugins",
    "websearch",
    "websearchoptions",
    "searchparameters",
    "container",
    "mcpservers",
    "cachedcontent",
    "fallbacks",
];

/// Objects that only group members of the request.
const GROUPS: &[&str] = &["generationconfig", "options"];

/// Parts of names that stand for addresses, headers, keys and files.
const FORBIDDEN: &[&str] = &[
    "url",
    "uri",
    "endpoint",
    "webhook",
    "callback",
    "proxy",
    "header",
    "authorization",
    "apikey",
    "accesstoken",
    "secret",
    "password",
    "credential",
    "fileid",
    "filepath",
    "command",
];

/// Options by platform. They choose no address, header, key, file or command, and nothing that the job or the
/// configuration decides.
pub(super) fn provider_options(input: Input<'_>) -> Read<Map<String, Value>> {
    const EXPECTED: &str = "an object with an object for each platform";
    let options: Map<String, Value> = decoded(input.of_kind(Kind::Object, EXPECTED)?)?;
    for (platform, members) in &options {
        let is_name = PlatformName::parse(platform).is_some_and(|name| name.as_str() == platform);
        let Some(members) = members.as_object().filter(|_| is_name) else {
            return Err(input.is_not(MalformedCode::BadValue, EXPECTED));
        };
        check_members(members, platform)?;
    }
    Ok(options)
}

fn check_members(members: &Map<String, Value>, place: &str) -> Read<()> {
    for (name, value) in members {
        let plain = plain(name);
        let place = format!("{place}.{}", shortened(name));
        if GROUPS.contains(&plain.as_str())
            && let Some(group) = value.as_object()
        {
            check_members(group, &place)?;
        } else if OWN.contains(&plain.as_str()) {
            return Err(refused(
                &place,
                "Longshore sets it by the fields of the job",
            ));
        } else if BILLED.contains(&plain.as_str()) {
            return Err(refused(
                &place,
                "it changes the price of the call, which budgets would not see",
            ));
        } else {
            check_value(&plain, value, &place)?;
        }
    }
    Ok(())
}

/// Rejects addresses, headers, keys and files at any depth.
fn check_value(plain_name: &str, value: &Value, place: &str) -> Read<()> {
    if FORBIDDEN.iter().any(|part| plain_name.contains(part)) {
        return Err(refused(
            place,
            "a job chooses no address, header, key, file or command",
        ));
    }
    match value {
        Value::String(text) if text.contains("://") || text.starts_with("data:") => {
            Err(refused(place, "a job chooses no address"))
        }
        Value::Array(values) => values
            .iter()
            .try_for_each(|value| check_value("", value, place)),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            check_value(&plain(name), value, &format!("{place}.{}", shortened(name)))
        }),
        _ => Ok(()),
    }
}

/// A name without regard to its spelling: `topP`, `top_p` and `top-p` are equal.
fn plain(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn refused(place: &str, why: &str) -> Problem {
    Problem {
        code: MalformedCode::BadValue,
        message: format!("`{place}` is not allowed: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(options: &Value) -> Option<String> {
        let text = options.to_string();
        provider_options(Input::Text(&text))
            .err()
            .map(|problem| problem.message)
    }

    #[test]
    fn options_are_for_what_has_no_name() {
        for options in [
            json!({}),
            json!({"openai": {"logit_bias": {"50256": -100}, "verbosity": "low", "user": "u-1"}}),
            json!({"gemini": {"generationConfig": {"topK": 40}, "safetySettings": [{"category": "X", "threshold": "Y"}]}}),
            json!({"ollama": {"options": {"num_ctx": 8192, "mirostat": 1}, "keep_alive": "5m"}}),
        ] {
            assert_eq!(fault(&options), None, "{options}");
        }
    }

    #[test]
    fn options_choose_nothing_that_the_configuration_did_not_allow() {
        for (options, place) in [
            (json!({"openai": {"model": "x"}}), "openai.model"),
            (
                json!({"openai": {"max_completion_tokens": 9}}),
                "openai.max_completion_tokens",
            ),
            (
                json!({"gemini": {"generationConfig": {"maxOutputTokens": 9}}}),
                "gemini.generationConfig.maxOutputTokens",
            ),
            (
                json!({"ollama": {"options": {"num_predict": 9}}}),
                "ollama.options.num_predict",
            ),
            (json!({"openai": {"n": 5}}), "openai.n"),
            (
                json!({"openai": {"service_tier": "priority"}}),
                "openai.service_tier",
            ),
            (
                json!({"gemini": {"generationConfig": {"candidateCount": 5}}}),
                "gemini.generationConfig.candidateCount",
            ),
            (
                json!({"anthropic": {"mcp_servers": []}}),
                "anthropic.mcp_servers",
            ),
            (json!({"a": {"x": {"base_url": "y"}}}), "a.x.base_url"),
            (json!({"a": {"x": [{"y": "http://10.0.0.1/"}]}}), "a.x.y"),
            (json!({"a": {"extra_headers": {}}}), "a.extra_headers"),
            (json!({"a": {"api-key": "k"}}), "a.api-key"),
            (json!({"a": {"x": {"file_id": "f"}}}), "a.x.file_id"),
        ] {
            let fault = fault(&options).unwrap_or_default();
            assert!(
                fault.starts_with(&format!("`{place}` is not allowed: ")),
                "{options}: {fault}"
            );
        }
        for options in [
            json!([]),
            json!({"a": 1}),
            json!({"A b": {}}),
            json!({"": {}}),
        ] {
            assert!(fault(&options).is_some(), "{options}");
        }
    }
}

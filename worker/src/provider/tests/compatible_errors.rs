//! What the failures of OpenAI, and of those who took over its dialect, mean.

use longshore_shared::call::{ErrorClass, Spend};
use serde_json::{Value, json};

use super::{PROMPT, classify};
use crate::provider::OpenAi;

fn error(status: u16, error: &Value, class: ErrorClass) -> (u16, Value, ErrorClass) {
    (status, json!({"error": error}), class)
}

#[test]
fn openai_and_its_like() {
    use ErrorClass::*;
    let cases = [
        error(
            429,
            &json!({"message": "Rate limit reached", "type": "tokens", "param": null, "code": "rate_limit_exceeded"}),
            RateLimited,
        ),
        error(
            429,
            &json!({"message": "You exceeded your current quota, please check your plan", "type": "insufficient_quota", "code": "insufficient_quota"}),
            QuotaExhausted,
        ),
        error(
            429,
            &json!({"message": "Request too large for gpt-4o on tokens per min (TPM): Limit 1, Requested 2", "code": "rate_limit_exceeded"}),
            ContextTooLong,
        ),
        error(
            401,
            &json!({"message": "Incorrect API key provided: sk-pr***nop", "code": "invalid_api_key"}),
            Auth,
        ),
        error(
            403,
            &json!({"message": "Country not supported", "code": "unsupported_country_region_territory"}),
            Auth,
        ),
        error(
            400,
            &json!({"message": "This model's maximum context length is 8192 tokens", "code": "context_length_exceeded"}),
            ContextTooLong,
        ),
        error(
            400,
            &json!({"message": "string too long", "code": "string_above_max_length", "param": "messages: maximum context length"}),
            BadRequest,
        ),
        error(
            400,
            &json!({"message": "x", "code": "content_policy_violation"}),
            Refused,
        ),
        error(
            400,
            &json!({"message": "The response was filtered", "code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
            Refused,
        ),
        error(
            400,
            &json!({"message": "Unsupported parameter", "code": "unsupported_parameter"}),
            BadRequest,
        ),
        error(
            404,
            &json!({"message": "The model `x` does not exist", "code": "model_not_found"}),
            BadRequest,
        ),
        error(413, &json!({"message": "too big"}), BadRequest),
        error(422, &json!({"message": "bad"}), BadRequest),
        error(409, &json!({"message": "conflict"}), Overloaded),
        error(408, &json!({}), Timeout),
        error(504, &json!({}), Timeout),
        error(
            500,
            &json!({"message": "The server had an error"}),
            Overloaded,
        ),
        error(503, &json!({"message": "busy"}), Overloaded),
        // DeepSeek
        error(
            402,
            &json!({"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}),
            QuotaExhausted,
        ),
        error(400, &json!({"message": "Content Exists Risk"}), Refused),
        // xAI
        (
            400,
            json!({"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***xx."}),
            Auth,
        ),
        (
            400,
            json!({"error": "This model's maximum prompt length is 131072 but the request contains 200000 tokens."}),
            ContextTooLong,
        ),
        (
            403,
            json!({"code": "x", "error": "Content violates usage guidelines."}),
            Refused,
        ),
        (
            429,
            json!({"code": "x", "error": "Your team has either used all available credits or reached its monthly spending limit."}),
            QuotaExhausted,
        ),
        // Moonshot
        error(
            400,
            &json!({"type": "content_filter", "message": "The request was rejected"}),
            Refused,
        ),
        error(
            400,
            &json!({"type": "invalid_request_error", "message": "Your request exceeded model token limit : 8192"}),
            ContextTooLong,
        ),
        error(
            429,
            &json!({"type": "engine_overloaded_error", "message": "busy"}),
            Overloaded,
        ),
        error(
            429,
            &json!({"type": "rate_limit_reached_error", "message": "slow"}),
            RateLimited,
        ),
        error(
            429,
            &json!({"type": "exceeded_current_quota_error", "message": "Your account is not active"}),
            QuotaExhausted,
        ),
        error(
            403,
            &json!({"message": "You have reached your limit for this billing cycle"}),
            QuotaExhausted,
        ),
        // Zhipu
        error(
            429,
            &json!({"code": "1302", "message": "concurrency"}),
            RateLimited,
        ),
        error(
            429,
            &json!({"code": "1113", "message": "balance"}),
            QuotaExhausted,
        ),
        error(
            429,
            &json!({"code": "1308", "message": "limit until"}),
            QuotaExhausted,
        ),
        error(429, &json!({"code": "1121", "message": "account"}), Auth),
        error(
            429,
            &json!({"code": "1305", "message": "traffic"}),
            Overloaded,
        ),
        error(
            400,
            &json!({"code": "1261", "message": "long"}),
            ContextTooLong,
        ),
        error(
            400,
            &json!({"code": "1301", "message": "sensitive"}),
            Refused,
        ),
        // OpenRouter
        error(
            402,
            &json!({"code": 402, "message": "More credits", "metadata": {"error_type": "weight_exceeds_budget"}}),
            QuotaExhausted,
        ),
        error(
            402,
            &json!({"code": 402, "message": "busy", "metadata": {"limit_source": "openrouter_in_flight_budget"}}),
            RateLimited,
        ),
        error(
            403,
            &json!({"code": 403, "message": "Budget", "metadata": {"limit_source": "openrouter_key_limit"}}),
            QuotaExhausted,
        ),
        error(
            403,
            &json!({"code": 403, "message": "x requires moderation", "metadata": {"reasons": ["violence"]}}),
            Refused,
        ),
        error(
            400,
            &json!({"code": 400, "message": "Provider returned error", "metadata": {"raw": "{\"error\":{\"message\":\"no\",\"code\":\"context_length_exceeded\"}}"}}),
            ContextTooLong,
        ),
        // vLLM, Ollama, a gateway
        (
            400,
            json!({"object": "error", "message": "maximum context length is 10", "type": "BadRequestError", "code": 400}),
            ContextTooLong,
        ),
        (404, json!({"error": "model 'x' not found"}), BadRequest),
        (
            422,
            json!({"detail": [{"loc": ["body"], "msg": "field required", "input": {"messages": [PROMPT]}}]}),
            BadRequest,
        ),
        (502, Value::Null, Overloaded),
        (301, Value::Null, BadRequest),
        (418, json!([1]), BadRequest),
    ];
    for (status, body, class) in cases {
        let error = classify(&OpenAi::compatible(), status, &body);
        assert_eq!(error.class, class, "{status} {body}");
        assert_eq!((error.status, error.spend), (Some(status), Spend::Nothing));
        assert!(!error.message.contains(PROMPT), "{error}");
    }
}

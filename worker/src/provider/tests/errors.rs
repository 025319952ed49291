//! Classifying errors, reading waits, and writing errors for people.

use std::time::Duration;

use chrono::DateTime;
use http::{HeaderMap, HeaderValue, header};
use longshore_policy::catalog::Service;
use longshore_protocol::{
    call::{CallCost, CallError, ErrorClass, Usage},
    clock::local_time,
};
use serde_json::{Value, json};

use super::{KEY, PROMPT, call, classify};
use crate::provider::{
    classify::{classify_in_band, classify_response, describe, explain},
    gemini::Gemini,
    openai::OpenAi,
    quirks::until_google_day_ends,
    retry_after,
};

#[test]
fn an_exhausted_day_at_google_waits_for_the_next_day() {
    let body = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [
                {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quotaValue": "250"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}]}});
    let date = "Sat, 21 Nov 2026 10:00:00 GMT";
    let headers = HeaderMap::from_iter([(header::DATE, HeaderValue::from_static(date))]);
    let error = classify_response(&Gemini, 429, &headers, &body);
    let now = DateTime::parse_from_rfc2822(date).unwrap().to_utc();
    // Not the 22 seconds that it names.
    assert_eq!(
        (error.class, error.retry_after),
        (ErrorClass::QuotaExhausted, until_google_day_ends(now))
    );
}

#[test]
fn errors_with_status_200_are_classified() {
    let cases = [
        (
            json!({"error": {"code": 429, "message": "slow"}}),
            ErrorClass::RateLimited,
            CallCost::Nothing,
        ),
        (
            json!({"error": {"code": "402", "message": "pay"}}),
            ErrorClass::QuotaExhausted,
            CallCost::Nothing,
        ),
        (
            json!({"error": {"code": 502, "message": "broke"}}),
            ErrorClass::Overloaded,
            CallCost::Unknown,
        ),
        (
            json!({"error": "anything"}),
            ErrorClass::Overloaded,
            CallCost::Unknown,
        ),
    ];
    for (body, class, spend) in cases {
        let error = classify_in_band(&OpenAi(Service::Other), &body, Usage::default());
        assert_eq!((error.class, error.spend), (class, spend), "{body}");
    }
}

#[test]
fn waits_are_read_from_headers_and_messages() {
    let wait = |headers: &[(&'static str, &str)], message: &str| {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
            .collect::<HeaderMap>();
        let body = json!({"error": {"message": message}});
        let wait = classify_response(&OpenAi(Service::OpenAi), 429, &headers, &body).retry_after;
        wait.map(|wait| wait.as_secs_f64())
    };
    let in_a_minute = local_time() + chrono::Duration::seconds(60);
    let date = in_a_minute.to_rfc2822().replace("+0000", "GMT");
    let soon = |wait: Option<f64>| wait.is_some_and(|wait| (57.0..=60.0).contains(&wait));

    assert_eq!(wait(&[("retry-after", "7")], ""), Some(7.0));
    assert_eq!(wait(&[("retry-after", "0.5")], ""), Some(0.5));
    assert_eq!(
        wait(&[("retry-after", "7"), ("retry-after-ms", "250")], ""),
        Some(0.25)
    );
    assert!(soon(wait(&[("retry-after", &date)], "")), "{date}");
    assert_eq!(
        wait(&[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")], ""),
        Some(0.0)
    );
    for wrong in ["-1", "soon", "NaN", ""] {
        assert_eq!(wait(&[("retry-after", wrong)], ""), None, "{wrong}");
    }
    assert_eq!(wait(&[("retry-after", "1e12")], ""), Some(31.0 * 86_400.0));
    assert_eq!(
        wait(&[], "Limit 3. Please try again in 1m12.5s. Visit"),
        Some(72.5)
    );
    assert_eq!(wait(&[], "Please try again in 20s."), Some(20.0));
    assert_eq!(wait(&[], "Please try again in a while."), None);
    let limits = [
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "6m0s"),
        ("x-ratelimit-remaining-tokens", "9"),
        ("x-ratelimit-reset-tokens", "1h"),
    ];
    assert_eq!(wait(&limits, ""), Some(360.0));
    let anthropic = [
        ("anthropic-ratelimit-requests-remaining", "0"),
        (
            "anthropic-ratelimit-requests-reset",
            &*in_a_minute.to_rfc3339(),
        ),
    ];
    assert!(soon(wait(&anthropic, "")));
    let millis = in_a_minute.timestamp_millis().to_string();
    assert!(soon(wait(
        &[
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", &millis)
        ],
        ""
    )));
    for (text, millis) in [
        ("12ms", Some(12)),
        ("1h1m1s", Some(3_661_000)),
        ("", None),
        ("1", None),
        ("s", None),
        ("1x", None),
    ] {
        assert_eq!(
            retry_after::parse_go_duration(text),
            millis.map(Duration::from_millis),
            "{text}"
        );
    }
}

#[test]
fn errors_for_people_name_the_provider_and_contain_no_secret() {
    let message_for = |status: u16, message: &str| {
        let error = classify(
            &OpenAi(Service::OpenAi),
            status,
            &json!({"error": {"message": message}}),
        );
        let summary = describe("OpenAI", true, &error);
        explain(summary, &[KEY], &call(), error).message
    };
    assert_eq!(
        message_for(429, "Slow down."),
        "OpenAI: Rate limited. Slow down."
    );
    assert_eq!(message_for(401, ""), "Invalid API key for OpenAI");
    assert_eq!(
        message_for(503, ""),
        "OpenAI: Down or overloaded (HTTP 503)"
    );
    assert_eq!(
        message_for(400, &format!("bad {KEY}, in:\n{PROMPT}\u{7}")),
        "OpenAI: Request rejected (HTTP 400). bad *** in: [prompt]"
    );
    assert_eq!(
        message_for(
            401,
            "Incorrect API key provided: sk-proj-********mnop. Look"
        ),
        "Invalid API key for OpenAI. Incorrect API key provided: *** Look"
    );
    let local = CallError::new(ErrorClass::BadRequest, "try `ollama pull`");
    let summary = "ollama: Request rejected".to_owned();
    assert_eq!(
        explain(summary, &["ollama"], &call(), local).message,
        "ollama: Request rejected. try `ollama pull`",
        "a placeholder is no secret"
    );
    let long = message_for(400, &"ä".repeat(9999));
    assert_eq!(long.chars().count(), 500);
    let error = classify(&OpenAi(Service::OpenAi), 401, &Value::Null);
    assert_eq!(describe("OpenAI", false, &error), "No API key for OpenAI");
}

//! Tests the transport with a local server that sends given bytes.

use std::{sync::Arc, time::Duration};

use longshore_broker::task;
use longshore_policy::catalog::Service;
use longshore_protocol::call::{CallCost, CallError, ErrorClass, ReportedLimit, ReportedLimits};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{KEY, PROMPT, call, provider, provider_with};
use crate::provider::{
    Provider, anthropic::Anthropic, dialect::Dialect, gemini::Gemini, openai::OpenAi,
};

/// Answers the one request of each connection with the given bytes; without bytes, it never answers.
async fn server(answer: impl Into<Option<Vec<u8>>>) -> (String, mpsc::UnboundedReceiver<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (seen, requests) = mpsc::unbounded_channel();
    task::spawn("test server", async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            seen.send(request).ok();
            match &answer {
                // The client may close the connection before everything is written.
                Some(answer) => stream.write_all(answer).await.unwrap_or_default(),
                None => tokio::time::sleep(Duration::from_mins(1)).await,
            }
        }
    });
    (base, requests)
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) || n == 0 {
            return text;
        }
    }
}

fn reply(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

async fn fails(answer: impl Into<Option<Vec<u8>>>) -> CallError {
    let (base, _requests) = server(answer).await;
    let mut call = call();
    call.timeout = Duration::from_millis(500);
    let error = provider(OpenAi(Service::OpenAi), &base)
        .call(&call)
        .await
        .unwrap_err();
    assert!(
        !error.message.contains(KEY) && !error.message.contains(&base),
        "{error}"
    );
    error
}

#[tokio::test]
async fn each_dialect_calls_its_own_path_with_its_own_header() {
    let answer = json!({
        "choices": [{"message": {"content": "Oslo"}, "finish_reason": "stop"}],
        "content": [{"type": "text", "text": "Oslo"}],
        "candidates": [{"content": {"parts": [{"text": "Oslo"}]}}],
    });
    let dialects: [(Arc<dyn Dialect>, &str, String); 3] = [
        (
            Arc::new(OpenAi(Service::OpenAi)),
            "/v1/chat/completions",
            format!("authorization: Bearer {KEY}"),
        ),
        (
            Arc::new(Anthropic),
            "/v1/v1/messages",
            format!("x-api-key: {KEY}"),
        ),
        (
            Arc::new(Gemini),
            "/v1/v1beta/models/some-model:generateContent",
            format!("x-goog-api-key: {KEY}"),
        ),
    ];
    for (dialect, path, key) in dialects {
        let (base, mut requests) = server(reply("200 OK", "", &answer.to_string())).await;
        let call = call();
        let base = format!("{base}/v1");
        let answer = provider_with(dialect, &base).call(&call).await.unwrap();
        assert_eq!(answer.output, "Oslo");
        let request = requests.recv().await.unwrap();
        assert!(
            request.starts_with(&format!("POST {path} HTTP/1.1\r\n")),
            "{request}"
        );
        for line in [
            key,
            format!("idempotency-key: {}", call.attempt_id),
            "content-type: application/json".to_owned(),
            format!("user-agent: longshore/{}", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(
                request.contains(&format!("\r\n{line}\r\n")),
                "{line}\n{request}"
            );
        }
        assert_eq!(
            request.contains("anthropic-version: 2023-06-01"),
            path.ends_with("/messages")
        );
        assert!(request.contains(PROMPT));
    }
}

#[tokio::test]
async fn a_refused_connection_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = provider(OpenAi(Service::OpenAi), &base)
        .call(&call())
        .await
        .unwrap_err();
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::Network, CallCost::Nothing)
    );
    assert!(
        error
            .message
            .starts_with("OpenAI: Network error. could not connect"),
        "{error}"
    );
}

#[tokio::test]
async fn a_timeout_has_an_unknown_cost() {
    let error = fails(None).await;
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::Timeout, CallCost::Unknown)
    );
    assert_eq!(error.message, "OpenAI: No answer in time. waited 0.5 s");
    // The time limit covers the whole answer, not only its start.
    let (base, _requests) = slow_server().await;
    let mut call = call();
    call.timeout = Duration::from_millis(300);
    let error = provider(OpenAi(Service::OpenAi), &base)
        .call(&call)
        .await
        .unwrap_err();
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::Timeout, CallCost::Unknown)
    );
}

async fn slow_server() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let task = task::spawn("test server", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n")
            .await
            .unwrap();
        while stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    (base, task)
}

#[tokio::test]
async fn a_broken_connection_has_an_unknown_cost() {
    for answer in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"choices\"",
        b"garbage\r\n\r\n",
    ] {
        let error = fails(answer.to_vec()).await;
        assert_eq!(
            (error.class, error.spend),
            (ErrorClass::Network, CallCost::Unknown),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, mut requests) = server(reply("200 OK", "", "{}")).await;
    let error = fails(reply(
        "307 Temporary Redirect",
        &format!("location: {elsewhere}\r\n"),
        "",
    ))
    .await;
    assert_eq!(
        (error.class, error.status),
        (ErrorClass::BadRequest, Some(307))
    );
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn errors_contain_the_providers_message_without_the_key() {
    let body =
        json!({"error": {"message": format!("Key {KEY} is too busy with {PROMPT}"), "code": "x"}});
    let error = fails(reply(
        "429 Too Many",
        "retry-after: 12\r\n",
        &body.to_string(),
    ))
    .await;
    assert_eq!(
        error.message,
        "OpenAI: Rate limited. Key *** is too busy with [prompt]"
    );
    assert_eq!(error.retry_after, Some(Duration::from_secs(12)));
    let error = fails(reply("502 Bad Gateway", "", "<html>nginx</html>")).await;
    assert_eq!(error.message, "OpenAI: Down or overloaded (HTTP 502)");
}

#[tokio::test]
async fn unreadable_and_endless_answers_are_errors() {
    let error = fails(reply("200 OK", "", "<html>hello</html>")).await;
    assert_eq!(
        (error.class, error.spend),
        (ErrorClass::BadOutput, CallCost::Unknown)
    );
    let error = fails(reply(
        "200 OK",
        "",
        r#"{"error":{"code":429,"message":"slow"}}"#,
    ))
    .await;
    assert_eq!(
        (error.class, error.status),
        (ErrorClass::RateLimited, Some(200))
    );
    let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
    let mut unannounced = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    unannounced.resize(33 << 20, b' ');
    for answer in [announced.to_vec(), unannounced] {
        let (base, _requests) = server(answer).await;
        let error = provider(OpenAi(Service::OpenAi), &base)
            .call(&call())
            .await
            .unwrap_err();
        assert_eq!(
            (error.class, error.spend),
            (ErrorClass::BadOutput, CallCost::Unknown),
            "{error}"
        );
        assert!(error.message.contains("longer than 32 MiB"), "{error}");
    }
}

#[tokio::test]
async fn host_names_are_resolved_and_cached() {
    let (base, _requests) = server(reply("500 Oops", "", "")).await;
    let provider = provider(
        OpenAi(Service::OpenAi),
        &base.replace("127.0.0.1", "localhost"),
    );
    for _ in 0..2 {
        let error = provider.call(&call()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Overloaded, "{error}");
    }
}

#[tokio::test]
async fn answers_and_errors_carry_what_remains_of_limits() {
    let headers = "date: Sat, 21 Nov 2026 10:00:00 GMT\r\n\
        x-ratelimit-remaining-requests: 59\r\nx-ratelimit-reset-requests: 1s\r\n\
        anthropic-ratelimit-tokens-remaining: 8000\r\n\
        anthropic-ratelimit-tokens-reset: 2026-11-21T10:00:30Z\r\n";
    let room = ReportedLimits {
        requests: Some(ReportedLimit {
            remaining: 59,
            reset_after: Duration::from_secs(1),
        }),
        tokens: Some(ReportedLimit {
            remaining: 8000,
            reset_after: Duration::from_secs(30),
        }),
    };
    let body = r#"{"choices": [{"message": {"content": "Oslo"}}], "usage": {"cost": 0.00014}}"#;
    let (base, _requests) = server(reply("200 OK", headers, body)).await;
    let provider = provider(OpenAi(Service::OpenRouter), &base);
    let answer = provider.call(&call()).await.unwrap();
    assert_eq!(answer.room, room);
    assert_eq!(answer.reported_cost.unwrap().to_string(), "0.00014");
    for (status, body) in [
        ("200 OK", "no JSON"),
        ("200 OK", r#"{"choices": []}"#),
        ("500 Oops", ""),
    ] {
        assert_eq!(fails(reply(status, headers, body)).await.room, room);
    }
}

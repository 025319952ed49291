use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::post,
};
use chrono::{DateTime, Utc};
use longshore_broker::task;
use longshore_config::Config;
use longshore_policy::webhook::{WebhookHost, WebhookSettings};
use longshore_settings::Environment;
use url::Url;

use super::*;
use crate::live_config::LiveConfig;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn settings(hosts: &[&str]) -> WebhookSettings {
    let hosts = hosts.iter().map(|host| WebhookHost::parse(host).unwrap());
    WebhookSettings {
        hosts: hosts.collect(),
        ..WebhookSettings::default()
    }
}

#[test]
fn a_host_is_a_name_with_an_optional_port() {
    for (text, shown) in [
        ("hooks.example.com", "hooks.example.com"),
        ("Hooks.Example.com:443", "hooks.example.com"),
        ("hooks.example.com:8443", "hooks.example.com:8443"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://hooks:80", "http://hooks"),
        ("[::1]:9000", "[::1]:9000"),
    ] {
        let host = WebhookHost::parse(text).unwrap();
        assert_eq!(host.to_string(), shown);
        assert_eq!(WebhookHost::parse(shown), Some(host));
    }
    for text in [
        "",
        "https://hooks.example.com",
        "hooks.example.com/",
        "hooks.example.com/path",
        "http://hooks?x=1",
        "me@hooks.example.com",
        "*.example.com",
        "ftp://hooks",
        "hooks:port",
    ] {
        assert_eq!(WebhookHost::parse(text), None, "{text}");
    }
}

#[test]
fn only_allowed_hosts_are_accepted() {
    let settings = settings(&["hooks.example.com", "http://127.0.0.1:9000"]);
    for text in [
        "https://hooks.example.com/a/b?c=d",
        "https://HOOKS.example.com:443/",
        "http://127.0.0.1:9000/alerts",
    ] {
        assert_eq!(settings.check(text).unwrap(), Url::parse(text).unwrap());
    }
    let error = |text: &str| settings.check(text).unwrap_err().to_string();
    for (text, host) in [
        ("http://hooks.example.com/", "http://hooks.example.com"),
        ("https://hooks.example.com:8443/", "hooks.example.com:8443"),
        ("https://127.0.0.1:9000/", "127.0.0.1:9000"),
        (
            "https://hooks.example.com.evil.org/",
            "hooks.example.com.evil.org",
        ),
        ("https://evil.org/hooks.example.com", "evil.org"),
        ("https://example.com/", "example.com"),
    ] {
        assert_eq!(
            error(text),
            format!("no webhook may go to {host}; if it should, add `{host}` to `webhooks.hosts`")
        );
    }
    let login = error("https://me:hunter2@hooks.example.com/");
    assert!(login.contains("has a login in it"), "{login}");
    assert!(!login.contains("hunter2"), "{login}");
    for text in [
        "",
        "hooks.example.com",
        "ftp://hooks.example.com/",
        "data:x",
    ] {
        assert!(error(text).contains("is not valid"), "{text}");
    }
}

/// The requests that a receiver got: headers and bodies.
type Received = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A receiver that answers with `status`; a redirect leads to `/taken`.
async fn receiver(status: StatusCode) -> (Received, String) {
    async fn take(
        State((received, status)): State<(Received, StatusCode)>,
        headers: HeaderMap,
        body: Bytes,
    ) -> impl IntoResponse {
        received.lock().unwrap().push((headers, body));
        (status, [("location", "/taken")])
    }
    let received = Received::default();
    let taken = Router::new()
        .route("/{*path}", post(take))
        .with_state((Arc::clone(&received), status));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    task::spawn("test server", async move {
        axum::serve(listener, taken).await.unwrap();
    });
    (received, format!("http://{at}"))
}

/// A sender whose configuration allows `host`.
fn sender(host: &str) -> Webhooks {
    let yaml = format!("webhooks: {{ hosts: [\"{host}\"], secret: {SECRET}, timeout: 5s }}\n");
    let config = Config::from_yaml(&Environment::default(), "x.yaml".as_ref(), &yaml).unwrap();
    Webhooks::new(LiveConfig::fixed(Arc::new(config))).unwrap()
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_614_265_330, 999_000_000).unwrap()
}

async fn post_to(host: &str) -> Result<(), WebhookError> {
    let url = Url::parse(&format!("{host}/alerts")).unwrap();
    let body = br#"{"test": 2432232314}"#;
    let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    sender(host).post(&url, id, body, now()).await
}

#[tokio::test]
async fn a_webhook_is_signed() {
    let (received, host) = receiver(StatusCode::NO_CONTENT).await;
    post_to(&host).await.unwrap();
    let received = received.lock().unwrap();
    let (headers, body) = received.first().unwrap();
    for (name, value) in [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        (
            "webhook-signature",
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        ("content-type", "application/json"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert_eq!(&body[..], br#"{"test": 2432232314}"#);
}

#[tokio::test]
async fn errors_are_retryable_when_a_later_delivery_may_succeed() {
    for (status, retryable) in [
        (302, false),
        (400, false),
        (410, false),
        (429, true),
        (503, true),
    ] {
        let (received, host) = receiver(StatusCode::from_u16(status).unwrap()).await;
        let error = post_to(&host).await.unwrap_err();
        assert_eq!(error.is_retryable(), retryable, "{error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert_eq!(received.lock().unwrap().len(), 1, "no redirect is followed");
    }
    // A port that nothing listens at.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let error = post_to(&host).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let elsewhere = Url::parse("http://localhost:1/").unwrap();
    let error = sender(&host).post(&elsewhere, "x", b"", now()).await;
    assert!(!error.unwrap_err().is_retryable());
}

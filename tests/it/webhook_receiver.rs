//! A webhook receiver that checks signatures.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use longshore_broker::task;
use longshore_protocol::clock::local_time;
use serde_json::Value;
use sha2::Sha256;

/// The signing secret, without its prefix.
pub(crate) const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A webhook receiver. While `away` is set it answers 503, as during a deployment.
#[derive(Clone, Default)]
pub(crate) struct WebhookReceiver {
    pub(crate) away: Arc<AtomicBool>,
    pub(crate) received: Arc<Mutex<Vec<(String, Value)>>>,
    pub(crate) refused: Arc<Mutex<BTreeSet<String>>>,
    pub(crate) url: String,
}

impl WebhookReceiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Self {
            url,
            ..Self::default()
        };
        let app = Router::new()
            .route("/{*path}", post(receive))
            .with_state(receiver.clone());
        task::spawn("webhook receiver", async move {
            axum::serve(listener, app).await.unwrap();
        });
        receiver
    }
}

async fn receive(
    State(receiver): State<WebhookReceiver>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let age = local_time().timestamp() - timestamp.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{age} s old");
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(SECRET).unwrap()).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    if header("webhook-signature") != format!("v1,{signature}") {
        return StatusCode::UNAUTHORIZED;
    }
    if receiver.away.load(Ordering::SeqCst) {
        receiver.refused.lock().unwrap().insert(id);
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let body = serde_json::from_slice(&body).unwrap();
    receiver.received.lock().unwrap().push((id, body));
    StatusCode::NO_CONTENT
}

//! Tests the dialects with what providers really send, and the transport with a local server.

mod answers;
mod errors;
mod parameters;
mod recorded;
mod requests;
mod transport;

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use longshore_protocol::{
    call::{Call, CallError, CallParams, ChatMessage, Role},
    id::AttemptId,
};
use secrecy::SecretString;
use serde_json::Value;

use super::{classify::classify_response, client, dialect::Dialect, http::HttpProvider};

const KEY: &str = "sk-proj-abcdefghijklmnop";
const PROMPT: &str = "What is the capital of Norway?";

fn message(role: Role, content: &str) -> ChatMessage {
    ChatMessage::new(role, content)
}

pub(crate) fn call() -> Call {
    Call {
        attempt_id: AttemptId::new(),
        model: "some-model".to_owned(),
        system: None,
        messages: vec![message(Role::User, PROMPT)],
        params: CallParams::default(),
        options: serde_json::Map::new(),
        default_max_tokens: 4096,
        spawn: false,
        extract: None,
        timeout: Duration::from_secs(5),
    }
}

fn provider(dialect: impl Dialect, base: &str) -> HttpProvider {
    provider_with(Arc::new(dialect), base)
}

fn provider_with(dialect: Arc<dyn Dialect>, base: &str) -> HttpProvider {
    HttpProvider::new(
        "OpenAI".to_owned(),
        dialect,
        base.parse().unwrap(),
        Some(SecretString::from(KEY)),
        client().unwrap(),
    )
}

fn classify(dialect: &dyn Dialect, status: u16, body: &Value) -> CallError {
    classify_response(dialect, status, &HeaderMap::new(), body)
}

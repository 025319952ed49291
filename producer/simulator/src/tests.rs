//! The simulator as its clients see it.

mod answers;
mod providers;
mod refusals;
mod scripts;
mod tools;
mod trouble;
mod wire;

use std::{collections::HashSet, time::Instant};

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::*;

const OPENAI: &str = "gpt-4o-mini";
const ANTHROPIC: &str = "claude-haiku-4-5";
const GEMINI: &str = "gemini-2.5-flash";

struct Rig {
    simulator: Simulator,
    client: Client,
}

impl Rig {
    fn start() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let simulator = Simulator::start(([127, 0, 0, 1], 0).into(), settings).unwrap();
        // The error is the provider that another test installed: the same one.
        drop(rustls::crypto::ring::default_provider().install_default());
        Self {
            simulator,
            client: Client::new(),
        }
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.simulator.url()))
    }

    async fn get(&self, path: &str) -> Value {
        let sent = self
            .client
            .get(format!("{}{path}", self.simulator.url()))
            .send()
            .await;
        sent.unwrap().json().await.unwrap()
    }

    fn openai(&self, prompt: &str) -> RequestBuilder {
        let body = json!({"model": OPENAI, "messages": [{"role": "user", "content": prompt}]});
        self.post("/openai/v1/chat/completions")
            .bearer_auth("k")
            .json(&body)
    }

    fn anthropic(&self, prompt: &str) -> RequestBuilder {
        let messages = json!([{"role": "user", "content": [{"type": "text", "text": prompt}]}]);
        let body = json!({"model": ANTHROPIC, "max_tokens": 1000, "messages": messages});
        let post = self.post("/anthropic/v1/messages").header("x-api-key", "k");
        post.header("anthropic-version", "2023-06-01").json(&body)
    }

    fn gemini(&self, prompt: &str) -> RequestBuilder {
        let body = json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]});
        let path = format!("/gemini/v1beta/models/{GEMINI}:generateContent");
        self.post(&path).header("x-goog-api-key", "k").json(&body)
    }

    /// The same prompt in all three dialects.
    async fn each(&self, prompt: &str) -> [(u16, Value); 3] {
        [
            read(self.openai(prompt).send().await.unwrap()).await,
            read(self.anthropic(prompt).send().await.unwrap()).await,
            read(self.gemini(prompt).send().await.unwrap()).await,
        ]
    }

    async fn faults(&self, faults: &Value) -> (u16, Value) {
        read(self.post("/faults").json(faults).send().await.unwrap()).await
    }
}

async fn read(response: Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap())
}

fn header(response: &Response, name: &str) -> String {
    let value = response
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"));
    value.to_str().unwrap().to_owned()
}

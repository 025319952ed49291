//! A bare HTTP client: what the machine can do with the same calls and no queue.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{machine::ExternalSimulator, process};
use crate::stack::Stack;

/// Options of the client.
#[derive(Debug, clap::Args)]
pub struct ClientOptions {
    /// Where the simulator is.
    #[arg(long)]
    url: String,
    /// The number of calls, all at once.
    #[arg(long)]
    calls: usize,
    /// The size of each prompt and of its answer, in bytes; without it, a short question.
    #[arg(long)]
    size: Option<usize>,
}

/// The prompt of a call. The simulator answers a large one with a text as large.
pub(super) fn prompt(number: usize, size: Option<usize>) -> String {
    match size {
        None => format!("Question {number}"),
        Some(size) => format!("[[echo={}]]", "word ".repeat(size / 5)),
    }
}

/// The result of the client.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct ClientReport {
    pub(super) seconds: f64,
    pub(super) peak_mib: f64,
}

/// Makes the calls and prints the result.
pub async fn client(options: ClientOptions) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .http1_only()
        .tcp_nodelay(true)
        .build()?;
    let url = format!("{}/openai/v1/chat/completions", options.url);
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..options.calls {
        let request = client
            .post(&url)
            .bearer_auth("key")
            .header("idempotency-key", number.to_string())
            .json(&serde_json::json!({
                "model": "gpt-5-mini",
                "messages": [{"role": "user", "content": prompt(number, options.size)}],
            }));
        calls.spawn(async move { request.send().await?.error_for_status()?.bytes().await });
    }
    while let Some(answer) = calls.join_next().await {
        ensure!(!answer??.is_empty(), "an answer is empty");
    }
    let fared = ClientReport {
        seconds: began.elapsed().as_secs_f64(),
        peak_mib: process::peak_mib(std::process::id())?,
    };
    super::print(&serde_json::to_string(&fared)?)
}

/// Runs the client in a process of its own.
pub(super) async fn run_client(
    stack: &Stack,
    simulator: &ExternalSimulator,
    calls: usize,
    size: Option<usize>,
) -> anyhow::Result<ClientReport> {
    let mut command = tokio::process::Command::from(stack.command("longshore-bench")?);
    command
        .arg("client")
        .args(["--url", &simulator.url])
        .args(["--calls", &calls.to_string()]);
    if let Some(size) = size {
        command.args(["--size", &size.to_string()]);
    }
    let output = command.output().await?;
    ensure!(
        output.status.success(),
        "the bare client failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Its connections close after it ended; they must not disturb the next client.
    tokio::time::sleep(Duration::from_millis(500)).await;
    serde_json::from_slice(&output.stdout).context("the bare client's figures")
}

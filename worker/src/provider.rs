//! Providers: turn a call into a request, and the response into an answer or a classified error.
//!
//! `http` does what all HTTP interfaces share: keys, time limits, size limits, errors without secrets. The
//! dialects, one file each, do the rest. `classify` turns a status (such as 429) and a body into an error class.

// Which providers there are, and how they are called.
mod cli;
mod dns_cache;
mod http;
mod paced;
mod registry;

// What providers implement, and one file for each dialect.
mod anthropic;
mod dialect;
mod gemini;
mod ollama;
mod openai;
mod quirks;
mod tool_calls;

// What a response says beside its answer.
mod classify;
mod rate_limits;
mod reported_cost;
mod retry_after;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::{classify::shorten, http::client};
pub use self::{dialect::Provider, http::ClientError, registry::Registry};

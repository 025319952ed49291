//! A script: rules that say what becomes of calls whose prompts cannot be changed. `docs/TESTING.md` describes it.

mod play;
mod read;
#[cfg(test)]
mod tests;

use std::time::Duration;

use regex::Regex;
use serde_json::value::RawValue;

pub(super) use self::play::{Choice, Play};
pub use self::play::{RuleReport, ScriptReport, UnmatchedReport};
use super::{
    ask::{Ask, Shape},
    dialect::Dialect,
    markers::{Ending, Markers},
};

/// What a simulator answers, by rules.
#[derive(Debug, Clone, Default)]
pub struct Script {
    unmatched: Unmatched,
    rules: Vec<Rule>,
}

/// What becomes of a call that no rule matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Unmatched {
    /// It is answered as without a script.
    #[default]
    Answer,
    /// It is refused.
    Refuse,
}

/// What becomes of the calls that match.
#[derive(Debug, Clone)]
struct Rule {
    name: String,
    when: When,
    /// Whether each prompt has its own place in the sequence.
    per_prompt: bool,
    /// The sequence; at least one response.
    then: Vec<Response>,
}

/// Which calls match: those to which all of this applies.
#[derive(Debug, Clone, Default)]
struct When {
    provider: Option<String>,
    dialect: Option<Dialect>,
    model: Option<String>,
    /// Texts that are in the prompt.
    prompt_contains: Vec<String>,
    prompt_matches: Option<Regex>,
    /// Whether the call asks for JSON.
    json: Option<bool>,
    /// A tool that the model may call now.
    tool: Option<String>,
    /// When it begins and ends, since the script is in use.
    from: Duration,
    until: Option<Duration>,
}

/// A response, of the simulator's own making unless it says otherwise.
#[derive(Debug, Clone, Default)]
pub(super) struct Response {
    /// For so many calls; without it, for all further ones.
    times: Option<u32>,
    latency: Option<Duration>,
    hold: bool,
    status: Option<u16>,
    retry_after: Option<Duration>,
    fault: Option<Ending>,
    answer: Option<String>,
    pub(super) tool_calls: Vec<ScriptedCall>,
    usage: Option<ScriptedUsage>,
}

/// The call of a tool.
#[derive(Debug, Clone)]
pub(super) struct ScriptedCall {
    pub(super) name: String,
    pub(super) arguments: Box<RawValue>,
}

/// Token counts.
#[derive(Debug, Clone, Copy, Default)]
struct ScriptedUsage {
    input: u32,
    output: u32,
    cached: u32,
    reasoning: u32,
}

impl When {
    fn matches(&self, provider: &str, dialect: Dialect, ask: &Ask<'_>, since: Duration) -> bool {
        let is_or_any = |wanted: Option<&str>, found: &str| wanted.is_none_or(|one| one == found);
        let (prompt, is_json) = (&*ask.prompt, matches!(ask.shape, Shape::Json(_)));
        is_or_any(self.provider.as_deref(), provider)
            && self.dialect.is_none_or(|wanted| wanted == dialect)
            && is_or_any(self.model.as_deref(), &ask.model)
            && self.json.is_none_or(|wanted| wanted == is_json)
            && self
                .tool
                .as_deref()
                .is_none_or(|name| ask.offers(name) && !ask.tools.is_answered)
            && since >= self.from
            && self.until.is_none_or(|until| since < until)
            && self
                .prompt_contains
                .iter()
                .all(|text| prompt.contains(text.as_str()))
            && self
                .prompt_matches
                .as_ref()
                .is_none_or(|regex| regex.is_match(prompt))
    }

    /// Whether it matches every call at any time.
    fn matches_all(&self) -> bool {
        let Self {
            provider,
            dialect,
            model,
            prompt_contains,
            prompt_matches,
            json,
            tool,
            from,
            until,
        } = self;
        provider.is_none()
            && dialect.is_none()
            && model.is_none()
            && prompt_contains.is_empty()
            && prompt_matches.is_none()
            && json.is_none()
            && tool.is_none()
            && from.is_zero()
            && until.is_none()
    }
}

impl Response {
    /// Puts what it says in the place of what the prompt's markers say.
    pub(super) fn apply<'a>(&'a self, markers: &mut Markers<'a>) {
        let decides = self.status.is_some()
            || self.fault.is_some()
            || self.answer.is_some()
            || !self.tool_calls.is_empty();
        if decides {
            markers.fail_first = None;
            markers.status = self.status;
            markers.ending = self.fault.unwrap_or_default();
            markers.echo = self.answer.as_deref();
            markers.calls = false;
        }
        if let Some(usage) = self.usage {
            markers.tokens = Some((usage.input, usage.output));
            markers.cached = usage.cached;
            markers.reasoning = usage.reasoning;
        }
        markers.latency = self.latency.or(markers.latency);
        markers.retry_after = self.retry_after.or(markers.retry_after);
        markers.held |= self.hold;
    }

    /// The first tool that it calls and that the call does not offer.
    pub(super) fn missing_tool(&self, ask: &Ask<'_>) -> Option<&str> {
        let mut names = self.tool_calls.iter().map(|call| call.name.as_str());
        names.find(|name| !ask.offers(name))
    }
}

//! The simulator's own endpoints: its invoice, its counts, its limits, its faults, its script.

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    http::{Request, respond},
    script::Script,
    state::State,
};

/// How many bills or calls a page holds unless it says otherwise.
const PAGE: usize = 10_000;

/// Answers one request and returns the status.
pub(super) fn control(state: &State, request: &Request<'_>, out: &mut Vec<u8>) -> u16 {
    let head = &request.head;
    let answer = match (head.method, head.path) {
        ("GET", "/health") => Ok(json(&json!({"status": "ok"}))),
        ("GET", "/stats") => Ok(json(&state.stats())),
        ("GET", "/invoice") => invoice(state, head.query),
        ("GET", "/calls") => calls(state, head.query),
        ("GET", "/requests") => Ok(json(&state.kept())),
        ("GET", "/faults") => Ok(json(&state.accounts.faults())),
        ("POST", "/faults") => set_faults(state, request.body.bytes()),
        ("GET", "/limits") => Ok(json(&state.accounts.limits())),
        ("POST", "/limits") => set_limits(state, request.body.bytes()),
        ("GET", "/script") => Ok(json(&state.script_report())),
        ("POST", "/script") => set_script(state, request.body.bytes()),
        ("POST", "/reset") => {
            state.reset();
            Ok(json(&json!({"status": "ok"})))
        }
        ("POST", "/release") => {
            state.release();
            Ok(json(&json!({"status": "ok"})))
        }
        (
            _,
            "/health" | "/stats" | "/invoice" | "/calls" | "/requests" | "/faults" | "/limits"
            | "/script" | "/reset" | "/release",
        ) => Err((405, "this endpoint takes another method".to_owned())),
        (_, path) if super::exchange::route(path).is_some() => {
            Err((405, "this endpoint takes POST".to_owned()))
        }
        (_, path) => Err((404, format!("there is nothing at {path}"))),
    };
    let (status, body) = match answer {
        Ok(body) => (200, body),
        Err((status, message)) => (status, json(&json!({"error": message}))),
    };
    respond(out, status, "application/json", "", &body);
    status
}

/// A body, or a status and what is wrong.
type Answer = Result<Vec<u8>, (u16, String)>;

/// The requested page of a list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Part<'q> {
    provider: Option<&'q str>,
    since: usize,
    limit: Option<usize>,
}

impl<'q> Part<'q> {
    fn read(query: &'q str) -> Result<Self, (u16, String)> {
        let mut part = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = || {
                let wrong = || format!("{name} is {value:?}; it must be a whole number");
                value.parse::<usize>().map_err(|_| (400, wrong()))
            };
            match name {
                "provider" => part.provider = Some(value),
                "since" => {
                    part.since = number()?;
                    part.limit = part.limit.or(Some(PAGE));
                }
                "limit" => part.limit = Some(number()?),
                _ => {
                    let wrong = format!("unknown parameter {name:?}; try provider, since or limit");
                    return Err((400, wrong));
                }
            }
        }
        Ok(part)
    }

    fn most(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }
}

fn invoice(state: &State, query: &str) -> Answer {
    let part = Part::read(query)?;
    if part.provider.is_some() {
        let wrong = "the invoice has no parameter provider; its bills name theirs";
        return Err((400, wrong.to_owned()));
    }
    Ok(json(&state.invoice.page(part.since, part.most())))
}

fn calls(state: &State, query: &str) -> Answer {
    let part = Part::read(query)?;
    let name = part
        .provider
        .ok_or_else(|| (400, "name a provider: /calls?provider=NAME".to_owned()))?;
    let account = state
        .accounts
        .find(name)
        .ok_or_else(|| (404, format!("there is no provider {name:?}")))?;
    let (calls, count) = account.arrivals(part.since, part.most());
    let end = part.since.saturating_add(calls.len());
    let next = (end < count).then_some(end);
    Ok(json(&json!({"calls": calls, "count": count, "next": next})))
}

fn set_faults(state: &State, body: &[u8]) -> Answer {
    let (provider, faults): (_, super::Faults) = read(body)?;
    faults.check().map_err(|wrong| (400, wrong))?;
    state.accounts.set_faults(provider.as_deref(), faults);
    Ok(json(&state.accounts.faults()))
}

fn set_limits(state: &State, body: &[u8]) -> Answer {
    let (provider, limits) = read(body)?;
    state.accounts.set_limits(provider.as_deref(), limits);
    Ok(json(&state.accounts.limits()))
}

fn set_script(state: &State, body: &[u8]) -> Answer {
    let text = std::str::from_utf8(body).map_err(|error| (400, format!("script: {error}")))?;
    let script = Script::read(Path::new("script"), text);
    state.set_script(script.map_err(|error| (400, error.to_string()))?);
    Ok(json(&state.script_report()))
}

/// Which provider to change, or all, and to what: the rest of the object. Serde cannot flatten a
/// struct and refuse unknown fields at once, so the provider is taken out by hand.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<(Option<String>, T), (u16, String)> {
    let wrong = |error: serde_json::Error| (400, error.to_string());
    let mut rest: serde_json::Map<String, Value> = serde_json::from_slice(body).map_err(wrong)?;
    let provider = match rest.remove("provider") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) if !name.is_empty() => Some(name),
        Some(other) => {
            return Err((400, format!("provider is {other}; it must be a name")));
        }
    };
    let change = serde_json::from_value(rest.into()).map_err(wrong)?;
    Ok((provider, change))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Serialization fails only for maps whose keys are not strings; this value has no such map.
    serde_json::to_vec(value).unwrap_or_default()
}

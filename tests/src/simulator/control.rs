//! The simulator's own endpoints: its invoice, its counts, its faults.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    dialect::Dialect,
    faults::Faults,
    http::{Request, respond},
    state::State,
};

/// How many bills a page holds unless it says otherwise.
const PAGE: usize = 10_000;

/// Answers one request and returns the status.
pub(super) fn control(state: &State, request: &Request<'_>, out: &mut Vec<u8>) -> u16 {
    let head = &request.head;
    let (status, body) = match (head.method, head.path) {
        ("GET", "/health") => (200, json(&json!({"status": "ok"}))),
        ("GET", "/stats") => (200, json(&state.counters.snapshot())),
        ("GET", "/invoice") => invoice(state, head.query),
        ("GET", "/faults") => (200, json(&faults(state))),
        ("POST", "/faults") => match set_faults(state, request.body.bytes()) {
            Ok(()) => (200, json(&faults(state))),
            Err(wrong) => (400, error(&wrong)),
        },
        ("POST", "/reset") => {
            state.reset();
            (200, json(&json!({"status": "ok"})))
        }
        (_, "/health" | "/stats" | "/invoice" | "/faults" | "/reset") => {
            (405, error("this endpoint takes another method"))
        }
        (_, path) if super::exchange::route(path).is_some() => {
            (405, error("this endpoint takes POST"))
        }
        (_, path) => (404, error(&format!("there is nothing at {path}"))),
    };
    respond(out, status, "application/json", "", &body);
    status
}

fn invoice(state: &State, query: &str) -> (u16, Vec<u8>) {
    let (mut since, mut limit) = (0, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Ok(number) = value.parse::<usize>() else {
            return (
                400,
                error(&format!("{name} is {value:?}; it must be a whole number")),
            );
        };
        match name {
            "since" => {
                since = number;
                limit = limit.or(Some(PAGE));
            }
            "limit" => limit = Some(number),
            _ => {
                return (
                    400,
                    error(&format!("unknown parameter {name:?}; try since or limit")),
                );
            }
        }
    }
    (
        200,
        json(&state.invoice.page(since, limit.unwrap_or(usize::MAX))),
    )
}

/// Which dialect to change; what to change is in the rest of the object.
#[derive(Deserialize)]
struct Which {
    dialect: Option<Dialect>,
}

fn set_faults(state: &State, body: &[u8]) -> Result<(), String> {
    let Which { dialect } = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    // Serde cannot flatten a struct and refuse unknown fields at once, so the one field that is not
    // a fault is taken out by hand.
    let mut rest: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).map_err(|error| error.to_string())?;
    rest.remove("dialect");
    let faults: Faults = serde_json::from_value(rest.into()).map_err(|error| error.to_string())?;
    faults.check()?;
    state.set_faults(dialect, faults);
    Ok(())
}

#[derive(Serialize)]
struct All {
    openai: Faults,
    anthropic: Faults,
    gemini: Faults,
}

fn faults(state: &State) -> All {
    let of = |dialect| state.faults(dialect).faults;
    All {
        openai: of(Dialect::Openai),
        anthropic: of(Dialect::Anthropic),
        gemini: of(Dialect::Gemini),
    }
}

fn error(message: &str) -> Vec<u8> {
    json(&json!({"error": message}))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Nothing here has a key that is no string, which is all that can go wrong.
    serde_json::to_vec(value).unwrap_or_default()
}

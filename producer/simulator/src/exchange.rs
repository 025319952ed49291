//! One call, from its bytes to its response.

use std::{borrow::Cow, time::Duration};

use serde_json::value::RawValue;

use super::{
    anthropic,
    ask::{Answer, Ask, Cause, Refusal, ToolCall},
    compose::{call, compose},
    dialect::Dialect,
    faults::{Active, Chance},
    gemini,
    http::{Request, respond},
    invoice::BillKey,
    limits::{Full, Standing},
    markers::{Ending, Markers},
    openai, prices,
    script::{Choice, Response},
    state::{KeptRequest, State},
    stats::Flight,
    usage::Usage,
};

/// The daily quota that is reported when a marker declares it exhausted: Gemini's free tier.
const DAYS_QUOTA: u32 = 250;

/// What the connection does next.
#[derive(Debug)]
pub(super) struct Outcome<'s> {
    /// How long to wait first.
    pub(super) delay: Duration,
    /// Whether to wait for the release of held calls as well.
    pub(super) held: bool,
    pub(super) end: End,
    /// The bill to mark as answered once the answer is written.
    pub(super) bill: Option<BillKey>,
    /// None for the simulator's own endpoints.
    pub(super) flight: Option<Flight<'s>>,
}

/// How a call ends for its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The response of this status, which has been appended to the output, is sent.
    Respond(u16),
    /// The connection closes.
    Close,
    /// Nothing is ever sent.
    Hang,
}

/// The target of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'p> {
    /// The name in the path, or the dialect's.
    pub(super) provider: &'p str,
    pub(super) dialect: Dialect,
    /// The model, if the path names it.
    model: &'p str,
}

/// The target of a call to `path`: `/p/NAME` before a dialect's own path names the provider.
pub(super) fn route(path: &str) -> Option<Target<'_>> {
    let (provider, path) = match path.strip_prefix("/p/") {
        Some(rest) => {
            let (name, _) = rest.split_once('/').filter(|(name, _)| !name.is_empty())?;
            (Some(name), rest.strip_prefix(name)?)
        }
        None => (None, path),
    };
    let (dialect, model) = match path {
        "/openai/v1/chat/completions" => (Dialect::Openai, ""),
        "/anthropic/v1/messages" => (Dialect::Anthropic, ""),
        _ => path
            .strip_prefix("/gemini/v1beta/models/")
            .and_then(|rest| rest.strip_suffix(":generateContent"))
            .map(|model| (Dialect::Gemini, model))?,
    };
    Some(Target {
        provider: provider.unwrap_or(dialect.as_str()),
        dialect,
        model,
    })
}

/// Handles a call. Appends a response to `out`; `scratch` is a buffer to build it in.
pub(super) fn exchange<'s>(
    state: &'s State,
    target: Target<'_>,
    request: &Request<'_>,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Outcome<'s> {
    let mut call = Call {
        state,
        dialect: target.dialect,
        flight: state.begin(state.accounts.get(target.provider)),
        out,
        scratch,
    };
    let (head, body) = (&request.head, request.body.bytes());
    let read = match target.dialect {
        Dialect::Openai => openai::read(head, body),
        Dialect::Anthropic => anthropic::read(head, body),
        Dialect::Gemini => gemini::read(head, target.model, body),
    };
    match read {
        Ok(ask) => {
            let script = state.script();
            let choice = script
                .as_ref()
                .map(|script| script.choose(target.provider, target.dialect, &ask));
            let mut markers = Markers::read(&ask.prompt);
            if markers.keeps || script.is_some() {
                let rule = match &choice {
                    Some(Choice::Respond { rule, .. }) => Some((*rule).to_owned()),
                    _ => None,
                };
                state.keep(KeptRequest {
                    provider: target.provider.to_owned(),
                    model: ask.model.clone().into_owned(),
                    attempt_id: head.idempotency_key.to_owned(),
                    rule,
                    body: serde_json::from_slice(body).unwrap_or_default(),
                });
            }
            let scripted = match choice {
                Some(Choice::Respond { response, .. }) => Some(response),
                Some(Choice::Refuse(message)) => {
                    return call
                        .refuse(Cause::bad(message), &ask.model, None)
                        .into_outcome(call.flight);
                }
                Some(Choice::Answer) | None => None,
            };
            if let Some(response) = scripted {
                response.apply(&mut markers);
            }
            call.decide(&ask, &markers, scripted, head.idempotency_key)
        }
        Err(cause) => call.refuse(cause, target.model, None),
    }
    .into_outcome(call.flight)
}

/// An outcome without its flight.
struct Verdict {
    delay: Duration,
    held: bool,
    end: End,
    bill: Option<BillKey>,
}

impl Verdict {
    fn into_outcome(self, flight: Flight<'_>) -> Outcome<'_> {
        Outcome {
            delay: self.delay,
            held: self.held,
            end: self.end,
            bill: self.bill,
            flight: Some(flight),
        }
    }
}

struct Call<'s, 'c> {
    state: &'s State,
    dialect: Dialect,
    flight: Flight<'s>,
    out: &'c mut Vec<u8>,
    scratch: &'c mut Vec<u8>,
}

impl Call<'_, '_> {
    fn decide(
        &mut self,
        ask: &Ask<'_>,
        markers: &Markers<'_>,
        scripted: Option<&Response>,
        attempt_id: &str,
    ) -> Verdict {
        let (state, model) = (self.state, &*ask.model);
        let Some(price) = prices::find(self.dialect, model) else {
            return self.refuse(Cause::UnknownModel, model, None);
        };
        if let Some(tool) = scripted.and_then(|response| response.missing_tool(ask)) {
            let message = format!(
                "The simulator's script calls the tool `{tool}`, which the request does not offer."
            );
            return self.refuse(Cause::bad(message), model, None);
        }
        let own = call(ask, markers);
        let calls = tool_calls(scripted, own.as_ref());
        let (text, ending) = match calls.as_slice() {
            [] => compose(ask, markers, markers.ending),
            calls => {
                let arguments = calls.iter().map(|call| call.arguments.get());
                (Cow::Owned(arguments.collect()), markers.ending)
            }
        };
        let usage = Usage::estimate(markers, &ask.prompt, &text);
        let admitted = self.flight.account.admit(usage.total(), || state.now_us());
        let (number, standing) = match admitted {
            Ok(admitted) => admitted,
            Err(Full::Minute(unit, room, all)) => {
                return self.refuse(Cause::Limited(unit, room, all), model, Some(room.reset));
            }
            Err(Full::Day(limit)) => return self.refuse(Cause::Quota(limit), model, None),
        };
        let active = self.flight.account.faults();
        let ending = match self.trouble(ask, markers, ending, &active) {
            Ok(ending) => ending,
            Err(failure) => {
                self.flight.account.failed(number);
                return failure;
            }
        };

        // Generation begins here, and it is billed: whatever happens to the answer and to the client, the
        // bill stays.
        let account = &self.flight.account;
        let bill = state
            .invoice
            .charge(attempt_id, &account.name, price, usage);
        account.charged(price.cost(usage));
        let delay = markers
            .latency
            .unwrap_or_else(|| state.latency(&active.faults, rand::random::<f64>));
        let answer = Answer {
            serial: state.serial(),
            model,
            text: &text,
            ending,
            usage,
            calls: &calls,
            logprobs: ask.logprobs,
        };
        Verdict {
            delay,
            held: markers.held,
            end: self.answer(&answer, standing),
            bill: Some(bill),
        }
    }

    /// The fault of an accepted call, by chance or by a marker: how its answer ends, or the failure instead
    /// of it.
    fn trouble(
        &mut self,
        ask: &Ask<'_>,
        markers: &Markers<'_>,
        mut ending: Ending,
        active: &Active,
    ) -> Result<Ending, Verdict> {
        let model = &*ask.model;
        let told = markers.latency.unwrap_or_default();
        if active.chancy {
            match active.faults.befall(rand::random()) {
                Chance::Status(status) => {
                    let wait = active.faults.retry_after().filter(|_| status != 500);
                    return Err(self.refuse(Cause::Status(status), model, wait).after(told));
                }
                Chance::Ending(by_chance) if markers.ending == Ending::Whole => ending = by_chance,
                Chance::Ending(_) | Chance::Nothing => {}
            }
        }
        let cause = match (markers.fail_first, markers.status, ending) {
            (Some((count, status)), _, _) if self.state.fails(&ask.prompt, count) => {
                Some(Cause::Status(status))
            }
            (_, Some(status), _) => Some(Cause::Status(status)),
            (_, _, Ending::Context) => Some(Cause::Context),
            (_, _, Ending::Quota) => Some(Cause::Quota(DAYS_QUOTA)),
            _ => None,
        };
        if let Some(cause) = cause {
            return Err(self.refuse(cause, model, markers.retry_after).after(told));
        }
        if ending == Ending::Dropped {
            return Err(Verdict {
                delay: told,
                held: false,
                end: End::Close,
                bill: None,
            });
        }
        Ok(ending)
    }

    /// Appends the answer to the output.
    fn answer(&mut self, answer: &Answer<'_>, standing: Standing) -> End {
        match answer.ending {
            Ending::DroppedBilled => return End::Close,
            Ending::Hung => return End::Hang,
            Ending::Garbage => {
                let page = b"<html><body><h1>200 OK</h1>upstream sent nonsense</body></html>";
                respond(self.out, 200, "text/html", "", page);
                return End::Respond(200);
            }
            _ => {}
        }
        self.scratch.clear();
        let serial = answer.serial;
        let (written, headers) = match self.dialect {
            Dialect::Openai => (
                openai::answer(self.scratch, answer),
                openai::headers(serial, standing),
            ),
            Dialect::Anthropic => (
                anthropic::answer(self.scratch, answer),
                anthropic::headers(serial, standing),
            ),
            Dialect::Gemini => (gemini::answer(self.scratch, answer), String::new()),
        };
        if written.is_err() {
            return End::Close;
        }
        respond(self.out, 200, "application/json", &headers, self.scratch);
        End::Respond(200)
    }

    fn refuse(&mut self, cause: Cause, model: &str, retry_after: Option<Duration>) -> Verdict {
        let refusal = Refusal {
            cause,
            model,
            retry_after,
            serial: self.state.serial(),
        };
        let reply = match self.dialect {
            Dialect::Openai => openai::refuse(&refusal),
            Dialect::Anthropic => anthropic::refuse(&refusal),
            Dialect::Gemini => gemini::refuse(&refusal),
        };
        let body = reply.body.to_string();
        respond(
            self.out,
            reply.status,
            "application/json",
            &reply.headers,
            body.as_bytes(),
        );
        Verdict {
            delay: Duration::ZERO,
            held: false,
            end: End::Respond(reply.status),
            bill: None,
        }
    }
}

/// The calls of tools in an answer: those of the script, or the model's own.
fn tool_calls<'a>(
    scripted: Option<&'a Response>,
    own: Option<&'a (&str, Box<RawValue>)>,
) -> Vec<ToolCall<'a>> {
    let scripted = scripted.map(|response| response.tool_calls.as_slice());
    if let Some(calls @ [_, ..]) = scripted {
        let calls = calls.iter().map(|call| ToolCall {
            name: &call.name,
            arguments: &call.arguments,
        });
        return calls.collect();
    }
    let own = own.map(|(name, arguments)| ToolCall { name, arguments });
    own.into_iter().collect()
}

impl Verdict {
    /// Errors are sent at once, unless a marker sets a latency.
    fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_provider_or_a_dialect() {
        let target = |provider, dialect, model| {
            Some(Target {
                provider,
                dialect,
                model,
            })
        };
        for (path, expected) in [
            (
                "/openai/v1/chat/completions",
                target("openai", Dialect::Openai, ""),
            ),
            (
                "/p/a/openai/v1/chat/completions",
                target("a", Dialect::Openai, ""),
            ),
            (
                "/p/b.c/anthropic/v1/messages",
                target("b.c", Dialect::Anthropic, ""),
            ),
            (
                "/p/d/gemini/v1beta/models/m:generateContent",
                target("d", Dialect::Gemini, "m"),
            ),
            ("/p//openai/v1/chat/completions", None),
            ("/p/openai/v1/chat/completions", None),
            ("/p/a", None),
            ("/openai", None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }
}

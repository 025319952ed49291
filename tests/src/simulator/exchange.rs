//! One call, from its bytes to what becomes of it.

use std::time::Duration;

use super::{
    anthropic,
    ask::{Answer, Ask, Cause, Refusal},
    compose::compose,
    dialect::Dialect,
    faults::Chance,
    gemini,
    http::{Request, respond},
    invoice::BillKey,
    markers::{Ending, Markers},
    openai, prices,
    state::State,
    stats::Flight,
    usage::Usage,
};

/// What the connection does next.
#[derive(Debug)]
pub(super) struct Outcome<'s> {
    /// To be waited first.
    pub(super) delay: Duration,
    pub(super) end: End,
    /// The bill to be marked once the answer is out.
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
    /// Nothing is sent, ever.
    Hang,
}

/// The dialect that `path` belongs to, and the model if it stands in the path.
pub(super) fn route(path: &str) -> Option<(Dialect, &str)> {
    match path {
        "/openai/v1/chat/completions" => Some((Dialect::Openai, "")),
        "/anthropic/v1/messages" => Some((Dialect::Anthropic, "")),
        _ => path
            .strip_prefix("/gemini/v1beta/models/")
            .and_then(|rest| rest.strip_suffix(":generateContent"))
            .map(|model| (Dialect::Gemini, model)),
    }
}

/// Decides a call. A response is appended to `out`; `scratch` is room to build it in.
pub(super) fn exchange<'s>(
    state: &'s State,
    (dialect, in_path): (Dialect, &str),
    request: &Request<'_>,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Outcome<'s> {
    let flight = state.counters.begin(dialect);
    let mut call = Call {
        state,
        dialect,
        flight,
        out,
        scratch,
    };
    let read = match dialect {
        Dialect::Openai => openai::read(&request.head, request.body.bytes()),
        Dialect::Anthropic => anthropic::read(&request.head, request.body.bytes()),
        Dialect::Gemini => gemini::read(&request.head, in_path, request.body.bytes()),
    };
    match read {
        Ok(ask) => call.decide(&ask, request.head.idempotency_key),
        Err(cause) => call.refuse(cause, in_path, None),
    }
    .into_outcome(call.flight)
}

/// An outcome without its flight.
struct Verdict {
    delay: Duration,
    end: End,
    bill: Option<BillKey>,
}

impl Verdict {
    fn into_outcome(self, flight: Flight<'_>) -> Outcome<'_> {
        Outcome {
            delay: self.delay,
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
    fn decide(&mut self, ask: &Ask<'_>, attempt_id: &str) -> Verdict {
        let (state, model) = (self.state, &*ask.model);
        let Some(price) = prices::find(self.dialect, model) else {
            return self.refuse(Cause::UnknownModel, model, None);
        };
        let active = state.faults(self.dialect);
        let standing = match active
            .faults
            .rpm
            .map(|rpm| state.admit(self.dialect, rpm))
            .transpose()
        {
            Ok(standing) => standing,
            Err(full) => {
                self.flight.limited();
                return self.refuse(Cause::Limited(full), model, Some(full.reset));
            }
        };
        let markers = Markers::read(&ask.prompt);
        let told = markers.latency.unwrap_or_default();
        let mut ending = markers.ending;
        if active.chancy {
            match active.faults.befall(rand::random()) {
                Chance::Status(status) => {
                    let wait = active.faults.retry_after().filter(|_| status != 500);
                    return self.refuse(Cause::Status(status), model, wait).after(told);
                }
                Chance::Ending(by_chance) if ending == Ending::Whole => ending = by_chance,
                Chance::Ending(_) | Chance::Nothing => {}
            }
        }
        let cause = match (markers.fail_first, markers.status, ending) {
            (Some((count, status)), _, _) if state.fails(&ask.prompt, count) => {
                Some(Cause::Status(status))
            }
            (_, Some(status), _) => Some(Cause::Status(status)),
            (_, _, Ending::Context) => Some(Cause::Context),
            (_, _, Ending::Quota) => Some(Cause::Quota),
            _ => None,
        };
        if let Some(cause) = cause {
            return self.refuse(cause, model, markers.retry_after).after(told);
        }
        if ending == Ending::Dropped {
            return Verdict {
                delay: told,
                end: End::Close,
                bill: None,
            };
        }

        let (text, ending) = compose(ask, &markers, ending);
        let usage = Usage::of(&markers, &ask.prompt, &text);
        // From here on the model works, and that is what is paid for: whatever happens to the
        // answer, and to the client that asked for it, the bill stands.
        let bill = state.invoice.charge(attempt_id, price, usage);
        self.flight.billed();
        let delay = markers
            .latency
            .unwrap_or_else(|| state.latency(&active.faults, rand::random::<f64>));
        let end = match ending {
            Ending::DroppedBilled => End::Close,
            Ending::Hung => End::Hang,
            Ending::Garbage => {
                let page = b"<html><body><h1>200 OK</h1>upstream sent nonsense</body></html>";
                respond(self.out, 200, "text/html", "", page);
                End::Respond(200)
            }
            _ => {
                let serial = state.serial();
                let answer = Answer {
                    serial,
                    model,
                    text: &text,
                    ending,
                    usage,
                };
                self.scratch.clear();
                let (written, headers) = match self.dialect {
                    Dialect::Openai => (
                        openai::answer(self.scratch, &answer),
                        openai::headers(serial, standing),
                    ),
                    Dialect::Anthropic => (
                        anthropic::answer(self.scratch, &answer),
                        anthropic::headers(serial, standing),
                    ),
                    Dialect::Gemini => (gemini::answer(self.scratch, &answer), String::new()),
                };
                if written.is_ok() {
                    respond(self.out, 200, "application/json", &headers, self.scratch);
                    End::Respond(200)
                } else {
                    End::Close
                }
            }
        };
        Verdict {
            delay,
            end,
            bill: Some(bill),
        }
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
            end: End::Respond(reply.status),
            bill: None,
        }
    }
}

impl Verdict {
    /// Errors come at once, unless the prompt says how long they take.
    fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

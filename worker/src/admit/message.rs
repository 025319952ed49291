//! Parses the message of a job, or says what is wrong with it.

use std::ops::ControlFlow;

use chrono::{DateTime, TimeDelta, Utc};
use longshore_protocol::{
    dead_letter::StoredMessage,
    envelope::{FIELDS, Malformed, MalformedCode, Parsed, parse},
};
use longshore_settings::suggest::closest;

use crate::{
    context::Context,
    disposition::{Discard, Disposition, OrDispose as _, Stage, WaitsFor},
    job::Job,
};

/// The most unknown fields that are named.
const NAMED_FIELDS: usize = 20;

/// How long a message of a newer protocol waits for a worker that knows it.
const NEWER_VERSION_WAIT: TimeDelta = TimeDelta::hours(24);

/// How often such a message is delivered again.
const NEWER_VERSION_RETRY: TimeDelta = TimeDelta::minutes(1);

/// Refuses a message whose producer wrote a field that is reserved for the server.
pub(super) fn refuse_forged(job: &Job) -> Stage<()> {
    if !job.forged {
        return ControlFlow::Continue(());
    }
    let error =
        "field `_checkpoint` is reserved: names that begin with `_` are for the server alone";
    let discard = Discard::new(MalformedCode::ReservedField.as_str(), error);
    ControlFlow::Break(discard.into())
}

pub(super) fn parse_message(job: &Job, context: &Context) -> Stage<Parsed> {
    parse(&job.message, &context.policy().config.limits)
        .map_err(|malformed| refuse_malformed(job, &malformed, context.clock.now()))
        .or_dispose()
}

fn refuse_malformed(job: &Job, malformed: &Malformed, now: DateTime<Utc>) -> Disposition {
    if malformed.code == MalformedCode::UnsupportedVersion {
        let since = *job.progress().checkpoint.waits_since.get_or_insert(now);
        if now - since < NEWER_VERSION_WAIT {
            return Disposition::Parked {
                due: now + NEWER_VERSION_RETRY,
                waits_for: WaitsFor::NewerWorker,
            };
        }
    }
    let is_too_large = malformed.code == MalformedCode::TooLarge;
    Disposition::Discarded(Discard {
        kept: is_too_large.then(|| StoredMessage::head(&job.message.fields)),
        ..Discard::new(malformed.code.as_str(), malformed.to_string())
    })
}

/// What is to be said of fields that the protocol does not know.
pub(super) fn remarks(unknown: &[String]) -> Vec<String> {
    let named = unknown.iter().take(NAMED_FIELDS).map(|name| {
        let near = closest(name, FIELDS.iter().copied());
        let hint = near.map(|near| format!(": did you mean `{near}`?"));
        format!("unknown field `{name}`{}", hint.unwrap_or_default())
    });
    let mut remarks: Vec<String> = named.collect();
    if unknown.len() > NAMED_FIELDS {
        remarks.push(format!(
            "{} more unknown fields",
            unknown.len() - NAMED_FIELDS
        ));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_reported_with_what_may_be_meant() {
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            remarks(&names)
        };
        assert_eq!(
            of(&["maxTokens", "temprature", "x-team"]),
            [
                "unknown field `maxTokens`: did you mean `max_tokens`?",
                "unknown field `temprature`: did you mean `temperature`?",
                "unknown field `x-team`",
            ]
        );
        let many = vec!["x-y-z"; NAMED_FIELDS + 3];
        assert_eq!(of(&many).last().unwrap(), "3 more unknown fields");
    }
}

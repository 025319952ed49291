//! Refuses what no key of this worker decrypts. Nothing of it was called, and it can be replayed when the key is there.

use std::ops::ControlFlow;

use longshore_protocol::encryption::{CannotDecrypt, Content, UnopenedField, unopened_key};

use crate::{
    disposition::{Discard, Stage},
    job::Job,
};

/// Why such a job becomes a dead letter.
const CANNOT_DECRYPT: &str = "cannot_decrypt";

/// Refuses a job whose message, or what is stored of its step, is still encrypted.
pub(super) fn refuse_unopened(job: &Job) -> Stage<()> {
    if let Some(unopened) = &job.unopened {
        return refuse(unopened);
    }
    let mut progress = job.progress();
    match progress.checkpoint.step.as_deref_mut() {
        Some(step) => refuse_encrypted("the step", step),
        None => ControlFlow::Continue(()),
    }
}

/// Refuses a job that needs `content`, called `name`, if that is still encrypted.
pub(crate) fn refuse_encrypted(name: &str, content: &mut impl Content) -> Stage<()> {
    match unopened_key(content) {
        None => ControlFlow::Continue(()),
        Some(key) => refuse(&UnopenedField {
            field: name.to_owned(),
            reason: CannotDecrypt::UnknownKey(key),
        }),
    }
}

fn refuse(unopened: &UnopenedField) -> Stage<()> {
    ControlFlow::Break(Discard::new(CANNOT_DECRYPT, unopened.to_string()).into())
}

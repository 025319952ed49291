//! Says in the next call what was wrong with the last answer.

use std::sync::Arc;

use longshore_protocol::{
    call::{ChatMessage, Role},
    envelope::Envelope,
};

use crate::job::Job;

/// The envelope of the next call: if the last answer was of the wrong form, with a message that says so.
pub(crate) fn saying_fault(job: &Job, envelope: &Arc<Envelope>) -> Arc<Envelope> {
    let Some(fault) = job.progress().checkpoint.fault.clone() else {
        return envelope.clone();
    };
    let mut envelope = Envelope::clone(envelope);
    let words = format!(
        "A previous attempt ended with this error: {fault}. Answer again, in the form that is asked for."
    );
    envelope.messages.push(ChatMessage::new(Role::User, words));
    Arc::new(envelope)
}

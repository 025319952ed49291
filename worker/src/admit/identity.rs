//! Claims the producer's own id and the unique key of a job in Redis, so that duplicates are dropped.

use std::ops::ControlFlow;

use longshore_broker::{Admission, Admitted};
use longshore_protocol::{
    chain::StepRef,
    envelope::{ContentHash, Envelope},
    event::{DropRecord, Event},
    outcome::Outcome,
};
use longshore_service::instruments::MESSAGES_DROPPED;

use crate::{
    backoff::retry_until_answered,
    context::Context,
    disposition::{Discard, Disposition, Stage},
    job::Job,
    record::serialize,
};

/// Claims id and unique key. Ends the run of a job that is a duplicate, or whose id or key is taken.
pub(super) async fn claim_identity(
    job: &Job,
    envelope: &Envelope,
    hash: Option<&ContentHash>,
    step: Option<&StepRef>,
    context: &Context,
) -> Stage<()> {
    let keyring = context.broker.keyring();
    let drop_event = Event {
        dropped: Some(Box::new(DropRecord {
            entry_id: job.delivery.entry_id.clone(),
            job_id: job.id(),
            at: context.clock.now(),
        })),
        ..Event::default()
    };
    let drop_event = serialize(&drop_event, keyring);
    let reply = envelope.reply.as_ref();
    let expired = reply.and_then(|_| serialize(&Outcome::expired(job.id()), keyring));
    let admission = Admission {
        id: envelope.id.as_ref().zip(hash),
        unique: envelope.unique.as_ref(),
        reply,
        expired: expired.as_ref(),
        drop_event: drop_event.as_ref(),
        task: step,
    };
    let admitted = retry_until_answered("admit job", || {
        context.broker.deliveries().admit(&job.delivery, &admission)
    })
    .await;
    let disposition = match admitted {
        Admitted::Yes => return ControlFlow::Continue(()),
        Admitted::Lost => Disposition::Gone,
        Admitted::Duplicate => {
            MESSAGES_DROPPED.add([], 1);
            tracing::info!(job_id = %job.id(), entry_id = %job.delivery.entry_id, "duplicate message dropped");
            Disposition::Gone
        }
        Admitted::Conflict(first) => {
            let error = format!(
                "id `{}` belongs to the job at {first}, which has other content; use another id, or none",
                job.id()
            );
            Disposition::Discarded(Discard {
                dead_letter_id: Some(job.receipt.clone()),
                ..Discard::new("id_conflict", error)
            })
        }
        Admitted::Taken(first) => Disposition::Cancelled {
            reason: "duplicate",
            error: format!("its unique_key is taken by the job at {first}"),
        },
    };
    ControlFlow::Break(disposition)
}

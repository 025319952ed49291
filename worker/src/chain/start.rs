//! Starts the chain that a message describes, in one step.

use longshore_broker::{ChainPlan, ChainStarted};
use longshore_protocol::{
    chain::{self, ChainId, Document},
    dead_letter::StoredMessage,
    encryption::Metadata,
    envelope::{Malformed, MalformedCode},
    event::{DropRecord, Event},
    serialized::Serialized,
};
use longshore_service::instruments::{CHAINS_STARTED, MESSAGES_DROPPED};

use super::plan::{Around, Planner};
use crate::{
    backoff::retry_until_answered,
    context::Context,
    disposition::{Discard, Disposition},
    job::Job,
    record::serialize,
    trace::Traced,
};

/// Why the message of an invalid chain becomes a dead letter.
const BAD_CHAIN: &str = "bad_chain";

/// Starts the chain that the message describes. Its steps are jobs; the message itself is not.
pub(crate) async fn start(
    job: &Job,
    document: Result<&str, Malformed>,
    context: &Context,
) -> Disposition {
    let json = match document {
        Ok(json) => json,
        Err(malformed) => {
            return Disposition::Discarded(Discard {
                kept: (malformed.code == MalformedCode::TooLarge)
                    .then(|| StoredMessage::head(&job.message.fields)),
                ..Discard::new(malformed.code.as_str(), malformed.to_string())
            });
        }
    };
    let limits = context.policy().config.limits;
    match chain::parse(json, &limits) {
        Ok(document) => start_parsed(job, &document, json, context).await,
        Err(error) => Discard::new(BAD_CHAIN, error.to_string()).into(),
    }
}

async fn start_parsed(
    job: &Job,
    document: &Document,
    json: &str,
    context: &Context,
) -> Disposition {
    let id = document
        .id
        .clone()
        .unwrap_or_else(|| ChainId::from_receipt(&job.receipt));
    let received = job.progress().checkpoint.enqueued_at;
    let traceparent = document
        .traceparent
        .clone()
        .or_else(|| Traced::Chain(id.as_str()).begin(received, context));
    let planner = Planner {
        id: &id,
        document,
        traceparent: Traced::Chain(id.as_str()).below(traceparent.as_deref(), context),
        deadline: document.deadline.map(|limit| limit.at(received)),
        max_cost: document.max_cost,
        tenant: document.tenant.clone(),
        now: context.clock.now(),
        around: Around::default(),
    };
    let steps = planner.step_plans();
    let keyring = context.broker.keyring();
    let drop_event = Event {
        dropped: Some(Box::new(DropRecord {
            entry_id: job.delivery.entry_id.clone(),
            job_id: id.outcome(),
            at: planner.now,
        })),
        ..Event::default()
    };
    let drop_event = serialize(&drop_event, keyring);
    let metadata = document.metadata.clone().map(Metadata);
    let metadata = metadata.and_then(|metadata| serialize(&metadata, keyring));
    let plan = ChainPlan {
        id: &id,
        hash: document.hash(),
        document: json,
        name: document.name.as_deref(),
        max_parallel: document.max_parallel,
        fail_fast: document.fail_fast,
        reply: document.reply.as_ref(),
        metadata: metadata.as_ref().map(Serialized::as_str),
        traceparent: traceparent.as_deref(),
        steps: &steps,
        drop_event: drop_event.as_ref(),
        inputs: None,
    };
    let started = retry_until_answered("start chain", || {
        context.broker.chains().start(&job.delivery, &plan)
    })
    .await;
    match started {
        ChainStarted::Yes => {
            CHAINS_STARTED.add([], 1);
            tracing::info!(chain_id = %id, steps = document.steps.len(), "chain started");
            Disposition::Gone
        }
        ChainStarted::Lost => Disposition::Gone,
        ChainStarted::Duplicate => {
            MESSAGES_DROPPED.add([], 1);
            tracing::info!(chain_id = %id, entry_id = %job.delivery.entry_id, "duplicate chain dropped");
            Disposition::Gone
        }
        ChainStarted::Conflict => Disposition::Discarded(Discard {
            dead_letter_id: Some(job.receipt.clone()),
            ..Discard::new(
                "id_conflict",
                format!(
                    "id `{id}` belongs to another chain, which has other content; use another id, or none"
                ),
            )
        }),
    }
}

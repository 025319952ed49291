//! The control channel: receives messages for running workers and dispatches them.

use longshore_broker::BrokerError;
use longshore_protocol::control::ControlMessage;
use longshore_service::backoff::{Backoff, Schedule};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// Receives messages until `stop`. Resubscribes when the connection fails.
pub(crate) async fn listen(context: &Context, stop: &CancellationToken) {
    let mut backoff = Backoff::new(Schedule::RESUBSCRIBE);
    while !stop.is_cancelled() {
        let cause = match receive_until_failure(context, stop, &mut backoff).await {
            Ok(()) => "connection closed".to_owned(),
            Err(error) => error.to_string(),
        };
        if stop.is_cancelled() {
            return;
        }
        let delay = backoff.next_delay();
        tracing::warn!("control channel disconnected: {cause}; resubscribing in {delay:.1?}");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Receives messages until `stop`, or until the connection closes or fails.
async fn receive_until_failure(
    context: &Context,
    stop: &CancellationToken,
    backoff: &mut Backoff,
) -> Result<(), BrokerError> {
    let mut channel = context.broker.workers().subscribe_control().await?;
    backoff.reset();
    refresh_all(context);
    loop {
        let message = tokio::select! {
            message = channel.next() => message,
            () = stop.cancelled() => return Ok(()),
        };
        match message {
            Some(message) => dispatch(message, context),
            None => return Ok(()),
        }
    }
}

fn dispatch(message: ControlMessage, context: &Context) {
    let availability = &context.availability;
    match message {
        ControlMessage::Cancel(job) => context.in_flight.cancel(&job),
        ControlMessage::ConfigPushed { .. } => context.policies.refresh_soon(),
        ControlMessage::PausesChanged => availability.pauses.refresh_soon(),
        ControlMessage::AccountHeld { account, until } => {
            let now = context.clock.now();
            availability.account_holds.apply(account, until, now);
        }
        ControlMessage::CircuitChanged { .. } => availability.circuits.refresh_soon(),
    }
}

/// Catches up on the messages that were published before the subscription. Account holds are refreshed by
/// maintenance.
fn refresh_all(context: &Context) {
    context.policies.refresh_soon();
    context.availability.pauses.refresh_soon();
    context.availability.circuits.refresh_soon();
}

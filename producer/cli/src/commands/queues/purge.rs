//! `longshore queues purge`: cancels the available jobs of a queue.

use std::collections::BTreeSet;

use longshore_broker::{Broker, BrokerError};
use longshore_client::QueueName;
use longshore_protocol::{envelope::MessageLimits, id::EntryId};
use longshore_settings::suggest::closest;

use crate::{
    commands::jobs::{Jobs, confirm_and_cancel, for_each_in_stream},
    confirm::Consent,
    error::{CommandError, Exit},
    options::LabelFilter,
    output::{self, Format},
    session::Session,
    waiting::missing_worker,
};

/// Entries in flight read by one command.
const PAGE: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Queue
    #[arg(value_parser = QueueName::parse)]
    queue: QueueName,
    #[command(flatten)]
    consent: Consent,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let Arguments {
        queue,
        consent,
        format,
    } = arguments;
    consent.check("longshore queues purge")?;
    let broker = session.broker().await?;
    let queues = broker.queues().list().await?;
    if !queues.contains(&queue) {
        return Err(CommandError::Input(unknown_queue(&queue, &queues)));
    }
    let jobs = find_available(&broker, &queue, &session.config.limits).await?;
    let exit = confirm_and_cancel(&jobs, consent, format, &broker).await?;
    if exit == Exit::Success
        && !consent.dry_run
        && !jobs.is_empty()
        && let Some(missing) = missing_worker(&broker, &queue).await?
    {
        output::warning(format_args!("{missing}; the jobs end when one does"));
    }
    Ok(exit)
}

fn unknown_queue(queue: &QueueName, queues: &[QueueName]) -> String {
    let near = closest(queue.as_str(), queues.iter().map(QueueName::as_str));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("no queue `{queue}`{hint}")
}

/// The jobs of the queue that no worker holds and that are not parked.
async fn find_available(
    broker: &Broker,
    queue: &QueueName,
    limits: &MessageLimits,
) -> Result<Jobs, BrokerError> {
    let mut jobs = Jobs::new();
    for stream in [queue.clone(), queue.ready()] {
        let held = in_flight(broker, &stream).await?;
        for_each_in_stream(
            broker,
            &stream,
            &LabelFilter::default(),
            limits,
            |id, entry_id| {
                if !held.contains(&entry_id) {
                    jobs.entry(id).or_default();
                }
            },
        )
        .await?;
    }
    Ok(jobs)
}

/// The entries of a stream that workers hold.
async fn in_flight(broker: &Broker, stream: &QueueName) -> Result<BTreeSet<EntryId>, BrokerError> {
    let mut held = BTreeSet::new();
    let mut from = "-".to_owned();
    loop {
        let page = broker
            .queues()
            .pending_entries(stream, &from, "+", PAGE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(held);
        };
        from = format!("({}", last.entry);
        let owned = page.iter().filter(|pending| pending.worker.is_some());
        held.extend(owned.map(|pending| EntryId::new(stream, &pending.entry)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_queue_is_told_what_may_be_meant() {
        let name = |name| QueueName::parse(name).unwrap();
        let queues = [name("bulk"), name("default")];
        assert_eq!(
            unknown_queue(&name("defualt"), &queues),
            "no queue `defualt`; did you mean `default`?"
        );
        assert_eq!(unknown_queue(&name("x"), &queues), "no queue `x`");
    }
}

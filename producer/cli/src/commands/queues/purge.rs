//! `longshore queues purge`: cancels the available jobs of a queue.

use longshore_client::QueueName;

use super::available::{check_queue, find_available};
use crate::{
    commands::jobs::{Jobs, confirm_and_cancel},
    confirm::Consent,
    error::{CommandError, Exit},
    output::{self, Format},
    session::Session,
    waiting::missing_worker,
};

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
    check_queue(&broker, &queue).await?;
    let available = find_available(&broker, &queue, &session.config.limits).await?;
    let jobs: Jobs = available
        .into_iter()
        .map(|job| (job.id, job.is_parked.then_some(job.entry_id)))
        .collect();
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

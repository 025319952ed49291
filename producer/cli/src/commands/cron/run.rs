//! `longshore cron run`.

use longshore_shared::{cron::Occasion, id::CronName};

use super::find;
use crate::{
    commands::words::of_ms,
    error::{CommandError, Done},
    output,
    session::Session,
};

/// Enqueues one run beside the ticks, also of a job that rests.
pub(super) async fn run(name: &CronName, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let Some((_, entry)) = find(&broker, name).await? else {
        return Ok(Done::Failure);
    };
    let now = of_ms(broker.server_time_ms().await?);
    let definition = &entry.definition;
    let occasion = Occasion::Asked(now);
    let message = definition.message(name, occasion);
    broker.enqueue_all(&definition.queue, &[message]).await?;
    output::line(format_args!("Task ID: {}", occasion.job_id(name)));
    Ok(Done::Success)
}

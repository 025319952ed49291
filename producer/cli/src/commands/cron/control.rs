//! `longshore cron pause`, `checkpoint`, `remove` and `run`.

use longshore_broker::NextTick;
use longshore_policy::cron::{CronJob, RunReason, Source};
use longshore_protocol::id::CronName;

use super::{find_job, require_unchanged};
use crate::{
    audit,
    error::{CommandError, Exit},
    output,
    render::time::{from_unix_ms, timestamp},
    session::Session,
};

/// Pauses a recurring job, or resumes it.
pub(super) async fn set_paused(
    name: &CronName,
    paused: bool,
    session: &Session,
) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let Some((record, entry)) = find_job(&broker, name).await? else {
        return Ok(Exit::Failure);
    };
    if entry.paused == paused {
        let state = if paused {
            "already paused"
        } else {
            "not paused"
        };
        output::line(format_args!("{name} is {state}"));
        return Ok(Exit::Success);
    }
    let now = from_unix_ms(broker.server().time_ms().await?);
    let tick = entry.definition.timing.next_after(now);
    let tick = tick.filter(|_| !paused);
    let entry = CronJob { paused, ..entry };
    let next = tick.map_or(NextTick::Never, NextTick::At);
    let put = broker
        .cron()
        .put(None, name, Some(&record), Some(&entry), next);
    require_unchanged(name, put.await?)?;
    audit::add_affected(1);
    match tick {
        Some(tick) => output::line(format_args!(
            "{name} is resumed, next at {}",
            timestamp(tick)
        )),
        None if paused => output::line(format_args!("{name} is paused")),
        None => output::line(format_args!("{name} is resumed, but has no next tick")),
    }
    Ok(Exit::Success)
}

pub(super) async fn remove(name: &CronName, session: &Session) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let Some((record, entry)) = find_job(&broker, name).await? else {
        return Ok(Exit::Failure);
    };
    if entry.source == Source::Config {
        return Err(CommandError::Input(format!(
            "recurring job `{name}` is defined in the configuration; remove it there, or pause it with \
             `longshore cron pause {name}`"
        )));
    }
    let put = broker
        .cron()
        .put(None, name, Some(&record), None, NextTick::Never);
    require_unchanged(name, put.await?)?;
    audit::add_affected(1);
    output::line(format_args!("{name} is removed"));
    Ok(Exit::Success)
}

/// Enqueues one run outside the schedule, even if the job is paused.
pub(super) async fn run_now(name: &CronName, session: &Session) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let Some((_, entry)) = find_job(&broker, name).await? else {
        return Ok(Exit::Failure);
    };
    let now = from_unix_ms(broker.server().time_ms().await?);
    let definition = &entry.definition;
    let occasion = RunReason::Asked(now);
    let message = definition.message(name, occasion);
    broker
        .queues()
        .enqueue_all(&definition.queue, &[message])
        .await?;
    audit::add_affected(1);
    output::line(format_args!("Task ID: {}", occasion.job_id(name)));
    Ok(Exit::Success)
}

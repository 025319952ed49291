//! `longshore cron pause`, `resume` and `remove`.

use longshore_shared::{
    broker::NextTick,
    cron::{Entry, Source},
    id::CronName,
};

use super::{find, unchanged};
use crate::{
    commands::words::{of_ms, time},
    error::{CommandError, Done},
    output,
    session::Session,
};

/// Lets it rest, or go on.
pub(super) async fn rest(
    name: &CronName,
    paused: bool,
    session: &Session,
) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let Some((record, entry)) = find(&broker, name).await? else {
        return Ok(Done::Failure);
    };
    if entry.paused == paused {
        let state = if paused { "rests" } else { "goes on" };
        output::line(format_args!("{name} {state} already"));
        return Ok(Done::Success);
    }
    let now = of_ms(broker.server_time_ms().await?);
    let tick = entry.definition.timing.next_after(now);
    let tick = tick.filter(|_| !paused);
    let entry = Entry { paused, ..entry };
    let next = tick.map_or(NextTick::Never, NextTick::At);
    let put = broker.cron_put(None, name, Some(&record), Some(&entry), next);
    unchanged(name, put.await?)?;
    match tick {
        Some(tick) => output::line(format_args!("{name} goes on, next at {}", time(tick))),
        None => output::line(format_args!("{name} rests")),
    }
    Ok(Done::Success)
}

/// Takes it away.
pub(super) async fn remove(name: &CronName, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let Some((record, entry)) = find(&broker, name).await? else {
        return Ok(Done::Failure);
    };
    if entry.source == Source::Config {
        return Err(CommandError::Input(format!(
            "the recurring job `{name}` stands in the configuration; take it out there, or let it rest with \
             `longshore cron pause {name}`"
        )));
    }
    let put = broker.cron_put(None, name, Some(&record), None, NextTick::Never);
    unchanged(name, put.await?)?;
    output::line(format_args!("{name} is removed"));
    Ok(Done::Success)
}

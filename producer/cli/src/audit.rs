//! The audit: who changed what with a command, and how it ended.
//!
//! A command that changes something sends two events to the ledger, one before it begins and one after it has ended, both
//! with the id of the act. A command that is killed leaves the first. Events wait in Redis while Postgres is away. An act
//! never fails because it cannot be audited.

mod arguments;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use clap::ArgMatches;
use longshore_broker::Broker;
use longshore_protocol::{
    clock::local_time,
    event::{ActOutcome, AuditRecord, Event},
    id::{ActId, host_name},
    serialized::Serialized,
};
use longshore_settings::Environment;
use nix::unistd::{User, getuid};

use self::arguments::{describe_arguments, is_only_asked};
use crate::{
    error::{CommandError, Exit},
    output,
    render::text::one_line,
    session::Session,
};

/// The commands that change something and leave a row in the audit. Jobs and chains that are enqueued are in the ledger
/// themselves.
const AUDITED: [&str; 24] = [
    "batch cancel",
    "batch retry",
    "chain cancel",
    "chain retry",
    "config push",
    "cron add",
    "cron pause",
    "cron remove",
    "cron resume",
    "cron run",
    "dlq edit",
    "dlq purge",
    "dlq replay",
    "jobs bump",
    "jobs cancel",
    "jobs run-now",
    "migrate",
    "pause",
    "queues move",
    "queues purge",
    "resume",
    "review approve",
    "review edit",
    "review reject",
];

/// The variable that names the actor.
const ACTOR: &str = "LONGSHORE_ACTOR";

/// The most characters of an actor's name and of an error.
const SHORT: usize = 200;

/// What the command has changed so far.
static AFFECTED: AtomicU64 = AtomicU64::new(0);

/// Notes that the command changed this many jobs, dead letters or other things.
pub(crate) fn add_affected(count: usize) {
    AFFECTED.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// An act that has begun.
pub(crate) struct Act {
    record: AuditRecord,
    /// Where its begin was reported to.
    reported: Result<Broker, CommandError>,
}

impl Act {
    /// Reports the begin of a command that changes something; `None` for all others.
    pub(crate) async fn begin(matches: &ArgMatches, root: &clap::Command) -> Option<Self> {
        let (command, what) = audited_command(matches, root)?;
        // Without a configuration no command runs.
        let session = Session::open_silently().ok()?;
        let record = AuditRecord {
            act_id: ActId::fresh(),
            at: local_time(),
            actor: actor(&session.environment),
            command,
            what,
            affected: None,
            outcome: ActOutcome::Begun,
            error: None,
        };
        let reported = match session.broker().await {
            Ok(broker) => report(&broker, &record).await.map(|()| broker),
            Err(error) => Err(error),
        };
        Some(Self { record, reported })
    }

    /// Reports how it ended.
    pub(crate) async fn end(self, ended: &Result<Exit, CommandError>) {
        let affected = AFFECTED.load(Ordering::Relaxed);
        let (outcome, error) = outcome(ended, affected);
        let record = AuditRecord {
            affected: Some(affected),
            outcome,
            error,
            ..self.record
        };
        let reported = match self.reported {
            Ok(broker) => report(&broker, &record).await,
            Err(error) => Err(error),
        };
        if let Err(error) = reported
            && outcome == ActOutcome::Done
        {
            output::warning(format_args!(
                "this is not in the audit: {}",
                error.first_line()
            ));
        }
    }
}

/// The words of the command and what it was given, if it changes something.
fn audited_command(matches: &ArgMatches, root: &clap::Command) -> Option<(String, String)> {
    let (mut matches, mut command, mut words) = (matches, root, Vec::new());
    while let Some((name, inner)) = matches.subcommand() {
        words.push(name);
        matches = inner;
        command = command.find_subcommand(name)?;
    }
    let words = words.join(" ");
    let is_audited = AUDITED.contains(&words.as_str()) && !is_only_asked(matches);
    is_audited.then(|| (words, describe_arguments(matches, command)))
}

/// Who acts: the user and the host, unless a program acts for a person and names them.
pub(crate) fn actor(environment: &Environment) -> String {
    let named = environment.get(ACTOR).map(str::trim);
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return one_line(named, SHORT);
    }
    let id = getuid();
    let user = User::from_uid(id).ok().flatten();
    let user = user.map_or_else(|| id.to_string(), |user| user.name);
    one_line(&format!("{user}@{}", host_name()), SHORT)
}

fn outcome(ended: &Result<Exit, CommandError>, affected: u64) -> (ActOutcome, Option<String>) {
    match ended {
        Err(error) => {
            let error = one_line(&error.first_line(), SHORT);
            (ActOutcome::Failed, Some(error))
        }
        Ok(Exit::Refused) => (ActOutcome::Refused, None),
        Ok(Exit::Failure) if affected == 0 => (ActOutcome::Failed, None),
        Ok(Exit::Success | Exit::Failure | Exit::Interrupted | Exit::Code(_)) => {
            (ActOutcome::Done, None)
        }
    }
}

async fn report(broker: &Broker, record: &AuditRecord) -> Result<(), CommandError> {
    let event = Event {
        audit: Some(Box::new(record.clone())),
        ..Event::default()
    };
    let event = Serialized::new(&event).map_err(|error| CommandError::Input(error.to_string()))?;
    Ok(broker.events().append(&[event]).await?)
}

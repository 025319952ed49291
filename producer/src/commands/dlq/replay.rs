//! `longshore dlq replay`: puts dead letters into their queues again.

use std::{num::NonZeroU32, time::Duration};

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use longshore_shared::{
    archive::Standing,
    broker::{Broker, BrokerError},
    envelope::{Limits, RawMessage, parse},
    event::Event,
    id::JobId,
    ledger::{DeadResolution, Ledger},
    letter::Letter,
    resume::Resume,
    state::JobState,
};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{
    absent,
    bulk::{self, Choice},
};
use crate::{
    commands::{record, words::many},
    error::{CommandError, Done},
    output,
    session::Session,
};

/// Letters that are read at once.
const CHUNK: usize = 500;

/// Replays that are on their way at once.
const AT_ONCE: usize = 256;

/// Letters that could not be replayed, named one by one.
const NAMED: usize = 20;

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    choice: Choice,
    /// At most so many a second (50, or 50/s)
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<NonZeroU32>,
}

fn rate(text: &str) -> Result<NonZeroU32, String> {
    text.strip_suffix("/s")
        .unwrap_or(text)
        .parse()
        .map_err(|_| format!("expected a whole number over 0 of letters a second, such as 50 or 50/s, but got `{text}`"))
}

/// What became of a letter.
#[derive(Debug)]
enum Replayed {
    /// It stands in its queue; the letter's id and time of death, for the record.
    Yes(JobId, DateTime<Utc>),
    /// Somebody else replayed, purged or changed it in the meantime.
    Gone,
    /// It cannot be, and why.
    Skipped(JobId, String),
}

/// Figures of a run.
#[derive(Debug, Default)]
struct Tally {
    replayed: usize,
    gone: usize,
    skipped: Vec<(JobId, String)>,
    /// Of the replayed ones, those that the record does not know of.
    unrecorded: usize,
}

/// Replays.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let choice = arguments.choice;
    let broker = session.broker().await?;
    let chosen = choice.find("replay", &broker).await?;
    for id in &chosen.absent {
        output::complain(&absent(id));
    }
    if choice.dry_run {
        bulk::dry_run("replayed", &chosen, &broker).await?;
        return Ok(Done::Success);
    }
    if !choice.confirmed("replay", chosen.keys.len())? {
        output::note("Nothing was replayed.");
        return Ok(Done::Failure);
    }
    let mut tally = Tally::default();
    let ran = replay_all(&chosen.keys, arguments.rate, &broker, session, &mut tally).await;
    if let Err(error) = ran {
        output::note(format_args!(
            "{} replayed before that.",
            many(tally.replayed, "dead letter")
        ));
        return Err(error);
    }
    report(&tally);
    Ok(if chosen.absent.is_empty() && tally.skipped.is_empty() {
        Done::Success
    } else {
        Done::Failure
    })
}

async fn replay_all(
    keys: &[(JobId, i64)],
    rate: Option<NonZeroU32>,
    broker: &Broker,
    session: &Session,
    tally: &mut Tally,
) -> Result<(), CommandError> {
    let limits = session.config.limits;
    let mut pace = rate.map(pace);
    let bar = bulk::bar(keys.len());
    // The record is told as well as it can be: the replay itself needs only Redis.
    let mut ledger: Option<Ledger> = None;
    let mut away = false;
    // The next letters are read while these are on their way.
    let mut chunks = stream::iter(keys.chunks(CHUNK))
        .map(|keys| async move {
            broker
                .dead_letters(keys)
                .await
                .map(|letters| (keys.len(), letters))
        })
        .buffered(2);
    while let Some(chunk) = chunks.next().await {
        let (asked, letters) = chunk?;
        tally.gone += asked - letters.len();
        let mut recorded = Vec::new();
        for done in replay_some(&letters, &limits, broker, &mut pace, &bar).await? {
            match done {
                Replayed::Yes(id, at) => recorded.push((id, at)),
                Replayed::Gone => tally.gone += 1,
                Replayed::Skipped(id, why) => tally.skipped.push((id, why)),
            }
        }
        tally.replayed += recorded.len();
        if recorded.is_empty() {
            continue;
        }
        if ledger.is_none() && !away {
            ledger = session.ledger().await.ok();
        }
        let told = match &ledger {
            Some(ledger) if !away => ledger
                .dead_gone(&recorded, DeadResolution::Replayed)
                .await
                .is_ok(),
            _ => false,
        };
        if !told {
            away = true;
            tally.unrecorded += recorded.len();
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Lets one letter go at each tick; what was late is made up for.
fn pace(rate: NonZeroU32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / rate.get());
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    pace
}

async fn replay_some(
    letters: &[Standing],
    limits: &Limits,
    broker: &Broker,
    pace: &mut Option<Interval>,
    bar: &indicatif::ProgressBar,
) -> Result<Vec<Replayed>, BrokerError> {
    if let Some(pace) = pace {
        let mut done = Vec::with_capacity(letters.len());
        for letter in letters {
            pace.tick().await;
            done.push(replay(letter, limits, broker).await?);
            bar.inc(1);
        }
        return Ok(done);
    }
    stream::iter(letters)
        .map(|letter| replay(letter, limits, broker))
        .buffer_unordered(AT_ONCE)
        .inspect(|_| bar.inc(1))
        .try_collect()
        .await
}

async fn replay(
    (died, letter, _): &Standing,
    limits: &Limits,
    broker: &Broker,
) -> Result<Replayed, BrokerError> {
    let Some(fields) = letter.message.fields() else {
        return Ok(Replayed::Skipped(
            letter.record.id.clone(),
            "its message was not kept whole; give it anew with `longshore dlq edit ID --file job.json`".to_owned(),
        ));
    };
    let resume = letter.resume.clone().replayed();
    let message = RawMessage { fields };
    let event = event(letter, &resume, &message, limits);
    let there = broker
        .replay(*died, letter, &message.fields, &resume, &event)
        .await?;
    Ok(if there {
        Replayed::Yes(letter.record.id.clone(), letter.record.at)
    } else {
        Replayed::Gone
    })
}

/// The job's record, available again; nothing where the message does not tell what job it is, or
/// where its id was changed: then it is checked first whether it may have that one.
fn event(letter: &Letter, resume: &Resume, message: &RawMessage, limits: &Limits) -> String {
    let Ok(parsed) = parse(message, limits) else {
        return String::new();
    };
    let envelope = parsed.envelope;
    if envelope
        .id
        .as_ref()
        .is_some_and(|id| *id != letter.record.id)
    {
        return String::new();
    }
    let job = record::of_redis(
        Some(&envelope),
        letter.record.queue.clone(),
        JobState::Available,
        resume,
    );
    let event = Event {
        job: Some(longshore_shared::event::JobRecord {
            // It failed before, but has not failed now.
            error: None,
            error_class: None,
            ..job
        }),
        ..Event::default()
    };
    serde_json::to_string(&event).unwrap_or_default()
}

fn report(tally: &Tally) {
    output::line(format_args!(
        "{} replayed",
        many(tally.replayed, "dead letter")
    ));
    if tally.gone > 0 {
        output::note(format_args!(
            "{} gone or changed in the meantime.",
            many(tally.gone, "dead letter")
        ));
    }
    for (id, why) in tally.skipped.iter().take(NAMED) {
        output::note(format_args!("{id}: skipped: {why}"));
    }
    if tally.skipped.len() > NAMED {
        output::note(format_args!(
            "… {} skipped in all.",
            many(tally.skipped.len(), "dead letter")
        ));
    }
    if tally.unrecorded > 0 {
        output::note(format_args!(
            "Warning: Postgres is away, so the record of {} does not say that they were replayed; the jobs themselves \
             are in their queues.",
            many(tally.unrecorded, "dead letter")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::filter::tests::letter, *};

    fn event_of(letter: &Letter) -> Option<Event> {
        let message = RawMessage {
            fields: letter.message.fields().unwrap(),
        };
        let text = event(
            letter,
            &letter.resume.clone().replayed(),
            &message,
            &Limits::default(),
        );
        (!text.is_empty()).then(|| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn rates_are_checked() {
        assert_eq!(rate("50").unwrap().get(), 50);
        assert_eq!(rate("50/s").unwrap().get(), 50);
        for wrong in ["0", "-1", "50/m", "fast"] {
            assert!(
                rate(wrong)
                    .unwrap_err()
                    .starts_with("expected a whole number over 0"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_replayed_job_keeps_its_id_and_history_and_is_available() {
        let mut dead = letter(
            "inv-42",
            &[("job", r#"{"id":"inv-42","type":"research","prompt":"x"}"#)],
        );
        dead.resume.admitted = true;
        dead.resume.attempts = 3;
        dead.resume.tries.insert("openai".to_owned(), 3);
        dead.resume.spent = vec!["sim".to_owned()];
        dead.resume.waits_since = Some(dead.record.at);
        let resume = dead.resume.clone().replayed();
        assert!(resume.admitted && resume.spent.is_empty() && resume.waits_since.is_none());
        assert_eq!((resume.attempts, resume.replays), (3, 1));
        assert!(resume.tries.is_empty());
        let job = event_of(&dead).unwrap().job.unwrap();
        assert_eq!(job.labels.job_id.as_str(), "inv-42");
        assert_eq!(
            (job.state, job.attempts, job.error),
            (JobState::Available, 3, None)
        );
    }

    #[test]
    fn nothing_is_recorded_of_what_is_not_known_to_be_this_job() {
        assert!(event_of(&letter("7-0", &[("job", "{")])).is_none());
        assert!(event_of(&letter("7-0", &[("id", "inv-42"), ("prompt", "x")])).is_none());
        assert!(event_of(&letter("7-0", &[("prompt", "x")])).is_some());
    }
}

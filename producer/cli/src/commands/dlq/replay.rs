//! `longshore dlq replay`: enqueues dead letters again.

use std::num::NonZeroU32;

use clap::ArgGroup;
use longshore_broker::{Broker, BulkReplay};
use longshore_protocol::dead_letter::PreparedReplay;
use uuid::Uuid;

use super::{
    bulk::{BATCH, ReplayTally, replay_all},
    pace::Pace,
    selection::{Selected, Selection, print_dry_run},
};
use crate::{
    error::{CommandError, Exit},
    output,
    render::text::{counted, grouped},
    session::Session,
    waiting::until_interrupted,
};

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("which").required(true).args(["ids", "all", "continued"])))]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Continue an interrupted replay of --all
    #[arg(long = "continue", value_name = "REPLAY", conflicts_with_all = ["dry_run", "yes"])]
    continued: Option<String>,
    /// Maximum replays per second (50, or 50/s)
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    rate: Option<NonZeroU32>,
}

fn parse_rate(text: &str) -> Result<NonZeroU32, String> {
    text.strip_suffix("/s")
        .unwrap_or(text)
        .parse()
        .map_err(|_| format!("expected a whole number of replays per second, at least 1, such as 50 or 50/s, but got `{text}`"))
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let Arguments {
        selection,
        continued,
        rate,
    } = arguments;
    if let Some(id) = continued {
        if selection.is_filtered() {
            return Err(CommandError::Input(
                "--continue uses the filters that the replay started with: remove the filter options".to_owned(),
            ));
        }
        let broker = session.broker().await?;
        let bulk = find_interrupted(&id, &broker).await?;
        return run_bulk(bulk, rate, &broker, session).await;
    }
    selection.check("replay")?;
    let broker = session.broker().await?;
    let selected = selection.find(&broker).await?;
    if selection.consent.dry_run {
        print_dry_run("replayed", selected, &broker).await?;
        return Ok(Exit::Success);
    }
    if !selection.confirmed("replay", &selected, &broker).await? {
        output::note("Nothing was replayed.");
        return Ok(Exit::Refused);
    }
    match selected {
        Selected::Named(dead_letters, all) => {
            let mut tally = ReplayTally::default();
            let mut pace = rate.map(Pace::new);
            let ready = tally.prepare(&dead_letters, &session.config.limits, broker.keyring());
            let mut rest: &[PreparedReplay] = &ready;
            while !rest.is_empty() {
                let batch = rest.len().min(BATCH);
                let count = match &mut pace {
                    Some(pace) => pace.next_slots(batch).await,
                    None => batch,
                };
                let (now, later) = rest.split_at(count.min(rest.len()));
                tally.count(&broker.dead_letters().replay(now, None).await?);
                rest = later;
            }
            let all_replayed = all && tally.skipped == 0;
            output::line(describe_tally(&tally));
            Ok(Exit::success_if(all_replayed))
        }
        Selected::Matching(query) => {
            let bulk = BulkReplay {
                // Short enough to type, long enough to be unique.
                id: format!("{:012x}", Uuid::now_v7().as_u128() & 0xffff_ffff_ffff),
                filter: query.filter,
                span: query.span,
                after: None,
                replayed: 0,
                gone: 0,
                skipped: 0,
            };
            broker.dead_letters().begin_bulk_replay(&bulk).await?;
            run_bulk(bulk, rate, &broker, session).await
        }
    }
}

/// A bulk replay that was interrupted.
async fn find_interrupted(id: &str, broker: &Broker) -> Result<BulkReplay, CommandError> {
    if let Some(bulk) = broker.dead_letters().bulk_replay(id).await? {
        return Ok(bulk);
    }
    let others = broker.dead_letters().bulk_replay_ids().await?;
    Err(CommandError::Input(unknown_replay(id, &others)))
}

fn unknown_replay(id: &str, others: &[String]) -> String {
    let others = match others {
        [] => "none is left".to_owned(),
        ids => format!("left are {}", ids.join(", ")),
    };
    format!("no interrupted replay `{id}`: it has finished or is older than a week; {others}")
}

/// Runs a bulk replay until it ends or the user presses Ctrl-C.
async fn run_bulk(
    bulk: BulkReplay,
    rate: Option<NonZeroU32>,
    broker: &Broker,
    session: &Session,
) -> Result<Exit, CommandError> {
    let id = bulk.id.clone();
    output::note(describe_start(&bulk));
    let replayed = replay_all(bulk, rate, broker, &session.config.limits);
    let tally = match until_interrupted(replayed).await {
        Some(Ok(tally)) => tally,
        Some(Err(error)) => {
            output::note(describe_interruption(&id, None));
            return Err(error.into());
        }
        None => {
            let replayed = broker
                .dead_letters()
                .bulk_replay(&id)
                .await?
                .map(|bulk| bulk.replayed);
            output::note(describe_interruption(&id, replayed));
            return Ok(Exit::Interrupted);
        }
    };
    broker.dead_letters().end_bulk_replay(&id).await?;
    output::line(describe_tally(&tally));
    Ok(Exit::success_if(tally.skipped == 0))
}

fn describe_start(bulk: &BulkReplay) -> String {
    let id = &bulk.id;
    if bulk.after.is_some() {
        let before = counted(bulk.replayed, "dead letter");
        return format!("Continuing replay {id}: {before} already replayed.");
    }
    format!(
        "Replay {id}; to continue it after an interruption: longshore dlq replay --continue {id}"
    )
}

fn describe_interruption(id: &str, replayed: Option<u64>) -> String {
    let replayed = replayed.map_or_else(String::new, |replayed| {
        format!(": {} replayed", counted(replayed, "dead letter"))
    });
    format!("Interrupted{replayed}. To continue: longshore dlq replay --continue {id}")
}

fn describe_tally(tally: &ReplayTally) -> String {
    let dead_letters = |number: u64| counted(number, "dead letter");
    let mut lines = vec![format!("{} replayed", dead_letters(tally.replayed))];
    if tally.gone > 0 {
        lines.push(format!(
            "{} removed or changed during the replay",
            dead_letters(tally.gone)
        ));
    }
    if tally.skipped > 0 {
        lines.push(format!(
            "{} skipped because their messages were not kept in full; replace them with `longshore dlq edit ID --file job.json`",
            dead_letters(tally.skipped)
        ));
        lines.extend(tally.named.iter().map(|id| format!("  {id}")));
        let more = tally.skipped.saturating_sub(tally.named.len() as u64);
        if more > 0 {
            lines.push(format!("  … and {} more", grouped(more)));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use longshore_client::JobId;
    use longshore_protocol::dead_letter::{DeadLetterCursor, DeadLetterFilter};

    use super::*;

    #[test]
    fn rates_are_checked() {
        assert_eq!(parse_rate("50").unwrap().get(), 50);
        assert_eq!(parse_rate("50/s").unwrap().get(), 50);
        for wrong in ["0", "-1", "50/m", "fast"] {
            assert!(
                parse_rate(wrong)
                    .unwrap_err()
                    .starts_with("expected a whole number of replays per second, at least 1"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_report_counts_replays_and_shows_how_to_continue() {
        let mut tally = ReplayTally {
            replayed: 1234,
            ..ReplayTally::default()
        };
        assert_eq!(describe_tally(&tally), "1,234 dead letters replayed");
        tally.gone = 1;
        tally.skipped = 22;
        tally.named = vec![JobId::parse("inv-42").unwrap()];
        insta::assert_snapshot!(describe_tally(&tally), @r"
        1,234 dead letters replayed
        1 dead letter removed or changed during the replay
        22 dead letters skipped because their messages were not kept in full; replace them with `longshore dlq edit ID --file job.json`
          inv-42
          … and 21 more
        ");
        let mut bulk = BulkReplay {
            id: "0a1b".to_owned(),
            filter: DeadLetterFilter::default(),
            span: 0..=5,
            after: None,
            replayed: 0,
            gone: 0,
            skipped: 0,
        };
        let begun = describe_start(&bulk);
        bulk.after = "5:9-0".parse::<DeadLetterCursor>().ok();
        bulk.replayed = 40_000;
        let messages = [
            begun,
            describe_start(&bulk),
            describe_interruption("0a1b", Some(40_000)),
            describe_interruption("0a1b", None),
            unknown_replay("0a1b", &[]),
            unknown_replay("0a1b", &["77".to_owned(), "78".to_owned()]),
        ];
        insta::assert_snapshot!(messages.join("\n"), @r"
        Replay 0a1b; to continue it after an interruption: longshore dlq replay --continue 0a1b
        Continuing replay 0a1b: 40,000 dead letters already replayed.
        Interrupted: 40,000 dead letters replayed. To continue: longshore dlq replay --continue 0a1b
        Interrupted. To continue: longshore dlq replay --continue 0a1b
        no interrupted replay `0a1b`: it has finished or is older than a week; none is left
        no interrupted replay `0a1b`: it has finished or is older than a week; left are 77, 78
        ");
    }
}

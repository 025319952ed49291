//! `longshore jobs wait`: waits until jobs have ended.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use longshore_shared::{broker::Broker, id::JobId, outcome::Outcome, state::JobState};
use serde::Serialize;

use super::{
    find::{self, Location},
    nowhere,
    why::first_line,
};
use crate::{
    commands::words::{head, many},
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Outcomes that are asked for at once.
const CHUNK: usize = 500;

/// How long Redis is left alone between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How often it is checked that the jobs without an outcome still exist.
const CHECK_AGAIN: Duration = Duration::from_secs(10);

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The jobs
    #[arg(required = true, value_name = "ID", value_parser = JobId::parse)]
    ids: Vec<JobId>,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What came of waiting for a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Waited {
    id: JobId,
    /// How it ended; absent when it has not, or is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<JobState>,
    /// All of its outcome, while Redis keeps that.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    /// One line of it.
    text: String,
}

/// Waits, and says how each ended as soon as it has.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let until = arguments
        .timeout
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut open: Vec<JobId> = Vec::new();
    for id in &arguments.ids {
        if !open.contains(id) {
            open.push(id.clone());
        }
    }
    let bar = indicatif::ProgressBar::new(open.len() as u64);
    let mut ended: BTreeMap<JobId, Waited> = BTreeMap::new();
    let mut checked: Option<Instant> = None;
    while !open.is_empty() {
        let mut fresh = outcomes(&broker, &mut open).await?;
        if checked.is_none_or(|at| at.elapsed() >= CHECK_AGAIN) {
            fresh.extend(lost(&broker, session, &mut open).await?);
            checked = Some(Instant::now());
        }
        for waited in fresh {
            if arguments.format == Format::Text {
                bar.suspend(|| output::line(&waited.text));
            }
            bar.inc(1);
            ended.insert(waited.id.clone(), waited);
        }
        if open.is_empty() {
            break;
        }
        let pause = match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(left) if left.is_zero() => break,
            Some(left) => left.min(LOOK_AGAIN),
            None => LOOK_AGAIN,
        };
        tokio::time::sleep(pause).await;
    }
    bar.finish_and_clear();
    for id in &open {
        let text = format!(
            "{id}: has not ended within {} s",
            arguments.timeout.unwrap_or_default()
        );
        if arguments.format == Format::Text {
            output::line(&text);
        }
        ended.insert(
            id.clone(),
            Waited {
                id: id.clone(),
                state: None,
                outcome: None,
                text,
            },
        );
    }
    if !open.is_empty() {
        let remain = if open.len() == 1 { "goes on" } else { "go on" };
        output::note(format_args!(
            "{} {remain}; wait again, or ask `longshore jobs why ID`.",
            many(open.len(), "job")
        ));
    }
    let good = ended
        .values()
        .all(|waited| waited.state == Some(JobState::Completed));
    if arguments.format == Format::Json {
        let in_order: Vec<&Waited> = arguments
            .ids
            .iter()
            .filter_map(|id| ended.get(id))
            .collect();
        output::json(&in_order);
    }
    Ok(if good { Done::Success } else { Done::Failure })
}

/// Takes out of `open` what has an outcome.
async fn outcomes(broker: &Broker, open: &mut Vec<JobId>) -> Result<Vec<Waited>, CommandError> {
    let mut ended = Vec::new();
    let mut left = Vec::new();
    for chunk in open.chunks(CHUNK) {
        for (id, outcome) in chunk.iter().zip(broker.outcomes(chunk).await?) {
            match outcome {
                Some(outcome) => ended.push(Waited {
                    id: id.clone(),
                    state: Some(outcome.state),
                    text: text(&outcome),
                    outcome: Some(outcome),
                }),
                None => left.push(id.clone()),
            }
        }
    }
    *open = left;
    Ok(ended)
}

/// Takes out of `open` what is no longer in Redis, or never was: the record tells how it ended, if
/// its outcome is kept no longer.
async fn lost(
    broker: &Broker,
    session: &Session,
    open: &mut Vec<JobId>,
) -> Result<Vec<Waited>, CommandError> {
    let mut gone = Vec::new();
    for id in open.iter() {
        let waited = match find::find(broker, id).await?.location {
            Location::Dead => Waited {
                id: id.clone(),
                state: Some(JobState::Discarded),
                outcome: None,
                text: format!("{id}: discarded (a dead letter)"),
            },
            Location::Nowhere { complete: true } => recorded(id, session).await,
            _ => continue,
        };
        gone.push(waited);
    }
    open.retain(|id| !gone.iter().any(|waited| waited.id == *id));
    Ok(gone)
}

async fn recorded(id: &JobId, session: &Session) -> Waited {
    let record = match session.ledger().await {
        Ok(ledger) => ledger.job(id).await.map_err(CommandError::from),
        Err(error) => Err(error),
    };
    let (state, text) = match record {
        Ok(Some(history)) if history.row.job.state.is_final() => {
            let job = history.row.job;
            let error = job
                .error
                .map(|error| format!(": {}", head(&error, 200)))
                .unwrap_or_default();
            (Some(job.state), format!("{id}: {}{error}", job.state))
        }
        Ok(Some(history)) => (
            None,
            format!(
                "{id}: the record says {}, but it is no longer in Redis",
                history.row.job.state
            ),
        ),
        Ok(None) => (None, nowhere(id, true, None)),
        Err(error) => (None, nowhere(id, true, Some(&first_line(&error)))),
    };
    Waited {
        id: id.clone(),
        state,
        outcome: None,
        text,
    }
}

fn text(outcome: &Outcome) -> String {
    let mut text = format!("{}: {}", outcome.id, outcome.state);
    if let Some(platform) = &outcome.platform {
        text.push_str(" by ");
        text.push_str(&head(platform, 60));
    }
    let seconds = Duration::from_millis(outcome.duration_ms).as_secs_f64();
    let _always = write!(text, ", {seconds:.2} s, ${}", outcome.cost_usd);
    if let Some(error) = &outcome.error {
        text.push_str(": ");
        text.push_str(&head(error, 200));
    }
    text
}

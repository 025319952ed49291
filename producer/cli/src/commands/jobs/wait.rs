//! `longshore jobs wait`: waits until jobs have ended.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use longshore_client::{Client, JobId, JobState, Location, Outcome};
use serde::Serialize;

use super::unknown_job;
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    render::{
        progress::Progress,
        text::{counted, one_line},
        time::seconds_from_ms,
    },
    session::Session,
};

/// The pause between two reads of the outcomes.
const PAUSE: Duration = Duration::from_millis(200);

/// How often jobs without an outcome are checked for existence.
const CHECK_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Job ids
    #[arg(required = true, value_name = "ID", value_parser = JobId::parse)]
    ids: Vec<JobId>,
    /// Give up after this many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// How the wait for a job ended.
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

/// Prints how each job ended as soon as it has.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    let until = arguments
        .timeout
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut open: Vec<JobId> = Vec::new();
    for id in &arguments.ids {
        if !open.contains(id) {
            open.push(id.clone());
        }
    }
    let bar = Progress::count("{wide_bar} {pos}/{len}", open.len() as u64);
    let mut ended: BTreeMap<JobId, Waited> = BTreeMap::new();
    let mut checked: Option<Instant> = None;
    while !open.is_empty() {
        let mut fresh = take_ended(&client, &mut open).await?;
        if checked.is_none_or(|at| at.elapsed() >= CHECK_PAUSE) {
            fresh.extend(take_missing(&client, session, &mut open).await?);
            checked = Some(Instant::now());
        }
        for waited in fresh {
            if arguments.format == Format::Text {
                bar.line(&waited.text);
            }
            bar.advance(1);
            ended.insert(waited.id.clone(), waited);
        }
        if open.is_empty() {
            break;
        }
        let pause = match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(left) if left.is_zero() => break,
            Some(left) => left.min(PAUSE),
            None => PAUSE,
        };
        tokio::time::sleep(pause).await;
    }
    bar.clear();
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
            counted(open.len(), "job")
        ));
    }
    let all_completed = ended
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
    Ok(Exit::success_if(all_completed))
}

/// Removes the jobs that have an outcome from `open`.
async fn take_ended(client: &Client, open: &mut Vec<JobId>) -> Result<Vec<Waited>, CommandError> {
    let mut ended = Vec::new();
    let mut left = Vec::new();
    for (id, outcome) in open.iter().zip(client.outcomes(open).await?) {
        match outcome {
            Some(outcome) => ended.push(Waited {
                id: id.clone(),
                state: Some(outcome.state),
                text: describe_outcome(&outcome),
                outcome: Some(outcome),
            }),
            None => left.push(id.clone()),
        }
    }
    *open = left;
    Ok(ended)
}

/// Removes the jobs that Redis does not have from `open`: Postgres may know how they ended.
async fn take_missing(
    client: &Client,
    session: &Session,
    open: &mut Vec<JobId>,
) -> Result<Vec<Waited>, CommandError> {
    let mut gone = Vec::new();
    for id in open.iter() {
        let waited = match client.locate(id).await?.location {
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
    let (state, text) = match session.recorded_job(id).await {
        Ok(Some(history)) if history.row.job.state.is_final() => {
            let job = history.row.job;
            let error = job
                .error
                .map(|error| format!(": {}", one_line(&error, 200)))
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
        Ok(None) => (None, unknown_job(id, true, None)),
        Err(error) => (None, unknown_job(id, true, Some(&error.first_line()))),
    };
    Waited {
        id: id.clone(),
        state,
        outcome: None,
        text,
    }
}

fn describe_outcome(outcome: &Outcome) -> String {
    let mut text = format!("{}: {}", outcome.id, outcome.state);
    if let Some(platform) = &outcome.platform {
        text.push_str(" by ");
        text.push_str(&one_line(platform, 60));
    }
    let seconds = seconds_from_ms(outcome.duration_ms);
    let _always = write!(text, ", {seconds:.2} s, ${}", outcome.cost_usd);
    if let Some(error) = &outcome.error {
        text.push_str(": ");
        text.push_str(&one_line(error, 200));
    }
    text
}

//! `longshore jobs wait`: waits for jobs to end.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Write as _,
    time::{Duration, Instant},
};

use longshore_client::{Client, JobId, JobState, Location, Outcome};
use longshore_protocol::id::EntryId;
use serde::Serialize;

use super::{refuse_chains, unknown_job};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    render::{
        progress::Progress,
        text::{counted, one_line},
        time::seconds_from_ms,
    },
    session::Session,
    waiting::EXPLAIN_AFTER,
    why::JobWatch,
};

/// The pause between two reads of the outcomes.
const PAUSE: Duration = Duration::from_millis(200);

/// The pause between two checks that the jobs without an outcome still exist.
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
struct WaitResult {
    id: JobId,
    /// The final state; absent if the job has not ended or its state is unknown.
    state: Option<JobState>,
    /// The outcome, if Redis still has it.
    outcome: Option<Outcome>,
    /// The result in one line.
    text: String,
}

/// Prints how each job ended as soon as it ends.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    refuse_chains(&arguments.ids, "wait", &client).await?;
    let until = arguments
        .timeout
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut open: Vec<JobId> = Vec::new();
    for id in &arguments.ids {
        if !open.contains(id) {
            open.push(id.clone());
        }
    }
    let bar = match open.as_slice() {
        [_] => Progress::spinner("{spinner} {elapsed} {wide_msg}", "Waiting for the job"),
        _ => Progress::count("{wide_bar} {pos}/{len}", open.len() as u64),
    };
    let mut ended: BTreeMap<JobId, WaitResult> = BTreeMap::new();
    let single = match open.as_slice() {
        [id] => Some(id.clone()),
        _ => None,
    };
    let wait = Wait {
        client: &client,
        session,
        bar: &bar,
        format: arguments.format,
        until,
    };
    tokio::select! {
        waited = wait.run(&mut open, &mut ended) => waited?,
        never = tell(&client, single.as_ref(), &bar) => match never {},
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
            WaitResult {
                id: id.clone(),
                state: None,
                outcome: None,
                text,
            },
        );
    }
    if !open.is_empty() {
        output::note(format_args!(
            "{} still open; wait again, or run `longshore jobs why ID`.",
            counted(open.len(), "job")
        ));
    }
    let all_completed = ended
        .values()
        .all(|result| result.state == Some(JobState::Completed));
    if arguments.format == Format::Json {
        let in_order: Vec<&WaitResult> = arguments
            .ids
            .iter()
            .filter_map(|id| ended.get(id))
            .collect();
        output::json(&in_order);
    }
    Ok(Exit::success_if(all_completed))
}

struct Wait<'a> {
    client: &'a Client,
    session: &'a Session,
    bar: &'a Progress,
    format: Format,
    until: Option<Instant>,
}

impl Wait<'_> {
    /// Moves jobs from `open` to `ended` until all have ended, or the time is up.
    async fn run(
        &self,
        open: &mut Vec<JobId>,
        ended: &mut BTreeMap<JobId, WaitResult>,
    ) -> Result<(), CommandError> {
        let mut checked: Option<Instant> = None;
        loop {
            let mut fresh = remove_ended(self.client, open).await?;
            if checked.is_none_or(|at| at.elapsed() >= CHECK_PAUSE) {
                fresh.extend(remove_missing(self.client, self.session, open).await?);
                checked = Some(Instant::now());
            }
            for result in fresh {
                if self.format == Format::Text {
                    self.bar.line(&result.text);
                }
                self.bar.advance(1);
                ended.insert(result.id.clone(), result);
            }
            if open.is_empty() {
                return Ok(());
            }
            let left = self
                .until
                .map(|until| until.saturating_duration_since(Instant::now()));
            let pause = match left {
                Some(left) if left.is_zero() => return Ok(()),
                Some(left) => left.min(PAUSE),
                None => PAUSE,
            };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Says what a single job waits for.
async fn tell(client: &Client, single: Option<&JobId>, bar: &Progress) -> Infallible {
    let Some(id) = single else {
        return std::future::pending().await;
    };
    tokio::time::sleep(EXPLAIN_AFTER).await;
    let first = client.broker().jobs().first_entry_id(id).await;
    // A job without an id of its own has that of its entry.
    let first = first.ok().flatten();
    let entry_id = first.unwrap_or_else(|| EntryId::from_stored(id.as_str()));
    JobWatch::new(client, id, entry_id).tell(bar).await
}

/// Removes the jobs that have an outcome from `open`.
async fn remove_ended(
    client: &Client,
    open: &mut Vec<JobId>,
) -> Result<Vec<WaitResult>, CommandError> {
    let mut ended = Vec::new();
    let mut left = Vec::new();
    for (id, outcome) in open.iter().zip(client.outcomes(open).await?) {
        match outcome {
            Some(outcome) => ended.push(WaitResult {
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

/// Removes the jobs that are not in Redis from `open`; Postgres may know how they ended.
async fn remove_missing(
    client: &Client,
    session: &Session,
    open: &mut Vec<JobId>,
) -> Result<Vec<WaitResult>, CommandError> {
    let mut gone = Vec::new();
    for id in open.iter() {
        let result = match client.locate(id).await?.location {
            Location::Dead => WaitResult {
                id: id.clone(),
                state: Some(JobState::Discarded),
                outcome: None,
                text: format!("{id}: discarded (dead letter)"),
            },
            Location::Nowhere { complete: true } => recorded(id, session).await,
            _ => continue,
        };
        gone.push(result);
    }
    open.retain(|id| !gone.iter().any(|result| result.id == *id));
    Ok(gone)
}

async fn recorded(id: &JobId, session: &Session) -> WaitResult {
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
                "{id}: {} in Postgres, but no longer in Redis",
                history.row.job.state
            ),
        ),
        Ok(None) => (None, unknown_job(id, true, None)),
        Err(error) => (None, unknown_job(id, true, Some(&error.first_line()))),
    };
    WaitResult {
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

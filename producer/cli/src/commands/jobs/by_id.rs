//! Jobs by id, for the commands that take ids or `--all`.

use longshore_client::{Client, JobId, JobSnapshot, Location};
use serde::Serialize;

use super::{refuse_chains, unknown_job};
use crate::{
    audit,
    confirm::Consent,
    error::{CommandError, Exit},
    options::LabelFilter,
    output::{self, Format},
    session::Session,
};

#[derive(Debug, Serialize)]
struct Answer<R> {
    id: JobId,
    result: R,
    text: String,
}

/// What a request did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Done,
    /// It was so already.
    NotNeeded,
    /// It cannot be done for this job.
    Refused,
    /// There is no such job.
    Unknown,
}

/// What a command answers for one job.
pub(super) trait JobResult: Copy + Serialize {
    /// The job had already ended.
    const ENDED: Self;
    /// No such job.
    const UNKNOWN: Self;

    fn effect(self) -> Effect;
}

/// Fails if an option of `--all` was given with ids. `verb` is the command.
pub(super) fn refuse_options_of_all(
    filter: &LabelFilter,
    consent: Consent,
    verb: &str,
) -> Result<(), CommandError> {
    if filter.is_empty() && !consent.dry_run {
        return Ok(());
    }
    Err(CommandError::Input(format!(
        "filters and --dry-run require --all instead of ids: `longshore jobs {verb} --all …`"
    )))
}

/// Asks for one job after the other and prints the answers. That a job is unknown is an error; exit code 1 unless all is
/// done.
pub(super) async fn answer_each<R: JobResult>(
    ids: Vec<JobId>,
    format: Format,
    mut ask: impl AsyncFnMut(&JobId) -> Result<(R, String), CommandError>,
) -> Result<Exit, CommandError> {
    let mut answers = Vec::with_capacity(ids.len());
    let mut all_done = true;
    for id in ids {
        let (result, text) = ask(&id).await?;
        let effect = result.effect();
        audit::add_affected(usize::from(effect == Effect::Done));
        all_done &= matches!(effect, Effect::Done | Effect::NotNeeded);
        if format == Format::Text {
            if effect == Effect::Unknown {
                output::error(&text);
            } else {
                output::line(format_args!("{id}: {text}"));
            }
        }
        answers.push(Answer { id, result, text });
    }
    if format == Format::Json {
        output::json(&answers);
    }
    Ok(Exit::success_if(all_done))
}

/// As [`answer_each`], for a command that acts on jobs where they wait: `act` gets those that have not ended.
pub(super) async fn answer_each_unended<R: JobResult>(
    ids: Vec<JobId>,
    format: Format,
    session: &Session,
    act: impl AsyncFn(&JobId, &JobSnapshot, &Client) -> Result<(R, String), CommandError>,
) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    refuse_chains(&ids, "show", &client).await?;
    answer_each(ids, format, async |id| {
        let found = client.locate(id).await?;
        match how_it_ended(id, &found, session).await {
            Some(Ok(text)) => Ok((R::ENDED, text)),
            Some(Err(text)) => Ok((R::UNKNOWN, text)),
            None => act(id, &found, &client).await,
        }
    })
    .await
}

/// How a job ended, or the error for an unknown job; `None` if it has not ended.
async fn how_it_ended(
    id: &JobId,
    found: &JobSnapshot,
    session: &Session,
) -> Option<Result<String, String>> {
    match &found.location {
        Location::Nowhere { complete } => Some(recorded_end(id, *complete, session).await),
        Location::Ended => {
            let state = found.outcome.as_ref().map(|outcome| outcome.state.as_str());
            let state = state.unwrap_or("its outcome expired");
            Some(Ok(format!("already ended: {state}")))
        }
        Location::Dead => {
            let text = "already ended: it is a dead letter (see `longshore dlq show`)";
            Some(Ok(text.to_owned()))
        }
        _ => None,
    }
}

/// How a job ended that Redis does not have; else the error for an unknown job. `complete`: see [`unknown_job`].
pub(super) async fn recorded_end(
    id: &JobId,
    complete: bool,
    session: &Session,
) -> Result<String, String> {
    match session.recorded_job(id).await {
        Ok(Some(history)) => Ok(format!("already ended: {}", history.row.job.state)),
        Ok(None) => Err(unknown_job(id, complete, None)),
        Err(error) => Err(unknown_job(id, complete, Some(&error.first_line()))),
    }
}

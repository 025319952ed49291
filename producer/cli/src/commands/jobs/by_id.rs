//! Jobs by id, for the commands that take ids or `--all`.

use longshore_client::{JobId, JobSnapshot, Location};
use serde::Serialize;

use super::unknown_job;
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
pub(super) async fn answer_each<R: Copy + Serialize>(
    ids: Vec<JobId>,
    format: Format,
    effect: fn(R) -> Effect,
    mut ask: impl AsyncFnMut(&JobId) -> Result<(R, String), CommandError>,
) -> Result<Exit, CommandError> {
    let mut answers = Vec::with_capacity(ids.len());
    let mut all_done = true;
    for id in ids {
        let (result, text) = ask(&id).await?;
        let effect = effect(result);
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

/// How a job ended, or the error for an unknown job; `None` if it has not ended.
pub(super) async fn how_it_ended(
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

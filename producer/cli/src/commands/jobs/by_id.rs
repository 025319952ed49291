//! Jobs by id, for the commands that take ids or `--all`.

use longshore_client::JobId;
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

/// Asks for one job after the other and prints the answers. An answer `unknown` is an error; exit code 1 unless all
/// are `done`.
pub(super) async fn answer_each<R: Copy + PartialEq + Serialize>(
    ids: Vec<JobId>,
    format: Format,
    (done, unknown): (R, R),
    mut ask: impl AsyncFnMut(&JobId) -> Result<(R, String), CommandError>,
) -> Result<Exit, CommandError> {
    let mut answers = Vec::with_capacity(ids.len());
    for id in ids {
        let (result, text) = ask(&id).await?;
        audit::add_affected(usize::from(result == done));
        if format == Format::Text {
            if result == unknown {
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
    let all_done = answers.iter().all(|answer| answer.result == done);
    Ok(Exit::success_if(all_done))
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

//! Opens a text in the editor of the user.

use std::io::Write as _;

use longshore_settings::Environment;

use crate::{error::CommandError, input::read_text};

/// The edited text, and the temporary file that holds it. `instead` says what to do without an editor.
pub(crate) async fn edit_text(
    text: &str,
    suffix: &str,
    instead: &str,
) -> Result<(String, tempfile::NamedTempFile), CommandError> {
    let environment = Environment::read()?;
    let editor = environment
        .get("VISUAL")
        .or_else(|| environment.get("EDITOR"))
        .ok_or_else(|| {
            CommandError::Input(format!("no editor is configured: set EDITOR, {instead}"))
        })?;
    let mut command_line = editor.split_whitespace();
    let program = command_line.next().unwrap_or(editor);
    let mut draft = tempfile::Builder::new()
        .prefix("longshore-")
        .suffix(suffix)
        .tempfile()
        .map_err(CommandError::io("cannot create a temporary file"))?;
    draft
        .write_all(text.as_bytes())
        .map_err(CommandError::io(format!(
            "cannot write {}",
            draft.path().display()
        )))?;
    let status = tokio::process::Command::new(program)
        .args(command_line)
        .arg(draft.path())
        .status()
        .await
        .map_err(CommandError::io(format!(
            "cannot start the editor `{editor}`"
        )))?;
    if !status.success() {
        return Err(CommandError::Input(format!(
            "the editor `{editor}` failed ({status}); nothing was written"
        )));
    }
    let text = read_text(draft.path())?;
    Ok((text, draft))
}

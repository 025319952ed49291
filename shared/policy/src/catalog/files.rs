//! Model files next to the configuration: `model_files`.

use std::path::Path;

use longshore_protocol::platform::PlatformName;
use longshore_settings::{Reader, Text};

use super::{
    canonical,
    forms::text_form,
    litellm,
    models::{self, ModelLayer},
    raw::RawModels,
};

/// The models of a file: in LiteLLM's format if its name ends in `.json`, else in the format of
/// `models` in `longshore.yaml`. A relative path starts at the configuration's directory.
pub(super) fn parts(r: &mut Reader<'_>, names: &[&str], written: &Text) -> Vec<ModelLayer> {
    let form = text_form("the path of a file of models");
    let Some(path) = r.value("model_files", written, &form) else {
        return Vec::new();
    };
    let path = r.beside(Path::new(&path));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let text = format!("`model_files`: {} cannot be read: {error}", path.display());
            r.problem_at(written, text);
            return Vec::new();
        }
    };
    if path.extension().is_some_and(|end| end == "json") {
        return price_file(r, names, written, &path, &text);
    }
    let Some(file) = r.parse::<RawModels>(&path, &text) else {
        return Vec::new();
    };
    r.within(&path, |r| {
        models::parts(r, names, &file.models.unwrap_or_default())
    })
}

fn price_file(
    r: &mut Reader<'_>,
    names: &[&str],
    written: &Text,
    path: &Path,
    text: &str,
) -> Vec<ModelLayer> {
    let platform =
        |name: &str| canonical(name, names.iter().copied()).map(PlatformName::from_stored);
    match litellm::read(text, platform) {
        Ok(import) => {
            // Models that are paid by session or by hour are not errors.
            let wrong: Vec<&str> = import
                .unread
                .iter()
                .filter(|unread| unread.why != litellm::NO_PRICE)
                .map(|unread| unread.name.as_str())
                .collect();
            if let [first, others @ ..] = wrong.as_slice() {
                let others = match others.len() {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                r.warn(format!(
                    "{}: the model {first}{others} cannot be read",
                    path.display()
                ));
            }
            import.parts
        }
        Err(error) => {
            let text = format!("`model_files`: {}: {error}", path.display());
            r.problem_at(written, text);
            Vec::new()
        }
    }
}

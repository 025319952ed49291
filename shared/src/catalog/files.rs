//! Files of models beside the configuration: `model_files`.

use std::path::{Path, PathBuf};

use super::{
    PlatformName, canonical, litellm,
    models::{self, Part},
    raw::RawModels,
    read::text_form,
};
use crate::config::{Reader, Text, parse};

/// How many names a warning shows.
const SHOWN: usize = 5;

/// The models of a file: of one in LiteLLM's form if its name ends in `.json`, else of one with `models`
/// as in `longshore.yaml`. A relative path begins where the configuration stands.
pub(super) fn parts(r: &mut Reader<'_>, names: &[&str], written: &Text) -> Vec<Part> {
    let form = text_form("the path of a file of models");
    let Some(path) = r.value("model_files", written, &form) else {
        return Vec::new();
    };
    let path = beside(r.path(), Path::new(&path));
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
    match parse::<RawModels>(&path, &text) {
        Ok(file) => r.within(&path, |r| models::parts(r, names, &file.models)),
        Err(problem) => {
            r.problem(problem.origin, problem.text);
            Vec::new()
        }
    }
}

fn beside(config: &Path, path: &Path) -> PathBuf {
    config
        .parent()
        .map_or_else(|| path.to_owned(), |directory| directory.join(path))
}

fn price_file(
    r: &mut Reader<'_>,
    names: &[&str],
    written: &Text,
    path: &Path,
    text: &str,
) -> Vec<Part> {
    let platform = |name: &str| canonical(name, names.iter().copied()).map(PlatformName);
    match litellm::read(text, platform) {
        Ok(import) => {
            if !import.unread.is_empty() {
                let shown: Vec<&str> = import
                    .unread
                    .iter()
                    .take(SHOWN)
                    .map(|unread| unread.name.as_str())
                    .collect();
                r.warn(format!(
                    "{}: {} of its models cannot be read: {}{}",
                    path.display(),
                    import.unread.len(),
                    shown.join(", "),
                    if import.unread.len() > SHOWN {
                        ", …"
                    } else {
                        ""
                    }
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

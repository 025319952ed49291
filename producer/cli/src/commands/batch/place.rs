//! Where the results go.

use std::path::{Path, PathBuf};

use chrono::Local;

/// The file of `--output`: a folder, or what ends like one, gets a new file with the time in its name.
pub(super) fn resolved(path: PathBuf) -> PathBuf {
    let ends_like_a_folder = path.as_os_str().as_encoded_bytes().last() == Some(&b'/');
    if ends_like_a_folder || path.is_dir() {
        fresh(&path, &Local::now().format("%Y%m%d_%H%M%S").to_string())
    } else {
        path
    }
}

/// A name that is not taken: two batches may end up in one second.
fn fresh(folder: &Path, time: &str) -> PathBuf {
    let first = folder.join(format!("batch_{time}.json"));
    if !first.exists() {
        return first;
    }
    (2..1000)
        .map(|number| folder.join(format!("batch_{time}_{number}.json")))
        .find(|path| !path.exists())
        .unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_get_a_file_of_their_own() {
        let place = tempfile::tempdir().unwrap();
        let path = resolved(place.path().to_owned());
        let name = path.file_name().unwrap().to_str().unwrap();
        let time = name
            .strip_prefix("batch_")
            .and_then(|name| name.strip_suffix(".json"))
            .unwrap();
        assert_eq!(time.len(), "20260201_120000".len());
        assert_eq!(
            resolved("results/".into()).parent(),
            Some(Path::new("results"))
        );
        assert_eq!(resolved("results.json".into()), Path::new("results.json"));
    }

    #[test]
    fn no_results_are_written_over() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("batch_t.json"), "").unwrap();
        assert_eq!(
            fresh(place.path(), "t"),
            place.path().join("batch_t_2.json")
        );
    }
}

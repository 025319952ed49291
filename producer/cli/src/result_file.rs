//! The file of `--output`.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use chrono::Local;
use serde::Serialize;

use crate::{error::CommandError, output::write_json};

/// A file that will be written. It is opened before any money is spent, so that a result can always be
/// saved; its old content stays until there is a result.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    file: File,
    /// Whether it is new and still without content.
    empty: bool,
}

impl OutputFile {
    /// Opens the file and creates its folders.
    pub(crate) fn open(path: &Path) -> Result<Self, CommandError> {
        let (file, empty) = open_for_writing(path).map_err(|source| failed(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            empty,
        })
    }

    /// As [`OutputFile::open`]; a folder, or a path that ends like one, gets a new file with the time in
    /// its name.
    pub(crate) fn open_in(path: PathBuf) -> Result<Self, CommandError> {
        Self::open(&file_in(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the content by a JSON document.
    pub(crate) fn write(mut self, document: &impl Serialize) -> Result<(), CommandError> {
        self.empty = false;
        replace_content(&mut self.file, document).map_err(|source| failed(&self.path, source))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.empty {
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

fn file_in(path: PathBuf) -> PathBuf {
    let ends_like_a_folder = path.as_os_str().as_encoded_bytes().last() == Some(&b'/');
    if ends_like_a_folder || path.is_dir() {
        unused_name(&path, &Local::now().format("%Y%m%d_%H%M%S").to_string())
    } else {
        path
    }
}

/// Two batches may end up in one second.
fn unused_name(folder: &Path, time: &str) -> PathBuf {
    let first = folder.join(format!("batch_{time}.json"));
    if !first.exists() {
        return first;
    }
    (2..1000)
        .map(|number| folder.join(format!("batch_{time}_{number}.json")))
        .find(|path| !path.exists())
        .unwrap_or(first)
}

fn open_for_writing(path: &Path) -> io::Result<(File, bool)> {
    let folder = path
        .parent()
        .filter(|folder| *folder != Path::new(OsStr::new("")));
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => Ok((file, true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok((OpenOptions::new().write(true).open(path)?, false))
        }
        Err(error) => Err(error),
    }
}

fn replace_content(file: &mut File, document: &impl Serialize) -> io::Result<()> {
    // A terminal or a pipe has no length to set.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    write_json(&mut BufWriter::new(file), document)
}

fn failed(path: &Path, source: io::Error) -> CommandError {
    CommandError::Io {
        what: format!("--output: `{}` cannot be written", path.display()),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_and_old_results_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a/b/result.json");
        OutputFile::open(&path)
            .unwrap()
            .write(&vec!["long", "text"])
            .unwrap();
        OutputFile::open(&path).unwrap().write(&1).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn a_file_that_got_nothing_is_left_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let (fresh, old) = (place.path().join("fresh"), place.path().join("old"));
        std::fs::write(&old, "kept").unwrap();
        drop((
            OutputFile::open(&fresh).unwrap(),
            OutputFile::open(&old).unwrap(),
        ));
        assert!(!fresh.exists());
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "kept");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_at_once() {
        let place = tempfile::tempdir().unwrap();
        let error = OutputFile::open(place.path()).unwrap_err().to_string();
        assert!(error.starts_with("--output: `"), "{error}");
        assert!(
            OutputFile::open(Path::new("/dev/null"))
                .unwrap()
                .write(&1)
                .is_ok()
        );
    }

    #[test]
    fn folders_get_a_file_of_their_own() {
        let place = tempfile::tempdir().unwrap();
        let path = file_in(place.path().to_owned());
        let name = path.file_name().unwrap().to_str().unwrap();
        let time = name
            .strip_prefix("batch_")
            .and_then(|name| name.strip_suffix(".json"))
            .unwrap();
        assert_eq!(time.len(), "20260201_120000".len());
        assert_eq!(
            file_in("results/".into()).parent(),
            Some(Path::new("results"))
        );
        assert_eq!(file_in("results.json".into()), Path::new("results.json"));
    }

    #[test]
    fn no_results_are_written_over() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("batch_t.json"), "").unwrap();
        assert_eq!(
            unused_name(place.path(), "t"),
            place.path().join("batch_t_2.json")
        );
    }
}

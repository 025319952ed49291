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

/// A file for the result. It is opened before any money is spent, so that the result can be saved; its old
/// content stays until there is a result.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    file: File,
    /// Whether the file is new and still empty.
    empty: bool,
}

impl OutputFile {
    /// Opens the file and creates its parent directories.
    pub(crate) fn open(path: &Path) -> Result<Self, CommandError> {
        let (file, empty) = open_for_writing(path).map_err(|source| failed(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            empty,
        })
    }

    /// Like [`OutputFile::open`], but a directory, or a path that ends with `/`, gets a new file with the time in
    /// its name.
    pub(crate) fn open_in(path: PathBuf) -> Result<Self, CommandError> {
        Self::open(&resolve_path(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the content with a JSON document.
    pub(crate) fn write(mut self, document: &impl Serialize) -> Result<(), CommandError> {
        self.empty = false;
        clear(&self.file)
            .and_then(|()| write_json(&mut BufWriter::new(&self.file), document))
            .map_err(|source| failed(&self.path, source))
    }

    /// The file without its old content, for a result that is written in parts.
    pub(crate) fn into_cleared(mut self) -> Result<File, CommandError> {
        self.empty = false;
        clear(&self.file)
            .and_then(|()| self.file.try_clone())
            .map_err(|source| failed(&self.path, source))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.empty {
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

fn resolve_path(path: PathBuf) -> PathBuf {
    let ends_with_slash = path.as_os_str().as_encoded_bytes().last() == Some(&b'/');
    if ends_with_slash || path.is_dir() {
        unused_name(&path, &Local::now().format("%Y%m%d_%H%M%S").to_string())
    } else {
        path
    }
}

/// Adds a number if a batch already wrote a file in the same second.
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

fn clear(file: &File) -> io::Result<()> {
    // A terminal or a pipe has no length to set.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    Ok(())
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
    fn directories_are_created_and_old_results_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/result.json");
        OutputFile::open(&path)
            .unwrap()
            .write(&vec!["long", "text"])
            .unwrap();
        OutputFile::open(&path).unwrap().write(&1).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
        let mut parts = OutputFile::open(&path).unwrap().into_cleared().unwrap();
        for part in ["2\n", "3\n"] {
            io::Write::write_all(&mut parts, part.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n3\n");
    }

    #[test]
    fn an_unwritten_file_is_left_unchanged() {
        let directory = tempfile::tempdir().unwrap();
        let (fresh, old) = (directory.path().join("fresh"), directory.path().join("old"));
        std::fs::write(&old, "kept").unwrap();
        drop((
            OutputFile::open(&fresh).unwrap(),
            OutputFile::open(&old).unwrap(),
        ));
        assert!(!fresh.exists());
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "kept");
    }

    #[test]
    fn an_unwritable_path_is_reported_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let error = OutputFile::open(directory.path()).unwrap_err().to_string();
        assert!(error.starts_with("--output: `"), "{error}");
        assert!(
            OutputFile::open(Path::new("/dev/null"))
                .unwrap()
                .write(&1)
                .is_ok()
        );
    }

    #[test]
    fn a_directory_gets_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = resolve_path(directory.path().to_owned());
        let name = path.file_name().unwrap().to_str().unwrap();
        let time = name
            .strip_prefix("batch_")
            .and_then(|name| name.strip_suffix(".json"))
            .unwrap();
        assert_eq!(time.len(), "20260201_120000".len());
        assert_eq!(
            resolve_path("results/".into()).parent(),
            Some(Path::new("results"))
        );
        assert_eq!(
            resolve_path("results.json".into()),
            Path::new("results.json")
        );
    }

    #[test]
    fn existing_results_are_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("batch_t.json"), "").unwrap();
        assert_eq!(
            unused_name(directory.path(), "t"),
            directory.path().join("batch_t_2.json")
        );
    }
}

//! The file that results go to.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{error::CommandError, output};

/// A file that will be written: opened before any money is spent, so that a result always has a place
/// to go to. What stood in it stays until there is something to replace it.
#[derive(Debug)]
pub(in crate::commands) struct OutputFile {
    path: PathBuf,
    file: File,
    /// Not there before, and nothing in it yet.
    empty: bool,
}

impl OutputFile {
    /// Opens the file, and makes its folders.
    pub(in crate::commands) fn open(path: &Path) -> Result<Self, CommandError> {
        let (file, empty) = opened(path).map_err(|source| failed(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            empty,
        })
    }

    pub(in crate::commands) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a JSON document in the place of what the file held.
    pub(in crate::commands) fn write(
        mut self,
        document: &impl Serialize,
    ) -> Result<(), CommandError> {
        self.empty = false;
        written(&mut self.file, document).map_err(|source| failed(&self.path, source))
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if self.empty {
            let _gone = std::fs::remove_file(&self.path);
        }
    }
}

fn opened(path: &Path) -> io::Result<(File, bool)> {
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

fn written(file: &mut File, document: &impl Serialize) -> io::Result<()> {
    // A terminal or a pipe has no length to set.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    output::pretty(&mut BufWriter::new(file), document)
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
}

//! Files that a connection to Postgres needs: the password, and the certificates that the URL names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use secrecy::SecretString;
use url::Url;

use crate::LedgerError;

/// The options of a URL that name files.
const FILE_OPTIONS: &[&str] = &["sslrootcert", "sslcert", "sslkey"];

/// A file with a password, which may change.
pub(crate) struct PasswordFile {
    path: PathBuf,
    /// The time of the version that was read last.
    version: Mutex<Option<SystemTime>>,
}

impl PasswordFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            version: Mutex::new(None),
        }
    }

    /// The password, if the file changed since it was read.
    pub(crate) fn read_if_changed(&self) -> Result<Option<SecretString>, LedgerError> {
        let version = self.modified()?;
        let is_read = *self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if is_read == Some(version) {
            return Ok(None);
        }
        self.read().map(Some)
    }

    /// The password.
    pub(crate) fn read(&self) -> Result<SecretString, LedgerError> {
        // If the file changes in between, it is read once more than necessary.
        let version = self.modified()?;
        let text = fs::read_to_string(&self.path).map_err(|error| self.unusable(&error))?;
        // Editors and `echo` end a file with a line break.
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            let empty = io::Error::other("it is empty; expected a password");
            return Err(self.unusable(&empty));
        }
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        Ok(SecretString::from(password))
    }

    fn modified(&self) -> Result<SystemTime, LedgerError> {
        fs::metadata(&self.path)
            .and_then(|metadata| metadata.modified())
            .map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &io::Error) -> LedgerError {
        LedgerError::file("database.password_file", &self.path, error)
    }
}

/// Fails if a file that the URL names cannot be read.
pub(crate) fn check_files_of(url: &str) -> Result<(), LedgerError> {
    let url = Url::parse(url).map_err(|error| LedgerError::Url(error.to_string()))?;
    for (name, value) in url.query_pairs() {
        let Some(option) = FILE_OPTIONS.iter().find(|option| **option == name) else {
            continue;
        };
        let path = Path::new(&*value);
        fs::File::open(path).map_err(|error| LedgerError::file(option, path, &error))?;
    }
    Ok(())
}

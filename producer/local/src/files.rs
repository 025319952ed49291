//! Files and directories of local services.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::error::{Doing, LocalError};

/// The path of a new log; keeps one earlier log as `NAME.log.old`.
pub fn rotate_log(dir: &Path, name: &str) -> Result<PathBuf, LocalError> {
    let log = dir.join(format!("{name}.log"));
    match fs::rename(&log, dir.join(format!("{name}.log.old"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).doing("move", &log),
        _ => Ok(log),
    }
}

/// Restores the executable bits that some unpackers drop, and makes everything readable for all users: Postgres
/// may run as another account than the one that unpacked it.
pub(super) fn open_permissions(
    path: &Path,
    programs: &str,
    is_program: bool,
) -> Result<(), LocalError> {
    let kind = fs::symlink_metadata(path).doing("read", path)?.file_type();
    if kind.is_symlink() {
        return Ok(());
    }
    let mode = if kind.is_dir() || is_program {
        0o755
    } else {
        0o644
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .doing("set the permissions of", path)?;
    if kind.is_dir() {
        for entry in fs::read_dir(path).doing("read", path)? {
            let entry = entry.doing("read", path)?;
            let is_program = is_program || entry.file_name() == programs;
            open_permissions(&entry.path(), programs, is_program)?;
        }
    }
    Ok(())
}

/// Creates a directory that all users can read.
pub(super) fn create_open_dir(dir: &Path) -> Result<(), LocalError> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).doing("create", dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).doing("set the permissions of", dir)
}

/// Removes a directory, if it exists.
pub(super) fn remove_all(path: &Path) -> Result<(), LocalError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).doing("remove", path),
        _ => Ok(()),
    }
}

//! The account that Postgres runs as. Postgres refuses to run as root, so root uses `nobody`. Everything that
//! Postgres uses must be accessible to that account.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{User, geteuid};
use sha2::{Digest, Sha256};

use super::error::{Doing, LocalError};

/// Used if the system has no account named `nobody`.
const NOBODY: u32 = 65_534;

/// The user that Postgres runs as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    /// User and group, if they differ from those of this process.
    other: Option<(u32, u32)>,
}

impl Account {
    pub(super) fn for_postgres() -> Self {
        let other = geteuid().is_root().then(|| {
            User::from_name("nobody")
                .ok()
                .flatten()
                .map_or((NOBODY, NOBODY), |user| {
                    (user.uid.as_raw(), user.gid.as_raw())
                })
        });
        Self { other }
    }

    /// A command that runs as this account, without the variables of the caller that configure Postgres.
    /// Root's supplementary groups are dropped with the uid.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for variable in ["PGDATA", "PGHOST", "PGPORT", "PGOPTIONS", "PGTZ"] {
            command.env_remove(variable);
        }
        // The account may have no access to the caller's directory.
        command.env("LC_ALL", "C").current_dir("/");
        if let Some((uid, gid)) = self.other {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Creates a directory that only this account can use.
    pub(super) fn create_dir(self, path: &Path) -> Result<(), LocalError> {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(path)
            .doing("create", path)?;
        if let Some((uid, gid)) = self.other {
            chown(path, Some(uid), Some(gid)).doing("change the owner of", path)?;
        }
        Ok(())
    }

    /// Whether this account can pass through `path` and every directory above it.
    pub(super) fn reaches(self, path: &Path) -> bool {
        let Some((uid, _)) = self.other else {
            return true;
        };
        let Ok(path) = fs::canonicalize(path) else {
            return false;
        };
        path.ancestors().all(|ancestor| {
            fs::metadata(ancestor).is_ok_and(|it| {
                let needed = if it.uid() == uid { 0o100 } else { 0o001 };
                it.mode() & needed != 0
            })
        })
    }

    /// `dir` if this account can reach it, otherwise a substitute directory that it can reach.
    ///
    /// Root often works below a directory that is closed to others, such as `/root`. Its permissions stay
    /// unchanged: the substitute is in `/var/tmp`, named by the hash of `dir`'s path so that the next run finds it
    /// again. It belongs to root; others can only read it.
    pub(super) fn reachable(self, dir: &Path) -> Result<PathBuf, LocalError> {
        fs::create_dir_all(dir).doing("create", dir)?;
        if self.reaches(dir) {
            return Ok(dir.to_owned());
        }
        let dir = fs::canonicalize(dir).doing("find", dir)?;
        let hash = format!("{:x}", Sha256::digest(dir.as_os_str().as_encoded_bytes()));
        let short: String = hash.chars().take(16).collect();
        let substitute = PathBuf::from(format!("/var/tmp/longshore-{short}"));
        match fs::DirBuilder::new().mode(0o755).create(&substitute) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).doing("create", &substitute);
            }
            _ => {}
        }
        // Other users may have created this name in /var/tmp.
        let found = fs::symlink_metadata(&substitute).doing("inspect", &substitute)?;
        if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
            return Err(LocalError::Untrusted { path: substitute });
        }
        // The umask may have removed bits.
        fs::set_permissions(&substitute, fs::Permissions::from_mode(0o755))
            .doing("set the permissions of", &substitute)?;
        Ok(substitute)
    }
}

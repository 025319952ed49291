//! A private Postgres.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal;
use tokio::time::{Instant, sleep};

use self::cluster::Cluster;
use super::child::{ChildProcess, Signal};
use super::error::LocalError;
use super::files::rotate_log;
use super::instance::Instance;
use super::port::Port;
use super::process::{self, to_pid};
use super::tools::Toolbox;

mod cluster;

const NAME: &str = "postgres";
/// Recovery after a crash takes a while.
const READY_LIMIT: Duration = Duration::from_mins(1);
const STOP_GRACE: Duration = Duration::from_secs(20);
const PORT_TRIES: usize = 5;
/// How long sessions of a killed server may hold its shared memory.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(10);

/// Version 3.0 of Postgres's protocol, and the parameters of a new session.
const PROTOCOL: u32 = 3 << 16;
const PARAMETERS: &[u8] = b"user\0longshore\0database\0longshore\0\0";

/// How a local Postgres runs.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// The port.
    pub port: Port,
    /// Whether to keep the data. If not, it is faster, a crash of the machine (not of the server) may lose data, and
    /// drop removes the data.
    pub durable: bool,
}

/// A Postgres on loopback that stops when this is dropped. It has one database, `longshore`, and one user of the
/// same name with a random password.
#[derive(Debug)]
pub struct LocalPostgres {
    // Dropped before the claim, so that the claim outlives the process.
    child: ChildProcess,
    instance: Instance,
    cluster: Cluster,
    log: PathBuf,
    durable: bool,
    port: u16,
}

impl LocalPostgres {
    /// Starts it with its data in `dir/postgres` and its log in `dir/postgres.log`, and waits until it accepts
    /// queries. Creates the data directory if it is missing, and stops the leftover process of an earlier run.
    ///
    /// Postgres refuses to run as root, so root runs it as `nobody`. If `nobody` cannot reach `dir`, the data are in
    /// `/var/tmp/longshore-HASH` (the hash of `dir`) and `dir` has the password; deleting `dir` still removes the
    /// data at the next start.
    pub async fn start(
        tools: &Toolbox,
        dir: &Path,
        options: PostgresOptions,
    ) -> Result<Self, LocalError> {
        let instance = Instance::claim(dir, NAME, Signal::SIGINT).await?;
        let log = rotate_log(dir, NAME)?;
        let cluster = Cluster::open(tools, dir, options.durable).await?;
        let mut tries = 1;
        loop {
            let port = options.port.pick()?;
            let started = launch(&cluster, &instance, &log, options.durable, port).await;
            match started {
                Ok(child) => {
                    return Ok(Self {
                        child,
                        instance,
                        cluster,
                        log,
                        durable: options.durable,
                        port,
                    });
                }
                // Another process took the port after it was found free.
                Err(LocalError::Exited { tail, .. })
                    if options.port.is_replaceable()
                        && tries < PORT_TRIES
                        && tail.contains("Address already in use") =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Its URL: `postgres://longshore:PASSWORD@127.0.0.1:PORT/longshore`.
    pub fn url(&self) -> String {
        format!(
            "postgres://longshore:{}@127.0.0.1:{}/longshore",
            self.cluster.password(),
            self.port
        )
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of its first process.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        self.child.log()
    }

    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        self.cluster.data()
    }

    /// The exit status, or `None` while it runs.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, LocalError> {
        self.child.try_wait()
    }

    /// Keeps its data when this is dropped, for a person to examine.
    pub fn keep_data(&mut self) {
        self.durable = true;
    }

    /// Kills it at once with all of its processes, as a crash would.
    pub fn kill(&mut self) -> Result<(), LocalError> {
        // Each session is a process in its own group, and a session in a query would outlive the first process.
        // SIGSTOP keeps the first process from starting more sessions.
        self.child.signal(Signal::SIGSTOP)?;
        let sessions = process::children(self.pid());
        self.child.kill()?;
        for session in sessions {
            // Most have exited already.
            signal::kill(to_pid(session), Signal::SIGKILL).ok();
        }
        Ok(())
    }

    /// Restarts it on the same port with the same data.
    pub async fn restart(&mut self) -> Result<(), LocalError> {
        self.stop().await?;
        self.child = launch(
            &self.cluster,
            &self.instance,
            &self.log,
            self.durable,
            self.port,
        )
        .await?;
        Ok(())
    }

    /// Stops it in order: sessions end and their transactions are rolled back.
    pub async fn stop(&mut self) -> Result<(), LocalError> {
        self.child.stop(STOP_GRACE).await.map(|_| ())
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        if let Err(error) = self.child.stop_blocking() {
            tracing::warn!(%error, "Postgres not stopped");
        } else if !self.durable
            && let Err(error) = self.cluster.remove()
        {
            tracing::warn!(%error, "temporary Postgres data not removed");
        }
    }
}

/// Starts a server and waits until it is ready. A server exits at once while the shared memory of an earlier one
/// is still in use, so the start is retried for a while.
async fn launch(
    cluster: &Cluster,
    instance: &Instance,
    log: &Path,
    durable: bool,
    port: u16,
) -> Result<ChildProcess, LocalError> {
    let until = Instant::now() + LEFTOVER_LIMIT;
    loop {
        let command = command(cluster, durable, port);
        let mut child = ChildProcess::spawn_stopping_with(NAME, command, log, Signal::SIGINT)?;
        instance.record(child.pid())?;
        match wait_until_ready(&mut child, cluster.data(), port).await {
            Ok(()) => return Ok(child),
            Err(LocalError::Exited { tail, .. })
                if Instant::now() < until
                    && (tail.contains("shared memory block")
                        || tail.contains("lock file \"postmaster.pid\" already exists")) =>
            {
                sleep(Duration::from_millis(200)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn command(cluster: &Cluster, durable: bool, port: u16) -> Command {
    let mut command = cluster.program("postgres");
    command
        .arg("-D")
        .arg(cluster.data())
        .args(["-p", &port.to_string()]);
    let settings = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=100",
        "logging_collector=off",
        "log_destination=stderr",
        "timezone=UTC",
        "log_timezone=UTC",
    ];
    // Commits stay synchronous: without fsync that costs almost nothing, and a killed server keeps its committed
    // data.
    let fast = ["fsync=off", "full_page_writes=off"];
    let fast = if durable { [].as_slice() } else { &fast };
    for setting in settings.iter().chain(fast) {
        command.args(["-c", setting]);
    }
    command
}

/// Waits until this process accepts sessions.
async fn wait_until_ready(
    child: &mut ChildProcess,
    data: &Path,
    port: u16,
) -> Result<(), LocalError> {
    let until = Instant::now() + READY_LIMIT;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Err(child.exited(status));
        }
        if reports_ready(data, child.pid()).unwrap_or(false)
            && accepts_sessions(port).unwrap_or(false)
        {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(child.not_ready(READY_LIMIT))
}

/// Whether the server's pid file names this process (line 1) and reports that it is ready (line 8). The port alone
/// proves nothing: another Postgres may have taken it.
fn reports_ready(data: &Path, pid: u32) -> io::Result<bool> {
    let text = fs::read_to_string(data.join("postmaster.pid"))?;
    let mut lines = text.lines();
    let same = lines.next() == Some(pid.to_string().as_str());
    Ok(same && lines.nth(6).map(str::trim) == Some("ready"))
}

/// Whether the server asks a new session for its password. While it starts up or shuts down, it answers with an
/// error instead.
fn accepts_sessions(port: u16) -> io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let length = u32::try_from(8 + PARAMETERS.len()).map_err(io::Error::other)?;
    let mut message = Vec::new();
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(&PROTOCOL.to_be_bytes());
    message.extend_from_slice(PARAMETERS);
    stream.write_all(&message)?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    Ok(kind == *b"R")
}

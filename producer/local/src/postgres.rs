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
use super::port::free_port;
use super::process::{self, to_pid};
use super::tools::Toolbox;

mod cluster;

const NAME: &str = "postgres";
/// Recovery after a crash takes a while.
const READY_LIMIT: Duration = Duration::from_mins(1);
const STOP_GRACE: Duration = Duration::from_secs(20);
const PORT_TRIES: usize = 5;
/// How long what a killed server left may hold its shared memory.
const LEFTOVER_LIMIT: Duration = Duration::from_secs(10);

/// Version 3.0 of Postgres's protocol, and the parameters of a new session.
const PROTOCOL: u32 = 3 << 16;
const PARAMETERS: &[u8] = b"user\0longshore\0database\0longshore\0\0";

/// How a local Postgres runs.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Its port; any unused one if none is given.
    pub port: Option<u16>,
    /// Whether its data are to be kept. If not, it is faster, the computer's crash
    /// (not the server's) may lose data, and dropping it removes them.
    pub durable: bool,
}

/// A Postgres on loopback that ends when this is dropped. It has one database,
/// `longshore`, and one user of that name with a random password.
#[derive(Debug)]
pub struct LocalPostgres {
    // Before the claim, so that the claim outlives the process.
    child: ChildProcess,
    instance: Instance,
    cluster: Cluster,
    log: PathBuf,
    durable: bool,
    port: u16,
}

impl LocalPostgres {
    /// Starts it with its data in `dir/postgres` and its log in `dir/postgres.log`,
    /// and waits until it takes queries. The data directory is made if it is
    /// missing; what an earlier, killed run left running is stopped.
    ///
    /// Postgres refuses to run as root; then it runs as `nobody`. If `nobody` does
    /// not reach `dir`, the data are in `/var/tmp/longshore-HASH` (`HASH` being that
    /// of `dir`) and `dir` has the password; deleting `dir` still starts afresh.
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
            let port = options.port.map_or_else(free_port, Ok)?;
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
                // Somebody took the port after it was found free.
                Err(LocalError::Exited { tail, .. })
                    if options.port.is_none()
                        && tries < PORT_TRIES
                        && tail.contains("Address already in use") =>
                {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Where clients find it: `postgres://longshore:PASSWORD@127.0.0.1:PORT/longshore`.
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

    /// Where its data are.
    pub fn data_dir(&self) -> &Path {
        self.cluster.data()
    }

    /// How it ended, or `None` while it runs.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>, LocalError> {
        self.child.try_wait()
    }

    /// Kills it at once with all of its processes, as a crash would.
    pub fn kill(&mut self) -> Result<(), LocalError> {
        // Each session is a process in a group of its own, and one in a query would
        // go on without the first process. Held still, that one starts no others.
        self.child.signal(Signal::SIGSTOP)?;
        let sessions = process::children(self.pid());
        self.child.kill()?;
        for session in sessions {
            // Most have ended by themselves.
            signal::kill(to_pid(session), Signal::SIGKILL).ok();
        }
        Ok(())
    }

    /// Starts it again on the same port with the same data, stopping it first if it runs.
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

    /// Stops it in order: sessions are ended and their transactions rolled back.
    pub async fn stop(&mut self) -> Result<(), LocalError> {
        self.child.stop(STOP_GRACE).await.map(|_| ())
    }
}

impl Drop for LocalPostgres {
    fn drop(&mut self) {
        if let Err(error) = self.child.stop_blocking() {
            tracing::warn!(%error, "Postgres could not be stopped");
        } else if !self.durable
            && let Err(error) = self.cluster.remove()
        {
            tracing::warn!(%error, "the throw-away data could not be removed");
        }
    }
}

/// Starts a server and waits for it. One that finds an earlier one's shared memory
/// still in use gives up at once, so it is tried again for a while.
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
        match ready(&mut child, cluster.data(), port).await {
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
    // Commits stay synchronous: without fsync that costs next to nothing, and a killed
    // server keeps what it said it had committed.
    let fast = ["fsync=off", "full_page_writes=off"];
    let fast = if durable { [].as_slice() } else { &fast };
    for setting in settings.iter().chain(fast) {
        command.args(["-c", setting]);
    }
    command
}

/// Waits until this very process takes sessions.
async fn ready(child: &mut ChildProcess, data: &Path, port: u16) -> Result<(), LocalError> {
    let until = Instant::now() + READY_LIMIT;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Err(child.exited(status));
        }
        if says_ready(data, child.pid()).unwrap_or(false) && takes_sessions(port).unwrap_or(false) {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(child.not_ready(READY_LIMIT))
}

/// Whether the server's own pid file names this process and says that it is ready, in
/// its first and its eighth line: on a port lost to another Postgres, that one answers.
fn says_ready(data: &Path, pid: u32) -> io::Result<bool> {
    let text = fs::read_to_string(data.join("postmaster.pid"))?;
    let mut lines = text.lines();
    let same = lines.next() == Some(pid.to_string().as_str());
    Ok(same && lines.nth(6).map(str::trim) == Some("ready"))
}

/// Whether a new session gets as far as being asked for its password. While the server
/// starts up or shuts down it answers with an error instead.
fn takes_sessions(port: u16) -> io::Result<bool> {
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

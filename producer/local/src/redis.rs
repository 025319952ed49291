//! A private Redis.

use std::fs::DirBuilder;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::child::{ChildProcess, Signal};
use super::error::{Doing, LocalError};
use super::files::rotate_log;
use super::instance::Instance;
use super::port::Port;
use super::server_record::ServerRecord;
use super::tools::Toolbox;

const NAME: &str = "redis";
/// A long append-only file takes a while to load.
const READY_LIMIT: Duration = Duration::from_secs(30);
const STOP_GRACE: Duration = Duration::from_secs(10);
const PORT_TRIES: usize = 5;

/// How a local Redis runs.
#[derive(Debug, Clone, Default)]
pub struct RedisOptions {
    /// Whether to keep the data in an append-only file.
    pub aof: bool,
    /// The port.
    pub port: Port,
}

/// A Redis on loopback that stops when this is dropped.
#[derive(Debug)]
pub struct LocalRedis {
    // Dropped before the claim, so that the claim outlives the process.
    child: ChildProcess,
    instance: Instance,
    server: PathBuf,
    data: PathBuf,
    log: PathBuf,
    aof: bool,
    port: u16,
}

impl LocalRedis {
    /// Starts it with its data in `dir/redis` and its log in `dir/redis.log`, and waits until it answers. Stops the
    /// leftover process of an earlier run. Data stay with the server that wrote them, while it is installed: an older
    /// version, or the other product, may not be able to read them.
    pub async fn start(
        tools: &Toolbox,
        dir: &Path,
        options: RedisOptions,
    ) -> Result<Self, LocalError> {
        let instance = Instance::claim(dir, NAME, Signal::SIGTERM).await?;
        let data = dir.join(NAME);
        // Its files contain the payloads of jobs, and Redis makes them readable for all users.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&data)
            .doing("create", &data)?;
        let log = rotate_log(dir, NAME)?;
        let record = ServerRecord::read(dir, &data);
        let server = if tools.redis_is_named {
            tools.redis_server.clone()
        } else {
            record.choose(&tools.redis_server)
        };
        let mut tries = 1;
        loop {
            let port = options.port.pick()?;
            let command = command(&server, &data, options.aof, port);
            let mut child = ChildProcess::spawn(NAME, command, &log)?;
            instance.record(child.pid())?;
            match wait_until_ready(&mut child, port).await {
                Ok(()) => {
                    ServerRecord::write(dir, &server)?;
                    return Ok(Self {
                        child,
                        instance,
                        server,
                        data,
                        log,
                        aof: options.aof,
                        port,
                    });
                }
                // Another process took the port after it was found free.
                Err(LocalError::Exited { tail, .. })
                    if options.port.is_replaceable()
                        && tries < PORT_TRIES
                        && tail.contains("already in use") =>
                {
                    tries += 1;
                }
                Err(error) => return Err(record.explain(error, &server, &data)),
            }
        }
    }

    /// Its URL: `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        self.child.log()
    }

    /// Its data directory; the append-only file is in `appendonlydir` below it.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Sends it a signal, unless it has exited: SIGSTOP stalls it, SIGCONT lets it go on.
    pub fn signal(&mut self, signal: Signal) -> Result<(), LocalError> {
        self.child.signal(signal)
    }

    /// The exit status, or `None` while it runs.
    pub fn try_wait(&mut self) -> Result<Option<std::process::ExitStatus>, LocalError> {
        self.child.try_wait()
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) -> Result<(), LocalError> {
        self.child.kill().map(|_| ())
    }

    /// Restarts it on the same port with the same data.
    pub async fn restart(&mut self) -> Result<(), LocalError> {
        self.stop().await?;
        let command = command(&self.server, &self.data, self.aof, self.port);
        self.child = ChildProcess::spawn(NAME, command, &self.log)?;
        self.instance.record(self.child.pid())?;
        wait_until_ready(&mut self.child, self.port).await
    }

    /// Stops it in order, with its data on disk.
    pub async fn stop(&mut self) -> Result<(), LocalError> {
        self.child.stop(STOP_GRACE).await.map(|_| ())
    }
}

fn command(server: &Path, data: &Path, aof: bool, port: u16) -> Command {
    let mut command = Command::new(server);
    command
        .args(["--port", &port.to_string()])
        .args(["--bind", "127.0.0.1", "--protected-mode", "yes"])
        .args(["--daemonize", "no", "--save", ""])
        .args(["--appendonly", if aof { "yes" } else { "no" }])
        .args(["--appendfsync", "everysec"])
        .args(["--maxmemory-policy", "noeviction"])
        .current_dir(data);
    command
}

/// Waits until this process answers on the port.
async fn wait_until_ready(child: &mut ChildProcess, port: u16) -> Result<(), LocalError> {
    let until = Instant::now() + READY_LIMIT;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Err(child.exited(status));
        }
        if answers(port, child.pid()).unwrap_or(false) {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(child.not_ready(READY_LIMIT))
}

/// Whether a Redis that has loaded its data answers and is process `pid`. Another Redis may have taken the port.
fn answers(port: u16, pid: u32) -> io::Result<bool> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(b"PING\r\nINFO server\r\nQUIT\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.starts_with("+PONG") && answer.contains(&format!("process_id:{pid}\r\n")))
}

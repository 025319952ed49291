//! Redis servers and Sentinels with options of their own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use longshore_local::{ChildProcess, free_port};
use longshore_tests::stack::{connect_to_redis, toolbox};
use redis::{FromRedisValue, aio::MultiplexedConnection};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Ports that are tried: another process may take one after it was found unused.
const TRIES: usize = 5;

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// A server that is killed when this is dropped.
pub(super) struct Server {
    pub(super) port: u16,
    /// Its port for other nodes of the cluster.
    pub(super) bus_port: u16,
    child: ChildProcess,
    arguments: Vec<String>,
    dir: TempDir,
}

impl Server {
    /// Starts one with these arguments, at an unused port.
    pub(super) async fn start(arguments: &[&str]) -> Self {
        Self::try_ports(tempfile::tempdir().unwrap(), |_| owned(arguments)).await
    }

    /// Starts a node of a cluster.
    pub(super) async fn node() -> Self {
        let arguments = |bus_port: u16| {
            let bus_port = bus_port.to_string();
            owned(&[
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "2000",
                "--cluster-port",
                &bus_port,
            ])
        };
        Self::try_ports(tempfile::tempdir().unwrap(), arguments).await
    }

    /// Starts a Sentinel that watches the primary at this port.
    pub(super) async fn sentinel(primary: u16, password: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sentinel.conf");
        let text = format!(
            "requirepass {password}\nsentinel monitor main 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 4000\n"
        );
        std::fs::write(&file, text).unwrap();
        let file = file.display().to_string();
        Self::try_ports(dir, |_| owned(&[&file, "--sentinel"])).await
    }

    /// `arguments` are made for a port for other nodes.
    async fn try_ports(dir: TempDir, arguments: impl Fn(u16) -> Vec<String>) -> Self {
        let mut started = None;
        for _ in 0..TRIES {
            let (port, bus_port) = (free_port().unwrap(), free_port().unwrap());
            let arguments = arguments(bus_port);
            let mut child = spawn(dir.path(), port, &arguments).await;
            if is_up(&mut child, port).await {
                started = Some((port, bus_port, child, arguments));
                break;
            }
        }
        let (port, bus_port, child, arguments) = started.unwrap();
        Self {
            port,
            bus_port,
            child,
            arguments,
            dir,
        }
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Starts it again at its port, after it was killed.
    pub(super) async fn restart(&mut self) {
        self.child = spawn(self.dir.path(), self.port, &self.arguments).await;
        assert!(is_up(&mut self.child, self.port).await);
    }

    pub(super) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(super) async fn connection(&self) -> anyhow::Result<MultiplexedConnection> {
        connect_to_redis(&format!("redis://{}", self.address())).await
    }

    /// Sends one command.
    pub(super) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> anyhow::Result<T> {
        let (name, arguments) = words.split_first().unwrap();
        let mut command = redis::cmd(name);
        command.arg(arguments);
        Ok(command.query_async(&mut self.connection().await?).await?)
    }

    /// Sends one command that must succeed.
    pub(super) async fn tell(&self, words: &[&str]) {
        let done: anyhow::Result<redis::Value> = self.ask(words).await;
        done.unwrap();
    }
}

async fn spawn(dir: &Path, port: u16, arguments: &[String]) -> ChildProcess {
    let log: PathBuf = dir.join("log");
    let mut command = Command::new(&toolbox().await.unwrap().redis_server);
    command
        .args(arguments)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .current_dir(dir);
    ChildProcess::spawn("redis", command, &log).unwrap()
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Waits until the server answers, if only with an error. `false` if it ended.
async fn is_up(child: &mut ChildProcess, port: u16) -> bool {
    let until = Instant::now() + START;
    while Instant::now() < until {
        let is_answered = TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if is_answered {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

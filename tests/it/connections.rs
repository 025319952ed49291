//! Connections that break without being closed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use longshore_broker::task;
use longshore_tests::stack::{Options, Stack, prompts, within};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Forwards connections to Redis. A frozen one stays open, but nothing passes any more, as behind a firewall
/// that forgot it.
struct Proxy {
    address: String,
    /// Connections of an earlier generation are frozen.
    generation: Arc<AtomicU32>,
    /// Whether connections that carry jobs are frozen, whenever they were opened.
    starves_jobs: Arc<AtomicBool>,
}

/// Commands that a connection for heartbeats alone does not send.
const JOBS: [&[u8]; 2] = [b"\r\nTIME\r\n", b"\r\nXREADGROUP\r\n"];

impl Proxy {
    async fn start(redis: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let generation = Arc::new(AtomicU32::new(0));
        let starves_jobs = Arc::new(AtomicBool::new(false));
        let (current, starve) = (generation.clone(), starves_jobs.clone());
        task::spawn("proxy", async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&redis).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let own = current.load(Ordering::Relaxed);
                task::spawn(
                    "requests",
                    forward(from_client, to_server, own, current.clone(), starve.clone()),
                );
                task::spawn(
                    "replies",
                    forward(from_server, to_client, own, current.clone(), Arc::default()),
                );
            }
        });
        Self {
            address,
            generation,
            starves_jobs,
        }
    }

    fn freeze(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    own: u32,
    current: Arc<AtomicU32>,
    starves_jobs: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await
        && let Some(read) = buffer.get(..count)
    {
        let has = |name: &[u8]| read.windows(name.len()).any(|window| window == name);
        let is_starved = starves_jobs.load(Ordering::Relaxed) && JOBS.iter().any(|name| has(name));
        if is_starved || current.load(Ordering::Relaxed) != own {
            // Both ends stay open.
            std::future::pending::<()>().await;
        }
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_replaces_connections_on_which_nothing_passes() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let redis = stack.broker.address().to_owned();
    let proxy = Proxy::start(redis).await;
    let through = format!("redis://{}", proxy.address);
    stack.set_env("LONGSHORE_REDIS_URL", &through);
    let worker = stack.worker().unwrap();
    let before = stack.enqueue(&prompts(5)).await.unwrap();
    stack.successes(&before).await.unwrap();

    proxy.freeze();
    let after = stack.enqueue(&prompts(5)).await.unwrap();
    within(Duration::from_mins(1), "the jobs end", || async {
        for id in &after {
            let key = format!("{}:result:{id}", stack.broker.keys().prefix());
            let exists: bool = redis::cmd("EXISTS")
                .arg(key)
                .query_async(&mut stack.connection().await?)
                .await?;
            anyhow::ensure!(exists, "{id} waits");
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(
        stack.simulator.stats().requests,
        10,
        "each job is called once"
    );
    within(
        Duration::from_mins(1),
        "the control channel is opened anew",
        || async {
            let log = std::fs::read_to_string(worker.log())?;
            anyhow::ensure!(log.contains("control channel disconnected"), "{log}");
            Ok(())
        },
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_jobs_have_no_connection_sends_no_heartbeat() {
    let mut stack = Stack::start(Options::default()).await.unwrap();
    let proxy = Proxy::start(stack.broker.address().to_owned()).await;
    let through = format!("redis://{}", proxy.address);
    stack.set_env("LONGSHORE_REDIS_URL", &through);
    stack.set_env("LONGSHORE_LIVENESS_HEARTBEAT_EVERY", "300ms");
    stack.set_env("LONGSHORE_LIVENESS_HEARTBEAT_TTL", "1s");
    let worker = stack.worker().unwrap();
    let jobs = stack.enqueue(&prompts(5)).await.unwrap();
    stack.successes(&jobs).await.unwrap();
    let alive = async || anyhow::Ok(stack.broker.workers().list().await?.len());

    proxy.starves_jobs.store(true, Ordering::Relaxed);
    within(Duration::from_mins(1), "the heartbeat pauses", || async {
        anyhow::ensure!(alive().await? == 0, "it is alive");
        Ok(())
    })
    .await
    .unwrap();
    let log = std::fs::read_to_string(worker.log()).unwrap();
    assert!(log.contains("heartbeat paused: the connection of the jobs has not answered for 3"));

    proxy.starves_jobs.store(false, Ordering::Relaxed);
    let jobs = stack.enqueue(&prompts(5)).await.unwrap();
    stack.successes(&jobs).await.unwrap();
    assert_eq!(alive().await.unwrap(), 1);
}

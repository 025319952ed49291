//! Stands between a process and Redis.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use longshore_broker::task;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Forwards connections to Redis. A frozen one stays open, but nothing passes any more, as behind a firewall
/// that forgot it.
pub(crate) struct Proxy {
    /// Where processes find Redis.
    pub(crate) url: String,
    faults: Arc<Faults>,
}

#[derive(Default)]
struct Faults {
    /// Connections of an earlier generation are frozen.
    generation: AtomicU32,
    /// Whether connections that carry jobs are frozen, whenever they were opened.
    starves_jobs: AtomicBool,
    /// How long a request is on its way, in ms.
    delay_ms: AtomicU64,
}

/// Commands that a connection for heartbeats alone does not send.
const JOBS: [&[u8]; 2] = [b"\r\nTIME\r\n", b"\r\nXREADGROUP\r\n"];

impl Proxy {
    pub(crate) async fn start(redis: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let faults = Arc::<Faults>::default();
        let current = faults.clone();
        task::spawn("proxy", async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&redis).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let own = current.generation.load(Ordering::Relaxed);
                let requests = forward(from_client, to_server, own, current.clone(), true);
                let replies = forward(from_server, to_client, own, current.clone(), false);
                task::spawn("requests", requests);
                task::spawn("replies", replies);
            }
        });
        Self { url, faults }
    }

    /// Freezes all connections that are open now.
    pub(crate) fn freeze(&self) {
        self.faults.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Freezes connections as soon as they carry jobs.
    pub(crate) fn starve_jobs(&self, starves: bool) {
        self.faults.starves_jobs.store(starves, Ordering::Relaxed);
    }

    /// Delays the requests.
    pub(crate) fn delay(&self, delay: Duration) {
        let ms = delay.as_millis().try_into().unwrap();
        self.faults.delay_ms.store(ms, Ordering::Relaxed);
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    own: u32,
    faults: Arc<Faults>,
    is_requests: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await
        && let Some(read) = buffer.get(..count)
    {
        let has = |name: &[u8]| read.windows(name.len()).any(|window| window == name);
        let starves = is_requests && faults.starves_jobs.load(Ordering::Relaxed);
        let is_starved = starves && JOBS.iter().any(|name| has(name));
        if is_starved || faults.generation.load(Ordering::Relaxed) != own {
            // Both ends stay open.
            std::future::pending::<()>().await;
        }
        if is_requests {
            let delay = faults.delay_ms.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if to.write_all(read).await.is_err() {
            return;
        }
    }
}

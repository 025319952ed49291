//! A provider to test against: a real HTTP server that speaks three dialects, misbehaves on request
//! and keeps its own invoice.
//!
//! `docs/SIMULATOR.md` describes it for its users: endpoints, markers, faults, limits, the invoice, and when an answer
//! is JSON; `docs/TESTING.md` describes scripts. `GET /invoice` returns [`Bill`]s, `GET /stats` [`Stats`], `GET /calls`
//! [`Arrival`]s, `GET /requests` [`KeptRequest`]s and `GET /script` a [`ScriptReport`]; `/limits` takes [`Limits`],
//! `/faults` [`Faults`] and `/script` what [`Script::read`] does.

mod accounts;
mod anthropic;
mod ask;
mod compose;
mod connection;
mod control;
mod counts;
mod dialect;
mod exchange;
mod faults;
mod gemini;
mod http;
mod invoice;
mod limits;
mod markers;
mod openai;
mod prices;
mod prompt;
mod schema;
mod script;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod usage;
mod words;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::{Builder, Handle, Runtime},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use self::{connection::serve, state::State};
pub use self::{
    counts::ProviderStats,
    dialect::Dialect,
    faults::Faults,
    invoice::Bill,
    limits::{Arrival, Fate, Limits},
    script::{RuleReport, Script, ScriptReport, UnmatchedReport},
    state::KeptRequest,
    stats::Stats,
};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// How a simulator runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// How long an answer takes.
    pub latency: Duration,
    /// At most this much is added to the latency at random.
    pub jitter: Duration,
    /// What each provider lets through.
    pub limits: Limits,
    /// Threads of its own to run on. Zero runs on the caller's runtime.
    pub threads: usize,
}

/// A running simulator. It stops when dropped.
#[derive(Debug)]
pub struct Simulator {
    addr: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
    /// Present if the simulator has threads of its own.
    runtime: Option<Runtime>,
}

impl Simulator {
    /// Binds `addr`, whose port may be 0, and serves from then on.
    ///
    /// Errors if the address cannot be bound, if threads cannot be started, or if there is no Tokio
    /// runtime to run on and `settings` asks for no threads.
    pub fn start(addr: SocketAddr, settings: Settings) -> io::Result<Self> {
        let runtime = match settings.threads {
            0 => None,
            threads => Some(
                Builder::new_multi_thread()
                    .worker_threads(threads)
                    .thread_name("simulator")
                    .enable_all()
                    .build()?,
            ),
        };
        let handle = match &runtime {
            Some(runtime) => runtime.handle().clone(),
            None => Handle::try_current().map_err(io::Error::other)?,
        };
        let listener = {
            let _inside = handle.enter();
            listen(addr)?
        };
        let addr = listener.local_addr()?;
        let state = Arc::new(State::new(settings));
        let accepting = handle.spawn(accept(listener, Arc::clone(&state)));
        Ok(Self {
            addr,
            state,
            accepting,
            runtime,
        })
    }

    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it is reached: `http://127.0.0.1:PORT`. The dialects are at `/openai`, `/anthropic` and
    /// `/gemini` below it.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where the provider of this name is reached in a dialect: its `base_url`.
    pub fn base_url(&self, provider: &str, dialect: Dialect) -> String {
        format!("{}/p/{provider}/{}", self.url(), dialect.base())
    }

    /// Every bill, in the order of charging.
    pub fn invoice(&self) -> Vec<Bill> {
        self.state.invoice.bills()
    }

    /// The sum of all bills in US dollars: an exact decimal with no trailing zeros.
    pub fn total_usd(&self) -> String {
        self.state.invoice.total_usd()
    }

    /// What it has seen so far.
    pub fn stats(&self) -> Stats {
        self.state.stats()
    }

    /// Every call of a provider, in the order of arrival.
    pub fn calls(&self, provider: &str) -> Vec<Arrival> {
        let account = self.state.accounts.get(provider);
        account.arrivals(0, usize::MAX).0
    }

    /// The last 1,000 requests that were kept, in order.
    pub fn requests(&self) -> Vec<KeptRequest> {
        self.state.kept()
    }

    /// Now, on the clock of [`Arrival::at_us`].
    pub fn now_us(&self) -> u64 {
        self.state.now_us()
    }

    /// Replaces the faults of one provider, or of all. Errors name the fault that is impossible.
    pub fn set_faults(&self, provider: Option<&str>, faults: Faults) -> Result<(), String> {
        faults.check()?;
        self.state.accounts.set_faults(provider, faults);
        Ok(())
    }

    /// Replaces the limits of one provider, or of all.
    pub fn set_limits(&self, provider: Option<&str>, limits: Limits) {
        self.state.accounts.set_limits(provider, limits);
    }

    /// Puts a script in the place of the one in use, and begins with it.
    pub fn set_script(&self, script: Script) {
        self.state.set_script(script);
    }

    /// How often each rule of the script was used, and which prompts had none.
    pub fn script(&self) -> ScriptReport {
        self.state.script_report()
    }

    /// Releases the calls that `[[hold]]` holds; until the next reset none are held.
    pub fn release(&self) {
        self.state.release();
    }

    /// Forgets bills, counts, faults, failures and kept requests; limits are those of the start, and the script begins
    /// again.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// Stops, closing every connection; when this returns the port is free.
    pub async fn shutdown(mut self) {
        self.accepting.abort();
        // The error is the abortion that was just asked for.
        (&mut self.accepting).await.unwrap_or_default();
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Some(runtime) = self.runtime.take() {
            // A plain drop would wait, which is forbidden on another runtime's threads.
            runtime.shutdown_background();
        }
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Accepts until aborted; its connections end with it, because they live in its set.
async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let state = Arc::clone(&state);
                    connections.spawn(async move { serve(stream, &state).await });
                }
                // Out of descriptors, most likely: some will be given back.
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

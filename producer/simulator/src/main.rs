//! Runs the provider simulator until SIGTERM or SIGINT.

use std::{
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use longshore_simulator::{Limits, Script, Settings, Simulator};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

/// A provider to test against: three dialects, faults on request, and an invoice of its own.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How long an answer takes, in milliseconds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    latency_ms: u64,
    /// At most this much is added to the latency at random, in milliseconds.
    #[arg(long, value_name = "N", default_value_t = 0)]
    jitter_ms: u64,
    /// Calls that each provider lets through in any 60 seconds.
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u32>,
    /// Tokens that each provider lets through in any 60 seconds.
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u64>,
    /// Calls that each provider lets through in a day (UTC).
    #[arg(long, value_name = "N")]
    requests_per_day: Option<u32>,
    /// A script of answers and faults; docs/TESTING.md describes it.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Threads to serve on.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// A file that the URL is written to once the simulator listens.
    #[arg(long, value_name = "FILE")]
    write_url: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a backtrace: what is wrong is in the arguments or in the script.
            writeln!(io::stderr(), "Error: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> anyhow::Result<()> {
    // One thread runs everything; more than one are the simulator's own.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: Options) -> anyhow::Result<()> {
    // Registered before the address is known, so that no early signal is missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let settings = Settings {
        latency: Duration::from_millis(options.latency_ms),
        jitter: Duration::from_millis(options.jitter_ms),
        limits: Limits {
            requests_per_minute: options.requests_per_minute,
            tokens_per_minute: options.tokens_per_minute,
            requests_per_day: options.requests_per_day,
            reset_at: None,
        },
        threads: if options.threads == 1 {
            0
        } else {
            usize::from(options.threads)
        },
    };
    let script = options.script.as_deref().map(read_script).transpose()?;
    let simulator = Simulator::start(options.listen, settings)
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    if let Some(script) = script {
        simulator.set_script(script);
    }
    let url = simulator.url();
    if let Some(file) = &options.write_url {
        write_whole(file, &url).with_context(|| format!("cannot write {}", file.display()))?;
    }
    writeln!(io::stdout(), "listening on {url}")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.shutdown().await;
    Ok(())
}

fn read_script(file: &Path) -> anyhow::Result<Script> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Script::read(file, &text)?)
}

/// Writes `text` by a rename, so that nobody reads a part of it.
fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".part");
    fs::write(&beside, text)?;
    fs::rename(&beside, file)
}

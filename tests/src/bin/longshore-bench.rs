//! Measures Longshore on this machine: what the design promises in numbers, and the machine's own limits
//! beside them.

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use longshore_service::startup;
use longshore_tests::bench::{
    self, ClientOptions, Format, NoopOptions, Number, Options, PeersOptions,
};

/// As in the worker, part of which runs in here.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Longshore's benchmarks. Build the programs first: `cargo build --profile dist --workspace --bins`.
///
/// Everything runs on this machine: a Redis with AOF everysec, a durable Postgres, the provider simulator
/// and the workers, all private to the run.
#[derive(Debug, Parser)]
#[command(name = "longshore-bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    measure: Measure,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Args)]
struct Measure {
    /// Measure only these. Without it, all but the soak.
    #[arg(
        long,
        value_delimiter = ',',
        ignore_case = true,
        value_name = "N1,N2,…"
    )]
    only: Vec<Number>,
    /// How the results are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Small counts, to see that it works; the figures mean nothing.
    #[arg(long)]
    quick: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Compare with other job queues, in alternating order, each as its documents advise.
    ///
    /// Installs them into target/peers: docs/PERFORMANCE.md says what each needs and how it runs.
    Peers(PeersOptions),
    /// A worker whose provider answers at once.
    #[command(hide = true)]
    NoopWorker(NoopOptions),
    /// A bare HTTP client.
    #[command(hide = true)]
    Client(ClientOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    startup::exit_code("longshore-bench", run(arguments))
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    // Thousands of calls in flight need thousands of sockets, here and in the processes started from here.
    rlimit::increase_nofile_limit(u64::MAX)?;
    longshore_service::tls::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.part {
            Some(Part::Peers(options)) => bench::compare(options).await,
            Some(Part::NoopWorker(options)) => bench::noop_worker(options).await,
            Some(Part::Client(options)) => bench::client(options).await,
            None => {
                let Measure {
                    only,
                    format,
                    quick,
                } = arguments.measure;
                bench::run(Options {
                    only,
                    format,
                    quick,
                })
                .await
            }
        }
    })
}

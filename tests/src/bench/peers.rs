//! Longshore beside other job queues on the same machine, in the same run: `make bench-peers`.
//!
//! `tests/peers/` has a program for each; its README says what they have in common.

mod catalog;
mod measures;
mod recovery;
mod table;
mod trial;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde::Serialize;

use self::{
    catalog::{PEERS, Peer},
    measures::Sizes,
    table::{Outcome, Row, Table},
};
use super::{bare, machine::Machine, print, progress};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Jobs that do nothing, per second.
    Noop,
    /// The time for jobs that wait for a provider.
    Provider,
    /// The time from enqueueing to the start of a job.
    Latency,
    /// What becomes of running jobs when their worker is killed.
    Recovery,
}

/// Options of the comparison.
#[derive(Debug, clap::Args)]
pub struct PeersOptions {
    /// How often each system is measured.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Only these: longshore, or folders of tests/peers.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,
    /// Only these measures.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME,…")]
    measure: Vec<Measure>,
    /// No-op jobs of a round.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    jobs: usize,
    /// Jobs of a round that wait for a provider.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    calls: usize,
    /// A round counts only if other programs use at most this much of the machine's processors.
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    busy: u8,
    /// Small counts and one round, to see that it works; the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// A file for the results as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What is measured: Longshore, or a peer that is installed.
#[derive(Debug)]
enum System {
    Longshore,
    Peer {
        peer: &'static Peer,
        title: String,
        dir: PathBuf,
    },
}

impl System {
    fn title(&self) -> &str {
        match self {
            Self::Longshore => "Longshore",
            Self::Peer { title, .. } => title,
        }
    }
}

/// A system that cannot be measured, and why.
#[derive(Debug, Serialize)]
struct Missing {
    system: &'static str,
    reason: String,
}

/// All results.
#[derive(Debug, Serialize)]
struct Comparison {
    server: String,
    rounds: u32,
    missing: Vec<Missing>,
    tables: Vec<Table>,
}

/// Measures all systems in turn and prints a table for each measure.
pub async fn compare(options: PeersOptions) -> anyhow::Result<()> {
    let (systems, missing) = install(&options.only).await?;
    let sizes = Sizes::of(options.quick, options.jobs, options.calls);
    let rounds = if options.quick { 1 } else { options.rounds };
    let machine = Machine::start().await?;
    let server = bare::server(&machine.stack(1).await?).await?;
    print(&format!(
        "{server}, AOF everysec; a durable Postgres; medians of {rounds} rounds, [least to most]\n"
    ))?;
    for Missing { system, reason } in &missing {
        print(&format!("{system} is not measured: {reason}"))?;
    }
    let mut tables = Vec::new();
    for measure in measures::ALL {
        if !options.measure.is_empty() && !options.measure.contains(&measure) {
            continue;
        }
        let mut rows: Vec<Row> = systems
            .iter()
            .map(|system| Row::new(system.title()))
            .collect();
        for round in 1..=rounds {
            for (at, outcome) in
                one_round(&machine, &systems, &rows, measure, &sizes, round).await?
            {
                if let Some(row) = rows.get_mut(at) {
                    row.outcomes.push(outcome.unless_busy(options.busy));
                }
            }
        }
        let table = Table::new(measure, &sizes, rows);
        print(&table.text())?;
        tables.push(table);
    }
    if options.quick {
        print("Measured with --quick: the figures mean nothing.")?;
    }
    let failed = tables.iter().any(Table::has_failures);
    let comparison = Comparison {
        server,
        rounds,
        missing,
        tables,
    };
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_string_pretty(&comparison)?)
            .with_context(|| file.display().to_string())?;
    }
    ensure!(!failed, "a system failed; the tables say why");
    Ok(())
}

/// Measures each system once. The order differs from round to round, so that nobody is always first.
async fn one_round(
    machine: &Machine,
    systems: &[System],
    rows: &[Row],
    measure: Measure,
    sizes: &Sizes,
    round: u32,
) -> anyhow::Result<Vec<(usize, Outcome)>> {
    // What has failed or did not recover would do so again, and takes minutes.
    let mut order: Vec<(usize, &System)> = systems
        .iter()
        .enumerate()
        .filter(|(at, _)| rows.get(*at).is_some_and(|row| !row.is_hopeless()))
        .collect();
    if let Some(turn) = usize::try_from(round)?.checked_rem(order.len()) {
        order.rotate_left(turn);
    }
    if round.is_multiple_of(2) {
        order.reverse();
    }
    if measure == Measure::Recovery {
        progress(&format!("recovery: round {round}"));
        return recovery::round(machine, &order, sizes).await;
    }
    let mut outcomes = Vec::new();
    for (at, system) in order {
        progress(&format!("{measure:?}: round {round}, {}", system.title()));
        let outcome = match measure {
            Measure::Noop => measures::noop(machine, system, sizes).await,
            Measure::Provider => measures::provider(machine, system, sizes).await,
            Measure::Latency | Measure::Recovery => measures::latency(machine, system, sizes).await,
        };
        outcomes.push((at, Outcome::of(outcome)));
    }
    Ok(outcomes)
}

/// Longshore and the peers that can be installed, and the others.
async fn install(only: &[String]) -> anyhow::Result<(Vec<System>, Vec<Missing>)> {
    let known = |name: &String| name == "longshore" || PEERS.iter().any(|peer| peer.name == name);
    if let Some(unknown) = only.iter().find(|name| !known(name)) {
        anyhow::bail!("tests/peers has no {unknown}");
    }
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    let mut systems = Vec::new();
    let mut missing = Vec::new();
    if wanted("longshore") {
        systems.push(System::Longshore);
    }
    for peer in PEERS.iter().filter(|peer| wanted(peer.name)) {
        progress(&format!("installing {}", peer.title));
        match install_peer(peer).await {
            Ok(system) => systems.push(system),
            Err(error) => missing.push(Missing {
                system: peer.title,
                reason: format!("{error:#}"),
            }),
        }
    }
    Ok((systems, missing))
}

async fn install_peer(peer: &'static Peer) -> anyhow::Result<System> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tests.join("../target/peers").join(peer.name);
    let output = tokio::process::Command::new(tests.join("peers/install.sh"))
        .arg(peer.name)
        .arg(&dir)
        .output()
        .await?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let last = errors.lines().rfind(|line| !line.trim().is_empty());
    ensure!(
        output.status.success(),
        "{}",
        last.unwrap_or("no reason is known")
    );
    let version = String::from_utf8_lossy(&output.stdout);
    Ok(System::Peer {
        peer,
        title: format!("{} {}", peer.title, version.trim()),
        dir: dir.canonicalize()?,
    })
}

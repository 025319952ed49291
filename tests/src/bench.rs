//! The benchmarks: target figures measured on real processes, next to the machine's raw limits of the same
//! run.
//!
//! Workers run in processes of their own, so that memory and processor time are a worker's alone. Ratios
//! compare figures of one run.

mod backlog;
mod bare;
mod calls;
mod client;
mod dead_letters;
mod drain;
mod growth;
mod journal;
mod keys;
mod latency;
mod machine;
mod noop;
mod peers;
pub mod process;
mod recipes;
mod report;
mod soak;
mod throughput;

use std::{
    io::{self, Write as _},
    time::Duration,
};

use self::machine::Machine;
pub use self::{
    client::{ClientOptions, client},
    noop::{NoopOptions, noop_worker},
    peers::{Measure, PeersOptions, compare},
};

/// A figure that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Number {
    /// No-op jobs per second.
    #[value(name = "N1")]
    N1,
    /// Jobs that wait for HTTP.
    #[value(name = "N2")]
    N2,
    /// The time from enqueueing to the provider's call.
    #[value(name = "N3")]
    N3,
    /// A million jobs queued.
    #[value(name = "N5")]
    N5,
    /// A filtered replay of dead letters.
    #[value(name = "N6")]
    N6,
    /// Calls in flight in one worker.
    #[value(name = "N7")]
    N7,
    /// The cost of a concurrency limit.
    #[value(name = "keys")]
    Keys,
    /// The cost of recipes.
    #[value(name = "recipes")]
    Recipes,
    /// What a job costs with ten times as much of something.
    #[value(name = "growth")]
    Growth,
    /// Memory under a steady load of twenty minutes; only if it is named.
    #[value(name = "soak")]
    Soak,
}

impl Number {
    const ALL: [Self; 10] = [
        Self::N1,
        Self::N2,
        Self::N3,
        Self::N5,
        Self::N6,
        Self::N7,
        Self::Keys,
        Self::Recipes,
        Self::Growth,
        Self::Soak,
    ];

    /// Whether it is measured when no figure is named.
    fn is_default(self) -> bool {
        self != Self::Soak
    }
}

/// How the results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON array.
    Json,
}

/// What to measure and how to print it.
#[derive(Debug)]
pub struct Options {
    /// The figures to measure; all but the soak if empty.
    pub only: Vec<Number>,
    /// How the results are printed.
    pub format: Format,
    /// Use small counts, to check that it works.
    pub quick: bool,
}

/// The sizes of the measurements.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Runs; the median counts.
    runs: usize,
    /// Pairs of runs with and without a concurrency key: more than runs, because pairs differ by more than its cost.
    pairs: usize,
    /// Jobs of a run of no-op jobs.
    jobs: usize,
    /// Jobs that wait for HTTP.
    calls: usize,
    /// Jobs that a recipe answers.
    recipes: usize,
    /// How long one rate is kept.
    steady: Duration,
    /// Jobs queued at once.
    backlog: usize,
    /// How many of them are drained.
    drained: usize,
    /// Dead letters.
    dead_letters: usize,
    /// Calls in flight.
    in_flight: usize,
    /// The latency of those calls: longer than it takes to begin them all.
    held: Duration,
    /// How long after them a worker may take to give their memory back.
    given_back: Duration,
    /// Tenants, keys, lanes and chains of the first run; the second has ten times as many.
    some: usize,
    /// How long the steady load lasts.
    soak: Duration,
    /// Its jobs a second.
    soak_rate: usize,
}

impl Sizes {
    const FULL: Self = Self {
        runs: 3,
        pairs: 12,
        jobs: 50_000,
        calls: 5_000,
        recipes: 10_000,
        steady: Duration::from_secs(20),
        backlog: 1_000_000,
        drained: 200_000,
        dead_letters: 200_000,
        in_flight: 10_000,
        held: Duration::from_secs(20),
        given_back: Duration::from_mins(1),
        some: 1_000,
        soak: Duration::from_mins(20),
        soak_rate: 2_000,
    };

    const QUICK: Self = Self {
        runs: 1,
        pairs: 1,
        jobs: 2_000,
        calls: 200,
        recipes: 100,
        steady: Duration::from_secs(1),
        backlog: 10_000,
        drained: 2_000,
        dead_letters: 2_000,
        in_flight: 500,
        held: Duration::from_secs(3),
        given_back: Duration::from_secs(1),
        some: 10,
        soak: Duration::from_secs(11),
        soak_rate: 100,
    };
}

/// Measures and prints the results.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let sizes = if options.quick {
        Sizes::QUICK
    } else {
        Sizes::FULL
    };
    let machine = Machine::start().await?;
    let mut sections = Vec::new();
    for number in Number::ALL {
        let is_asked = if options.only.is_empty() {
            number.is_default() || options.quick
        } else {
            options.only.contains(&number)
        };
        if !is_asked {
            continue;
        }
        let load = process::load()?;
        let section = match number {
            Number::N1 => throughput::measure(&machine, &sizes).await?,
            Number::N2 => calls::measure_wall(&machine, &sizes).await?,
            Number::N3 => latency::measure(&machine, &sizes).await?,
            Number::N5 => backlog::measure(&machine, &sizes).await?,
            Number::N6 => dead_letters::measure(&machine, &sizes).await?,
            Number::N7 => calls::measure_memory(&machine, &sizes).await?,
            Number::Keys => keys::measure(&machine, &sizes).await?,
            Number::Recipes => recipes::measure(&machine, &sizes).await?,
            Number::Growth => growth::measure(&machine, &sizes).await?,
            Number::Soak => soak::measure(&machine, &sizes).await?,
        };
        let section = section.also("load of the machine before (1 minute)", load, "");
        // Text is printed section by section; the whole takes minutes.
        if options.format == Format::Text {
            print(&section.text())?;
        }
        sections.push(section);
    }
    if options.format == Format::Json {
        print(&serde_json::to_string_pretty(&sections)?)?;
    } else if options.quick {
        print("Measured with --quick: the figures mean nothing.")?;
    }
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}

/// Prints progress to stderr.
fn progress(text: &str) {
    // A closed stderr is ignored.
    let _told = writeln!(io::stderr(), "… {text}");
}

/// The median; zero if there are no figures.
fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// A count as a figure.
#[expect(
    clippy::cast_precision_loss,
    reason = "what is counted here is far below 2^52"
)]
fn figure(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or(u64::MAX) as f64
}

/// A count per second.
fn rate(count: impl TryInto<u64>, time: Duration) -> f64 {
    figure(count) / time.as_secs_f64()
}

/// The share of one job in this time, in microseconds.
fn micros_each(time: Duration, jobs: usize) -> f64 {
    time.as_secs_f64() * 1e6 / figure(jobs)
}

/// A job as a producer writes it: about a hundred bytes.
fn message(number: usize) -> String {
    format!(
        r#"{{"type":"research","prompt":"Name three primary colours and say why, please. Question {number:08}."}}"#
    )
}

//! Limits, budgets, fairness and fallback under load, proven by what the simulated providers saw.
//!
//! Every test here has a short form, for every day, and the full one of the promise that it proves:
//! `LONGSHORE_TEST_FULL=1`, and for the races `LONGSHORE_TEST_RUNS=20`. They measure, so they run one
//! after another; figures are printed with `--nocapture`.

mod adaptive;
mod circuit;
mod fairness;
mod leaks;
mod midnight;
mod outage;
mod race;
mod rpm;

use std::fmt::Write as _;

use longshore_shared::id::JobId;
use longshore_tests::{
    simulator::{Dialect, ProviderStats},
    stack::Stack,
};
use redis::AsyncCommands as _;
use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other of these tests runs.
async fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// The short form's figure, or the full one's.
fn size<T>(short: T, full: T) -> T {
    let wants_full =
        std::env::vars().any(|(name, value)| name == "LONGSHORE_TEST_FULL" && value == "1");
    if wants_full { full } else { short }
}

#[expect(clippy::print_stderr, reason = "figures for whoever asks for them")]
fn tell(figures: &str) {
    eprintln!("{figures}");
}

/// A provider that the simulator plays under its name, and the one model that it has.
struct Played {
    name: &'static str,
    model: Model,
    /// Its `limits:`, in YAML.
    limits: String,
}

/// A model, with the prices that the simulator bills.
#[derive(Clone, Copy)]
enum Model {
    /// $0.15 and $0.60 a million tokens: asked first.
    Cheap,
    /// $2.50 and $10 a million tokens.
    Dear,
}

impl Played {
    fn unlimited(name: &'static str, model: Model) -> Self {
        Self::limited(name, model, "{}")
    }

    fn limited(name: &'static str, model: Model, limits: &str) -> Self {
        Self {
            name,
            model,
            limits: limits.to_owned(),
        }
    }
}

/// A configuration with these providers and no others, and what else it says.
fn config(stack: &Stack, providers: &[Played], rest: &str) -> String {
    let mut yaml = format!("{rest}\nproviders:\n");
    let mut models = String::from("models:\n");
    for Played {
        name,
        model,
        limits,
    } in providers
    {
        let url = stack.simulator.base_url(name, Dialect::Openai);
        let (model, input, cached, output) = match model {
            Model::Cheap => ("gpt-4o-mini", "0.15", "0.075", "0.6"),
            Model::Dear => ("gpt-4o", "2.5", "1.25", "10"),
        };
        writeln!(
            yaml,
            "  {name}:\n    dialect: openai\n    base_url: {url}\n    api_key: simulated\n    \
             default_model: {model}",
        )
        .unwrap();
        if limits != "{}" {
            writeln!(yaml, "    limits: {limits}").unwrap();
        }
        writeln!(
            models,
            "  - {{provider: {name}, model: {model}, tier: standard, context_window: 128000, \
             max_output_tokens: 16384, input_per_million: \"{input}\", cached_per_million: \"{cached}\", \
             output_per_million: \"{output}\"}}",
        )
        .unwrap();
    }
    yaml + &models
}

/// What a provider has seen so far.
fn seen(stack: &Stack, provider: &str) -> ProviderStats {
    let mut stats = stack.simulator.stats();
    stats.by_provider.remove(provider).unwrap_or_default()
}

/// Where the jobs are that have not ended.
#[derive(Debug)]
struct Places {
    /// In the queues, running ones included.
    queued: u64,
    /// In lanes of any kind.
    waiting: u64,
    /// Begun and not ended.
    begun: u64,
    /// Dead letters.
    dead: u64,
}

impl Places {
    async fn of(stack: &Stack) -> anyhow::Result<Self> {
        let keys = stack.broker.keys();
        let mut connection = stack.connection().await?;
        let mut queued = 0;
        for queue in named(stack, &keys.queue_prefix()).await? {
            queued += connection.xlen::<_, u64>(queue).await?;
        }
        Ok(Self {
            queued,
            waiting: connection.hlen(keys.lane_jobs()).await?,
            begun: connection.hlen(keys.inflight()).await?,
            dead: stack.broker.dead_count().await?,
        })
    }

    fn unfinished(&self) -> u64 {
        self.queued + self.waiting
    }
}

/// The keys that begin so.
async fn named(stack: &Stack, prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut connection = stack.connection().await?;
    Ok(connection.keys(format!("{prefix}*")).await?)
}

/// How many of these jobs have ended, and how many of them well.
async fn ended(stack: &Stack, jobs: &[JobId]) -> anyhow::Result<(usize, usize)> {
    let (mut ended, mut well) = (0, 0);
    for some in jobs.chunks(1000) {
        for outcome in stack.broker.outcomes(some).await?.into_iter().flatten() {
            ended += 1;
            well += usize::from(outcome.success);
        }
    }
    Ok((ended, well))
}

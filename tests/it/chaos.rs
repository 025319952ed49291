//! Chaos: a mixed load while everything breaks, and books that must be right in the end.
//!
//! `SEED` repeats a run, `MINUTES` sets its length, and `CHAOS_FAULTS` (names separated by commas, or `-NAME` to leave
//! one out) restricts what breaks. `make chaos` passes them.

mod check;
mod clocks;
mod deaths;
pub(crate) mod faults;
mod keys;
mod load;
pub(crate) mod plan;

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use anyhow::Context as _;
use longshore_protocol::money::Usd;
use longshore_tests::stack::{Stack, create_database, own_postgres};
use tokio::time::Instant;

use self::{
    check::Findings,
    faults::Fleet,
    load::{Load, Message},
    plan::{FaultKind, Faults, SCHEDULERS, WORKERS},
};
use crate::machine::print_figures;

/// The length of a run of which nothing is said.
const LENGTH: Duration = Duration::from_mins(1);

/// How long an answer takes that says nothing of it.
const LATENCY: Duration = Duration::from_millis(200);

/// Outcomes stay until the check, however long the run is. The limits have meters that every call uses, so that
/// reservations can leak.
const CONFIG: &str = "
retention: { results: 1d, unrequested_results: 1d }
providers:
  gemini: { limits: { max_concurrent: 10, requests_per_day: 10000000 } }
budgets:
  - { name: everything, scope: overall, limit_usd: \"1000\", per: day }
";

/// The settings of a run, from the environment.
struct Wanted {
    seed: u64,
    length: Duration,
    faults: Vec<FaultKind>,
}

impl Wanted {
    fn read() -> anyhow::Result<Self> {
        let variable = |wanted: &str| {
            let found = std::env::vars().find(|(name, value)| name == wanted && !value.is_empty());
            found.map(|(_, value)| value)
        };
        let number = |name: &str| -> anyhow::Result<Option<u64>> {
            let number = variable(name).map(|text| {
                let wrong = || format!("{name}={text} is not a whole number");
                text.parse().with_context(wrong)
            });
            number.transpose()
        };
        let minutes = number("MINUTES")?;
        Ok(Self {
            seed: number("SEED")?.unwrap_or_else(|| rand::random::<u32>().into()),
            length: minutes.map_or(LENGTH, Duration::from_mins),
            faults: chosen_faults(&variable("CHAOS_FAULTS").unwrap_or_default()),
        })
    }

    /// The command that repeats the run.
    fn command(&self) -> String {
        let minutes = self.length.as_secs() / 60;
        let mut command = format!("make chaos SEED={} MINUTES={minutes}", self.seed);
        if self.faults.len() < FaultKind::DECK.len() {
            let names: Vec<&str> = self.faults.iter().map(|kind| kind.name()).collect();
            command = format!("{command} CHAOS_FAULTS={}", names.join(","));
        }
        command
    }
}

/// The kinds of faults that a list names, or all but those that it names with a hyphen.
fn chosen_faults(list: &str) -> Vec<FaultKind> {
    let names: Vec<&str> = list.split(',').filter(|name| !name.is_empty()).collect();
    let all = FaultKind::DECK.iter().map(|(kind, _)| *kind);
    for name in &names {
        let known = all
            .clone()
            .any(|kind| kind.name() == name.trim_start_matches('-'));
        let kinds: Vec<_> = all.clone().map(FaultKind::name).collect();
        assert!(
            known,
            "CHAOS_FAULTS: there is no fault `{name}`; there are {}",
            kinds.join(", ")
        );
    }
    let only = names.iter().any(|name| !name.starts_with('-'));
    all.filter(|kind| {
        let is_left_out = names
            .iter()
            .any(|name| name.strip_prefix('-') == Some(kind.name()));
        !is_left_out && (!only || names.contains(&kind.name()))
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_ends_once_whatever_breaks() {
    let mut wanted = Wanted::read().unwrap();
    let mut fleet = start(&mut wanted).await.unwrap();
    let run = run(&mut fleet, &wanted).await;
    let repeat = wanted.command();
    let (messages, findings) = match run {
        Ok(found) => found,
        Err(error) => panic!("{error:#}\nkept: {:?}\nrun again: {repeat}", fleet.keep()),
    };
    print_figures(&report(&fleet, &messages, &findings));
    if !findings.breaches.is_empty() {
        let breaches: Vec<String> = findings.breaches.iter().map(ToString::to_string).collect();
        panic!(
            "{} breaches:\n{}\nkept: {:?}\nrun again: {repeat}",
            breaches.len(),
            breaches.join("\n"),
            fleet.keep()
        );
    }
}

/// Starts everything. Without libfaketime, the clocks stay as they are.
async fn start(wanted: &mut Wanted) -> anyhow::Result<Fleet> {
    let postgres = own_postgres().await?;
    let database = create_database(&postgres.url(), "chaos").await?;
    let mut stack = Stack::start_with(faults::options(LATENCY), database).await?;
    stack.write("longshore.yaml", CONFIG)?;
    if let Some(library) = clocks::libfaketime() {
        clocks::fake(&mut stack, &library)?;
    } else {
        let stays = FaultKind::ClocksStepped;
        wanted.faults.retain(|kind| *kind != stays);
        print_figures("libfaketime is not installed: no clock is stepped");
    }
    Fleet::start(stack, Some(postgres), WORKERS, SCHEDULERS).await
}

/// Breaks things under load, and checks the books.
async fn run(fleet: &mut Fleet, wanted: &Wanted) -> anyhow::Result<(Vec<Message>, Findings)> {
    fleet.note(&wanted.command())?;
    let end = Instant::now() + wanted.length;
    let mut load = Load::new(&fleet.stack, wanted.seed);
    let sent = async {
        load.send_until(end).await;
        anyhow::Ok(())
    };
    tokio::try_join!(break_until(fleet, end, wanted), sent)?;
    fleet.restore().await?;
    let messages = load.finish(&fleet.losses).await?;
    fleet.note("everything is sent")?;
    let findings = check::check(fleet, &messages).await?;
    Ok((messages, findings))
}

async fn break_until(fleet: &mut Fleet, end: Instant, wanted: &Wanted) -> anyhow::Result<()> {
    for (pause, fault) in Faults::new(wanted.seed, &wanted.faults) {
        if Instant::now() + pause >= end {
            break;
        }
        tokio::time::sleep(pause).await;
        fleet.inject(fault).await?;
    }
    Ok(())
}

/// The figures of a run.
fn report(fleet: &Fleet, messages: &[Message], findings: &Findings) -> String {
    let mut text = String::from("\n");
    let faults: u32 = fleet.injected.values().sum();
    write!(
        text,
        "{faults} faults, {} withheld to spare a job:",
        fleet.withheld
    )
    .unwrap();
    for (kind, count) in &fleet.injected {
        write!(text, " {} {count}", kind.name()).unwrap();
    }
    write!(text, "\n{} messages:", messages.len()).unwrap();
    let mut kinds: BTreeMap<_, usize> = BTreeMap::new();
    for message in messages {
        *kinds.entry(message.kind).or_default() += 1;
    }
    for (kind, count) in kinds {
        write!(text, " {} {count}", kind.name()).unwrap();
    }
    writeln!(text, "\njobs: {:?}", findings.ends).unwrap();
    let money = &findings.money;
    let billed: Usd = money.unknown.iter().filter_map(|one| one.billed).sum();
    writeln!(
        text,
        "ledger {} = invoice {}; {} attempts of a cost that only the provider knows ({billed} billed); \
         {} lost attempts, {} duplicates, {} calls forgotten with the append-only file and their worker",
        money.ledger,
        money.invoice,
        money.unknown.len(),
        findings.lost_attempts,
        findings.duplicates,
        findings.excused,
    )
    .unwrap();
    for one in &money.unknown {
        let billed = one
            .billed
            .map_or_else(|| "not billed".to_owned(), |usd| format!("{usd} billed"));
        writeln!(
            text,
            "  {} of {}: {billed}, {} reserved",
            one.attempt, one.job, one.reserved
        )
        .unwrap();
    }
    writeln!(text, "{} breaches", findings.breaches.len()).unwrap();
    text
}

#[test]
fn faults_are_chosen_by_name() {
    assert_eq!(chosen_faults("").len(), FaultKind::DECK.len());
    assert_eq!(chosen_faults("redis-full"), [FaultKind::RedisFull]);
    let without = chosen_faults("-redis-full");
    assert_eq!(without.len(), FaultKind::DECK.len() - 1);
    assert!(!without.contains(&FaultKind::RedisFull));
}

//! `longshore chain list` and `longshore batch list`: list chains and batches in a table.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, ChainHead};
use longshore_ledger::ChainFilter;
use longshore_protocol::{
    chain::{ChainId, ChainKind, ChainState},
    clock::local_time,
    event::ChainRecord,
    money::Usd,
};
use serde::Serialize;

use crate::{
    error::{CommandError, Exit},
    options,
    output::{self, ListOutput},
    render::{
        money::{dollars, exact},
        table::{Cell, Table, Width, cut, hide, number, state_cell, whole},
        text::{counted, one_line},
        time::{age, from_unix_ms, span_with_tenths},
    },
    session::Session,
};

/// Chains read by one call.
const PAGE: usize = 200;

/// Chains in Redis that are searched for matches.
const SEARCHED: usize = 2000;

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Arguments {
    /// Only those in this state
    #[arg(long, value_parser = state)]
    state: Option<ChainState>,
    /// Only those with this name
    #[arg(long)]
    name: Option<String>,
    /// Maximum number of entries
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    output: ListOutput,
}

fn state(word: &str) -> Result<ChainState, String> {
    options::word(ChainState::ALL, ChainState::as_str, word)
}

#[derive(Debug, Serialize)]
struct Row {
    id: ChainId,
    name: Option<String>,
    kind: ChainKind,
    state: ChainState,
    total_steps: u64,
    cost_usd: Usd,
    begun_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    old: OldNames,
}

/// Names that fields had before; kept for one release.
#[derive(Debug, Serialize)]
struct OldNames {
    chain_id: ChainId,
    steps: u64,
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
}

impl Row {
    fn new(record: ChainRecord, cost: Usd) -> Self {
        Self {
            old: OldNames {
                chain_id: record.chain_id.clone(),
                steps: record.steps,
                total_cost: cost,
            },
            id: record.chain_id,
            name: record.name,
            kind: record.kind,
            state: record.state,
            total_steps: record.steps,
            cost_usd: cost,
            begun_at: from_unix_ms(record.begun_ms),
            ended_at: record.ended_ms.map(from_unix_ms),
        }
    }
}

/// Lists all, or those of a kind.
pub(in crate::commands) async fn run(
    arguments: Arguments,
    kind: Option<ChainKind>,
    session: &Session,
) -> Result<Exit, CommandError> {
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let recorded = recorded_chains(&arguments, kind, session).await;
    let mut rows = recorded.unwrap_or_else(|error| {
        output::warning(format_args!(
            "only chains in Redis are listed; Postgres query failed: {}",
            error.first_line()
        ));
        Vec::new()
    });
    // Redis has newer data than Postgres.
    let broker = session.broker().await?;
    let (known, fresh) = redis_chains(&arguments, kind, limit, &broker).await?;
    rows.retain(|row| !known.contains(&row.id));
    rows.extend(fresh);
    rows.sort_by_key(|row| std::cmp::Reverse((row.begun_at, row.id.clone())));
    rows.truncate(limit);
    let output = arguments.output;
    output.print_rows(&rows, |width| match kind {
        Some(ChainKind::Batch) if rows.is_empty() => "No batches found.".to_owned(),
        _ if rows.is_empty() => "No chains found.".to_owned(),
        _ => chain_table(&rows, local_time(), width),
    });
    if rows.len() == limit {
        output::note(format_args!(
            "{} shown; there may be more (raise --limit).",
            counted(rows.len(), "chain")
        ));
    }
    Ok(Exit::Success)
}

async fn recorded_chains(
    arguments: &Arguments,
    kind: Option<ChainKind>,
    session: &Session,
) -> Result<Vec<Row>, CommandError> {
    let filter = ChainFilter {
        kind,
        state: arguments.state,
        name: arguments.name.clone(),
        before: None,
        limit: Some(arguments.limit),
    };
    let rows = session.ledger().await?.chains(&filter).await?;
    Ok(rows
        .into_iter()
        .map(|row| Row::new(row.chain, row.figures.cost_usd))
        .collect())
}

/// The newest chains in Redis: the ids of all, and the rows of those that match.
async fn redis_chains(
    arguments: &Arguments,
    kind: Option<ChainKind>,
    limit: usize,
    broker: &Broker,
) -> Result<(HashSet<ChainId>, Vec<Row>), CommandError> {
    let (mut known, mut rows) = (HashSet::new(), Vec::new());
    let mut before = None;
    while known.len() < SEARCHED && rows.len() < limit {
        let page = broker.chains().newest(PAGE, before).await?;
        let Some(oldest) = page.last() else { break };
        before = Some(oldest.record.begun_ms);
        for ChainHead { record, cost } in page {
            known.insert(record.chain_id.clone());
            let is_match = kind.is_none_or(|kind| kind == record.kind)
                && arguments.state.is_none_or(|state| state == record.state)
                && (arguments.name.is_none() || arguments.name == record.name);
            if is_match {
                rows.push(Row::new(record, cost));
            }
        }
    }
    Ok((known, rows))
}

fn chain_table(rows: &[Row], now: DateTime<Utc>, width: Width) -> String {
    let mut table = Table::new([
        whole("ID"),
        whole("STATE"),
        hide(1, "KIND"),
        hide(2, "STEPS").right(),
        hide(3, "TIME"),
        hide(4, "COST"),
        whole("AGE").right(),
        cut("NAME"),
    ]);
    for row in rows {
        let end = row.ended_at.unwrap_or(now);
        table.add_row([
            Cell::new(&row.id),
            state_cell(row.state.as_str(), row.state),
            Cell::new(row.kind),
            number(row.total_steps),
            Cell::new(span_with_tenths(end - row.begun_at)),
            Cell::new(dollars(row.cost_usd)),
            Cell::new(age(row.begun_at, now)),
            Cell::new(one_line(row.name.as_deref().unwrap_or_default(), 60)),
        ]);
    }
    table.fitted(width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::chain::tree::tests::example_chain;

    #[test]
    fn states_are_checked() {
        assert_eq!(state("running"), Ok(ChainState::Running));
        assert_eq!(
            state("done"),
            Err("expected one of open, running, stopping, completed, failed, cancelled".to_owned())
        );
    }

    #[test]
    fn chains_are_a_table() {
        let row = |state| {
            let chain = example_chain(state);
            Row::new(chain.record, chain.cost)
        };
        let mut nameless = row(ChainState::Running);
        nameless.name = None;
        nameless.id = ChainId::parse("1795232878059-0").unwrap();
        let rows = [row(ChainState::Failed), nameless];
        let now = rows[0].begun_at + chrono::TimeDelta::seconds(300);
        insta::assert_snapshot!(chain_table(&rows, now, Width::of(80)), @"
        ID               STATE    KIND   STEPS  TIME   COST     AGE  NAME
        report-7         failed   chain      6  12.3s  $0.0113   5m  weekly report
        1795232878059-0  running  chain      6  5m     $0.0113   5m
        ");
        insta::assert_snapshot!(chain_table(&rows, now, Width::of(140)), @"
        ID               STATE    KIND   STEPS  TIME   COST     AGE  NAME
        report-7         failed   chain      6  12.3s  $0.0113   5m  weekly report
        1795232878059-0  running  chain      6  5m     $0.0113   5m
        ");
        insta::assert_snapshot!(serde_json::to_string(&rows[0]).unwrap(), @r#"{"id":"report-7","name":"weekly report","kind":"chain","state":"failed","total_steps":6,"cost_usd":"0.0113004","begun_at":"2026-11-21T03:47:58.059Z","ended_at":"2026-11-21T03:48:10.404Z","chain_id":"report-7","steps":6,"total_cost":0.0113004}"#);
    }
}

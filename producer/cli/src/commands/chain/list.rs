//! `longshore chain list`: many chains in a table.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use longshore_shared::{
    broker::{Broker, ChainHead},
    chain::ChainState,
    event::ChainRecord,
    ledger::ChainFilter,
    money::Usd,
};
use serde::Serialize;

use super::tree::took;
use crate::{
    commands::{
        jobs::first_line,
        submit::money::{dollars, exact},
        words::{ago, count, drawn, head, many, of_ms, table},
    },
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// Chains of Redis that are looked at together.
const PAGE: usize = 200;

/// Chains of Redis that are looked through for those that fit.
const LOOKED_THROUGH: usize = 2000;

/// Options.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// In this state
    #[arg(long, value_parser = state)]
    state: Option<ChainState>,
    /// Of this name
    #[arg(long)]
    name: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn state(word: &str) -> Result<ChainState, String> {
    ChainState::from_word(word).ok_or_else(|| {
        let all: Vec<&str> = ChainState::ALL.iter().map(|state| state.as_str()).collect();
        format!("expected one of {}", all.join(", "))
    })
}

/// A chain of the list.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    chain: Listed,
    #[serde(serialize_with = "exact")]
    total_cost: Usd,
}

#[derive(Debug, Serialize)]
struct Listed {
    chain_id: String,
    name: Option<String>,
    kind: &'static str,
    state: ChainState,
    steps: u64,
    begun_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

impl Row {
    fn new(record: ChainRecord, cost: Usd) -> Self {
        Self {
            chain: Listed {
                chain_id: record.chain_id.to_string(),
                name: record.name,
                kind: record.kind.as_str(),
                state: record.state,
                steps: record.steps,
                begun_at: of_ms(record.begun_ms),
                ended_at: record.ended_ms.map(of_ms),
            },
            total_cost: cost,
        }
    }
}

/// Gathers from the record and from Redis, and prints.
pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    let recorded = recorded(&arguments, session).await;
    let mut rows = recorded.unwrap_or_else(|error| {
        output::note(format_args!(
            "Warning: only chains that Redis still knows are listed; the record could not be asked: {}",
            first_line(&error)
        ));
        Vec::new()
    });
    // What Redis says is fresher.
    let broker = session.broker().await?;
    let (known, fresh) = standing(&arguments, limit, &broker).await?;
    rows.retain(|row| !known.contains(&row.chain.chain_id));
    rows.extend(fresh);
    rows.sort_by_key(|row| std::cmp::Reverse((row.chain.begun_at, row.chain.chain_id.clone())));
    rows.truncate(limit);
    match arguments.format {
        Format::Json => output::json(&rows),
        Format::Text if rows.is_empty() => output::line("No chains fit."),
        Format::Text => {
            output::line(text(&rows, Utc::now()));
            if rows.len() == limit {
                output::note(format_args!(
                    "{} shown, there may be more: raise --limit.",
                    many(rows.len(), "chain")
                ));
            }
        }
    }
    Ok(Done::Success)
}

async fn recorded(arguments: &Arguments, session: &Session) -> Result<Vec<Row>, CommandError> {
    let filter = ChainFilter {
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

/// The chains that Redis knows, of those looked at: the ids of all, and those that fit.
async fn standing(
    arguments: &Arguments,
    limit: usize,
    broker: &Broker,
) -> Result<(HashSet<String>, Vec<Row>), CommandError> {
    let (mut known, mut rows) = (HashSet::new(), Vec::new());
    let mut before = None;
    while known.len() < LOOKED_THROUGH && rows.len() < limit {
        let page = broker.chains_newest(PAGE, before).await?;
        let Some(oldest) = page.last() else { break };
        before = Some(oldest.record.begun_ms);
        for ChainHead { record, cost } in page {
            known.insert(record.chain_id.to_string());
            let fits = arguments.state.is_none_or(|state| state == record.state)
                && (arguments.name.is_none() || arguments.name == record.name);
            if fits {
                rows.push(Row::new(record, cost));
            }
        }
    }
    Ok((known, rows))
}

fn text(rows: &[Row], now: DateTime<Utc>) -> String {
    let mut lines = table([
        "ID", "STATE", "KIND", "STEPS", "TIME", "COST", "AGE", "NAME",
    ]);
    for Row { chain, total_cost } in rows {
        let end = chain.ended_at.unwrap_or(now);
        lines.add_row([
            chain.chain_id.clone(),
            chain.state.to_string(),
            chain.kind.to_owned(),
            count(chain.steps),
            took(end - chain.begun_at),
            dollars(*total_cost),
            ago(chain.begun_at, now),
            head(chain.name.as_deref().unwrap_or_default(), 60),
        ]);
    }
    drawn(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::chain::tree::tests::report;

    #[test]
    fn states_are_checked() {
        assert_eq!(state("running"), Ok(ChainState::Running));
        assert_eq!(
            state("done"),
            Err("expected one of open, running, stopping, completed, failed, cancelled".to_owned())
        );
    }

    #[test]
    fn chains_in_a_table() {
        let row = |state| {
            let chain = report(state);
            Row::new(chain.record, chain.cost)
        };
        let mut nameless = row(ChainState::Running);
        nameless.chain.name = None;
        nameless.chain.chain_id = "1795232878059-0".to_owned();
        let rows = [row(ChainState::Failed), nameless];
        let now = rows[0].chain.begun_at + chrono::TimeDelta::seconds(300);
        insta::assert_snapshot!(text(&rows, now), @"
        ID               STATE    KIND   STEPS  TIME   COST     AGE  NAME
        report-7         failed   chain  6      12.3s  $0.0113  5m   weekly report
        1795232878059-0  running  chain  6      5m     $0.0113  5m
        ");
        insta::assert_snapshot!(serde_json::to_string(&rows[0]).unwrap(), @r#"{"chain_id":"report-7","name":"weekly report","kind":"chain","state":"failed","steps":6,"begun_at":"2026-11-21T03:47:58.059Z","ended_at":"2026-11-21T03:48:10.404Z","total_cost":0.0113004}"#);
    }
}

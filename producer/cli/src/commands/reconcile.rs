//! `longshore reconcile`: compares the ledger with Redis, and its totals of costs with its attempts.

mod checks;
mod report;

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_protocol::clock::local_time;

use self::report::Report;
use crate::{
    error::{CommandError, Exit},
    options,
    output::{self, Format},
    render::text::counted,
    session::{Session, explain_ledger_error},
};

/// Rounds of checks. Jobs move and events are recorded with a delay, so only differences that remain are reported.
const ROUNDS: usize = 3;

/// The delay between two rounds.
const ROUND_DELAY: Duration = Duration::from_secs(1);

/// How long events may take to be recorded.
const RECORDING_LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Compare jobs and dead letters since: 30m, 2h, 7d, a date, or RFC 3339
    #[arg(long, default_value = "1d", value_parser = options::since)]
    since: DateTime<Utc>,
    /// Correct the totals of costs since then from the attempts, before the comparison
    #[arg(long)]
    correct_costs: bool,
    /// Report calls that have been in flight for longer
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = options::span)]
    in_flight: Duration,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Compares, and compares differences again; exit code 1 if any remain.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let client = session.client().await?;
    let broker = client.broker();
    let ledger = session.ledger().await?;
    let since = arguments.since;
    if arguments.correct_costs {
        let corrected = match ledger.correct_cost_totals(since, local_time()).await {
            Ok(corrected) => counted(corrected, "total"),
            Err(error) => return Err(explain_ledger_error(&ledger, error).await),
        };
        output::note(format_args!("{corrected} of costs corrected."));
    }
    let mut report: Option<Report> = None;
    for _ in 0..ROUNDS {
        let began = broker.server().time_ms().await?;
        let fresh =
            match checks::find_differences(&client, &ledger, since, arguments.in_flight).await {
                Err(CommandError::Ledger(error)) => {
                    return Err(explain_ledger_error(&ledger, error).await);
                }
                other => other?,
            };
        let known = match report.take() {
            Some(before) => before.retain_remaining(fresh),
            None => fresh,
        };
        let nothing = known.differences.is_empty();
        report = Some(known);
        if nothing {
            break;
        }
        wait_until_recorded(broker, began).await?;
    }
    let report = report.unwrap_or_default();
    arguments.format.print(&report);
    Ok(Exit::success_if(report.differences.is_empty()))
}

/// Waits until the events from before `began` (ms) are recorded.
async fn wait_until_recorded(broker: &Broker, began: i64) -> Result<(), BrokerError> {
    let start = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(ROUND_DELAY).await;
        let oldest = broker.events().oldest_unrecorded().await?;
        if oldest.is_none_or(|oldest| oldest > began) || start.elapsed() > RECORDING_LIMIT {
            return Ok(());
        }
    }
}

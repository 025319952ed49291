//! `longshore reconcile`: the record held against what stands in Redis.

mod checks;
mod report;

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_shared::broker::{Broker, BrokerError};

use self::report::Report;
use super::{migrate, words};
use crate::{
    error::{CommandError, Done},
    output::{self, Format},
    session::Session,
};

/// What differs is looked at so often: jobs move and facts are under way while we look.
const LOOKS: usize = 3;

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// How long facts that are under way are waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to look at, and how to answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Jobs and dead letters since then: 30m, 2h, 7d, a date, or RFC 3339
    #[arg(long, default_value = "1d", value_parser = words::since)]
    since: DateTime<Utc>,
    /// Name calls that have been under way for longer
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = words::lasting)]
    in_flight: Duration,
    /// How to answer
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// Looks, and looks again at what differs; exit code 1 if anything does.
pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Done, CommandError> {
    let broker = session.broker().await?;
    let ledger = session.ledger().await?;
    let since = arguments.since;
    let mut report: Option<Report> = None;
    for _ in 0..LOOKS {
        let began = broker.server_time_ms().await?;
        let fresh = match checks::all(&broker, &ledger, since, arguments.in_flight).await {
            Err(CommandError::Ledger(error)) => {
                return Err(migrate::explained(&ledger, error).await);
            }
            other => other?,
        };
        let known = match report.take() {
            Some(before) => before.still(fresh),
            None => fresh,
        };
        let nothing = known.differences.is_empty();
        report = Some(known);
        if nothing {
            break;
        }
        settle_down(&broker, began).await?;
    }
    let report = report.unwrap_or_default();
    match arguments.format {
        Format::Json => output::json(&report),
        Format::Text => output::line(&report),
    }
    Ok(if report.differences.is_empty() {
        Done::Success
    } else {
        Done::Failure
    })
}

/// Waits until the facts that were under way at `began` (ms) are recorded.
async fn settle_down(broker: &Broker, began: i64) -> Result<(), BrokerError> {
    let asked = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(PAUSE).await;
        let oldest = broker.oldest_unrecorded().await?;
        if oldest.is_none_or(|oldest| oldest > began) || asked.elapsed() > PATIENCE {
            return Ok(());
        }
    }
}

//! `longshore costs`: costs from the ledger.

mod report;

use chrono::{DateTime, NaiveDate, Utc};
use longshore_ledger::CostScope;
use longshore_protocol::clock::local_time;

use self::report::{ChainReport, Period, Report};
use crate::{
    error::{CommandError, Exit},
    options,
    output::{self, Format},
    render::text::counted,
    session::{Session, explain_ledger_error},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Day (UTC) [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", group = "which")]
    date: Option<NaiveDate>,
    /// Since: 30m, 2h, 7d, a date, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = options::since, group = "which")]
    since: Option<DateTime<Utc>>,
    /// All time
    #[arg(long, group = "which")]
    all: bool,
    /// Costs of this chain, by step and task
    #[arg(long, value_name = "ID", group = "which")]
    chain_id: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    // Redis only adds a note; the costs come from the ledger.
    let (done, ()) = tokio::join!(print_costs(arguments, session), note_unrecorded(session));
    done
}

async fn print_costs(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let ledger = session.ledger().await?;
    if let Some(chain) = arguments.chain_id {
        let costs = match ledger.chain_costs(&chain).await {
            Ok(costs) => costs,
            Err(error) => return Err(explain_ledger_error(&ledger, error).await),
        };
        if costs.jobs.is_empty() {
            output::note(format_args!(
                "The ledger has no attempt of chain `{chain}`."
            ));
            return Ok(Exit::Failure);
        }
        let report = ChainReport::new(chain, costs);
        arguments.format.print(&report);
        return Ok(Exit::Success);
    }
    let (scope, period) = match (arguments.date, arguments.since, arguments.all) {
        (_, _, true) => (CostScope::All, Period::All),
        (_, Some(from), _) => (CostScope::Since(from), Period::Since(from)),
        (date, ..) => {
            let day = date.unwrap_or_else(|| local_time().date_naive());
            (CostScope::Day(day), Period::Day(day))
        }
    };
    let summary = match ledger.costs(scope).await {
        Ok(summary) => summary,
        Err(error) => return Err(explain_ledger_error(&ledger, error).await),
    };
    let report = Report::new(period, summary);
    arguments.format.print(&report);
    Ok(Exit::Success)
}

/// Events reach the ledger after a moment, or after hours if Postgres was unavailable.
async fn note_unrecorded(session: &Session) {
    let unrecorded =
        async { Ok::<_, CommandError>(session.broker().await?.events().unrecorded_count().await?) };
    match unrecorded.await {
        Ok(0) => {}
        Ok(events) => {
            let events = counted(events, "event");
            output::note(format_args!(
                "Note: {events} not yet recorded in Postgres; the costs may be incomplete."
            ));
        }
        Err(_) => output::note(
            "Note: Redis cannot be reached; costs that are not yet recorded are unknown.",
        ),
    }
}

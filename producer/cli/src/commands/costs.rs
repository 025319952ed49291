//! `longshore costs`: costs from the ledger.

mod report;

use chrono::{DateTime, NaiveDate, Utc};
use longshore_ledger::{CostFilter, CostLabel, CostLine, Ledger};
use longshore_protocol::clock::local_time;

use self::report::{ChainReport, Period, Report, Section};
use crate::{
    error::{CommandError, Exit},
    options,
    output::{self, Format},
    render::text::counted,
    session::{Session, explain_ledger_error},
};

/// The most chains or queues that are listed.
const MOST_LINES: u32 = 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Day (UTC) [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", group = "which")]
    date: Option<NaiveDate>,
    /// Start of the period: 30m, 2h or 7d ago, a date, or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = options::since, group = "which")]
    since: Option<DateTime<Utc>>,
    /// All time
    #[arg(long, group = "which")]
    all: bool,
    /// Costs of this chain, by step and task
    #[arg(long, value_name = "ID", group = "which", conflicts_with_all = ["tenant", "by"])]
    chain_id: Option<String>,
    /// With --since, only before: 2h, 7d, a date, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = options::since, requires = "since")]
    until: Option<DateTime<Utc>>,
    /// Only costs of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// List the costs by this; may be repeated. Days are in UTC. By chain and by queue, every attempt of the period is
    /// read [default: platform and type]
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    by: Vec<Section>,
    /// Print the lists as CSV
    #[arg(long, conflicts_with_all = ["format", "chain_id"])]
    csv: bool,
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
    let (filter, period) = match (arguments.date, arguments.since, arguments.all) {
        (_, _, true) => (CostFilter::default(), Period::All),
        (_, Some(from), _) => (
            CostFilter {
                since: Some(from),
                until: arguments.until,
                ..CostFilter::default()
            },
            Period::Since(from, arguments.until),
        ),
        (date, ..) => {
            let day = date.unwrap_or_else(|| local_time().date_naive());
            (CostFilter::day(day), Period::Day(day))
        }
    };
    let filter = CostFilter {
        by_tenant: arguments.by.contains(&Section::Tenant),
        by_day: arguments.by.contains(&Section::Day),
        tenant: arguments.tenant,
        ..filter
    };
    let summary = match ledger.costs(&filter).await {
        Ok(summary) => summary,
        Err(error) => return Err(explain_ledger_error(&ledger, error).await),
    };
    let mut report = Report::new(period, &filter, summary, &arguments.by);
    for (section, label) in [
        (Section::Chain, CostLabel::Chain),
        (Section::Queue, CostLabel::Queue),
    ] {
        if arguments.by.contains(&section) {
            report.add(section, lines_by(&ledger, label, &filter).await?);
        }
    }
    if arguments.csv {
        output::line(report.to_csv().trim_end());
    } else {
        arguments.format.print(&report);
    }
    Ok(Exit::Success)
}

async fn lines_by(
    ledger: &Ledger,
    label: CostLabel,
    filter: &CostFilter,
) -> Result<Vec<CostLine>, CommandError> {
    let lines = match ledger.costs_by(label, filter, MOST_LINES).await {
        Ok(lines) => lines,
        Err(error) => return Err(explain_ledger_error(ledger, error).await),
    };
    if lines.len() >= usize::try_from(MOST_LINES).unwrap_or(usize::MAX) {
        output::note(format_args!(
            "Only the {MOST_LINES} most expensive are listed; choose a shorter period."
        ));
    }
    Ok(lines)
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

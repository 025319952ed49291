//! `longshore review list`.

use chrono::{DateTime, Utc};
use longshore_ledger::ReviewFilter;
use longshore_protocol::{
    clock::local_time,
    review::{ReviewRecord, ReviewState},
};

use super::Row;
use crate::{
    error::{CommandError, Exit},
    output::ListOutput,
    render::{
        table::{Cell, Table, Width, hide, state_cell, whole, wrap},
        text::{one_line, or_dash},
        time::{age, timestamp},
    },
    session::{Session, explain_ledger_error},
};

/// Characters of a question that the table shows.
const QUESTION: usize = 120;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only reviews in this state; what has ended comes from Postgres
    #[arg(long, value_enum, default_value_t = State::AwaitingHuman)]
    state: State,
    /// Maximum number of reviews
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    output: ListOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum State {
    #[value(alias = "awaiting")]
    AwaitingHuman,
    Approved,
    Edited,
    Rejected,
    Withdrawn,
    All,
}

impl State {
    fn stored(self) -> Option<ReviewState> {
        match self {
            Self::AwaitingHuman => Some(ReviewState::Awaiting),
            Self::Approved => Some(ReviewState::Approved),
            Self::Edited => Some(ReviewState::Edited),
            Self::Rejected => Some(ReviewState::Rejected),
            Self::Withdrawn => Some(ReviewState::Withdrawn),
            Self::All => None,
        }
    }
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let records = match arguments.state {
        State::AwaitingHuman => open(arguments.limit, session).await?,
        state => recorded(state, arguments.limit, session).await?,
    };
    let rows: Vec<Row<'_>> = records.iter().map(Row::from).collect();
    let now = local_time();
    arguments.output.print_rows(&rows, |width| {
        if rows.is_empty() {
            "No reviews.".to_owned()
        } else {
            table(&rows, now, width)
        }
    });
    Ok(Exit::Success)
}

/// Open reviews, the oldest first.
async fn open(limit: u32, session: &Session) -> Result<Vec<ReviewRecord>, CommandError> {
    let open = session.broker().await?.reviews().open().await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(open
        .into_iter()
        .take(limit)
        .map(ReviewRecord::asked)
        .collect())
}

async fn recorded(
    state: State,
    limit: u32,
    session: &Session,
) -> Result<Vec<ReviewRecord>, CommandError> {
    let filter = ReviewFilter {
        id: None,
        state: state.stored(),
        limit,
    };
    let ledger = session.ledger().await?;
    match ledger.reviews(&filter).await {
        Ok(records) => Ok(records),
        Err(error) => Err(explain_ledger_error(&ledger, error).await),
    }
}

fn table(rows: &[Row<'_>], now: DateTime<Utc>, width: Width) -> String {
    let mut table = Table::new([
        whole("ID"),
        whole("STATE"),
        whole("ASKED"),
        hide(1, "ASKS"),
        hide(2, "DEADLINE"),
        hide(3, "BY"),
        wrap("QUESTION"),
    ]);
    for row in rows {
        let deadline = row.deadline.map(timestamp);
        table.add_row([
            Cell::new(row.id),
            state_cell(row.state.as_str(), row.state),
            Cell::new(age(row.asked_at, now)),
            Cell::new(or_dash(row.asks)),
            Cell::new(or_dash(deadline.as_deref())),
            Cell::new(or_dash(row.decided_by)),
            Cell::new(one_line(row.question, QUESTION)),
        ]);
    }
    table.fitted(width)
}

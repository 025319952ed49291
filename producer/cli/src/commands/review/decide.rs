//! `longshore review approve` and `reject`.

use longshore_broker::{Broker, Decided};
use longshore_client::JobId;
use longshore_protocol::{
    clock::local_time,
    review::{DEADLINE, Decision, Review, ReviewState},
};
use serde::Serialize;

use super::{Found, describe, find, review_id, unknown};
use crate::{
    audit,
    error::{CommandError, Exit},
    output::{self, Format},
    render::time::from_unix_ms,
    session::Session,
};

/// Characters of a name.
const LONGEST_NAME: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Ids of the reviews
    #[arg(required = true, value_name = "ID", value_parser = review_id)]
    ids: Vec<JobId>,
    #[command(flatten)]
    who: Who,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, clap::Args)]
pub(super) struct Who {
    /// What you want to say about it; later steps read it
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Who decides [default: `LONGSHORE_ACTOR`, or the user and the host]
    #[arg(long, value_name = "NAME", value_parser = name)]
    by: Option<String>,
}

fn name(text: &str) -> Result<String, String> {
    if text == DEADLINE {
        return Err(format!(
            "`{DEADLINE}` stands for the default at the deadline"
        ));
    }
    if longshore_protocol::envelope::is_line(text, LONGEST_NAME) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected one line of 1 to {LONGEST_NAME} characters"
        ))
    }
}

/// What became of a decision, as JSON.
#[derive(Debug, Serialize)]
struct Row {
    id: JobId,
    /// `decided`, `already`, `cancelled` or `unknown`.
    result: &'static str,
    text: String,
}

pub(super) async fn run(
    arguments: Arguments,
    state: ReviewState,
    session: &Session,
) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let mut rows = Vec::new();
    for id in &arguments.ids {
        let decision = arguments
            .who
            .decision(state, None, &broker, session)
            .await?;
        rows.push(decide(id, decision, &broker, session).await?);
    }
    Ok(report(rows, arguments.format))
}

impl Who {
    pub(super) async fn decision(
        &self,
        state: ReviewState,
        text: Option<String>,
        broker: &Broker,
        session: &Session,
    ) -> Result<Decision, CommandError> {
        let by = self.by.clone();
        Ok(Decision {
            state,
            by: by.unwrap_or_else(|| audit::actor(&session.environment)),
            comment: self.comment.clone(),
            at: from_unix_ms(broker.server().time_ms().await?),
            text,
        })
    }
}

/// What became of the decisions: a failure if one of them does not count.
pub(super) fn report(rows: Vec<Decisive>, format: Format) -> Exit {
    let is_fine = rows.iter().all(|row| row.counts);
    let decided = rows.iter().filter(|row| row.row.result == "decided");
    audit::add_affected(decided.count());
    for row in &rows {
        match format {
            Format::Text if row.counts => output::line(&row.row.text),
            Format::Text => output::error(&row.row.text),
            Format::Json => {}
        }
    }
    if format == Format::Json {
        let rows: Vec<Row> = rows.into_iter().map(|row| row.row).collect();
        output::json(&rows);
    }
    Exit::success_if(is_fine)
}

/// What became of one decision.
pub(super) struct Decisive {
    row: Row,
    /// Whether the review ended as this person decided.
    counts: bool,
}

pub(super) async fn decide(
    id: &JobId,
    decision: Decision,
    broker: &Broker,
    session: &Session,
) -> Result<Decisive, CommandError> {
    match find(broker, session, id).await? {
        Found::Open(review) => decide_open(&review, decision, broker).await,
        Found::Ended(before) => Ok(already(id, &decision, &before)),
        Found::Recorded(record) => match record.decided_at {
            Some(at) => {
                let before = Decision {
                    state: record.state,
                    by: record.by.unwrap_or_default(),
                    comment: record.comment,
                    at,
                    text: None,
                };
                Ok(already(id, &decision, &before))
            }
            None => not_open(id, broker).await,
        },
        Found::Unknown => not_open(id, broker).await,
    }
}

async fn decide_open(
    review: &Review,
    decision: Decision,
    broker: &Broker,
) -> Result<Decisive, CommandError> {
    let id = &review.id;
    Ok(match broker.reviews().decide(review, &decision).await? {
        Decided::Yes => Decisive::new(id, "decided", format!("{id}: {}", decision.state), true),
        Decided::Before(before) => already(id, &decision, &before),
        Decided::Cancelled => {
            let text = format!("{id}: nothing is decided: its job is being cancelled");
            Decisive::new(id, "cancelled", text, false)
        }
        Decided::Gone => return not_open(id, broker).await,
    })
}

/// A person who repeats a decision after an unknown reply hears that it counts.
fn already(id: &JobId, decision: &Decision, before: &Decision) -> Decisive {
    let is_same = before.state == decision.state && before.by == decision.by;
    let is_same = is_same && (before.text.is_none() || before.text == decision.text);
    let text = format!("{id}: already {}", describe(before, local_time()));
    Decisive::new(id, "already", text, is_same)
}

async fn not_open(id: &JobId, broker: &Broker) -> Result<Decisive, CommandError> {
    let text = unknown(broker, id).await?;
    Ok(Decisive::new(id, "unknown", text, false))
}

impl Decisive {
    fn new(id: &JobId, result: &'static str, text: String, counts: bool) -> Self {
        let id = id.clone();
        Self {
            row: Row { id, result, text },
            counts,
        }
    }
}

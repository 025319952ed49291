//! `longshore review`: what steps ask people, and the answers.

mod decide;
mod edit;
mod list;
mod show;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use longshore_broker::{Broker, BrokerError, LastReview};
use longshore_client::JobId;
use longshore_ledger::ReviewFilter;
use longshore_protocol::{
    id::BadName,
    review::{Decision, DefaultVerdict, Review, ReviewRecord, ReviewState},
};
use serde::Serialize;

use crate::{
    error::{CommandError, Exit},
    render::{text::counted, time::with_age},
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what people are asked, or were asked
    List(list::Arguments),
    /// Show a question, its artefact, and the answers before it
    Show(show::Arguments),
    /// Approve artefacts as they are
    Approve(decide::Arguments),
    /// Reject artefacts
    Reject(decide::Arguments),
    /// Approve an artefact with another text
    Edit(edit::Arguments),
}

pub(crate) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    match arguments.action {
        Action::List(arguments) => list::run(arguments, session).await,
        Action::Show(arguments) => show::run(arguments, session).await,
        Action::Approve(arguments) => decide::run(arguments, ReviewState::Approved, session).await,
        Action::Reject(arguments) => decide::run(arguments, ReviewState::Rejected, session).await,
        Action::Edit(arguments) => edit::run(arguments, session).await,
    }
}

fn review_id(text: &str) -> Result<JobId, BadName> {
    JobId::parse(text)
}

/// A review as JSON.
#[derive(Debug, Serialize)]
struct Row<'a> {
    id: &'a JobId,
    chain_id: &'a str,
    step: String,
    state: ReviewState,
    asks: Option<&'a str>,
    question: &'a str,
    asked_at: DateTime<Utc>,
    deadline: Option<DateTime<Utc>>,
    default: Option<DefaultVerdict>,
    decided_at: Option<DateTime<Utc>>,
    decided_by: Option<&'a str>,
    comment: Option<&'a str>,
}

impl<'a> From<&'a ReviewRecord> for Row<'a> {
    fn from(record: &'a ReviewRecord) -> Self {
        let review = &record.review;
        Self {
            id: &review.id,
            chain_id: review.chain.as_str(),
            step: review.step.to_string(),
            state: record.state,
            asks: review.asks.as_deref(),
            question: &review.question,
            asked_at: review.asked_at,
            deadline: review.deadline,
            default: review.default,
            decided_at: record.decided_at,
            decided_by: record.by.as_deref(),
            comment: record.comment.as_deref(),
        }
    }
}

/// What is known of a review.
enum Found {
    Open(Box<Review>),
    /// It ended lately; the ledger may know more.
    Ended(Box<Decision>),
    Recorded(Box<ReviewRecord>),
    Unknown,
}

/// Looks for the last review of a job: in Redis, then in Postgres.
async fn find(broker: &Broker, session: &Session, id: &JobId) -> Result<Found, CommandError> {
    Ok(match broker.reviews().last(id).await? {
        LastReview::Open(review) => Found::Open(review),
        LastReview::Ended(decision) => Found::Ended(decision),
        LastReview::Unknown => match recorded(session, id).await {
            Some(record) => Found::Recorded(Box::new(record)),
            None => Found::Unknown,
        },
    })
}

/// The last review of a job in the ledger, if Postgres answers.
async fn recorded(session: &Session, id: &JobId) -> Option<ReviewRecord> {
    let filter = ReviewFilter {
        id: Some(id.clone()),
        state: None,
        limit: 1,
    };
    let ledger = session.ledger().await.ok()?;
    ledger.reviews(&filter).await.ok()?.pop()
}

/// What to say of an id without a review: what is open.
async fn unknown(broker: &Broker, id: &JobId) -> Result<String, BrokerError> {
    const MOST: usize = 10;
    let open = broker.reviews().open().await?;
    let ids: Vec<&str> = open
        .iter()
        .take(MOST)
        .map(|review| review.id.as_str())
        .collect();
    Ok(match ids.as_slice() {
        [] => format!("no review `{id}`: nobody is asked anything"),
        ids => format!(
            "no review `{id}`; {}: {}",
            counted(open.len(), "open review"),
            ids.join(", ")
        ),
    })
}

/// Who decided what, and when.
fn describe(decision: &Decision, now: DateTime<Utc>) -> String {
    let by = match decision.by.as_str() {
        "" => String::new(),
        by => format!(" by {by}"),
    };
    let comment = decision.comment.as_deref();
    let comment = comment.map_or_else(String::new, |comment| format!(": {comment}"));
    let at = with_age(decision.at, now);
    format!("{}{by} at {at}{comment}", decision.state)
}

//! `longshore review show`.

use std::fmt::Write as _;

use longshore_broker::Broker;
use longshore_client::JobId;
use longshore_protocol::{
    chain::{self, Document, Instance},
    clock::local_time,
    envelope::MessageLimits,
    outcome::Outcome,
    review::{Review, ReviewRecord},
};
use serde::Serialize;

use super::{Found, Row, describe, find, recorded, review_id, unknown};
use crate::{
    error::{CommandError, Exit},
    output::{self, Format},
    render::{
        text::{labelled, printable},
        time::with_age,
    },
    session::Session,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id of the review
    #[arg(value_parser = review_id)]
    id: JobId,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The document.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    row: Row<'a>,
    artefact: Option<&'a str>,
    before: Vec<Before>,
}

/// The answer of a step before the question.
#[derive(Debug, Serialize)]
struct Before {
    step: Instance,
    model: Option<String>,
    output: Option<String>,
}

pub(super) async fn run(arguments: Arguments, session: &Session) -> Result<Exit, CommandError> {
    let broker = session.broker().await?;
    let id = &arguments.id;
    let record = match find(&broker, session, id).await? {
        Found::Open(review) => ReviewRecord::asked(*review),
        Found::Recorded(record) => *record,
        Found::Ended(decision) => {
            let Some(record) = recorded(session, id).await else {
                let decided = describe(&decision, local_time());
                output::error(&format!("{id}: {decided}; Postgres does not have it yet"));
                return Ok(Exit::Failure);
            };
            ReviewRecord::ended(record.review, &decision)
        }
        Found::Unknown => {
            output::error(&unknown(&broker, id).await?);
            return Ok(Exit::Failure);
        }
    };
    let before = answers_before(&broker, &record.review, &session.config.limits).await?;
    let shown = Shown {
        row: Row::from(&record),
        artefact: record.review.artefact.as_deref(),
        before,
    };
    arguments.format.print_with(&shown, || text(&shown));
    Ok(Exit::Success)
}

/// The answers of the steps that the step needs, as far as Redis has them.
async fn answers_before(
    broker: &Broker,
    review: &Review,
    limits: &MessageLimits,
) -> Result<Vec<Before>, CommandError> {
    let stored = broker.chains().document(&review.chain).await?;
    let document = stored.and_then(|text| parsed(&text, limits));
    let step = document.as_ref().and_then(|document| {
        let mut steps = document.steps.iter();
        steps.find(|step| step.name == review.step.step)
    });
    let instances: Vec<Instance> = step
        .into_iter()
        .flat_map(|step| step.needs.iter().cloned().map(Instance::whole_step))
        .collect();
    let chains = broker.chains();
    let outcomes = chains.step_outcomes(&review.chain, &instances).await?;
    let before = instances.into_iter().zip(outcomes);
    Ok(before
        .filter_map(|(step, outcome)| Some(Before::new(step, outcome?)))
        .collect())
}

fn parsed(text: &str, limits: &MessageLimits) -> Option<Document> {
    chain::parse(text, limits)
        .or_else(|_| chain::parse_recipe(text, limits))
        .ok()
}

impl Before {
    fn new(step: Instance, outcome: Outcome) -> Self {
        Self {
            step,
            model: outcome.model,
            output: outcome.output,
        }
    }
}

fn text(shown: &Shown<'_>) -> String {
    let (row, now) = (&shown.row, local_time());
    let mut lines = vec![
        ("Review", row.id.to_string()),
        ("State", row.state.to_string()),
        ("Chain", format!("{} ({})", row.chain_id, row.step)),
        ("Asked", with_age(row.asked_at, now)),
    ];
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("Asks", row.asks.map(printable));
    add(
        "Deadline",
        row.deadline
            .zip(row.default)
            .map(|(deadline, default)| format!("{}, then {default}", with_age(deadline, now))),
    );
    add("Decided", row.decided_at.map(|at| with_age(at, now)));
    add("By", row.decided_by.map(printable));
    add("Comment", row.comment.map(printable));
    let mut text = labelled(&lines, 9);
    let mut part = |title: &str, body: &str| {
        let body = printable(body);
        write!(text, "\n\n{title}\n{}", body.trim_end()).ok();
    };
    for before in &shown.before {
        let model = before.model.as_deref().unwrap_or("no model");
        let output = before.output.as_deref().unwrap_or("(no answer)");
        part(&format!("--- {} ({model})", before.step), output);
    }
    part("--- question", row.question);
    if let Some(artefact) = shown.artefact {
        part("--- artefact", artefact);
    }
    text
}

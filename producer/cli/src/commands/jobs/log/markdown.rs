//! The log of a job as Markdown.

use chrono::{DateTime, Utc};

use super::events::{LogEvent, Particular, log_events};
use crate::{
    commands::jobs::details::{JobDetails, facts},
    render::{
        markdown::{block, code, inline},
        time::exact_timestamp,
    },
};

/// The facts that the title or an event has.
const IN_LOG: [&str; 7] = [
    "Job", "Now", "Enqueued", "Started", "Finished", "Dropped", "DLQ",
];

/// Spaces before what belongs to the particulars of an event.
const INDENT: usize = 4;

/// A heading of this level, what is known of the job, and what happened to it.
pub(in crate::commands) fn job_section(
    details: &JobDetails,
    level: usize,
    now: DateTime<Utc>,
) -> String {
    let facts = facts(details, now)
        .into_iter()
        .filter(|(name, _)| !IN_LOG.contains(name))
        .map(|(name, value)| format!("- {name}: {}", inline(&value)));
    let events = log_events(details);
    let mut parts = vec![
        format!("{} Job {}", "#".repeat(level), code(details.id.as_str())),
        facts.collect::<Vec<_>>().join("\n"),
        format!("{} Log", "#".repeat(level + 1)),
        events.iter().map(item).collect::<Vec<_>>().join("\n"),
    ];
    if let Some(error) = &details.record_error {
        parts.push(format!(
            "Only the data in Redis is shown; Postgres query failed: {}",
            inline(error)
        ));
    }
    parts.join("\n\n")
}

/// An event as an item of a list.
fn item(event: &LogEvent<'_>) -> String {
    let at = event
        .at
        .map_or_else(String::new, |at| format!("{} ", exact_timestamp(at)));
    let mut lines = vec![format!(
        "- {at}**{}**: {}",
        event.event.title(),
        inline(&event.text)
    )];
    for particular in &event.particulars {
        match particular {
            Particular::Line(line) => lines.push(format!("  - {}", inline(line))),
            Particular::Text(name, text) => {
                lines.push(format!("  - {name}:"));
                lines.push(String::new());
                lines.push(block(text, INDENT));
            }
        }
    }
    lines.join("\n")
}

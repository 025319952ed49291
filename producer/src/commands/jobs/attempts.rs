//! A job's attempts, as tables for people.

use chrono::{DateTime, Utc};
use comfy_table::{Cell, CellAlignment};
use longshore_shared::{event::AttemptRecord, resume::PastAttempt};

use crate::commands::words::{count, drawn, head, or_dash, span, table};

fn right(text: impl std::fmt::Display) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Attempts, as the record has them.
pub(super) fn recorded_attempts(attempts: &[AttemptRecord]) -> String {
    let mut rows = table([
        "NO",
        "PLATFORM",
        "MODEL",
        "OUTCOME",
        "IN",
        "OUT",
        "CACHED",
        "REASONING",
        "COST",
        "LATENCY",
        "ERROR",
    ]);
    for attempt in attempts {
        let cost = attempt.cost_usd.map_or_else(
            || format!("unknown (reserved ${})", attempt.reserved_usd),
            |cost| format!("${cost}"),
        );
        let latency = attempt
            .finished_at
            .map_or_else(|| "-".to_owned(), |end| latency(attempt.started_at, end));
        let duplicate = if attempt.duplicate {
            " (duplicate)"
        } else {
            ""
        };
        let error = match (attempt.error_class, &attempt.error) {
            (Some(class), Some(error)) => format!("{class}: {}", head(error, 80)),
            (Some(class), None) => class.to_string(),
            (None, error) => error
                .as_deref()
                .map(|error| head(error, 80))
                .unwrap_or_default(),
        };
        rows.add_row([
            right(attempt.attempt),
            Cell::new(head(&attempt.platform, 40)),
            Cell::new(head(&attempt.model, 60)),
            Cell::new(format!("{}{duplicate}", attempt.outcome)),
            right(count(attempt.usage.total_input())),
            right(count(attempt.usage.total_output())),
            right(count(attempt.usage.cached)),
            right(count(attempt.usage.reasoning)),
            Cell::new(cost),
            right(latency),
            Cell::new(error),
        ]);
    }
    drawn(&rows)
}

fn latency(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    let ms = (to - from).num_milliseconds().max(0);
    if ms < 1000 {
        format!("{ms}ms")
    } else {
        format!("{}.{:02}s", ms / 1000, ms % 1000 / 10)
    }
}

/// Failed attempts, as the job itself remembers them.
pub(crate) fn remembered_attempts(attempts: &[PastAttempt]) -> String {
    let now = Utc::now();
    let mut rows = table(["WHEN", "PLATFORM", "MODEL", "COST", "ERROR"]);
    for attempt in attempts {
        let cost = attempt
            .cost
            .map_or_else(|| "unknown".to_owned(), |cost| format!("${cost}"));
        rows.add_row([
            format!("{} ago", span(now - attempt.at)),
            or_dash(Some(&attempt.platform)),
            or_dash(Some(&attempt.model)),
            cost,
            format!("{}: {}", attempt.error_class, head(&attempt.error, 120)),
        ]);
    }
    drawn(&rows)
}

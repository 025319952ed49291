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
            Cell::new(cost(attempt)),
            right(latency),
            Cell::new(error),
        ]);
    }
    drawn(&rows)
}

/// What it cost by our account and, where the provider tells another, by the provider's.
fn cost(attempt: &AttemptRecord) -> String {
    let ours = attempt.cost_usd.map_or_else(
        || format!("unknown (reserved ${})", attempt.reserved_usd),
        |cost| format!("${cost}"),
    );
    match attempt.reported_cost_usd {
        Some(reported) if attempt.cost_usd != Some(reported) => {
            format!("{ours} (provider: ${reported})")
        }
        _ => ours,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::jobs::decisions::attempt;

    #[test]
    fn a_cost_is_told_twice_where_the_provider_tells_another() {
        let told = |ours: Option<&str>, reported: Option<&str>| {
            let usd = |amount: &str| amount.parse().unwrap();
            cost(&AttemptRecord {
                cost_usd: ours.map(usd),
                reported_cost_usd: reported.map(usd),
                ..attempt(1, None)
            })
        };
        assert_eq!(told(Some("0.1"), None), "$0.1");
        assert_eq!(told(Some("0.1"), Some("0.10")), "$0.1");
        assert_eq!(told(Some("0.1"), Some("0.12")), "$0.1 (provider: $0.12)");
        assert_eq!(
            told(None, Some("0.12")),
            "unknown (reserved $0.25) (provider: $0.12)"
        );
    }
}

//! The attempts of a job.

use longshore_protocol::{checkpoint::PastAttempt, clock::local_time, event::AttemptRecord};

use super::{
    table::{Cell, Table, number, right},
    text::{one_line, or_dash},
    time::{age, latency},
};

/// A table of the attempts in the ledger.
pub(crate) fn recorded_attempts(attempts: &[AttemptRecord]) -> String {
    let mut table = Table::new([
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
            (Some(class), Some(error)) => format!("{class}: {}", one_line(error, 80)),
            (Some(class), None) => class.to_string(),
            (None, error) => error
                .as_deref()
                .map(|error| one_line(error, 80))
                .unwrap_or_default(),
        };
        table.add_row([
            right(attempt.attempt),
            Cell::new(one_line(&attempt.platform, 40)),
            Cell::new(one_line(&attempt.model, 60)),
            Cell::new(format!("{}{duplicate}", attempt.outcome)),
            number(attempt.usage.total_input()),
            number(attempt.usage.total_output()),
            number(attempt.usage.cached),
            number(attempt.usage.reasoning),
            Cell::new(cost(attempt)),
            right(latency),
            Cell::new(error),
        ]);
    }
    table.to_string()
}

/// The computed cost and, if it differs, the cost that the provider reported.
fn cost(attempt: &AttemptRecord) -> String {
    let computed = attempt.cost_usd.map_or_else(
        || format!("unknown (reserved ${})", attempt.reserved_usd),
        |cost| {
            let estimated = if attempt.usage_estimated {
                " (estimated)"
            } else {
                ""
            };
            format!("${cost}{estimated}")
        },
    );
    match attempt.reported_cost_usd {
        Some(reported) if attempt.cost_usd != Some(reported) => {
            format!("{computed} (provider: ${reported})")
        }
        _ => computed,
    }
}

/// A table of the failed attempts in the checkpoint of a job.
pub(crate) fn checkpoint_attempts(attempts: &[PastAttempt]) -> String {
    let now = local_time();
    let mut table = Table::new(["WHEN", "PLATFORM", "MODEL", "COST", "ERROR"]);
    for attempt in attempts {
        let cost = attempt
            .cost
            .map_or_else(|| "unknown".to_owned(), |cost| format!("${cost}"));
        table.add_row([
            format!("{} ago", age(attempt.at, now)),
            or_dash(Some(&attempt.platform)),
            or_dash(Some(&attempt.model)),
            cost,
            format!("{}: {}", attempt.error_class, one_line(&attempt.error, 120)),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::decisions::example_attempt;

    #[test]
    fn a_differing_cost_of_the_provider_is_shown() {
        let shown = |ours: Option<&str>, reported: Option<&str>| {
            let usd = |amount: &str| amount.parse().unwrap();
            cost(&AttemptRecord {
                cost_usd: ours.map(usd),
                usage_estimated: false,
                reported_cost_usd: reported.map(usd),
                ..example_attempt(1, None)
            })
        };
        assert_eq!(shown(Some("0.1"), None), "$0.1");
        assert_eq!(shown(Some("0.1"), Some("0.10")), "$0.1");
        assert_eq!(shown(Some("0.1"), Some("0.12")), "$0.1 (provider: $0.12)");
        assert_eq!(
            shown(None, Some("0.12")),
            "unknown (reserved $0.25) (provider: $0.12)"
        );
    }
}

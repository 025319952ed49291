//! The attempts of a job.

use longshore_protocol::{checkpoint::PastAttempt, clock::local_time, event::AttemptRecord};

use super::{
    table::{Cell, Table, Width, hide, number, state_cell, whole, wrap},
    text::{one_line, or_dash},
    time::{age, latency},
};

/// A table of the attempts in the ledger.
pub(crate) fn recorded_attempts(attempts: &[AttemptRecord], width: Width) -> String {
    let mut table = Table::new([
        whole("NO").right(),
        whole("PLATFORM"),
        hide(6, "MODEL"),
        whole("OUTCOME"),
        hide(4, "IN").right(),
        hide(3, "OUT").right(),
        hide(2, "CACHED").right(),
        hide(1, "REASONING").right(),
        whole("COST"),
        hide(5, "LATENCY").right(),
        wrap("ERROR"),
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
            Cell::new(attempt.attempt),
            Cell::new(one_line(&attempt.platform, 40)),
            Cell::new(one_line(&attempt.model, 60)),
            state_cell(
                attempt.outcome.as_str(),
                format_args!("{}{duplicate}", attempt.outcome),
            ),
            number(attempt.usage.total_input()),
            number(attempt.usage.total_output()),
            number(attempt.usage.cached),
            number(attempt.usage.reasoning),
            Cell::new(attempt_cost(attempt)),
            Cell::new(latency),
            Cell::new(error),
        ]);
    }
    table.fitted(width)
}

/// The computed cost and, if it differs, the cost that the provider reported.
pub(crate) fn attempt_cost(attempt: &AttemptRecord) -> String {
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
pub(crate) fn checkpoint_attempts(attempts: &[PastAttempt], width: Width) -> String {
    let now = local_time();
    let mut table = Table::new([
        whole("WHEN"),
        whole("PLATFORM"),
        hide(1, "MODEL"),
        whole("COST"),
        wrap("ERROR"),
    ]);
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
    table.fitted(width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::decisions::example_attempt;

    #[test]
    fn a_differing_cost_of_the_provider_is_shown() {
        let shown = |ours: Option<&str>, reported: Option<&str>| {
            let usd = |amount: &str| amount.parse().unwrap();
            attempt_cost(&AttemptRecord {
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

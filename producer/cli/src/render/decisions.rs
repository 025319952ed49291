//! The routing decisions of a job.

use longshore_protocol::event::{AttemptRecord, DecisionRecord};

use super::text::one_line;

/// Maximum characters of a reason.
const REASON_CHARS: usize = 200;

/// The decision of each attempt, without repetitions.
pub(crate) fn routing_decisions(attempts: &[AttemptRecord]) -> Option<String> {
    let mut before: Option<(&str, &str, &DecisionRecord)> = None;
    let mut lines = Vec::new();
    for attempt in attempts {
        let Some(decision) = &attempt.decision else {
            continue;
        };
        let this = (attempt.platform.as_str(), attempt.model.as_str(), decision);
        if before.replace(this) == Some(this) {
            continue;
        }
        let target = format!("{} ({})", attempt.platform, attempt.model);
        lines.push(format!(
            "  Attempt {}: {}: {}",
            attempt.attempt,
            one_line(&target, REASON_CHARS),
            one_line(&attempt.routing_reason, REASON_CHARS)
        ));
        for step in &decision.steps {
            let step = format!("{}: {}", step.step, step.outcome);
            lines.push(format!("    {}", one_line(&step, REASON_CHARS)));
        }
        for skipped in &decision.skipped {
            let skipped = format!("{} ({}): {}", skipped.platform, skipped.model, skipped.why);
            lines.push(format!("    skipped {}", one_line(&skipped, REASON_CHARS)));
        }
    }
    (!lines.is_empty()).then(|| format!("Routing\n{}", lines.join("\n")))
}

/// An attempt that was lost, for tests.
#[cfg(test)]
pub(crate) fn example_attempt(number: u32, decision: Option<DecisionRecord>) -> AttemptRecord {
    use longshore_protocol::{
        call::Usage,
        id::{AttemptId, WorkerId},
        state::AttemptOutcome,
    };

    AttemptRecord {
        attempt_id: AttemptId::new(),
        labels: None,
        attempt: number,
        worker: WorkerId::from_stored("w"),
        platform: "openai".to_owned(),
        model: "gpt-4o-mini".to_owned(),
        routing_reason: "second of tier standard".to_owned(),
        decision,
        started_at: chrono::DateTime::UNIX_EPOCH,
        finished_at: None,
        outcome: AttemptOutcome::Lost,
        duplicate: false,
        error_class: None,
        error: None,
        status: None,
        usage: Usage::default(),
        usage_estimated: false,
        cost_usd: None,
        reserved_usd: "0.25".parse().unwrap(),
        reported_cost_usd: None,
        tokens_estimated: None,
        response_id: None,
        traceparent: None,
    }
}

#[cfg(test)]
mod tests {
    use longshore_protocol::event::{DecisionStep, SkippedRecord};

    use super::*;

    fn decision(skipped: &[&str]) -> DecisionRecord {
        let step = |step: &str, outcome: &str| DecisionStep {
            step: step.to_owned(),
            outcome: outcome.to_owned(),
        };
        let skip = |why: &&str| SkippedRecord {
            platform: "gemini".to_owned(),
            model: "gemini-2.5-flash".to_owned(),
            why: (*why).to_owned(),
        };
        DecisionRecord {
            steps: vec![
                step("hint", "gemini is asked first"),
                step("tier", "standard, for its risk"),
            ],
            skipped: skipped.iter().map(skip).collect(),
        }
    }

    #[test]
    fn repeated_decisions_are_shown_once() {
        let attempts = [
            example_attempt(1, Some(decision(&[]))),
            example_attempt(2, Some(decision(&[]))),
            example_attempt(3, Some(decision(&["its circuit is open: overloaded"]))),
            example_attempt(4, None),
        ];
        insta::assert_snapshot!(routing_decisions(&attempts).unwrap(), @r"
        Routing
          Attempt 1: openai (gpt-4o-mini): second of tier standard
            hint: gemini is asked first
            tier: standard, for its risk
          Attempt 3: openai (gpt-4o-mini): second of tier standard
            hint: gemini is asked first
            tier: standard, for its risk
            skipped gemini (gemini-2.5-flash): its circuit is open: overloaded
        ");
    }

    #[test]
    fn attempts_without_a_decision_show_nothing() {
        assert_eq!(routing_decisions(&[example_attempt(1, None)]), None);
    }
}

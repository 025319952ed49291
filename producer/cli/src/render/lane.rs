//! What the jobs of a lane wait for.

use longshore_client::{JobState, Lane};
use longshore_policy::{
    limits::MeterName,
    pause::{PausedLane, Target},
};
use longshore_protocol::id::QueueName;

use super::text::one_line;

/// Maximum characters of a description.
const LONGEST: usize = 120;

/// What the jobs of the lane of this name wait for.
pub(crate) fn waiting_for(name: &str) -> String {
    if let Some(targets) = PausedLane::targets(name) {
        return one_line(&describe_resume(&targets), LONGEST);
    }
    let description = match name.split_once(':') {
        Some(("quota", meter)) => MeterName::parse(meter).to_string(),
        Some(("key", key)) => format!("concurrency key {key}"),
        Some(("tenant", turn)) => {
            let (queue, tenant) = turn.split_once(':').unwrap_or((turn, ""));
            tenant_turn(queue, tenant)
        }
        None if name == "time" => "their due time".to_owned(),
        None if name == "version" => "a worker with a newer protocol version".to_owned(),
        _ => name.to_owned(),
    };
    one_line(&description, LONGEST)
}

/// What a job of `queue` waits for, unless its state already says it.
pub(crate) fn wait_reason(lane: &Lane, queue: &QueueName) -> Option<String> {
    let description = match lane {
        Lane::Quota(meter) => MeterName::parse(meter).to_string(),
        Lane::Tenant(tenant) => tenant_turn(queue.as_str(), tenant),
        Lane::Paused(targets) => return Some(describe_resume(targets)),
        Lane::Time | Lane::Version | Lane::Key => return None,
    };
    Some(one_line(&description, LONGEST))
}

/// The state of a parked job. A job that waits for the turn of its tenant is as good as in its queue.
pub(crate) fn parked_state(lane: &Lane, attempts: u32) -> JobState {
    match lane {
        _ if attempts > 0 => JobState::Retryable,
        Lane::Tenant(_) => JobState::Available,
        Lane::Time | Lane::Version | Lane::Key | Lane::Quota(_) | Lane::Paused(_) => {
            JobState::Scheduled
        }
    }
}

/// A state with what the job waits for.
pub(crate) fn state_with_wait(state: &str, reason: Option<&str>) -> String {
    reason.map_or_else(
        || state.to_owned(),
        |reason| format!("{state}, waits for {reason}"),
    )
}

fn tenant_turn(queue: &str, tenant: &str) -> String {
    if tenant.is_empty() {
        format!("the turn of jobs without a tenant in queue {queue}")
    } else {
        format!("the turn of tenant {tenant} in queue {queue}")
    }
}

fn describe_resume(targets: &[Target]) -> String {
    let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
    format!("{} to be resumed", targets.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_describe_what_their_jobs_wait_for() {
        for (name, description) in [
            ("time", "their due time"),
            ("version", "a worker with a newer protocol version"),
            ("key:a:b", "concurrency key a:b"),
            ("paused:type:a:b", "type a:b to be resumed"),
            (
                "paused:provider:xai,gemini",
                "provider xai or provider gemini to be resumed",
            ),
            ("quota:rpm:openai", "openai's requests a minute"),
            ("quota:budget:team:a:b", "the budget team of a:b"),
            ("tenant:bulk:a:b", "the turn of tenant a:b in queue bulk"),
            (
                "tenant:default:",
                "the turn of jobs without a tenant in queue default",
            ),
        ] {
            assert_eq!(waiting_for(name), description);
        }
    }

    #[test]
    fn wait_reasons_add_to_the_state() {
        let reason = |name: &str| wait_reason(&Lane::parse(name), &QueueName::default());
        assert_eq!(
            reason("paused:type:research").as_deref(),
            Some("type research to be resumed")
        );
        assert_eq!(reason("time"), None);
        assert_eq!(
            reason("quota:rpm:xai").as_deref(),
            Some("xai's requests a minute")
        );
    }
}

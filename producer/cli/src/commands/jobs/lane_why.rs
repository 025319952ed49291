//! Why a job waits in a lane.

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError, Share, Turn};
use longshore_client::{JobSnapshot, Lane, QueueName};
use longshore_policy::{
    limits::MeterName,
    pause::{Pauses, Target},
};
use longshore_protocol::envelope::{Envelope, PROTOCOL_VERSION};

use crate::render::{
    pause::pause_sentence,
    text::{counted, grouped, one_line},
    time::{age, from_unix_ms, timestamp},
};

/// Why a parked job waits.
pub(super) async fn explain_lane(
    broker: &Broker,
    (queue, lane): (&QueueName, &Lane),
    due_at: Option<DateTime<Utc>>,
    found: &JobSnapshot,
    envelope: Option<&Envelope>,
    now: DateTime<Utc>,
) -> Result<String, BrokerError> {
    Ok(match lane {
        Lane::Time => {
            let retries = found
                .checkpoint
                .as_ref()
                .is_some_and(|checkpoint| checkpoint.attempts > 0);
            let what = if retries {
                "its next attempt"
            } else {
                "its time"
            };
            match due_at {
                Some(due) => format!("it waits for {what}, {}", describe_due(due, now)),
                None => format!("it waits for {what}"),
            }
        }
        Lane::Version => format!(
            "it waits for a worker of a newer protocol than version {PROTOCOL_VERSION}; after 24 h it becomes a dead \
             letter"
        ),
        Lane::Key => match envelope.and_then(|envelope| envelope.concurrency.as_ref()) {
            Some(limit) => {
                let lane = format!("key:{}", limit.key);
                let waiting = broker
                    .lanes()
                    .sizes()
                    .await?
                    .into_iter()
                    .find(|(name, _)| *name == lane);
                let waiting = waiting.map_or(1, |(_, jobs)| jobs);
                let jobs = if limit.limit.get() == 1 {
                    "one job with it runs".to_owned()
                } else {
                    format!("{} jobs with it run", limit.limit)
                };
                format!(
                    "its concurrency_key `{}` is taken: {jobs} at once, and {} for a place",
                    limit.key,
                    if waiting == 1 {
                        "1 job waits".to_owned()
                    } else {
                        format!("{} jobs wait", grouped(waiting))
                    }
                )
            }
            None => "its concurrency_key is taken".to_owned(),
        },
        Lane::Quota(meter) => explain_quota(broker, meter, found, envelope, now).await?,
        Lane::Paused(targets) => explain_pause(&broker.pauses().list().await?, targets, now),
        Lane::Tenant(tenant) => match &found.checkpoint {
            Some(checkpoint) => {
                let share = broker
                    .lanes()
                    .tenant_position(queue, tenant, &checkpoint.id)
                    .await?;
                describe_tenant_turn(queue, tenant, &share)
            }
            None => "it waits for its tenant's turn".to_owned(),
        },
    })
}

/// What has to be resumed before it runs.
fn explain_pause(pauses: &Pauses, targets: &[Target], now: DateTime<Utc>) -> String {
    let now_ms = now.timestamp_millis();
    let paused: Vec<String> = targets
        .iter()
        .filter_map(|target| Some((target, pauses.of(target, now_ms)?)))
        .map(|(target, pause)| pause_sentence(target, pause, now))
        .collect();
    if paused.is_empty() {
        "what it waited for is resumed: its turn comes at once".to_owned()
    } else {
        format!("it spends no attempt, because {}", paused.join(" and "))
    }
}

/// The limit that it waits for, its position in the lane, when its turn comes, and why it goes nowhere else.
async fn explain_quota(
    broker: &Broker,
    meter: &str,
    found: &JobSnapshot,
    envelope: Option<&Envelope>,
    now: DateTime<Utc>,
) -> Result<String, BrokerError> {
    let what = format!("it waits for room under {}", MeterName::parse(meter));
    let Some(checkpoint) = &found.checkpoint else {
        return Ok(what);
    };
    let turn = broker.lanes().limit_position(meter, &checkpoint.id).await?;
    let bound = if envelope.is_some_and(|envelope| !envelope.fallback) {
        "; no other platform is asked, for its `fallback` is false"
    } else {
        ""
    };
    Ok(format!("{what}{}{bound}", describe_turn(&turn, now)))
}

/// Its position in a limit's lane, and when its turn comes.
fn describe_turn(turn: &Turn, now: DateTime<Utc>) -> String {
    let place = match turn.ahead {
        Some(0) => ", as the next".to_owned(),
        Some(ahead) => format!(", behind {}", job_count(ahead)),
        None => String::new(),
    };
    let when = match turn.at_ms.map(from_unix_ms) {
        Some(at) if at > now => format!("; expected in {} ({})", age(now, at), timestamp(at)),
        Some(_) => "; expected at once".to_owned(),
        None => String::new(),
    };
    format!("{place}{when}")
}

/// Its position among its tenant's jobs, and the tenant's among the others.
fn describe_tenant_turn(queue: &QueueName, tenant: &str, share: &Share) -> String {
    let name = |tenant: &str| match tenant {
        "" => "those without a tenant".to_owned(),
        tenant => format!("tenant {}", one_line(tenant, 60)),
    };
    let who = name(tenant);
    let own = match share.ahead {
        Some(0) => ", as its next job".to_owned(),
        Some(ahead) => format!(", behind {} of its own", job_count(ahead)),
        None => String::new(),
    };
    let next = share.next.as_deref().map(name).unwrap_or_default();
    let turn = match share.before {
        0 => "; its turn is next".to_owned(),
        1 => format!("; only the turn of {next} comes before"),
        before => format!(
            "; {} turns come before, that of {next} first",
            grouped(before)
        ),
    };
    let shared = match share.tenants {
        0 | 1 => String::new(),
        tenants => format!(
            "; {} tenants share the places that come free, each by its weight (here {})",
            grouped(tenants),
            share.weight
        ),
    };
    format!("it waits for the turn of {who} in queue {queue}{own}{turn}{shared}")
}

fn job_count(number: u64) -> String {
    counted(number, "job")
}

fn describe_due(due: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if due > now {
        format!("due in {} ({})", age(now, due), timestamp(due))
    } else {
        format!(
            "due since {}: a scheduler or a worker lets it go, so one must be running",
            age(due, now)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_due_time_is_told_in_words() {
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        assert_eq!(
            describe_due("2026-12-01T12:05:00Z".parse().unwrap(), now),
            "due in 5m (2026-12-01T12:05:00Z)"
        );
        assert!(
            describe_due("2026-12-01T11:59:00Z".parse().unwrap(), now)
                .starts_with("due since 60s: a scheduler")
        );
    }

    #[test]
    fn a_place_in_a_limits_lane_is_told_with_the_time() {
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        let words = |ahead, at: Option<&str>| {
            let at_ms = at.map(|at| at.parse::<DateTime<Utc>>().unwrap().timestamp_millis());
            describe_turn(&Turn { ahead, at_ms }, now)
        };
        assert_eq!(
            words(Some(1_234), Some("2026-12-02T00:00:00Z")),
            ", behind 1,234 jobs; expected in 12h (2026-12-02T00:00:00Z)"
        );
        assert_eq!(
            words(Some(0), Some("2026-12-01T12:00:00Z")),
            ", as the next; expected at once"
        );
        assert_eq!(words(Some(1), None), ", behind 1 job");
        assert_eq!(words(None, None), "");
    }

    #[test]
    fn whose_turn_it_is_is_told() {
        let share = |ahead, before, next: &str, tenants, weight| {
            let next = Some(next.to_owned());
            Share {
                ahead,
                before,
                next,
                tenants,
                weight,
            }
        };
        let queue = QueueName::default();
        let words = [
            describe_tenant_turn(&queue, "acme", &share(Some(12), 3, "globex", 5, 2)),
            describe_tenant_turn(&queue, "acme", &share(Some(1), 1, "", 2, 1)),
            describe_tenant_turn(&queue, "acme", &share(Some(0), 0, "acme", 1, 1)),
            describe_tenant_turn(&queue, "", &share(None, 0, "", 2, 1)),
        ];
        insta::assert_snapshot!(words.join("\n"), @r#"
        it waits for the turn of tenant acme in queue default, behind 12 jobs of its own; 3 turns come before, that of tenant globex first; 5 tenants share the places that come free, each by its weight (here 2)
        it waits for the turn of tenant acme in queue default, behind 1 job of its own; only the turn of those without a tenant comes before; 2 tenants share the places that come free, each by its weight (here 1)
        it waits for the turn of tenant acme in queue default, as its next job; its turn is next
        it waits for the turn of those without a tenant in queue default; its turn is next; 2 tenants share the places that come free, each by its weight (here 1)
        "#);
    }
}

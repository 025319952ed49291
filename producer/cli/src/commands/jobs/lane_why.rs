//! Why a job waits in a lane.

use chrono::{DateTime, Utc};
use longshore_shared::{
    broker::{Broker, BrokerError, Share, Turn},
    envelope::{Envelope, PROTOCOL_VERSION},
    id::QueueName,
    limits::MeterName,
    pause::{Pauses, Target},
};

use super::{find::Found, lane::Lane};
use crate::commands::pause::pause_words;
use crate::commands::words::{ago, count, head, many, of_ms, time};

/// Why it waits in a lane, in words.
pub(super) async fn lane_why(
    broker: &Broker,
    (queue, lane): (&QueueName, &Lane),
    due_at: Option<DateTime<Utc>>,
    found: &Found,
    envelope: Option<&Envelope>,
    now: DateTime<Utc>,
) -> Result<String, BrokerError> {
    Ok(match lane {
        Lane::Time => {
            let retries = found
                .resume
                .as_ref()
                .is_some_and(|resume| resume.attempts > 0);
            let what = if retries {
                "its next attempt"
            } else {
                "its time"
            };
            match due_at {
                Some(due) => format!("it waits for {what}, {}", due_words(due, now)),
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
                        format!("{} jobs wait", count(waiting))
                    }
                )
            }
            None => "its concurrency_key is taken".to_owned(),
        },
        Lane::Quota(meter) => quota_why(broker, meter, found, envelope, now).await?,
        Lane::Paused(targets) => paused_why(&broker.pauses().await?, targets, now),
        Lane::Tenant(tenant) => match &found.resume {
            Some(resume) => {
                let share = broker.share(queue, tenant, &resume.id).await?;
                tenant_words(queue, tenant, &share)
            }
            None => "it waits for its tenant's turn".to_owned(),
        },
    })
}

/// What has to be resumed before it goes on.
fn paused_why(pauses: &Pauses, targets: &[Target], now: DateTime<Utc>) -> String {
    let now_ms = now.timestamp_millis();
    let paused: Vec<String> = targets
        .iter()
        .filter_map(|target| Some((target, pauses.of(target, now_ms)?)))
        .map(|(target, pause)| pause_words(target, pause, now))
        .collect();
    if paused.is_empty() {
        "what it waited for is resumed: its turn comes at once".to_owned()
    } else {
        format!("it spends no attempt, because {}", paused.join(" and "))
    }
}

/// The limit that it waits for, its place among those who do, when its turn comes, and why it goes nowhere else.
async fn quota_why(
    broker: &Broker,
    meter: &str,
    found: &Found,
    envelope: Option<&Envelope>,
    now: DateTime<Utc>,
) -> Result<String, BrokerError> {
    let what = format!("it waits for room under {}", MeterName::parse(meter));
    let Some(resume) = &found.resume else {
        return Ok(what);
    };
    let turn = broker.turn(meter, &resume.id).await?;
    let bound = if envelope.is_some_and(|envelope| !envelope.fallback) {
        "; no other platform is asked, for its `fallback` is false"
    } else {
        ""
    };
    Ok(format!("{what}{}{bound}", turn_words(&turn, now)))
}

/// Its place in a limit's lane, and when its turn comes.
fn turn_words(turn: &Turn, now: DateTime<Utc>) -> String {
    let place = match turn.ahead {
        Some(0) => ", as the next".to_owned(),
        Some(ahead) => format!(", behind {}", jobs(ahead)),
        None => String::new(),
    };
    let when = match turn.at_ms.map(of_ms) {
        Some(at) if at > now => format!("; expected in {} ({})", ago(now, at), time(at)),
        Some(_) => "; expected at once".to_owned(),
        None => String::new(),
    };
    format!("{place}{when}")
}

/// Its place among its tenant's jobs, and the tenant's among the others.
fn tenant_words(queue: &QueueName, tenant: &str, share: &Share) -> String {
    let name = |tenant: &str| match tenant {
        "" => "those without a tenant".to_owned(),
        tenant => format!("tenant {}", head(tenant, 60)),
    };
    let who = name(tenant);
    let own = match share.ahead {
        Some(0) => ", as its next job".to_owned(),
        Some(ahead) => format!(", behind {} of its own", jobs(ahead)),
        None => String::new(),
    };
    let next = share.next.as_deref().map(name).unwrap_or_default();
    let turn = match share.before {
        0 => "; its turn is next".to_owned(),
        1 => format!("; only the turn of {next} comes before"),
        before => format!(
            "; {} turns come before, that of {next} first",
            count(before)
        ),
    };
    let shared = match share.tenants {
        0 | 1 => String::new(),
        tenants => format!(
            "; {} tenants share the places that come free, each by its weight (here {})",
            count(tenants),
            share.weight
        ),
    };
    format!("it waits for the turn of {who} in queue {queue}{own}{turn}{shared}")
}

fn jobs(number: u64) -> String {
    many(number, "job")
}

fn due_words(due: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if due > now {
        format!("due in {} ({})", ago(now, due), time(due))
    } else {
        format!(
            "due since {}: a scheduler or a worker lets it go, so one must be running",
            ago(due, now)
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
            due_words("2026-12-01T12:05:00Z".parse().unwrap(), now),
            "due in 5m (2026-12-01T12:05:00Z)"
        );
        assert!(
            due_words("2026-12-01T11:59:00Z".parse().unwrap(), now)
                .starts_with("due since 60s: a scheduler")
        );
    }

    #[test]
    fn a_place_in_a_limits_lane_is_told_with_the_time() {
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        let words = |ahead, at: Option<&str>| {
            let at_ms = at.map(|at| at.parse::<DateTime<Utc>>().unwrap().timestamp_millis());
            turn_words(&Turn { ahead, at_ms }, now)
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
            tenant_words(&queue, "acme", &share(Some(12), 3, "globex", 5, 2)),
            tenant_words(&queue, "acme", &share(Some(1), 1, "", 2, 1)),
            tenant_words(&queue, "acme", &share(Some(0), 0, "acme", 1, 1)),
            tenant_words(&queue, "", &share(None, 0, "", 2, 1)),
        ];
        insta::assert_snapshot!(words.join("\n"), @r#"
        it waits for the turn of tenant acme in queue default, behind 12 jobs of its own; 3 turns come before, that of tenant globex first; 5 tenants share the places that come free, each by its weight (here 2)
        it waits for the turn of tenant acme in queue default, behind 1 job of its own; only the turn of those without a tenant comes before; 2 tenants share the places that come free, each by its weight (here 1)
        it waits for the turn of tenant acme in queue default, as its next job; its turn is next
        it waits for the turn of those without a tenant in queue default; its turn is next; 2 tenants share the places that come free, each by its weight (here 1)
        "#);
    }
}

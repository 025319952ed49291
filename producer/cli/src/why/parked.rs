//! Explains why a parked job waits in its lane.

use chrono::{DateTime, TimeDelta, Utc};
use longshore_broker::{
    AccountHold, Broker, BrokerError, LanePosition, LastReview, TenantPosition,
};
use longshore_client::{JobId, JobSnapshot, Lane, QueueName};
use longshore_policy::{
    limits::MeterName,
    pause::{Pauses, Target},
};
use longshore_protocol::{
    call::ErrorClass,
    checkpoint::Checkpoint,
    envelope::{Envelope, PROTOCOL_VERSION},
    review::Review,
};

use crate::render::{
    hold,
    pause::{pause_sentence, resume_command},
    text::{counted, grouped, one_line},
    time::{age, from_unix_ms, timestamp},
};

/// Characters of an error that are shown.
const ERROR_HEAD: usize = 160;

/// The times of one wait may differ by this much.
const TOLERANCE: TimeDelta = TimeDelta::seconds(1);

/// How much later than a job's own answer those may have come that extended the hold.
const EXTENDED: TimeDelta = TimeDelta::minutes(10);

/// Why a job waits for a limit although others may have room.
pub(super) const BOUND: &str = "no other platform is tried because its `fallback` is false";

/// What a parked job waits for, and when it is expected to run.
pub(super) async fn explain_parked(
    broker: &Broker,
    (queue, lane): (&QueueName, &Lane),
    due_at: Option<DateTime<Utc>>,
    found: &JobSnapshot,
    envelope: Option<&Envelope>,
    now: DateTime<Utc>,
) -> Result<String, BrokerError> {
    Ok(match lane {
        Lane::Time => {
            let failed = found.checkpoint.as_ref();
            let failed = failed.filter(|checkpoint| checkpoint.attempts > 0);
            let wait =
                failed.map_or_else(|| "waiting for its start time".to_owned(), describe_failure);
            let recipe = found
                .checkpoint
                .as_ref()
                .and_then(|checkpoint| checkpoint.recipe.as_ref());
            if let Some(recipe) = recipe {
                return Ok(format!(
                    "waiting for its recipe, round {}: `longshore chain show {}`",
                    recipe.round, recipe.chain
                ));
            }
            if let Some(review) = open_review(broker, found).await? {
                return Ok(waits_for_person(&review));
            }
            match due_at {
                Some(due) => {
                    let hold = describe_hold(broker, due, found.checkpoint.as_ref(), now).await?;
                    let job = found.checkpoint.as_ref().map(|checkpoint| &checkpoint.id);
                    let earlier = match (&hold, job) {
                        (None, Some(id)) if due > now => describe_run_now(id),
                        _ => hold.unwrap_or_default(),
                    };
                    format!("{wait}, {}{earlier}", describe_due(due, now))
                }
                None => wait,
            }
        }
        Lane::Version => format!(
            "waiting for a worker with a protocol version above {PROTOCOL_VERSION}; after 24 h it becomes a dead letter"
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
                format!(
                    "waiting for a slot of concurrency_key `{}`: at most {} in flight, {} waiting",
                    limit.key,
                    counted(limit.limit.get(), "job"),
                    grouped(waiting)
                )
            }
            None => "waiting for a slot of its concurrency_key".to_owned(),
        },
        Lane::Quota(meter) => explain_quota(broker, meter, found, envelope, now).await?,
        Lane::Paused(targets) => explain_pause(&broker.pauses().list().await?, targets, now),
        Lane::Tenant(tenant) => match &found.parked_from {
            Some(entry_id) => {
                let share = broker
                    .lanes()
                    .tenant_position(queue, tenant, entry_id)
                    .await?;
                describe_tenant_turn(queue, tenant, &share)
            }
            None => "waiting for its tenant's turn".to_owned(),
        },
    })
}

/// The open review of a job that asks a person.
pub(super) async fn open_review(
    broker: &Broker,
    found: &JobSnapshot,
) -> Result<Option<Review>, BrokerError> {
    let checkpoint = found.checkpoint.as_ref();
    let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.review.is_some()) else {
        return Ok(None);
    };
    Ok(match broker.reviews().last(&checkpoint.id).await? {
        LastReview::Open(review) => Some(*review),
        LastReview::Ended(_) | LastReview::Unknown => None,
    })
}

/// What a job waits for that asks a person.
fn waits_for_person(review: &Review) -> String {
    let question = one_line(&review.question, ERROR_HEAD);
    let asks = review.asks.as_deref();
    let asks = asks.map_or_else(String::new, |asks| format!(" ({})", one_line(asks, 60)));
    let id = &review.id;
    format!("waits for a person{asks}: {question} (`longshore review show {id}`)")
}

/// The account hold that ends when the job is due, as the rest of a sentence.
pub(crate) async fn describe_hold(
    broker: &Broker,
    due: DateTime<Utc>,
    checkpoint: Option<&Checkpoint>,
    now: DateTime<Utc>,
) -> Result<Option<String>, BrokerError> {
    let holds = broker.limits().account_holds(now).await?;
    let hold = find_hold(&holds, due, checkpoint);
    Ok(hold.map(|hold| format!("; {}", hold_with_remedy(hold))))
}

/// The account hold that ends when the job is due: its end frees the job (`release_account.lua`).
pub(crate) fn find_hold<'a>(
    holds: &'a [AccountHold],
    due: DateTime<Utc>,
    checkpoint: Option<&Checkpoint>,
) -> Option<&'a AccountHold> {
    let refused_by = checkpoint
        .and_then(|checkpoint| checkpoint.history.last())
        .filter(|last| is_refusal(last.error_class))
        .map(|last| last.platform.as_str());
    holds.iter().find(|hold| {
        let earlier = hold.until - due;
        // The job is due when the answer to its own call said; later answers extended the hold.
        let provider = hold.access.as_ref().map(|access| &access.provider);
        let is_own = refused_by == Some(provider.unwrap_or(&hold.account).as_str());
        let most = if is_own { EXTENDED } else { TOLERANCE };
        (-TOLERANCE..=most).contains(&earlier)
    })
}

/// Whether the provider refused the call for a limit of the account.
pub(super) fn is_refusal(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::RateLimited | ErrorClass::QuotaExhausted)
}

/// A hold, and the command that ends it.
pub(crate) fn hold_with_remedy(hold: &AccountHold) -> String {
    let (sentence, command) = (hold::hold_sentence(hold), hold::release_command(hold));
    format!("{sentence}; `{command}` ends the hold")
}

/// The last failure of a job that waits for its next attempt.
fn describe_failure(checkpoint: &Checkpoint) -> String {
    let last = checkpoint.history.last().map_or_else(String::new, |last| {
        let error = one_line(&last.error, ERROR_HEAD);
        format!("attempt {} failed ({error}); ", checkpoint.attempts)
    });
    format!("{last}waiting for its next attempt")
}

fn describe_run_now(id: &JobId) -> String {
    format!("; {}", run_now_remedy(id))
}

/// The command that runs the job before its time.
pub(super) fn run_now_remedy(id: &JobId) -> String {
    format!("`longshore jobs run-now {id}` runs it now")
}

/// The pauses that have to end before the job runs.
fn explain_pause(pauses: &Pauses, targets: &[Target], now: DateTime<Utc>) -> String {
    match pauses_with_remedies(pauses, targets, now) {
        None => "its pause has ended; about to be released".to_owned(),
        Some((sentences, remedy)) => format!("not attempted because {sentences}; {remedy}"),
    }
}

/// The pauses that have to end, and the commands that end them; `None` if none is left.
pub(super) fn pauses_with_remedies(
    pauses: &Pauses,
    targets: &[Target],
    now: DateTime<Utc>,
) -> Option<(String, String)> {
    let now_ms = now.timestamp_millis();
    let paused = targets.iter();
    let paused = paused.filter_map(|target| Some((target, pauses.get(target, now_ms)?)));
    let (sentences, commands): (Vec<String>, Vec<String>) = paused
        .map(|(target, pause)| (pause_sentence(target, pause, now), resume_command(target)))
        .unzip();
    let remedy = format!("to end it: {}", commands.join(" and "));
    (!sentences.is_empty()).then(|| (sentences.join(" and "), remedy))
}

/// The limit that the job waits for, its position in the lane, when its turn is expected, and whether it is
/// bound to one platform.
async fn explain_quota(
    broker: &Broker,
    meter: &str,
    found: &JobSnapshot,
    envelope: Option<&Envelope>,
    now: DateTime<Utc>,
) -> Result<String, BrokerError> {
    let name = MeterName::parse(meter);
    let wait = format!("waiting for capacity under {name}");
    let Some(entry_id) = &found.parked_from else {
        return Ok(wait);
    };
    let turn = broker.lanes().limit_position(meter, entry_id).await?;
    let bound = if is_bound(envelope) && name.queue().is_none() {
        format!("; {BOUND}")
    } else {
        String::new()
    };
    let turn = describe_turn(&turn, now);
    Ok(format!(
        "{wait}{turn}{bound}; `longshore quota` shows the limits"
    ))
}

/// Whether the job may not fall back to another platform.
pub(super) fn is_bound(envelope: Option<&Envelope>) -> bool {
    envelope.is_some_and(|envelope| !envelope.fallback)
}

/// The position in a limit's lane, and when the turn is expected.
pub(super) fn describe_turn(turn: &LanePosition, now: DateTime<Utc>) -> String {
    let position = match turn.ahead {
        Some(0) => ", next in line".to_owned(),
        Some(ahead) => format!(", behind {}", job_count(ahead)),
        None => String::new(),
    };
    let when = match turn.at_ms.map(from_unix_ms) {
        Some(at) if at > now => format!("; expected in {} ({})", age(now, at), timestamp(at)),
        Some(_) => "; expected now".to_owned(),
        None => String::new(),
    };
    format!("{position}{when}")
}

/// The job's position among its tenant's jobs, and the tenant's position among the others.
fn describe_tenant_turn(queue: &QueueName, tenant: &str, share: &TenantPosition) -> String {
    let name = |tenant: &str| match tenant {
        "" => "jobs without a tenant".to_owned(),
        tenant => format!("tenant {}", one_line(tenant, 60)),
    };
    let owner = name(tenant);
    let own = match share.ahead {
        Some(0) => ", next of its jobs".to_owned(),
        Some(ahead) => format!(", behind {} of its own", job_count(ahead)),
        None => String::new(),
    };
    let next = share.next.as_deref().map(name).unwrap_or_default();
    let turn = match share.before {
        0 => "; its turn is next".to_owned(),
        1 => format!("; 1 turn ahead: {next}"),
        before => format!("; {} turns ahead, {next} first", grouped(before)),
    };
    let shared = match share.tenants {
        0 | 1 => String::new(),
        tenants => format!(
            "; {} tenants share free slots by weight (its weight: {})",
            grouped(tenants),
            share.weight
        ),
    };
    format!("waiting for the turn of {owner} in queue {queue}{own}{turn}{shared}")
}

fn job_count(number: u64) -> String {
    counted(number, "job")
}

fn describe_due(due: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if due > now {
        format!("due in {} ({})", age(now, due), timestamp(due))
    } else {
        format!(
            "due {} ago but not promoted: a scheduler or a worker must be running to promote it",
            age(due, now)
        )
    }
}

#[cfg(test)]
mod tests {
    use longshore_broker::AccountAccess;
    use longshore_protocol::{
        checkpoint::PastAttempt,
        id::{AccessDigest, AttemptId},
        platform::PlatformName,
    };

    use super::*;

    #[test]
    fn a_retry_names_the_failure_and_a_pause_its_command() {
        let now: DateTime<Utc> = "2026-12-01T12:00:00Z".parse().unwrap();
        let mut checkpoint = Checkpoint::fresh(JobId::parse("inv-42").unwrap(), now);
        checkpoint.attempts = 1;
        assert_eq!(
            describe_failure(&checkpoint),
            "waiting for its next attempt"
        );
        checkpoint.history.push(PastAttempt {
            attempt_id: AttemptId::new(),
            at: now,
            platform: "anthropic".to_owned(),
            model: "claude-haiku-4-5".to_owned(),
            error_class: ErrorClass::Overloaded,
            error: "anthropic: Down or overloaded (HTTP 503)".to_owned(),
            cost: None,
        });
        assert_eq!(
            describe_failure(&checkpoint),
            "attempt 1 failed (anthropic: Down or overloaded (HTTP 503)); waiting for its next attempt"
        );
        assert_eq!(
            resume_command(&Target::task_type("research")),
            "`longshore resume type research`"
        );
    }

    #[test]
    fn a_job_belongs_to_the_hold_of_its_own_refusal_or_to_one_that_ends_when_it_is_due() {
        let due: DateTime<Utc> = "2026-12-01T12:00:00Z".parse().unwrap();
        let held = |seconds| AccountHold {
            account: PlatformName::from_stored("shared".to_owned()),
            until: due + TimeDelta::seconds(seconds),
            reason: String::new(),
            access: Some(AccountAccess {
                provider: PlatformName::from_stored("openai".to_owned()),
                digest: AccessDigest::from_stored("1f"),
            }),
        };
        let mut refused = Checkpoint::fresh(JobId::parse("inv-42").unwrap(), due);
        refused.remember(PastAttempt {
            attempt_id: AttemptId::new(),
            at: due,
            platform: "openai".to_owned(),
            model: "gpt-4o-mini".to_owned(),
            error_class: ErrorClass::RateLimited,
            error: "openai: Rate limited".to_owned(),
            cost: None,
        });
        for (seconds, own, others) in [
            (0, true, true),
            (-1, true, true),
            (90, true, false),
            (700, false, false),
            (-2, false, false),
        ] {
            let holds = [held(seconds)];
            assert_eq!(
                find_hold(&holds, due, Some(&refused)).is_some(),
                own,
                "{seconds}"
            );
            assert_eq!(find_hold(&holds, due, None).is_some(), others, "{seconds}");
        }
    }

    #[test]
    fn a_due_time_in_the_past_needs_a_running_scheduler() {
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        assert_eq!(
            describe_due("2026-12-01T12:05:00Z".parse().unwrap(), now),
            "due in 5m (2026-12-01T12:05:00Z)"
        );
        assert!(
            describe_due("2026-12-01T11:59:00Z".parse().unwrap(), now)
                .starts_with("due 60s ago but not promoted: a scheduler")
        );
    }

    #[test]
    fn a_turn_has_a_position_and_an_expected_time() {
        let now = "2026-12-01T12:00:00Z".parse().unwrap();
        let turn = |ahead, at: Option<&str>| {
            let at_ms = at.map(|at| at.parse::<DateTime<Utc>>().unwrap().timestamp_millis());
            describe_turn(&LanePosition { ahead, at_ms }, now)
        };
        assert_eq!(
            turn(Some(1_234), Some("2026-12-02T00:00:00Z")),
            ", behind 1,234 jobs; expected in 12h (2026-12-02T00:00:00Z)"
        );
        assert_eq!(
            turn(Some(0), Some("2026-12-01T12:00:00Z")),
            ", next in line; expected now"
        );
        assert_eq!(turn(Some(1), None), ", behind 1 job");
        assert_eq!(turn(None, None), "");
    }

    #[test]
    fn a_tenants_turn_has_its_position_and_its_weight() {
        let share = |ahead, before, next: &str, tenants, weight| {
            let next = Some(next.to_owned());
            TenantPosition {
                ahead,
                before,
                next,
                tenants,
                weight,
            }
        };
        let queue = QueueName::default();
        let turns = [
            describe_tenant_turn(&queue, "acme", &share(Some(12), 3, "globex", 5, 2)),
            describe_tenant_turn(&queue, "acme", &share(Some(1), 1, "", 2, 1)),
            describe_tenant_turn(&queue, "acme", &share(Some(0), 0, "acme", 1, 1)),
            describe_tenant_turn(&queue, "", &share(None, 0, "", 2, 1)),
        ];
        insta::assert_snapshot!(turns.join("\n"), @r#"
        waiting for the turn of tenant acme in queue default, behind 12 jobs of its own; 3 turns ahead, tenant globex first; 5 tenants share free slots by weight (its weight: 2)
        waiting for the turn of tenant acme in queue default, behind 1 job of its own; 1 turn ahead: jobs without a tenant; 2 tenants share free slots by weight (its weight: 1)
        waiting for the turn of tenant acme in queue default, next of its jobs; its turn is next
        waiting for the turn of jobs without a tenant in queue default; its turn is next; 2 tenants share free slots by weight (its weight: 1)
        "#);
    }
}

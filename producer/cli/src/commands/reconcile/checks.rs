//! Compares the ledger with Redis.

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_client::Client;
use longshore_ledger::{CostDifference, DeadLetterKey, Ledger};
use longshore_protocol::{
    dead_letter::{DeadLetterFilter, DeadLetterOrder, DeadLetterQuery},
    id::QueueName,
};

use super::report::{Checked, Difference, Kind, Report};
use crate::{
    error::CommandError,
    render::{
        text::counted,
        time::{age, from_unix_ms, timestamp},
    },
};

/// Maximum rows of one kind to check, oldest first.
const MAX_ROWS: u32 = 10_000;

/// Dead letters per page.
const PAGE: usize = 1_000;

/// Events are normally recorded within this time, in ms.
const LATE_MS: i64 = 60_000;

/// All current differences.
pub(super) async fn find_differences(
    client: &Client,
    ledger: &Ledger,
    since: DateTime<Utc>,
    in_flight: Duration,
) -> Result<Report, CommandError> {
    let broker = client.broker();
    let now = from_unix_ms(broker.server().time_ms().await?);
    let mut found = check_events(broker, now).await?;

    // Redis first: an event that is recorded in the meantime is not a difference.
    let checked = Checked {
        attempts_in_flight: check_attempts(broker, now, in_flight, &mut found).await?,
        outcomes: check_outcomes(broker, ledger, &mut found).await?,
        dead_letters: check_dead_letters(broker, ledger, since, &mut found).await?,
        open_jobs: check_open_jobs(client, ledger, since, &mut found).await?,
    };
    for short in ledger.jobs_missing_attempts(since, MAX_ROWS).await? {
        let text = format!(
            "had {}, of which {} are recorded",
            counted(short.reported, "attempt"),
            short.recorded
        );
        found.push(Difference::new(Kind::AttemptsUnrecorded, short.id, text));
    }
    check_cost_totals(ledger, since, &mut found).await?;
    Ok(Report {
        checked,
        unrecorded_events: broker.events().unrecorded_count().await?,
        differences: found,
    })
}

async fn check_events(broker: &Broker, now: DateTime<Utc>) -> Result<Vec<Difference>, BrokerError> {
    let mut found = Vec::new();
    if let Some(oldest) = broker.events().oldest_unrecorded().await?
        && now.timestamp_millis() - oldest > LATE_MS
    {
        let text = format!(
            "the oldest event has been waiting for {}; check that a worker and Postgres are running",
            age(from_unix_ms(oldest), now)
        );
        let key = broker.keys().events();
        found.push(Difference::new(Kind::EventsLate, key, text));
    }
    let refused = broker.events().bad_count().await?;
    if refused > 0 {
        let refused = counted(refused, "event");
        let text = format!("Postgres refused {refused}; this stream has them with the reasons");
        let key = broker.keys().bad_events();
        found.push(Difference::new(Kind::EventsRefused, key, text));
    }
    Ok(found)
}

/// Checks attempts in flight: each entry must be with its worker, and not for too long.
async fn check_attempts(
    broker: &Broker,
    now: DateTime<Utc>,
    in_flight: Duration,
    found: &mut Vec<Difference>,
) -> Result<usize, BrokerError> {
    let (mut cursor, mut seen) = (0, 0);
    loop {
        let (next, page) = broker.deliveries().journal_page(cursor).await?;
        seen += page.len();
        for one in page {
            let (queue, entry) = one.entry_id.parts();
            let queue = QueueName::from_stored(queue);
            let holder = broker
                .queues()
                .pending_entries(&queue, entry, entry, 1)
                .await?;
            let holder = holder.into_iter().next().and_then(|held| held.worker);
            let name = one.attempt.map_or_else(
                || format!("the retry delay at {}", one.entry_id),
                |attempt| format!("attempt {attempt}"),
            );
            if holder.as_ref() != Some(&one.worker) {
                let text = format!(
                    "in flight at {}, but worker {} does not hold that entry",
                    one.entry_id, one.worker
                );
                found.push(Difference::new(Kind::AttemptOrphaned, &name, text));
            }
            let began = one.attempt.and_then(|attempt| attempt.made_at());
            if let Some(began) = began
                && (now - began).to_std().is_ok_and(|age| age > in_flight)
            {
                let text = format!("in flight for {} on worker {}", age(began, now), one.worker);
                found.push(Difference::new(Kind::AttemptLong, &name, text));
            }
        }
        cursor = next;
        if cursor == 0 {
            return Ok(seen);
        }
    }
}

/// Checks that the ledger has the end of each job with an outcome.
async fn check_outcomes(
    broker: &Broker,
    ledger: &Ledger,
    found: &mut Vec<Difference>,
) -> Result<usize, CommandError> {
    let (mut cursor, mut seen) = (0, 0);
    loop {
        let (next, ids) = broker.jobs().outcome_page(cursor).await?;
        seen += ids.len();
        for id in ledger.unfinished_ids(&ids).await? {
            let text = "its outcome is in Redis, but the ledger has no end of it";
            found.push(Difference::new(Kind::EndUnrecorded, id, text));
        }
        cursor = next;
        if cursor == 0 {
            return Ok(seen);
        }
    }
}

/// Checks that Redis and the ledger have the same dead letters.
async fn check_dead_letters(
    broker: &Broker,
    ledger: &Ledger,
    since: DateTime<Utc>,
    found: &mut Vec<Difference>,
) -> Result<usize, CommandError> {
    let mut query = DeadLetterQuery {
        filter: DeadLetterFilter::default(),
        span: since.timestamp_millis()..=i64::MAX,
        order: DeadLetterOrder::OldestFirst,
        after: None,
    };
    let mut seen = 0;
    loop {
        let page = broker.dead_letters().record_page(&query, PAGE).await?;
        seen += page.found.len();
        let keys: Vec<DeadLetterKey> = page
            .found
            .into_iter()
            .map(|(_, record)| DeadLetterKey {
                id: record.id,
                at: record.at,
            })
            .collect();
        for id in ledger.missing_dead_letters(&keys).await? {
            let text = "it is a dead letter in Redis, but not in the ledger";
            found.push(Difference::new(Kind::DeadLetterUnrecorded, id, text));
        }
        if page.next.is_none() {
            break;
        }
        query.after = page.next;
    }
    for key in ledger.unresolved_dead_letters(since, MAX_ROWS).await? {
        let stored = broker.dead_letters().find(key.id.as_str()).await?;
        let same = |at: DateTime<Utc>| at.timestamp_millis() == key.at.timestamp_millis();
        if !stored
            .iter()
            .any(|(_, dead_letter, _)| same(dead_letter.record.at))
        {
            let text = format!(
                "the ledger has its dead letter of {}, but Redis does not",
                timestamp(key.at)
            );
            found.push(Difference::new(Kind::DeadLetterMissing, key.id, text));
        }
    }
    Ok(seen)
}

/// Checks that the totals of costs are the sums of their attempts.
async fn check_cost_totals(
    ledger: &Ledger,
    since: DateTime<Utc>,
    found: &mut Vec<Difference>,
) -> Result<(), CommandError> {
    for wrong in ledger.wrong_cost_totals(since, MAX_ROWS).await? {
        let CostDifference {
            is_day,
            start_at,
            platform,
            model,
            task_type,
            tenant,
            jobs,
            attempts,
            cost_usd,
        } = wrong;
        let span = if is_day { "day" } else { "hour" };
        let of = if is_day { "hours" } else { "attempts" };
        let name = format!(
            "{span} {} {platform} {model} {task_type} {tenant}",
            timestamp(start_at)
        );
        let text = format!(
            "the total differs from its {of}: it lacks {attempts} attempts, {jobs} jobs and ${cost_usd} (negative: \
             too many); --correct-costs corrects it"
        );
        found.push(Difference::new(Kind::CostTotalWrong, name.trim_end(), text));
    }
    Ok(())
}

/// Checks that each open job is in Redis.
async fn check_open_jobs(
    client: &Client,
    ledger: &Ledger,
    since: DateTime<Utc>,
    found: &mut Vec<Difference>,
) -> Result<usize, CommandError> {
    let open = ledger.unfinished_jobs(since, MAX_ROWS).await?;
    let seen = open.len();
    for job in open {
        if client.locate(&job.id).await?.is_nowhere() {
            let text = format!("the ledger says {}, but it is not in Redis", job.state);
            found.push(Difference::new(Kind::JobMissing, job.id, text));
        }
    }
    Ok(seen)
}

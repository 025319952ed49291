//! The comparison of both sides.

use std::time::Duration;

use chrono::{DateTime, Utc};
use longshore_broker::{Broker, BrokerError};
use longshore_client::Client;
use longshore_ledger::{DeadKey, Ledger};
use longshore_protocol::{
    dead_letter::{DeadFilter, DeadOrder, DeadQuery},
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

/// Rows of one kind that are looked at, the oldest first.
const MOST: u32 = 10_000;

/// Dead letters that are looked at together.
const PAGE: usize = 1_000;

/// A fact is recorded sooner, in ms.
const LATE_MS: i64 = 60_000;

/// Everything that differs at this moment.
pub(super) async fn find_differences(
    client: &Client,
    ledger: &Ledger,
    since: DateTime<Utc>,
    in_flight: Duration,
) -> Result<Report, CommandError> {
    let broker = client.broker();
    let now = from_unix_ms(broker.server().time_ms().await?);
    let mut found = check_events(broker, now).await?;

    // Redis first: what is recorded meanwhile is no difference.
    let checked = Checked {
        attempts_in_flight: check_attempts(broker, now, in_flight, &mut found).await?,
        outcomes: check_outcomes(broker, ledger, &mut found).await?,
        dead_letters: check_dead_letters(broker, ledger, since, &mut found).await?,
        open_jobs: check_open_jobs(client, ledger, since, &mut found).await?,
    };
    for short in ledger.short_jobs(since, MOST).await? {
        let text = format!(
            "had {}, of which {} recorded",
            counted(short.said, "attempt"),
            short.recorded
        );
        found.push(Difference::new(Kind::AttemptsUnrecorded, short.id, text));
    }
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
            "the oldest fact waits for {}: does a worker run, and is Postgres there?",
            age(from_unix_ms(oldest), now)
        );
        let key = broker.keys().events();
        found.push(Difference::new(Kind::FactsLate, key, text));
    }
    let refused = broker.events().bad_count().await?;
    if refused > 0 {
        let refused = counted(refused, "fact");
        let text = format!("Postgres refused {refused}, which lie there with the reason");
        let key = broker.keys().bad_events();
        found.push(Difference::new(Kind::FactsRefused, key, text));
    }
    Ok(found)
}

/// Attempts that began: their jobs stand with their workers, and not for ever.
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
            let (queue, entry) = one.place.parts();
            let queue = QueueName::from_record(queue);
            let holder = broker
                .queues()
                .pending_entries(&queue, entry, entry, 1)
                .await?;
            let holder = holder.into_iter().next().and_then(|held| held.worker);
            let name = one.attempt.map_or_else(
                || format!("the pause at {}", one.place),
                |attempt| format!("attempt {attempt}"),
            );
            if holder.as_ref() != Some(&one.worker) {
                let text = format!(
                    "it is under way at {}, but that is not with worker {}",
                    one.place, one.worker
                );
                found.push(Difference::new(Kind::AttemptOrphaned, &name, text));
            }
            let began = one.attempt.and_then(|attempt| attempt.made_at());
            if let Some(began) = began
                && (now - began).to_std().is_ok_and(|age| age > in_flight)
            {
                let text = format!(
                    "it is under way since {} on worker {}",
                    age(began, now),
                    one.worker
                );
                found.push(Difference::new(Kind::AttemptLong, &name, text));
            }
        }
        cursor = next;
        if cursor == 0 {
            return Ok(seen);
        }
    }
}

/// Jobs that ended: the record knows.
async fn check_outcomes(
    broker: &Broker,
    ledger: &Ledger,
    found: &mut Vec<Difference>,
) -> Result<usize, CommandError> {
    let (mut cursor, mut seen) = (0, 0);
    loop {
        let (next, ids) = broker.jobs().outcome_page(cursor).await?;
        seen += ids.len();
        for id in ledger.not_ended(&ids).await? {
            let text = "its outcome is in Redis, but the record does not say that it ended";
            found.push(Difference::new(Kind::EndUnrecorded, id, text));
        }
        cursor = next;
        if cursor == 0 {
            return Ok(seen);
        }
    }
}

/// Dead letters: those in Redis are in the record, and the other way round.
async fn check_dead_letters(
    broker: &Broker,
    ledger: &Ledger,
    since: DateTime<Utc>,
    found: &mut Vec<Difference>,
) -> Result<usize, CommandError> {
    let mut query = DeadQuery {
        filter: DeadFilter::default(),
        span: since.timestamp_millis()..=i64::MAX,
        order: DeadOrder::OldestFirst,
        after: None,
    };
    let mut seen = 0;
    loop {
        let page = broker.dead_letters().record_page(&query, PAGE).await?;
        seen += page.found.len();
        let keys: Vec<DeadKey> = page
            .found
            .into_iter()
            .map(|(_, record)| DeadKey {
                id: record.id,
                at: record.at,
            })
            .collect();
        for id in ledger.unrecorded_dead(&keys).await? {
            let text = "it is a dead letter in Redis, but not in the record";
            found.push(Difference::new(Kind::LetterUnrecorded, id, text));
        }
        if page.next.is_none() {
            break;
        }
        query.after = page.next;
    }
    for key in ledger.standing_dead(since, MOST).await? {
        let stands = broker.dead_letters().get(key.id.as_str()).await?;
        let same = |at: DateTime<Utc>| at.timestamp_millis() == key.at.timestamp_millis();
        if stands.is_none_or(|(_, letter, _)| !same(letter.record.at)) {
            let text = format!(
                "the record has its dead letter of {}, but it is not in Redis",
                timestamp(key.at)
            );
            found.push(Difference::new(Kind::LetterNowhere, key.id, text));
        }
    }
    Ok(seen)
}

/// Jobs that have not ended: they stand somewhere.
async fn check_open_jobs(
    client: &Client,
    ledger: &Ledger,
    since: DateTime<Utc>,
    found: &mut Vec<Difference>,
) -> Result<usize, CommandError> {
    let open = ledger.open_jobs(since, MOST).await?;
    let seen = open.len();
    for job in open {
        if client.locate(&job.id).await?.is_nowhere() {
            let text = format!("the record says {}, but it is nowhere in Redis", job.state);
            found.push(Difference::new(Kind::JobNowhere, job.id, text));
        }
    }
    Ok(seen)
}

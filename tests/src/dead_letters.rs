//! Dead letters by the thousand, without the calls that fail.

use chrono::{DateTime, Utc};
use longshore_broker::Broker;
use longshore_protocol::{
    checkpoint::Checkpoint,
    dead_letter::{
        DeadLetter, DeadLetterFilter, DeadLetterOrder, DeadLetterQuery, StoredDeadLetter,
        StoredMessage,
    },
    event::DeadLetterRecord,
    id::{EntryId, JobId, QueueName},
    keys::Keys,
};
use redis::{Pipeline, aio::MultiplexedConnection};

/// Dead letters written at once.
const CHUNK: usize = 1000;

/// The time between two dead letters, in ms.
const APART_MS: i64 = 10;

/// A dead letter of a job that timed out, as a worker writes it: of the type `research` if its number is
/// even, else of `testing`.
pub fn dead_letter(number: usize, died: DateTime<Utc>) -> anyhow::Result<DeadLetter> {
    let id = JobId::parse(&format!("letter-{number:07}"))?;
    let task_type = if number.is_multiple_of(2) {
        "research"
    } else {
        "testing"
    };
    let job = format!(
        r#"{{"id":"{id}","type":"{task_type}","prompt":"Name three primary colours and say why, please."}}"#
    );
    let mut checkpoint = Checkpoint::fresh(id.clone(), died);
    checkpoint.admitted = true;
    checkpoint.attempts = 4;
    Ok(DeadLetter {
        record: DeadLetterRecord {
            id,
            entry_id: EntryId::from_stored(&format!("{number}-0")),
            queue: QueueName::default(),
            reason: "timeout".to_owned(),
            error: "All platforms failed. Last error: no answer in time. Tried: openai, anthropic"
                .to_owned(),
            at: died,
            task_type: Some(task_type.to_owned()),
            platform: Some("anthropic".to_owned()),
            tenant: Some("acme".to_owned()),
            chain_id: None,
            attempts: 4,
        },
        message: StoredMessage::whole(&[(b"job".to_vec(), job.into_bytes())]),
        checkpoint,
    })
}

/// Adds the commands that store a dead letter as the settlement of its job does.
pub fn add(
    pipe: &mut Pipeline,
    keys: &Keys,
    letter: &DeadLetter,
    died_ms: i64,
) -> anyhow::Result<()> {
    let (id, entry_id) = (&letter.record.id, letter.record.entry_id.as_str());
    pipe.hset(keys.dead_jobs(), entry_id, serde_json::to_string(letter)?)
        .ignore()
        .zadd(keys.dead(), entry_id, died_ms)
        .ignore()
        .zadd(keys.dead_ids(), format!("{id} {entry_id}"), 0)
        .ignore();
    Ok(())
}

/// Writes `count` dead letters, the last of them a minute old.
pub async fn write(
    broker: &Broker,
    connection: &mut MultiplexedConnection,
    count: usize,
) -> anyhow::Result<()> {
    let last = broker.server().time_ms().await? - 60_000;
    let mut pipe = redis::pipe();
    for number in 0..count {
        let died_ms = last - i64::try_from(count - number)? * APART_MS;
        let died = DateTime::from_timestamp_millis(died_ms).unwrap_or_default();
        add(
            &mut pipe,
            broker.keys(),
            &dead_letter(number, died)?,
            died_ms,
        )?;
        if pipe.len() >= CHUNK || number + 1 == count {
            let () = pipe.query_async(connection).await?;
            pipe.clear();
        }
    }
    Ok(())
}

/// All dead letters, the oldest first.
pub async fn list(broker: &Broker) -> anyhow::Result<Vec<StoredDeadLetter>> {
    let mut query = DeadLetterQuery {
        filter: DeadLetterFilter::default(),
        span: 0..=i64::MAX,
        order: DeadLetterOrder::OldestFirst,
        after: None,
    };
    let mut letters = Vec::new();
    loop {
        let page = broker.dead_letters().page(&query, CHUNK).await?;
        letters.extend(page.found);
        query.after = page.next;
        if query.after.is_none() {
            return Ok(letters);
        }
    }
}

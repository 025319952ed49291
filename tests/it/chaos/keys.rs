//! The keys of an idle stack, and what a busy one has besides.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use longshore_ledger::JobRow;
use longshore_protocol::{id::JobId, state::JobState};
use longshore_tests::stack::Stack;
use redis::{AsyncCommands as _, aio::MultiplexedConnection};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Orphan sweeps run every minute; what they remove must go within two.
const SWEPT: Duration = Duration::from_secs(130);

/// Keys that an idle stack has for a while, by prefix, each with the longest time to live.
const EXPIRING: &[(&str, u64)] = &[
    // Outcomes and replies: `retention.results` of the run.
    ("result:", DAY),
    ("reply:", DAY),
    // Ids that producers chose: `retention.ids`.
    ("id:", DAY),
    // `unique_for`, an hour by default.
    ("unique:", HOUR),
    // Steps and answers of ended chains and batches: `retention.chains`.
    ("chain:", 7 * DAY),
    // What people decided: 30 days, or as outcomes once the job has read it.
    ("review:", 30 * DAY),
    // Steps of chains whose worker died before it started them.
    ("chains:prepared:", HOUR),
    // Heartbeats and the lease of the leader: seconds.
    ("worker:", MINUTE),
    ("leader", MINUTE),
    // Workers whose heartbeat was missing.
    ("workers:missing", HOUR),
    // Models that failed and were not called since.
    ("circuits", DAY),
];

/// Keys that an idle stack has for ever.
const PERMANENT: &[&str] = &[
    // Which queues there are, and how often the leader changed.
    "queues",
    "leader:token",
    // Chains by start time; expired ones are removed when others start.
    "chains",
    // Meters of windows, by their ends; what limits count, and since when.
    "windows",
    "limits",
];

/// Streams that stay when they are empty: their groups know what was read.
const STREAMS: &[&str] = &["queue:default", "queue:~default", "events"];

/// Keys whose contents are the jobs that are queued, parked or in flight.
const BUSY: &[&str] = &["parked", "inflight", "checkpoints"];

/// A key that an idle stack does not have.
#[derive(Debug)]
pub(super) struct Leftover {
    pub(super) key: String,
    pub(super) text: String,
}

/// The sizes of what an idle stack has none of.
pub(super) async fn busy(stack: &Stack) -> anyhow::Result<Vec<(&'static str, u64)>> {
    let mut connection = stack.connection().await?;
    let mut pipe = redis::pipe();
    let prefix = stack.broker.keys().prefix().to_owned();
    for stream in STREAMS {
        pipe.xlen(format!("{prefix}:{stream}"));
    }
    for hash in BUSY {
        pipe.hlen(format!("{prefix}:{hash}"));
    }
    let sizes: Vec<u64> = pipe.query_async(&mut connection).await?;
    let all = STREAMS.iter().chain(BUSY).copied();
    Ok(all.zip(sizes).filter(|(_, size)| *size > 0).collect())
}

/// The keys that an idle stack does not have, once the orphan sweeps had their time. `lost` are the jobs that may have
/// been lost with the append-only file.
pub(super) async fn leftovers(
    stack: &Stack,
    rows: &BTreeMap<JobId, JobRow>,
    lost: &BTreeSet<String>,
) -> anyhow::Result<Vec<Leftover>> {
    let until = Instant::now() + SWEPT;
    loop {
        let found = find(stack, rows, lost).await?;
        if found.is_empty() || Instant::now() > until {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn find(
    stack: &Stack,
    rows: &BTreeMap<JobId, JobRow>,
    lost: &BTreeSet<String>,
) -> anyhow::Result<Vec<Leftover>> {
    let mut connection = stack.connection().await?;
    let prefix = format!("{}:", stack.broker.keys().prefix());
    let mut found = Vec::new();
    for key in all_keys(&mut connection).await? {
        let text = match key.strip_prefix(&prefix) {
            None => Some("it is in no namespace".to_owned()),
            Some("dead" | "dead:jobs") => None,
            Some("dead:ids") => wrong_dead_letters(&mut connection, &key, rows, lost).await?,
            Some("cancelled") => wrong_cancel_requests(&mut connection, &key, lost).await?,
            Some(name) if name.starts_with("quota:") => held(&mut connection, &key).await?,
            Some(name) if STREAMS.contains(&name) || PERMANENT.contains(&name) => None,
            Some(name) => match EXPIRING.iter().find(|(some, _)| name.starts_with(some)) {
                Some((_, longest)) => wrong_expiry(&mut connection, &key, *longest).await?,
                None => Some(describe(&mut connection, &key).await?),
            },
        };
        found.extend(text.map(|text| Leftover { key, text }));
    }
    Ok(found)
}

async fn all_keys(connection: &mut MultiplexedConnection) -> anyhow::Result<Vec<String>> {
    let mut keys = BTreeSet::new();
    let mut cursor = 0_u64;
    loop {
        let (next, page): (u64, Vec<String>) = redis::cmd("SCAN")
            .arg(cursor)
            .arg("COUNT")
            .arg(1000)
            .query_async(connection)
            .await?;
        keys.extend(page);
        cursor = next;
        if cursor == 0 {
            return Ok(keys.into_iter().collect());
        }
    }
}

/// A meter stays as long as its window, and holds no reservation.
async fn held(connection: &mut MultiplexedConnection, key: &str) -> anyhow::Result<Option<String>> {
    let held: Option<i64> = connection.hget(key, "held").await?;
    let held = held.filter(|held| *held != 0);
    Ok(held.map(|held| format!("{held} are reserved, but no call runs")))
}

/// The dead letters are those of the discarded jobs.
async fn wrong_dead_letters(
    connection: &mut MultiplexedConnection,
    key: &str,
    rows: &BTreeMap<JobId, JobRow>,
    lost: &BTreeSet<String>,
) -> anyhow::Result<Option<String>> {
    let members: Vec<String> = connection.zrange(key, 0, -1).await?;
    let ids: BTreeSet<&str> = members
        .iter()
        .filter_map(|member| member.split(' ').next())
        .collect();
    let discarded: BTreeSet<&str> = rows
        .iter()
        .filter(|(_, row)| row.job.state == JobState::Discarded)
        .map(|(id, _)| id.as_str())
        .collect();
    let differs = |id: &&&str| !lost.contains(**id);
    let too_many: Vec<_> = ids.difference(&discarded).filter(differs).collect();
    let missing: Vec<_> = discarded.difference(&ids).filter(differs).collect();
    let is_right = too_many.is_empty() && missing.is_empty() && ids.len() == members.len();
    Ok((!is_right).then(|| {
        let count = members.len();
        format!("{count} dead letters; not of discarded jobs: {too_many:?}; missing: {missing:?}")
    }))
}

/// A job that ended takes its request with it; only a job that was lost cannot.
async fn wrong_cancel_requests(
    connection: &mut MultiplexedConnection,
    key: &str,
    lost: &BTreeSet<String>,
) -> anyhow::Result<Option<String>> {
    let members: Vec<String> = connection.zrange(key, 0, -1).await?;
    let left: Vec<_> = members.iter().filter(|id| !lost.contains(*id)).collect();
    Ok((!left.is_empty()).then(|| format!("requests for jobs that ended: {left:?}")))
}

async fn wrong_expiry(
    connection: &mut MultiplexedConnection,
    key: &str,
    longest: u64,
) -> anyhow::Result<Option<String>> {
    let left: i64 = connection.ttl(key).await?;
    Ok(match u64::try_from(left) {
        Ok(left) if left <= longest => None,
        Ok(left) => Some(format!("it expires in {left} s, not within {longest} s")),
        // It expired since it was listed.
        Err(_) if left == -2 => None,
        Err(_) => Some(format!(
            "it never expires: {}",
            describe(connection, key).await?
        )),
    })
}

/// The type of a key and the start of its contents.
async fn describe(connection: &mut MultiplexedConnection, key: &str) -> anyhow::Result<String> {
    let kind: String = redis::cmd("TYPE").arg(key).query_async(connection).await?;
    let contents: redis::Value = match kind.as_str() {
        "hash" => connection.hgetall(key).await?,
        "zset" => connection.zrange_withscores(key, 0, 9).await?,
        "set" => connection.smembers(key).await?,
        "list" => connection.lrange(key, 0, 9).await?,
        "string" => connection.get(key).await?,
        _ => redis::Value::Nil,
    };
    let text: String = format!("{kind} {contents:?}").chars().take(600).collect();
    Ok(text)
}

//! Checks of Redis, and of the services that report to it.

use chrono::Utc;
use longshore_broker::{Broker, BrokerError, ServerFacts};

use super::checks::{Check, at_least};
use crate::{
    render::text::{counted, grouped},
    session::Session,
};

/// The oldest Redis that has what the scripts use.
const OLDEST: u32 = 7;

/// Due times are the server's; producers' and workers' clocks only stand in messages and records.
const MOST_SKEW_MS: i64 = 2_000;

#[derive(Default)]
pub(super) struct RedisChecks {
    /// The server.
    pub(super) server: Vec<Check>,
    /// Workers, scheduler, dead letters.
    pub(super) services: Vec<Check>,
    /// Events on the way to Postgres, and those that it refused.
    pub(super) facts: Option<EventCounts>,
}

/// Events that Postgres does not have.
#[derive(Debug, Clone)]
pub(super) struct EventCounts {
    waiting: u64,
    refused: u64,
    refused_key: String,
    workers: usize,
}

pub(super) async fn check(session: &Session) -> RedisChecks {
    let broker = match session.broker().await {
        Ok(broker) => broker,
        Err(error) => {
            let text = error.first_line();
            let text = text.strip_prefix("Redis at ").unwrap_or(&text);
            let advice = "start it, or correct REDIS_URL; `longshore dev` starts one of its own";
            return RedisChecks {
                server: vec![Check::problem("Redis", text, advice)],
                services: vec![Check::info(
                    "workers, scheduler, dead letters",
                    "not checked: Redis does not answer",
                )],
                facts: None,
            };
        }
    };
    let mut seen = RedisChecks::default();
    match broker.server().facts().await {
        Ok(facts) => seen.server.extend(server_checks(&facts, broker.address())),
        // It answered when the scripts were loaded, so this is a user who may not ask.
        Err(error) => seen.server.push(Check::info(
            "Redis",
            format!("cannot tell its version: {error}"),
        )),
    }
    seen.server.push(clock_check(&broker).await);
    match service_checks(&broker).await {
        Ok((checks, facts)) => {
            seen.services = checks;
            seen.facts = Some(facts);
        }
        Err(error) => seen.services.push(Check::problem(
            "Redis",
            error.to_string(),
            "look at its log, and at what its user may do",
        )),
    }
    seen
}

fn server_checks(facts: &ServerFacts, address: &str) -> Vec<Check> {
    let ServerFacts {
        product, version, ..
    } = facts;
    let named = format!("{product} {version} at {address}");
    let version = if at_least(&facts.redis_version, OLDEST) {
        Check::ok("Redis", named)
    } else {
        Check::problem(
            "Redis",
            format!("{named} is too old"),
            format!("use Redis {OLDEST}.0 or newer, or Valkey"),
        )
    };
    let fsync = facts.append_fsync.as_deref().unwrap_or("unknown");
    let persistence = match facts.append_only {
        Some(true) if fsync == "no" => Check::problem(
            "persistence",
            "an append-only file, which is forced to disk only when the system likes to",
            "run `CONFIG SET appendfsync everysec`, and write `appendfsync everysec` into its configuration file",
        ),
        Some(true) => Check::ok("persistence", format!("an append-only file, fsync {fsync}")),
        Some(false) => Check::problem(
            "persistence",
            "no append-only file: jobs are lost when it restarts",
            "run `CONFIG SET appendonly yes`, and write `appendonly yes` into its configuration file",
        ),
        None => Check::info("persistence", "cannot tell: CONFIG is not allowed here")
            .with("make sure that the append-only file is on (appendonly yes)"),
    };
    let memory = match facts.maxmemory_policy.as_deref() {
        Some("noeviction") => Check::ok("memory policy", "noeviction"),
        Some(policy) => Check::problem(
            "memory policy",
            format!("{policy}: jobs may be thrown away when the memory is full"),
            "run `CONFIG SET maxmemory-policy noeviction`, and write it into its configuration file",
        ),
        None => Check::info("memory policy", "cannot tell: CONFIG is not allowed here")
            .with("make sure that nothing is evicted (maxmemory-policy noeviction)"),
    };
    vec![version, persistence, memory]
}

async fn clock_check(broker: &Broker) -> Check {
    let before = Utc::now().timestamp_millis();
    let asked = broker.server().time_ms().await;
    let after = Utc::now().timestamp_millis();
    match asked {
        // It was read somewhere between the two.
        Ok(theirs) => skew_check((before - theirs).max(theirs - after).max(0)),
        Err(error) => Check::info("clock", format!("cannot tell: {error}")),
    }
}

fn skew_check(ms: i64) -> Check {
    if ms <= MOST_SKEW_MS {
        return Check::ok("clock", "agrees with that of Redis");
    }
    Check::problem(
        "clock",
        format!(
            "this machine's and that of Redis are {} s apart",
            grouped(ms.unsigned_abs() / 1000)
        ),
        "let both keep time by NTP: times in messages are not understood alike",
    )
}

async fn service_checks(broker: &Broker) -> Result<(Vec<Check>, EventCounts), BrokerError> {
    let workers = broker.workers().list().await?;
    let places: usize = workers.iter().map(|worker| worker.concurrency).sum();
    let alive = if workers.is_empty() {
        Check::problem(
            "workers",
            "none is alive: jobs wait",
            "start longshore-worker, or `longshore dev`",
        )
    } else {
        Check::ok(
            "workers",
            format!("{} alive, {}", workers.len(), counted(places, "place")),
        )
    };
    let leads = match broker.leader().current().await? {
        Some(leader) => Check::ok("scheduler", format!("{leader} leads")),
        None => Check::problem(
            "scheduler",
            "none leads: delayed jobs and those of dead workers wait",
            "start longshore-scheduler, or `longshore dev`",
        ),
    };
    let dead = match broker.dead_letters().count().await? {
        0 => Check::ok("dead letters", "none"),
        dead => Check::info("dead letters", grouped(dead)).with("`longshore dlq list` shows them"),
    };
    let facts = EventCounts {
        waiting: broker.events().unrecorded_count().await?,
        refused: broker.events().bad_count().await?,
        refused_key: broker.keys().bad_events(),
        workers: workers.len(),
    };
    Ok((vec![alive, leads, dead], facts))
}

/// Events on the way to Postgres are no problem while a worker writes them.
pub(super) fn event_checks(facts: Option<EventCounts>, postgres_answers: bool) -> Vec<Check> {
    let Some(facts) = facts else {
        return Vec::new();
    };
    let waiting = counted(facts.waiting, "event");
    let waiting = match facts.waiting {
        0 => Check::ok("record", "every event is in it"),
        _ if postgres_answers && facts.workers > 0 => {
            Check::ok("record", format!("{waiting} on the way to it"))
        }
        _ => Check::problem(
            "record",
            format!("{waiting} on the way to it, and nobody takes them there"),
            "they are safe in Redis until a worker and Postgres are there",
        ),
    };
    let refused = match facts.refused {
        0 => Check::ok("refused facts", "none"),
        refused => Check::problem(
            "refused facts",
            format!("Postgres refused {}", grouped(refused)),
            format!(
                "see why: XRANGE {} - + COUNT 10; then report it",
                facts.refused_key
            ),
        ),
    };
    vec![waiting, refused]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(checks: &[Check]) -> String {
        checks
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn a_server_that_loses_jobs_is_told_how_not_to() {
        let facts = ServerFacts {
            product: "Redis".to_owned(),
            version: "6.2.14".to_owned(),
            redis_version: "6.2.14".to_owned(),
            append_only: Some(false),
            append_fsync: Some("everysec".to_owned()),
            maxmemory_policy: Some("allkeys-lru".to_owned()),
        };
        insta::assert_snapshot!(joined(&server_checks(&facts, "10.0.0.1:6379")), @r"
        [!!] Redis: Redis 6.2.14 at 10.0.0.1:6379 is too old
             → use Redis 7.0 or newer, or Valkey
        [!!] persistence: no append-only file: jobs are lost when it restarts
             → run `CONFIG SET appendonly yes`, and write `appendonly yes` into its configuration file
        [!!] memory policy: allkeys-lru: jobs may be thrown away when the memory is full
             → run `CONFIG SET maxmemory-policy noeviction`, and write it into its configuration file
        ");
    }

    #[test]
    fn what_may_not_be_asked_is_no_problem() {
        let facts = ServerFacts {
            product: "Valkey".to_owned(),
            version: "8.1.0".to_owned(),
            redis_version: "7.2.4".to_owned(),
            ..ServerFacts::default()
        };
        insta::assert_snapshot!(joined(&server_checks(&facts, "cache:6379")), @r"
        [OK] Redis: Valkey 8.1.0 at cache:6379
        [--] persistence: cannot tell: CONFIG is not allowed here
             → make sure that the append-only file is on (appendonly yes)
        [--] memory policy: cannot tell: CONFIG is not allowed here
             → make sure that nothing is evicted (maxmemory-policy noeviction)
        ");
    }

    #[test]
    fn facts_that_nobody_takes_are_a_problem() {
        let counts = EventCounts {
            waiting: 1200,
            refused: 2,
            refused_key: "{longshore}:events:bad".to_owned(),
            workers: 1,
        };
        insta::assert_snapshot!(joined(&event_checks(Some(counts.clone()), true)), @r"
        [OK] record: 1,200 events on the way to it
        [!!] refused facts: Postgres refused 2
             → see why: XRANGE {longshore}:events:bad - + COUNT 10; then report it
        ");
        let nobody = joined(&event_checks(Some(counts), false));
        assert!(
            nobody.starts_with("[!!] record: 1,200 events on the way to it, and nobody takes"),
            "{nobody}"
        );
    }

    #[test]
    fn clocks_may_differ_a_little() {
        assert_eq!(
            skew_check(2_000),
            Check::ok("clock", "agrees with that of Redis")
        );
        assert!(
            skew_check(7_300_000)
                .to_string()
                .starts_with("[!!] clock: this machine's and that of Redis are 7,300 s apart")
        );
    }
}

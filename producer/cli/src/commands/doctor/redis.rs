//! Checks of Redis, and of the services that report to it.

use longshore_broker::{AccountHold, Broker, BrokerError, Permissions, Primary, ServerFacts};
use longshore_protocol::{
    clock::local_time,
    id::{EntryId, QueueName},
};

use super::{
    checks::{Check, at_least},
    encryption, services,
};
use crate::{
    error::CommandError,
    render::{
        hold,
        text::{counted, grouped},
        time::from_unix_ms,
    },
    session::Session,
};

/// The oldest Redis that supports the scripts.
const OLDEST: u32 = 7;

/// Due times use the Redis clock. The clocks of producers and workers only appear in messages and events.
pub(super) const MOST_SKEW_MS: i64 = 2_000;

const HOUR_MS: i64 = 3_600_000;

#[derive(Default)]
pub(super) struct RedisChecks {
    /// The server.
    pub(super) server: Vec<Check>,
    /// Workers, scheduler, dead letters.
    pub(super) services: Vec<Check>,
    /// Events that are not recorded yet, and events that Postgres refused.
    pub(super) events: Option<EventCounts>,
}

/// Events that are not in Postgres.
#[derive(Debug, Clone)]
pub(super) struct EventCounts {
    waiting: u64,
    refused: u64,
    refused_key: String,
    workers: usize,
}

/// `service_user` is the user of workers and schedulers, if it is another than this configuration's.
pub(super) async fn check(session: &Session, service_user: Option<&str>) -> RedisChecks {
    let broker = match session.broker().await {
        Ok(broker) => broker,
        Err(error) => {
            let text = error.first_line();
            let text = text.strip_prefix("Redis at ").unwrap_or(&text);
            let advice = match error {
                CommandError::Broker(BrokerError::File(_)) => {
                    "create the file, or correct the setting"
                }
                _ => "start it, or correct REDIS_URL; `longshore dev` starts its own",
            };
            return RedisChecks {
                server: vec![Check::problem("Redis", text, advice)],
                services: vec![Check::info(
                    "workers, scheduler, dead letters",
                    "not checked: Redis does not answer",
                )],
                events: None,
            };
        }
    };
    let mut seen = RedisChecks::default();
    match broker.server().facts().await {
        Ok(facts) => seen.server.extend(server_checks(&facts, broker.address())),
        // Redis answered when the scripts were loaded, so the user lacks the permission.
        Err(error) => seen
            .server
            .push(Check::info("Redis", format!("version unknown: {error}"))),
    }
    seen.server.push(match broker.server().memory().await {
        Ok(memory) => services::memory_check(memory),
        Err(error) => Check::info("memory", format!("unknown: {error}")),
    });
    seen.server
        .extend(broker.primary().as_ref().map(primary_check));
    seen.server.push(clock_check(&broker).await);
    seen.server.push(permission_check(
        broker.server().permissions(service_user).await,
    ));
    match service_checks(&broker, session).await {
        Ok((checks, events)) => {
            seen.services = checks;
            seen.events = Some(events);
        }
        Err(error) => seen.services.push(Check::problem(
            "Redis",
            error.first_line(),
            "check the log of Redis and the permissions of its user",
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
            "append-only file without fsync: a crash of the machine loses recent jobs",
            "run `CONFIG SET appendfsync everysec`, and add `appendfsync everysec` to its configuration file",
        ),
        Some(true) => Check::ok("persistence", format!("append-only file, fsync {fsync}")),
        Some(false) => Check::problem(
            "persistence",
            "no append-only file: jobs are lost when Redis restarts",
            "run `CONFIG SET appendonly yes`, and add `appendonly yes` to its configuration file",
        ),
        None => Check::info(
            "persistence",
            "unknown: the user has no permission for CONFIG",
        )
        .with_advice("make sure that the append-only file is enabled (appendonly yes)"),
    };
    let memory = match facts.maxmemory_policy.as_deref() {
        Some("noeviction") => Check::ok("memory policy", "noeviction"),
        Some(policy) => Check::problem(
            "memory policy",
            format!("{policy}: jobs may be evicted when the memory is full"),
            "run `CONFIG SET maxmemory-policy noeviction`, and add it to its configuration file",
        ),
        None => Check::info(
            "memory policy",
            "unknown: the user has no permission for CONFIG",
        )
        .with_advice("make sure that nothing is evicted (maxmemory-policy noeviction)"),
    };
    vec![version, persistence, memory]
}

/// Whether workers and schedulers may run what they need.
fn permission_check(permissions: Result<Permissions, BrokerError>) -> Check {
    let name = "permissions";
    match permissions {
        Ok(Permissions::Checked { user, missing }) if missing.is_empty() => Check::ok(
            name,
            format!("user {user} may run everything that workers and schedulers need"),
        ),
        Ok(Permissions::Checked { user, missing }) => {
            let missing = missing.join(" ");
            Check::problem(
                name,
                format!("user {user} lacks {missing}, which workers and schedulers need"),
                format!("run `ACL SETUSER {user} {missing}`; docs/PROTOCOL.md has the whole rule"),
            )
        }
        Ok(Permissions::NotAllowed) => Check::info(
            name,
            "not checked: this user may not run ACL WHOAMI and ACL DRYRUN",
        )
        .with_advice(
            "grant it `+acl|whoami +acl|dryrun`, or run `longshore doctor --redis-user NAME` as a user that may",
        ),
        Ok(Permissions::NotSupported) => Check::info(
            name,
            "not checked: the server has no ACL DRYRUN, which came with Redis 7",
        ),
        Err(error) => Check::info(name, format!("not checked: {error}")),
    }
}

/// The node in use, where it may change.
fn primary_check(primary: &Primary) -> Check {
    let address = &primary.address;
    let text = match primary.slot {
        Some(slot) => format!("the primary is {address}, the owner of slot {slot}"),
        None => format!("the primary is {address}, by the Sentinels"),
    };
    Check::ok("topology", text)
}

async fn clock_check(broker: &Broker) -> Check {
    let before = local_time().timestamp_millis();
    let read = broker.server().time_ms().await;
    let after = local_time().timestamp_millis();
    match read {
        // Redis read its clock between the two local times.
        Ok(theirs) => skew_check((before - theirs).max(theirs - after).max(0)),
        Err(error) => Check::info("clock", format!("unknown: {error}")),
    }
}

fn skew_check(ms: i64) -> Check {
    if ms <= MOST_SKEW_MS {
        return Check::ok("clock", "in sync with Redis");
    }
    Check::problem(
        "clock",
        format!(
            "this machine and Redis differ by {} s",
            grouped(ms.unsigned_abs() / 1000)
        ),
        "synchronize both with NTP; otherwise times in messages are wrong",
    )
}

async fn service_checks(
    broker: &Broker,
    session: &Session,
) -> Result<(Vec<Check>, EventCounts), CommandError> {
    let workers = broker.workers().list().await?;
    let slots: usize = workers.iter().map(|worker| worker.concurrency).sum();
    let alive = if workers.is_empty() {
        Check::problem(
            "workers",
            "none is alive, so jobs wait",
            "start longshore-worker, or `longshore dev`",
        )
    } else {
        Check::ok(
            "workers",
            format!("{} alive, {}", workers.len(), counted(slots, "slot")),
        )
    };
    let leads = match broker.leader().current().await? {
        Some(leader) => Check::ok("scheduler", format!("{leader} leads")),
        None => Check::problem(
            "scheduler",
            "none leads, so delayed jobs and jobs of dead workers wait",
            "start longshore-scheduler, or `longshore dev`",
        ),
    };
    let now_ms = broker.server().time_ms().await?;
    let dead = broker.dead_letters().count().await?;
    let older = broker.dead_letters().count_before(now_ms - HOUR_MS).await?;
    let dead = dead_letter_check(dead, dead.saturating_sub(older));
    let events = EventCounts {
        waiting: broker.events().unrecorded_count().await?,
        refused: broker.events().bad_count().await?,
        refused_key: broker.keys().bad_events(),
        workers: workers.len(),
    };
    let mut checks = vec![alive, leads, dead];
    checks.extend(services::check(broker, &workers, from_unix_ms(now_ms)).await?);
    let config = session.fleet_config_or_own(broker).await?;
    checks.extend(services::unread_limits(&config.queue_limits, &workers));
    checks.extend(encryption::check(broker).await?);
    for queue in broker.queues().list().await? {
        if let Some(last) = broker.queues().last_entry(&queue).await? {
            checks.extend(ahead_of_clock(&queue, &last, now_ms));
        }
    }
    let holds = broker.limits().account_holds(local_time()).await?;
    checks.extend(holds.iter().map(on_hold));
    Ok((checks, events))
}

/// The number of dead letters, in all and in the last hour.
fn dead_letter_check(all: u64, last_hour: u64) -> Check {
    match (all, last_hour) {
        (0, _) => Check::ok("dead letters", "none"),
        (all, 0) => {
            Check::info("dead letters", grouped(all)).with_advice("`longshore dlq list` shows them")
        }
        (all, last_hour) => {
            let text = format!("{}, {} in the last hour", grouped(all), grouped(last_hour));
            Check::info("dead letters", text).with_advice(
                "`longshore failures` shows what fails, and `longshore dlq list --since 1h` the jobs",
            )
        }
    }
}

/// An account that no worker calls, because its provider said so.
fn on_hold(hold: &AccountHold) -> Check {
    let advice = format!(
        "jobs wait or go to other platforms. If the provider has capacity again, run `{}`",
        hold::release_command(hold)
    );
    Check::info("accounts", hold::hold_sentence(hold)).with_advice(advice)
}

/// A queue whose entry ids are in the future: a producer chose one, or the clock of Redis was set back.
fn ahead_of_clock(queue: &QueueName, last: &EntryId, now_ms: i64) -> Option<Check> {
    let (ms, _) = last.parts().1.split_once('-')?;
    // More digits than a time in ms has.
    let ahead_ms = ms.parse::<i64>().unwrap_or(i64::MAX).saturating_sub(now_ms);
    (ahead_ms > MOST_SKEW_MS).then(|| {
        Check::problem(
            "entry ids",
            format!("the last one of queue `{queue}` is {last}, in the future"),
            "a producer chose it, or the clock of Redis was set back. Jobs run and count as received now, but in an \
             order that may be wrong. Give producers only `XADD KEY *` (see the ACL in docs/PROTOCOL.md), drain the \
             queue and delete its key",
        )
    })
}

/// Events on the way to Postgres are no problem while a worker writes them.
pub(super) fn event_checks(events: Option<EventCounts>, postgres_answers: bool) -> Vec<Check> {
    let Some(events) = events else {
        return Vec::new();
    };
    let waiting = counted(events.waiting, "event");
    let waiting = match events.waiting {
        0 => Check::ok("ledger", "all events are recorded"),
        _ if postgres_answers && events.workers > 0 => {
            Check::ok("ledger", format!("{waiting} not yet recorded"))
        }
        _ => Check::problem(
            "ledger",
            format!("{waiting} not recorded, and no worker can record them"),
            "they stay in Redis until a worker and Postgres are running",
        ),
    };
    let refused = match events.refused {
        0 => Check::ok("refused events", "none"),
        refused => Check::problem(
            "refused events",
            format!("Postgres refused {}", grouped(refused)),
            format!(
                "show the reasons with XRANGE {} - + COUNT 10, then report them",
                events.refused_key
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
    fn settings_that_lose_jobs_are_problems() {
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
        [!!] persistence: no append-only file: jobs are lost when Redis restarts
             → run `CONFIG SET appendonly yes`, and add `appendonly yes` to its configuration file
        [!!] memory policy: allkeys-lru: jobs may be evicted when the memory is full
             → run `CONFIG SET maxmemory-policy noeviction`, and add it to its configuration file
        ");
    }

    #[test]
    fn the_node_in_use_is_shown() {
        let mut primary = Primary {
            address: "10.0.0.1:6379".to_owned(),
            slot: None,
        };
        let by_sentinel = primary_check(&primary);
        primary.slot = Some(7);
        insta::assert_snapshot!(joined(&[by_sentinel, primary_check(&primary)]), @r"
        [OK] topology: the primary is 10.0.0.1:6379, by the Sentinels
        [OK] topology: the primary is 10.0.0.1:6379, the owner of slot 7
        ");
    }

    #[test]
    fn rules_that_the_services_lack_are_named() {
        let missing = ["+hset", "~{longshore}:*"].map(str::to_owned);
        let checked = |missing: &[String]| {
            let user = "service".to_owned();
            let missing = missing.to_vec();
            permission_check(Ok(Permissions::Checked { user, missing }))
        };
        let checks = [
            checked(&[]),
            checked(&missing),
            permission_check(Ok(Permissions::NotAllowed)),
            permission_check(Ok(Permissions::NotSupported)),
        ];
        insta::assert_snapshot!(joined(&checks), @r"
        [OK] permissions: user service may run everything that workers and schedulers need
        [!!] permissions: user service lacks +hset ~{longshore}:*, which workers and schedulers need
             → run `ACL SETUSER service +hset ~{longshore}:*`; docs/PROTOCOL.md has the whole rule
        [--] permissions: not checked: this user may not run ACL WHOAMI and ACL DRYRUN
             → grant it `+acl|whoami +acl|dryrun`, or run `longshore doctor --redis-user NAME` as a user that may
        [--] permissions: not checked: the server has no ACL DRYRUN, which came with Redis 7
        ");
    }

    #[test]
    fn missing_permissions_are_not_problems() {
        let facts = ServerFacts {
            product: "Valkey".to_owned(),
            version: "8.1.0".to_owned(),
            redis_version: "7.2.4".to_owned(),
            ..ServerFacts::default()
        };
        insta::assert_snapshot!(joined(&server_checks(&facts, "cache:6379")), @r"
        [OK] Redis: Valkey 8.1.0 at cache:6379
        [--] persistence: unknown: the user has no permission for CONFIG
             → make sure that the append-only file is enabled (appendonly yes)
        [--] memory policy: unknown: the user has no permission for CONFIG
             → make sure that nothing is evicted (maxmemory-policy noeviction)
        ");
    }

    #[test]
    fn events_that_nobody_records_are_a_problem() {
        let counts = EventCounts {
            waiting: 1200,
            refused: 2,
            refused_key: "{longshore}:events:bad".to_owned(),
            workers: 1,
        };
        insta::assert_snapshot!(joined(&event_checks(Some(counts.clone()), true)), @r"
        [OK] ledger: 1,200 events not yet recorded
        [!!] refused events: Postgres refused 2
             → show the reasons with XRANGE {longshore}:events:bad - + COUNT 10, then report them
        ");
        let unrecorded = joined(&event_checks(Some(counts), false));
        assert!(
            unrecorded.starts_with("[!!] ledger: 1,200 events not recorded, and no worker"),
            "{unrecorded}"
        );
    }

    #[test]
    fn entry_ids_in_the_future_are_a_problem() {
        let queue = QueueName::default();
        let check = |entry: &str| {
            let last = EntryId::new(&queue, entry);
            ahead_of_clock(&queue, &last, 1_795_000_000_000).map(|check| check.to_string())
        };
        assert_eq!(check("0-0"), None);
        assert_eq!(check("1795000001000-7"), None);
        let problem = check("8000000000000000-0").unwrap();
        assert!(
            problem.starts_with(
                "[!!] entry ids: the last one of queue `default` is 8000000000000000-0"
            ),
            "{problem}"
        );
        assert!(check("18446744073709551615-0").is_some());
    }

    #[test]
    fn dead_letters_of_the_last_hour_are_counted() {
        let checks = [(0, 0), (1200, 0), (1200, 7)];
        let checks = checks.map(|(all, last_hour)| dead_letter_check(all, last_hour));
        insta::assert_snapshot!(joined(&checks), @r"
        [OK] dead letters: none
        [--] dead letters: 1,200
             → `longshore dlq list` shows them
        [--] dead letters: 1,200, 7 in the last hour
             → `longshore failures` shows what fails, and `longshore dlq list --since 1h` the jobs
        ");
    }

    #[test]
    fn clocks_may_differ_a_little() {
        assert_eq!(skew_check(2_000), Check::ok("clock", "in sync with Redis"));
        assert!(
            skew_check(7_300_000)
                .to_string()
                .starts_with("[!!] clock: this machine and Redis differ by 7,300 s")
        );
    }
}

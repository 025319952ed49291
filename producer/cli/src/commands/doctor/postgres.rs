//! Checks of Postgres.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use longshore_ledger::Ledger;
use longshore_protocol::clock::local_time;

use super::{
    checks::{Check, at_least},
    redis::MOST_SKEW_MS,
};
use crate::{error::CommandError, session::Session};

/// The oldest Postgres that is tested.
const OLDEST: u32 = 15;

/// A query that reads nothing should take less.
const SLOW: Duration = Duration::from_millis(100);

/// Schedulers make partitions of attempts two months ahead, so one is missing if it is so near.
const PARTITIONS_AHEAD: TimeDelta = TimeDelta::days(7);

pub(super) struct PostgresChecks {
    pub(super) checks: Vec<Check>,
    /// Whether Postgres answers.
    pub(super) answers: bool,
}

pub(super) async fn check(session: &Session) -> PostgresChecks {
    let ledger = match session.ledger().await {
        Ok(ledger) => ledger,
        Err(error) => {
            return PostgresChecks {
                checks: vec![
                    unreachable_check(&error),
                    Check::info("migrations", "not checked: Postgres does not answer"),
                ],
                answers: false,
            };
        }
    };
    let mut checks = vec![version_check(&ledger).await, migration_check(&ledger).await];
    checks.extend(server_checks(&ledger).await);
    // Without the tables, that is the finding.
    if let Ok(until) = ledger.attempts_partitioned_until().await {
        checks.push(partition_check(until, local_time()));
    }
    PostgresChecks {
        checks,
        answers: true,
    }
}

fn unreachable_check(error: &CommandError) -> Check {
    let text = error.first_line();
    let text = text.strip_prefix("Postgres at ").unwrap_or(&text);
    Check::problem(
        "Postgres",
        text,
        "start it, or correct DATABASE_URL; jobs still run, and their events wait in Redis",
    )
}

async fn version_check(ledger: &Ledger) -> Check {
    match ledger.version().await {
        Ok(version) if at_least(&version, OLDEST) => {
            Check::ok("Postgres", format!("{version} at {}", ledger.address()))
        }
        Ok(version) => Check::problem(
            "Postgres",
            format!("{version} at {} is too old", ledger.address()),
            format!("use version {OLDEST} or newer"),
        ),
        Err(error) => Check::problem("Postgres", error.to_string(), "check the log of Postgres"),
    }
}

/// How fast Postgres answers, and whether its clock is right.
async fn server_checks(ledger: &Ledger) -> Vec<Check> {
    let (before, begun) = (local_time(), Instant::now());
    let read = ledger.server_time().await;
    let (after, took) = (local_time(), begun.elapsed());
    match read {
        Ok(theirs) => {
            let ahead = theirs - after;
            vec![latency_check(took), skew_check(ahead.max(before - theirs))]
        }
        Err(error) => vec![Check::problem(
            "Postgres latency",
            error.to_string(),
            "check the log of Postgres",
        )],
    }
}

fn latency_check(took: Duration) -> Check {
    let (name, ms) = ("Postgres latency", took.as_millis());
    if took < SLOW {
        return Check::ok(name, format!("{ms} ms"));
    }
    Check::problem(
        name,
        format!("{ms} ms for a query that reads nothing"),
        "check the load of its machine and the network; jobs still run, and their events wait in Redis",
    )
}

fn skew_check(skew: TimeDelta) -> Check {
    let name = "Postgres clock";
    if skew.num_milliseconds() <= MOST_SKEW_MS {
        return Check::ok(name, "in sync with this machine");
    }
    Check::problem(
        name,
        format!(
            "this machine and Postgres differ by {} s",
            skew.num_seconds()
        ),
        "synchronize both with NTP",
    )
}

/// Whether attempts of the next days have a partition.
fn partition_check(until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Check {
    let name = "partitions";
    let missing = match until {
        Some(until) if until >= now + PARTITIONS_AHEAD => {
            return Check::ok(name, format!("made until {}", until.date_naive()));
        }
        Some(until) => format!("attempts have none from {} on", until.date_naive()),
        None => "attempts have none".to_owned(),
    };
    Check::problem(
        name,
        format!("{missing}, so retention cannot drop them as a whole"),
        "start longshore-scheduler, which makes them, or run `longshore migrate`",
    )
}

async fn migration_check(ledger: &Ledger) -> Check {
    match ledger.pending_migrations().await {
        Ok(pending) if pending.is_empty() => Check::ok("migrations", "the tables are up to date"),
        Ok(pending) => Check::problem(
            "migrations",
            format!("pending: {}", pending.join(", ")),
            "run `longshore migrate`",
        ),
        Err(error) => Check::problem("migrations", error.to_string(), "check the log of Postgres"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_server_and_another_time_are_problems() {
        let checks = [
            latency_check(Duration::from_millis(3)),
            latency_check(Duration::from_millis(450)),
            skew_check(TimeDelta::milliseconds(-5)),
            skew_check(TimeDelta::seconds(90)),
        ];
        insta::assert_snapshot!(checks.map(|check| check.to_string()).join("\n"), @r"
        [OK] Postgres latency: 3 ms
        [!!] Postgres latency: 450 ms for a query that reads nothing
             → check the load of its machine and the network; jobs still run, and their events wait in Redis
        [OK] Postgres clock: in sync with this machine
        [!!] Postgres clock: this machine and Postgres differ by 90 s
             → synchronize both with NTP
        ");
    }

    #[test]
    fn partitions_must_be_made_ahead() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let now = at("2026-12-28T12:00:00Z");
        let until = [
            Some("2027-03-01T00:00:00Z"),
            Some("2027-01-01T00:00:00Z"),
            None,
        ];
        let checks = until.map(|until| partition_check(until.map(at), now).to_string());
        insta::assert_snapshot!(checks.join("\n"), @r"
        [OK] partitions: made until 2027-03-01
        [!!] partitions: attempts have none from 2027-01-01 on, so retention cannot drop them as a whole
             → start longshore-scheduler, which makes them, or run `longshore migrate`
        [!!] partitions: attempts have none, so retention cannot drop them as a whole
             → start longshore-scheduler, which makes them, or run `longshore migrate`
        ");
    }
}

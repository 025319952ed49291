//! Checks of Postgres.

use longshore_ledger::Ledger;

use super::checks::{Check, at_least};
use crate::{error::CommandError, session::Session};

/// The oldest Postgres that is tested.
const OLDEST: u32 = 15;

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
    let checks = vec![version_check(&ledger).await, migration_check(&ledger).await];
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

//! Looks at Postgres.

use longshore_ledger::Ledger;

use super::checks::{Check, at_least};
use crate::{error::CommandError, session::Session};

/// The oldest Postgres that is tested.
const OLDEST: u32 = 15;

/// What was seen.
pub(super) struct Seen {
    pub(super) checks: Vec<Check>,
    /// Whether it can record.
    pub(super) answers: bool,
}

/// Whether it answers, is new enough, and has the tables.
pub(super) async fn look(session: &Session) -> Seen {
    let ledger = match session.ledger().await {
        Ok(ledger) => ledger,
        Err(error) => {
            return Seen {
                checks: vec![
                    away(&error),
                    Check::info("migrations", "not checked: Postgres does not answer"),
                ],
                answers: false,
            };
        }
    };
    let checks = vec![version(&ledger).await, migrations(&ledger).await];
    Seen {
        checks,
        answers: true,
    }
}

fn away(error: &CommandError) -> Check {
    // The error's second line is advice for other commands.
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.strip_prefix("Postgres at ").unwrap_or(text);
    Check::problem(
        "Postgres",
        text,
        "start it, or correct DATABASE_URL; jobs run meanwhile, and their record waits in Redis",
    )
}

async fn version(ledger: &Ledger) -> Check {
    match ledger.version().await {
        Ok(version) if at_least(&version, OLDEST) => {
            Check::ok("Postgres", format!("{version} at {}", ledger.address()))
        }
        Ok(version) => Check::problem(
            "Postgres",
            format!("{version} at {} is too old", ledger.address()),
            format!("use version {OLDEST} or newer"),
        ),
        Err(error) => Check::problem("Postgres", error.to_string(), "look at its log"),
    }
}

async fn migrations(ledger: &Ledger) -> Check {
    match ledger.pending_migrations().await {
        Ok(pending) if pending.is_empty() => Check::ok("migrations", "the tables are up to date"),
        Ok(pending) => Check::problem(
            "migrations",
            format!("to be applied: {}", pending.join(", ")),
            "run `longshore migrate`",
        ),
        Err(error) => Check::problem("migrations", error.to_string(), "look at its log"),
    }
}

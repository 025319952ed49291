//! Longshore from outside: real Redis, real Postgres, real processes, real signals, and the simulator's
//! invoice as the other side of the books.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says where"
)]

mod bad_input;
mod chains;
mod chaos;
mod cli;
mod clients;
mod crash;
mod cron;
mod identity;
mod model;
mod policy;
mod quota;
mod reload;
mod road;
mod scripts;
mod time;

//! Longshore end to end: real Redis, Postgres, processes and signals, with the simulator's invoice as the
//! other side of the books.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says where"
)]

mod admin;
mod alerts;
mod backlog;
mod bad_input;
mod batches;
mod chains;
mod chains_cli;
mod chaos;
mod cli;
mod clients;
mod crash;
mod cron;
mod identity;
mod letters;

mod machine;
mod model;
mod played;
mod policy;
mod quota;
mod receiver;
mod reload;
mod road;
mod scripts;
mod time;

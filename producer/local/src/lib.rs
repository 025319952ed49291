//! Redis and Postgres on this machine: found or downloaded, run as private child processes on loopback, and
//! stopped with the program that started them.
//!
//! For `longshore dev` and the integration tests, not for production.
#![allow(
    missing_docs,
    reason = "used by `longshore dev` and the tests of this repository only"
)]

mod account;
mod child;
mod error;
mod fetch;
mod files;
mod instance;
mod port;
mod postgres;
mod process;
mod redis;
mod server_record;
mod tools;

pub use child::{ChildProcess, Signal};
pub use error::LocalError;
pub use files::rotate_log;
pub use port::{Port, free_port};
pub use postgres::{LocalPostgres, PostgresOptions};
pub use redis::{LocalRedis, RedisOptions};
pub use tools::{ToolOptions, Toolbox};

#[cfg(test)]
mod tests;

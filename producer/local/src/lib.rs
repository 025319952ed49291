//! Redis and Postgres on this computer: found or fetched, run as private child
//! processes on loopback, and stopped with the program that started them.
//!
//! This is what `longshore dev` and the integration tests stand on. Nothing here
//! is meant for production, where both are services of their own.

mod account;
mod child;
mod error;
mod fetch;
mod instance;
mod port;
mod postgres;
mod process;
mod redis;
mod tools;

pub use child::{ChildProcess, Signal};
pub use error::LocalError;
pub use port::free_port;
pub use postgres::{LocalPostgres, PostgresOptions};
pub use redis::{LocalRedis, RedisOptions};
pub use tools::{ToolOptions, Toolbox};

#[cfg(test)]
mod tests;

//! Wakes what is due, recovers what died, keeps the dead letters.
//!
//! Any number of schedulers may run; one of them leads, by a lease in Redis.

mod cron;
mod leader;
pub mod retention;
mod scheduler;

pub use self::scheduler::Scheduler;

//! Wakes what is due, recovers what died, keeps the dead letters.
//!
//! Any number of schedulers may run; one of them leads, by a lease in Redis.

mod alerts;
mod cron;
pub mod housekeeping;
mod leader;
mod letters;
mod replay;
pub mod retention;
mod scheduler;
mod windows;

pub use self::scheduler::Scheduler;

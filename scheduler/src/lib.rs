//! The scheduler: the work that must be done once for the whole fleet.
//!
//! Any number of schedulers may run. One of them leads, by a lease in Redis, and does the work; the others
//! stand by. `scheduler.rs` lists the duties and how often they run. Each duty has a file of its own.

mod scheduler;

mod leader;

mod duty;

mod lanes;

mod cron;

mod dead_workers;

mod windows;

mod limits;

mod alerts;

mod dead_letters;

mod gauges;

mod maintenance;

pub use self::scheduler::Scheduler;

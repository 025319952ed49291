//! Policies of the configuration: catalog and prices, limits, routing, recurring jobs, pauses,
//! retention, and the settings of Redis.

pub mod capabilities;
pub mod catalog;
pub mod cost;
pub mod cron;
pub mod forms;
pub mod gates;
pub mod limits;
pub mod parameters;
pub mod pause;
pub mod queues;
pub mod recipes;
pub mod redis;
pub mod replay;
pub mod retention;
pub mod retry;
pub mod routing;
pub mod tokens;
pub mod tools;
pub mod webhook;

//! What every part of Longshore knows.

pub mod archive;
pub mod broker;
pub mod call;
pub mod catalog;
pub mod chain;
pub mod config;
pub mod cron;
pub mod envelope;
pub mod event;
pub mod health;
pub mod id;
pub mod keys;
pub mod ledger;
pub mod letter;
pub mod limits;
pub mod money;
pub mod outcome;
pub mod pause;
pub mod replay;
pub mod resume;
pub mod routing;
pub mod service;
pub mod state;
pub mod telemetry;
pub mod tokens;
pub mod webhook;

//! Each Lua script by itself, through the broker, against a real Redis: the plain case, the fence, and
//! the same call once more, as after a lost reply.

mod admit;
mod begin;
mod cancel;
mod chain_model;
mod chains;
mod circuit;
mod circuit_model;
mod circuit_worker;
mod cron;
mod dead;
mod fail;
mod fill;
mod hand_back;
mod key_lanes;
mod lead;
mod limits_adapted;
mod limits_back;
mod limits_lanes;
mod limits_let_go;
mod limits_rate;
mod limits_reserve;
mod limits_slots;
mod limits_together;
mod limits_twice;
mod limits_window;
mod looks;
mod meters;
mod noscript;
mod push_config;
mod recover;
pub(crate) mod room;
mod settle;
mod slots;
mod tenants;
mod time_lanes;

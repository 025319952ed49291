//! Each Lua script by itself, through the broker, against a real Redis: the plain case, the fence, and
//! the same call once more, as after a lost reply.

mod admit;
mod begin;
mod cancel;
mod circuit;
mod circuit_model;
mod circuit_worker;
mod dead;
mod fail;
mod fill;
mod hand_back;
mod key_lanes;
mod lead;
mod noscript;
mod push_config;
mod recover;
pub(crate) mod room;
mod settle;
mod slots;
mod time_lanes;

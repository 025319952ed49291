//! Formats values for people. Only these modules use `comfy_table` and `indicatif`.

pub(crate) mod attempts;
pub(crate) mod decisions;
pub(crate) mod hold;
pub(crate) mod lane;
pub(crate) mod limit;
pub(crate) mod markdown;
pub(crate) mod money;
pub(crate) mod pause;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod tree;

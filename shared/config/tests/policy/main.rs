//! The catalog, prices, limits and routes that a `longshore.yaml` defines.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail loudly"
)]

mod catalog;
mod litellm;
mod meters;
mod routing;

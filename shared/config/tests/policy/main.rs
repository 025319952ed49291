//! The policies of a `longshore.yaml`: catalog, prices, limits and routes.
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

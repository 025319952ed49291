//! What follows from a configuration: the catalog, prices, limits and routes of a `longshore.yaml`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail loudly"
)]

mod catalog;
mod litellm;
mod meters;
mod recipes;
mod routing;

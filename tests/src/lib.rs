//! Private stacks, fixtures and benchmarks that the end-to-end tests and `longshore-bench` share.

pub mod bench;
pub mod dead_letters;
mod documents;
pub mod stack;

//! What the tests, the benchmarks and the provider simulator are made of.

pub mod bench;
pub mod letters;
pub mod simulator;
pub mod stack;

//! Reads settings from a YAML file and the environment, and reports each fault with its line and a
//! remedy. Knows nothing of what the settings mean.

mod environment;
mod error;
pub mod form;
pub mod interpolate;
mod reader;
mod redact;
pub mod suggest;
mod text;
pub mod yaml;

pub use self::{
    environment::{Environment, FILE_NAME},
    error::{ConfigError, Origin, Problem},
    form::Form,
    interpolate::Interpolated,
    reader::{Read, Reader},
    redact::redacted,
    text::{Entries, Text},
};

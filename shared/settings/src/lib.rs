//! Reads settings from a YAML file and the environment, and reports each error with its line and a
//! remedy. Does not know what the settings mean.

pub mod duration;
mod environment;
mod error;
pub mod form;
pub mod interpolate;
mod node;
mod part;
mod reader;
mod redact;
pub mod suggest;
mod text;
pub mod yaml;

pub use self::{
    environment::{Environment, FILE_NAME},
    error::{ConfigError, MOST_SHOWN, Origin, Problem},
    form::Form,
    interpolate::Interpolated,
    node::{Booleans, Node},
    part::{At, Field, Found, Part, Placed, field_name},
    reader::{Key, Read, Reader, sort_problems, variable_name},
    redact::redacted,
    text::{Entries, Text, Written},
};

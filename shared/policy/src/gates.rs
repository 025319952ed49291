//! Gates: commands of the configuration that chain steps may name.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use longshore_protocol::chain::GateName;
use regex::Regex;

/// The gates of a worker by name.
pub type Gates = BTreeMap<GateName, Gate>;

/// A command, and the bounds within which it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// The program and its arguments.
    pub command: Vec<String>,
    pub working_dir: PathBuf,
    pub timeout: Duration,
    /// Its variables beside those that every gate gets.
    pub env: BTreeMap<String, String>,
    /// The bytes that it may print.
    pub max_output: usize,
    /// The bytes of memory that each of its processes may have.
    pub max_memory: Option<usize>,
    /// A line that matches fails the gate.
    pub warnings: Option<Pattern>,
}

/// A regular expression. Two are equal if they are written alike.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, regex::Error> {
        Regex::new(text).map(Self)
    }

    pub fn matches(&self, line: &str) -> bool {
        self.0.is_match(line)
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}
